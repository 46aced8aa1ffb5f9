/* A sandbox is a directory of pinned namespaces. One process makes them, pins them by bind mounts (it has the agent's
 * mount namespace) and ends: nothing stays behind, but the init of a shared PID namespace. The pool does it, and the
 * pod's cgroup, since the kernel's locks of links, mounts and cgroups are held long by others. */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/log.h"
#include "node/files.h"
#include "node/runtime/cgroup.h"
#include "node/runtime/runtime.h"
#include "node/volume/volume.h"

enum { SYSCTLS_MAX = 64 };

struct plan {
    int flags; /* CLONE_NEW* */
    char *net, *ipc, *uts, *pid, *shm, *pid_file, *hostname, *init;
    char *sysctls[SYSCTLS_MAX], *values[SYSCTLS_MAX];
    int sysctl_count;
};
struct sandbox_op {
    struct str uid;
    void (*done)(struct pod *p, int error, const char *why);
    struct node *node;
    struct arena *mem;
    struct plan plan;
    struct loop_work work;
    char *cgroup;
    struct cgroup_limits limits;
    int cgroup_error;
    int code; /* 0 or the step of build() that failed */
};

char *sandbox_path(struct pod *p, struct arena *mem, const char *name)
{
    return str_fmtz(mem, "%s/pods/" STR_FMT "/%s", p->node->run_dir, STR_ARG(p->uid), name);
}

static int pin(const char *from, const char *to)
{
    int fd = open(to, O_CREAT | O_RDONLY | O_CLOEXEC, 0444);
    if (fd < 0)
        return -1;
    close(fd);
    return mount(from, to, NULL, MS_BIND, NULL);
}

static void lo_up(void)
{
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq r = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    ioctl(s, SIOCSIFFLAGS, &r);
    close(s);
}

static int put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_CREAT, 0600);
    ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));
    close(fd);
    return n < 0 ? -1 : 0;
}

static int start_init(const struct plan *p)
{
    if (access(p->init, X_OK) < 0)
        return -1; /* else it is told when a container joins, as "cannot fork: Cannot allocate memory" */
    pid_t pid =
        (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL); /* no handlers of fork(): see child_borrow */
    if (pid == 0) {
        setsid();
        for (int fd = 3; fd < 1024; fd++)
            fcntl(fd, F_SETFD, FD_CLOEXEC);
        int null = open("/dev/null", O_RDWR);
        dup2(null, 0), dup2(null, 1), dup2(null, 2);
        char *argv[] = {p->init, NULL}, *env[] = {NULL};
        execve(p->init, argv, env);
        _exit(127);
    }
    char from[64], text[32];
    snprintf(from, sizeof(from), "/proc/%d/ns/pid", (int)pid), snprintf(text, sizeof(text), "%d", (int)pid);
    return pid < 0 || pin(from, p->pid) < 0 || put(p->pid_file, text) < 0 ? -1 : 0;
}

