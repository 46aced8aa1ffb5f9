/* Trees: reading and changing documents in place. */
#include "doc/doc.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>

#include "base/map.h"

/* ---- looking */

static struct doc *find(const struct doc *obj, struct str key, struct doc **ret_before)
{
    struct doc *before = NULL;
    if (!doc_is(obj, DOC_OBJECT))
        return NULL;
    for (struct doc *d = obj->first; d; before = d, d = d->next) {
        if (d->key.len != key.len || (key.len && memcmp(d->key.ptr, key.ptr, key.len) != 0))
            continue;
        if (ret_before)
            *ret_before = before;
        return d;
    }
    return NULL;
}

struct doc *doc_get_str(const struct doc *obj, struct str key)
{
    return find(obj, key, NULL);
}

struct doc *doc_get(const struct doc *obj, const char *key)
{
    return find(obj, str_of(key), NULL);
}

struct doc *doc_at(const struct doc *arr, uint32_t index)
{
    if (!doc_is(arr, DOC_ARRAY) || index >= arr->count)
        return NULL;
    struct doc *d = index == arr->count - 1 ? arr->last : arr->first;
    for (uint32_t i = index == arr->count - 1 ? index : 0; i < index; i++)
        d = d->next;
    return d;
}

struct doc *doc_path(const struct doc *obj, ...)
{
    struct doc *at = (struct doc *)(uintptr_t)obj;
    va_list ap;
    va_start(ap, obj);
    for (const char *key; at && (key = va_arg(ap, const char *));)
        at = doc_get(at, key);
    va_end(ap);
    return at;
}

struct str doc_string(const struct doc *d)
{
    return doc_is(d, DOC_STRING) ? d->s : STR_NULL;
}

struct str doc_str(const struct doc *obj, const char *key)
{
    return doc_string(doc_get(obj, key));
}

int64_t doc_int(const struct doc *obj, const char *key, int64_t absent)
{
    const struct doc *d = doc_get(obj, key);
    return doc_is(d, DOC_INT) ? d->i : absent;
}

bool doc_bool(const struct doc *obj, const char *key, bool absent)
{
    const struct doc *d = doc_get(obj, key);
    return doc_is(d, DOC_BOOL) ? d->b : absent;
}

/* ---- equality: a list of pairs still to compare, so that depth costs no stack */

enum { PAIRS_LOCAL = 32, EQ_SEARCH_MAX = 24 };

struct pair {
    const struct doc *a, *b;
};
struct pairs {
    struct pair *at, local[PAIRS_LOCAL];
    size_t count, cap;
};

static void pairs_push(struct pairs *p, const struct doc *a, const struct doc *b)
{
    if (p->count == p->cap) {
        struct pair *more = malloc(2 * p->cap * sizeof *more);
        if (!more)
            abort(); /* out of memory: as arenas do */
        memcpy(more, p->at, p->count * sizeof *more);
        if (p->at != p->local)
            free(p->at);
        p->at = more;
        p->cap *= 2;
    }
    p->at[p->count++] = (struct pair){a, b};
}

/* Scalars are compared at once, containers of equal size later. */
static bool eq_value(struct pairs *todo, const struct doc *a, const struct doc *b)
{
    if (a->type != b->type)
        return false;
    switch ((enum doc_type)a->type) {
    case DOC_NULL:
        return true;
    case DOC_BOOL:
        return a->b == b->b;
    case DOC_INT:
        return a->i == b->i;
    case DOC_NUMBER:
    case DOC_STRING:
        return str_eq(a->s, b->s);
    case DOC_ARRAY:
    case DOC_OBJECT:
        break;
    }
    if (a->count != b->count)
        return false;
    if (a->count)
        pairs_push(todo, a, b);
    return true;
}

static bool eq_items(struct pairs *todo, const struct doc *a, const struct doc *b)
{
    for (a = a->first, b = b->first; a && b; a = a->next, b = b->next)
        if (!eq_value(todo, a, b))
            return false;
    return a == b; /* both ended */
}

/* From here on the keys are in another order; few are searched, many are hashed. */
static bool eq_members_unordered(struct pairs *todo, const struct doc *a, const struct doc *obj_b)
{
    struct map keys = MAP_INIT;
    bool same = true;
    if (obj_b->count > EQ_SEARCH_MAX)
        for (struct doc *b = obj_b->first; b; b = b->next)
            map_put(&keys, b->key, b);
    for (; a && same; a = a->next) {
        const struct doc *b = keys.count ? map_get(&keys, a->key) : doc_get_str(obj_b, a->key);
        same = b && eq_value(todo, a, b);
    }
    map_done(&keys);
    return same;
}

