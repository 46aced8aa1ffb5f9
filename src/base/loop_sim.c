/* base/loop_sim.c - the loop of the simulator: a virtual clock that jumps to the next timer, and chance from a seed. */
#include "base/loop_priv.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* 2026-01-01T00:00:00Z: where every simulation begins. */
static const int64_t sim_epoch_ms = 1767225600000;
enum { SIM_RUN_MAX_MS = 24 * 3600 * 1000, SIM_WORK_MAX_MS = 20, SIM_STREAM_WORK = RAND_STREAMS, SIM_STREAMS };

struct sim_rng {
    uint64_t s[4];
};

struct loop_sim {
    struct loop loop;
    int64_t now_ms; /* since the simulation's begin */
    bool stopped;
    struct list jobs; /* of struct sim_job: work not done yet */
    struct sim_rng rng[SIM_STREAMS];
};

struct sim_job {
    struct loop_timer timer;
    struct list link;
    struct loop_work *work;
};

static struct loop_sim *of(const struct loop *l)
{
    return container_of(l, struct loop_sim, loop);
}

static uint64_t splitmix64(uint64_t *x)
{
    uint64_t z = (*x += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* xoshiro256** (Blackman, Vigna 2018). */
static uint64_t rng_next(struct sim_rng *r)
{
    uint64_t *s = r->s, x = s[1] * 5, t = s[1] << 17;
    s[2] ^= s[0], s[3] ^= s[1], s[1] ^= s[2], s[0] ^= s[3];
    s[2] ^= t;
    s[3] = s[3] << 45 | s[3] >> 19;
    return (x << 7 | x >> 57) * 9;
}

static int64_t sim_now_ms(const struct loop *loop)
{
    return of(loop)->now_ms;
}

static int64_t sim_now_us(const struct loop *loop)
{
    return of(loop)->now_ms * 1000;
}

static int64_t sim_wall_ms(const struct loop *loop)
{
    return sim_epoch_ms + of(loop)->now_ms;
}

static void run_until(struct loop_sim *l, int64_t limit_ms)
{
    l->stopped = false;
    while (!l->stopped) {
        if (!list_empty(&l->loop.tasks)) {
            loop_run_tasks(&l->loop);
            continue;
        }
        const struct heap_item *first = heap_peek(&l->loop.timers);
        if (!first || first->key > limit_ms)
            return;
        if (first->key > l->now_ms)
            l->now_ms = first->key;
        loop_run_timers(&l->loop);
    }
}

static void sim_run(struct loop *loop)
{
    run_until(of(loop), of(loop)->now_ms + SIM_RUN_MAX_MS);
}

static void sim_stop(struct loop *loop)
{
    of(loop)->stopped = true;
}

static void sim_nothing(struct loop *loop)
{
}

static void sim_rand_bytes(struct loop *loop, enum loop_stream stream, void *buf, size_t len)
{
    assert((int)stream >= 0 && stream < RAND_STREAMS);
    for (char *p = buf; len;) {
        uint64_t v = rng_next(&of(loop)->rng[stream]);
        size_t n = len < sizeof v ? len : sizeof v;
        memcpy(p, &v, n);
        p += n;
        len -= n;
    }
}

static bool sim_draw(struct loop *loop, int n)
{
    return n > 0 && rng_next(&of(loop)->rng[RAND_FAULT]) % (uint64_t)n == 0;
}

static void job_fire(struct loop_timer *t)
{
    struct sim_job *job = container_of(t, struct sim_job, timer);
    struct loop_work *w = job->work;
    list_remove(&job->link);
    free(job);
    w->priv = NULL;
    w->work(w);
    w->done(w); /* may free w */
}

static int sim_work(struct loop *loop, struct loop_work *w)
{
    struct loop_sim *l = of(loop);
    struct sim_job *job = calloc(1, sizeof *job);
    if (!job)
        return -ENOMEM;
    job->work = w;
    w->priv = job;
    list_add_tail(&l->jobs, &job->link);
    loop_timer_init(loop, &job->timer, job_fire);
    loop_timer_start(&job->timer, (int64_t)(rng_next(&l->rng[SIM_STREAM_WORK]) % (SIM_WORK_MAX_MS + 1)));
    return 0;
}

static struct uv_loop_s *sim_uv_handle(struct loop *loop)
{
    return NULL;
}

/* As loop_uv: work that was accepted is done. */
static void sim_free(struct loop *loop)
{
    struct loop_sim *l = of(loop);
    while (!list_empty(&l->jobs)) {
        struct sim_job *job = container_of(l->jobs.next, struct sim_job, link);
        loop_timer_stop(&job->timer);
        job_fire(&job->timer);
    }
    loop_done(loop);
    free(l);
}

static const struct loop_driver sim_driver = {
    .free = sim_free,
    .run = sim_run,
    .stop = sim_stop,
    .now_ms = sim_now_ms,
    .now_us = sim_now_us,
    .wall_ms = sim_wall_ms,
    .rearm = sim_nothing,
    .wake = sim_nothing,
    .work = sim_work,
    .rand_bytes = sim_rand_bytes,
    .chance = sim_draw,
    .uv_handle = sim_uv_handle,
};

struct loop *loop_new_sim(uint64_t seed)
{
    struct loop_sim *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    loop_init(&l->loop, &sim_driver);
    list_init(&l->jobs);
    for (int i = 0; i < SIM_STREAMS; i++) {
        uint64_t x = seed ^ (uint64_t)(i + 1) * 0xd1b54a32d192ed03u;
        for (int k = 0; k < 4; k++)
            l->rng[i].s[k] = splitmix64(&x);
    }
    return &l->loop;
}

void loop_sim_run(struct loop *loop, int64_t ms)
{
    assert(loop->driver == &sim_driver && ms >= 0);
    struct loop_sim *l = of(loop);
    int64_t limit = l->now_ms + ms;
    run_until(l, limit);
    if (!l->stopped)
        l->now_ms = limit;
}
