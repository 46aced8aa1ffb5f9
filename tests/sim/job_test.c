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

/* ---- pods played by hand: there are no nodes */

static const char *text(struct sim *s, const char *name)
{
    return str_z(s->mem, doc_str(doc_get(sim_get(s, "batch", "jobs", "default", "work"), "status"), name));
}

static const char *reason(struct sim *s, const char *type, const char *field)
{
    doc_each (c, doc_path(sim_get(s, "batch", "jobs", "default", "work"), "status", "conditions", NULL)) {
        if (str_is(doc_str(c, "type"), type))
            return str_z(s->mem, doc_str(c, field));
    }
    return "";
}

static struct str annotation(const struct doc *pod, const char *name)
{
    return doc_str(doc_path(pod, "metadata", "annotations", NULL), name);
}

/* The pod of an index ("": any) that has not ended. */
static const struct obj *open_pod(struct sim *s, const char *index)
{
    struct cache_iter it = cache_list(s->cache, STR("pods/default/"), STR_NULL);
    for (struct obj *o; (o = cache_next(&it));) {
        const struct doc *pod = obj_doc(s->mem, o);
        struct str phase = doc_str(doc_get(pod, "status"), "phase");
        bool mine = !*index || str_is(annotation(pod, "batch.kubernetes.io/job-completion-index"), index);
        if (mine && !o->deleting && !str_is(phase, "Failed") && !str_is(phase, "Succeeded"))
            return o;
    }
    return NULL;
}

static void end_pod(struct sim *s, const char *index, int code, const char *conditions)
{
    const struct obj *o = open_pod(s, index);
    assert_non_null(o);
    struct str now = write_time(s->mem, loop_wall_ms(s->loop));
    char *json = str_fmtz(s->mem,
                          "{'status':{'phase':'%s','conditions':[%s],'containerStatuses':[{'name':'c','image':'i',"
                          "'imageID':'','ready':false,'restartCount':0,'state':{'terminated':{'exitCode':%d,"
                          "'finishedAt':'" STR_FMT "'}}}]}}",
                          code ? "Failed" : "Succeeded", conditions, code, STR_ARG(now));
    for (char *c = json; *c; c++)
        *c = *c == '\'' ? '"' : *c;
    struct err err = ERR(s->mem);
    struct doc *patch = doc_parse(s->mem, str_of(json), NULL, &err);
    assert_non_null(patch);
    write_merge(s->writer, NULL, schema_stored("", "pods"), "status", o->ns, o->name, patch, NULL, NULL);
    sim_run(s, 1000);
}

static void test_an_index_fails_after_its_own_limit(void **state)
{
    struct sim *s = sim_new(&(struct sim_opts){.seed = 50});
    submit(s, "'completions':3,'parallelism':3,'completionMode':'Indexed','backoffLimitPerIndex':1");
    sim_run(s, 1000);
    assert_string_equal(text(s, "failedIndexes"), "");
    end_pod(s, "1", 1, "");
    assert_null(open_pod(s, "1")); /* its back-off */
    assert_int_equal(status(s, "failed"), 0);
    sim_run(s, 10 * 1000);
    const struct obj *again = open_pod(s, "1");
    assert_non_null(again);
    assert_true(str_is(annotation(obj_doc(s->mem, again), "batch.kubernetes.io/job-index-failure-count"), "1"));
    assert_int_equal(status(s, "failed"), 1);
    end_pod(s, "1", 1, "");
    assert_string_equal(text(s, "failedIndexes"), "1");
    sim_run(s, SIM_SETTLE_MS);
    assert_null(open_pod(s, "1"));
    assert_string_equal(condition(s, "Failed"), ""); /* the others go on */
    end_pod(s, "0", 0, "");
    end_pod(s, "2", 0, "");
    assert_string_equal(reason(s, "Failed", "reason"), "FailedIndexes");
    assert_string_equal(reason(s, "Failed", "message"), "Job has failed indexes");
    assert_string_equal(text(s, "completedIndexes"), "0,2");
    assert_int_equal(status(s, "failed"), 2);
    assert_int_equal(sim_events(s, "FailedIndexes"), 1);
    sim_free(s);
}

