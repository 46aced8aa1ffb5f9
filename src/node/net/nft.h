/* node/net/nft.h - the node's own nftables table, inet sampan. No other table is read or touched.
 *
 * The skeleton (nft_skeleton.c) is fixed text, loaded by libnftables, which is opened for that moment only; it is laid
 * over what is there, so a new agent keeps every element and every connection. Elements and the groups that pick
 * endpoints go by libnftnl, one batch (a transaction of the kernel) a change.
 *
 * Calls return 0 or -errno. Synchronous: the kernel answers within the call. May use base/. */
#ifndef SAMPAN_NODE_NET_NFT_H
#define SAMPAN_NODE_NET_NFT_H

#include "node/net/net_priv.h"
#include "node/net/plan.h"

#define NFT_TABLE "sampan"
enum { NFT_MARK = 0x4000, NFT_BATCH_OPS_MAX = 20000 };

struct nft;
/* -ENOENT: no libnftables.so.1; -EINVAL: the kernel refuses the skeleton (logged with what it says). */
int nft_open(const struct net_config *c, struct nft **ret);
struct nft *nft_close(struct nft *n); /* the table stays */

/* All of a plan, in one transaction up to NFT_BATCH_OPS_MAX operations. On failure ask nft_dump() what is. */
int nft_apply(struct nft *n, const struct plan *p);
/* Frontends as the kernel has them, in mem. -EBADMSG: not what we would have left: nft_clear() and start over. */
int nft_dump(struct nft *n, struct arena *mem, struct frontend **ret, size_t *ret_n);
int nft_clear(struct nft *n); /* no frontends */

/* A pod of this node: connections to itself through a service are masqueraded. Safe to repeat. */
int nft_pod(struct nft *n, uint32_t address, bool add);
struct nft_hostport {
    uint32_t host; /* hostIP; 0: every local address */
    uint16_t port;
    uint8_t protocol;
    struct backend to;
};
int nft_hostport(struct nft *n, const struct nft_hostport *h, bool add); /* replaces another with the same key */

/* Forget UDP flows whose endpoint is gone. Best effort: a kernel that can't filter keeps them until they time out. */
void nft_forget_flows(const struct plan_dead *dead, size_t count);

int nft_run(const char *text); /* nftables' language; by libnftables */
int nft_remove_table(void);    /* 0 also when there is none */

#endif
