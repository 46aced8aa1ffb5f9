/* api/eviction.c - pods/eviction: a DELETE that asks the PodDisruptionBudgets first.
 * Source: kubernetes pkg/registry/core/pod/storage/eviction.go. */
#include "api/internal.h"

enum { DISRUPTED_PODS_MAX = 2000 };

/* Budgets in the pod's namespace that select it; *ret the first. */
static int budgets_of(struct api_req *r, const struct obj *pod, const struct obj **ret)
{
    const struct resource *res = schema_resource(STR("policy"), STR("v1"), STR("poddisruptionbudgets"));
    if (!res)
        return 0;
    const struct doc *labels = doc_get(doc_get(obj_doc(r->mem, pod), "metadata"), "labels");
    struct cache_iter it = cache_list(r->api->cache, obj_prefix(r->mem, res, pod->ns), STR_NULL);
    int n = 0;
    for (struct obj *o; (o = cache_next(&it));) {
        struct err ignored = ERR(r->mem);
        const struct doc *sel = doc_path(obj_doc(r->mem, o), "spec", "selector", NULL);
        const struct selector *s = selector_from_doc(r->mem, sel, &ignored);
        if (s && selector_matches(s, labels) && !n++)
            *ret = obj_ref(o);
    }
    return n;
}

static bool is_ready(const struct doc *pod)
{
    doc_each (c, doc_path(pod, "status", "conditions", NULL))
        if (str_is(doc_str(c, "type"), "Ready"))
            return str_is(doc_str(c, "status"), "True");
    return false;
}

/* Deleting it costs no availability: no budget is asked. */
static bool is_free(const struct doc *pod)
{
    struct str phase = doc_str(doc_get(pod, "status"), "phase");
    return str_is(phase, "Succeeded") || str_is(phase, "Failed") || str_is(phase, "Pending") ||
           doc_str(doc_get(pod, "metadata"), "deletionTimestamp").len;
}

static void answer(struct write_job *j, struct obj *o)
{
    struct doc *d = status_success(j->r->mem, STR_NULL, STR_NULL, STR_NULL, STR_NULL);
    doc_put_int(j->r->mem, d, "code", 201);
    reply_doc(j->r, 201, schema_type("meta.v1.Status"), d);
}

struct eviction {
    struct delete_opts o;
    const struct obj *pod; /* referenced */
    const struct obj *pdb; /* referenced; NULL: none is asked */
};

static void evict(struct write_job *j)
{
    struct eviction *e = j->state;
    j->w.verb = WRITE_DELETE;
    j->w.res = e->pod->res;
    j->w.sub = NULL;
    j->w.ns = e->pod->ns, j->w.name = e->pod->name;
    j->w.mutate = NULL;
    j->w.grace_s = e->o.grace_s;
    j->w.want_uid = e->o.want_uid.len ? e->o.want_uid : e->pod->uid;
    j->w.want_rev = e->o.want_rev;
    j->w.propagation = (unsigned)e->o.propagation;
    j->answer = answer;
    write_job_start(j);
}

static struct doc *too_many(struct write_job *j, struct err *err, struct str why, int retry_s)
{
    err_set(err, ERR_TOO_MANY_REQUESTS, "Cannot evict pod as it would violate the pod's disruption budget.");
    err->retry_after_s = retry_s;
    if (j->r) {
        j->r->cause_type = "DisruptionBudget";
        j->r->cause_text = str_dup(j->r->mem, why);
    }
    return NULL;
}

