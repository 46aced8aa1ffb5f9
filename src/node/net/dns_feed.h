/* node/net/dns_feed.h - the agent's side of cluster DNS: opens the sockets, and tells the net helper each service.
 *
 * A new helper is told everything; after that only what changes. May use base/, node/ipc.h. */
#ifndef SAMPAN_NODE_NET_DNS_FEED_H
#define SAMPAN_NODE_NET_DNS_FEED_H

#include "node/net/net_priv.h"
#include "node/net/services.h"

struct dns_feed {
    struct loop *loop;
    const struct net_config *config;
    const char *domain;         /* NULL: cluster.local */
    struct services *services;  /* NULL: none yet */
    struct ipc *helper;         /* NULL: there is none */
    bool synced, lagging, deaf; /* lagging: some services have fed false; deaf: the sockets can't be had */
    struct loop_timer retry;
};
void dns_feed_start(struct dns_feed *f, struct loop *l, const struct net_config *c, const char *domain);
void dns_feed_stop(struct dns_feed *f);
void dns_feed_helper(struct dns_feed *f, struct ipc *helper); /* a new one; NULL: it ended */
void dns_feed_changed(struct dns_feed *f, struct service *s); /* or is gone */
void dns_feed_synced(struct dns_feed *f);                     /* what is not there does not exist */
/* IPv4 name servers of a resolv.conf text that are not ours; at most max. */
int dns_upstreams(struct str resolv_conf, struct str own, struct str *ret, int max);

#endif
