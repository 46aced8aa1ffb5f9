/* http/client.c - requests over one kept HTTP/2 connection.
 *
 * A connection that has got a GOAWAY or failed is let go of; its calls end on it, the next request makes another. */
#include "http/client.h"

#include <errno.h>
#include <stdlib.h>

#include "http/h2io.h"
#include "http/socket.h"

enum { CLIENT_TIMEOUT_MS = 30000, CLIENT_BODY_BYTES_MAX = 64 << 20, CLIENT_HEADERS_MAX = 128 };

struct client_conn {
    struct h2_session io;
    struct list link; /* in client->conns */
    struct http_client *client;
    struct loop *loop;
    struct stream *s;
    struct socket_dial *dial;
    struct list waiting; /* calls, until the connection is ready */
    bool ready;
};
struct http_client {
    struct http_client_opts opts;
    struct arena *mem;        /* of what opts points at */
    struct client_conn *conn; /* for the next request; NULL: none yet */
    struct list conns, calls;
    unsigned turn; /* which of the addresses */
};
struct http_call {
    struct list link;    /* in client->calls */
    struct list waiting; /* in conn->waiting */
    struct arena *mem;
    struct http_client *client;
    struct client_conn *conn;
    struct h2_stream *st;
    struct http_request req;
    nghttp2_nv *nv;
    size_t nv_count;
    struct http_reply reply;
    struct http_header headers[CLIENT_HEADERS_MAX];
    char *body;
    size_t body_len, body_cap;
    struct loop_timer timer;
    struct loop_task done;
    bool header_told, ended;
};

static bool is_streamed(const struct http_call *c)
{
    return c->req.on_data != NULL;
}

/* ---- ending */
static void call_detach(struct http_call *c)
{
    loop_timer_stop(&c->timer);
    list_remove(&c->waiting);
    if (!c->st)
        return;
    c->st->owner = NULL;
    h2_stream_reset(c->st, NGHTTP2_CANCEL);
    c->st = NULL;
}

static void call_free(struct http_call *c)
{
    list_remove(&c->link);
    loop_task_cancel(&c->done);
    free(c->body);
    arena_free(c->mem);
}

static void call_tell(struct http_call *c)
{
    c->reply.headers = c->headers;
    if (!is_streamed(c))
        c->reply.body = str_mem(c->body, c->body_len);
    list_remove(&c->link);
    list_init(&c->link);
    c->req.on_done(c->req.ctx, &c->reply);
    call_free(c);
}

static void on_done_task(struct loop_task *t)
{
    call_tell(container_of(t, struct http_call, done));
}

/* on_done follows from the loop. */
static void call_end(struct http_call *c, int error)
{
    if (c->ended)
        return;
    c->ended = true;
    c->reply.error = error;
    if (error && !c->header_told)
        c->reply.status = 0;
    call_detach(c);
    loop_post(c->client->opts.loop, &c->done);
}

static void on_timeout(struct loop_timer *t)
{
    call_end(container_of(t, struct http_call, timer), -ETIMEDOUT);
}

void http_call_cancel(struct http_call *c)
{
    if (!c->ended) {
        c->ended = true;
        c->reply.error = -ECANCELED;
        call_detach(c);
    }
    loop_task_cancel(&c->done);
    call_tell(c);
}

/* ---- receiving */
static struct http_call *call_of(nghttp2_session *ng, int32_t id)
{
    struct h2_stream *st = nghttp2_session_get_stream_user_data(ng, id);
    return st ? st->owner : NULL;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t value_len, uint8_t flags, void *user_data)
{
    struct http_call *c = call_of(ng, frame->hd.stream_id);
    if (!c || c->header_told)
        return 0;
    struct str n = str_mem((const char *)name, name_len), v = str_mem((const char *)value, value_len);
    int64_t status = 0;
    if (str_is(n, ":status") && str_to_i64(v, &status))
        c->reply.status = (int)status;
    else if (c->reply.header_count < CLIENT_HEADERS_MAX)
        c->headers[c->reply.header_count++] = (struct http_header){str_dup(c->mem, n), str_dup(c->mem, v)};
    return 0;
}

static void header_complete(struct http_call *c)
{
    if (c->reply.status < 200) { /* 100 Continue: the real one follows */
        c->reply.header_count = 0;
        return;
    }
    c->header_told = true;
    c->reply.headers = c->headers;
    if (is_streamed(c))
        loop_timer_stop(&c->timer);
    if (c->req.on_header)
        c->req.on_header(c->req.ctx, &c->reply);
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *user_data)
{
    struct client_conn *k = container_of((struct h2_session *)user_data, struct client_conn, io);
    struct http_call *c = call_of(ng, frame->hd.stream_id);
    if (frame->hd.type == NGHTTP2_GOAWAY && k->client->conn == k)
        k->client->conn = NULL; /* it ends with its calls */
    if (c && frame->hd.type == NGHTTP2_HEADERS && !c->header_told)
        header_complete(c);
    return 0;
}

