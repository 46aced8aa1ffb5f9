/* gate/node_authz_test.c - an agent reaches its own Node, its pods, and what they use; nothing of its neighbour's. */
#include "gate/test_gate.h"

static const char pod_on_a[] =
    "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"nodeName\":\"a\",\"serviceAccountName\":\"app\","
    "\"imagePullSecrets\":[{\"name\":\"pull\"}],\"volumes\":["
    "{\"name\":\"v1\",\"secret\":{\"secretName\":\"vol\"}},{\"name\":\"v2\",\"configMap\":{\"name\":\"cfg\"}},"
    "{\"name\":\"v3\",\"persistentVolumeClaim\":{\"claimName\":\"claim\"}},"
    "{\"name\":\"v4\",\"projected\":{\"sources\":[{\"secret\":{\"name\":\"proj\"}},{\"configMap\":{\"name\":"
    "\"projcfg\"}}]}}],"
    "\"initContainers\":[{\"name\":\"i\",\"image\":\"i\",\"envFrom\":[{\"secretRef\":{\"name\":\"from\"}}]}],"
    "\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"env\":[{\"name\":\"E\",\"valueFrom\":{\"secretKeyRef\":"
    "{\"name\":\"key\",\"key\":\"k\"}}},{\"name\":\"F\",\"valueFrom\":{\"configMapKeyRef\":{\"name\":\"keycfg\","
    "\"key\":"
    "\"k\"}}}]}]}}";
static const char pod_on_b[] =
    "{\"metadata\":{\"name\":\"q\"},\"spec\":{\"nodeName\":\"b\",\"containers\":[{\"name\":"
    "\"c\",\"image\":\"i\"}],\"volumes\":[{\"name\":\"v\",\"secret\":{\"secretName\":\"theirs\"}}]}}";

#define A "system:node:a", "system:nodes"

static void test_decisions(void **state)
{
    struct world *w = world_new();
    gate_bootstrap_start(w->gate, NULL, NULL); /* the role system:node says the rest */
    loop_sim_run(w->loop, 3000);
    world_put(w, "", "namespaces", "", "{\"metadata\":{\"name\":\"ns\"}}");
    world_put(w, "", "serviceaccounts", "ns", "{\"metadata\":{\"name\":\"app\"}}");
    world_put(w, "", "serviceaccounts", "ns", "{\"metadata\":{\"name\":\"default\"}}");
    world_put(w, "", "pods", "ns", pod_on_a);
    world_put(w, "", "pods", "ns", pod_on_b);
    static const char none[] = "no relationship found between this node and this object";
    static const struct decision rows[] = {
        {A, "get /secrets ns/vol", true},
        {A, "get /secrets ns/proj", true},
        {A, "get /secrets ns/from", true},
        {A, "get /secrets ns/key", true},
        {A, "get /secrets ns/pull", true},
        {A, "watch /secrets ns/key", true},
        {A, "get /configmaps ns/cfg", true},
        {A, "get /configmaps ns/projcfg", true},
        {A, "get /configmaps ns/keycfg", true},
        {A, "get /persistentvolumeclaims ns/claim", true},
        {A, "get /secrets ns/theirs", false, none},
        {A, "get /secrets other/vol", false, none}, /* the name counts in its own namespace only */
        {A, "get /secrets ns/cfg", false, none},    /* that is a config map */
        {A, "list /secrets ns", false, "can only read resources of this type by name"},
        {A, "list /secrets", false, "can only read resources of this type by name"},
        {A, "update /secrets ns/vol", false},
        {A, "delete /configmaps ns/cfg", false},
        {A, "get /pods ns/p", true},
        {A, "get /pods ns/q", false},
        {A, "patch /pods/status ns/p", true},
        {A, "patch /pods/status ns/q", false},
        {A, "delete /pods ns/q", false},
        {A, "list /pods", false, "can only list/watch pods with spec.nodeName field selector"},
        {A, "list /pods ?spec.nodeName=a", true},
        {A, "watch /pods ?spec.nodeName=a", true},
        {A, "list /pods ?spec.nodeName=b", false},
        {A, "list /pods ?spec.nodeName!=b", false},
        {A, "list /pods ?metadata.name=spec.nodeName", false},
        {A, "get /nodes /a", true},
        {A, "patch /nodes/status /a", true},
        {A, "get /nodes /b", false},
        {A, "patch /nodes/status /b", false},
        {A, "delete /nodes /a", false},
        {A, "get coordination.k8s.io/leases kube-node-lease/a", true},
        {A, "update coordination.k8s.io/leases kube-node-lease/b", false},
        {A, "update coordination.k8s.io/leases kube-system/a", false},
        {A, "create /serviceaccounts/token ns/app", true},
        {A, "create /serviceaccounts/token ns/default", false}, /* runs on b only */
        {A, "list /services", true},
        {A, "list rbac.authorization.k8s.io/clusterroles", false},
        {"system:node:b", "system:nodes", "get /secrets ns/theirs", true},
        {"system:node:b", "", "get /secrets ns/theirs", false}, /* the name alone makes no node */
        {"a", "system:nodes", "get /secrets ns/vol", false},
    };
    DECIDE(w, rows);
    world_delete(w, "", "pods", "ns", "p");
    static const struct decision after[] = {{A, "get /secrets ns/vol", false, none}};
    DECIDE(w, after);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_decisions)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
