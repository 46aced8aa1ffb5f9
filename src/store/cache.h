/* store/cache.h - every object in memory, in order, with a window of history; watch and informers hang here.
 *
 * Subscribed to one store. Reading is synchronous and free of copies. Core thread only. May use schema/, doc/, base/. */
#ifndef SAMPAN_STORE_CACHE_H
#define SAMPAN_STORE_CACHE_H

#include "store/store.h"

struct cache;
struct cache_opts {
    struct loop *loop;
    int64_t history_ms;     /* 0: 5 min */
    size_t history_bytes;   /* 0: 64 MiB of objects held only by history */
};
struct cache *cache_new(const struct cache_opts *o);
struct cache *cache_free(struct cache *c);
store_feed_fn cache_feed; /* give it, with the cache as ctx, to store_open_* */
void cache_set_store(struct cache *c, struct store *s); /* for complete_since and head */

uint64_t cache_rev(const struct cache *c);             /* of the last change seen */
struct obj *cache_get(const struct cache *c, struct str key); /* borrowed; NULL: absent */
struct obj *cache_find(const struct cache *c, const struct resource *res, struct str ns, struct str name); /* the same by parts */
uint64_t cache_count(const struct cache *c, const struct resource *res);

/* In order of key, from prefix, after the key `after` (empty: from the start). The cursor holds no references: step it in one
 * turn of the loop, or come back with the last key. */
struct cache_iter {
    const struct cache *cache;
    struct str prefix;
    struct tree_iter *priv;
    char state[32];
};
struct cache_iter cache_list(const struct cache *c, struct str prefix, struct str after);
struct obj *cache_next(struct cache_iter *it); /* borrowed; NULL: the end */
/* Children of an owner and objects by label-free indexes that controllers need. */
struct obj **cache_by_owner(const struct cache *c, struct arena *mem, struct str owner_uid, int *ret_count); /* all kinds, by key; any owner reference, not only the controller */
struct obj **cache_pods_of_node(const struct cache *c, struct arena *mem, struct str node, int *ret_count);

/* The state of a prefix at an older revision: objects by key order, at most `limit` after key `after`, for exact paging.
 * *ret_more: there are further ones. -1 with EXPIRED ("The provided continue parameter is too old ...") when history does not reach. */
int cache_list_at(const struct cache *c, struct arena *mem, struct str prefix, struct str after, uint64_t rev, int limit,
                  struct obj ***ret, int *ret_count, bool *ret_more, struct err *err);

/* ---- changes */
struct cache_event {
    uint64_t rev;
    enum { CACHE_ADDED, CACHE_MODIFIED, CACHE_DELETED } type;
    const struct obj *obj;  /* the new state; of a delete the last, with the delete's revision */
    const struct obj *prev; /* before; NULL for ADDED */
    /* Shared by all watchers of this event: owned by the event, filled by the first who needs it (e.g. the framed JSON line). */
    struct cache_frame *frame;
};
/* Refcounted bytes attached to an event and shared. */
struct cache_frame {
    uint32_t refs;
    struct str bytes;
};

/* A subscription sees each change under its prefix once, in order. on_event may unsubscribe any subscription. */
struct cache_sub {
    struct list link;
    struct str prefix;      /* lives as long as the subscription */
    void (*on_event)(struct cache_sub *sub, struct cache_event *ev);
    uint64_t from_rev;
};
/* Events with rev > from_rev first (replayed before return), then live ones. from_rev 0: only live ones.
 * -1 with EXPIRED `too old resource version: A (B)` when history does not reach back. */
int cache_subscribe(struct cache *c, struct cache_sub *sub, uint64_t from_rev, struct err *err);
void cache_unsubscribe(struct cache *c, struct cache_sub *sub); /* harmless when not subscribed */

#endif
