#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "doc/doc.h"

/* text, and what it is as JSON; `!` begins an error */
static const struct {
    const char *yaml, *json;
} reads[] = {
    {"0644", "420"},
    {"0o644", "420"},
    {"08", "8"},
    {"0x1F", "31"},
    {"0b101", "5"},
    {"-0b101", "-5"},
    {"+12", "12"},
    {"1_000", "1000"},
    {"1.0", "1"},
    {"1.5", "1.5"},
    {".5", "0.5"},
    {"0.", "0"},
    {"1e3", "1000"},
    {"1e-7", "1e-7"},
    {"1e21", "1e+21"},
    {"-0", "0"},
    {"-0.0", "-0"},
    {"9223372036854775807", "9223372036854775807"},
    {"18446744073709551615", "18446744073709551615"},
    {"18446744073709551616", "18446744073709552000"},
    {"1e400", "\"1e400\""},
    {"1:30", "\"1:30\""},
    {"1.2.3", "\"1.2.3\""},
    {"0x", "\"0x\""},
    {"~", "null"},
    {"", "null"},
    {"Null", "null"},
    {"nUll", "\"nUll\""},
    {"[y, Yes, on, true, n, NO, off, False]", "[true,true,true,true,false,false,false,false]"},
    {"\"yes\"", "\"yes\""},
    {"'0644'", "\"0644\""},
    {"'a''''b,'", "\"a''b,\""},
    {"k: 'one \n   two\n\n\n  it''s three '", "{\"k\":\"one two\\n\\nit's three \"}"},
    {"- ''\n- ''''\n- ''''''", "[\"\",\"'\",\"''\"]"},
    {"!!str 0644", "\"0644\""},
    {"!!int \"12\"", "12"},
    {"!!float 3", "3"},
    {"!!int x", "!yaml: line 1: cannot decode !!str `x` as a !!int"},
    {"!!binary aGVsbG8=", "\"hello\""},
    {"!mine 12", "\"12\""},
    {".inf", "!json: unsupported value: +Inf"},
    {"2026-03-02T09:14:27Z", "\"2026-03-02T09:14:27Z\""},
    {"2026-03-02", "\"2026-03-02\""},
    {"2026-13-02", "\"2026-13-02\""},
    {"a: 1\nb: [x, z]\nc:\n- d: 1\n  e: |\n    two\n    lines\n- >\n  folded\n  text\n",
     "{\"a\":1,\"b\":[\"x\",\"z\"],\"c\":[{\"d\":1,\"e\":\"two\\nlines\\n\"},\"folded text\\n\"]}"},
    {"1: a\ntrue: b\n1.5: c\n'~': d\n1e6: e\n",
     "{\"1\":\"a\",\"true\":\"b\",\"1.5\":\"c\",\"~\":\"d\",\"1e+06\":\"e\"}"},
    {"yes: 1", "{\"true\":1}"},
    {"a: {b: c,\nd: [e,\nf],\n}\n", "{\"a\":{\"b\":\"c\",\"d\":[\"e\",\"f\"]}}"}, /* as go-yaml: indented or not */
    {"~: 1", "!yaml: line 1: unsupported map key of type: null, key: ~"},
    {"[a]: 1", "!yaml: line 1: invalid map key: a sequence"},
    {"? a\n: b\n", "{\"a\":\"b\"}"},
    {"a: &x {k: 1}\nb: *x\n", "{\"a\":{\"k\":1},\"b\":{\"k\":1}}"},
    {"a: &x b\n*x : c\n", "{\"a\":\"b\",\"b\":\"c\"}"},
    {"&k a: 1\nb: *k\n", "{\"a\":1,\"b\":\"a\"}"},
    {"a: *x", "!yaml: line 1: unknown anchor 'x' referenced"},
    {"a: &x [*x]", "!yaml: line 1: anchor 'x' value contains itself"},
    {"d: &d {a: 1, b: 2}\ne:\n  b: 3\n  <<: *d\n  c: 4\n", "{\"d\":{\"a\":1,\"b\":2},\"e\":{\"b\":3,\"c\":4,\"a\":1}}"},
    {"<<: [{a: 1}, {a: 2, b: 3}]\n", "{\"a\":1,\"b\":3}"},
    {"<<: {a: {x: 1}}\nb: 1\n", "{\"b\":1,\"a\":{\"x\":1}}"},
    {"'<<': 1", "{\"<<\":1}"},
    {"<<: 1", "!yaml: line 1: map merge requires map or sequence of maps as the value"},
    {"a: 1\na: 2\n", "{\"a\":2}"},
    {"{\"a\":[1,\"\\u00e9\",null]}", "{\"a\":[1,\"\xc3\xa9\",null]}"},
    {"# only a comment\n", "null"},
    {"%YAML 1.1\n---\na: 1\n", "{\"a\":1}"},
    {"a: b: c", "!yaml: line 1: "},
    {"a: [1", "!yaml: line 2: flow sequence without a closing bracket"},
    {"a: \xff", "!yaml: line 1: invalid leading UTF-8 octet"},
};

