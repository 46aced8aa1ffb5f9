/* http/server_test.c - requests and answers over a connection, and every limit of http/server.h. */
#include "http/http_test.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/server.h"
#include "http/socket.h"

struct fixture {
    struct loop *loop;
    struct http_server *server;
    struct exchange *open; /* a streamed answer under way */
    int aborted, ended, handled, drained;
    char last_body[64];
    size_t last_body_len;
    struct peer raw;
};

static void on_abort(struct exchange *x)
{
    ((struct fixture *)x->user)->aborted++;
}

static void on_end(struct exchange *x)
{
    struct fixture *f = x->user;
    f->ended++;
    if (f->open == x)
        f->open = NULL;
}

static void on_drain(struct exchange *x)
{
    ((struct fixture *)x->user)->drained++;
}

static void handle(void *ctx, struct exchange *x)
{
    struct fixture *f = ctx;
    f->handled++;
    x->user = f;
    x->on_abort = on_abort;
    x->on_end = on_end;
    x->on_drain = on_drain;
    f->last_body_len = x->body.len;
    if (str_is(x->path, "/echo")) {
        exchange_reply(x, 200, "text/plain", x->body);
    } else if (str_is(x->path, "/query")) {
        exchange_set_header(x, "X-Query", x->query);
        exchange_reply(x, 200, "text/plain", exchange_header(x, "x-test"));
    } else if (str_is(x->path, "/watch")) {
        exchange_begin(x, 200, "application/json");
        exchange_write(x, (struct stream_buf){STR("one"), NULL, NULL});
        f->open = x;
    } else if (str_is(x->path, "/later")) {
        f->open = x;
    } else if (str_is(x->path, "/none")) {
        exchange_reply(x, 204, NULL, STR_NULL);
    } else if (x->is_upgrade) {
        exchange_set_header(x, "Upgrade", STR("test"));
        peer_on(&f->raw, exchange_upgrade(x, 101));
    } else {
        exchange_set_header(x, "X-Bad", STR("a\r\nInjected: yes"));
        exchange_reply(x, 404, "text/plain", STR("none\n"));
    }
}

static void start(struct fixture *f)
{
    *f = (struct fixture){.loop = loop_new_uv()};
    f->server = http_server_new(&(struct http_server_opts){.loop = f->loop,
                                                           .handle = handle,
                                                           .ctx = f,
                                                           .header_ms_max = 150,
                                                           .body_ms_max = 150,
                                                           .idle_ms_max = 400,
                                                           .send_stall_ms_max = 200});
}

static void finish(struct fixture *f)
{
    http_server_free(f->server);
    run_ms(f->loop, 5);
    loop_free(f->loop);
}

static void connect_peer(struct fixture *f, struct peer *p)
{
    struct stream *pair[2];
    assert_int_equal(stream_pair(f->loop, pair), 0);
    peer_on(p, pair[0]);
    http_server_adopt(f->server, pair[1], STR("test"), NULL);
}

struct has {
    struct peer *p;
    const char *text;
};

static bool peer_has(void *ctx)
{
    struct has *h = ctx;
    return strstr(h->p->got, h->text) != NULL;
}

static bool wait_text(struct fixture *f, struct peer *p, const char *text, int64_t ms)
{
    return run_until(f->loop, peer_has, &(struct has){p, text}, ms);
}

