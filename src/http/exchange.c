/* http/exchange.c - a request and its answer, whichever protocol carries it. */
#include <assert.h>
#include <stdlib.h>

#include "http/conn.h"
#include "http/sendq.h"

enum { XCHG_BODY_ARENA_MAX = 2048 /* larger bodies are on the heap */, XCHG_HEADERS_MIN = 16 };

static struct xchg *of(const struct exchange *x)
{
    return (struct xchg *)x;
}

/* ---- life */
static void on_end_task(struct loop_task *t)
{
    struct xchg *x = container_of(t, struct xchg, end_task);
    x->ops->finished(x);
}

struct xchg *xchg_new(struct http_conn *c, const struct xchg_ops *ops, void *owner)
{
    struct arena *mem = server_arena_take(c->server);
    struct xchg *x = arena_new_of(mem, struct xchg);
    x->x.mem = mem;
    x->x.loop = c->server->opts.loop;
    x->x.peer = &c->peer;
    x->x.start_us = loop_now_us(x->x.loop);
    x->ops = ops;
    x->server = c->server;
    x->owner = owner;
    x->refs = 1;
    x->length = -1;
    loop_task_init(&x->end_task, on_end_task);
    return x;
}

void xchg_unref(void *p)
{
    struct xchg *x = p;
    if (--x->refs > 0)
        return;
    if (x->body_cap > XCHG_BODY_ARENA_MAX) {
        x->server->body_bytes -= x->body_cap;
        free(x->body); /* not before: an answer may have been made of it */
    }
    server_arena_give(x->server, x->x.mem);
}

void xchg_end(struct xchg *x)
{
    loop_task_cancel(&x->end_task);
    if (x->x.on_end)
        x->x.on_end(&x->x);
    xchg_unref(x);
}

void xchg_abort(struct xchg *x)
{
    bool unanswered = !x->done && x->dispatching;
    x->done = true;
    if (unanswered && x->x.on_abort)
        x->x.on_abort(&x->x);
    xchg_end(x);
}

void xchg_dispatch(struct xchg *x)
{
    if (x->body)
        x->x.body.ptr = x->body;
    x->dispatching = true; /* from now on the handler knows it */
    x->refs++;             /* to look at it afterwards */
    x->server->opts.handle(x->server->opts.ctx, &x->x);
    if (x->done) {
        loop_task_cancel(&x->end_task);
        x->ops->finished(x);
    }
    xchg_unref(x);
}

static void done(struct xchg *x)
{
    x->done = true;
    loop_post(x->x.loop, &x->end_task);
}

/* ---- the request */
bool xchg_header_add(struct xchg *x, struct str name, struct str value)
{
    x->header_bytes += name.len + value.len + 4;
    if (x->x.header_count == HTTP_HEADERS_MAX || x->header_bytes > HTTP_HEADER_BYTES_MAX)
        return false;
    if (x->x.header_count == x->header_cap) {
        int cap = x->header_cap ? x->header_cap * 2 : XCHG_HEADERS_MIN;
        x->x.headers = arena_grow(x->x.mem, (void *)x->x.headers, (size_t)x->header_cap * sizeof(struct http_header),
                                  (size_t)cap * sizeof(struct http_header));
        x->header_cap = cap;
    }
    ((struct http_header *)x->x.headers)[x->x.header_count++] = (struct http_header){name, value};
    return true;
}

bool xchg_body_add(struct xchg *x, struct str bytes, size_t hint)
{
    size_t need = x->x.body.len + bytes.len;
    if (need > x->body_cap) {
        size_t cap = hint > need ? hint : need > 2 * x->body_cap ? need : 2 * x->body_cap;
        bool was_heap = x->body_cap > XCHG_BODY_ARENA_MAX;
        size_t more = cap <= XCHG_BODY_ARENA_MAX ? 0 : cap - (was_heap ? x->body_cap : 0);
        if (more > HTTP_BODIES_BYTES_MAX - x->server->body_bytes)
            return false;
        char *body = cap <= XCHG_BODY_ARENA_MAX ? arena_alloc(x->x.mem, cap) : realloc(was_heap ? x->body : NULL, cap);
        if (!body)
            return false;
        x->server->body_bytes += more;
        if (!was_heap && x->x.body.len)
            memcpy(body, x->body, x->x.body.len);
        x->body = body;
        x->body_cap = cap;
    }
    if (bytes.len)
        memcpy(x->body + x->x.body.len, bytes.ptr, bytes.len);
    x->x.body.len = need;
    x->x.body.ptr = x->body;
    return true;
}

