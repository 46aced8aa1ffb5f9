/* The name server in a lab: an unprivileged helper process, dig in a pod, an upstream of our own. */
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "node/files.h"
#include "node/net/dns.h"
#include "node/net/net_priv.h"
#include "node/net/proxy.h"
#include "node/net/test_lab.h"

static struct lab lab;
static struct arena *mem;
static int pids[2]; /* helper, upstream */

/* ---- the helper, as net/main.c runs it */

struct helper {
    struct loop *loop;
    struct dns *dns;
};

static void on_message(void *ctx, struct ipc *c, struct ipc_msg *m)
{
    struct helper *h = ctx;
    if (!dns_message(&h->dns, h->loop, m))
        fprintf(stderr, "helper: bad %s\n", ipc_word(m->type));
}

static void on_closed(void *ctx, struct ipc *c, int error)
{
    _exit(0);
}

static void run_helper(int fd)
{
    static const struct ipc_handler handler = {on_message, on_closed};
    struct helper h = {.loop = loop_new_uv()};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0 || !ipc_new(h.loop, fd, &handler, &h))
        _exit(1);
    loop_run(h.loop);
    _exit(0);
}

/* ---- an upstream: the server itself, with another zone, on 127.0.0.1 */

static void run_upstream(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = 0x3500, .sin_addr = {0x0100007f}}; /* 127.0.0.1:53 */
    struct helper h = {.loop = loop_new_uv()};
    struct ipc_msg m = {.type = IPC_DNS_LISTEN, .fd_count = 2};
    int one = 1;
    struct ipc_body b = IPC_BODY(arena_new());
    m.fds[0] = socket(AF_INET, SOCK_DGRAM, 0), m.fds[1] = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(m.fds[1], SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(m.fds[0], (void *)&a, sizeof(a)) < 0 || bind(m.fds[1], (void *)&a, sizeof(a)) < 0)
        _exit(1);
    ipc_put_strv(&b, NULL, 0);
    m.body = sb_str(&b.sb);
    dns_message(&h.dns, h.loop, &m);
    struct ipc_body zone = IPC_BODY(arena_new()), service = IPC_BODY(arena_new());
    ipc_put_str(&zone, STR("test"));
    for (int i = 0; i < 4; i++)
        ipc_put_u64(&zone, 0);
    m = (struct ipc_msg){.type = IPC_DNS_RESET, .body = sb_str(&zone.sb)};
    dns_message(&h.dns, h.loop, &m);
    ipc_put_str(&service, STR("example")), ipc_put_str(&service, STR("www")), ipc_put_u64(&service, 2);
    ipc_put_u64(&service, 0), ipc_put_str(&service, STR("")), ipc_put_u64(&service, 0), ipc_put_u64(&service, 200);
    for (unsigned i = 0; i < 200; i++) /* www.example.svc.test: too much for UDP */
        ipc_put_u64(&service, 0xc0000200u + i), ipc_put_str(&service, STR(""));
    m = (struct ipc_msg){.type = IPC_DNS_SERVICE, .body = sb_str(&service.sb)};
    dns_message(&h.dns, h.loop, &m);
    loop_run(h.loop);
    _exit(0);
}

/* ---- */

static void stop_loop(struct loop_timer *t)
{
    loop_stop(t->loop);
}

static void turn_ms(int ms)
{
    struct loop_timer t;
    loop_timer_init(lab.node.loop, &t, stop_loop);
    loop_timer_start(&t, ms);
    loop_run(lab.node.loop);
}

static void quiet(void *ctx, struct ipc *c, int error)
{
}

static int start_helper(void)
{
    static const struct ipc_handler handler = {.closed = quiet};
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -1;
    fflush(NULL);
    pids[0] = fork();
    if (pids[0] == 0) {
        close(pair[0]);
        run_helper(pair[1]);
    }
    close(pair[1]);
    lab.node.net = ipc_new(lab.node.loop, pair[0], &handler, NULL);
    return 0;
}

static int setup(void **state)
{
    mem = arena_new();
    lab_run("ip link set lo up");
    files_write("/tmp/dns_test.resolv", 0644, STR("nameserver 127.0.0.1\n"));
    if (mount("/tmp/dns_test.resolv", "/etc/resolv.conf", NULL, MS_BIND, NULL) < 0)
        return -1;
    fflush(NULL);
    pids[1] = fork();
    if (pids[1] == 0)
        run_upstream();
    lab.node.loop = loop_new_uv();
    if (start_helper() < 0 || lab_start(&lab) < 0)
        return -1;
    lab_pod_add(&lab, 0);
    return 0;
}

static int teardown(void **state)
{
    lab_pod_remove(&lab, 0);
    lab_stop(&lab);
    lab.node.net = ipc_free(lab.node.net);
    turn_ms(20);
    lab.node.loop = loop_free(lab.node.loop);
    for (int i = 0; i < 2; i++)
        kill(pids[i], SIGKILL), waitpid(pids[i], NULL, 0);
    umount("/etc/resolv.conf"), unlink("/tmp/dns_test.resolv");
    mem = arena_free(mem);
    return network_purge(&lab.node.opts);
}

static void event(bool slices, enum watch_event e, const char *text)
{
    struct err err = {.mem = mem};
    const struct doc *d = text ? doc_parse(mem, str_of(text), NULL, &err) : NULL;
    proxy_event(((struct network *)lab.net)->proxy, slices, e, d);
}

