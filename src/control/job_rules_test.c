/* control/job_rules_test.c - the rules of Jobs: counts, indexes, back-off, policies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "control/job.h"

static void test_want_active(void **state)
{
    static const struct {
        int64_t parallelism, completions, succeeded, active, want;
    } cases[] = {
        {1, 1, 0, 0, 1}, {3, 10, 8, 1, 2}, {3, 10, 10, 0, 0}, {3, 10, 12, 0, 0},
        {0, 5, 0, 2, 0}, {3, -1, 0, 1, 3}, {3, -1, 1, 2, 2},  {2, -1, 1, 3, 3},
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
        struct job_indexes set = job_indexes_parse(mem, str_of(cases[i].in), 10);
        assert_string_equal(str_z(mem, job_indexes_text(&set)), cases[i].out);
        assert_int_equal(job_indexes_count(&set), cases[i].count);
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

static void test_indexes_against_flags(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    enum { N = 60 };
    uint32_t seed = 7;
    for (int round = 0; round < 200; round++) {
        bool flags[N] = {false};
        struct job_indexes set = job_indexes_of(mem);
        for (int k = 0; k < 12; k++) {
            seed = seed * 1664525u + 1013904223u;
            int first = (int)(seed >> 8) % N, last = first + (int)(seed >> 20) % 4;
            last = last < N ? last : N - 1;
            job_indexes_add(&set, first, last);
            for (int i = first; i <= last; i++)
                flags[i] = true;
        }
        int64_t missing[N], n = job_indexes_missing(&set, N, missing, N), at = 0, count = 0;
        for (int i = 0; i < N; i++) {
            assert_int_equal(job_indexes_has(&set, i), flags[i]);
            count += flags[i];
            if (!flags[i])
                assert_int_equal(missing[at++], i);
        }
        assert_int_equal(at, n);
        assert_int_equal(job_indexes_count(&set), count);
        for (int i = 1; i < set.count; i++)
            assert_true(set.spans[i].first > set.spans[i - 1].last + 1);
    }
}

static void test_a_huge_job_costs_its_text(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct job_indexes set = job_indexes_parse(mem, STR("0-1999999999"), INT32_MAX);
    int64_t next[2];
    assert_int_equal(set.count, 1);
    assert_int_equal(job_indexes_missing(&set, INT32_MAX, next, 2), 2);
    assert_int_equal(next[1], 2000000001);
}

/* ---- policies */

static const struct doc *parse(struct arena *mem, const char *json)
{
    struct err err = ERR(mem);
    struct str text = str_of(json);
    char *quoted = str_z(mem, text);
    for (size_t i = 0; i < text.len; i++)
        quoted[i] = quoted[i] == '\'' ? '"' : quoted[i];
    struct doc *d = doc_parse(mem, str_of(quoted), NULL, &err);
    assert_non_null(d);
    return d;
}

#define EXITED(name, code) "{'name':'" name "','state':{'terminated':{'exitCode':" #code "}}}"
#define RULE(action, what) "{'rules':[{'action':'" action "'," what "}]}"
#define CODES(op, list)    "'onExitCodes':{'operator':'" op "','values':[" list "]}"
#define DISRUPTED          "'onPodConditions':[{'type':'DisruptionTarget','status':'True'}]"
#define MAIN(code)         "{'status':{'containerStatuses':[" EXITED("main", code) "]}}"
#define IS_DISRUPTED       "{'status':{'conditions':[{'type':'DisruptionTarget','status':'True'}]}}"

static void test_failure_policy(void **state)
{
    static const struct {
        const char *policy, *pod;
        enum job_action action;
        const char *message;
    } cases[] = {
        {RULE("Ignore", CODES("In", "3,5")), MAIN(5), JOB_ACTION_IGNORE, NULL},
        {RULE("Ignore", CODES("In", "3,5")), MAIN(4), JOB_ACTION_COUNT, NULL},
        {RULE("Ignore", CODES("NotIn", "3,5")), MAIN(4), JOB_ACTION_IGNORE, NULL},
        {RULE("Ignore", CODES("NotIn", "3,5")), MAIN(0), JOB_ACTION_COUNT, NULL},
        {RULE("FailIndex", CODES("In", "9")), MAIN(9), JOB_ACTION_FAIL_INDEX, NULL},
        {RULE("Ignore", DISRUPTED), IS_DISRUPTED, JOB_ACTION_IGNORE, NULL},
        {RULE("Ignore", DISRUPTED), MAIN(1), JOB_ACTION_COUNT, NULL},
        {RULE("FailJob", DISRUPTED), IS_DISRUPTED, JOB_ACTION_FAIL_JOB,
         "Pod default/p has condition DisruptionTarget matching FailJob rule at index 0"},
        {"{'rules':[{'action':'Count'," CODES("In", "1") "},{'action':'FailJob'," CODES("In", "1,42") "}]}", MAIN(42),
         JOB_ACTION_FAIL_JOB,
         "Container main for pod default/p failed with exit code 42 matching FailJob rule at index 1"},
        {"{'rules':[{'action':'Count'," CODES("In", "1") "},{'action':'FailJob'," CODES("In", "1,42") "}]}", MAIN(1),
         JOB_ACTION_COUNT, NULL},
        {"{'rules':[{'action':'FailJob','onExitCodes':{'containerName':'other','operator':'In','values':[42]}}]}",
         MAIN(42), JOB_ACTION_COUNT, NULL},
        {RULE("FailJob", CODES("In", "7")), "{'status':{'initContainerStatuses':[" EXITED("prepare", 7) "]}}",
         JOB_ACTION_FAIL_JOB,
         "Container prepare for pod default/p failed with exit code 7 matching FailJob rule at index 0"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cleanup_arena struct arena *mem = arena_new();
        struct obj o = {.ns = STR("default"), .name = STR("p")};
        struct pod p = {.obj = &o, .doc = parse(mem, cases[i].pod)};
        struct str message = STR_NULL;
        assert_int_equal(job_failure_match(mem, parse(mem, cases[i].policy), &p, &message), cases[i].action);
        assert_string_equal(str_z(mem, message), cases[i].message ? cases[i].message : "");
    }
}

static void test_success_policy(void **state)
{
    static const struct {
        const char *rules, *done;
        int rule;
    } cases[] = {
        {"{'succeededCount':2}", "4", -1},
        {"{'succeededCount':2}", "4,9", 0},
        {"{'succeededIndexes':'1-3'}", "1,3", -1},
        {"{'succeededIndexes':'1-3'}", "0-5", 0},
        {"{'succeededIndexes':'1-3','succeededCount':2}", "1,3", 0},
        {"{'succeededIndexes':'1-3','succeededCount':2}", "0,3-9", -1},
        {"{'succeededIndexes':'9'},{'succeededIndexes':'0'}", "0", 1},
        {"{'succeededIndexes':'50-60'}", "0-9", -1},
        {"{'succeededCount':1}", "", -1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cleanup_arena struct arena *mem = arena_new();
        const struct doc *policy = parse(mem, str_fmtz(mem, "{'rules':[%s]}", cases[i].rules));
        struct job_indexes done = job_indexes_parse(mem, str_of(cases[i].done), 10);
        assert_int_equal(job_success_match(mem, policy, 10, &done), cases[i].rule);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_want_active),
        cmocka_unit_test(test_indexes_both_ways),
        cmocka_unit_test(test_indexes_against_flags),
        cmocka_unit_test(test_a_huge_job_costs_its_text),
        cmocka_unit_test(test_backoff_counts_failures_since_the_last_success),
        cmocka_unit_test(test_failure_policy),
        cmocka_unit_test(test_success_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
