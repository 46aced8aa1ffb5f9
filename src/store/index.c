/* store/index.c - sorted arrays by name. */
#include "store/index.h"

#include <stdlib.h>

struct index_set {
    struct obj **items;
    uint32_t count, cap;
    struct str name; /* behind the struct */
};

static struct index_set *set_new(struct str name)
{
    struct index_set *s = malloc(sizeof *s + name.len);
    if (!s)
        abort(); /* a few bytes, and the cache would be wrong without */
    memcpy(s + 1, name.ptr, name.len);
    *s = (struct index_set){.name = str_mem((const char *)(s + 1), name.len)};
    return s;
}

static void set_free(struct index_set *s)
{
    free(s->items);
    free(s);
}

/* The place of key, or where it would be. */
static uint32_t place(const struct index_set *s, struct str key, bool *ret_found)
{
    uint32_t lo = 0, hi = s->count;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        int c = str_cmp(s->items[mid]->key, key);
        if (c == 0) {
            *ret_found = true;
            return mid;
        }
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    *ret_found = false;
    return lo;
}

static void set_resize(struct index_set *s, uint32_t cap)
{
    struct obj **items = realloc(s->items, cap * sizeof *items);
    if (!items)
        abort();
    s->items = items;
    s->cap = cap;
}

void index_put(struct index *x, struct str name, struct obj *o)
{
    bool found;
    struct index_set *s = map_get(&x->sets, name);
    if (!s) {
        s = set_new(name);
        map_put(&x->sets, s->name, s);
    }
    uint32_t at = place(s, o->key, &found);
    if (!found) {
        if (s->count == s->cap)
            set_resize(s, s->cap ? s->cap * 2 : 1);
        memmove(&s->items[at + 1], &s->items[at], (s->count - at) * sizeof s->items[0]);
        s->count++;
    }
    s->items[at] = o;
}

void index_del(struct index *x, struct str name, const struct obj *o)
{
    bool found = false;
    struct index_set *s = map_get(&x->sets, name);
    uint32_t at = s ? place(s, o->key, &found) : 0;
    if (!found)
        return;
    s->count--;
    memmove(&s->items[at], &s->items[at + 1], (s->count - at) * sizeof s->items[0]);
    if (s->count == 0) {
        map_del(&x->sets, s->name);
        set_free(s);
    } else if (s->count < s->cap / 4) {
        set_resize(s, s->cap / 2);
    }
}

struct obj **index_list(const struct index *x, struct arena *mem, struct str name, int *ret_count)
{
    const struct index_set *s = map_get(&x->sets, name);
    *ret_count = s ? (int)s->count : 0;
    struct obj **items = arena_alloc(mem, (size_t)*ret_count * sizeof *items);
    if (s)
        memcpy(items, s->items, s->count * sizeof *items);
    return items;
}

void index_done(struct index *x)
{
    uint32_t it = 0;
    void *s;
    while (map_each(&x->sets, &it, NULL, &s))
        set_free(s);
    map_done(&x->sets);
}
