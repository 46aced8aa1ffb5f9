/* http/h2io.c - frames in and out, streams with queues and back-pressure. */
#include "http/h2io.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* ---- sending */
static bool room(struct h2_session *h)
{
    h->blocked = stream_queued(h->s) > STREAM_HIGH_BYTES;
    return !h->blocked;
}

static ssize_t on_send(nghttp2_session *ng, const uint8_t *data, size_t length, int flags, void *user_data)
{
    struct h2_session *h = user_data;
    if (!room(h))
        return NGHTTP2_ERR_WOULDBLOCK;
    if (h->will_write)
        h->will_write(h->owner, length);
    stream_write(h->s, str_mem((const char *)data, length));
    return (ssize_t)length;
}

static int on_send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *framehd, size_t length,
                        nghttp2_data_source *source, void *user_data)
{
    struct h2_session *h = user_data;
    struct h2_stream *st = source->ptr;
    if (!room(h))
        return NGHTTP2_ERR_WOULDBLOCK;
    if (h->will_write)
        h->will_write(h->owner, length + 9);
    stream_write(h->s, str_mem((const char *)framehd, 9));
    sendq_move(&st->q, length, h->s);
    st->moved_ms = loop_now_ms(h->loop);
    if (st->high && st->q.bytes < STREAM_LOW_BYTES) {
        st->high = false;
        st->drain_due = true;
    }
    return 0;
}

