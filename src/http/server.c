/* http/server.c - listening, accepting, and the life and deadlines of connections.
 *
 * Deadlines cost nothing per request: a field is set, and one timer, armed for the earliest there was when it last
 * fired, looks at all connections. Without deadlines it does not run. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <http_parser.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "base/log.h"
#include "http/conn.h"
#include "http/socket.h"

enum {
    SERVER_ACCEPTS_MAX = 64, /* in a row */
    SERVER_RETRY_MS = 500,   /* after the system had no descriptor left */
    SERVER_LINGER_MS = 2000,
    SERVER_STOP_LINGER_MS = 200, /* the same while the server stops: an idle client need not notice */
    SERVER_SWEEP_MS_MIN = 20,
    SERVER_ARENAS_MAX = 128,
    SERVER_ARENA_BYTES_MAX = 64 << 10, /* larger ones are not kept */
    SERVER_BACKLOG = 4096,
};

struct listener {
    struct list link;
    struct http_server *server;
    uv_poll_t poll;
    int fd;
    bool is_tcp;
    char *unix_path;
};

static void accept_resume(struct http_server *s);
static void server_check(struct http_server *s);

/* ---- arenas and the date */
struct arena *server_arena_take(struct http_server *s)
{
    s->arenas_out++;
    return s->arena_count ? s->arenas[--s->arena_count] : arena_new();
}

static void server_dispose(struct http_server *s)
{
    for (int i = 0; i < s->arena_count; i++)
        arena_free(s->arenas[i]);
    free(s->arenas);
    free(s);
}

void server_arena_give(struct http_server *s, struct arena *a)
{
    s->arenas_out--;
    if (!s->freed && s->arena_count < SERVER_ARENAS_MAX && arena_used(a) <= SERVER_ARENA_BYTES_MAX) {
        arena_reset(a);
        s->arenas[s->arena_count++] = a;
    } else {
        arena_free(a);
    }
    if (s->freed && s->arenas_out == 0)
        server_dispose(s);
}

