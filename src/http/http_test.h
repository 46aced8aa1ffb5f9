/* http/http_test.h - what the tests here share: a loop that runs until something has happened, and a peer that gathers
 * what comes through a stream. */
#ifndef SAMPAN_HTTP_HTTP_TEST_H
#define SAMPAN_HTTP_HTTP_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>
/* cmocka last */
#include <cmocka.h>

#include "http/stream.h"

struct waiter {
    struct loop_timer timer;
    bool late;
};

static inline void waiter_fire(struct loop_timer *t)
{
    ((struct waiter *)t)->late = true;
}

/* Run the loop until done(ctx), at most ms. */
static inline bool run_until(struct loop *l, bool (*done)(void *ctx), void *ctx, int64_t ms)
{
    struct waiter w = {.late = false};
    loop_timer_init(l, &w.timer, waiter_fire);
    loop_timer_start(&w.timer, ms);
    while (!done(ctx) && !w.late)
        uv_run(loop_uv_handle(l), UV_RUN_ONCE);
    loop_timer_stop(&w.timer);
    return done(ctx);
}

static inline bool never(void *ctx)
{
    return false;
}

static inline void run_ms(struct loop *l, int64_t ms)
{
    run_until(l, never, NULL, ms);
}

struct peer {
    struct stream *s; /* NULL once closed */
    char *got;
    size_t len, cap;
    int error;
    bool eof, closed;
};

static inline void peer_data(void *ctx, struct str b)
{
    struct peer *p = ctx;
    if (p->len + b.len + 1 > p->cap) {
        p->cap = 2 * (p->len + b.len + 1);
        p->got = realloc(p->got, p->cap);
    }
    memcpy(p->got + p->len, b.ptr, b.len);
    p->len += b.len;
    p->got[p->len] = 0;
}

static inline void peer_eof(void *ctx)
{
    ((struct peer *)ctx)->eof = true;
}

static inline void peer_close(void *ctx, int error)
{
    struct peer *p = ctx;
    p->closed = true;
    p->error = error;
    p->s = NULL;
}

static inline void peer_on(struct peer *p, struct stream *s)
{
    static const struct stream_events events = {peer_data, peer_eof, NULL, peer_close};
    *p = (struct peer){.s = s, .got = calloc(1, 1), .cap = 1};
    stream_on(s, &events, p);
}

static inline void peer_done(struct loop *l, struct peer *p)
{
    if (p->s)
        stream_close(p->s);
    run_ms(l, 1);
    while (!p->closed)
        run_ms(l, 1);
    free(p->got);
    p->got = NULL;
}

static inline bool peer_ended(void *ctx)
{
    return ((struct peer *)ctx)->eof || ((struct peer *)ctx)->closed;
}

#endif
