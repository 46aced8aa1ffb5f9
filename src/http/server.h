/* http/server.h - an HTTP/1.1 and HTTP/2 server, over TLS or plain.
 *
 * Owns listening sockets and connections; hands each request, complete with its body, to one handler as a struct
 * exchange, and takes the answer, whole or streamed, now or later. Limits and timeouts hold on everything
 * (HTTP_LIMITS). Core thread only. May use base/. RFC 9110, 9112, 9113; TLS 1.2 and 1.3. */
#ifndef SAMPAN_HTTP_SERVER_H
#define SAMPAN_HTTP_SERVER_H

#include "base/arena.h"
#include "base/loop.h"
#include "base/str.h"
#include "http/stream.h"
#include "http/tls.h"

/* Defaults; each has a test that reaches it. */
enum {
    HTTP_HEADER_BYTES_MAX = 64 << 10,
    HTTP_HEADERS_MAX = 128,
    HTTP_BODY_BYTES_MAX = 3 << 20,     /* Kubernetes' limit of a request body; 413 beyond */
    HTTP_BODIES_BYTES_MAX = 256 << 20, /* of all large bodies that are here at once; 503 beyond */
    HTTP_BODY_AHEAD_BYTES = 256 << 10, /* of a streamed body not yet taken by the handler; one read more may come */
    HTTP_CONNS_MAX = 16384,
    HTTP_STREAMS_MAX = 250, /* per HTTP/2 connection */
    HTTP_HANDSHAKE_MS_MAX = 10000,
    HTTP_HEADER_MS_MAX = 32000,    /* from first byte to end of header */
    HTTP_BODY_MS_MAX = 60000,      /* slow bodies (slow loris); of streamed ones from piece to piece */
    HTTP_IDLE_MS_MAX = 180000,     /* keep-alive without a request */
    HTTP_SEND_STALL_MS_MAX = 60000 /* a client that takes nothing while something waits for it */
};

struct http_header {
    struct str name, value; /* name in lower case */
};

struct http_peer {               /* of a connection; valid as long as the exchange */
    struct str address;          /* "192.0.2.1:4711", or "unix", or the name given to http_server_adopt */
    const struct tls_cert *cert; /* the verified client certificate; NULL: none */
    void *identity;              /* what the owner of an adopted stream attached; NULL otherwise */
    uint64_t conn_id;            /* to cache per connection */
};

/* One request and its answer. Everything in it lives in mem until the exchange ends. */
struct exchange {
    struct arena *mem;
    struct loop *loop;
    struct str method;
    struct str path, query; /* as sent, still percent-encoded; query without '?' */
    const struct http_header *headers;
    int header_count;
    struct str body; /* complete; empty when streamed */
    const struct http_peer *peer;
    int http_major;  /* 1 or 2 */
    bool is_upgrade; /* HTTP/1.1 with Connection: Upgrade; body is empty */
    int64_t start_us;
    /* A body that is handed on while it comes (streams_body below): the handler is called first and sets both. bytes
     * are borrowed; the peer is held back by what exchange_body_taken has not acknowledged. Neither is called once the
     * exchange is answered: then the rest is thrown away and HTTP/1.1 closes the connection. */
    bool body_streams;
    void (*on_body)(struct exchange *x, struct str bytes);
    void (*on_body_end)(struct exchange *x);
    /* Called once when the client is gone before the answer was complete; after it no call on the exchange is allowed.
     */
    void (*on_abort)(struct exchange *x);
    /* Called when the queue of a streamed answer has room again, after exchange_write returned false. */
    void (*on_drain)(struct exchange *x);
    /* Called last, whatever happened, just before mem is freed: for metrics and audit. status and sent_bytes are set.
     */
    void (*on_end)(struct exchange *x);
    void *user; /* the handler's */
    int status;
    uint64_t sent_bytes;
};

struct str exchange_header(const struct exchange *x, const char *name_lower); /* empty: absent. First of several */
bool http_token_in(struct str list, const char *token); /* in a comma separated header, case ignored */
void exchange_body_taken(struct exchange *x, size_t n); /* of a streamed body: n bytes more may come */

/* ---- answering: either exchange_reply, or begin / write... / end, or exchange_upgrade. */
/* Headers to be sent with the answer; before reply or begin. Copied. Content-Length and Date are ours. */
void exchange_set_header(struct exchange *x, const char *name, struct str value);
void exchange_add_header(struct exchange *x, const char *name, struct str value); /* may repeat (Warning) */
void exchange_reply(struct exchange *x, int status, const char *content_type,
                    struct str body); /* body lives in mem or for ever */
void exchange_reply_buf(struct exchange *x, int status, const char *content_type, struct stream_buf body); /* no copy */
void exchange_begin(struct exchange *x, int status, const char *content_type); /* streamed: chunked on HTTP/1.1 */
/* Streamed, with its length told: chunks must add up to it, else the exchange is reset at its end. */
void exchange_begin_sized(struct exchange *x, int status, const char *content_type, uint64_t length);
/* False: over STREAM_HIGH_BYTES wait; hold back until on_drain. Queued all the same. */
bool exchange_write(struct exchange *x, struct stream_buf chunk);
void exchange_end(struct exchange *x);
void exchange_reset(struct exchange *x); /* break off: reset the HTTP/2 stream, close the HTTP/1.1 connection */
/* Become a raw stream after `101 Switching Protocols` with the headers set so far (HTTP/1.1), or after 200 to an
 * extended or plain CONNECT (HTTP/2). The exchange ends; copy from mem what is still needed. What the client already
 * sent after its header is delivered as data. */
struct stream *exchange_upgrade(struct exchange *x, int status);

/* ---- the server */
struct http_server;
struct http_server_opts {
    struct loop *loop;
    struct tls_context *tls; /* NULL: plain */
    void (*handle)(void *ctx, struct exchange *x);
    void *ctx;
    /* Asked when the header is complete: how many bytes of body to accept; 0: HTTP_BODY_BYTES_MAX. NULL: always the
     * default. */
    size_t (*body_max)(void *ctx, const struct exchange *x);
    /* Asked when the header of a request with a body is complete: true: call the handler now and stream the body, which
     * then has no limit but the handler's. NULL: never. */
    bool (*streams_body)(void *ctx, const struct exchange *x);
    int conns_max; /* 0: HTTP_CONNS_MAX */
    /* What the server itself answers (400, 408, 413, 431, 503): text is a sentence; NULL: text/plain. In mem. */
    struct str (*error_body)(void *ctx, struct arena *mem, int status, const char *text, const char **ret_content_type);
    /* 0: the default above. For tests, and for those who need others. */
    int64_t handshake_ms_max, header_ms_max, body_ms_max, idle_ms_max, send_stall_ms_max;
};
struct http_server *http_server_new(const struct http_server_opts *opts);
/* Listen on "127.0.0.1:6443", "[::1]:0", "0.0.0.0:6443" or "unix:/path" (mode 0600). May be called several times. 0 or
 * -errno. */
int http_server_listen(struct http_server *s, const char *address);
int http_server_port(const struct http_server *s); /* of the first TCP listener */
/* Serve HTTP/1.1 on a stream made elsewhere (a tunnel), as if accepted: plain, trusted as `identity`. Takes the stream.
 */
void http_server_adopt(struct http_server *s, struct stream *stream, struct str name, void *identity);
/* Stop accepting; let exchanges end for grace_ms (GOAWAY, Connection: close), then close all and call done. */
void http_server_stop(struct http_server *s, int64_t grace_ms, void (*done)(void *ctx), void *ctx);
struct http_server *http_server_free(struct http_server *s); /* closes what is open */

#endif
