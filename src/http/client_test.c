/* http/client_test.c - client, server, tunnel and dialer against each other over real TLS, HTTP/2 both ways. */
#include "http/http_test.h"

#include <errno.h>

#include "http/client.h"
#include "http/server.h"
#include "http/testcert.h"

struct fixture {
    struct loop *loop;
    struct arena *mem;
    struct testcert ca, server_cert, client_cert;
    struct tls_context *server_tls, *client_tls;
    struct http_server *server, *inner; /* inner: behind the tunnel, at the agent */
    struct http_client *client;
    struct http_dialer *dialer;
    char address[64];
    struct exchange *open;
    int aborted, inner_handled, tunnel_closed;
    bool tunnel_opened;
};
struct result {
    int status, error, headers, done;
    char body[256];
    size_t body_len, total;
    char echo[64];
};

static void on_abort(struct exchange *x)
{
    ((struct fixture *)x->user)->aborted++;
}

static void on_dialer_closed(void *ctx, int error)
{
    ((struct fixture *)ctx)->dialer = NULL;
}

static void handle(void *ctx, struct exchange *x)
{
    struct fixture *f = ctx;
    x->user = f;
    x->on_abort = on_abort;
    if (str_is(x->path, "/echo")) {
        exchange_reply(x, 200, "text/plain", x->body);
    } else if (str_is(x->path, "/me")) {
        const struct tls_cert *c = x->peer->cert;
        exchange_set_header(x, "X-Agent", exchange_header(x, "authorization"));
        exchange_reply(x, 200, "text/plain",
                       c ? str_fmt(x->mem, STR_FMT "/" STR_FMT, STR_ARG(c->organizations[0]), STR_ARG(c->common_name))
                         : STR("nobody"));
    } else if (str_is(x->path, "/watch")) {
        exchange_begin(x, 200, "application/json");
        exchange_write(x, (struct stream_buf){STR("one"), NULL, NULL});
        f->open = x;
    } else if (str_is(x->path, "/tunnel")) {
        exchange_set_header(x, "Upgrade", STR("sampan-tunnel"));
        f->dialer = http_dialer_new(f->loop, exchange_upgrade(x, 101), on_dialer_closed, f);
    } else {
        exchange_reply(x, 404, "text/plain", STR("none"));
    }
}

static void inner_handle(void *ctx, struct exchange *x)
{
    struct fixture *f = ctx;
    f->inner_handled++;
    exchange_reply(x, 200, "text/plain",
                   str_fmt(x->mem, "inner " STR_FMT " from " STR_FMT, STR_ARG(x->path), STR_ARG(x->peer->address)));
}

static void start(struct fixture *f)
{
    const char *why = "";
    *f = (struct fixture){.loop = loop_new_uv(), .mem = arena_new()};
    f->ca = testcert_make(f->mem, NULL, "test-ca", NULL);
    f->server_cert = testcert_make(f->mem, &f->ca, "server.test", NULL);
    f->client_cert = testcert_make(f->mem, &f->ca, "alice", "dev");
    f->server_tls = tls_server_new(f->server_cert.cert_pem, f->server_cert.key_pem, f->ca.cert_pem, &why);
    f->client_tls = tls_client_new(f->ca.cert_pem, f->client_cert.cert_pem, f->client_cert.key_pem, &why);
    assert_string_equal(why, "");
    f->server = http_server_new(&(struct http_server_opts){
        .loop = f->loop, .tls = f->server_tls, .handle = handle, .ctx = f, .send_stall_ms_max = 300});
    f->inner = http_server_new(&(struct http_server_opts){.loop = f->loop, .handle = inner_handle, .ctx = f});
    assert_int_equal(http_server_listen(f->server, "127.0.0.1:0"), 0);
    snprintf(f->address, sizeof f->address, "127.0.0.1:%d", http_server_port(f->server));
    f->client = http_client_new(&(struct http_client_opts){.loop = f->loop,
                                                           .address = f->address,
                                                           .server_name = "server.test",
                                                           .tls = f->client_tls,
                                                           .bearer_token = "t0ken"});
}

