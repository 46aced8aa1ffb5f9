/* base/heap_test.c */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/heap.h"

enum { ITEMS = 500 };

static void test_pops_in_order_of_key_then_id(void **state)
{
    struct heap h = {0};
    struct heap_item items[ITEMS];
    uint32_t x = 7;
    for (int i = 0; i < ITEMS; i++) {
        x = x * 1664525 + 1013904223;
        items[i] = (struct heap_item){.key = (x >> 16) % 50, .id = (uint64_t)i, .index = -1};
        heap_push(&h, &items[i]);
    }
    for (int i = 0; i < ITEMS; i += 3)
        heap_remove(&h, &items[i]), heap_remove(&h, &items[i]);
    struct heap_item *before = NULL;
    int n = 0;
    for (struct heap_item *item; (item = heap_pop(&h)); before = item, n++) {
        assert_int_equal(item->index, -1);
        assert_true(item->id % 3 != 0);
        if (before)
            assert_true(before->key < item->key || (before->key == item->key && before->id < item->id));
    }
    assert_int_equal(n, ITEMS - (ITEMS + 2) / 3);
    assert_null(heap_peek(&h));
    heap_done(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pops_in_order_of_key_then_id)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
