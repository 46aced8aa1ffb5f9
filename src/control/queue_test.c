/* control/queue_test.c - dedupe, order, delays and back-off of the work queue (client-go util/workqueue). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/metrics.h"
#include "control/queue.h"

struct world {
    struct loop *loop;
    struct queue *q;
    int ready;
};

static void on_ready(void *ctx)
{
    ((struct world *)ctx)->ready++;
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    w->loop = loop_new_sim(1);
    w->q = queue_new(w->loop, "test", on_ready, w);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    queue_free(w->q);
    loop_free(w->loop);
    free(w);
    return 0;
}

static void expect_next(struct world *w, const char *want)
{
    struct str key;
    int64_t memo;
    bool any = queue_next(w->q, &key, &memo);
    assert_int_equal(any, want != NULL);
    if (want)
        assert_true(str_is(key, want));
}

static void test_a_key_waits_once_in_order(void **state)
{
    struct world *w = *state;
    queue_add(w->q, STR("a")), queue_add(w->q, STR("b")), queue_add(w->q, STR("a"));
    assert_int_equal(queue_depth(w->q), 2);
    assert_int_equal(w->ready, 1);
    expect_next(w, "a"), expect_next(w, "b"), expect_next(w, NULL);
}

static void test_a_running_key_runs_again_afterwards(void **state)
{
    struct world *w = *state;
    queue_add(w->q, STR("a"));
    expect_next(w, "a");
    queue_add(w->q, STR("a"));
    expect_next(w, NULL);
    queue_done(w->q, STR("a"), /* failed= */ false, 0);
    expect_next(w, "a");
    queue_done(w->q, STR("a"), false, 0);
    expect_next(w, NULL);
}

static void test_backoff_doubles_and_is_forgotten(void **state)
{
    struct world *w = *state;
    queue_add(w->q, STR("a"));
    int64_t expected = BACKOFF_FIRST_MS;
    for (int i = 0; i < 20; i++) {
        expect_next(w, "a");
        queue_done(w->q, STR("a"), /* failed= */ true, 0);
        loop_sim_run(w->loop, expected - 1);
        expect_next(w, NULL);
        loop_sim_run(w->loop, 1);
        expected = expected * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : expected * 2;
    }
    expect_next(w, "a");
    queue_done(w->q, STR("a"), /* failed= */ false, 0);
    queue_add(w->q, STR("a"));
    expect_next(w, "a");
    queue_done(w->q, STR("a"), true, 0);
    loop_sim_run(w->loop, BACKOFF_FIRST_MS);
    expect_next(w, "a");
}

static void test_the_earliest_delay_stands(void **state)
{
    struct world *w = *state;
    queue_add_after(w->q, STR("a"), 100);
    queue_add_after(w->q, STR("a"), 50);
    queue_add_after(w->q, STR("a"), 200);
    loop_sim_run(w->loop, 50);
    expect_next(w, "a");
    queue_done(w->q, STR("a"), false, 0);
    loop_sim_run(w->loop, 1000);
    expect_next(w, NULL);
}

static void test_memo_is_kept_until_a_failure(void **state)
{
    struct world *w = *state;
    struct str key;
    int64_t memo;
    queue_add(w->q, STR("a"));
    queue_next(w->q, &key, &memo);
    queue_done(w->q, STR("a"), false, 7);
    queue_add(w->q, STR("a"));
    queue_next(w->q, &key, &memo);
    assert_int_equal(memo, 7);
    queue_done(w->q, STR("a"), true, 7);
    queue_add(w->q, STR("a"));
    queue_next(w->q, &key, &memo);
    assert_int_equal(memo, 0);
}

static double shown(const char *family)
{
    cleanup_arena struct arena *mem = arena_new();
    struct sb text = SB(mem);
    metrics_print(&text);
    const char *line = strstr(str_z(mem, sb_str(&text)), str_fmtz(mem, "\n%s{name=\"test\"} ", family));
    assert_non_null(line);
    return strtod(strchr(line, ' '), NULL);
}

static void test_metrics_tell_what_runs_now(void **state)
{
    struct world *w = *state;
    double before = shown("workqueue_adds_total");
    queue_add(w->q, STR("a"));
    expect_next(w, "a");
    loop_sim_run(w->loop, 2000);
    queue_add(w->q, STR("b")), queue_add(w->q, STR("c"));
    expect_next(w, "b");
    loop_sim_run(w->loop, 1000);
    assert_true(shown("workqueue_adds_total") == before + 3);
    assert_true(shown("workqueue_depth") == 1);
    assert_true(shown("workqueue_unfinished_work_seconds") == 4);
    assert_true(shown("workqueue_longest_running_processor_seconds") == 3);
    queue_done(w->q, STR("a"), false, 0);
    assert_true(shown("workqueue_longest_running_processor_seconds") == 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_key_waits_once_in_order),        T(test_a_running_key_runs_again_afterwards),
        T(test_backoff_doubles_and_is_forgotten), T(test_the_earliest_delay_stands),
        T(test_memo_is_kept_until_a_failure),     T(test_metrics_tell_what_runs_now)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
