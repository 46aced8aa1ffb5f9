/* control/job_index.h - the completion indexes of Indexed Jobs: sets of them, and what a pod's annotations say.
 *
 * A set is ordered, disjoint, non-adjacent spans, so that its cost follows its text, not spec.completions (which may be
 * two thousand million). Pure. Source: kubernetes pkg/controller/job/indexed_job_utils.go. */
#ifndef SAMPAN_CONTROL_JOB_INDEX_H
#define SAMPAN_CONTROL_JOB_INDEX_H

#include "control/pods.h"

#define JOB_INDEX_LABEL   "batch.kubernetes.io/job-completion-index"
#define JOB_INDEX_FAILED  "batch.kubernetes.io/job-index-failure-count"
#define JOB_INDEX_IGNORED "batch.kubernetes.io/job-index-ignored-failure-count"

struct job_indexes {
    struct arena *mem;
    struct job_span {
        int64_t first, last;
    } * spans;
    int count, cap;
};
static inline struct job_indexes job_indexes_of(struct arena *mem)
{
    return (struct job_indexes){.mem = mem};
}

/* "1,3-5,7", as status.completedIndexes has it, and back. What is not in 0..n-1 or unreadable is dropped. */
struct job_indexes job_indexes_parse(struct arena *mem, struct str text, int64_t n);
struct str job_indexes_text(const struct job_indexes *set);
void job_indexes_add(struct job_indexes *set, int64_t first, int64_t last);
void job_indexes_merge(struct job_indexes *set, const struct job_indexes *more);
bool job_indexes_has(const struct job_indexes *set, int64_t index);
int64_t job_indexes_count(const struct job_indexes *set);
int64_t job_indexes_overlap(const struct job_indexes *a, const struct job_indexes *b); /* members that both have */
/* The lowest of 0..n-1 that are not in the set, at most max of them. Returns how many. */
int64_t job_indexes_missing(const struct job_indexes *set, int64_t n, int64_t *ret, int64_t max);

int64_t job_pod_index(const struct pod *p, int64_t n); /* -1: none, or not below n */
/* JOB_INDEX_FAILED or JOB_INDEX_IGNORED; 0 where it is absent or no int32. */
int64_t job_pod_failures(const struct pod *p, const char *annotation);

#endif
