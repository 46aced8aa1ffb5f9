#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>

#include "doc/doc.h"
#include "doc/test_data.h"

static struct doc *must_parse(struct arena *mem, const char *text)
{
    struct err err = ERR(mem);
    struct doc *d = doc_parse(mem, str_of(text), NULL, &err);
    if (!d)
        fail_msg("%s: %.*s", text, STR_ARG(err.message));
    return d;
}

static void assert_str(struct str got, const char *want)
{
    if (!str_is(got, want))
        fail_msg("got `%.*s`, want `%s`", STR_ARG(got), want);
}

/* nst/JSONTestSuite: y_ must parse and come back the same, n_ must be refused, i_ may do either. */
static void test_suite(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    const char *dir = test_data_path(mem, "json");
    DIR *all = opendir(dir);
    if (!all) {
        printf("SKIPPED: no %s\n", dir);
        mem = arena_free(mem); /* skip() leaves by longjmp */
        skip();
        return;
    }
    int seen = 0, wrong = 0;
    for (struct dirent *e; (e = readdir(all));) {
        cleanup_arena struct arena *one = arena_new();
        struct err err = ERR(one);
        struct str text;
        if (e->d_name[0] == '.' || !test_data_file(one, str_fmtz(one, "%s/%s", dir, e->d_name), &text))
            continue;
        /* an exact block, so that ASan sees one byte too many */
        char *exact = malloc(text.len ? text.len : 1);
        memcpy(exact, text.ptr, text.len);
        struct doc *d = doc_parse(one, str_mem(exact, text.len), NULL, &err);
        bool good = e->d_name[0] == 'i' || (e->d_name[0] == 'y') == (d != NULL);
        if (d) {
            struct doc *again = doc_parse(one, doc_json(one, d), NULL, &err);
            good = good && again && doc_eq(d, again) && doc_eq(again, d);
        } else {
            good = good && err.reason == ERR_BAD_REQUEST && err.message.len > 0;
        }
        if (!good)
            printf("wrong: %s %.*s\n", e->d_name, STR_ARG(err.message));
        wrong += !good;
        seen++;
        free(exact);
    }
    closedir(all);
    assert_true(seen >= 318);
    assert_int_equal(wrong, 0);
}

static const struct {
    const char *in, *out; /* out NULL: as in */
} same[] = {
    {"0", NULL},
    {"-0", NULL},
    {"-0.0", NULL},
    {"1.0", NULL},
    {"1E400", NULL},
    {"0.1e-7", NULL},
    {"9223372036854775807", NULL},
    {"-9223372036854775808", NULL},
    {"9223372036854775808", NULL},
    {"18446744073709551615", NULL},
    {"-9223372036854775809", NULL},
    {"123456789012345678901234567890", NULL},
    {"0.30000000000000000000000000001", NULL},
    {"true", NULL},
    {"false", NULL},
    {"null", NULL},
    {" [ 1 ,\t2\r\n] ", "[1,2]"},
    {"{ \"b\" : 1 , \"a\" : { } , \"c\" : [ ] }", "{\"b\":1,\"a\":{},\"c\":[]}"},
    {"{\"\":\"\"}", NULL},
    {"\"\\u0041\\/\"", "\"A/\""},
    {"\"\\\"\\\\\\b\\f\\n\\r\\t\"", NULL},
    {"\"\\u0000\\u001f\\u007f\"", "\"\\u0000\\u001f\x7f\""},
    {"\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\""},
    {"\"\\ud83d\"", "\"\xef\xbf\xbd\""},
    {"\"\\ude00x\"", "\"\xef\xbf\xbdx\""},
    {"\"\\ud83d\\ud83d\\ude00\"", "\"\xef\xbf\xbd\xf0\x9f\x98\x80\""},
    {"\"\\ud83d\\u0041\"", "\"\xef\xbf\xbd"
                           "A\""},
    {"\"\\ud83d\\n\"", "\"\xef\xbf\xbd\\n\""},
    {"\"\\u2028\\u2029\\u202a\"", "\"\\u2028\\u2029\xe2\x80\xaa\""},
    {"\"\xe2\x80\xa8<&>\"", "\"\\u2028<&>\""},
    {"\"0123456789abcdef0123456789abcde\\n\"", NULL},
    {"\"0123456789abcdef0123456789abcdef\xc3\xa9\"", NULL},
};

