/* node/net/link.h - links, addresses, routes and neighbours over rtnetlink.
 *
 * A pod's wire is a veth pair: eth0 in the pod's network namespace with its address as a /32 and a default route by
 * 169.254.1.1, which is an address of the node's lo; on the node a host route to the pod. Both ends know each other by
 * permanent neighbour entries, so nothing is asked by ARP and no neighbour can be imitated; strict reverse path
 * filtering on the node's end drops every source address that is not the pod's.
 *
 * Synchronous: the kernel answers at once (a veth pair costs about a millisecond). Calls return 0 or -errno, are safe
 * to repeat, and change only what has our names. May use base/. */
#ifndef SAMPAN_NODE_NET_LINK_H
#define SAMPAN_NODE_NET_LINK_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define LINK_GATEWAY 0xA9FE0101u /* 169.254.1.1 */
#define LINK_PREFIX  "sam"       /* node's ends: sam + 12 hex digits of a hash of the pod's uid */

struct link_route {
    uint32_t dst, src; /* host order; src 0: the kernel's choice */
    int prefix;
    uint32_t via; /* a gateway on a link of ours; 0: none */
    int ifindex;  /* 0 without via: an unreachable route */
};

struct link;                      /* an rtnetlink socket of the namespace it was opened in */
int link_open(struct link **ret); /* of the calling thread's network namespace */
struct link *link_close(struct link *l);

void link_name(struct str uid, char ret_name[IFNAMSIZ]);
int link_index(const char *name); /* in the calling thread's namespace; 0: no such link */
int link_delete(struct link *l, const char *name);
int link_lo_up(struct link *l);
int link_lo_add(struct link *l, uint32_t address);
int link_lo_remove(struct link *l, uint32_t address);
int link_route_put(struct link *l, const struct link_route *r); /* replaces one with the same destination */
int link_route_remove(struct link *l, const struct link_route *r);
/* Remove those of our routes for which is_stale() says so: after a start, what nobody stands for; at the end, all. */
int link_routes_sweep(struct link *l, bool (*is_stale)(void *ctx, const struct link_route *found), void *ctx);

struct link_pod {
    const char *name;  /* of the node's end */
    const char *netns; /* path of the pod's namespace */
    uint32_t address;  /* host order */
    uint32_t node;     /* source address of the node's own packets to the pod; 0: the kernel's choice */
    int mtu;           /* 0: the kernel's default */
};
/* Make the pair and all that belongs to it. Anything half made of that name is replaced; on failure nothing stays. */
int link_pod_add(struct link *l, const struct link_pod *p);
/* The node's end is there and up. */
bool link_pod_intact(const struct link_pod *p);
/* MTU of the link of the default route; 0: there is none. */
int link_uplink_mtu(void);

#endif
