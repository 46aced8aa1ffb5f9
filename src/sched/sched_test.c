/* sched/sched_test.c - what lands where, and what a pod that fits nowhere is told. One cluster in virtual time per
 * case. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "sched/sched.h"

struct cluster {
    struct arena *mem;
    struct loop *loop;
    struct cache *cache;
    struct store *store;
    struct writer *writer;
    struct sched *sched;
};

static struct cluster start(void)
{
    struct cluster c = {.mem = arena_new(), .loop = loop_new_sim(7)};
    c.cache = cache_new(&(struct cache_opts){.loop = c.loop});
    assert_int_equal(store_open_memory(&(struct store_opts){.loop = c.loop}, cache_feed, c.cache, &c.store), 0);
    cache_set_store(c.cache, c.store);
    c.writer = writer_new(&(struct writer_opts){.loop = c.loop, .cache = c.cache, .store = c.store});
    c.sched = sched_start(&(struct sched_opts){.loop = c.loop, .cache = c.cache, .writer = c.writer});
    return c;
}

static void stop(struct cluster *c)
{
    sched_stop(c->sched);
    loop_sim_run(c->loop, 1000);
    writer_free(c->writer);
    store_close(c->store);
    cache_free(c->cache);
    loop_free(c->loop);
    arena_free(c->mem);
}

static void must(void *ctx, struct obj *obj, const struct err *err)
{
    if (err)
        fail_msg("%.*s", STR_ARG(err->message));
}

static void put(struct cluster *c, const char *resource, const char *ns, const char *json)
{
    struct err err = ERR(c->mem);
    const struct resource *res = schema_stored("", resource);
    struct doc *d = doc_parse(c->mem, str_of(json), NULL, &err);
    assert_non_null(d);
    doc_put_str(c->mem, d, "kind", str_of(res->kind));
    doc_put_str(c->mem, d, "apiVersion", str_of(res->api_version));
    write_create(c->writer, NULL, res, str_of(ns), d, must, NULL);
    loop_sim_run(c->loop, 100);
}

static void add_node(struct cluster *c, const char *name, const char *cpu, const char *labels, const char *taints)
{
    put(c, "nodes", "",
        str_fmtz(c->mem,
                 "{\"metadata\":{\"name\":\"%s\",\"labels\":{\"kubernetes.io/"
                 "hostname\":\"%s\"%s}},\"spec\":{\"taints\":[%s]},"
                 "\"status\":{\"allocatable\":{\"cpu\":\"%s\",\"memory\":\"4Gi\",\"pods\":\"10\"}}}",
                 name, name, labels, taints, cpu));
    /* A new node is tainted not-ready; here the lifecycle controller is us. */
    struct err err = ERR(c->mem);
    struct doc *patch = doc_parse(c->mem, str_fmt(c->mem, "{\"spec\":{\"taints\":[%s]}}", taints), NULL, &err);
    write_merge(c->writer, NULL, schema_stored("", "nodes"), NULL, STR_NULL, str_of(name), patch, must, NULL);
    loop_sim_run(c->loop, 100);
}

static void add_pod(struct cluster *c, const char *name, const char *cpu, const char *more)
{
    if (!cache_find(c->cache, schema_stored("", "serviceaccounts"), STR("default"), STR("default"))) {
        put(c, "namespaces", "", "{\"metadata\":{\"name\":\"default\"}}");
        put(c, "serviceaccounts", "default", "{\"metadata\":{\"name\":\"default\"}}");
    }
    put(c, "pods", "default",
        str_fmtz(c->mem,
                 "{\"metadata\":{\"name\":\"%s\",\"labels\":{\"app\":\"a\"}},\"spec\":{%s\"containers\":[{\"name\":"
                 "\"c\",\"image\":\"i\","
                 "\"resources\":{\"requests\":{\"cpu\":\"%s\"}}}]}}",
                 name, more, cpu));
    loop_sim_run(c->loop, 100);
}

static struct doc *pod(struct cluster *c, const char *name)
{
    const struct obj *o = cache_find(c->cache, schema_stored("", "pods"), STR("default"), str_of(name));
    return o ? obj_doc(c->mem, o) : NULL;
}

static const char *node_of(struct cluster *c, const char *name)
{
    return str_z(c->mem, doc_str(doc_get(pod(c, name), "spec"), "nodeName"));
}

static const char *why(struct cluster *c, const char *name)
{
    doc_each (k, doc_path(pod(c, name), "status", "conditions", NULL))
        if (str_is(doc_str(k, "type"), "PodScheduled"))
            return str_z(c->mem, doc_str(k, "message"));
    return "";
}

static void test_nowhere_to_go(void **state)
{
    struct cluster c = start();
    add_pod(&c, "p", "1", "");
    assert_string_equal(node_of(&c, "p"), "");
    assert_string_equal(why(&c, "p"), "no nodes available to schedule pods");
    stop(&c);
}

static void test_reasons_are_counted_and_sorted(void **state)
{
    struct cluster c = start();
    add_node(&c, "n1", "1", "", "");
    add_node(&c, "n2", "1", "", "{\"key\":\"k\",\"value\":\"v\",\"effect\":\"NoSchedule\"}");
    add_node(&c, "n3", "1", "", "");
    add_pod(&c, "p", "2", "");
    assert_string_equal(why(&c, "p"),
                        "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu.");
    stop(&c);
}

