/* http/client.h - HTTP to a Sampan (or any) server over one kept connection: HTTP/2 over TLS, many exchanges at once;
 * used by the agent for the API and by the server through an agent's tunnel. Other outgoing requests use libcurl
 * (http/fetch.h).
 *
 * Connects on the first request, again after a failure on the next; never retries a request by itself. Core thread
 * only. May use base/. */
#ifndef SAMPAN_HTTP_CLIENT_H
#define SAMPAN_HTTP_CLIENT_H

#include "base/loop.h"
#include "base/str.h"
#include "http/server.h"
#include "http/stream.h"
#include "http/tls.h"

struct http_client;
struct http_client_opts {
    struct loop *loop;
    /* "10.0.0.1:6443"; "unix:/path": plain HTTP/2 with prior knowledge. Several, separated by commas, are tried in
     * turn: after one that can't be reached the next connection goes to the one behind it. */
    const char *address;
    const char *server_name;  /* for TLS verification and :authority */
    struct tls_context *tls;  /* client context: CA, own certificate; NULL: plain */
    const char *bearer_token; /* NULL: none */
};
struct http_client *http_client_new(const struct http_client_opts *opts);
struct http_client *http_client_free(struct http_client *c); /* open requests end with -ECANCELED */

struct http_reply {
    int status; /* 0: no answer, see error */
    int error;  /* 0 or -errno: connection refused, reset, timed out, bad certificate */
    const struct http_header *headers;
    int header_count;
    struct str body; /* whole; empty when streamed */
};
struct http_request {
    const char *method;
    struct str path;                   /* with query */
    const char *content_type, *accept; /* may be NULL */
    const struct http_header *headers; /* further ones */
    int header_count;
    struct str body;    /* copied */
    int64_t timeout_ms; /* 0: 30 s; for streams: until the header of the answer. -1: none */
    /* Streamed answers (watch, logs): called once with the header, then per chunk; NULL: collect the body, at most 64
     * MiB. */
    void (*on_header)(void *ctx, const struct http_reply *reply);
    void (*on_data)(void *ctx, struct str bytes);
    /* The end, always called once. Everything in reply is borrowed until return. */
    void (*on_done)(void *ctx, const struct http_reply *reply);
    void *ctx;
};
/* The n-th of an address list as above, counted round. */
struct str http_address_nth(const char *list, unsigned n);

struct http_call;
struct http_call *http_client_send(struct http_client *c,
                                   const struct http_request *req); /* NULL: on_done comes from the loop all the same */
void http_call_cancel(struct http_call *call);                      /* on_done comes with -ECANCELED, before return */

/* Open a tunnel to the server: a connection of its own that does `POST path` with `Upgrade: sampan-tunnel`, then
 * serves, on what comes through it, one plain byte stream for each CONNECT of the server (accept is given its
 * authority, e.g. "kubelet" or "10.0.3.4:80"). Ends with closed(ctx, -errno); keeps itself alive by HTTP/2 PING every
 * 15 s. */
struct http_tunnel;
struct http_tunnel *http_tunnel_open(const struct http_client_opts *opts, const char *path,
                                     void (*accept)(void *ctx, struct stream *s, struct str authority),
                                     void (*opened)(void *ctx), void (*closed)(void *ctx, int error), void *ctx);
struct http_tunnel *http_tunnel_close(struct http_tunnel *t);

/* The server's end: take an upgraded stream and dial through it. */
struct http_dialer;
struct http_dialer *http_dialer_new(struct loop *loop, struct stream *upgraded, void (*closed)(void *ctx, int error),
                                    void *ctx);
struct http_dialer *http_dialer_free(struct http_dialer *d);
/* opened(ctx, stream, 0), or opened(ctx, NULL, -errno) when the agent refuses. */
void http_dialer_dial(struct http_dialer *d, struct str authority,
                      void (*opened)(void *ctx, struct stream *s, int error), void *ctx);

/* HTTP/1.1 over any stream, for proxying through the tunnel: send a request, get the header, then the raw body or
 * upgraded bytes. */
void http1_request(struct arena *mem, struct stream *s, const char *method, struct str path,
                   const struct http_header *headers, int header_count, struct str body,
                   void (*on_header)(void *ctx, int status, const struct http_header *headers, int header_count),
                   void (*on_data)(void *ctx, struct str bytes), void (*on_done)(void *ctx, int error), void *ctx);

#endif
