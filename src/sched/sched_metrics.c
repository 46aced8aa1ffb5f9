/* sched/sched_metrics.c */
#include "sched/sched_metrics.h"

#include <stdio.h>

#define BUCKETS(a) .buckets = (a), .bucket_count = sizeof(a) / sizeof((a)[0])
static const double attempt_seconds[] = {0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128,
                                         0.256, 0.512, 1.024, 2.048, 4.096, 8.192, 16.384};
static const double sli_seconds[] = {0.01,  0.02,  0.04,  0.08,  0.16,   0.32,   0.64,   1.28,    2.56,    5.12,
                                     10.24, 20.48, 40.96, 81.92, 163.84, 327.68, 655.36, 1310.72, 2621.44, 5242.88};
static const double tries[] = {1, 2, 4, 8, 16};

static struct metric_family attempts_total = {
    .name = "scheduler_schedule_attempts_total",
    .help = "Number of attempts to schedule pods, by the result. 'unschedulable' means a pod could not be scheduled, "
            "while 'error' means an internal scheduler problem.",
    .type = METRIC_COUNTER,
    .labels = {"profile", "result"}};
static struct metric_family attempt_duration = {
    .name = "scheduler_scheduling_attempt_duration_seconds",
    .help = "Scheduling attempt latency in seconds (scheduling algorithm + binding)",
    .type = METRIC_HISTOGRAM,
    .labels = {"profile", "result"},
    BUCKETS(attempt_seconds)};
static struct metric_family sli_duration = {
    .name = "scheduler_pod_scheduling_sli_duration_seconds",
    .help =
        "E2e latency for a pod being scheduled, from the time the pod enters the scheduling queue and might involve "
        "multiple scheduling attempts.",
    .type = METRIC_HISTOGRAM,
    .labels = {"attempts"},
    BUCKETS(sli_seconds)};
static struct metric_family pod_attempts = {.name = "scheduler_pod_scheduling_attempts",
                                            .help = "Number of attempts to successfully schedule a pod.",
                                            .type = METRIC_HISTOGRAM,
                                            BUCKETS(tries)};
static struct metric_family pending = {
    .name = "scheduler_pending_pods",
    .help = "Number of pending pods, by the queue type. 'active' means number of pods in activeQ; 'backoff' means "
            "number of pods in backoffQ; 'unschedulable' means number of pods in unschedulablePods.",
    .type = METRIC_GAUGE,
    .labels = {"queue"}};

void sched_count_attempt(enum attempt_result result, int64_t us)
{
    static const char *const words[] = {"scheduled", "unschedulable", "error"};
    metric_add(metric_get(&attempts_total, SCHEDULER_NAME, words[result]), 1);
    metric_observe(metric_get(&attempt_duration, SCHEDULER_NAME, words[result]), (double)us / 1e6);
}

void sched_count_scheduled(int attempts, int64_t us)
{
    enum { LABEL_MAX = 15 };
    char label[16];
    snprintf(label, sizeof(label), attempts > LABEL_MAX ? "%d+" : "%d", attempts > LABEL_MAX ? LABEL_MAX : attempts);
    metric_observe(metric_get(&sli_duration, label), (double)us / 1e6);
    metric_observe(metric_get(&pod_attempts), attempts);
}

void sched_show_pending(int active, int backoff, int unschedulable)
{
    metric_set(metric_get(&pending, "active"), active);
    metric_set(metric_get(&pending, "backoff"), backoff);
    metric_set(metric_get(&pending, "unschedulable"), unschedulable);
}
