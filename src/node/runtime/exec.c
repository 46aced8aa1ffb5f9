/* A further process in a container: `crun exec` as our own child. It inherits what the container's own process may do;
 * exit code and end come from the child itself. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <uv.h>

#include "node/files.h"
#include "node/ipc.h"
#include "node/runtime/priv.h"

struct exec {
    struct loop *loop;
    struct node *node;
    struct arena *mem;
    int pid, output, terminal; /* -1: none */
    char id[68];
    char *process, *pid_file, *log; /* log: crun's own words */
    struct str program, cwd;
    char tag[68]; /* what this one is called */
    struct child *child;
    uv_poll_t poll, listener, giver; /* output; crun's way to us, and what comes by it: the terminal */
    int listener_fd, giver_fd;       /* -1: closed */
    char *console;                   /* the listener's path */
    int handles;                     /* not yet closed by the loop, and one for the exec itself */
    bool polled, timed_out, ended;
    int code;
    struct loop_timer timer;
    struct sb text;
    void (*done)(void *ctx, int code, struct str output);
    void (*opened)(void *ctx, int terminal, struct str why); /* NULL once called */
    void *ctx;
};
enum { TERMINAL_MS_MAX = 10000 };

static void freed(uv_handle_t *h)
{
    struct exec *e = h->data;
    if (--e->handles == 0)
        arena_free(e->mem);
}

static bool poll_begin(struct exec *e, uv_poll_t *poll, int fd, uv_poll_cb cb)
{
    if (uv_poll_init(loop_uv_handle(e->loop), poll, fd) < 0)
        return false;
    poll->data = e, e->handles++;
    uv_poll_start(poll, UV_READABLE, cb);
    return true;
}

/* Only of one that was begun. */
static void poll_end(uv_poll_t *poll, int *fd)
{
    if (*fd < 0)
        return;
    uv_poll_stop(poll);
    close(*fd);
    *fd = -1;
    uv_close((uv_handle_t *)poll, freed);
}

static void drop(struct exec *e)
{
    loop_timer_stop(&e->timer);
    if (e->child) {
        child_forget(e->child);
        child_reap(e->loop, e->pid);
    }
    if (e->terminal >= 0)
        close(e->terminal);
    unlink(e->process), unlink(e->pid_file), unlink(e->log);
    if (e->polled)
        poll_end(&e->poll, &e->output);
    else if (e->output >= 0)
        close(e->output);
    poll_end(&e->listener, &e->listener_fd), poll_end(&e->giver, &e->giver_fd);
    if (e->console)
        unlink(e->console);
    if (--e->handles == 0)
        arena_free(e->mem);
}

/* Without a terminal nothing is left to tell: opened has told it. */
static void no_terminal(struct exec *e, int error, struct str why)
{
    void (*opened)(void *ctx, int terminal, struct str why) = e->opened;
    e->opened = NULL;
    opened(e->ctx, error, why.len ? why : str_of(strerror(-error)));
    drop(e);
}

/* crun writes the pid file when the process is there, before the program is in it. Source of the words: containerd
 * internal/cri/server/container_execsync.go. */
static struct str start_error(struct exec *e)
{
    struct str text, why;
    if (e->code == 0 || access(e->pid_file, F_OK) == 0 || files_read(AT_FDCWD, e->log, 4096, e->mem, &text) < 0)
        return STR_NULL;
    why = runtime_words(e->mem, text, e->program, e->cwd);
    return str_fmt(
        e->mem,
        "failed to exec in container: failed to start exec \"%s\": OCI runtime exec failed: exec failed: unable "
        "to start container process: " STR_FMT ": unknown",
        e->tag, STR_ARG(why));
}

static void finish(struct exec *e)
{
    struct str why = e->timed_out ? STR_NULL : start_error(e);
    if (e->opened) {
        no_terminal(e, -ENOEXEC, why);
        return;
    }
    void (*done)(void *ctx, int code, struct str output) = e->done;
    done(e->ctx, e->timed_out ? -ETIMEDOUT : why.len ? -ENOEXEC : e->code, why.len ? why : sb_str(&e->text));
    drop(e);
}

static void read_output(struct exec *e)
{
    char buf[4096];
    ssize_t n;
    while (e->output >= 0 && (n = read(e->output, buf, sizeof(buf))) > 0) {
        size_t room = e->text.len < EXEC_OUTPUT_MAX ? EXEC_OUTPUT_MAX - e->text.len : 0;
        sb_add(&e->text, str_mem(buf, (size_t)n < room ? (size_t)n : room));
    }
}

static void on_output(uv_poll_t *poll, int status, int events)
{
    struct exec *e = container_of(poll, struct exec, poll);
    char buf[4096];
    ssize_t n;
    while ((n = read(e->output, buf, sizeof(buf))) > 0) {
        size_t room = e->text.len < EXEC_OUTPUT_MAX ? EXEC_OUTPUT_MAX - e->text.len : 0;
        sb_add(&e->text, str_mem(buf, (size_t)n < room ? (size_t)n : room));
    }
    if (n == 0)
        uv_poll_stop(&e->poll);
}

