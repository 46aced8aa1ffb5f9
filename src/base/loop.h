/* base/loop.h - time, chance, deferred work and blocking work.
 *
 * The core knows the world only through this header. loop_uv.c drives it with libuv; loop_sim.c with a virtual clock
 * and a seed, where the same seed gives the same run byte for byte. Core thread only, except where said.
 *
 * Sockets and files are not here: http/ and node/ talk to libuv themselves (loop_uv_handle) and are replaced by fakes
 * in the simulator at the level of requests. */
#ifndef SAMPAN_BASE_LOOP_H
#define SAMPAN_BASE_LOOP_H

#include "base/heap.h"
#include "base/list.h"
#include "base/str.h"

struct loop;
struct uv_loop_s;

struct loop *loop_new_uv(void); /* NULL: no resources */
struct loop *loop_new_sim(uint64_t seed);
/* Waits for work that is with the pool and calls its done(); forgets timers and tasks. Handles that others opened on
 * the uv loop must be closing by now and their memory must live until this returns. NULL is accepted. Returns NULL. */
struct loop *loop_free(struct loop *l);

/* Run until loop_stop() or until nothing is left to happen: no timer, task, work or (libuv) referenced handle. The
 * simulator also returns after 24 virtual hours, since a renewal timer never ends. */
void loop_run(struct loop *l);
void loop_stop(struct loop *l); /* from inside a callback */
/* Simulator only: advance the virtual clock by ms, running all that falls due, in order. */
void loop_sim_run(struct loop *l, int64_t ms);
/* NULL for the simulator. */
struct uv_loop_s *loop_uv_handle(struct loop *l);

int64_t loop_now_ms(const struct loop *l);  /* monotonic; constant during a callback */
int64_t loop_now_us(const struct loop *l);  /* monotonic, read afresh: for measuring */
int64_t loop_wall_ms(const struct loop *l); /* Unix time */

/* Timers. Embedded in their owner; start again to move. Equal times fire in the order of their start. */
struct loop_timer {
    struct heap_item heap;
    struct loop *loop;
    void (*fire)(struct loop_timer *t);
};
void loop_timer_init(struct loop *l, struct loop_timer *t, void (*fire)(struct loop_timer *t));
void loop_timer_start(struct loop_timer *t, int64_t delay_ms);
void loop_timer_stop(struct loop_timer *t); /* harmless when not running */
static inline bool loop_timer_running(const struct loop_timer *t)
{
    return t->heap.index >= 0;
}

/* Deferred work: runs after the present callback returns, in order, each once however often it was posted before. One
 * that posts itself again runs again after the sockets had their turn. Safe to free a task from its own run(). */
struct loop_task {
    struct list link;
    void (*run)(struct loop_task *t);
};
void loop_task_init(struct loop_task *t, void (*run)(struct loop_task *t));
void loop_post(struct loop *l, struct loop_task *t);
void loop_task_cancel(struct loop_task *t);

/* Blocking work: work() runs on a pool thread (in the simulator: inline, after a drawn delay), then done() on the core
 * thread. Embedded in its owner, which must live until done(). */
struct loop_work {
    void (*work)(struct loop_work *w);
    void (*done)(struct loop_work *w);
    void *priv; /* the loop's */
};
int loop_work(struct loop *l, struct loop_work *w); /* 0 or -errno */

/* Randomness, split by stream so that one more draw here does not reshuffle everything there. loop_uv draws from the
 * kernel and ignores the stream. */
enum loop_stream { RAND_UID, RAND_NAME, RAND_JITTER, RAND_SCHED, RAND_FAULT, RAND_TEST, RAND_STREAMS };
uint64_t loop_rand(struct loop *l, enum loop_stream stream);
void loop_rand_bytes(struct loop *l, enum loop_stream stream, void *buf, size_t len);
/* True with probability one in n in the simulator; always false outside: makes rare branches common in tests. */
bool sim_chance(struct loop *l, int n);

#endif
