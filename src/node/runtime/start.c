/* node/runtime/start.c - a container created under conmon by crun, and started. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <uv.h>

#include "base/log.h"
#include "node/files.h"
#include "node/runtime/cgroup.h"
#include "node/runtime/priv.h"

enum { SYNC_BYTES_MAX = 16 << 10, OVERLAY_OPTIONS_MAX = 4000, LOG_PATH_MAX = 4000 };

struct conmon_plan;
/* A creation under way: conmon's sync pipe tells {"data": PID} or {"data": -1, "message": ...}. */
struct start_op {
    struct container *c;
    struct arena *mem;
    struct node *node;
    struct loop_work work;
    struct conmon_plan *plan;
    int pid; /* conmon's first half, or -errno */
    uv_poll_t poll;
    int fd;
    char text[SYNC_BYTES_MAX];
    size_t len;
};

char *runtime_bundle(struct node *n, struct arena *mem, const char *id, const char *name)
{
    return str_fmtz(mem, "%s/containers/%s%s%s", n->run_dir, id, *name ? "/" : "", name);
}

char *runtime_log_path(struct container *c, struct arena *mem, int attempt)
{
    const struct pod *p = c->pod;
    return str_fmtz(mem, "%s/" STR_FMT "_" STR_FMT "_" STR_FMT "/" STR_FMT "/%d.log", p->node->log_dir, STR_ARG(p->ns),
                    STR_ARG(p->name), STR_ARG(p->uid), STR_ARG(c->name), attempt);
}

void runtime_new_id(struct node *n, char id[68])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char raw[32];
    loop_rand_bytes(n->loop, RAND_UID, raw, sizeof(raw));
    for (int i = 0; i < 32; i++)
        id[i * 2] = digits[raw[i] >> 4], id[i * 2 + 1] = digits[raw[i] & 15];
    id[64] = 0;
}

/* ---- in the child: system calls only */

struct conmon_plan {
    char *layers_dir, *rootfs, *overlay, *upper, *work, *bundle;
    char **lower; /* for many layers: one by one */
    bool hybrid;
    const char *argv[64];
    char *env[4];
    int sync_fd;
};

static int fsconfig_path(int fs, const char *key, const char *value)
{
    return (int)syscall(SYS_fsconfig, fs, /* FSCONFIG_SET_STRING */ 1, key, value, 0);
}

/* More layers than a page of options holds: one option each (Linux 6.5). */
static int mount_many(const struct conmon_plan *p)
{
    int fs = (int)syscall(SYS_fsopen, "overlay", 0), r = 0;
    for (char **l = p->lower; *l && r == 0; l++)
        r = fsconfig_path(fs, "lowerdir+", *l);
    if (r < 0 || fsconfig_path(fs, "upperdir", p->upper) < 0 || fsconfig_path(fs, "workdir", p->work) < 0 ||
        syscall(SYS_fsconfig, fs, /* FSCONFIG_SET_FLAG */ 0, "userxattr", NULL, 0) < 0 ||
        syscall(SYS_fsconfig, fs, /* FSCONFIG_CMD_CREATE */ 6, NULL, NULL, 0) < 0)
        return -1;
    int m = (int)syscall(SYS_fsmount, fs, 0, 0);
    return m < 0 ? -1 : (int)syscall(SYS_move_mount, m, "", AT_FDCWD, p->rootfs, /* MOVE_MOUNT_F_EMPTY_PATH */ 4);
}

static void tell(int fd, const char *what)
{
    char line[256];
    int n = snprintf(line, sizeof(line), "{\"data\": -1, \"message\": \"%s: %s\"}\n", what, strerror(errno));
    if (write(fd, line, (size_t)n) < 0)
        _exit(126);
}