static bool eq_members(struct pairs *todo, const struct doc *obj_a, const struct doc *obj_b)
{
    const struct doc *a = obj_a->first, *b = obj_b->first;
    for (; a && b && str_eq(a->key, b->key); a = a->next, b = b->next)
        if (!eq_value(todo, a, b))
            return false;
    return !a || eq_members_unordered(todo, a, obj_b);
}

bool doc_eq(const struct doc *a, const struct doc *b)
{
    if (!a || !b)
        return a == b;
    struct pairs todo = {.count = 0, .cap = PAIRS_LOCAL};
    todo.at = todo.local;
    bool same = eq_value(&todo, a, b);
    while (same && todo.count) {
        struct pair p = todo.at[--todo.count];
        same = p.a->type == DOC_ARRAY ? eq_items(&todo, p.a, p.b) : eq_members(&todo, p.a, p.b);
    }
    if (todo.at != todo.local)
        free(todo.at);
    return same;
}

/* ---- building */

static struct doc *node_new(struct arena *mem, enum doc_type type)
{
    struct doc *d = arena_new_of(mem, struct doc);
    d->type = type;
    return d;
}

struct doc *doc_new_object(struct arena *mem)
{
    return node_new(mem, DOC_OBJECT);
}

struct doc *doc_new_array(struct arena *mem)
{
    return node_new(mem, DOC_ARRAY);
}

struct doc *doc_new_null(struct arena *mem)
{
    return node_new(mem, DOC_NULL);
}

struct doc *doc_new_str(struct arena *mem, struct str s)
{
    struct doc *d = node_new(mem, DOC_STRING);
    d->s = s;
    return d;
}

struct doc *doc_new_int(struct arena *mem, int64_t i)
{
    struct doc *d = node_new(mem, DOC_INT);
    d->i = i;
    return d;
}

struct doc *doc_new_bool(struct arena *mem, bool b)
{
    struct doc *d = node_new(mem, DOC_BOOL);
    d->b = b;
    return d;
}

struct doc *doc_new_number(struct arena *mem, struct str literal)
{
    struct doc *d = node_new(mem, DOC_NUMBER);
    d->s = literal;
    return d;
}

static struct doc *copy_node(struct arena *mem, const struct doc *from, bool strings)
{
    struct doc *to = arena_alloc(mem, sizeof *to);
    *to = *from;
    if (strings && to->key.ptr)
        to->key = str_dup(mem, from->key);
    if (from->type == DOC_ARRAY || from->type == DOC_OBJECT)
        to->first = to->last = NULL;
    else if (strings && (from->type == DOC_STRING || from->type == DOC_NUMBER))
        to->s = str_dup(mem, from->s);
    to->next = NULL;
    return to;
}

/* While a copy is open its `next` is the open copy around it and its `last`, the newest child, tells where to append.
 * The way back up in the original is kept in a list beside it. */
struct open_copy {
    struct open_copy *up;
    const struct doc *from;
    struct doc *to;
};

static struct doc *copy(struct arena *mem, const struct doc *d, bool strings)
{
    struct doc *root = copy_node(mem, d, strings);
    struct open_copy *open = NULL, *spare = NULL;
    root->key = STR_NULL;
    const struct doc *from = d;
    struct doc *to = root;
    for (;;) {
        if (doc_first(from)) {
            struct open_copy *down = spare ? spare : arena_alloc(mem, sizeof *down);
            spare = spare ? spare->up : NULL;
            *down = (struct open_copy){open, from, to};
            open = down;
            from = from->first;
        } else {
            while (open && !from->next) {
                struct open_copy *done = open;
                from = done->from;
                open = done->up;
                done->up = spare;
                spare = done;
            }
            if (!open)
                return root;
            from = from->next;
        }
        to = copy_node(mem, from, strings);
        if (open->to->last)
            open->to->last->next = to;
        else
            open->to->first = to;
        open->to->last = to;
    }
}

struct doc *doc_copy(struct arena *mem, const struct doc *d)
{
    return d ? copy(mem, d, /* strings= */ false) : NULL;
}

struct doc *doc_copy_deep(struct arena *mem, const struct doc *d)
{
    return d ? copy(mem, d, /* strings= */ true) : NULL;
}

/* ---- changing */

static void append(struct doc *parent, struct doc *child)
{
    child->next = NULL;
    if (parent->last)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
    parent->count++;
}

