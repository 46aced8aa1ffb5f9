/* tests/sim/rollout_test.c - Deployments in virtual time: the limits of a rolling update hold at every change. */
#include "sim.h"

enum { SEEDS = 50, REPLICAS = 5 };

struct watcher {
    int surge, unavailable;
    bool armed; /* from the first time that all were available */
    int worst_total, least_available;
};

static void count(struct sim *s, int *ret_total, int *ret_available)
{
    cleanup_arena struct arena *mem = arena_new();
    struct cache_iter it = cache_list(s->cache, STR("pods/default/"), STR_NULL);
    *ret_total = *ret_available = 0;
    for (struct obj *o; (o = cache_next(&it));) {
        if (o->deleting)
            continue;
        ++*ret_total;
        doc_each (c, doc_path(obj_doc(mem, o), "status", "conditions", NULL)) {
            if (str_is(doc_str(c, "type"), "Ready") && str_is(doc_str(c, "status"), "True"))
                ++*ret_available;
        }
    }
}

static void check(struct sim *s, const struct cache_event *ev, void *ctx)
{
    struct watcher *w = ctx;
    int total, available;
    if (!w->armed || !str_starts(ev->obj->key, STR("pods/")))
        return;
    count(s, &total, &available);
    if (total > w->worst_total)
        w->worst_total = total;
    if (available < w->least_available)
        w->least_available = available;
}

static void deploy(struct sim *s, const char *surge, const char *unavailable)
{
    sim_create(
        s, "apps", "deployments", "default",
        str_fmtz(s->mem,
                 "{'metadata':{'name':'web','namespace':'default'},'spec':{'replicas':%d,'selector':"
                 "{'matchLabels':{'app':'web'}},'strategy':{'type':'RollingUpdate','rollingUpdate':"
                 "{'maxSurge':%s,'maxUnavailable':%s}},'template':{'metadata':{'labels':{'app':'web'}}," SIM_POD_SPEC
                 "}}}",
                 REPLICAS, surge, unavailable));
}

static void set_image(struct sim *s, const char *image)
{
    sim_merge(s, "apps", "deployments", "default", "web",
              str_fmtz(s->mem, "{'spec':{'template':{'spec':{'containers':[{'name':'c','image':'%s'}]}}}}", image));
}

static int64_t status(struct sim *s, const char *count_name)
{
    return doc_int(doc_get(sim_get(s, "apps", "deployments", "default", "web"), "status"), count_name, 0);
}

static void roll(uint64_t seed, const char *surge, int surge_n, const char *unavailable, int unavailable_n)
{
    struct watcher w = {.least_available = REPLICAS};
    struct sim *s = sim_new(&(struct sim_opts){.seed = seed, .nodes = 3, .on_event = check, .ctx = &w});
    deploy(s, surge, unavailable);
    sim_run(s, SIM_SETTLE_MS);
    assert_int_equal(status(s, "availableReplicas"), REPLICAS);
    w.armed = true;
    set_image(s, "i2");
    sim_run(s, (int64_t)(seed * 37 % 4000)); /* a third template in the middle of the second's rollout */
    set_image(s, "i3");
    sim_run(s, 2 * SIM_SETTLE_MS);
    assert_int_equal(status(s, "updatedReplicas"), REPLICAS);
    assert_int_equal(status(s, "replicas"), REPLICAS);
    assert_int_equal(status(s, "availableReplicas"), REPLICAS);
    assert_string_equal(sim_condition(s, "apps", "deployments", "default", "web", "Progressing"), "True");
    if (w.worst_total > REPLICAS + surge_n || w.least_available < REPLICAS - unavailable_n)
        fail_msg("seed %d: %d pods, %d available", (int)seed, w.worst_total, w.least_available);
    assert_true(w.worst_total > REPLICAS || surge_n == 0);
    sim_free(s);
}

static void test_limits_hold_over_seeds(void **state)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        switch (seed % 4) {
        case 0:
            roll(seed, "'25%'", 2, "'25%'", 1);
            break;
        case 1:
            roll(seed, "1", 1, "0", 0);
            break;
        case 2:
            roll(seed, "0", 0, "2", 2);
            break;
        case 3:
            roll(seed, "'100%'", 5, "0", 0);
            break;
        }
    }
}

