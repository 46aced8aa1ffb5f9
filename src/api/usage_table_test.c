/* What a node's text gives, and what two readings say of a rate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "api/usage_table.h"

static const char labels[] = "{container=\"c\",namespace=\"n\",pod=\"p\"}";

static struct usage_table *table_of(const char *text)
{
    struct usage_table *t = usage_table_new();
    usage_table_read(t, str_of(text));
    return t;
}

/* A reading of one container: seconds of CPU, at and start in ms. */
static struct usage_table *reading(const char *cpu, int64_t at_ms, int64_t start_ms)
{
    struct usage_table *t = usage_table_new();
    struct sb b = SB(t->mem);
    sb_addf(&b, "container_cpu_usage_seconds_total%s %s %lld\n", labels, cpu, (long long)at_ms);
    sb_addf(&b, "container_memory_working_set_bytes%s 5.24288e+07 %lld\n", labels, (long long)at_ms);
    if (start_ms)
        sb_addf(&b, "container_start_time_seconds%s %.15g %lld\n", labels, (double)start_ms / 1e3, (long long)at_ms);
    usage_table_read(t, sb_str(&b));
    return t;
}

static const struct usage_point *only(const struct usage_table *t)
{
    int count;
    struct usage_point *const *found = usage_table_find(t, STR("n"), STR("p"), &count);
    assert_int_equal(count, 1);
    return found[0];
}

