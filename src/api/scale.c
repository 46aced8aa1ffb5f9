/* api/scale.c - the scale subresource: GET, PUT and PATCH of an autoscaling/v1 Scale that stands for replicas.
 * Source: kubernetes pkg/registry/apps/deployment/storage (ScaleREST). */
#include "api/patch.h"

static struct str selector_text(struct arena *mem, const struct resource *res, const struct doc *spec)
{
    const struct doc *d = doc_get(spec, "selector");
    struct err ignored = ERR(mem);
    if (!d)
        return STR_NULL;
    const struct selector *s =
        !strcmp(res->name, "replicationcontrollers") ? selector_from_map(mem, d) : selector_from_doc(mem, d, &ignored);
    return s ? selector_str(mem, s) : STR_NULL;
}

struct doc *scale_of(struct arena *mem, const struct resource *res, const struct doc *obj)
{
    static const char *const kept[] = {"name", "namespace", "uid", "resourceVersion", "creationTimestamp"};
    const struct doc *meta = doc_get(obj, "metadata"), *spec = doc_get(obj, "spec");
    struct doc *s = doc_new_object(mem);
    doc_put_str(mem, s, "kind", STR("Scale"));
    doc_put_str(mem, s, "apiVersion", STR("autoscaling/v1"));
    struct doc *m = doc_put(mem, s, "metadata", doc_new_object(mem));
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        if (doc_get(meta, kept[i]))
            doc_put(mem, m, kept[i], doc_copy(mem, doc_get(meta, kept[i])));
    struct doc *sp = doc_put(mem, s, "spec", doc_new_object(mem));
    int64_t replicas = doc_int(spec, "replicas", 0);
    if (replicas)
        doc_put_int(mem, sp, "replicas", replicas);
    struct doc *st = doc_put(mem, s, "status", doc_new_object(mem));
    doc_put_int(mem, st, "replicas", doc_int(doc_get(obj, "status"), "replicas", 0));
    struct str selector = selector_text(mem, res, spec);
    if (selector.len)
        doc_put_str(mem, st, "selector", selector);
    return s;
}

static void answer(struct write_job *j, struct obj *o)
{
    struct api_req *r = j->r;
    reply_doc(r, 200, r->sub->type, scale_of(r->mem, r->res, view_doc(r->mem, r->res, o)));
}

static int check_scale(const struct write_req *w, const struct doc *scale, struct err *err)
{
    static const struct fpath spec = {NULL, "spec", 0, {0}}, at = {&spec, "replicas", 0, {0}};
    int64_t replicas = doc_int(doc_get(scale, "spec"), "replicas", 0);
    struct str name = doc_str(doc_get(scale, "metadata"), "name");
    if (name.len && !str_eq(name, w->name))
        return err_set(err, ERR_BAD_REQUEST,
                       "the name of the object (" STR_FMT ") does not match the name on the URL (" STR_FMT ")",
                       STR_ARG(name), STR_ARG(w->name));
    if (replicas < 0)
        err_cause_int(err, CAUSE_INVALID, &at, replicas, "must be greater than or equal to 0");
    return err_invalid(err, STR("autoscaling"), STR("Scale"), w->name);
}

/* The object with the replicas, and the preconditions, that a Scale says. */
static struct doc *put_replicas(struct write_req *w, struct doc *current, const struct doc *scale, struct err *err)
{
    const struct doc *meta = doc_get(scale, "metadata");
    struct doc *to = doc_get(current, "metadata");
    if (check_scale(w, scale, err) < 0)
        return NULL;
    doc_put_int(w->mem, doc_sub(w->mem, current, "spec"), "replicas", doc_int(doc_get(scale, "spec"), "replicas", 0));
    if (doc_str(meta, "resourceVersion").len)
        doc_put_str(w->mem, to, "resourceVersion", doc_str(meta, "resourceVersion"));
    if (doc_str(meta, "uid").len)
        doc_put_str(w->mem, to, "uid", doc_str(meta, "uid"));
    return current;
}

static struct doc *mutate_put(struct write_req *w, struct doc *current, struct err *err)
{
    struct write_job *j = w->ctx;
    return put_replicas(w, current, j->state, err);
}

static struct doc *mutate_patch(struct write_req *w, struct doc *current, struct err *err)
{
    struct write_job *j = w->ctx;
    struct doc *scale = scale_of(w->mem, w->res, current);
    scale = patch_apply(w->mem, j->patch, schema_type("autoscaling.v1.Scale"), scale, w->warnings, err);
    return scale ? put_replicas(w, current, scale, err) : NULL;
}

static void write_scale(struct api_req *r, bool is_patch)
{
    struct write_opts o;
    enum media_form form;
    struct write_job *j = write_job_new(r, WRITE_PATCH);
    bool ok = write_options(r, is_patch ? "PatchOptions" : "UpdateOptions", &o) == 0;
    if (ok && is_patch) {
        j->patch = patch_read(j->mem, exchange_header(r->x, "content-type"), j->body, o.validation, &r->err);
        ok = j->patch != NULL;
    } else if (ok) {
        ok = negotiate_body(exchange_header(r->x, "content-type"), &form, &r->err) == 0 &&
             (j->state = decode_body(j->mem, j->body, form, schema_type("autoscaling.v1.Scale"), "Scale",
                                     "autoscaling/v1", o.validation, &j->warnings, &r->err));
    }
    if (!ok) {
        write_job_fail(j, &r->err);
        return;
    }
    j->w.dry_run = o.dry_run;
    j->w.field_manager = str_dup(j->mem, o.field_manager);
    j->w.mutate = is_patch ? mutate_patch : mutate_put;
    j->w.sub = NULL; /* what changes is the object's spec */
    j->answer = answer;
    write_job_start(j);
}

void handle_scale(struct api_req *r)
{
    if (strcmp(r->info.verb, "get") != 0) {
        write_scale(r, !strcmp(r->info.verb, "patch"));
        return;
    }
    const struct obj *o = cache_find(r->api->cache, r->res, r->info.ns, r->info.name);
    if (!o) {
        err_not_found(&r->err, str_of(r->res->group), str_of(r->res->name), r->info.name);
        reply_err(r);
        return;
    }
    reply_doc(r, 200, r->sub->type, scale_of(r->mem, r->res, view_doc(r->mem, r->res, o)));
}
