/* store/store.h - revisioned objects and their change feed, durable before acknowledged.
 *
 * One interface over memory, sqlite and (later) etcd. The store decides compare-and-swap and order; it owns no watch:
 * it feeds the cache (store/cache.h), which serves everybody. Revisions are one global counter; it never goes back,
 * over crashes and restores too: sqlite reserves them in blocks, and after an unclean stop continues at the next block.
 * Core thread only; the fsync happens on the loop's pool, many waiting transactions to one (group commit).
 * May use schema/, doc/, base/. */
#ifndef SAMPAN_STORE_STORE_H
#define SAMPAN_STORE_STORE_H

#include "base/loop.h"
#include "store/obj.h"

struct store;

enum store_op_kind { STORE_PUT, STORE_DELETE };
enum { STORE_OPS_MAX = 128 };
struct store_op {
    enum store_op_kind kind;
    struct str key;
    uint64_t expect_rev; /* what the key must be at, counting writes still under way; 0: must not exist */
    struct obj *obj;     /* PUT: taken, its revision is filled. DELETE: the last state with deletionTimestamp etc. as
                            watchers shall see it, taken */
    bool is_volatile;    /* a lease renewal, a heartbeat, an event: applied at once, written within the byte budget */
};
/* The key of an op is its object's. A transaction of which every op is volatile is volatile; any other is durable as a
 * whole. A failed batch of the disk fails what is stacked on it too: what was accepted after it and is not durable yet.
 * No revision of it is fed. error: 0; -EAGAIN: a compare failed (index of the op in *failed); -ENOSPC, -EROFS, -EIO:
 * not durable, nothing applied, the store may now be read-only. */
typedef void store_done_fn(void *ctx, int error, int failed, uint64_t rev);
/* All or nothing; at most STORE_OPS_MAX ops on different keys. All objects of a transaction get the same revision. done
 * comes from the loop, after the change has been fed to the cache, in revision order. */
void store_commit(struct store *s, struct store_op *ops, int count, store_done_fn *done, void *ctx);

/* What the cache subscribes to. Called in revision order, on the core thread, after durability. */
struct store_event {
    uint64_t rev;
    enum store_op_kind kind;
    struct obj *obj; /* PUT: new state. DELETE: last state, rev of the delete. Borrowed */
};
typedef void store_feed_fn(void *ctx, const struct store_event *ev);

struct store_opts {
    struct loop *loop;
    const char *dir;             /* sqlite: holds sampan.db; made with mode 0700 */
    size_t volatile_bytes_per_h; /* budget of the lazily written; 0: default 200 kB */
    /* Keep history for this long for watch and paging; also bounded in bytes. 0: 5 min. */
    int64_t history_ms;
};
/* Recover everything through feed (as PUTs in order of revision), then go on feeding. 0 or -errno with *ret_why a text
 * for the user. A damaged store opens read-only (store_state says so and names the lost keys) rather than failing. */
int store_open_memory(const struct store_opts *o, store_feed_fn *feed, void *ctx, struct store **ret);
int store_open_sqlite(const struct store_opts *o, struct arena *mem, store_feed_fn *feed, void *ctx, struct store **ret,
                      struct str *ret_why);
/* Tests, memory only: the power goes. The batch at the disk becomes durable or, as all that waits behind it, is lost;
 * until it comes back every write is refused with -EIO. */
void store_memory_power(struct store *s, bool on, bool batch_survives);
/* Write out what is waiting, mark the stop clean, close. Blocks. Transactions still under way are finished inside this
 * call: their done runs before it returns. */
struct store *store_close(struct store *s);

struct store_state {
    uint64_t rev;            /* the last committed; after an unclean stop the start of the next block. Never 0 */
    uint64_t complete_since; /* watches and continue tokens from before this revision get 410 */
    bool read_only;
    struct str why; /* read-only or damaged: reason */
    const struct str *lost_keys;
    int lost_count;
    uint64_t bytes_written, fsyncs, size_bytes;
};
void store_get_state(const struct store *s, struct store_state *ret);
/* A number that must never be used twice, durably (service account key ids etc. do not need it). Free-standing values
 * of the server itself, such as the CA: */
int store_meta_get(struct store *s, struct arena *mem, const char *name, struct str *ret); /* 0, -ENOENT */
void store_meta_put(struct store *s, const char *name, struct str value, void (*done)(void *ctx, int error), void *ctx);
/* Drop old revisions from disk; runs by itself as well. */
void store_compact(struct store *s);
/* Offline: `sampan store repair`: checks rows, salvages what is whole, reports to out. 0: sound now. */
int store_repair_sqlite(const char *dir, struct sb *out);
int store_backup_sqlite(struct store *s, const char *to_path, void (*done)(void *ctx, int error), void *ctx);

#endif