/* In the borrowing child: system calls only. */
static int build(const void *plan)
{
    const struct plan *p = plan;
    if (unshare(p->flags) < 0)
        return 1;
    if (p->uts && (sethostname(p->hostname, strlen(p->hostname)) < 0 || pin("/proc/self/ns/uts", p->uts) < 0))
        return 2;
    if (p->net) {
        lo_up();
        put("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"),
            put("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
        if (pin("/proc/self/ns/net", p->net) < 0)
            return 3;
    }
    for (int i = 0; i < p->sysctl_count; i++)
        if (put(p->sysctls[i], p->values[i]) < 0)
            return 4;
    if (p->ipc && (pin("/proc/self/ns/ipc", p->ipc) < 0 ||
                   mount("shm", p->shm, "tmpfs", MS_NOSUID | MS_NOEXEC | MS_NODEV, "mode=1777,size=64m") < 0))
        return 5;
    return p->pid && start_init(p) < 0 ? 6 : 0;
}

static void read_sysctls(struct pod *p, struct plan *plan, struct arena *mem)
{
    doc_each (s, doc_path(p->spec, "securityContext", "sysctls", NULL)) {
        if (plan->sysctl_count == SYSCTLS_MAX)
            return;
        char *name = str_z(mem, doc_str(s, "name"));
        bool ours = strncmp(name, "net.", 4) == 0 || strncmp(name, "net/", 4) == 0 ||
                    strncmp(name, "kernel.", 7) == 0 || strncmp(name, "fs.mqueue.", 10) == 0;
        if (!ours || strstr(name, ".."))
            continue;
        for (char *c = name; *c; c++)
            *c = *c == '.' ? '/' : *c;
        plan->sysctls[plan->sysctl_count] = str_fmtz(mem, "/proc/sys/%s", name);
        plan->values[plan->sysctl_count++] = str_z(mem, doc_str(s, "value"));
    }
}

static void make_plan(struct pod *p, struct plan *plan, struct arena *mem)
{
    if (!p->host_network) {
        plan->flags |= CLONE_NEWNET | CLONE_NEWUTS;
        plan->net = sandbox_path(p, mem, "net"), plan->uts = sandbox_path(p, mem, "uts");
        plan->hostname = str_z(mem, volume_hostname(p, mem));
    }
    if (!p->host_ipc) {
        plan->flags |= CLONE_NEWIPC;
        plan->ipc = sandbox_path(p, mem, "ipc"), plan->shm = sandbox_path(p, mem, "shm");
        mkdir(plan->shm, 0755);
    }
    if (p->share_pid) {
        plan->flags |= CLONE_NEWPID;
        plan->pid = sandbox_path(p, mem, "pid"), plan->pid_file = sandbox_path(p, mem, "init.pid");
        plan->init = str_fmtz(mem, "%s", p->node->init);
    }
    read_sysctls(p, plan, mem);
}

static int read_pid(const char *path)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str text;
    int64_t pid = 0;
    if (files_read(AT_FDCWD, path, 64, mem, &text) == 0)
        str_to_i64(str_trim(text), &pid);
    return (int)pid;
}

static void sandbox_work(struct loop_work *w)
{
    struct sandbox_op *op = container_of(w, struct sandbox_op, work);
    op->cgroup_error = cgroup_make(op->node->cgroup_mode, op->cgroup, &op->limits);
    if (op->plan.flags == 0)
        return;
    int status = 0;
    pid_t pid = child_borrow(build, &op->plan);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    op->code = pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static void sandbox_done(struct loop_work *w)
{
    static const char *const steps[] = {
        "", "unshare", "hostname", "network namespace", "sysctls", "shared memory", "sampan-pod-init can't start"};
    struct sandbox_op *op = container_of(w, struct sandbox_op, work);
    struct pod *p = pod_find(op->node, op->uid);
    int code = op->code;
    if (p) {
        if (op->cgroup_error)
            log_warn("pod", "no cgroup", "pod=" STR_FMT " error=%s", STR_ARG(p->name), strerror(-op->cgroup_error));
        if (op->plan.pid)
            p->init_pid = read_pid(op->plan.pid_file);
        const char *why =
            code == 0 ? NULL : str_fmtz(op->mem, "failed to create pod sandbox: %s", steps[code < 7 ? code : 1]);
        op->done(p, code ? -EIO : 0, why);
    }
    arena_free(op->mem);
}

void sandbox_start(struct pod *p, const struct cgroup_limits *limits,
                   void (*done)(struct pod *p, int error, const char *why))
{
    struct arena *mem = arena_new();
    struct sandbox_op *op = arena_new_of(mem, struct sandbox_op);
    *op = (struct sandbox_op){.done = done, .node = p->node, .mem = mem, .limits = *limits};
    op->uid = str_dup(mem, p->uid), op->cgroup = str_fmtz(mem, "%s", p->cgroup);
    op->work = (struct loop_work){.work = sandbox_work, .done = sandbox_done};
    int r = files_mkdirs(sandbox_path(p, mem, ""), 0700);
    make_plan(p, &op->plan, mem);
    if (op->plan.net)
        p->netns = str_z(p->keep, str_of(op->plan.net));
    r = r < 0 ? r : loop_work(p->node->loop, &op->work);
    if (r < 0) {
        done(p, r, "failed to create pod sandbox directory");
        arena_free(mem);
    }
}

void sandbox_remove(struct pod *p, struct removal *to)
{
    cleanup_arena struct arena *mem = arena_new();
    if (p->init_pid > 1)
        kill(p->init_pid, SIGKILL), p->init_pid = 0;
    static const char *const names[] = {"net", "ipc", "uts", "pid", "shm"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        removal_unmount(to, sandbox_path(p, mem, names[i]));
    removal_tree(to, sandbox_path(p, mem, ""));
}
