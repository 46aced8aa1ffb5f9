/* http/spdy.h - SPDY/3.1 over a struct stream, the server's side: what kubectl before 1.31 speaks for exec, attach and
 * port-forward, and what newer ones tunnel through a WebSocket for port-forward.
 *
 * Each stream the client opens is a struct stream with its headers (streamtype, port, requestid). Source: the SPDY/3.1
 * draft. Ours differs where moby/spdystream, the library of all these clients, does: it sends no WINDOW_UPDATE, so a
 * window holds us back only from the first one on; and a stream whose owner has paused it for long pauses the
 * connection. May use base/. Core thread only. */
#ifndef SAMPAN_HTTP_SPDY_H
#define SAMPAN_HTTP_SPDY_H

#include "http/server.h"
#include "http/stream.h"

enum {
    SPDY_STREAMS_MAX = 512,            /* open at once; more are refused */
    SPDY_CONTROL_BYTES_MAX = 64 << 10, /* a control frame, and what its headers unpack to */
    SPDY_HEADERS_MAX = 64,
    SPDY_WINDOW_BYTES = 64 << 10,
    SPDY_BACKLOG_BYTES_MAX = 256 << 10 /* of one paused stream; then the connection is paused */
};

struct spdy;
struct spdy_events {
    /* The client opened a stream; stream_on it before returning true (SYN_REPLY). False refuses it; s must not be used
     * then. headers are borrowed. */
    bool (*open)(void *ctx, struct stream *s, const struct http_header *headers, int header_count);
    /* The connection is gone, all its streams closed before. The last call. */
    void (*close)(void *ctx, int error);
};
/* Takes s. */
struct spdy *spdy_new(struct loop *l, struct stream *s, const struct spdy_events *events, void *ctx);
/* GOAWAY, then close when everything queued has gone. Streams end with error 0; close() follows. */
void spdy_close(struct spdy *c);
void spdy_abort(struct spdy *c); /* now, whatever is queued; close() follows */

#endif
