/* base/tree.c - a B+ tree.
 *
 * An inner node holds, for each child, the very key pointer of that child's first entry. Keys are borrowed and die with
 * their value, so whatever changes the first entry of a node mends the pointers above it (mend_keys): an inner node
 * never holds a key that no entry has.
 *
 * Nodes are not kept half full by borrowing. One that falls below a quarter is joined to a neighbour if both fit with
 * room to spare; an empty one goes. A full rightmost node is not halved by an insert at its end, so that keys coming in
 * order leave full nodes behind. */
#include "base/tree.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/slab.h"

enum { FANOUT = 64, JOIN_BELOW = FANOUT / 4, JOIN_MAX = FANOUT - FANOUT / 8, DEPTH_MAX = 24 };

struct tree_node {
    bool leaf;
    uint16_t count;
    struct tree_node *prev, *next; /* leaves only */
    struct str keys[FANOUT];
    void *ptrs[FANOUT]; /* values, or children */
};

/* The way from the root to a leaf; at[i] is the index taken in node[i]. */
struct path {
    int depth; /* of the leaf */
    struct tree_node *node[DEPTH_MAX];
    int at[DEPTH_MAX];
};

static struct tree_node *node_new(bool leaf)
{
    struct tree_node *n = slab_alloc(sizeof *n);
    if (!n) {
        fputs("sampan: out of memory\n", stderr);
        abort();
    }
    n->leaf = leaf;
    n->count = 0;
    n->prev = n->next = NULL;
    return n;
}

/* Recursion no deeper than the tree. */
static void node_free(struct tree_node *n)
{
    for (int i = 0; !n->leaf && i < n->count; i++)
        node_free(n->ptrs[i]);
    slab_free(n, sizeof *n);
}

void tree_done(struct tree *t)
{
    if (t->root)
        node_free(t->root);
    *t = TREE_INIT;
}

