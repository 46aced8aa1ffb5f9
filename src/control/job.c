/* control/job.c - Jobs: pods that are to succeed so many times, and then it is over.
 *
 * Here: the snapshot, the conditions, deadlines and limits. Source: kubernetes pkg/controller/job. */
#include "control/job.h"

#include "control/conditions.h"
#include "control/internal.h"
#include "control/owner.h"

bool job_is_finished(const struct doc *status)
{
    return condition_is(status, "Complete", "True") || condition_is(status, "Failed", "True");
}

static void set(struct job *j, const char *type, const char *status, const char *reason, struct str message)
{
    struct arena *mem = j->r->mem;
    struct condition c = {.type = type, .status = status, .reason = reason, .message = message};
    struct str now = write_time(mem, j->r->wall_ms);
    if (condition_set(mem, j->status, &c, now))
        doc_put_str(mem, condition_get(j->status, type), "lastProbeTime", now);
}

/* ---- the snapshot */

static void load(struct job *j, const struct selector *sel)
{
    int count;
    struct obj **objs = owner_claim(j->r, j->obj, sel, schema_stored("", "pods"), &count);
    j->pods = pods_of(j->r->mem, objs, count);
    j->pod_count = count;
    j->indexed = str_is(doc_str(j->spec, "completionMode"), "Indexed");
    j->completions = doc_int(j->spec, "completions", -1);
    j->suspended = doc_bool(j->spec, "suspend", false);
    j->failure_policy = doc_get(j->spec, "podFailurePolicy");
    j->per_index = j->indexed && doc_get(j->spec, "backoffLimitPerIndex");
    j->only_failed = j->failure_policy || str_is(doc_str(j->spec, "podReplacementPolicy"), "Failed");
    for (int i = 0; i < count; i++) {
        j->active += j->pods[i].active;
        j->ready += j->pods[i].active && j->pods[i].ready;
        j->terminating += j->pods[i].obj->deleting && !j->pods[i].finished;
    }
    if (j->indexed)
        job_load_indexes(j);
}

enum job_action job_pod_action(const struct job *j, const struct pod *p, struct str *ret_message)
{
    return job_failure_match(j->r->mem, j->failure_policy, p, ret_message);
}

static void put_counts(struct job *j)
{
    struct arena *mem = j->r->mem;
    status_count(mem, j->status, "active", j->active);
    doc_put_int(mem, j->status, "ready", j->ready);
    doc_put_int(mem, j->status, "terminating", j->terminating);
}

/* ---- conditions */

static int64_t deadline_left_ms(const struct job *j)
{
    int64_t began = time_ms(doc_str(j->status, "startTime"));
    return began + doc_int(j->spec, "activeDeadlineSeconds", 0) * 1000 - j->r->wall_ms;
}

static void fail(struct job *j, const char *reason, struct str message)
{
    set(j, "FailureTarget", "True", reason, message);
}

static bool fails_by_policy(const struct job *j, struct str *ret_message)
{
    for (int i = 0; j->failure_policy && i < j->pod_count; i++)
        if (job_pod_failed(j, &j->pods[i]) && job_pod_action(j, &j->pods[i], ret_message) == JOB_ACTION_FAIL_JOB)
            return true;
    return false;
}

static bool past_backoff_limit(const struct job *j)
{
    int64_t limit = doc_int(j->spec, "backoffLimit", 6);
    if (j->failed > limit)
        return true;
    if (!str_is(doc_str(doc_path(j->spec, "template", "spec", NULL), "restartPolicy"), "OnFailure"))
        return false;
    int64_t restarts = job_restarts(j->pods, j->pod_count);
    return limit == 0 ? restarts > 0 : restarts >= limit;
}

static bool past_deadline(const struct job *j)
{
    return !j->suspended && doc_get(j->spec, "activeDeadlineSeconds") && doc_str(j->status, "startTime").len &&
           deadline_left_ms(j) <= 0;
}

static void judge_failure(struct job *j)
{
    struct str message;
    int64_t lost = job_indexes_count(&j->lost);
    const struct doc *lost_max = doc_get(j->spec, "maxFailedIndexes");
    if (fails_by_policy(j, &message))
        fail(j, "PodFailurePolicy", message);
    else if (past_backoff_limit(j))
        fail(j, "BackoffLimitExceeded", STR("Job has reached the specified backoff limit"));
    else if (past_deadline(j))
        fail(j, "DeadlineExceeded", STR("Job was active longer than specified deadline"));
    else if (j->per_index && lost_max && lost > doc_int(j->spec, "maxFailedIndexes", 0))
        fail(j, "MaxFailedIndexesExceeded", STR("Job has exceeded the specified maximal number of failed indexes"));
    else if (lost > 0 && lost + j->succeeded >= j->completions)
        fail(j, "FailedIndexes", STR("Job has failed indexes"));
}

