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
};

/* The process: never returns. fd: the channel. uid: whom to become. */
_Noreturn void net_main(int fd, unsigned uid);

/* One function a message; they answer m->id themselves. */
void net_pull(struct net *n, struct ipc_msg *m);
void net_probe_http(struct net *n, struct ipc_msg *m);
void net_probe_tcp(struct net *n, struct ipc_msg *m);
void net_probe_grpc(struct net *n, struct ipc_msg *m);
/* https probes by libcurl (certificates are not verified, as kubelet does). Answers id. */
void net_probe_https(struct net *n, struct str url, const struct str *headers, size_t count, int64_t timeout_ms,
                     uint32_t id);
/* stream/: attaches what else the helper serves. NULL until it exists. */
struct net_extra {
    void (*start)(struct net *n);
    bool (*message)(struct net *n, struct ipc_msg *m); /* true: taken */
};

#endif
