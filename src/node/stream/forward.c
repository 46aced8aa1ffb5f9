/* node/stream/forward.c - port-forward: connections that the agent makes inside the pod's network, joined with streams
 * of the client: pairs of SPDY streams (directly, or tunnelled through a WebSocket: v2.portforward, KEP-4006), or, over
 * a WebSocket with v4.channel.k8s.io, two channels for each port of the query. Source: kubernetes
 * pkg/cri/streaming/portforward. */
#include <stdlib.h>
#include <unistd.h>

#include "http/spdy.h"
#include "http/url.h"
#include "http/websocket.h"
#include "node/stream/streams_priv.h"

#define PROTOCOL "portforward.k8s.io"
enum { REQUEST_ID_BYTES_MAX = 64 };
static const char *const ws_protocols[] = {"SPDY/3.1+" PROTOCOL, "v4.channel.k8s.io", "v4.base64.channel.k8s.io", NULL};

struct forward;
/* One connection: a pair of streams with the same requestid, or two channels. */
struct pair {
    struct list link; /* in forward.pairs */
    struct forward *f;
    char id[REQUEST_ID_BYTES_MAX];
    uint16_t port;
    struct stream *data, *error; /* NULL: not yet opened, or closed, or (data) joined */
    bool data_opened, error_opened, data_ended, asked, joined, refused;
    uint32_t call;
    struct loop_timer timer; /* for the other one of the pair */
    struct stream *target;   /* of channels */
    int channel;
};
struct forward {
    struct session session;
    struct arena *mem;
    struct loop *loop;
    struct target target;
    struct list pairs;
    int pair_count;
    struct spdy *spdy;    /* NULL: gone, or channels */
    struct websocket *ws; /* NULL: gone, or SPDY */
    bool base64;
};

static void forward_maybe_free(struct forward *f)
{
    if (f->spdy || f->ws || !list_empty(&f->pairs))
        return;
    session_end(&f->session);
    arena_free(f->mem);
}

static struct pair *pair_new(struct forward *f, void (*late)(struct loop_timer *t))
{
    struct pair *p = f->pair_count < STREAMS_PORTS_MAX ? calloc(1, sizeof(*p)) : NULL;
    if (!p)
        return NULL;
    p->f = f;
    loop_timer_init(f->loop, &p->timer, late);
    list_add_tail(&f->pairs, &p->link);
    f->pair_count++;
    return p;
}

static void pair_maybe_free(struct pair *p)
{
    struct forward *f = p->f;
    if (p->data || p->error || p->joined || p->call || p->target)
        return;
    loop_timer_stop(&p->timer);
    list_remove(&p->link);
    f->pair_count--;
    free(p);
    forward_maybe_free(f);
}

static void forget_calls(struct forward *f)
{
    list_each (at, &f->pairs) {
        struct pair *p = container_of(at, struct pair, link);
        if (p->call && f->session.owner)
            ipc_forget(f->session.owner->o.agent, p->call);
        p->call = 0;
    }
}

/* The client's connection is gone: what holds nothing more goes, and with the last one f itself. */
static void release_pairs(struct forward *f)
{
    struct list guard;
    list_add_tail(&f->pairs, &guard); /* keeps f while we walk */
    for (struct list *at = f->pairs.next, *next = at->next; at != &guard; at = next, next = at->next)
        pair_maybe_free(container_of(at, struct pair, link));
    list_remove(&guard);
    forward_maybe_free(f);
}

static void ask(struct pair *p, void (*done)(void *ctx, struct ipc_msg *m))
{
    cleanup_arena struct arena *mem = arena_new();
    struct ipc_body b = IPC_BODY(mem);
    target_put(&b, &p->f->target, false);
    ipc_put_u64(&b, p->port);
    p->asked = true;
    loop_timer_stop(&p->timer);
    p->call = ipc_call(p->f->session.owner->o.agent, IPC_FORWARD, &b, NULL, 0, done, p);
}

static struct stream *take_socket(struct loop *l, struct ipc_msg *m)
{
    if (m->error || m->fd_count == 0)
        return NULL;
    int fd = m->fds[0];
    m->fds[0] = -1;
    return stream_open_fd(l, fd);
}

