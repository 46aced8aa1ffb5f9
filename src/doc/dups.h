/* doc/dups.h - duplicate keys of the objects being read: the last one stands, the path of each is reported.
 *
 * Shared by the readers of JSON and YAML, private to doc/. Contract with the reader: while a container is open it is
 * already linked into its parent and its `next` points at that parent (NULL: the root). Small objects are searched;
 * from DUPS_SEARCH_MAX members on an object has a hash table until it is closed, so that reading stays linear. */
#ifndef SAMPAN_DOC_DUPS_H
#define SAMPAN_DOC_DUPS_H

#include "doc/doc.h"

enum { DUPS_SEARCH_MAX = 24, DUPS_REPORT_MAX = 64, DUPS_PATH_BYTES_MAX = 4096 };

struct dups_wide;
struct dups {
    struct arena *mem;
    struct dups_wide *wide; /* open objects that have a table, innermost first */
    struct doc_dups *ret;   /* may be NULL */
};

void dups_init(struct dups *d, struct arena *mem, struct doc_dups *ret);
void dups_done(struct dups *d); /* frees tables that an error left open */

bool dups_search(struct dups *d, struct doc *obj, struct doc *node);
bool dups_search_wide(struct dups *d, struct doc *obj, struct doc *node);
/* A member with this key is about to be linked into obj, which is open. True: it is a duplicate. */
static inline bool dups_note(struct dups *d, struct doc *obj, struct doc *node)
{
    if (__builtin_expect(obj->count >= DUPS_SEARCH_MAX, 0))
        return dups_search_wide(d, obj, node);
    for (struct doc *at = obj->first; at; at = at->next)
        if (at->key.len == node->key.len && memcmp(at->key.ptr, node->key.ptr, node->key.len) == 0)
            return dups_search(d, obj, node);
    return false;
}

void dups_sweep(struct dups *d, struct doc *obj);
/* obj is complete; its `next` is still its parent. */
static inline void dups_close(struct dups *d, struct doc *obj)
{
    if (__builtin_expect(obj->b || obj->count >= DUPS_SEARCH_MAX, 0))
        dups_sweep(d, obj);
}

/* The path of a member of an open object, cut at the front when longer than DUPS_PATH_BYTES_MAX. */
struct str dups_path(struct arena *mem, const struct doc *obj, struct str key);

#endif
