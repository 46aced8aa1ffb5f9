/* write/strategy.c - what a client may not set on create, and which part of an object each subresource may change.
 *
 * Source: kubernetes pkg/registry/GROUP/RESOURCE/strategy.go. What can be said for all kinds is said by flags of the
 * schema (has_status, has_generation); the rows below are the kinds that want more. */
#include "write/internal.h"

#include "schema/quantity.h"

/* ---- pods */

/* A resource that is asked for counts when it is more than nothing. */
static bool positive(const struct doc *list, const char *name, struct quantity *ret)
{
    struct str text = doc_str(list, name);
    return text.len && quantity_parse(text, ret) == 0 && quantity_sign(*ret) > 0;
}

/* Guaranteed: every holder limits cpu and memory and requests as much. BestEffort: none asks for any. */
struct qos {
    bool any, not_guaranteed;
};

static void weigh(struct qos *q, const struct doc *holder)
{
    static const char *const names[] = {"cpu", "memory"};
    const struct doc *res = doc_get(holder, "resources");
    for (int n = 0; n < 2; n++) {
        struct quantity limit = {0}, request = {0};
        bool has_limit = positive(doc_get(res, "limits"), names[n], &limit),
             has_request = positive(doc_get(res, "requests"), names[n], &request);
        q->any |= has_limit || has_request;
        q->not_guaranteed |= !has_limit || (has_request && quantity_cmp(limit, request) != 0);
    }
}

const char *strategy_qos(const struct doc *spec)
{
    static const char *const lists[] = {"containers", "initContainers"};
    struct qos q = {0};
    if (doc_is(doc_get(spec, "resources"), DOC_OBJECT))
        weigh(&q, spec); /* the pod's own word goes before that of its containers */
    else
        for (int l = 0; l < 2; l++)
            doc_each (container, doc_get(spec, lists[l]))
                weigh(&q, container);
    return !q.any ? "BestEffort" : q.not_guaranteed ? "Burstable" : "Guaranteed";
}

static void put_condition_false(struct arena *mem, struct doc *status, const char *type, const char *reason,
                                const char *message, struct str now)
{
    struct doc *c = doc_push(doc_sub_array(mem, status, "conditions"), doc_new_object(mem));
    doc_put_str(mem, c, "type", str_of(type));
    doc_put_str(mem, c, "status", STR("False"));
    doc_put_str(mem, c, "lastTransitionTime", now);
    doc_put_str(mem, c, "reason", str_of(reason));
    doc_put_str(mem, c, "message", str_of(message));
}

static void pod_create(struct pending *p, struct doc *obj)
{
    struct arena *mem = p->req->mem;
    struct doc *status = doc_put(mem, obj, "status", doc_new_object(mem));
    doc_put_str(mem, status, "phase", STR("Pending"));
    doc_put_str(mem, status, "qosClass", str_of(strategy_qos(doc_get(obj, "spec"))));
    if (doc_len(doc_path(obj, "spec", "schedulingGates", NULL)))
        put_condition_false(mem, status, "PodScheduled", "SchedulingGated",
                            "Scheduling is blocked due to non-empty scheduling gates",
                            meta_time(mem, loop_wall_ms(p->w->loop)));
}

/* ---- namespaces */

static void namespace_create(struct pending *p, struct doc *obj)
{
    struct arena *mem = p->req->mem;
    struct doc *spec = doc_put(mem, obj, "spec", doc_new_object(mem));
    doc_push(doc_sub_array(mem, spec, "finalizers"), doc_new_str(mem, STR("kubernetes")));
    doc_put_str(mem, doc_put(mem, obj, "status", doc_new_object(mem)), "phase", STR("Active"));
    doc_put_str(mem, doc_sub(mem, doc_get(obj, "metadata"), "labels"), "kubernetes.io/metadata.name", p->req->name);
}

static void namespace_update(struct pending *p, struct doc *obj, const struct doc *old)
{
    doc_put_str(p->req->mem, doc_sub(p->req->mem, doc_get(obj, "metadata"), "labels"), "kubernetes.io/metadata.name",
                p->req->name);
}

/* ---- jobs: the selector and the labels of the template are ours unless manualSelector
 * (registry/batch/job/strategy.go) */

static void put_unless_said(struct arena *mem, struct doc *obj, const char *key, struct str value)
{
    if (!doc_get(obj, key)) /* another value is for validation to refuse */
        doc_put_str(mem, obj, key, value);
}

