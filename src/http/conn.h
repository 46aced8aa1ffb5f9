/* http/conn.h - inside the server: connections, the exchanges on them, and what HTTP/1.1 and HTTP/2 provide for both.
 *
 * server.c owns connections and their deadlines; h1.c and h2.c each are a conn_proto; exchange.c is the same for both.
 * Internal to http/. */
#ifndef SAMPAN_HTTP_CONN_H
#define SAMPAN_HTTP_CONN_H

#include "base/list.h"
#include "http/server.h"

struct http_conn;
struct xchg;

struct conn_proto {
    void (*data)(struct http_conn *c, struct str bytes);
    void (*eof)(struct http_conn *c);
    void (*drain)(struct http_conn *c);
    void (*gone)(struct http_conn *c, int error);       /* the stream has closed: abort exchanges, free state */
    void (*expired)(struct http_conn *c);               /* the deadline has passed: answer or close */
    int64_t (*sweep)(struct http_conn *c, int64_t now); /* deadlines of its own; returns the next. NULL: none */
    void (*quit)(struct http_conn *c);                  /* end when the exchanges have */
};

struct http_conn {
    struct list link; /* in server->conns */
    struct http_server *server;
    struct stream *s;
    const struct conn_proto *proto; /* NULL: TLS handshake */
    void *state;                    /* the protocol's */
    struct http_peer peer;
    struct tls_cert *cert;
    char address[64];
    int64_t deadline_ms; /* INT64_MAX: none. conn_deadline sets it */
    /* Stalled sending: bytes given to the stream, and how many had left it at moved_ms. */
    uint64_t written, left;
    int64_t moved_ms;
    bool is_counted; /* accepted, not adopted */
    bool closing;    /* what still comes is thrown away */
    bool may_stall;  /* upgraded: its owner has back-pressure and limits of its own */
};

struct http_server {
    struct http_server_opts opts;
    struct list conns, listeners;
    int conn_count, conns_max;
    uint64_t next_conn_id;
    struct loop_timer sweep, retry, grace;
    int64_t sweep_at_ms;   /* INT64_MAX: not running */
    size_t body_bytes;     /* of bodies on the heap: at most HTTP_BODIES_BYTES_MAX */
    struct arena **arenas; /* emptied, for the next requests */
    int arena_count;
    int64_t date_s;
    char date[32];
    int arenas_out; /* the server's memory stays until all are back: a tunnel may still send from them */
    bool accept_paused, stopping, freed;
    struct loop_task stopped;
    void (*stop_done)(void *ctx);
    void *stop_ctx;
};

/* server.c */
void conn_deadline(struct http_conn *c, int64_t at_ms); /* INT64_MAX: none */
void conn_will_write(struct http_conn *c, size_t n);    /* before bytes are given to c->s directly */
bool conn_write(struct http_conn *c, struct stream_buf buf);
bool conn_write_copy(struct http_conn *c, struct str bytes);
void conn_linger(struct http_conn *c); /* send what waits, then close, not losing the answer to a reset */
struct arena *server_arena_take(struct http_server *s);
void server_arena_give(struct http_server *s, struct arena *a);
struct str server_date(struct http_server *s); /* IMF-fixdate */
extern const struct conn_proto h1_proto, h2_proto;
int h1_start(struct http_conn *c); /* 0 or -ENOMEM */
int h2_start(struct http_conn *c);

/* exchange.c */
struct xchg_ops {
    void (*reply)(struct xchg *x, int status, const char *content_type, struct stream_buf body);
    void (*begin)(struct xchg *x, int status, const char *content_type);
    bool (*write)(struct xchg *x, struct stream_buf chunk);
    void (*end)(struct xchg *x);
    void (*taken)(struct xchg *x, size_t n); /* of a streamed body */
    void (*reset)(struct xchg *x);
    struct stream *(*upgrade)(struct xchg *x, int status);
    void (*finished)(struct xchg *x); /* done, and nobody is inside a call on it: end it, go on */
};
struct xchg {
    struct exchange x;
    const struct xchg_ops *ops;
    struct http_server *server;
    void *owner; /* the protocol's */
    struct http_header *out;
    int out_count, out_cap;
    int header_cap;
    size_t header_bytes;
    char *body; /* being received; on the heap when large, see xchg_body_add */
    size_t body_cap;
    int refs;       /* the exchange, and each queued buffer that lies in mem */
    int64_t length; /* of a streamed answer; -1: not told */
    bool dispatching, begun, done, is_head, held;
    bool receiving; /* with the handler, while its body comes */
    struct loop_task end_task;
};
struct xchg *xchg_new(struct http_conn *c, const struct xchg_ops *ops, void *owner);
void xchg_unref(void *x); /* the signature of stream_buf.release */
/* Add a header, copied unless in mem; false: too many or too large (431). name must be in lower case. */
bool xchg_header_add(struct xchg *x, struct str name, struct str value);
/* Append to the body. hint: the whole length when known, else 0. False: out of memory, or too
 * many bodies at once (503). */
bool xchg_body_add(struct xchg *x, struct str bytes, size_t hint);
size_t xchg_body_max(struct xchg *x);
bool xchg_streams_body(struct xchg *x); /* true: it is to be dispatched now */
void xchg_body_piece(struct xchg *x, struct str bytes);
void xchg_body_end(struct xchg *x);
void xchg_split_target(struct xchg *x, struct str target);
/* To the handler; when it has answered before returning, ops->finished follows, else from the loop once it has. */
void xchg_dispatch(struct xchg *x);
void xchg_abort(struct xchg *x); /* the client is gone: on_abort when unanswered, on_end, unref */
void xchg_end(struct xchg *x);   /* on_end, unref */
/* A text answer of the server itself (400, 413...), by opts.error_body if given. */
struct str xchg_error_body(struct http_server *s, struct arena *mem, int status, const char *text,
                           const char **ret_type);
const char *http_status_text(int status);
bool http_is_token(struct str s); /* RFC 9110, 5.6.2 */
static inline bool status_has_body(int status)
{
    return status >= 200 && status != 204 && status != 304;
}
#endif