static void on_end(void *ctx, int pid, int status)
{
    struct exec *e = ctx;
    e->child = NULL, e->pid = 0, e->ended = true;
    e->code = WIFEXITED(status) ? WEXITSTATUS(status) : WIFSIGNALED(status) ? 128 + WTERMSIG(status) : 255;
    read_output(e);
    finish(e);
}

/* crun's child is in a session of its own: ending crun alone would leave it running. */
static void kill_all(struct exec *e)
{
    struct str text;
    int64_t pid;
    if (files_read(AT_FDCWD, e->pid_file, 64, e->mem, &text) == 0 && str_to_i64(str_trim(text), &pid) && pid > 1)
        kill((pid_t)pid, SIGKILL);
    kill(-e->pid, SIGKILL);
}

static void on_timeout(struct loop_timer *t)
{
    struct exec *e = container_of(t, struct exec, timer);
    kill_all(e);
    if (e->opened)
        no_terminal(e, -ETIMEDOUT, STR_NULL);
    else
        e->timed_out = true;
}

static struct doc *process_doc(struct container *c, const struct exec_opts *o, struct arena *mem)
{
    struct str text;
    if (files_read(AT_FDCWD, runtime_bundle(c->pod->node, mem, c->id, "config.json"), 4 << 20, mem, &text) < 0)
        return NULL;
    struct doc *p = doc_get(doc_parse(mem, text, NULL, NULL), "process");
    if (!p)
        return NULL;
    doc_put_bool(mem, p, "terminal", o->tty);
    struct doc *args = doc_put(mem, p, "args", doc_new_array(mem));
    for (size_t i = 0; i < o->args.n; i++)
        doc_push(args, doc_new_str(mem, o->args.v[i]));
    return p;
}

static _Noreturn void exec_child(struct node *n, const struct exec *e, int fds[3], char *const argv[])
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    if (n->cgroup_mode == CGROUP_HYBRID && unshare(CLONE_NEWNS) == 0 &&
        mount("", "/", NULL, MS_REC | MS_SLAVE, NULL) == 0)
        runtime_hide_unified(true);
    for (int i = 0; i < 3; i++)
        dup2(fds[i], i);
    static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    char *env[] = {path, NULL};
    execve(argv[0], argv, env);
    _exit(126);
}

static int take_terminal(int socket)
{
    char name[256];
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {name, sizeof(name)};
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
    ssize_t n = recvmsg(socket, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n < 0)
        return -errno;
    struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
    int fd = -EBADMSG;
    if (c && c->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(c), sizeof(fd));
    return fd;
}

static void on_terminal(uv_poll_t *poll, int status, int events)
{
    struct exec *e = poll->data;
    int fd = take_terminal(e->giver_fd);
    if (fd == -EAGAIN || fd == -EINTR)
        return;
    poll_end(&e->giver, &e->giver_fd);
    if (fd < 0) {
        kill_all(e);
        no_terminal(e, fd, STR_NULL);
        return;
    }
    void (*opened)(void *ctx, int terminal, struct str why) = e->opened;
    e->opened = NULL, e->terminal = fd;
    loop_timer_stop(&e->timer);
    opened(e->ctx, fcntl(fd, F_DUPFD_CLOEXEC, 0), STR_NULL);
}

static void on_console(uv_poll_t *poll, int status, int events)
{
    struct exec *e = poll->data;
    int fd = accept4(e->listener_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    poll_end(&e->listener, &e->listener_fd);
    unlink(e->console);
    if (fd >= 0 && poll_begin(e, &e->giver, fd, on_terminal)) {
        e->giver_fd = fd;
        return;
    }
    if (fd >= 0)
        close(fd);
    kill_all(e);
    no_terminal(e, -EIO, STR_NULL);
}

static int listen_at(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(a.sun_path))
        return -ENAMETOOLONG;
    memcpy(a.sun_path, path, strlen(path) + 1);
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s < 0 || bind(s, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(s, 1) < 0)
        return s >= 0 ? close(s) : 0, -errno;
    return s;
}

