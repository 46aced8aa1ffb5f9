/* store/index.h - objects under a name (an owner's uid, a node), in order of key. Holds no references: the cache does.
 *
 * A set is a sorted array: most have one to a hundred members, and for the few large ones a memmove is still cheap.
 * For src/store/ only. */
#ifndef SAMPAN_STORE_INDEX_H
#define SAMPAN_STORE_INDEX_H

#include "base/map.h"
#include "store/obj.h"

struct index {
    struct map sets; /* name -> struct index_set * */
};
void index_done(struct index *x);
/* Put o under name; another object of the same key makes way. */
void index_put(struct index *x, struct str name, struct obj *o);
void index_del(struct index *x, struct str name, const struct obj *o); /* by key; harmless when absent */
/* A copy of the members, by key. */
struct obj **index_list(const struct index *x, struct arena *mem, struct str name, int *ret_count);

#endif
