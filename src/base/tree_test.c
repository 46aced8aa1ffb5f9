/* base/tree_test.c */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "base/tree.h"

enum { KEYS = 4000 };

/* Each entry owns its key, on the heap, so that a key kept after its entry's end is a use after free. */
static char *entry(int i)
{
    cleanup_arena struct arena *mem = arena_new();
    return strdup(str_fmtz(mem, "/registry/pods/default/%07d", i));
}

static void put(struct tree *t, int i)
{
    char *e = entry(i);
    free(tree_put(t, str_of(e), e));
}

static bool del(struct tree *t, int i)
{
    char *e = entry(i), *old = tree_del(t, str_of(e));
    bool was = old != NULL;
    free(e);
    free(old);
    return was;
}

static bool get(const struct tree *t, int i)
{
    char *e = entry(i), *found = tree_get(t, str_of(e));
    bool is = found && strcmp(found, e) == 0;
    free(e);
    return is;
}

/* Everything once, in order, and nothing else; empties the tree's values. */
static void check(const struct tree *t, const bool *in, int n)
{
    struct tree_iter it = tree_iter_at(t, STR_NULL);
    size_t count = 0;
    struct str key;
    for (int i = 0; i < n; i++) {
        if (!in[i])
            continue;
        char *e = entry(i), *value = tree_next(&it, &key);
        assert_non_null(value);
        assert_string_equal(value, e);
        assert_true(str_is(key, e));
        free(e);
        count++;
    }
    assert_null(tree_next(&it, &key));
    assert_int_equal(t->count, count);
}

static void drop(struct tree *t)
{
    struct tree_iter it = tree_iter_at(t, STR_NULL);
    for (void *v; (v = tree_next(&it, NULL));)
        free(v);
    tree_done(t);
}

static void test_empty(void **state)
{
    struct tree t = TREE_INIT;
    assert_null(tree_get(&t, STR("a")));
    assert_null(tree_del(&t, STR("a")));
    assert_null(tree_seek(&t, STR_NULL, /* after= */ false, NULL));
    tree_done(&t);
}

static void test_ascending_descending_and_emptied(void **state)
{
    bool in[KEYS];
    for (int down = 0; down < 2; down++)
        for (int del_down = 0; del_down < 2; del_down++) {
            struct tree t = TREE_INIT;
            for (int i = 0; i < KEYS; i++)
                put(&t, down ? KEYS - 1 - i : i), in[i] = true;
            check(&t, in, KEYS);
            for (int i = 0; i < KEYS; i++)
                assert_true(del(&t, del_down ? KEYS - 1 - i : i));
            assert_null(t.root);
            assert_int_equal(t.count, 0);
        }
}

/* Inserts, replacements and deletions against a plain array; long phases of each so that the tree grows and shrinks. */
static void test_many_at_random(void **state)
{
    bool in[KEYS] = {false};
    struct tree t = TREE_INIT;
    uint32_t x = 12345;
    for (int step = 0; step < 120000; step++) {
        x = x * 1664525 + 1013904223;
        int i = (int)((x >> 8) % KEYS);
        bool mostly_put = step / 12000 % 2 == 0;
        if ((x >> 28 < 3) != mostly_put) {
            put(&t, i);
            in[i] = true;
        } else {
            assert_int_equal(del(&t, i), in[i]);
            in[i] = false;
        }
        if (step % 6000 == 0)
            check(&t, in, KEYS);
    }
    check(&t, in, KEYS);
    for (int i = 0; i < KEYS; i++)
        assert_int_equal(get(&t, i), in[i]);
    drop(&t);
}

static void test_seek(void **state)
{
    struct tree t = TREE_INIT;
    static const char *const keys[] = {"a", "a/1", "a/2", "b"};
    struct str key;
    for (int i = 0; i < 4; i++)
        tree_put(&t, str_of(keys[i]), (void *)keys[i]);
    assert_string_equal(tree_seek(&t, STR_NULL, false, &key), "a");
    assert_string_equal(tree_seek(&t, STR("a"), true, &key), "a/1");
    assert_true(str_is(key, "a/1"));
    assert_string_equal(tree_seek(&t, STR("a/"), true, NULL), "a/1");
    assert_string_equal(tree_seek(&t, STR("a0"), false, NULL), "b");
    assert_null(tree_seek(&t, STR("b"), true, NULL));
    assert_null(tree_seek(&t, STR("c"), false, NULL));
    tree_done(&t);
}

/* Walk by seek while deleting what was seen: what a LIST in pages does. */
static void test_seek_survives_changes(void **state)
{
    struct tree t = TREE_INIT;
    struct str at = STR_NULL;
    int n = 0;
    for (int i = 0; i < 1000; i++)
        put(&t, i);
    char *before = NULL;
    for (char *v; (v = tree_seek(&t, at, /* after= */ true, NULL)); n++) {
        free(before);
        before = tree_del(&t, str_of(v));
        at = str_of(before);
    }
    free(before);
    assert_int_equal(n, 1000);
    assert_int_equal(t.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_ascending_descending_and_emptied),
        cmocka_unit_test(test_many_at_random),
        cmocka_unit_test(test_seek),
        cmocka_unit_test(test_seek_survives_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