struct str server_date(struct http_server *s)
{
    int64_t now_s = loop_wall_ms(s->opts.loop) / 1000;
    if (now_s != s->date_s) {
        time_t t = (time_t)now_s;
        struct tm tm;
        gmtime_r(&t, &tm);
        strftime(s->date, sizeof s->date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        s->date_s = now_s;
    }
    return str_of(s->date);
}

/* ---- deadlines */
static void sweep_by(struct http_server *s, int64_t at_ms)
{
    if (at_ms >= s->sweep_at_ms)
        return;
    int64_t delay = at_ms - loop_now_ms(s->opts.loop);
    s->sweep_at_ms = at_ms;
    loop_timer_start(&s->sweep, delay > SERVER_SWEEP_MS_MIN ? delay : SERVER_SWEEP_MS_MIN);
}

void conn_deadline(struct http_conn *c, int64_t at_ms)
{
    c->deadline_ms = at_ms;
    sweep_by(c->server, at_ms);
}

/* Returns when to look again at a connection that something waits to leave. */
static int64_t check_stall(struct http_conn *c, int64_t now)
{
    size_t queued = stream_queued(c->s);
    if (queued == 0 || c->may_stall)
        return INT64_MAX;
    if (c->written - queued != c->left) {
        c->left = c->written - queued;
        c->moved_ms = now;
    } else if (now - c->moved_ms >= c->server->opts.send_stall_ms_max) {
        stream_close(c->s);
        return INT64_MAX;
    }
    return c->moved_ms + c->server->opts.send_stall_ms_max;
}

static void expire(struct http_conn *c, int64_t now)
{
    c->deadline_ms = INT64_MAX;
    if (c->closing && stream_queued(c->s))
        c->deadline_ms = now + SERVER_LINGER_MS; /* as long as it moves */
    else if (c->closing || !c->proto)
        stream_close(c->s);
    else
        c->proto->expired(c);
}

static void on_sweep(struct loop_timer *t)
{
    struct http_server *s = container_of(t, struct http_server, sweep);
    int64_t now = loop_now_ms(s->opts.loop), next = INT64_MAX;
    s->sweep_at_ms = INT64_MIN; /* nothing below moves the timer */
    list_each_safe (l, &s->conns) {
        struct http_conn *c = container_of(l, struct http_conn, link);
        int64_t stall = check_stall(c, now);
        if (c->deadline_ms <= now)
            expire(c, now);
        int64_t own = c->proto && c->proto->sweep && !c->closing ? c->proto->sweep(c, now) : INT64_MAX;
        next = stall < next ? stall : next;
        next = own < next ? own : next;
        next = c->deadline_ms < next ? c->deadline_ms : next;
    }
    s->sweep_at_ms = INT64_MAX;
    sweep_by(s, next);
}

/* Before bytes are given to the stream. */
void conn_will_write(struct http_conn *c, size_t n)
{
    int64_t stall = c->server->opts.send_stall_ms_max, now = loop_now_ms(c->server->opts.loop);
    if (stream_queued(c->s) == 0) {
        c->left = c->written;
        c->moved_ms = now;
    }
    c->written += n;
    sweep_by(c->server, now + stall);
}

bool conn_write(struct http_conn *c, struct stream_buf buf)
{
    conn_will_write(c, buf.bytes.len);
    return stream_write_buf(c->s, buf);
}

bool conn_write_copy(struct http_conn *c, struct str bytes)
{
    conn_will_write(c, bytes.len);
    return stream_write(c->s, bytes);
}

void conn_linger(struct http_conn *c)
{
    if (c->closing)
        return;
    c->closing = true;
    stream_shutdown(c->s);
    stream_resume(c->s);
    conn_deadline(c,
                  loop_now_ms(c->server->opts.loop) + (c->server->stopping ? SERVER_STOP_LINGER_MS : SERVER_LINGER_MS));
}

/* ---- a connection's events */
static void conn_free(struct http_conn *c)
{
    list_remove(&c->link);
    free(c->cert);
    free(c);
}

static void on_gone(void *ctx, int error)
{
    struct http_conn *c = ctx;
    struct http_server *s = c->server;
    if (c->proto)
        c->proto->gone(c, error);
    s->conn_count--;
    conn_free(c);
    if (s->accept_paused)
        accept_resume(s);
    server_check(s);
}

/* A plain connection shows with its first bytes what it speaks (RFC 9113, 3.3: prior knowledge). */
static bool is_h2_preface(struct str bytes)
{
    struct str preface = STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    return bytes.len >= 3 && str_starts(preface, str_head(bytes, preface.len));
}

static void on_data(void *ctx, struct str bytes)
{
    struct http_conn *c = ctx;
    if (c->closing)
        return;
    if (!c->proto && (is_h2_preface(bytes) ? h2_start(c) : h1_start(c)) < 0) {
        stream_close(c->s);
        return;
    }
    c->proto->data(c, bytes);
}

static void on_eof(void *ctx)
{
    struct http_conn *c = ctx;
    if (c->closing)
        return; /* closes by itself once everything is sent */
    if (c->proto)
        c->proto->eof(c);
    else
        stream_close(c->s);
}

static void on_drain(void *ctx)
{
    struct http_conn *c = ctx;
    if (c->proto && !c->closing)
        c->proto->drain(c);
}

static const struct stream_events conn_events = {on_data, on_eof, on_drain, on_gone};

static void on_ready(void *ctx)
{
    struct http_conn *c = ctx;
    c->cert = socket_peer_cert(c->s);
    c->peer.cert = c->cert;
    if ((socket_is_h2(c->s) ? h2_start(c) : h1_start(c)) < 0)
        stream_close(c->s);
}

static struct http_conn *conn_new(struct http_server *s)
{
    struct http_conn *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->server = s;
    c->deadline_ms = INT64_MAX;
    c->peer.conn_id = ++s->next_conn_id;
    list_init(&c->link);
    return c;
}

static void conn_open(struct http_conn *c, struct stream *stream, int64_t deadline_ms)
{
    c->s = stream;
    c->peer.address = str_of(c->address);
    list_add_tail(&c->server->conns, &c->link);
    c->server->conn_count++;
    stream_on(stream, &conn_events, c);
    conn_deadline(c, loop_now_ms(c->server->opts.loop) + deadline_ms);
}

static void address_text(const struct sockaddr_storage *a, char *ret, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "";
    if (a->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)a;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        snprintf(ret, size, "%s:%d", host, ntohs(in->sin_port));
    } else if (a->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)a;
        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
        snprintf(ret, size, "[%s]:%d", host, ntohs(in6->sin6_port));
    } else {
        snprintf(ret, size, "unix");
    }
}