static bool collect(struct http_call *c, struct str bytes)
{
    if (c->body_len + bytes.len > CLIENT_BODY_BYTES_MAX)
        return false;
    if (c->body_len + bytes.len > c->body_cap) {
        size_t cap = 2 * c->body_cap > c->body_len + bytes.len ? 2 * c->body_cap : c->body_len + bytes.len;
        char *p = realloc(c->body, cap);
        if (!p)
            return false;
        c->body = p;
        c->body_cap = cap;
    }
    memcpy(c->body + c->body_len, bytes.ptr, bytes.len);
    c->body_len += bytes.len;
    return true;
}

static int on_data_chunk(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
                         void *user_data)
{
    struct http_call *c = call_of(ng, id);
    struct str bytes = str_mem((const char *)data, len);
    nghttp2_session_consume(ng, id, len);
    if (!c)
        return 0;
    if (is_streamed(c))
        c->req.on_data(c->req.ctx, bytes);
    else if (!collect(c, bytes))
        call_end(c, -EMSGSIZE);
    return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t code, void *user_data)
{
    struct h2_stream *st = nghttp2_session_get_stream_user_data(ng, id);
    if (!st)
        return 0;
    struct http_call *c = st->owner;
    h2_stream_free(st);
    if (c) {
        c->st = NULL;
        /* NO_ERROR also comes as a reset, after an answer that did not wait for the whole request */
        call_end(c, code == NGHTTP2_NO_ERROR && c->header_told ? 0
                    : code == NGHTTP2_REFUSED_STREAM           ? -ECONNREFUSED
                                                               : -ECONNRESET);
    }
    return 0;
}

/* ---- the connection */
static void submit(struct http_call *c)
{
    struct client_conn *k = c->conn;
    list_remove(&c->waiting);
    struct h2_stream *st = h2_stream_new(&k->io, 0, c);
    if (c->req.body.len)
        h2_stream_write(st, (struct stream_buf){c->req.body, NULL, NULL});
    st->ended = true;
    nghttp2_data_provider provider = h2_stream_provider(st);
    int32_t id = nghttp2_submit_request(k->io.ng, NULL, c->nv, c->nv_count, c->req.body.len ? &provider : NULL, st);
    if (id < 0) {
        h2_stream_free(st);
        call_end(c, -ECONNRESET);
        return;
    }
    st->id = id;
    c->st = st;
    h2_session_wake(&k->io);
}

static void conn_let_go(struct client_conn *k)
{
    if (k->client->conn == k)
        k->client->conn = NULL;
}

static void conn_failed(struct client_conn *k, int error)
{
    conn_let_go(k);
    list_remove(&k->link);
    while (!list_empty(&k->waiting)) /* removes it */
        call_end(container_of(k->waiting.next, struct http_call, waiting), error);
    list_each_safe (l, &k->io.streams) {
        struct h2_stream *st = container_of(l, struct h2_stream, link);
        struct http_call *c = st->owner;
        st->h->s = NULL;
        if (c)
            c->st = NULL;
        h2_stream_free(st);
        if (c)
            call_end(c, error);
    }
    if (k->ready)
        h2_session_end(&k->io, error);
    else
        k->client->turn++; /* perhaps another address of it can be reached */
    free(k);
}

static void on_conn_data(void *ctx, struct str bytes)
{
    struct client_conn *k = ctx;
    if (k->ready)
        h2_session_recv(&k->io, bytes);
}

static void on_conn_drain(void *ctx)
{
    struct client_conn *k = ctx;
    if (k->ready)
        h2_session_flush(&k->io);
}

static void on_conn_close(void *ctx, int error)
{
    conn_failed(ctx, error ? error : -ECONNRESET);
}

static const struct stream_events conn_events = {.data = on_conn_data, .drain = on_conn_drain, .close = on_conn_close};

static void on_over(void *owner)
{
    struct client_conn *k = owner;
    conn_let_go(k);
    stream_close(k->s);
}

static void on_ready(void *ctx)
{
    struct client_conn *k = ctx;
    nghttp2_session_callbacks *cb = NULL;
    bool speaks = !k->client->opts.tls || socket_is_h2(k->s);
    if (!speaks || nghttp2_session_callbacks_new(&cb) != 0) {
        stream_close(k->s);
        return;
    }
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    k->io.over = on_over;
    int r = h2_session_start(&k->io, k->loop, k->s, /* is_server= */ false, cb, k);
    nghttp2_session_callbacks_del(cb);
    if (r < 0) {
        stream_close(k->s);
        return;
    }
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_STREAM_WINDOW_BYTES},
    };
    nghttp2_submit_settings(k->io.ng, NGHTTP2_FLAG_NONE, settings, sizeof settings / sizeof *settings);
    nghttp2_session_set_local_window_size(k->io.ng, NGHTTP2_FLAG_NONE, 0, H2_CONN_WINDOW_BYTES);
    k->ready = true;
    while (!list_empty(&k->waiting))
        submit(container_of(k->waiting.next, struct http_call, waiting));
    h2_session_wake(&k->io);
}

