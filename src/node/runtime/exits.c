/* conmon writes RUN/exits/ID when a container has ended; inotify tells us. A conmon that was killed writes nothing: a
 * pidfd on it tells that, and its container is then ended too, since nobody reads its output any more. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <uv.h>

#include "base/log.h"
#include "node/files.h"
#include "node/runtime/apparmor.h"
#include "node/runtime/cgroup.h"
#include "node/runtime/priv.h"

#define SECCOMP_PROFILE "/usr/share/containers/seccomp.json"

struct runtime {
    struct node *node;
    uv_poll_t poll;
    int fd;
    struct arena *mem;
    const struct doc *seccomp;
    bool seccomp_tried, oom_told;
    bool apparmor; /* our profile is loaded */
};

static bool exit_code(struct node *n, const char *id, int *ret_code)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str text;
    int64_t code;
    if (files_read(AT_FDCWD, str_fmtz(mem, "%s/exits/%s", n->run_dir, id), 64, mem, &text) < 0 ||
        !str_to_i64(str_trim(text), &code))
        return false;
    return *ret_code = (int)code, true;
}

static bool oom_killed(struct container *c)
{
    cleanup_arena struct arena *mem = arena_new();
    struct node *n = c->pod->node;
    return access(runtime_bundle(n, mem, c->id, "oom"), F_OK) == 0 ||
           cgroup_oom_killed(n->cgroup_mode, str_fmtz(mem, "%s/%s", c->pod->cgroup, c->id));
}

static void take_exit(struct node *n, const char *id)
{
    int code;
    struct container *c = container_find(n, id);
    if (c && exit_code(n, id, &code))
        container_exited(c, code, oom_killed(c));
}

static void on_inotify(uv_poll_t *poll, int status, int events)
{
    struct runtime *r = container_of(poll, struct runtime, poll);
    char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    ssize_t n;
    while ((n = read(r->fd, buf, sizeof(buf))) > 0)
        for (char *p = buf; p < buf + n;) {
            const struct inotify_event *e = (const struct inotify_event *)(const void *)p;
            if (e->len && strlen(e->name) == 64)
                take_exit(r->node, e->name);
            p += sizeof(*e) + e->len;
        }
}

int runtime_open(struct node *n)
{
    cleanup_arena struct arena *mem = arena_new();
    static const char *const dirs[] = {"containers", "pods", "exits", "crun", "socks"};
    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
        int e = files_mkdirs(str_fmtz(mem, "%s/%s", n->run_dir, dirs[i]), 0700);
        if (e < 0)
            return e;
    }
    struct runtime *r = calloc(1, sizeof(*r));
    if (!r)
        return -ENOMEM;
    r->node = n, r->mem = arena_new();
    r->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (r->fd < 0 || inotify_add_watch(r->fd, str_fmtz(mem, "%s/exits", n->run_dir), IN_MOVED_TO | IN_CLOSE_WRITE) < 0)
        return -errno;
    uv_poll_init(loop_uv_handle(n->loop), &r->poll, r->fd);
    uv_poll_start(&r->poll, UV_READABLE, on_inotify);
    n->runtime = r;
    int e = rotate_open(n);
    if (e < 0)
        return e;
    n->cgroup_mode = cgroup_detect();
    if (apparmor_enabled()) {
        e = apparmor_load();
        r->apparmor = e == 0;
        if (e < 0)
            log_warn("runtime", "containers run without the default AppArmor profile", "error=%s", strerror(-e));
    }
    return 0;
}

static void closed(uv_handle_t *h)
{
    struct runtime *r = container_of((uv_poll_t *)h, struct runtime, poll);
    arena_free(r->mem);
    free(r);
}

void runtime_close(struct node *n)
{
    if (!n->runtime)
        return;
    rotate_close(n);
    close(n->runtime->fd);
    uv_close((uv_handle_t *)&n->runtime->poll, closed);
    n->runtime = NULL;
}

struct monitor {
    struct node *node;
    char id[68];
};

/* conmon is gone. Usually its exit file came first; else the container lost its monitor. */
static void conmon_ended(void *ctx, int pid, int status)
{
    struct monitor *m = ctx;
    struct container *c = container_find(m->node, m->id);
    int code;
    if (c && (c->state == CT_RUN || c->state == CT_START || c->state == CT_STOP)) {
        if (exit_code(m->node, m->id, &code))
            container_exited(c, code, oom_killed(c));
        else {
            log_warn("runtime", "a container lost its monitor and is ended", "id=%s", m->id);
            runtime_kill(c);
            container_exited(c, 137, false);
        }
    }
    free(m);
}

static int conmon_pid(struct node *n, const char *id)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str text;
    int64_t pid = 0;
    if (files_read(AT_FDCWD, runtime_bundle(n, mem, id, "conmon.pid"), 64, mem, &text) == 0)
        str_to_i64(str_trim(text), &pid);
    return (int)pid;
}

