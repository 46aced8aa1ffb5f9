#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "doc/doc.h"

static struct doc *json(struct arena *mem, const char *text)
{
    struct doc *d = doc_parse(mem, str_of(text), NULL, NULL);
    assert_non_null(d);
    return d;
}

static void assert_json(struct arena *mem, const struct doc *d, const char *want)
{
    struct str got = doc_json(mem, d);
    if (!str_is(got, want))
        fail_msg("got %.*s, want %s", STR_ARG(got), want);
}

static void test_looking(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct doc *d = json(mem, "{\"spec\":{\"nodeName\":\"n1\",\"n\":5,\"t\":true},\"list\":[10,11,12],\"x\":null}");
    assert_true(str_is(doc_str(doc_get(d, "spec"), "nodeName"), "n1"));
    assert_true(str_is(doc_string(doc_path(d, "spec", "nodeName", NULL)), "n1"));
    assert_null(doc_path(d, "spec", "nodeName", "deeper", NULL));
    assert_null(doc_path(d, "nope", "deeper", NULL));
    assert_int_equal(doc_int(doc_get(d, "spec"), "n", -1), 5);
    assert_int_equal(doc_int(doc_get(d, "spec"), "t", -1), -1);
    assert_true(doc_bool(doc_get(d, "spec"), "t", false));
    assert_int_equal(doc_at(doc_get(d, "list"), 1)->i, 11);
    assert_int_equal(doc_at(doc_get(d, "list"), 2)->i, 12);
    assert_null(doc_at(doc_get(d, "list"), 3));
    assert_int_equal(doc_len(NULL), 0);
    assert_int_equal(doc_len(doc_get(d, "x")), 0);
    assert_null(doc_get(NULL, "a"));
    assert_int_equal(doc_str(NULL, "a").len, 0);
    int64_t sum = 0;
    doc_each (item, doc_get(d, "list"))
        sum += item->i;
    assert_int_equal(sum, 33);
}

static void test_changing(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct doc *d = doc_new_object(mem);
    doc_put_str(mem, d, "a", STR("x"));
    doc_put_int(mem, d, "b", 1);
    doc_put_bool(mem, d, "c", true);
    doc_put_int(mem, d, "a", 2);
    doc_put_int(mem, doc_sub(mem, d, "o"), "p", 3);
    doc_push(doc_sub_array(mem, d, "l"), doc_new_null(mem));
    assert_json(mem, d, "{\"a\":2,\"b\":1,\"c\":true,\"o\":{\"p\":3},\"l\":[null]}");
    doc_put_int(mem, d, "l", 9); /* replacing the last keeps the end right */
    doc_put_int(mem, d, "m", 10);
    assert_true(doc_del(d, "a"));
    assert_false(doc_del(d, "a"));
    assert_true(doc_del(d, "m"));
    doc_put_int(mem, d, "z", 0);
    assert_json(mem, d, "{\"b\":1,\"c\":true,\"o\":{\"p\":3},\"l\":9,\"z\":0}");
    doc_set(d, STR_NULL, doc_new_number(mem, STR("1.50")));
    doc_sort_keys(d);
    assert_json(mem, d, "{\"\":1.50,\"b\":1,\"c\":true,\"l\":9,\"o\":{\"p\":3},\"z\":0}");
    doc_assign(doc_get(d, "b"), doc_get(d, "o"));
    assert_json(mem, doc_get(d, "b"), "{\"p\":3}");
    assert_json(mem, doc_remove(d, doc_get(d, "b")), "{\"p\":3}");
    assert_int_equal(doc_len(d), 5);
}

static void test_arrays(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct doc *a = doc_new_array(mem);
    doc_insert(a, 0, doc_new_int(mem, 2));
    doc_insert(a, 0, doc_new_int(mem, 0));
    doc_insert(a, 1, doc_new_int(mem, 1));
    doc_insert(a, 3, doc_new_int(mem, 3));
    assert_json(mem, a, "[0,1,2,3]");
    doc_remove(a, doc_at(a, 3));
    doc_push(a, doc_new_int(mem, 4));
    assert_json(mem, a, "[0,1,2,4]");
    doc_clear(a);
    assert_json(mem, a, "[]");
}

static const struct {
    const char *a, *b;
    bool equal;
} pairs[] = {
    {"1", "1", true},
    {"1", "1.0", false},
    {"1", "\"1\"", false},
    {"{\"a\":1,\"b\":[1,2]}", "{\"b\":[1,2],\"a\":1}", true},
    {"{\"a\":1,\"b\":2}", "{\"a\":1,\"c\":2}", false},
    {"[1,2]", "[2,1]", false},
    {"[]", "{}", false},
    {"{\"a\":null}", "{}", false},
    {"[{\"x\":[{\"y\":[1]}]}]", "[{\"x\":[{\"y\":[2]}]}]", false},
};

static void test_equal(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        assert_int_equal(doc_eq(json(mem, pairs[i].a), json(mem, pairs[i].b)), pairs[i].equal);
        assert_int_equal(doc_eq(json(mem, pairs[i].b), json(mem, pairs[i].a)), pairs[i].equal);
    }
    assert_true(doc_eq(NULL, NULL));
    assert_false(doc_eq(json(mem, "null"), NULL));
}

static void test_copies_share_nothing_but_strings(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    char text[] = "{\"k\":{\"s\":\"value\",\"n\":1.5},\"l\":[[],[1]]}";
    struct doc *d = doc_parse(mem, str_of(text), NULL, NULL), *c = doc_copy_deep(mem, d);
    doc_put_int(mem, doc_get(d, "k"), "s", 1);
    memset(text, '#', sizeof text - 1);
    assert_json(mem, c, "{\"k\":{\"s\":\"value\",\"n\":1.5},\"l\":[[],[1]]}");
    struct doc *part = doc_copy(mem, doc_get(c, "k")); /* of a member: without its key and siblings */
    assert_null(part->next);
    assert_null(part->key.ptr);
    assert_json(mem, part, "{\"s\":\"value\",\"n\":1.5}");
    assert_null(doc_copy(mem, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_looking),
        cmocka_unit_test(test_changing),
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_equal),
        cmocka_unit_test(test_copies_share_nothing_but_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
