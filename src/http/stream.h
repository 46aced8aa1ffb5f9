/* http/stream.h - one byte stream, whatever carries it: a TCP or Unix socket, TLS over it, an upgraded HTTP/1.1
 * exchange, a stream of an HTTP/2 tunnel, a pair of pipes.
 *
 * Core thread only. Reads are pushed, writes are queued; the one who reads and the one who writes each see
 * back-pressure. May use base/. */
#ifndef SAMPAN_HTTP_STREAM_H
#define SAMPAN_HTTP_STREAM_H

#include "base/loop.h"
#include "base/str.h"

struct stream;

/* What happens to a stream. ctx is the owner's. Set once by stream_on before the next turn of the loop. */
struct stream_events {
    /* Bytes arrived: borrowed until return. Never called while paused. */
    void (*data)(void *ctx, struct str bytes);
    /* The other side will send no more (half close); writing may go on. NULL: treated as a close. */
    void (*eof)(void *ctx);
    /* The queue of writes fell below STREAM_LOW_BYTES after stream_write had returned false. May be NULL. */
    void (*drain)(void *ctx);
    /* Gone, for good: error is 0 or a -errno. The last call; the stream is freed after it returns. */
    void (*close)(void *ctx, int error);
};
enum { STREAM_HIGH_BYTES = 256 << 10, STREAM_LOW_BYTES = 64 << 10 };

void stream_on(struct stream *s, const struct stream_events *events, void *ctx);
/* Bytes with an owner: written without a copy; release(owner) is called once when they are no longer needed. */
struct stream_buf {
    struct str bytes;
    void (*release)(void *owner); /* NULL: the bytes live for ever */
    void *owner;
};
/* Queue a copy. False when more than STREAM_HIGH_BYTES wait: hold back until drain (it is queued all the same). */
bool stream_write(struct stream *s, struct str bytes);
bool stream_write_buf(struct stream *s, struct stream_buf buf);
size_t stream_queued(const struct stream *s);
void stream_shutdown(struct stream *s); /* send what is queued, then half close */
void stream_close(struct stream *s);    /* now; close() follows from the loop with error 0 */
void stream_pause(struct stream *s);    /* stop reading (back-pressure to the peer) */
void stream_resume(struct stream *s);

/* Relay a and b to each other with back-pressure until both have closed; takes both over. done(ctx) may be NULL. */
void stream_join(struct stream *a, struct stream *b, void (*done)(void *ctx), void *ctx);

/* A stream over a descriptor: a connected socket, a pipe, a terminal. Takes fd, closes it at the end. NULL: it can't be
 * polled. */
struct stream *stream_open_fd(struct loop *l, int fd);
/* Connect to "127.0.0.1:80", "[::1]:80" or "unix:/path", plain. Writes wait; refusal comes as close with its -errno.
 * opened may be NULL. NULL: the address is none, or there are no resources (*ret_error, may be NULL). */
struct stream *stream_connect(struct loop *l, const char *address, void (*opened)(void *ctx), void *opened_ctx,
                              int *ret_error);
/* Two ends of one pipe of bytes in both directions (a socketpair). 0 or -errno. */
int stream_pair(struct loop *l, struct stream *ret[2]);

/* When both sides have ended (eof and shutdown), a stream closes by itself with error 0.
 *
 * To be a stream of a new kind, embed this first and provide ops. */
struct stream_ops {
    bool (*write)(struct stream *s, struct stream_buf buf);
    size_t (*queued)(const struct stream *s);
    void (*shutdown)(struct stream *s);
    void (*close)(struct stream *s);
    void (*pause)(struct stream *s, bool paused);
    bool (*write_copy)(struct stream *s, struct str bytes); /* NULL: write with a copy */
};
struct stream {
    const struct stream_ops *ops;
    const struct stream_events *events;
    void *ctx;
};
#endif
