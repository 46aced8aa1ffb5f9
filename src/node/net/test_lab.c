/* Namespaces, servers and questions for the lab. */
#include "node/net/test_lab.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "node/agent/client.h"
#include "node/files.h"
#include "node/net/link.h"

enum { PORT = 8080, WAIT_MS = 1500 };

static struct lab *here; /* the one lab of this process */
static bool answered;

struct pod *pod_find(struct node *n, struct str uid)
{
    for (int i = 0; i < LAB_PODS; i++)
        if (str_eq(here->pods[i].pod.uid, uid))
            return &here->pods[i].pod;
    return NULL;
}

void pod_network_done(struct pod *p, int error, const char *message)
{
    answered = true;
    loop_stop(p->node->loop);
    if (error)
        fprintf(stderr, "pod network: %s: %s\n", message ? message : "?", strerror(-error));
    p->network_ready = error == 0;
}

void api_watch_start(struct api *a, struct api_watch *w)
{
}

void api_watch_stop(struct api_watch *w)
{
}

bool lab_enter(struct lab *l)
{
    memset(l, 0, sizeof(*l));
    here = l;
    if (geteuid() != 0 || unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL))
        return false;
    snprintf(l->dir, sizeof(l->dir), "/tmp/net_lab.XXXXXX");
    if (!mkdtemp(l->dir))
        return false;
    l->node.run_dir = l->dir;
    l->node.name = "n1";
    l->node.opts = AGENT_OPTS_INIT;
    l->node.opts.run_dir = l->dir;
    l->node.opts.pod_cidr = "10.42.0.0/24";
    list_init(&l->node.pods);
    return true;
}

void lab_leave(struct lab *l)
{
    for (int i = 0; i < LAB_PODS; i++)
        if (l->pods[i].netns[0])
            lab_pod_remove(l, i);
    files_remove_tree(l->dir);
}

int lab_start(struct lab *l)
{
    if (!l->node.loop)
        l->node.loop = loop_new_sim(1);
    return network_routed.start(&l->node, &l->net);
}

void lab_stop(struct lab *l)
{
    network_routed.stop(l->net);
    l->net = NULL;
}

int lab_in(struct lab_pod *p, int (*fn)(void *arg), void *arg)
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int fd = p ? open(p->netns, O_RDONLY | O_CLOEXEC) : -1;
        if (p && (fd < 0 || setns(fd, CLONE_NEWNET) < 0))
            _exit(255);
        _exit(fn(arg));
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

static struct sockaddr_in at(const char *address, int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, address, &a.sin_addr);
    return a;
}

static void serve(const char *name, int tcp, int udp)
{
    for (;;) {
        struct pollfd fds[2] = {{.fd = tcp, .events = POLLIN}, {.fd = udp, .events = POLLIN}};
        struct sockaddr_in from;
        socklen_t len = sizeof(from);
        char text[128], ip[INET_ADDRSTRLEN];
        poll(fds, 2, -1);
        if (fds[0].revents) {
            int fd = accept4(tcp, (struct sockaddr *)&from, &len, SOCK_CLOEXEC);
            int n = snprintf(text, sizeof(text), "%s %s", name, inet_ntop(AF_INET, &from.sin_addr, ip, sizeof(ip)));
            send(fd, text, (size_t)n, MSG_NOSIGNAL);
            close(fd);
        }
        if (fds[1].revents && recvfrom(udp, text, sizeof(text), 0, (struct sockaddr *)&from, &len) >= 0) {
            int n = snprintf(text, sizeof(text), "%s %s", name, inet_ntop(AF_INET, &from.sin_addr, ip, sizeof(ip)));
            sendto(udp, text, (size_t)n, 0, (struct sockaddr *)&from, len);
        }
    }
}

static int start_server(void *arg)
{
    struct lab_pod *p = arg;
    struct sockaddr_in any = at("0.0.0.0", PORT);
    int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int one = 1, ready[2];
    setsockopt(tcp, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(tcp, (void *)&any, sizeof(any)) < 0 || listen(tcp, 64) < 0 || bind(udp, (void *)&any, sizeof(any)) < 0 ||
        pipe(ready) < 0)
        return 1;
    serve(p->name, tcp, udp);
    return 0;
}

static int pin(void *arg)
{
    struct lab_pod *p = arg;
    if (unshare(CLONE_NEWNET) < 0)
        return 1;
    struct link *l = NULL;
    if (link_open(&l) < 0 || link_lo_up(l) < 0)
        return 2;
    link_close(l);
    close(open(p->netns, O_CREAT | O_RDONLY | O_CLOEXEC, 0444));
    return mount("/proc/self/ns/net", p->netns, NULL, MS_BIND, NULL) ? 3 : 0;
}

