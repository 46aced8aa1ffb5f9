/* api/relay.c - a request through a node's tunnel. The client's credentials never go along.
 * Source: k8s.io/apimachinery pkg/util/proxy (UpgradeAwareHandler). */
#include "api/relay.h"

#include <errno.h>

struct relay {
    struct arena *mem;
    struct api_req *r; /* NULL: the client is gone or has been answered */
    struct stream *s;  /* NULL: not dialed yet, or over */
    struct str node, path, host, prefix;
    bool begun, paused;
};

static void relay_free(struct relay *y)
{
    arena_free(y->mem);
}

static void let_go(struct relay *y)
{
    if (!y->r)
        return;
    y->r->state = NULL;
    y->r->on_abort = NULL;
    y->r->x->on_drain = NULL;
    y->r = NULL;
}

static void on_abort(struct api_req *r)
{
    struct relay *y = r->state;
    let_go(y);
    if (y->s)
        stream_close(y->s); /* on_done follows and frees */
}

static void fail(struct relay *y, struct str why)
{
    struct api_req *r = y->r;
    let_go(y);
    if (!r)
        return;
    if (y->begun) {
        exchange_reset(r->x);
        return;
    }
    err_set(&r->err, ERR_INTERNAL, "error dialing backend: " STR_FMT, STR_ARG(why));
    reply_err(r);
}

/* ---- the answer */

static bool is_hop(struct str name)
{
    static const char *const names[] = {"connection",          "keep-alive", "proxy-authenticate",
                                        "proxy-authorization", "te",         "trailer",
                                        "transfer-encoding",   "upgrade",    "date",
                                        "content-length",      "audit-id"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (str_is(name, names[i]))
            return true;
    return false;
}

/* A redirect inside the service stays behind the proxy's path. */
static struct str location(struct relay *y, struct str value)
{
    if (!y->prefix.len || !value.len || value.ptr[0] != '/' || (value.len > 1 && value.ptr[1] == '/'))
        return value;
    return str_fmt(y->r->mem, STR_FMT STR_FMT, STR_ARG(y->prefix), STR_ARG(value));
}

static void copy_headers(struct relay *y, const struct http_header *h, int count, bool upgrade)
{
    for (int i = 0; i < count; i++, h++) {
        if (upgrade ? str_is(h->name, "connection") || str_is(h->name, "date") : is_hop(h->name))
            continue;
        if (!upgrade && str_is(h->name, "content-type"))
            continue;
        char *name = str_z(y->r->mem, h->name);
        if (str_is(h->name, "set-cookie") || str_is(h->name, "warning"))
            exchange_add_header(y->r->x, name, h->value);
        else
            exchange_set_header(y->r->x, name, str_is(h->name, "location") ? location(y, h->value) : h->value);
    }
}

static void on_joined(void *ctx)
{
    relay_free(ctx);
}

static void on_drain(struct exchange *x)
{
    struct api_req *r = x->user;
    struct relay *y = r->state;
    if (y && y->paused) {
        y->paused = false;
        stream_resume(y->s);
    }
}

static void on_header(void *ctx, int status, const struct http_header *headers, int count)
{
    struct relay *y = ctx;
    const char *type = NULL;
    if (!y->r)
        return;
    struct exchange *x = y->r->x;
    copy_headers(y, headers, count, status == 101);
    if (status == 101) {
        let_go(y);
        stream_join(exchange_upgrade(x, 101), y->s, on_joined, y);
        return;
    }
    for (int i = 0; i < count; i++)
        if (str_is(headers[i].name, "content-type"))
            type = str_z(y->r->mem, headers[i].value);
    y->begun = true;
    x->on_drain = on_drain;
    exchange_begin(x, status, type);
}

static void release(void *owner)
{
    free(owner);
}

static void on_data(void *ctx, struct str bytes)
{
    struct relay *y = ctx;
    if (!y->r || !bytes.len)
        return;
    char *copy = malloc(bytes.len);
    if (!copy) {
        stream_close(y->s);
        return;
    }
    memcpy(copy, bytes.ptr, bytes.len);
    if (!exchange_write(y->r->x, (struct stream_buf){str_mem(copy, bytes.len), release, copy}) && !y->paused) {
        y->paused = true;
        stream_pause(y->s);
    }
}

static void on_done(void *ctx, int error)
{
    struct relay *y = ctx;
    struct api_req *r = y->r;
    if (r && (error || !y->begun)) {
        fail(y, str_fmt(y->mem, "node \"" STR_FMT "\": %s", STR_ARG(y->node), error ? strerror(-error) : "no answer"));
    } else if (r) {
        let_go(y);
        exchange_end(r->x);
    }
    relay_free(y);
}

/* ---- the request */

static bool goes_along(struct str name, bool upgrade)
{
    if (str_is(name, "host") || str_is(name, "authorization") || str_is(name, "cookie2") || str_is(name, "expect") ||
        str_starts(name, STR("impersonate-")) || str_starts(name, STR("x-remote-")) || str_starts(name, STR(":")))
        return false;
    if (str_is(name, "connection") || str_is(name, "upgrade"))
        return upgrade;
    return !is_hop(name);
}

static int request_headers(struct relay *y, struct http_header **ret)
{
    const struct exchange *x = y->r->x;
    struct http_header *h = arena_array(y->mem, struct http_header, x->header_count + 8);
    int n = 0;
    h[n++] = (struct http_header){STR("Host"), y->host};
    for (int i = 0; i < x->header_count; i++)
        if (goes_along(x->headers[i].name, x->is_upgrade))
            h[n++] = x->headers[i];
    if (y->prefix.len) {
        struct str address, port;
        str_cut(x->peer->address, ':', &address, &port);
        h[n++] = (struct http_header){STR("X-Forwarded-Uri"), y->r->info.path};
        h[n++] = (struct http_header){STR("X-Forwarded-For"), address};
        h[n++] = (struct http_header){STR("X-Forwarded-Proto"), STR("https")};
    }
    *ret = h;
    return n;
}

static void on_opened(void *ctx, struct stream *s, int error)
{
    struct relay *y = ctx;
    struct http_header *headers;
    if (!s) {
        fail(y, error == -ENOTCONN
                    ? str_fmt(y->mem, "node \"" STR_FMT "\" has no tunnel to this server: its agent is not connected",
                              STR_ARG(y->node))
                    : str_fmt(y->mem, "node \"" STR_FMT "\" refused: %s", STR_ARG(y->node), strerror(-error)));
        relay_free(y);
        return;
    }
    y->s = s;
    if (!y->r) {
        /* too late: a request that ends with the stream, so that on_done frees */
        http1_request(y->mem, s, "GET", STR("/"), NULL, 0, STR_NULL, on_header, on_data, on_done, y);
        stream_close(s);
        return;
    }
    int n = request_headers(y, &headers);
    http1_request(y->mem, s, str_z(y->mem, y->r->x->method), y->path, headers, n, y->r->x->body, on_header, on_data,
                  on_done, y);
}

void relay(struct api_req *r, const struct relay_to *to)
{
    struct arena *mem = arena_new();
    struct relay *y = arena_new_of(mem, struct relay);
    *y = (struct relay){.mem = mem,
                        .r = r,
                        .node = str_dup(mem, to->node),
                        .path = str_dup(mem, to->path),
                        .host = str_dup(mem, to->host),
                        .prefix = str_dup(mem, to->prefix)};
    r->state = y;
    r->on_abort = on_abort;
    tunnel_dial(r->api, y->node, str_dup(mem, to->authority), on_opened, y);
}
