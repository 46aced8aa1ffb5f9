/* node/stream/stream_test.c - the helper's half against a made-up agent: logs with rotation, exec over WebSocket and
 * SPDY, port-forward. */
#include "http/http_test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "http/spdy_headers.h"
#include "http/websocket.h"
#include "node/stream/streams.h"

#define T "2026-01-02T03:04:05.123456789+00:00 "

struct fixture {
    struct loop *loop;
    struct ipc *agent, *helper;
    struct streams *streams;
    struct peer p;
    /* what the made-up agent does */
    char dir[64];
    int monitor, calls, kills, resizes, columns, rows;
    int log_calls;
    uint64_t flags;
    int ours[3]; /* its ends of an exec's pipes, or of a forwarded connection at 0 */
    char args[128], error[64];
};

static char *in_dir(struct fixture *f, const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", f->dir, name);
    return path;
}

static void skip_target(struct ipc_reader *r, int n)
{
    while (n--)
        ipc_get_str(r);
}

static void answer_logs(struct fixture *f, struct ipc *c, struct ipc_msg *m)
{
    cleanup_arena struct arena *mem = arena_new();
    struct ipc_body b = IPC_BODY(mem);
    f->log_calls++;
    int fds[3] = {open(in_dir(f, "0.log"), O_RDONLY), open(f->dir, O_RDONLY | O_DIRECTORY), -1}, n = 2;
    if (f->monitor > 0)
        fds[n++] = (int)syscall(SYS_pidfd_open, f->monitor, 0);
    ipc_put_u64(&b, f->monitor > 0), ipc_put_str(&b, STR("0.log"));
    ipc_reply(c, m->id, 0, STR_NULL, &b, fds, n);
    for (int i = 0; i < n; i++)
        close(fds[i]);
}

static void answer_exec(struct fixture *f, struct ipc *c, struct ipc_msg *m)
{
    cleanup_arena struct arena *mem = arena_new();
    struct ipc_body b = IPC_BODY(mem);
    struct ipc_reader r = IPC_READER(m->body);
    size_t n;
    skip_target(&r, 4);
    struct str *args = ipc_get_strv(&r, mem, 16, &n);
    f->flags = ipc_get_u64(&r);
    assert_true(ipc_read_ok(&r));
    for (size_t i = 0; i < n; i++)
        snprintf(f->args + strlen(f->args), sizeof(f->args) - strlen(f->args), STR_FMT "|", STR_ARG(args[i]));
    int theirs[3], count = 0;
    for (int i = 0; i < 3; i++) {
        int p[2];
        f->ours[i] = -1;
        if (!(f->flags & (1u << i)))
            continue;
        assert_int_equal(pipe2(p, O_CLOEXEC), 0);
        f->ours[i] = i == 0 ? p[0] : p[1], theirs[count++] = i == 0 ? p[1] : p[0];
    }
    ipc_put_u64(&b, 77);
    ipc_reply(c, m->id, 0, STR_NULL, &b, theirs, count);
    for (int i = 0; i < count; i++)
        close(theirs[i]);
}

static void answer_forward(struct fixture *f, struct ipc *c, struct ipc_msg *m)
{
    int p[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p), 0);
    ipc_reply(c, m->id, 0, STR_NULL, NULL, &p[1], 1);
    close(p[1]);
    f->ours[0] = p[0];
}

static void on_agent(void *ctx, struct ipc *c, struct ipc_msg *m)
{
    struct fixture *f = ctx;
    struct ipc_reader r = IPC_READER(m->body);
    f->calls++;
    if (m->id && f->error[0]) {
        ipc_reply(c, m->id, -ENOENT, str_of(f->error), NULL, NULL, 0);
    } else if (m->type == IPC_LOGS) {
        answer_logs(f, c, m);
    } else if (m->type == IPC_EXEC) {
        answer_exec(f, c, m);
    } else if (m->type == IPC_FORWARD) {
        answer_forward(f, c, m);
    } else if (m->type == IPC_EXEC_KILL) {
        f->kills++;
    } else if (m->type == IPC_EXEC_RESIZE) {
        ipc_get_u64(&r);
        f->resizes++, f->columns = (int)ipc_get_u64(&r), f->rows = (int)ipc_get_u64(&r);
    }
}

