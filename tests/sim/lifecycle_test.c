/* tests/sim/lifecycle_test.c - nodes that fall silent, namespaces and owners that go. */
#include "sim.h"

static void deploy(struct sim *s, const char *ns, const char *name, int replicas)
{
    sim_create(s, "apps", "deployments", ns,
               str_fmtz(s->mem,
                        "{'metadata':{'name':'%s','namespace':'%s'},'spec':{'replicas':%d,'selector':{'matchLabels':"
                        "{'app':'%s'}},'template':{'metadata':{'labels':{'app':'%s'}}," SIM_POD_SPEC "}}}",
                        name, ns, replicas, name, name));
}

static int pods_on(struct sim *s, const char *node)
{
    int count;
    cache_pods_of_node(s->cache, s->mem, str_of(node), &count);
    return count;
}

static void test_node_lost_then_back(void **state)
{
    struct sim *s = sim_new(&(struct sim_opts){.seed = 21, .nodes = 3});
    deploy(s, "default", "web", 6);
    sim_run(s, SIM_SETTLE_MS);
    int lost = pods_on(s, "n1");
    assert_true(lost > 0);
    sim_cut(s, "n1");
    sim_run(s, 40 * 1000);
    assert_string_equal(sim_condition(s, "", "nodes", "", "n1", "Ready"), "True"); /* within its grace */
    sim_run(s, 25 * 1000);
    assert_string_equal(sim_condition(s, "", "nodes", "", "n1", "Ready"), "Unknown");
    assert_int_equal(doc_len(doc_path(sim_get(s, "", "nodes", "", "n1"), "spec", "taints", NULL)), 2);
    assert_int_equal(
        doc_int(doc_get(sim_get(s, "apps", "deployments", "default", "web"), "status"), "readyReplicas", 0), 6 - lost);
    sim_run(s, 200 * 1000); /* pods tolerate it for 300 s */
    assert_int_equal(sim_count(s, "", "pods", "default"), 6);
    sim_run(s, 150 * 1000);
    assert_int_equal(sim_events(s, "TaintManagerEviction"), lost);
    assert_int_equal(sim_count(s, "", "pods", "default"), 6 + lost); /* they terminate on a node that doesn't answer */
    sim_join(s, "n1");
    sim_run(s, SIM_SETTLE_MS);
    assert_string_equal(sim_condition(s, "", "nodes", "", "n1", "Ready"), "True");
    assert_null(doc_path(sim_get(s, "", "nodes", "", "n1"), "spec", "taints", NULL));
    assert_int_equal(sim_count(s, "", "pods", "default"), 6);
    assert_int_equal(
        doc_int(doc_get(sim_get(s, "apps", "deployments", "default", "web"), "status"), "availableReplicas", 0), 6);
    sim_free(s);
}

static void test_pods_of_a_removed_node_are_collected(void **state)
{
    struct sim *s = sim_new(&(struct sim_opts){.seed = 22, .nodes = 2});
    deploy(s, "default", "web", 4);
    sim_run(s, SIM_SETTLE_MS);
    sim_cut(s, "n1");
    sim_delete(s, "", "nodes", "", "n1", PROPAGATE_DEFAULT);
    sim_run(s, 30 * 1000);
    assert_int_equal(pods_on(s, "n1"), 2); /* in quarantine */
    sim_run(s, SIM_SETTLE_MS);
    assert_int_equal(pods_on(s, "n1"), 0);
    assert_int_equal(pods_on(s, "n2"), 4);
    sim_free(s);
}

static void test_namespace_is_emptied_then_goes(void **state)
{
    struct sim *s = sim_new(&(struct sim_opts){.seed = 23, .nodes = 2});
    sim_create(s, "", "namespaces", "", "{'metadata':{'name':'shop'}}");
    sim_run(s, 100);
    assert_non_null(sim_obj(s, "", "serviceaccounts", "shop", "default"));
    assert_non_null(sim_obj(s, "", "configmaps", "shop", "kube-root-ca.crt"));
    deploy(s, "shop", "web", 3);
    sim_create(s, "", "configmaps", "shop",
               "{'metadata':{'name':'held','namespace':'shop','finalizers':['example.com/hold']}}");
    sim_run(s, SIM_SETTLE_MS);
    sim_delete(s, "", "namespaces", "", "shop", PROPAGATE_DEFAULT);
    assert_string_equal(sim_condition(s, "", "namespaces", "", "shop", "Ready"), "");
    sim_run(s, SIM_SETTLE_MS);
    assert_int_equal(sim_count(s, "", "pods", "shop"), 0);
    assert_int_equal(sim_count(s, "apps", "deployments", "shop"), 0);
    assert_string_equal(sim_condition(s, "", "namespaces", "", "shop", "NamespaceFinalizersRemaining"), "True");
    assert_string_equal(sim_condition(s, "", "namespaces", "", "shop", "NamespaceContentRemaining"), "True");
    struct err err = ERR(s->mem);
    assert_int_equal(sim_create_err(s, "", "configmaps", "shop", "{'metadata':{'name':'x','namespace':'shop'}}", &err),
                     ERR_FORBIDDEN);
    sim_merge(s, "", "configmaps", "shop", "held", "{'metadata':{'finalizers':null}}");
    sim_run(s, 1000);
    assert_null(sim_obj(s, "", "namespaces", "", "shop"));
    assert_int_equal(sim_count(s, "", "events", "shop"), 0);
    sim_free(s);
}

