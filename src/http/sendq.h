/* http/sendq.h - bytes waiting to be sent, in order, each piece with its owner.
 *
 * A piece of length 0 is a fence: its owner is released when everything before it has gone. Internal to http/. */
#ifndef SAMPAN_HTTP_SENDQ_H
#define SAMPAN_HTTP_SENDQ_H

#include <sys/uio.h>

#include "http/stream.h"

struct sendq_item {
    const char *ptr;
    size_t len;
    void (*release)(void *owner);
    void *owner;
    size_t room; /* behind the bytes, when they are a copy of ours */
};
struct sendq {
    struct sendq_item *items; /* a ring */
    uint32_t head, count, cap;
    size_t bytes;
};

void sendq_push(struct sendq *q, struct stream_buf buf);
void sendq_copy(struct sendq *q, struct str bytes); /* small neighbours share one allocation */
/* The first bytes, contiguous: in place when the first piece alone fills cap, else gathered in buf. */
struct str sendq_gather(const struct sendq *q, char *buf, size_t cap);
int sendq_iov(const struct sendq *q, struct iovec *iov, int max);
/* n bytes have been sent: drop them, release what is done. */
void sendq_consume(struct sendq *q, size_t n);
/* Hand the first n bytes on to another stream, without copying. False when that stream's queue is over its high mark.
 */
bool sendq_move(struct sendq *q, size_t n, struct stream *to);
/* Drop everything. to: where parts may already wait, which then must go first; NULL: nowhere. */
void sendq_drop(struct sendq *q, struct stream *to);

static inline void stream_buf_release(struct stream_buf buf)
{
    if (buf.release)
        buf.release(buf.owner);
}
#endif