static void test_too_many_failed_indexes(void **state)
{
    struct sim *s = sim_new(&(struct sim_opts){.seed = 51});
    submit(s,
           "'completions':5,'parallelism':5,'completionMode':'Indexed','backoffLimitPerIndex':0,'maxFailedIndexes':1");
    sim_run(s, 1000);
    end_pod(s, "4", 1, "");
    assert_string_equal(condition(s, "FailureTarget"), "");
    end_pod(s, "2", 1, "");
    sim_run(s, SIM_SETTLE_MS);
    assert_string_equal(reason(s, "Failed", "reason"), "MaxFailedIndexesExceeded");
    assert_string_equal(text(s, "failedIndexes"), "2,4");
    assert_null(open_pod(s, ""));
    sim_free(s);
}

static void test_failure_policy_fails_the_job(void **state)
{
    struct sim *s = sim_new(&(struct sim_opts){.seed = 52});
    submit(s, "'completions':4,'parallelism':2,'podFailurePolicy':{'rules':[{'action':'FailJob','onExitCodes':"
              "{'operator':'In','values':[42]}}]}");
    sim_run(s, 1000);
    struct str name = open_pod(s, "")->name;
    const char *want = str_fmtz(
        s->mem, "Container c for pod default/" STR_FMT " failed with exit code 42 matching FailJob rule at index 0",
        STR_ARG(name));
    end_pod(s, "", 42, "");
    sim_run(s, SIM_SETTLE_MS);
    assert_string_equal(reason(s, "FailureTarget", "reason"), "PodFailurePolicy");
    assert_string_equal(reason(s, "Failed", "reason"), "PodFailurePolicy");
    assert_string_equal(reason(s, "Failed", "message"), want);
    assert_int_equal(sim_events(s, "PodFailurePolicy"), 1);
    assert_int_equal(status(s, "failed"), 2); /* the one that was ended for it too */
    assert_null(open_pod(s, ""));
    sim_free(s);
}

static void test_an_ignored_failure_does_not_count(void **state)
{
    struct sim *s = sim_new(&(struct sim_opts){.seed = 53});
    submit(s, "'backoffLimit':0,'podFailurePolicy':{'rules':[{'action':'Ignore','onPodConditions':"
              "[{'type':'DisruptionTarget','status':'True'}]}]}");
    sim_run(s, 1000);
    end_pod(s, "", 143, "{'type':'DisruptionTarget','status':'True'}");
    sim_run(s, SIM_SETTLE_MS);
    assert_string_equal(condition(s, "Failed"), "");
    end_pod(s, "", 0, "");
    sim_run(s, SIM_SETTLE_MS);
    assert_string_equal(condition(s, "Complete"), "True");
    assert_int_equal(status(s, "failed"), 0);
    sim_free(s);
}

static void test_success_policy_ends_the_rest(void **state)
{
    struct sim *s = sim_new(&(struct sim_opts){.seed = 54});
    submit(s, "'completions':3,'parallelism':3,'completionMode':'Indexed','successPolicy':{'rules':["
              "{'succeededIndexes':'0'}]}");
    sim_run(s, 1000);
    end_pod(s, "1", 0, "");
    assert_string_equal(condition(s, "SuccessCriteriaMet"), "");
    end_pod(s, "0", 0, "");
    sim_run(s, SIM_SETTLE_MS);
    assert_string_equal(reason(s, "SuccessCriteriaMet", "reason"), "SuccessPolicy");
    assert_string_equal(reason(s, "Complete", "reason"), "SuccessPolicy");
    assert_string_equal(reason(s, "Complete", "message"), "Matched rules at index 0");
    assert_string_equal(text(s, "completedIndexes"), "0,1");
    assert_int_equal(status(s, "failed"), 0);
    assert_null(open_pod(s, ""));
    assert_int_equal(sim_events(s, "Completed"), 1);
    sim_free(s);
}

static void test_the_end_waits_for_terminating_pods(void **state)
{
    struct sim *s = sim_new(&(struct sim_opts){.seed = 55, .nodes = 2});
    s->keep_terminating = true;
    submit(s, "'completions':2,'parallelism':2,'activeDeadlineSeconds':2");
    sim_run(s, 3500);
    assert_string_equal(condition(s, "FailureTarget"), "True");
    assert_string_equal(condition(s, "Failed"), "");
    assert_true(status(s, "terminating") > 0);
    s->keep_terminating = false;
    struct cache_iter it = cache_list(s->cache, STR("pods/default/"), STR_NULL);
    for (struct obj *o; (o = cache_next(&it));)
        write_delete(s->writer, NULL, o->res, o->ns, o->name, o->uid, 0, NULL, NULL);
    sim_run(s, SIM_SETTLE_MS);
    assert_string_equal(reason(s, "Failed", "reason"), "DeadlineExceeded");
    assert_int_equal(status(s, "terminating"), 0);
    sim_free(s);
}

