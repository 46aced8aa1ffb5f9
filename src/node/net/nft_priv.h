/* node/net/nft_priv.h - between the files of nft. Internal to node/net/. */
#ifndef SAMPAN_NODE_NET_NFT_PRIV_H
#define SAMPAN_NODE_NET_NFT_PRIV_H

#include "node/net/nft.h"

struct nftnl_rule;
int nft_skeleton(const struct net_config *c);
/* The rules of a group's chain, or (again) of the chain that a sticky group goes to with a client it knows, whose name
 * is NAME-again. The count, at most 2. */
int nft_group_rules(const struct group *g, const char *chain, bool again, struct nftnl_rule *ret[2]);

#endif
