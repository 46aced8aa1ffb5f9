/* bench/http_bench.c - GET of 3.5 KB over TLS with 64 keep-alive connections, against a minimal epoll server without
 * TLS that sends the same bytes; and the memory of an idle watcher over TLS.
 *
 *   http_bench                      its own server
 *   http_bench --port P --path PATH [--cert FILE --key FILE] [--header LINE] [--name NAME]   one that runs elsewhere */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "http/server.h"
#include "http/testcert.h"
#include "http_load.h"

enum { BODY_BYTES = 3500, CONNECTIONS = 64, WATCHERS = 1000 };
static const double target_per_second = 36000, target_ratio = 0.4;
static char body[BODY_BYTES];

/* ---- the server under test */
struct bench_server {
    struct exchange *watches[WATCHERS];
    int count;
};

static void handle(void *ctx, struct exchange *x)
{
    struct bench_server *b = ctx;
    if (str_is(x->path, "/watch")) {
        exchange_begin(x, 200, "application/json");
        b->watches[b->count++ % WATCHERS] = x;
        return;
    }
    if (str_is(x->path, "/event")) {
        for (int i = 0; i < b->count; i++)
            exchange_write(b->watches[i], (struct stream_buf){str_mem(body, BODY_BYTES), NULL, NULL});
    }
    exchange_set_header(x, "Cache-Control", STR("no-cache, private"));
    exchange_reply(x, 200, "application/json", str_mem(body, BODY_BYTES));
}

static void serve(int ready_fd)
{
    struct arena *mem = arena_new();
    const char *why = "";
    struct loop *loop = loop_new_uv();
    struct testcert ca = testcert_make(mem, NULL, "ca", NULL), cert = testcert_make(mem, &ca, "localhost", NULL);
    struct tls_context *tls = tls_server_new(cert.cert_pem, cert.key_pem, STR_NULL, &why);
    static struct bench_server b;
    struct http_server *s =
        http_server_new(&(struct http_server_opts){.loop = loop, .tls = tls, .handle = handle, .ctx = &b});
    bench_pin(0);
    int port = http_server_listen(s, "127.0.0.1:0") < 0 ? 0 : http_server_port(s);
    if (write(ready_fd, &port, sizeof port) == sizeof port)
        loop_run(loop);
    _exit(0);
}

/* ---- the probe: what the machine can do with the least of servers */
static void probe_answer(int fd, const char *answer, size_t len)
{
    char buf[4096];
    ssize_t n = read(fd, buf, sizeof buf);
    if (n <= 0)
        close(fd);
    else if (write(fd, answer, len) < 0)
        close(fd);
}

static void probe(int ready_fd)
{
    static char answer[BODY_BYTES + 256];
    int head = snprintf(answer, 256, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
                        BODY_BYTES);
    memcpy(answer + head, body, BODY_BYTES);
    int ep = epoll_create1(0), one = 1;
    int l = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    bind(l, (struct sockaddr *)&at, sizeof at);
    listen(l, 1024);
    getsockname(l, (struct sockaddr *)&at, &len);
    epoll_ctl(ep, EPOLL_CTL_ADD, l, &(struct epoll_event){.events = EPOLLIN, .data.fd = l});
    bench_pin(0);
    int port = ntohs(at.sin_port);
    if (write(ready_fd, &port, sizeof port) != sizeof port)
        _exit(1);
    for (;;) {
        struct epoll_event events[256];
        int n = epoll_wait(ep, events, 256, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd != l) {
                probe_answer(events[i].data.fd, answer, (size_t)head + BODY_BYTES);
                continue;
            }
            int fd = accept(l, NULL, NULL);
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            epoll_ctl(ep, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN, .data.fd = fd});
        }
    }
}

static pid_t start(void (*run)(int ready_fd), int *ret_port)
{
    int fds[2];
    if (pipe(fds) < 0)
        exit(1);
    pid_t pid = fork();
    if (pid == 0)
        run(fds[1]);
    if (read(fds[0], ret_port, sizeof *ret_port) != sizeof *ret_port)
        exit(1);
    close(fds[0]);
    close(fds[1]);
    return pid;
}

