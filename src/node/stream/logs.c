/* node/stream/logs.c - /containerLogs/NS/POD/CONTAINER: one container's log, from its file, and what is added to it.
 *
 * The agent opens the file (it is root's), its directory and a pidfd of the container's monitor. Following waits for
 * inotify on the directory: new bytes, and a new file under the same name when the log is rotated. Each new file is
 * asked for at once, even while the client is slow, and queued behind the one being read: nothing is lost when the old
 * one is deleted meanwhile. When the monitor has ended, all is written, and the log ends. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "http/url.h"
#include "node/stream/cri.h"
#include "node/stream/streams_priv.h"

enum { READ_BYTES = 32 << 10, READS_A_TURN = 8, FILES_MAX = 16 };

struct log_query {
    bool follow, previous, timestamps;
    int64_t tail, limit_bytes, since_ns; /* tail, limit_bytes -1: all; since_ns INT64_MIN: all */
    int only;                            /* -1, or an enum cri_stream */
};
struct log {
    struct session session;
    struct arena *mem;
    struct exchange *x; /* NULL: gone or answered */
    struct target target;
    struct log_query q;
    struct loop *loop;
    struct loop_task task;
    uint32_t call; /* LOGS under way */
    int files[FILES_MAX], file_count;
    struct str name; /* of the newest file in its directory */
    int dir;
    struct stat newest;
    bool begun, complete; /* the container has ended and we have its last file */
    bool ended, paused, monitor_gone, fresh[2];
    char *line; /* heap: a partial line */
    size_t line_len, line_cap;
    struct {
        uv_fs_event_t watch;
        uv_poll_t monitor;
        int open, monitor_fd;
        bool watching, monitoring;
    } uv;
    bool done; /* being freed */
};

/* ---- the end */
static void uv_gone(uv_handle_t *h)
{
    struct log *g = h->data;
    if (--g->uv.open == 0)
        arena_free(g->mem);
}

static void log_free(struct log *g)
{
    if (g->done)
        return;
    g->done = true;
    if (g->call)
        ipc_forget(g->session.owner->o.agent, g->call);
    session_end(&g->session);
    loop_task_cancel(&g->task);
    for (int i = 0; i < g->file_count; i++)
        close(g->files[i]);
    if (g->dir >= 0)
        close(g->dir);
    free(g->line);
    if (g->uv.watching)
        uv_close((uv_handle_t *)&g->uv.watch, uv_gone);
    if (g->uv.monitoring) {
        uv_close((uv_handle_t *)&g->uv.monitor, uv_gone);
        close(g->uv.monitor_fd);
    }
    if (g->uv.open == 0)
        arena_free(g->mem);
}

static void detach(struct log *g)
{
    g->x->on_abort = NULL, g->x->on_drain = NULL;
    g->x = NULL;
}

static void log_finish(struct log *g)
{
    struct exchange *x = g->x;
    detach(g);
    exchange_end(x);
    log_free(g);
}

static void on_abort(struct exchange *x)
{
    struct log *g = x->user;
    detach(g);
    log_free(g);
}

static void cut(struct session *s)
{
    struct log *g = container_of(s, struct log, session);
    struct exchange *x = g->x;
    if (x) {
        detach(g);
        exchange_reset(x);
    }
    log_free(g);
}

static void on_drain(struct exchange *x)
{
    struct log *g = x->user;
    g->paused = false;
    loop_post(g->loop, &g->task);
}

/* ---- lines to the client */
static void give(struct log *g, struct str s)
{
    if (g->q.limit_bytes >= 0 && (int64_t)s.len > g->q.limit_bytes)
        s.len = (size_t)g->q.limit_bytes;
    if (g->q.limit_bytes >= 0)
        g->q.limit_bytes -= (int64_t)s.len;
    char *copy = s.len ? malloc(s.len) : NULL;
    if (!copy)
        return;
    memcpy(copy, s.ptr, s.len);
    if (!exchange_write(g->x, (struct stream_buf){str_mem(copy, s.len), free, copy}))
        g->paused = true;
}

static void put_line(struct log *g, struct sb *out, struct str text, bool whole)
{
    struct cri_line l;
    char time[40];
    if (!cri_parse(text, &l) || l.time_ns < g->q.since_ns || (g->q.only >= 0 && (int)l.stream != g->q.only))
        return;
    if (g->q.timestamps && g->fresh[l.stream]) {
        sb_add(out, str_mem(time, cri_time_text(l.time, time)));
        sb_addc(out, ' ');
    }
    g->fresh[l.stream] = !l.partial;
    sb_add(out, l.text);
    if (!l.partial && whole)
        sb_addc(out, '\n');
}

static void keep(struct log *g, struct str part)
{
    if (g->line_len + part.len > g->line_cap) {
        g->line_cap = 2 * (g->line_len + part.len);
        g->line = realloc(g->line, g->line_cap);
        if (!g->line)
            abort(); /* bounded by CRI_LINE_BYTES_MAX and one read */
    }
    memcpy(g->line + g->line_len, part.ptr, part.len);
    g->line_len += part.len;
}

