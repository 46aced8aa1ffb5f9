/* gate/renew_test.c - the serving certificate is replaced while the server runs: over 800 simulated days, and over real
 * connections, of which the one that is open goes on. */
#include "gate/test_gate.h"

#include <errno.h>
#include <stdio.h>

#include "http/client.h"
#include "http/http_test.h"

#define DAY_MS INT64_C(86400000)

static void test_years_without_restart(void **state)
{
    struct world *w = world_new();
    int renewed = 0;
    for (int day = 0; day < 800; day += 10) {
        struct str before = w->gate->serving.cert_pem;
        loop_sim_run(w->loop, 10 * DAY_MS);
        renewed += !str_eq(before, w->gate->serving.cert_pem);
        int64_t left_s = pki_not_after_s(w->gate->serving.cert_pem) - loop_wall_ms(w->loop) / 1000;
        if (left_s < 100 * 86400)
            fail_msg("day %d: %d days left", day, (int)(left_s / 86400));
    }
    assert_int_equal(renewed, 3); /* after two thirds of a year each */
    world_free(w);
}

/* ---- over real connections */

struct live {
    struct arena *mem;
    struct loop *loop;
    struct cache *cache;
    struct store *store;
    struct gate *gate;
    struct http_server *server;
    struct exchange *open; /* of /open: an answer that goes on */
    int ready;
    int status, error, bytes;
    int open_bytes, open_done, open_error;
};

static void on_ready(void *ctx, int error, struct str why)
{
    ((struct live *)ctx)->ready = !error;
}

static void handle(void *ctx, struct exchange *x)
{
    struct live *l = ctx;
    if (!str_is(x->path, "/open")) {
        exchange_reply(x, 200, "text/plain", STR("here"));
        return;
    }
    exchange_begin(x, 200, "text/plain");
    exchange_write(x, (struct stream_buf){STR("one"), NULL, NULL});
    l->open = x;
}

static bool is_ready(void *ctx)
{
    const struct live *l = ctx;
    return l->ready;
}

static bool is_answered(void *ctx)
{
    const struct live *l = ctx;
    return l->status || l->error;
}

static bool has_one(void *ctx)
{
    const struct live *l = ctx;
    return l->open_bytes == 3;
}

static bool is_over(void *ctx)
{
    const struct live *l = ctx;
    return l->open_done;
}

static bool is_fresh(void *ctx)
{
    const struct live *l = ctx;
    return pki_not_after_s(l->gate->serving.cert_pem) > loop_wall_ms(l->loop) / 1000 + 86400;
}

static void on_open_header(void *ctx, const struct http_reply *reply)
{
}

static void on_open_data(void *ctx, struct str bytes)
{
    ((struct live *)ctx)->open_bytes += (int)bytes.len;
}

static void on_open_done(void *ctx, const struct http_reply *reply)
{
    struct live *l = ctx;
    l->open_done = 1, l->open_error = reply->error;
}

static void on_done(void *ctx, const struct http_reply *reply)
{
    struct live *l = ctx;
    l->status = reply->status, l->error = reply->error;
}

static struct http_client *new_client(struct live *l, struct tls_context *tls)
{
    char *address = str_fmtz(l->mem, "127.0.0.1:%d", http_server_port(l->server));
    return http_client_new(
        &(struct http_client_opts){.loop = l->loop, .address = address, .server_name = "kubernetes", .tls = tls});
}

/* A connection of its own: the answer's status, or -errno. */
static int ask(struct live *l, struct tls_context *tls)
{
    struct http_client *c = new_client(l, tls);
    l->status = l->error = 0;
    http_client_send(c, &(struct http_request){.method = "GET", .path = STR("/"), .on_done = on_done, .ctx = l});
    assert_true(run_until(l->loop, is_answered, l, 5000));
    http_client_free(c);
    return l->status ? l->status : l->error;
}

static void live_start(struct live *l)
{
    *l = (struct live){.mem = arena_new(), .loop = loop_new_uv()};
    l->cache = cache_new(&(struct cache_opts){.loop = l->loop});
    assert_int_equal(store_open_memory(&(struct store_opts){.loop = l->loop}, cache_feed, l->cache, &l->store), 0);
    cache_set_store(l->cache, l->store);
    l->gate = gate_new(
        &(struct gate_opts){.loop = l->loop, .cache = l->cache, .store = l->store, .advertise = STR("127.0.0.1:1")},
        on_ready, l);
    assert_true(run_until(l->loop, is_ready, l, 5000));
    l->server = http_server_new(
        &(struct http_server_opts){.loop = l->loop, .tls = gate_server_tls(l->gate), .handle = handle, .ctx = l});
    assert_int_equal(http_server_listen(l->server, "127.0.0.1:0"), 0);
}

static void live_finish(struct live *l)
{
    run_ms(l->loop, 50);
    http_server_free(l->server);
    run_ms(l->loop, 50);
    gate_free(l->gate);
    store_close(l->store);
    cache_free(l->cache);
    loop_free(l->loop);
    arena_free(l->mem);
}

/* A certificate whose time is over in a moment, as if the server had run for a year. */
static void wear_old_certificate(struct live *l, int64_t left_s)
{
    static const struct str names[] = {{"kubernetes", 10}};
    struct pki_request req = {.common_name = STR("kube-apiserver"),
                              .names = names,
                              .name_count = 1,
                              .usage = PKI_SERVER,
                              .lifetime_s = left_s};
    const char *why = "";
    struct pki_pair *serving = &l->gate->serving;
    assert_int_equal(pki_issue(l->mem, &l->gate->ca, &req, loop_wall_ms(l->loop) / 1000, serving, &why), 0);
    assert_int_equal(tls_context_renew(l->gate->tls, serving->cert_pem, serving->key_pem, &why), 0);
}

static void test_open_connections_go_on(void **state)
{
    struct live l;
    const char *why = "";
    live_start(&l);
    struct tls_context *tls = tls_client_new(gate_ca_pem(l.gate), STR_NULL, STR_NULL, &why);
    wear_old_certificate(&l, 2);
    struct http_client *c = new_client(&l, tls);
    http_client_send(c, &(struct http_request){.method = "GET",
                                               .path = STR("/open"),
                                               .timeout_ms = -1,
                                               .on_header = on_open_header,
                                               .on_data = on_open_data,
                                               .on_done = on_open_done,
                                               .ctx = &l});
    assert_true(run_until(l.loop, has_one, &l, 5000));
    run_ms(l.loop, 2500);
    assert_int_equal(ask(&l, tls), -EKEYREJECTED); /* it is over, and nobody new comes in */
    loop_timer_start(&l.gate->renew, 0);
    assert_true(run_until(l.loop, is_fresh, &l, 5000));
    assert_int_equal(ask(&l, tls), 200);
    exchange_write(l.open, (struct stream_buf){STR("two"), NULL, NULL});
    exchange_end(l.open);
    assert_true(run_until(l.loop, is_over, &l, 5000));
    assert_int_equal(l.open_bytes, 6);
    assert_int_equal(l.open_error, 0);
    http_client_free(c);
    live_finish(&l);
    tls_context_free(tls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_years_without_restart),
        cmocka_unit_test(test_open_connections_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
