/* node/agent/clean.c - leave nothing behind: what `sampan down` does after the agent has stopped.
 *
 * Works from what the machine shows (cgroups, mounts, directories), not from records, so it also ends what a crash left
 * half made. Only what lies under our own cgroup parent and directories is touched. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "node/agent.h"
#include "node/agent/enroll.h"
#include "node/files.h"
#include "node/runtime/apparmor.h"
#include "node/net/network.h"

enum { KILL_ROUNDS_MAX = 100, KILL_STEP_MS = 20, DEPTH_MAX = 16, MOUNTS_BYTES_MAX = 16 << 20 };

struct clean {
    struct arena *mem;
    const char *state_dir, *run_dir, *kubelet_dir, *log_dir, *cgroup_parent;
    struct str why; /* the first thing that failed */
};

static void failed(struct clean *c, const char *what, int error)
{
    if (!c->why.len)
        c->why = str_fmt(c->mem, "%s: %s", what, strerror(-error));
}

/* Every process in a cgroup and below gets SIGKILL; returns how many there were. */
static int kill_cgroup(struct clean *c, const char *path, int depth)
{
    char **names = NULL;
    struct str pids, pid;
    int killed = 0, count = files_list(path, c->mem, &names);
    if (count < 0 || depth > DEPTH_MAX)
        return 0;
    if (files_read(AT_FDCWD, str_fmtz(c->mem, "%s/cgroup.procs", path), 1 << 20, c->mem, &pids) == 0)
        while (str_next(&pids, '\n', &pid)) {
            int64_t number;
            if (str_to_i64(pid, &number) && number > 1 && number != getpid()) {
                kill((pid_t)number, SIGKILL);
                killed++;
            }
        }
    for (int i = 0; i < count; i++) {
        struct stat st;
        char *child = str_fmtz(c->mem, "%s/%s", path, names[i]);
        if (lstat(child, &st) == 0 && S_ISDIR(st.st_mode))
            killed += kill_cgroup(c, child, depth + 1);
    }
    return killed;
}

static int remove_cgroup(struct clean *c, const char *path, int depth)
{
    char **names = NULL;
    int count = files_list(path, c->mem, &names);
    if (count < 0 || depth > DEPTH_MAX)
        return 0;
    for (int i = 0; i < count; i++) {
        struct stat st;
        char *child = str_fmtz(c->mem, "%s/%s", path, names[i]);
        if (lstat(child, &st) == 0 && S_ISDIR(st.st_mode))
            remove_cgroup(c, child, depth + 1);
    }
    return rmdir(path) < 0 && errno != ENOENT ? -errno : 0;
}

/* Our parent in the unified hierarchy and in each of version 1. */
static int our_cgroups(struct clean *c, char **ret, int max)
{
    char **names = NULL;
    int n = 0, count = files_list("/sys/fs/cgroup", c->mem, &names);
    ret[n++] = str_fmtz(c->mem, "/sys/fs/cgroup/%s", c->cgroup_parent);
    for (int i = 0; i < count && n < max; i++)
        if (strcmp(names[i], c->cgroup_parent) != 0)
            ret[n++] = str_fmtz(c->mem, "/sys/fs/cgroup/%s/%s", names[i], c->cgroup_parent);
    return n;
}

static void end_processes(struct clean *c)
{
    char *paths[64];
    int n = our_cgroups(c, paths, 64), error = 0;
    for (int round = 0; round < KILL_ROUNDS_MAX; round++) {
        int alive = 0;
        for (int i = 0; i < n; i++)
            alive += kill_cgroup(c, paths[i], 0);
        if (!alive)
            break;
        poll(NULL, 0, KILL_STEP_MS);
    }
    for (int round = 0; round < KILL_ROUNDS_MAX; round++) {
        error = 0;
        for (int i = 0; i < n; i++) {
            int r = access(paths[i], F_OK) == 0 ? remove_cgroup(c, paths[i], 0) : 0;
            error = r < 0 ? r : error;
        }
        if (!error)
            return;
        poll(NULL, 0, KILL_STEP_MS); /* a process that was killed is still leaving */
    }
    failed(c, "cgroups", error);
}

/* The first process of a PID namespace that a pod's containers share is in no pod's cgroup. It is known by the
 * namespace that its pod has pinned, so that a number which means another process by now is left alone. */
static void end_inits(struct clean *c)
{
    char **names = NULL;
    for (int i = 0, count = files_list(str_fmtz(c->mem, "%s/pods", c->run_dir), c->mem, &names); i < count; i++) {
        struct stat pinned, now;
        struct str text;
        int64_t pid;
        char *dir = str_fmtz(c->mem, "%s/pods/%s", c->run_dir, names[i]);
        if (files_read(AT_FDCWD, str_fmtz(c->mem, "%s/init.pid", dir), 64, c->mem, &text) < 0 ||
            !str_to_i64(str_trim(text), &pid) || pid <= 1)
            continue;
        if (stat(str_fmtz(c->mem, "%s/pid", dir), &pinned) == 0 &&
            stat(str_fmtz(c->mem, "/proc/%d/ns/pid", (int)pid), &now) == 0 && pinned.st_ino == now.st_ino &&
            pinned.st_dev == now.st_dev)
            kill((pid_t)pid, SIGKILL);
    }
}