static void owned(struct sim *s, const char *name, const char *owner_name, bool block)
{
    const struct obj *o = sim_obj(s, "", "configmaps", "default", owner_name);
    sim_create(s, "", "configmaps", "default",
               str_fmtz(s->mem,
                        "{'metadata':{'name':'%s','namespace':'default','ownerReferences':[{'apiVersion':'v1','kind':"
                        "'ConfigMap','name':'%s','uid':'" STR_FMT "','blockOwnerDeletion':%s}]}}",
                        name, owner_name, STR_ARG(o->uid), block ? "true" : "false"));
}

static void chain(struct sim *s)
{
    sim_create(s, "", "configmaps", "default", "{'metadata':{'name':'a','namespace':'default'}}");
    owned(s, "b", "a", true);
    owned(s, "c", "b", true);
    owned(s, "d", "c", true);
    sim_run(s, 1000);
}

static bool there(struct sim *s, const char *name)
{
    return sim_obj(s, "", "configmaps", "default", name);
}

static void test_background_cascade(void **state)
{
    struct sim *s = sim_new(&(struct sim_opts){.seed = 24});
    chain(s);
    sim_delete(s, "", "configmaps", "default", "a", PROPAGATE_DEFAULT);
    assert_false(there(s, "a"));
    sim_run(s, 1000);
    assert_false(there(s, "b") || there(s, "c") || there(s, "d"));
    sim_free(s);
}

static void test_foreground_goes_from_the_leaves(void **state)
{
    struct sim *s = sim_new(&(struct sim_opts){.seed = 25});
    chain(s);
    sim_merge(s, "", "configmaps", "default", "d", "{'metadata':{'finalizers':['example.com/hold']}}");
    sim_delete(s, "", "configmaps", "default", "a", PROPAGATE_FOREGROUND);
    sim_run(s, 5000);
    assert_true(there(s, "a") && there(s, "b") && there(s, "c") && there(s, "d"));
    sim_merge(s, "", "configmaps", "default", "d", "{'metadata':{'finalizers':null}}");
    sim_run(s, 5000);
    assert_false(there(s, "a") || there(s, "b") || there(s, "c") || there(s, "d"));
    sim_free(s);
}

static void test_orphans_lose_their_reference(void **state)
{
    struct sim *s = sim_new(&(struct sim_opts){.seed = 26});
    chain(s);
    sim_delete(s, "", "configmaps", "default", "a", PROPAGATE_ORPHAN);
    sim_run(s, 5000);
    assert_false(there(s, "a"));
    assert_true(there(s, "b") && there(s, "c"));
    assert_null(doc_path(sim_get(s, "", "configmaps", "default", "b"), "metadata", "ownerReferences", NULL));
    sim_free(s);
}

static void test_owner_of_another_namespace_is_none(void **state)
{
    struct sim *s = sim_new(&(struct sim_opts){.seed = 27});
    const struct obj *other = sim_obj(s, "", "configmaps", "kube-node-lease", "kube-root-ca.crt");
    sim_create(s, "", "configmaps", "default",
               str_fmtz(s->mem,
                        "{'metadata':{'name':'x','namespace':'default','ownerReferences':[{'apiVersion':'v1','kind':"
                        "'ConfigMap','name':'other','uid':'" STR_FMT "'}]}}",
                        STR_ARG(other->uid)));
    sim_run(s, 1000);
    assert_false(there(s, "x"));
    assert_int_equal(sim_events(s, "OwnerRefInvalidNamespace"), 1);
    sim_free(s);
}

static void test_deployment_cascade_in_the_foreground(void **state)
{
    struct sim *s = sim_new(&(struct sim_opts){.seed = 28, .nodes = 2});
    deploy(s, "default", "web", 3);
    sim_run(s, SIM_SETTLE_MS);
    sim_delete(s, "apps", "deployments", "default", "web", PROPAGATE_FOREGROUND);
    sim_run(s, 10);
    assert_non_null(sim_obj(s, "apps", "deployments", "default", "web"));
    sim_run(s, SIM_SETTLE_MS);
    assert_int_equal(sim_count(s, "", "pods", "default"), 0);
    assert_int_equal(sim_count(s, "apps", "replicasets", "default"), 0);
    assert_int_equal(sim_count(s, "apps", "deployments", "default"), 0);
    sim_free(s);
}