static void test_read(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    int wrong = 0;
    for (size_t i = 0; i < sizeof reads / sizeof *reads; i++) {
        struct err err = ERR(mem);
        struct doc *d = doc_parse_yaml(mem, str_of(reads[i].yaml), NULL, NULL, &err);
        struct str want = str_of(reads[i].json), got = d ? doc_json(mem, d) : err.message;
        if (want.ptr[0] == '!' ? !d && str_starts(got, str_from(want, 1)) : d && str_eq(got, want))
            continue;
        printf("%s: got %.*s, want %s\n", reads[i].yaml, STR_ARG(got), reads[i].json);
        wrong++;
    }
    assert_int_equal(wrong, 0);
}

static void test_many_documents(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str rest = STR("# head\n---\na: 1\n--- # next\nb: |\n  x\n---\n\n---\nc\n---\n");
    struct sb all = SB(mem);
    while (rest.len) {
        struct doc *d = doc_parse_yaml(mem, rest, &rest, NULL, NULL);
        assert_non_null(d);
        doc_json_sb(&all, d);
        sb_addc(&all, ' ');
    }
    assert_true(str_is(sb_str(&all), "{\"a\":1} {\"b\":\"x\\n\"} \"c\" "));
}

static void test_duplicates_are_reported(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct doc_dups dups;
    struct doc_opts opts = {.ret_dups = &dups};
    assert_non_null(doc_parse_yaml(mem, STR("spec:\n  c:\n  - m: 1\n    m: 2\n  - {a: 1, a: 2}\n"), NULL, &opts, NULL));
    assert_int_equal(dups.count, 2);
    assert_true(str_is(dups.paths[0], "spec.c[0].m"));
    assert_true(str_is(dups.paths[1], "spec.c[1].a"));
}

static void test_bombs(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct sb laughs = SB(mem), deep = SB(mem);
    struct err err = ERR(mem);
    sb_addz(&laughs, "a0: &a0 [lol, lol]\n");
    for (int i = 1; i < 40; i++)
        sb_addf(&laughs, "a%d: &a%d [*a%d, *a%d]\n", i, i, i - 1, i - 1);
    assert_null(doc_parse_yaml(mem, sb_str(&laughs), NULL, NULL, &err));
    assert_true(str_has(err.message, STR("document contains excessive aliasing")));
    for (int i = 0; i < 2000; i++)
        sb_addc(&deep, '[');
    for (int i = 0; i < 2000; i++)
        sb_addc(&deep, ']');
    assert_null(doc_parse_yaml(mem, sb_str(&deep), NULL, &(struct doc_opts){.depth_max = 1000}, &err));
    assert_true(str_has(err.message, STR("exceeded max depth")));
}

