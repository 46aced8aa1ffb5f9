/* control/endpoint_slice.c - EndpointSlices of the Services that have a selector.
 *
 * Slices are kept per address family and set of ports. An endpoint stays in the slice where it is; new ones fill slices
 * that have room before a new slice is made, so that one pod's change rewrites one slice. */
#include "control/conditions.h"
#include "control/endpoints.h"
#include "control/internal.h"
#include "control/owner.h"

enum { ENDPOINTS_PER_SLICE = 100 };

#define LABEL_SERVICE    "kubernetes.io/service-name"
#define LABEL_MANAGED_BY "endpointslice.kubernetes.io/managed-by"
#define MANAGER          "endpointslice-controller.k8s.io"

struct slice {             /* one that should be */
    const struct obj *obj; /* NULL: to be made */
    struct doc *was, *list;
    const struct endpoint *first; /* of its ports */
    bool ipv6;
    int count;
};
struct plan {
    struct reconcile *r;
    const struct obj *service;
    const struct doc *doc;
    struct slice *slices;
    int count;
};

static const struct resource *slices_res(void)
{
    return schema_stored("discovery.k8s.io", "endpointslices");
}

/* ---- documents */

static struct doc *ports_doc(struct arena *mem, const struct endpoint *e)
{
    struct doc *list = doc_new_array(mem);
    for (int i = 0; i < e->port_count; i++) {
        struct doc *p = doc_push(list, doc_new_object(mem));
        doc_put_str(mem, p, "name", e->ports[i].name);
        doc_put_str(mem, p, "protocol", e->ports[i].protocol);
        doc_put_int(mem, p, "port", e->ports[i].port);
        if (e->ports[i].app_protocol.len)
            doc_put_str(mem, p, "appProtocol", e->ports[i].app_protocol);
    }
    return list;
}

static struct doc *endpoint_doc(const struct plan *p, const struct endpoint *e)
{
    struct arena *mem = p->r->mem;
    struct doc *d = doc_new_object(mem), *cond = doc_new_object(mem), *ref = doc_new_object(mem);
    doc_push(doc_sub_array(mem, d, "addresses"), doc_new_str(mem, e->ip));
    doc_put_bool(mem, cond, "ready", e->ready);
    doc_put_bool(mem, cond, "serving", e->serving);
    doc_put_bool(mem, cond, "terminating", e->terminating);
    doc_put(mem, d, "conditions", cond);
    if (e->hostname.len)
        doc_put_str(mem, d, "hostname", e->hostname);
    doc_put_str(mem, ref, "kind", STR("Pod"));
    doc_put_str(mem, ref, "namespace", e->pod->ns);
    doc_put_str(mem, ref, "name", e->pod->name);
    doc_put_str(mem, ref, "uid", e->pod->uid);
    doc_put(mem, d, "targetRef", ref);
    if (e->node.len) {
        doc_put_str(mem, d, "nodeName", e->node);
        const struct obj *node = cache_find(p->r->cache, schema_stored("", "nodes"), STR_NULL, e->node);
        bool found = false;
        struct str zone = node ? obj_label_value(node, STR("topology.kubernetes.io/zone"), &found) : STR_NULL;
        if (found)
            doc_put_str(mem, d, "zone", zone);
    }
    return d;
}

static struct doc *labels_doc(const struct plan *p)
{
    struct doc *labels = endpoints_labels(p->r->mem, p->doc);
    doc_put_str(p->r->mem, labels, LABEL_SERVICE, p->service->name);
    doc_put_str(p->r->mem, labels, LABEL_MANAGED_BY, STR(MANAGER));
    return labels;
}

static struct doc *new_slice(const struct plan *p, const struct slice *s)
{
    struct arena *mem = p->r->mem;
    struct doc *d = doc_new_object(mem), *meta = doc_sub(mem, d, "metadata");
    doc_put_str(mem, d, "apiVersion", STR("discovery.k8s.io/v1"));
    doc_put_str(mem, d, "kind", STR("EndpointSlice"));
    doc_put_str(mem, meta, "generateName", str_fmt(mem, STR_FMT "-", STR_ARG(p->service->name)));
    doc_put_str(mem, meta, "namespace", p->service->ns);
    owner_put(mem, meta, p->service);
    doc_put_str(mem, d, "addressType", s->ipv6 ? STR("IPv6") : STR("IPv4"));
    return d;
}

static void write_slice(const struct plan *p, const struct slice *s)
{
    struct arena *mem = p->r->mem;
    struct doc *d = s->obj ? doc_copy(mem, s->was) : new_slice(p, s);
    doc_put(mem, doc_get(d, "metadata"), "labels", labels_doc(p));
    doc_put(mem, d, "endpoints", s->list);
    if (s->first)
        doc_put(mem, d, "ports", ports_doc(mem, s->first));
    if (s->obj)
        reconcile_update(p->r, slices_res(), NULL, d);
    else
        reconcile_create(p->r, slices_res(), p->service->ns, d);
}

/* ---- the plan */

static bool names_service(const struct obj *slice, const struct obj *service)
{
    bool found;
    return str_eq(obj_label_value(slice, STR(LABEL_SERVICE), &found), service->name) &&
           str_is(obj_label_value(slice, STR(LABEL_MANAGED_BY), &found), MANAGER);
}

