/* sched/sched_metrics.h - scheduler_*, with kube-scheduler's names, labels and buckets. Internal to sched/. */
#ifndef SAMPAN_SCHED_SCHED_METRICS_H
#define SAMPAN_SCHED_SCHED_METRICS_H

#include "base/metrics.h"

#define SCHEDULER_NAME "default-scheduler"

enum attempt_result { ATTEMPT_SCHEDULED, ATTEMPT_UNSCHEDULABLE, ATTEMPT_ERROR };
/* One pod was tried; us: from its turn to the answer, the binding included. */
void sched_count_attempt(enum attempt_result result, int64_t us);
/* A pod was bound at its attempts-th try, us after it was first to be scheduled. */
void sched_count_scheduled(int attempts, int64_t us);
void sched_show_pending(int active, int backoff, int unschedulable);

#endif
