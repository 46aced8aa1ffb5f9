/* http/spdy.c - frames and streams; header blocks are in spdy_headers.c. */
#include "http/spdy.h"

#include <errno.h>
#include <stdlib.h>

#include "base/list.h"
#include "http/sendq.h"
#include "http/spdy_headers.h"

enum spdy_type {
    SPDY_SYN_STREAM = 1,
    SPDY_SYN_REPLY = 2,
    SPDY_RST_STREAM = 3,
    SPDY_SETTINGS = 4,
    SPDY_PING = 6,
    SPDY_GOAWAY = 7,
    SPDY_HEADERS = 8,
    SPDY_WINDOW_UPDATE = 9
};
enum { SPDY_FIN = 1, SPDY_UNIDIRECTIONAL = 2, SPDY_PIECE_BYTES = 32 << 10 };
enum spdy_status {
    SPDY_PROTOCOL_ERROR = 1,
    SPDY_INVALID_STREAM = 2,
    SPDY_REFUSED = 3,
    SPDY_CANCEL = 5,
    SPDY_IN_USE = 8
};

struct spdy {
    struct stream *s;
    struct loop *loop;
    const struct spdy_events *events;
    void *ctx;
    struct spdy_headers headers;
    struct list streams;
    int stream_count, paused_by; /* streams whose backlog is full */
    uint32_t last_id;
    int64_t window; /* what we may send; counts only once the peer updates windows */
    int64_t initial_window;
    uint32_t taken; /* received since our last WINDOW_UPDATE */
    bool peer_updates;
    bool closing; /* no new streams */
    bool ending;  /* spdy_close: what the streams have queued goes first */
    bool deaf;    /* nothing more is read */
    int error;
    /* the frame being read */
    unsigned char head[8];
    int head_len;
    uint32_t left;
    bool is_control;
    char *control;
    uint32_t control_len;
    struct spdy_stream *to; /* of a DATA frame; NULL: thrown away */
};
struct spdy_stream {
    struct list link;
    struct spdy *c; /* NULL: the connection is gone */
    struct stream raw;
    uint32_t id;
    struct sendq q;
    int64_t window;
    uint32_t taken;
    bool high, shut, fin_sent, fin_come, eof_told, paused, close_wanted, gone, holds_conn;
    int error;
    char *backlog;
    size_t backlog_len;
    struct loop_task task;
};

static const struct stream_ops stream_ops;

/* ---- sending frames */
static void put_u32(unsigned char *p, uint32_t v)
{
    p[0] = (unsigned char)(v >> 24), p[1] = (unsigned char)(v >> 16), p[2] = (unsigned char)(v >> 8),
    p[3] = (unsigned char)v;
}

