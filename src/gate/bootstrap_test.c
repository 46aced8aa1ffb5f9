/* gate/bootstrap_test.c - what a cluster is born with is made, left alone, and made again when deleted. */
#include "gate/test_gate.h"

static void on_complete(void *ctx)
{
    ++*(int *)ctx;
}

static const struct thing {
    const char *group, *resource, *ns, *name;
} things[] = {
    {"", "namespaces", "", "default"},
    {"", "namespaces", "", "kube-system"},
    {"", "services", "default", "kubernetes"},
    {"", "endpoints", "default", "kubernetes"},
    {"discovery.k8s.io", "endpointslices", "default", "kubernetes"},
    {"", "services", "kube-system", "kube-dns"},
    {"networking.k8s.io", "servicecidrs", "", "kubernetes"},
    {"scheduling.k8s.io", "priorityclasses", "", "system-node-critical"},
    {"", "configmaps", "kube-system", "extension-apiserver-authentication"},
    {"flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations", "", "catch-all"},
    {"flowcontrol.apiserver.k8s.io", "flowschemas", "", "probes"},
    {"flowcontrol.apiserver.k8s.io", "flowschemas", "", "system-nodes"},
    {"rbac.authorization.k8s.io", "clusterroles", "", "cluster-admin"},
    {"rbac.authorization.k8s.io", "clusterrolebindings", "", "cluster-admin"},
    {"rbac.authorization.k8s.io", "roles", "kube-system", "extension-apiserver-authentication-reader"},
};
enum { THINGS = sizeof(things) / sizeof(things[0]) };

static struct obj *find(struct world *w, const struct thing *t)
{
    struct obj *o = cache_find(w->cache, schema_stored(t->group, t->resource), str_of(t->ns), str_of(t->name));
    if (!o)
        fail_msg("%s %s is not there", t->resource, t->name);
    return o;
}

static void test_made_and_made_again(void **state)
{
    struct world *w = world_new();
    int complete = 0;
    gate_bootstrap_start(w->gate, on_complete, &complete);
    loop_sim_run(w->loop, 5000);
    assert_int_equal(complete, 1);
    for (size_t i = 0; i < THINGS; i++) {
        struct str uid = str_dup(w->mem, find(w, &things[i])->uid);
        if (!strcmp(things[i].resource, "namespaces"))
            continue; /* those are never deleted */
        world_delete(w, things[i].group, things[i].resource, things[i].ns, things[i].name);
        assert_false(str_eq(find(w, &things[i])->uid, uid));
    }
    assert_int_equal(complete, 1);
    world_free(w);
}

static void test_a_restart_writes_nothing(void **state)
{
    struct world *w = world_new();
    int complete = 0;
    gate_bootstrap_start(w->gate, on_complete, &complete);
    loop_sim_run(w->loop, 5000);
    uint64_t rev = cache_rev(w->cache);
    w->gate = gate_free(w->gate);
    world_open_gate(w);
    gate_bootstrap_start(w->gate, on_complete, &complete);
    loop_sim_run(w->loop, 5000);
    assert_int_equal(complete, 2);
    assert_int_equal(cache_rev(w->cache), rev);
    world_free(w);
}

/* The ConfigMap of an earlier version is completed, and what others put in it stays. */
static void test_the_authentication_config_is_completed(void **state)
{
    static const struct thing config = {"", "configmaps", "kube-system", "extension-apiserver-authentication"};
    struct world *w = world_new();
    int complete = 0;
    world_put(w, "", "namespaces", "", "{\"metadata\":{\"name\":\"kube-system\"}}");
    world_put(w, "", "configmaps", "kube-system",
              "{\"metadata\":{\"name\":\"extension-apiserver-authentication\"},"
              "\"data\":{\"client-ca-file\":\"old\",\"mine\":\"x\"}}");
    gate_bootstrap_start(w->gate, on_complete, &complete);
    loop_sim_run(w->loop, 5000);
    const struct doc *data = doc_get(obj_doc(w->mem, find(w, &config)), "data");
    assert_true(str_is(doc_str(data, "mine"), "x"));
    assert_true(str_is(doc_str(data, "requestheader-username-headers"), "[\"X-Remote-User\"]"));
    struct str ca = doc_str(data, "client-ca-file"), front = doc_str(data, "requestheader-client-ca-file");
    assert_true(str_starts(ca, STR("-----BEGIN CERTIFICATE-----")));
    assert_true(str_starts(front, STR("-----BEGIN CERTIFICATE-----")));
    assert_false(str_eq(ca, front));
    world_free(w);
}

static void test_roles_are_the_sum_of_their_parts(void **state)
{
    struct world *w = world_new();
    int complete = 0;
    gate_bootstrap_start(w->gate, on_complete, &complete);
    loop_sim_run(w->loop, 5000);
    world_put(w, "", "namespaces", "", "{\"metadata\":{\"name\":\"ns\"}}");
    world_put(
        w, "rbac.authorization.k8s.io", "rolebindings", "ns",
        "{\"metadata\":{\"name\":\"b\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":"
        "\"ClusterRole\",\"name\":\"view\"},\"subjects\":[{\"kind\":\"User\",\"apiGroup\":\"rbac.authorization.k8s."
        "io\",\"name\":\"ann\"}]}");
    static const struct decision before[] = {{"ann", "", "list /pods ns", true},
                                             {"ann", "", "get /secrets ns/s", false},
                                             {"ann", "", "create /pods ns", false},
                                             {"ann", "", "list example.org/boats ns", false}};
    DECIDE(w, before);
    world_put(
        w, "rbac.authorization.k8s.io", "clusterroles", "",
        "{\"metadata\":{\"name\":\"boats\",\"labels\":{\"rbac.authorization.k8s.io/aggregate-to-view\":\"true\"}},"
        "\"rules\":[{\"apiGroups\":[\"example.org\"],\"resources\":[\"boats\"],\"verbs\":[\"list\"]}]}");
    loop_sim_run(w->loop, 3000);
    static const struct decision after[] = {{"ann", "", "list example.org/boats ns", true}};
    DECIDE(w, after);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_made_and_made_again),
        cmocka_unit_test(test_a_restart_writes_nothing),
        cmocka_unit_test(test_the_authentication_config_is_completed),
        cmocka_unit_test(test_roles_are_the_sum_of_their_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
