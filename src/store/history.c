/* store/history.c - a growing ring. Old changes go when new ones come: an idle cluster has no timer here. */
#include "store/history.h"

#include <stdlib.h>

enum { RING_MIN = 64 };

/* What the change alone keeps alive: the state it replaced, and of a delete the last state. */
static size_t held(const struct change *c)
{
    size_t n = sizeof *c + (c->prev ? sizeof *c->prev + c->prev->json.len : 0);
    return c->deleted ? n + sizeof *c->obj + c->obj->json.len : n;
}

static void drop_oldest(struct history *h)
{
    struct change *c = &h->ring[h->head];
    h->floor = c->rev;
    h->bytes -= held(c);
    obj_unref(c->obj);
    obj_unref(c->prev);
    h->head = (h->head + 1) & (h->cap - 1);
    h->count--;
}

void history_start(struct history *h, uint64_t rev)
{
    while (h->count)
        drop_oldest(h);
    h->floor = rev;
}

void history_done(struct history *h)
{
    history_start(h, 0);
    free(h->ring);
    h->ring = NULL;
    h->cap = h->head = 0;
}

static void grow(struct history *h)
{
    size_t cap = h->cap ? h->cap * 2 : RING_MIN;
    struct change *ring = malloc(cap * sizeof *ring);
    if (!ring)
        abort();
    for (size_t i = 0; i < h->count; i++)
        ring[i] = *history_at(h, i);
    free(h->ring);
    h->ring = ring;
    h->cap = cap;
    h->head = 0;
}

void history_add(struct history *h, const struct change *c)
{
    while (h->count && (h->ring[h->head].at_ms < c->at_ms - h->window_ms || h->bytes > h->bytes_max))
        drop_oldest(h);
    if (h->count == h->cap)
        grow(h);
    struct change *to = &h->ring[(h->head + h->count++) & (h->cap - 1)];
    *to = *c;
    to->obj = obj_ref(c->obj);
    to->prev = c->prev ? obj_ref(c->prev) : NULL;
    h->bytes += held(to);
}

size_t history_after(const struct history *h, uint64_t rev)
{
    size_t lo = 0, hi = h->count;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (history_at(h, mid)->rev <= rev)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}
