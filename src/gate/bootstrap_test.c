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

/* At a start defaults get back what they lack; what was added stays, and who says autoupdate=false is left alone. */
static void test_defaults_are_completed_at_start(void **state)
{
    static const struct thing discovery = {"rbac.authorization.k8s.io", "clusterroles", "", "system:discovery"},
                              proxier = {"rbac.authorization.k8s.io", "clusterroles", "", "system:node-proxier"},
                              basic = {"rbac.authorization.k8s.io", "clusterrolebindings", "", "system:basic-user"};
    struct world *w = world_new();
    int complete = 0;
    world_put(w, "rbac.authorization.k8s.io", "clusterroles", "",
              "{\"metadata\":{\"name\":\"system:discovery\"},\"rules\":[{\"nonResourceURLs\":[\"/mine\",\"/api\"],"
              "\"verbs\":[\"get\"]}]}");
    world_put(w, "rbac.authorization.k8s.io", "clusterroles", "",
              "{\"metadata\":{\"name\":\"system:node-proxier\",\"annotations\":{\"rbac.authorization.kubernetes.io/"
              "autoupdate\":\"false\"}},\"rules\":[]}");
    world_put(w, "rbac.authorization.k8s.io", "clusterrolebindings", "",
              "{\"metadata\":{\"name\":\"system:basic-user\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\","
              "\"kind\":\"ClusterRole\",\"name\":\"system:basic-user\"},\"subjects\":[{\"kind\":\"User\",\"apiGroup\":"
              "\"rbac.authorization.k8s.io\",\"name\":\"ann\"}]}");
    gate_bootstrap_start(w->gate, on_complete, &complete);
    loop_sim_run(w->loop, 5000);
    assert_int_equal(complete, 1);
    struct doc *role = obj_doc(w->mem, find(w, &discovery));
    struct str rules = doc_json(w->mem, doc_get(role, "rules"));
    assert_true(str_has(rules, STR("/mine")) && str_has(rules, STR("/openapi/*")));
    assert_true(
        str_is(doc_str(doc_path(role, "metadata", "labels", NULL), "kubernetes.io/bootstrapping"), "rbac-defaults"));
    assert_int_equal(doc_len(doc_get(obj_doc(w->mem, find(w, &proxier)), "rules")), 0);
    assert_int_equal(doc_len(doc_get(obj_doc(w->mem, find(w, &basic)), "subjects")), 2);
    world_free(w);
}

static void test_controllers_have_their_roles(void **state)
{
    static const char account[] = "system:serviceaccount:kube-system:certificate-controller";
    struct world *w = world_new();
    int complete = 0;
    gate_bootstrap_start(w->gate, on_complete, &complete);
    loop_sim_run(w->loop, 5000);
    const struct decision rows[] = {
        {account, "", "sign certificates.k8s.io/signers /kubernetes.io/kubelet-serving", true},
        {account, "", "sign certificates.k8s.io/signers /example.org/other", false},
        {account, "", "update certificates.k8s.io/certificatesigningrequests", false},
        {"system:serviceaccount:kube-system:job-controller", "", "create /pods ns", true},
        {"system:serviceaccount:default:job-controller", "", "create /pods ns", false},
    };
    DECIDE(w, rows);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_made_and_made_again),
        cmocka_unit_test(test_a_restart_writes_nothing),
        cmocka_unit_test(test_the_authentication_config_is_completed),
        cmocka_unit_test(test_defaults_are_completed_at_start),
        cmocka_unit_test(test_controllers_have_their_roles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