static void on_dialed(void *ctx, struct stream *s, int error)
{
    struct client_conn *k = ctx;
    k->dial = NULL;
    if (!s) {
        conn_failed(k, error);
        return;
    }
    k->s = s;
    stream_on(s, &conn_events, k);
}

struct str http_address_nth(const char *list, unsigned n)
{
    struct str rest = str_of(list), one = STR_NULL;
    unsigned count = 1;
    for (size_t i = 0; i < rest.len; i++)
        count += rest.ptr[i] == ',';
    for (n %= count; str_next(&rest, ',', &one) && n; n--)
        ;
    return one;
}

static struct client_conn *conn_new(struct http_client *c)
{
    struct client_conn *k = calloc(1, sizeof *k);
    if (!k)
        abort();
    k->client = c;
    k->loop = c->opts.loop;
    list_init(&k->waiting);
    list_init(&k->io.streams);
    list_add_tail(&c->conns, &k->link);
    struct socket_opts opts = {.loop = c->opts.loop,
                               .tls = c->opts.tls,
                               .server_name = c->opts.server_name,
                               .alpn = "h2",
                               .is_client = true,
                               .ready = on_ready,
                               .ctx = k};
    cleanup_arena struct arena *mem = arena_new();
    k->dial = socket_dial(&opts, str_z(mem, http_address_nth(c->opts.address, c->turn)), on_dialed, k);
    return k;
}

/* ---- requests */
static void add_nv(struct http_call *c, struct str name, struct str value)
{
    c->nv[c->nv_count++] = H2_NV(str_dup(c->mem, name), str_dup(c->mem, value));
}

static void build_header(struct http_call *c, const struct http_request *req)
{
    const struct http_client_opts *o = &c->client->opts;
    c->nv = arena_array(c->mem, nghttp2_nv, req->header_count + 8);
    add_nv(c, STR(":method"), str_of(req->method));
    add_nv(c, STR(":scheme"), o->tls ? STR("https") : STR("http"));
    add_nv(c, STR(":authority"), str_of(o->server_name ? o->server_name : "localhost"));
    add_nv(c, STR(":path"), req->path);
    if (o->bearer_token)
        add_nv(c, STR("authorization"), str_fmt(c->mem, "Bearer %s", o->bearer_token));
    if (req->content_type)
        add_nv(c, STR("content-type"), str_of(req->content_type));
    if (req->accept)
        add_nv(c, STR("accept"), str_of(req->accept));
    if (req->body.len)
        add_nv(c, STR("content-length"), str_fmt(c->mem, "%zu", req->body.len));
    for (int i = 0; i < req->header_count; i++)
        add_nv(c, req->headers[i].name, req->headers[i].value);
}

struct http_call *http_client_send(struct http_client *client, const struct http_request *req)
{
    struct arena *mem = arena_new();
    struct http_call *c = arena_new_of(mem, struct http_call);
    c->mem = mem;
    c->client = client;
    c->req = *req;
    c->req.body = str_dup(mem, req->body);
    list_init(&c->waiting);
    list_add_tail(&client->calls, &c->link);
    loop_timer_init(client->opts.loop, &c->timer, on_timeout);
    loop_task_init(&c->done, on_done_task);
    build_header(c, req);
    if (req->timeout_ms >= 0)
        loop_timer_start(&c->timer, req->timeout_ms ? req->timeout_ms : CLIENT_TIMEOUT_MS);
    if (!client->conn)
        client->conn = conn_new(client);
    c->conn = client->conn;
    if (c->conn->ready)
        submit(c);
    else
        list_add_tail(&c->conn->waiting, &c->waiting);
    return c;
}

static const char *keep(struct arena *mem, const char *z)
{
    return z ? str_z(mem, str_of(z)) : NULL;
}

struct http_client *http_client_new(const struct http_client_opts *opts)
{
    struct arena *mem = arena_new();
    struct http_client *c = arena_new_of(mem, struct http_client);
    c->mem = mem;
    c->opts = *opts;
    c->opts.address = keep(mem, opts->address);
    c->opts.server_name = keep(mem, opts->server_name);
    c->opts.bearer_token = keep(mem, opts->bearer_token);
    list_init(&c->calls);
    list_init(&c->conns);
    return c;
}

static void on_dead_data(void *ctx, struct str bytes)
{
}

static void on_dead_close(void *ctx, int error)
{
}

static const struct stream_events dead_events = {.data = on_dead_data, .close = on_dead_close};

static void conn_drop(struct client_conn *k)
{
    if (k->dial)
        socket_dial_cancel(k->dial);
    if (k->s) {
        stream_on(k->s, &dead_events, NULL);
        stream_close(k->s);
    }
    conn_failed(k, -ECANCELED);
}

struct http_client *http_client_free(struct http_client *c)
{
    if (!c)
        return NULL;
    while (!list_empty(&c->calls)) {
        http_call_cancel(container_of(c->calls.next, struct http_call, link));
    }
    while (!list_empty(&c->conns))
        conn_drop(container_of(c->conns.next, struct client_conn, link));
    arena_free(c->mem);
    return NULL;
}