static void test_waits_then_fits(void **state)
{
    struct cluster c = start();
    add_node(&c, "n1", "1", "", "");
    add_pod(&c, "big", "2", "");
    assert_string_equal(node_of(&c, "big"), "");
    add_node(&c, "n2", "4", "", "");
    loop_sim_run(c.loop, 12000);
    assert_string_equal(node_of(&c, "big"), "n2");
    assert_string_equal(why(&c, "big"), "");
    stop(&c);
}

static void test_pod_that_leaves_makes_room(void **state)
{
    struct cluster c = start();
    add_node(&c, "n1", "1", "", "");
    add_pod(&c, "first", "1", "");
    add_pod(&c, "second", "1", "");
    assert_string_equal(node_of(&c, "first"), "n1");
    assert_string_equal(node_of(&c, "second"), "");
    write_delete(c.writer, NULL, schema_stored("", "pods"), STR("default"), STR("first"), STR_NULL, 0, must, NULL);
    loop_sim_run(c.loop, 12000);
    assert_string_equal(node_of(&c, "second"), "n1");
    stop(&c);
}

static void test_selector_affinity_and_tolerations(void **state)
{
    struct cluster c = start();
    add_node(&c, "n1", "4", ",\"disk\":\"ssd\"", "");
    add_node(&c, "n2", "4", "", "{\"key\":\"k\",\"value\":\"v\",\"effect\":\"NoSchedule\"}");
    add_pod(&c, "s", "1", "\"nodeSelector\":{\"disk\":\"ssd\"},");
    add_pod(&c, "t", "1",
            "\"tolerations\":[{\"key\":\"k\",\"operator\":\"Exists\"}],\"affinity\":{\"nodeAffinity\":{"
            "\"requiredDuringSchedulingIgnoredDuringExecution\":"
            "{\"nodeSelectorTerms\":[{\"matchExpressions\":[{\"key\":\"disk\",\"operator\":\"DoesNotExist\"}]}]}}},");
    add_pod(&c, "x", "1", "\"nodeSelector\":{\"disk\":\"tape\"},");
    assert_string_equal(node_of(&c, "s"), "n1");
    assert_string_equal(node_of(&c, "t"), "n2");
    assert_string_equal(why(&c, "x"), "0/2 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 "
                                      "node(s) had untolerated taint(s).");
    stop(&c);
}

static void test_spreads_hard(void **state)
{
    struct cluster c = start();
    const char *spread = "\"topologySpreadConstraints\":[{\"maxSkew\":1,\"topologyKey\":\"zone\",\"whenUnsatisfiable\":"
                         "\"DoNotSchedule\","
                         "\"labelSelector\":{\"matchLabels\":{\"app\":\"a\"}}}],";
    add_node(&c, "n1", "1", ",\"zone\":\"a\"", "");
    add_node(&c, "n2", "9", ",\"zone\":\"b\"", "");
    add_pod(&c, "p1", "500m", spread);
    add_pod(&c, "p2", "500m", spread);
    assert_string_not_equal(node_of(&c, "p1"), node_of(&c, "p2"));
    add_pod(&c, "p3", "500m", spread);
    add_pod(&c, "p4", "500m", spread);
    assert_string_not_equal(node_of(&c, "p3"), node_of(&c, "p4"));
    add_pod(&c, "p5", "500m", spread); /* n1 is full; n2 would skew by two only after one more */
    add_pod(&c, "p6", "500m", spread);
    assert_string_equal(node_of(&c, "p5"), "n2");
    assert_string_equal(
        why(&c, "p6"),
        "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match pod topology spread constraints.");
    stop(&c);
}

static void test_equal_nodes_fill_equally(void **state)
{
    struct cluster c = start();
    add_node(&c, "n1", "4", "", "");
    add_node(&c, "n2", "4", "", "");
    int on_first = 0;
    for (int i = 0; i < 8; i++) {
        char *name = str_fmtz(c.mem, "p%d", i);
        add_pod(&c, name, "100m", "");
        on_first += !strcmp(node_of(&c, name), "n1");
    }
    assert_int_equal(on_first, 4);
    stop(&c);
}

static void test_host_ports_and_pod_limit(void **state)
{
    struct cluster c = start();
    add_node(&c, "n1", "4", "", "");
    const char *json = "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\","
                       "\"ports\":[{\"containerPort\":80,\"hostPort\":8080}]}]}}";
    add_pod(&c, "warm", "1m", "");
    put(&c, "pods", "default", str_fmtz(c.mem, json, "a"));
    put(&c, "pods", "default", str_fmtz(c.mem, json, "b"));
    loop_sim_run(c.loop, 100);
    assert_string_equal(node_of(&c, "a"), "n1");
    assert_string_equal(why(&c, "b"),
                        "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.");
    for (int i = 0; i < 8; i++)
        add_pod(&c, str_fmtz(c.mem, "fill%d", i), "1m", "");
    add_pod(&c, "late", "1m", "");
    assert_string_equal(why(&c, "late"), "0/1 nodes are available: 1 Too many pods.");
    stop(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nowhere_to_go),
        cmocka_unit_test(test_reasons_are_counted_and_sorted),
        cmocka_unit_test(test_waits_then_fits),
        cmocka_unit_test(test_pod_that_leaves_makes_room),
        cmocka_unit_test(test_selector_affinity_and_tolerations),
        cmocka_unit_test(test_spreads_hard),
        cmocka_unit_test(test_equal_nodes_fill_equally),
        cmocka_unit_test(test_host_ports_and_pod_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
