/* gate/rbac_test.c - what a rule allows; what a change of a role or binding changes. */
#include "gate/test_gate.h"

#define RBAC "rbac.authorization.k8s.io"

static void role(struct world *w, const char *ns, const char *name, const char *rules)
{
    world_put(w, RBAC, ns[0] ? "roles" : "clusterroles", ns,
              str_fmtz(w->mem, "{\"metadata\":{\"name\":\"%s\"},\"rules\":[%s]}", name, rules));
}

static void bind(struct world *w, const char *ns, const char *name, const char *kind, const char *to,
                 const char *subjects)
{
    world_put(w, RBAC, ns[0] ? "rolebindings" : "clusterrolebindings", ns,
              str_fmtz(w->mem,
                       "{\"metadata\":{\"name\":\"%s\"},\"roleRef\":{\"apiGroup\":\"" RBAC
                       "\",\"kind\":\"%s\",\"name\":\"%s\"},\"subjects\":[%s]}",
                       name, kind, to, subjects));
}
#define USER(name)  "{\"kind\":\"User\",\"apiGroup\":\"" RBAC "\",\"name\":\"" name "\"}"
#define GROUP(name) "{\"kind\":\"Group\",\"apiGroup\":\"" RBAC "\",\"name\":\"" name "\"}"

static struct world *start(void)
{
    struct world *w = world_new();
    world_put(w, "", "namespaces", "", "{\"metadata\":{\"name\":\"ns\"}}");
    world_put(w, "", "namespaces", "", "{\"metadata\":{\"name\":\"other\"}}");
    return w;
}

static void test_decisions(void **state)
{
    struct world *w = start();
    role(w, "ns", "named",
         "{\"apiGroups\":[\"\"],\"resources\":[\"configmaps\"],\"resourceNames\":[\"a\",\"b\"],\"verbs\":[\"get\","
         "\"list\",\"create\"]},{\"apiGroups\":[\"\"],\"resources\":[\"pods/log\"],\"verbs\":[\"get\"]}");
    role(w, "", "scaler",
         "{\"apiGroups\":[\"*\"],\"resources\":[\"*/scale\"],\"verbs\":[\"*\"]},"
         "{\"nonResourceURLs\":[\"/logs/*\",\"/one\"],\"verbs\":[\"get\"]}");
    role(w, "", "apps", "{\"apiGroups\":[\"apps\"],\"resources\":[\"*\"],\"verbs\":[\"get\",\"list\"]}");
    bind(w, "ns", "named", "Role", "named", USER("ann") "," GROUP("team"));
    bind(w, "", "scaler", "ClusterRole", "scaler", USER("sue"));
    bind(w, "ns", "apps", "ClusterRole", "apps",
         "{\"kind\":\"ServiceAccount\",\"name\":\"bot\",\"namespace\":\"other\"}");
    bind(w, "ns", "dangling", "Role", "nowhere", USER("ann"));
    static const struct decision rows[] = {
        {"ann", "", "get /configmaps ns/a", true},
        {"ann", "", "get /configmaps ns/c", false},
        {"ann", "", "list /configmaps ns/a", true}, /* by a field selector of metadata.name */
        {"ann", "", "list /configmaps ns", false},
        {"ann", "", "create /configmaps ns", false}, /* a create has no name yet */
        {"ann", "", "delete /configmaps ns/a", false},
        {"ann", "", "get /configmaps other/a", false},
        {"ann", "", "get /configmaps", false},
        {"bob", "team", "get /configmaps ns/b", true},
        {"bob", "", "get /configmaps ns/b", false},
        {"team", "", "get /configmaps ns/b", false}, /* a user is no group */
        {"ann", "", "get /pods/log ns/p", true},
        {"ann", "", "get /pods ns/p", false},
        {"ann", "", "get /pods/exec ns/p", false},
        {"sue", "", "patch apps/deployments/scale ns/d", true},
        {"sue", "", "patch apps/deployments ns/d", false},
        {"sue", "", "get @/logs/x/y", true},
        {"sue", "", "get @/logs", false},
        {"sue", "", "get @/one", true},
        {"sue", "", "get @/one/more", false},
        {"sue", "", "post @/one", false},
        {"system:serviceaccount:other:bot", "", "get apps/deployments ns/d", true},
        {"system:serviceaccount:other:bot", "", "get apps/deployments/status ns/d", true}, /* "*" holds them too */
        {"system:serviceaccount:other:bot", "", "get apps/deployments other/d", false},
        {"system:serviceaccount:other:bot", "", "get batch/jobs ns/j", false},
        {"system:serviceaccount:ns:bot", "", "get apps/deployments ns/d", false},
        {"anybody", "system:masters", "delete /nodes /x", true},
        {"anybody", "system:masters", "delete @/x", true},
    };
    DECIDE(w, rows);
    world_free(w);
}

static void test_a_change_counts_at_once(void **state)
{
    struct world *w = start();
    static const struct decision yes[] = {{"ann", "", "get /pods ns/p", true}},
                                 no[] = {{"ann", "", "get /pods ns/p", false}};
    DECIDE(w, no);
    bind(w, "ns", "b", "Role", "r", USER("ann"));
    DECIDE(w, no); /* no such role yet */
    role(w, "ns", "r", "{\"apiGroups\":[\"\"],\"resources\":[\"pods\"],\"verbs\":[\"get\"]}");
    DECIDE(w, yes);
    world_delete(w, RBAC, "roles", "ns", "r");
    DECIDE(w, no);
    role(w, "ns", "r", "{\"apiGroups\":[\"\"],\"resources\":[\"pods\"],\"verbs\":[\"*\"]}");
    DECIDE(w, yes);
    world_delete(w, RBAC, "rolebindings", "ns", "b");
    DECIDE(w, no);
    world_free(w);
}

static void test_words(void **state)
{
    struct world *w = start();
    const struct user *u = world_user(w, "bob", "");
    static const struct {
        const char *what, *text;
    } rows[] = {
        {"list /pods ns", "pods is forbidden: User \"bob\" cannot list resource \"pods\" in API group \"\" in the "
                          "namespace \"ns\""},
        {"get apps/deployments/scale ns/d",
         "deployments.apps \"d\" is forbidden: User \"bob\" cannot get resource \"deployments/scale\" in API group "
         "\"apps\" in the namespace \"ns\""},
        {"get /nodes /n", "nodes \"n\" is forbidden: User \"bob\" cannot get resource \"nodes\" in API group \"\" at "
                          "the cluster scope"},
        {"get @/metrics", "forbidden: User \"bob\" cannot get path \"/metrics\""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct gate_attrs a = world_attrs(rows[i].what);
        struct err err = ERR(w->mem);
        struct str why = STR_NULL;
        assert_false(gate_authorize(w->gate, w->mem, u, &a, &why));
        gate_forbid(&err, u, &a, why);
        assert_string_equal(str_z(w->mem, err.message), rows[i].text);
    }
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decisions),
        cmocka_unit_test(test_a_change_counts_at_once),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
