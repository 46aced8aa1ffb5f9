/* api/update.c - PUT of an object or of a subresource that shows the whole object.
 * Source: k8s.io/apiserver pkg/endpoints/handlers/update.go. */
#include "api/internal.h"

/* AllowCreateOnUpdate of the kinds' strategies. */
static bool may_create(const struct resource *res)
{
    static const char *const kinds[] = {"Endpoints",          "Event",   "Lease",        "LimitRange",
                                        "ResourceQuota",      "Role",    "RoleBinding",  "ClusterRole",
                                        "ClusterRoleBinding", "Service", "PriorityClass"};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (!strcmp(res->kind, kinds[i]))
            return true;
    return false;
}

static bool may_user_create(struct api_req *r)
{
    struct str why;
    struct gate_attrs a = {.verb = STR("create"),
                           .group = r->info.group,
                           .version = r->info.version,
                           .resource = r->info.resource,
                           .ns = r->info.ns,
                           .name = r->info.name};
    return gate_authorize(r->api->gate, r->mem, r->user, &a, &why);
}

static int check_identity(struct write_job *j, struct doc *body, struct err *err)
{
    struct doc *meta = doc_sub(j->mem, body, "metadata");
    struct str name = doc_str(meta, "name"), ns = doc_str(meta, "namespace");
    if (ns.len && !str_eq(ns, j->w.ns))
        return err_set(err, ERR_BAD_REQUEST,
                       "the namespace of the provided object does not match the namespace sent on the request");
    if (!name.len)
        return err_set(err, ERR_BAD_REQUEST,
                       "the name of the object (" STR_FMT " based on URL) was undeterminable: name must be provided",
                       STR_ARG(j->w.name));
    if (!str_eq(name, j->w.name))
        return err_set(err, ERR_BAD_REQUEST,
                       "the name of the object (" STR_FMT ") does not match the name on the URL (" STR_FMT ")",
                       STR_ARG(name), STR_ARG(j->w.name));
    if (j->w.ns.len)
        doc_put_str(j->mem, meta, "namespace", j->w.ns);
    return 0;
}

void handle_update(struct api_req *r)
{
    struct write_opts o;
    enum media_form form;
    if (write_options(r, "UpdateOptions", &o) < 0 ||
        negotiate_body(exchange_header(r->x, "content-type"), &form, &r->err) < 0) {
        reply_err(r);
        return;
    }
    struct write_job *j = write_job_new(r, WRITE_UPDATE);
    j->w.dry_run = o.dry_run;
    j->w.field_manager = str_dup(j->mem, o.field_manager);
    j->w.create_if_absent = !r->sub && may_create(r->res) && may_user_create(r);
    j->w.body = decode_body(j->mem, j->body, form, r->res->type, r->res->kind, r->res->api_version, o.validation,
                            &j->warnings, &r->err);
    if (!j->w.body || check_identity(j, j->w.body, &r->err) < 0) {
        write_job_fail(j, &r->err);
        return;
    }
    write_job_start(j);
}
