/* store/store_priv.h - between the common part of a store (store.c) and what makes it durable (memory.c, sqlite.c).
 *
 * store.c decides compare-and-swap, revisions and order, keeps the head of every key, gathers transactions into batches
 * and feeds. A backend writes one batch at a time and says when it is durable. For src/store/ only. */
#ifndef SAMPAN_STORE_STORE_PRIV_H
#define SAMPAN_STORE_STORE_PRIV_H

#include "base/list.h"
#include "base/map.h"
#include "store/store.h"

enum {
    BATCH_TXNS_MAX = 2048,
    BATCH_BYTES_MAX = 8 << 20, /* of objects; one transaction may exceed it alone */
    STORE_ROW_SHIFT = 7,       /* a row is revision * STORE_OPS_MAX + index of the op */
};
_Static_assert(1 << STORE_ROW_SHIFT == STORE_OPS_MAX, "a row names an op of a transaction");

/* One transaction under way. */
struct txn {
    struct list link;
    uint64_t rev;
    store_done_fn *done;
    void *ctx;
    size_t bytes;
    int count, failed;
    bool durable;
    struct store_op ops[];
};
struct meta_value {
    struct str name, value; /* behind the struct */
};
struct meta_put {
    struct list link;
    struct meta_value *value;
    void (*done)(void *ctx, int error);
    void *ctx;
};
/* What becomes durable together. */
struct batch {
    struct list txns, metas;
    size_t bytes;
    int txn_count;
    bool durable; /* something in it needs the disk */
};

struct store_backend {
    /* Make the batch durable: its durable transactions and its meta values; then call store_batch_done from the loop.
     */
    void (*write)(struct store *s, struct batch *b);
    /* The op takes effect now; old is the state before, or NULL. Written: it is on disk. Called before the head moves.
     */
    void (*applied)(struct store *s, struct txn *t, int index, struct obj *old, bool written);
    /* The store is free: time for upkeep. True: it began something and will call store_idle_done. */
    bool (*idle)(struct store *s);
    void (*compact)(struct store *s);
    void (*close)(struct store *s); /* waits for what is under way, then writes the rest by itself; frees its part */
    void (*state)(const struct store *s, struct store_state *ret);
    int (*backup)(struct store *s, const char *to, void (*done)(void *ctx, int error), void *ctx);
};

struct store {
    const struct store_backend *be;
    struct loop *loop;
    store_feed_fn *feed;
    void *feed_ctx;
    struct map head;    /* key -> struct obj *, with a reference: what has been fed */
    struct map pending; /* key -> struct store_op *: the newest accepted and not yet fed */
    struct map meta;    /* name -> struct meta_value * */
    struct batch gathering, flight;
    struct list refused; /* transactions that failed their compare: answered from the loop */
    struct loop_task kick, refuse;
    bool busy; /* the backend works: a batch, or upkeep */
    bool closing;
    bool splits;           /* in the simulator: what is written together need not become durable together */
    uint64_t rev;          /* fed */
    uint64_t next;         /* the last handed out */
    uint64_t volatile_max; /* a volatile write beyond it must wait for the disk: durably reserved up to here */
    uint64_t complete_since;
    int refuse_error; /* every write gets this; 0: normal */
};

/* Set up the common part; the backend sets be, rev, complete_since and volatile_max. */
void store_init(struct store *s, const struct store_opts *o, store_feed_fn *feed, void *ctx);
void store_done(struct store *s); /* drops everything held; not s itself */
/* The batch in flight is durable (0) or has failed (-errno). */
void store_batch_done(struct store *s, int error);
void store_idle_done(struct store *s);
/* At recovery: an object becomes the head of its key and is fed. Takes the reference. */
void store_recovered(struct store *s, struct obj *o);
void store_meta_set(struct store *s, struct meta_value *v); /* takes it */
struct meta_value *store_meta_new(struct str name, struct str value);
/* Start the next batch or upkeep, if the backend is free. */
void store_kick(struct store *s);
/* When closing: move the next batch into flight; false: nothing is left. */
bool store_next_batch(struct store *s);

#endif
