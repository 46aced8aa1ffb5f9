/* control/deployment.c - Deployments: a template rolls out through ReplicaSets.
 *
 * A pass reads the sets and their pods, plans their sizes (deployment_rollout.c), and writes sets and status. Source:
 * kubernetes pkg/controller/deployment. */
#include "control/deployment.h"

#include <stdlib.h>

#include "control/conditions.h"
#include "control/internal.h"
#include "control/owner.h"
#include "control/pods.h"

/* ---- the snapshot */

static int by_creation(const void *x, const void *y)
{
    const struct obj *a = *(struct obj *const *)x, *b = *(struct obj *const *)y;
    if (a->created_ms != b->created_ms)
        return a->created_ms < b->created_ms ? -1 : 1;
    return str_cmp(a->name, b->name);
}

static int64_t annotation_number(const struct doc *obj, const char *name, int64_t absent)
{
    int64_t n;
    return str_to_i64(meta_annotation(obj, name), &n) ? n : absent;
}

/* Pods of a set; those of old sets that are still there at all hold a Recreate back. */
static void count_pods(struct deployment *d, struct rollout_set *s, const struct obj *set, bool *ret_any)
{
    struct arena *mem = d->r->mem;
    int64_t min_ready_s = doc_int(d->spec, "minReadySeconds", 0), soon_ms = 0;
    int count;
    struct obj **objs = cache_by_owner(d->r->cache, mem, set->uid, &count);
    for (int i = 0; i < count; i++) {
        if (objs[i]->res != schema_stored("", "pods") || !str_eq(objs[i]->owner_uid, set->uid))
            continue;
        struct pod p = pod_of(mem, objs[i]);
        *ret_any |= !p.finished;
        s->actual += p.active;
        s->available += p.active && pod_is_available(&p, min_ready_s, d->r->wall_ms, &soon_ms);
    }
}

static void load_sets(struct deployment *d, const struct selector *sel)
{
    struct arena *mem = d->r->mem;
    struct rollout *ro = &d->rollout;
    struct obj **objs = owner_claim(d->r, d->obj, sel, schema_stored("apps", "replicasets"), &ro->count);
    qsort(objs, (size_t)ro->count, sizeof(*objs), by_creation);
    d->sets = arena_array(mem, struct replica_set, ro->count + 1);
    ro->sets = arena_array(mem, struct rollout_set, ro->count + 1);
    for (int i = 0; i < ro->count; i++) {
        struct doc *doc = obj_doc(mem, objs[i]);
        d->sets[i] = (struct replica_set){objs[i], doc, annotation_number(doc, ANNOTATION_REVISION, 0)};
        int64_t spec = doc_int(doc_get(doc, "spec"), "replicas", 1);
        int64_t seen = doc_int(doc_get(doc, "status"), "observedGeneration", 0);
        ro->sets[i] = (struct rollout_set){.name = objs[i]->name,
                                           .spec = spec,
                                           .want = spec,
                                           .unseen = seen < doc_int(doc_get(doc, "metadata"), "generation", 0),
                                           .reported = doc_int(doc_get(doc, "status"), "availableReplicas", 0),
                                           .desired = annotation_number(doc, ANNOTATION_DESIRED, -1),
                                           .max = annotation_number(doc, ANNOTATION_MAX, 0)};
    }
    ro->new_at = deployment_find_new(d);
    for (int i = 0; i < ro->count; i++) {
        bool any = false;
        count_pods(d, &ro->sets[i], objs[i], &any);
        if (i != ro->new_at)
            ro->old_pods_running |= any || doc_int(doc_get(d->sets[i].doc, "status"), "replicas", 0) > 0;
    }
}

static void load(struct deployment *d, const struct selector *sel)
{
    struct rollout *ro = &d->rollout;
    const struct doc *strategy = doc_get(d->spec, "strategy");
    ro->replicas = doc_int(d->spec, "replicas", 1);
    ro->recreate = str_is(doc_str(strategy, "type"), "Recreate");
    ro->total_reported = doc_int(doc_get(d->doc, "status"), "replicas", 0);
    rollout_fenceposts(strategy, ro->replicas, &ro->max_surge, &ro->max_unavailable);
    load_sets(d, sel);
}

