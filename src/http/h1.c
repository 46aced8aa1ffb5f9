/* http/h1.c - HTTP/1.1 (and 1.0) on a connection: one exchange at a time, in order; RFC 9112.
 *
 * While an exchange is open, reading goes on, to notice a client that leaves; what it pipelines waits in `backlog`. */
#include <assert.h>
#include <errno.h>
#include <http_parser.h>
#include <stdlib.h>

#include "http/conn.h"
#include "http/sendq.h"

enum { H1_BACKLOG_PAUSE_BYTES = 64 << 10 };
enum h1_token { H1_NONE, H1_TARGET, H1_NAME, H1_VALUE };

struct h1 {
    http_parser parser;
    struct http_conn *conn;
    struct xchg *x; /* being received, or open with the handler; NULL between requests */
    struct str token, name;
    struct str target;
    enum h1_token at;
    int fail_status; /* set by a parser callback that refuses */
    const char *fail_text;
    bool header_done, complete, open, keep, quit, in_feed, is_10, chunked, eof;
    bool early; /* the header is complete, the body is for the handler */
    size_t untaken;
    char *backlog;
    size_t backlog_len, backlog_cap;
    struct stream raw; /* after an upgrade */
    bool is_raw, raw_paused, raw_eof, raw_closed;
    struct loop_task raw_task; /* delivers what came early */
};

static const struct xchg_ops h1_ops;
static const struct stream_ops raw_ops;

static int64_t now_ms(const struct http_conn *c)
{
    return loop_now_ms(c->server->opts.loop);
}

static int refuse(struct h1 *h, int status, const char *text)
{
    h->fail_status = status;
    h->fail_text = text;
    return -1;
}

/* ---- parser callbacks */
static int on_begin(http_parser *p)
{
    struct h1 *h = p->data;
    h->x = xchg_new(h->conn, &h1_ops, h);
    h->at = H1_NONE;
    h->token = h->name = h->target = STR_NULL;
    h->header_done = false;
    conn_deadline(h->conn, now_ms(h->conn) + h->conn->server->opts.header_ms_max);
    return 0;
}

static void lower(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] >= 'A' && s.ptr[i] <= 'Z')
            ((char *)s.ptr)[i] |= 0x20;
}

/* The token that was being read is complete. The parser lets spaces through in names. */
static int token_end(struct h1 *h)
{
    enum h1_token was = h->at;
    struct str token = h->token;
    h->token = STR_NULL;
    h->at = H1_NONE;
    if (was == H1_TARGET)
        h->target = token;
    else if (was == H1_NAME && !http_is_token(token))
        return refuse(h, 400, "malformed request header");
    else if (was == H1_NAME)
        h->name = token, lower(token);
    else if (was == H1_VALUE && !xchg_header_add(h->x, h->name, str_trim(token)))
        return refuse(h, 431, "too many or too large request header fields");
    return 0;
}

static int token_add(struct h1 *h, enum h1_token kind, const char *at, size_t len)
{
    if (h->at != kind) {
        if (token_end(h) < 0)
            return -1;
        h->at = kind;
    }
    if (h->token.len + len > HTTP_HEADER_BYTES_MAX)
        return refuse(h, 431, "too large request header field");
    char *ptr = arena_grow(h->x->x.mem, (void *)h->token.ptr, h->token.len, h->token.len + len + 1);
    if (len)
        memcpy(ptr + h->token.len, at, len);
    h->token = str_mem(ptr, h->token.len + len);
    return 0;
}

static int on_url(http_parser *p, const char *at, size_t len)
{
    return token_add(p->data, H1_TARGET, at, len);
}

static int on_name(http_parser *p, const char *at, size_t len)
{
    struct h1 *h = p->data;
    return h->header_done ? 0 : token_add(h, H1_NAME, at, len); /* trailers are not used */
}

static int on_value(http_parser *p, const char *at, size_t len)
{
    struct h1 *h = p->data;
    return h->header_done ? 0 : token_add(h, H1_VALUE, at, len);
}

