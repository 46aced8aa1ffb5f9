/* node/stream/streams_priv.h - what the files of the helper's half share. */
#ifndef SAMPAN_NODE_STREAM_STREAMS_PRIV_H
#define SAMPAN_NODE_STREAM_STREAMS_PRIV_H

#include "http/client.h"
#include "http/server.h"
#include "node/stream/streams.h"

struct streams_auth;
struct streams {
    struct streams_opts o;
    struct arena *keep;
    struct http_server *server;     /* of the tunnel: plain, trusted */
    struct http_server *listener;   /* of the port: TLS, auth.c; NULL: not listening */
    struct tls_context *server_tls; /* NULL: not listening */
    struct tls_context *tunnel_tls; /* NULL: no tunnel */
    struct http_client *api;        /* reviews, as the tunnel's identity; NULL: none */
    char *address;                  /* heap: of the API server */
    char *server_name, *path;
    char *cert, *key, *ca;      /* heap: PEM, of the tunnel */
    struct http_tunnel *tunnel; /* NULL: closed, see retry */
    struct loop_timer retry;
    int backoff_ms;
    struct streams_auth *auth;
    struct list sessions;
    int session_count;
    bool failed_told, open; /* open: the tunnel is */
    unsigned turn;          /* which of the addresses */
};

/* What every session embeds: counted, and cut off when the helper ends. */
struct session {
    struct list link;
    struct streams *owner; /* NULL: ended */
    void (*cut)(struct session *s);
    /* Commands only: an exit code from the agent. */
    uint64_t exec_id; /* 0: none */
    void (*exited)(struct session *s, int code, struct str message);
};
/* False: too many, and the exchange has been answered. */
bool session_begin(struct streams *o, struct session *s, void (*cut)(struct session *s), struct exchange *x);
void session_end(struct session *s); /* safe to repeat */

/* The pod or container of a request. Strings live as long as the exchange; target_dup for longer. */
struct target {
    struct str ns, pod, uid, container;
};
struct target target_dup(struct arena *mem, const struct target *t);
void target_put(struct ipc_body *b, const struct target *t, bool container);

/* route.c. as_status: a Status instead of plain text, as the API server makes of it. */
void route(struct streams *s, struct exchange *x);
void answer_error(struct exchange *x, int status, struct str message, bool as_status);
/* The HTTP code for what the agent said. */
int error_code(int error);

/* auth.c: then(s, x) when allowed, else it answers. */
struct streams_auth *auth_new(struct streams *s);
struct streams_auth *auth_free(struct streams_auth *a);
void auth_check(struct streams *s, struct exchange *x, void (*then)(struct streams *s, struct exchange *x));

/* One each; the exchange is theirs. */
void logs_handle(struct streams *s, struct exchange *x, const struct target *t);
void exec_handle(struct streams *s, struct exchange *x, const struct target *t);
void attach_handle(struct streams *s, struct exchange *x, const struct target *t);
void run_handle(struct streams *s, struct exchange *x, const struct target *t);
void forward_handle(struct streams *s, struct exchange *x, const struct target *t);
void pods_handle(struct streams *s, struct exchange *x, const struct target *t);
void usage_handle(struct streams *s, struct exchange *x, const struct target *t);
void running_pods_handle(struct streams *s, struct exchange *x, const struct target *t);

/* websocket_stream.c: the bytes of binary messages as one stream. Takes w. */
struct websocket;
struct stream *websocket_stream(struct loop *l, struct websocket *w);

#endif
