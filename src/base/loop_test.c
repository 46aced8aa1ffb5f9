/* base/loop_test.c - the same cases on both drivers, then what only one of them promises. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <time.h>
#include <uv.h>

#include "base/loop.h"

static struct loop *loop;
static struct arena *mem;
static struct sb trace;

static int setup(struct loop *l)
{
    loop = l;
    mem = arena_new();
    trace = SB(mem);
    return loop ? 0 : -1;
}

static int setup_uv(void **state)
{
    return setup(loop_new_uv());
}

static int setup_sim(void **state)
{
    return setup(loop_new_sim(1));
}

static int teardown(void **state)
{
    loop = loop_free(loop);
    mem = arena_free(mem);
    return 0;
}

struct actor {
    struct loop_timer timer;
    struct loop_task task;
    struct loop_work work;
    const char *name;
    int again; /* how often to do it once more */
    struct actor *other;
};

static void fire(struct loop_timer *t)
{
    struct actor *a = container_of(t, struct actor, timer);
    sb_addf(&trace, "%s ", a->name);
    if (a->again-- > 0)
        loop_timer_start(t, 0);
    if (a->other)
        loop_post(loop, &a->other->task), loop_post(loop, &a->other->task);
}

static void run(struct loop_task *t)
{
    struct actor *a = container_of(t, struct actor, task);
    sb_addf(&trace, "(%s) ", a->name);
    if (a->again-- > 0)
        loop_post(loop, t);
}

static void work(struct loop_work *w)
{
    container_of(w, struct actor, work)->again++;
}

static void done(struct loop_work *w)
{
    struct actor *a = container_of(w, struct actor, work);
    sb_addf(&trace, "%s%d ", a->name, a->again);
}

static struct actor actor(const char *name)
{
    return (struct actor){.name = name, .work = {.work = work, .done = done}};
}

static void ready(struct actor *a)
{
    loop_timer_init(loop, &a->timer, fire);
    loop_task_init(&a->task, run);
}

static void test_timers_in_order(void **state)
{
    struct actor a = actor("a"), b = actor("b"), c = actor("c"), d = actor("d"), e = actor("e");
    ready(&a), ready(&b), ready(&c), ready(&d), ready(&e);
    loop_timer_start(&a.timer, 8);
    loop_timer_start(&b.timer, 3);
    loop_timer_start(&c.timer, 3);
    loop_timer_start(&d.timer, 1);
    loop_timer_start(&e.timer, 2);
    loop_timer_start(&b.timer, 3); /* moved behind c */
    loop_timer_stop(&d.timer), loop_timer_stop(&d.timer);
    assert_false(loop_timer_running(&d.timer));
    assert_true(loop_timer_running(&a.timer));
    int64_t start = loop_now_ms(loop);
    loop_run(loop); /* returns: nothing is left to happen */
    assert_string_equal(sb_z(&trace), "e c b a ");
    assert_true(loop_now_ms(loop) - start >= 8);
}

static void test_timer_may_restart_itself(void **state)
{
    struct actor a = actor("a");
    ready(&a);
    a.again = 3;
    loop_timer_start(&a.timer, -5);
    loop_run(loop);
    assert_string_equal(sb_z(&trace), "a a a a ");
}

static void test_tasks_run_after_the_callback_once(void **state)
{
    struct actor a = actor("a"), b = actor("b"), c = actor("c"), d = actor("d");
    ready(&a), ready(&b), ready(&c), ready(&d);
    a.other = &c;
    c.again = 1;
    loop_timer_start(&a.timer, 1);
    loop_timer_start(&b.timer, 1);
    loop_post(loop, &d.task);
    loop_task_cancel(&d.task);
    loop_run(loop);
    assert_string_equal(sb_z(&trace), "a (c) b (c) ");
}

static void test_post_from_outside(void **state)
{
    struct actor a = actor("a"), b = actor("b");
    ready(&a), ready(&b);
    a.again = 2;
    loop_post(loop, &a.task);
    loop_post(loop, &b.task);
    loop_run(loop);
    assert_string_equal(sb_z(&trace), "(a) (b) (a) (a) ");
}

static void stop(struct loop_timer *t)
{
    loop_stop(t->loop);
}

static void test_stop(void **state)
{
    struct actor a = actor("a"), b = actor("b");
    ready(&a), ready(&b);
    loop_timer_init(loop, &a.timer, stop);
    loop_timer_start(&a.timer, 1);
    loop_timer_start(&b.timer, 100000);
    loop_run(loop);
    assert_string_equal(sb_z(&trace), "");
    assert_true(loop_timer_running(&b.timer));
    loop_timer_start(&b.timer, 1); /* and it runs again */
    loop_run(loop);
    assert_string_equal(sb_z(&trace), "b ");
}

static void test_work_comes_back(void **state)
{
    struct actor a = actor("a"), b = actor("b");
    assert_int_equal(loop_work(loop, &a.work), 0);
    loop_run(loop);
    assert_string_equal(sb_z(&trace), "a1 ");
    assert_int_equal(loop_work(loop, &b.work), 0);
    loop = loop_free(loop); /* waits */
    assert_string_equal(sb_z(&trace), "a1 b1 ");
}

