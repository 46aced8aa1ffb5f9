/* node/runtime/runtime.h - containers and sandboxes made, watched, signalled and removed: conmon, crun, namespaces.
 *
 * On disk: RUN/containers/ID (bundle: config.json, record.json, conmon's pid, attach and control files), RUN/pods/UID
 * (pod.json, pinned namespaces, shm), RUN/exits (conmon writes each exit code), RUN/crun (crun's states), RUN/socks;
 * STATE/containers/ID (upper and work directory of the overlay). The overlay itself is mounted in a mount namespace of
 * conmon's own, so that it goes when the last process of the container goes, and crun sees no hybrid cgroups.
 * Everything starts as a child that makes nothing but system calls until exec. */
#ifndef SAMPAN_NODE_RUNTIME_RUNTIME_H
#define SAMPAN_NODE_RUNTIME_RUNTIME_H

#include "node/image/store.h"
#include "node/node.h"
#include "node/runtime/removal.h"
#include "node/runtime/spec.h"

struct cgroup_limits;             /* runtime/cgroup.h */
int runtime_open(struct node *n); /* 0 or -errno */
void runtime_close(struct node *n);
const struct doc *runtime_seccomp(struct node *n);                    /* the default profile; NULL: not installed */
const struct doc *runtime_devices(struct node *n, struct arena *mem); /* every device of the host, for privileged */
/* The profile of a container, may be empty: 0; -1 with *ret_why when what is asked for can't be had. */
int runtime_apparmor(struct node *n, const struct doc *pod, const struct doc *container, struct arena *mem,
                     struct str *ret_profile, struct str *ret_why);
int runtime_oom_score(struct node *n, int wanted); /* what the kernel lets us set */

/* ---- another process, ours or not, until it ends */
struct child;
/* NULL: it is gone already (-ESRCH) or no resources. status: as wait's for our own children, else -1. */
struct child *child_watch(struct loop *l, int pid, void (*ended)(void *ctx, int pid, int status), void *ctx);
struct child *child_forget(struct child *c); /* NULL is accepted */
void children_forget(struct loop *l);        /* the agent ends: all of them, those of child_reap too */
void child_reap(struct loop *l, int pid);    /* our own child: wait for it, tell nobody */
/* A child that makes system calls only, until it execs or ends with run's result. It borrows the memory of the calling
 * thread, which waits so long: a fork of the agent costs 3 ms and more of copied and faulting pages on both sides. Its
 * signals are blocked, and their handlers gone. Its pid, or -errno. Any thread. */
int child_borrow(int (*run)(const void *plan), const void *plan);

/* ---- the sandbox: namespaces pinned under RUN/pods/UID */
/* And the pod's cgroup with its limits. done(p, 0, NULL), or -errno and why. Sets p->netns and p->init_pid. */
void sandbox_start(struct pod *p, const struct cgroup_limits *limits,
                   void (*done)(struct pod *p, int error, const char *why));
void sandbox_remove(struct pod *p, struct removal *to);                 /* safe to repeat, and on a half-made one */
char *sandbox_path(struct pod *p, struct arena *mem, const char *name); /* RUN/pods/UID/NAME */

/* ---- containers */
/* Create, not start: bundle, overlay, conmon, crun. lower: image_lowerdir. Then container_created(c, error, why). */
void runtime_create(struct container *c, const struct doc *config, struct str lower);
/* Let the created process run. 0 or -errno. */
int runtime_start(struct container *c);
void runtime_signal(struct container *c, int sig); /* to its first process */
void runtime_kill(struct container *c);            /* everything in its cgroup */
/* Bundle, states, cgroup, writable layer, after its end: as part of another removal, or at once. */
void runtime_removal(struct container *c, const char *id, struct removal *to);
void runtime_remove(struct container *c, const char *id);
char *runtime_bundle(struct node *n, struct arena *mem, const char *id, const char *name); /* RUN/containers/ID/NAME */
char *runtime_log_path(struct container *c, struct arena *mem, int attempt);
/* Watch again what a former agent left running: 0, or -ESRCH when it has ended (then container_exited follows). */
int runtime_adopt(struct container *c);
/* The log of the present run is rotated from now on; not any more; all files of a former run go. */
void rotate_watch(struct container *c);
void rotate_forget(struct container *c);
void rotate_remove(struct container *c, int attempt);
void runtime_new_id(struct node *n, char id[68]);

/* Called by the runtime; the state machine (agent/) provides them. */
void container_created(struct container *c, int error, const char *why);
void container_exited(struct container *c, int code, bool oom);
struct container *container_find(struct node *n, const char *id);

/* ---- a user of an image, by name or number: "", "1000", "app", "app:grp". 0, or -ENOENT with *ret_why in mem. */
int runtime_user(struct images *s, const struct image *i, struct str user, struct arena *mem, uint32_t *ret_uid,
                 uint32_t *ret_gid, uint32_t *gids, int *gid_count, const char **ret_why);

/* What crun says when a program can't be started, in the words that clients of runc and containerd know: exec: "x":
 * executable file not found in $PATH. program: args[0]; cwd: its directory. */
struct str runtime_words(struct arena *mem, struct str crun, struct str program, struct str cwd);

/* ---- another process inside a container */
struct exec_opts {
    struct strv args;
    bool tty;
    int flags;          /* IPC_STDIN...: which pipes the caller wants to hold; 0: output is gathered */
    int64_t timeout_ms; /* 0: none; then killed, and code is -ETIMEDOUT */
    /* code: exit code, 128 + signal, or -errno when it could not run (-ENOEXEC: output says why, in the words of
     * containerd); output: of both, at most EXEC_OUTPUT_MAX, when gathered. The exec is freed after it returns. */
    void (*done)(void *ctx, int code, struct str output);
    /* Only with tty, once, later than exec_start: the terminal (the callee's to close), or -errno and why; then done is
     * not called. */
    void (*opened)(void *ctx, int terminal, struct str why);
    void *ctx;
};
enum { EXEC_OUTPUT_MAX = 16 << 10 };
/* ret_fds: stdin, stdout, stderr as asked for; none with tty; the caller's to close. NULL with *ret_error. */
struct exec *exec_start(struct container *c, const struct exec_opts *opts, int ret_fds[3], int *ret_error);
struct exec *exec_cancel(struct exec *e); /* kills it; done is not called. NULL is accepted */
void exec_resize(struct exec *e, int columns, int rows);

#endif
