/* http/h2.c - HTTP/2 on a connection of the server; RFC 9113, extended CONNECT of RFC 8441. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "http/conn.h"
#include "http/h2io.h"

enum { H2_ANSWERED_MS = 250 };

struct h2 {
    struct h2_session io;
    struct http_conn *conn;
    bool quit;
};
/* The owner of a h2_stream is its xchg, until that has ended: then NULL, and what still comes is thrown away. */

static const struct xchg_ops h2_ops;

static int64_t now_ms(const struct http_conn *c)
{
    return loop_now_ms(c->server->opts.loop);
}

static struct h2 *h2_of(const struct h2_stream *st)
{
    return container_of(st->h, struct h2, io);
}

/* ---- answering */
static void answer_nv(struct xchg *x, int status, const char *content_type, uint64_t *content_length, nghttp2_nv **ret,
                      size_t *ret_count)
{
    struct arena *mem = x->x.mem;
    nghttp2_nv *nv = arena_array(mem, nghttp2_nv, x->out_count + 4);
    size_t n = 0;
    nv[n++] = H2_NV(STR(":status"), str_fmt(mem, "%d", status));
    for (int i = 0; i < x->out_count; i++) {
        struct str name = x->out[i].name;
        for (size_t j = 0; j < name.len; j++)
            if (name.ptr[j] >= 'A' && name.ptr[j] <= 'Z')
                ((char *)name.ptr)[j] |= 0x20; /* a copy of ours */
        if (!str_is(name, "connection") && !str_is(name, "upgrade") && !str_is(name, "transfer-encoding") &&
            !str_is(name, "keep-alive"))
            nv[n++] = H2_NV(name, x->out[i].value);
    }
    if (content_type)
        nv[n++] = H2_NV(STR("content-type"), str_of(content_type));
    if (content_length)
        nv[n++] = H2_NV(STR("content-length"), str_fmt(mem, "%llu", (unsigned long long)*content_length));
    nv[n++] = H2_NV(STR("date"), server_date(x->server));
    *ret = nv;
    *ret_count = n;
}

static void submit(struct xchg *x, int status, const char *content_type, uint64_t *content_length, bool has_body)
{
    struct h2_stream *st = x->owner;
    nghttp2_nv *nv;
    size_t count;
    answer_nv(x, status, content_type, content_length, &nv, &count);
    nghttp2_data_provider provider = h2_stream_provider(st);
    nghttp2_submit_response(st->h->ng, st->id, nv, count, has_body ? &provider : NULL);
    h2_session_wake(st->h);
}

static void op_reply(struct xchg *x, int status, const char *content_type, struct stream_buf body)
{
    struct h2_stream *st = x->owner;
    uint64_t length = body.bytes.len;
    bool has_body = length > 0 && !x->is_head && status_has_body(status);
    if (has_body)
        h2_stream_write(st, body);
    else
        stream_buf_release(body);
    st->ended = true;
    submit(x, status, content_type, status_has_body(status) ? &length : NULL, has_body);
}

static void op_begin(struct xchg *x, int status, const char *content_type)
{
    uint64_t length = (uint64_t)x->length;
    submit(x, status, content_type, x->length >= 0 ? &length : NULL, !x->is_head && status_has_body(status));
}

static bool op_write(struct xchg *x, struct stream_buf chunk)
{
    return h2_stream_write(x->owner, chunk);
}

static void op_end(struct xchg *x)
{
    h2_stream_end(x->owner);
}

static void op_taken(struct xchg *x, size_t n)
{
    struct h2_stream *st = x->owner;
    struct h2 *h = h2_of(st);
    st->deadline_ms = now_ms(h->conn) + h->conn->server->opts.body_ms_max;
    nghttp2_session_consume_stream(st->h->ng, st->id, n);
    h2_session_wake(st->h);
}

static void op_reset(struct xchg *x)
{
    h2_stream_reset(x->owner, NGHTTP2_INTERNAL_ERROR);
}

static struct stream *op_upgrade(struct xchg *x, int status)
{
    struct h2_stream *st = x->owner;
    submit(x, status == 101 ? 200 : status, NULL, NULL, /* has_body= */ true);
    return h2_stream_raw(st);
}

