/* node/stream/streams.h - the kubelet's HTTP endpoint: logs, exec, attach, run, port-forward, pods, healthz.
 *
 * Two halves that meet in node/ipc.h. The net helper (no privilege) reads what strangers send: streams_new. It is
 * reached through the tunnel that it opens to the API server (what comes through that is trusted: the API server has
 * asked its own authorizer), and on a TCP port with TLS, where it asks the API server who and whether (TokenReview,
 * SubjectAccessReview). The agent (root) opens what the helper may not: streams_serve.
 *
 * Read in this order: route.c (paths), auth.c (who may), logs.c with cri.h (a log), command.c (exec, attach) over
 * remote.h (its channels, remote_spdy.c and remote_ws.c) and attachment.h (conmon's socket), forward.c (ports),
 * serve.c (the agent's half). May use http/, doc/, base/. Source: kubernetes pkg/kubelet/server,
 * staging/src/k8s.io/kubelet/pkg/cri/streaming. */
#ifndef SAMPAN_NODE_STREAM_STREAMS_H
#define SAMPAN_NODE_STREAM_STREAMS_H

#include "base/loop.h"
#include "node/ipc.h"

enum {
    STREAMS_SESSIONS_MAX = 256,        /* exec, attach, run, port-forward and followed logs at once; 503 beyond */
    STREAMS_PORTS_MAX = 64,            /* connections of one port-forward at once */
    STREAMS_OPEN_MS_MAX = 30000,       /* from the upgrade until the client has opened its channels */
    STREAMS_IDLE_MS_MAX = 4 * 3600000, /* kubelet's streamingConnectionIdleTimeout */
    STREAMS_FLUSH_MS_MAX = 30000,      /* for the client to take the end of the output */
    STREAMS_QUIET_MS = 500,            /* output that a child of an ended exec still holds open */
    STREAMS_BACKOFF_MS_MIN = 500,
    STREAMS_BACKOFF_MS_MAX = 30000 /* between attempts to open the tunnel */
};

/* ---- in the net helper */
struct streams;
struct streams_opts {
    struct loop *loop;
    struct ipc *agent;
    const char *node_name;
    const char *server_name; /* what the API server's certificate must say; NULL: the host part of its address */
    int port;                /* of the endpoint, on all addresses; 0: 10250; -1: none */
};
/* Strings are copied. Nothing happens until the agent sends certificates (IPC_TLS). */
struct streams *streams_new(const struct streams_opts *o);
struct streams *streams_free(struct streams *s); /* sessions are cut off */
/* A message of the agent that is no reply. False: not for us (its fds are then untouched). */
bool streams_message(struct streams *s, struct ipc_msg *m);
/* Who the helper is to the API server, for what else it asks there. Strings are copied to mem. False: the agent has not
 * said yet, or the server is no TCP address. */
struct streams_identity {
    const char *address, *server_name; /* "10.0.0.1:6443"; what its certificate must say */
    const char *cert, *key, *ca;       /* PEM */
};
bool streams_identity(const struct streams *s, struct arena *mem, struct streams_identity *ret);
/* The server that tests give connections to: http_server_adopt with any identity that is not NULL is trusted. */
struct http_server *streams_server(struct streams *s);

/* ---- in the agent */
struct node;
/* The helper is up (again): give it the certificates that stand beside opts.cert_file (tunnel.crt, kubelet.crt, ...).
 */
void streams_started(struct node *n);
/* A message of the helper. False: not for us. */
bool streams_serve(struct node *n, struct ipc *c, struct ipc_msg *m);
/* The helper is gone: what it had started inside containers ends. */
void streams_gone(struct node *n);

#endif