/* Exactly one Host in 1.1; a value holds no control characters. */
static bool header_sound(const struct h1 *h)
{
    const struct exchange *x = &h->x->x;
    int hosts = 0;
    for (int i = 0; i < x->header_count; i++) {
        struct str v = x->headers[i].value;
        hosts += str_is(x->headers[i].name, "host");
        for (size_t j = 0; j < v.len; j++)
            if (((unsigned char)v.ptr[j] < ' ' && v.ptr[j] != '\t') || v.ptr[j] == 0x7f)
                return false;
    }
    return hosts <= 1 && (hosts == 1 || h->is_10);
}

static int on_header(http_parser *p)
{
    struct h1 *h = p->data;
    struct exchange *x = &h->x->x;
    if (token_end(h) < 0)
        return -1;
    h->header_done = true;
    h->is_10 = p->http_major < 1 || (p->http_major == 1 && p->http_minor == 0);
    if (p->http_major > 1)
        return refuse(h, 505, "this HTTP version is not supported");
    x->method = str_of(http_method_str(p->method));
    x->http_major = 1;
    x->is_upgrade = p->upgrade;
    h->x->is_head = p->method == HTTP_HEAD;
    if (!header_sound(h))
        return refuse(h, 400, "malformed request header");
    if (p->method == HTTP_CONNECT)
        x->path = h->target;
    else
        xchg_split_target(h->x, h->target);
    bool chunked = p->flags & F_CHUNKED;
    bool has_length = (p->flags & F_CONTENTLENGTH) && p->content_length > 0;
    if (!chunked && !has_length)
        return 0;
    if (x->is_upgrade) { /* a body belongs to the request, not to the protocol that follows: RFC 9110, 7.8 */
        x->is_upgrade = false;
        p->upgrade = 0;
    }
    if (xchg_streams_body(h->x)) {
        h->early = true;
        http_parser_pause(p, 1); /* the handler is not called from inside the parser */
        return 0;
    }
    if (!chunked && p->content_length > xchg_body_max(h->x))
        return refuse(h, 413, "the request body is too large");
    conn_deadline(h->conn, now_ms(h->conn) + h->conn->server->opts.body_ms_max);
    if (http_token_in(exchange_header(x, "expect"), "100-continue"))
        conn_write(h->conn, (struct stream_buf){STR("HTTP/1.1 100 Continue\r\n\r\n"), NULL, NULL});
    return 0;
}

static int on_body(http_parser *p, const char *at, size_t len)
{
    struct h1 *h = p->data;
    if (h->x->receiving) {
        h->untaken += len;
        if (h->untaken > HTTP_BODY_AHEAD_BYTES)
            stream_pause(h->conn->s);
        conn_deadline(h->conn, now_ms(h->conn) + h->conn->server->opts.body_ms_max);
        xchg_body_piece(h->x, str_mem(at, len));
        return 0;
    }
    size_t max = xchg_body_max(h->x);
    if (len > max - h->x->x.body.len)
        return refuse(h, 413, "the request body is too large");
    /* content_length counts down to what is left after this piece */
    size_t hint = p->flags & F_CHUNKED ? 0 : h->x->x.body.len + len + (size_t)p->content_length;
    if (!xchg_body_add(h->x, str_mem(at, len), hint))
        return refuse(h, 503, "out of memory");
    return 0;
}

static int on_complete(http_parser *p)
{
    struct h1 *h = p->data;
    h->complete = true;
    if (!h->open) /* else decided at the header, and maybe told */
        h->keep = http_should_keep_alive(p);
    http_parser_pause(p, 1); /* one at a time */
    return 0;
}

static const http_parser_settings settings = {
    .on_message_begin = on_begin,
    .on_url = on_url,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_headers_complete = on_header,
    .on_body = on_body,
    .on_message_complete = on_complete,
};

/* ---- the header of an answer */
static void add_line(struct sb *b, struct str name, struct str value)
{
    char *p = sb_room(b, name.len + value.len + 4);
    memcpy(p, name.ptr, name.len);
    memcpy(p + name.len, ": ", 2);
    if (value.len)
        memcpy(p + name.len + 2, value.ptr, value.len);
    memcpy(p + name.len + 2 + value.len, "\r\n", 2);
    b->len += name.len + value.len + 4;
}