struct doc *doc_set(struct doc *obj, struct str key, struct doc *value)
{
    struct doc *before = NULL, *old = find(obj, key, &before);
    assert(obj->type == DOC_OBJECT);
    value->key = key.ptr ? key : STR("");
    if (!old) {
        append(obj, value);
        return value;
    }
    if (old == value)
        return value;
    value->next = old->next;
    if (before)
        before->next = value;
    else
        obj->first = value;
    if (obj->last == old)
        obj->last = value;
    return value;
}

struct doc *doc_put(struct arena *mem, struct doc *obj, const char *key, struct doc *value)
{
    (void)mem;
    return doc_set(obj, str_of(key), value);
}

void doc_put_str(struct arena *mem, struct doc *obj, const char *key, struct str s)
{
    doc_set(obj, str_of(key), doc_new_str(mem, s));
}

void doc_put_int(struct arena *mem, struct doc *obj, const char *key, int64_t i)
{
    doc_set(obj, str_of(key), doc_new_int(mem, i));
}

void doc_put_bool(struct arena *mem, struct doc *obj, const char *key, bool b)
{
    doc_set(obj, str_of(key), doc_new_bool(mem, b));
}

static struct doc *sub(struct arena *mem, struct doc *obj, const char *key, enum doc_type type)
{
    struct doc *d = doc_get(obj, key);
    return doc_is(d, type) ? d : doc_set(obj, str_of(key), node_new(mem, type));
}

struct doc *doc_sub(struct arena *mem, struct doc *obj, const char *key)
{
    return sub(mem, obj, key, DOC_OBJECT);
}

struct doc *doc_sub_array(struct arena *mem, struct doc *obj, const char *key)
{
    return sub(mem, obj, key, DOC_ARRAY);
}

static struct doc *unlink_after(struct doc *parent, struct doc *before, struct doc *child)
{
    if (before)
        before->next = child->next;
    else
        parent->first = child->next;
    if (parent->last == child)
        parent->last = before;
    parent->count--;
    child->next = NULL;
    return child;
}

bool doc_del_str(struct doc *obj, struct str key)
{
    struct doc *before = NULL, *old = find(obj, key, &before);
    return old && unlink_after(obj, before, old);
}

bool doc_del(struct doc *obj, const char *key)
{
    return doc_del_str(obj, str_of(key));
}

struct doc *doc_push(struct doc *arr, struct doc *item)
{
    assert(arr->type == DOC_ARRAY);
    item->key = STR_NULL;
    append(arr, item);
    return item;
}

void doc_insert(struct doc *arr, uint32_t index, struct doc *item)
{
    assert(arr->type == DOC_ARRAY && index <= arr->count);
    if (index == arr->count) {
        doc_push(arr, item);
        return;
    }
    struct doc **link = &arr->first;
    for (uint32_t i = 0; i < index; i++)
        link = &(*link)->next;
    item->key = STR_NULL;
    item->next = *link;
    *link = item;
    arr->count++;
}

struct doc *doc_remove(struct doc *parent, struct doc *child)
{
    struct doc *before = NULL;
    for (struct doc *d = doc_first(parent); d; before = d, d = d->next)
        if (d == child)
            return unlink_after(parent, before, child);
    return child;
}

void doc_clear(struct doc *parent)
{
    parent->first = parent->last = NULL;
    parent->count = 0;
}

void doc_assign(struct doc *to, const struct doc *from)
{
    struct doc *next = to->next;
    struct str key = to->key;
    *to = *from;
    to->next = next;
    to->key = key;
}

static int key_cmp(const void *a, const void *b)
{
    return str_cmp((*(struct doc *const *)a)->key, (*(struct doc *const *)b)->key);
}

static bool keys_sorted(const struct doc *obj)
{
    for (const struct doc *d = doc_first(obj); d && d->next; d = d->next)
        if (str_cmp(d->key, d->next->key) > 0)
            return false;
    return true;
}

void doc_sort_keys(struct doc *obj)
{
    enum { LOCAL = 64 };
    struct doc *local[LOCAL], **all = local;
    uint32_t n = 0, count = doc_len(obj);
    if (!doc_is(obj, DOC_OBJECT) || keys_sorted(obj))
        return;
    if (count > LOCAL && !(all = malloc(count * sizeof(struct doc *))))
        abort(); /* out of memory: as arenas do */
    doc_each (d, obj)
        all[n++] = d;
    qsort(all, count, sizeof(struct doc *), key_cmp);
    doc_clear(obj);
    for (uint32_t i = 0; i < count; i++)
        append(obj, all[i]);
    if (all != local)
        free(all);
}
