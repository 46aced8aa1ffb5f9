#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "doc/patch.h"
#include "doc/test_data.h"

static struct doc *json(struct arena *mem, const char *text)
{
    struct doc *d = doc_parse(mem, str_of(text), NULL, NULL);
    if (!d)
        fail_msg("%s", text);
    return d;
}

/* Kubernetes takes an index below zero from the end, which this case of the suite refuses. */
static bool kubernetes_differs(const struct doc *test)
{
    return str_is(doc_str(test, "error"), "Out of bounds (lower)");
}

static void run_suite(const char *name)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str text;
    if (!test_data_file(mem, test_data_path(mem, str_fmtz(mem, "json-patch/%s", name)), &text)) {
        mem = arena_free(mem); /* skip() leaves by longjmp */
        skip();
    }
    struct doc *tests = doc_parse(mem, text, NULL, NULL);
    int wrong = 0;
    doc_each (test, tests) {
        struct err err = ERR(mem);
        if (!doc_get(test, "patch") || doc_bool(test, "disabled", false) || kubernetes_differs(test))
            continue;
        struct doc *got = json_patch(mem, doc_copy(mem, doc_get(test, "doc")), doc_get(test, "patch"), &err);
        const struct doc *want = doc_get(test, "expected");
        if (doc_get(test, "error") ? got != NULL : !got || (want && !doc_eq(got, want))) {
            printf("wrong: %.*s\n", STR_ARG(doc_json(mem, test)));
            wrong++;
        }
        assert_true(got || err.message.len > 0);
    }
    assert_int_equal(wrong, 0);
}

static void test_suite(void **state)
{
    run_suite("tests.json");
}

static void test_suite_of_the_rfc(void **state)
{
    run_suite("spec_tests.json");
}

static const struct {
    const char *doc, *patch, *result; /* or the error */
} cases[] = {
    {"{\"a\":[1,2]}", "[{\"op\":\"add\",\"path\":\"/a/-1\",\"value\":3}]", "{\"a\":[1,2,3]}"},
    {"{\"a\":[1,2]}", "[{\"op\":\"remove\",\"path\":\"/a/-1\"}]", "{\"a\":[1]}"},
    {"{}", "[{\"op\":\"replace\",\"path\":\"/a\",\"value\":1}]", "{\"a\":1}"},
    {"{}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":null}]", "{}"},
    {"{\"a/b\":{\"~\":1}}", "[{\"op\":\"replace\",\"path\":\"/a~1b/~0\",\"value\":2}]", "{\"a/b\":{\"~\":2}}"},
    {"{\"a\":1}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":2}]", "testing value /a failed: test failed"},
    {"{}", "[{\"op\":\"remove\",\"path\":\"/a\"}]",
     "error in remove for path: '/a': Unable to remove nonexistent key: a: missing value"},
    {"{}", "[{\"op\":\"add\",\"path\":\"/a/b\",\"value\":1}]",
     "add operation does not apply: doc is missing path: \"/a/b\": missing value"},
    {"{\"a\":[]}", "[{\"op\":\"add\",\"path\":\"/a/x\",\"value\":1}]",
     "error in add for path: '/a/x': value was not a proper array index: 'x': strconv.Atoi: parsing \"x\": invalid "
     "syntax"},
    {"{\"a\":[]}", "[{\"op\":\"add\",\"path\":\"/a/5\",\"value\":1}]",
     "error in add for path: '/a/5': Unable to access invalid index: 5: invalid index referenced"},
    {"{}", "{}", "json: cannot unmarshal object into Go value of type jsonpatch.Patch"},
    {"{\"a\":{\"b\":1}}", "[{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/a/c\"}]",
     "move operation does not apply: doc is missing destination path: /a/c: missing value"},
};

static void test_as_the_api_server(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err err = ERR(mem);
        struct doc *got = json_patch(mem, json(mem, cases[i].doc), json(mem, cases[i].patch), &err);
        struct str text = got ? doc_json(mem, got) : err.message;
        if (!str_is(text, cases[i].result))
            fail_msg("%s: got %.*s, want %s", cases[i].patch, STR_ARG(text), cases[i].result);
    }
}

static void test_limits(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct err err = ERR(mem);
    struct doc *many = doc_new_array(mem), *copies = doc_new_array(mem);
    struct doc *op = json(mem, "{\"op\":\"test\",\"path\":\"/a\",\"value\":null}");
    for (int i = 0; i <= JSON_PATCH_OPS_MAX; i++)
        doc_push(many, doc_copy(mem, op));
    assert_null(json_patch(mem, json(mem, "{}"), many, &err));
    assert_int_equal(err.reason, ERR_TOO_LARGE);
    char *big = arena_alloc(mem, 100000);
    struct doc *d = doc_new_object(mem);
    memset(big, 'x', 100000);
    doc_put_str(mem, d, "a", str_mem(big, 100000));
    for (int i = 0; i < 40; i++)
        doc_push(copies, json(mem, str_fmtz(mem, "{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/b%d\"}", i)));
    assert_null(json_patch(mem, d, copies, &err));
    assert_int_equal(err.reason, ERR_INVALID);
    assert_true(str_starts(err.message, STR("Unable to complete the copy, the accumulated size increase of copy is ")));
}

/* RFC 7386, appendix A. */
static const struct {
    const char *target, *patch, *result;
} merges[] = {
    {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
    {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
    {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
    {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
    {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
    {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
    {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
    {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
    {"[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]"},
    {"{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]"},
    {"{\"a\":\"foo\"}", "null", "null"},
    {"{\"a\":\"foo\"}", "\"bar\"", "\"bar\""},
    {"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
    {"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"},
    {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
};

static void test_merge(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    for (size_t i = 0; i < sizeof merges / sizeof *merges; i++) {
        struct doc *got = merge_patch(mem, json(mem, merges[i].target), json(mem, merges[i].patch));
        if (!str_is(doc_json(mem, got), merges[i].result))
            fail_msg("%s %s: got %.*s", merges[i].target, merges[i].patch, STR_ARG(doc_json(mem, got)));
        struct doc *from = json(mem, merges[i].target), *diff = merge_patch_diff(mem, from, got);
        assert_int_equal(diff == NULL, doc_eq(from, got));
        if (diff)
            assert_true(doc_eq(merge_patch(mem, from, diff), got));
    }
}

/* 50,000 keys on each side, half of them deleted: must not be quadratic. */
static void test_merge_many(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct doc *target = NULL, *patch = NULL;
    for (int side = 0; side < 2; side++) {
        struct sb text = SB(mem);
        sb_addc(&text, '{');
        for (int i = 0; i < 50000; i++)
            sb_addf(&text, "%s\"k%d\":%s", i ? "," : "", i + side * 25000, side && i % 2 ? "null" : "1");
        sb_addc(&text, '}');
        *(side ? &patch : &target) = doc_parse(mem, sb_str(&text), NULL, NULL);
    }
    struct doc *before = doc_copy(mem, target), *after = merge_patch(mem, target, patch);
    assert_int_equal(doc_len(after), 50000);
    struct doc *diff = merge_patch_diff(mem, before, after);
    assert_true(doc_eq(merge_patch(mem, before, diff), after));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_suite),
        cmocka_unit_test(test_suite_of_the_rfc),
        cmocka_unit_test(test_as_the_api_server),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_merge),
        cmocka_unit_test(test_merge_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