static void accept_one(struct listener *l, int fd, const struct sockaddr_storage *from)
{
    struct http_server *s = l->server;
    struct http_conn *c = conn_new(s);
    if (!c) {
        close(fd);
        return;
    }
    int one = 1, idle_s = 120, every_s = 30, times = 4;
    if (l->is_tcp) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one); /* finds the watcher whose machine is gone */
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every_s, sizeof every_s);
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &times, sizeof times);
    }
    address_text(from, c->address, sizeof c->address);
    struct stream *stream = socket_new(
        &(struct socket_opts){.loop = s->opts.loop, .tls = s->opts.tls, .ready = on_ready, .ctx = c}, fd, NULL);
    if (!stream) {
        free(c);
        return;
    }
    c->is_counted = true;
    conn_open(c, stream, s->opts.tls ? s->opts.handshake_ms_max : s->opts.idle_ms_max);
}

/* ---- listening */
static void on_acceptable(uv_poll_t *p, int status, int events);

static void accept_pause(struct http_server *s, bool retry)
{
    s->accept_paused = true;
    list_each (l, &s->listeners)
        uv_poll_stop(&container_of(l, struct listener, link)->poll);
    if (retry)
        loop_timer_start(&s->retry, SERVER_RETRY_MS);
}

static void accept_resume(struct http_server *s)
{
    if (s->stopping || s->conn_count >= s->conns_max)
        return;
    s->accept_paused = false;
    loop_timer_stop(&s->retry);
    list_each (l, &s->listeners)
        uv_poll_start(&container_of(l, struct listener, link)->poll, UV_READABLE, on_acceptable);
}

static void on_retry(struct loop_timer *t)
{
    accept_resume(container_of(t, struct http_server, retry));
}

static void on_acceptable(uv_poll_t *p, int status, int events)
{
    struct listener *l = p->data;
    struct http_server *s = l->server;
    for (int i = 0; i < SERVER_ACCEPTS_MAX && !s->accept_paused; i++) {
        struct sockaddr_storage from = {0};
        socklen_t len = sizeof from;
        int fd = accept4(l->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            accept_one(l, fd, &from);
            if (s->conn_count >= s->conns_max)
                accept_pause(s, /* retry= */ false);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            log_warn("http", "cannot accept connections", "error=%s connections=%d", strerror(errno), s->conn_count);
            accept_pause(s, /* retry= */ true);
        } else if (errno == EAGAIN) {
            return;
        } /* else that one connection failed (ECONNABORTED and its like): the next */
    }
}

/* A socket that nobody listens on any more is in the way. */
static void remove_stale(const struct sockaddr_storage *at, socklen_t len)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)at, len) < 0 && errno == ECONNREFUSED)
        unlink(((const struct sockaddr_un *)at)->sun_path);
    close(fd);
}

