/* store/history.h - the window of past changes: a ring bounded in time and in bytes that only it holds alive.
 * For src/store/ only. */
#ifndef SAMPAN_STORE_HISTORY_H
#define SAMPAN_STORE_HISTORY_H

#include "store/cache.h"

struct change {
    uint64_t rev, number; /* number: of the event, since start */
    int64_t at_ms;
    struct obj *obj, *prev; /* with references; prev NULL: added */
    bool deleted;
};
struct history {
    struct change *ring;
    size_t head, count, cap; /* cap is 0 or a power of two */
    size_t bytes, bytes_max;
    int64_t window_ms;
    uint64_t floor; /* complete for revisions above */
};
void history_done(struct history *h);
/* Forget everything; complete from rev on. */
void history_start(struct history *h, uint64_t rev);
/* Takes references of its own. */
void history_add(struct history *h, const struct change *c);
static inline const struct change *history_at(const struct history *h, size_t i) /* 0: the oldest */
{
    return &h->ring[(h->head + i) & (h->cap - 1)];
}
/* Index of the first change with a revision above rev; count when none. */
size_t history_after(const struct history *h, uint64_t rev);

#endif