/* ---- what was answered */

static void report_progress(struct reconcile *r, const struct obj *o, const char *status, const char *reason,
                            struct str message)
{
    struct doc *doc = obj_doc(r->mem, o);
    if (!doc_get(doc_get(doc, "spec"), "progressDeadlineSeconds"))
        return;
    struct condition c = {
        .type = "Progressing", .status = status, .reason = reason, .message = message, .has_update_time = true};
    condition_set(r->mem, doc_sub(r->mem, doc, "status"), &c, write_time(r->mem, r->wall_ms));
    reconcile_update(r, o->res, "status", doc);
}

/* The name is taken by a set that is not ours: hash again. */
static void collide(struct reconcile *r, const struct obj *o, struct str name)
{
    const struct obj *other = cache_find(r->cache, schema_stored("apps", "replicasets"), o->ns, name);
    struct doc *doc = obj_doc(r->mem, o), *status = doc_sub(r->mem, doc, "status");
    if (!other || (str_eq(other->owner_uid, o->uid) && deployment_same_template(r->mem, doc, obj_doc(r->mem, other))))
        return;
    doc_put_int(r->mem, status, "collisionCount", doc_int(status, "collisionCount", 0) + 1);
    reconcile_update(r, o->res, "status", doc);
}

static void set_created(struct reconcile *r, const struct obj *o, struct str name, const struct obj *set,
                        const struct err *err)
{
    if (!err) {
        int64_t n = doc_int(doc_get(obj_doc(r->mem, set), "spec"), "replicas", 0);
        if (n)
            reconcile_event(r, o, "Normal", "ScalingReplicaSet", "Scaled up replica set " STR_FMT " from 0 to %lld",
                            STR_ARG(name), (long long)n);
        report_progress(r, o, "True", "NewReplicaSetCreated",
                        str_fmt(r->mem, "Created new replica set \"" STR_FMT "\"", STR_ARG(name)));
    } else if (err->reason == ERR_ALREADY_EXISTS) {
        collide(r, o, name);
    } else if (r->failed) {
        reconcile_event(r, o, "Warning", "ReplicaSetCreateError",
                        "Failed to create new replica set \"" STR_FMT "\": " STR_FMT, STR_ARG(name),
                        STR_ARG(err->message));
        report_progress(r, o, "False", "ReplicaSetCreateError",
                        str_fmt(r->mem, "Failed to create new replica set \"" STR_FMT "\": " STR_FMT, STR_ARG(name),
                                STR_ARG(err->message)));
    }
}

static void set_updated(struct reconcile *r, const struct obj *o, struct str name)
{
    const struct deployment *d = r->ctx;
    for (int i = 0; i < d->rollout.count; i++) {
        const struct rollout_set *s = &d->rollout.sets[i];
        if (str_eq(s->name, name) && s->want != s->spec)
            reconcile_event(r, o, "Normal", "ScalingReplicaSet", "Scaled %s replica set " STR_FMT " from %lld to %lld",
                            s->want > s->spec ? "up" : "down", STR_ARG(name), (long long)s->spec, (long long)s->want);
    }
}

static void written(struct reconcile *r, enum write_verb verb, const struct resource *res, struct str name,
                    const struct obj *obj, const struct err *err)
{
    const struct obj *o = cache_get(r->cache, r->key);
    if (!o || res != schema_stored("apps", "replicasets"))
        return;
    if (verb == WRITE_CREATE)
        set_created(r, o, name, obj, err);
    else if (verb == WRITE_UPDATE && !err)
        set_updated(r, o, name);
}

/* ---- one pass */

