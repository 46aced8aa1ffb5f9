/* control/pods.h - what a pod's state means to whoever owns it. Pure functions of documents.
 *
 * Source: kubernetes pkg/controller/controller_utils.go, pkg/api/v1/pod/util.go. */
#ifndef SAMPAN_CONTROL_PODS_H
#define SAMPAN_CONTROL_PODS_H

#include "control/control.h"

struct pod {
    const struct obj *obj;
    const struct doc *doc;
    bool active;      /* neither finished nor being deleted */
    bool finished;    /* Succeeded or Failed */
    bool ready;       /* condition Ready is True */
    int64_t ready_ms; /* since when; 0: not, or unknown */
    int64_t deletion_cost;
};
struct pod pod_of(struct arena *mem, const struct obj *o);
struct pod pod_read(const struct obj *o, const struct doc *doc); /* doc: o's, already parsed */
bool pod_phase_is(const struct pod *p, const char *phase);
/* Ready for at least min_ready_s. *again_ms, where it is not yet, is lowered to the time when it will be (0: none). */
bool pod_is_available(const struct pod *p, int64_t min_ready_s, int64_t wall_ms, int64_t *again_ms);
struct pod *pods_of(struct arena *mem, struct obj **objs, int count);

/* A pod as the template says, generateName PREFIX-, controlled by owner. */
struct doc *pod_from_template(struct arena *mem, const struct obj *owner, const struct doc *template);
/* Put the `count` pods first that are best deleted: unassigned, pending, not ready, cheap, doubled up on a node (a pod
 * counts its neighbours among `pods`), young. wall_ms: now. */
void pods_rank_for_deletion(struct arena *mem, struct pod *pods, int count, int64_t wall_ms);

#endif
