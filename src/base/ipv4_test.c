/* base/ipv4: what is an address, what is a range. */
#include "base/ipv4.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_addresses(void **state)
{
    static const char *const bad[] = {"", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", " 1.2.3.4", "1.2.3.4 ", "::1"};
    uint32_t a = 7;
    assert_true(ipv4_parse(STR("10.244.3.255"), &a));
    assert_int_equal(a, 0x0AF403FF);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_false(ipv4_parse(str_of(bad[i]), &a));
    assert_false(ipv4_parse(str_mem("1.2.3.4\0", 8), &a));
    assert_int_equal(a, 0x0AF403FF); /* untouched */
}

static void test_ranges(void **state)
{
    static const char *const bad[] = {"10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0/8", "/8"};
    cleanup_arena struct arena *mem = arena_new();
    uint32_t network;
    int prefix;
    assert_true(ipv4_parse_cidr(STR("10.244.3.9/22"), &network, &prefix));
    assert_true(str_is(ipv4_text(mem, network), "10.244.0.0"));
    assert_int_equal(prefix, 22);
    assert_true(ipv4_parse_cidr(STR("1.2.3.4/0"), &network, &prefix));
    assert_int_equal(network, 0);
    assert_true(ipv4_parse_cidr(STR("1.2.3.4/32"), &network, &prefix));
    assert_int_equal(network, 0x01020304);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_false(ipv4_parse_cidr(str_of(bad[i]), &network, &prefix));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_addresses), cmocka_unit_test(test_ranges)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