static void test_lines(void **state)
{
    static const struct {
        const char *name, *text;
        int points;
    } cases[] = {
        {"cpu and memory make a point",
         "# HELP x y\n# TYPE x counter\n"
         "container_cpu_usage_seconds_total{container=\"c\",namespace=\"n\",pod=\"p\"} 1.5 1000\n"
         "container_memory_working_set_bytes{pod=\"p\",namespace=\"n\",container=\"c\"} 7 1000\n",
         1},
        {"the node has no labels", "node_cpu_usage_seconds_total 1 5\nnode_memory_working_set_bytes 1 5\n", 1},
        {"a pod's sum is no container",
         "pod_cpu_usage_seconds_total{namespace=\"n\",pod=\"p\"} 1 5\n"
         "container_cpu_usage_seconds_total{namespace=\"n\",pod=\"p\"} 1 5\n",
         0},
        {"one of the two is nothing", "node_cpu_usage_seconds_total 1 5\n", 0},
        {"a line without an end is not read", "node_cpu_usage_seconds_total 1 5\nnode_memory_working_set_bytes 1 5", 0},
        {"no time", "node_cpu_usage_seconds_total 1\nnode_memory_working_set_bytes 1\n", 0},
        {"no number", "node_cpu_usage_seconds_total x 5\nnode_memory_working_set_bytes 1 5\n", 0},
        {"NaN, negative, infinite, too large",
         "node_cpu_usage_seconds_total NaN 5\nnode_cpu_usage_seconds_total -1 5\nnode_cpu_usage_seconds_total +Inf 5\n"
         "node_cpu_usage_seconds_total 1e18 5\nnode_memory_working_set_bytes 1 5\n",
         0},
        {"labels of the node's own making",
         "node_cpu_usage_seconds_total{pod=\"p\"} 1 5\nnode_memory_working_set_bytes 1 5\n", 0},
        {"escapes and slashes name no pod",
         "container_cpu_usage_seconds_total{container=\"c\",namespace=\"n\\\"\",pod=\"p\"} 1 5\n"
         "container_cpu_usage_seconds_total{container=\"c\",namespace=\"n/p\",pod=\"p\"} 1 5\n",
         0},
        {"labels that do not end", "container_cpu_usage_seconds_total{container=\"c\n", 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct usage_table *t = table_of(cases[i].text);
        usage_table_end(t, NULL, 0);
        if (t->count != cases[i].points)
            fail_msg("%s: %d points", cases[i].name, t->count);
        usage_table_free(t);
    }
}

static void test_any_cut_reads_the_same(void **state)
{
    const char *text = "node_cpu_usage_seconds_total 2.5 5\nnode_memory_working_set_bytes 9 5\n";
    for (size_t cut = 0; cut <= strlen(text); cut++) {
        int count;
        struct usage_table *t = usage_table_new();
        usage_table_read(t, str_mem(text, cut));
        usage_table_read(t, str_of(text + cut));
        usage_table_end(t, NULL, 0);
        struct usage_point *const *p = usage_table_find(t, STR_NULL, STR_NULL, &count);
        assert_int_equal(count, 1);
        assert_int_equal(p[0]->cpu_ns, 2500000000);
        assert_int_equal(p[0]->memory_bytes, 9);
        usage_table_free(t);
    }
}

static void test_limits(void **state)
{
    struct usage_table *t = usage_table_new();
    for (int i = 0; i < USAGE_LINE_BYTES_MAX + 1; i++)
        usage_table_read(t, STR("x"));
    usage_table_read(t, STR("\nnode_cpu_usage_seconds_total 1 5\nnode_memory_working_set_bytes 1 5\n"));
    for (int i = 0; i < USAGE_POINTS_MAX + 10; i++) {
        char line[200];
        snprintf(line, sizeof(line),
                 "container_cpu_usage_seconds_total{container=\"c\",namespace=\"n\",pod=\"p%d\"} 1 5\n"
                 "container_memory_working_set_bytes{container=\"c\",namespace=\"n\",pod=\"p%d\"} 1 5\n",
                 i, i);
        usage_table_read(t, str_of(line));
    }
    usage_table_end(t, NULL, 0);
    assert_int_equal(t->count, USAGE_POINTS_MAX);
    usage_table_free(t);
}

static void test_rates(void **state)
{
    static const struct {
        const char *name, *cpu_before, *cpu;
        int64_t at_before, start_before, at, start, elapsed; /* elapsed -1: there is no reading before */
        int64_t want_nano, want_window;
    } cases[] = {
        {"a fifth of a core", "10", "10.2", 5000000, 1000, 5001000, 1000, 1000, 200000000, 1000},
        {"half a minute", "10", "40", 5000000, 1000, 5030000, 1000, 30000, 1000000000, 30000},
        {"idle", "10", "10", 5000000, 1000, 5010000, 1000, 10000, 0, 10000},
        {"young, alone: from its start", NULL, "1", 0, 0, 5004000, 5000000, -1, 250000000, 4000},
        {"old, alone: nothing", NULL, "1", 0, 0, 5004000, 1000, -1, 0, 0},
        {"no start told, alone: nothing", NULL, "1", 0, 0, 5004000, 0, -1, 0, 0},
        {"started anew: from its start", "10", "1", 5000000, 1000, 5030000, 5028000, 30000, 500000000, 2000},
        {"a counter that went back: nothing", "10", "1", 5000000, 1000, 5030000, 1000, 30000, 0, 0},
        {"too soon", "10", "11", 5000000, 1000, 5000400, 1000, 400, 0, 0},
        {"the clock jumped: ours counts", "10", "20", 5000000, 1000, 9000000, 1000, 10000, 1000000000, 10000},
        {"the clock went back: ours counts", "10", "20", 5000000, 1000, 4000000, 1000, 10000, 1000000000, 10000},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct usage_table *before = NULL, *t = reading(cases[i].cpu, cases[i].at, cases[i].start);
        if (cases[i].elapsed >= 0) {
            before = reading(cases[i].cpu_before, cases[i].at_before, cases[i].start_before);
            usage_table_end(before, NULL, 100);
        }
        usage_table_end(t, before, 100 + cases[i].elapsed);
        const struct usage_point *p = only(t);
        if (llabs(p->cpu_nano - cases[i].want_nano) > 1000 || p->window_ms != cases[i].want_window)
            fail_msg("%s: %lld in %lld ms", cases[i].name, (long long)p->cpu_nano, (long long)p->window_ms);
        assert_int_equal(p->memory_bytes, 50 << 20);
        usage_table_free(t);
        usage_table_free(before);
    }
}

static void test_finds_the_containers_of_a_pod(void **state)
{
    struct usage_table *t = usage_table_new();
    static const char *const names[][3] = {
        {"b", "p", "z"}, {"a", "p", "c"}, {"b", "p", "a"}, {"b", "p1", "c"}, {"b", "o", "c"}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct sb b = SB(t->mem);
        const char *family[] = {"container_cpu_usage_seconds_total", "container_memory_working_set_bytes"};
        for (int f = 0; f < 2; f++)
            sb_addf(&b, "%s{container=\"%s\",namespace=\"%s\",pod=\"%s\"} 1 5\n", family[f], names[i][2], names[i][0],
                    names[i][1]);
        usage_table_read(t, sb_str(&b));
    }
    usage_table_end(t, NULL, 0);
    int count;
    struct usage_point *const *found = usage_table_find(t, STR("b"), STR("p"), &count);
    assert_int_equal(count, 2);
    assert_true(str_is(found[0]->container, "a") && str_is(found[1]->container, "z"));
    assert_null(usage_table_find(t, STR("b"), STR("x"), &count));
    assert_null(usage_table_find(t, STR_NULL, STR_NULL, &count));
    usage_table_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_any_cut_reads_the_same),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_finds_the_containers_of_a_pod),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
