/* base/str_test.c */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/str.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static struct arena *mem;

static int setup(void **state)
{
    mem = arena_new();
    return 0;
}

static int teardown(void **state)
{
    mem = arena_free(mem);
    return 0;
}

static void assert_str(struct str got, const char *want)
{
    assert_string_equal(str_z(mem, got), want);
}

static void test_compare_and_search(void **state)
{
    assert_true(str_ieq(STR("Content-Type"), STR("content-tYPE")));
    assert_false(str_ieq(STR("@"), STR("`")));
    assert_true(str_cmp(STR("a"), STR("ab")) < 0);
    assert_true(str_cmp(STR("b"), STR("ab")) > 0);
    assert_true(str_cmp(STR("\xff"), STR("a")) > 0);
    assert_int_equal(str_cmp(STR_NULL, STR("")), 0);
    assert_true(str_has(STR("hello"), STR("ell")));
    assert_true(str_has(STR_NULL, STR("")));
    assert_false(str_has(STR("el"), STR("ell")));
    assert_int_equal(str_find(STR("a/b/c"), '/'), 1);
    assert_int_equal(str_rfind(STR("a/b/c"), '/'), 3);
    assert_int_equal(str_find(STR_NULL, '/'), -1);
    assert_str(str_trim(STR(" \t a b\r\n")), "a b");
    assert_str(str_trim(STR("  ")), "");
}