/* Take one disruption from the budget, or refuse. */
static struct doc *take_disruption(struct write_req *w, struct doc *pdb, struct err *err)
{
    struct write_job *j = w->ctx;
    struct eviction *e = j->state;
    struct doc *status = doc_sub(w->mem, pdb, "status");
    int64_t allowed = doc_int(status, "disruptionsAllowed", 0);
    if (doc_int(status, "observedGeneration", 0) < doc_int(doc_get(pdb, "metadata"), "generation", 0))
        return too_many(j, err,
                        str_fmt(w->mem, "The disruption budget " STR_FMT " is still being processed by the server.",
                                STR_ARG(w->name)),
                        10);
    if (allowed < 0 || doc_len(doc_get(status, "disruptedPods")) > DISRUPTED_PODS_MAX) {
        err_set(err, ERR_FORBIDDEN,
                "poddisruptionbudgets.policy " STR_FMT
                " is forbidden: pdb disruptions allowed is negative or its disruptedPods map is too big",
                STR_ARG(str_quote(w->mem, w->name)));
        return NULL;
    }
    if (allowed == 0)
        return too_many(j, err,
                        str_fmt(w->mem,
                                "The disruption budget " STR_FMT " needs %lld healthy pods and has %lld currently",
                                STR_ARG(w->name), (long long)doc_int(status, "desiredHealthy", 0),
                                (long long)doc_int(status, "currentHealthy", 0)),
                        0);
    doc_put_int(w->mem, status, "disruptionsAllowed", allowed - 1);
    struct doc *pods = doc_sub(w->mem, status, "disruptedPods");
    int64_t ms = loop_wall_ms(j->api->loop);
    doc_set(pods, str_dup(w->mem, e->pod->name), doc_new_str(w->mem, write_time(w->mem, ms)));
    return pdb;
}

static void on_budget(struct write_job *j, struct obj *o)
{
    evict(j);
}

static void release(void *data)
{
    struct eviction *e = data;
    obj_unref(e->pod);
    obj_unref(e->pdb);
}

/* A pod that is not ready may go where the policy says so, or where its budget is met without it. */
static bool skips_budget(const struct doc *pod, const struct doc *pdb)
{
    const struct doc *status = doc_get(pdb, "status");
    if (is_ready(pod))
        return false;
    if (str_is(doc_str(doc_get(pdb, "spec"), "unhealthyPodEvictionPolicy"), "AlwaysAllow"))
        return true;
    return doc_int(status, "desiredHealthy", 0) > 0 &&
           doc_int(status, "currentHealthy", 0) >= doc_int(status, "desiredHealthy", 0);
}

static int prepare(struct api_req *r, struct write_job *j, struct eviction *e)
{
    struct doc *body;
    enum media_form form;
    struct write_opts wo;
    if (write_options(r, "CreateOptions", &wo) < 0 ||
        negotiate_body(exchange_header(r->x, "content-type"), &form, &r->err) < 0 ||
        !(body = decode_body(j->mem, j->body, form, schema_type("policy.v1.Eviction"), "Eviction", "policy/v1",
                             wo.validation, &j->warnings, &r->err)))
        return -1;
    struct str name = doc_str(doc_get(body, "metadata"), "name");
    if (name.len && !str_eq(name, r->info.name))
        return err_set(&r->err, ERR_BAD_REQUEST, "name in URL does not match name in Eviction object");
    if (delete_options_doc(j->mem, doc_get(body, "deleteOptions"), &e->o, &r->err) < 0)
        return -1;
    j->w.dry_run = wo.dry_run || e->o.dry_run;
    const struct obj *pod = cache_find(r->api->cache, r->res, r->info.ns, r->info.name);
    if (!pod)
        return err_not_found(&r->err, STR_NULL, STR("pods"), r->info.name);
    e->pod = obj_ref(pod);
    const struct doc *d = obj_doc(j->mem, pod);
    if (is_free(d))
        return 0;
    int n = budgets_of(r, pod, &e->pdb);
    if (n > 1)
        return err_set(
            &r->err, ERR_INTERNAL,
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.");
    if (e->pdb && skips_budget(d, obj_doc(j->mem, e->pdb)))
        e->pdb = obj_unref(e->pdb);
    return 0;
}

void handle_eviction(struct api_req *r)
{
    struct write_job *j = write_job_new(r, WRITE_DELETE);
    struct eviction *e = arena_new_of(j->mem, struct eviction);
    j->state = e;
    arena_on_free(j->mem, release, e);
    if (prepare(r, j, e) < 0) {
        write_job_fail(j, &r->err);
        return;
    }
    if (!e->pdb) {
        evict(j);
        return;
    }
    j->w.verb = WRITE_PATCH;
    j->w.res = e->pdb->res;
    j->w.sub = resource_subresource(e->pdb->res, STR("status"));
    j->w.ns = e->pdb->ns, j->w.name = e->pdb->name;
    j->w.mutate = take_disruption;
    j->then = on_budget;
    write_job_start(j);
}