static void load_slices(struct plan *p)
{
    struct arena *mem = p->r->mem;
    int cap = 8;
    p->slices = arena_array(mem, struct slice, cap);
    struct cache_iter it = cache_list(p->r->cache, obj_prefix(mem, slices_res(), p->service->ns), STR_NULL);
    for (struct obj *o; (o = cache_next(&it));) {
        if (!names_service(o, p->service) || o->deleting)
            continue;
        if (p->count == cap) {
            p->slices = arena_grow(mem, p->slices, sizeof(struct slice) * cap, sizeof(struct slice) * cap * 2);
            cap *= 2;
        }
        struct doc *was = obj_doc(mem, o);
        p->slices[p->count++] = (struct slice){
            .obj = o, .was = was, .list = doc_new_array(mem), .ipv6 = str_is(doc_str(was, "addressType"), "IPv6")};
    }
}

static bool held(const struct slice *s, const struct endpoint *e)
{
    doc_each (d, doc_get(s->was, "endpoints"))
        if (str_eq(doc_str(doc_get(d, "targetRef"), "uid"), e->pod->uid))
            return true;
    return false;
}

static bool takes(const struct plan *p, const struct slice *s, const struct endpoint *e, bool ipv6)
{
    if (s->ipv6 != ipv6 || s->count >= ENDPOINTS_PER_SLICE)
        return false;
    return s->first ? endpoints_same_ports(s->first, e)
                    : !s->obj || doc_eq(doc_get(s->was, "ports"), ports_doc(p->r->mem, e)) || p->count == 1;
}

static struct slice *add_slice(struct plan *p, bool ipv6)
{
    struct arena *mem = p->r->mem;
    struct slice *grown = arena_array(mem, struct slice, p->count + 1);
    memcpy(grown, p->slices, sizeof(*grown) * p->count);
    p->slices = grown;
    p->slices[p->count] = (struct slice){.list = doc_new_array(mem), .ipv6 = ipv6};
    return &p->slices[p->count++];
}

static void put_in(const struct plan *p, struct slice *s, const struct endpoint *e)
{
    doc_push(s->list, endpoint_doc(p, e));
    s->count++;
    s->first = s->first ? s->first : e;
}

static void place(struct plan *p, const struct endpoint *list, int count, bool ipv6)
{
    bool *placed = arena_array(p->r->mem, bool, count + 1);
    for (int i = 0; i < count; i++) /* first those that stay */
        for (int s = 0; s < p->count && !placed[i]; s++)
            if (p->slices[s].obj && held(&p->slices[s], &list[i]) && takes(p, &p->slices[s], &list[i], ipv6)) {
                put_in(p, &p->slices[s], &list[i]);
                placed[i] = true;
            }
    for (int i = 0; i < count; i++) {
        struct slice *room = NULL;
        for (int s = 0; s < p->count && !room && !placed[i]; s++)
            if (takes(p, &p->slices[s], &list[i], ipv6))
                room = &p->slices[s];
        if (!placed[i])
            put_in(p, room ? room : add_slice(p, ipv6), &list[i]);
    }
}

/* Write what differs. An empty slice goes, except that a Service without endpoints keeps one. */
static void write_plan(struct plan *p, bool ipv6)
{
    int kept = 0;
    for (int s = 0; s < p->count; s++)
        kept += p->slices[s].ipv6 == ipv6 && p->slices[s].count > 0;
    for (int s = 0; s < p->count; s++) {
        if (p->slices[s].ipv6 != ipv6)
            continue;
        if (p->slices[s].count == 0 && kept++ > 0)
            reconcile_delete(p->r, p->slices[s].obj);
        else
            write_slice(p, &p->slices[s]);
    }
    if (kept == 0)
        write_slice(p, &(struct slice){.list = doc_new_array(p->r->mem), .ipv6 = ipv6});
}

static bool has_family(const struct doc *service, bool ipv6)
{
    const struct doc *families = doc_path(service, "spec", "ipFamilies", NULL);
    doc_each (f, families)
        if (str_is(doc_string(f), ipv6 ? "IPv6" : "IPv4"))
            return true;
    return !doc_len(families) && !ipv6;
}

static void reconcile(struct reconcile *r)
{
    const struct obj *o = cache_get(r->cache, r->key);
    if (!o || o->deleting)
        return; /* its slices are the garbage collector's */
    struct plan p = {.r = r, .service = o, .doc = obj_doc(r->mem, o)};
    const struct doc *spec = doc_get(p.doc, "spec");
    if (!doc_len(doc_get(spec, "selector")) || str_is(doc_str(spec, "type"), "ExternalName"))
        return;
    load_slices(&p);
    for (int ipv6 = 0; ipv6 < 2; ipv6++) {
        int count = 0;
        if (!has_family(p.doc, ipv6)) {
            for (int s = 0; s < p.count; s++)
                if (p.slices[s].ipv6 == ipv6)
                    reconcile_delete(r, p.slices[s].obj);
            continue;
        }
        struct endpoint *list = endpoints_of(r->mem, r->cache, o, p.doc, ipv6, &count);
        place(&p, list, count, ipv6);
        write_plan(&p, ipv6);
    }
}

static void on_slice(struct controller *c, const struct cache_event *ev)
{
    cleanup_arena struct arena *mem = arena_new();
    bool found;
    if (str_is(obj_label_value(ev->obj, STR(LABEL_MANAGED_BY), &found), MANAGER))
        controller_enqueue(c, obj_key(mem, schema_stored("", "services"), ev->obj->ns,
                                      obj_label_value(ev->obj, STR(LABEL_SERVICE), &found)));
}

const struct controller_kind controller_endpoint_slice = {
    .name = "endpoint_slice",
    .account = "endpointslice-controller",
    .component = "endpoint-slice-controller",
    .watches = {{"", "services"}, {"", "pods", endpoints_on_pod}, {"discovery.k8s.io", "endpointslices", on_slice}},
    .reconcile = reconcile,
};
