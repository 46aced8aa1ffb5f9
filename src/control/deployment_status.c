/* control/deployment_status.c - what a Deployment says of itself.
 *
 * Source: kubernetes pkg/controller/deployment/{progress,sync}.go. */
#include "control/conditions.h"
#include "control/deployment.h"

static int64_t of_set(const struct replica_set *s, const char *count)
{
    return doc_int(doc_get(s->doc, "status"), count, 0);
}

static int64_t total(const struct deployment *d, const char *count)
{
    int64_t n = 0;
    for (int i = 0; i < d->rollout.count; i++)
        n += of_set(&d->sets[i], count);
    return n;
}

static bool set(struct deployment *d, const char *type, const char *status, const char *reason, struct str message)
{
    struct condition c = {
        .type = type, .status = status, .reason = reason, .message = message, .has_update_time = true};
    return condition_set(d->r->mem, doc_sub(d->r->mem, d->doc, "status"), &c, d->now);
}

static bool has_deadline(const struct deployment *d)
{
    const struct doc *s = doc_get(d->spec, "progressDeadlineSeconds");
    return s && doc_int(d->spec, "progressDeadlineSeconds", 0) != INT32_MAX;
}

void deployment_paused_condition(struct deployment *d)
{
    const struct doc *status = doc_get(d->doc, "status");
    struct str reason = doc_str(condition_get(status, "Progressing"), "reason");
    bool paused = doc_bool(d->spec, "paused", false), said = str_is(reason, "DeploymentPaused");
    if (!has_deadline(d) || str_is(reason, "ProgressDeadlineExceeded"))
        return;
    if (paused && !said)
        set(d, "Progressing", "Unknown", "DeploymentPaused", STR("Deployment is paused"));
    else if (!paused && said)
        set(d, "Progressing", "Unknown", "DeploymentResumed", STR("Deployment is resumed"));
}

static void put_counts(struct deployment *d)
{
    struct arena *mem = d->r->mem;
    const struct rollout *ro = &d->rollout;
    struct doc *status = doc_sub(mem, d->doc, "status");
    int64_t wanted = 0, available = total(d, "availableReplicas");
    for (int i = 0; i < ro->count; i++)
        wanted += ro->sets[i].want;
    status_count(mem, status, "observedGeneration", doc_int(doc_get(d->doc, "metadata"), "generation", 0));
    status_count(mem, status, "replicas", total(d, "replicas"));
    status_count(mem, status, "updatedReplicas", ro->new_at < 0 ? 0 : of_set(&d->sets[ro->new_at], "replicas"));
    status_count(mem, status, "readyReplicas", total(d, "readyReplicas"));
    status_count(mem, status, "availableReplicas", available);
    status_count(mem, status, "unavailableReplicas", wanted > available ? wanted - available : 0);
    doc_put_int(mem, status, "terminatingReplicas", total(d, "terminatingReplicas"));
    if (available >= ro->replicas - ro->max_unavailable)
        set(d, "Available", "True", "MinimumReplicasAvailable", STR("Deployment has minimum availability."));
    else
        set(d, "Available", "False", "MinimumReplicasUnavailable",
            STR("Deployment does not have minimum availability."));
}

void deployment_status_sync(struct deployment *d)
{
    put_counts(d);
}

bool deployment_is_complete(const struct deployment *d, const struct doc *status)
{
    int64_t n = d->rollout.replicas;
    return doc_int(status, "updatedReplicas", 0) == n && doc_int(status, "replicas", 0) == n &&
           doc_int(status, "availableReplicas", 0) == n &&
           doc_int(status, "observedGeneration", 0) >= doc_int(doc_get(d->doc, "metadata"), "generation", 0);
}

static bool made_progress(const struct doc *was, const struct doc *is)
{
    int64_t old_was = doc_int(was, "replicas", 0) - doc_int(was, "updatedReplicas", 0);
    int64_t old_is = doc_int(is, "replicas", 0) - doc_int(is, "updatedReplicas", 0);
    return doc_int(is, "updatedReplicas", 0) > doc_int(was, "updatedReplicas", 0) || old_is < old_was ||
           doc_int(is, "readyReplicas", 0) > doc_int(was, "readyReplicas", 0) ||
           doc_int(is, "availableReplicas", 0) > doc_int(was, "availableReplicas", 0);
}

