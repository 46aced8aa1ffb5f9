/* base/heap.h - a binary min-heap of intrusive members, ordered by (key, id): ties break by the explicit id, never by
 * address. */
#ifndef SAMPAN_BASE_HEAP_H
#define SAMPAN_BASE_HEAP_H

#include <stdint.h>

struct heap_item {
    int64_t key;
    uint64_t id;
    int32_t index; /* -1 while in no heap */
};
struct heap {
    struct heap_item **items;
    int32_t count, cap;
};
void heap_done(struct heap *h);
void heap_push(struct heap *h, struct heap_item *item); /* key and id are set by the caller */
struct heap_item *heap_peek(const struct heap *h);      /* NULL: empty */
struct heap_item *heap_pop(struct heap *h);
void heap_remove(struct heap *h, struct heap_item *item); /* harmless when in none */

#endif