static void test_rollback_revisions_and_history(void **state)
{
    struct sim *s = sim_new(&(struct sim_opts){.seed = 7, .nodes = 2});
    deploy(s, "1", "0");
    sim_merge(s, "apps", "deployments", "default", "web", "{'spec':{'revisionHistoryLimit':1}}");
    sim_run(s, SIM_SETTLE_MS);
    set_image(s, "i2");
    sim_run(s, SIM_SETTLE_MS);
    assert_int_equal(sim_count(s, "apps", "replicasets", "default"), 2);
    set_image(s, "i"); /* back: the first set is used again, as revision 3 */
    sim_run(s, SIM_SETTLE_MS);
    assert_int_equal(sim_count(s, "apps", "replicasets", "default"), 2);
    struct doc *d = sim_get(s, "apps", "deployments", "default", "web");
    assert_string_equal(
        str_z(s->mem, doc_str(doc_path(d, "metadata", "annotations", NULL), "deployment.kubernetes.io/revision")), "3");
    set_image(s, "i4");
    sim_run(s, SIM_SETTLE_MS);
    assert_int_equal(sim_count(s, "apps", "replicasets", "default"), 2); /* the oldest is gone */
    assert_true(sim_events(s, "ScalingReplicaSet") > 10);
    sim_free(s);
}

static void test_recreate_never_mixes(void **state)
{
    struct watcher w = {.least_available = REPLICAS};
    struct sim *s = sim_new(&(struct sim_opts){.seed = 11, .nodes = 2, .on_event = check, .ctx = &w});
    deploy(s, "1", "0");
    sim_merge(s, "apps", "deployments", "default", "web",
              "{'spec':{'strategy':{'type':'Recreate','rollingUpdate':null}}}");
    sim_run(s, SIM_SETTLE_MS);
    w.armed = true;
    set_image(s, "i2");
    for (int i = 0; i < 600; i++) {
        int old = 0, fresh = 0;
        cleanup_arena struct arena *mem = arena_new();
        struct cache_iter it = cache_list(s->cache, STR("pods/default/"), STR_NULL);
        for (struct obj *o; (o = cache_next(&it));) {
            struct doc *c = doc_at(doc_path(obj_doc(mem, o), "spec", "containers", NULL), 0);
            *(str_is(doc_str(c, "image"), "i2") ? &fresh : &old) += 1;
        }
        assert_false(old && fresh);
        sim_run(s, 20);
    }
    sim_run(s, SIM_SETTLE_MS);
    assert_int_equal(w.worst_total, REPLICAS);
    assert_int_equal(status(s, "updatedReplicas"), REPLICAS);
    sim_free(s);
}

static void test_scale_pause_and_resume(void **state)
{
    struct sim *s = sim_new(&(struct sim_opts){.seed = 12, .nodes = 2});
    deploy(s, "1", "0");
    sim_run(s, SIM_SETTLE_MS);
    sim_merge(s, "apps", "deployments", "default", "web", "{'spec':{'paused':true}}");
    set_image(s, "i2");
    sim_run(s, SIM_SETTLE_MS);
    assert_int_equal(sim_count(s, "apps", "replicasets", "default"), 1);
    assert_string_equal(sim_condition(s, "apps", "deployments", "default", "web", "Progressing"), "Unknown");
    sim_merge(s, "apps", "deployments", "default", "web", "{'spec':{'replicas':9}}");
    sim_run(s, SIM_SETTLE_MS);
    assert_int_equal(status(s, "replicas"), 9);
    sim_merge(s, "apps", "deployments", "default", "web", "{'spec':{'paused':null}}");
    sim_run(s, SIM_SETTLE_MS);
    assert_int_equal(status(s, "updatedReplicas"), 9);
    assert_string_equal(sim_condition(s, "apps", "deployments", "default", "web", "Progressing"), "True");
    sim_merge(s, "apps", "deployments", "default", "web", "{'spec':{'replicas':0}}");
    sim_run(s, SIM_SETTLE_MS);
    assert_int_equal(sim_count(s, "", "pods", "default"), 0);
    sim_free(s);
}

static void test_pod_that_is_deleted_comes_back(void **state)
{
    struct sim *s = sim_new(&(struct sim_opts){.seed = 13, .nodes = 2});
    deploy(s, "1", "0");
    sim_run(s, SIM_SETTLE_MS);
    struct cache_iter it = cache_list(s->cache, STR("pods/default/"), STR_NULL);
    char *name = str_z(s->mem, cache_next(&it)->name);
    sim_delete(s, "", "pods", "default", name, PROPAGATE_DEFAULT);
    sim_run(s, SIM_SETTLE_MS);
    assert_null(sim_obj(s, "", "pods", "default", name));
    assert_int_equal(status(s, "availableReplicas"), REPLICAS);
    sim_free(s);
}