/* kubelet's and containerd's words */
static struct str problem(struct arena *mem, const struct pair *p, const struct ipc_msg *m)
{
    return str_fmt(mem, "error forwarding port %u to pod " STR_FMT ", uid : " STR_FMT, p->port,
                   STR_ARG(p->f->target.pod), STR_ARG(m->message));
}

/* ---- SPDY */
static void on_joined_end(void *ctx)
{
    struct pair *p = ctx;
    p->joined = false;
    if (p->error)
        stream_shutdown(p->error);
    pair_maybe_free(p);
}

static void refuse(struct pair *p, struct str why)
{
    p->refused = true;
    if (p->error) {
        stream_write(p->error, why);
        stream_shutdown(p->error);
    }
    if (p->data)
        stream_shutdown(p->data);
}

static void unwanted_data(void *ctx, struct str bytes)
{
}

static void unwanted_close(void *ctx, int error)
{
}

static const struct stream_events unwanted_events = {unwanted_data, NULL, NULL, unwanted_close};

static void on_target(void *ctx, struct ipc_msg *m)
{
    struct pair *p = ctx;
    cleanup_arena struct arena *mem = arena_new();
    struct stream *target = take_socket(p->f->loop, m), *data = p->data;
    p->call = 0;
    if (!target) {
        refuse(p, problem(mem, p, m));
    } else if (!data) { /* the client has closed it meanwhile */
        stream_on(target, &unwanted_events, NULL);
        stream_close(target);
    } else {
        p->joined = true, p->data = NULL;
        stream_join(data, target, on_joined_end, p);
        if (p->data_ended)
            stream_shutdown(target);
    }
    pair_maybe_free(p);
}

static void data_data(void *ctx, struct str bytes)
{
}

static void data_eof(void *ctx)
{
    ((struct pair *)ctx)->data_ended = true;
}

static void data_close(void *ctx, int error)
{
    struct pair *p = ctx;
    p->data = NULL;
    if (p->error && !p->refused)
        stream_shutdown(p->error);
    pair_maybe_free(p);
}

static void error_eof(void *ctx) /* kubectl closes its half at once */
{
}

static void error_close(void *ctx, int error)
{
    struct pair *p = ctx;
    p->error = NULL;
    pair_maybe_free(p);
}

static const struct stream_events data_events = {data_data, data_eof, NULL, data_close};
static const struct stream_events error_events = {data_data, error_eof, NULL, error_close};

static void pair_late(struct loop_timer *t)
{
    struct pair *p = container_of(t, struct pair, timer);
    if (p->data)
        stream_close(p->data);
    if (p->error)
        stream_close(p->error);
}

static struct pair *pair_of(struct forward *f, struct str id, uint16_t port)
{
    list_each (at, &f->pairs) {
        struct pair *p = container_of(at, struct pair, link);
        if (str_is(id, p->id) && p->port == port && !p->asked)
            return p;
    }
    struct pair *p = id.len < REQUEST_ID_BYTES_MAX ? pair_new(f, pair_late) : NULL;
    if (p) {
        memcpy(p->id, id.ptr, id.len);
        p->port = port;
        loop_timer_start(&p->timer, STREAMS_OPEN_MS_MAX);
    }
    return p;
}

static struct str header(const struct http_header *h, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (str_is(h[i].name, name))
            return h[i].value;
    return STR_NULL;
}

static bool on_open(void *ctx, struct stream *s, const struct http_header *headers, int count)
{
    struct forward *f = ctx;
    int64_t port;
    struct str type = header(headers, count, "streamtype"), id = header(headers, count, "requestid");
    bool is_data = str_is(type, "data");
    if ((!is_data && !str_is(type, "error")) || !str_to_i64(header(headers, count, "port"), &port) || port < 1 ||
        port > 65535 || id.len == 0 || !f->session.owner)
        return false;
    struct pair *p = pair_of(f, id, (uint16_t)port);
    if (!p || (is_data ? p->data_opened : p->error_opened))
        return false;
    stream_on(s, is_data ? &data_events : &error_events, p);
    if (is_data) {
        p->data = s, p->data_opened = true;
        stream_pause(s); /* until there is a connection */
    } else {
        p->error = s, p->error_opened = true;
    }
    if (p->data && p->error)
        ask(p, on_target);
    return true;
}

