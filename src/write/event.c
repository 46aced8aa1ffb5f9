/* write/event.c - events about objects, as client-go's recorder writes them: repeats raise a count, floods are cut.
 *
 * Source: client-go tools/record/events_cache.go. */
#include "write/internal.h"

enum {
    CORRELATED_MAX = 4096,          /* remembered events */
    CORRELATED_MS = 10 * 60 * 1000, /* a repeat after this is a new event */
    SPAM_BURST = 25,                /* events of one component about one object at once */
    SPAM_REFILL_MS = 5 * 60 * 1000, /* one more each */
};

struct correlated {
    struct list link; /* least recently used first */
    char *id;
    struct str key;
    char *ns, *name;
    int64_t count, last_ms;
};
struct spam {
    char *id;
    struct str key;
    double tokens;
    int64_t last_ms;
};
struct recorder {
    struct writer *w;
    struct map seen, spams;
    struct list lru;
};

struct recorder *recorder_new(struct writer *w)
{
    struct recorder *r = calloc(1, sizeof(*r));
    if (!r)
        abort(); /* at start */
    r->w = w;
    list_init(&r->lru);
    return r;
}

static void forget(struct recorder *r, struct correlated *c)
{
    map_del(&r->seen, c->key);
    list_remove(&c->link);
    free(c->id), free(c->ns), free(c->name), free(c);
}

static void forget_spams(struct recorder *r)
{
    uint32_t it = 0;
    struct str key;
    void *value;
    while (map_each(&r->spams, &it, &key, &value)) {
        struct spam *s = value;
        map_del(&r->spams, key);
        free(s->id), free(s);
    }
}

struct recorder *recorder_free(struct recorder *r)
{
    if (!r)
        return NULL;
    while (!list_empty(&r->lru))
        forget(r, container_of(r->lru.next, struct correlated, link));
    forget_spams(r);
    map_done(&r->seen), map_done(&r->spams);
    free(r);
    return NULL;
}

static bool is_spam(struct recorder *r, struct str component, const struct obj *about)
{
    cleanup_arena struct arena *mem = arena_new();
    int64_t now = loop_now_ms(r->w->loop);
    struct str key = str_fmt(mem, STR_FMT "|" STR_FMT, STR_ARG(component), STR_ARG(about->key));
    struct spam *s = map_get(&r->spams, key);
    if (!s) {
        if (r->spams.count >= CORRELATED_MAX)
            forget_spams(r);
        s = calloc(1, sizeof(*s));
        if (!s || !(s->id = strndup(key.ptr, key.len)))
            abort();
        s->key = str_mem(s->id, key.len), s->tokens = SPAM_BURST, s->last_ms = now;
        map_put(&r->spams, s->key, s);
    }
    s->tokens += (double)(now - s->last_ms) / SPAM_REFILL_MS;
    s->tokens = s->tokens > SPAM_BURST ? SPAM_BURST : s->tokens;
    s->last_ms = now;
    if (s->tokens < 1)
        return true;
    s->tokens -= 1;
    return false;
}

static struct correlated *remember(struct recorder *r, struct str id, struct str ns, struct str name)
{
    if (r->seen.count >= CORRELATED_MAX)
        forget(r, container_of(r->lru.next, struct correlated, link));
    struct correlated *c = calloc(1, sizeof(*c));
    if (!c || !(c->id = strndup(id.ptr, id.len)) || !(c->ns = strndup(ns.ptr, ns.len)) ||
        !(c->name = strndup(name.ptr, name.len)))
        abort();
    c->key = str_mem(c->id, id.len), c->count = 1;
    map_put(&r->seen, c->key, c);
    list_add_tail(&r->lru, &c->link);
    return c;
}

static struct doc *event_doc(struct arena *mem, const struct obj *about, struct str ns, struct str name,
                             struct str component, const char *type, const char *reason, struct str message,
                             struct str now)
{
    struct doc *e = doc_new_object(mem), *meta = doc_sub(mem, e, "metadata"), *ref = doc_sub(mem, e, "involvedObject");
    doc_put_str(mem, meta, "name", name);
    doc_put_str(mem, meta, "namespace", ns);
    doc_put_str(mem, ref, "kind", str_of(about->res->kind));
    if (about->ns.len)
        doc_put_str(mem, ref, "namespace", about->ns);
    doc_put_str(mem, ref, "name", about->name);
    doc_put_str(mem, ref, "uid", about->uid);
    doc_put_str(mem, ref, "apiVersion", str_of(about->res->api_version));
    doc_put_str(mem, ref, "resourceVersion", str_fmt(mem, "%llu", (unsigned long long)about->rev));
    doc_put_str(mem, e, "reason", str_of(reason));
    doc_put_str(mem, e, "message", message);
    doc_put_str(mem, doc_sub(mem, e, "source"), "component", component);
    doc_put_str(mem, e, "firstTimestamp", now);
    doc_put_str(mem, e, "lastTimestamp", now);
    doc_put_int(mem, e, "count", 1);
    doc_put_str(mem, e, "type", str_of(type));
    doc_put_str(mem, e, "reportingComponent", component);
    return e;
}

static void repeat(struct recorder *r, struct arena *mem, struct correlated *c, struct str now)
{
    c->count++;
    list_remove(&c->link);
    list_add_tail(&r->lru, &c->link);
    struct doc *patch = doc_new_object(mem);
    doc_put_int(mem, patch, "count", c->count);
    doc_put_str(mem, patch, "lastTimestamp", now);
    write_merge(r->w, NULL, schema_stored("", "events"), NULL, str_of(c->ns), str_of(c->name), patch, NULL, NULL);
}

void write_event(struct writer *w, struct str component, const struct obj *about, const char *type, const char *reason,
                 const char *fmt, ...)
{
    cleanup_arena struct arena *mem = arena_new();
    struct recorder *r = w->recorder;
    va_list ap;
    va_start(ap, fmt);
    struct str message = str_head(str_vfmt(mem, fmt, ap), 1024);
    va_end(ap);
    if (is_spam(r, component, about))
        return;
    int64_t now_ms = loop_now_ms(w->loop);
    struct str now = meta_time(mem, loop_wall_ms(w->loop)), ns = about->ns.len ? about->ns : STR("default");
    struct str id = str_fmt(mem, STR_FMT "|" STR_FMT "|" STR_FMT "|%s|%s|" STR_FMT, STR_ARG(component),
                            STR_ARG(about->key), STR_ARG(about->uid), type, reason, STR_ARG(message));
    struct correlated *c = map_get(&r->seen, id);
    if (c && now_ms - c->last_ms < CORRELATED_MS &&
        cache_find(w->cache, schema_stored("", "events"), str_of(c->ns), str_of(c->name))) {
        c->last_ms = now_ms;
        repeat(r, mem, c, now);
        return;
    }
    if (c)
        forget(r, c);
    struct str name =
        str_fmt(mem, STR_FMT ".%016llx", STR_ARG(about->name), (unsigned long long)loop_rand(w->loop, RAND_NAME));
    c = remember(r, id, ns, name);
    c->last_ms = now_ms;
    write_create(w, NULL, schema_stored("", "events"), ns,
                 event_doc(mem, about, ns, name, component, type, reason, message, now), NULL, NULL);
}
