/* node/net/net_priv.h - what the parts of the network share. Internal to node/net/. */
#ifndef SAMPAN_NODE_NET_NET_PRIV_H
#define SAMPAN_NODE_NET_NET_PRIV_H

#include <net/if.h>

#include "node/node.h"

struct ipam;
struct link;
struct nft;
struct proxy;
struct routes;

/* Addresses are in host order. */
struct net_config {
    uint32_t pods, services, cluster; /* this node's pods; services; pods of all nodes */
    int pods_prefix, services_prefix, cluster_prefix;
    uint32_t dns, node; /* node 0: unknown or loopback */
    int mtu;            /* 0: the kernel's default */
};
int net_config_read(const struct agent_opts *o, struct net_config *ret); /* 0 or -EINVAL */

enum { LEAVING_MAX = 256, LEAVE_MS = 3000 };
struct dns_feed;
struct network {
    struct node *node;
    struct net_config config;
    struct link *link;
    struct ipam *ipam;
    struct nft *nft;
    struct proxy *proxy;
    struct dns_feed *dns;
    struct routes *routes;
    char dns_text[16];
    char leaving[LEAVING_MAX][IFNAMSIZ]; /* links of pods that have gone, oldest first */
    int leaving_count;
    struct loop_timer leave_timer;
};

#endif
