/* node/net/dns.h - the name server, in the net helper: no privilege, sockets are the agent's gift.
 *
 * Answers from the zone, forwards the rest to the node's upstreams, in order, each try from a fresh socket with a
 * random id; what comes back must match id, question and sender. Limits: DNS_PENDING_MAX questions with upstreams
 * (beyond: SERVFAIL), DNS_CONNS_MAX TCP clients (beyond: the newest is closed), DNS_CONN_IDLE_MS without a question.
 * Nothing is cached. May use base/. */
#ifndef SAMPAN_NODE_NET_DNS_H
#define SAMPAN_NODE_NET_DNS_H

#include "base/loop.h"
#include "node/ipc.h"

enum {
    DNS_PENDING_MAX = 512,
    DNS_CONNS_MAX = 64,
    DNS_CONN_IDLE_MS = 10000,
    DNS_TRY_MS = 2000,
    DNS_TRIES_MAX = 3,
    DNS_UPSTREAMS_MAX = 3
};

struct dns;
/* A DNS_* message of the agent; makes *dns when it is NULL. False: malformed, or no resources. */
bool dns_message(struct dns **dns, struct loop *l, struct ipc_msg *m);

#endif
