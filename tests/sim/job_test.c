/* tests/sim/job_test.c - Jobs in virtual time: every pod is counted exactly once. */
#include "sim.h"

static void submit(struct sim *s, const char *spec)
{
    sim_create(s, "batch", "jobs", "default",
               str_fmtz(s->mem,
                        "{'metadata':{'name':'work','namespace':'default'},'spec':{%s,'template':{'spec':{"
                        "'restartPolicy':'Never','containers':[{'name':'c','image':'i'}]}}}}",
                        spec));
}

static int64_t status(struct sim *s, const char *name)
{
    return doc_int(doc_get(sim_get(s, "batch", "jobs", "default", "work"), "status"), name, 0);
}

static const char *condition(struct sim *s, const char *type)
{
    return sim_condition(s, "batch", "jobs", "default", "work", type);
}

static int count_phase(struct sim *s, const char *phase)
{
    struct cache_iter it = cache_list(s->cache, STR("pods/default/"), STR_NULL);
    int n = 0;
    for (struct obj *o; (o = cache_next(&it));)
        n += str_is(doc_str(doc_get(obj_doc(s->mem, o), "status"), "phase"), phase);
    return n;
}

static void test_completions_with_failures(void **state)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct sim *s = sim_new(&(struct sim_opts){.seed = seed, .nodes = 3});
        s->pods_failing = 30;
        submit(s, "'completions':12,'parallelism':4,'backoffLimit':100");
        sim_run(s, 4 * 3600 * 1000);
        assert_string_equal(condition(s, "Complete"), "True");
        assert_string_equal(condition(s, "SuccessCriteriaMet"), "True");
        assert_int_equal(status(s, "succeeded"), 12);
        assert_int_equal(count_phase(s, "Succeeded"), 12);
        assert_int_equal(status(s, "failed"), count_phase(s, "Failed"));
        assert_int_equal(status(s, "active"), 0);
        assert_int_equal(doc_len(doc_path(sim_get(s, "batch", "jobs", "default", "work"), "status",
                                          "uncountedTerminatedPods", NULL)),
                         0);
        struct cache_iter it = cache_list(s->cache, STR("pods/default/"), STR_NULL);
        for (struct obj *o; (o = cache_next(&it));)
            assert_null(doc_path(obj_doc(s->mem, o), "metadata", "finalizers", NULL));
        sim_free(s);
    }
}

static void test_backoff_limit(void **state)
{
    struct sim *s = sim_new(&(struct sim_opts){.seed = 41, .nodes = 2});
    s->pods_failing = 100;
    submit(s, "'backoffLimit':2");
    sim_run(s, 20 * 1000);
    assert_string_equal(condition(s, "Failed"), "");
    sim_run(s, 300 * 1000);
    assert_string_equal(condition(s, "Failed"), "True");
    assert_int_equal(status(s, "failed"), 3);
    assert_int_equal(sim_events(s, "BackoffLimitExceeded"), 1);
    sim_free(s);
}

static void test_indexed(void **state)
{
    struct sim *s = sim_new(&(struct sim_opts){.seed = 42, .nodes = 2});
    submit(s, "'completions':7,'parallelism':3,'completionMode':'Indexed'");
    sim_run(s, 300 * 1000);
    struct doc *job = sim_get(s, "batch", "jobs", "default", "work");
    assert_string_equal(str_z(s->mem, doc_str(doc_get(job, "status"), "completedIndexes")), "0-6");
    assert_string_equal(condition(s, "Complete"), "True");
    assert_int_equal(sim_count(s, "", "pods", "default"), 7);
    sim_free(s);
}

static void test_deadline(void **state)
{
    struct sim *s = sim_new(&(struct sim_opts){.seed = 43, .nodes = 1});
    s->pods_failing = 100;
    submit(s, "'activeDeadlineSeconds':25,'backoffLimit':50");
    sim_run(s, SIM_SETTLE_MS);
    assert_string_equal(condition(s, "Failed"), "True");
    assert_int_equal(sim_events(s, "DeadlineExceeded"), 1);
    sim_free(s);
}

static void test_suspend_then_resume(void **state)
{
    struct sim *s = sim_new(&(struct sim_opts){.seed = 44, .nodes = 1});
    submit(s, "'suspend':true,'completions':2,'parallelism':2");
    sim_run(s, SIM_SETTLE_MS);
    assert_int_equal(sim_count(s, "", "pods", "default"), 0);
    assert_string_equal(condition(s, "Suspended"), "True");
    sim_merge(s, "batch", "jobs", "default", "work", "{'spec':{'suspend':false}}");
    sim_run(s, SIM_SETTLE_MS);
    assert_string_equal(condition(s, "Suspended"), "False");
    assert_string_equal(condition(s, "Complete"), "True");
    sim_free(s);
}

static void test_ttl_after_finished(void **state)
{
    struct sim *s = sim_new(&(struct sim_opts){.seed = 45, .nodes = 1});
    submit(s, "'ttlSecondsAfterFinished':100");
    sim_run(s, SIM_SETTLE_MS);
    assert_string_equal(condition(s, "Complete"), "True");
    sim_run(s, 120 * 1000);
    assert_null(sim_obj(s, "batch", "jobs", "default", "work"));
    assert_int_equal(sim_count(s, "", "pods", "default"), 0);
    sim_free(s);
}

static void test_deleted_job_frees_its_pods(void **state)
{
    struct sim *s = sim_new(&(struct sim_opts){.seed = 46, .nodes = 1});
    submit(s, "'completions':50,'parallelism':5");
    sim_run(s, 4000);
    assert_true(sim_count(s, "", "pods", "default") >= 5);
    sim_delete(s, "batch", "jobs", "default", "work", PROPAGATE_BACKGROUND);
    sim_run(s, SIM_SETTLE_MS);
    assert_int_equal(sim_count(s, "", "pods", "default"), 0);
    sim_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_completions_with_failures),
        cmocka_unit_test(test_backoff_limit),
        cmocka_unit_test(test_indexed),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_suspend_then_resume),
        cmocka_unit_test(test_ttl_after_finished),
        cmocka_unit_test(test_deleted_job_frees_its_pods),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