/* Quota or admission says no: one try, then again ever later; the reason stands in the conditions. */
static void test_refused_pods_are_reported(void **state)
{
    struct sim *s = sim_new(&(struct sim_opts){.seed = 14, .nodes = 1});
    sim_create(
        s, "apps", "deployments", "default",
        "{'metadata':{'name':'web','namespace':'default'},'spec':{'replicas':40,'selector':{'matchLabels':{'app':'w'}},"
        "'template':{'metadata':{'labels':{'app':'w'}},'spec':{'serviceAccountName':'absent','containers':[{'name':"
        "'c','image':'i'}]}}}}");
    sim_run(s, 10 * 1000);
    assert_string_equal(sim_condition(s, "apps", "deployments", "default", "web", "ReplicaFailure"), "True");
    int tries = sim_events(s, "FailedCreate");
    assert_true(tries >= 8 && tries <= 30);
    sim_create(s, "", "serviceaccounts", "default", "{'metadata':{'name':'absent','namespace':'default'}}");
    sim_run(s, SIM_SETTLE_MS);
    assert_int_equal(status(s, "availableReplicas"), 40);
    assert_string_equal(sim_condition(s, "apps", "deployments", "default", "web", "ReplicaFailure"), "");
    sim_free(s);
}

static void test_late_rollout_says_so(void **state)
{
    struct sim *s = sim_new(&(struct sim_opts){.seed = 15, .nodes = 0}); /* nowhere to run */
    deploy(s, "1", "0");
    sim_run(s, 590 * 1000);
    assert_string_equal(sim_condition(s, "apps", "deployments", "default", "web", "Progressing"), "True");
    sim_run(s, 30 * 1000);
    struct doc *d = sim_get(s, "apps", "deployments", "default", "web");
    assert_string_equal(sim_condition(s, "apps", "deployments", "default", "web", "Progressing"), "False");
    doc_each (c, doc_path(d, "status", "conditions", NULL)) {
        if (str_is(doc_str(c, "type"), "Progressing")) {
            assert_true(str_is(doc_str(c, "reason"), "ProgressDeadlineExceeded"));
            assert_true(str_ends(doc_str(c, "message"), STR("has timed out progressing.")));
        }
        if (str_is(doc_str(c, "type"), "Available"))
            assert_true(str_is(doc_str(c, "reason"), "MinimumReplicasUnavailable"));
    }
    sim_free(s);
}

/* The server dies in the middle of anything, with writes under way, and comes back. */
static void test_controllers_may_die_at_any_moment(void **state)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct watcher w = {.least_available = REPLICAS};
        struct sim *s = sim_new(&(struct sim_opts){.seed = seed, .nodes = 3, .on_event = check, .ctx = &w});
        deploy(s, "1", "1");
        sim_run(s, SIM_SETTLE_MS);
        w.armed = true;
        set_image(s, "i2");
        for (int i = 0; i < 20; i++) {
            sim_run(s, (int64_t)(loop_rand(s->loop, RAND_TEST) % 700));
            sim_crash(s);
        }
        sim_run(s, 2 * SIM_SETTLE_MS);
        assert_int_equal(status(s, "updatedReplicas"), REPLICAS);
        assert_int_equal(status(s, "availableReplicas"), REPLICAS);
        assert_int_equal(sim_count(s, "", "pods", "default"), REPLICAS);
        assert_true(w.worst_total <= REPLICAS + 1);
        assert_true(w.least_available >= REPLICAS - 1);
        sim_free(s);
    }
}

static struct str trace(uint64_t seed, struct arena *mem)
{
    struct sim *s = sim_new(&(struct sim_opts){.seed = seed, .nodes = 3});
    deploy(s, "'25%'", "'25%'");
    sim_run(s, 10000);
    set_image(s, "i2");
    sim_run(s, SIM_SETTLE_MS);
    struct str log = str_dup(mem, sb_str(&s->log));
    sim_free(s);
    return log;
}

static void test_same_seed_same_bytes(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str a = trace(5, mem), b = trace(5, mem), c = trace(6, mem);
    assert_true(a.len > 5000);
    assert_true(str_eq(a, b));
    assert_false(str_eq(a, c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits_hold_over_seeds),         cmocka_unit_test(test_rollback_revisions_and_history),
        cmocka_unit_test(test_recreate_never_mixes),           cmocka_unit_test(test_scale_pause_and_resume),
        cmocka_unit_test(test_pod_that_is_deleted_comes_back), cmocka_unit_test(test_refused_pods_are_reported),
        cmocka_unit_test(test_late_rollout_says_so),           cmocka_unit_test(test_controllers_may_die_at_any_moment),
        cmocka_unit_test(test_same_seed_same_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
