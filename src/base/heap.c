/* base/heap.c - a binary min-heap; every item knows its place. */
#include "base/heap.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

void heap_done(struct heap *h)
{
    for (int32_t i = 0; i < h->count; i++)
        h->items[i]->index = -1;
    free(h->items);
    *h = (struct heap){0};
}

static bool before(const struct heap_item *a, const struct heap_item *b)
{
    return a->key != b->key ? a->key < b->key : a->id < b->id;
}

static void place(struct heap *h, int32_t i, struct heap_item *item)
{
    h->items[i] = item;
    item->index = i;
}

static void sift_up(struct heap *h, int32_t i, struct heap_item *item)
{
    for (; i > 0 && before(item, h->items[(i - 1) / 2]); i = (i - 1) / 2)
        place(h, i, h->items[(i - 1) / 2]);
    place(h, i, item);
}

static void sift_down(struct heap *h, int32_t i, struct heap_item *item)
{
    for (int32_t child; (child = 2 * i + 1) < h->count; i = child) {
        if (child + 1 < h->count && before(h->items[child + 1], h->items[child]))
            child++;
        if (!before(h->items[child], item))
            break;
        place(h, i, h->items[child]);
    }
    place(h, i, item);
}

void heap_push(struct heap *h, struct heap_item *item)
{
    if (h->count == h->cap) {
        int32_t cap = h->cap ? h->cap * 2 : 16;
        struct heap_item **items = realloc(h->items, (size_t)cap * sizeof(*items));
        if (!items) {
            fputs("sampan: out of memory\n", stderr);
            abort();
        }
        h->items = items;
        h->cap = cap;
    }
    h->count++;
    sift_up(h, h->count - 1, item);
}

struct heap_item *heap_peek(const struct heap *h)
{
    return h->count ? h->items[0] : NULL;
}

struct heap_item *heap_pop(struct heap *h)
{
    struct heap_item *top = heap_peek(h);
    if (top)
        heap_remove(h, top);
    return top;
}

void heap_remove(struct heap *h, struct heap_item *item)
{
    int32_t i = item->index;
    if (i < 0)
        return;
    item->index = -1;
    struct heap_item *last = h->items[--h->count];
    if (last == item)
        return;
    if (i > 0 && before(last, h->items[(i - 1) / 2]))
        sift_up(h, i, last);
    else
        sift_down(h, i, last);
}
