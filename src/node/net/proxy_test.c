/* Services in a lab: real packets through the real table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "node/net/link.h"
#include "node/net/net_priv.h"
#include "node/net/proxy.h"
#include "node/net/test_lab.h"

static struct lab lab;
static struct arena *mem;

static struct network *net(void)
{
    return lab.net;
}

static void event(bool slices, enum watch_event e, const char *text)
{
    struct err err = {.mem = mem};
    const struct doc *d = text ? doc_parse(mem, str_of(text), NULL, &err) : NULL;
    assert_true(!text || d);
    proxy_event(net()->proxy, slices, e, d);
}

static void settle(void)
{
    loop_run(lab.node.loop);
}

static void sync_empty(void)
{
    for (int i = 0; i < 2; i++)
        event(i, WATCH_SYNC_BEGIN, NULL), event(i, WATCH_SYNC_END, NULL);
}

static void put_service(const char *name, const char *ip, const char *more)
{
    event(false, WATCH_ADDED,
          str_fmtz(mem,
                   "{\"metadata\":{\"namespace\":\"default\",\"name\":\"%s\"},\"spec\":{\"clusterIP\":\"%s\",\"ports\":"
                   "[{\"port\":80,\"protocol\":\"TCP\",\"name\":\"web\",\"nodePort\":30080},"
                   "{\"port\":80,\"protocol\":\"UDP\",\"name\":\"q\"}]%s}}",
                   name, ip, more));
}

/* pods: "012": these are the endpoints. */
static void put_slice(const char *service, const char *pods)
{
    struct sb list = SB(mem);
    for (const char *p = pods; *p; p++)
        sb_addf(&list, "%s{\"addresses\":[\"%s\"],\"nodeName\":\"n1\",\"conditions\":{\"ready\":true}}",
                list.len ? "," : "", lab.pods[*p - '0'].pod.ips[0].text);
    event(true, WATCH_ADDED,
          str_fmtz(mem,
                   "{\"metadata\":{\"namespace\":\"default\",\"name\":\"%s-1\",\"labels\":{\"kubernetes.io/"
                   "service-name\":\"%s\"}},\"addressType\":\"IPv4\",\"endpoints\":[%s],\"ports\":[{\"name\":\"web\","
                   "\"port\":8080,\"protocol\":\"TCP\"},{\"name\":\"q\",\"port\":8080,\"protocol\":\"UDP\"}]}",
                   service, service, sb_z(&list)));
}

static int setup(void **state)
{
    mem = arena_new();
    lab.node.loop = loop_new_sim(1);
    if (lab_start(&lab) < 0)
        return -1;
    for (int i = 0; i < 3; i++)
        lab_pod_add(&lab, i);
    sync_empty();
    settle();
    return 0;
}

static int teardown(void **state)
{
    for (int i = 0; i < 3; i++)
        lab_pod_remove(&lab, i);
    lab_stop(&lab);
    lab.node.loop = loop_free(lab.node.loop);
    mem = arena_free(mem);
    return network_purge(&lab.node.opts);
}

static const char *ask(struct lab_pod *from, const char *address, int port)
{
    static struct lab_ask a;
    a = (struct lab_ask){.address = address, .port = port};
    return lab_ask(from, &a);
}

/* How many of n answers came from each pod. */
static void spread(struct lab_pod *from, const char *address, int port, bool udp, int n, int ret[8])
{
    static struct lab_ask a;
    a = (struct lab_ask){.address = address, .port = port, .udp = udp, .times = n};
    struct str rest = str_of(lab_ask(from, &a)), line;
    memset(ret, 0, 8 * sizeof(*ret));
    while (str_next(&rest, '\n', &line)) {
        if (!str_starts(line, STR("pod")))
            print_message("answer: " STR_FMT "\n", STR_ARG(line));
        else
            ret[line.ptr[3] - '0']++;
    }
}

static void test_cluster_ip(void **state)
{
    int from[8];
    put_service("web", "10.96.0.50", ""), put_slice("web", "012"), settle();
    struct lab_pod *const clients[] = {NULL, &lab.pods[0]};
    for (int i = 0; i < 2; i++) {
        spread(clients[i], "10.96.0.50", 80, /* udp= */ false, 60, from);
        assert_int_equal(from[0] + from[1] + from[2], 60);
        assert_true(from[0] > 5 && from[1] > 5 && from[2] > 5);
        spread(clients[i], "10.96.0.50", 80, /* udp= */ true, 60, from);
        assert_int_equal(from[0] + from[1] + from[2], 60);
        assert_true(from[0] && from[1] && from[2]);
    }
    assert_string_equal(ask(&lab.pods[0], "10.96.0.50", 81), "refused"); /* no such port */
    assert_string_equal(ask(&lab.pods[0], "10.96.0.51", 80), "refused"); /* no such service */
    assert_string_equal(ask(NULL, "10.96.0.51", 80), "refused");
}