/* ---- what goes in, what must come out */
struct http_case {
    const char *name, *in;
    const char *out[4]; /* all in it, in this order */
    bool closes;
};
#define H "Host: a\r\n"
static const struct http_case cases[] = {
    {"get",
     "GET /query?a=1%2F HTTP/1.1\r\n" H "X-Test:  v \r\n\r\n",
     {"200 OK", "X-Query: a=1%2F", "Content-Length: 1\r\n", "\r\n\r\nv"},
     false},
    {"absolute form", "GET http://h/query?z HTTP/1.1\r\n" H "\r\n", {"200 OK", "X-Query: z"}, false},
    {"pipelined, in order",
     "POST /echo HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nabGET /none HTTP/1.1\r\n" H "\r\nGET / HTTP/1.1\r\n" H
     "\r\n",
     {"\r\n\r\nab", "204 No Content", "404 Not Found", "none\n"},
     false},
    {"chunked body",
     "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
     {"200 OK", "\r\n\r\nabcde"},
     false},
    {"trailers are ignored",
     "POST /echo HTTP/1.1\r\n" H
     "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-T: y\r\n\r\nGET /none HTTP/1.1\r\n" H "\r\n",
     {"200 OK", "\r\n\r\na", "204"},
     false},
    {"head has no body",
     "HEAD / HTTP/1.1\r\n" H "\r\nGET /none HTTP/1.1\r\n" H "\r\n",
     {"404", "Content-Length: 5\r\n\r\nHTTP/1.1 204"},
     false},
    {"no header injection", "GET / HTTP/1.1\r\n" H "\r\n", {"X-Bad: a  Injected: yes\r\n"}, false},
    {"http/1.0 closes", "GET / HTTP/1.0\r\n\r\n", {"404", "Connection: close", "none\n"}, true},
    {"http/1.0 keep-alive",
     "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
     {"404", "Connection: keep-alive"},
     false},
    {"connection: close",
     "GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\n",
     {"404", "Connection: close", "none\n"},
     true},
    {"expect",
     "POST /echo HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
     {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK", "\r\n\r\nx"},
     false},
    {"garbage", "\x16\x03\x01 what\r\n\r\n", {"400 Bad Request", "Connection: close"}, true},
    {"no host", "GET / HTTP/1.1\r\n\r\n", {"400"}, true},
    {"two hosts", "GET / HTTP/1.1\r\n" H H "\r\n", {"400"}, true},
    {"length and chunked",
     "POST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     {"400"},
     true},
    {"two lengths", "POST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", {"400"}, true},
    {"bad chunk", "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\nzz\r\n", {"400"}, true},
    {"body too large",
     "POST /echo HTTP/1.1\r\n" H "Content-Length: 3145729\r\n\r\n",
     {"413 Request Entity Too Large", "Connection: close"},
     true},
    {"space in name", "GET / HTTP/1.1\r\n" H "A b: c\r\n\r\n", {"400"}, true},
    {"upgrade",
     "GET /up HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: test\r\n\r\nearly",
     {"101 Switching Protocols", "Upgrade: test", "Connection: Upgrade\r\n\r\n"},
     false},
};

static void check_case(const struct http_case *c, size_t piece)
{
    struct fixture f;
    struct peer p;
    start(&f);
    connect_peer(&f, &p);
    for (size_t at = 0, len = strlen(c->in); at < len; at += piece) {
        if (p.s)
            stream_write(p.s, str_head(str_mem(c->in + at, len - at), piece));
        if (piece < len)
            run_until(f.loop, never, NULL, 0);
    }
    const char *last = NULL;
    for (int i = 0; i < 4 && c->out[i]; i++)
        last = c->out[i];
    if (!wait_text(&f, &p, last, 300))
        fail_msg("%s: got %s", c->name, p.got);
    const char *at = p.got;
    for (int i = 0; i < 4 && c->out[i]; i++) {
        at = strstr(at, c->out[i]);
        if (!at)
            fail_msg("%s: no %s in %s", c->name, c->out[i], p.got);
        at += strlen(c->out[i]) > 4 ? strlen(c->out[i]) - 4 : 0;
    }
    if (c->closes && !run_until(f.loop, peer_ended, &p, 200))
        fail_msg("%s: stays open", c->name);
    if (!c->closes && peer_ended(&p))
        fail_msg("%s: closed", c->name);
    if (f.raw.s) {
        run_ms(f.loop, 2);
        assert_string_equal(f.raw.got, "early");
        stream_write(f.raw.s, STR("back"));
        assert_true(wait_text(&f, &p, "\r\n\r\nback", 200));
        stream_close(f.raw.s);
        run_ms(f.loop, 2);
        free(f.raw.got);
    }
    assert_int_equal(f.handled, f.ended);
    peer_done(f.loop, &p);
    finish(&f);
}

static void test_cases(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_case(&cases[i], SIZE_MAX / 2);
        if (!strstr(cases[i].name, "upgrade"))
            check_case(&cases[i], 1); /* byte by byte */
    }
}

/* ---- limits */
static void send_all(struct peer *p, const char *text)
{
    stream_write(p->s, str_of(text));
}

static void test_header_limits(void **state)
{
    struct fixture f;
    struct peer p;
    start(&f);
    connect_peer(&f, &p);
    send_all(&p, "GET / HTTP/1.1\r\n" H);
    for (int i = 0; i < HTTP_HEADERS_MAX; i++)
        send_all(&p, "a: b\r\n");
    send_all(&p, "\r\n");
    assert_true(wait_text(&f, &p, "HTTP/1.1 431", 300));
    peer_done(f.loop, &p);
    connect_peer(&f, &p);
    send_all(&p, "GET / HTTP/1.1\r\n" H "a: ");
    for (int i = 0; i < HTTP_HEADER_BYTES_MAX / 16 + 8; i++)
        send_all(&p, "0123456789abcdef");
    assert_true(wait_text(&f, &p, "HTTP/1.1 431", 300));
    assert_int_equal(f.handled, 0);
    peer_done(f.loop, &p);
    finish(&f);
}

