/* control/pod_gc.c - pods that nobody else will remove: of nodes that are gone, terminating without ever having had a
 * node, and finished ones beyond a number.
 *
 * Keys are those of pods, and "finished". Source: kubernetes pkg/controller/podgc. */
#include "control/conditions.h"
#include "control/internal.h"
#include "control/pods.h"

#include <stdlib.h>

enum { QUARANTINE_MS = 40 * 1000 }; /* the node may come back under its name */
#define FINISHED STR("finished")

struct state {
    int64_t finished; /* pods in the cache */
};

static void *start(const struct controllers_opts *o, struct controller *c)
{
    struct state *s = calloc(1, sizeof(*s));
    if (!s)
        abort(); /* at start */
    return s;
}

static void stop(void *state)
{
    free(state);
}

static bool is_finished(const struct obj *o)
{
    cleanup_arena struct arena *mem = arena_new();
    return pod_of(mem, o).finished;
}

static void remove_now(struct reconcile *r, const struct obj *o)
{
    reconcile_delete_how(r, o, PROPAGATE_BACKGROUND, /* grace_s= */ 0, /* exact= */ false);
}

static void fail_orphan(struct reconcile *r, const struct obj *o)
{
    struct doc *pod = obj_doc(r->mem, o), *status = doc_sub(r->mem, pod, "status");
    struct condition c = {.type = "DisruptionTarget",
                          .status = "True",
                          .reason = "DeletionByPodGC",
                          .message = STR("PodGC: node no longer exists")};
    if (is_finished(o))
        return;
    doc_put_str(r->mem, status, "phase", STR("Failed"));
    condition_set(r->mem, status, &c, write_time(r->mem, r->wall_ms));
    reconcile_update(r, o->res, "status", pod);
}

static int by_age(const void *x, const void *y)
{
    const struct obj *a = *(struct obj *const *)x, *b = *(struct obj *const *)y;
    if (a->created_ms != b->created_ms)
        return a->created_ms < b->created_ms ? -1 : 1;
    return str_cmp(a->key, b->key);
}

static void thin_out(struct reconcile *r)
{
    const struct state *s = controller_state(r->c);
    int64_t excess = s->finished - controller_opts(r->c)->terminated_pods_max;
    struct obj **list = arena_array(r->mem, struct obj *, s->finished + 1);
    int64_t n = 0;
    if (excess <= 0)
        return;
    struct cache_iter it = cache_list(r->cache, STR("pods/"), STR_NULL);
    for (struct obj *o; (o = cache_next(&it)) && n < s->finished;)
        if (is_finished(o))
            list[n++] = o;
    qsort(list, (size_t)n, sizeof(*list), by_age);
    for (int64_t i = 0; i < excess && i < n; i++)
        if (!list[i]->deleting)
            remove_now(r, list[i]);
}

static void reconcile(struct reconcile *r)
{
    if (str_eq(r->key, FINISHED)) {
        thin_out(r);
        return;
    }
    int64_t since_ms = r->memo;
    r->memo = 0;
    const struct obj *o = cache_get(r->cache, r->key);
    if (!o)
        return;
    if (!o->node.len) {
        if (o->deleting)
            remove_now(r, o);
        return;
    }
    if (cache_find(r->cache, schema_stored("", "nodes"), STR_NULL, o->node))
        return;
    since_ms = since_ms ? since_ms : r->now_ms + 1;
    int64_t left_ms = since_ms + QUARANTINE_MS - r->now_ms;
    if (left_ms > 0) {
        r->memo = since_ms;
        r->again_ms = left_ms;
        return;
    }
    fail_orphan(r, o);
    remove_now(r, o);
}

static void on_pod(struct controller *c, const struct cache_event *ev)
{
    struct state *s = controller_state(c);
    bool was = ev->prev && pod_read(ev->prev, cache_event_prev_doc(ev)).finished;
    bool is = ev->type != CACHE_DELETED && pod_read(ev->obj, cache_event_doc(ev)).finished;
    s->finished += is - was;
    if (is && !was && s->finished > controller_opts(c)->terminated_pods_max)
        controller_enqueue(c, FINISHED);
    if (ev->type == CACHE_DELETED)
        return;
    bool lost =
        ev->obj->node.len && !cache_find(controller_cache(c), schema_stored("", "nodes"), STR_NULL, ev->obj->node);
    if (lost || (!ev->obj->node.len && ev->obj->deleting))
        controller_enqueue(c, ev->obj->key);
}

static void on_node(struct controller *c, const struct cache_event *ev)
{
    cleanup_arena struct arena *mem = arena_new();
    int count;
    if (ev->type != CACHE_DELETED)
        return;
    struct obj **pods = cache_pods_of_node(controller_cache(c), mem, ev->obj->name, &count);
    for (int i = 0; i < count; i++)
        controller_enqueue(c, pods[i]->key);
}

const struct controller_kind controller_pod_gc = {
    .name = "pod_gc",
    .account = "pod-garbage-collector",
    .watches = {{"", "pods", on_pod}, {"", "nodes", on_node}},
    .reconcile = reconcile,
    .start = start,
    .stop = stop,
};
