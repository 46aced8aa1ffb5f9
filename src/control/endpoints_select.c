/* control/endpoints_select.c - from a Service to the addresses of its pods. */
#include "control/endpoints.h"

#include <stdlib.h>

#include "control/conditions.h"
#include "control/owner.h"
#include "control/pods.h"

static bool is_headless(const struct doc *service)
{
    return str_is(doc_str(doc_get(service, "spec"), "clusterIP"), "None");
}

struct doc *endpoints_labels(struct arena *mem, const struct doc *service)
{
    const struct doc *own = doc_path(service, "metadata", "labels", NULL);
    struct doc *labels = own ? doc_copy(mem, own) : doc_new_object(mem);
    if (is_headless(service))
        doc_put_str(mem, labels, "service.kubernetes.io/headless", STR(""));
    return labels;
}

/* ---- ports */

static int64_t named_port(const struct doc *pod, struct str name, struct str protocol)
{
    static const char *const lists[] = {"containers", "initContainers"};
    for (int l = 0; l < 2; l++)
        doc_each (c, doc_path(pod, "spec", lists[l], NULL)) {
            bool sidecar = str_is(doc_str(c, "restartPolicy"), "Always");
            doc_each (p, doc_get(c, "ports")) {
                struct str proto = doc_str(p, "protocol");
                if ((l == 0 || sidecar) && str_eq(doc_str(p, "name"), name) &&
                    str_eq(proto.len ? proto : STR("TCP"), protocol))
                    return doc_int(p, "containerPort", 0);
            }
        }
    return 0;
}

static int64_t target_port(const struct doc *pod, const struct doc *service_port, struct str protocol)
{
    const struct doc *target = doc_get(service_port, "targetPort");
    if (doc_is(target, DOC_STRING))
        return named_port(pod, target->s, protocol);
    return target && doc_is(target, DOC_INT) && target->i ? target->i : doc_int(service_port, "port", 0);
}

/* A port whose name the pod does not know is left out of that pod's endpoint. */
static void put_ports(struct arena *mem, struct endpoint *e, const struct doc *pod, const struct doc *service)
{
    const struct doc *ports = doc_path(service, "spec", "ports", NULL);
    struct endpoint_port *list = arena_array(mem, struct endpoint_port, doc_len(ports) + 1);
    doc_each (sp, ports) {
        struct str protocol = doc_str(sp, "protocol");
        protocol = protocol.len ? protocol : STR("TCP");
        int64_t number = target_port(pod, sp, protocol);
        if (number)
            list[e->port_count++] =
                (struct endpoint_port){doc_str(sp, "name"), protocol, doc_str(sp, "appProtocol"), number};
    }
    e->ports = list;
}

bool endpoints_same_ports(const struct endpoint *a, const struct endpoint *b)
{
    if (a->port_count != b->port_count)
        return false;
    for (int i = 0; i < a->port_count; i++)
        if (a->ports[i].port != b->ports[i].port || !str_eq(a->ports[i].name, b->ports[i].name) ||
            !str_eq(a->ports[i].protocol, b->ports[i].protocol))
            return false;
    return true;
}

/* ---- pods */

static struct str pod_ip(const struct doc *pod, bool ipv6)
{
    const struct doc *status = doc_get(pod, "status");
    doc_each (ip, doc_get(status, "podIPs"))
        if ((str_find(doc_str(ip, "ip"), ':') >= 0) == ipv6)
            return doc_str(ip, "ip");
    struct str one = doc_str(status, "podIP");
    return one.len && (str_find(one, ':') >= 0) == ipv6 ? one : STR_NULL;
}

static bool endpoint_of(struct arena *mem, struct endpoint *e, const struct obj *o, const struct obj *service,
                        const struct doc *doc, bool ipv6)
{
    struct pod p = pod_of(mem, o);
    const struct doc *spec = doc_get(p.doc, "spec");
    struct str ip = pod_ip(p.doc, ipv6);
    if (p.finished || !ip.len)
        return false;
    bool publish = doc_bool(doc_get(doc, "spec"), "publishNotReadyAddresses", false);
    *e = (struct endpoint){.pod = o,
                           .ip = ip,
                           .node = o->node,
                           .serving = p.ready,
                           .terminating = o->deleting,
                           .ready = publish || (p.ready && !o->deleting)};
    if (doc_str(spec, "hostname").len && str_eq(doc_str(spec, "subdomain"), service->name))
        e->hostname = doc_str(spec, "hostname");
    put_ports(mem, e, p.doc, doc);
    return true;
}

struct endpoint *endpoints_of(struct arena *mem, const struct cache *cache, const struct obj *service,
                              const struct doc *doc, bool ipv6, int *ret_count)
{
    const struct selector *sel = selector_from_map(mem, doc_path(doc, "spec", "selector", NULL));
    int count = 0, cap = 16;
    struct endpoint *list = arena_array(mem, struct endpoint, cap);
    struct cache_iter it = cache_list(cache, obj_prefix(mem, schema_stored("", "pods"), service->ns), STR_NULL);
    for (struct obj *o; (o = cache_next(&it));) {
        if (!selector_matches_obj(sel, o))
            continue;
        if (count == cap) {
            list = arena_grow(mem, list, sizeof(*list) * cap, sizeof(*list) * cap * 2);
            cap *= 2;
        }
        count += endpoint_of(mem, &list[count], o, service, doc, ipv6);
    }
    *ret_count = count;
    return list;
}

/* ---- what wakes them */

static void enqueue_services(struct controller *c, struct arena *mem, const struct obj *pod)
{
    struct cache_iter it =
        cache_list(controller_cache(c), obj_prefix(mem, schema_stored("", "services"), pod->ns), STR_NULL);
    for (struct obj *s; (s = cache_next(&it));) {
        const struct doc *sel = doc_path(obj_doc(mem, s), "spec", "selector", NULL);
        if (doc_len(sel) && selector_matches_obj(selector_from_map(mem, sel), pod))
            controller_enqueue(c, s->key);
    }
}

static bool labels_moved(const struct obj *a, const struct obj *b)
{
    if (a->label_count != b->label_count)
        return true;
    for (int i = 0; i < a->label_count; i++)
        if (!str_eq(a->labels[i].key, b->labels[i].key) || !str_eq(a->labels[i].value, b->labels[i].value))
            return true;
    return false;
}

/* Whether a changed pod looks another to those who list it. */
static bool shows(const struct cache_event *ev)
{
    const struct obj *a = ev->prev, *b = ev->obj;
    struct pod pa = pod_read(a, cache_event_prev_doc(ev)), pb = pod_read(b, cache_event_doc(ev));
    const struct doc *sa = doc_get(pa.doc, "status"), *sb = doc_get(pb.doc, "status");
    return a->deleting != b->deleting || pa.ready != pb.ready || pa.finished != pb.finished || labels_moved(a, b) ||
           !str_eq(a->node, b->node) || !str_eq(doc_str(sa, "podIP"), doc_str(sb, "podIP")) ||
           !doc_eq(doc_get(sa, "podIPs"), doc_get(sb, "podIPs"));
}

void endpoints_on_pod(struct controller *c, const struct cache_event *ev)
{
    cleanup_arena struct arena *mem = arena_new();
    if (ev->type == CACHE_MODIFIED && !shows(ev))
        return;
    enqueue_services(c, mem, ev->obj);
    if (ev->prev && labels_moved(ev->prev, ev->obj))
        enqueue_services(c, mem, ev->prev);
}