static void add_number(struct sb *b, uint64_t n)
{
    char digits[20], *p = digits + sizeof digits;
    do
        *--p = (char)('0' + n % 10);
    while (n /= 10);
    sb_add(b, str_mem(p, (size_t)(digits + sizeof digits - p)));
}

static void status_line(struct sb *b, int status)
{
    if (status == 200) {
        sb_add(b, STR("HTTP/1.1 200 OK\r\n"));
        return;
    }
    sb_add(b, STR("HTTP/1.1 "));
    add_number(b, (uint64_t)status);
    sb_addc(b, ' ');
    sb_addz(b, http_status_text(status));
    sb_add(b, STR("\r\n"));
}

/* Without the blank line, so that the caller can add how the body is framed. */
static struct sb answer_header(struct h1 *h, struct xchg *x, int status, const char *content_type)
{
    struct sb b = SB(x->x.mem);
    sb_room(&b, 320);
    status_line(&b, status);
    for (int i = 0; i < x->out_count; i++)
        add_line(&b, x->out[i].name, x->out[i].value);
    if (content_type)
        add_line(&b, STR("Content-Type"), str_of(content_type));
    if (status == 101)
        return b;
    add_line(&b, STR("Date"), server_date(h->conn->server));
    if (!h->keep)
        sb_add(&b, STR("Connection: close\r\n"));
    else if (h->is_10)
        sb_add(&b, STR("Connection: keep-alive\r\n"));
    return b;
}

static struct stream_buf in_mem(struct xchg *x, struct str bytes)
{
    x->refs++;
    return (struct stream_buf){bytes, xchg_unref, x};
}

static void op_reply(struct xchg *x, int status, const char *content_type, struct stream_buf body)
{
    struct h1 *h = x->owner;
    h->keep = h->keep && !h->quit && !x->receiving;
    struct sb b = answer_header(h, x, status, content_type);
    if (status_has_body(status)) {
        sb_add(&b, STR("Content-Length: "));
        add_number(&b, body.bytes.len);
        sb_add(&b, STR("\r\n"));
    }
    sb_add(&b, STR("\r\n"));
    conn_write(h->conn, in_mem(x, sb_str(&b)));
    if (x->is_head || !status_has_body(status))
        stream_buf_release(body);
    else
        conn_write(h->conn, body);
}

static void op_begin(struct xchg *x, int status, const char *content_type)
{
    struct h1 *h = x->owner;
    bool sized = x->length >= 0 && status_has_body(status);
    h->chunked = !h->is_10 && status_has_body(status) && !sized;
    h->keep = h->keep && !h->quit && !x->receiving && (h->chunked || sized || x->is_head || !status_has_body(status));
    struct sb b = answer_header(h, x, status, content_type);
    if (h->chunked)
        sb_add(&b, STR("Transfer-Encoding: chunked\r\n"));
    if (sized) {
        sb_add(&b, STR("Content-Length: "));
        add_number(&b, (uint64_t)x->length);
        sb_add(&b, STR("\r\n"));
    }
    sb_add(&b, STR("\r\n"));
    conn_write(h->conn, in_mem(x, sb_str(&b)));
}

static bool op_write(struct xchg *x, struct stream_buf chunk)
{
    struct h1 *h = x->owner;
    if (!h->chunked)
        return conn_write(h->conn, chunk);
    char size[20], *p = size + sizeof size;
    *--p = '\n', *--p = '\r';
    for (size_t n = chunk.bytes.len; n; n >>= 4)
        *--p = "0123456789abcdef"[n & 15];
    conn_write_copy(h->conn, str_mem(p, (size_t)(size + sizeof size - p)));
    conn_write(h->conn, chunk);
    return conn_write(h->conn, (struct stream_buf){STR("\r\n"), NULL, NULL});
}

