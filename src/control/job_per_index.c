/* control/job_per_index.c - which indexes of a Job are done, lost or waiting for another try (KEP-3850).
 *
 * How often an index failed is kept in its pods' annotations: a failed pod is held back, uncounted and with its
 * finalizer, until the pod that replaces it is there and carries the sum. */
#include <stdlib.h>

#include "control/conditions.h"
#include "control/job.h"

static bool is_lost(const struct job *j, const struct pod *p)
{
    struct str ignored;
    if (!job_pod_failed(j, p))
        return false;
    enum job_action action = job_pod_action(j, p, &ignored);
    if (action == JOB_ACTION_IGNORE || action == JOB_ACTION_FAIL_INDEX)
        return action == JOB_ACTION_FAIL_INDEX;
    return job_pod_failures(p, JOB_INDEX_FAILED) >= doc_int(j->spec, "backoffLimitPerIndex", 0);
}

static int64_t tries(const struct pod *p)
{
    return job_pod_failures(p, JOB_INDEX_FAILED) + job_pod_failures(p, JOB_INDEX_IGNORED);
}

static int by(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b;
}

static int by_index_then_age(const void *x, const void *y)
{
    const struct pod *a = *(const struct pod *const *)x, *b = *(const struct pod *const *)y;
    int c = by(job_pod_index(a, INT64_MAX), job_pod_index(b, INT64_MAX));
    c = c ? c : by(tries(a), tries(b));
    c = c ? c : by(job_pod_finished_ms(a), job_pod_finished_ms(b));
    return c ? c : str_cmp(a->obj->uid, b->obj->uid);
}

/* Of each index that is to be tried again, the last pod that failed. */
static void hold_back(struct job *j)
{
    struct job_indexes over = job_indexes_of(j->r->mem);
    job_indexes_merge(&over, &j->done);
    job_indexes_merge(&over, &j->lost);
    for (int i = 0; i < j->pod_count; i++) {
        int64_t index = job_pod_index(&j->pods[i], j->completions);
        if (index >= 0 && j->pods[i].active)
            job_indexes_add(&over, index, index);
    }
    const struct pod **list = arena_array(j->r->mem, const struct pod *, j->pod_count + 1);
    int n = 0, kept = 0;
    for (int i = 0; i < j->pod_count; i++) {
        const struct pod *p = &j->pods[i];
        int64_t index = job_pod_index(p, j->completions);
        if (index >= 0 && job_pod_is_tracked(p) && job_pod_failed(j, p) && !job_indexes_has(&over, index))
            list[n++] = p;
    }
    qsort(list, (size_t)n, sizeof(*list), by_index_then_age);
    for (int i = 0; i < n; i++)
        if (i + 1 == n || job_pod_index(list[i], INT64_MAX) != job_pod_index(list[i + 1], INT64_MAX))
            list[kept++] = list[i];
    j->held = list, j->held_count = kept;
}

/* Once its end is said, a Job removes pods: that is no failure of their indexes. */
static bool is_ending(const struct job *j)
{
    return condition_get(j->stored, "FailureTarget") || condition_get(j->stored, "SuccessCriteriaMet");
}

void job_load_indexes(struct job *j)
{
    struct arena *mem = j->r->mem;
    struct str done = doc_str(j->stored, "completedIndexes"), lost = doc_str(j->stored, "failedIndexes");
    j->stored_done = job_indexes_parse(mem, done, j->completions);
    j->done = job_indexes_parse(mem, done, j->completions);
    j->lost = job_indexes_parse(mem, j->per_index ? lost : STR_NULL, j->completions);
    for (int i = 0; i < j->pod_count; i++) {
        const struct pod *p = &j->pods[i];
        int64_t index = job_pod_index(p, j->completions);
        if (index < 0 || !job_pod_is_tracked(p))
            continue;
        if (pod_phase_is(p, "Succeeded"))
            job_indexes_add(&j->done, index, index);
        else if (j->per_index && !is_ending(j) && is_lost(j, p))
            job_indexes_add(&j->lost, index, index);
    }
    if (j->per_index)
        hold_back(j);
}

const struct pod *job_held_pod(const struct job *j, int64_t index)
{
    int low = 0, high = j->held_count;
    while (low < high) {
        int mid = low + (high - low) / 2;
        int64_t at = job_pod_index(j->held[mid], INT64_MAX);
        if (at == index)
            return j->held[mid];
        if (at < index)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}
