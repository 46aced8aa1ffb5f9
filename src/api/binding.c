/* api/binding.c - pods/binding and bindings: a pod gets its node, once.
 * Source: kubernetes pkg/registry/core/pod/storage (BindingREST.assignPod). */
#include "api/internal.h"

static void set_scheduled(struct write_job *j, struct doc *pod)
{
    struct arena *mem = j->mem;
    struct doc *list = doc_sub_array(mem, doc_sub(mem, pod, "status"), "conditions"), *c = NULL;
    doc_each (d, list)
        if (str_is(doc_str(d, "type"), "PodScheduled"))
            c = d;
    if (c && str_is(doc_str(c, "status"), "True"))
        return;
    if (!c) {
        c = doc_push(list, doc_new_object(mem));
        doc_put_str(mem, c, "type", STR("PodScheduled"));
    }
    doc_put_str(mem, c, "status", STR("True"));
    doc_put_str(mem, c, "lastTransitionTime", write_time(mem, loop_wall_ms(j->api->loop)));
    doc_del(c, "reason");
    doc_del(c, "message");
}

static void merge_map(struct arena *mem, struct doc *pod, const struct doc *binding, const char *key)
{
    const struct doc *from = doc_get(doc_get(binding, "metadata"), key);
    if (!doc_len(from))
        return;
    struct doc *to = doc_sub(mem, doc_get(pod, "metadata"), key);
    doc_each (m, from)
        doc_set(to, m->key, doc_copy(mem, m));
}

static int conflict(const struct write_req *w, const char *why, struct err *err)
{
    return err_conflict(err, STR_NULL, STR("pods/binding"), w->name, why);
}

static struct doc *mutate(struct write_req *w, struct doc *pod, struct err *err)
{
    struct write_job *j = w->ctx;
    const struct doc *binding = j->state;
    struct doc *spec = doc_get(pod, "spec");
    struct str node = doc_str(doc_get(binding, "target"), "name"), have = doc_str(spec, "nodeName");
    struct str uid = doc_str(doc_get(binding, "metadata"), "uid"), pod_uid = doc_str(doc_get(pod, "metadata"), "uid");
    if (uid.len && !str_eq(uid, pod_uid)) {
        conflict(w,
                 str_fmtz(w->mem, "Precondition failed: UID in precondition: " STR_FMT ", UID in object meta: " STR_FMT,
                          STR_ARG(uid), STR_ARG(pod_uid)),
                 err);
        return NULL;
    }
    if (doc_str(doc_get(pod, "metadata"), "deletionTimestamp").len) {
        conflict(w,
                 str_fmtz(w->mem, "pod " STR_FMT " is being deleted, cannot be assigned to a host", STR_ARG(w->name)),
                 err);
        return NULL;
    }
    if (have.len) {
        conflict(w,
                 str_fmtz(w->mem, "pod " STR_FMT " is already assigned to node " STR_FMT, STR_ARG(w->name),
                          STR_ARG(str_quote(w->mem, have))),
                 err);
        return NULL;
    }
    if (doc_len(doc_get(spec, "schedulingGates"))) {
        conflict(w, str_fmtz(w->mem, "pod " STR_FMT " has non-empty .spec.schedulingGates", STR_ARG(w->name)), err);
        return NULL;
    }
    doc_put_str(w->mem, spec, "nodeName", node);
    merge_map(w->mem, pod, binding, "annotations");
    merge_map(w->mem, pod, binding, "labels");
    set_scheduled(j, pod);
    return pod;
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