/* Milliseconds until the rollout, as the condition stands, is late. */
static int64_t left_ms(const struct deployment *d, const struct doc *progressing)
{
    int64_t since = time_ms(doc_str(progressing, "lastUpdateTime"));
    return since + doc_int(d->spec, "progressDeadlineSeconds", 0) * 1000 - d->r->wall_ms;
}

static bool timed_out(const struct deployment *d, const struct doc *progressing)
{
    struct str reason = doc_str(progressing, "reason");
    if (!progressing || str_is(reason, "NewReplicaSetAvailable"))
        return false;
    return str_is(reason, "ProgressDeadlineExceeded") || left_ms(d, progressing) < 0;
}

/* `ReplicaSet "web-abc" has successfully progressed.` */
static struct str sentence(const struct deployment *d, const char *what)
{
    const struct rollout *ro = &d->rollout;
    const char *kind = ro->new_at < 0 ? "Deployment" : "ReplicaSet";
    struct str name = ro->new_at < 0 ? d->obj->name : d->sets[ro->new_at].obj->name;
    return str_fmt(d->r->mem, "%s \"" STR_FMT "\" %s.", kind, STR_ARG(name), what);
}

static void put_progress(struct deployment *d, const struct doc *was)
{
    const struct doc *status = doc_get(d->doc, "status"), *now = condition_get(status, "Progressing");
    if (deployment_is_complete(d, status)) {
        set(d, "Progressing", "True", "NewReplicaSetAvailable", sentence(d, "has successfully progressed"));
    } else if (made_progress(was, status)) {
        struct condition c = {.type = "Progressing",
                              .status = "True",
                              .reason = "ReplicaSetUpdated",
                              .message = sentence(d, "is progressing"),
                              .has_update_time = true,
                              .refresh = true};
        condition_set(d->r->mem, doc_get(d->doc, "status"), &c, d->now);
    } else if (timed_out(d, now)) {
        set(d, "Progressing", "False", "ProgressDeadlineExceeded", sentence(d, "has timed out progressing"));
    }
}

/* A set that can't make its pods: its condition is the Deployment's. */
static void put_failures(struct deployment *d)
{
    const struct rollout *ro = &d->rollout;
    struct doc *status = doc_get(d->doc, "status");
    const struct doc *failure = NULL;
    if (ro->new_at >= 0)
        failure = condition_get(doc_get(d->sets[ro->new_at].doc, "status"), "ReplicaFailure");
    for (int i = 0; i < ro->count && !failure; i++)
        failure = condition_get(doc_get(d->sets[i].doc, "status"), "ReplicaFailure");
    if (!failure) {
        condition_del(status, "ReplicaFailure");
        return;
    }
    set(d, "ReplicaFailure", str_z(d->r->mem, doc_str(failure, "status")), str_z(d->r->mem, doc_str(failure, "reason")),
        doc_str(failure, "message"));
}

void deployment_status_rollout(struct deployment *d)
{
    struct arena *mem = d->r->mem;
    const struct doc *stored = doc_get(obj_doc(mem, d->obj), "status");
    const struct doc *was = stored ? stored : doc_new_object(mem);
    put_counts(d);
    struct doc *status = doc_get(d->doc, "status");
    if (!has_deadline(d))
        condition_del(status, "Progressing");
    bool settled = doc_int(status, "replicas", 0) == doc_int(status, "updatedReplicas", 0) &&
                   str_is(doc_str(condition_get(was, "Progressing"), "reason"), "NewReplicaSetAvailable");
    if (has_deadline(d) && !settled)
        put_progress(d, was);
    put_failures(d);
    const struct doc *progressing = condition_get(status, "Progressing");
    bool waiting = progressing && !timed_out(d, progressing) && !deployment_is_complete(d, status) &&
                   str_is(doc_str(progressing, "status"), "True");
    if (has_deadline(d) && waiting && !str_is(doc_str(progressing, "reason"), "NewReplicaSetAvailable"))
        d->r->again_ms = left_ms(d, progressing) + 1000;
}
