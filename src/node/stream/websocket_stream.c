/* node/stream/websocket_stream.c - a struct stream over WebSocket messages, for SPDY tunnelled in it (KEP-4006). */
#include <stdlib.h>

#include "http/websocket.h"
#include "node/stream/streams_priv.h"

struct ws_stream {
    struct stream base;
    struct websocket *w;
    bool close_wanted;
};

static struct ws_stream *of(const struct stream *s)
{
    return (struct ws_stream *)(uintptr_t)s;
}

static void on_message(void *ctx, bool is_binary, struct str bytes)
{
    struct ws_stream *t = ctx;
    if (!t->close_wanted && bytes.len)
        t->base.events->data(t->base.ctx, bytes);
}

static void on_drain(void *ctx)
{
    struct ws_stream *t = ctx;
    if (!t->close_wanted && t->base.events->drain)
        t->base.events->drain(t->base.ctx);
}

static void on_close(void *ctx, int code)
{
    struct ws_stream *t = ctx;
    t->base.events->close(t->base.ctx, 0);
    free(t);
}

static const struct websocket_events events = {on_message, on_drain, on_close};

static bool op_write_copy(struct stream *s, struct str bytes)
{
    return of(s)->close_wanted || websocket_send(of(s)->w, /* is_binary= */ true, bytes);
}

static bool op_write(struct stream *s, struct stream_buf buf)
{
    bool more = op_write_copy(s, buf.bytes);
    if (buf.release)
        buf.release(buf.owner);
    return more;
}

static size_t op_queued(const struct stream *s)
{
    return of(s)->close_wanted ? 0 : websocket_queued(of(s)->w);
}

static void op_shutdown(struct stream *s) /* there is no half close */
{
    websocket_close(of(s)->w, 1000, STR_NULL);
}

static void op_close(struct stream *s)
{
    if (of(s)->close_wanted)
        return;
    of(s)->close_wanted = true;
    websocket_abort(of(s)->w);
}

static void op_pause(struct stream *s, bool paused)
{
    if (!of(s)->close_wanted)
        (paused ? websocket_pause : websocket_resume)(of(s)->w);
}

static const struct stream_ops ops = {op_write, op_queued, op_shutdown, op_close, op_pause, op_write_copy};

struct stream *websocket_stream(struct loop *l, struct websocket *w)
{
    struct ws_stream *t = calloc(1, sizeof(*t));
    if (!t)
        abort();
    t->base.ops = &ops, t->w = w;
    websocket_on(w, &events, t);
    return &t->base;
}
