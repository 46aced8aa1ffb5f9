/* Container logs are rotated as kubelet does: beyond 10 MiB N.log becomes N.log.YYYYMMDD-HHMMSS, conmon opens a new
 * N.log, and of all files of one run LOG_FILES_MAX stay. Rotated files are not compressed.
 *
 * Unlike kubelet's, the old file only gets its second name here: conmon makes N.log.tmp and renames it to N.log, so
 * that there is an N.log at every moment.
 *
 * Nothing is polled: inotify tells the first write after a pause, then a timer looks, after a second while the file
 * grows fast and after 10 s (kubelet's interval) while it grows slowly, until nothing was added, and inotify waits
 * again. An idle container costs no wakeup, a chatty one at most one in a second.
 * Source: kubelet logs/container_log_manager.go; conmon 2.1 src/ctrl.c, "2 0 0" in the control fifo. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <uv.h>

#include "base/log.h"
#include "node/files.h"
#include "node/runtime/priv.h"

enum { LOG_BYTES_MAX = 10 << 20, LOG_FILES_MAX = 5, LOOK_MS = 10000, LOOK_SOON_MS = 1000, FAST_BYTES = 64 << 10 };

struct rotated_log {
    struct list link;
    struct rotation *all;
    struct container *c;
    struct loop_timer timer;
    int wd; /* -1: the timer looks */
    int attempt;
    off_t size; /* when last looked */
    ino_t old;  /* the file that was rotated last: conmon has not let go of it while N.log is it */
};
struct rotation {
    struct node *node;
    struct list logs;
    uv_poll_t poll;
    int fd;
};

static off_t size_of(const struct rotated_log *g)
{
    cleanup_arena struct arena *mem = arena_new();
    struct stat st;
    return stat(runtime_log_path(g->c, mem, g->attempt), &st) < 0 ? 0 : st.st_size;
}

static void look_later(struct rotated_log *g, off_t grown)
{
    loop_timer_start(&g->timer, grown > FAST_BYTES ? LOOK_SOON_MS : LOOK_MS);
}

