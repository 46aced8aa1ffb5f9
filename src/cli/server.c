/* cli/server.c - `sampan server`: the control plane in one process, bottom up: store, cache, write path, gate, API;
 * then, once it is ready, bootstrap objects, controllers and the scheduler. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#include "api/api.h"
#include "base/io.h"
#include "base/ipv4.h"
#include "base/log.h"
#include "base/process.h"
#include "cli/address.h"
#include "cli/cli.h"
#include "cli/notify.h"
#include "cli/trim.h"
#include "control/control.h"
#include "gate/gate.h"
#include "registry/registry.h"
#include "sched/sched.h"

enum { STOP_GRACE_MS = 2000, STOP_POLL_MS = 1 };

struct server {
    struct args *args;
    struct arena *mem;
    struct loop *loop;
    struct cache *cache;
    struct store *store;
    struct writer *writer;
    struct gate *gate;
    struct api *api;
    struct registry *registry;
    struct http_server *http;
    struct controllers *controllers;
    struct sched *sched;
    struct trim trim;
    struct loop_timer rest; /* controllers and scheduler start when the first requests had their turn */
    uv_signal_t signals[2];
    struct loop_timer idle;
    bool stopping;
    int exit_code;
};

static void close_signals(struct server *s)
{
    for (int i = 0; i < 2; i++)
        if (!uv_is_closing((uv_handle_t *)&s->signals[i]))
            uv_close((uv_handle_t *)&s->signals[i], NULL);
}

/* Writes under way end first: their answers need everything that clean_up frees. */
static void stop_when_idle(struct loop_timer *t)
{
    struct server *s = container_of(t, struct server, idle);
    if (!s->writer || writer_idle(s->writer))
        loop_stop(s->loop);
    else
        loop_timer_start(t, STOP_POLL_MS);
}

static void on_stopped(void *ctx)
{
    struct server *s = ctx;
    loop_timer_init(s->loop, &s->idle, stop_when_idle);
    stop_when_idle(&s->idle);
}

static void stop(struct server *s, int exit_code)
{
    if (s->stopping)
        return;
    s->stopping = true, s->exit_code = exit_code;
    close_signals(s);
    loop_timer_stop(&s->rest);
    trim_stop(&s->trim);
    s->sched = sched_stop(s->sched);
    s->controllers = controllers_stop(s->controllers);
    if (s->api)
        api_stop(s->api); /* watches end, so that clients go elsewhere */
    if (s->http)
        http_server_stop(s->http, STOP_GRACE_MS, on_stopped, s);
    else
        on_stopped(s);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct server *s = handle->data;
    log_info("server", "stopping", "signal=%d", number);
    stop(s, 0);
}

/* ---- what controllers ask of gate/, which stands beside them */

static bool may_create_csr(void *ctx, struct arena *mem, const struct user *u, const char *subresource)
{
    struct str why;
    struct gate_attrs a = {.verb = STR("create"),
                           .group = STR("certificates.k8s.io"),
                           .version = STR("*"),
                           .resource = STR("certificatesigningrequests"),
                           .subresource = str_of(subresource)};
    return gate_authorize(ctx, mem, u, &a, &why);
}

static int sign_csr(void *ctx, struct arena *mem, struct str csr_pem, int usage, int64_t lifetime_s,
                    struct str *ret_cert_pem, const char **ret_why)
{
    return gate_sign_csr(ctx, mem, csr_pem, usage, lifetime_s, ret_cert_pem, ret_why);
}

/* They look at every object once: with many, the API need not wait for that. */
static void on_rest(struct loop_timer *t)
{
    struct server *s = container_of(t, struct server, rest);
    s->controllers = controllers_start(
        &(struct controllers_opts){.loop = s->loop,
                                   .cache = s->cache,
                                   .writer = s->writer,
                                   .ca_pem = gate_ca_pem(s->gate),
                                   .cluster_cidr = str_of(arg(s->args, "cluster-cidr")),
                                   .event_ttl_ms = cli_duration_s(arg(s->args, "event-ttl")) * 1000,
                                   .node_cidr_prefix = atoi(arg(s->args, "node-cidr-mask-size")),
                                   .csr = {.ctx = s->gate, .may_create = may_create_csr, .sign = sign_csr}});
    s->sched = sched_start(&(struct sched_opts){.loop = s->loop, .cache = s->cache, .writer = s->writer});
}

static void on_bootstrapped(void *ctx)
{
    struct server *s = ctx;
    if (s->stopping)
        return;
    loop_timer_start(&s->rest, 1);
    trim_start(&s->trim, s->loop, s->cache);
    api_set_ready(s->api, true);
    int fd = notify_fd(arg(s->args, "ready-fd"));
    if (fd >= 0) {
        (void)!write(fd, "READY=1\n", 8);
        close(fd);
    }
    log_info("server", "ready", "rev=%llu", (unsigned long long)cache_rev(s->cache));
}