static void test_suspended_pods_are_not_failures(void **state)
{
    struct sim *s = sim_new(&(struct sim_opts){.seed = 56, .nodes = 2});
    submit(s, "'completions':3,'parallelism':3,'backoffLimit':0");
    sim_run(s, 900);
    sim_merge(s, "batch", "jobs", "default", "work", "{'spec':{'suspend':true}}");
    sim_run(s, SIM_SETTLE_MS);
    assert_int_equal(status(s, "failed"), 0);
    assert_string_equal(condition(s, "Failed"), "");
    assert_string_equal(text(s, "startTime"), "");
    assert_null(open_pod(s, ""));
    assert_int_equal(sim_events(s, "Suspended"), 1);
    sim_merge(s, "batch", "jobs", "default", "work", "{'spec':{'suspend':false}}");
    sim_run(s, SIM_SETTLE_MS);
    assert_string_equal(condition(s, "Complete"), "True");
    assert_int_equal(sim_events(s, "Resumed"), 1);
    sim_free(s);
}

/* ---- faults */

struct tally {
    int failed, succeeded;
};

/* Pods that ended while the Job still had its finger on them. One that was removed as superfluous does not count. */
static void tally(struct sim *s, const struct cache_event *ev, void *ctx)
{
    struct tally *t = ctx;
    if (ev->type == CACHE_DELETED || strcmp(ev->obj->res->name, "pods") != 0)
        return;
    cleanup_arena struct arena *mem = arena_new();
    const struct doc *pod = obj_doc(mem, ev->obj);
    struct str was = ev->prev ? doc_str(doc_get(obj_doc(mem, ev->prev), "status"), "phase") : STR_NULL;
    struct str is = doc_str(doc_get(pod, "status"), "phase");
    if (str_eq(was, is) || !doc_path(pod, "metadata", "finalizers", NULL))
        return;
    t->failed += str_is(is, "Failed");
    t->succeeded += str_is(is, "Succeeded");
}

static bool run_to_the_end(struct sim *s)
{
    for (int i = 0; i < 400000; i++) {
        sim_run(s, 1 + (int64_t)(loop_rand(s->loop, RAND_TEST) % 40));
        if (!writer_idle(s->writer) || loop_rand(s->loop, RAND_TEST) % 50 == 0)
            sim_crash(s);
        if (i % 64 == 0 && (!strcmp(condition(s, "Complete"), "True") || !strcmp(condition(s, "Failed"), "True")))
            return true;
    }
    return false;
}

/* The server dies some thousand times, a hundred of them with writes under way: the counts are still those of the pods.
 */
static void test_counts_are_exact_over_crashes(void **state)
{
    int lost = 0, kept = 0;
    for (uint64_t seed = 60; seed < 68; seed++) {
        struct tally t = {0};
        struct sim *s = sim_new(&(struct sim_opts){.seed = seed, .nodes = 3, .on_event = tally, .ctx = &t});
        s->pods_failing = 40;
        bool per_index = seed % 2;
        submit(s, per_index ? "'completions':20,'parallelism':4,'completionMode':'Indexed','backoffLimitPerIndex':2"
                            : "'completions':20,'parallelism':4,'backoffLimit':1000");
        assert_true(run_to_the_end(s));
        sim_run(s, SIM_SETTLE_MS);
        assert_int_equal(status(s, "failed"), t.failed);
        assert_int_equal(status(s, "succeeded"), t.succeeded);
        assert_true(t.failed > 0);
        lost += s->crashes_lost, kept += s->crashes_kept;
        struct cache_iter it = cache_list(s->cache, STR("pods/default/"), STR_NULL);
        for (struct obj *o; (o = cache_next(&it));)
            assert_null(doc_path(obj_doc(s->mem, o), "metadata", "finalizers", NULL));
        sim_free(s);
    }
    assert_true(lost > 50 && kept > 50);
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
        cmocka_unit_test(test_an_index_fails_after_its_own_limit),
        cmocka_unit_test(test_too_many_failed_indexes),
        cmocka_unit_test(test_failure_policy_fails_the_job),
        cmocka_unit_test(test_an_ignored_failure_does_not_count),
        cmocka_unit_test(test_success_policy_ends_the_rest),
        cmocka_unit_test(test_the_end_waits_for_terminating_pods),
        cmocka_unit_test(test_suspended_pods_are_not_failures),
        cmocka_unit_test(test_counts_are_exact_over_crashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