static void on_spdy_close(void *ctx, int error)
{
    struct forward *f = ctx;
    f->spdy = NULL;
    forget_calls(f);
    release_pairs(f);
}

static const struct spdy_events spdy_events = {on_open, on_spdy_close};

/* ---- channels: 2i is the data of the i-th port, 2i + 1 its errors; each begins with the port in little endian */
static void channel_send(struct forward *f, int channel, struct str bytes, bool *ret_more)
{
    char head = (char)(f->base64 ? '0' + channel : channel);
    *ret_more = true;
    if (!f->ws)
        return;
    if (!f->base64) {
        *ret_more = websocket_send2(f->ws, true, str_mem(&head, 1), bytes);
        return;
    }
    cleanup_arena struct arena *mem = arena_new();
    *ret_more = websocket_send2(f->ws, false, str_mem(&head, 1), str_base64(mem, bytes));
}

static void channel_data(void *ctx, struct str bytes)
{
    struct pair *p = ctx;
    bool more;
    channel_send(p->f, p->channel, bytes, &more);
    if (!more)
        stream_pause(p->target);
}

static void channel_drain(void *ctx)
{
    struct forward *f = ((struct pair *)ctx)->f;
    if (f->ws)
        websocket_resume(f->ws);
}

/* All ports closed: nothing can follow. */
static void channel_close(void *ctx, int error)
{
    struct pair *p = ctx;
    struct forward *f = p->f;
    p->target = NULL;
    bool left = false;
    list_each (at, &f->pairs) {
        const struct pair *other = container_of(at, struct pair, link);
        left = left || other->target || other->call;
    }
    if (!left && f->ws)
        websocket_close(f->ws, 1000, STR_NULL);
    channel_drain(p);
    if (!f->ws)
        pair_maybe_free(p);
}

static const struct stream_events channel_events = {channel_data, NULL, channel_drain, channel_close};

static void on_channel_target(void *ctx, struct ipc_msg *m)
{
    struct pair *p = ctx;
    cleanup_arena struct arena *mem = arena_new();
    bool more;
    p->call = 0;
    p->target = take_socket(p->f->loop, m);
    if (p->target)
        stream_on(p->target, &channel_events, p);
    else
        channel_send(p->f, p->channel + 1, problem(mem, p, m), &more);
    list_each (at, &p->f->pairs)
        if (container_of(at, struct pair, link)->call)
            return;
    if (p->f->ws)
        websocket_resume(p->f->ws);
}

static void ws_message(void *ctx, bool is_binary, struct str bytes)
{
    struct forward *f = ctx;
    cleanup_arena struct arena *mem = arena_new();
    if (bytes.len == 0)
        return;
    int channel = (unsigned char)bytes.ptr[0] - (f->base64 ? '0' : 0);
    bytes = str_from(bytes, 1);
    if (f->base64 && !str_base64_dec(mem, bytes, &bytes)) {
        websocket_close(f->ws, 1007, STR("bad base64"));
        return;
    }
    list_each (at, &f->pairs) {
        struct pair *p = container_of(at, struct pair, link);
        if (p->channel == channel && p->target && bytes.len && !stream_write(p->target, bytes))
            websocket_pause(f->ws);
    }
}

static void ws_drain(void *ctx)
{
    struct forward *f = ctx;
    list_each (at, &f->pairs) {
        struct pair *p = container_of(at, struct pair, link);
        if (p->target)
            stream_resume(p->target);
    }
}

static void ws_close(void *ctx, int code)
{
    struct forward *f = ctx;
    f->ws = NULL;
    list_each (at, &f->pairs) {
        struct pair *p = container_of(at, struct pair, link);
        if (p->target)
            stream_close(p->target); /* channel_close follows */
    }
    forget_calls(f);
    release_pairs(f);
}

static const struct websocket_events ws_events = {ws_message, ws_drain, ws_close};

