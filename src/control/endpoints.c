/* control/endpoints.c - the legacy Endpoints of the Services that have a selector; at most 1000 addresses, as
 * Kubernetes cuts them. */
#include "control/conditions.h"
#include "control/endpoints.h"
#include "control/internal.h"

enum { ADDRESSES_MAX = 1000 };

static struct doc *address_doc(struct arena *mem, const struct endpoint *e)
{
    struct doc *a = doc_new_object(mem), *ref = doc_new_object(mem);
    doc_put_str(mem, a, "ip", e->ip);
    if (e->hostname.len)
        doc_put_str(mem, a, "hostname", e->hostname);
    if (e->node.len)
        doc_put_str(mem, a, "nodeName", e->node);
    doc_put_str(mem, ref, "kind", STR("Pod"));
    doc_put_str(mem, ref, "namespace", e->pod->ns);
    doc_put_str(mem, ref, "name", e->pod->name);
    doc_put_str(mem, ref, "uid", e->pod->uid);
    doc_put(mem, a, "targetRef", ref);
    return a;
}

static struct doc *ports_doc(struct arena *mem, const struct endpoint *e)
{
    struct doc *list = doc_new_array(mem);
    for (int i = 0; i < e->port_count; i++) {
        struct doc *p = doc_push(list, doc_new_object(mem));
        if (e->ports[i].name.len)
            doc_put_str(mem, p, "name", e->ports[i].name);
        doc_put_int(mem, p, "port", e->ports[i].port);
        doc_put_str(mem, p, "protocol", e->ports[i].protocol);
        if (e->ports[i].app_protocol.len)
            doc_put_str(mem, p, "appProtocol", e->ports[i].app_protocol);
    }
    return list;
}

/* One subset for each set of ports, in the order in which pods have them. */
static struct doc *subsets_doc(struct arena *mem, const struct endpoint *list, int count)
{
    struct doc *subsets = doc_new_array(mem);
    bool *placed = arena_array(mem, bool, count + 1);
    for (int i = 0; i < count; i++) {
        struct doc *s = placed[i] ? NULL : doc_push(subsets, doc_new_object(mem));
        for (int k = i; s && k < count; k++) {
            if (placed[k] || !endpoints_same_ports(&list[i], &list[k]))
                continue;
            placed[k] = true;
            /* A pod that terminates serves nobody here: Endpoints know no such state. */
            if (list[k].terminating && !list[k].ready)
                continue;
            doc_push(doc_sub_array(mem, s, list[k].ready ? "addresses" : "notReadyAddresses"),
                     address_doc(mem, &list[k]));
        }
        if (s && doc_len(s) == 0)
            doc_remove(subsets, s);
        else if (s && list[i].port_count)
            doc_put(mem, s, "ports", ports_doc(mem, &list[i]));
    }
    return subsets;
}

static void reconcile(struct reconcile *r)
{
    struct arena *mem = r->mem;
    const struct resource *res = schema_stored("", "endpoints");
    const struct obj *o = cache_get(r->cache, r->key);
    struct str ns, name, rest;
    if (!str_cut(r->key, '/', &rest, &rest) || !str_cut(rest, '/', &ns, &name))
        return;
    const struct obj *was = cache_find(r->cache, res, ns, name);
    if (!o) { /* Endpoints have no owner: they go with their Service by name */
        bool found = false;
        if (was &&
            str_is(obj_label_value(was, STR("endpoints.kubernetes.io/managed-by"), &found), "endpoint-controller"))
            reconcile_delete(r, was);
        return;
    }
    const struct doc *service = obj_doc(mem, o), *spec = doc_get(service, "spec");
    if (o->deleting || !doc_len(doc_get(spec, "selector")) || str_is(doc_str(spec, "type"), "ExternalName"))
        return;
    int count;
    bool ipv6 = str_is(doc_string(doc_at(doc_get(spec, "ipFamilies"), 0)), "IPv6");
    struct endpoint *list = endpoints_of(mem, r->cache, o, service, ipv6, &count);
    bool cut = count > ADDRESSES_MAX;
    struct doc *d = was ? obj_doc(mem, was) : doc_new_object(mem), *meta = doc_sub(mem, d, "metadata");
    struct doc *labels = endpoints_labels(mem, service);
    doc_put_str(mem, d, "apiVersion", STR("v1"));
    doc_put_str(mem, d, "kind", STR("Endpoints"));
    doc_put_str(mem, meta, "name", name);
    doc_put_str(mem, meta, "namespace", ns);
    doc_put_str(mem, labels, "endpoints.kubernetes.io/managed-by", STR("endpoint-controller"));
    doc_put(mem, meta, "labels", labels);
    if (cut)
        doc_put_str(mem, doc_sub(mem, meta, "annotations"), "endpoints.kubernetes.io/over-capacity", STR("truncated"));
    else
        doc_del(doc_get(meta, "annotations"), "endpoints.kubernetes.io/over-capacity");
    struct doc *subsets = subsets_doc(mem, list, cut ? ADDRESSES_MAX : count);
    if (doc_len(subsets))
        doc_put(mem, d, "subsets", subsets);
    else
        doc_del(d, "subsets");
    if (was)
        reconcile_update(r, res, NULL, d);
    else
        reconcile_create(r, res, ns, d);
}

/* By name: the Service of the same name decides. */
static void on_endpoints(struct controller *c, const struct cache_event *ev)
{
    cleanup_arena struct arena *mem = arena_new();
    controller_enqueue(c, obj_key(mem, schema_stored("", "services"), ev->obj->ns, ev->obj->name));
}

const struct controller_kind controller_endpoints = {
    .name = "endpoint",
    .account = "endpoint-controller",
    .watches = {{"", "services"}, {"", "pods", endpoints_on_pod}, {"", "endpoints", on_endpoints}},
    .reconcile = reconcile,
};
