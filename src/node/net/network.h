/* node/net/network.h - the pod network, Services and cluster DNS of a node, as one table for the agent.
 *
 * Read in this order: link.h (a pod's wire), ipam.h (its address), nft.h (the table in the kernel), services.h (what
 * Services and EndpointSlices ask for, as a plan), proxy.h (watches, plan, writer), dns.h (the name server).
 *
 * Routed, IPv4. Pod addresses come from agent_opts.pod_cidr, the first service address + 9 is the name server
 * (10.96.0.10). Everything the kernel keeps stays when the agent ends, so that pods' connections go on; network_purge()
 * removes it. May use http/, doc/, base/. */
#ifndef SAMPAN_NODE_NET_NETWORK_H
#define SAMPAN_NODE_NET_NETWORK_H

#include "node/node.h"

extern const struct pod_network_ops network_routed;

/* `sampan down`: links, routes, addresses, nftables table and the address records. Only what has our names. 0 or the
 * first -errno; goes on after errors. run_dir as in agent_opts. */
int network_purge(const struct agent_opts *opts);

#endif
