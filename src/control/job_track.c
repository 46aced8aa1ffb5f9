/* control/job_track.c - every finished pod counts exactly once, whatever dies in between (KEP-2307).
 *
 * A pod holds our finalizer until it is counted. Its uid first goes durably into status.uncountedTerminatedPods (or its
 * index into completedIndexes); only then its finalizer is removed; only when that is seen, the uid moves into the
 * counters. Each step is decided from what is stored, so that it may be repeated. The condition or failed index that a
 * pod causes is written together with its uid, so it too outlives the pod. */
#include "control/conditions.h"
#include "control/job.h"

enum { UNCOUNTED_MAX = 500 };

static bool has_uid(const struct doc *list, struct str uid)
{
    doc_each (u, list) {
        if (str_eq(doc_string(u), uid))
            return true;
    }
    return false;
}

static const struct pod *pod_by_uid(const struct job *j, struct str uid)
{
    for (int i = 0; i < j->pod_count; i++)
        if (str_eq(j->pods[i].obj->uid, uid))
            return &j->pods[i];
    return NULL;
}

bool job_pod_is_tracked(const struct pod *p)
{
    return meta_has_finalizer(p->doc, JOB_FINALIZER);
}

bool job_pod_failed(const struct job *j, const struct pod *p)
{
    if (pod_phase_is(p, "Failed"))
        return true;
    return !j->only_failed && p->obj->deleting && !pod_phase_is(p, "Succeeded");
}

void job_release(struct reconcile *r, const struct obj *o)
{
    struct arena *mem = r->mem;
    struct doc *rest = meta_without_finalizer(mem, obj_doc(mem, o), JOB_FINALIZER);
    if (!rest)
        return;
    struct doc *patch = doc_new_object(mem), *meta = doc_sub(mem, patch, "metadata");
    doc_put_str(mem, meta, "uid", o->uid);
    doc_put_str(mem, meta, "resourceVersion", str_fmt(mem, "%llu", (unsigned long long)o->rev));
    doc_put(mem, meta, "finalizers", doc_len(rest) ? rest : doc_new_null(mem));
    reconcile_merge(r, o->res, NULL, o->ns, o->name, patch);
}

/* Move what is released into the counter. */
static void settle(struct job *j, const char *list_name, const char *counter)
{
    struct arena *mem = j->r->mem;
    struct doc *uncounted = doc_get(j->status, "uncountedTerminatedPods");
    const struct doc *list = doc_get(uncounted, list_name);
    struct doc *rest = doc_new_array(mem);
    int64_t n = doc_int(j->status, counter, 0);
    doc_each (u, list) {
        const struct pod *p = pod_by_uid(j, doc_string(u));
        if (p && job_pod_is_tracked(p))
            doc_push(rest, doc_new_str(mem, doc_string(u)));
        else
            n++;
    }
    status_count(mem, j->status, counter, n);
    if (doc_len(rest))
        doc_put(mem, uncounted, list_name, rest);
    else if (uncounted)
        doc_del(uncounted, list_name);
}

/* ---- what a pod's end means */

enum fate {
    FATE_NONE,      /* it goes on */
    FATE_SUCCEEDED, /* counts, by its index or its uid */
    FATE_FAILED,
    FATE_HELD,    /* failed, but stays until its replacement is there */
    FATE_NO_COUNT /* is let go as if it had not been */
};

static enum fate fate_of_failed(const struct job *j, const struct pod *p)
{
    int64_t index = job_pod_index(p, j->completions);
    bool ending = condition_get(j->stored, "FailureTarget") || condition_get(j->stored, "SuccessCriteriaMet");
    if (j->indexed && index < 0)
        return FATE_NO_COUNT;
    if (j->per_index && !ending && !j->obj->deleting && job_held_pod(j, index) == p)
        return FATE_HELD;
    struct str ignored;
    return job_pod_action(j, p, &ignored) == JOB_ACTION_IGNORE ? FATE_NO_COUNT : FATE_FAILED;
}