static void test_cut_and_next(void **state)
{
    struct str head, rest = STR("a=b=c"), token;
    assert_true(str_cut(rest, '=', &head, &rest));
    assert_str(head, "a");
    assert_str(rest, "b=c");
    assert_false(str_cut(STR("abc"), '=', &head, &rest));
    assert_str(head, "abc");
    assert_int_equal(rest.len, 0);

    static const struct {
        const char *text, *tokens; /* each token followed by | */
    } cases[] = {{"", ""}, {"a", "a|"}, {"a,", "a|"}, {"a,,b", "a||b|"}, {",", "|"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct sb b = SB(mem);
        rest = str_of(cases[i].text);
        while (str_next(&rest, ',', &token))
            sb_add(&b, token), sb_addc(&b, '|');
        assert_string_equal(sb_z(&b), cases[i].tokens);
    }
}

static void test_c_strings(void **state)
{
    assert_string_equal(str_z(mem, STR("a")), "a");
    assert_string_equal(str_z(mem, STR_NULL), "");
    assert_string_equal(str_z(mem, STR("10.0.0.1\0x")), "10.0.0.1\x7fx"); /* not 10.0.0.1 */
}

static void test_numbers(void **state)
{
    static const struct {
        const char *text;
        bool i64, u64;
        int64_t value;
    } cases[] = {
        {"0", 1, 1, 0},
        {"007", 1, 1, 7},
        {"-1", 1, 0, -1},
        {"+5", 1, 0, 5},
        {"9223372036854775807", 1, 1, INT64_MAX},
        {"9223372036854775808", 0, 1, INT64_MIN},
        {"-9223372036854775808", 1, 0, INT64_MIN},
        {"-9223372036854775809", 0, 0, 0},
        {"18446744073709551615", 0, 1, -1},
        {"18446744073709551616", 0, 0, 0},
        {"", 0, 0, 0},
        {"-", 0, 0, 0},
        {" 1", 0, 0, 0},
        {"1x", 0, 0, 0},
        {"--1", 0, 0, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t s = 42;
        uint64_t u = 42;
        assert_int_equal(str_to_i64(str_of(cases[i].text), &s), cases[i].i64);
        assert_int_equal(str_to_u64(str_of(cases[i].text), &u), cases[i].u64);
        assert_true(s == (cases[i].i64 ? cases[i].value : 42));
        assert_true(u == (cases[i].u64 ? (uint64_t)cases[i].value : 42));
    }
}

static void test_builder_grows(void **state)
{
    struct sb b = SB(mem);
    for (int i = 0; i < 1000; i++)
        sb_addf(&b, "%d,", i), sb_addz(&b, ""), sb_add(&b, STR_NULL);
    assert_int_equal(b.len, 10 * 2 + 90 * 3 + 900 * 4);
    assert_true(str_ends(sb_str(&b), STR("998,999,")));
    sb_z(&b);
    assert_int_equal(b.len, 3890);
    struct str long_text = str_fmt(mem, "%0500d", 7);
    assert_int_equal(long_text.len, 500);
    assert_int_equal(long_text.ptr[500], 0);
    struct sb one = SB(mem);
    sb_addf(&one, STR_FMT, STR_ARG(long_text));
    assert_true(str_eq(sb_str(&one), long_text));
}

/* Go: fmt.Sprintf("%q"). */
static void test_quote_as_go(void **state)
{
    static const struct {
        struct str text;
        const char *want;
    } cases[] = {
        {{"", 0}, "\"\""},
        {{"a\"b\\c", 5}, "\"a\\\"b\\\\c\""},
        {{"\a\b\t\n\v\f\r", 7}, "\"\\a\\b\\t\\n\\v\\f\\r\""},
        {{"\0\x1f\x7f", 3}, "\"\\x00\\x1f\\x7f\""},
        {{"h\xc3\xa9", 3}, "\"h\xc3\xa9\""},
        {{"\xff\xc3", 2}, "\"\\xff\\xc3\""},
        {{"\xc0\x80", 2}, "\"\\xc0\\x80\""},          /* overlong */
        {{"\xed\xa0\x80", 3}, "\"\\xed\\xa0\\x80\""}, /* surrogate */
        {{"\xc2\x85\xc2\xa0", 4}, "\"\\u0085\\u00a0\""},
        {{"\xe2\x80\x8b", 3}, "\"\\u200b\""},
        {{"\xf0\x9f\x98\x80", 4}, "\"\xf0\x9f\x98\x80\""},
        {{"\xf3\xb0\x80\x80", 4}, "\"\\U000f0000\""},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_str(str_quote(mem, cases[i].text), cases[i].want);
}

/* RFC 4648, section 10. */
static void test_base64(void **state)
{
    static const char *const cases[][3] = {
        {"", "", ""},
        {"f", "Zg==", "Zg"},
        {"fo", "Zm8=", "Zm8"},
        {"foo", "Zm9v", "Zm9v"},
        {"foob", "Zm9vYg==", "Zm9vYg"},
        {"fooba", "Zm9vYmE=", "Zm9vYmE"},
        {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
        {"\xfb\xff\xfe", "+//+", "-__-"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct str out;
        assert_str(str_base64(mem, str_of(cases[i][0])), cases[i][1]);
        assert_str(str_base64url(mem, str_of(cases[i][0])), cases[i][2]);
        assert_true(str_base64_dec(mem, str_of(cases[i][1]), &out));
        assert_str(out, cases[i][0]);
        assert_true(str_base64url_dec(mem, str_of(cases[i][2]), &out));
        assert_str(out, cases[i][0]);
    }
    static const char *const bad[] = {"Zg", "Zg=", "Z===", "====", "Zm9v\n", "Zm 9", "Zg==Zg==", "-__-"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct str out;
        assert_false(str_base64_dec(mem, str_of(bad[i]), &out));
    }
    struct str out;
    assert_false(str_base64url_dec(mem, STR("Zg=="), &out));
    assert_false(str_base64url_dec(mem, STR("Z"), &out));
}

static void test_hex_and_hash(void **state)
{
    assert_str(str_hex(mem, STR("\x00\x7f\xff")), "007fff");
    assert_true(str_hash(STR("")) == 0xcbf29ce484222325u); /* FNV-1a test vectors */
    assert_true(str_hash(STR("foobar")) == 0x85944171f73967e8u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_compare_and_search, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cut_and_next, setup, teardown),
        cmocka_unit_test_setup_teardown(test_c_strings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_numbers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_builder_grows, setup, teardown),
        cmocka_unit_test_setup_teardown(test_quote_as_go, setup, teardown),
        cmocka_unit_test_setup_teardown(test_base64, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hex_and_hash, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