static void test_source_is_kept_between_pods(void **state)
{
    put_service("web", "10.96.0.50", ""), put_slice("web", "1"), settle();
    assert_string_equal(ask(&lab.pods[0], "10.96.0.50", 80), "pod1 10.42.0.2");
}

static void test_hairpin(void **state)
{
    put_service("web", "10.96.0.50", ""), put_slice("web", "0"), settle();
    assert_string_equal(ask(&lab.pods[0], "10.96.0.50", 80), "pod0 169.254.1.1");
}

static void test_node_port(void **state)
{
    int from[8];
    put_service("web", "10.96.0.50", ",\"type\":\"NodePort\""), put_slice("web", "012"), settle();
    static const char *const addresses[] = {"127.0.0.1", "169.254.1.1"};
    for (int i = 0; i < 2; i++) {
        spread(NULL, addresses[i], 30080, /* udp= */ false, 40, from);
        assert_int_equal(from[0] + from[1] + from[2], 40);
        assert_true(from[0] && from[1] && from[2]);
    }
    spread(&lab.pods[1], "169.254.1.1", 30080, /* udp= */ false, 40, from);
    assert_int_equal(from[0] + from[1] + from[2], 40);
}

static void test_no_endpoints(void **state)
{
    put_service("web", "10.96.0.50", ""), settle();
    assert_string_equal(ask(NULL, "10.96.0.50", 80), "refused");
    assert_string_equal(ask(&lab.pods[0], "10.96.0.50", 80), "refused");
    assert_string_equal(ask(NULL, "127.0.0.1", 30080), "refused");
    put_slice("web", "2"), settle();
    assert_string_equal(ask(&lab.pods[0], "10.96.0.50", 80), "pod2 10.42.0.2");
    put_slice("web", ""), settle();
    assert_string_equal(ask(&lab.pods[0], "10.96.0.50", 80), "refused");
}

static void test_session_affinity(void **state)
{
    int from[8];
    put_service("web", "10.96.0.50", ",\"sessionAffinity\":\"ClientIP\""), put_slice("web", "012"), settle();
    spread(&lab.pods[0], "10.96.0.50", 80, /* udp= */ false, 30, from);
    int chosen = from[0] ? 0 : from[1] ? 1 : 2;
    assert_int_equal(from[chosen], 30);
    put_slice("web", chosen == 0 ? "12" : chosen == 1 ? "02" : "01"), settle(); /* the chosen one goes */
    spread(&lab.pods[0], "10.96.0.50", 80, /* udp= */ false, 30, from);
    assert_int_equal(from[chosen], 0); /* a living one, and always the same */
    int next = from[0] ? 0 : from[1] ? 1 : 2;
    assert_int_equal(from[next], 30);
    spread(NULL, "127.0.0.1", 30080, /* udp= */ false, 20, from); /* node ports too */
    assert_true(from[0] == 20 || from[1] == 20 || from[2] == 20);
}

/* One socket's datagrams go on to a living endpoint after theirs is gone. */
static void test_udp_flow_moves(void **state)
{
    put_service("web", "10.96.0.50", ""), put_slice("web", "1"), settle();
    struct lab_ask a = {.address = "10.96.0.50", .port = 80, .udp = true, .source_port = 5555};
    assert_string_equal(lab_ask(&lab.pods[0], &a), "pod1 10.42.0.2");
    put_slice("web", "2"), settle();
    assert_string_equal(lab_ask(&lab.pods[0], &a), "pod2 10.42.0.2");
}

static void test_loopback_is_guarded(void **state)
{
    struct lab_ask a = {.address = "127.0.0.1", .port = 30080};
    put_service("web", "10.96.0.50", ",\"type\":\"NodePort\""), put_slice("web", "1"), settle();
    assert_string_equal(lab_ask(&lab.pods[0], &a), "refused"); /* the pod's own lo: nothing listens */
}