static ssize_t on_provide(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t length, uint32_t *flags,
                          nghttp2_data_source *source, void *user_data)
{
    struct h2_stream *st = source->ptr;
    size_t n = st->q.bytes < length ? st->q.bytes : length;
    if (n == 0 && !st->ended) {
        st->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (n)
        *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (n == st->q.bytes && st->ended)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

nghttp2_data_provider h2_stream_provider(struct h2_stream *st)
{
    return (nghttp2_data_provider){.source = {.ptr = st}, .read_callback = on_provide};
}

static void tell_drained(struct h2_session *h)
{
    list_each_safe (l, &h->streams) {
        struct h2_stream *st = container_of(l, struct h2_stream, link);
        if (!st->drain_due)
            continue;
        st->drain_due = false;
        if (st->drain && !st->closed)
            st->drain(st);
    }
}

void h2_session_flush(struct h2_session *h)
{
    if (!h->ng || h->in_recv || h->in_send || h->is_over)
        return;
    h->in_send = true;
    h->blocked = false;
    int r = nghttp2_session_send(h->ng);
    h->in_send = false;
    tell_drained(h);
    bool ended = !nghttp2_session_want_read(h->ng) && !nghttp2_session_want_write(h->ng);
    if (r < 0 || ended) {
        h->is_over = true;
        h->over(h->owner);
    }
}

static void on_task(struct loop_task *t)
{
    h2_session_flush(container_of(t, struct h2_session, task));
}

void h2_session_wake(struct h2_session *h)
{
    if (h->ng && !h->in_recv)
        loop_post(h->loop, &h->task);
}

void h2_session_recv(struct h2_session *h, struct str bytes)
{
    if (!h->ng || h->is_over)
        return;
    h->in_recv = true;
    ssize_t n = nghttp2_session_mem_recv(h->ng, (const uint8_t *)bytes.ptr, bytes.len);
    h->in_recv = false;
    if (n < 0 && nghttp2_session_want_write(h->ng) == 0) {
        h->is_over = true;
        h->over(h->owner);
        return;
    }
    if (n < 0)
        nghttp2_session_terminate_session(h->ng, NGHTTP2_PROTOCOL_ERROR);
    h2_session_flush(h);
}

int h2_session_start(struct h2_session *h, struct loop *l, struct stream *s, bool is_server,
                     nghttp2_session_callbacks *callbacks, void *owner)
{
    h->s = s;
    h->loop = l;
    h->owner = owner;
    list_init(&h->streams);
    loop_task_init(&h->task, on_task);
    nghttp2_session_callbacks_set_send_callback(callbacks, on_send);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_data);
    nghttp2_option *o = NULL;
    if (nghttp2_option_new(&o) != 0)
        return -ENOMEM;
    nghttp2_option_set_no_auto_window_update(o, 1);
    nghttp2_option_set_no_closed_streams(o, 1);
    nghttp2_option_set_max_outbound_ack(o, H2_ACKS_MAX);
    nghttp2_option_set_max_settings(o, H2_SETTINGS_MAX);
    nghttp2_option_set_stream_reset_rate_limit(o, H2_RESETS_BURST, H2_RESETS_PER_S);
    nghttp2_option_set_max_continuations(o, H2_CONTINUATIONS_MAX);
    nghttp2_option_set_peer_max_concurrent_streams(o, 100);
    int r = is_server ? nghttp2_session_server_new2(&h->ng, callbacks, h, o)
                      : nghttp2_session_client_new2(&h->ng, callbacks, h, o);
    nghttp2_option_del(o);
    return r == 0 ? 0 : -ENOMEM;
}

void h2_session_end(struct h2_session *h, int error)
{
    loop_task_cancel(&h->task);
    nghttp2_session *ng = h->ng;
    h->ng = NULL;
    h->s = NULL;
    if (ng)
        nghttp2_session_del(ng);
    list_each_safe (l, &h->streams) {
        struct h2_stream *st = container_of(l, struct h2_stream, link);
        if (!st->is_raw)
            continue; /* the owner's */
        list_remove(&st->link);
        st->h = NULL;
        loop_task_cancel(&st->raw_task);
        if (st->raw.events)
            st->raw.events->close(st->raw.ctx, st->close_wanted ? 0 : st->error ? st->error : error);
        sendq_drop(&st->q, NULL);
        free(st->backlog);
        free(st);
    }
}

/* ---- streams */
static void on_raw_task(struct loop_task *t);

struct h2_stream *h2_stream_new(struct h2_session *h, int32_t id, void *owner)
{
    struct h2_stream *st = calloc(1, sizeof *st);
    if (!st)
        abort(); /* bounded by the number of streams */
    st->h = h;
    st->id = id;
    st->owner = owner;
    st->deadline_ms = INT64_MAX;
    list_add_tail(&h->streams, &st->link);
    h->stream_count++;
    loop_task_init(&st->raw_task, on_raw_task);
    return st;
}

void h2_stream_free(struct h2_stream *st)
{
    list_remove(&st->link);
    loop_task_cancel(&st->raw_task);
    st->h->stream_count--;
    sendq_drop(&st->q, st->h->s);
    free(st->backlog);
    free(st);
}

static void resume(struct h2_stream *st)
{
    if (st->deferred && st->h->ng) {
        st->deferred = false;
        nghttp2_session_resume_data(st->h->ng, st->id);
    }
    h2_session_wake(st->h);
}

/* How much may wait on one stream: many share what a connection may hold. */
static size_t high_bytes(const struct h2_session *h)
{
    size_t share = H2_CONN_QUEUE_BYTES / (size_t)(h->stream_count > 0 ? h->stream_count : 1);
    return share > STREAM_HIGH_BYTES ? STREAM_HIGH_BYTES : share < STREAM_LOW_BYTES ? STREAM_LOW_BYTES : share;
}

bool h2_stream_write(struct h2_stream *st, struct stream_buf buf)
{
    if (st->closed || st->ended) {
        stream_buf_release(buf);
        return true;
    }
    if (st->q.bytes == 0)
        st->moved_ms = loop_now_ms(st->h->loop);
    sendq_push(&st->q, buf);
    resume(st);
    size_t high = high_bytes(st->h);
    st->high = st->high || st->q.bytes > high;
    return st->q.bytes <= high;
}

void h2_stream_end(struct h2_stream *st)
{
    if (st->closed || st->ended)
        return;
    st->ended = true;
    resume(st);
}

void h2_stream_reset(struct h2_stream *st, uint32_t code)
{
    if (st->closed || !st->h->ng)
        return;
    sendq_drop(&st->q, st->h->s);
    nghttp2_submit_rst_stream(st->h->ng, NGHTTP2_FLAG_NONE, st->id, code);
    h2_session_wake(st->h);
}

/* ---- as struct streams */
static struct h2_stream *raw_of(const struct stream *s)
{
    return container_of(s, struct h2_stream, raw);
}

static void raw_step(struct h2_stream *st)
{
    loop_post(st->h->loop, &st->raw_task);
}

static void take(struct h2_stream *st, size_t n)
{
    if (st->h->ng && !st->closed)
        nghttp2_session_consume_stream(st->h->ng, st->id, n);
    h2_session_wake(st->h);
}

/* What waits, in order: bytes, end of file, close. */
static void on_raw_task(struct loop_task *t)
{
    struct h2_stream *st = container_of(t, struct h2_stream, raw_task);
    if (st->backlog_len && !st->raw_paused && !st->close_wanted && st->raw.events) {
        char *p = st->backlog;
        size_t n = st->backlog_len;
        st->backlog = NULL;
        st->backlog_len = 0;
        st->raw.events->data(st->raw.ctx, str_mem(p, n));
        free(p);
        take(st, n);
    }
    bool taken = st->backlog_len == 0 || st->close_wanted || st->error;
    if (taken && st->raw_eof && !st->eof_told && !st->close_wanted && !st->error) {
        st->eof_told = true;
        if (st->raw.events && st->raw.events->eof)
            st->raw.events->eof(st->raw.ctx);
        else if (!st->closed)
            st->raw.ops->close(&st->raw);
    }
    if (!taken || !(st->closed || st->close_wanted))
        return;
    if (st->raw.events)
        st->raw.events->close(st->raw.ctx, st->close_wanted ? 0 : st->error);
    st->raw.events = NULL;
    if (st->closed)
        h2_stream_free(st);
    else
        st->close_wanted = st->raw_paused = true; /* freed when the session has let it go */
}

void h2_raw_data(struct h2_stream *st, struct str bytes)
{
    if (st->h->ng)
        nghttp2_session_consume_connection(st->h->ng, bytes.len);
    if (st->close_wanted)
        return;
    if (!st->backlog_len && !st->raw_paused && st->raw.events) {
        st->raw.events->data(st->raw.ctx, bytes);
        take(st, bytes.len);
        return;
    }
    char *p = realloc(st->backlog, st->backlog_len + bytes.len); /* bounded by the window */
    if (!p)
        abort();
    memcpy(p + st->backlog_len, bytes.ptr, bytes.len);
    st->backlog = p;
    st->backlog_len += bytes.len;
    if (!st->raw_paused)
        raw_step(st);
}

void h2_raw_eof(struct h2_stream *st)
{
    st->raw_eof = true;
    raw_step(st);
}

void h2_raw_closed(struct h2_stream *st, int error)
{
    st->closed = true;
    st->error = error;
    sendq_drop(&st->q, st->h->s);
    raw_step(st);
}

static void raw_drain(struct h2_stream *st)
{
    if (st->raw.events && st->raw.events->drain)
        st->raw.events->drain(st->raw.ctx);
}

static bool raw_write(struct stream *s, struct stream_buf buf)
{
    return h2_stream_write(raw_of(s), buf);
}

static bool raw_write_copy(struct stream *s, struct str bytes)
{
    struct h2_stream *st = raw_of(s);
    if (st->closed || st->ended)
        return true;
    if (st->q.bytes == 0)
        st->moved_ms = loop_now_ms(st->h->loop);
    sendq_copy(&st->q, bytes);
    return h2_stream_write(st, (struct stream_buf){STR_NULL, NULL, NULL});
}

static size_t raw_queued(const struct stream *s)
{
    return raw_of(s)->q.bytes;
}

static void raw_shutdown(struct stream *s)
{
    h2_stream_end(raw_of(s));
}

static void raw_close(struct stream *s)
{
    struct h2_stream *st = raw_of(s);
    if (st->close_wanted)
        return;
    st->close_wanted = true;
    h2_stream_reset(st, st->ended && st->raw_eof ? NGHTTP2_NO_ERROR : NGHTTP2_CANCEL);
    raw_step(st);
}

static void raw_pause(struct stream *s, bool paused)
{
    struct h2_stream *st = raw_of(s);
    st->raw_paused = paused;
    if (!paused && (st->backlog_len || st->raw_eof || st->closed))
        raw_step(st);
}

static const struct stream_ops raw_ops = {raw_write, raw_queued, raw_shutdown, raw_close, raw_pause, raw_write_copy};

struct stream *h2_stream_raw(struct h2_stream *st)
{
    st->is_raw = true;
    st->raw.ops = &raw_ops;
    st->drain = raw_drain;
    return &st->raw;
}
