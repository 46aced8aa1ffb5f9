/* base/map_test.c */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/map.h"

enum { KEYS = 5000 };

static void test_empty(void **state)
{
    struct map m = MAP_INIT;
    uint32_t it = 0;
    assert_null(map_get(&m, STR("a")));
    assert_null(map_del(&m, STR("a")));
    assert_false(map_each(&m, &it, NULL, NULL));
    map_done(&m);
}

static void test_put_get_replace_delete(void **state)
{
    struct map m = MAP_INIT;
    assert_null(map_put(&m, STR("a"), (void *)"1"));
    assert_null(map_put(&m, STR(""), (void *)"empty"));
    assert_string_equal(map_put(&m, STR("a"), (void *)"2"), "1");
    assert_string_equal(map_get(&m, STR("a")), "2");
    assert_string_equal(map_get(&m, STR_NULL), "empty");
    assert_int_equal(m.count, 2);
    assert_string_equal(map_del(&m, STR("a")), "2");
    assert_null(map_get(&m, STR("a")));
    assert_null(map_del(&m, STR("a")));
    map_done(&m);
}

/* Against a plain array, at random. */
static void test_many_at_random(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct map m = MAP_INIT;
    struct str keys[KEYS];
    bool in[KEYS] = {false};
    uint32_t count = 0, x = 1;
    for (int i = 0; i < KEYS; i++)
        keys[i] = str_fmt(mem, "default/pod-%d", i);
    for (int step = 0; step < 200000; step++) {
        x = x * 1664525 + 1013904223;
        uint32_t i = (x >> 8) % KEYS;
        if (x >> 31) {
            assert_int_equal(map_put(&m, keys[i], &keys[i]) != NULL, in[i]);
            count += !in[i], in[i] = true;
        } else {
            assert_int_equal(map_del(&m, keys[i]) != NULL, in[i]);
            count -= in[i], in[i] = false;
        }
        assert_int_equal(m.count, count);
    }
    for (int i = 0; i < KEYS; i++)
        assert_ptr_equal(map_get(&m, keys[i]), in[i] ? &keys[i] : NULL);
    assert_true(m.cap <= 8 * KEYS); /* tombstones do not make it grow */
    map_done(&m);
}

static void test_each_may_delete_the_current(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct map m = MAP_INIT;
    for (int i = 0; i < 100; i++) {
        struct str key = str_fmt(mem, "%d", i);
        map_put(&m, key, (void *)key.ptr);
    }
    uint32_t it = 0;
    struct str key;
    void *value;
    int n = 0;
    while (map_each(&m, &it, &key, &value)) {
        assert_ptr_equal(value, key.ptr);
        assert_ptr_equal(map_del(&m, key), value);
        n++;
    }
    assert_int_equal(n, 100);
    assert_int_equal(m.count, 0);
    map_done(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_put_get_replace_delete),
        cmocka_unit_test(test_many_at_random),
        cmocka_unit_test(test_each_may_delete_the_current),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
