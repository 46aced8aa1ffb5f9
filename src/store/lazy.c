/* store/lazy.c - one item a key: a lease renewed 60 times is written once. */
#include "store/lazy.h"

#include <stdlib.h>

enum { HOUR_MS = 3600 * 1000 };

void lazy_init(struct lazy *l, int64_t bytes_per_h, int64_t now_ms)
{
    *l = (struct lazy){.budget_per_h = bytes_per_h, .tokens = bytes_per_h / 4, .filled_at_ms = now_ms};
    list_init(&l->order);
}

static void item_free(struct lazy_item *i)
{
    list_remove(&i->link);
    obj_unref(i->obj);
    free(i);
}

void lazy_done(struct lazy *l)
{
    while (!list_empty(&l->order))
        item_free((struct lazy_item *)l->order.next); /* link is the first member */
    map_done(&l->items);
}

struct lazy_item *lazy_get(const struct lazy *l, struct str key)
{
    return map_get(&l->items, key);
}

void lazy_put(struct lazy *l, struct obj *obj, enum store_op_kind kind, uint64_t id)
{
    struct lazy_item *i = map_get(&l->items, obj->key);
    struct obj *old = i ? i->obj : NULL;
    if (!i) {
        i = calloc(1, sizeof *i);
        if (!i)
            abort();
        list_init(&i->link);
        list_add_tail(&l->order, &i->link);
    }
    i->obj = obj_ref(obj);
    i->kind = kind;
    i->id = id;
    map_put(&l->items, i->obj->key, i);
    obj_unref(old);
}

void lazy_drop(struct lazy *l, struct str key)
{
    struct lazy_item *i = map_del(&l->items, key);
    if (i)
        item_free(i);
}

int64_t lazy_allowance(struct lazy *l, int64_t now_ms)
{
    int64_t since = now_ms - l->filled_at_ms;
    if (since > HOUR_MS)
        since = HOUR_MS;
    l->tokens += l->budget_per_h * since / HOUR_MS;
    l->filled_at_ms = now_ms;
    if (l->tokens > l->budget_per_h)
        l->tokens = l->budget_per_h;
    return l->tokens;
}