static void op_end(struct xchg *x)
{
    struct h1 *h = x->owner;
    if (h->chunked && !x->is_head)
        conn_write(h->conn, (struct stream_buf){STR("0\r\n\r\n"), NULL, NULL});
}

static void op_taken(struct xchg *x, size_t n)
{
    struct h1 *h = x->owner;
    h->untaken -= n < h->untaken ? n : h->untaken;
    conn_deadline(h->conn, now_ms(h->conn) + h->conn->server->opts.body_ms_max);
    if (h->untaken <= HTTP_BODY_AHEAD_BYTES / 2 && !h->conn->closing)
        stream_resume(h->conn->s);
}

static void op_reset(struct xchg *x)
{
    struct h1 *h = x->owner;
    h->keep = false;
    stream_close(h->conn->s);
}

/* ---- reading */
static void feed(struct h1 *h, struct str bytes);

static void backlog_add(struct h1 *h, struct str bytes)
{
    if (h->backlog_len + bytes.len > h->backlog_cap) {
        size_t cap = h->backlog_len + bytes.len;
        char *p = realloc(h->backlog, cap);
        if (!p) {
            stream_close(h->conn->s);
            return;
        }
        h->backlog = p;
        h->backlog_cap = cap;
    }
    memcpy(h->backlog + h->backlog_len, bytes.ptr, bytes.len);
    h->backlog_len += bytes.len;
    if (h->backlog_len > H1_BACKLOG_PAUSE_BYTES)
        stream_pause(h->conn->s);
}

/* What came while the exchange was open. */
static void feed_backlog(struct h1 *h)
{
    char *p = h->backlog;
    struct str bytes = str_mem(p, h->backlog_len);
    h->backlog = NULL;
    h->backlog_len = h->backlog_cap = 0;
    if (!h->conn->closing)
        stream_resume(h->conn->s);
    if (bytes.len)
        feed(h, bytes);
    free(p);
}

static void idle(struct h1 *h)
{
    struct http_conn *c = h->conn;
    if (h->quit)
        conn_linger(c);
    else if (!h->x)
        conn_deadline(c, now_ms(c) + c->server->opts.idle_ms_max);
}

static void op_finished(struct xchg *x)
{
    struct h1 *h = x->owner;
    assert(h->x == x);
    bool upgraded = h->is_raw;
    h->keep = h->keep && !x->receiving; /* what still comes of the body is no request */
    h->x = NULL;
    h->open = false;
    xchg_end(x);
    if (upgraded || h->conn->closing)
        return;
    if (!h->keep || h->eof) {
        conn_linger(h->conn);
        return;
    }
    if (h->in_feed) /* it goes on with the rest itself */
        return;
    feed_backlog(h);
    if (!h->x)
        idle(h);
}

/* Refuse a request that could not be read to its end; nothing after it can be understood. */
static void fail(struct h1 *h)
{
    struct http_conn *c = h->conn;
    int status = h->fail_status ? h->fail_status : 400;
    if (HTTP_PARSER_ERRNO(&h->parser) == HPE_HEADER_OVERFLOW)
        status = 431, h->fail_text = "too large request header";
    if (!h->x)
        h->x = xchg_new(c, &h1_ops, h);
    struct xchg *x = h->x;
    h->x = NULL;
    h->keep = false;
    const char *type, *text = h->fail_text ? h->fail_text : "malformed HTTP request";
    struct str body = xchg_error_body(c->server, x->x.mem, status, text, &type);
    x->begun = x->done = true;
    x->out_count = 0;
    op_reply(x, status, type, in_mem(x, body));
    xchg_end(x); /* the handler never saw it */
    conn_linger(c);
}

static void dispatch(struct h1 *h)
{
    h->complete = false;
    h->open = true;
    h->chunked = false;
    conn_deadline(h->conn, INT64_MAX);
    xchg_dispatch(h->x);
}

