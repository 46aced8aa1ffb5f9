#include "node/agent/events.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/map.h"
#include "node/agent/client.h"
#include "node/agent/pods.h"

struct remembered {
    struct list link; /* newest last */
    struct arena *mem;
    struct str key, name, ns;
    int64_t first_ms;
    int count;
    bool created; /* the server has it */
};
struct events {
    struct node *node;
    struct map by_key;
    struct list all;
    int open;
};

struct events *events_new(struct node *n)
{
    struct events *e = calloc(1, sizeof(*e));
    if (!e)
        abort();
    e->node = n;
    list_init(&e->all);
    return e;
}

static void forget(struct events *e, struct remembered *r)
{
    map_del(&e->by_key, r->key);
    list_remove(&r->link);
    arena_free(r->mem);
}

struct events *events_free(struct events *e)
{
    if (!e)
        return NULL;
    list_each_safe (at, &e->all)
        forget(e, container_of(at, struct remembered, link));
    map_done(&e->by_key);
    free(e);
    return NULL;
}

static void answered(void *ctx, const struct api_answer *a)
{
    struct events *e = ctx;
    e->open--;
    if (a->status / 100 != 2 && a->status)
        log_debug("events", "the server refused an event", "status=%d why=" STR_FMT, a->status,
                  STR_ARG(doc_str(a->doc, "message")));
}

static void send_again(struct events *e, struct remembered *r, int64_t now)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str body =
        str_fmt(mem, "{\"count\":%d,\"lastTimestamp\":\"" STR_FMT "\"}", r->count, STR_ARG(unix_time_text(mem, now)));
    struct str path = str_fmt(mem, "/api/v1/namespaces/" STR_FMT "/events/" STR_FMT, STR_ARG(r->ns), STR_ARG(r->name));
    e->open++;
    api_send(e->node->api, "PATCH", path, API_MERGE, body, answered, e);
}

static void send_first(struct events *e, struct remembered *r, const struct event_subject *s, const char *type,
                       const char *reason, struct str message)
{
    cleanup_arena struct arena *mem = arena_new();
    struct doc *d = doc_new_object(mem), *meta, *about, *source;
    struct str now = unix_time_text(mem, r->first_ms);
    doc_put_str(mem, d, "apiVersion", STR("v1")), doc_put_str(mem, d, "kind", STR("Event"));
    meta = doc_sub(mem, d, "metadata"), about = doc_sub(mem, d, "involvedObject"), source = doc_sub(mem, d, "source");
    doc_put_str(mem, meta, "name", r->name), doc_put_str(mem, meta, "namespace", r->ns);
    doc_put_str(mem, about, "apiVersion", STR("v1")), doc_put_str(mem, about, "kind", s->kind);
    doc_put_str(mem, about, "name", s->name), doc_put_str(mem, about, "uid", s->uid);
    if (s->ns.len)
        doc_put_str(mem, about, "namespace", s->ns);
    if (s->field_path.len)
        doc_put_str(mem, about, "fieldPath", s->field_path);
    if (s->version.len)
        doc_put_str(mem, about, "resourceVersion", s->version);
    doc_put_str(mem, source, "component", STR("kubelet")), doc_put_str(mem, source, "host", str_of(e->node->name));
    doc_put_str(mem, d, "type", str_of(type)), doc_put_str(mem, d, "reason", str_of(reason)),
        doc_put_str(mem, d, "message", str_head(message, 1024));
    doc_put_str(mem, d, "firstTimestamp", now), doc_put_str(mem, d, "lastTimestamp", now);
    doc_put_int(mem, d, "count", 1);
    doc_put_str(mem, d, "reportingComponent", STR("kubelet")),
        doc_put_str(mem, d, "reportingInstance", str_of(e->node->name));
    e->open++;
    api_send(e->node->api, "POST", str_fmt(mem, "/api/v1/namespaces/" STR_FMT "/events", STR_ARG(r->ns)), NULL,
             doc_json(mem, d), answered, e);
}

void events_send(struct events *e, const struct event_subject *s, const char *type, const char *reason,
                 struct str message)
{
    log_debug("event", reason, "object=" STR_FMT "/" STR_FMT " message=" STR_FMT, STR_ARG(s->ns), STR_ARG(s->name),
              STR_ARG(message));
    if (!e->node->api || e->open >= EVENTS_OPEN_MAX)
        return;
    struct arena *mem = arena_new();
    struct str key = str_fmt(mem, STR_FMT "|" STR_FMT "|%s|%s|" STR_FMT, STR_ARG(s->uid), STR_ARG(s->field_path), type,
                             reason, STR_ARG(message));
    int64_t now = loop_wall_ms(e->node->loop);
    struct remembered *r = map_get(&e->by_key, key);
    if (r) {
        arena_free(mem);
        r->count++;
        list_remove(&r->link), list_add_tail(&e->all, &r->link);
        send_again(e, r, now);
        return;
    }
    if (e->by_key.count >= EVENTS_REMEMBERED_MAX)
        forget(e, container_of(e->all.next, struct remembered, link));
    r = arena_new_of(mem, struct remembered);
    *r = (struct remembered){.mem = mem, .key = key, .first_ms = now, .count = 1};
    r->ns = str_dup(mem, s->ns.len ? s->ns : STR("default"));
    r->name = str_fmt(mem, STR_FMT ".%016llx", STR_ARG(str_head(s->name, 200)),
                      (unsigned long long)loop_now_us(e->node->loop) ^ (unsigned long long)now << 20);
    list_add_tail(&e->all, &r->link);
    map_put(&e->by_key, r->key, r);
    send_first(e, r, s, type, reason, message);
}

void pod_event(struct pod *p, const struct container *c, const char *type, const char *reason, const char *fmt, ...)
{
    cleanup_arena struct arena *mem = arena_new();
    va_list ap;
    va_start(ap, fmt);
    struct str message = str_vfmt(mem, fmt, ap);
    va_end(ap);
    struct event_subject s = {.kind = STR("Pod"),
                              .ns = p->ns,
                              .name = p->name,
                              .uid = p->uid,
                              .version = doc_str(doc_get(p->obj, "metadata"), "resourceVersion")};
    if (c)
        s.field_path = str_fmt(mem, "spec.%s{" STR_FMT "}",
                               c->kind == KIND_REGULAR     ? "containers"
                               : c->kind == KIND_EPHEMERAL ? "ephemeralContainers"
                                                           : "initContainers",
                               STR_ARG(c->name));
    events_send(p->node->events, &s, type, reason, message);
}
