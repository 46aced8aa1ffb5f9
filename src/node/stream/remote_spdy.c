/* node/stream/remote_spdy.c - channels over SPDY/3.1: a stream each, named by its header "streamtype". */
#include <stdlib.h>

#include "http/spdy.h"
#include "node/stream/remote_priv.h"

static const struct {
    const char *name;
    int version;
} protocols[] = {{"v4.channel.k8s.io", 4}, {"v3.channel.k8s.io", 3}, {"v2.channel.k8s.io", 2}, {"channel.k8s.io", 1}};
enum { PROTOCOLS = sizeof(protocols) / sizeof(protocols[0]) };
static const char *const words[REMOTE_CHANNELS] = {"stdin", "stdout", "stderr", "error", "resize"};

struct spdy_channel {
    struct remote_spdy *c;
    enum remote_channel channel;
    struct stream *s; /* NULL: not opened, or closed */
    bool opened;
};
struct remote_spdy {
    struct remote r;
    struct spdy *spdy;
    struct spdy_channel channels[REMOTE_CHANNELS];
};

static struct remote_spdy *of(struct remote *r)
{
    return (struct remote_spdy *)r;
}

static bool wanted(const struct remote_spdy *c, enum remote_channel channel)
{
    const struct remote_want *w = &c->r.want;
    switch (channel) {
    case REMOTE_STDIN:
        return w->in;
    case REMOTE_STDOUT:
        return w->out;
    case REMOTE_STDERR:
        return w->err;
    case REMOTE_ERROR:
        return true;
    default:
        return w->tty && c->r.version >= 3;
    }
}

static bool complete(const struct remote_spdy *c)
{
    for (int i = 0; i < REMOTE_CHANNELS; i++)
        if (wanted(c, (enum remote_channel)i) && !c->channels[i].opened)
            return false;
    return true;
}

static void on_data(void *ctx, struct str bytes)
{
    struct spdy_channel *h = ctx;
    if (h->channel == REMOTE_STDIN)
        remote_input(&h->c->r, bytes);
    else if (h->channel == REMOTE_RESIZE)
        remote_resize(&h->c->r, bytes);
}

static void on_eof(void *ctx)
{
    struct spdy_channel *h = ctx;
    if (h->channel == REMOTE_STDIN)
        remote_input_end(&h->c->r);
}

static void on_drain(void *ctx)
{
    remote_drain(&((struct spdy_channel *)ctx)->c->r);
}

static void on_stream_close(void *ctx, int error)
{
    ((struct spdy_channel *)ctx)->s = NULL;
}

static const struct stream_events stream_events = {on_data, on_eof, on_drain, on_stream_close};

static bool on_open(void *ctx, struct stream *s, const struct http_header *headers, int header_count)
{
    struct remote_spdy *c = ctx;
    struct str type = STR_NULL;
    for (int i = 0; i < header_count; i++)
        if (str_is(headers[i].name, "streamtype"))
            type = headers[i].value;
    for (int i = 0; i < REMOTE_CHANNELS; i++) {
        struct spdy_channel *h = &c->channels[i];
        if (!str_is(type, words[i]) || h->opened || !wanted(c, h->channel))
            continue;
        h->s = s, h->opened = true;
        stream_on(s, &stream_events, h);
        if (h->channel == REMOTE_STDIN && !c->r.ready)
            stream_pause(s); /* until there is somebody to give it to */
        if (complete(c))
            remote_ready(&c->r);
        return true;
    }
    return false;
}

static void on_close(void *ctx, int error)
{
    remote_closed(ctx);
}

static const struct spdy_events events = {on_open, on_close};

static bool spdy_write(struct remote *r, enum remote_channel channel, struct str bytes)
{
    struct stream *s = of(r)->channels[channel].s;
    return !s || stream_write(s, bytes);
}

static void spdy_pause(struct remote *r, bool paused)
{
    struct stream *s = of(r)->channels[REMOTE_STDIN].s;
    if (s)
        (paused ? stream_pause : stream_resume)(s);
}

static void spdy_finish(struct remote *r)
{
    for (int i = REMOTE_STDOUT; i <= REMOTE_ERROR; i++)
        if (of(r)->channels[i].s)
            stream_shutdown(of(r)->channels[i].s);
    spdy_pause(r, false);
    spdy_close(of(r)->spdy);
}

static void spdy_cut(struct remote *r)
{
    spdy_abort(of(r)->spdy);
}

static const struct remote_ops ops = {spdy_write, spdy_pause, spdy_finish, spdy_cut};

/* The first of the client's that is ours; without any, version 1. NULL: none in common. */
static const char *negotiate(const struct exchange *x, int *ret_version)
{
    bool asked = false;
    for (int i = 0; i < x->header_count; i++) {
        struct str list = x->headers[i].value, item;
        if (!str_is(x->headers[i].name, "x-stream-protocol-version"))
            continue;
        while (str_next(&list, ',', &item)) {
            asked = true;
            for (int p = 0; p < PROTOCOLS; p++)
                if (str_is(str_trim(item), protocols[p].name))
                    return *ret_version = protocols[p].version, protocols[p].name;
        }
    }
    *ret_version = 1;
    return asked ? NULL : "";
}

struct remote *remote_spdy_accept(struct exchange *x, const struct remote_want *want, const struct remote_events *ev,
                                  void *ctx)
{
    int version;
    struct loop *l = x->loop;
    const char *name = negotiate(x, &version);
    if (!x->is_upgrade || !http_token_in(exchange_header(x, "upgrade"), "spdy/3.1")) {
        exchange_reply(x, 400, "text/plain; charset=utf-8",
                       STR("you must specify an Upgrade to SPDY/3.1 or websocket"));
        return NULL;
    }
    if (!name) {
        for (int p = 0; p < PROTOCOLS; p++)
            exchange_add_header(x, "X-Accepted-Stream-Protocol-Versions", str_of(protocols[p].name));
        exchange_reply(x, 403, "text/plain; charset=utf-8",
                       STR("unable to upgrade: unable to negotiate protocol: client and server have none in common"));
        return NULL;
    }
    struct remote_spdy *c = calloc(1, sizeof(*c));
    if (!c)
        abort();
    for (int i = 0; i < REMOTE_CHANNELS; i++)
        c->channels[i] = (struct spdy_channel){.c = c, .channel = (enum remote_channel)i};
    c->r.version = version;
    remote_init(&c->r, &ops, l, want, ev, ctx);
    exchange_set_header(x, "Upgrade", STR("SPDY/3.1"));
    if (*name)
        exchange_set_header(x, "X-Stream-Protocol-Version", str_of(name));
    c->spdy = spdy_new(l, exchange_upgrade(x, 101), &events, c);
    return &c->r;
}