static void test_restart_keeps_the_table(void **state)
{
    put_service("web", "10.96.0.50", ",\"sessionAffinity\":\"ClientIP\""), put_slice("web", "012");
    put_service("dead", "10.96.0.51", ""), settle();
    lab_run("nft add table inet foreign");
    lab_stop(&lab);
    assert_string_equal(ask(NULL, "10.96.0.51", 80), "refused"); /* goes on without the agent */
    assert_int_equal(lab_start(&lab), 0);
    event(false, WATCH_SYNC_BEGIN, NULL), event(true, WATCH_SYNC_BEGIN, NULL);
    put_service("web", "10.96.0.50", ",\"sessionAffinity\":\"ClientIP\""), put_slice("web", "012");
    event(false, WATCH_SYNC_END, NULL), event(true, WATCH_SYNC_END, NULL);
    settle();
    const char *after = lab_run("nft list map inet sampan unserved");
    assert_null(strstr(after, "10.96.0.51")); /* it had gone meanwhile */
    assert_non_null(strstr(lab_run("nft list map inet sampan endpoints"), "10.96.0.50"));
    assert_non_null(strstr(lab_run("nft list tables"), "inet foreign"));
    const char *rules = lab_run("nft list ruleset 2>&1"); /* nft(8) must understand what we write */
    assert_null(strstr(rules, "ssertion"));
    assert_non_null(strstr(rules, "pick-3-sticky-10800"));
    lab_run("nft delete table inet foreign");
}

static void test_others_break_it(void **state)
{
    put_service("web", "10.96.0.50", ""), put_slice("web", "01"), settle();
    lab_run("nft flush map inet sampan endpoints");
    put_slice("web", "0"), settle(); /* fails, is read back, is written anew */
    assert_string_equal(ask(&lab.pods[1], "10.96.0.50", 80), "pod0 10.42.0.3");
}

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000ll + t.tv_nsec / 1000;
}

static void many(int n)
{
    for (int i = 0; i < n; i++) {
        char *name = str_fmtz(mem, "s%d", i), *ip = str_fmtz(mem, "10.96.%d.%d", 1 + i / 250, 1 + i % 250);
        event(false, WATCH_ADDED,
              str_fmtz(mem,
                       "{\"metadata\":{\"namespace\":\"many\",\"name\":\"%s\"},\"spec\":{\"clusterIP\":\"%s\","
                       "\"ports\":[{\"port\":80,\"name\":\"web\"}]}}",
                       name, ip));
        event(true, WATCH_ADDED,
              str_fmtz(mem,
                       "{\"metadata\":{\"namespace\":\"many\",\"name\":\"%s-1\",\"labels\":{\"kubernetes.io/"
                       "service-name\":\"%s\"}},\"addressType\":\"IPv4\",\"endpoints\":[{\"addresses\":[\"10.42.0.%d\"]"
                       "},{\"addresses\":[\"10.42.1.%d\"]}],\"ports\":[{\"name\":\"web\",\"port\":8080}]}",
                       name, name, 2 + i % 250, 2 + i % 250));
    }
}

static int64_t one_change(const char *pods)
{
    int64_t best = INT64_MAX;
    for (int i = 0; i < 20; i++) {
        put_slice("web", i % 2 ? pods : "01");
        int64_t start = now_us();
        settle();
        int64_t took = now_us() - start;
        best = took < best ? took : best;
    }
    return best;
}

static void test_cost_follows_the_change(void **state)
{
    put_service("web", "10.96.0.50", ""), put_slice("web", "012"), settle();
    int64_t alone = one_change("012");
    int64_t start = now_us();
    many(1000), settle();
    int64_t all = now_us() - start;
    int64_t among = one_change("012");
    print_message("1,000 services: %lld us at once; one endpoint: %lld us alone, %lld us among them\n", (long long)all,
                  (long long)alone, (long long)among);
    assert_true(among < 4 * alone + 2000);
    assert_string_equal(ask(&lab.pods[0], "10.96.0.51", 80), "refused");
}

int main(void)
{
    if (!lab_enter(&lab)) {
        fprintf(stderr, "skipped: needs root and network namespaces\n");
        return LAB_SKIP;
    }
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {T(test_cluster_ip),
                                       T(test_source_is_kept_between_pods),
                                       T(test_hairpin),
                                       T(test_node_port),
                                       T(test_no_endpoints),
                                       T(test_session_affinity),
                                       T(test_udp_flow_moves),
                                       T(test_loopback_is_guarded),
                                       T(test_restart_keeps_the_table),
                                       T(test_others_break_it),
                                       T(test_cost_follows_the_change)};
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    lab_leave(&lab);
    return r;
}
