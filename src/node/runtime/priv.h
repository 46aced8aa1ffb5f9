/* node/runtime/priv.h - what the files of runtime/ share. */
#ifndef SAMPAN_NODE_RUNTIME_PRIV_H
#define SAMPAN_NODE_RUNTIME_PRIV_H

#include "node/runtime/runtime.h"

void runtime_hide_unified(bool hybrid); /* in a child with a mount namespace of its own */
int runtime_start_late(struct container *c, const char *fifo);
int rotate_open(struct node *n); /* 0 or -errno */
void rotate_close(struct node *n);
void runtime_abandon(struct container *c); /* the container goes; its creation's answer is ignored */

#endif
