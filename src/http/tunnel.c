/* http/tunnel.c - plain byte streams through one connection that the agent opened: HTTP/2 the other way round.
 *
 * The agent upgrades a connection of its own (POST, Upgrade: sampan-tunnel) and is then the HTTP/2 server on it; the
 * API server is the client and opens a stream with CONNECT for each dial. Restates RFC 9113, 8.5. */
#include <errno.h>
#include <stdlib.h>

#include "http/client.h"
#include "http/h2io.h"
#include "http/socket.h"

enum { TUNNEL_PING_MS = 15000, TUNNEL_STREAMS_MAX = 1000 };

/* ---- both ends: a session over a stream, kept alive by PING */
struct link_end {
    struct h2_session io;
    struct stream *s;
    struct loop *loop;
    struct loop_timer ping;
    bool ping_sent; /* and not answered */
    bool started, closing;
};

static void link_ping(struct link_end *e)
{
    if (e->ping_sent) {
        stream_close(e->s);
        return;
    }
    e->ping_sent = true;
    nghttp2_submit_ping(e->io.ng, NGHTTP2_FLAG_NONE, NULL);
    h2_session_wake(&e->io);
    loop_timer_start(&e->ping, TUNNEL_PING_MS);
}

static int link_start(struct link_end *e, bool is_server, nghttp2_session_callbacks *cb, void *owner)
{
    int r = h2_session_start(&e->io, e->loop, e->s, is_server, cb, owner);
    nghttp2_session_callbacks_del(cb);
    if (r < 0)
        return r;
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, TUNNEL_STREAMS_MAX},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_STREAM_WINDOW_BYTES},
    };
    nghttp2_submit_settings(e->io.ng, NGHTTP2_FLAG_NONE, settings, sizeof settings / sizeof *settings);
    nghttp2_session_set_local_window_size(e->io.ng, NGHTTP2_FLAG_NONE, 0, 4 * H2_CONN_WINDOW_BYTES);
    e->started = true;
    h2_session_wake(&e->io);
    return 0;
}

static int on_data_chunk(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
                         void *user_data)
{
    struct h2_stream *st = nghttp2_session_get_stream_user_data(ng, id);
    if (st && st->is_raw)
        h2_raw_data(st, str_mem((const char *)data, len));
    else
        nghttp2_session_consume(ng, id, len);
    return 0;
}

/* ---- the agent's end */
struct http_tunnel {
    struct link_end e;
    struct arena *mem;
    struct http_client_opts opts;
    const char *path;
    struct socket_dial *dial;
    void (*accept)(void *ctx, struct stream *s, struct str authority);
    void (*opened)(void *ctx);
    void (*closed)(void *ctx, int error);
    void *ctx;
};

static struct http_tunnel *tunnel_of(void *user_data)
{
    return container_of((struct h2_session *)user_data, struct http_tunnel, e.io);
}

struct incoming { /* the owner of a stream until it is accepted */
    struct arena *mem;
    struct str method, authority;
};

static void incoming_free(struct h2_stream *st)
{
    struct incoming *in = st->owner;
    st->owner = NULL;
    if (in)
        arena_free(in->mem);
}

static int tunnel_begin(nghttp2_session *ng, const nghttp2_frame *frame, void *user_data)
{
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct arena *mem = arena_new();
    struct incoming *in = arena_new_of(mem, struct incoming);
    in->mem = mem;
    struct h2_stream *st = h2_stream_new(user_data, frame->hd.stream_id, in);
    nghttp2_session_set_stream_user_data(ng, st->id, st);
    return 0;
}

static int tunnel_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                         const uint8_t *value, size_t value_len, uint8_t flags, void *user_data)
{
    struct h2_stream *st = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    struct incoming *in = st && !st->is_raw ? st->owner : NULL;
    struct str n = str_mem((const char *)name, name_len), v = str_mem((const char *)value, value_len);
    if (in && str_is(n, ":method"))
        in->method = str_dup(in->mem, v);
    else if (in && str_is(n, ":authority"))
        in->authority = str_dup(in->mem, v);
    return 0;
}

