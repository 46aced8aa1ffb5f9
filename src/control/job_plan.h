/* control/job_plan.h - what a Job should do next, from what its pods did. Pure functions.
 *
 * Source: kubernetes pkg/controller/job/{job_controller,indexed_job_utils,backoff_utils}.go. */
#ifndef SAMPAN_CONTROL_JOB_PLAN_H
#define SAMPAN_CONTROL_JOB_PLAN_H

#include "control/pods.h"

enum { JOB_BACKOFF_FIRST_MS = 10 * 1000, JOB_BACKOFF_MAX_MS = 10 * 60 * 1000 };

/* How many pods should run. completions -1: none given; then one success stops new pods. */
int64_t job_want_active(int64_t parallelism, int64_t completions, int64_t succeeded, int64_t active);
/* Milliseconds until a pod may be made again after failures in a row (10 s, doubling); 0: now. */
int64_t job_backoff_left_ms(const struct pod *pods, int count, int64_t wall_ms);
/* Restarts of a Job's pods that restart in place; of all containers. */
int64_t job_restarts(const struct pod *pods, int count);

/* "1,3-5,7" to a set of n flags, and back. What is out of range is dropped. */
bool *job_indexes_parse(struct arena *mem, struct str text, int64_t n);
struct str job_indexes_text(struct arena *mem, const bool *set, int64_t n);
int64_t job_indexes_count(const bool *set, int64_t n);
int64_t job_pod_index(const struct pod *p, int64_t n); /* -1: none, or out of range */

#endif
