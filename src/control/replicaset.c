/* control/replicaset.c - ReplicaSets and ReplicationControllers: so many pods of one template, no more, no fewer.
 *
 * Source: kubernetes pkg/controller/replicaset. Its expectations are not needed: the cache has every write that was
 * answered, and a key does not run while its own writes are under way. Pods are made in batches of 1, 2, 4, ..., so
 * that a template that is refused is tried once and not five hundred times. */
#include "control/conditions.h"
#include "control/internal.h"
#include "control/owner.h"
#include "control/pods.h"

enum { BURST_MAX = 500 };

struct replicas {
    int64_t want, min_ready_s;
    struct pod *active; /* in order of key */
    int active_count;
    int terminating;
};

static struct replicas snapshot(struct reconcile *r, const struct obj *o, const struct doc *doc,
                                const struct selector *sel)
{
    struct replicas in = {.want = doc_int(doc_get(doc, "spec"), "replicas", 1),
                          .min_ready_s = doc_int(doc_get(doc, "spec"), "minReadySeconds", 0)};
    int count;
    struct obj **objs = owner_claim(r, o, sel, schema_stored("", "pods"), &count);
    struct pod *pods = pods_of(r->mem, objs, count);
    in.active = arena_array(r->mem, struct pod, count + 1);
    for (int i = 0; i < count; i++) {
        if (pods[i].active)
            in.active[in.active_count++] = pods[i];
        in.terminating += !pods[i].finished && pods[i].obj->deleting;
    }
    return in;
}

/* ---- what was answered */

static void report_failure(struct reconcile *r, const struct obj *owner, const char *reason, struct str message)
{
    struct doc *obj = obj_doc(r->mem, owner);
    struct condition c = {.type = "ReplicaFailure", .status = "True", .reason = reason, .message = message};
    condition_set(r->mem, doc_sub(r->mem, obj, "status"), &c, write_time(r->mem, r->wall_ms));
    reconcile_update(r, owner->res, "status", obj);
}

static void written(struct reconcile *r, enum write_verb verb, const struct resource *res, struct str name,
                    const struct obj *obj, const struct err *err)
{
    const struct obj *owner = cache_get(r->cache, r->key);
    if (!owner || strcmp(res->name, "pods") != 0)
        return;
    if (verb == WRITE_CREATE && !err)
        reconcile_event(r, owner, "Normal", "SuccessfulCreate", "Created pod: " STR_FMT, STR_ARG(obj->name));
    else if (verb == WRITE_DELETE && !err)
        reconcile_event(r, owner, "Normal", "SuccessfulDelete", "Deleted pod: " STR_FMT, STR_ARG(name));
    else if (verb == WRITE_CREATE && r->failed) {
        reconcile_event(r, owner, "Warning", "FailedCreate", "Error creating: " STR_FMT, STR_ARG(err->message));
        report_failure(r, owner, "FailedCreate", err->message);
    } else if (verb == WRITE_DELETE && r->failed) {
        reconcile_event(r, owner, "Warning", "FailedDelete", "Error deleting: " STR_FMT, STR_ARG(err->message));
        report_failure(r, owner, "FailedDelete", err->message);
    }
}

/* ---- the difference */

static void create_pods(struct reconcile *r, const struct obj *o, const struct doc *doc, int64_t missing)
{
    int64_t batch = r->memo > 0 ? r->memo : 1;
    int64_t n = missing < batch ? missing : batch;
    for (int64_t i = 0; i < n; i++)
        reconcile_create(r, schema_stored("", "pods"), o->ns,
                         pod_from_template(r->mem, o, doc_path(doc, "spec", "template", NULL)));
    r->memo = batch < BURST_MAX ? batch * 2 : batch;
}

static void manage(struct reconcile *r, const struct obj *o, const struct doc *doc, struct replicas *in)
{
    int64_t diff = in->active_count - in->want;
    if (diff < 0) {
        create_pods(r, o, doc, -diff);
        return;
    }
    r->memo = 0;
    if (diff == 0)
        return;
    struct pod *ranked = arena_array(r->mem, struct pod, in->active_count);
    memcpy(ranked, in->active, sizeof(*ranked) * in->active_count);
    pods_rank_for_deletion(r->mem, ranked, in->active_count, r->wall_ms);
    for (int64_t i = 0; i < diff && i < BURST_MAX; i++)
        reconcile_delete(r, ranked[i].obj);
}

static void report(struct reconcile *r, const struct obj *o, struct doc *doc, const struct replicas *in, bool content)
{
    struct arena *mem = r->mem;
    const struct doc *labels = doc_path(doc, "spec", "template", "metadata", "labels", NULL);
    const struct selector *fully = selector_from_map(mem, labels);
    int64_t ready = 0, available = 0, labeled = 0, again_ms = 0;
    for (int i = 0; i < in->active_count; i++) {
        labeled += selector_matches_obj(fully, in->active[i].obj);
        ready += in->active[i].ready;
        available += pod_is_available(&in->active[i], in->min_ready_s, r->wall_ms, &again_ms);
    }
    struct doc *status = doc_sub(mem, doc, "status");
    doc_put_int(mem, status, "replicas", in->active_count);
    status_count(mem, status, "fullyLabeledReplicas", labeled);
    status_count(mem, status, "readyReplicas", ready);
    status_count(mem, status, "availableReplicas", available);
    if (!strcmp(o->res->name, "replicasets"))
        doc_put_int(mem, status, "terminatingReplicas", in->terminating);
    status_count(mem, status, "observedGeneration", doc_int(doc_get(doc, "metadata"), "generation", 0));
    if (content)
        condition_del(status, "ReplicaFailure");
    reconcile_update(r, o->res, "status", doc);
    r->again_ms = again_ms;
}

static void reconcile(struct reconcile *r)
{
    const struct obj *o = cache_get(r->cache, r->key);
    if (!o)
        return;
    struct doc *doc = obj_doc(r->mem, o);
    const struct selector *sel = selector_of(r->mem, o->res, doc);
    if (!sel)
        return;
    r->written = written;
    struct replicas in = snapshot(r, o, doc, sel);
    bool content = r->memo > 0 || in.active_count == in.want; /* the last batch, if any, was not refused */
    if (!o->deleting)
        manage(r, o, doc, &in);
    report(r, o, doc, &in, content);
}

static void on_pod_of_set(struct controller *c, const struct cache_event *ev)
{
    owner_enqueue(c, schema_stored("apps", "replicasets"), ev);
}

static void on_pod_of_rc(struct controller *c, const struct cache_event *ev)
{
    owner_enqueue(c, schema_stored("", "replicationcontrollers"), ev);
}

const struct controller_kind controller_replicaset = {
    .name = "replicaset",
    .watches = {{"apps", "replicasets"}, {"", "pods", on_pod_of_set}},
    .reconcile = reconcile,
};
const struct controller_kind controller_replication = {
    .name = "replicationmanager",
    .account = "replication-controller",
    .watches = {{"", "replicationcontrollers"}, {"", "pods", on_pod_of_rc}},
    .reconcile = reconcile,
};