static void job_create(struct pending *p, struct doc *obj)
{
    struct arena *mem = p->req->mem;
    struct doc *spec = doc_sub(mem, obj, "spec"), *meta = doc_get(obj, "metadata");
    if (doc_bool(spec, "manualSelector", false))
        return;
    struct str uid = doc_str(meta, "uid");
    struct doc *template_meta = doc_sub(mem, doc_sub(mem, spec, "template"), "metadata");
    struct doc *labels = doc_sub(mem, template_meta, "labels");
    put_unless_said(mem, labels, "controller-uid", uid);
    put_unless_said(mem, labels, "job-name", p->req->name);
    put_unless_said(mem, labels, "batch.kubernetes.io/controller-uid", uid);
    put_unless_said(mem, labels, "batch.kubernetes.io/job-name", p->req->name);
    struct doc *match = doc_sub(mem, doc_sub(mem, spec, "selector"), "matchLabels");
    put_unless_said(mem, match, "batch.kubernetes.io/controller-uid", uid);
}

/* ---- services: what a type no longer wants goes with it, unless the client changed it in the same write
 * (registry/core/service/strategy.go dropTypeDependentFields) */

static bool service_has_type(const struct doc *spec, const char *a, const char *b)
{
    struct str type = doc_str(spec, "type");
    return str_is(type, a) || str_is(type, b);
}

static void drop_unless_changed(struct doc *spec, const struct doc *old_spec, const char *member)
{
    const struct doc *now = doc_get(spec, member), *was = doc_get(old_spec, member);
    if (now && was && doc_eq(now, was))
        doc_del(spec, member);
}

static void drop_node_ports(struct doc *spec, const struct doc *old_spec)
{
    struct doc *port = doc_first(doc_get(spec, "ports"));
    for (struct doc *was = doc_first(doc_get(old_spec, "ports")); port && was; port = port->next, was = was->next)
        if (doc_int(port, "nodePort", 0) == doc_int(was, "nodePort", 0))
            doc_del(port, "nodePort");
}

static void service_update(struct pending *p, struct doc *obj, const struct doc *old)
{
    static const char *const of_external_name[] = {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy",
                                                   "internalTrafficPolicy"};
    static const char *const of_balancer[] = {"allocateLoadBalancerNodePorts", "loadBalancerClass",
                                              "healthCheckNodePort"};
    struct doc *spec = doc_get(obj, "spec");
    const struct doc *old_spec = doc_get(old, "spec");
    if (service_has_type(spec, "ExternalName", "ExternalName") &&
        !service_has_type(old_spec, "ExternalName", "ExternalName"))
        for (size_t i = 0; i < sizeof(of_external_name) / sizeof(of_external_name[0]); i++)
            drop_unless_changed(spec, old_spec, of_external_name[i]);
    if (service_has_type(old_spec, "LoadBalancer", "LoadBalancer") &&
        !service_has_type(spec, "LoadBalancer", "LoadBalancer"))
        for (size_t i = 0; i < sizeof(of_balancer) / sizeof(of_balancer[0]); i++)
            drop_unless_changed(spec, old_spec, of_balancer[i]);
    if (service_has_type(old_spec, "NodePort", "LoadBalancer") && !service_has_type(spec, "NodePort", "LoadBalancer")) {
        drop_node_ports(spec, old_spec);
        if (!doc_len(doc_get(spec, "externalIPs")))
            drop_unless_changed(spec, old_spec, "externalTrafficPolicy");
    }
}

/* ---- claims and volumes start Pending */

static void volume_create(struct pending *p, struct doc *obj)
{
    struct arena *mem = p->req->mem;
    doc_put_str(mem, doc_put(mem, obj, "status", doc_new_object(mem)), "phase", STR("Pending"));
}

static const struct strategy {
    const char *group, *resource;
    void (*create)(struct pending *p, struct doc *obj);
    void (*update)(struct pending *p, struct doc *obj, const struct doc *old);
} strategies[] = {
    {"", "pods", pod_create, NULL},
    {"", "namespaces", namespace_create, namespace_update},
    {"", "services", NULL, service_update},
    {"", "persistentvolumeclaims", volume_create, NULL},
    {"", "persistentvolumes", volume_create, NULL},
    {"batch", "jobs", job_create, NULL},
    {"certificates.k8s.io", "certificatesigningrequests", csr_create, csr_update},
};