static uint32_t get_u32(const void *at)
{
    const unsigned char *p = at;
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void send_control(struct spdy *c, enum spdy_type type, uint32_t a, const uint32_t *b, struct str rest)
{
    unsigned char f[16];
    uint32_t len = (uint32_t)rest.len + (b ? 8 : 4);
    put_u32(f, 0x80030000u | type);
    put_u32(f + 4, len); /* no flags */
    put_u32(f + 8, a);
    if (b)
        put_u32(f + 12, *b);
    stream_write(c->s, str_mem((char *)f, b ? 16 : 12));
    stream_write(c->s, rest);
}

static void send_reset(struct spdy *c, uint32_t id, uint32_t status)
{
    send_control(c, SPDY_RST_STREAM, id, &status, STR_NULL);
}

static void send_data_head(struct spdy *c, uint32_t id, size_t len, bool fin)
{
    unsigned char f[8];
    put_u32(f, id);
    put_u32(f + 4, (uint32_t)len | (fin ? (uint32_t)SPDY_FIN << 24 : 0));
    stream_write(c->s, str_mem((char *)f, 8));
}

static void step(struct spdy_stream *st)
{
    loop_post(st->c->loop, &st->task);
}

/* What waits, as far as the connection and the windows let it. */
static void pump(struct spdy_stream *st)
{
    struct spdy *c = st->c;
    while (st->q.bytes && stream_queued(c->s) <= STREAM_HIGH_BYTES) {
        int64_t n = st->q.bytes < SPDY_PIECE_BYTES ? (int64_t)st->q.bytes : SPDY_PIECE_BYTES;
        if (c->peer_updates) {
            n = n < st->window ? n : st->window;
            n = n < c->window ? n : c->window;
        }
        if (n <= 0)
            break;
        bool fin = st->shut && (size_t)n == st->q.bytes;
        send_data_head(c, st->id, (size_t)n, fin);
        sendq_move(&st->q, (size_t)n, c->s);
        st->window -= n;
        c->window -= n;
        st->fin_sent = st->fin_sent || fin;
    }
    if (st->shut && !st->fin_sent && st->q.bytes == 0) {
        st->fin_sent = true;
        send_data_head(c, st->id, 0, /* fin= */ true);
    }
    if ((st->fin_sent && st->fin_come) || (st->high && st->q.bytes < STREAM_LOW_BYTES))
        step(st);
}

static bool all_sent(const struct spdy *c)
{
    list_each (l, &c->streams) {
        const struct spdy_stream *st = container_of(l, struct spdy_stream, link);
        if (!st->gone && st->q.bytes)
            return false;
    }
    return true;
}

static void end(struct spdy *c)
{
    uint32_t status = 0;
    c->deaf = true;
    send_control(c, SPDY_GOAWAY, c->last_id, &status, STR_NULL);
    stream_shutdown(c->s);
}

static void pump_all(struct spdy *c)
{
    list_each_safe (l, &c->streams) {
        struct spdy_stream *st = container_of(l, struct spdy_stream, link);
        if (!st->gone)
            pump(st);
    }
    if (c->ending && !c->deaf && all_sent(c))
        end(c);
}

/* ---- streams */
static void stream_free(struct spdy_stream *st)
{
    loop_task_cancel(&st->task);
    list_remove(&st->link);
    if (st->c) {
        st->c->stream_count--;
        if (st->c->to == st)
            st->c->to = NULL;
        if (st->holds_conn && --st->c->paused_by == 0)
            stream_resume(st->c->s);
    }
    sendq_drop(&st->q, st->c ? st->c->s : NULL);
    free(st->backlog);
    free(st);
}

static void took(struct spdy_stream *st, size_t n)
{
    struct spdy *c = st->c;
    uint32_t delta;
    st->taken += (uint32_t)n;
    c->taken += (uint32_t)n;
    if (st->taken >= SPDY_WINDOW_BYTES / 2 && !st->gone && !st->fin_come) {
        delta = st->taken;
        st->taken = 0;
        send_control(c, SPDY_WINDOW_UPDATE, st->id, &delta, STR_NULL);
    }
    if (c->taken >= SPDY_WINDOW_BYTES / 2) {
        delta = c->taken;
        c->taken = 0;
        send_control(c, SPDY_WINDOW_UPDATE, 0, &delta, STR_NULL);
    }
}

static void deliver_backlog(struct spdy_stream *st)
{
    char *p = st->backlog;
    size_t n = st->backlog_len;
    st->backlog = NULL;
    st->backlog_len = 0;
    if (st->holds_conn) {
        st->holds_conn = false;
        if (--st->c->paused_by == 0)
            stream_resume(st->c->s);
    }
    st->raw.events->data(st->raw.ctx, str_mem(p, n));
    free(p);
    took(st, n);
}

/* Bytes, drain, end of file, close: in that order, each once. */
static void on_task(struct loop_task *t)
{
    struct spdy_stream *st = container_of(t, struct spdy_stream, task);
    if (st->backlog_len && !st->paused && !st->close_wanted)
        deliver_backlog(st);
    if (st->high && st->q.bytes < STREAM_LOW_BYTES && !st->close_wanted && !st->gone) {
        st->high = false;
        if (st->raw.events->drain)
            st->raw.events->drain(st->raw.ctx);
    }
    bool taken = st->backlog_len == 0 || st->close_wanted || st->error;
    if (taken && st->fin_come && !st->eof_told && !st->close_wanted && !st->error) {
        st->eof_told = true;
        if (st->raw.events->eof)
            st->raw.events->eof(st->raw.ctx);
        else
            stream_close(&st->raw);
    }
    bool ended = st->gone || st->close_wanted || (st->fin_sent && st->fin_come && st->eof_told);
    if (!taken || !ended)
        return;
    st->raw.events->close(st->raw.ctx, st->close_wanted ? 0 : st->error);
    stream_free(st);
}

static struct spdy_stream *of(const struct stream *s)
{
    return container_of(s, struct spdy_stream, raw);
}

static bool after_write(struct spdy_stream *st)
{
    pump(st);
    if (st->q.bytes <= STREAM_HIGH_BYTES)
        return true;
    st->high = true;
    return false;
}

static bool op_write(struct stream *s, struct stream_buf buf)
{
    struct spdy_stream *st = of(s);
    if (!st->c || st->gone || st->close_wanted || st->shut) {
        stream_buf_release(buf);
        return true;
    }
    sendq_push(&st->q, buf);
    return after_write(st);
}

static bool op_write_copy(struct stream *s, struct str bytes)
{
    struct spdy_stream *st = of(s);
    if (!st->c || st->gone || st->close_wanted || st->shut)
        return true;
    sendq_copy(&st->q, bytes);
    return after_write(st);
}

static size_t op_queued(const struct stream *s)
{
    return of(s)->q.bytes;
}

static void op_shutdown(struct stream *s)
{
    struct spdy_stream *st = of(s);
    if (!st->c || st->gone || st->close_wanted || st->shut)
        return;
    st->shut = true;
    pump(st);
}

static void op_close(struct stream *s)
{
    struct spdy_stream *st = of(s);
    if (!st->c || st->close_wanted)
        return;
    st->close_wanted = true;
    if (!st->gone && !(st->fin_sent && st->fin_come))
        send_reset(st->c, st->id, SPDY_CANCEL);
    st->gone = true;
    step(st);
}

static void op_pause(struct stream *s, bool paused)
{
    struct spdy_stream *st = of(s);
    st->paused = paused;
    if (!paused && st->c)
        step(st);
}

static const struct stream_ops stream_ops = {op_write, op_queued, op_shutdown, op_close, op_pause, op_write_copy};

static struct spdy_stream *find(struct spdy *c, uint32_t id)
{
    list_each (l, &c->streams) {
        struct spdy_stream *st = container_of(l, struct spdy_stream, link);
        if (st->id == id && !st->gone)
            return st;
    }
    return NULL;
}

static void stream_data(struct spdy_stream *st, struct str bytes)
{
    if (!st->backlog_len && !st->paused) {
        st->raw.events->data(st->raw.ctx, bytes);
        took(st, bytes.len);
        return;
    }
    char *p = realloc(st->backlog, st->backlog_len + bytes.len);
    if (!p)
        abort(); /* bounded by SPDY_BACKLOG_BYTES_MAX and one read */
    memcpy(p + st->backlog_len, bytes.ptr, bytes.len);
    st->backlog = p;
    st->backlog_len += bytes.len;
    if (st->backlog_len > SPDY_BACKLOG_BYTES_MAX && !st->holds_conn) {
        st->holds_conn = true;
        if (st->c->paused_by++ == 0)
            stream_pause(st->c->s);
    }
}

static void stream_fin(struct spdy_stream *st)
{
    st->fin_come = true;
    step(st);
}

/* ---- control frames */
static void fail(struct spdy *c)
{
    uint32_t status = SPDY_PROTOCOL_ERROR;
    if (c->deaf)
        return;
    c->deaf = true;
    c->error = -EPROTO;
    send_control(c, SPDY_GOAWAY, c->last_id, &status, STR_NULL);
    stream_close(c->s);
}

static void on_syn_stream(struct spdy *c, int flags, struct str f)
{
    uint32_t id = f.len >= 10 ? get_u32(f.ptr) & 0x7fffffff : 0;
    cleanup_arena struct arena *mem = arena_new();
    struct http_header *headers = arena_array(mem, struct http_header, SPDY_HEADERS_MAX);
    int count =
        id ? spdy_headers_unpack(&c->headers, mem, str_from(f, 10), SPDY_CONTROL_BYTES_MAX, SPDY_HEADERS_MAX, headers)
           : -1;
    if (count < 0) { /* the compression state is lost with it */
        fail(c);
        return;
    }
    if (id % 2 == 0 || id <= c->last_id) {
        send_reset(c, id, find(c, id) ? SPDY_IN_USE : SPDY_PROTOCOL_ERROR);
        return;
    }
    c->last_id = id;
    struct spdy_stream *st = c->stream_count < SPDY_STREAMS_MAX && !c->closing ? calloc(1, sizeof *st) : NULL;
    if (!st) {
        send_reset(c, id, SPDY_REFUSED);
        return;
    }
    st->c = c;
    st->id = id;
    st->raw.ops = &stream_ops;
    st->window = c->initial_window;
    loop_task_init(&st->task, on_task);
    list_add_tail(&c->streams, &st->link);
    c->stream_count++;
    /* The answer goes first: the client throws away what comes before it. */
    st->fin_sent = st->shut = flags & SPDY_UNIDIRECTIONAL;
    struct str none = spdy_headers_pack(&c->headers, mem, NULL, 0);
    send_control(c, SPDY_SYN_REPLY, id, NULL, none);
    if (!c->events->open(c->ctx, &st->raw, headers, count)) {
        send_reset(c, id, SPDY_REFUSED);
        stream_free(st);
        return;
    }
    if (flags & SPDY_FIN)
        stream_fin(st);
}

static void on_settings(struct spdy *c, struct str f)
{
    for (struct str rest = str_from(f, 4); rest.len >= 8; rest = str_from(rest, 8)) {
        uint32_t id = get_u32(rest.ptr) & 0xffffff, value = get_u32(rest.ptr + 4);
        if (id != 7 || value > INT32_MAX) /* INITIAL_WINDOW_SIZE */
            continue;
        list_each (l, &c->streams)
            container_of(l, struct spdy_stream, link)->window += (int64_t)value - c->initial_window;
        c->initial_window = value;
    }
    pump_all(c);
}

static void on_window_update(struct spdy *c, uint32_t id, uint32_t delta)
{
    struct spdy_stream *st = id ? find(c, id) : NULL;
    int64_t *window = st ? &st->window : &c->window;
    c->peer_updates = true;
    if (id && !st)
        return;
    *window += delta & 0x7fffffff;
    if (*window > INT32_MAX)
        *window = INT32_MAX;
    pump_all(c);
}

static void on_reset(struct spdy *c, uint32_t id)
{
    struct spdy_stream *st = find(c, id);
    if (!st)
        return;
    st->gone = true;
    st->error = -ECONNRESET;
    sendq_drop(&st->q, c->s);
    step(st);
}

static void on_headers(struct spdy *c, int flags, struct str f)
{
    cleanup_arena struct arena *mem = arena_new();
    struct http_header *headers = arena_array(mem, struct http_header, SPDY_HEADERS_MAX);
    if (f.len < 4 ||
        spdy_headers_unpack(&c->headers, mem, str_from(f, 4), SPDY_CONTROL_BYTES_MAX, SPDY_HEADERS_MAX, headers) < 0) {
        fail(c);
        return;
    }
    struct spdy_stream *st = find(c, get_u32(f.ptr) & 0x7fffffff);
    if (st && (flags & SPDY_FIN))
        stream_fin(st);
}

static void on_control(struct spdy *c)
{
    int type = c->head[2] << 8 | c->head[3], flags = c->head[4];
    struct str f = str_mem(c->control, c->control_len);
    uint32_t first = f.len >= 4 ? get_u32(f.ptr) : 0, second = f.len >= 8 ? get_u32(f.ptr + 4) : 0;
    bool is_short = f.len < 4 || (f.len < 8 && (type == SPDY_RST_STREAM || type == SPDY_WINDOW_UPDATE));
    if (is_short) {
        fail(c);
        return;
    }
    switch (type) {
    case SPDY_SYN_STREAM:
        on_syn_stream(c, flags, f);
        break;
    case SPDY_SYN_REPLY: /* we open none; but its block belongs to the compression */
    case SPDY_HEADERS:
        on_headers(c, flags, f);
        break;
    case SPDY_RST_STREAM:
        on_reset(c, first & 0x7fffffff);
        break;
    case SPDY_SETTINGS:
        on_settings(c, f);
        break;
    case SPDY_PING:
        if (first % 2 == 1) /* the client's own: echoed */
            send_control(c, SPDY_PING, first, NULL, STR_NULL);
        break;
    case SPDY_GOAWAY:
        c->closing = true; /* no new streams; it closes when it is done */
        break;
    case SPDY_WINDOW_UPDATE:
        on_window_update(c, first & 0x7fffffff, second);
        break;
    default: /* unknown ones are ignored */
        break;
    }
}

/* ---- reading frames */
static bool frame_begin(struct spdy *c)
{
    c->left = get_u32(c->head + 4) & 0xffffff;
    c->is_control = c->head[0] & 0x80;
    if (!c->is_control) {
        c->to = find(c, get_u32(c->head));
        if (c->to && c->to->fin_come)
            c->to = NULL;
        if (!c->to && c->left)
            send_reset(c, get_u32(c->head), SPDY_INVALID_STREAM);
        return true;
    }
    if ((get_u32(c->head) >> 16 & 0x7fff) != 3 || c->left > SPDY_CONTROL_BYTES_MAX) {
        fail(c);
        return false;
    }
    c->control_len = 0;
    c->control = malloc(c->left ? c->left : 1);
    if (!c->control)
        abort();
    return true;
}

static void frame_end(struct spdy *c)
{
    c->head_len = 0;
    if (c->is_control) {
        on_control(c);
        free(c->control);
        c->control = NULL;
        return;
    }
    struct spdy_stream *st = c->to;
    c->to = NULL;
    if (st && (c->head[4] & SPDY_FIN))
        stream_fin(st);
}

static size_t frame_payload(struct spdy *c, struct str bytes)
{
    size_t n = bytes.len < c->left ? bytes.len : c->left;
    c->left -= (uint32_t)n;
    if (c->is_control) {
        if (n)
            memcpy(c->control + c->control_len, bytes.ptr, n);
        c->control_len += (uint32_t)n;
    } else if (c->to && n && !c->to->gone) {
        stream_data(c->to, str_head(bytes, n));
    }
    return n;
}

static void on_data(void *ctx, struct str bytes)
{
    struct spdy *c = ctx;
    while (bytes.len && !c->deaf) {
        if (c->head_len < 8) {
            c->head[c->head_len++] = (unsigned char)bytes.ptr[0];
            bytes = str_from(bytes, 1);
            if (c->head_len < 8 || !frame_begin(c))
                continue;
        }
        bytes = str_from(bytes, frame_payload(c, bytes));
        if (c->left == 0)
            frame_end(c);
    }
}

static void on_eof(void *ctx)
{
    stream_close(((struct spdy *)ctx)->s);
}

static void on_drain(void *ctx)
{
    pump_all(ctx);
}

static void on_close(void *ctx, int error)
{
    struct spdy *c = ctx;
    while (!list_empty(&c->streams)) {
        struct spdy_stream *st = container_of(c->streams.next, struct spdy_stream, link);
        list_remove(&st->link);
        st->c = NULL;
        int why = st->error ? st->error : error ? error : -ECONNRESET;
        st->raw.events->close(st->raw.ctx, st->close_wanted || c->closing ? 0 : why);
        stream_free(st);
    }
    c->events->close(c->ctx, c->error ? c->error : error);
    spdy_headers_done(&c->headers);
    free(c->control);
    free(c);
}

static const struct stream_events events = {on_data, on_eof, on_drain, on_close};

struct spdy *spdy_new(struct loop *l, struct stream *s, const struct spdy_events *ev, void *ctx)
{
    struct spdy *c = calloc(1, sizeof *c);
    if (!c || spdy_headers_init(&c->headers) < 0)
        abort();
    c->s = s;
    c->loop = l;
    c->events = ev;
    c->ctx = ctx;
    c->window = c->initial_window = SPDY_WINDOW_BYTES;
    list_init(&c->streams);
    stream_on(s, &events, c);
    return c;
}

void spdy_close(struct spdy *c)
{
    if (c->deaf || c->ending)
        return;
    c->closing = c->ending = true;
    if (all_sent(c))
        end(c);
}

void spdy_abort(struct spdy *c)
{
    c->closing = c->deaf = true;
    stream_close(c->s);
}
