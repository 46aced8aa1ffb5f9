/* node/stream/remote_ws.c - channels over a WebSocket: each message begins with its channel's number. */
#include <stdlib.h>

#include "http/websocket.h"
#include "node/stream/remote_priv.h"

enum { WS_CHANNEL_CLOSE = 255 }; /* v5: the byte behind it is the channel that the client has closed */

static const char *const protocols[] = {
    "v5.channel.k8s.io", "v4.channel.k8s.io",     "v4.base64.channel.k8s.io", "v1.channel.k8s.io",
    "channel.k8s.io",    "base64.channel.k8s.io", "v1.base64.channel.k8s.io", NULL};

struct remote_ws {
    struct remote r;
    struct websocket *w;
    bool base64;
};

static struct remote_ws *of(struct remote *r)
{
    return (struct remote_ws *)r;
}

static void take(struct remote_ws *c, int channel, struct str bytes)
{
    if (channel == REMOTE_STDIN && c->r.want.in && bytes.len)
        remote_input(&c->r, bytes);
    else if (channel == REMOTE_RESIZE && c->r.want.tty && c->r.version >= 3)
        remote_resize(&c->r, bytes);
    else if (channel == WS_CHANNEL_CLOSE && c->r.version >= 5 && bytes.len && bytes.ptr[0] == REMOTE_STDIN)
        remote_input_end(&c->r);
}

static void on_message(void *ctx, bool is_binary, struct str bytes)
{
    struct remote_ws *c = ctx;
    cleanup_arena struct arena *mem = NULL;
    if (bytes.len == 0)
        return;
    int channel = (unsigned char)bytes.ptr[0];
    bytes = str_from(bytes, 1);
    if (c->base64) {
        mem = arena_new();
        channel -= '0';
        if (!str_base64_dec(mem, bytes, &bytes)) {
            websocket_close(c->w, 1007, STR("bad base64"));
            return;
        }
    }
    take(c, channel, bytes);
}

static void on_drain(void *ctx)
{
    remote_drain(ctx);
}

static void on_close(void *ctx, int code)
{
    remote_closed(ctx);
}

static const struct websocket_events events = {on_message, on_drain, on_close};

static bool ws_write(struct remote *r, enum remote_channel channel, struct str bytes)
{
    struct remote_ws *c = of(r);
    char head = (char)channel;
    if (!c->base64)
        return websocket_send2(c->w, /* is_binary= */ true, str_mem(&head, 1), bytes);
    cleanup_arena struct arena *mem = arena_new();
    head = (char)('0' + channel);
    return websocket_send2(c->w, /* is_binary= */ false, str_mem(&head, 1), str_base64(mem, bytes));
}

static void ws_pause(struct remote *r, bool paused)
{
    (paused ? websocket_pause : websocket_resume)(of(r)->w);
}

static void ws_finish(struct remote *r)
{
    websocket_resume(of(r)->w); /* to see the client's answer */
    websocket_close(of(r)->w, 1000, STR_NULL);
}

static void ws_cut(struct remote *r)
{
    websocket_abort(of(r)->w);
}

static const struct remote_ops ops = {ws_write, ws_pause, ws_finish, ws_cut};

struct remote *remote_ws_accept(struct exchange *x, const struct remote_want *want, const struct remote_events *ev,
                                void *ctx)
{
    const char *protocol = NULL;
    struct loop *l = x->loop;
    struct websocket *w = websocket_accept(x, protocols, &protocol);
    if (!w)
        return NULL;
    struct remote_ws *c = calloc(1, sizeof(*c));
    if (!c)
        abort();
    struct str name = str_of(protocol);
    c->w = w;
    c->base64 = str_has(name, STR("base64"));
    c->r.version = str_starts(name, STR("v5")) ? 5 : str_starts(name, STR("v4")) ? 4 : 1;
    remote_init(&c->r, &ops, l, want, ev, ctx);
    websocket_on(w, &events, c);
    websocket_pause(w); /* until there is somebody to give it to */
    /* an empty message on the first channel we write tells the client that all stands */
    ws_write(&c->r, want->out ? REMOTE_STDOUT : want->err ? REMOTE_STDERR : REMOTE_ERROR, STR_NULL);
    remote_ready(&c->r);
    return &c->r;
}
