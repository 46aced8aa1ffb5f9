/* http/url_test.c - paths, queries and gzip. */
#include "http/http_test.h"

#include <errno.h>

#include "http/encoding.h"
#include "http/url.h"

static void test_decode(void **state)
{
    static const struct {
        const char *in, *path, *query; /* NULL: refused */
    } cases[] = {
        {"plain", "plain", "plain"}, {"a%2Fb", "a/b", "a/b"},
        {"a+b", "a+b", "a b"},       {"%e4%BD%a0", "\xe4\xbd\xa0", "\xe4\xbd\xa0"},
        {"%", NULL, NULL},           {"a%2", NULL, NULL},
        {"%zz", NULL, NULL},         {"%41", "A", "A"},
    };
    cleanup_arena struct arena *mem = arena_new();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct str r;
        assert_int_equal(url_decode_path(mem, str_of(cases[i].in), &r), cases[i].path != NULL);
        assert_true(!cases[i].path || str_is(r, cases[i].path));
        assert_int_equal(url_decode_query(mem, str_of(cases[i].in), &r), cases[i].query != NULL);
        assert_true(!cases[i].query || str_is(r, cases[i].query));
    }
    assert_true(str_is(url_encode(mem, STR("a b/\xff~")), "a%20b%2F%FF~"));
}

static void test_iterate(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct sb b = SB(mem);
    struct str rest = STR("/api/v1//pods/"), seg, k, v;
    while (url_path_next(&rest, &seg))
        sb_addf(&b, "[" STR_FMT "]", STR_ARG(seg));
    assert_true(str_is(sb_str(&b), "[api][v1][][pods]"));
    b.len = 0;
    rest = STR("a=1&&b&c=x=y&=z");
    while (url_query_next(&rest, &k, &v))
        sb_addf(&b, "[" STR_FMT "|" STR_FMT "]", STR_ARG(k), STR_ARG(v));
    assert_true(str_is(sb_str(&b), "[a|1][b|][c|x=y][|z]"));
    assert_true(url_query_get(mem, STR("x=1&label%53elector=a%3Db%2Cc&x=2"), "labelSelector", &v));
    assert_true(str_is(v, "a=b,c"));
    assert_true(url_query_get(mem, STR("x=1&x=2"), "x", &v) && str_is(v, "1"));
    assert_false(url_query_get(mem, STR("x=1"), "y", &v));
    bool bad = false;
    assert_true(url_query_bool(mem, STR("watch=1"), "watch", false, &bad));
    assert_true(url_query_bool(mem, STR("watch=true"), "watch", false, &bad));
    assert_false(url_query_bool(mem, STR("watch=0"), "watch", true, &bad));
    assert_true(url_query_bool(mem, STR(""), "watch", true, &bad));
    assert_false(bad);
    assert_false(url_query_bool(mem, STR("watch=maybe"), "watch", true, &bad));
    assert_true(bad);
}

static void put(void *ctx, struct str bytes)
{
    sb_add(ctx, bytes);
}

static void test_gzip(void **state)
{
    assert_true(encoding_accepts_gzip(STR("gzip")));
    assert_true(encoding_accepts_gzip(STR("deflate, GZip;q=0.5")));
    assert_true(encoding_accepts_gzip(STR("*")));
    assert_false(encoding_accepts_gzip(STR("gzip;q=0")));
    assert_false(encoding_accepts_gzip(STR("gzip;q=0.000, *")));
    assert_false(encoding_accepts_gzip(STR("identity")));
    assert_false(encoding_accepts_gzip(STR("")));
    cleanup_arena struct arena *mem = arena_new();
    size_t len = 300000;
    char *text = arena_alloc(mem, len);
    for (size_t i = 0; i < len; i++)
        text[i] = (char)('a' + i % 23);
    struct stream_buf z, back;
    assert_int_equal(encoding_gzip(str_mem(text, len), 0, &z), 0);
    assert_true(z.bytes.len < len / 10);
    assert_int_equal(encoding_gunzip(z.bytes, len, &back), 0);
    assert_true(str_eq(back.bytes, str_mem(text, len)));
    back.release(back.owner);
    assert_int_equal(encoding_gunzip(z.bytes, len - 1, &back), -EMSGSIZE); /* a bomb stops at the limit */
    assert_int_equal(encoding_gunzip(str_head(z.bytes, z.bytes.len / 2), len, &back), -EPROTO);
    assert_int_equal(encoding_gunzip(STR("not gzip at all"), len, &back), -EPROTO);
    z.release(z.owner);
    struct sb b = SB(mem);
    struct gzip_stream *g = gzip_stream_new(0);
    for (size_t at = 0; at < len; at += 10000)
        gzip_stream_add(g, str_mem(text + at, 10000), at % 50000 == 0, at + 10000 == len, put, &b);
    gzip_stream_free(g);
    assert_int_equal(encoding_gunzip(sb_str(&b), len, &back), 0);
    assert_true(str_eq(back.bytes, str_mem(text, len)));
    back.release(back.owner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_decode), cmocka_unit_test(test_iterate),
                                       cmocka_unit_test(test_gzip)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
