/* control/job.h - what the files of the Job controller share. Private to control/.
 *
 * One pass: job.c loads a snapshot, job_track.c counts what ended, job.c judges, job_pods.c makes and removes pods, and
 * the status is written once. job_policy.h, job_backoff.h and job_index.h are the rules, as pure functions. */
#ifndef SAMPAN_CONTROL_JOB_H
#define SAMPAN_CONTROL_JOB_H

#include "control/control.h"
#include "control/job_backoff.h"
#include "control/job_policy.h"

#define JOB_FINALIZER "batch.kubernetes.io/job-tracking"

struct job {
    struct reconcile *r;
    const struct obj *obj;
    struct doc *doc, *status; /* ours to change */
    const struct doc *stored; /* the status as it is */
    const struct doc *spec, *failure_policy;
    struct pod *pods; /* all, finished and terminating ones too */
    int pod_count;
    int64_t active, ready, terminating;
    int64_t succeeded, failed; /* counted and to be counted */
    bool indexed, suspended;
    bool per_index;                       /* indexed, with backoffLimitPerIndex */
    bool only_failed;                     /* podReplacementPolicy Failed: a pod counts as failed when it has ended */
    int64_t completions;                  /* -1: none */
    struct job_indexes stored_done, done; /* indexed: these have succeeded */
    struct job_indexes lost;              /* per_index: these have failed for good */
    const struct pod **held;              /* per_index: the last failed pod of each index that will be tried again; */
    int held_count;                       /* by index */
    bool settled;                         /* nothing is left to be counted */
    struct str *shed;                     /* deleted once their finalizer is gone, so that they don't count */
    int shed_count;
};
bool job_is_finished(const struct doc *status);
bool job_pod_failed(const struct job *j, const struct pod *p);
bool job_pod_is_tracked(const struct pod *p);
enum job_action job_pod_action(const struct job *j, const struct pod *p, struct str *ret_message);

/* job_per_index.c: done, lost and held, from the stored status and the pods that are not counted yet. */
void job_load_indexes(struct job *j);
const struct pod *job_held_pod(const struct job *j, int64_t index); /* NULL: none */

/* job_track.c: counts each finished pod exactly once, then lets it go. */
void job_track(struct job *j);
void job_release(struct reconcile *r, const struct obj *pod); /* takes our finalizer off */

/* job_pods.c: makes and removes pods. */
int64_t job_want_active(int64_t parallelism, int64_t completions, int64_t succeeded, int64_t active);
void job_manage_pods(struct job *j);
void job_delete_active(struct job *j);                     /* they count as failed */
void job_pod_released(struct job *j, const struct obj *o); /* our patch of a pod was answered */

#endif