static int bind_socket(const struct sockaddr_storage *at, socklen_t len)
{
    int fd = socket(at->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1, r;
    if (fd < 0)
        return -errno;
    if (at->ss_family == AF_UNIX) {
        remove_stale(at, len);
        mode_t mask = umask(0177);
        r = bind(fd, (const struct sockaddr *)at, len);
        umask(mask);
    } else {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (at->ss_family == AF_INET6)
            setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
        r = bind(fd, (const struct sockaddr *)at, len);
    }
    if (r < 0 || listen(fd, SERVER_BACKLOG) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

int http_server_listen(struct http_server *s, const char *address)
{
    struct sockaddr_storage at;
    unsigned len = 0;
    int r = socket_address(address, &at, &len);
    if (r < 0)
        return r;
    int fd = bind_socket(&at, len);
    if (fd < 0)
        return fd;
    struct listener *l = calloc(1, sizeof *l);
    r = l ? uv_poll_init(loop_uv_handle(s->opts.loop), &l->poll, fd) : -ENOMEM;
    if (r < 0) {
        free(l);
        close(fd);
        return r;
    }
    l->server = s;
    l->fd = fd;
    l->is_tcp = at.ss_family != AF_UNIX;
    l->unix_path = l->is_tcp ? NULL : strdup(address + 5);
    l->poll.data = l;
    list_add_tail(&s->listeners, &l->link);
    uv_poll_start(&l->poll, UV_READABLE, on_acceptable);
    return 0;
}

int http_server_port(const struct http_server *s)
{
    list_each (i, &s->listeners) {
        struct listener *l = container_of(i, struct listener, link);
        struct sockaddr_storage a;
        socklen_t len = sizeof a;
        if (l->is_tcp && getsockname(l->fd, (struct sockaddr *)&a, &len) == 0)
            return ntohs(a.ss_family == AF_INET ? ((struct sockaddr_in *)&a)->sin_port
                                                : ((struct sockaddr_in6 *)&a)->sin6_port);
    }
    return 0;
}

static void on_listener_closed(uv_handle_t *h)
{
    struct listener *l = h->data;
    close(l->fd);
    free(l->unix_path);
    free(l);
}

static void close_listeners(struct http_server *s)
{
    list_each_safe (i, &s->listeners) {
        struct listener *l = container_of(i, struct listener, link);
        list_remove(&l->link);
        if (l->unix_path)
            unlink(l->unix_path);
        uv_close((uv_handle_t *)&l->poll, on_listener_closed);
    }
}

/* ---- the server */
static void on_grace(struct loop_timer *t)
{
    struct http_server *s = container_of(t, struct http_server, grace);
    list_each (l, &s->conns)
        stream_close(container_of(l, struct http_conn, link)->s);
}

static void on_stopped(struct loop_task *t)
{
    struct http_server *s = container_of(t, struct http_server, stopped);
    void (*stopped)(void *ctx) = s->stop_done;
    loop_timer_stop(&s->grace);
    s->stop_done = NULL;
    if (stopped)
        stopped(s->stop_ctx);
}

static void server_check(struct http_server *s)
{
    if (s->stopping && s->conn_count == 0 && s->stop_done)
        loop_post(s->opts.loop, &s->stopped);
}

static void set_default(int64_t *limit, int64_t otherwise)
{
    if (*limit == 0)
        *limit = otherwise;
}

struct http_server *http_server_new(const struct http_server_opts *opts)
{
    struct http_server *s = calloc(1, sizeof *s);
    if (!s || !(s->arenas = calloc(SERVER_ARENAS_MAX, sizeof *s->arenas)))
        abort(); /* at start */
    s->opts = *opts;
    s->conns_max = opts->conns_max ? opts->conns_max : HTTP_CONNS_MAX;
    set_default(&s->opts.handshake_ms_max, HTTP_HANDSHAKE_MS_MAX);
    set_default(&s->opts.header_ms_max, HTTP_HEADER_MS_MAX);
    set_default(&s->opts.body_ms_max, HTTP_BODY_MS_MAX);
    set_default(&s->opts.idle_ms_max, HTTP_IDLE_MS_MAX);
    set_default(&s->opts.send_stall_ms_max, HTTP_SEND_STALL_MS_MAX);
    s->sweep_at_ms = INT64_MAX;
    s->date_s = -1;
    list_init(&s->conns);
    list_init(&s->listeners);
    loop_timer_init(opts->loop, &s->sweep, on_sweep);
    loop_timer_init(opts->loop, &s->retry, on_retry);
    loop_timer_init(opts->loop, &s->grace, on_grace);
    loop_task_init(&s->stopped, on_stopped);
    http_parser_set_max_header_size(HTTP_HEADER_BYTES_MAX);
    socket_ignore_sigpipe();
    return s;
}

void http_server_adopt(struct http_server *s, struct stream *stream, struct str name, void *identity)
{
    struct http_conn *c = s->stopping ? NULL : conn_new(s);
    if (!c) {
        stream_close(stream);
        return;
    }
    snprintf(c->address, sizeof c->address, STR_FMT, STR_ARG(name));
    c->peer.identity = identity;
    conn_open(c, stream, s->opts.idle_ms_max);
}

void http_server_stop(struct http_server *s, int64_t grace_ms, void (*done)(void *ctx), void *ctx)
{
    s->stopping = true;
    s->stop_done = done;
    s->stop_ctx = ctx;
    close_listeners(s);
    loop_timer_stop(&s->retry);
    list_each (l, &s->conns) {
        struct http_conn *c = container_of(l, struct http_conn, link);
        if (c->proto)
            c->proto->quit(c);
        else
            stream_close(c->s);
    }
    loop_timer_start(&s->grace, grace_ms);
    server_check(s);
}

static void on_dead_data(void *ctx, struct str bytes)
{
}

static void on_dead_close(void *ctx, int error)
{
}

static const struct stream_events dead_events = {.data = on_dead_data, .close = on_dead_close};

struct http_server *http_server_free(struct http_server *s)
{
    if (!s)
        return NULL;
    s->stopping = true;
    close_listeners(s);
    while (!list_empty(&s->conns)) {
        struct http_conn *c = container_of(s->conns.next, struct http_conn, link);
        struct stream *stream = c->s;
        stream_on(stream, &dead_events, NULL);
        if (c->proto)
            c->proto->gone(c, -ECANCELED);
        conn_free(c);
        stream_close(stream); /* releases what was queued */
    }
    loop_timer_stop(&s->sweep);
    loop_timer_stop(&s->retry);
    loop_timer_stop(&s->grace);
    loop_task_cancel(&s->stopped);
    s->freed = true;
    if (s->arenas_out == 0)
        server_dispose(s);
    return NULL;
}
