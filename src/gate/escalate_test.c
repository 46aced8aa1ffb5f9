/* gate/escalate_test.c - what is missing from what one holds, in Kubernetes' words. */
#include "gate/escalate.h"
#include "gate/test_gate.h"

#define PODS(verbs) "{\"apiGroups\":[\"\"],\"resources\":[\"pods\"],\"verbs\":[" verbs "]}"

static void test_missing(void **state)
{
    static const struct {
        const char *held, *wanted, *missing;
    } rows[] = {
        {PODS("\"get\",\"list\""), PODS("\"get\""), ""},
        {PODS("\"get\""), PODS("\"get\",\"list\",\"watch\""),
         "{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"list\" \"watch\"]}"},
        {PODS("\"*\""), PODS("\"get\",\"x\""), ""},
        {PODS("\"get\",\"list\""), PODS("\"*\""), "{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"*\"]}"},
        {PODS("\"get\"") "," PODS("\"list\""), PODS("\"get\",\"list\""), ""}, /* two rules together */
        {"{\"apiGroups\":[\"*\"],\"resources\":[\"*\"],\"verbs\":[\"*\"]}", PODS("\"get\""), ""},
        {"{\"apiGroups\":[\"*\"],\"resources\":[\"*\"],\"verbs\":[\"*\"]}",
         "{\"nonResourceURLs\":[\"/metrics\"],\"verbs\":[\"get\"]}",
         "{NonResourceURLs:[\"/metrics\"], Verbs:[\"get\"]}"},
        {"{\"nonResourceURLs\":[\"/logs/*\"],\"verbs\":[\"get\"]}",
         "{\"nonResourceURLs\":[\"/logs/a\",\"/logs\"],\"verbs\":[\"get\"]}",
         "{NonResourceURLs:[\"/logs\"], Verbs:[\"get\"]}"},
        {"{\"nonResourceURLs\":[\"/a\"],\"verbs\":[\"get\"]}", "{\"nonResourceURLs\":[\"/a*\"],\"verbs\":[\"get\"]}",
         "{NonResourceURLs:[\"/a*\"], Verbs:[\"get\"]}"},
        {"{\"apiGroups\":[\"apps\"],\"resources\":[\"*/scale\"],\"verbs\":[\"get\"]}",
         "{\"apiGroups\":[\"apps\"],\"resources\":[\"deployments/scale\",\"deployments\"],\"verbs\":[\"get\"]}",
         "{APIGroups:[\"apps\"], Resources:[\"deployments\"], Verbs:[\"get\"]}"},
        {"{\"apiGroups\":[\"\"],\"resources\":[\"secrets\"],\"resourceNames\":[\"a\"],\"verbs\":[\"get\"]}",
         "{\"apiGroups\":[\"\"],\"resources\":[\"secrets\"],\"resourceNames\":[\"a\",\"b\"],\"verbs\":[\"get\"]}",
         "{APIGroups:[\"\"], Resources:[\"secrets\"], ResourceNames:[\"b\"], Verbs:[\"get\"]}"},
        {"{\"apiGroups\":[\"\"],\"resources\":[\"secrets\"],\"resourceNames\":[\"a\"],\"verbs\":[\"get\"]}",
         "{\"apiGroups\":[\"\"],\"resources\":[\"secrets\"],\"verbs\":[\"get\"]}",
         "{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\"]}"},
        {"", PODS("\"get\"") ",{\"apiGroups\":[\"\"],\"resources\":[\"configmaps\"],\"verbs\":[\"get\"]}",
         "{APIGroups:[\"\"], Resources:[\"configmaps\"], Verbs:[\"get\"]}\n"
         "{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"get\"]}"},
        {"", "", ""},
    };
    cleanup_arena struct arena *mem = arena_new();
    struct err err = ERR(mem);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct doc *held = doc_parse(mem, str_fmt(mem, "[%s]", rows[i].held), NULL, &err),
                   *wanted = doc_parse(mem, str_fmt(mem, "[%s]", rows[i].wanted), NULL, &err);
        struct str got = escalate_describe(mem, escalate_missing(mem, held, wanted));
        assert_string_equal(got.len ? str_z(mem, got) : "", rows[i].missing);
    }
}

struct answer {
    struct arena *mem;
    enum err_reason reason;
    char *message;
};

static void on_answer(void *ctx, struct obj *obj, const struct err *err)
{
    struct answer *a = ctx;
    if (err)
        a->reason = err->reason, a->message = str_z(a->mem, err->message);
}

static enum err_reason try_role(struct world *w, const struct user *u, const char *rules)
{
    const struct resource *res = schema_stored("rbac.authorization.k8s.io", "clusterroles");
    struct doc *d = world_doc(w, str_fmtz(w->mem,
                                          "{\"apiVersion\":\"rbac.authorization.k8s.io/v1\",\"kind\":\"ClusterRole\","
                                          "\"metadata\":{\"generateName\":\"r-\"},\"rules\":[%s]}",
                                          rules));
    struct answer a = {.mem = w->mem};
    write_create(w->writer, u, res, STR_NULL, d, on_answer, &a);
    loop_sim_run(w->loop, 200);
    return a.reason;
}

static void test_writes_are_judged(void **state)
{
    struct world *w = world_new();
    assert_int_equal(try_role(w, world_user(w, "eve", ""), PODS("\"get\"")), ERR_FORBIDDEN);
    assert_int_equal(try_role(w, world_user(w, "eve", "system:masters"), PODS("\"get\"")), ERR_NONE);
    assert_int_equal(try_role(w, NULL, PODS("\"get\"")), ERR_NONE); /* the server itself */
    /* More single rights than are compared: refused, not let through. */
    struct sb b = SB(w->mem);
    sb_addz(&b, "{\"apiGroups\":[\"\"],\"verbs\":[");
    for (int i = 0; i < 200; i++)
        sb_addf(&b, "%s\"v%d\"", i ? "," : "", i);
    sb_addz(&b, "],\"resources\":[");
    for (int i = 0; i < 200; i++)
        sb_addf(&b, "%s\"r%d\"", i ? "," : "", i);
    sb_addz(&b, "]}");
    assert_int_equal(try_role(w, world_user(w, "eve", ""), sb_z(&b)), ERR_FORBIDDEN);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_missing), cmocka_unit_test(test_writes_are_judged)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