static void put_kept(struct log *g, struct sb *out, bool whole)
{
    if (g->line_len)
        put_line(g, out, str_mem(g->line, g->line_len), whole);
    g->line_len = 0;
}

static void put_bytes(struct log *g, struct sb *out, struct str bytes)
{
    struct str line, rest;
    while (str_cut(bytes, '\n', &line, &rest)) {
        if (g->line_len) {
            keep(g, line);
            put_kept(g, out, true);
        } else {
            put_line(g, out, line, true);
        }
        bytes = rest;
    }
    if (bytes.len)
        keep(g, bytes);
    if (g->line_len > CRI_LINE_BYTES_MAX)
        put_kept(g, out, true);
}

static void next_file(struct log *g)
{
    close(g->files[0]);
    g->file_count--;
    memmove(g->files, g->files + 1, sizeof(int) * (size_t)g->file_count);
}

/* One read. False: nothing more for now. */
static bool read_some(struct log *g)
{
    char buf[READ_BYTES];
    cleanup_arena struct arena *mem = arena_new();
    struct sb out = SB(mem);
    ssize_t n = read(g->files[0], buf, sizeof(buf));
    bool more = n > 0 || g->file_count > 1;
    if (n > 0) {
        put_bytes(g, &out, str_mem(buf, (size_t)n));
    } else if (g->file_count > 1) { /* rotated: what is left of a line will not be completed */
        put_kept(g, &out, false);
        next_file(g);
    } else if (!g->q.follow || g->complete) {
        put_kept(g, &out, false);
        g->ended = true;
    }
    give(g, sb_str(&out));
    return more;
}

static void pump(struct loop_task *t)
{
    struct log *g = container_of(t, struct log, task);
    bool more = true;
    for (int i = 0; more && i < READS_A_TURN && !g->paused && !g->ended; i++) {
        more = read_some(g);
        if (g->q.limit_bytes == 0)
            g->ended = true;
    }
    if (g->ended)
        log_finish(g);
    else if (more && !g->paused)
        loop_post(g->loop, &g->task);
}

/* ---- what the agent gives */
static void ask(struct log *g);