/* The owner sees the stream before the answer, so that closing it at once is a refusal. */
static void tunnel_accept(struct http_tunnel *t, struct h2_stream *st)
{
    struct incoming *in = st->owner;
    st->owner = NULL;
    struct stream *raw = h2_stream_raw(st);
    t->accept(t->ctx, raw, in->authority);
    arena_free(in->mem);
    if (st->close_wanted)
        return;
    nghttp2_nv nv = H2_NV(STR(":status"), STR("200"));
    nghttp2_data_provider provider = h2_stream_provider(st);
    nghttp2_submit_response(t->e.io.ng, st->id, &nv, 1, &provider);
    h2_session_wake(&t->e.io);
}

static int tunnel_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *user_data)
{
    struct http_tunnel *t = tunnel_of(user_data);
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK))
        t->e.ping_sent = false;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    struct h2_stream *st = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    struct incoming *in = st && !st->is_raw ? st->owner : NULL;
    if (in && str_is(in->method, "CONNECT"))
        tunnel_accept(t, st);
    else if (in)
        nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, st->id, NGHTTP2_REFUSED_STREAM);
    if (st && st->is_raw && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        h2_raw_eof(st);
    return 0;
}

static int tunnel_stream_close(nghttp2_session *ng, int32_t id, uint32_t code, void *user_data)
{
    struct h2_stream *st = nghttp2_session_get_stream_user_data(ng, id);
    if (!st)
        return 0;
    if (st->is_raw) {
        h2_raw_closed(st, code == NGHTTP2_NO_ERROR ? 0 : -ECONNRESET);
        return 0;
    }
    incoming_free(st);
    h2_stream_free(st);
    return 0;
}

static void tunnel_over(void *owner)
{
    struct http_tunnel *t = owner;
    stream_close(t->e.s);
}

static void tunnel_ping(struct loop_timer *timer)
{
    link_ping(container_of(timer, struct link_end, ping));
}

/* Gone: the streams through it first, then its owner hears. */
static void tunnel_end(struct http_tunnel *t, int error)
{
    loop_timer_stop(&t->e.ping);
    list_each_safe (l, &t->e.io.streams) {
        struct h2_stream *st = container_of(l, struct h2_stream, link);
        if (st->is_raw)
            continue;
        incoming_free(st);
        st->h->s = NULL;
        h2_stream_free(st);
    }
    if (t->e.started)
        h2_session_end(&t->e.io, error);
    if (!t->e.closing)
        t->closed(t->ctx, error);
    arena_free(t->mem); /* and t, which lies in it */
}

static void tunnel_data(void *ctx, struct str bytes)
{
    h2_session_recv(&((struct http_tunnel *)ctx)->e.io, bytes);
}

static void tunnel_drain(void *ctx)
{
    h2_session_flush(&((struct http_tunnel *)ctx)->e.io);
}

static void tunnel_close(void *ctx, int error)
{
    tunnel_end(ctx, error ? error : -ECONNRESET);
}

static const struct stream_events tunnel_events = {.data = tunnel_data, .drain = tunnel_drain, .close = tunnel_close};

/* The answer to the POST. 101: from here the stream carries HTTP/2. */
static void upgrade_header(void *ctx, int status, const struct http_header *headers, int header_count)
{
    struct http_tunnel *t = ctx;
    nghttp2_session_callbacks *cb = NULL;
    if (status != 101 || nghttp2_session_callbacks_new(&cb) != 0) {
        stream_close(t->e.s); /* upgrade_done follows */
        return;
    }
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, tunnel_begin);
    nghttp2_session_callbacks_set_on_header_callback(cb, tunnel_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, tunnel_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, tunnel_stream_close);
    t->e.io.over = tunnel_over;
    if (link_start(&t->e, /* is_server= */ true, cb, t) < 0) {
        stream_close(t->e.s);
        return;
    }
    stream_on(t->e.s, &tunnel_events, t);
    loop_timer_start(&t->e.ping, TUNNEL_PING_MS);
    if (t->opened)
        t->opened(t->ctx);
}