/* The process with this number is conmon of this container, not somebody who got the number later. */
static bool is_conmon(int pid, const char *id)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str text;
    return files_read(AT_FDCWD, str_fmtz(mem, "/proc/%d/cmdline", pid), 1 << 16, mem, &text) == 0 &&
           str_has(text, str_of(id));
}

int runtime_adopt(struct container *c)
{
    struct node *n = c->pod->node;
    int code;
    if (exit_code(n, c->id, &code))
        return -ESRCH;
    c->conmon_pid = conmon_pid(n, c->id);
    struct monitor *m = calloc(1, sizeof(*m));
    if (!m)
        abort();
    m->node = n;
    memcpy(m->id, c->id, sizeof(m->id));
    if (c->conmon_pid <= 1 || !is_conmon(c->conmon_pid, c->id) ||
        !child_watch(n->loop, c->conmon_pid, conmon_ended, m)) {
        free(m);
        return -ESRCH;
    }
    rotate_watch(c);
    return 0;
}

const struct doc *runtime_seccomp(struct node *n)
{
    struct runtime *r = n->runtime;
    if (r->seccomp_tried)
        return r->seccomp;
    struct str text;
    r->seccomp_tried = true;
    if (files_read(AT_FDCWD, SECCOMP_PROFILE, 1 << 20, r->mem, &text) == 0)
        r->seccomp = doc_parse(r->mem, text, NULL, NULL);
    if (!r->seccomp)
        log_warn("runtime", "no default seccomp profile", "file=%s", SECCOMP_PROFILE);
    return r->seccomp;
}

/* Nothing said: the default, unless privileged, where there is one. Source: containerd apparmor_linux.go. */
int runtime_apparmor(struct node *n, const struct doc *pod, const struct doc *container, struct arena *mem,
                     struct str *ret_profile, struct str *ret_why)
{
    const struct doc *want = spec_security(pod, container, "appArmorProfile");
    struct str type = doc_str(want, "type"), name = doc_str(want, "localhostProfile");
    bool asked = str_is(type, "RuntimeDefault");
    *ret_profile = STR_NULL;
    if (str_is(type, "Localhost")) {
        *ret_profile = name;
        if (!apparmor_is_loaded(mem, name))
            return *ret_why = str_fmt(mem, "apparmor profile not found " STR_FMT, STR_ARG(name)), -1;
    } else if (asked || (!type.len && !spec_privileged(container))) {
        if (n->runtime->apparmor)
            *ret_profile = STR(APPARMOR_DEFAULT);
        else if (asked)
            return *ret_why = STR("apparmor profile not found " APPARMOR_DEFAULT), -1;
    }
    return 0;
}

/* Below our own score only CAP_SYS_RESOURCE may go. */
int runtime_oom_score(struct node *n, int wanted)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str text;
    int64_t own = 0;
    if (files_read(AT_FDCWD, "/proc/self/oom_score_adj", 64, mem, &text) < 0 || !str_to_i64(str_trim(text), &own) ||
        wanted >= own)
        return wanted;
    char want[16], back[16];
    snprintf(want, sizeof(want), "%d", wanted), snprintf(back, sizeof(back), "%d", (int)own);
    int r = files_write_existing("/proc/self/oom_score_adj", str_of(want));
    files_write_existing("/proc/self/oom_score_adj", str_of(back));
    if (r == 0)
        return wanted;
    if (!n->runtime->oom_told)
        log_warn("runtime", "the kernel refuses low OOM scores", "wanted=%d got=%d", wanted, (int)own);
    n->runtime->oom_told = true;
    return (int)own;
}

static void list_devices(struct arena *mem, struct doc *out, const char *dir, int depth)
{
    char **names;
    int n = files_list(dir, mem, &names);
    for (int i = 0; i < n; i++) {
        char *path = str_fmtz(mem, "%s/%s", dir, names[i]);
        struct stat st;
        if (lstat(path, &st) < 0)
            continue;
        if (S_ISDIR(st.st_mode) && depth < 3 && strcmp(names[i], "pts") && strcmp(names[i], "shm") &&
            strcmp(names[i], "mqueue"))
            list_devices(mem, out, path, depth + 1);
        if ((!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode)) || strcmp(names[i], "console") == 0 ||
            strcmp(names[i], "ptmx") == 0)
            continue;
        struct doc *d = doc_push(out, doc_new_object(mem));
        doc_put_str(mem, d, "path", str_of(path));
        doc_put_str(mem, d, "type", S_ISCHR(st.st_mode) ? STR("c") : STR("b"));
        doc_put_int(mem, d, "major", major(st.st_rdev)), doc_put_int(mem, d, "minor", minor(st.st_rdev));
        doc_put_int(mem, d, "fileMode", st.st_mode & 0777);
        doc_put_int(mem, d, "uid", st.st_uid), doc_put_int(mem, d, "gid", st.st_gid);
    }
}

const struct doc *runtime_devices(struct node *n, struct arena *mem)
{
    struct doc *out = doc_new_array(mem);
    list_devices(mem, out, "/dev", 0);
    return out;
}