static void finish(struct fixture *f)
{
    http_client_free(f->client);
    http_dialer_free(f->dialer);
    run_ms(f->loop, 20);
    http_server_free(f->server);
    http_server_free(f->inner);
    run_ms(f->loop, 20);
    tls_context_free(f->server_tls);
    tls_context_free(f->client_tls);
    loop_free(f->loop);
    arena_free(f->mem);
}

static void on_header(void *ctx, const struct http_reply *reply)
{
    struct result *r = ctx;
    r->headers++;
    r->status = reply->status;
}

static void on_data(void *ctx, struct str bytes)
{
    struct result *r = ctx;
    for (size_t i = 0; i < bytes.len && r->body_len < sizeof r->body - 1; i++)
        r->body[r->body_len++] = bytes.ptr[i];
    r->total += bytes.len;
}

static void on_done(void *ctx, const struct http_reply *reply)
{
    struct result *r = ctx;
    r->done++;
    r->status = reply->status;
    r->error = reply->error;
    for (int i = 0; i < reply->header_count; i++)
        if (str_is(reply->headers[i].name, "x-agent"))
            snprintf(r->echo, sizeof r->echo, STR_FMT, STR_ARG(reply->headers[i].value));
    if (reply->body.len)
        on_data(r, reply->body);
}

static bool is_done(void *ctx)
{
    return ((struct result *)ctx)->done > 0;
}

static struct http_call *get(struct fixture *f, const char *path, struct result *r, bool streamed)
{
    *r = (struct result){0};
    return http_client_send(f->client, &(struct http_request){.method = "GET",
                                                              .path = str_of(path),
                                                              .on_header = streamed ? on_header : NULL,
                                                              .on_data = streamed ? on_data : NULL,
                                                              .on_done = on_done,
                                                              .ctx = r,
                                                              .timeout_ms = 2000});
}

static void test_requests(void **state)
{
    struct fixture f;
    struct result r[20];
    start(&f);
    get(&f, "/me", &r[0], false);
    assert_true(run_until(f.loop, is_done, &r[0], 2000));
    assert_int_equal(r[0].status, 200);
    assert_string_equal(r[0].body, "dev/alice");
    assert_string_equal(r[0].echo, "Bearer t0ken");
    for (int i = 0; i < 20; i++)
        get(&f, "/none", &r[i], false);
    for (int i = 0; i < 20; i++) {
        assert_true(run_until(f.loop, is_done, &r[i], 2000));
        assert_int_equal(r[i].status, 404);
    }
    finish(&f);
}

static void test_large_body_both_ways(void **state)
{
    struct fixture f;
    struct result r = {0};
    start(&f);
    size_t len = 2500000;
    char *body = malloc(len);
    memset(body, 'b', len);
    http_client_send(
        f.client,
        &(struct http_request){
            .method = "POST", .path = STR("/echo"), .body = str_mem(body, len), .on_done = on_done, .ctx = &r});
    assert_true(run_until(f.loop, is_done, &r, 10000));
    assert_int_equal(r.status, 200);
    assert_int_equal(r.total, len);
    free(body);
    body = calloc(1, 3200000);
    r = (struct result){0};
    http_client_send(
        f.client,
        &(struct http_request){
            .method = "POST", .path = STR("/echo"), .body = str_mem(body, 3200000), .on_done = on_done, .ctx = &r});
    assert_true(run_until(f.loop, is_done, &r, 10000));
    assert_int_equal(r.status, 413);
    free(body);
    finish(&f);
}

static bool has_one(void *ctx)
{
    return ((struct result *)ctx)->body_len >= 3;
}

static bool is_aborted(void *ctx)
{
    return ((struct fixture *)ctx)->aborted > 0;
}

