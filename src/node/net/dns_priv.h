/* node/net/dns_priv.h - between dns.c and dns_forward.c. Internal to node/net/. */
#ifndef SAMPAN_NODE_NET_DNS_PRIV_H
#define SAMPAN_NODE_NET_DNS_PRIV_H

#include <netinet/in.h>
#include <uv.h>

#include "node/net/dns.h"
#include "node/net/dns_zone.h"

struct dns_conn { /* a TCP client; lives until closed and no question of it is pending */
    struct list link;
    struct dns *dns;
    uv_tcp_t tcp;
    struct loop_timer idle;
    int refs;
    bool closed, handle_closed;
    size_t len;
    char bytes[1024];
};
void dns_conn_unref(struct dns_conn *c);

struct dns_client {
    struct dns_conn *conn; /* NULL: by UDP, from */
    struct sockaddr_in from;
};
struct dns {
    struct loop *loop;
    struct dns_zone *zone;
    uv_udp_t udp;
    uv_tcp_t tcp;
    bool listening;
    struct list conns, pending;
    int conn_count, pending_count;
    struct sockaddr_in upstreams[DNS_UPSTREAMS_MAX];
    int upstream_count;
    uint16_t upstream_port; /* 0: 53; tests */
    unsigned turn;
};

void dns_reply(struct dns *d, const struct dns_client *c, struct str message);
/* Ask the upstreams q's question, or about target for an ExternalName, and answer the client. Takes mem, in which q and
 * target live. */
void dns_forward(struct dns *d, const struct dns_client *c, struct arena *mem, const struct dns_query *q,
                 const struct dns_name *target);

#endif