static int conmon_child(const void *plan)
{
    const struct conmon_plan *p = plan;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    if (unshare(CLONE_NEWNS) < 0 || mount("", "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 || chdir(p->layers_dir) < 0)
        tell(p->sync_fd, "mount namespace"), _exit(126);
    if (p->lower ? mount_many(p) < 0 : mount("overlay", p->rootfs, "overlay", 0, p->overlay) < 0)
        tell(p->sync_fd, "failed to mount the root file system"), _exit(126);
    runtime_hide_unified(p->hybrid);
    if (chdir(p->bundle) < 0)
        tell(p->sync_fd, "bundle"), _exit(126);
    int null = open("/dev/null", O_RDWR);
    dup2(null, 0), dup2(null, 1), dup2(null, 2);
    fcntl(p->sync_fd, F_SETFD, 0);
    execve(p->argv[0], (char *const *)(uintptr_t)p->argv, p->env);
    tell(p->sync_fd, "conmon");
    return 127;
}

void runtime_hide_unified(bool hybrid)
{
    if (hybrid)
        umount2("/sys/fs/cgroup/unified", MNT_DETACH);
}

/* ---- creation */

static void op_closed(uv_handle_t *h)
{
    struct start_op *op = container_of((uv_poll_t *)h, struct start_op, poll);
    arena_free(op->mem);
}

static void op_end(struct start_op *op, int error, const char *why)
{
    struct container *c = op->c;
    uv_poll_stop(&op->poll);
    close(op->fd);
    if (c) {
        c->op = NULL;
        container_created(c, error, why);
    }
    uv_close((uv_handle_t *)&op->poll, op_closed);
}

static void op_answer(struct start_op *op)
{
    struct str line = str_mem(op->text, op->len), head, rest;
    str_cut(line, '\n', &head, &rest);
    const struct doc *d = doc_parse(op->mem, head, NULL, NULL);
    int64_t pid = doc_int(d, "data", doc_int(d, "pid", -1));
    struct str message = doc_str(d, "message");
    if (pid > 0 && op->c) {
        op->c->pid = (int)pid;
        op_end(op, 0, NULL);
    } else {
        op_end(op, -EIO,
               message.len ? str_z(op->mem, str_trim(message)) : "the container monitor ended without an answer");
    }
}

static void on_sync(uv_poll_t *poll, int status, int events)
{
    struct start_op *op = container_of(poll, struct start_op, poll);
    ssize_t n = read(op->fd, op->text + op->len, sizeof(op->text) - op->len);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0)
        op->len += (size_t)n;
    if (n <= 0 || memchr(op->text, '\n', op->len) || op->len == sizeof(op->text))
        op_answer(op);
}

static void conmon_args(struct container *c, struct conmon_plan *p, struct arena *mem, const char *log)
{
    struct node *n = c->pod->node;
    int i = 0;
    const char *const args[] = {n->conmon,
                                "--api-version",
                                "1",
                                "-c",
                                c->id,
                                "-u",
                                c->id,
                                "-n",
                                c->id,
                                "-r",
                                n->crun,
                                "-b",
                                p->bundle,
                                "-p",
                                str_fmtz(mem, "%s/pid", p->bundle),
                                "-P",
                                str_fmtz(mem, "%s/conmon.pid", p->bundle),
                                "-l",
                                str_fmtz(mem, "k8s-file:%s", log),
                                "--exit-dir",
                                str_fmtz(mem, "%s/exits", n->run_dir),
                                "--socket-dir-path",
                                str_fmtz(mem, "%s/socks", n->run_dir),
                                "--full-attach",
                                "--runtime-arg",
                                str_fmtz(mem, "--root=%s/crun", n->run_dir)};
    for (size_t k = 0; k < sizeof(args) / sizeof(args[0]); k++)
        p->argv[i++] = args[k];
    if (doc_bool(c->spec, "tty", false))
        p->argv[i++] = (char *)(uintptr_t) "-t";
    if (doc_bool(c->spec, "stdin", false)) {
        p->argv[i++] = (char *)(uintptr_t) "-i";
        if (!doc_bool(c->spec, "stdinOnce", false))
            p->argv[i++] = (char *)(uintptr_t) "--leave-stdin-open";
    }
    p->env[0] = str_fmtz(mem, "_OCI_SYNCPIPE=%d", p->sync_fd);
    p->env[1] = (char *)(uintptr_t) "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

static void overlay_plan(struct node *n, struct conmon_plan *p, struct arena *mem, const char *id, struct str lower)
{
    p->layers_dir = str_fmtz(mem, "%s/layers", images_dir(n->images));
    p->upper = str_fmtz(mem, "%s/containers/%s/upper", n->state_dir, id);
    p->work = str_fmtz(mem, "%s/containers/%s/work", n->state_dir, id);
    p->overlay =
        str_fmtz(mem, "lowerdir=" STR_FMT ",upperdir=%s,workdir=%s,userxattr", STR_ARG(lower), p->upper, p->work);
    if (strlen(p->overlay) < OVERLAY_OPTIONS_MAX)
        return;
    p->lower = arena_array(mem, char *, IMAGE_LAYERS_MAX + 1);
    struct str one;
    for (int i = 0; i < IMAGE_LAYERS_MAX && str_next(&lower, ':', &one); i++)
        p->lower[i] = str_z(mem, one);
}

static int prepare(struct container *c, const struct doc *config, struct str lower, struct conmon_plan *p,
                   struct arena *mem)
{
    struct node *n = c->pod->node;
    p->bundle = runtime_bundle(n, mem, c->id, ""), p->rootfs = runtime_bundle(n, mem, c->id, "rootfs");
    p->hybrid = n->cgroup_mode == CGROUP_HYBRID;
    overlay_plan(n, p, mem, c->id, lower);
    char *log = runtime_log_path(c, mem, c->log_attempt);
    int r = files_mkdirs(p->rootfs, 0700);
    r = r < 0 ? r : files_mkdirs(p->upper, 0755);
    r = r < 0 ? r : files_mkdirs(p->work, 0700);
    r = r < 0 ? r : files_mkdirs(str_z(mem, str_head(str_of(log), (size_t)str_rfind(str_of(log), '/'))), 0755);
    r = r < 0 ? r : files_write(runtime_bundle(n, mem, c->id, "config.json"), 0600, doc_json(mem, config));
    conmon_args(c, p, mem, log);
    if (r == 0 && n->containers_log_dir) {
        const struct pod *pod = c->pod;
        unlink(str_fmtz(mem, "%s/" STR_FMT "_" STR_FMT "_" STR_FMT "-%s.log", n->containers_log_dir, STR_ARG(pod->name),
                        STR_ARG(pod->ns), STR_ARG(c->name), c->id));
        if (symlink(log, str_fmtz(mem, "%s/" STR_FMT "_" STR_FMT "_" STR_FMT "-%s.log", n->containers_log_dir,
                                  STR_ARG(pod->name), STR_ARG(pod->ns), STR_ARG(c->name), c->id)) < 0)
            log_debug("runtime", "no link to the log", "error=%d", errno);
    }
    return r;
}

static void ignore_end(void *ctx, int pid, int status)
{
}

static void create_work(struct loop_work *w)
{
    struct start_op *op = container_of(w, struct start_op, work);
    op->pid = child_borrow(conmon_child, op->plan);
}

static void create_done(struct loop_work *w)
{
    struct start_op *op = container_of(w, struct start_op, work);
    close(op->plan->sync_fd);
    uv_poll_start(&op->poll, UV_READABLE, on_sync);
    if (op->pid > 0)
        child_watch(op->node->loop, op->pid, ignore_end, NULL); /* reaps conmon's first half */
}

void runtime_create(struct container *c, const struct doc *config, struct str lower)
{
    struct node *n = c->pod->node;
    struct arena *mem = arena_new();
    struct start_op *op = arena_new_of(mem, struct start_op);
    struct conmon_plan *plan = arena_new_of(mem, struct conmon_plan);
    int pipe_fds[2] = {-1, -1};
    op->c = c, op->mem = mem, op->node = n, op->plan = plan;
    int r = pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) < 0 ? -errno : 0;
    plan->sync_fd = pipe_fds[1];
    r = r < 0 ? r : prepare(c, config, lower, plan, mem);
    if (r == 0 && uv_poll_init(loop_uv_handle(n->loop), &op->poll, pipe_fds[0]) < 0)
        r = -ENOMEM;
    if (r < 0) {
        if (pipe_fds[0] >= 0)
            close(pipe_fds[0]), close(pipe_fds[1]);
        container_created(c, r, str_fmtz(mem, "failed to write the container's bundle: %s", strerror(-r)));
        arena_free(mem);
        return;
    }
    fcntl(pipe_fds[1], F_SETFL, 0);
    op->fd = pipe_fds[0], c->op = op;
    op->work = (struct loop_work){.work = create_work, .done = create_done};
    if (loop_work(n->loop, &op->work) < 0)
        create_work(&op->work), create_done(&op->work);
}

void runtime_abandon(struct container *c)
{
    if (c->op)
        c->op->c = NULL, c->op = NULL;
}

/* What `crun start` does (crun 1.x: src/libcrun/status.c, write_exec_fifo), without a process for it. */
int runtime_start(struct container *c)
{
    cleanup_arena struct arena *mem = arena_new();
    char *fifo = str_fmtz(mem, "%s/crun/%s/exec.fifo", c->pod->node->run_dir, c->id);
    cleanup_fd int fd = open(fifo, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ENXIO) {
        /* the container's process has not reached its open yet: holding the reading end too makes ours succeed, and the
         * byte waits in the pipe until it does */
        cleanup_fd int both = open(fifo, O_RDWR | O_NONBLOCK | O_CLOEXEC);
        return both < 0 ? -errno : runtime_start_late(c, fifo);
    }
    if (fd < 0)
        return -errno;
    unlink(fifo);
    return write(fd, "\0", 1) == 1 ? 0 : -errno;
}

/* A short-lived process waits for the reader in our stead. */
int runtime_start_late(struct container *c, const char *fifo)
{
    pid_t pid = fork();
    if (pid == 0) {
        alarm(10);
        int fd = open(fifo, O_WRONLY | O_CLOEXEC);
        unlink(fifo);
        _exit(fd >= 0 && write(fd, "\0", 1) == 1 ? 0 : 1);
    }
    if (pid < 0)
        return -errno;
    child_watch(c->pod->node->loop, pid, ignore_end, NULL);
    return 0;
}

void runtime_signal(struct container *c, int sig)
{
    if (c->pid > 1)
        kill(c->pid, sig);
}

static char *container_cgroup(struct container *c, struct arena *mem, const char *id)
{
    return str_fmtz(mem, "%s/%s", c->pod->cgroup, id);
}

void runtime_kill(struct container *c)
{
    cleanup_arena struct arena *mem = arena_new();
    runtime_signal(c, SIGKILL);
    cgroup_kill(c->pod->node->cgroup_mode, container_cgroup(c, mem, c->id));
}

void runtime_removal(struct container *c, const char *id, struct removal *to)
{
    struct node *n = c->pod->node;
    cleanup_arena struct arena *mem = arena_new();
    if (!*id)
        return;
    removal_cgroup(to, container_cgroup(c, mem, id));
    removal_tree(to, str_fmtz(mem, "%s/crun/%s", n->run_dir, id));
    removal_tree(to, str_fmtz(mem, "%s/exits/%s", n->run_dir, id));
    removal_tree(to, str_fmtz(mem, "%s/socks/%s", n->run_dir, id));
    removal_tree(to, runtime_bundle(n, mem, id, ""));
    removal_tree(to, str_fmtz(mem, "%s/containers/%s", n->state_dir, id));
    if (n->containers_log_dir)
        removal_tree(to, str_fmtz(mem, "%s/" STR_FMT "_" STR_FMT "_" STR_FMT "-%s.log", n->containers_log_dir,
                                  STR_ARG(c->pod->name), STR_ARG(c->pod->ns), STR_ARG(c->name), id));
}

void runtime_remove(struct container *c, const char *id)
{
    struct removal *r = removal_new(c->pod->node);
    runtime_removal(c, id, r);
    removal_start(r, STR_NULL, NULL);
}
