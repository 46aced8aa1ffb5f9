/* node/runtime/removal.h - what is left of containers and pods, taken away by the pool.
 *
 * Unmounting, removing cgroups and deleting trees wait for the kernel (a grace period of RCU, a lock that others hold),
 * 20 ms and more where many pods go at once; the loop must not. So a removal is first written down on the loop as a
 * list of paths, which nobody changes any more, and then done in order by the pool. Each step is safe to repeat and on
 * what is not there: after a crash the next agent starts over. May use base/, node/files.h. */
#ifndef SAMPAN_NODE_RUNTIME_REMOVAL_H
#define SAMPAN_NODE_RUNTIME_REMOVAL_H

#include "node/node.h"

struct removal *removal_new(struct node *n);
/* All paths are copied. */
void removal_cgroup(struct removal *r, const char *path); /* with what is below; processes in it are killed first */
void removal_unmount(struct removal *r, const char *path);
void removal_tree(struct removal *r, const char *path);    /* a file, or a directory with what is in it */
void removal_volumes(struct removal *r, const char *path); /* a tree with mounts below: volumes_remove_tree */
/* Do it and free it. done (may be NULL) is called on the loop, with the pod of this uid if there is one by then. */
void removal_start(struct removal *r, struct str uid, void (*done)(struct pod *p));
void removal_now(struct removal *r); /* on this thread, for rare failures */

#endif