static void write_sets(struct deployment *d, bool scaling)
{
    for (int i = 0; i < d->rollout.count; i++) {
        struct rollout_set *s = &d->rollout.sets[i];
        if (d->sets[i].obj->deleting)
            continue;
        if (s->want != s->spec)
            doc_put_int(d->r->mem, doc_get(d->sets[i].doc, "spec"), "replicas", s->want);
        if (s->want != s->spec || (scaling && s->spec > 0))
            deployment_put_sizes(d, &d->sets[i]);
        reconcile_update(d->r, d->sets[i].obj->res, NULL, d->sets[i].doc);
    }
}

static void roll(struct deployment *d)
{
    struct rollout *ro = &d->rollout;
    rollout_step(ro);
    deployment_sync_revision(d);
    write_sets(d, /* scaling= */ false);
    if (ro->new_at < 0 && !(ro->recreate && ro->old_pods_running)) {
        reconcile_create(d->r, schema_stored("apps", "replicasets"), d->obj->ns,
                         deployment_new_set(d, rollout_first_size(ro)));
        return; /* its answer writes the status */
    }
    deployment_status_rollout(d);
    reconcile_update(d->r, d->obj->res, "status", d->doc);
    if (deployment_is_complete(d, doc_get(obj_doc(d->r->mem, d->obj), "status")))
        deployment_clean_history(d);
}

static void scale(struct deployment *d)
{
    rollout_scale(&d->rollout);
    write_sets(d, /* scaling= */ true);
    if (doc_bool(d->spec, "paused", false))
        deployment_clean_history(d);
    deployment_status_sync(d);
    reconcile_update(d->r, d->obj->res, "status", d->doc);
}

static void refuse_to_select_all(struct deployment *d)
{
    struct arena *mem = d->r->mem;
    reconcile_event(d->r, d->obj, "Warning", "SelectingAll",
                    "This deployment is selecting all pods. A non-empty selector is required.");
    status_count(mem, doc_sub(mem, d->doc, "status"), "observedGeneration",
                 doc_int(doc_get(d->doc, "metadata"), "generation", 0));
    reconcile_update(d->r, d->obj->res, "status", d->doc);
}

static void reconcile(struct reconcile *r)
{
    const struct obj *o = cache_get(r->cache, r->key);
    if (!o)
        return;
    struct deployment *d = arena_new_of(r->mem, struct deployment);
    *d = (struct deployment){.r = r, .obj = o, .doc = obj_doc(r->mem, o), .now = write_time(r->mem, r->wall_ms)};
    d->spec = doc_get(d->doc, "spec");
    r->written = written, r->ctx = d;
    const struct selector *sel = selector_of(r->mem, o->res, d->doc);
    if (!sel || selector_is_everything(sel)) {
        refuse_to_select_all(d);
        return;
    }
    load(d, sel);
    if (o->deleting) {
        deployment_status_sync(d);
        reconcile_update(r, o->res, "status", d->doc);
        return;
    }
    deployment_paused_condition(d);
    if (doc_bool(d->spec, "paused", false) || rollout_is_scaling(&d->rollout))
        scale(d);
    else
        roll(d);
}

static void on_set(struct controller *c, const struct cache_event *ev)
{
    owner_enqueue(c, schema_stored("apps", "deployments"), ev);
}

/* The last pod of an old set is gone: a Recreate goes on. */
static void on_pod(struct controller *c, const struct cache_event *ev)
{
    if (ev->type != CACHE_DELETED || !ev->obj->owner_uid.len)
        return;
    const struct doc *ref = owner_controller(cache_event_doc(ev));
    const struct resource *sets = schema_stored("apps", "replicasets");
    const struct obj *set = cache_find(controller_cache(c), sets, ev->obj->ns, doc_str(ref, "name"));
    if (set && str_eq(set->uid, ev->obj->owner_uid)) {
        struct cache_event of_set = {.type = CACHE_MODIFIED, .obj = set, .prev = set};
        owner_enqueue(c, schema_stored("apps", "deployments"), &of_set);
        cache_event_done(&of_set);
    }
}

const struct controller_kind controller_deployment = {
    .name = "deployment",
    .watches = {{"apps", "deployments"}, {"apps", "replicasets", on_set}, {"", "pods", on_pod}},
    .reconcile = reconcile,
};