static struct str host_of(struct str address)
{
    ptrdiff_t colon = str_rfind(address, ':');
    struct str host = colon < 0 ? address : str_head(address, (size_t)colon);
    if (host.len > 2 && host.ptr[0] == '[')
        host = str_mem(host.ptr + 1, host.len - 2);
    return host;
}

/* What clients are told to dial: --advertise, or the address we listen on; for a wildcard, this machine's. */
static struct str advertise(struct server *s)
{
    const char *given = arg(s->args, "advertise");
    struct str listen = str_of(given ? given : arg(s->args, "listen")), host = host_of(listen);
    ptrdiff_t colon = str_rfind(listen, ':');
    if (given || (!str_is(host, "0.0.0.0") && !str_is(host, "::")))
        return listen;
    return str_fmt(s->mem, "%s" STR_FMT, address_of_host(s->mem),
                   STR_ARG(str_from(listen, colon < 0 ? listen.len : (size_t)colon)));
}

/* The registry's paths lie beside the API's on the same port. */
static void on_request(void *ctx, struct exchange *x)
{
    struct server *s = ctx;
    if (registry_wants(x))
        registry_handle(s->registry, x);
    else
        api_handle(s->api, x);
}

static size_t body_max(void *ctx, const struct exchange *x)
{
    return api_body_max(((struct server *)ctx)->api, x);
}

static bool streams_body(void *ctx, const struct exchange *x)
{
    return registry_wants(x);
}

static struct str error_body(void *ctx, struct arena *mem, int status, const char *text, const char **ret_content_type)
{
    return api_error_body(((struct server *)ctx)->api, mem, status, text, ret_content_type);
}

static void on_gate(void *ctx, int error, struct str why)
{
    struct server *s = ctx;
    const char *listen = arg(s->args, "listen");
    if (error) {
        cli_fail("%.*s", (int)why.len, why.ptr);
        stop(s, 1);
        return;
    }
    s->api = api_new(&(struct api_opts){.loop = s->loop,
                                        .cache = s->cache,
                                        .store = s->store,
                                        .writer = s->writer,
                                        .gate = s->gate,
                                        .advertise = advertise(s)});
    s->registry = registry_new(&(struct registry_opts){.loop = s->loop,
                                                       .gate = s->gate,
                                                       .cache = s->cache,
                                                       .dir = str_fmtz(s->mem, "%s/registry", arg(s->args, "data-dir")),
                                                       .mirrors = arg(s->args, "registry-mirrors"),
                                                       .grace_s = atoi(arg(s->args, "registry-grace"))});
    s->http = http_server_new(&(struct http_server_opts){.loop = s->loop,
                                                         .tls = gate_server_tls(s->gate),
                                                         .handle = on_request,
                                                         .ctx = s,
                                                         .body_max = body_max,
                                                         .streams_body = streams_body,
                                                         .error_body = error_body});
    int r = http_server_listen(s->http, listen);
    if (r < 0) {
        cli_fail("can't listen on %s: %s", listen, strerror(-r));
        stop(s, 1);
        return;
    }
    log_info("server", "listening", "address=%s port=%d", listen, http_server_port(s->http));
    gate_bootstrap_start(s->gate, on_bootstrapped, s);
}

static int open_store(struct server *s, const char *dir)
{
    struct store_opts o = {.loop = s->loop, .dir = dir};
    struct str why = STR_NULL;
    s->cache = cache_new(&(struct cache_opts){.loop = s->loop});
    bool in_memory = !strcmp(arg(s->args, "store"), "memory");
    int r = in_memory ? store_open_memory(&o, cache_feed, s->cache, &s->store)
                      : store_open_sqlite(&o, s->mem, cache_feed, s->cache, &s->store, &why);
    if (r < 0)
        return cli_fail("can't open the store in %s: %s%s%.*s", dir, strerror(-r), why.len ? ": " : "", (int)why.len,
                        why.len ? why.ptr : "");
    cache_set_store(s->cache, s->store);
    return 0;
}

static int start(struct server *s)
{
    struct gate_opts g = {.loop = s->loop,
                          .cache = s->cache,
                          .store = s->store,
                          .data_dir = arg(s->args, "data-dir"),
                          .advertise = advertise(s)};
    struct str *names = arena_array(s->mem, struct str, 4);
    char hostname[256] = "";
    gethostname(hostname, sizeof(hostname) - 1);
    names[g.name_count++] = host_of(g.advertise);
    if (hostname[0])
        names[g.name_count++] = str_dup(s->mem, str_of(hostname));
    g.names = names;
    g.service_cidr = str_of(arg(s->args, "service-cidr"));
    g.service_ip = str_of(arg(s->args, "service-ip")), g.dns_ip = str_of(arg(s->args, "dns-ip"));
    g.node_name = str_of(arg(s->args, "node-name"));
    if (g.node_name.len) {
        const char *given = arg(s->args, "node-address");
        struct str *address = arena_new_of(s->mem, struct str);
        *address = str_of(given ? given : address_of_host(s->mem));
        g.node_addresses = address, g.node_address_count = 1;
    }
    s->writer = writer_new(
        &(struct writer_opts){.loop = s->loop, .cache = s->cache, .store = s->store, .service_cidr = g.service_cidr});
    g.writer = s->writer;
    s->gate = gate_new(&g, on_gate, s);
    return s->gate ? 0 : 1;
}

