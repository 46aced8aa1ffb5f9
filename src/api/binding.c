/* api/binding.c - pods/binding and bindings: a pod gets its node, once.
 * Source: kubernetes pkg/registry/core/pod/storage (BindingREST.assignPod). */
#include "api/internal.h"
#include "write/bind.h"

static struct doc *mutate(struct write_req *w, struct doc *pod, struct err *err)
{
    struct write_job *j = w->ctx;
    const struct doc *binding = j->state;
    struct str node = doc_str(doc_get(binding, "target"), "name"), now = write_time(w->mem, loop_wall_ms(j->api->loop));
    return bind_pod(w->mem, pod, node, doc_get(binding, "metadata"), now, err) < 0 ? NULL : pod;
}

static void answer(struct write_job *j, struct obj *o)
{
    struct doc *d = status_success(j->r->mem, STR_NULL, STR_NULL, STR_NULL, STR_NULL);
    doc_put_int(j->r->mem, d, "code", 201);
    reply_doc(j->r, 201, schema_type("meta.v1.Status"), d);
}

static int check(const struct doc *binding, struct err *err)
{
    static const char *const kinds[] = {"Node", "<empty>"};
    static const struct fpath target = {NULL, "target", 0, {0}}, kind_at = {&target, "kind", 0, {0}},
                              name_at = {&target, "name", 0, {0}};
    const struct doc *t = doc_get(binding, "target");
    struct str kind = doc_str(t, "kind");
    if (kind.len && !str_is(kind, "Node"))
        err_cause_enum(err, &kind_at, kind, kinds, 2);
    if (!doc_str(t, "name").len)
        err_cause(err, CAUSE_REQUIRED, &name_at, NULL);
    return err_invalid(err, STR_NULL, STR("Binding"), doc_str(doc_get(binding, "metadata"), "name"));
}

void handle_binding(struct api_req *r)
{
    struct write_opts o;
    enum media_form form;
    struct write_job *j = write_job_new(r, WRITE_PATCH);
    if (write_options(r, "CreateOptions", &o) < 0 ||
        negotiate_body(exchange_header(r->x, "content-type"), &form, &r->err) < 0 ||
        !(j->state = decode_body(j->mem, j->body, form, schema_type("core.v1.Binding"), "Binding", "v1", o.validation,
                                 &j->warnings, &r->err)) ||
        check(j->state, &r->err) < 0) {
        write_job_fail(j, &r->err);
        return;
    }
    const struct resource *pods = schema_resource(STR_NULL, STR("v1"), STR("pods"));
    struct str name = doc_str(doc_get(j->state, "metadata"), "name");
    if (!j->w.name.len)
        j->w.name = name;
    if (!str_eq(j->w.name, name)) {
        err_set(&r->err, ERR_BAD_REQUEST, "name in URL does not match name in Binding object");
        write_job_fail(j, &r->err);
        return;
    }
    j->w.res = pods;
    j->w.sub = resource_subresource(pods, STR("binding"));
    j->w.dry_run = o.dry_run;
    j->w.field_manager = str_dup(j->mem, o.field_manager);
    j->w.mutate = mutate;
    j->answer = answer;
    write_job_start(j);
}
