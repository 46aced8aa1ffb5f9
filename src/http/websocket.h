/* http/websocket.h - RFC 6455 over a struct stream: the server's side, and the client's for proxying and tests.
 *
 * Messages come whole (fragments joined); ping is answered, close is echoed. May use base/. Core thread only. */
#ifndef SAMPAN_HTTP_WEBSOCKET_H
#define SAMPAN_HTTP_WEBSOCKET_H

#include "http/server.h"
#include "http/stream.h"

enum { WEBSOCKET_MESSAGE_BYTES_MAX = 1 << 20 }; /* larger: closed with 1009 */

struct websocket;
struct websocket_events {
    /* A whole message: borrowed until return. Never called while paused. */
    void (*message)(void *ctx, bool is_binary, struct str bytes);
    void (*drain)(void *ctx); /* as of a stream. May be NULL */
    /* The last call. code is the peer's close code, 1005 without one, 1006 when the stream broke. */
    void (*close)(void *ctx, int code);
};

/* Is it a handshake? (GET, Upgrade: websocket; HTTP/2's extended CONNECT is presented likewise.) */
bool websocket_wanted(const struct exchange *x);
/* Answer the handshake. protocols: ours, best first, NULL-terminated; the first of the client's that is among ours is
 * chosen, as Go's servers do, and *ret_protocol (may be NULL) points at it, or is NULL. A client that names only others
 * is refused with 400, unless it names none. NULL: refused (the exchange is answered). */
struct websocket *websocket_accept(struct exchange *x, const char *const *protocols, const char **ret_protocol);
/* Over a stream whose handshake is done. */
struct websocket *websocket_new(struct stream *s, bool is_client);
void websocket_on(struct websocket *w, const struct websocket_events *events, void *ctx);
/* False: over STREAM_HIGH_BYTES wait. Copied. */
bool websocket_send(struct websocket *w, bool is_binary, struct str bytes);
/* Two pieces as one message (a channel byte and its data), without joining them first. */
bool websocket_send2(struct websocket *w, bool is_binary, struct str head, struct str bytes);
size_t websocket_queued(const struct websocket *w);
void websocket_ping(struct websocket *w);
void websocket_pause(struct websocket *w);
void websocket_resume(struct websocket *w);
/* Send a close frame and end once the peer has answered, or after a while. close() follows. */
void websocket_close(struct websocket *w, int code, struct str reason);
void websocket_abort(struct websocket *w); /* now, whatever is queued; close() follows */
/* The value of Sec-WebSocket-Accept for a key. */
struct str websocket_accept_key(struct arena *mem, struct str key);

#endif