static void dispatch_early(struct h1 *h)
{
    struct http_conn *c = h->conn;
    bool expects = http_token_in(exchange_header(&h->x->x, "expect"), "100-continue");
    h->early = h->chunked = false;
    h->open = true;
    h->untaken = 0;
    h->keep = http_should_keep_alive(&h->parser);
    conn_deadline(c, now_ms(c) + c->server->opts.body_ms_max);
    xchg_dispatch(h->x);
    if (expects && h->x && !h->x->done)
        conn_write(c, (struct stream_buf){STR("HTTP/1.1 100 Continue\r\n\r\n"), NULL, NULL});
}

static void end_body(struct h1 *h)
{
    h->complete = false;
    conn_deadline(h->conn, INT64_MAX);
    stream_resume(h->conn->s); /* to notice a client that leaves */
    xchg_body_end(h->x);
}

static void feed(struct h1 *h, struct str bytes)
{
    struct http_conn *c = h->conn;
    h->in_feed = true;
    while (bytes.len && (!h->open || (h->x && h->x->receiving)) && !c->closing && !h->is_raw) {
        size_t n = http_parser_execute(&h->parser, &settings, bytes.ptr, bytes.len);
        enum http_errno e = HTTP_PARSER_ERRNO(&h->parser);
        if (e == HPE_PAUSED)
            http_parser_pause(&h->parser, 0);
        else if (e != HPE_OK && h->open) { /* a streamed body: its handler learns that the client is gone */
            stream_close(c->s);
            break;
        } else if (e != HPE_OK) {
            fail(h);
            break;
        }
        bytes = str_from(bytes, n);
        if (h->early)
            dispatch_early(h);
        else if (h->complete && h->open)
            end_body(h);
        else if (h->complete)
            dispatch(h);
    }
    h->in_feed = false;
    if (bytes.len && !c->closing && (h->open || h->is_raw))
        backlog_add(h, bytes);
    else if (!h->x && !h->is_raw && !c->closing)
        idle(h);
    if (h->is_raw && h->backlog_len)
        loop_post(c->server->opts.loop, &h->raw_task);
}

/* ---- the connection's events */
static void raw_data(struct h1 *h, struct str bytes)
{
    if (h->backlog_len || !h->raw.events || h->raw_paused)
        backlog_add(h, bytes);
    else
        h->raw.events->data(h->raw.ctx, bytes);
}

static void on_data(struct http_conn *c, struct str bytes)
{
    struct h1 *h = c->state;
    if (h->is_raw)
        raw_data(h, bytes);
    else if (h->open && !(h->x && h->x->receiving))
        backlog_add(h, bytes);
    else
        feed(h, bytes);
}

static void raw_eof(struct h1 *h)
{
    h->raw_eof = true;
    if (h->backlog_len || !h->raw.events)
        return; /* after what waits */
    if (h->raw.events->eof)
        h->raw.events->eof(h->raw.ctx);
    else
        stream_close(h->conn->s);
}

/* A client that closes its side has left, as Go's server sees it too; an answer under way is not waited for. */
static void on_eof(struct http_conn *c)
{
    struct h1 *h = c->state;
    h->eof = true;
    if (h->is_raw)
        raw_eof(h);
    else if (h->open && h->x && h->x->done)
        return; /* answered: it is only being sent */
    else if (h->open || stream_queued(c->s) == 0)
        stream_close(c->s);
    else
        conn_linger(c);
}

static void on_drain(struct http_conn *c)
{
    struct h1 *h = c->state;
    if (h->is_raw) {
        if (h->raw.events && h->raw.events->drain)
            h->raw.events->drain(h->raw.ctx);
    } else if (h->open && h->x && h->x->held && !h->x->done) {
        h->x->held = false;
        if (h->x->x.on_drain)
            h->x->x.on_drain(&h->x->x);
    }
}

static void on_gone(struct http_conn *c, int error)
{
    struct h1 *h = c->state;
    if (h->x)
        xchg_abort(h->x);
    loop_task_cancel(&h->raw_task);
    if (h->is_raw && h->raw.events)
        h->raw.events->close(h->raw.ctx, error);
    free(h->backlog);
    free(h);
    c->state = NULL;
}