static void test_randomness_differs(void **state)
{
    unsigned char x[37] = {0}, y[37] = {0};
    loop_rand_bytes(loop, RAND_UID, x, sizeof x);
    loop_rand_bytes(loop, RAND_UID, y, sizeof y);
    assert_memory_not_equal(x, y, sizeof x);
    assert_true(loop_rand(loop, RAND_NAME) != loop_rand(loop, RAND_NAME));
    assert_true(loop_wall_ms(loop) > 1700000000000);
}

static void test_uv_many_loops(void **state)
{
    for (int i = 0; i < 50; i++) {
        struct loop *l = loop_new_uv();
        struct loop_timer t;
        loop_timer_init(l, &t, stop);
        loop_timer_start(&t, 1000000); /* still armed when freed */
        loop_free(l);
    }
}

static void count_iteration(uv_prepare_t *p)
{
    ++*(int *)p->data;
}

/* One timer in 60 ms, a task, and nothing else: a handful of wakeups, hardly any CPU. */
static void test_uv_sleeps_when_nothing_happens(void **state)
{
    struct actor a = actor("a"), b = actor("b");
    int iterations = 0;
    static uv_prepare_t counter; /* must live until the loop is freed */
    ready(&a), ready(&b);
    uv_prepare_init(loop_uv_handle(loop), &counter);
    counter.data = &iterations;
    uv_prepare_start(&counter, count_iteration);
    uv_unref((uv_handle_t *)&counter);
    loop_post(loop, &b.task);
    loop_timer_start(&a.timer, 60);
    clock_t cpu = clock();
    int64_t start = loop_now_us(loop);
    loop_run(loop);
    assert_in_range(loop_now_us(loop) - start, 50000, 5000000);
    assert_true((double)(clock() - cpu) / CLOCKS_PER_SEC < 0.03);
    assert_true(iterations <= 5);
    uv_close((uv_handle_t *)&counter, NULL);
}

static void test_sim_clock_jumps(void **state)
{
    struct actor a = actor("a"), b = actor("b");
    ready(&a), ready(&b);
    int64_t wall = loop_wall_ms(loop);
    assert_null(loop_uv_handle(loop));
    loop_timer_start(&a.timer, 1000);
    loop_timer_start(&b.timer, 1001);
    loop_sim_run(loop, 1000);
    assert_string_equal(sb_z(&trace), "a ");
    assert_int_equal(loop_now_ms(loop), 1000);
    loop_sim_run(loop, 3600 * 1000);
    assert_string_equal(sb_z(&trace), "a b ");
    assert_true(loop_wall_ms(loop) - wall == 3601 * 1000);
    assert_true(loop_now_us(loop) == loop_now_ms(loop) * 1000);
}

static void forever(struct loop_timer *t)
{
    loop_timer_start(t, 60 * 1000);
}

static void test_sim_run_has_a_limit(void **state)
{
    struct loop_timer t;
    loop_timer_init(loop, &t, forever);
    loop_timer_start(&t, 0);
    loop_run(loop);
    assert_int_equal(loop_now_ms(loop), 24 * 3600 * 1000);
    loop_timer_stop(&t);
}

static void test_sim_same_seed_same_run(void **state)
{
    struct loop *a = loop_new_sim(5), *b = loop_new_sim(5), *c = loop_new_sim(6);
    loop_rand(b, RAND_JITTER); /* another stream: reshuffles nothing */
    for (int i = 0; i < 100; i++) {
        uint64_t x = loop_rand(a, RAND_UID);
        assert_true(x == loop_rand(b, RAND_UID));
        assert_true(x != loop_rand(c, RAND_UID));
        assert_true(x != loop_rand(a, RAND_NAME));
    }
    int hits = 0;
    for (int i = 0; i < 1000; i++)
        hits += sim_chance(a, 10);
    assert_in_range(hits, 50, 150);
    loop_free(a), loop_free(b), loop_free(c);
}

static void test_uv_chance_is_never(void **state)
{
    assert_false(sim_chance(loop, 1));
}

#define BOTH(test)                                                                                                     \
    {#test " uv", test, setup_uv, teardown, NULL},                                                                     \
    {                                                                                                                  \
#test " sim", test, setup_sim, teardown, NULL                                                                  \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_timers_in_order),
        BOTH(test_timer_may_restart_itself),
        BOTH(test_tasks_run_after_the_callback_once),
        BOTH(test_post_from_outside),
        BOTH(test_stop),
        BOTH(test_work_comes_back),
        BOTH(test_randomness_differs),
        cmocka_unit_test(test_uv_many_loops),
        cmocka_unit_test_setup_teardown(test_uv_sleeps_when_nothing_happens, setup_uv, teardown),
        cmocka_unit_test_setup_teardown(test_uv_chance_is_never, setup_uv, teardown),
        cmocka_unit_test_setup_teardown(test_sim_clock_jumps, setup_sim, teardown),
        cmocka_unit_test_setup_teardown(test_sim_run_has_a_limit, setup_sim, teardown),
        cmocka_unit_test(test_sim_same_seed_same_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
