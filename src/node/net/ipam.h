/* node/net/ipam.h - which pod has which address of this node's range.
 *
 * State is one small file an address, named by it and holding the pod's uid, made whole by link(2): so a kill -9 at any
 * moment leaves an address either taken or free. The directory lies with the containers' other records on a tmpfs: both
 * end with the machine's boot. Addresses are given in turn, so that one just released rests as long as possible.
 * Not given: the network's and the broadcast address and the first one (kept for a bridge or gateway).
 * May use base/. One thread. */
#ifndef SAMPAN_NODE_NET_IPAM_H
#define SAMPAN_NODE_NET_IPAM_H

#include "base/ipv4.h"

enum { IPAM_PREFIX_MIN = 16, IPAM_PREFIX_MAX = 30 };
struct ipam;

/* Reads what is there; files that are no address of the range are left alone. 0, -EINVAL (prefix) or -errno. */
int ipam_open(const char *dir, uint32_t network, int prefix, struct ipam **ret);
struct ipam *ipam_close(struct ipam *p);
/* The address that owner has, else a free one. 0, -ENOSPC (all taken) or -errno. O(addresses). */
int ipam_take(struct ipam *p, struct str owner, uint32_t *ret);
/* Claim that very address for owner. -EADDRINUSE: another has it; -ERANGE: not of this range. */
int ipam_claim(struct ipam *p, struct str owner, uint32_t address);
void ipam_release(struct ipam *p, struct str owner);
bool ipam_find(const struct ipam *p, struct str owner, uint32_t *ret);
int ipam_count(const struct ipam *p);
/* Release each for which keep() says no: after a start, what has no link any more. */
void ipam_sweep(struct ipam *p, bool (*keep)(void *ctx, struct str owner, uint32_t address), void *ctx);

#endif
