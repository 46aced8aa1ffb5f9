/* write/admission.c - the table of built-in admission plugins, in Kubernetes' order
 * (pkg/kubeapiserver/options/plugins.go). */
#include "write/admission.h"
#include "write/internal.h"

static const struct admission_plugin *const plugins[] = {
    &admit_namespace_lifecycle,
    &admit_limit_range,
    &admit_service_account,
    &admit_taint_nodes_by_condition,
    &admit_priority,
    &admit_default_toleration_seconds,
    &admit_node_restriction,
    &admit_certificate_subject_restriction,
};

int admission_run(struct pending *p, enum write_verb verb, struct doc *obj, const struct doc *old, bool mutate)
{
    struct admission a = {.w = p->w, .req = p->req, .verb = verb, .obj = obj, .old = old, .err = &p->err};
    for (size_t i = 0; i < sizeof(plugins) / sizeof(plugins[0]); i++) {
        if (mutate && plugins[i]->mutate)
            plugins[i]->mutate(&a);
        if (!mutate && plugins[i]->validate && plugins[i]->validate(&a) < 0)
            return -1;
        if (p->err.reason != ERR_NONE)
            return -1;
    }
    return !mutate && p->w->guard && p->req->user ? p->w->guard(p->w->guard_ctx, &a) : 0;
}

void writer_set_guard(struct writer *w, write_guard_fn *guard, void *ctx)
{
    w->guard = guard, w->guard_ctx = ctx;
}

bool admission_is(const struct admission *a, const char *group, const char *resource)
{
    const struct resource *r = stored_of(a->req->res);
    return !strcmp(r->group, group) && !strcmp(r->name, resource);
}

bool admission_creates(const struct admission *a, const char *group, const char *resource)
{
    return a->verb == WRITE_CREATE && !a->req->sub && admission_is(a, group, resource);
}

int admission_forbid(struct admission *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    struct str why = str_vfmt(a->req->mem, fmt, ap);
    va_end(ap);
    const struct resource *r = a->req->res;
    struct str name = a->req->name;
    a->err->group = str_of(r->group), a->err->kind = str_of(r->name), a->err->name = name;
    struct str resource = r->group[0] ? str_fmt(a->req->mem, "%s.%s", r->name, r->group) : str_of(r->name);
    return err_set(a->err, ERR_FORBIDDEN, STR_FMT " \"" STR_FMT "\" is forbidden: " STR_FMT, STR_ARG(resource),
                   STR_ARG(name), STR_ARG(why));
}
