/* schema/bootstrap_token_test.c - the form of tokens, of their Secrets, and of the groups they bring. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "schema/bootstrap_token.h"

static void test_form(void **state)
{
    static const struct {
        const char *text;
        bool good;
    } rows[] = {{"abcdef.0123456789abcdef", true},
                {"abcdef.0123456789abcde", false},
                {"abcde.0123456789abcdef", false},
                {"ABCDEF.0123456789abcdef", false},
                {"abcdef.0123456789abcdef.", false},
                {"abcdef0123456789abcdef", false},
                {"", false},
                {"abc/ef.0123456789abcdef", false}};
    struct str id, secret;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (bootstrap_token_split(str_of(rows[i].text), &id, &secret) != rows[i].good)
            fail_msg("%s", rows[i].text);
}

static struct doc *new_secret(struct arena *mem, const char *name, const char *expiration)
{
    struct doc *d = doc_new_object(mem), *data = doc_sub(mem, d, "data");
    doc_put_str(mem, d, "type", STR(BOOTSTRAP_TOKEN_TYPE));
    doc_put_str(mem, doc_sub(mem, d, "metadata"), "name", str_of(name));
    doc_put_str(mem, data, "token-id", str_base64(mem, STR("abcdef")));
    doc_put_str(mem, data, "token-secret", str_base64(mem, STR("0123456789abcdef")));
    doc_put_str(mem, data, "usage-bootstrap-signing", str_base64(mem, STR("true")));
    doc_put_str(mem, data, "expiration", str_base64(mem, str_of(expiration)));
    return d;
}

static void test_secrets(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct bootstrap_token t;
    assert_true(bootstrap_token_read(mem, new_secret(mem, "bootstrap-token-abcdef", ""), &t));
    assert_true(t.signs && !t.authenticates && !bootstrap_token_is_over(&t, INT64_MAX));
    assert_false(bootstrap_token_read(mem, new_secret(mem, "bootstrap-token-abcdeg", ""), &t));
    struct doc *other = new_secret(mem, "bootstrap-token-abcdef", "");
    doc_put_str(mem, other, "type", STR("Opaque"));
    assert_false(bootstrap_token_read(mem, other, &t));
    assert_true(bootstrap_token_read(mem, new_secret(mem, "bootstrap-token-abcdef", "1970-01-01T00:00:10+00:00"), &t));
    assert_false(bootstrap_token_is_over(&t, 9999));
    assert_true(bootstrap_token_is_over(&t, 10000));
    assert_true(bootstrap_token_read(mem, new_secret(mem, "bootstrap-token-abcdef", "soon"), &t));
    assert_true(bootstrap_token_is_over(&t, 1)); /* what is no time is over */
}

static void test_groups(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    int n = 0;
    struct str *g = bootstrap_token_groups(mem, STR("system:bootstrappers:z,system:bootstrappers:a"), &n);
    assert_int_equal(n, 3);
    assert_true(str_is(g[0], "system:bootstrappers") && str_is(g[1], "system:bootstrappers:a"));
    assert_non_null(bootstrap_token_groups(mem, STR_NULL, &n));
    assert_int_equal(n, 1);
    static const char *const bad[] = {"system:masters",          "system:bootstrappers",
                                      "system:bootstrappers:",   "system:bootstrappers:A",
                                      "system:bootstrappers:a:", "system:bootstrappers:a,system:nodes"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_null(bootstrap_token_groups(mem, str_of(bad[i]), &n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_form), cmocka_unit_test(test_secrets),
                                       cmocka_unit_test(test_groups)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