static void clean_up(struct server *s)
{
    http_server_free(s->http);
    registry_free(s->registry);
    api_free(s->api);
    gate_free(s->gate);
    writer_free(s->writer);
    store_close(s->store);
    cache_free(s->cache);
    loop_free(s->loop);
}

static int wrong_ranges(struct args *a)
{
    struct str pods = str_of(arg(a, "cluster-cidr"));
    uint32_t network;
    int prefix = 0;
    int64_t bits;
    if (pods.len && !ipv4_parse_cidr(pods, &network, &prefix))
        return cli_wrong(a, "cluster-cidr", "must be an IPv4 range, such as 10.244.0.0/16");
    if (!str_to_i64(str_of(arg(a, "node-cidr-mask-size")), &bits) || bits < 16 || bits > 30 || bits < prefix ||
        (pods.len && bits - prefix > 16))
        return cli_wrong(a, "node-cidr-mask-size", "must be 16 to 30, and up to 16 more than that of --cluster-cidr");
    return 0;
}

static int run(struct args *a)
{
    struct server s = {.args = a, .mem = a->mem};
    struct err err = ERR(a->mem);
    const char *dir = arg(a, "data-dir"), *store = arg(a, "store"), *gates = arg(a, "feature-gates");
    if (strcmp(store, "sqlite") != 0 && strcmp(store, "memory") != 0)
        return cli_wrong(a, "store", str_fmtz(a->mem, "\"%s\" is neither sqlite nor memory", store));
    if (gates && gates_set(str_of(gates), &err) < 0)
        return cli_wrong(a, "feature-gates", str_z(a->mem, err.message));
    if (set_log_level(a) || wrong_ranges(a))
        return EXIT_USAGE;
    if (cli_duration_s(arg(a, "event-ttl")) <= 0)
        return cli_wrong(a, "event-ttl", "must be a duration, such as 1h0m0s");
    int r = io_mkdir_p(dir, 0700);
    if (r < 0)
        return cli_fail("%s: %s", dir, strerror(-r));
    s.loop = loop_new_uv();
    loop_timer_init(s.loop, &s.rest, on_rest);
    for (int i = 0; i < 2; i++) {
        uv_signal_init(loop_uv_handle(s.loop), &s.signals[i]);
        s.signals[i].data = &s;
        uv_signal_start(&s.signals[i], on_signal, i ? SIGINT : SIGTERM);
    }
    if (open_store(&s, dir) || start(&s))
        return 1;
    process_metrics_start();
    loop_run(s.loop);
    clean_up(&s);
    return s.exit_code;
}

static const struct option_row options[] = {
    {"data-dir", "DIR", "state of the control plane", SAMPAN_DATA_DIR "/server"},
    {"listen", "ADDR:PORT", "where the API is served, over TLS", "0.0.0.0:6443"},
    {"advertise", "ADDR:PORT",
     "what clients and pods are told to dial; else where it listens, or this machine's address", NULL},
    {"store", "sqlite|memory", "where objects are kept; memory forgets at stop", "sqlite"},
    {"feature-gates", "A=true,B=false", "Kubernetes' feature gates", NULL},
    {"cluster-cidr", "CIDR", "addresses of all pods; \"\": nodes bring their own", "10.244.0.0/16"},
    {"node-cidr-mask-size", "BITS", "prefix of each node's part of them", "24"},
    {"service-cidr", "CIDR", "addresses of Services", "10.96.0.0/16"},
    {"service-ip", "IP", "address of default/kubernetes", "10.96.0.1"},
    {"dns-ip", "IP", "address of cluster DNS", "10.96.0.10"},
    {"node-name", "NAME", "write credentials for an agent of this name on this machine to DIR/agent", NULL},
    {"ready-fd", "FD", "a line is written here when the API is ready (for sampan up)", NULL},
    {"registry-mirrors", "HOST=URL,...", "registries whose images are copied when HOST/IMAGE is pulled", NULL},
    {"event-ttl", "DURATION", "how long Events are kept", "1h0m0s"},
    {"registry-grace", "SECONDS", "how long the image registry keeps what nothing refers to", "21600"},
    {"node-address", "IP", "address of that node; else this machine's", NULL},
    OPTION_LOG_LEVEL,
    {NULL, NULL, NULL, NULL},
};
const struct command command_server = {"server", NULL, "run the control plane", options, run, 0, 0};