size_t xchg_body_max(struct xchg *x)
{
    const struct http_server_opts *o = &x->server->opts;
    size_t max = o->body_max ? o->body_max(o->ctx, &x->x) : 0;
    return max ? max : HTTP_BODY_BYTES_MAX;
}

bool xchg_streams_body(struct xchg *x)
{
    const struct http_server_opts *o = &x->server->opts;
    x->x.body_streams = x->receiving = o->streams_body && o->streams_body(o->ctx, &x->x);
    return x->receiving;
}

void xchg_body_piece(struct xchg *x, struct str bytes)
{
    if (!x->done && x->x.on_body)
        x->x.on_body(&x->x, bytes);
}

void xchg_body_end(struct xchg *x)
{
    x->receiving = false;
    if (!x->done && x->x.on_body_end)
        x->x.on_body_end(&x->x);
}

void exchange_body_taken(struct exchange *x, size_t n)
{
    struct xchg *xi = of(x);
    if (xi->receiving && n)
        xi->ops->taken(xi, n);
}

/* origin-form, or absolute-form whose scheme and authority are dropped (RFC 9112, 3.2.2). */
void xchg_split_target(struct xchg *x, struct str target)
{
    if (str_starts(target, STR("http://")) || str_starts(target, STR("https://"))) {
        target = str_from(target, (size_t)str_find(target, ':') + 3);
        ptrdiff_t slash = str_find(target, '/');
        target = slash < 0 ? STR("/") : str_from(target, (size_t)slash);
    }
    ptrdiff_t hash = str_find(target, '#');
    if (hash >= 0)
        target = str_head(target, (size_t)hash);
    str_cut(target, '?', &x->x.path, &x->x.query);
}

struct str exchange_header(const struct exchange *x, const char *name_lower)
{
    size_t len = strlen(name_lower);
    for (int i = 0; i < x->header_count; i++)
        if (x->headers[i].name.len == len && memcmp(x->headers[i].name.ptr, name_lower, len) == 0)
            return x->headers[i].value;
    return STR_NULL;
}

bool http_token_in(struct str list, const char *token)
{
    struct str item;
    while (str_next(&list, ',', &item))
        if (str_ieq(str_trim(item), str_of(token)))
            return true;
    return false;
}

/* ---- the answer */
bool http_is_token(struct str s)
{
    static const char extra[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alnum && (c == 0 || !strchr(extra, c)))
            return false;
    }
    return s.len > 0;
}

/* A value never ends the line it stands in. */
static struct str clean_value(struct arena *mem, struct str value)
{
    char *p = (char *)str_dup(mem, value).ptr;
    for (size_t i = 0; i < value.len; i++)
        if ((unsigned char)p[i] < ' ' && p[i] != '\t')
            p[i] = ' ';
    return str_trim(str_mem(p, value.len));
}

void exchange_add_header(struct exchange *x, const char *name, struct str value)
{
    struct xchg *xi = of(x);
    assert(!xi->begun);
    if (!http_is_token(str_of(name)))
        return;
    if (xi->out_count == xi->out_cap) {
        int cap = xi->out_cap ? xi->out_cap * 2 : 8;
        xi->out = arena_grow(x->mem, xi->out, (size_t)xi->out_cap * sizeof *xi->out, (size_t)cap * sizeof *xi->out);
        xi->out_cap = cap;
    }
    xi->out[xi->out_count++] = (struct http_header){str_dup(x->mem, str_of(name)), clean_value(x->mem, value)};
}

void exchange_set_header(struct exchange *x, const char *name, struct str value)
{
    struct xchg *xi = of(x);
    for (int i = 0; i < xi->out_count; i++)
        if (str_ieq(xi->out[i].name, str_of(name))) {
            xi->out[i].value = clean_value(x->mem, value);
            return;
        }
    exchange_add_header(x, name, value);
}

void exchange_reply(struct exchange *x, int status, const char *content_type, struct str body)
{
    struct xchg *xi = of(x);
    xi->refs++;
    exchange_reply_buf(x, status, content_type, (struct stream_buf){body, xchg_unref, xi});
}