static void test_service_finds_its_pods(void **state)
{
    struct sim *s = sim_new(&(struct sim_opts){.seed = 29, .nodes = 2});
    deploy(s, "default", "web", 3);
    sim_create(s, "", "services", "default",
               "{'metadata':{'name':'web','namespace':'default'},'spec':{'selector':{'app':'web'},'ports':[{'name':"
               "'http','port':80,'targetPort':8080}]}}");
    sim_run(s, SIM_SETTLE_MS);
    struct cache_iter it = cache_list(s->cache, STR("discovery.k8s.io/endpointslices/default/"), STR_NULL);
    struct obj *o = cache_next(&it);
    assert_non_null(o);
    struct doc *slice = obj_doc(s->mem, o);
    assert_int_equal(doc_len(doc_get(slice, "endpoints")), 3);
    assert_int_equal(doc_int(doc_at(doc_get(slice, "ports"), 0), "port", 0), 8080);
    doc_each (e, doc_get(slice, "endpoints"))
        assert_true(doc_bool(doc_get(e, "conditions"), "ready", false));
    struct doc *legacy = sim_get(s, "", "endpoints", "default", "web");
    assert_int_equal(doc_len(doc_get(doc_at(doc_get(legacy, "subsets"), 0), "addresses")), 3);
    sim_delete(s, "", "services", "default", "web", PROPAGATE_DEFAULT);
    sim_run(s, 1000);
    assert_int_equal(sim_count(s, "discovery.k8s.io", "endpointslices", "default"), 0);
    assert_null(sim_get(s, "", "endpoints", "default", "web"));
    sim_free(s);
}

static void test_events_are_forgotten(void **state)
{
    struct sim *s = sim_new(&(struct sim_opts){.seed = 30, .nodes = 1});
    deploy(s, "default", "web", 1);
    sim_run(s, SIM_SETTLE_MS);
    assert_true(sim_count(s, "", "events", "default") > 0);
    sim_run(s, 3700 * 1000);
    assert_int_equal(sim_count(s, "", "events", "default"), 0);
    sim_free(s);
}

static const char *range_of(struct sim *s, const char *node)
{
    return str_z(s->mem, doc_str(doc_get(sim_get(s, "", "nodes", "", node), "spec"), "podCIDR"));
}

static void test_each_node_gets_a_range_of_its_own(void **state)
{
    struct sim *s = sim_new(&(struct sim_opts){.seed = 27, .nodes = 3, .cluster_cidr = STR("10.244.0.0/22")});
    sim_run(s, SIM_SETTLE_MS);
    assert_string_equal(range_of(s, "n1"), "10.244.0.0/24");
    assert_string_equal(range_of(s, "n2"), "10.244.1.0/24");
    assert_string_equal(range_of(s, "n3"), "10.244.2.0/24");
    /* Gone and back, over a restart: what others hold is known, the wish is heard where it can be. */
    sim_delete(s, "", "nodes", "", "n2", PROPAGATE_DEFAULT);
    sim_crash(s);
    sim_create(s, "", "nodes", "",
               "{'metadata':{'name':'back','annotations':{'sampan.dev/pod-cidr':'10.244.1.0/24'}}}");
    sim_create(s, "", "nodes", "",
               "{'metadata':{'name':'greedy','annotations':{'sampan.dev/pod-cidr':'10.244.0.0/24'}}}");
    sim_create(s, "", "nodes", "", "{'metadata':{'name':'late'}}");
    sim_run(s, SIM_SETTLE_MS);
    assert_string_equal(range_of(s, "back"), "10.244.1.0/24");
    assert_string_equal(range_of(s, "greedy"), "10.244.3.0/24");
    assert_string_equal(range_of(s, "late"), "");
    assert_true(sim_events(s, "CIDRNotAvailable") > 0);
    sim_delete(s, "", "nodes", "", "n1", PROPAGATE_DEFAULT);
    sim_run(s, 1200 * 1000);
    assert_string_equal(range_of(s, "late"), "10.244.0.0/24");
    sim_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_node_lost_then_back),
        cmocka_unit_test(test_each_node_gets_a_range_of_its_own),
        cmocka_unit_test(test_pods_of_a_removed_node_are_collected),
        cmocka_unit_test(test_namespace_is_emptied_then_goes),
        cmocka_unit_test(test_background_cascade),
        cmocka_unit_test(test_foreground_goes_from_the_leaves),
        cmocka_unit_test(test_orphans_lose_their_reference),
        cmocka_unit_test(test_owner_of_another_namespace_is_none),
        cmocka_unit_test(test_deployment_cascade_in_the_foreground),
        cmocka_unit_test(test_service_finds_its_pods),
        cmocka_unit_test(test_events_are_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
