/* base/metrics_test.c */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>

#include "base/metrics.h"

static struct metric_family requests = {.name = "apiserver_request_total",
                                        .help = "Counter of requests\nby verb \\ code",
                                        .type = METRIC_COUNTER,
                                        .labels = {"verb", "code"}};
static const double bounds[] = {0.005, 0.1, 2.5};
static struct metric_family latency = {.name = "apiserver_request_duration_seconds",
                                       .help = "Latency",
                                       .type = METRIC_HISTOGRAM,
                                       .labels = {"verb"},
                                       .buckets = bounds,
                                       .bucket_count = 3};
static struct metric_family memory = {.name = "process_resident_memory_bytes", .help = "Memory", .type = METRIC_GAUGE};
static struct metric_family depth = {
    .name = "workqueue_depth", .help = "Depth", .type = METRIC_GAUGE, .labels = {"name"}};

static double one_and_a_half(void *data)
{
    return 1.5;
}

static void test_text_format(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct sb out = SB(mem);
    metric_add(metric_get(&requests, "POST", "201"), 1);
    metric_add(metric_get(&requests, "GET", "200"), 1);
    metric_add(metric_get(&requests, "GET", "200"), 2);
    metric_add(metric_get(&requests, "a\"b\\\n", "x\xffy"), 1);
    metric_observe(metric_get(&latency, "GET"), 0.1);
    metric_observe(metric_get(&latency, "GET"), 0.0001);
    metric_observe(metric_get(&latency, "GET"), 100);
    metric_callback(&memory, one_and_a_half, NULL);
    metric_set(metric_get(&depth, "job"), 123456789);
    metric_add(metric_get(&depth, "job"), -0.25);
    metrics_print(&out);
    assert_string_equal(sb_z(&out), "# HELP apiserver_request_duration_seconds Latency\n"
                                    "# TYPE apiserver_request_duration_seconds histogram\n"
                                    "apiserver_request_duration_seconds_bucket{verb=\"GET\",le=\"0.005\"} 1\n"
                                    "apiserver_request_duration_seconds_bucket{verb=\"GET\",le=\"0.1\"} 2\n"
                                    "apiserver_request_duration_seconds_bucket{verb=\"GET\",le=\"2.5\"} 2\n"
                                    "apiserver_request_duration_seconds_bucket{verb=\"GET\",le=\"+Inf\"} 3\n"
                                    "apiserver_request_duration_seconds_sum{verb=\"GET\"} 100.1001\n"
                                    "apiserver_request_duration_seconds_count{verb=\"GET\"} 3\n"
                                    "# HELP apiserver_request_total Counter of requests\\nby verb \\\\ code\n"
                                    "# TYPE apiserver_request_total counter\n"
                                    "apiserver_request_total{verb=\"GET\",code=\"200\"} 3\n"
                                    "apiserver_request_total{verb=\"POST\",code=\"201\"} 1\n"
                                    "apiserver_request_total{verb=\"a\\\"b\\\\\\n\",code=\"x?y\"} 1\n"
                                    "# HELP process_resident_memory_bytes Memory\n"
                                    "# TYPE process_resident_memory_bytes gauge\n"
                                    "process_resident_memory_bytes 1.5\n"
                                    "# HELP workqueue_depth Depth\n"
                                    "# TYPE workqueue_depth gauge\n"
                                    "workqueue_depth{name=\"job\"} 123456788.75\n");
    metrics_reset();
}

static void test_series_have_a_limit(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    for (int i = 0; i < METRIC_SERIES_MAX + 100; i++)
        metric_add(metric_get(&depth, str_fmtz(mem, "%d", i)), 1);
    assert_true(metric_value(metric_get(&depth, "other")) == 101);
    assert_true(metric_value(metric_get(&depth, "0")) == 1); /* those that were there stay */
    struct sb out = SB(mem);
    metrics_print(&out);
    int lines = 0;
    struct str text = sb_str(&out), line;
    while (str_next(&text, '\n', &line))
        lines++;
    assert_int_equal(lines, METRIC_SERIES_MAX + 2);
    metrics_reset();
    metrics_reset();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_format),
        cmocka_unit_test(test_series_have_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
