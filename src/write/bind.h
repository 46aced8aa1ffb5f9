/* write/bind.h - a pod gets its node, once: by the scheduler, or by whoever posts a Binding.
 *
 * Source: kubernetes pkg/registry/core/pod/storage/storage.go (assignPod). */
#ifndef SAMPAN_WRITE_BIND_H
#define SAMPAN_WRITE_BIND_H

#include "write/write.h"

/* Change the pod as a binding does: node, labels and annotations of the binding, condition PodScheduled. binding: the
 * Binding's metadata, whose uid, where it has one, is a precondition; may be NULL. -1 with CONFLICT and Kubernetes'
 * text when the pod is another one, is going away, is gated or has a node already. */
int bind_pod(struct arena *mem, struct doc *pod, struct str node, const struct doc *binding, struct str now,
             struct err *err);
/* The same as a write of its own. want_uid: the pod that was looked at. */
void write_bind(struct writer *w, const struct user *user, struct str ns, struct str name, struct str want_uid,
                struct str node, write_result_fn *done, void *ctx);
/* Set one condition (metav1 style, by type) in status.conditions; lastTransitionTime moves with the status. True: it
 * changed. */
bool put_condition(struct arena *mem, struct doc *obj, const char *type, const char *status, struct str reason,
                   struct str message, struct str now);

#endif
