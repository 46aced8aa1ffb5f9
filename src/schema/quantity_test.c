#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "schema/quantity.h"

/* Source: apimachinery pkg/api/resource: ParseQuantity, then String. */
static void test_canonical(void **state)
{
    static const struct {
        const char *in, *out; /* NULL: refused */
    } cases[] = {
        {"0", "0"},
        {"0n", "0"},
        {"", NULL},
        {"1", "1"},
        {"1000", "1k"},
        {"1000m", "1"},
        {"500m", "500m"},
        {"0.5", "500m"},
        {"1.5", "1500m"},
        {"1.500", "1.500"},
        {"100m", "100m"},
        {".5", "500m"},
        {"5.", "5."},
        {"1Ki", "1Ki"},
        {"1024Ki", "1Mi"},
        {"1024", "1024"},
        {"2048Mi", "2Gi"},
        {"8Gi", "8Gi"},
        {"1.5Gi", "1536Mi"},
        {"0.5Ki", "512"},
        {"0.001Ki", "1024m"},
        {"1e3", "1e3"},
        {"1E3", "1E3"},
        {"1000e3", "1e6"},
        {"12e6", "12e6"},
        {"1e-3", "1e-3"},
        {"100e-1", "10"},
        {"0.1n", "1n"},
        {"-1", "-1"},
        {"-500m", "-500m"},
        {"+5", "+5"},
        {"1Mi5", NULL},
        {"1 Gi", NULL},
        {"abc", NULL},
        {"1e", NULL},
        {"1z", NULL},
        {"1ki", NULL},
        {"1K", NULL},
        {"Ki", "0"},
        {"64Mi", "64Mi"},
        {"128974848", "128974848"},
        {"129e6", "129e6"},
        {"129M", "129M"},
        {"123Mi", "123Mi"},
        {"1Ei", "1Ei"},
        {"9Ei", "9223372036854775807"},
        {"1000000000000000000000", "1000E"},
        {"0.0000000001", "1n"},
        {"1.2.3", NULL},
        {"100000", "100k"},
        {"2Ki", "2Ki"},
        {"16", "16"},
        {"1000Ki", "1000Ki"},
        {"1100m", "1100m"},
        {"1e1001", NULL},
        {"1e-5000", "1e-9"},
        {"99999999999999999999999999999", "99999999999999999999999999999"},
        {"999999999999999999999999999999999999999999", NULL},
    };
    struct arena *mem = arena_new();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct str got = quantity_canonical(mem, str_of(cases[i].in));
        if (!got.ptr != !cases[i].out || (got.ptr && !str_is(got, cases[i].out)))
            fail_msg("%s: got %.*s, want %s", cases[i].in, STR_ARG(got), cases[i].out ? cases[i].out : "an error");
    }
    arena_free(mem);
}

static void test_canonical_is_stable(void **state)
{
    static const char *const in[] = {"0.3Mi", "1.1Gi", "3333333m", "1e10", "1.000000001Ki", "4611686018427387904"};
    struct arena *mem = arena_new();
    for (size_t i = 0; i < sizeof in / sizeof *in; i++) {
        struct quantity a, b;
        assert_int_equal(quantity_parse(str_of(in[i]), &a), 0);
        struct str once = quantity_str(mem, a);
        assert_int_equal(quantity_parse(once, &b), 0);
        assert_int_equal(quantity_cmp(a, b), 0);
        assert_true(str_eq(quantity_canonical(mem, once), once));
    }
    arena_free(mem);
}

static void test_values(void **state)
{
    static const struct {
        const char *in;
        int64_t value, milli;
    } cases[] = {
        {"1", 1, 1000},
        {"100m", 1, 100},
        {"1500m", 2, 1500},
        {"0.1m", 1, 1},
        {"1Gi", 1 << 30, (int64_t)1000 << 30},
        {"-1500m", -2, -1500},
        {"0", 0, 0},
        {"10E", INT64_MAX, INT64_MAX},
        {"1Ei", 1LL << 60, INT64_MAX},
        {"-10E", INT64_MIN, INT64_MIN},
        {"1n", 1, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct quantity q = quantity_of_str(str_of(cases[i].in));
        assert_true(quantity_value(q) == cases[i].value);
        assert_true(quantity_milli(q) == cases[i].milli);
    }
}

static void test_arithmetic(void **state)
{
    struct arena *mem = arena_new();
    struct quantity a = quantity_of_str(STR("1Gi")), b = quantity_of_str(STR("512Mi"));
    assert_true(str_is(quantity_str(mem, quantity_add(a, b)), "1536Mi"));
    assert_true(str_is(quantity_str(mem, quantity_sub(b, a)), "-512Mi"));
    assert_true(str_is(quantity_str(mem, quantity_add(QUANTITY_ZERO, b)), "512Mi"));
    assert_true(str_is(quantity_str(mem, quantity_of_milli(250)), "250m"));
    assert_int_equal(quantity_cmp(quantity_of_str(STR("1")), quantity_of_str(STR("1000m"))), 0);
    assert_int_equal(quantity_cmp(quantity_of_str(STR("1k")), quantity_of_str(STR("1Ki"))), -1);
    assert_int_equal(quantity_sign(quantity_of_str(STR("-1m"))), -1);
    arena_free(mem);
}

static void test_errors(void **state)
{
    struct quantity q;
    assert_int_equal(quantity_parse(STR("1zz"), &q), QUANTITY_E_FORMAT);
    assert_int_equal(quantity_parse(STR("1iK"), &q), QUANTITY_E_SUFFIX);
    assert_string_equal(quantity_strerror(QUANTITY_E_SUFFIX), "unable to parse quantity's suffix");
    assert_string_equal(quantity_strerror(QUANTITY_E_FORMAT),
                        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_canonical), cmocka_unit_test(test_canonical_is_stable),
        cmocka_unit_test(test_values),    cmocka_unit_test(test_arithmetic),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