static bool rotated(struct log *g)
{
    struct stat st;
    return g->file_count < FILES_MAX && fstatat(g->dir, g->name.ptr, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           (st.st_ino != g->newest.st_ino || st.st_dev != g->newest.st_dev);
}

static void on_change(uv_fs_event_t *h, const char *name, int events, int status)
{
    struct log *g = h->data;
    if (g->done)
        return;
    if (!g->call && !g->complete && rotated(g))
        ask(g);
    if (!g->paused)
        loop_post(g->loop, &g->task);
}

static void monitor_ended(struct log *g)
{
    g->monitor_gone = true;
    if (g->uv.monitoring)
        uv_poll_stop(&g->uv.monitor);
    if (g->call) /* the answer looks again */
        return;
    if (rotated(g)) {
        ask(g);
        return;
    }
    g->complete = true;
    loop_post(g->loop, &g->task);
}

static void on_monitor(uv_poll_t *h, int status, int events)
{
    struct log *g = h->data;
    if (!g->done)
        monitor_ended(g);
}

static void watch(struct log *g, int monitor_fd)
{
    uv_loop_t *l = loop_uv_handle(g->loop);
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", g->dir);
    g->uv.watch.data = g->uv.monitor.data = g;
    if (uv_fs_event_init(l, &g->uv.watch) == 0) {
        g->uv.watching = true, g->uv.open++;
        if (uv_fs_event_start(&g->uv.watch, on_change, path, 0) < 0)
            g->complete = true; /* no more inotify instances: what there is, and an end */
    }
    if (uv_poll_init(l, &g->uv.monitor, monitor_fd) == 0) {
        g->uv.monitoring = true, g->uv.open++, g->uv.monitor_fd = monitor_fd;
        uv_poll_start(&g->uv.monitor, UV_READABLE, on_monitor);
    } else {
        close(monitor_fd);
        g->complete = true;
    }
}

static void first_file(struct log *g, int fd)
{
    if (g->q.tail >= 0) {
        int64_t at = cri_tail(fd, g->newest.st_size, g->q.tail);
        if (at > 0)
            lseek(fd, at, SEEK_SET);
    }
    g->begun = true;
    exchange_begin(g->x, 200, "text/plain");
}

static int take_fd(struct ipc_msg *m, int i)
{
    int fd = i < m->fd_count ? m->fds[i] : -1;
    if (fd >= 0)
        m->fds[i] = -1;
    return fd;
}

static void queue_file(struct log *g, int fd)
{
    struct stat st;
    bool known =
        fd < 0 || fstat(fd, &st) < 0 || (g->begun && st.st_ino == g->newest.st_ino && st.st_dev == g->newest.st_dev);
    if (known || g->file_count == FILES_MAX) {
        if (fd >= 0)
            close(fd);
        return;
    }
    g->files[g->file_count++] = fd;
    g->newest = st;
}

/* One more behind those we have; or, when the container has been started again meanwhile, a log of another run, which
 * is not what was asked for. */
static void got_next(struct log *g, struct ipc_msg *m, bool running, struct str name)
{
    if (!str_eq(name, g->name)) {
        g->complete = true;
        return;
    }
    queue_file(g, take_fd(m, 0));
    if (!running || g->monitor_gone)
        monitor_ended(g);
    else if (rotated(g))
        ask(g);
}

static void got_first(struct log *g, struct ipc_msg *m, bool running, struct str name)
{
    queue_file(g, take_fd(m, 0));
    if (g->file_count == 0) {
        struct exchange *x = g->x;
        detach(g);
        answer_error(x, 500, STR("the agent gave no log"), true);
        log_free(g);
        return;
    }
    g->dir = take_fd(m, 1), g->name = str_dup(g->mem, name);
    int monitor = take_fd(m, 2);
    if (g->q.follow && running && g->dir >= 0 && monitor >= 0) {
        watch(g, monitor);
        if (rotated(g)) /* between open and watch */
            ask(g);
    } else {
        g->complete = true;
        if (monitor >= 0)
            close(monitor);
    }
    first_file(g, g->files[0]);
}

static void answered(void *ctx, struct ipc_msg *m)
{
    struct log *g = ctx;
    struct ipc_reader r = IPC_READER(m->body);
    uint64_t running = m->error ? 0 : ipc_get_u64(&r);
    struct str name = m->error ? STR_NULL : ipc_get_str(&r);
    g->call = 0;
    if (!g->begun && (m->error || !ipc_read_ok(&r))) {
        struct exchange *x = g->x;
        detach(g);
        answer_error(x, error_code(m->error), m->message, x->peer->identity != NULL);
        log_free(g);
        return;
    }
    if (m->error)
        g->complete = true;
    else
        (g->begun ? got_next : got_first)(g, m, running != 0, name);
    if (!g->done)
        loop_post(g->loop, &g->task);
}

static void ask(struct log *g)
{
    cleanup_arena struct arena *mem = arena_new();
    struct ipc_body b = IPC_BODY(mem);
    target_put(&b, &g->target, true);
    ipc_put_u64(&b, g->q.previous);
    g->call = ipc_call(g->session.owner->o.agent, IPC_LOGS, &b, NULL, 0, answered, g);
}

/* ---- the request */
static bool number(struct exchange *x, const char *key, int64_t min, int64_t *ret)
{
    struct str text;
    if (!url_query_get(x->mem, x->query, key, &text) || text.len == 0)
        return true;
    return str_to_i64(text, ret) && *ret >= min;
}

static const char *parse(struct exchange *x, struct log_query *q)
{
    struct str text;
    int64_t since_s = 0;
    *q = (struct log_query){.tail = -1, .limit_bytes = -1, .since_ns = INT64_MIN, .only = -1};
    q->follow = url_query_bool(x->mem, x->query, "follow", false, NULL);
    q->previous = url_query_bool(x->mem, x->query, "previous", false, NULL);
    q->timestamps = url_query_bool(x->mem, x->query, "timestamps", false, NULL);
    if (!number(x, "tailLines", 0, &q->tail))
        return "invalid tailLines";
    if (!number(x, "limitBytes", 1, &q->limit_bytes))
        return "invalid limitBytes";
    if (!number(x, "sinceSeconds", 1, &since_s) || since_s > INT32_MAX)
        return "invalid sinceSeconds";
    if (since_s)
        q->since_ns = (loop_wall_ms(x->loop) - since_s * 1000) * 1000000;
    if (url_query_get(x->mem, x->query, "sinceTime", &text) && text.len && !cri_time(text, &q->since_ns))
        return "invalid sinceTime";
    if (url_query_get(x->mem, x->query, "stream", &text) && text.len && !str_is(text, "All")) {
        q->only = str_is(text, "Stdout") ? CRI_STDOUT : CRI_STDERR;
        if (!str_is(text, "Stdout") && !str_is(text, "Stderr"))
            return "invalid stream";
    }
    return NULL;
}

void logs_handle(struct streams *s, struct exchange *x, const struct target *t)
{
    struct log_query q;
    const char *why = parse(x, &q);
    if (why) {
        answer_error(x, 400, str_of(why), x->peer->identity != NULL);
        return;
    }
    struct arena *mem = arena_new();
    struct log *g = arena_new_of(mem, struct log);
    *g = (struct log){.mem = mem, .x = x, .q = q, .loop = s->o.loop, .dir = -1, .fresh = {true, true}};
    g->target = target_dup(mem, t);
    loop_task_init(&g->task, pump);
    if (!session_begin(s, &g->session, cut, x)) {
        arena_free(mem);
        return;
    }
    x->user = g, x->on_abort = on_abort, x->on_drain = on_drain;
    ask(g);
}