static void on_helper(void *ctx, struct ipc *c, struct ipc_msg *m)
{
    streams_message(((struct fixture *)ctx)->streams, m);
}

static void on_closed(void *ctx, struct ipc *c, int error)
{
}

static const struct ipc_handler agent_handler = {on_agent, on_closed}, helper_handler = {on_helper, on_closed};

static void start(struct fixture *f)
{
    int pair[2];
    *f = (struct fixture){.loop = loop_new_uv(), .ours = {-1, -1, -1}};
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    f->agent = ipc_new(f->loop, pair[0], &agent_handler, f);
    f->helper = ipc_new(f->loop, pair[1], &helper_handler, f);
    f->streams = streams_new(&(struct streams_opts){.loop = f->loop, .agent = f->helper, .node_name = "n1"});
    strcpy(f->dir, "stream_test.XXXXXX");
    assert_non_null(mkdtemp(f->dir));
}

static void finish(struct fixture *f)
{
    if (f->p.got)
        peer_done(f->loop, &f->p);
    run_ms(f->loop, 5);
    for (int i = 0; i < 3; i++)
        if (f->ours[i] >= 0)
            close(f->ours[i]);
    unlink(in_dir(f, "0.log")), unlink(in_dir(f, "0.log.1"));
    assert_int_equal(rmdir(f->dir), 0);
    streams_free(f->streams);
    ipc_free(f->helper), ipc_free(f->agent);
    run_ms(f->loop, 5);
    loop_free(f->loop);
}

static void connect_peer(struct fixture *f)
{
    struct stream *pair[2];
    assert_int_equal(stream_pair(f->loop, pair), 0);
    peer_on(&f->p, pair[0]);
    http_server_adopt(streams_server(f->streams), pair[1], STR("test"), f);
}

static void ask(struct fixture *f, const char *request)
{
    connect_peer(f);
    stream_write(f->p.s, str_of(request));
}

struct has {
    struct peer *p;
    const char *text;
};
static bool peer_has(void *ctx)
{
    struct has *h = ctx;
    return memmem(h->p->got, h->p->len, h->text, strlen(h->text)) != NULL;
}
static bool got(struct fixture *f, const char *text)
{
    return run_until(f->loop, peer_has, &(struct has){&f->p, text}, 2000);
}

