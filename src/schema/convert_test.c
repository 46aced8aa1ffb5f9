/* Between versions, what selectors see, and fields of closed gates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "schema/schema.h"

static struct doc *parse(struct arena *mem, const char *text)
{
    struct err err = ERR(mem);
    char *z = str_z(mem, str_of(text));
    for (char *p = z; *p; p++)
        if (*p == '\'')
            *p = '"';
    struct doc *d = doc_parse(mem, str_of(z), NULL, &err);
    assert_non_null(d);
    return d;
}

static void same(struct arena *mem, const struct doc *got, const char *want)
{
    assert_string_equal(str_z(mem, doc_json(mem, got)), str_z(mem, doc_json(mem, parse(mem, want))));
}

static void test_events_of_both_groups(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    const struct resource *r = schema_resource(STR("events.k8s.io"), STR("v1"), STR("events"));
    const char *event =
        "{'reason':'R','regarding':{'kind':'Pod'},'note':'n','deprecatedCount':3,'reportingController':'c'}";
    struct doc *e = parse(mem, event);
    assert_ptr_equal(r->stored_as, schema_stored("", "events"));
    assert_true(r->volatile_writes);
    r->to_stored(mem, e);
    same(mem, e, "{'reason':'R','involvedObject':{'kind':'Pod'},'message':'n','count':3,'reportingComponent':'c'}");
    r->from_stored(mem, e);
    same(mem, e, event);
}

static void test_autoscaler_versions_lose_nothing(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    const struct resource *r = schema_resource(STR("autoscaling"), STR("v1"), STR("horizontalpodautoscalers"));
    const char *v2 = "{'metadata':{},'spec':{'maxReplicas':3,'metrics':[{'type':'Object','object':{'describedObject':{'"
                     "kind':'Service','name':"
                     "'s'},'target':{'type':'AverageValue','averageValue':'2'},'metric':{'name':'m'}}},{'type':'"
                     "Resource','resource':{'name':'cpu',"
                     "'target':{'type':'Utilization','averageUtilization':50}}}],'behavior':{'scaleUp':{'selectPolicy':"
                     "'Max'}}},'status':{}}";
    struct doc *hpa = parse(mem, v2);
    r->from_stored(mem, hpa);
    assert_int_equal(doc_int(doc_get(hpa, "spec"), "targetCPUUtilizationPercentage", 0), 50);
    assert_null(doc_path(hpa, "spec", "metrics", NULL));
    struct doc *notes = doc_path(hpa, "metadata", "annotations", NULL);
    assert_string_equal(
        str_z(mem, doc_str(notes, "autoscaling.alpha.kubernetes.io/metrics")),
        "[{\"type\":\"Object\",\"object\":{\"target\":{\"kind\":\"Service\",\"name\":\"s\"},\"metricName\":\"m\","
        "\"targetValue\":\"0\",\"averageValue\":\"2\"}}]");
    assert_string_equal(str_z(mem, doc_str(notes, "autoscaling.alpha.kubernetes.io/behavior")),
                        "{\"ScaleUp\":{\"SelectPolicy\":\"Max\"}}");
    r->to_stored(mem, hpa);
    struct doc *want = parse(mem, v2);
    assert_true(doc_eq(hpa, want));
}

static void test_an_old_autoscaler_means_80_percent(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct doc *hpa = parse(mem, "{'spec':{'maxReplicas':3}}");
    schema_resource(STR("autoscaling"), STR("v1"), STR("horizontalpodautoscalers"))->to_stored(mem, hpa);
    same(mem, doc_path(hpa, "spec", "metrics", NULL),
         "[{'type':'Resource','resource':{'name':'cpu','target':{'type':'Utilization','averageUtilization':80}}}]");
}

static void test_what_field_selectors_see(void **state)
{
    static const struct {
        const char *group, *plural, *obj, *path, *value; /* NULL: not selectable */
    } cases[] = {
        {"", "pods", "{'spec':{'nodeName':'n'}}", "spec.nodeName", "n"},
        {"", "pods", "{}", "status.phase", ""},
        {"", "pods", "{}", "spec.hostNetwork", "false"},
        {"", "pods", "{'status':{'podIPs':[{'ip':'a'},{'ip':'b'}]}}", "status.podIPs", "a,b"},
        {"", "pods", "{}", "spec.hostname", NULL},
        {"", "nodes", "{'spec':{'unschedulable':true}}", "spec.unschedulable", "true"},
        {"", "nodes", "{}", "metadata.namespace", NULL},
        {"batch", "jobs", "{'status':{'succeeded':2}}", "status.successful", "2"},
        {"", "events", "{'source':{'component':'c'}}", "reportingComponent", "c"},
        {"apps", "deployments", "{'metadata':{'name':'d'}}", "metadata.name", "d"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        cleanup_arena struct arena *mem = arena_new();
        struct str value = STR_NULL;
        bool ok = schema_selector_value(mem, schema_stored(cases[i].group, cases[i].plural), parse(mem, cases[i].obj),
                                        str_of(cases[i].path), &value);
        assert_int_equal(ok, cases[i].value != NULL);
        if (ok)
            assert_string_equal(str_z(mem, value), cases[i].value);
    }
}

static void test_closed_gates_drop_their_fields(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    const struct type *t = schema_type("core.v1.Pod");
    const char *pod =
        "{'spec':{'containers':[{'name':'a','lifecycle':{'stopSignal':'SIGUSR1'}}],'hostnameOverride':'h'}}";
    struct doc *obj = parse(mem, pod);
    schema_drop_gated(t, obj, NULL); /* ContainerStopSignals is alpha, HostnameOverride on */
    same(mem, obj, "{'spec':{'containers':[{'name':'a','lifecycle':{}}],'hostnameOverride':'h'}}");
    obj = parse(mem, pod);
    schema_drop_gated(t, obj,
                      parse(mem, "{'spec':{'containers':[{'name':'z','lifecycle':{'stopSignal':'SIGTERM'}}]}}"));
    same(mem, obj, pod); /* in use: anywhere in the old object */
    assert_int_equal(gates_set(STR("ContainerStopSignals=true"), NULL), 0);
    obj = parse(mem, pod);
    schema_drop_gated(t, obj, NULL);
    same(mem, obj, pod);
    assert_int_equal(gates_set(STR("ContainerStopSignals=false"), NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events_of_both_groups),
        cmocka_unit_test(test_autoscaler_versions_lose_nothing),
        cmocka_unit_test(test_an_old_autoscaler_means_80_percent),
        cmocka_unit_test(test_what_field_selectors_see),
        cmocka_unit_test(test_closed_gates_drop_their_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