static void test_parse_print(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        struct doc *d = must_parse(mem, same[i].in);
        assert_str(doc_json(mem, d), same[i].out ? same[i].out : same[i].in);
        assert_int_equal(doc_json(mem, d).len, doc_json_len(d));
        char *put = arena_zalloc(mem, doc_json_len(d)); /* exact, so that ASan sees one byte too many */
        doc_json_put(d, put);
        assert_str(str_mem(put, doc_json_len(d)), same[i].out ? same[i].out : same[i].in);
        assert_true(doc_eq(d, doc_copy_deep(mem, d)));
    }
    assert_int_equal(must_parse(mem, "-9223372036854775808")->type, DOC_INT);
    assert_int_equal(must_parse(mem, "-9223372036854775808")->i, INT64_MIN);
    assert_int_equal(must_parse(mem, "9223372036854775808")->type, DOC_NUMBER);
    assert_int_equal(must_parse(mem, "-0")->type, DOC_NUMBER);
    assert_int_equal(must_parse(mem, "1e2")->type, DOC_NUMBER);
}

/* Escapes that need more room than a first guess gives. */
static void test_many_escapes(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    char bytes[5000];
    memset(bytes, 1, sizeof bytes);
    struct doc *d = doc_new_array(mem);
    for (int i = 0; i < 3; i++)
        doc_push(d, doc_new_str(mem, str_mem(bytes, sizeof bytes)));
    struct sb out = SB(mem);
    doc_json_sb(&out, d);
    assert_int_equal(out.len, 2 + 2 + 3 * (2 + 6 * sizeof bytes));
    assert_true(str_eq(sb_str(&out), doc_json(mem, d)));
    assert_true(doc_eq(doc_parse(mem, sb_str(&out), NULL, NULL), d));
}

static const struct {
    const char *in, *error;
} bad[] = {
    {"", "unexpected end of JSON input (byte 0)"},
    {"{\"a\":", "unexpected end of JSON input (byte 5)"},
    {"{\"a\" 1}", "invalid character '1' after object key (byte 5)"},
    {"{\"a\":1 \"b\":2}", "invalid character '\"' after object key:value pair (byte 7)"},
    {"{\"a\":1,}", "invalid character '}' looking for beginning of object key string (byte 7)"},
    {"[1 2]", "invalid character '2' after array element (byte 3)"},
    {"[1,]", "invalid character ']' looking for beginning of value (byte 3)"},
    {"1 x", "invalid character 'x' after top-level value (byte 2)"},
    {"01", "invalid character '1' after top-level value (byte 1)"},
    {"-", "unexpected end of JSON input (byte 1)"},
    {"-a", "invalid character 'a' in numeric literal (byte 1)"},
    {"1.a", "invalid character 'a' after decimal point in numeric literal (byte 2)"},
    {"1e+x", "invalid character 'x' in exponent of numeric literal (byte 3)"},
    {"trux", "invalid character 'x' in literal true (byte 3)"},
    {"\"a\nb\"", "invalid character '\\x0a' in string literal (byte 2)"},
    {"\"\\x\"", "invalid character 'x' in string escape code (byte 2)"},
    {"\"\\u12g4\"", "invalid character 'u' in \\u hexadecimal character escape (byte 2)"},
    {"\"\xc0\xaf\"", "invalid character '\\xc0' in string literal: not UTF-8 (byte 1)"},
    {"\"\xed\xa0\x80\"", "invalid character '\\xed' in string literal: not UTF-8 (byte 1)"},
    {"\"\xf4\x90\x80\x80\"", "invalid character '\\xf4' in string literal: not UTF-8 (byte 1)"},
    {"\"abc", "unexpected end of JSON input (byte 4)"},
    {"\"abc\\", "unexpected end of JSON input (byte 5)"},
};

static void test_refused(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err err = ERR(mem);
        assert_null(doc_parse(mem, str_of(bad[i].in), NULL, &err));
        assert_int_equal(err.reason, ERR_BAD_REQUEST);
        assert_str(err.message, bad[i].error);
    }
}

static const struct {
    const char *in, *out, *paths;
} duplicates[] = {
    {"{\"a\":1,\"b\":2,\"a\":3}", "{\"b\":2,\"a\":3}", "a"},
    {"{\"a\":1,\"a\":2,\"a\":3}", "{\"a\":3}", "a"},
    {"{\"spec\":{\"replicas\":1,\"replicas\":{\"x\":[]}}}", "{\"spec\":{\"replicas\":{\"x\":[]}}}", "spec.replicas"},
    {"{\"spec\":{\"containers\":[{},{\"name\":\"a\",\"\\u006eame\":\"b\"}]}}",
     "{\"spec\":{\"containers\":[{},{\"name\":\"b\"}]}}", "spec.containers[1].name"},
    {"[[{\"a\":1,\"a\":2}],{\"\":1,\"\":2}]", "[[{\"a\":2}],{\"\":2}]", "[0][0].a [1]."},
    {"{\"a\":{\"x\":1,\"x\":2},\"a\":{\"y\":1,\"y\":2}}", "{\"a\":{\"y\":2}}", "a.x a a.y"},
};