static void judge_success(struct job *j)
{
    struct arena *mem = j->r->mem;
    const struct doc *policy = doc_get(j->spec, "successPolicy");
    int rule = j->indexed ? job_success_match(mem, policy, j->completions, &j->done) : -1;
    bool enough = j->completions < 0 ? j->succeeded > 0 : j->succeeded >= j->completions;
    if (rule >= 0)
        set(j, "SuccessCriteriaMet", "True", "SuccessPolicy", str_fmt(mem, "Matched rules at index %d", rule));
    else if (enough && j->active == 0)
        set(j, "SuccessCriteriaMet", "True", "CompletionsReached", STR("Reached expected number of succeeded pods"));
}

/* The last condition is said only when every pod is counted and gone from the nodes. */
static void conclude(struct job *j)
{
    const struct doc *ok = condition_get(j->status, "SuccessCriteriaMet");
    const struct doc *bad = condition_get(j->status, "FailureTarget");
    const struct doc *why = ok ? ok : bad;
    if (!why || !j->settled || j->active || j->terminating)
        return;
    struct arena *mem = j->r->mem;
    const char *reason = str_z(mem, doc_str(why, "reason"));
    struct str message = doc_str(why, "message");
    set(j, ok ? "Complete" : "Failed", "True", reason, message);
    if (ok)
        doc_put_str(mem, j->status, "completionTime", write_time(mem, j->r->wall_ms));
}

static void follow_suspension(struct job *j)
{
    struct arena *mem = j->r->mem;
    bool said = condition_is(j->status, "Suspended", "True");
    if (j->suspended && !said) {
        set(j, "Suspended", "True", "JobSuspended", STR("Job suspended"));
        doc_del(j->status, "startTime");
    } else if (!j->suspended && said) {
        set(j, "Suspended", "False", "JobResumed", STR("Job resumed"));
    }
    if (!j->suspended && !doc_str(j->status, "startTime").len)
        doc_put_str(mem, j->status, "startTime", write_time(mem, j->r->wall_ms));
}

/* ---- what was answered */

static void pod_written(struct job *j, const struct obj *o, enum write_verb verb, struct str name,
                        const struct obj *pod, const struct err *err)
{
    struct reconcile *r = j->r;
    if (verb == WRITE_PATCH && !err && pod)
        job_pod_released(j, pod);
    else if (verb == WRITE_CREATE && !err)
        reconcile_event(r, o, "Normal", "SuccessfulCreate", "Created pod: " STR_FMT, STR_ARG(pod->name));
    else if (verb == WRITE_CREATE && r->failed)
        reconcile_event(r, o, "Warning", "FailedCreate", "Error creating: " STR_FMT, STR_ARG(err->message));
    else if (verb == WRITE_DELETE && !err)
        reconcile_event(r, o, "Normal", "SuccessfulDelete", "Deleted pod: " STR_FMT, STR_ARG(name));
    else if (verb == WRITE_DELETE && r->failed)
        reconcile_event(r, o, "Warning", "FailedDelete", "Error deleting: " STR_FMT, STR_ARG(err->message));
}

static void say_finished(struct job *j, const struct obj *o)
{
    const struct doc *failed = condition_get(j->status, "Failed");
    struct reconcile *r = j->r;
    if (failed) {
        reconcile_event(r, o, "Warning", str_z(r->mem, doc_str(failed, "reason")), STR_FMT,
                        STR_ARG(doc_str(failed, "message")));
        return;
    }
    if (j->completions >= 0 && doc_int(j->status, "succeeded", 0) > j->completions)
        reconcile_event(r, o, "Warning", "TooManySucceededPods",
                        "Too many succeeded pods running after completion count reached");
    reconcile_event(r, o, "Normal", "Completed", "Job completed");
}