static bool parse_ports(struct exchange *x, uint16_t *ports, int *ret_count)
{
    struct str rest = x->query, key, list, one;
    int64_t port;
    *ret_count = 0;
    while (url_query_next(&rest, &key, &list)) {
        if (!str_is(key, "port") || !url_decode_query(x->mem, list, &list))
            continue;
        while (str_next(&list, ',', &one)) {
            if (!str_to_i64(one, &port) || port < 1 || port > 65535 || *ret_count == STREAMS_PORTS_MAX)
                return false;
            ports[(*ret_count)++] = (uint16_t)port;
        }
    }
    return *ret_count > 0;
}

static void start_channels(struct forward *f, const uint16_t *ports, int count)
{
    bool more;
    websocket_on(f->ws, &ws_events, f);
    websocket_pause(f->ws); /* until there are connections */
    for (int i = 0; i < count; i++) {
        char le[2] = {(char)ports[i], (char)(ports[i] >> 8)};
        struct pair *p = pair_new(f, pair_late);
        if (!p)
            break;
        p->port = ports[i], p->channel = 2 * i;
        channel_send(f, p->channel, str_mem(le, 2), &more);
        channel_send(f, p->channel + 1, str_mem(le, 2), &more);
        ask(p, on_channel_target);
    }
}

/* ---- the request */
static void cut(struct session *s)
{
    struct forward *f = container_of(s, struct forward, session);
    forget_calls(f);
    session_end(s);
    if (f->spdy)
        spdy_abort(f->spdy);
    if (f->ws)
        websocket_abort(f->ws);
}

static bool accept_websocket(struct forward *f, struct exchange *x)
{
    const char *protocol = NULL;
    uint16_t ports[STREAMS_PORTS_MAX];
    int count = 0;
    bool wants_tunnel = false;
    for (int i = 0; i < x->header_count; i++)
        if (str_is(x->headers[i].name, "sec-websocket-protocol"))
            wants_tunnel = wants_tunnel || http_token_in(x->headers[i].value, ws_protocols[0]);
    if (!wants_tunnel && !parse_ports(x, ports, &count)) {
        answer_error(x, 400, STR("query parameter \"port\" is required"), false);
        return false;
    }
    struct websocket *w = websocket_accept(x, wants_tunnel ? ws_protocols : ws_protocols + 1, &protocol);
    if (!w)
        return false;
    if (protocol == ws_protocols[0]) {
        f->spdy = spdy_new(f->loop, websocket_stream(f->loop, w), &spdy_events, f);
        return true;
    }
    f->ws = w;
    f->base64 = protocol == ws_protocols[2];
    start_channels(f, ports, count);
    return true;
}

static bool accept_spdy(struct forward *f, struct exchange *x)
{
    struct str asked = exchange_header(x, "x-stream-protocol-version");
    if (!x->is_upgrade || !http_token_in(exchange_header(x, "upgrade"), "spdy/3.1")) {
        answer_error(x, 400, STR("you must specify an Upgrade to SPDY/3.1 or websocket"), false);
        return false;
    }
    if (asked.len && !http_token_in(asked, PROTOCOL)) {
        exchange_set_header(x, "X-Accepted-Stream-Protocol-Versions", STR(PROTOCOL));
        answer_error(x, 403, STR("unable to upgrade: unable to negotiate protocol"), false);
        return false;
    }
    exchange_set_header(x, "Upgrade", STR("SPDY/3.1"));
    exchange_set_header(x, "X-Stream-Protocol-Version", STR(PROTOCOL));
    f->spdy = spdy_new(f->loop, exchange_upgrade(x, 101), &spdy_events, f);
    return true;
}

void forward_handle(struct streams *s, struct exchange *x, const struct target *t)
{
    struct arena *mem = arena_new();
    struct forward *f = arena_new_of(mem, struct forward);
    *f = (struct forward){.mem = mem, .loop = s->o.loop};
    f->target = target_dup(mem, t);
    list_init(&f->pairs);
    if (!session_begin(s, &f->session, cut, x)) {
        arena_free(mem);
        return;
    }
    if (!(websocket_wanted(x) ? accept_websocket(f, x) : accept_spdy(f, x)))
        forward_maybe_free(f);
}
