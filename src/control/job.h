/* control/job.h - what the files of the Job controller share. Private to control/. */
#ifndef SAMPAN_CONTROL_JOB_H
#define SAMPAN_CONTROL_JOB_H

#include "control/control.h"
#include "control/job_plan.h"

#define JOB_FINALIZER   "batch.kubernetes.io/job-tracking"
#define JOB_INDEX_LABEL "batch.kubernetes.io/job-completion-index"

struct job {
    struct reconcile *r;
    const struct obj *obj;
    struct doc *doc, *status; /* ours to change */
    const struct doc *stored; /* the status as it is */
    const struct doc *spec;
    struct pod *pods; /* all, finished and terminating ones too */
    int pod_count;
    int64_t active, ready, terminating;
    int64_t succeeded, failed; /* counted and to be counted */
    bool indexed, suspended;
    int64_t completions; /* -1: none */
    bool *done;          /* indexed: these have succeeded */
    bool settled;        /* nothing is left to be counted */
};

/* job_track.c: counts each finished pod exactly once, then lets it go. */
void job_track(struct job *j);
bool job_pod_failed(const struct job *j, const struct pod *p);
void job_release_orphan(struct reconcile *r, const struct obj *pod); /* its Job is gone */

/* job_pods.c: makes and removes pods. */
void job_manage_pods(struct job *j);
void job_delete_active(struct job *j);

bool job_is_finished(const struct doc *status);

#endif
