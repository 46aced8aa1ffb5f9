/* control/job_plan_test.c - the arithmetic of Jobs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "control/job_plan.h"

static void test_want_active(void **state)
{
    static const struct {
        int64_t parallelism, completions, succeeded, active, want;
    } cases[] = {
        {1, 1, 0, 0, 1}, {3, 10, 8, 1, 2}, {3, 10, 10, 0, 0}, {3, 10, 12, 0, 0},
        {0, 5, 0, 2, 0}, {3, -1, 0, 1, 3}, {3, -1, 1, 2, 2},  {2, -1, 1, 3, 2},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(
            job_want_active(cases[i].parallelism, cases[i].completions, cases[i].succeeded, cases[i].active),
            cases[i].want);
}

static void test_indexes_both_ways(void **state)
{
    static const struct {
        const char *in, *out;
        int64_t count;
    } cases[] = {{"", "", 0},       {"0", "0", 1},       {"1,3-5,7", "1,3-5,7", 5}, {"0,1", "0,1", 2},
                 {"2-4", "2-4", 3}, {"8-200", "8,9", 2}, {"x,-1,3", "3", 1},        {"5,1,2,3", "1-3,5", 4}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cleanup_arena struct arena *mem = arena_new();
        bool *set = job_indexes_parse(mem, str_of(cases[i].in), 10);
        assert_string_equal(str_z(mem, job_indexes_text(mem, set, 10)), cases[i].out);
        assert_int_equal(job_indexes_count(set, 10), cases[i].count);
    }
}

static struct pod pod(struct arena *mem, const char *json)
{
    static struct obj none;
    struct err err = ERR(mem);
    return (struct pod){.obj = &none, .doc = doc_parse(mem, str_of(json), NULL, &err)};
}

#define ENDED(phase, time)                                                                                             \
    "{\"status\":{\"phase\":\"" phase "\",\"containerStatuses\":[{\"state\":{\"terminated\":{\"finishedAt\":"          \
    "\"2026-01-01T00:00:" time "Z\"}}}]}}"

static void test_backoff_counts_failures_since_the_last_success(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    int64_t t0 = 1767225600000;
    struct pod pods[] = {pod(mem, ENDED("Failed", "01")), pod(mem, ENDED("Succeeded", "02")),
                         pod(mem, ENDED("Failed", "03")), pod(mem, ENDED("Failed", "05"))};
    assert_int_equal(job_backoff_left_ms(pods, 1, t0 + 1000), 10000);
    assert_int_equal(job_backoff_left_ms(pods, 2, t0 + 2000), 0);
    assert_int_equal(job_backoff_left_ms(pods, 3, t0 + 3000), 10000);
    assert_int_equal(job_backoff_left_ms(pods, 4, t0 + 5000), 20000);
    assert_int_equal(job_backoff_left_ms(pods, 4, t0 + 30000), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_want_active), cmocka_unit_test(test_indexes_both_ways),
                                       cmocka_unit_test(test_backoff_counts_failures_since_the_last_success)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
