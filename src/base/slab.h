/* base/slab.h - for small blocks that stay: apart from the heap, so that what comes and goes with requests leaves no
 * holes between them.
 *
 * Seen before: 64 clients that created 10,000 pods left a heap of which a sixth was holes, each too small for a page to
 * be given back, because what stays (objects at rest, what the scheduler knows of a pod, nodes of trees) lay between
 * arenas that went. Blocks of one size class (32 to a power of two: 1.5 % lost on average) share a span; a span without
 * blocks goes back to the system at once, save one. What is larger than SLAB_BYTES_MAX comes from malloc, and under
 * ASan everything does. Any thread. */
#ifndef SAMPAN_BASE_SLAB_H
#define SAMPAN_BASE_SLAB_H

#include <stddef.h>

enum {
    SLAB_BYTES_MAX = 16384,
    SLAB_SPAN_BYTES = 256 << 10, /* of addresses; pages that no block has touched take no memory */
};

void *slab_alloc(size_t bytes);            /* aligned to 16; NULL: out of memory */
void slab_free(void *block, size_t bytes); /* bytes: as it was asked for; NULL accepted */
size_t slab_spans(void);                   /* in use or kept: for tests */

#endif