static void stop(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void print(const char *name, double value, const char *unit, double target, const char *peer, double peer_value,
                  bool met)
{
    printf("{\"group\":\"cluster\",\"name\":\"%s\",\"value\":%.1f,\"unit\":\"%s\",\"target\":%.1f,\"peer\":\"%s\","
           "\"peer_value\":%.1f,"
           "\"ratio\":%.3f,\"met\":%s}\n",
           name, value, unit, target, peer, peer_value, peer_value > 0 ? value / peer_value : 0,
           met ? "true" : "false");
    fflush(stdout);
}

static double probe_rate(double seconds)
{
    int port;
    pid_t pid = start(probe, &port);
    struct http_load load = {
        .host = "127.0.0.1", .path = "/", .port = port, .connections = CONNECTIONS, .seconds = seconds, .cpu = 1};
    struct http_load_result r = {0};
    http_load_run(&load, &r);
    stop(pid);
    return r.per_second;
}

/* ---- idle watchers: resident memory each, and one event to all of them */
static long rss_kb(pid_t pid)
{
    char path[64], line[256];
    long kb = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "VmRSS:", 6) == 0)
            kb = atol(line + 6);
    if (f)
        fclose(f);
    return kb;
}

static SSL *tls_connect(SSL_CTX *ctx, int port, const char *path)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char request[256], answer[4096];
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* else the request waits 40 ms for an ACK */
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
        exit(1);
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fd);
    if (SSL_connect(ssl) != 1)
        exit(1);
    SSL_write(ssl, request, snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path));
    if (strcmp(path, "/event") != 0)
        SSL_read(ssl, answer, sizeof answer);
    return ssl;
}

static void watchers(void)
{
    int port;
    pid_t pid = start(serve, &port);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    static SSL *all[WATCHERS];
    bench_pin(1);
    for (int i = 0; i < 10; i++) /* warm */
        SSL_free(tls_connect(ctx, port, "/"));
    long before = rss_kb(pid);
    for (int i = 0; i < WATCHERS; i++) {
        all[i] = tls_connect(ctx, port, "/watch");
        fcntl(SSL_get_fd(all[i]), F_SETFL, O_NONBLOCK);
    }
    usleep(200000);
    double each = (double)(rss_kb(pid) - before) / WATCHERS;
    print("http_watcher_tls_memory", each, "KB", 25, "", 0, each <= 25);
    double best = 1e9;
    for (int round = 0; round < 5; round++) {
        SSL *trigger = tls_connect(ctx, port, "/event");
        uint64_t begin = uv_hrtime(); /* the request has just been sent */
        char buf[8192];
        for (int i = 0; i < WATCHERS; i++) /* until it lies at the last, not yet decrypted */
            while (recv(SSL_get_fd(all[i]), buf, sizeof buf, MSG_PEEK | MSG_DONTWAIT) < BODY_BYTES)
                ;
        double ms = (double)(uv_hrtime() - begin) / 1e6;
        best = ms < best ? ms : best;
        for (int i = 0; i < WATCHERS; i++)
            while (SSL_read(all[i], buf, sizeof buf) > 0)
                ;
        SSL_free(trigger);
    }
    print("http_event_to_1000_watchers", best, "ms", 15, "", 0, best <= 15);
    stop(pid);
}

static const char *option(int argc, char **argv, const char *name)
{
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return argv[i + 1];
    return NULL;
}

int main(int argc, char **argv)
{
    const char *port = option(argc, argv, "--port"), *path = option(argc, argv, "--path"),
               *name = option(argc, argv, "--name");
    const char *seconds = option(argc, argv, "--seconds"), *line = option(argc, argv, "--header");
    char header[4096] = "";
    int own_port = 0;
    memset(body, 'x', sizeof body);
    signal(SIGPIPE, SIG_IGN);
    if (line)
        snprintf(header, sizeof header, "%s\r\n", line);
    pid_t pid = port ? 0 : start(serve, &own_port);
    struct http_load load = {.host = "127.0.0.1",
                             .path = path ? path : "/",
                             .header = header,
                             .port = port ? atoi(port) : own_port,
                             .connections = CONNECTIONS,
                             .tls = true,
                             .cert_file = option(argc, argv, "--cert"),
                             .key_file = option(argc, argv, "--key"),
                             .seconds = seconds ? atof(seconds) : 3,
                             .cpu = 1};
    struct http_load_result r = {0};
    double peer = probe_rate(load.seconds);
    int failed = http_load_run(&load, &r);
    if (pid)
        stop(pid);
    bool met = !failed && r.failures == 0 && r.per_second >= target_per_second && r.per_second >= target_ratio * peer;
    print(name ? name : "http_get_tls", r.per_second, "req/s", target_per_second, "plain epoll probe", peer, met);
    fprintf(stderr, "requests %ld failures %ld p50 %.0f us p99 %.0f us\n", r.requests, r.failures, r.p50_us, r.p99_us);
    if (!port)
        watchers();
    return failed ? 1 : 0;
}
