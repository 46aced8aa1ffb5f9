/* control/job_backoff.c - the back-off of Jobs: 10 s, doubling with each failure in a row, at most 10 min. */
#include "control/job_backoff.h"

#include "control/conditions.h"
#include "control/job_index.h"

static bool is_sidecar(const struct pod *p, struct str name)
{
    doc_each (c, doc_path(p->doc, "spec", "initContainers", NULL))
        if (str_eq(doc_str(c, "name"), name))
            return str_is(doc_str(c, "restartPolicy"), "Always");
    return false;
}

/* The later of *last and the end of every container of the list; false: one has not ended. */
static bool latest_end(const struct pod *p, const char *list, bool sidecars_only, int64_t *last)
{
    doc_each (c, doc_path(p->doc, "status", list, NULL)) {
        if (sidecars_only && !is_sidecar(p, doc_str(c, "name")))
            continue;
        int64_t t = time_ms(doc_str(doc_path(c, "state", "terminated", NULL), "finishedAt"));
        if (!t)
            return false;
        *last = t > *last ? t : *last;
    }
    return true;
}

int64_t job_pod_finished_ms(const struct pod *p)
{
    int64_t last = 0;
    if (latest_end(p, "containerStatuses", /* sidecars_only= */ false, &last) &&
        latest_end(p, "initContainerStatuses", /* sidecars_only= */ true, &last) && last)
        return last;
    const struct doc *ready = condition_get(doc_get(p->doc, "status"), "Ready"), *meta = doc_get(p->doc, "metadata");
    last = str_is(doc_str(ready, "status"), "False") ? time_ms(doc_str(ready, "lastTransitionTime")) : 0;
    if (last)
        return last;
    last = time_ms(doc_str(meta, "deletionTimestamp"));
    return last ? last - doc_int(meta, "deletionGracePeriodSeconds", 0) * 1000 : p->obj->created_ms;
}

static int64_t left_ms(int64_t failures, int64_t last_failure_ms, int64_t wall_ms)
{
    int64_t delay = JOB_BACKOFF_FIRST_MS;
    if (!failures)
        return 0;
    for (int64_t i = 1; i < failures && delay < JOB_BACKOFF_MAX_MS; i++)
        delay *= 2;
    int64_t left = last_failure_ms + (delay < JOB_BACKOFF_MAX_MS ? delay : JOB_BACKOFF_MAX_MS) - wall_ms;
    return left > 0 ? left : 0;
}

int64_t job_backoff_left_ms(const struct pod *pods, int count, int64_t wall_ms)
{
    int64_t last_success = 0, last_failure = 0, failures = 0;
    for (int i = 0; i < count; i++)
        if (pod_phase_is(&pods[i], "Succeeded") && job_pod_finished_ms(&pods[i]) > last_success)
            last_success = job_pod_finished_ms(&pods[i]);
    for (int i = 0; i < count; i++) {
        int64_t at = pod_phase_is(&pods[i], "Failed") ? job_pod_finished_ms(&pods[i]) : 0;
        if (at <= last_success)
            continue;
        failures++;
        last_failure = at > last_failure ? at : last_failure;
    }
    return left_ms(failures, last_failure, wall_ms);
}

int64_t job_backoff_index_left_ms(const struct pod *p, int64_t wall_ms)
{
    if (!p)
        return 0;
    int64_t before = job_pod_failures(p, JOB_INDEX_FAILED) + job_pod_failures(p, JOB_INDEX_IGNORED);
    return left_ms(before + 1, job_pod_finished_ms(p), wall_ms);
}

int64_t job_restarts(const struct pod *pods, int count)
{
    static const char *const lists[] = {"containerStatuses", "initContainerStatuses"};
    int64_t n = 0;
    for (int i = 0; i < count; i++) {
        if (pods[i].finished)
            continue;
        for (int l = 0; l < 2; l++)
            doc_each (c, doc_path(pods[i].doc, "status", lists[l], NULL))
                n += doc_int(c, "restartCount", 0);
    }
    return n;
}