static void op_finished(struct xchg *x)
{
    struct h2_stream *st = x->owner;
    st->owner = NULL;
    if (!st->answered)
        st->deadline_ms = INT64_MAX;
    xchg_end(x);
}

static const struct xchg_ops h2_ops = {
    .reply = op_reply,
    .begin = op_begin,
    .write = op_write,
    .end = op_end,
    .taken = op_taken,
    .reset = op_reset,
    .upgrade = op_upgrade,
    .finished = op_finished,
};

static void on_stream_drain(struct h2_stream *st)
{
    struct xchg *x = st->owner;
    if (!x || x->done || !x->held)
        return;
    x->held = false;
    if (x->x.on_drain)
        x->x.on_drain(&x->x);
}

/* ---- receiving */
/* Answer without the handler and take no more of the request. */
static void refuse(struct h2_stream *st, int status, const char *text)
{
    struct xchg *x = st->owner;
    const char *type;
    struct str body = xchg_error_body(x->server, x->x.mem, status, text, &type);
    x->begun = x->done = true;
    x->refs++;
    op_reply(x, status, type, (struct stream_buf){body, xchg_unref, x});
    op_finished(x);
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *user_data)
{
    struct h2_session *io = user_data;
    struct h2 *h = container_of(io, struct h2, io);
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct h2_stream *st = h2_stream_new(io, frame->hd.stream_id, NULL);
    struct xchg *x = xchg_new(h->conn, &h2_ops, st);
    x->x.http_major = 2;
    st->owner = x;
    st->drain = on_stream_drain;
    st->deadline_ms = now_ms(h->conn) + h->conn->server->opts.header_ms_max;
    conn_deadline(h->conn, st->deadline_ms); /* so that the sweep looks then */
    nghttp2_session_set_stream_user_data(ng, st->id, st);
    return 0;
}

