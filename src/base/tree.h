/* base/tree.h - an ordered map from strings to pointers (a B+ tree), for whatever is listed in order or by prefix.
 *
 * Keys are borrowed: they live in the value. O(log n). Iterators are positions by key, so they survive any change of
 * the tree between two steps. */
#ifndef SAMPAN_BASE_TREE_H
#define SAMPAN_BASE_TREE_H

#include "base/str.h"

struct tree_node;
struct tree {
    struct tree_node *root;
    size_t count;
};
#define TREE_INIT ((struct tree){0})

void tree_done(struct tree *t); /* frees nodes, not values */
void *tree_get(const struct tree *t, struct str key);
/* Insert or replace; returns the value replaced or NULL. Replacing takes the new key pointer. */
void *tree_put(struct tree *t, struct str key, void *value);
void *tree_del(struct tree *t, struct str key);
/* First entry with key >= from (or > from when after is true). NULL at the end. ret_key may be NULL. */
void *tree_seek(const struct tree *t, struct str from, bool after, struct str *ret_key);

/* A cursor that steps in O(1); valid only while the tree does not change. */
struct tree_iter {
    const struct tree_node *leaf;
    int index;
};
struct tree_iter tree_iter_at(const struct tree *t, struct str from); /* at the first key >= from */
void *tree_next(struct tree_iter *it, struct str *ret_key);           /* NULL at the end */

#endif