static enum fate fate_of(const struct job *j, const struct pod *p)
{
    const struct doc *uncounted = doc_get(j->stored, "uncountedTerminatedPods");
    if (has_uid(doc_get(uncounted, "failed"), p->obj->uid))
        return FATE_FAILED; /* said already, whatever it turned out to be */
    if (pod_phase_is(p, "Succeeded"))
        return j->indexed && job_pod_index(p, j->completions) < 0 ? FATE_NO_COUNT : FATE_SUCCEEDED;
    bool removed = p->obj->deleting && !p->finished;
    if (removed && condition_get(j->stored, "SuccessCriteriaMet"))
        return FATE_NO_COUNT; /* it was not needed any more */
    if (job_pod_failed(j, p) || (removed && condition_get(j->stored, "FailureTarget")))
        return fate_of_failed(j, p);
    return removed && j->obj->deleting ? FATE_NO_COUNT : FATE_NONE;
}

/* Its count is durable: the pod may go. */
static bool is_noted(const struct job *j, const struct pod *p, enum fate fate)
{
    const struct doc *uncounted = doc_get(j->stored, "uncountedTerminatedPods");
    if (fate == FATE_NO_COUNT || job_is_finished(j->stored))
        return true;
    if (fate == FATE_SUCCEEDED && j->indexed)
        return job_indexes_has(&j->stored_done, job_pod_index(p, j->completions));
    return has_uid(doc_get(uncounted, fate == FATE_SUCCEEDED ? "succeeded" : "failed"), p->obj->uid);
}

static void note(struct job *j, const struct pod *p, enum fate fate)
{
    struct arena *mem = j->r->mem;
    if (fate == FATE_SUCCEEDED && j->indexed)
        return; /* j->done has it */
    struct doc *uncounted = doc_sub(mem, j->status, "uncountedTerminatedPods");
    if (doc_len(doc_get(uncounted, "succeeded")) + doc_len(doc_get(uncounted, "failed")) >= UNCOUNTED_MAX)
        return; /* the next pass has room */
    const char *list = fate == FATE_SUCCEEDED ? "succeeded" : "failed";
    doc_push(doc_sub_array(mem, uncounted, list), doc_new_str(mem, p->obj->uid));
}

/* ---- all of them */

static bool counts_as_failed(const struct job *j, const struct pod *p)
{
    struct str ignored;
    return job_pod_action(j, p, &ignored) != JOB_ACTION_IGNORE;
}

static void put_indexes(struct job *j)
{
    struct arena *mem = j->r->mem;
    struct str text = job_indexes_text(&j->done);
    if (text.len)
        doc_put_str(mem, j->status, "completedIndexes", text);
    else
        doc_del(j->status, "completedIndexes");
    if (j->per_index)
        doc_put_str(mem, j->status, "failedIndexes", job_indexes_text(&j->lost));
    j->succeeded = job_indexes_count(&j->done);
    status_count(mem, j->status, "succeeded", j->succeeded);
}

void job_track(struct job *j)
{
    struct arena *mem = j->r->mem;
    settle(j, "succeeded", "succeeded");
    settle(j, "failed", "failed");
    j->settled = true;
    int64_t new_ok = 0, new_bad = 0; /* not noted before this pass */
    const struct doc *uncounted = doc_get(j->status, "uncountedTerminatedPods");
    int64_t noted_ok = doc_len(doc_get(uncounted, "succeeded")), noted_bad = doc_len(doc_get(uncounted, "failed"));
    for (int i = 0; i < j->pod_count; i++) {
        const struct pod *p = &j->pods[i];
        enum fate fate = job_pod_is_tracked(p) ? fate_of(j, p) : FATE_NONE;
        if (fate == FATE_NONE)
            continue;
        j->settled = false;
        if (fate != FATE_HELD && is_noted(j, p, fate)) {
            job_release(j->r, p->obj);
            continue;
        }
        new_ok += fate == FATE_SUCCEEDED;
        new_bad += fate == FATE_FAILED || (fate == FATE_HELD && counts_as_failed(j, p));
        if (fate != FATE_HELD)
            note(j, p, fate);
    }
    j->succeeded = doc_int(j->status, "succeeded", 0) + noted_ok + new_ok;
    j->failed = doc_int(j->status, "failed", 0) + noted_bad + new_bad;
    if (j->indexed)
        put_indexes(j);
    uncounted = doc_get(j->status, "uncountedTerminatedPods");
    j->settled = j->settled && !doc_len(doc_get(uncounted, "succeeded")) && !doc_len(doc_get(uncounted, "failed"));
    if (!doc_len(uncounted))
        doc_put(mem, j->status, "uncountedTerminatedPods", doc_new_object(mem));
}