static void upgrade_data(void *ctx, struct str bytes)
{
}

static void upgrade_done(void *ctx, int error)
{
    struct http_tunnel *t = ctx;
    stream_close(t->e.s); /* it holds nothing of t any more */
    tunnel_end(t, error ? error : -ECONNREFUSED);
}

static void on_dialed(void *ctx, struct stream *s, int error)
{
    struct http_tunnel *t = ctx;
    t->dial = NULL;
    if (!s) {
        tunnel_end(t, error);
        return;
    }
    t->e.s = s;
    struct http_header headers[4] = {
        {STR("Host"), str_of(t->opts.server_name ? t->opts.server_name : "localhost")},
        {STR("Connection"), STR("Upgrade")},
        {STR("Upgrade"), STR("sampan-tunnel")},
        {STR("Authorization"), STR_NULL},
    };
    if (t->opts.bearer_token)
        headers[3].value = str_fmt(t->mem, "Bearer %s", t->opts.bearer_token);
    http1_request(t->mem, s, "POST", str_of(t->path), headers, t->opts.bearer_token ? 4 : 3, STR_NULL, upgrade_header,
                  upgrade_data, upgrade_done, t);
}

struct http_tunnel *http_tunnel_open(const struct http_client_opts *opts, const char *path,
                                     void (*accept)(void *ctx, struct stream *s, struct str authority),
                                     void (*opened)(void *ctx), void (*closed)(void *ctx, int error), void *ctx)
{
    struct arena *mem = arena_new();
    struct http_tunnel *t = arena_new_of(mem, struct http_tunnel);
    t->mem = mem;
    t->opts = *opts;
    t->opts.server_name = opts->server_name ? str_z(mem, str_of(opts->server_name)) : NULL;
    t->opts.bearer_token = opts->bearer_token ? str_z(mem, str_of(opts->bearer_token)) : NULL;
    t->path = str_z(mem, str_of(path));
    t->accept = accept;
    t->opened = opened;
    t->closed = closed;
    t->ctx = ctx;
    t->e.loop = opts->loop;
    list_init(&t->e.io.streams);
    loop_timer_init(opts->loop, &t->e.ping, tunnel_ping);
    struct socket_opts so = {.loop = opts->loop,
                             .tls = opts->tls,
                             .server_name = t->opts.server_name,
                             .alpn = "http/1.1",
                             .is_client = true};
    t->dial = socket_dial(&so, opts->address, on_dialed, t);
    return t;
}

struct http_tunnel *http_tunnel_close(struct http_tunnel *t)
{
    if (!t || t->e.closing)
        return NULL;
    t->e.closing = true;
    if (t->dial) {
        socket_dial_cancel(t->dial);
        tunnel_end(t, 0);
    } else {
        stream_close(t->e.s); /* its close ends t */
    }
    return NULL;
}

/* ---- the server's end */
struct http_dialer {
    struct link_end e;
    struct list pending;
    void (*closed)(void *ctx, int error);
    void *ctx;
};
struct dial { /* the owner of a stream until it is opened */
    void (*opened)(void *ctx, struct stream *s, int error);
    void *ctx;
    bool answered;
};

static void dial_end(struct h2_stream *st, int error)
{
    struct dial *d = st->owner;
    st->owner = NULL;
    if (!d)
        return;
    d->opened(d->ctx, NULL, error);
    free(d);
}

static int dialer_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                         const uint8_t *value, size_t value_len, uint8_t flags, void *user_data)
{
    struct h2_stream *st = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    struct dial *d = st && !st->is_raw ? st->owner : NULL;
    if (d && str_is(str_mem((const char *)name, name_len), ":status"))
        d->answered = str_is(str_mem((const char *)value, value_len), "200");
    return 0;
}

