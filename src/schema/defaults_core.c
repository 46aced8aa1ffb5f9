/* Defaults of the core group that are no constants, but for pods. */
#include "schema/defaults.h"
#include "schema/quantity.h"

/* "latest" means that the registry is asked every time. A name without tag and digest has that tag. */
static bool is_latest(struct str image)
{
    struct str name = image;
    ptrdiff_t at = str_find(image, '@'), slash, colon;
    if (at >= 0)
        name = str_head(image, (size_t)at);
    slash = str_rfind(name, '/');
    colon = str_rfind(name, ':');
    if (colon > slash)
        return str_is(str_from(name, (size_t)colon + 1), "latest");
    return at < 0 && image.len > 0;
}

void default_container(struct arena *mem, struct doc *c, const struct doc *root)
{
    set_blank(mem, c, "imagePullPolicy", is_latest(doc_str(c, "image")) ? "Always" : "IfNotPresent");
    set_blank(mem, c, "terminationMessagePath", "/dev/termination-log");
    set_blank(mem, c, "terminationMessagePolicy", "File");
}

void default_image_volume(struct arena *mem, struct doc *v, const struct doc *root)
{
    set_blank(mem, v, "pullPolicy", is_latest(doc_str(v, "reference")) ? "Always" : "IfNotPresent");
}

/* Without any source a volume is an emptyDir. */
void default_volume(struct arena *mem, struct doc *v, const struct doc *root)
{
    doc_each (d, v)
        if (!str_is(d->key, "name") && d->type != DOC_NULL)
            return;
    doc_sub(mem, v, "emptyDir");
}

/* Amounts are kept to a thousandth, rounded up. */
void default_resource_list(struct arena *mem, struct doc *list)
{
    doc_each (d, list) {
        struct quantity q;
        __int128 step = 1000000; /* nano in a milli */
        if (d->type != DOC_STRING || quantity_parse(d->s, &q) < 0 || q.nano % step == 0)
            continue;
        q.nano = (q.nano / step + (q.nano > 0 ? 1 : -1)) * step;
        d->s = quantity_str(mem, q);
    }
}

void default_resources(struct arena *mem, struct doc *r, const struct doc *root)
{
    default_resource_list(mem, doc_get(r, "limits"));
    default_resource_list(mem, doc_get(r, "requests"));
}

/* stringData is for writing only: it becomes data, where it wins. */
void default_secret(struct arena *mem, struct doc *s, const struct doc *root)
{
    const struct doc *text = doc_get(s, "stringData");
    if (doc_len(text)) {
        struct doc *data = doc_sub(mem, s, "data");
        doc_each (t, text)
            doc_set(data, t->key, doc_new_str(mem, str_base64(mem, doc_string(t))));
    }
    doc_del(s, "stringData");
}

void default_resource_quota(struct arena *mem, struct doc *q, const struct doc *root)
{
    default_resource_list(mem, doc_path(q, "spec", "hard", NULL));
    default_resource_list(mem, doc_path(q, "status", "hard", NULL));
    default_resource_list(mem, doc_path(q, "status", "used", NULL));
}

static void default_session_affinity(struct arena *mem, struct doc *spec)
{
    set_blank(mem, spec, "sessionAffinity", "None");
    if (str_is(doc_str(spec, "sessionAffinity"), "None"))
        doc_del(spec, "sessionAffinityConfig");
    const struct doc *client = doc_path(spec, "sessionAffinityConfig", "clientIP", NULL);
    if (!str_is(doc_str(spec, "sessionAffinity"), "ClientIP") || !is_unset(client, "timeoutSeconds"))
        return;
    struct doc *config = doc_put(mem, spec, "sessionAffinityConfig", doc_new_object(mem));
    doc_put_int(mem, doc_sub(mem, config, "clientIP"), "timeoutSeconds", 10800);
}