static void take_pseudo(struct xchg *x, struct str name, struct str value)
{
    if (str_is(name, ":method"))
        x->x.method = value;
    else if (str_is(name, ":path"))
        xchg_split_target(x, value);
    else if (str_is(name, ":authority"))
        xchg_header_add(x, STR("host"), value);
    else if (str_is(name, ":protocol")) {
        x->x.is_upgrade = true;
        xchg_header_add(x, STR("upgrade"), value);
    }
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t value_len, uint8_t flags, void *user_data)
{
    struct h2_stream *st = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    struct xchg *x = st ? st->owner : NULL;
    if (!x || x->dispatching || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct str n = str_mem((const char *)name, name_len);
    struct str v = str_dup(x->x.mem, str_mem((const char *)value, value_len));
    if (name_len && name[0] == ':')
        take_pseudo(x, n, v);
    else if (!xchg_header_add(x, str_dup(x->x.mem, n), v))
        refuse(st, 431, "too many or too large request header fields");
    return 0;
}

static void dispatch(struct h2_stream *st)
{
    st->deadline_ms = INT64_MAX;
    xchg_dispatch(st->owner);
}

static void say_continue(struct h2_stream *st)
{
    nghttp2_nv nv = H2_NV(STR(":status"), STR("100"));
    nghttp2_submit_headers(st->h->ng, NGHTTP2_FLAG_NONE, st->id, NULL, &nv, 1, NULL);
}

static void dispatch_early(struct h2_stream *st, bool expects)
{
    struct h2 *h = h2_of(st);
    st->deadline_ms = now_ms(h->conn) + h->conn->server->opts.body_ms_max;
    conn_deadline(h->conn, st->deadline_ms); /* so that the sweep looks then */
    xchg_dispatch(st->owner);
    struct xchg *x = st->owner;
    if (expects && x && !x->done)
        say_continue(st);
}

static void header_complete(struct h2_stream *st, bool ended)
{
    struct xchg *x = st->owner;
    struct h2 *h = h2_of(st);
    x->is_head = str_is(x->x.method, "HEAD");
    bool is_connect = str_is(x->x.method, "CONNECT");
    if (is_connect && x->x.is_upgrade)
        x->x.method = STR("GET"); /* as the HTTP/1.1 form of the same handshake has it */
    else if (is_connect)
        x->x.path = exchange_header(&x->x, "host"), x->x.is_upgrade = true;
    if (ended || x->x.is_upgrade) {
        dispatch(st);
        return;
    }
    bool expects = http_token_in(exchange_header(&x->x, "expect"), "100-continue");
    if (xchg_streams_body(x)) {
        dispatch_early(st, expects);
        return;
    }
    uint64_t length = 0;
    if (str_to_u64(exchange_header(&x->x, "content-length"), &length) && length > xchg_body_max(x)) {
        refuse(st, 413, "the request body is too large");
        return;
    }
    st->deadline_ms = now_ms(h->conn) + h->conn->server->opts.body_ms_max;
    if (expects)
        say_continue(st);
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *user_data)
{
    struct h2_stream *st = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    bool ended = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (!st || (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA))
        return 0;
    struct xchg *x = st->owner;
    if (st->is_raw) {
        if (ended)
            h2_raw_eof(st);
    } else if (x && x->receiving && ended) {
        st->deadline_ms = INT64_MAX;
        xchg_body_end(x);
    } else if (x && !x->dispatching) {
        if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
            header_complete(st, ended);
        else if (ended)
            dispatch(st);
    }
    return 0;
}

static int on_data_chunk(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
                         void *user_data)
{
    struct h2_stream *st = nghttp2_session_get_stream_user_data(ng, id);
    struct str bytes = str_mem((const char *)data, len);
    if (st && st->is_raw) {
        h2_raw_data(st, bytes);
        return 0;
    }
    struct xchg *x = st ? st->owner : NULL;
    if (x && x->receiving && !x->done) {
        nghttp2_session_consume_connection(ng, len);
        st->deadline_ms = now_ms(h2_of(st)->conn) + x->server->opts.body_ms_max;
        xchg_body_piece(x, bytes);
        return 0;
    }
    if (st && st->answered) {
        nghttp2_session_consume_connection(ng, len);
        return 0;
    }
    nghttp2_session_consume(ng, id, len);
    if (!x || x->dispatching)
        return 0;
    size_t max = xchg_body_max(x);
    uint64_t hint = 0;
    str_to_u64(exchange_header(&x->x, "content-length"), &hint);
    if (len > max - x->x.body.len)
        refuse(st, 413, "the request body is too large");
    else if (!xchg_body_add(x, bytes, (size_t)hint))
        refuse(st, 503, "out of memory");
    return 0;
}

static void idle(struct h2 *h)
{
    if (h->io.stream_count == 0)
        conn_deadline(h->conn, now_ms(h->conn) + h->conn->server->opts.idle_ms_max);
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code, void *user_data)
{
    struct h2_stream *st = nghttp2_session_get_stream_user_data(ng, id);
    if (!st)
        return 0;
    struct h2 *h = h2_of(st);
    struct xchg *x = st->owner;
    st->owner = NULL;
    if (x)
        xchg_abort(x);
    if (st->is_raw)
        h2_raw_closed(st, code == NGHTTP2_NO_ERROR ? 0 : -ECONNRESET);
    else
        h2_stream_free(st);
    idle(h);
    if (h->quit && h->io.stream_count == 0)
        nghttp2_session_terminate_session(ng, NGHTTP2_NO_ERROR);
    return 0;
}

/* The answer is out although the request is not in: RFC 9113, 8.1. A client may take a reset that comes with the answer
 * for an error (curl 7.88 does), so it gets a moment to see the answer and stop by itself; its window is shut. */
static int on_frame_sent(nghttp2_session *ng, const nghttp2_frame *frame, void *user_data)
{
    if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM) ||
        (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA))
        return 0;
    struct h2_stream *st = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    if (st && !st->is_raw && nghttp2_session_get_stream_remote_close(ng, frame->hd.stream_id) == 0) {
        st->answered = true;
        st->deadline_ms = now_ms(h2_of(st)->conn) + H2_ANSWERED_MS;
        conn_deadline(h2_of(st)->conn, st->deadline_ms);
    }
    return 0;
}

/* ---- the connection's events */
static void on_data(struct http_conn *c, struct str bytes)
{
    struct h2 *h = c->state;
    h2_session_recv(&h->io, bytes);
}

static void on_eof(struct http_conn *c)
{
    stream_close(c->s);
}