/* Wait for the next write; what was written since the last look counts as one. */
static void arm(struct rotated_log *g)
{
    cleanup_arena struct arena *mem = arena_new();
    off_t before = g->size;
    g->wd = inotify_add_watch(g->all->fd, runtime_log_path(g->c, mem, g->attempt), IN_MODIFY | IN_ONESHOT);
    g->size = size_of(g);
    if (g->wd < 0 || g->size != before)
        loop_timer_start(&g->timer, LOOK_SOON_MS);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Rotated files of one run, oldest first: the time in their names sorts. */
static int rotated_files(struct container *c, struct arena *mem, int attempt, char ***ret, char **ret_dir)
{
    char *dir = runtime_log_path(c, mem, attempt), *slash = strrchr(dir, '/'), **names;
    char *prefix = str_fmtz(mem, "%s.", slash + 1);
    *slash = 0, *ret_dir = dir;
    int n = files_list(dir, mem, &names), kept = 0;
    for (int i = 0; i < n; i++)
        if (strncmp(names[i], prefix, strlen(prefix)) == 0 && strcmp(names[i] + strlen(prefix), "tmp") != 0)
            names[kept++] = names[i];
    if (kept > 1)
        qsort(names, (size_t)kept, sizeof(*names), by_name);
    return *ret = names, kept;
}

static void keep_newest(struct container *c, int attempt, int wanted)
{
    cleanup_arena struct arena *mem = arena_new();
    char **names, *dir;
    int n = rotated_files(c, mem, attempt, &names, &dir);
    for (int i = 0; i < n - wanted; i++)
        unlink(str_fmtz(mem, "%s/%s", dir, names[i]));
}

void rotate_remove(struct container *c, int attempt)
{
    cleanup_arena struct arena *mem = arena_new();
    unlink(runtime_log_path(c, mem, attempt));
    keep_newest(c, attempt, 0);
}

/* Where the name is taken, by another one of the same second, the log waits for the next look. */
static void rotate(struct rotated_log *g)
{
    static const char reopen[] = "2 0 0\n";
    cleanup_arena struct arena *mem = arena_new();
    struct node *n = g->c->pod->node;
    time_t now = (time_t)(loop_wall_ms(n->loop) / 1000);
    struct tm tm;
    char stamp[32];
    strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", localtime_r(&now, &tm));
    char *path = runtime_log_path(g->c, mem, g->attempt), *to = str_fmtz(mem, "%s.%s", path, stamp);
    cleanup_fd int fd = open(runtime_bundle(n, mem, g->c->id, "ctl"), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || stat(path, &st) < 0 || st.st_ino == g->old || link(path, to) < 0) {
        log_debug("rotate", "a log is not rotated now", "id=%s error=%d", g->c->id, errno);
        return;
    }
    if (write(fd, reopen, sizeof(reopen) - 1) != (ssize_t)sizeof(reopen) - 1) {
        log_warn("rotate", "conmon can't be told to open a new log", "id=%s error=%d", g->c->id, errno);
        unlink(to);
        return;
    }
    g->old = st.st_ino;
    keep_newest(g->c, g->attempt, LOG_FILES_MAX - 1);
}

static void on_look(struct loop_timer *t)
{
    struct rotated_log *g = container_of(t, struct rotated_log, timer);
    off_t size = size_of(g);
    if (size > LOG_BYTES_MAX) {
        rotate(g);
        g->size = 0; /* of the new file; what it has by the next look was added */
        loop_timer_start(&g->timer, LOOK_SOON_MS);
        return;
    }
    off_t grown = size - g->size;
    g->size = size;
    if (grown)
        look_later(g, grown);
    else
        arm(g);
}

static void on_write(uv_poll_t *poll, int status, int events)
{
    struct rotation *r = container_of(poll, struct rotation, poll);
    char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    ssize_t n;
    while ((n = read(r->fd, buf, sizeof(buf))) > 0)
        for (char *p = buf; p < buf + n;) {
            const struct inotify_event *e = (const struct inotify_event *)(const void *)p;
            list_each (at, &r->logs) {
                struct rotated_log *g = container_of(at, struct rotated_log, link);
                if (g->wd != e->wd || e->wd < 0)
                    continue;
                g->wd = -1;
                if (!loop_timer_running(&g->timer))
                    loop_timer_start(&g->timer, LOOK_SOON_MS);
            }
            p += sizeof(*e) + e->len;
        }
}

int rotate_open(struct node *n)
{
    struct rotation *r = calloc(1, sizeof(*r));
    if (!r)
        return -ENOMEM;
    r->node = n;
    list_init(&r->logs);
    r->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (r->fd < 0 || uv_poll_init(loop_uv_handle(n->loop), &r->poll, r->fd) < 0) {
        int error = r->fd < 0 ? -errno : -ENOMEM;
        if (r->fd >= 0)
            close(r->fd);
        return free(r), error;
    }
    uv_poll_start(&r->poll, UV_READABLE, on_write);
    n->rotation = r;
    return 0;
}

static void drop(struct rotated_log *g)
{
    loop_timer_stop(&g->timer);
    if (g->wd >= 0)
        inotify_rm_watch(g->all->fd, g->wd);
    list_remove(&g->link);
    free(g);
}

static void closed(uv_handle_t *h)
{
    free(container_of((uv_poll_t *)h, struct rotation, poll));
}

void rotate_close(struct node *n)
{
    struct rotation *r = n->rotation;
    if (!r)
        return;
    list_each_safe (at, &r->logs)
        drop(container_of(at, struct rotated_log, link));
    uv_poll_stop(&r->poll);
    close(r->fd);
    uv_close((uv_handle_t *)&r->poll, closed);
    n->rotation = NULL;
}

void rotate_watch(struct container *c)
{
    struct rotation *r = c->pod->node->rotation;
    struct rotated_log *g = r ? calloc(1, sizeof(*g)) : NULL;
    if (!g)
        return;
    rotate_forget(c);
    g->all = r, g->c = c, g->attempt = c->log_attempt, g->wd = -1;
    loop_timer_init(r->node->loop, &g->timer, on_look);
    list_add_tail(&r->logs, &g->link);
    arm(g);
}

void rotate_forget(struct container *c)
{
    struct rotation *r = c->pod->node->rotation;
    if (!r)
        return;
    list_each_safe (at, &r->logs) {
        struct rotated_log *g = container_of(at, struct rotated_log, link);
        if (g->c == c)
            drop(g);
    }
}
