/* http/stream.c - what is the same for every kind of stream, and the relay between two. */
#include "http/stream.h"

#include <assert.h>
#include <stdlib.h>

void stream_on(struct stream *s, const struct stream_events *events, void *ctx)
{
    assert(events->data && events->close);
    s->events = events;
    s->ctx = ctx;
}

static void own_copy_free(void *owner)
{
    free(owner);
}

bool stream_write(struct stream *s, struct str bytes)
{
    if (s->ops->write_copy)
        return s->ops->write_copy(s, bytes);
    char *copy = malloc(bytes.len ? bytes.len : 1);
    if (!copy)
        abort(); /* bounded by the queue's limit: see base/arena.h */
    if (bytes.len)
        memcpy(copy, bytes.ptr, bytes.len);
    return s->ops->write(s, (struct stream_buf){str_mem(copy, bytes.len), own_copy_free, copy});
}

bool stream_write_buf(struct stream *s, struct stream_buf buf)
{
    return s->ops->write(s, buf);
}

size_t stream_queued(const struct stream *s)
{
    return s->ops->queued(s);
}

void stream_shutdown(struct stream *s)
{
    s->ops->shutdown(s);
}

void stream_close(struct stream *s)
{
    s->ops->close(s);
}

void stream_pause(struct stream *s)
{
    s->ops->pause(s, /* paused= */ true);
}

void stream_resume(struct stream *s)
{
    s->ops->pause(s, /* paused= */ false);
}

/* ---- the relay */
struct relay_end {
    struct relay *relay;
    struct stream *s; /* NULL: closed */
    struct relay_end *other;
    bool eof; /* this end will send no more */
};
struct relay {
    struct relay_end a, b;
    void (*done)(void *ctx);
    void *ctx;
};

static void relay_data(void *ctx, struct str bytes)
{
    struct relay_end *e = ctx;
    if (e->other->s && !stream_write(e->other->s, bytes))
        stream_pause(e->s);
}

static void relay_eof(void *ctx)
{
    struct relay_end *e = ctx;
    e->eof = true;
    if (e->other->s)
        stream_shutdown(e->other->s);
}

static void relay_drain(void *ctx)
{
    struct relay_end *e = ctx;
    if (e->other->s && !e->other->eof)
        stream_resume(e->other->s);
}

static void relay_close(void *ctx, int error)
{
    struct relay_end *e = ctx;
    struct relay *r = e->relay;
    e->s = NULL;
    if (e->other->s) {
        if (error || stream_queued(e->other->s) == 0) {
            stream_close(e->other->s);
        } else { /* let what waits reach the other side; it closes by itself when that side has ended too */
            stream_resume(e->other->s);
            stream_shutdown(e->other->s);
        }
        return;
    }
    if (r->done)
        r->done(r->ctx);
    free(r);
}

static const struct stream_events relay_events = {relay_data, relay_eof, relay_drain, relay_close};

void stream_join(struct stream *a, struct stream *b, void (*done)(void *ctx), void *ctx)
{
    struct relay *r = calloc(1, sizeof *r);
    if (!r)
        abort();
    *r = (struct relay){{r, a, &r->b, false}, {r, b, &r->a, false}, done, ctx};
    stream_on(a, &relay_events, &r->a);
    stream_on(b, &relay_events, &r->b);
    stream_resume(a);
    stream_resume(b);
}
