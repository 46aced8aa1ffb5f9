/* control/taint_eviction.c - pods leave a node with a NoExecute taint, at once or after their tolerationSeconds.
 *
 * Keys are those of pods. Source: kubernetes pkg/controller/tainteviction. */
#include "control/conditions.h"
#include "control/internal.h"

static bool tolerates(const struct doc *tol, const struct doc *taint)
{
    struct str key = doc_str(tol, "key"), effect = doc_str(tol, "effect"), op = doc_str(tol, "operator");
    if (effect.len && !str_is(effect, "NoExecute"))
        return false;
    if (key.len && !str_eq(key, doc_str(taint, "key")))
        return false;
    return str_is(op, "Exists") || (key.len && str_eq(doc_str(tol, "value"), doc_str(taint, "value")));
}

/* When a pod must go because of one taint: 0 now, -1 never, else Unix time in ms. The shortest toleration counts. */
static int64_t leaves_ms(const struct doc *tolerations, const struct doc *taint)
{
    int64_t least_s = -1;
    bool any = false;
    doc_each (t, tolerations) {
        if (!tolerates(t, taint))
            continue;
        any = true;
        if (doc_get(t, "tolerationSeconds")) {
            int64_t s = doc_int(t, "tolerationSeconds", 0);
            s = s < 0 ? 0 : s;
            least_s = least_s < 0 || s < least_s ? s : least_s;
        }
    }
    if (!any || least_s == 0)
        return 0;
    return least_s < 0 ? -1 : time_ms(doc_str(taint, "timeAdded")) + least_s * 1000;
}

static int64_t pod_leaves_ms(const struct doc *pod, const struct doc *node)
{
    const struct doc *tolerations = doc_path(pod, "spec", "tolerations", NULL);
    int64_t first = -1;
    doc_each (taint, doc_path(node, "spec", "taints", NULL)) {
        if (!str_is(doc_str(taint, "effect"), "NoExecute"))
            continue;
        int64_t ms = leaves_ms(tolerations, taint);
        if (ms >= 0 && (first < 0 || ms < first))
            first = ms;
    }
    return first;
}

static void evict(struct reconcile *r, const struct obj *o, struct doc *pod)
{
    struct condition c = {.type = "DisruptionTarget",
                          .status = "True",
                          .reason = "DeletionByTaintManager",
                          .message = STR("Taint manager: deleting due to NoExecute taint")};
    if (condition_set(r->mem, doc_sub(r->mem, pod, "status"), &c, write_time(r->mem, r->wall_ms)))
        reconcile_update(r, o->res, "status", pod);
    reconcile_event(r, o, "Normal", "TaintManagerEviction", "Marking for deletion Pod " STR_FMT "/" STR_FMT,
                    STR_ARG(o->ns), STR_ARG(o->name));
    reconcile_delete(r, o);
}

static void reconcile(struct reconcile *r)
{
    const struct obj *o = cache_get(r->cache, r->key);
    if (!o || o->deleting || !o->node.len)
        return;
    const struct obj *node = cache_find(r->cache, schema_stored("", "nodes"), STR_NULL, o->node);
    if (!node)
        return; /* pod GC's */
    struct doc *pod = obj_doc(r->mem, o);
    int64_t at_ms = pod_leaves_ms(pod, obj_doc(r->mem, node));
    if (at_ms < 0)
        return;
    if (at_ms <= r->wall_ms)
        evict(r, o, pod);
    else
        r->again_ms = at_ms - r->wall_ms;
}

static void on_pod(struct controller *c, const struct cache_event *ev)
{
    const struct obj *o = ev->obj;
    if (ev->type != CACHE_DELETED && o->node.len && !(ev->prev && ev->prev->node.len))
        controller_enqueue(c, o->key);
}

static void on_node(struct controller *c, const struct cache_event *ev)
{
    cleanup_arena struct arena *mem = arena_new();
    if (ev->type == CACHE_DELETED)
        return;
    const struct doc *now = doc_path(cache_event_doc(ev), "spec", "taints", NULL);
    const struct doc *was = doc_path(cache_event_prev_doc(ev), "spec", "taints", NULL);
    if (doc_len(now) == doc_len(was) && (!doc_len(now) || doc_eq(now, was)))
        return;
    int count;
    struct obj **pods = cache_pods_of_node(controller_cache(c), mem, ev->obj->name, &count);
    for (int i = 0; i < count; i++)
        controller_enqueue(c, pods[i]->key);
}

const struct controller_kind controller_taint_eviction = {
    .name = "noexec_taint_pod",
    .account = "node-controller",
    .component = "taint-eviction-controller",
    .watches = {{"", "pods", on_pod}, {"", "nodes", on_node}},
    .reconcile = reconcile,
};
