/* write/admit_namespace_lifecycle.c - plugin/namespace/lifecycle of k8s.io/apiserver. */
#include "write/admission.h"
#include "write/internal.h"

static bool is_immortal(struct str name)
{
    return str_is(name, "default") || str_is(name, "kube-system") || str_is(name, "kube-public");
}

static int check_create(struct admission *a)
{
    struct str ns = a->req->ns;
    const struct resource *namespaces = schema_stored("", "namespaces");
    const struct obj *o = cache_find(a->w->cache, namespaces, STR_NULL, ns);
    if (!o)
        return err_not_found(a->err, STR(""), STR("namespaces"), ns);
    if (!o->deleting)
        return 0;
    admission_forbid(a, "unable to create new content in namespace " STR_FMT " because it is being terminated",
                     STR_ARG(ns));
    struct fpath at = {NULL, "metadata", 0, {0}}, field = {&at, "namespace", 0, {0}};
    err_cause(a->err, CAUSE_FORBIDDEN, &field, "namespace " STR_FMT " is being terminated", STR_ARG(ns));
    return -1;
}

static int validate(struct admission *a)
{
    if (a->verb == WRITE_DELETE && admission_is(a, "", "namespaces") && is_immortal(a->req->name))
        return admission_forbid(a, "this namespace may not be deleted");
    if (a->verb == WRITE_CREATE && a->req->res->namespaced && a->req->user)
        return check_create(a);
    return 0;
}

const struct admission_plugin admit_namespace_lifecycle = {.name = "NamespaceLifecycle", .validate = validate};
