/* Durations as Go writes and reads them. Cases: Go's time.Duration.String and time.ParseDuration, from their
 * documentation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "schema/times.h"

static void test_written(void **state)
{
    static const struct {
        int64_t ns;
        const char *want;
    } cases[] = {
        {0, "0s"},
        {1, "1ns"},
        {1100, "1.1µs"},
        {2200000, "2.2ms"},
        {3300000000, "3.3s"},
        {60000000000, "1m0s"},
        {245000000000, "4m5s"},
        {245001000000, "4m5.001s"},
        {18367001000000, "5h6m7.001s"},
        {480000000001, "8m0.000000001s"},
        {INT64_MAX, "2562047h47m16.854775807s"},
        {INT64_MIN, "-2562047h47m16.854775808s"},
        {-1000000, "-1ms"},
    };
    cleanup_arena struct arena *mem = arena_new();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t back = 7;
        assert_string_equal(str_z(mem, duration_format(mem, cases[i].ns)), cases[i].want);
        assert_true(duration_parse(str_of(cases[i].want), &back));
        assert_int_equal(back, cases[i].ns);
    }
}

static void test_read(void **state)
{
    static const struct {
        const char *text;
        int64_t want; /* -7: refused */
    } cases[] = {
        {"0", 0},
        {"-0", 0},
        {"+5s", 5000000000},
        {"1.5h", 5400000000000},
        {".5s", 500000000},
        {"5.s", 5000000000},
        {"1h15m30.918s", 4530918000000},
        {"10us", 10000},
        {"10μs", 10000},
        {"", -7},
        {"3", -7},
        {"s", -7},
        {".s", -7},
        {"1x", -7},
        {"1 s", -7},
        {"--1s", -7},
        {"+", -7},
        {"9223372036854775808ns", -7},
        {"3000000h", -7},
        {"1.1.1s", -7},
        {"0.3333333333333333333h", 1200000000000},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t got = -7;
        bool ok = duration_parse(str_of(cases[i].text), &got);
        if (got != cases[i].want || ok != (cases[i].want != -7))
            fail_msg("%s: %lld", cases[i].text, (long long)got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_written), cmocka_unit_test(test_read)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
