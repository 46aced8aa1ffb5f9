/* control/node_lifecycle.c - a node that falls silent becomes Unknown; its conditions become taints.
 *
 * A node speaks by renewing its Lease or its Ready condition's heartbeat; we note when we last saw either move, by our
 * own clock, since clocks of nodes differ. After a restart everyone has a whole grace period again. Source: kubernetes
 * pkg/controller/nodelifecycle. */
#include "control/conditions.h"
#include "control/internal.h"

#include <stdlib.h>

#include "base/map.h"

struct heard {
    uint64_t sign; /* of what the node said last */
    int64_t at_ms;
    struct str key;
    char bytes[];
};
struct state {
    struct map heard;
};

static void *start(const struct controllers_opts *o, struct controller *c)
{
    struct state *s = calloc(1, sizeof(*s));
    if (!s)
        abort(); /* at start */
    return s;
}

static void forget(struct state *s, struct str key)
{
    free(map_del(&s->heard, key));
}

static void stop(void *state)
{
    struct state *s = state;
    uint32_t it = 0;
    struct str key;
    void *h;
    while (map_each(&s->heard, &it, &key, &h))
        forget(s, key);
    map_done(&s->heard);
    free(s);
}

/* ---- silence */

static uint64_t sign_of(struct reconcile *r, const struct obj *node, const struct doc *doc)
{
    const struct obj *lease =
        cache_find(r->cache, schema_stored("coordination.k8s.io", "leases"), STR("kube-node-lease"), node->name);
    struct str renewed = lease ? doc_str(doc_get(obj_doc(r->mem, lease), "spec"), "renewTime") : STR_NULL;
    struct str beat = doc_str(condition_get(doc_get(doc, "status"), "Ready"), "lastHeartbeatTime");
    struct str status = doc_str(condition_get(doc_get(doc, "status"), "Ready"), "status");
    if (str_is(status, "Unknown"))
        status = STR_NULL; /* our own word is no sign of life */
    return str_hash(str_fmt(r->mem, STR_FMT "|" STR_FMT "|" STR_FMT, STR_ARG(renewed), STR_ARG(beat), STR_ARG(status)));
}

static int64_t silent_ms(struct reconcile *r, const struct obj *node, const struct doc *doc)
{
    struct state *s = controller_state(r->c);
    struct heard *h = map_get(&s->heard, node->key);
    uint64_t sign = sign_of(r, node, doc);
    if (!h) {
        h = calloc(1, sizeof(*h) + node->key.len);
        if (!h)
            abort();
        memcpy(h->bytes, node->key.ptr, node->key.len);
        h->key = str_mem(h->bytes, node->key.len), h->at_ms = r->now_ms, h->sign = sign;
        map_put(&s->heard, h->key, h);
    }
    if (h->sign != sign)
        h->sign = sign, h->at_ms = r->now_ms;
    return r->now_ms - h->at_ms;
}

static bool mark_unknown(struct reconcile *r, struct doc *status)
{
    static const char *const types[] = {"Ready", "MemoryPressure", "DiskPressure", "PIDPressure"};
    struct str now = write_time(r->mem, r->wall_ms);
    bool changed = false;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct doc *c = condition_get(status, types[i]);
        bool never = !c;
        if (c && str_is(doc_str(c, "status"), "Unknown"))
            continue;
        if (never) {
            c = doc_push(doc_sub_array(r->mem, status, "conditions"), doc_new_object(r->mem));
            doc_put_str(r->mem, c, "type", str_of(types[i]));
        }
        doc_put_str(r->mem, c, "status", STR("Unknown"));
        doc_put_str(r->mem, c, "reason", never ? STR("NodeStatusNeverUpdated") : STR("NodeStatusUnknown"));
        doc_put_str(r->mem, c, "message",
                    never ? STR("Kubelet never posted node status.") : STR("Kubelet stopped posting node status."));
        doc_put_str(r->mem, c, "lastTransitionTime", now);
        changed = true;
    }
    return changed;
}

/* Nobody reports for the pods of a silent node: no Service may count on them. */
static void mark_pods_not_ready(struct reconcile *r, const struct obj *node)
{
    int count;
    struct obj **pods = cache_pods_of_node(r->cache, r->mem, node->name, &count);
    for (int i = 0; i < count; i++) {
        struct doc *pod = obj_doc(r->mem, pods[i]), *ready = condition_get(doc_get(pod, "status"), "Ready");
        if (!ready || !str_is(doc_str(ready, "status"), "True"))
            continue;
        doc_put_str(r->mem, ready, "status", STR("False"));
        doc_put_str(r->mem, ready, "lastTransitionTime", write_time(r->mem, r->wall_ms));
        reconcile_update(r, pods[i]->res, "status", pod);
        reconcile_event(r, pods[i], "Warning", "NodeNotReady", "Node is not ready");
    }
}