static void test_slow(void **state)
{
    static const struct {
        const char *in, *out;
    } slow[] = {
        {"GET / HT", "HTTP/1.1 408"},                                                /* slow header */
        {"POST /echo HTTP/1.1\r\n" H "Content-Length: 9\r\n\r\nab", "HTTP/1.1 408"}, /* slow body */
        {"GET /none HTTP/1.1\r\n" H "\r\n", "204 No Content"},                       /* idle */
        {"", ""},
    };
    for (size_t i = 0; i < sizeof slow / sizeof *slow; i++) {
        struct fixture f;
        struct peer p;
        start(&f);
        connect_peer(&f, &p);
        send_all(&p, slow[i].in);
        assert_true(wait_text(&f, &p, slow[i].out, 600));
        assert_true(run_until(f.loop, peer_ended, &p, 800));
        peer_done(f.loop, &p);
        finish(&f);
    }
}

static void test_big_chunked_body(void **state)
{
    struct fixture f;
    struct peer p;
    static char piece[65536];
    memset(piece, 'x', sizeof piece);
    start(&f);
    connect_peer(&f, &p);
    send_all(&p, "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 49 && p.s; i++) {
        send_all(&p, "10000\r\n");
        stream_write(p.s, str_mem(piece, sizeof piece));
        send_all(&p, "\r\n");
    }
    assert_true(wait_text(&f, &p, "HTTP/1.1 413", 1000));
    assert_int_equal(f.handled, 0);
    peer_done(f.loop, &p);
    finish(&f);
}

static bool is_aborted(void *ctx)
{
    return ((struct fixture *)ctx)->aborted > 0;
}

static void test_stalled_reader(void **state)
{
    struct fixture f;
    struct peer p;
    static char piece[65536];
    start(&f);
    connect_peer(&f, &p);
    stream_pause(p.s);
    send_all(&p, "GET /watch HTTP/1.1\r\n" H "\r\n");
    run_ms(f.loop, 10);
    assert_non_null(f.open);
    bool more = true;
    for (int i = 0; i < 100 && more; i++)
        more = exchange_write(f.open, (struct stream_buf){str_mem(piece, sizeof piece), NULL, NULL});
    assert_false(more);
    assert_true(run_until(f.loop, is_aborted, &f, 1000));
    assert_int_equal(f.ended, 1);
    peer_done(f.loop, &p);
    finish(&f);
}

static void test_slow_but_moving_reader_drains(void **state)
{
    struct fixture f;
    struct peer p;
    static char piece[65536];
    start(&f);
    connect_peer(&f, &p);
    send_all(&p, "GET /watch HTTP/1.1\r\n" H "\r\n");
    assert_true(wait_text(&f, &p, "\r\n3\r\none\r\n", 200));
    stream_pause(p.s);
    do { /* until the kernel takes no more either */
        f.drained = 0;
        while (exchange_write(f.open, (struct stream_buf){str_mem(piece, sizeof piece), NULL, NULL}))
            ;
        run_ms(f.loop, 20);
    } while (f.drained);
    assert_int_equal(f.drained, 0);
    stream_resume(p.s);
    run_ms(f.loop, 50);
    assert_int_equal(f.drained, 1);
    exchange_end(f.open);
    run_ms(f.loop, 50);
    assert_int_equal(f.ended, 1);
    assert_int_equal(f.aborted, 0);
    assert_memory_equal(p.got + p.len - 5, "0\r\n\r\n", 5);
    peer_done(f.loop, &p);
    finish(&f);
}

static void test_client_leaves(void **state)
{
    struct fixture f;
    struct peer p;
    start(&f);
    connect_peer(&f, &p);
    send_all(&p, "GET /watch HTTP/1.1\r\n" H "\r\n");
    assert_true(wait_text(&f, &p, "one", 200));
    peer_done(f.loop, &p);
    assert_true(run_until(f.loop, is_aborted, &f, 200));
    assert_int_equal(f.aborted, 1);
    assert_int_equal(f.ended, 1);
    finish(&f);
}

static void test_answer_later_with_pipelined_request(void **state)
{
    struct fixture f;
    struct peer p;
    start(&f);
    connect_peer(&f, &p);
    send_all(&p, "GET /later HTTP/1.1\r\n" H "\r\nGET /none HTTP/1.1\r\n" H "\r\n");
    run_ms(f.loop, 300); /* longer than header and stall limits: neither applies */
    assert_int_equal(f.handled, 1);
    exchange_reply(f.open, 200, "text/plain", STR("late"));
    assert_true(wait_text(&f, &p, "lateHTTP/1.1 204", 200));
    peer_done(f.loop, &p);
    finish(&f);
}

