/* store/cache.h - every object in memory, in order, with a window of history; watch and informers hang here.
 *
 * Subscribed to one store. Reading is synchronous and free of copies. Core thread only. May use schema/, doc/, base/.
 */
#ifndef SAMPAN_STORE_CACHE_H
#define SAMPAN_STORE_CACHE_H

#include "base/tree.h"
#include "store/store.h"

struct cache;
struct cache_opts {
    struct loop *loop;
    int64_t history_ms;   /* 0: 5 min */
    size_t history_bytes; /* 0: 64 MiB of objects held only by history */
};
struct cache *cache_new(const struct cache_opts *o);
struct cache *cache_free(struct cache *c);
store_feed_fn cache_feed; /* give it, with the cache as ctx, to store_open_* */
/* After store_open_* has recovered through cache_feed and before anybody is served: revision and complete_since are the
 * store's, history begins here. Until then changes are applied and delivered live, but no history is kept. */
void cache_set_store(struct cache *c, struct store *s);

uint64_t cache_rev(const struct cache *c);                    /* of the last change seen */
struct obj *cache_get(const struct cache *c, struct str key); /* borrowed; NULL: absent */
struct obj *cache_find(const struct cache *c, const struct resource *res, struct str ns,
                       struct str name); /* the same by parts */
uint64_t cache_count(const struct cache *c, const struct resource *res);

/* In order of key, from prefix, after the key `after` (empty: from the start). The cursor holds no references: step it
 * in one turn of the loop, or come back with the last key. */
struct cache_iter {
    struct str prefix;
    struct tree_iter at;
};
struct cache_iter cache_list(const struct cache *c, struct str prefix, struct str after);
struct obj *cache_next(struct cache_iter *it); /* borrowed; NULL: the end */
/* Children of an owner and objects by label-free indexes that controllers need. */
struct obj **cache_by_owner(const struct cache *c, struct arena *mem, struct str owner_uid,
                            int *ret_count); /* all kinds, by key; any owner reference, not only the controller */
struct obj **cache_pods_of_node(const struct cache *c, struct arena *mem, struct str node, int *ret_count);

/* The state of a prefix at an older revision (0: now): objects, borrowed for this turn of the loop, by key order, at
 * most `limit` after key `after`, for exact paging. *ret_more: there are further ones. -1 with EXPIRED when history
 * does not reach: "The provided continue parameter is too old ..." with `after`, else "The resourceVersion for the
 * provided list is too old." A revision not reached yet gives the present state. */
int cache_list_at(const struct cache *c, struct arena *mem, struct str prefix, struct str after, uint64_t rev,
                  int limit, struct obj ***ret, int *ret_count, bool *ret_more, struct err *err);

/* ---- changes */
struct cache_event {
    uint64_t rev;
    enum { CACHE_ADDED, CACHE_MODIFIED, CACHE_DELETED } type;
    const struct obj *obj;  /* the new state; of a delete the last, with the delete's revision */
    const struct obj *prev; /* before; NULL for ADDED */
    /* Shared by all watchers of this event: owned by the event, filled by the first who needs it (e.g. the framed JSON
     * line). */
    struct cache_frame *frame;
    struct arena *mem; /* of the documents, as the frame: made by the first who asks */
    const struct doc *doc, *prev_doc;
};
/* The object, or the state before it (NULL: there is none), as a document that all subscribers of this event share: it
 * is parsed once, is only read, and lives until the event has been delivered. */
const struct doc *cache_event_doc(const struct cache_event *ev);
const struct doc *cache_event_prev_doc(const struct cache_event *ev);
/* For who makes an event of his own, the present as ADDED: drops what was attached. */
void cache_event_done(struct cache_event *ev);
/* Refcounted bytes attached to an event and shared: one block. Whoever fills ev->frame gives it its one reference,
 * which is dropped after the last subscriber was called; who keeps it longer takes another. Counts are not atomic: core
 * thread only. */
struct cache_frame {
    uint32_t refs;
    struct str bytes;
};
struct cache_frame *cache_frame_new(size_t len); /* bytes to be filled; NULL: out of memory */
struct cache_frame *cache_frame_ref(struct cache_frame *f);
struct cache_frame *cache_frame_unref(struct cache_frame *f); /* NULL accepted; returns NULL */

/* A subscription sees each change under its prefix once, in order. on_event may unsubscribe any subscription and start
 * new ones. Prefixes that end in a slash, whole keys and the empty one are found by hash (any number of subscribers
 * costs only those who see the event); any other prefix is compared with each event. A whole key sees only the object
 * of that key. */
struct cache_sub {
    struct list link;  /* set both fields below, leave the rest zero */
    struct str prefix; /* lives as long as the subscription */
    void (*on_event)(struct cache_sub *sub, struct cache_event *ev);
    uint64_t from_rev;         /* the cache's, as is what follows */
    uint64_t seen;             /* number of the last event that existed when the subscription began */
    struct cache_group *group; /* NULL: not subscribed */
};
/* Events with rev > from_rev first (replayed before return), then live ones. from_rev 0: only live ones.
 * -1 with EXPIRED `too old resource version: A (B)` when history does not reach back. */
int cache_subscribe(struct cache *c, struct cache_sub *sub, uint64_t from_rev, struct err *err);
void cache_unsubscribe(struct cache *c, struct cache_sub *sub); /* harmless when not subscribed */

#endif