static void test_watch_and_cancel(void **state)
{
    struct fixture f;
    struct result r;
    start(&f);
    struct http_call *call = get(&f, "/watch", &r, true);
    assert_true(run_until(f.loop, has_one, &r, 2000));
    assert_int_equal(r.headers, 1);
    exchange_write(f.open, (struct stream_buf){STR("two"), NULL, NULL});
    run_ms(f.loop, 400); /* longer than the stall limit */
    assert_string_equal(r.body, "onetwo");
    http_call_cancel(call);
    assert_int_equal(r.done, 1);
    assert_int_equal(r.error, -ECANCELED);
    assert_true(run_until(f.loop, is_aborted, &f, 1000));
    finish(&f);
}

static void test_server_gone_and_back(void **state)
{
    struct fixture f;
    struct result r;
    start(&f);
    get(&f, "/watch", &r, true);
    assert_true(run_until(f.loop, has_one, &r, 2000));
    f.server = http_server_free(f.server);
    assert_true(run_until(f.loop, is_done, &r, 2000));
    assert_int_equal(r.error, -ECONNRESET);
    get(&f, "/me", &r, false);
    assert_true(run_until(f.loop, is_done, &r, 2000));
    assert_int_equal(r.error, -ECONNREFUSED);
    f.server =
        http_server_new(&(struct http_server_opts){.loop = f.loop, .tls = f.server_tls, .handle = handle, .ctx = &f});
    assert_int_equal(http_server_listen(f.server, f.address), 0);
    get(&f, "/me", &r, false);
    assert_true(run_until(f.loop, is_done, &r, 2000));
    assert_int_equal(r.status, 200);
    finish(&f);
}

static void test_wrong_certificate(void **state)
{
    struct fixture f;
    struct result r;
    const char *why;
    start(&f);
    struct testcert other = testcert_make(f.mem, NULL, "other-ca", NULL);
    struct tls_context *t = tls_client_new(other.cert_pem, STR_NULL, STR_NULL, &why);
    http_client_free(f.client);
    f.client = http_client_new(
        &(struct http_client_opts){.loop = f.loop, .address = f.address, .server_name = "server.test", .tls = t});
    get(&f, "/me", &r, false);
    assert_true(run_until(f.loop, is_done, &r, 2000));
    assert_int_equal(r.error, -EKEYREJECTED);
    http_client_free(f.client);
    f.client = http_client_new(&(struct http_client_opts){
        .loop = f.loop, .address = f.address, .server_name = "wrong.test", .tls = f.client_tls});
    get(&f, "/me", &r, false);
    assert_true(run_until(f.loop, is_done, &r, 2000));
    assert_int_equal(r.error, -EKEYREJECTED);
    tls_context_free(t);
    finish(&f);
}

static void test_renewed_certificate(void **state)
{
    struct fixture f;
    struct result r;
    const char *why = "";
    start(&f);
    struct testcert next = testcert_make(f.mem, &f.ca, "renewed.test", NULL);
    assert_int_equal(tls_context_renew(f.server_tls, next.cert_pem, f.server_cert.key_pem, &why), -1);
    assert_string_equal(why, "the private key is not the certificate's");
    assert_int_equal(tls_context_renew(f.server_tls, next.cert_pem, next.key_pem, &why), 0);
    http_client_free(f.client);
    f.client = http_client_new(&(struct http_client_opts){
        .loop = f.loop, .address = f.address, .server_name = "renewed.test", .tls = f.client_tls});
    get(&f, "/me", &r, false);
    assert_true(run_until(f.loop, is_done, &r, 2000));
    assert_int_equal(r.status, 200);
    finish(&f);
}

/* ---- the tunnel */
static void tunnel_accept(void *ctx, struct stream *s, struct str authority)
{
    struct fixture *f = ctx;
    if (str_is(authority, "kubelet"))
        http_server_adopt(f->inner, s, STR("tunnel"), NULL);
    else
        stream_close(s);
}

static void tunnel_opened(void *ctx)
{
    ((struct fixture *)ctx)->tunnel_opened = true;
}