static void on_expired(struct http_conn *c)
{
    struct h1 *h = c->state;
    if (h->x && !h->open) {
        refuse(h, 408, "the request took too long to arrive");
        fail(h);
        return;
    }
    if (h->open) {
        stream_close(c->s);
        return;
    }
    conn_linger(c);
}

static void on_quit(struct http_conn *c)
{
    struct h1 *h = c->state;
    h->quit = true;
    if (!h->x && !h->is_raw)
        conn_linger(c);
}

const struct conn_proto h1_proto = {
    .data = on_data,
    .eof = on_eof,
    .drain = on_drain,
    .gone = on_gone,
    .expired = on_expired,
    .quit = on_quit,
};

/* ---- after an upgrade: the connection is the handler's stream */
static struct h1 *raw_of(const struct stream *s)
{
    return container_of(s, struct h1, raw);
}

static void on_raw_task(struct loop_task *t)
{
    struct h1 *h = container_of(t, struct h1, raw_task);
    if (h->raw_paused || !h->raw.events || h->raw_closed)
        return;
    char *p = h->backlog;
    struct str bytes = str_mem(p, h->backlog_len);
    h->backlog = NULL;
    h->backlog_len = h->backlog_cap = 0;
    stream_resume(h->conn->s);
    if (bytes.len)
        h->raw.events->data(h->raw.ctx, bytes);
    free(p);
    if (h->raw_eof && !h->raw_closed)
        raw_eof(h);
}

static bool raw_write(struct stream *s, struct stream_buf buf)
{
    return conn_write(raw_of(s)->conn, buf);
}

static bool raw_write_copy(struct stream *s, struct str bytes)
{
    return conn_write_copy(raw_of(s)->conn, bytes);
}

static size_t raw_queued(const struct stream *s)
{
    return stream_queued(raw_of(s)->conn->s);
}

static void raw_shutdown(struct stream *s)
{
    stream_shutdown(raw_of(s)->conn->s);
}

static void raw_close(struct stream *s)
{
    struct h1 *h = raw_of(s);
    h->raw_closed = true;
    stream_close(h->conn->s);
}

static void raw_pause(struct stream *s, bool paused)
{
    struct h1 *h = raw_of(s);
    h->raw_paused = paused;
    if (paused)
        stream_pause(h->conn->s);
    else if (h->backlog_len)
        loop_post(h->conn->server->opts.loop, &h->raw_task);
    else
        stream_resume(h->conn->s);
}

static const struct stream_ops raw_ops = {raw_write, raw_queued, raw_shutdown, raw_close, raw_pause, raw_write_copy};

static bool has_out(const struct xchg *x, const char *name)
{
    for (int i = 0; i < x->out_count; i++)
        if (str_ieq(x->out[i].name, str_of(name)))
            return true;
    return false;
}

static struct stream *op_upgrade(struct xchg *x, int status)
{
    struct h1 *h = x->owner;
    struct sb b = answer_header(h, x, status, NULL);
    if (status == 101 && !has_out(x, "connection"))
        sb_add(&b, STR("Connection: Upgrade\r\n"));
    sb_add(&b, STR("\r\n"));
    conn_write(h->conn, in_mem(x, sb_str(&b)));
    conn_deadline(h->conn, INT64_MAX);
    h->conn->may_stall = true;
    h->is_raw = true;
    h->raw.ops = &raw_ops;
    if (h->backlog_len)
        loop_post(h->conn->server->opts.loop, &h->raw_task);
    return &h->raw;
}

static const struct xchg_ops h1_ops = {
    .reply = op_reply,
    .begin = op_begin,
    .write = op_write,
    .end = op_end,
    .taken = op_taken,
    .reset = op_reset,
    .upgrade = op_upgrade,
    .finished = op_finished,
};

int h1_start(struct http_conn *c)
{
    struct h1 *h = calloc(1, sizeof *h);
    if (!h)
        return -ENOMEM;
    http_parser_init(&h->parser, HTTP_REQUEST);
    h->parser.data = h;
    h->conn = c;
    loop_task_init(&h->raw_task, on_raw_task);
    c->state = h;
    c->proto = &h1_proto;
    idle(h);
    return 0;
}
