/* The pod network in a lab: wires, routes, spoofing, restart, nothing left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "node/net/ipam.h"
#include "node/net/link.h"
#include "node/net/test_lab.h"

static struct lab lab;

static const char *ask(struct lab_pod *from, const char *address, int port)
{
    static struct lab_ask a;
    a = (struct lab_ask){.address = address, .port = port};
    return lab_ask(from, &a);
}

static int setup(void **state)
{
    if (lab_start(&lab) < 0)
        return -1;
    lab_pod_add(&lab, 0), lab_pod_add(&lab, 1);
    return 0;
}

static int teardown(void **state)
{
    lab_pod_remove(&lab, 0), lab_pod_remove(&lab, 1);
    lab_stop(&lab);
    return network_purge(&lab.node.opts); /* so that each test finds the first addresses free */
}

static void test_reaches(void **state)
{
    struct lab_pod *a = &lab.pods[0], *b = &lab.pods[1];
    assert_string_equal(a->pod.ips[0].text, "10.42.0.2");
    assert_string_equal(ask(a, b->pod.ips[0].text, 8080), "pod1 10.42.0.2");
    assert_string_equal(ask(b, a->pod.ips[0].text, 8080), "pod0 10.42.0.3");
    assert_string_equal(ask(NULL, a->pod.ips[0].text, 8080), "pod0 169.254.1.1");
    assert_string_equal(ask(a, "10.42.0.77", 8080), "unreachable"); /* no such pod: told at once */
    assert_string_equal(ask(NULL, "10.42.0.77", 8080), "unreachable");
}

/* A pod that takes a neighbour's address, or any other, is not heard. */
static void test_spoofing(void **state)
{
    struct lab_ask a = {.address = lab.pods[1].pod.ips[0].text, .port = 8080, .source = "10.42.0.99", .udp = true};
    assert_string_equal(lab_ask(&lab.pods[0], &a), "timeout");
    a.source = "169.254.1.1", a.address = "10.42.0.3";
    assert_string_equal(lab_ask(&lab.pods[0], &a), "timeout");
    a.source = NULL;
    assert_string_equal(lab_ask(&lab.pods[0], &a), "pod1 10.42.0.2");
}

static void test_adopt_changes_nothing(void **state)
{
    char name[IFNAMSIZ];
    link_name(STR("pod0"), name);
    int before = link_index(name);
    assert_true(before > 0);
    lab_stop(&lab);
    assert_int_equal(lab_start(&lab), 0);
    for (int i = 0; i < 2; i++) {
        lab.pods[i].pod.adopted = true;
        lab.pods[i].pod.network_ready = false;
        network_routed.adopt(lab.net, &lab.pods[i].pod);
        assert_true(lab.pods[i].pod.network_ready);
    }
    assert_int_equal(link_index(name), before);
    assert_string_equal(ask(&lab.pods[0], "10.42.0.3", 8080), "pod1 10.42.0.2");
}

static void test_setup_twice(void **state)
{
    network_routed.setup(lab.net, &lab.pods[0].pod); /* as after a kill -9 in the midst of it */
    assert_string_equal(ask(&lab.pods[1], "10.42.0.2", 8080), "pod0 10.42.0.3");
}

static void test_nothing_left(void **state)
{
    char before[4096];
    snprintf(before, sizeof(before), "%s",
             lab_run("ip -o addr; ip -o link; ip route show table all; nft list ruleset"));
    assert_int_equal(lab_start(&lab), 0);
    lab_pod_add(&lab, 0);
    lab_pod_add(&lab, 1);
    lab_pod_remove(&lab, 0);
    assert_int_equal(network_purge(&lab.node.opts), 0);
    assert_string_equal(lab_run("ip -o addr; ip -o link; ip route show table all; nft list ruleset"), before);
    lab_pod_remove(&lab, 1);
    lab_stop(&lab);
    assert_int_equal(network_purge(&lab.node.opts), 0); /* safe to repeat */
}

int main(void)
{
    if (!lab_enter(&lab)) {
        fprintf(stderr, "skipped: needs root and network namespaces\n");
        return LAB_SKIP;
    }
    lab_run("ip link set lo up");
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_nothing_left), T(test_reaches), T(test_spoofing),
                                       T(test_setup_twice), T(test_adopt_changes_nothing)};
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    lab_leave(&lab);
    return r;
}
