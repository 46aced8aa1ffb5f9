/* control/deployment_rollout.h - how many pods each ReplicaSet of a Deployment should have next. Pure functions.
 *
 * Source: kubernetes pkg/controller/deployment/{rolling,recreate,sync}.go. Ours differs in one thing: Kubernetes counts
 * what ReplicaSets ask for and what their status last said; we count pods as they are as well, so that maxSurge and
 * maxUnavailable hold at every moment and not only once the ReplicaSets have caught up. For the same reason a rolling
 * step waits until every ReplicaSet has seen the size it was last given (status.observedGeneration): before, pods of an
 * older size may still be on their way. */
#ifndef SAMPAN_CONTROL_DEPLOYMENT_ROLLOUT_H
#define SAMPAN_CONTROL_DEPLOYMENT_ROLLOUT_H

#include "doc/doc.h"

struct rollout_set {
    struct str name;
    int64_t spec;      /* spec.replicas */
    int64_t actual;    /* pods that are there: neither finished nor being deleted */
    int64_t available; /* of these */
    int64_t reported;  /* status.availableReplicas */
    int64_t desired;   /* annotation desired-replicas: of the Deployment when this was last scaled; -1: none */
    int64_t max;       /* annotation max-replicas; 0: none */
    bool unseen;  /* spec moved and its controller has not said that it saw: what it does now follows an older one */
    int64_t want; /* result: what spec.replicas should be; begins as spec */
};
struct rollout {
    int64_t replicas, max_surge, max_unavailable; /* resolved: rollout_fenceposts */
    bool recreate;
    bool old_pods_running;    /* Recreate: pods of old sets exist, even if they are being deleted */
    int64_t total_reported;   /* status.replicas of the Deployment */
    struct rollout_set *sets; /* in order of creation */
    int count;
    int new_at; /* the set of the present template; -1: there is none yet */
};

/* maxSurge rounds up, maxUnavailable down; both 0 gives one unavailable, so that a rollout can move. */
void rollout_fenceposts(const struct doc *strategy, int64_t replicas, int64_t *ret_surge, int64_t *ret_unavailable);
/* The Deployment's size changed since some active set was last scaled. */
bool rollout_is_scaling(const struct rollout *in);
/* Spread a new size over the sets in proportion (or give it to the only one). */
void rollout_scale(struct rollout *in);
/* The next step of RollingUpdate or Recreate. */
void rollout_step(struct rollout *in);
/* The size with which the set of a new template starts. */
int64_t rollout_first_size(const struct rollout *in);

#endif
