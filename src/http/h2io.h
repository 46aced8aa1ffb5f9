/* http/h2io.h - an nghttp2 session on a struct stream, and HTTP/2 streams that queue what they send and can be struct
 * streams themselves. Shared by server (h2.c), client (client.c) and tunnel (tunnel.c). Internal to http/.
 *
 * Frames leave after the present callback is over. DATA is handed on without a copy. Receive windows are opened as
 * bytes are taken, so that a paused stream holds its own sender back and nobody else's. */
#ifndef SAMPAN_HTTP_H2IO_H
#define SAMPAN_HTTP_H2IO_H

#include <nghttp2/nghttp2.h>

#include "base/list.h"
#include "http/sendq.h"
#include "http/stream.h"

enum {
    H2_STREAM_WINDOW_BYTES = 256 << 10, /* what a peer may send on one stream ahead of us */
    H2_CONN_WINDOW_BYTES = 1 << 20,
    H2_CONN_QUEUE_BYTES = 4 << 20, /* what may wait to be sent; but STREAM_LOW_BYTES of each stream always may */
    H2_RESETS_BURST = 200, /* rapid reset: so many at once, and so many a second, before the connection is closed */
    H2_RESETS_PER_S = 50,
    H2_CONTINUATIONS_MAX = 8,
    H2_ACKS_MAX = 200, /* SETTINGS and PING not yet acknowledged because the peer does not read */
    H2_SETTINGS_MAX = 16,
};

struct h2_session {
    nghttp2_session *ng; /* NULL: ended */
    struct stream *s;
    struct loop *loop;
    void *owner;
    void (*will_write)(void *owner, size_t n); /* may be NULL */
    void (*over)(void *owner);                 /* nothing more to say in either direction: close the stream */
    struct list streams;
    int stream_count;
    struct loop_task task;
    bool in_recv, in_send, blocked, is_over;
};
struct h2_stream {
    struct list link;
    struct h2_session *h;
    int32_t id;
    struct sendq q;
    bool answered; /* the owner's use: before all of the request was here */
    bool ended;    /* END_STREAM follows the queue */
    bool deferred; /* nghttp2 waits for data */
    bool high, drain_due;
    void (*drain)(struct h2_stream *st); /* NULL: not wanted */
    void *owner;
    int64_t deadline_ms; /* the owner's use */
    int64_t moved_ms;    /* when bytes last left the queue, or first waited in it */
    /* As a struct stream */
    struct stream raw;
    bool is_raw, raw_paused, raw_eof, eof_told, close_wanted, closed;
    int error;
    char *backlog;
    size_t backlog_len;
    struct loop_task raw_task;
};

/* callbacks: those of the owner; user_data of the session is h. The send ones are set here. 0 or -ENOMEM. */
int h2_session_start(struct h2_session *h, struct loop *l, struct stream *s, bool is_server,
                     nghttp2_session_callbacks *callbacks, void *owner);
/* Ends all streams: for each, ended(owner's) is not called; raw ones close with error. Frees the session, not h. */
void h2_session_end(struct h2_session *h, int error);
void h2_session_recv(struct h2_session *h, struct str bytes);
void h2_session_wake(struct h2_session *h);  /* frames were submitted */
void h2_session_flush(struct h2_session *h); /* the stream has room again */

struct h2_stream *h2_stream_new(struct h2_session *h, int32_t id, void *owner);
void h2_stream_free(struct h2_stream *st);
nghttp2_data_provider h2_stream_provider(struct h2_stream *st);
bool h2_stream_write(struct h2_stream *st, struct stream_buf buf);
void h2_stream_end(struct h2_stream *st); /* END_STREAM after the queue */
void h2_stream_reset(struct h2_stream *st, uint32_t code);

/* Make it a struct stream: from here its owner is whoever holds that. */
struct stream *h2_stream_raw(struct h2_stream *st);
void h2_raw_data(struct h2_stream *st, struct str bytes); /* from on_data_chunk_recv */
void h2_raw_eof(struct h2_stream *st);                    /* END_STREAM came */
void h2_raw_closed(struct h2_stream *st, int error);      /* from on_stream_close; frees it, later */

#define H2_NV(n, v) ((nghttp2_nv){(uint8_t *)(n).ptr, (uint8_t *)(v).ptr, (n).len, (v).len, NGHTTP2_NV_FLAG_NONE})
#endif