static int dialer_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *user_data)
{
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    struct h2_stream *st = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    struct dial *d = st && !st->is_raw ? st->owner : NULL;
    if (d && d->answered) {
        st->owner = NULL;
        d->opened(d->ctx, h2_stream_raw(st), 0);
        free(d);
    } else if (d) {
        dial_end(st, -ECONNREFUSED);
        h2_stream_reset(st, NGHTTP2_CANCEL);
    }
    if (st && st->is_raw && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        h2_raw_eof(st);
    return 0;
}

static int dialer_stream_close(nghttp2_session *ng, int32_t id, uint32_t code, void *user_data)
{
    struct h2_stream *st = nghttp2_session_get_stream_user_data(ng, id);
    if (!st)
        return 0;
    if (st->is_raw) {
        h2_raw_closed(st, code == NGHTTP2_NO_ERROR ? 0 : -ECONNRESET);
        return 0;
    }
    dial_end(st, -ECONNREFUSED);
    h2_stream_free(st);
    return 0;
}

static void dialer_end(struct http_dialer *d, int error)
{
    list_each_safe (l, &d->e.io.streams) {
        struct h2_stream *st = container_of(l, struct h2_stream, link);
        if (st->is_raw)
            continue;
        dial_end(st, error);
        st->h->s = NULL;
        h2_stream_free(st);
    }
    if (d->e.started)
        h2_session_end(&d->e.io, error);
    if (!d->e.closing)
        d->closed(d->ctx, error);
    free(d);
}

static void dialer_data(void *ctx, struct str bytes)
{
    h2_session_recv(&((struct http_dialer *)ctx)->e.io, bytes);
}

static void dialer_drain(void *ctx)
{
    h2_session_flush(&((struct http_dialer *)ctx)->e.io);
}

static void dialer_close(void *ctx, int error)
{
    dialer_end(ctx, error ? error : -ECONNRESET);
}

static const struct stream_events dialer_events = {.data = dialer_data, .drain = dialer_drain, .close = dialer_close};

static void dialer_over(void *owner)
{
    stream_close(((struct http_dialer *)owner)->e.s);
}

struct http_dialer *http_dialer_new(struct loop *loop, struct stream *upgraded, void (*closed)(void *ctx, int error),
                                    void *ctx)
{
    struct http_dialer *d = calloc(1, sizeof *d);
    nghttp2_session_callbacks *cb = NULL;
    if (!d || nghttp2_session_callbacks_new(&cb) != 0)
        abort();
    nghttp2_session_callbacks_set_on_header_callback(cb, dialer_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, dialer_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, dialer_stream_close);
    d->closed = closed;
    d->ctx = ctx;
    d->e.s = upgraded;
    d->e.loop = loop;
    d->e.io.over = dialer_over;
    list_init(&d->e.io.streams);
    stream_on(upgraded, &dialer_events, d);
    if (link_start(&d->e, /* is_server= */ false, cb, d) < 0)
        stream_close(upgraded);
    return d;
}

struct http_dialer *http_dialer_free(struct http_dialer *d)
{
    if (d && !d->e.closing) {
        d->e.closing = true;
        stream_close(d->e.s); /* its close ends d */
    }
    return NULL;
}

void http_dialer_dial(struct http_dialer *d, struct str authority,
                      void (*opened)(void *ctx, struct stream *s, int error), void *ctx)
{
    struct dial *di = calloc(1, sizeof *di);
    if (!di)
        abort();
    *di = (struct dial){opened, ctx, false};
    struct h2_stream *st = h2_stream_new(&d->e.io, 0, di);
    nghttp2_nv nv[] = {H2_NV(STR(":method"), STR("CONNECT")), H2_NV(STR(":authority"), authority)};
    nghttp2_data_provider provider = h2_stream_provider(st);
    int32_t id = d->e.started && !d->e.closing ? nghttp2_submit_request(d->e.io.ng, NULL, nv, 2, &provider, st) : -1;
    if (id < 0) {
        dial_end(st, -ENOTCONN);
        h2_stream_free(st);
        return;
    }
    st->id = id;
    h2_session_wake(&d->e.io);
}
