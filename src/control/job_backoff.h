/* control/job_backoff.h - how long a Job waits before it makes a pod again. Pure functions of its finished pods.
 *
 * Source: kubernetes pkg/controller/job/backoff_utils.go. Ours keeps no record beside the pods: failures whose pods
 * are gone are forgotten, as Kubernetes forgets them when its controller restarts. */
#ifndef SAMPAN_CONTROL_JOB_BACKOFF_H
#define SAMPAN_CONTROL_JOB_BACKOFF_H

#include "control/pods.h"

enum { JOB_BACKOFF_FIRST_MS = 10 * 1000, JOB_BACKOFF_MAX_MS = 10 * 60 * 1000 };

/* When a pod ended: its last container; else since when it is not ready; else its deletion; else its creation. */
int64_t job_pod_finished_ms(const struct pod *p);
/* Milliseconds until a pod may be made again after failures in a row (10 s, doubling); 0: now. */
int64_t job_backoff_left_ms(const struct pod *pods, int count, int64_t wall_ms);
/* The same for one index, whose last failed pod knows by its annotations how many came before; NULL: 0. */
int64_t job_backoff_index_left_ms(const struct pod *last_failed, int64_t wall_ms);
/* Restarts of a Job's pods that restart in place; of all containers. */
int64_t job_restarts(const struct pod *pods, int count);

#endif
