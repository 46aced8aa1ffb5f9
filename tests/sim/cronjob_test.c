/* tests/sim/cronjob_test.c - CronJobs in virtual time: one Job for each time, whatever dies in between. */
#include "sim.h"

static void submit(struct sim *s, const char *spec)
{
    sim_create(s, "batch", "cronjobs", "default",
               str_fmtz(s->mem,
                        "{'metadata':{'name':'tick','namespace':'default'},'spec':{%s,'jobTemplate':{'metadata':{"
                        "'labels':{'a':'b'}},'spec':{'template':{'spec':{'restartPolicy':'Never','containers':["
                        "{'name':'c','image':'i'}]}}}}}}",
                        spec));
}

static struct doc *status(struct sim *s)
{
    return doc_get(sim_get(s, "batch", "cronjobs", "default", "tick"), "status");
}

static void test_each_time_makes_one_job(void **state)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct sim *s = sim_new(&(struct sim_opts){.seed = seed, .nodes = 1});
        submit(s, "'schedule':'* * * * *','successfulJobsHistoryLimit':100");
        for (int i = 0; i < 10 * 60; i++) { /* ten minutes, with the controllers dying all the time */
            sim_run(s, 1000);
            if (!writer_idle(s->writer) || loop_rand(s->loop, RAND_TEST) % 4 == 0)
                sim_crash(s);
        }
        sim_run(s, 20 * 1000);
        int jobs = sim_count(s, "batch", "jobs", "default");
        assert_true(jobs >= 10 && jobs <= 11);
        assert_true(doc_str(status(s), "lastScheduleTime").len > 0);
        assert_true(doc_str(status(s), "lastSuccessfulTime").len > 0);
        assert_null(doc_get(status(s), "active"));
        struct cache_iter it = cache_list(s->cache, STR("jobs.batch/default/"), STR_NULL);
        for (struct obj *o; (o = cache_next(&it));)
            assert_true(str_starts(o->name, STR("tick-29")));
        sim_free(s);
    }
}

static void test_history_is_kept_short(void **state)
{
    struct sim *s = sim_new(&(struct sim_opts){.seed = 10, .nodes = 1});
    submit(s, "'schedule':'* * * * *'");
    sim_run(s, 10 * 60 * 1000 + 30 * 1000);
    assert_int_equal(sim_count(s, "batch", "jobs", "default"), 3);
    assert_true(sim_events(s, "SawCompletedJob") >= 9);
    sim_free(s);
}

static void slow(struct sim *s, const char *policy)
{
    s->o.nodes = 0; /* nothing runs, so nothing ends */
    submit(s, str_fmtz(s->mem, "'schedule':'* * * * *','concurrencyPolicy':'%s'", policy));
    sim_run(s, 5 * 60 * 1000 + 30 * 1000);
}

static void test_concurrency(void **state)
{
    static const struct {
        const char *policy;
        int jobs_min, jobs_max;
    } cases[] = {{"Allow", 5, 6}, {"Forbid", 1, 1}, {"Replace", 1, 1}};
    for (int i = 0; i < 3; i++) {
        struct sim *s = sim_new(&(struct sim_opts){.seed = 20 + (uint64_t)i});
        slow(s, cases[i].policy);
        int jobs = sim_count(s, "batch", "jobs", "default");
        assert_true(jobs >= cases[i].jobs_min && jobs <= cases[i].jobs_max);
        assert_int_equal(doc_len(doc_get(status(s), "active")), jobs);
        assert_int_equal(sim_events(s, "JobAlreadyActive") > 0, !strcmp(cases[i].policy, "Forbid"));
        assert_int_equal(sim_events(s, "SuccessfulDelete") > 0, !strcmp(cases[i].policy, "Replace"));
        sim_free(s);
    }
}

static void test_suspended_and_late(void **state)
{
    struct sim *s = sim_new(&(struct sim_opts){.seed = 30});
    submit(s, "'schedule':'*/10 * * * *','suspend':true,'startingDeadlineSeconds':20");
    sim_run(s, 25 * 60 * 1000);
    assert_int_equal(sim_count(s, "batch", "jobs", "default"), 0);
    while (loop_wall_ms(s->loop) / 1000 % 600 < 60)
        sim_run(s, 10 * 1000);
    sim_merge(s, "batch", "cronjobs", "default", "tick", "{'spec':{'suspend':false}}");
    sim_run(s, 1000);
    assert_int_equal(sim_count(s, "batch", "jobs", "default"), 0);
    assert_true(sim_events(s, "MissSchedule") > 0);
    sim_run(s, 10 * 60 * 1000);
    assert_int_equal(sim_count(s, "batch", "jobs", "default"), 1);
    sim_free(s);
}

static void test_an_unknown_zone_is_said(void **state)
{
    struct sim *s = sim_new(&(struct sim_opts){.seed = 31});
    submit(s, "'schedule':'* * * * *','timeZone':'Europe/Berlin'");
    sim_run(s, 3 * 60 * 1000);
    assert_int_equal(sim_count(s, "batch", "jobs", "default"), 0);
    assert_true(sim_events(s, "UnknownTimeZone") > 0);
    sim_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_time_makes_one_job),
        cmocka_unit_test(test_history_is_kept_short),
        cmocka_unit_test(test_concurrency),
        cmocka_unit_test(test_suspended_and_late),
        cmocka_unit_test(test_an_unknown_zone_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
