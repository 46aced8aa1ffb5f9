/* base/arena.c - bump blocks, each twice its predecessor up to a bound; what is larger gets a block of its own. */
#include "base/arena.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif

#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
/* A gap after each allocation, never unpoisoned: an overrun of one byte is found even between aligned neighbours. */
enum { ARENA_GAP = 16 };
#else
enum { ARENA_GAP = 0 };
#define ASAN_POISON_MEMORY_REGION(ptr, size)   ((void)(ptr), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(ptr, size) ((void)(ptr), (void)(size))
#endif

enum { ARENA_ALIGN = 16, ARENA_BLOCK_MIN = 4096, ARENA_BLOCK_MAX = 1024 * 1024 };

struct arena_block {
    struct arena_block *next; /* older */
    size_t size;              /* of data */
    _Alignas(ARENA_ALIGN) char data[];
};

struct arena_hook {
    struct arena_hook *next; /* older */
    void (*fn)(void *data);
    void *data;
};

struct arena {
    char *at, *end;             /* the free rest of the block being filled */
    char *last;                 /* the most recent allocation from that block */
    struct arena_block *blocks; /* newest first; the last one is the first ever made and survives a reset */
    struct arena_hook *hooks;
    size_t block_size; /* of the next block */
    size_t used;
};

static void *must(void *p)
{
    if (!p) {
        fputs("sampan: out of memory\n", stderr);
        abort();
    }
    return p;
}

struct arena *arena_new(void)
{
    struct arena *a = must(calloc(1, sizeof *a));
    a->block_size = ARENA_BLOCK_MIN;
    return a;
}

static size_t block_data_size(size_t block_size)
{
    return block_size - sizeof(struct arena_block);
}

static struct arena_block *block_new(size_t data_size)
{
    struct arena_block *b = must(malloc(sizeof *b + data_size));
    b->size = data_size;
    ASAN_POISON_MEMORY_REGION(b->data, data_size);
    return b;
}

static void block_free(struct arena_block *b)
{
    ASAN_UNPOISON_MEMORY_REGION(b->data, b->size);
    free(b);
}

static void run_hooks(struct arena *a)
{
    while (a->hooks) {
        struct arena_hook *h = a->hooks;
        a->hooks = h->next;
        h->fn(h->data);
    }
}

struct arena *arena_free(struct arena *a)
{
    if (!a)
        return NULL;
    run_hooks(a);
    for (struct arena_block *b = a->blocks, *next; b; b = next) {
        next = b->next;
        block_free(b);
    }
    free(a);
    return NULL;
}

void arena_reset(struct arena *a)
{
    run_hooks(a);
    while (a->blocks && a->blocks->next) {
        struct arena_block *b = a->blocks;
        a->blocks = b->next;
        block_free(b);
    }
    a->last = NULL;
    a->used = 0;
    if (!a->blocks)
        return;
    a->at = a->blocks->data;
    a->end = a->at + a->blocks->size;
    ASAN_POISON_MEMORY_REGION(a->at, a->blocks->size);
}

static size_t padded(size_t size)
{
    return (size + ARENA_GAP + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
}

/* The present block is too small. A large piece gets its own block behind the present one, so that the rest of that one
 * is not lost; the very first block must stay the last of the list, hence the normal path while there is none. */
static void *alloc_slow(struct arena *a, size_t size, size_t need)
{
    if (a->blocks && need > block_data_size(a->block_size) / 2) {
        struct arena_block *b = block_new(need);
        b->next = a->blocks;
        a->blocks = b;
        ASAN_UNPOISON_MEMORY_REGION(b->data, size);
        return b->data;
    }
    size_t data_size = block_data_size(a->block_size);
    struct arena_block *b = block_new(need > data_size ? need : data_size);
    b->next = a->blocks;
    a->blocks = b;
    if (a->block_size < ARENA_BLOCK_MAX)
        a->block_size *= 2;
    a->last = b->data;
    a->at = b->data + need;
    a->end = b->data + b->size;
    ASAN_UNPOISON_MEMORY_REGION(b->data, size);
    return b->data;
}

void *arena_alloc(struct arena *a, size_t size)
{
    if (size > PTRDIFF_MAX - 4096)
        must(NULL);
    size_t need = padded(size ? size : 1);
    a->used += need;
    if (need > (size_t)(a->end - a->at))
        return alloc_slow(a, size, need);
    char *p = a->at;
    a->last = p;
    a->at += need;
    ASAN_UNPOISON_MEMORY_REGION(p, size);
    return p;
}

void *arena_zalloc(struct arena *a, size_t size)
{
    return memset(arena_alloc(a, size), 0, size);
}

void *arena_grow(struct arena *a, void *old, size_t old_size, size_t new_size)
{
    assert(new_size >= old_size);
    if (old && old == a->last && new_size <= PTRDIFF_MAX - 4096) {
        size_t need = padded(new_size ? new_size : 1);
        if (need <= (size_t)(a->end - a->last)) {
            a->used += (size_t)(a->last + need - a->at);
            a->at = a->last + need;
            ASAN_UNPOISON_MEMORY_REGION(old, new_size);
            return old;
        }
    }
    void *p = arena_alloc(a, new_size);
    if (old_size)
        memcpy(p, old, old_size);
    return p;
}

size_t arena_used(const struct arena *a)
{
    return a->used;
}

void arena_on_free(struct arena *a, void (*fn)(void *data), void *data)
{
    struct arena_hook *h = arena_alloc(a, sizeof *h);
    *h = (struct arena_hook){a->hooks, fn, data};
    a->hooks = h;
}