static void status_written(struct job *j, const struct obj *o)
{
    bool was = condition_is(j->stored, "Suspended", "True"), is = condition_is(j->status, "Suspended", "True");
    if (is && !was)
        reconcile_event(j->r, o, "Normal", "Suspended", "Job suspended");
    else if (was && !is)
        reconcile_event(j->r, o, "Normal", "Resumed", "Job resumed");
    if (job_is_finished(j->status) && !job_is_finished(j->stored))
        say_finished(j, o);
}

static void written(struct reconcile *r, enum write_verb verb, const struct resource *res, struct str name,
                    const struct obj *obj, const struct err *err)
{
    const struct obj *o = cache_get(r->cache, r->key);
    struct job *j = r->ctx;
    if (!o)
        return;
    if (!strcmp(res->name, "pods"))
        pod_written(j, o, verb, name, obj, err);
    else if (!err)
        status_written(j, o);
}

/* ---- one pass */

static void run_job(struct job *j)
{
    job_track(j);
    follow_suspension(j);
    if (!condition_get(j->status, "SuccessCriteriaMet") && !condition_get(j->status, "FailureTarget")) {
        judge_failure(j);
        if (!condition_get(j->status, "FailureTarget"))
            judge_success(j);
    }
    if (condition_get(j->status, "FailureTarget") || condition_get(j->status, "SuccessCriteriaMet"))
        job_delete_active(j);
    else if (!j->obj->deleting)
        job_manage_pods(j);
    conclude(j);
    bool limited = doc_get(j->spec, "activeDeadlineSeconds") && doc_str(j->status, "startTime").len;
    int64_t left_ms = limited && !condition_get(j->status, "FailureTarget") ? deadline_left_ms(j) : 0;
    if (left_ms > 0 && (!j->r->again_ms || left_ms < j->r->again_ms))
        j->r->again_ms = left_ms;
}

static void reconcile(struct reconcile *r)
{
    const struct obj *o = cache_get(r->cache, r->key);
    if (!o)
        return;
    if (o->res == schema_stored("", "pods")) {
        job_release(r, o);
        return;
    }
    struct job *j = arena_new_of(r->mem, struct job);
    *j = (struct job){.r = r, .obj = o, .doc = obj_doc(r->mem, o)};
    j->spec = doc_get(j->doc, "spec");
    struct doc *stored = doc_get(obj_doc(r->mem, o), "status");
    j->stored = stored ? stored : doc_new_object(r->mem);
    j->status = doc_sub(r->mem, j->doc, "status");
    struct str manager = doc_str(j->spec, "managedBy");
    const struct selector *sel = selector_of(r->mem, o->res, j->doc);
    if (!sel || (manager.len && !str_is(manager, "kubernetes.io/job-controller")))
        return;
    r->ctx = j, r->written = written;
    load(j, sel);
    if (job_is_finished(j->stored)) {
        for (int i = 0; i < j->pod_count; i++)
            if (j->pods[i].finished || j->pods[i].obj->deleting)
                job_release(r, j->pods[i].obj);
        return;
    }
    run_job(j);
    put_counts(j);
    reconcile_update(r, o->res, "status", j->doc);
}

/* ---- what wakes it */

static void on_pod(struct controller *c, const struct cache_event *ev)
{
    const struct resource *jobs = schema_stored("batch", "jobs");
    owner_enqueue(c, jobs, ev);
    if (ev->type == CACHE_DELETED)
        return;
    const struct doc *pod = cache_event_doc(ev);
    if (!meta_has_finalizer(pod, JOB_FINALIZER))
        return;
    const struct doc *ref = owner_controller(pod);
    const struct obj *job = ref ? cache_find(controller_cache(c), jobs, ev->obj->ns, doc_str(ref, "name")) : NULL;
    if (!job || !str_eq(job->uid, doc_str(ref, "uid")))
        controller_enqueue(c, ev->obj->key);
}

static void on_job(struct controller *c, const struct cache_event *ev)
{
    if (ev->type != CACHE_DELETED) {
        controller_enqueue(c, ev->obj->key);
        return;
    }
    cleanup_arena struct arena *mem = arena_new();
    int count;
    struct obj **list = cache_by_owner(controller_cache(c), mem, ev->obj->uid, &count);
    for (int i = 0; i < count; i++)
        if (list[i]->res == schema_stored("", "pods"))
            controller_enqueue(c, list[i]->key);
}

const struct controller_kind controller_job = {
    .name = "job",
    .watches = {{"batch", "jobs", on_job}, {"", "pods", on_pod}},
    .reconcile = reconcile,
};