void exchange_reply_buf(struct exchange *x, int status, const char *content_type, struct stream_buf body)
{
    struct xchg *xi = of(x);
    assert(!xi->begun && !xi->done);
    xi->begun = true;
    x->status = status;
    if (!xi->is_head && status_has_body(status))
        x->sent_bytes = body.bytes.len;
    done(xi);
    xi->ops->reply(xi, status, content_type, body);
}

void exchange_begin(struct exchange *x, int status, const char *content_type)
{
    struct xchg *xi = of(x);
    assert(!xi->begun && !xi->done);
    xi->begun = true;
    x->status = status;
    xi->ops->begin(xi, status, content_type);
}

void exchange_begin_sized(struct exchange *x, int status, const char *content_type, uint64_t length)
{
    of(x)->length = (int64_t)length;
    exchange_begin(x, status, content_type);
}

bool exchange_write(struct exchange *x, struct stream_buf chunk)
{
    struct xchg *xi = of(x);
    assert(xi->begun && !xi->done);
    if (chunk.bytes.len == 0 || xi->is_head || !status_has_body(x->status)) {
        stream_buf_release(chunk);
        return true;
    }
    x->sent_bytes += chunk.bytes.len;
    xi->held = !xi->ops->write(xi, chunk);
    return !xi->held;
}

void exchange_end(struct exchange *x)
{
    struct xchg *xi = of(x);
    assert(xi->begun && !xi->done);
    bool short_of = xi->length >= 0 && !xi->is_head && x->sent_bytes != (uint64_t)xi->length;
    done(xi);
    if (short_of)
        xi->ops->reset(xi);
    else
        xi->ops->end(xi);
}

void exchange_reset(struct exchange *x)
{
    struct xchg *xi = of(x);
    assert(!xi->done);
    done(xi);
    xi->ops->reset(xi);
}

struct stream *exchange_upgrade(struct exchange *x, int status)
{
    struct xchg *xi = of(x);
    assert(!xi->begun && !xi->done);
    xi->begun = true;
    x->status = status;
    done(xi);
    return xi->ops->upgrade(xi, status);
}

struct str xchg_error_body(struct http_server *s, struct arena *mem, int status, const char *text,
                           const char **ret_type)
{
    *ret_type = "text/plain; charset=utf-8";
    if (s->opts.error_body)
        return s->opts.error_body(s->opts.ctx, mem, status, text, ret_type);
    return str_fmt(mem, "%s\n", text);
}

static const char *const status_texts[] = {
    [100] = "Continue",
    [101] = "Switching Protocols",
    [200] = "OK",
    [201] = "Created",
    [202] = "Accepted",
    [203] = "Non-Authoritative Information",
    [204] = "No Content",
    [206] = "Partial Content",
    [301] = "Moved Permanently",
    [302] = "Found",
    [303] = "See Other",
    [304] = "Not Modified",
    [307] = "Temporary Redirect",
    [308] = "Permanent Redirect",
    [400] = "Bad Request",
    [401] = "Unauthorized",
    [403] = "Forbidden",
    [404] = "Not Found",
    [405] = "Method Not Allowed",
    [406] = "Not Acceptable",
    [408] = "Request Timeout",
    [409] = "Conflict",
    [410] = "Gone",
    [411] = "Length Required",
    [412] = "Precondition Failed",
    [413] = "Request Entity Too Large",
    [415] = "Unsupported Media Type",
    [416] = "Requested Range Not Satisfiable",
    [417] = "Expectation Failed",
    [421] = "Misdirected Request",
    [422] = "Unprocessable Entity",
    [423] = "Locked",
    [425] = "Too Early",
    [426] = "Upgrade Required",
    [428] = "Precondition Required",
    [429] = "Too Many Requests",
    [431] = "Request Header Fields Too Large",
    [500] = "Internal Server Error",
    [501] = "Not Implemented",
    [502] = "Bad Gateway",
    [503] = "Service Unavailable",
    [504] = "Gateway Timeout",
    [505] = "HTTP Version Not Supported",
    [507] = "Insufficient Storage",
};

const char *http_status_text(int status)
{
    bool known = status >= 0 && (size_t)status < sizeof status_texts / sizeof *status_texts && status_texts[status];
    return known ? status_texts[status] : "Unknown";
}
