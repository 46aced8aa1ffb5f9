/* node/runtime/child.c - programs started and waited for without blocking the loop: pidfds, bounded output. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "node/runtime/runtime.h"

struct child {
    uv_poll_t poll;
    int fd, pid;
    void (*ended)(void *ctx, int pid, int status);
    void *ctx;
};

static const char ours; /* its address marks our handles in the loop */

static void freed(uv_handle_t *h)
{
    free(container_of((uv_poll_t *)h, struct child, poll));
}

static void drop(struct child *c)
{
    uv_poll_stop(&c->poll);
    close(c->fd);
    uv_close((uv_handle_t *)&c->poll, freed);
}

struct child *child_forget(struct child *c)
{
    if (c)
        drop(c);
    return NULL;
}

static void on_end(uv_poll_t *poll, int status, int events)
{
    struct child *c = container_of(poll, struct child, poll);
    void (*ended)(void *ctx, int pid, int status) = c->ended;
    void *ctx = c->ctx;
    int pid = c->pid, code = -1;
    if (waitpid(pid, &code, WNOHANG) != pid)
        code = -1;
    drop(c);
    ended(ctx, pid, code);
}

struct child *child_watch(struct loop *l, int pid, void (*ended)(void *ctx, int pid, int status), void *ctx)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0)
        return NULL;
    struct child *c = calloc(1, sizeof(*c));
    if (!c || uv_poll_init(loop_uv_handle(l), &c->poll, fd) < 0)
        return free(c), close(fd), NULL;
    c->poll.data = (void *)(uintptr_t)&ours;
    c->fd = fd, c->pid = pid, c->ended = ended, c->ctx = ctx;
    uv_poll_start(&c->poll, UV_READABLE, on_end);
    return c;
}

static void reaped(void *ctx, int pid, int status)
{
}

void child_reap(struct loop *l, int pid)
{
    if (pid > 0)
        child_watch(l, pid, reaped, NULL);
}

int child_borrow(int (*run)(const void *plan), const void *plan)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old); /* a handler in the child would write to our memory */
    pid_t pid = vfork();
    if (pid == 0) {
        for (int i = 1; i < NSIG; i++) {
            struct sigaction a;
            if (sigaction(i, NULL, &a) == 0 && a.sa_handler != SIG_IGN && a.sa_handler != SIG_DFL)
                signal(i, SIG_DFL);
        }
        _exit(run(plan));
    }
    int error = pid < 0 ? -errno : 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return error ? error : pid;
}

static void close_ours(uv_handle_t *h, void *arg)
{
    if (h->data == &ours && !uv_is_closing(h))
        drop(container_of((uv_poll_t *)h, struct child, poll));
}

void children_forget(struct loop *l)
{
    uv_walk(loop_uv_handle(l), close_ours, NULL);
}