static void append(struct fixture *f, const char *text)
{
    int fd = open(in_dir(f, "0.log"), O_CREAT | O_WRONLY | O_APPEND, 0600);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static int child(void)
{
    pid_t pid = fork();
    if (pid == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0)
        for (;;)
            pause();
    return pid;
}

/* ---- logs */
#define LOGS "GET /containerLogs/ns/p/c"
#define END  " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

static void test_logs(void **state)
{
    static const struct {
        const char *name, *query, *body;
    } cases[] = {
        {"all", "", "one\ntwo-three\nerr\nlast\n"},
        {"tail", "?tailLines=2", "err\nlast\n"},
        {"pieces count once", "?tailLines=3", "two-three\nerr\nlast\n"},
        {"limit", "?limitBytes=5", "one\nt"},
        {"since", "?sinceTime=2026-01-02T03:04:06Z", "last\n"},
        {"one stream", "?stream=Stderr", "err\n"},
        {"times, once a line", "?timestamps=true&tailLines=3",
         "2026-01-02T03:04:05.123456789Z two-three\n2026-01-02T03:04:05.123456789Z err\n"
         "2026-01-02T03:04:07.000000000Z last\n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture f;
        char request[256], *body;
        print_message("%s\n", cases[i].name);
        start(&f);
        append(&f, T "stdout F one\n" T "stdout P two-\n" T "stdout F three\nbroken\n" T
                     "stderr F err\n2026-01-02T03:04:07Z stdout F last\n");
        snprintf(request, sizeof(request), LOGS "%s" END, cases[i].query);
        ask(&f, request);
        run_until(f.loop, peer_ended, &f.p, 2000);
        assert_non_null(strstr(f.p.got, "200 OK"));
        char flat[512] = "";
        body = strstr(f.p.got, "\r\n\r\n") + 4;
        for (unsigned long n; (n = strtoul(body, &body, 16)) > 0; body += n + 2) /* chunks */
            strncat(flat, body += 2, n);
        assert_string_equal(flat, cases[i].body);
        finish(&f);
    }
}

static void test_logs_refused(void **state)
{
    struct fixture f;
    start(&f);
    strcpy(f.error, "no such container");
    ask(&f, LOGS END);
    assert_true(got(&f, "no such container"));
    assert_non_null(strstr(f.p.got, "404 "));
    assert_non_null(strstr(f.p.got, "\"reason\":\"NotFound\""));
    finish(&f);
    start(&f);
    ask(&f, LOGS "?tailLines=-1" END);
    assert_true(got(&f, "400 "));
    assert_int_equal(f.calls, 0);
    finish(&f);
}

static void test_follow_over_rotation(void **state)
{
    struct fixture f;
    char old[128];
    start(&f);
    f.monitor = child();
    append(&f, T "stdout F one\n");
    ask(&f, LOGS "?follow=true" END);
    assert_true(got(&f, "one\n"));
    append(&f, T "stdout F tw");
    run_ms(f.loop, 20);
    append(&f, "o\n");
    assert_true(got(&f, "two\n"));
    /* as kubelet and conmon do: away with the old name, more into the old file, a new file under the name */
    snprintf(old, sizeof(old), "%s/0.log.1", f.dir);
    rename(in_dir(&f, "0.log"), old);
    int fd = open(old, O_WRONLY | O_APPEND);
    assert_true(write(fd, T "stdout F three\n", strlen(T "stdout F three\n")) > 0);
    close(fd);
    append(&f, T "stdout F four\n");
    unlink(old);
    assert_true(got(&f, "four\n"));
    append(&f, T "stdout F five\n");
    kill(f.monitor, SIGKILL);
    assert_int_equal(waitpid(f.monitor, NULL, 0), f.monitor);
    run_until(f.loop, peer_ended, &f.p, 2000);
    assert_true(f.p.eof || f.p.closed);
    static const char *const words[] = {"one\n", "two\n", "three\n", "four\n", "five\n"};
    const char *at = f.p.got;
    for (int i = 0; i < 5; i++) {
        at = strstr(at, words[i]);
        assert_non_null(at);
        assert_null(strstr(at + 1, words[i]));
    }
    assert_int_equal(f.log_calls, 2);
    finish(&f);
}

static void test_follower_goes_away(void **state)
{
    struct fixture f;
    start(&f);
    f.monitor = child();
    append(&f, T "stdout F one\n");
    ask(&f, LOGS "?follow=true" END);
    assert_true(got(&f, "one\n"));
    peer_done(f.loop, &f.p);
    run_ms(f.loop, 20);
    append(&f, T "stdout F two\n");
    run_ms(f.loop, 20);
    kill(f.monitor, SIGKILL), waitpid(f.monitor, NULL, 0);
    finish(&f);
}

/* ---- exec over WebSocket */
struct ws_client {
    struct websocket *w;
    char text[6][256]; /* by channel */
    int closed;
    bool base64;
};

static void ws_message(void *ctx, bool is_binary, struct str b)
{
    struct ws_client *c = ctx;
    cleanup_arena struct arena *mem = arena_new();
    int channel = (unsigned char)b.ptr[0] - (c->base64 ? '0' : 0);
    struct str rest = str_from(b, 1);
    assert_int_equal(is_binary, !c->base64);
    if (c->base64)
        assert_true(str_base64_dec(mem, rest, &rest));
    if (channel < 0 || channel > 5) /* SPDY, tunnelled */
        return;
    strncat(c->text[channel], rest.ptr ? rest.ptr : "", rest.len);
}

static void ws_close(void *ctx, int code)
{
    ((struct ws_client *)ctx)->closed = code;
}

static const struct websocket_events ws_events = {ws_message, NULL, ws_close};

static bool ws_ended(void *ctx)
{
    return ((struct ws_client *)ctx)->closed != 0;
}

static void upgrade(struct fixture *f, const char *path, const char *protocol)
{
    char request[512];
    snprintf(request, sizeof(request),
             "GET %s HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: %s\r\n\r\n",
             path, protocol);
    ask(f, request);
    assert_true(got(f, "\r\n\r\n"));
    assert_non_null(strstr(f->p.got, "101 "));
}

static void ws_start(struct fixture *f, struct ws_client *c, const char *path, const char *protocol)
{
    *c = (struct ws_client){.base64 = strstr(protocol, "base64")};
    upgrade(f, path, protocol);
    /* what came behind the header belongs to the WebSocket */
    size_t head = (size_t)(strstr(f->p.got, "\r\n\r\n") + 4 - f->p.got), len = f->p.len - head;
    char *early = malloc(len + 1);
    memcpy(early, f->p.got + head, len);
    struct stream *s = f->p.s;
    free(f->p.got);
    f->p = (struct peer){0};
    c->w = websocket_new(s, /* is_client= */ true);
    websocket_on(c->w, &ws_events, c);
    if (len)
        s->events->data(s->ctx, str_mem(early, len));
    free(early);
}

static void send_exit(struct fixture *f, int code)
{
    cleanup_arena struct arena *mem = arena_new();
    struct ipc_body b = IPC_BODY(mem);
    ipc_put_u64(&b, 77), ipc_put_u64(&b, (uint64_t)(int64_t)code), ipc_put_str(&b, STR_NULL);
    ipc_send(f->agent, IPC_EXEC_EXIT, &b, NULL, 0);
}

static void end_process(struct fixture *f, int code)
{
    for (int i = 0; i < 3; i++)
        if (f->ours[i] >= 0)
            close(f->ours[i]), f->ours[i] = -1;
    send_exit(f, code);
}

static void put(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static const char *const exit_3 =
    "{\"metadata\":{},\"status\":\"Failure\",\"message\":\"command terminated with non-zero exit code: exit status 3\","
    "\"reason\":\"NonZeroExitCode\",\"details\":{\"causes\":[{\"reason\":\"ExitCode\",\"message\":\"3\"}]}}";
#define EXEC "/exec/ns/p/c?input=1&output=1&error=1&command=sh&command=a+b"

static void test_exec_websocket(void **state)
{
    static const struct {
        const char *protocol;
        bool status;
    } cases[] = {{"v5.channel.k8s.io", true},
                 {"v4.channel.k8s.io", true},
                 {"v4.base64.channel.k8s.io", true},
                 {"channel.k8s.io", false},
                 {"base64.channel.k8s.io", false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture f;
        struct ws_client c;
        char buf[16] = "";
        print_message("%s\n", cases[i].protocol);
        start(&f);
        ws_start(&f, &c, EXEC, cases[i].protocol);
        if (c.base64)
            websocket_send(c.w, false, STR("0aGk="));
        else
            websocket_send(c.w, true, STR("\0hi"));
        run_ms(f.loop, 30);
        assert_string_equal(f.args, "sh|a b|");
        assert_int_equal(f.flags, IPC_STDIN | IPC_STDOUT | IPC_STDERR);
        assert_int_equal(read(f.ours[0], buf, 16), 2);
        assert_string_equal(buf, "hi");
        if (strstr(cases[i].protocol, "v5")) { /* half close */
            websocket_send(c.w, true, STR("\xff\0"));
            run_ms(f.loop, 20);
            assert_int_equal(read(f.ours[0], buf, 16), 0);
        }
        put(f.ours[1], "out"), put(f.ours[2], "err");
        end_process(&f, 3);
        assert_true(run_until(f.loop, ws_ended, &c, 2000));
        assert_int_equal(c.closed, 1000);
        assert_string_equal(c.text[1], "out"), assert_string_equal(c.text[2], "err");
        if (cases[i].status)
            assert_string_equal(c.text[3], exit_3);
        else
            assert_non_null(strstr(c.text[3], "exit status 3"));
        assert_int_equal(f.kills, 0);
        finish(&f);
    }
}

static void test_exec_client_gone(void **state)
{
    struct fixture f;
    struct ws_client c;
    start(&f);
    ws_start(&f, &c, EXEC, "v4.channel.k8s.io");
    run_ms(f.loop, 30);
    assert_int_equal(f.kills, 0);
    websocket_abort(c.w);
    run_ms(f.loop, 30);
    assert_int_equal(f.kills, 1);
    finish(&f);
}

/* A child of the process holds its output open: the end does not wait for it. */
static void test_exec_output_held_open(void **state)
{
    struct fixture f;
    struct ws_client c;
    start(&f);
    ws_start(&f, &c, EXEC, "v4.channel.k8s.io");
    run_ms(f.loop, 30);
    put(f.ours[1], "out");
    send_exit(&f, 0);
    assert_true(run_until(f.loop, ws_ended, &c, 4 * STREAMS_QUIET_MS));
    assert_string_equal(c.text[1], "out");
    assert_string_equal(c.text[3], "{\"metadata\":{},\"status\":\"Success\"}");
    finish(&f);
}

static void test_exec_refused(void **state)
{
    struct fixture f;
    struct ws_client c;
    start(&f);
    strcpy(f.error, "container not found");
    ws_start(&f, &c, EXEC, "v5.channel.k8s.io");
    assert_true(run_until(f.loop, ws_ended, &c, 2000));
    assert_non_null(strstr(c.text[3], "Internal error occurred: container not found"));
    finish(&f);
}

/* ---- SPDY */
struct spdy_client {
    struct fixture *f;
    struct spdy_headers z;
    struct arena *mem;
    size_t at; /* behind the HTTP header */
};

static void spdy_start(struct fixture *f, struct spdy_client *c, const char *path, const char *protocol)
{
    char request[512];
    snprintf(request, sizeof(request),
             "POST %s HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n"
             "X-Stream-Protocol-Version: %s\r\n\r\n",
             path, protocol);
    ask(f, request);
    *c = (struct spdy_client){.f = f, .mem = arena_new()};
    spdy_headers_init(&c->z);
    assert_true(got(f, "\r\n\r\n"));
}

static void spdy_finish(struct spdy_client *c)
{
    spdy_headers_done(&c->z);
    arena_free(c->mem);
}

static void syn(struct spdy_client *c, int id, int fin, const struct http_header *h, int n)
{
    struct str block = spdy_headers_pack(&c->z, c->mem, h, n);
    unsigned char head[18] = {
        0x80, 3, 0, 1, (unsigned char)fin, 0, 0, (unsigned char)(10 + block.len), 0, 0, 0, (unsigned char)id};
    stream_write(c->f->p.s, str_mem((char *)head, 18));
    stream_write(c->f->p.s, block);
}

static void data(struct spdy_client *c, int id, const char *text, int fin)
{
    unsigned char head[8] = {0, 0, 0, (unsigned char)id, (unsigned char)fin, 0, 0, (unsigned char)strlen(text)};
    stream_write(c->f->p.s, str_mem((char *)head, 8));
    stream_write(c->f->p.s, str_of(text));
}

static bool got_data(struct spdy_client *c, int id, const char *text)
{
    char frame[300] = {0, 0, 0, (char)id, 0, 0, 0, (char)strlen(text)};
    struct peer *p = &c->f->p;
    memcpy(frame + 8, text, strlen(text));
    for (int i = 0; i < 100; i++, run_ms(c->f->loop, 5)) {
        frame[4] = 0;
        if (memmem(p->got, p->len, frame, 8 + strlen(text)))
            return true;
        frame[4] = 1; /* with FIN */
        if (memmem(p->got, p->len, frame, 8 + strlen(text)))
            return true;
    }
    return false;
}

static void test_exec_spdy(void **state)
{
    struct fixture f;
    struct spdy_client c;
    char buf[16] = "";
    static const char *const types[] = {"error", "stdin", "stdout", "stderr"};
    start(&f);
    spdy_start(&f, &c, EXEC, "v4.channel.k8s.io");
    assert_non_null(strstr(f.p.got, "v4.channel.k8s.io"));
    for (int i = 0; i < 4; i++) {
        assert_int_equal(f.calls, 0); /* not before all are there */
        syn(&c, 2 * i + 1, 0, &(struct http_header){STR("streamtype"), str_of(types[i])}, 1);
        run_ms(f.loop, 10);
    }
    data(&c, 3, "hi", 1);
    run_ms(f.loop, 30);
    assert_int_equal(read(f.ours[0], buf, 16), 2);
    assert_int_equal(read(f.ours[0], buf, 16), 0);
    put(f.ours[1], "out"), put(f.ours[2], "err");
    assert_true(got_data(&c, 5, "out"));
    assert_true(got_data(&c, 7, "err"));
    end_process(&f, 3);
    assert_true(got_data(&c, 1, exit_3));
    run_until(f.loop, peer_ended, &f.p, 1000);
    assert_true(f.p.eof || f.p.closed);
    spdy_finish(&c);
    finish(&f);
}

static void test_spdy_protocols(void **state)
{
    struct fixture f;
    struct spdy_client c;
    start(&f);
    spdy_start(&f, &c, EXEC, "v9.channel.k8s.io");
    assert_non_null(strstr(f.p.got, "403 "));
    assert_non_null(strstr(f.p.got, "v4.channel.k8s.io"));
    spdy_finish(&c);
    finish(&f);
}

static void test_resize(void **state)
{
    struct fixture f;
    struct spdy_client c;
    static const char *const types[] = {"error", "stdin", "stdout", "resize"};
    start(&f);
    spdy_start(&f, &c, "/exec/ns/p/c?input=1&output=1&tty=1&command=sh", "v4.channel.k8s.io");
    for (int i = 0; i < 4; i++)
        syn(&c, 2 * i + 1, 0, &(struct http_header){STR("streamtype"), str_of(types[i])}, 1);
    data(&c, 7, "{\"Width\":80,\"Height\":24}\n{\"Width\":1", 0); /* before the process runs */
    run_ms(f.loop, 30);
    assert_true(f.flags & IPC_TTY);
    assert_int_equal(f.columns, 80), assert_int_equal(f.rows, 24);
    data(&c, 7, "11,\"Height\":33}", 0);
    run_ms(f.loop, 30);
    assert_int_equal(f.columns, 111), assert_int_equal(f.rows, 33);
    spdy_finish(&c);
    finish(&f);
}

/* ---- port-forward */
static void forward_pair(struct spdy_client *c)
{
    struct http_header h[] = {
        {STR("streamtype"), STR("error")}, {STR("port"), STR("8080")}, {STR("requestid"), STR("0")}};
    syn(c, 1, 1, h, 3);
    h[0].value = STR("data");
    syn(c, 3, 0, h, 3);
}

static void test_forward_spdy(void **state)
{
    struct fixture f;
    struct spdy_client c;
    char buf[16] = "";
    start(&f);
    spdy_start(&f, &c, "/portForward/ns/p", "portforward.k8s.io");
    forward_pair(&c);
    data(&c, 3, "ping", 0);
    run_ms(f.loop, 50);
    assert_true(f.ours[0] >= 0);
    assert_int_equal(read(f.ours[0], buf, 16), 4);
    put(f.ours[0], "pong");
    assert_true(got_data(&c, 3, "pong"));
    close(f.ours[0]), f.ours[0] = -1;
    assert_true(got_data(&c, 3, "")); /* FIN */
    data(&c, 3, "", 1);
    assert_true(got_data(&c, 1, "")); /* no error */
    spdy_finish(&c);
    finish(&f);
}

static void test_forward_refused(void **state)
{
    struct fixture f;
    struct spdy_client c;
    start(&f);
    strcpy(f.error, "refused");
    spdy_start(&f, &c, "/portForward/ns/p", "portforward.k8s.io");
    forward_pair(&c);
    assert_true(got_data(&c, 1, "error forwarding port 8080 to pod p, uid : refused"));
    spdy_finish(&c);
    finish(&f);
}

static void test_forward_channels(void **state)
{
    struct fixture f;
    struct ws_client c;
    char buf[16] = "";
    start(&f);
    ws_start(&f, &c, "/portForward/ns/p?port=8080", "v4.channel.k8s.io");
    run_ms(f.loop, 20);
    assert_memory_equal(c.text[0], "\x90\x1f", 2); /* 8080 in little endian, on both */
    assert_memory_equal(c.text[1], "\x90\x1f", 2);
    websocket_send(c.w, true, STR("\0ping"));
    run_ms(f.loop, 20);
    assert_int_equal(read(f.ours[0], buf, 16), 4);
    put(f.ours[0], "pong");
    run_ms(f.loop, 20);
    assert_string_equal(c.text[0], "\x90\x1fpong");
    close(f.ours[0]), f.ours[0] = -1;
    assert_true(run_until(f.loop, ws_ended, &c, 2000));
    finish(&f);
}

static void test_forward_tunnelled(void **state)
{
    struct fixture f;
    struct ws_client c;
    struct spdy_client spdy = {.mem = arena_new()};
    char buf[16] = "";
    start(&f);
    ws_start(&f, &c, "/portForward/ns/p", "SPDY/3.1+portforward.k8s.io");
    spdy_headers_init(&spdy.z);
    struct http_header h[] = {
        {STR("streamtype"), STR("error")}, {STR("port"), STR("8080")}, {STR("requestid"), STR("0")}};
    for (int i = 0; i < 2; i++) {
        h[0].value = i ? STR("data") : STR("error");
        struct str block = spdy_headers_pack(&spdy.z, spdy.mem, h, 3);
        char head[18] = {(char)0x80, 3, 0, 1, 0, 0, 0, (char)(10 + block.len), 0, 0, 0, (char)(2 * i + 1)};
        websocket_send2(c.w, true, str_mem(head, 18), block);
    }
    websocket_send(c.w, true, STR("\0\0\0\3\0\0\0\4ping"));
    run_ms(f.loop, 50);
    assert_int_equal(read(f.ours[0], buf, 16), 4);
    assert_memory_equal(buf, "ping", 4);
    websocket_abort(c.w);
    run_ms(f.loop, 20);
    assert_int_equal(read(f.ours[0], buf, 16), 0); /* the connection ends with the client's */
    spdy_headers_done(&spdy.z);
    arena_free(spdy.mem);
    finish(&f);
}

/* ---- paths */
static void test_routes(void **state)
{
    static const struct {
        const char *request, *status;
    } cases[] = {
        {"GET /healthz" END, "200 "},
        {"GET /nope" END, "404 "},
        {"POST /containerLogs/a/b/c" END, "405 "},
        {"GET /containerLogs/a/b" END, "404 "},
        {"GET /exec/a/b/c?output=1&command=x" END, "400 "},
        {"GET /run/a/b/c" END, "405 "},
        {"GET /containerLogs/%zz/b/c" END, "404 "},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture f;
        start(&f);
        print_message("%s", cases[i].request);
        ask(&f, cases[i].request);
        assert_true(got(&f, cases[i].status));
        finish(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logs),
        cmocka_unit_test(test_logs_refused),
        cmocka_unit_test(test_follow_over_rotation),
        cmocka_unit_test(test_follower_goes_away),
        cmocka_unit_test(test_exec_websocket),
        cmocka_unit_test(test_exec_client_gone),
        cmocka_unit_test(test_exec_output_held_open),
        cmocka_unit_test(test_exec_refused),
        cmocka_unit_test(test_exec_spdy),
        cmocka_unit_test(test_spdy_protocols),
        cmocka_unit_test(test_resize),
        cmocka_unit_test(test_forward_spdy),
        cmocka_unit_test(test_forward_refused),
        cmocka_unit_test(test_forward_channels),
        cmocka_unit_test(test_forward_tunnelled),
        cmocka_unit_test(test_routes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