static void spawn_server(struct lab_pod *p)
{
    p->server = fork();
    if (p->server)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int fd = open(p->netns, O_RDONLY | O_CLOEXEC);
    _exit(setns(fd, CLONE_NEWNET) < 0 ? 1 : start_server(p));
}

void lab_pod_wire(struct lab *l, int i)
{
    answered = false;
    network_routed.setup(l->net, &l->pods[i].pod);
    while (!answered)
        loop_run(l->node.loop);
}

void lab_pod_add(struct lab *l, int i)
{
    struct lab_pod *p = &l->pods[i];
    *p = (struct lab_pod){0};
    snprintf(p->name, sizeof(p->name), "pod%d", i);
    char dir[32];
    memcpy(dir, l->dir, sizeof(dir));
    snprintf(p->netns, sizeof(p->netns), "%s/pod%d", dir, i);
    p->pod.uid = str_of(p->name), p->pod.node = &l->node, p->pod.netns = p->netns;
    p->pod.ns = STR("default"), p->pod.name = str_of(p->name);
    int r = lab_in(NULL, pin, p);
    if (r)
        fprintf(stderr, "lab: pin %d\n", r);
    lab_pod_wire(l, i);
    spawn_server(p);
    for (int tries = 0; tries < 100; tries++) { /* until it serves */
        struct lab_ask ask = {.address = "127.0.0.1", .port = PORT};
        if (strncmp(lab_ask(p, &ask), "pod", 3) == 0)
            break;
        poll(NULL, 0, 10);
    }
}

void lab_pod_remove(struct lab *l, int i)
{
    struct lab_pod *p = &l->pods[i];
    if (p->server > 0)
        kill(p->server, SIGKILL), waitpid(p->server, NULL, 0);
    if (l->net)
        network_routed.teardown(l->net, &p->pod);
    umount2(p->netns, MNT_DETACH);
    unlink(p->netns);
    p->netns[0] = 0;
}

static const char *word_of(int error)
{
    return error == ECONNREFUSED                                           ? "refused"
           : error == EHOSTUNREACH || error == ENETUNREACH                 ? "unreachable"
           : error == ETIMEDOUT || error == EINPROGRESS || error == EAGAIN ? "timeout"
                                                                           : strerror(error);
}

static int one_question(struct lab_ask *a, char *to, size_t cap)
{
    struct sockaddr_in dst = at(a->address, a->port), src = at(a->source ? a->source : "0.0.0.0", a->source_port);
    cleanup_fd int fd = socket(AF_INET, (a->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
    struct timeval wait = {.tv_sec = WAIT_MS / 1000, .tv_usec = WAIT_MS % 1000 * 1000};
    int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    if (a->source)
        setsockopt(fd, SOL_IP, IP_TRANSPARENT, &one, sizeof(one));
    if ((a->source || a->source_port) && bind(fd, (void *)&src, sizeof(src)) < 0)
        return errno;
    if (connect(fd, (void *)&dst, sizeof(dst)) < 0 || (a->udp && send(fd, "?", 1, 0) < 0))
        return errno;
    ssize_t n = recv(fd, to, cap - 1, a->udp ? 0 : MSG_WAITALL);
    if (n < 0)
        return errno;
    to[n] = 0;
    return 0;
}

static int ask_all(void *arg)
{
    struct lab_ask *a = arg;
    size_t len = 0;
    for (int i = 0; i < (a->times ? a->times : 1) && len + 64 < sizeof(a->answer); i++) {
        char one[64] = "";
        int error = one_question(a, one, sizeof(one));
        len += (size_t)snprintf(a->answer + len, sizeof(a->answer) - len, "%s%s", i ? "\n" : "",
                                error ? word_of(error) : one);
    }
    return 0;
}

const char *lab_ask(struct lab_pod *p, struct lab_ask *ask)
{
    struct lab_ask *shared =
        mmap(NULL, sizeof(*ask), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, /* fd= */ -1, 0);
    *shared = *ask;
    lab_in(p, ask_all, shared);
    memcpy(ask->answer, shared->answer, sizeof(ask->answer));
    munmap(shared, sizeof(*ask));
    return ask->answer;
}

const char *lab_run(const char *command)
{
    static char out[1 << 16];
    FILE *f = popen(command, "r");
    size_t n = f ? fread(out, 1, sizeof(out) - 1, f) : 0;
    out[n] = 0;
    if (f)
        pclose(f);
    return out;
}