static void tunnel_closed(void *ctx, int error)
{
    ((struct fixture *)ctx)->tunnel_closed++;
}

static bool has_dialer(void *ctx)
{
    struct fixture *f = ctx;
    return f->dialer && f->tunnel_opened;
}

struct dialed {
    struct fixture *f;
    struct stream *s;
    int error, called;
    struct result r;
};

static void h1_header(void *ctx, int status, const struct http_header *headers, int header_count)
{
    ((struct dialed *)ctx)->r.status = status;
}

static void h1_data(void *ctx, struct str bytes)
{
    on_data(&((struct dialed *)ctx)->r, bytes);
}

static void h1_done(void *ctx, int error)
{
    struct dialed *d = ctx;
    d->r.done++;
    d->r.error = error;
}

static void on_dialed(void *ctx, struct stream *s, int error)
{
    struct dialed *d = ctx;
    d->s = s;
    d->error = error;
    d->called++;
    if (s)
        http1_request(d->f->mem, s, "GET", STR("/x"), NULL, 0, STR_NULL, h1_header, h1_data, h1_done, d);
}

static bool is_called(void *ctx)
{
    return ((struct dialed *)ctx)->called > 0;
}

static void test_tunnel(void **state)
{
    struct fixture f;
    struct dialed d[10], refused = {0};
    start(&f);
    struct http_client_opts opts = {
        .loop = f.loop, .address = f.address, .server_name = "server.test", .tls = f.client_tls};
    struct http_tunnel *t = http_tunnel_open(&opts, "/tunnel", tunnel_accept, tunnel_opened, tunnel_closed, &f);
    assert_true(run_until(f.loop, has_dialer, &f, 2000));
    for (int i = 0; i < 10; i++) {
        d[i] = (struct dialed){.f = &f};
        http_dialer_dial(f.dialer, STR("kubelet"), on_dialed, &d[i]);
    }
    for (int i = 0; i < 10; i++) {
        assert_true(run_until(f.loop, is_done, &d[i].r, 2000));
        assert_int_equal(d[i].r.error, 0);
        assert_int_equal(d[i].r.status, 200);
        assert_string_equal(d[i].r.body, "inner /x from tunnel");
    }
    http_dialer_dial(f.dialer, STR("10.0.0.1:80"), on_dialed, &refused);
    assert_true(run_until(f.loop, is_called, &refused, 2000));
    assert_int_equal(refused.error, -ECONNREFUSED);
    http_tunnel_close(t);
    run_ms(f.loop, 50);
    assert_null(f.dialer);
    assert_int_equal(f.tunnel_closed, 0); /* closed by its owner */
    t = http_tunnel_open(&opts, "/none", tunnel_accept, tunnel_opened, tunnel_closed, &f);
    run_ms(f.loop, 100);
    assert_int_equal(f.tunnel_closed, 1); /* refused */
    finish(&f);
}

static void test_tunnel_ends_with_server(void **state)
{
    struct fixture f;
    struct dialed d = {0};
    start(&f);
    struct http_client_opts opts = {
        .loop = f.loop, .address = f.address, .server_name = "server.test", .tls = f.client_tls};
    http_tunnel_open(&opts, "/tunnel", tunnel_accept, tunnel_opened, tunnel_closed, &f);
    assert_true(run_until(f.loop, has_dialer, &f, 2000));
    d.f = &f;
    http_dialer_dial(f.dialer, STR("kubelet"), on_dialed, &d);
    f.server = http_server_free(f.server);
    run_ms(f.loop, 100);
    assert_int_equal(f.tunnel_closed, 1);
    assert_int_equal(d.called, 1);
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_large_body_both_ways),
        cmocka_unit_test(test_watch_and_cancel),
        cmocka_unit_test(test_server_gone_and_back),
        cmocka_unit_test(test_wrong_certificate),
        cmocka_unit_test(test_renewed_certificate),
        cmocka_unit_test(test_tunnel),
        cmocka_unit_test(test_tunnel_ends_with_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
