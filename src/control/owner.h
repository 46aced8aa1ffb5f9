/* control/owner.h - whose child an object is, and taking children in by a selector.
 *
 * Source: apimachinery metav1 controller_ref.go; kubernetes pkg/controller/controller_ref_manager.go. */
#ifndef SAMPAN_CONTROL_OWNER_H
#define SAMPAN_CONTROL_OWNER_H

#include "control/control.h"
#include "schema/labels.h"

const struct doc *owner_controller(const struct doc *obj); /* the reference with controller: true; NULL: none */
/* Add the reference of a controller, with blockOwnerDeletion, to metadata. */
void owner_put(struct arena *mem, struct doc *meta, const struct obj *owner);

/* Enqueue the object of res that controls obj, or, when nobody does, every object of res in its namespace whose
 * selector takes it in. For map functions: looks at the state before as well. */
void owner_enqueue(struct controller *c, const struct resource *res, const struct cache_event *ev);

/* The children of owner among the objects of res: those that it controls and its selector matches. One that it
 * controls but no longer matches is released; one that matches and nobody controls is adopted (unless the owner is
 * being deleted) and counts at once. In order of key. */
struct obj **owner_claim(struct reconcile *r, const struct obj *owner, const struct selector *sel,
                         const struct resource *res, int *ret_count);
bool selector_matches_obj(const struct selector *sel, const struct obj *o);
/* The selector of a workload: spec.selector as a LabelSelector, or a plain map for a ReplicationController. */
struct selector *selector_of(struct arena *mem, const struct resource *res, const struct doc *obj);

#endif
