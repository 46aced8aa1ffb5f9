/* store/memory.c - a store that is durable by decree: for the simulator and unit tests.
 *
 * Answers come from the loop, as from a disk; in the simulator a batch takes a moment, so that writes pile up behind
 * it. */
#include "store/store_priv.h"

#include <errno.h>
#include <stdlib.h>

struct memory {
    struct store s; /* first */
    struct loop_timer flush;
};

static void flushed(struct loop_timer *t)
{
    struct memory *m = (struct memory *)((char *)t - offsetof(struct memory, flush));
    store_batch_done(&m->s, 0);
}

static void memory_write(struct store *s, struct batch *b)
{
    struct memory *m = (struct memory *)s;
    loop_timer_start(&m->flush, sim_chance(s->loop, 4) ? 1 + (int64_t)(loop_rand(s->loop, RAND_FAULT) % 20) : 0);
}

static void memory_applied(struct store *s, struct txn *t, int index, struct obj *old, bool written)
{
}

static void memory_close(struct store *s)
{
    loop_timer_stop(&((struct memory *)s)->flush);
    if (s->busy)
        store_batch_done(s, 0);
    while (store_next_batch(s))
        store_batch_done(s, 0);
}

void store_memory_power(struct store *s, bool on, bool batch_survives)
{
    s->refuse_error = on ? 0 : -EIO;
    if (on)
        return;
    loop_timer_stop(&((struct memory *)s)->flush);
    if (s->busy)
        store_batch_done(s, batch_survives ? 0 : -EIO);
    store_batch_done(s, -EIO); /* what had gathered behind it */
}

static const struct store_backend memory_backend = {
    .write = memory_write,
    .applied = memory_applied,
    .close = memory_close,
};

int store_open_memory(const struct store_opts *o, store_feed_fn *feed, void *ctx, struct store **ret)
{
    struct memory *m = calloc(1, sizeof *m);
    if (!m)
        return -ENOMEM;
    store_init(&m->s, o, feed, ctx);
    m->s.be = &memory_backend;
    m->s.volatile_max = UINT64_MAX;
    m->s.splits = true;
    loop_timer_init(o->loop, &m->flush, flushed);
    *ret = &m->s;
    return 0;
}