static void set_true(void *ctx)
{
    *(bool *)ctx = true;
}

static bool is_set(void *ctx)
{
    return *(bool *)ctx;
}

static void test_stop_lets_exchanges_end(void **state)
{
    struct fixture f;
    struct peer p, idle;
    bool stopped = false;
    start(&f);
    connect_peer(&f, &p);
    connect_peer(&f, &idle);
    send_all(&p, "GET /later HTTP/1.1\r\n" H "\r\n");
    run_ms(f.loop, 10);
    http_server_stop(f.server, 1000, set_true, &stopped);
    run_ms(f.loop, 20);
    assert_true(peer_ended(&idle));
    assert_false(stopped);
    exchange_reply(f.open, 200, "text/plain", STR("late"));
    assert_true(wait_text(&f, &p, "Connection: close", 200));
    peer_done(f.loop, &idle);
    peer_done(f.loop, &p);
    assert_true(run_until(f.loop, is_set, &stopped, 200));
    finish(&f);
}

static void test_stop_ends_after_grace(void **state)
{
    struct fixture f;
    struct peer p;
    bool stopped = false;
    start(&f);
    connect_peer(&f, &p);
    send_all(&p, "GET /watch HTTP/1.1\r\n" H "\r\n");
    assert_true(wait_text(&f, &p, "one", 200));
    http_server_stop(f.server, 50, set_true, &stopped);
    assert_true(run_until(f.loop, is_set, &stopped, 500));
    assert_int_equal(f.aborted, 1);
    peer_done(f.loop, &p);
    finish(&f);
}

/* ---- listening */
static void test_conns_max_and_no_descriptors(void **state)
{
    struct fixture f;
    struct peer p[3];
    char address[64];
    start(&f);
    http_server_free(f.server);
    f.server = http_server_new(&(struct http_server_opts){.loop = f.loop, .handle = handle, .ctx = &f, .conns_max = 2});
    assert_int_equal(http_server_listen(f.server, "127.0.0.1:0"), 0);
    assert_int_equal(http_server_listen(f.server, "nonsense"), -EINVAL);
    snprintf(address, sizeof address, "127.0.0.1:%d", http_server_port(f.server));
    for (int i = 0; i < 3; i++) {
        peer_on(&p[i], stream_connect(f.loop, address, NULL, NULL, NULL));
        send_all(&p[i], "GET /none HTTP/1.1\r\n" H "\r\n");
        run_ms(f.loop, 20);
    }
    assert_int_equal(f.handled, 2); /* the third waits in the kernel */
    peer_done(f.loop, &p[0]);
    assert_true(wait_text(&f, &p[2], "204", 200));
    peer_done(f.loop, &p[1]);
    peer_done(f.loop, &p[2]);
    /* now without descriptors: pause, and go on when there are some */
    struct rlimit was, low;
    getrlimit(RLIMIT_NOFILE, &was);
    peer_on(&p[0], stream_connect(f.loop, address, NULL, NULL, NULL));
    int top = dup(0);
    low = was;
    low.rlim_cur = (rlim_t)top;
    close(top);
    setrlimit(RLIMIT_NOFILE, &low);
    send_all(&p[0], "GET /none HTTP/1.1\r\n" H "\r\n");
    uint64_t before = uv_hrtime();
    struct rusage a, b;
    getrusage(RUSAGE_SELF, &a);
    run_ms(f.loop, 200);
    getrusage(RUSAGE_SELF, &b);
    assert_true(uv_hrtime() > before);
    assert_true((b.ru_utime.tv_sec - a.ru_utime.tv_sec) * 1000000 + b.ru_utime.tv_usec - a.ru_utime.tv_usec < 100000);
    assert_int_equal(f.handled, 3);
    setrlimit(RLIMIT_NOFILE, &was);
    assert_true(wait_text(&f, &p[0], "204", 1500));
    peer_done(f.loop, &p[0]);
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_header_limits),
        cmocka_unit_test(test_slow),
        cmocka_unit_test(test_big_chunked_body),
        cmocka_unit_test(test_stalled_reader),
        cmocka_unit_test(test_slow_but_moving_reader_drains),
        cmocka_unit_test(test_client_leaves),
        cmocka_unit_test(test_answer_later_with_pipelined_request),
        cmocka_unit_test(test_stop_lets_exchanges_end),
        cmocka_unit_test(test_stop_ends_after_grace),
        cmocka_unit_test(test_conns_max_and_no_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
