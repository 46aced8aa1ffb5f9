/* node/agent/enroll.h - the range of pod addresses of this node: asked for once, then known.
 *
 * Who gave none by --pod-cidr registers the Node and waits until the server has written one into its spec; nothing of
 * the node runs before. The answer is kept in STATE/pod-cidr, so that a later start, with or without a server, goes on
 * with the addresses that its pods have. Should the Node object be lost, the new one carries the range as a wish (the
 * annotation sampan.dev/pod-cidr). Source: kubelet's podCIDR from Node.spec. */
#ifndef SAMPAN_NODE_AGENT_ENROLL_H
#define SAMPAN_NODE_AGENT_ENROLL_H

#include "node/node.h"

/* Fills n->opts.pod_cidr. Runs the loop until it is known; for ever, if the server gives none. */
void enroll(struct node *n);
/* The range that the state directory remembers, in mem; NULL: none. */
const char *enroll_remembered(const char *state_dir, struct arena *mem);

#endif