static const char *dig(const char *args)
{
    const char *out =
        lab_run(str_fmtz(mem, "nsenter --net=%s/pod0 dig +tries=1 +time=8 +short @10.96.0.10 %s 2>&1", lab.dir, args));
    return out;
}

static void test_end_to_end(void **state)
{
    event(false, WATCH_SYNC_BEGIN, NULL), event(true, WATCH_SYNC_BEGIN, NULL);
    event(
        false, WATCH_ADDED,
        "{\"metadata\":{\"namespace\":\"default\",\"name\":\"web\"},\"spec\":{\"clusterIP\":\"10.96.0.50\",\"ports\":["
        "{\"name\":\"http\",\"port\":80}]}}");
    event(false, WATCH_ADDED,
          "{\"metadata\":{\"namespace\":\"kube-system\",\"name\":\"kube-dns\"},\"spec\":{\"clusterIP\":\"10.96.0.10\","
          "\"ports\":[{\"name\":\"dns\",\"port\":53,\"protocol\":\"UDP\"},{\"name\":\"t\",\"port\":53}]}}");
    event(false, WATCH_ADDED,
          "{\"metadata\":{\"namespace\":\"default\",\"name\":\"out\"},\"spec\":{\"type\":\"ExternalName\","
          "\"externalName\":\"www.example.svc.test\"}}");
    event(false, WATCH_ADDED,
          "{\"metadata\":{\"namespace\":\"default\",\"name\":\"db\"},\"spec\":{\"clusterIP\":\"None\",\"ports\":[{"
          "\"name\":"
          "\"pg\",\"port\":5432}]}}");
    event(true, WATCH_ADDED,
          "{\"metadata\":{\"namespace\":\"default\",\"name\":\"db-1\",\"labels\":{\"kubernetes.io/"
          "service-name\":\"db\"}},\"addressType\":\"IPv4\",\"endpoints\":[{\"addresses\":[\"10.42.0.7\"],\"hostname\":"
          "\"db-0\"},{\"addresses\":[\"10.42.0.8\"],\"conditions\":{\"ready\":false}}],\"ports\":[{\"name\":\"pg\","
          "\"port\":5432}]}");
    event(false, WATCH_SYNC_END, NULL), event(true, WATCH_SYNC_END, NULL);
    turn_ms(200);
    assert_string_equal(dig("web.default.svc.cluster.local"), "10.96.0.50\n");
    assert_string_equal(dig("+tcp web.default.svc.cluster.local"), "10.96.0.50\n");
    assert_string_equal(dig("db.default.svc.cluster.local"), "10.42.0.7\n");
    assert_string_equal(dig("db-0.db.default.svc.cluster.local"), "10.42.0.7\n");
    assert_string_equal(dig("SRV _pg._tcp.db.default.svc.cluster.local"),
                        "0 100 5432 db-0.db.default.svc.cluster.local.\n");
    assert_string_equal(dig("SRV _http._tcp.web.default.svc.cluster.local"),
                        "0 100 80 web.default.svc.cluster.local.\n");
    assert_string_equal(dig("-x 10.96.0.50"), "web.default.svc.cluster.local.\n");
    assert_string_equal(dig("-x 10.42.0.7"), "db-0.db.default.svc.cluster.local.\n");
    assert_string_equal(dig("10-42-0-9.x.pod.cluster.local"), "10.42.0.9\n");
    assert_string_equal(dig("none.default.svc.cluster.local"), "");
    /* forwarded; 200 addresses make dig come again by TCP, and us go on by TCP */
    assert_non_null(strstr(dig("www.example.svc.test"), "192.0.2.199\n"));
    assert_non_null(strstr(dig("out.default.svc.cluster.local"), "www.example.svc.test.\n192.0.2."));
    assert_non_null(strstr(dig("+noshort +comments nothing.example.svc.test"), "SERVFAIL"));
}

static void test_a_new_helper_learns_all(void **state)
{
    event(false, WATCH_SYNC_BEGIN, NULL), event(true, WATCH_SYNC_BEGIN, NULL);
    for (int i = 0; i < 3000; i++) /* more than fits the channel at once */
        event(
            false, WATCH_ADDED,
            str_fmtz(mem,
                     "{\"metadata\":{\"namespace\":\"many\",\"name\":\"s%d\"},\"spec\":{\"clusterIP\":\"10.96.%d.%d\","
                     "\"ports\":[{\"port\":80}]}}",
                     i, 1 + i / 250, 1 + i % 250));
    event(false, WATCH_SYNC_END, NULL), event(true, WATCH_SYNC_END, NULL);
    turn_ms(1500);
    assert_string_equal(dig("s2999.many.svc.cluster.local"), "10.96.12.250\n");
    kill(pids[0], SIGKILL), waitpid(pids[0], NULL, 0);
    lab.node.net = ipc_free(lab.node.net);
    network_routed.helper(lab.net, NULL);
    assert_int_equal(start_helper(), 0);
    network_routed.helper(lab.net, lab.node.net);
    turn_ms(1500);
    assert_string_equal(dig("s0.many.svc.cluster.local"), "10.96.1.1\n");
    assert_string_equal(dig("s2999.many.svc.cluster.local"), "10.96.12.250\n");
}

int main(void)
{
    if (!lab_enter(&lab)) {
        fprintf(stderr, "skipped: needs root and network namespaces\n");
        return LAB_SKIP;
    }
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {T(test_end_to_end), T(test_a_new_helper_learns_all)};
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    lab_leave(&lab);
    return r;
}
