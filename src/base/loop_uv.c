/* base/loop_uv.c - the loop on libuv.
 *
 * One uv_timer, armed for the earliest of our timers and stopped when there is none. Tasks run right after each poll (a
 * check handle, which does not count as work) and before the next one (an idle handle, active only while there are
 * any), so that an idle process sleeps in epoll for as long as nothing is due. */
#include "base/loop_priv.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/time.h>
#include <uv.h>

#include "base/log.h"

struct loop_uv {
    struct loop loop;
    uv_loop_t uv;
    uv_timer_t timer;
    uv_check_t check;
    uv_idle_t idle;
    int works; /* in the pool */
    bool running;
};

struct uv_job {
    uv_work_t req;
    struct loop_uv *loop;
    struct loop_work *work;
};

static struct loop_uv *of(struct loop *l)
{
    return container_of(l, struct loop_uv, loop);
}

static void on_timer(uv_timer_t *t)
{
    loop_run_timers(&((struct loop_uv *)t->data)->loop);
}

static void run_tasks(struct loop_uv *l)
{
    if (!loop_run_tasks(&l->loop))
        uv_idle_stop(&l->idle);
}

static void on_check(uv_check_t *c)
{
    run_tasks(c->data);
}

static void on_idle(uv_idle_t *i)
{
    run_tasks(i->data);
}

static void uv_wake(struct loop *loop)
{
    uv_idle_start(&of(loop)->idle, on_idle);
}

/* Between runs libuv's clock stands still; it is moved here so that a delay counts from its start. */
static int64_t uv_now_ms(const struct loop *loop)
{
    struct loop_uv *l = of((struct loop *)loop);
    if (!l->running)
        uv_update_time(&l->uv);
    return (int64_t)uv_now(&l->uv);
}

static int64_t uv_now_us(const struct loop *loop)
{
    return (int64_t)(uv_hrtime() / 1000);
}

static int64_t uv_wall_ms(const struct loop *loop)
{
    struct timeval tv;
    gettimeofday(&tv, NULL);
    return (int64_t)tv.tv_sec * 1000 + tv.tv_usec / 1000;
}

static void uv_rearm(struct loop *loop)
{
    struct loop_uv *l = of(loop);
    const struct heap_item *first = heap_peek(&loop->timers);
    if (!first) {
        uv_timer_stop(&l->timer);
        return;
    }
    int64_t delay = first->key - uv_now_ms(loop);
    uv_timer_start(&l->timer, on_timer, delay > 0 ? (uint64_t)delay : 0, /* repeat= */ 0);
}

static void uv_loop_run(struct loop *loop)
{
    struct loop_uv *l = of(loop);
    l->running = true;
    uv_run(&l->uv, UV_RUN_DEFAULT);
    l->running = false;
}

static void uv_loop_stop(struct loop *loop)
{
    uv_stop(&of(loop)->uv);
}

static void job_run(uv_work_t *req)
{
    struct uv_job *job = container_of(req, struct uv_job, req);
    job->work->work(job->work);
}

static void job_done(uv_work_t *req, int status)
{
    struct uv_job *job = container_of(req, struct uv_job, req);
    struct loop_work *w = job->work;
    job->loop->works--;
    free(job);
    w->priv = NULL;
    w->done(w); /* may free w */
}

static int uv_work(struct loop *loop, struct loop_work *w)
{
    struct loop_uv *l = of(loop);
    struct uv_job *job = calloc(1, sizeof *job);
    if (!job)
        return -ENOMEM;
    job->loop = l;
    job->work = w;
    int r = uv_queue_work(&l->uv, &job->req, job_run, job_done);
    if (r < 0) {
        free(job);
        return r; /* libuv's codes are -errno here */
    }
    w->priv = job;
    l->works++;
    return 0;
}

static void uv_rand_bytes(struct loop *loop, enum loop_stream stream, void *buf, size_t len)
{
    for (char *p = buf; len;) {
        ssize_t n = getrandom(p, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            perror("sampan: getrandom");
            abort();
        }
        p += n;
        len -= (size_t)n;
    }
}

static bool uv_no_chance(struct loop *loop, int n)
{
    return false;
}

static struct uv_loop_s *uv_handle(struct loop *loop)
{
    return &of(loop)->uv;
}

static void log_open_handle(uv_handle_t *h, void *data)
{
    log_error("loop", "handle still open when the loop was freed", "type=%s", uv_handle_type_name(h->type));
}

/* Waits for work in the pool (its done() is called). Handles of others must be closed or closing; where one is not,
 * that is a bug: it is logged, and the loop leaks rather than corrupts. */
static void uv_free(struct loop *loop)
{
    enum { CLOSE_ROUNDS_MAX = 100 };
    struct loop_uv *l = of(loop);
    while (l->works > 0)
        uv_run(&l->uv, UV_RUN_ONCE);
    loop_done(loop);
    uv_close((uv_handle_t *)&l->timer, NULL);
    uv_close((uv_handle_t *)&l->check, NULL);
    uv_close((uv_handle_t *)&l->idle, NULL);
    int r = UV_EBUSY;
    for (int i = 0; i < CLOSE_ROUNDS_MAX && r == UV_EBUSY; i++) {
        uv_run(&l->uv, UV_RUN_NOWAIT);
        r = uv_loop_close(&l->uv);
    }
    if (r == 0)
        free(l);
    else
        uv_walk(&l->uv, log_open_handle, NULL);
}

static const struct loop_driver uv_driver = {
    .free = uv_free,
    .run = uv_loop_run,
    .stop = uv_loop_stop,
    .now_ms = uv_now_ms,
    .now_us = uv_now_us,
    .wall_ms = uv_wall_ms,
    .rearm = uv_rearm,
    .wake = uv_wake,
    .work = uv_work,
    .rand_bytes = uv_rand_bytes,
    .chance = uv_no_chance,
    .uv_handle = uv_handle,
};

struct loop *loop_new_uv(void)
{
    struct loop_uv *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    if (uv_loop_init(&l->uv) < 0) {
        free(l);
        return NULL;
    }
    loop_init(&l->loop, &uv_driver);
    uv_timer_init(&l->uv, &l->timer);
    uv_check_init(&l->uv, &l->check);
    uv_idle_init(&l->uv, &l->idle);
    l->timer.data = l->check.data = l->idle.data = l;
    uv_check_start(&l->check, on_check);
    uv_unref((uv_handle_t *)&l->check);
    return &l->loop;
}
