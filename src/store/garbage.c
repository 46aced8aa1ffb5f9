/* store/garbage.c - a growing ring. */
#include "store/garbage.h"

#include <stdlib.h>

enum { GARBAGE_MIN = 64 };

void garbage_done(struct garbage *g)
{
    free(g->ring);
    *g = (struct garbage){0};
}

const struct garbage_row *garbage_at(const struct garbage *g, size_t i)
{
    return &g->ring[(g->head + i) & (g->cap - 1)];
}

void garbage_push(struct garbage *g, uint64_t id, int64_t at_ms, size_t bytes)
{
    if (g->count == g->cap) {
        size_t cap = g->cap ? g->cap * 2 : GARBAGE_MIN;
        struct garbage_row *ring = malloc(cap * sizeof *ring);
        if (!ring)
            abort();
        for (size_t i = 0; i < g->count; i++)
            ring[i] = *garbage_at(g, i);
        free(g->ring);
        g->ring = ring;
        g->cap = cap;
        g->head = 0;
    }
    g->ring[(g->head + g->count++) & (g->cap - 1)] = (struct garbage_row){id, at_ms, (uint32_t)bytes};
    g->bytes += bytes;
}

void garbage_pop(struct garbage *g, size_t n)
{
    for (; n && g->count; n--) {
        g->bytes -= g->ring[g->head].bytes;
        g->head = (g->head + 1) & (g->cap - 1);
        g->count--;
    }
}
