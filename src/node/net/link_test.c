/* The pod network in a lab: wires, routes, spoofing, restart, nothing left. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "node/files.h"
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
    lab_pod_wire(&lab, 0); /* as after a kill -9 in the midst of it */
    assert_string_equal(ask(&lab.pods[1], "10.42.0.2", 8080), "pod0 10.42.0.3");
}

static bool gone_within_2s(const char *name)
{
    for (int i = 0; i < 200 && link_index(name); i++)
        poll(NULL, 0, 10);
    return link_index(name) == 0;
}

/* The kernel takes the link down with the namespace; we only look after it where somebody holds the namespace. */
static void test_link_goes_with_its_namespace(void **state)
{
    char first[IFNAMSIZ], second[IFNAMSIZ];
    link_name(STR("pod0"), first), link_name(STR("pod1"), second);
    int held = open(lab.pods[1].netns, O_RDONLY | O_CLOEXEC);
    lab_pod_remove(&lab, 0), lab_pod_remove(&lab, 1);
    assert_true(gone_within_2s(first));
    assert_true(link_index(second) > 0);
    loop_run(lab.node.loop);
    assert_int_equal(link_index(second), 0);
    close(held);
    lab_pod_add(&lab, 0), lab_pod_add(&lab, 1);
}

static int send_by_ipv6(void *arg)
{
    struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(8081)};
    inet_pton(AF_INET6, "fd00::1", &to.sin6_addr);
    if (system("ip -6 addr add fd00::2/128 dev eth0 nodad; ip -6 route add fd00::1 dev eth0; "
               "ip -6 neigh add fd00::1 lladdr ee:ee:ee:ee:ee:ee dev eth0"))
        return 1;
    cleanup_fd int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return sendto(fd, "?", 1, 0, (void *)&to, sizeof(to)) == 1 ? 0 : 2;
}

static void test_no_ipv6_to_the_node(void **state)
{
    char name[IFNAMSIZ], command[128], byte;
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(8081)};
    struct timeval wait = {.tv_usec = 200000};
    cleanup_fd int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        skip(); /* a kernel without */
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    assert_int_equal(bind(fd, (void *)&any, sizeof(any)), 0);
    lab_run("ip -6 addr add fd00::1/128 dev lo");
    assert_int_equal(lab_in(&lab.pods[0], send_by_ipv6, NULL), 0);
    assert_true(recv(fd, &byte, 1, 0) < 0);
    lab_run("ip -6 addr del fd00::1/128 dev lo");
    link_name(STR("pod0"), name);
    snprintf(command, sizeof(command), "ip -6 -o addr show dev %s", name);
    assert_string_equal(lab_run(command), "");
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_nothing_left),
                                       T(test_reaches),
                                       T(test_spoofing),
                                       T(test_setup_twice),
                                       T(test_adopt_changes_nothing),
                                       T(test_link_goes_with_its_namespace),
                                       T(test_no_ipv6_to_the_node)};
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    lab_leave(&lab);
    return r;
}
