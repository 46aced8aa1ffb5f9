/* http/body_test.c - bodies that are handed on while they come: pieces, back-pressure, and clients that leave. */
#include "http/http_test.h"

#include "http/client.h"
#include "http/server.h"

enum { BIG_BYTES = 1 << 20, READ_BYTES_MAX = 64 << 10 };

struct fixture {
    struct loop *loop;
    struct http_server *server;
    struct exchange *open;
    size_t got, untaken;
    int handled, aborted, ends;
    bool refuses;
};

static void on_body(struct exchange *x, struct str bytes)
{
    struct fixture *f = x->user;
    f->got += bytes.len, f->untaken += bytes.len;
}

static void on_body_end(struct exchange *x)
{
    struct fixture *f = x->user;
    f->ends++;
    exchange_begin_sized(x, 200, "text/plain", 5);
    exchange_write(x, (struct stream_buf){STR("whole"), NULL, NULL});
    exchange_end(x);
}

static void on_abort(struct exchange *x)
{
    ((struct fixture *)x->user)->aborted++;
}

static void on_end(struct exchange *x)
{
    ((struct fixture *)x->user)->open = NULL;
}

static bool streams_body(void *ctx, const struct exchange *x)
{
    return str_is(x->path, "/stream");
}

static void handle(void *ctx, struct exchange *x)
{
    struct fixture *f = ctx;
    f->handled++;
    x->user = f;
    if (!x->body_streams || f->refuses) {
        exchange_reply(x, x->body_streams ? 403 : 200, "text/plain", STR("plain"));
        return;
    }
    f->open = x;
    x->on_body = on_body, x->on_body_end = on_body_end, x->on_abort = on_abort, x->on_end = on_end;
}

static void start(struct fixture *f)
{
    *f = (struct fixture){.loop = loop_new_uv()};
    f->server = http_server_new(&(struct http_server_opts){
        .loop = f->loop, .handle = handle, .ctx = f, .streams_body = streams_body, .body_ms_max = 150});
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

static bool wait_text(struct fixture *f, struct peer *p, const char *text)
{
    return run_until(f->loop, peer_has, &(struct has){p, text}, 1000);
}

static void send_z(struct peer *p, const char *text)
{
    stream_write(p->s, str_of(text));
}

static void take_all(struct fixture *f)
{
    size_t n = f->untaken;
    f->untaken = 0;
    if (f->open)
        exchange_body_taken(f->open, n);
}

static void test_pieces_then_the_next_request(void **state)
{
    struct fixture f;
    struct peer p;
    start(&f);
    connect_peer(&f, &p);
    send_z(&p,
           "PUT /stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n3\r\nabc\r\n");
    assert_true(wait_text(&f, &p, "100 Continue"));
    assert_int_equal(f.got, 3);
    assert_int_equal(f.ends, 0);
    send_z(&p, "2\r\nde\r\n0\r\n\r\nPUT /stream HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nxGET /last HTTP/1.1\r\n"
               "Host: a\r\n\r\n");
    assert_true(wait_text(&f, &p, "plain"));
    assert_int_equal(f.got, 6);
    assert_int_equal(f.ends, 2);
    assert_non_null(strstr(p.got, "Content-Length: 5\r\n\r\nwhole"));
    peer_done(f.loop, &p);
    assert_int_equal(f.aborted, 0);
    finish(&f);
}

static void test_back_pressure(void **state)
{
    struct fixture f;
    struct peer p;
    static char big[BIG_BYTES];
    start(&f);
    connect_peer(&f, &p);
    send_z(&p, "PUT /stream HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n");
    stream_write(p.s, str_mem(big, sizeof big));
    run_ms(f.loop, 50);
    assert_in_range(f.got, HTTP_BODY_AHEAD_BYTES, HTTP_BODY_AHEAD_BYTES + READ_BYTES_MAX);
    for (int i = 0; i < 20 && f.got < BIG_BYTES; i++) {
        take_all(&f);
        run_ms(f.loop, 5);
    }
    assert_int_equal(f.got, BIG_BYTES);
    assert_true(wait_text(&f, &p, "whole"));
    peer_done(f.loop, &p);
    finish(&f);
}

static bool is_aborted(void *ctx)
{
    return ((struct fixture *)ctx)->aborted > 0;
}

static void test_who_leaves_and_who_stalls(void **state)
{
    struct fixture f;
    struct peer p;
    start(&f);
    for (int stalls = 0; stalls < 2; stalls++) {
        f.aborted = 0;
        connect_peer(&f, &p);
        send_z(&p, "PUT /stream HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
        run_ms(f.loop, 10);
        assert_non_null(f.open);
        if (!stalls)
            stream_close(p.s);
        assert_true(run_until(f.loop, is_aborted, &f, 600));
        peer_done(f.loop, &p);
    }
    assert_int_equal(f.ends, 0);
    finish(&f);
}

static void test_answer_before_the_body(void **state)
{
    struct fixture f;
    struct peer p;
    start(&f);
    f.refuses = true;
    connect_peer(&f, &p);
    send_z(&p, "PUT /stream HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\nExpect: 100-continue\r\n\r\n");
    assert_true(wait_text(&f, &p, "403"));
    send_z(&p, "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n1234567"); /* the body, not a request */
    run_ms(f.loop, 20);
    assert_int_equal(f.handled, 1);
    assert_null(strstr(p.got, "100 Continue"));
    assert_non_null(strstr(p.got, "Connection: close"));
    peer_done(f.loop, &p);
    finish(&f);
}

struct reply {
    int status, done;
};

static void on_done(void *ctx, const struct http_reply *r)
{
    struct reply *to = ctx;
    to->status = r->status;
    to->done++;
}

static bool reply_done(void *ctx)
{
    return ((struct reply *)ctx)->done > 0;
}

static void test_http2(void **state)
{
    struct fixture f;
    struct reply r = {0};
    static char big[BIG_BYTES];
    char address[64];
    start(&f);
    assert_int_equal(http_server_listen(f.server, "127.0.0.1:0"), 0);
    snprintf(address, sizeof address, "127.0.0.1:%d", http_server_port(f.server));
    struct http_client *c =
        http_client_new(&(struct http_client_opts){.loop = f.loop, .address = address, .server_name = "a"});
    http_client_send(
        c,
        &(struct http_request){
            .method = "PUT", .path = STR("/stream"), .body = str_mem(big, sizeof big), .on_done = on_done, .ctx = &r});
    run_ms(f.loop, 50);
    assert_int_equal(f.got, HTTP_BODY_AHEAD_BYTES); /* the stream's window */
    for (int i = 0; i < 40 && f.got < BIG_BYTES; i++) {
        take_all(&f);
        run_ms(f.loop, 5);
    }
    take_all(&f);
    assert_true(run_until(f.loop, reply_done, &r, 1000));
    assert_int_equal(r.status, 200);
    assert_int_equal(f.got, BIG_BYTES);
    f.refuses = true;
    r = (struct reply){0};
    http_client_send(
        c,
        &(struct http_request){
            .method = "PUT", .path = STR("/stream"), .body = str_mem(big, sizeof big), .on_done = on_done, .ctx = &r});
    assert_true(run_until(f.loop, reply_done, &r, 1000));
    assert_int_equal(r.status, 403);
    http_client_free(c);
    run_ms(f.loop, 5);
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_then_the_next_request),
        cmocka_unit_test(test_back_pressure),
        cmocka_unit_test(test_who_leaves_and_who_stalls),
        cmocka_unit_test(test_answer_before_the_body),
        cmocka_unit_test(test_http2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
