/* store/garbage.h - rows that nobody needs once they are old enough, oldest first. A delete's row stands behind the
 * rows it ended, so that going in order never brings an object back. For src/store/ only. */
#ifndef SAMPAN_STORE_GARBAGE_H
#define SAMPAN_STORE_GARBAGE_H

#include <stddef.h>
#include <stdint.h>

struct garbage_row {
    uint64_t id;
    int64_t at_ms; /* when it became garbage */
    uint32_t bytes;
};
struct garbage {
    struct garbage_row *ring;
    size_t head, count, cap, bytes;
};
void garbage_done(struct garbage *g);
void garbage_push(struct garbage *g, uint64_t id, int64_t at_ms, size_t bytes);
const struct garbage_row *garbage_at(const struct garbage *g, size_t i); /* 0: the oldest */
void garbage_pop(struct garbage *g, size_t n);

#endif
