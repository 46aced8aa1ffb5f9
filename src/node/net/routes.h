/* node/net/routes.h - the way to the pods of other nodes: a route to each node's range by that node's address.
 *
 * Watches Nodes. A range is routed only where its node is on a link of ours (there is no overlay yet: a node that is
 * not gets one log line and no route, so its pods are unreachable rather than reached by a wrong way). What the kernel
 * has from an agent before us is kept where it is still true and removed where it is not, so restarts cut nothing.
 * An address or a range that two nodes claim goes to the one that was first. May use http/, doc/, base/. */
#ifndef SAMPAN_NODE_NET_ROUTES_H
#define SAMPAN_NODE_NET_ROUTES_H

#include "node/agent/client.h"
#include "node/net/link.h"
#include "node/net/net_priv.h"

struct routes;
/* All are borrowed and must outlive it. self: this node's name. */
struct routes *routes_new(struct api *api, struct link *link, const struct net_config *config, const char *self);
struct routes *routes_free(struct routes *r); /* the kernel keeps what it has */

#endif
