/* base/arena.h - memory that dies together.
 *
 * One arena per request, reconcile, connection or message: everything a piece of work needs lives in its arena and is
 * released in one call. An arena is not thread-safe; hand it over whole or not at all.
 *
 * Out of memory: arenas hold what the limits on bodies and queues have already bounded, so a failing malloc here is an
 * abort (Linux overcommits: it kills before it returns NULL). What can be large (bodies, objects at rest) is not taken
 * from here but from calls that can fail and become a 503. */
#ifndef SAMPAN_BASE_ARENA_H
#define SAMPAN_BASE_ARENA_H

#include <stddef.h>

struct arena;

/* A new, empty arena. The first block is allocated on first use. */
struct arena *arena_new(void);
/* NULL is accepted. Returns NULL, so that `a = arena_free(a)` reads well. */
struct arena *arena_free(struct arena *a);
/* Forget everything, keep the first block for reuse. Poisoned under ASan. */
void arena_reset(struct arena *a);

/* Uninitialised memory aligned for any type; never NULL. */
void *arena_alloc(struct arena *a, size_t size) __attribute__((malloc, alloc_size(2), returns_nonnull));
/* The same, zeroed. */
void *arena_zalloc(struct arena *a, size_t size) __attribute__((malloc, alloc_size(2), returns_nonnull));
/* Grow the most recent allocation in place where possible, else copy. */
void *arena_grow(struct arena *a, void *old, size_t old_size, size_t new_size) __attribute__((returns_nonnull));
/* Bytes handed out since the last reset, slack included. */
size_t arena_used(const struct arena *a);

/* Run fn(data) when the arena is freed or reset, newest first: for the few things in it that own something else
 * (a reference on an object, a descriptor). */
void arena_on_free(struct arena *a, void (*fn)(void *data), void *data);

#define arena_new_of(a, type)   ((type *)arena_zalloc((a), sizeof(type)))
#define arena_array(a, type, n) ((type *)arena_zalloc((a), sizeof(type) * (size_t)(n)))

static inline void arena_cleanup(struct arena **a)
{
    arena_free(*a);
}
/* Freed when the variable goes out of scope. */
#define cleanup_arena __attribute__((cleanup(arena_cleanup)))

#endif
