/* http/sendq.c - the queue of waiting writes. */
#include "http/sendq.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { COPY_BYTES_MIN = 512, RING_MIN = 4, RING_KEEP_MAX = 8 };

static void *must(void *p)
{
    if (!p) {
        fputs("sampan: out of memory\n", stderr);
        abort();
    }
    return p;
}

static struct sendq_item *item_at(const struct sendq *q, uint32_t i)
{
    return &q->items[(q->head + i) & (q->cap - 1)];
}

static void ring_grow(struct sendq *q)
{
    uint32_t cap = q->cap ? q->cap * 2 : RING_MIN;
    struct sendq_item *items = must(malloc(cap * sizeof *items));
    for (uint32_t i = 0; i < q->count; i++)
        items[i] = *item_at(q, i);
    free(q->items);
    q->items = items;
    q->cap = cap;
    q->head = 0;
}

static struct sendq_item *append(struct sendq *q)
{
    if (q->count == q->cap)
        ring_grow(q);
    return item_at(q, q->count++);
}

void sendq_push(struct sendq *q, struct stream_buf buf)
{
    if (buf.bytes.len == 0 && !buf.release)
        return;
    if (buf.bytes.len == 0 && q->count == 0) {
        buf.release(buf.owner);
        return;
    }
    *append(q) = (struct sendq_item){buf.bytes.ptr, buf.bytes.len, buf.release, buf.owner, 0};
    q->bytes += buf.bytes.len;
}

void sendq_copy(struct sendq *q, struct str bytes)
{
    if (bytes.len == 0)
        return;
    q->bytes += bytes.len;
    struct sendq_item *last = q->count ? item_at(q, q->count - 1) : NULL;
    if (last && last->room >= bytes.len) {
        memcpy((char *)last->ptr + last->len, bytes.ptr, bytes.len);
        last->len += bytes.len;
        last->room -= bytes.len;
        return;
    }
    size_t size = bytes.len > COPY_BYTES_MIN ? bytes.len : COPY_BYTES_MIN;
    char *copy = must(malloc(size));
    memcpy(copy, bytes.ptr, bytes.len);
    *append(q) = (struct sendq_item){copy, bytes.len, free, copy, size - bytes.len};
}

struct str sendq_gather(const struct sendq *q, char *buf, size_t cap)
{
    if (q->count && item_at(q, 0)->len >= cap)
        return str_mem(item_at(q, 0)->ptr, item_at(q, 0)->len);
    size_t n = 0;
    for (uint32_t i = 0; i < q->count && n < cap; i++) {
        const struct sendq_item *it = item_at(q, i);
        size_t part = it->len < cap - n ? it->len : cap - n;
        if (part)
            memcpy(buf + n, it->ptr, part);
        n += part;
    }
    return str_mem(buf, n);
}

int sendq_iov(const struct sendq *q, struct iovec *iov, int max)
{
    int n = 0;
    for (uint32_t i = 0; i < q->count && n < max; i++)
        if (item_at(q, i)->len)
            iov[n++] = (struct iovec){(void *)item_at(q, i)->ptr, item_at(q, i)->len};
    return n;
}

static void ring_trim(struct sendq *q)
{
    if (q->count || q->cap <= RING_KEEP_MAX)
        return;
    free(q->items);
    q->items = NULL;
    q->cap = q->head = 0;
}

static void pop(struct sendq *q)
{
    struct sendq_item it = *item_at(q, 0);
    q->head = (q->head + 1) & (q->cap - 1);
    q->count--;
    ring_trim(q);
    if (it.release)
        it.release(it.owner);
}

void sendq_consume(struct sendq *q, size_t n)
{
    assert(n <= q->bytes);
    q->bytes -= n;
    while (q->count) {
        struct sendq_item *it = item_at(q, 0);
        if (it->len > n) {
            it->ptr += n;
            it->len -= n;
            return;
        }
        n -= it->len;
        pop(q);
    }
}

bool sendq_move(struct sendq *q, size_t n, struct stream *to)
{
    bool more = true;
    assert(n <= q->bytes);
    q->bytes -= n;
    while (q->count) {
        struct sendq_item *it = item_at(q, 0);
        if (it->len > n) {
            if (n)
                more = stream_write_buf(to, (struct stream_buf){str_mem(it->ptr, n), NULL, NULL});
            it->ptr += n;
            it->len -= n;
            break;
        }
        struct stream_buf whole = {str_mem(it->ptr, it->len), it->release, it->owner};
        n -= it->len;
        q->head = (q->head + 1) & (q->cap - 1);
        q->count--;
        more = stream_write_buf(to, whole);
    }
    ring_trim(q);
    return more;
}

void sendq_drop(struct sendq *q, struct stream *to)
{
    q->bytes = 0;
    while (q->count) {
        struct sendq_item it = *item_at(q, 0);
        q->head = (q->head + 1) & (q->cap - 1);
        q->count--;
        if (to && it.release)
            stream_write_buf(to, (struct stream_buf){STR_NULL, it.release, it.owner});
        else if (it.release)
            it.release(it.owner);
    }
    free(q->items);
    *q = (struct sendq){0};
}
