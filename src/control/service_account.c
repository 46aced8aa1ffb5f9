/* control/service_account.c - every namespace has its ServiceAccount "default".
 *
 * Source: kubernetes pkg/controller/serviceaccount/serviceaccounts_controller.go. Keys are those of namespaces. */
#include "control/internal.h"

static void reconcile(struct reconcile *r)
{
    const struct obj *ns = cache_get(r->cache, r->key);
    const struct resource *accounts = schema_stored("", "serviceaccounts");
    if (!ns || ns->deleting || cache_find(r->cache, accounts, ns->name, STR("default")))
        return;
    struct doc *sa = doc_new_object(r->mem), *meta = doc_sub(r->mem, sa, "metadata");
    doc_put_str(r->mem, sa, "apiVersion", STR("v1"));
    doc_put_str(r->mem, sa, "kind", STR("ServiceAccount"));
    doc_put_str(r->mem, meta, "name", STR("default"));
    doc_put_str(r->mem, meta, "namespace", ns->name);
    reconcile_create(r, accounts, ns->name, sa);
}

static void on_account(struct controller *c, const struct cache_event *ev)
{
    cleanup_arena struct arena *mem = arena_new();
    if (ev->type == CACHE_DELETED)
        controller_enqueue(c, obj_key(mem, schema_stored("", "namespaces"), STR_NULL, ev->obj->ns));
}

const struct controller_kind controller_service_account = {
    .name = "serviceaccount",
    .account = "service-account-controller",
    .watches = {{"", "namespaces"}, {"", "serviceaccounts", on_account}},
    .reconcile = reconcile,
};
