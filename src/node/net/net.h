/* node/net/net.h - the net helper: an ordinary user, in the agent's network namespace, that reads strangers' bytes
 * (registries, probes' answers; later DNS and the kubelet's endpoint) and tells the agent small typed messages.
 *
 * It holds no privilege, no namespace and no secret but what a message gave it. */
#ifndef SAMPAN_NODE_NET_NET_H
#define SAMPAN_NODE_NET_NET_H

#include "node/ipc.h"

struct net { /* the helper's own state */
    struct loop *loop;
    struct ipc *agent;
    struct streams *streams; /* stream/streams.h */
    struct dns *dns;         /* dns.h; NULL until the agent says DNS_LISTEN */
};

/* The process: never returns. fd: the channel. uid: whom to become. streams: loop and agent are filled here. */
struct streams_opts;
_Noreturn void net_main(int fd, unsigned uid, const struct streams_opts *streams);

/* One function a message; they answer m->id themselves. */
void net_pull(struct net *n, struct ipc_msg *m);
void net_probe_http(struct net *n, struct ipc_msg *m);
void net_probe_tcp(struct net *n, struct ipc_msg *m);
void net_probe_grpc(struct net *n, struct ipc_msg *m);
/* https probes by libcurl (certificates are not verified, as kubelet does). Answers id. */
void net_probe_https(struct net *n, struct str url, const struct str *headers, size_t count, int64_t timeout_ms,
                     uint32_t id);

#endif
