/* Pods come from the API (those bound to this node) or from a directory of manifests. */
#include <fcntl.h>
#include <stdlib.h>

#include "base/log.h"
#include "node/agent/client.h"
#include "node/agent/pods.h"
#include "node/files.h"

enum { MANIFEST_BYTES_MAX = 4 << 20 };

struct pods_watch {
    struct api_watch watch;
    struct node *node;
};

static bool is_over(const struct doc *obj)
{
    struct str phase = doc_str(doc_get(obj, "status"), "phase");
    return str_is(phase, "Succeeded") || str_is(phase, "Failed");
}

static void put(struct node *n, const struct doc *obj)
{
    const struct doc *meta = doc_get(obj, "metadata");
    struct pod *p = pod_find(n, doc_str(meta, "uid"));
    if (p) {
        p->seen = true;
        pod_update(p, obj);
        return;
    }
    p = pod_new(n, obj);
    p->seen = true;
    if (is_over(obj)) { /* of an earlier life: only its deletion is left to do */
        p->state = POD_ENDED, p->admitted = false;
        struct str status = doc_json(p->keep, doc_get(p->obj, "status"));
        p->sent = str_mem(strndup(status.ptr, status.len), status.len), p->over = true;
    }
    pod_kick(p);
}

static void each_pod(struct node *n, void (*fn)(struct pod *p))
{
    list_each_safe (at, &n->pods) {
        struct pod *p = container_of(at, struct pod, link);
        if (!p->from_file)
            fn(p);
    }
}

static void unsee(struct pod *p)
{
    p->seen = false;
}

static void sweep(struct pod *p)
{
    if (!p->seen)
        pod_gone(p);
}

static void on_event(struct api_watch *w, enum watch_event e, const struct doc *obj)
{
    struct node *n = container_of(w, struct pods_watch, watch)->node;
    struct pod *p;
    switch (e) {
    case WATCH_SYNC_BEGIN:
        each_pod(n, unsee);
        break;
    case WATCH_SYNC_END:
        each_pod(n, sweep);
        strays_remove_files(n);
        break;
    case WATCH_ADDED:
    case WATCH_MODIFIED:
        put(n, obj);
        break;
    case WATCH_DELETED:
        p = pod_find(n, doc_str(doc_get(obj, "metadata"), "uid"));
        if (p)
            pod_gone(p);
        break;
    }
}

void watch_start(struct node *n)
{
    struct pods_watch *w = arena_new_of(n->keep, struct pods_watch);
    w->node = n, n->pods_watch = w;
    w->watch.path = str_fmt(n->keep, "/api/v1/pods?fieldSelector=spec.nodeName%%3D%s", n->name);
    w->watch.event = on_event;
    api_watch_start(n->api, &w->watch);
}

void watch_stop(struct node *n)
{
    if (n->pods_watch)
        api_watch_stop(&n->pods_watch->watch);
}

static void take(struct node *n, struct doc *d, struct arena *mem)
{
    struct str kind = doc_str(d, "kind");
    if (str_is(kind, "ConfigMap") || str_is(kind, "Secret")) {
        configs_add_static(n->configs, d);
        return;
    }
    if (!str_is(kind, "Pod"))
        return;
    struct doc *meta = doc_sub(mem, d, "metadata");
    if (doc_str(meta, "namespace").len == 0)
        doc_put_str(mem, meta, "namespace", STR("default"));
    if (doc_str(meta, "uid").len == 0) { /* the same file gives the same pod */
        uint64_t h = str_hash(doc_json(mem, d));
        doc_put_str(mem, meta, "uid",
                    str_fmt(mem, "%08x-%04x-4%03x-8000-%012llx", (unsigned)h, (unsigned)(h >> 32) & 0xffff,
                            (unsigned)(h >> 48) & 0xfff, (unsigned long long)(h ^ h >> 20) & 0xffffffffffff));
    }
    if (pod_find(n, doc_str(meta, "uid")))
        return;
    struct pod *p = pod_new(n, d);
    p->from_file = true;
    pod_kick(p);
}

static void read_file(struct node *n, const char *path)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str text, rest;
    struct err err = ERR(mem);
    if (files_read(AT_FDCWD, path, MANIFEST_BYTES_MAX, mem, &text) < 0)
        return;
    bool yaml = !str_ends(str_of(path), STR(".json"));
    for (;;) {
        rest = STR_NULL;
        struct doc *d = yaml ? doc_parse_yaml(mem, text, &rest, NULL, &err) : doc_parse(mem, text, NULL, &err);
        if (!d) {
            log_error("agent", "a manifest can't be read", "file=%s why=" STR_FMT, path, STR_ARG(err.message));
            return;
        }
        take(n, d, mem);
        if (str_trim(rest).len == 0)
            return;
        text = rest;
    }
}

void watch_files(struct node *n, const char *dir)
{
    cleanup_arena struct arena *mem = arena_new();
    char **names;
    int count = files_list(dir, mem, &names);
    for (int i = 0; i < count; i++) {
        struct str name = str_of(names[i]);
        if (str_ends(name, STR(".json")) || str_ends(name, STR(".yaml")) || str_ends(name, STR(".yml")))
            read_file(n, str_fmtz(mem, "%s/%s", dir, names[i]));
    }
}
