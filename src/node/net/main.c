/* node/net/main.c - the net helper from start to stop: gives up its privileges, then answers the agent. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "node/net/dns.h"
#include "node/net/net.h"
#include "node/stream/streams.h"

static void on_message(void *ctx, struct ipc *c, struct ipc_msg *m)
{
    struct net *n = ctx;
    switch (m->type) {
    case IPC_PULL:
        net_pull(n, m);
        break;
    case IPC_PROBE_HTTP:
        net_probe_http(n, m);
        break;
    case IPC_PROBE_TCP:
        net_probe_tcp(n, m);
        break;
    case IPC_PROBE_GRPC:
        net_probe_grpc(n, m);
        break;
    case IPC_DNS_LISTEN:
    case IPC_DNS_RESET:
    case IPC_DNS_SERVICE:
    case IPC_DNS_SYNCED:
        if (!dns_message(&n->dns, n->loop, m))
            log_warn("dns", "a message could not be used", "type=%s", ipc_word(m->type));
        break;
    default:
        if (!streams_message(n->streams, m) && m->id)
            ipc_reply(c, m->id, -ENOSYS, STR("not supported"), NULL, NULL, 0);
    }
}

static void on_closed(void *ctx, struct ipc *c, int error)
{
    _exit(0); /* the agent is gone; its successor starts its own */
}

static int drop(unsigned uid)
{
    const struct rlimit core = {0, 0};
    setrlimit(RLIMIT_CORE, &core);
    for (int cap = 0; cap <= 63; cap++)
        prctl(PR_CAPBSET_DROP, cap);
    if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
        return -errno;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

_Noreturn void net_main(int fd, unsigned uid, const struct streams_opts *streams)
{
    static const struct ipc_handler handler = {on_message, on_closed};
    static struct net n;
    prctl(PR_SET_NAME, "sampan-net");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_IGN), signal(SIGTERM, SIG_DFL), signal(SIGINT, SIG_IGN);
    if (fd != 3)
        dup2(fd, 3);
    syscall(SYS_close_range, 4, ~0U, 0);
    if (chdir("/") < 0 || drop(uid) < 0)
        _exit(1);
    n.loop = loop_new_uv();
    n.agent = n.loop ? ipc_new(n.loop, 3, &handler, &n) : NULL;
    if (!n.agent)
        _exit(1);
    struct streams_opts o = *streams;
    o.loop = n.loop, o.agent = n.agent;
    n.streams = streams_new(&o);
    loop_run(n.loop);
    _exit(0);
}
