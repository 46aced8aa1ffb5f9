/* base/slab.c - spans of equal blocks, found by address: a span is aligned to its size. */
#include "base/slab.h"

#include <assert.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/list.h"

#if defined(__SANITIZE_ADDRESS__)
#define SLAB_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLAB_ASAN 1
#endif
#endif
#ifndef SLAB_ASAN
#define SLAB_ASAN 0
#endif

enum {
    STEP_SHIFT = 5, /* classes in a power of two: 32 */
    SMALLEST_SHIFT = 9,
    LARGEST_SHIFT = 14,
    CLASSES = (LARGEST_SHIFT - SMALLEST_SHIFT + 1) << STEP_SHIFT,
};
_Static_assert(SLAB_BYTES_MAX == 1 << LARGEST_SHIFT, "the last class is the largest block");

struct free_block {
    struct free_block *next;
};
struct span {
    struct list link; /* among those of its class that have room; empty: full */
    struct free_block *freed;
    uint32_t block_bytes, untouched_at; /* offset of the first block that was never used */
    uint32_t used;
    _Alignas(16) char blocks[];
};

static struct {
    pthread_mutex_t lock;
    struct list with_room[CLASSES]; /* next NULL: not yet initialised */
    struct span *spare;             /* one empty span, its pages given back */
    size_t spans;
} slab = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* The class whose blocks hold so many bytes; below 512 a class every 16 bytes. */
static int class_of(size_t bytes, uint32_t *ret_block_bytes)
{
    if (bytes < 16)
        bytes = 16;
    int shift = 64 - __builtin_clzll(bytes - 1); /* 2^(shift-1) < bytes <= 2^shift */
    if (shift < SMALLEST_SHIFT)
        shift = SMALLEST_SHIFT;
    size_t step = (size_t)1 << (shift - (shift == SMALLEST_SHIFT ? 5 : 6));
    size_t base = shift == SMALLEST_SHIFT ? 0 : (size_t)1 << (shift - 1);
    size_t steps = (bytes - base + step - 1) / step; /* 1 to 32 */
    *ret_block_bytes = (uint32_t)(base + steps * step);
    return ((shift - SMALLEST_SHIFT) << STEP_SHIFT) + (int)steps - 1;
}

static struct span *span_map(void)
{
    char *at = mmap(NULL, 2 * SLAB_SPAN_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return NULL;
    size_t lead = (size_t)(-(uintptr_t)at & (SLAB_SPAN_BYTES - 1));
    if (lead)
        munmap(at, lead);
    munmap(at + lead + SLAB_SPAN_BYTES, SLAB_SPAN_BYTES - lead);
    slab.spans++;
    return (struct span *)(at + lead);
}

static struct span *span_new(struct list *with_room, uint32_t block_bytes)
{
    struct span *s = slab.spare ? slab.spare : span_map();
    slab.spare = NULL;
    if (!s)
        return NULL;
    *s = (struct span){.block_bytes = block_bytes, .untouched_at = sizeof *s};
    list_init(&s->link);
    list_add_tail(with_room, &s->link);
    return s;
}

static bool has_room(const struct span *s)
{
    return s->freed || s->untouched_at + s->block_bytes <= SLAB_SPAN_BYTES;
}

static void span_empty(struct span *s)
{
    list_remove(&s->link);
    if (slab.spare) {
        munmap(s, SLAB_SPAN_BYTES);
        slab.spans--;
        return;
    }
    madvise(s, SLAB_SPAN_BYTES, MADV_DONTNEED);
    slab.spare = s;
}

static void *take(struct span *s)
{
    void *block = s->freed;
    s->used++;
    if (block) {
        s->freed = s->freed->next;
    } else {
        block = (char *)s + s->untouched_at;
        s->untouched_at += s->block_bytes;
    }
    if (!has_room(s))
        list_remove(&s->link);
    return block;
}

void *slab_alloc(size_t bytes)
{
    if (SLAB_ASAN || bytes > SLAB_BYTES_MAX)
        return malloc(bytes);
    uint32_t block_bytes;
    struct list *with_room = &slab.with_room[class_of(bytes, &block_bytes)];
    pthread_mutex_lock(&slab.lock);
    if (!with_room->next)
        list_init(with_room);
    struct span *s = list_empty(with_room) ? span_new(with_room, block_bytes) : (struct span *)with_room->next;
    void *block = s ? take(s) : NULL;
    pthread_mutex_unlock(&slab.lock);
    return block;
}

void slab_free(void *block, size_t bytes)
{
    if (!block)
        return;
    if (SLAB_ASAN || bytes > SLAB_BYTES_MAX) {
        free(block);
        return;
    }
    uint32_t block_bytes;
    struct span *s = (struct span *)((uintptr_t)block & ~(uintptr_t)(SLAB_SPAN_BYTES - 1));
    struct list *with_room = &slab.with_room[class_of(bytes, &block_bytes)];
    pthread_mutex_lock(&slab.lock);
    assert(s->block_bytes == block_bytes && s->used > 0);
    if (!has_room(s))
        list_add_head(with_room, &s->link);
    struct free_block *f = block;
    f->next = s->freed;
    s->freed = f;
    if (--s->used == 0)
        span_empty(s);
    pthread_mutex_unlock(&slab.lock);
}

size_t slab_spans(void)
{
    return slab.spans;
}