/* First index whose key is >= key; *ret_equal tells whether it is equal. */
static int lower(const struct tree_node *n, struct str key, bool *ret_equal)
{
    int lo = 0, hi = n->count;
    *ret_equal = false;
    while (lo < hi) {
        int mid = (lo + hi) / 2, c = str_cmp(n->keys[mid], key);
        if (c == 0) {
            *ret_equal = true;
            return mid;
        }
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The child that holds key or would. */
static int child_for(const struct tree_node *n, struct str key)
{
    bool equal;
    int i = lower(n, key, &equal);
    return equal ? i : i > 0 ? i - 1 : 0;
}

static const struct tree_node *leaf_for(const struct tree *t, struct str key)
{
    const struct tree_node *n = t->root;
    while (n && !n->leaf)
        n = n->ptrs[child_for(n, key)];
    return n;
}

static bool walk(const struct tree *t, struct str key, struct path *p)
{
    bool equal;
    p->depth = 0;
    p->node[0] = t->root;
    while (!p->node[p->depth]->leaf) {
        int i = p->at[p->depth] = child_for(p->node[p->depth], key);
        p->node[p->depth + 1] = p->node[p->depth]->ptrs[i];
        p->depth++;
        assert(p->depth < DEPTH_MAX);
    }
    p->at[p->depth] = lower(p->node[p->depth], key, &equal);
    return equal;
}

/* The first key of node[depth] may have changed. */
static void mend_keys(struct path *p, int depth)
{
    for (; depth > 0; depth--) {
        p->node[depth - 1]->keys[p->at[depth - 1]] = p->node[depth]->keys[0];
        if (p->at[depth - 1] > 0)
            return;
    }
}

static void open_gap(struct tree_node *n, int at)
{
    memmove(&n->keys[at + 1], &n->keys[at], (size_t)(n->count - at) * sizeof n->keys[0]);
    memmove(&n->ptrs[at + 1], &n->ptrs[at], (size_t)(n->count - at) * sizeof n->ptrs[0]);
    n->count++;
}

static void close_gap(struct tree_node *n, int at)
{
    n->count--;
    memmove(&n->keys[at], &n->keys[at + 1], (size_t)(n->count - at) * sizeof n->keys[0]);
    memmove(&n->ptrs[at], &n->ptrs[at + 1], (size_t)(n->count - at) * sizeof n->ptrs[0]);
}

/* Append all of from[start..] to `to`. */
static void move_tail(struct tree_node *to, struct tree_node *from, int start)
{
    size_t n = (size_t)(from->count - start);
    memcpy(&to->keys[to->count], &from->keys[start], n * sizeof to->keys[0]);
    memcpy(&to->ptrs[to->count], &from->ptrs[start], n * sizeof to->ptrs[0]);
    to->count = (uint16_t)(to->count + n);
    from->count = (uint16_t)start;
}

static void link_after(struct tree_node *left, struct tree_node *right)
{
    right->prev = left;
    right->next = left->next;
    if (right->next)
        right->next->prev = right;
    left->next = right;
}

/* Make room in the full node[depth] for an insert at its index; returns the new right half. */
static struct tree_node *split(struct path *p, int depth)
{
    struct tree_node *left = p->node[depth], *right = node_new(left->leaf);
    bool at_end = p->at[depth] == FANOUT;
    move_tail(right, left, at_end ? FANOUT : FANOUT / 2);
    if (left->leaf)
        link_after(left, right);
    if (at_end || p->at[depth] > left->count) {
        p->at[depth] -= left->count;
        p->node[depth] = right;
    }
    return right;
}

static void node_insert(struct tree *t, struct path *p, int depth, struct str key, void *ptr);

/* left was split and right is new: the parent (perhaps a new root) learns of right. */
static void adopt(struct tree *t, struct path *p, int depth, struct tree_node *left, struct tree_node *right)
{
    if (depth == 0) {
        struct tree_node *root = node_new(/* leaf= */ false);
        root->count = 1;
        root->keys[0] = left->keys[0];
        root->ptrs[0] = left;
        t->root = root;
        open_gap(root, 1);
        root->keys[1] = right->keys[0];
        root->ptrs[1] = right;
        return;
    }
    p->node[depth - 1]->keys[p->at[depth - 1]] = left->keys[0];
    if (p->at[depth - 1] == 0)
        mend_keys(p, depth - 1);
    p->at[depth - 1]++;
    node_insert(t, p, depth - 1, right->keys[0], right);
}

/* Insert at p->at[depth]; recursion no deeper than the tree. */
static void node_insert(struct tree *t, struct path *p, int depth, struct str key, void *ptr)
{
    struct tree_node *left = p->node[depth], *right = left->count == FANOUT ? split(p, depth) : NULL;
    struct tree_node *n = p->node[depth];
    int at = p->at[depth];
    open_gap(n, at);
    n->keys[at] = key;
    n->ptrs[at] = ptr;
    if (right)
        adopt(t, p, depth, left, right);
    else if (at == 0)
        mend_keys(p, depth);
}

void *tree_get(const struct tree *t, struct str key)
{
    const struct tree_node *leaf = leaf_for(t, key);
    bool equal = false;
    int i = leaf ? lower(leaf, key, &equal) : 0;
    return equal ? leaf->ptrs[i] : NULL;
}

void *tree_put(struct tree *t, struct str key, void *value)
{
    struct path p;
    assert(value);
    if (!t->root)
        t->root = node_new(/* leaf= */ true);
    if (walk(t, key, &p)) {
        struct tree_node *leaf = p.node[p.depth];
        int at = p.at[p.depth];
        void *old = leaf->ptrs[at];
        leaf->keys[at] = key;
        leaf->ptrs[at] = value;
        if (at == 0)
            mend_keys(&p, p.depth);
        return old;
    }
    node_insert(t, &p, p.depth, key, value);
    t->count++;
    return NULL;
}

/* node[depth] has just lost entries and is not the root. Returns true when its parent lost one by that. */
static bool shrink(struct path *p, int depth)
{
    struct tree_node *n = p->node[depth], *up = p->node[depth - 1];
    int at = p->at[depth - 1];
    if (n->count >= JOIN_BELOW)
        return false;
    struct tree_node *left = at > 0 ? up->ptrs[at - 1] : NULL, *right = at + 1 < up->count ? up->ptrs[at + 1] : NULL;
    if (left && left->count + n->count <= JOIN_MAX) {
        right = n;
    } else if (right && right->count + n->count <= JOIN_MAX) {
        left = n;
        at++;
    } else if (n->count == 0) { /* neighbours are full, or there are none */
        right = n;
        left = n->prev;
    } else {
        return false;
    }
    if (right->count)
        move_tail(left, right, 0);
    if (right->leaf) {
        if (right->prev)
            right->prev->next = right->next;
        if (right->next)
            right->next->prev = right->prev;
    }
    close_gap(up, at);
    slab_free(right, sizeof *right);
    return true;
}

void *tree_del(struct tree *t, struct str key)
{
    struct path p;
    if (!t->root || !walk(t, key, &p))
        return NULL;
    struct tree_node *leaf = p.node[p.depth];
    void *old = leaf->ptrs[p.at[p.depth]];
    close_gap(leaf, p.at[p.depth]);
    t->count--;
    /* The keys above are wrong until every level is mended below; shrink() compares none. */
    for (int depth = p.depth; depth > 0; depth--) {
        struct tree_node *up = p.node[depth - 1];
        int at = p.at[depth - 1];
        shrink(&p, depth);
        for (int i = at > 0 ? at - 1 : 0; i <= at + 1 && i < up->count; i++)
            up->keys[i] = ((struct tree_node *)up->ptrs[i])->keys[0];
    }
    while (t->root && !t->root->leaf && t->root->count <= 1) {
        struct tree_node *only = t->root->count ? t->root->ptrs[0] : NULL;
        slab_free(t->root, sizeof *t->root);
        t->root = only;
    }
    if (t->root && t->root->count == 0) {
        slab_free(t->root, sizeof *t->root);
        t->root = NULL;
    }
    return old;
}

struct tree_iter tree_iter_at(const struct tree *t, struct str from)
{
    bool equal;
    struct tree_iter it = {leaf_for(t, from), 0};
    if (it.leaf)
        it.index = lower(it.leaf, from, &equal);
    return it;
}

void *tree_next(struct tree_iter *it, struct str *ret_key)
{
    if (it->leaf && it->index >= it->leaf->count) {
        it->leaf = it->leaf->next;
        it->index = 0;
    }
    if (!it->leaf)
        return NULL;
    if (ret_key)
        *ret_key = it->leaf->keys[it->index];
    return it->leaf->ptrs[it->index++];
}

void *tree_seek(const struct tree *t, struct str from, bool after, struct str *ret_key)
{
    struct str key;
    struct tree_iter it = tree_iter_at(t, from);
    void *value = tree_next(&it, &key);
    if (value && after && str_eq(key, from))
        value = tree_next(&it, &key);
    if (value && ret_key)
        *ret_key = key;
    return value;
}
