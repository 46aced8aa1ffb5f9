/* control/deployment.h - what the files of the Deployment controller share. Private to control/. */
#ifndef SAMPAN_CONTROL_DEPLOYMENT_H
#define SAMPAN_CONTROL_DEPLOYMENT_H

#include "control/control.h"
#include "control/deployment_rollout.h"

#define ANNOTATION_REVISION "deployment.kubernetes.io/revision"
#define ANNOTATION_HISTORY  "deployment.kubernetes.io/revision-history"
#define ANNOTATION_DESIRED  "deployment.kubernetes.io/desired-replicas"
#define ANNOTATION_MAX      "deployment.kubernetes.io/max-replicas"
#define LABEL_TEMPLATE_HASH "pod-template-hash"

struct replica_set {
    const struct obj *obj;
    struct doc *doc; /* ours to change; written when it differs */
    int64_t revision;
};
struct deployment {
    struct reconcile *r;
    const struct obj *obj;
    struct doc *doc; /* ours to change */
    const struct doc *spec;
    struct str now;
    struct replica_set *sets; /* in order of creation, as rollout.sets */
    struct rollout rollout;
};

/* deployment_revision.c: which set has the present template; making one; annotations; history. */
int deployment_find_new(const struct deployment *d);
struct doc *deployment_new_set(struct deployment *d, int64_t size);
void deployment_sync_revision(struct deployment *d); /* of the new set and of the Deployment itself */
void deployment_put_sizes(struct deployment *d, struct replica_set *s);
void deployment_clean_history(struct deployment *d);
bool deployment_same_template(struct arena *mem, const struct doc *deployment, const struct doc *set);

/* deployment_status.c: changes d->doc's status. */
void deployment_paused_condition(struct deployment *d);
void deployment_status_sync(struct deployment *d); /* counts and Available */
void deployment_status_rollout(
    struct deployment *d); /* and Progressing, ReplicaFailure; asks to be run again in time */
bool deployment_is_complete(const struct deployment *d, const struct doc *status);

#endif
