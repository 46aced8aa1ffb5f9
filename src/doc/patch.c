#include "doc/patch.h"

#include "base/map.h"

/* ---- members by key, hashed where a patch meets many of them */

enum { INDEX_SEARCH_MAX = 64, DEAD = 255 }; /* DEAD: a member to be swept out */

struct index {
    struct doc *obj;
    struct map keys; /* empty while searching is cheaper */
};

static struct index index_of(struct doc *obj, uint32_t lookups)
{
    struct index ix = {obj, MAP_INIT};
    if (obj->count > INDEX_SEARCH_MAX || lookups > INDEX_SEARCH_MAX)
        doc_each (d, obj)
            map_put(&ix.keys, d->key, d);
    return ix;
}

static struct doc *index_get(const struct index *ix, struct str key)
{
    return ix->keys.cap ? map_get(&ix->keys, key) : doc_get_str(ix->obj, key);
}

/* The key must not be there yet. */
static void index_add(struct index *ix, struct str key, struct doc *value)
{
    struct doc *obj = ix->obj;
    value->key = key;
    value->next = NULL;
    if (obj->last)
        obj->last->next = value;
    else
        obj->first = value;
    obj->last = value;
    obj->count++;
    if (ix->keys.cap || obj->count > INDEX_SEARCH_MAX)
        map_put(&ix->keys, key, value);
}

static void sweep(struct doc *obj)
{
    struct doc **link = &obj->first, *last = NULL;
    for (struct doc *d = obj->first; d; d = d->next) {
        if (d->type == DEAD) {
            obj->count--;
            continue;
        }
        *link = last = d;
        link = &d->next;
    }
    *link = NULL;
    obj->last = last;
}

/* ---- JSON Merge Patch. Pairs of objects still to merge stand in a list: depth costs no stack. */

struct merge {
    struct merge *next;
    struct doc *target;
    const struct doc *a, *patch; /* a: only when making a patch */
};

static void merge_push(struct arena *mem, struct merge **todo, struct doc *target, const struct doc *a,
                       const struct doc *patch)
{
    struct merge *m = arena_alloc(mem, sizeof *m);
    *m = (struct merge){*todo, target, a, patch};
    *todo = m;
}

static void merge_member(struct arena *mem, struct index *ix, const struct doc *p, struct merge **todo, bool *ret_dead)
{
    struct doc *old = index_get(ix, p->key);
    if (old && old->type == DEAD) /* a patch made by code may name a key twice */
        doc_assign(old, doc_new_null(mem));
    if (p->type == DOC_NULL) {
        if (old)
            old->type = DEAD, *ret_dead = true;
        return;
    }
    if (p->type != DOC_OBJECT) {
        struct doc *value = doc_copy(mem, p);
        if (old)
            doc_assign(old, value);
        else
            index_add(ix, p->key, value);
        return;
    }
    if (!old)
        index_add(ix, p->key, old = doc_new_object(mem));
    else if (old->type != DOC_OBJECT)
        doc_assign(old, doc_new_object(mem));
    merge_push(mem, todo, old, NULL, p);
}

struct doc *merge_patch(struct arena *mem, struct doc *target, const struct doc *patch)
{
    struct merge *todo = NULL;
    if (!doc_is(patch, DOC_OBJECT))
        return doc_copy(mem, patch);
    if (!doc_is(target, DOC_OBJECT))
        target = doc_new_object(mem);
    merge_push(mem, &todo, target, NULL, patch);
    while (todo) {
        struct merge *m = todo;
        bool dead = false;
        todo = m->next;
        struct index ix = index_of(m->target, m->patch->count);
        doc_each (p, m->patch)
            merge_member(mem, &ix, p, &todo, &dead);
        map_done(&ix.keys);
        if (dead)
            sweep(m->target);
    }
    return target;
}

static void diff_members(struct arena *mem, struct merge *m, struct merge **todo)
{
    struct index a = index_of((struct doc *)(uintptr_t)m->a, m->patch->count);
    struct index b = index_of((struct doc *)(uintptr_t)m->patch, m->a->count);
    struct index out = {m->target, MAP_INIT};
    doc_each (d, m->a) {
        if (!index_get(&b, d->key))
            index_add(&out, d->key, doc_new_null(mem));
    }
    doc_each (d, m->patch) {
        const struct doc *old = index_get(&a, d->key);
        if (old && doc_eq(old, d))
            continue;
        bool both = doc_is(old, DOC_OBJECT) && d->type == DOC_OBJECT;
        struct doc *value = both ? doc_new_object(mem) : doc_copy(mem, d);
        index_add(&out, d->key, value);
        if (both)
            merge_push(mem, todo, value, old, d);
    }
    map_done(&a.keys);
    map_done(&b.keys);
    map_done(&out.keys);
}

struct doc *merge_patch_diff(struct arena *mem, const struct doc *a, const struct doc *b)
{
    struct merge *todo = NULL;
    if (doc_eq(a, b))
        return NULL;
    if (!doc_is(a, DOC_OBJECT) || !doc_is(b, DOC_OBJECT))
        return doc_copy(mem, b);
    struct doc *out = doc_new_object(mem);
    merge_push(mem, &todo, out, a, b);
    while (todo) {
        struct merge *m = todo;
        todo = m->next;
        diff_members(mem, m, &todo);
    }
    return out;
}
