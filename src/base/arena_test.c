/* base/arena_test.c */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/arena.h"

static void test_aligned_and_disjoint_at_every_size(void **state)
{
    cleanup_arena struct arena *a = arena_new();
    unsigned char *before = NULL;
    for (size_t size = 0; size < 3000; size += 7) {
        unsigned char *p = arena_alloc(a, size);
        assert_int_equal((uintptr_t)p % 16, 0);
        memset(p, (int)(size & 0xff), size);
        if (before)
            assert_int_equal(*before, (size - 7) & 0xff);
        before = size ? p : NULL;
    }
}

static void test_large_pieces_leave_the_block_in_use(void **state)
{
    cleanup_arena struct arena *a = arena_new();
    char *small = arena_alloc(a, 16);
    char *large = arena_zalloc(a, 5 << 20);
    assert_int_equal(large[(5 << 20) - 1], 0);
    char *next = arena_alloc(a, 16);
    assert_in_range((uintptr_t)next, (uintptr_t)small, (uintptr_t)small + 64);
    assert_true(arena_used(a) >= (5 << 20) + 32);
}

static void test_large_piece_first(void **state)
{
    cleanup_arena struct arena *a = arena_new();
    memset(arena_alloc(a, 1 << 20), 1, 1 << 20);
    memset(arena_alloc(a, 10), 1, 10);
    arena_reset(a);
    assert_int_equal(arena_used(a), 0);
    memset(arena_alloc(a, 1 << 19), 1, 1 << 19);
}

static void test_grow_in_place_else_copies(void **state)
{
    cleanup_arena struct arena *a = arena_new();
    char *p = arena_alloc(a, 100);
    memset(p, 'x', 100);
    char *q = arena_grow(a, p, 100, 1000);
    assert_ptr_equal(p, q);
    memset(q + 100, 'y', 900);
    arena_alloc(a, 1);
    char *r = arena_grow(a, q, 1000, 2000);
    assert_ptr_not_equal(r, q);
    assert_int_equal(r[99], 'x');
    assert_int_equal(r[999], 'y');
    char *s = arena_grow(a, r, 2000, 200000); /* past the block */
    assert_int_equal(s[999], 'y');
    assert_non_null(arena_grow(a, NULL, 0, 8));
}

static void test_reset_keeps_first_block(void **state)
{
    cleanup_arena struct arena *a = arena_new();
    char *first = arena_alloc(a, 8);
    for (int i = 0; i < 1000; i++)
        arena_alloc(a, 500);
    arena_reset(a);
    assert_ptr_equal(arena_alloc(a, 8), first);
}

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>

static void test_poisoned_around_and_after(void **state)
{
    cleanup_arena struct arena *a = arena_new();
    char *p = arena_alloc(a, 16), *q = arena_alloc(a, 5);
    assert_false(__asan_address_is_poisoned(p + 15));
    assert_true(__asan_address_is_poisoned(p + 16));
    assert_true(__asan_address_is_poisoned(q + 5));
    arena_reset(a);
    assert_true(__asan_address_is_poisoned(p));
}
#else
static void test_poisoned_around_and_after(void **state)
{
    skip();
}
#endif

static char order[8];

static void note(void *data)
{
    size_t n = strlen(order);
    order[n] = *(const char *)data;
    order[n + 1] = 0;
}

static void test_hooks_run_newest_first_once(void **state)
{
    struct arena *a = arena_new();
    order[0] = 0;
    arena_on_free(a, note, (void *)"a");
    arena_on_free(a, note, (void *)"b");
    arena_reset(a);
    assert_string_equal(order, "ba");
    arena_on_free(a, note, (void *)"c");
    a = arena_free(a);
    assert_null(a);
    assert_string_equal(order, "bac");
    assert_null(arena_free(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_aligned_and_disjoint_at_every_size),
        cmocka_unit_test(test_large_pieces_leave_the_block_in_use),
        cmocka_unit_test(test_large_piece_first),
        cmocka_unit_test(test_grow_in_place_else_copies),
        cmocka_unit_test(test_reset_keeps_first_block),
        cmocka_unit_test(test_poisoned_around_and_after),
        cmocka_unit_test(test_hooks_run_newest_first_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
