/* base/slab_test.c - blocks do not overlap, are used again, and an empty span goes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/slab.h"

enum { BLOCKS = 4000 };

static size_t size_of(int i)
{
    return 1 + (size_t)i * 7919 % (SLAB_BYTES_MAX + 100); /* some are larger than any class */
}

/* Every size: each block is filled whole with its own byte, and holds it after all others were filled. */
static void test_blocks_of_all_sizes_are_apart(void **state)
{
    static unsigned char *blocks[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = slab_alloc(size_of(i));
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] & 15, 0);
        memset(blocks[i], i & 255, size_of(i));
    }
    for (int round = 0; round < 3; round++) /* holes are filled again */
        for (int i = round; i < BLOCKS; i += 3) {
            for (size_t k = 0; k < size_of(i); k++)
                assert_int_equal(blocks[i][k], i & 255);
            slab_free(blocks[i], size_of(i));
            blocks[i] = slab_alloc(size_of(i));
            memset(blocks[i], i & 255, size_of(i));
        }
    for (int i = 0; i < BLOCKS; i++) {
        for (size_t k = 0; k < size_of(i); k++)
            assert_int_equal(blocks[i][k], i & 255);
        slab_free(blocks[i], size_of(i));
    }
    assert_true(slab_spans() <= 1);
}

static void test_a_freed_block_is_the_next_of_its_size(void **state)
{
    char *a = slab_alloc(4000), *b = slab_alloc(4000);
    slab_free(a, 4000);
    char *c = slab_alloc(3990);
#ifndef __SANITIZE_ADDRESS__ /* there each block is one of its own */
    assert_ptr_equal(a, c);
#endif
    slab_free(b, 4000), slab_free(c, 3990);
}

/* What many pods took is given back but for one span. */
static void test_empty_spans_go_back(void **state)
{
    static void *blocks[BLOCKS];
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = slab_alloc(3700);
    size_t full = slab_spans();
    size_t bytes = (size_t)BLOCKS * 3700;
    assert_true(full * SLAB_SPAN_BYTES < bytes + bytes / 32 + 2 * SLAB_SPAN_BYTES);
    for (int i = 0; i < BLOCKS; i++)
        slab_free(blocks[i], 3700);
    assert_true(slab_spans() <= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_of_all_sizes_are_apart),
        cmocka_unit_test(test_a_freed_block_is_the_next_of_its_size),
        cmocka_unit_test(test_empty_spans_go_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