/* The three ends for the child (close after fork), and ours. */
static int make_pipes(struct exec *e, const struct exec_opts *o, int child[3], int ours[3])
{
    for (int i = 0; i < 3; i++)
        child[i] = ours[i] = -1;
    for (int i = 0; i < 3; i++) {
        int p[2];
        bool wanted = !o->tty && (o->flags & (1 << i));
        if (wanted) {
            if (pipe2(p, O_CLOEXEC) < 0)
                return -errno;
            child[i] = i == 0 ? p[0] : p[1], ours[i] = i == 0 ? p[1] : p[0];
        } else {
            child[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
        }
    }
    if (o->flags == 0) {
        int p[2];
        if (pipe2(p, O_CLOEXEC) < 0)
            return -errno;
        close(child[1]), close(child[2]);
        child[1] = p[1], child[2] = fcntl(p[1], F_DUPFD_CLOEXEC, 0);
        fcntl(p[0], F_SETFL, O_NONBLOCK);
        e->output = p[0];
    }
    return 0;
}

static int launch(struct exec *e, struct container *c, const struct exec_opts *o, int ret_fds[3])
{
    struct node *n = c->pod->node;
    unsigned tag = (unsigned)loop_rand(n->loop, RAND_NAME);
    e->process = runtime_bundle(n, e->mem, c->id, str_fmtz(e->mem, "exec.%08x", tag));
    e->pid_file = str_fmtz(e->mem, "%s.pid", e->process), e->log = str_fmtz(e->mem, "%s.log", e->process);
    runtime_new_id(n, e->tag);
    char *console = str_fmtz(e->mem, "%s/socks/x%08x", n->run_dir, tag);
    const struct doc *process = process_doc(c, o, e->mem);
    e->program = str_dup(e->mem, doc_string(doc_at(doc_get(process, "args"), 0))),
    e->cwd = str_dup(e->mem, doc_str(process, "cwd"));
    int child[3], ours[3], r = process ? files_write(e->process, 0600, doc_json(e->mem, process)) : -ENOENT;
    cleanup_fd int listener = r == 0 && o->tty ? listen_at(console) : -1;
    if (r < 0 || (o->tty && listener < 0))
        return r < 0 ? r : listener;
    e->console = o->tty ? console : NULL;
    if ((r = make_pipes(e, o, child, ours)) < 0)
        return r;
    char *root = str_fmtz(e->mem, "--root=%s/crun", n->run_dir), *crun = str_fmtz(e->mem, "%s", n->crun);
    char *verb = str_fmtz(e->mem, "exec"), *flag = str_fmtz(e->mem, "--process=%s", e->process);
    char *tty = str_fmtz(e->mem, "--console-socket=%s", console);
    char *pid_flag = str_fmtz(e->mem, "--pid-file=%s", e->pid_file);
    char *log_flag = str_fmtz(e->mem, "--log=%s", e->log);
    char *argv[] = {crun, root, log_flag, verb, flag, pid_flag, o->tty ? tty : e->id, o->tty ? e->id : NULL, NULL};
    pid_t pid = fork();
    if (pid == 0)
        exec_child(n, e, child, argv);
    for (int i = 0; i < 3; i++)
        close(child[i]), ret_fds[i] = ours[i];
    if (pid < 0)
        return -errno;
    e->pid = pid;
    if (o->tty && poll_begin(e, &e->listener, listener, on_console)) {
        e->listener_fd = listener, listener = -1;
        loop_timer_start(&e->timer, TERMINAL_MS_MAX);
    } else if (o->tty) {
        return kill(-pid, SIGKILL), -ENOMEM;
    }
    e->child = child_watch(n->loop, pid, on_end, e);
    return e->child ? 0 : -ESRCH;
}

struct exec *exec_start(struct container *c, const struct exec_opts *o, int ret_fds[3], int *ret_error)
{
    struct arena *mem = arena_new();
    struct exec *e = arena_new_of(mem, struct exec);
    int unused[3] = {-1, -1, -1}, *fds = ret_fds ? ret_fds : unused;
    *e = (struct exec){.loop = c->pod->node->loop,
                       .node = c->pod->node,
                       .mem = mem,
                       .output = -1,
                       .terminal = -1,
                       .handles = 1,
                       .listener_fd = -1,
                       .giver_fd = -1,
                       .opened = o->tty ? o->opened : NULL,
                       .text = SB(mem),
                       .done = o->done,
                       .ctx = o->ctx,
                       .process = str_fmtz(mem, "/nonexistent"),
                       .pid_file = str_fmtz(mem, "/nonexistent"),
                       .log = str_fmtz(mem, "/nonexistent")};
    memcpy(e->id, c->id, sizeof(e->id));
    loop_timer_init(e->loop, &e->timer, on_timeout);
    int r = c->pid > 0 ? launch(e, c, o, fds) : -ESRCH;
    if (r < 0) {
        for (int i = 0; i < 3 && ret_fds == NULL; i++)
            if (fds[i] >= 0)
                close(fds[i]);
        if (e->output >= 0)
            close(e->output), e->output = -1;
        *ret_error = r;
        drop(e);
        return NULL;
    }
    if (e->output >= 0)
        e->polled = poll_begin(e, &e->poll, e->output, on_output);
    if (o->timeout_ms > 0 && !o->tty)
        loop_timer_start(&e->timer, o->timeout_ms);
    return e;
}

struct exec *exec_cancel(struct exec *e)
{
    if (!e)
        return NULL;
    if (e->pid > 0)
        kill_all(e);
    drop(e);
    return NULL;
}

void exec_resize(struct exec *e, int columns, int rows)
{
    struct winsize w = {.ws_col = (unsigned short)columns, .ws_row = (unsigned short)rows};
    if (e->terminal >= 0)
        ioctl(e->terminal, TIOCSWINSZ, &w);
}