/* ---- taints */

static const struct taint_rule {
    const char *condition, *status, *key;
    bool no_execute; /* besides NoSchedule */
} rules[] = {
    {"Ready", "False", "node.kubernetes.io/not-ready", true},
    {"Ready", "Unknown", "node.kubernetes.io/unreachable", true},
    {"MemoryPressure", "True", "node.kubernetes.io/memory-pressure", false},
    {"DiskPressure", "True", "node.kubernetes.io/disk-pressure", false},
    {"PIDPressure", "True", "node.kubernetes.io/pid-pressure", false},
    {"NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable", false},
    {NULL, NULL, "node.kubernetes.io/unschedulable", false},
};

static struct doc *taint_find(const struct doc *taints, const char *key, const char *effect)
{
    doc_each (t, taints)
        if (str_is(doc_str(t, "key"), key) && str_is(doc_str(t, "effect"), effect))
            return t;
    return NULL;
}

static void set_taint(struct reconcile *r, struct doc *spec, const char *key, const char *effect, bool wanted)
{
    struct doc *taints = doc_get(spec, "taints"), *t = taint_find(taints, key, effect);
    if (t && !wanted)
        doc_remove(taints, t);
    if (t || !wanted)
        return;
    t = doc_push(doc_sub_array(r->mem, spec, "taints"), doc_new_object(r->mem));
    doc_put_str(r->mem, t, "key", str_of(key));
    doc_put_str(r->mem, t, "effect", str_of(effect));
    doc_put_str(r->mem, t, "timeAdded", write_time(r->mem, r->wall_ms));
}

static void set_taints(struct reconcile *r, struct doc *node)
{
    struct doc *spec = doc_sub(r->mem, node, "spec");
    const struct doc *status = doc_get(node, "status");
    if (!condition_get(status, "Ready"))
        return; /* it has not said anything: what it was given at registration stays */
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        const struct taint_rule *t = &rules[i];
        bool wanted =
            t->condition ? condition_is(status, t->condition, t->status) : doc_bool(spec, "unschedulable", false);
        set_taint(r, spec, t->key, "NoSchedule", wanted);
        if (t->no_execute)
            set_taint(r, spec, t->key, "NoExecute", wanted);
    }
    if (!doc_len(doc_get(spec, "taints")))
        doc_del(spec, "taints");
}

static void reconcile(struct reconcile *r)
{
    const struct obj *o = cache_get(r->cache, r->key);
    if (!o) {
        forget(controller_state(r->c), r->key);
        return;
    }
    struct doc *node = obj_doc(r->mem, o);
    int64_t left_ms = controller_opts(r->c)->node_grace_ms - silent_ms(r, o, node);
    bool was_ready = condition_is(doc_get(node, "status"), "Ready", "True");
    if (left_ms <= 0 && mark_unknown(r, doc_sub(r->mem, node, "status"))) {
        reconcile_update(r, o->res, "status", node);
        if (was_ready)
            reconcile_event(r, o, "Normal", "NodeNotReady", "Node " STR_FMT " status is now: NodeNotReady",
                            STR_ARG(o->name));
        mark_pods_not_ready(r, o);
        return; /* taints follow from what is then seen */
    }
    set_taints(r, node);
    reconcile_update(r, o->res, NULL, node);
    if (left_ms > 0)
        r->again_ms = left_ms;
}

static void on_lease(struct controller *c, const struct cache_event *ev)
{
    cleanup_arena struct arena *mem = arena_new();
    const struct resource *nodes = schema_stored("", "nodes");
    if (str_is(ev->obj->ns, "kube-node-lease") && cache_find(controller_cache(c), nodes, STR_NULL, ev->obj->name))
        controller_enqueue(c, obj_key(mem, nodes, STR_NULL, ev->obj->name));
}

const struct controller_kind controller_node_lifecycle = {
    .name = "node_lifecycle_controller",
    .account = "node-controller",
    .watches = {{"", "nodes"}, {"coordination.k8s.io", "leases", on_lease}},
    .reconcile = reconcile,
    .start = start,
    .stop = stop,
};