static void on_drain(struct http_conn *c)
{
    h2_session_flush(&((struct h2 *)c->state)->io);
}

static void on_gone(struct http_conn *c, int error)
{
    struct h2 *h = c->state;
    list_each_safe (l, &h->io.streams) {
        struct h2_stream *st = container_of(l, struct h2_stream, link);
        struct xchg *x = st->owner;
        st->owner = NULL;
        if (x)
            xchg_abort(x);
        if (!st->is_raw) {
            st->h->s = NULL; /* closed: what waited there is released */
            h2_stream_free(st);
        }
    }
    h2_session_end(&h->io, error ? error : -ECONNRESET);
    free(h);
    c->state = NULL;
}

static void terminate(struct h2 *h)
{
    nghttp2_session_terminate_session(h->io.ng, NGHTTP2_NO_ERROR);
    h2_session_wake(&h->io);
}

static void on_expired(struct http_conn *c)
{
    struct h2 *h = c->state;
    if (h->io.stream_count == 0)
        terminate(h);
}

static int64_t on_sweep(struct http_conn *c, int64_t now)
{
    struct h2 *h = c->state;
    int64_t next = INT64_MAX, stall = c->server->opts.send_stall_ms_max;
    list_each_safe (l, &h->io.streams) {
        struct h2_stream *st = container_of(l, struct h2_stream, link);
        struct xchg *x = st->owner;
        if (st->deadline_ms <= now && x && !x->dispatching)
            refuse(st, 408, "the request took too long to arrive");
        if (st->deadline_ms <= now && st->answered) {
            st->deadline_ms = INT64_MAX;
            h2_stream_reset(st, NGHTTP2_NO_ERROR);
        } else if (st->deadline_ms <= now && x && x->receiving) {
            st->deadline_ms = INT64_MAX;
            h2_stream_reset(st, NGHTTP2_CANCEL);
        }
        if (st->q.bytes && !st->is_raw && now - st->moved_ms >= stall)
            h2_stream_reset(st, NGHTTP2_CANCEL);
        int64_t at = st->q.bytes && !st->is_raw ? st->moved_ms + stall : INT64_MAX;
        at = st->deadline_ms < at ? st->deadline_ms : at;
        next = at < next ? at : next;
    }
    return next;
}

static void on_quit(struct http_conn *c)
{
    struct h2 *h = c->state;
    h->quit = true;
    if (h->io.stream_count == 0) {
        terminate(h);
        return;
    }
    nghttp2_submit_goaway(h->io.ng, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(h->io.ng),
                          NGHTTP2_NO_ERROR, NULL, 0);
    h2_session_wake(&h->io);
}

const struct conn_proto h2_proto = {
    .data = on_data,
    .eof = on_eof,
    .drain = on_drain,
    .gone = on_gone,
    .expired = on_expired,
    .sweep = on_sweep,
    .quit = on_quit,
};

static void over(void *owner)
{
    struct h2 *h = owner;
    conn_linger(h->conn);
}

static void will_write(void *owner, size_t n)
{
    conn_will_write(((struct h2 *)owner)->conn, n);
}

int h2_start(struct http_conn *c)
{
    struct h2 *h = calloc(1, sizeof *h);
    nghttp2_session_callbacks *cb = NULL;
    if (!h || nghttp2_session_callbacks_new(&cb) != 0) {
        free(h);
        return -ENOMEM;
    }
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_sent);
    h->conn = c;
    h->io.over = over;
    h->io.will_write = will_write;
    int r = h2_session_start(&h->io, c->server->opts.loop, c->s, /* is_server= */ true, cb, h);
    nghttp2_session_callbacks_del(cb);
    if (r < 0) {
        free(h);
        return r;
    }
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, HTTP_STREAMS_MAX},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_STREAM_WINDOW_BYTES},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP_HEADER_BYTES_MAX},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
    };
    nghttp2_submit_settings(h->io.ng, NGHTTP2_FLAG_NONE, settings, sizeof settings / sizeof *settings);
    nghttp2_session_set_local_window_size(h->io.ng, NGHTTP2_FLAG_NONE, 0, H2_CONN_WINDOW_BYTES);
    c->state = h;
    c->proto = &h2_proto;
    idle(h);
    h2_session_wake(&h->io);
    return 0;
}
