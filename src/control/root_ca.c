/* control/root_ca.c - every namespace has the cluster's CA in the config map kube-root-ca.crt.
 *
 * Source: kubernetes pkg/controller/certificates/rootcacertpublisher. Keys are those of namespaces. */
#include "control/internal.h"

#define CONFIG_MAP STR("kube-root-ca.crt")
#define DESCRIPTION                                                                                                    \
    STR("Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as "    \
        "the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of "     \
        "Kubernetes clusters.")

static void put_ca(struct reconcile *r, struct doc *cm)
{
    doc_put_str(r->mem, doc_put(r->mem, cm, "data", doc_new_object(r->mem)), "ca.crt", controller_opts(r->c)->ca_pem);
    struct doc *annotations = doc_sub(r->mem, doc_sub(r->mem, cm, "metadata"), "annotations");
    doc_put_str(r->mem, annotations, "kubernetes.io/description", DESCRIPTION);
}

static void reconcile(struct reconcile *r)
{
    const struct resource *maps = schema_stored("", "configmaps");
    const struct obj *ns = cache_get(r->cache, r->key);
    if (!ns || ns->deleting || !controller_opts(r->c)->ca_pem.len)
        return;
    const struct obj *o = cache_find(r->cache, maps, ns->name, CONFIG_MAP);
    if (o) {
        struct doc *cm = obj_doc(r->mem, o);
        put_ca(r, cm);
        reconcile_update(r, maps, NULL, cm);
        return;
    }
    struct doc *cm = doc_new_object(r->mem), *meta = doc_sub(r->mem, cm, "metadata");
    doc_put_str(r->mem, cm, "apiVersion", STR("v1"));
    doc_put_str(r->mem, cm, "kind", STR("ConfigMap"));
    doc_put_str(r->mem, meta, "name", CONFIG_MAP);
    doc_put_str(r->mem, meta, "namespace", ns->name);
    put_ca(r, cm);
    reconcile_create(r, maps, ns->name, cm);
}

static void on_map(struct controller *c, const struct cache_event *ev)
{
    cleanup_arena struct arena *mem = arena_new();
    if (str_eq(ev->obj->name, CONFIG_MAP) && ev->type != CACHE_ADDED)
        controller_enqueue(c, obj_key(mem, schema_stored("", "namespaces"), STR_NULL, ev->obj->ns));
}

const struct controller_kind controller_root_ca = {
    .name = "root_ca_cert_publisher",
    .account = "root-ca-cert-publisher",
    .watches = {{"", "namespaces"}, {"", "configmaps", on_map}},
    .reconcile = reconcile,
};
