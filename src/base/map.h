/* base/map.h - a hash map from strings to pointers.
 *
 * Open addressing, keys borrowed (they live in the value or outlive the entry). Nothing observable may depend on its
 * order: to iterate for a user, collect and sort, or use base/tree.h. Seeded per process against crafted collisions. */
#ifndef SAMPAN_BASE_MAP_H
#define SAMPAN_BASE_MAP_H

#include "base/str.h"

struct map_slot;
struct map {
    struct map_slot *slots;
    uint32_t count, used, cap; /* cap is 0 or a power of two */
};
#define MAP_INIT ((struct map){0})

void map_done(struct map *m);                       /* frees the table, not the values */
void *map_get(const struct map *m, struct str key); /* NULL: absent */
/* Insert or replace; returns the value replaced or NULL. value must not be NULL. Replacing takes the new key pointer.
 */
void *map_put(struct map *m, struct str key, void *value);
void *map_del(struct map *m, struct str key); /* the value removed, or NULL */
/* Iterate: start with *it = 0; false at the end. The map must not grow meanwhile; deleting the current entry is fine.
 */
bool map_each(const struct map *m, uint32_t *it, struct str *ret_key, void **ret_value);
/* The seed all maps of this process share; tests and the simulator fix it. Call before the first map. */
void map_seed(uint64_t seed);

#endif
