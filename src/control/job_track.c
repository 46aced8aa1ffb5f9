/* control/job_track.c - every finished pod counts exactly once, whatever dies in between (KEP-2307).
 *
 * A pod holds our finalizer until it is counted. Its uid first goes durably into status.uncountedTerminatedPods (or its
 * index into completedIndexes); only then its finalizer is removed; only when that is seen, the uid moves into the
 * counters. Each step is decided from what is stored, so that it may be repeated. */
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

bool job_pod_failed(const struct job *j, const struct pod *p)
{
    if (pod_phase_is(p, "Failed"))
        return true;
    if (str_is(doc_str(j->spec, "podReplacementPolicy"), "Failed"))
        return false;
    return p->obj->deleting && !pod_phase_is(p, "Succeeded");
}

static void release(struct job *j, const struct pod *p)
{
    struct arena *mem = j->r->mem;
    struct doc *rest = meta_without_finalizer(mem, p->doc, JOB_FINALIZER);
    if (!rest)
        return;
    struct doc *patch = doc_new_object(mem), *meta = doc_sub(mem, patch, "metadata");
    doc_put_str(mem, meta, "uid", p->obj->uid);
    doc_put_str(mem, meta, "resourceVersion", str_fmt(mem, "%llu", (unsigned long long)p->obj->rev));
    doc_put(mem, meta, "finalizers", doc_len(rest) ? rest : doc_new_null(mem));
    reconcile_merge(j->r, p->obj->res, NULL, p->obj->ns, p->obj->name, patch);
}

void job_release_orphan(struct reconcile *r, const struct obj *o)
{
    struct job j = {.r = r};
    struct pod p = pod_of(r->mem, o);
    release(&j, &p);
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
        if (p && meta_has_finalizer(p->doc, JOB_FINALIZER))
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

static void note(struct job *j, const struct pod *p, bool success)
{
    struct arena *mem = j->r->mem;
    int64_t index = j->indexed ? job_pod_index(p, j->completions) : -1;
    if (success && j->indexed) {
        if (index >= 0)
            j->done[index] = true;
        return;
    }
    struct doc *uncounted = doc_sub(mem, j->status, "uncountedTerminatedPods");
    if (doc_len(doc_get(uncounted, "succeeded")) + doc_len(doc_get(uncounted, "failed")) >= UNCOUNTED_MAX)
        return;
    doc_push(doc_sub_array(mem, uncounted, success ? "succeeded" : "failed"), doc_new_str(mem, p->obj->uid));
}

/* Its count is durable: the pod may go. */
static bool is_noted(const struct job *j, const struct pod *p, const bool *stored_done)
{
    const struct doc *uncounted = doc_get(j->stored, "uncountedTerminatedPods");
    if (has_uid(doc_get(uncounted, "succeeded"), p->obj->uid) || has_uid(doc_get(uncounted, "failed"), p->obj->uid))
        return true;
    if (!j->indexed || !pod_phase_is(p, "Succeeded"))
        return false;
    int64_t index = job_pod_index(p, j->completions);
    return index < 0 || stored_done[index];
}

void job_track(struct job *j)
{
    struct arena *mem = j->r->mem;
    int64_t n = j->completions < 0 ? 0 : j->completions;
    j->done = job_indexes_parse(mem, doc_str(j->stored, "completedIndexes"), n);
    const bool *stored_done = job_indexes_parse(mem, doc_str(j->stored, "completedIndexes"), n);
    settle(j, "succeeded", "succeeded");
    settle(j, "failed", "failed");
    j->settled = true;
    for (int i = 0; i < j->pod_count; i++) {
        const struct pod *p = &j->pods[i];
        bool success = pod_phase_is(p, "Succeeded");
        if (!meta_has_finalizer(p->doc, JOB_FINALIZER) || (!success && !job_pod_failed(j, p)))
            continue;
        j->settled = false;
        if (is_noted(j, p, stored_done) || job_is_finished(j->stored))
            release(j, p);
        else
            note(j, p, success);
    }
    if (j->indexed) {
        struct str text = job_indexes_text(mem, j->done, n);
        if (text.len)
            doc_put_str(mem, j->status, "completedIndexes", text);
        status_count(mem, j->status, "succeeded", job_indexes_count(j->done, n));
    }
    const struct doc *uncounted = doc_get(j->status, "uncountedTerminatedPods");
    int64_t waiting_ok = doc_len(doc_get(uncounted, "succeeded")), waiting_bad = doc_len(doc_get(uncounted, "failed"));
    j->settled = j->settled && waiting_ok + waiting_bad == 0;
    j->succeeded = doc_int(j->status, "succeeded", 0) + waiting_ok;
    j->failed = doc_int(j->status, "failed", 0) + waiting_bad;
    doc_put(mem, j->status, "uncountedTerminatedPods",
            doc_len(uncounted) ? doc_get(j->status, "uncountedTerminatedPods") : doc_new_object(mem));
}