static const struct strategy *find(const struct resource *r)
{
    for (size_t i = 0; i < sizeof(strategies) / sizeof(strategies[0]); i++)
        if (!strcmp(strategies[i].group, r->group) && !strcmp(strategies[i].resource, r->name))
            return &strategies[i];
    return NULL;
}

void strategy_create(struct pending *p, struct doc *obj)
{
    const struct strategy *s = find(p->stored);
    /* A Node brings its own status: the agent registers with what it has. */
    if (p->stored->has_status && strcmp(p->stored->kind, "Node") != 0)
        doc_del(obj, "status");
    if (s && s->create)
        s->create(p, obj);
}

/* Take the member from old, or remove it. */
static void keep(struct arena *mem, struct doc *obj, const struct doc *old, const char *member)
{
    const struct doc *kept = doc_get(old, member);
    if (kept)
        doc_put(mem, obj, member, doc_copy(mem, kept));
    else
        doc_del(obj, member);
}

/* Everything but the members named comes from old. */
static void keep_all_but(struct arena *mem, struct doc *obj, const struct doc *old, const char *a, const char *b)
{
    for (struct doc *m = doc_first(obj), *next; m; m = next) {
        next = m->next;
        if (!str_is(m->key, a) && !str_is(m->key, b) && !doc_get_str(old, m->key))
            doc_remove(obj, m);
    }
    doc_each (m, old)
        if (!str_is(m->key, a) && !str_is(m->key, b))
            doc_set(obj, m->key, doc_copy(mem, m));
}

static void update_status(struct pending *p, struct doc *obj, const struct doc *old)
{
    struct arena *mem = p->req->mem;
    keep_all_but(mem, obj, old, "status", "metadata");
    struct doc *meta = doc_get(obj, "metadata");
    const struct doc *old_meta = doc_get(old, "metadata");
    keep(mem, meta, old_meta, "ownerReferences");
    /* Whoever reports on a node or pod may label it; elsewhere labels belong to the spec's writer. */
    if (strcmp(p->stored->kind, "Node") != 0 && strcmp(p->stored->kind, "Pod") != 0)
        keep(mem, meta, old_meta, "labels");
}

void strategy_update(struct pending *p, struct doc *obj, const struct doc *old)
{
    struct arena *mem = p->req->mem;
    const struct strategy *s = find(p->stored);
    const char *sub = p->req->sub ? p->req->sub->name : "";
    if (!strcmp(sub, "status") || !strcmp(sub, "approval")) {
        update_status(p, obj, old);
    } else if (!strcmp(sub, "finalize")) {
        struct doc *finalizers = doc_path(obj, "spec", "finalizers", NULL),
                   *list = finalizers ? doc_copy(mem, finalizers) : NULL;
        keep_all_but(mem, obj, old, "metadata", "");
        struct doc *spec = doc_sub(mem, obj, "spec");
        if (list)
            doc_put(mem, spec, "finalizers", list);
        else
            doc_del(spec, "finalizers");
    } else if (p->stored->has_status && strcmp(sub, "binding") != 0) { /* a binding reports itself in a condition */
        keep(mem, obj, old, "status");
    }
    if (s && s->update)
        s->update(p, obj, old);
}

/* ---- what may be written lazily (design: Store) */

static bool lease_is_renewal(const struct doc *obj, const struct doc *old)
{
    return str_eq(doc_str(doc_get(obj, "spec"), "holderIdentity"), doc_str(doc_get(old, "spec"), "holderIdentity")) &&
           doc_eq(doc_get(obj, "metadata"), doc_get(old, "metadata"));
}

static void drop_heartbeats(struct doc *node)
{
    doc_each (c, doc_path(node, "status", "conditions", NULL))
        doc_del(c, "lastHeartbeatTime");
}

static bool node_is_heartbeat(struct arena *mem, const struct doc *obj, const struct doc *old)
{
    struct doc *a = doc_copy(mem, obj), *b = doc_copy(mem, old);
    drop_heartbeats(a), drop_heartbeats(b);
    return doc_eq(a, b);
}

bool strategy_is_volatile(const struct pending *p, const struct doc *obj, const struct doc *old)
{
    if (p->stored->volatile_writes)
        return true;
    if (!strcmp(p->stored->kind, "Lease"))
        return lease_is_renewal(obj, old);
    return !strcmp(p->stored->kind, "Node") && node_is_heartbeat(p->req->mem, obj, old);
}
