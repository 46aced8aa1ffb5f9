/* http/websocket_test.c - RFC 6455: frames as bytes in, what comes out; and client against server. */
#include "http/http_test.h"

#include "http/websocket.h"

struct log {
    char text[4096];
    int len, closed, close_code, messages;
    size_t total;
    struct websocket *w;
    bool pause_once;
};

static void on_message(void *ctx, bool is_binary, struct str b)
{
    struct log *l = ctx;
    l->messages++;
    l->total += b.len;
    if (b.len < 100)
        l->len += snprintf(l->text + l->len, sizeof l->text - (size_t)l->len, "%s:" STR_FMT ";", is_binary ? "b" : "t",
                           STR_ARG(b));
    if (l->pause_once) {
        l->pause_once = false;
        websocket_pause(l->w);
    }
}

static void on_close(void *ctx, int code)
{
    struct log *l = ctx;
    l->closed++;
    l->close_code = code;
}

static const struct websocket_events events = {on_message, NULL, on_close};

static bool is_closed(void *ctx)
{
    return ((struct log *)ctx)->closed;
}

#define Z "\0\0\0\0" /* a mask that changes nothing */
struct ws_case {
    const char *name;
    struct str in;
    const char *log;
    int code; /* 0: stays open */
};
static const struct ws_case cases[] = {
    {"text", {"\x81\x85" Z "hello", 11}, "t:hello;", 0},
    {"masked", {"\x82\x82\x01\x02\x03\x04\x60\x60", 8}, "b:ab;", 0},
    {"empty", {"\x82\x80" Z, 6}, "b:;", 0},
    {"fragments with a ping between", {"\x01\x81" Z "a\x89\x80" Z "\x80\x81" Z "b", 20}, "t:ab;", 0},
    {"16 bit length", {"\x82\xfe\x00\x03" Z "abc", 11}, "b:abc;", 0},
    {"close with a code", {"\x88\x82" Z "\x03\xe8", 8}, "", 1000},
    {"close without", {"\x88\x80" Z, 6}, "", 1005},
    {"close with a bad code", {"\x88\x82" Z "\x03\xed", 8}, "", 1002},
    {"not masked", {"\x81\x01z", 3}, "", 1002},
    {"reserved bit", {"\xc1\x81" Z "a", 7}, "", 1002},
    {"unknown opcode", {"\x83\x80" Z, 6}, "", 1002},
    {"fragmented ping", {"\x09\x80" Z, 6}, "", 1002},
    {"long ping", {"\x89\xfe\x00\x7e" Z, 8}, "", 1002},
    {"continuation of nothing", {"\x80\x80" Z, 6}, "", 1002},
    {"message within a message", {"\x01\x81" Z "a\x81\x80" Z, 13}, "", 1002},
    {"not UTF-8", {"\x81\x82" Z "\xc0\x80", 8}, "", 1007},
    {"too large", {"\x82\xff\0\0\0\0\0\x10\0\x01" Z, 14}, "", 1009},
    {"far too large", {"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff" Z, 14}, "", 1009},
};

static void check(const struct ws_case *c, size_t piece)
{
    struct loop *l = loop_new_uv();
    struct stream *pair[2];
    struct peer p;
    struct log log = {0};
    assert_int_equal(stream_pair(l, pair), 0);
    peer_on(&p, pair[0]);
    websocket_on(websocket_new(pair[1], /* is_client= */ false), &events, &log);
    for (size_t at = 0; at < c->in.len; at += piece) {
        stream_write(p.s, str_head(str_from(c->in, at), piece));
        run_until(l, never, NULL, 0);
    }
    run_ms(l, 3);
    if (c->code)
        stream_shutdown(p.s); /* as a client does once it has the close frame */
    peer_done(l, &p);
    assert_true(run_until(l, is_closed, &log, 500));
    if (strcmp(log.text, c->log) != 0 || (c->code ? log.close_code != c->code : log.close_code != 1006))
        fail_msg("%s: %s, closed with %d", c->name, log.text, log.close_code);
    run_ms(l, 2);
    loop_free(l);
}

static void test_cases(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check(&cases[i], 1000);
        check(&cases[i], 1);
    }
}

static void test_both_sides(void **state)
{
    struct loop *l = loop_new_uv();
    struct stream *pair[2];
    struct log a = {0}, b = {0};
    static char big[100000];
    memset(big, 'x', sizeof big);
    assert_int_equal(stream_pair(l, pair), 0);
    struct websocket *server = websocket_new(pair[0], false), *client = websocket_new(pair[1], true);
    websocket_on(server, &events, &a);
    websocket_on(client, &events, &b);
    a.w = server;
    a.pause_once = true;
    websocket_send(client, false, STR("one"));
    websocket_send(client, true, STR("two"));
    websocket_send(client, true, str_mem(big, sizeof big));
    websocket_ping(client);
    websocket_send2(server, true, STR("\x01"), str_mem(big, sizeof big));
    run_ms(l, 20);
    assert_string_equal(a.text, "t:one;"); /* paused in it */
    websocket_resume(server);
    run_ms(l, 20);
    assert_string_equal(a.text, "t:one;b:two;");
    assert_int_equal(a.total, 6 + sizeof big);
    assert_int_equal(b.total, 1 + sizeof big);
    websocket_close(server, 1000, STR("bye"));
    assert_true(run_until(l, is_closed, &b, 500));
    assert_true(run_until(l, is_closed, &a, 500));
    assert_int_equal(b.close_code, 1000);
    run_ms(l, 2);
    loop_free(l);
}

static void test_accept_key(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    assert_true(str_is(websocket_accept_key(mem, STR("dGhlIHNhbXBsZSBub25jZQ==")), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
}

static const char *const protocols[] = {"v5.channel.k8s.io", "v4.channel.k8s.io", NULL};

static void handle(void *ctx, struct exchange *x)
{
    const char *chosen = NULL;
    struct websocket *w = websocket_accept(x, protocols, &chosen);
    if (!w)
        return;
    websocket_on(w, &events, ctx);
    websocket_send(w, false, str_of(chosen));
}

static void test_handshake(void **state)
{
    struct loop *l = loop_new_uv();
    struct stream *pair[2];
    struct peer p;
    struct log log = {0};
    struct http_server *s = http_server_new(&(struct http_server_opts){.loop = l, .handle = handle, .ctx = &log});
    assert_int_equal(stream_pair(l, pair), 0);
    peer_on(&p, pair[0]);
    http_server_adopt(s, pair[1], STR("t"), NULL);
    stream_write(
        p.s,
        STR("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: nope\r\n\r\n"));
    run_ms(l, 10);
    assert_non_null(strstr(p.got, "400 Bad Request"));
    p.len = 0;
    stream_write(
        p.s,
        STR("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: nope, v4.channel.k8s.io\r\n\r\n"
            "\x81\x82\x00\x00\x00\x00hi"));
    run_ms(l, 10);
    assert_non_null(strstr(p.got, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    assert_non_null(strstr(p.got, "Sec-WebSocket-Protocol: v4.channel.k8s.io\r\n"));
    assert_non_null(strstr(p.got, "\x81\x11v4.channel.k8s.io"));
    peer_done(l, &p);
    run_ms(l, 10);
    assert_int_equal(log.closed, 1);
    http_server_free(s);
    run_ms(l, 2);
    loop_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases), cmocka_unit_test(test_both_sides),
                                       cmocka_unit_test(test_accept_key), cmocka_unit_test(test_handshake)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