static void test_duplicate_keys(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    for (size_t i = 0; i < sizeof duplicates / sizeof *duplicates; i++) {
        struct doc_dups dups;
        struct sb paths = SB(mem);
        struct doc *d = doc_parse(mem, str_of(duplicates[i].in), &(struct doc_opts){.ret_dups = &dups}, NULL);
        assert_non_null(d);
        assert_str(doc_json(mem, d), duplicates[i].out);
        for (int p = 0; p < dups.count; p++)
            sb_addf(&paths, "%s%.*s", p ? " " : "", STR_ARG(dups.paths[p]));
        assert_str(sb_str(&paths), duplicates[i].paths);
    }
}

static void test_100000_keys_twice(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct sb text = SB(mem);
    struct doc_dups dups;
    enum { KEYS = 100000 };
    sb_addz(&text, "{\"o\":{");
    for (int i = 0; i < 2 * KEYS; i++)
        sb_addf(&text, "%s\"key-%d\":%d", i ? "," : "", i % KEYS, i);
    sb_addz(&text, "}}");
    struct doc *d = doc_parse(mem, sb_str(&text), &(struct doc_opts){.ret_dups = &dups}, NULL);
    struct doc *o = doc_get(d, "o");
    assert_int_equal(doc_len(o), KEYS);
    assert_int_equal(dups.count, 64);
    assert_str(dups.paths[63], "o.key-63");
    assert_int_equal(o->first->i, KEYS);
    assert_int_equal(doc_int(o, "key-99999", -1), 2 * KEYS - 1);
    struct doc *sorted = doc_copy(mem, d);
    doc_sort_keys(doc_get(sorted, "o"));
    assert_true(doc_eq(d, sorted)); /* another order of 100,000 keys: must not be quadratic */
}

static void *deep(void *arg)
{
    cleanup_arena struct arena *mem = arena_new();
    struct sb text = SB(mem), pretty = SB(mem);
    struct err err = ERR(mem);
    int depth = *(int *)arg;
    for (int i = 0; i < depth; i++)
        sb_addz(&text, i % 2 ? "[0," : "{\"a\":1,\"b\":");
    sb_addz(&text, "7");
    for (int i = depth - 1; i >= 0; i--)
        sb_addz(&text, i % 2 ? ",0]" : ",\"c\":2}");
    struct doc *d = doc_parse(mem, sb_str(&text), NULL, &err);
    if (depth > DOC_DEPTH_MAX)
        return !d && str_has(err.message, STR("exceeded max depth")) ? arg : NULL;
    bool good = d && str_eq(doc_json(mem, d), sb_str(&text)) && doc_eq(d, doc_copy_deep(mem, d));
    doc_json_pretty(&pretty, d, 0);
    struct doc *again = doc_parse(mem, sb_str(&pretty), NULL, NULL);
    return good && doc_eq(d, again) ? arg : NULL;
}

/* On a thread with little stack. */
static void test_depth(void **state)
{
    int depths[] = {DOC_DEPTH_MAX, DOC_DEPTH_MAX + 1};
    for (int i = 0; i < 2; i++) {
        pthread_attr_t attr;
        pthread_t thread;
        void *good = NULL;
        pthread_attr_init(&attr);
        pthread_attr_setstacksize(&attr, 512 << 10);
        assert_int_equal(pthread_create(&thread, &attr, deep, &depths[i]), 0);
        pthread_join(thread, &good);
        pthread_attr_destroy(&attr);
        assert_non_null(good);
    }
    struct doc_opts shallow = {.depth_max = 2};
    cleanup_arena struct arena *mem = arena_new();
    assert_non_null(doc_parse(mem, STR("[[1],[2]]"), &shallow, NULL));
    assert_null(doc_parse(mem, STR("[[[1]]]"), &shallow, NULL));
}

static void test_pretty(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct sb out = SB(mem);
    doc_json_pretty(&out, must_parse(mem, "{\"a\":[1,{\"b\":null}],\"c\":{},\"d\":[],\"e\":\"\\n\"}"), 4);
    assert_str(sb_str(&out), "{\n    \"a\": [\n        1,\n        {\n            \"b\": null\n        }\n    ],\n"
                             "    \"c\": {},\n    \"d\": [],\n    \"e\": \"\\n\"\n}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_suite),   cmocka_unit_test(test_parse_print),    cmocka_unit_test(test_many_escapes),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_duplicate_keys), cmocka_unit_test(test_100000_keys_twice),
        cmocka_unit_test(test_depth),   cmocka_unit_test(test_pretty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
