/* base/loop_priv.h - what loop.c shares with its two drivers, loop_uv.c and loop_sim.c. Nobody else includes this.
 *
 * loop.c keeps the timers (a heap) and the posted tasks (a list); a driver tells the time, waits, and calls
 * loop_run_timers() and loop_run_tasks(). */
#ifndef SAMPAN_BASE_LOOP_PRIV_H
#define SAMPAN_BASE_LOOP_PRIV_H

#include "base/loop.h"

struct loop_driver {
    void (*free)(struct loop *l); /* after loop_done() */
    void (*run)(struct loop *l);
    void (*stop)(struct loop *l);
    int64_t (*now_ms)(const struct loop *l);
    int64_t (*now_us)(const struct loop *l);
    int64_t (*wall_ms)(const struct loop *l);
    void (*rearm)(struct loop *l); /* the earliest timer has changed; heap_peek() is it, or there is none */
    void (*wake)(struct loop *l);  /* tasks has just ceased to be empty */
    int (*work)(struct loop *l, struct loop_work *w);
    void (*rand_bytes)(struct loop *l, enum loop_stream stream, void *buf, size_t len);
    bool (*chance)(struct loop *l, int n);
    struct uv_loop_s *(*uv_handle)(struct loop *l);
};

/* The first member of each driver's own struct. */
struct loop {
    const struct loop_driver *driver;
    struct heap timers;  /* key: due, in ms of now_ms() */
    struct list tasks;   /* posted, not yet taken up */
    struct list running; /* the batch being run; taken from tasks as a whole, so that a task that posts itself again
                            cannot keep the driver from its sockets */
    uint64_t next_id;    /* of timer starts */
    bool firing;         /* inside loop_run_timers(): it rearms once at its end */
};

void loop_init(struct loop *l, const struct loop_driver *driver);
void loop_done(struct loop *l); /* forgets timers and tasks without running them */
/* Fire what is due now, tasks after each; timers started meanwhile wait for the next call. Returns how many fired. */
int loop_run_timers(struct loop *l);
/* Run the tasks posted so far; true when more have been posted since. */
bool loop_run_tasks(struct loop *l);

#endif