static void default_service_ports(struct arena *mem, struct doc *spec)
{
    doc_each (port, doc_get(spec, "ports")) {
        const struct doc *target = doc_get(port, "targetPort");
        set_blank(mem, port, "protocol", "TCP");
        if (!target || target->type == DOC_NULL || (target->type == DOC_INT && target->i == 0) ||
            (target->type == DOC_STRING && !target->s.len))
            doc_put_int(mem, port, "targetPort", doc_int(port, "port", 0));
    }
}

void default_service(struct arena *mem, struct doc *svc, const struct doc *root)
{
    struct doc *spec = doc_sub(mem, svc, "spec");
    default_session_affinity(mem, spec);
    set_blank(mem, spec, "type", "ClusterIP");
    default_service_ports(mem, spec);
    struct str type = doc_str(spec, "type");
    bool balancer = str_is(type, "LoadBalancer"), node_port = str_is(type, "NodePort"),
         cluster = str_is(type, "ClusterIP");
    if (balancer || node_port || (cluster && doc_len(doc_get(spec, "externalIPs")) > 0))
        set_blank(mem, spec, "externalTrafficPolicy", "Cluster");
    if ((balancer || node_port || cluster) && is_unset(spec, "internalTrafficPolicy"))
        doc_put_str(mem, spec, "internalTrafficPolicy", STR("Cluster"));
    if (!balancer)
        return;
    if (is_unset(spec, "allocateLoadBalancerNodePorts"))
        doc_put_bool(mem, spec, "allocateLoadBalancerNodePorts", true);
    doc_each (ingress, doc_path(svc, "status", "loadBalancer", "ingress", NULL))
        if (!is_blank(ingress, "ip") && is_unset(ingress, "ipMode"))
            doc_put_str(mem, ingress, "ipMode", STR("VIP"));
}

void default_replication_controller(struct arena *mem, struct doc *rc, const struct doc *root)
{
    const struct doc *labels = doc_path(rc, "spec", "template", "metadata", "labels", NULL);
    if (!labels || labels->type == DOC_NULL)
        return;
    if (doc_len(doc_path(rc, "spec", "selector", NULL)) == 0)
        doc_put(mem, doc_sub(mem, rc, "spec"), "selector", doc_copy(mem, labels));
    if (doc_len(doc_path(rc, "metadata", "labels", NULL)) == 0)
        doc_put(mem, doc_sub(mem, rc, "metadata"), "labels", doc_copy(mem, labels));
}

void default_namespace(struct arena *mem, struct doc *ns, const struct doc *root)
{
    struct str name = doc_str(doc_get(ns, "metadata"), "name");
    if (name.len)
        doc_put_str(mem, doc_sub(mem, doc_sub(mem, ns, "metadata"), "labels"), "kubernetes.io/metadata.name", name);
}

void default_node_status(struct arena *mem, struct doc *status, const struct doc *root)
{
    default_resource_list(mem, doc_get(status, "capacity"));
    if (is_unset(status, "allocatable") && !is_unset(status, "capacity"))
        doc_put(mem, status, "allocatable", doc_copy(mem, doc_get(status, "capacity")));
    default_resource_list(mem, doc_get(status, "allocatable"));
}

/* Names of `from` that `to` lacks. */
static void fill(struct arena *mem, struct doc *to, const struct doc *from)
{
    doc_each (d, from)
        if (!doc_get_str(to, d->key))
            doc_set(to, d->key, doc_copy(mem, d));
}

void default_limit_range_item(struct arena *mem, struct doc *item, const struct doc *root)
{
    static const char *const lists[] = {"max", "min", "default", "defaultRequest", "maxLimitRequestRatio"};
    for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++)
        default_resource_list(mem, doc_get(item, lists[i]));
    if (!str_is(doc_str(item, "type"), "Container"))
        return;
    struct doc *limit = doc_sub(mem, item, "default"), *request = doc_sub(mem, item, "defaultRequest");
    fill(mem, limit, doc_get(item, "max"));
    fill(mem, request, limit);
    fill(mem, request, doc_get(item, "min"));
}

void default_persistent_volume_spec(struct arena *mem, struct doc *spec, const struct doc *root)
{
    default_resource_list(mem, doc_get(spec, "capacity"));
}
