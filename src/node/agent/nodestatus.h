/* node/agent/nodestatus.h - the Node object: registration, status when it changes or every 5 minutes, and the Lease in
 * kube-node-lease every 10 s, which is the heartbeat. Source: kubelet kubelet_node_status.go, component-helpers lease.
 */
#ifndef SAMPAN_NODE_AGENT_NODESTATUS_H
#define SAMPAN_NODE_AGENT_NODESTATUS_H

#include "node/agent/client.h"
#include "node/node.h"

void nodestatus_measure(struct node *n); /* capacity, address: before anything else */
void nodestatus_start(struct node *n);
void nodestatus_stop(struct node *n);
void nodestatus_post(struct node *n, api_done_fn *done, void *ctx); /* create the Node object */
struct doc *nodestatus_build(struct node *n, struct arena *mem);    /* Node.status */

/* image_gc.c: collect images if the disk is nearly full. Cheap when it is not. */
void image_gc_look(struct node *n);

#endif