/* ---- mounts */

/* \040 and the like in /proc/self/mountinfo. */
static char *unescape(struct arena *mem, struct str s)
{
    char *out = arena_alloc(mem, s.len + 1), *to = out;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '\\' && i + 3 < s.len) {
            *to++ = (char)((s.ptr[i + 1] - '0') * 64 + (s.ptr[i + 2] - '0') * 8 + (s.ptr[i + 3] - '0'));
            i += 3;
        } else {
            *to++ = s.ptr[i];
        }
    }
    *to = 0;
    return out;
}

static bool is_ours(const struct clean *c, const char *path)
{
    const char *const roots[] = {c->run_dir, c->state_dir, c->kubelet_dir};
    for (size_t i = 0; i < 3; i++) {
        size_t len = strlen(roots[i]);
        if (!strncmp(path, roots[i], len) && path[len] == '/')
            return true;
    }
    return false;
}

static void unmount_all(struct clean *c)
{
    struct str text, line;
    int r = files_read(AT_FDCWD, "/proc/self/mountinfo", MOUNTS_BYTES_MAX, c->mem, &text), count = 0;
    if (r < 0) {
        failed(c, "/proc/self/mountinfo", r);
        return;
    }
    char **ours = arena_array(c->mem, char *, 65536);
    while (str_next(&text, '\n', &line) && count < 65536) {
        struct str field, rest = line;
        for (int i = 0; i < 5; i++)
            str_next(&rest, ' ', &field);
        char *path = unescape(c->mem, field);
        if (is_ours(c, path))
            ours[count++] = path;
    }
    while (count-- > 0)
        if (umount2(ours[count], MNT_DETACH) < 0 && errno != EINVAL && errno != ENOENT)
            failed(c, ours[count], -errno);
}

/* ---- files */

static void remove_tree(struct clean *c, const char *path)
{
    int r = files_remove_tree(path);
    /* a container's monitor still writes how it ended */
    for (int round = 0; r == -ENOTEMPTY && round < KILL_ROUNDS_MAX; round++) {
        poll(NULL, 0, KILL_STEP_MS);
        r = files_remove_tree(path);
    }
    if (r < 0 && r != -ENOENT)
        failed(c, path, r);
}

/* /var/log/pods/NS_NAME_UID and the links to it. */
static void remove_logs(struct clean *c)
{
    char **names = NULL;
    for (int i = 0, count = files_list(c->log_dir, c->mem, &names); i < count; i++)
        remove_tree(c, str_fmtz(c->mem, "%s/%s", c->log_dir, names[i]));
    for (int i = 0, count = files_list("/var/log/containers", c->mem, &names); i < count; i++) {
        char target[4096] = "", *path = str_fmtz(c->mem, "/var/log/containers/%s", names[i]);
        if (readlink(path, target, sizeof(target) - 1) > 0 && !strncmp(target, c->log_dir, strlen(c->log_dir)))
            unlink(path);
    }
}

static void remove_empty(const char *path)
{
    rmdir(path); /* only when nothing of others is in it */
}

int agent_clean(const struct agent_opts *o, char **ret_why)
{
    cleanup_arena struct arena *mem = arena_new();
    struct clean c = {.mem = mem,
                      .state_dir = o->state_dir ? o->state_dir : "/var/lib/sampan/agent",
                      .run_dir = o->run_dir ? o->run_dir : "/run/sampan/agent",
                      .kubelet_dir = str_fmtz(mem, "%s/pods", o->kubelet_dir ? o->kubelet_dir : "/var/lib/kubelet"),
                      .log_dir = o->log_dir ? o->log_dir : "/var/log/pods",
                      .cgroup_parent = o->cgroup_parent ? o->cgroup_parent : "sampan"};
    struct agent_opts net = *o;
    net.run_dir = c.run_dir;
    if (!net.pod_cidr)
        net.pod_cidr = enroll_remembered(c.state_dir, mem);
    end_processes(&c), end_inits(&c);
    apparmor_unload();
    int r = network_purge(&net);
    if (r < 0)
        failed(&c, "network", r);
    unmount_all(&c);
    remove_tree(&c, c.kubelet_dir);
    remove_tree(&c, c.run_dir);
    remove_tree(&c, str_fmtz(mem, "%s/containers", c.state_dir));
    remove_logs(&c);
    remove_empty(c.log_dir), remove_empty("/var/log/containers"),
        remove_empty(o->kubelet_dir ? o->kubelet_dir : "/var/lib/kubelet");
    if (!c.why.len)
        return 0;
    *ret_why = strndup(c.why.ptr, c.why.len);
    return -1;
}