/* JSON, and its YAML as kubectl shows it */
static const struct {
    const char *json, *yaml;
} writes[] = {
    {"{\"b\":1,\"a\":{\"y\":[],\"x\":{}},\"l\":[1,{\"k\":\"v\",\"j\":[2,[3]]},[[4,5]]]}",
     "a:\n  x: {}\n  \"y\": []\nb: 1\nl:\n- 1\n- j:\n  - 2\n  - - 3\n  k: v\n- - - 4\n    - 5\n"},
    {"{\"a10\":1,\"a9\":2,\"a\":3,\"A\":4,\"a-b\":5,\"1\":6}", "\"1\": 6\nA: 4\na: 3\na-b: 5\na9: 2\na10: 1\n"},
    {"[\"true\",\"yes\",\"0644\",\"1.5\",\"null\",\"~\",\"\",\"2026-03-02T09:14:27Z\",\"1:30\",\"off\"]",
     "- \"true\"\n- \"yes\"\n- \"0644\"\n- \"1.5\"\n- \"null\"\n- \"~\"\n- \"\"\n- \"2026-03-02T09:14:27Z\"\n- "
     "\"1:30\"\n- "
     "\"off\"\n"},
    {"[\"a: b\",\"a:b\",\"a #b\",\"a#b\",\"- a\",\"-a\",\"@a\",\"it's\",\"'q\",\"%x\",\"*\",\" lead\",\"trail "
     "\",\"a:\",\"---\",\"{a\"]",
     "- 'a: b'\n- a:b\n- 'a #b'\n- a#b\n- '- a'\n- -a\n- '@a'\n- it's\n- '''q'\n- '%x'\n- '*'\n- ' lead'\n- 'trail "
     "'\n- "
     "'a:'\n- '---'\n- '{a'\n"},
    {"[\"a\\nb\\n\",\"a\\nb\",\"a\\n\\n\",\" a\\nb\",\"a \\nb\",\"tab\\there\",\"\\u0007\",\"a\\n\\nb\"]",
     "- |\n  a\n  b\n- |-\n  a\n  b\n- |+\n  a\n\n- |2-\n   a\n  b\n- \"a \\nb\"\n- \"tab\\there\"\n- \"\\a\"\n- |-\n  "
     "a\n\n  b\n"},
    {"{\"message\":\"The node was low on resource: ephemeral-storage. Container foo was using 1234Ki, which exceeds "
     "its "
     "request of 0.\"}",
     "message: 'The node was low on resource: ephemeral-storage. Container foo was using\n  1234Ki, which exceeds its "
     "request of 0.'\n"},
    {"\"text\"", "text\n"},
    {"{}", "{}\n"},
    {"[null,true,-1,1.50]", "- null\n- true\n- -1\n- 1.50\n"},
    {"[\"\xc3\xa9t\xc3\xa9\",\"\xe2\x80\xa8\"]", "- \xc3\xa9t\xc3\xa9\n- \"\\L\"\n"},
};

static void test_write(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    for (size_t i = 0; i < sizeof writes / sizeof *writes; i++) {
        struct doc *d = doc_parse(mem, str_of(writes[i].json), NULL, NULL);
        struct sb out = SB(mem);
        doc_yaml(&out, d);
        if (!str_is(sb_str(&out), writes[i].yaml))
            fail_msg("%s: got\n%.*swant\n%s", writes[i].json, STR_ARG(sb_str(&out)), writes[i].yaml);
        struct err err = ERR(mem);
        struct doc *again = doc_parse_yaml(mem, sb_str(&out), NULL, NULL, &err);
        if (!again || (!doc_eq(again, d) && !str_has(sb_str(&out), STR("1.50"))))
            fail_msg("%s: does not read back: %.*s", writes[i].json,
                     STR_ARG(again ? doc_json(mem, again) : err.message));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_many_documents),
        cmocka_unit_test(test_duplicates_are_reported),
        cmocka_unit_test(test_bombs),
        cmocka_unit_test(test_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
