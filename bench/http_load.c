/* bench/http_load.c - see its header. */
#include "http_load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { LOAD_SAMPLES_MAX = 1 << 22, LOAD_READ_BYTES = 65536 };

struct conn {
    int fd;
    SSL *ssl;
    long left; /* bytes of the answer still to come; -1: its header is not complete */
    char head[4096];
    int head_len;
    int64_t sent_ns;
};

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void bench_pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (cpu >= 0)
        sched_setaffinity(0, sizeof set, &set);
}

static bool conn_open(struct conn *c, const struct http_load *l, SSL_CTX *ctx)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)l->port)};
    int one = 1;
    inet_pton(AF_INET, l->host, &to.sin_addr);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0)
        return false;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (ctx) {
        c->ssl = SSL_new(ctx);
        SSL_set_fd(c->ssl, c->fd);
        if (SSL_connect(c->ssl) != 1)
            return false;
    }
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    return true;
}

static void conn_send(struct conn *c, const char *request, int len)
{
    c->left = -1;
    c->head_len = 0;
    c->sent_ns = now_ns();
    if (c->ssl)
        SSL_write(c->ssl, request, len);
    else if (write(c->fd, request, (size_t)len) < 0)
        c->left = -2;
}

/* Returns true when the answer is complete; *ret_ok: 2xx. */
static bool take(struct conn *c, const char *p, long n, bool *ret_ok)
{
    if (c->left < 0) {
        long room = (long)sizeof c->head - 1 - c->head_len, part = n < room ? n : room;
        memcpy(c->head + c->head_len, p, (size_t)part);
        c->head_len += (int)part;
        c->head[c->head_len] = 0;
        char *end = strstr(c->head, "\r\n\r\n"), *length = strcasestr(c->head, "\r\ncontent-length:");
        if (!end)
            return false;
        long header = end + 4 - c->head, before = c->head_len - part;
        c->left = (length ? atol(length + 17) : 0) - (n - (header - before));
    } else {
        c->left -= n;
    }
    *ret_ok = c->head[9] == '2';
    return c->left <= 0;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

struct run {
    const struct http_load *load;
    char request[8192];
    int request_len;
    uint32_t *samples;
    long count, failures;
    bool stop;
};

static bool readable(struct run *r, struct conn *c)
{
    static char buf[LOAD_READ_BYTES];
    for (;;) {
        long n = c->ssl ? SSL_read(c->ssl, buf, sizeof buf) : read(c->fd, buf, sizeof buf);
        if (n <= 0)
            return c->ssl ? SSL_get_error(c->ssl, (int)n) == SSL_ERROR_WANT_READ : n < 0 && errno == EAGAIN;
        bool ok = false;
        if (take(c, buf, n, &ok)) {
            if (r->count < LOAD_SAMPLES_MAX)
                r->samples[r->count] = (uint32_t)((now_ns() - c->sent_ns) / 1000);
            r->count++;
            r->failures += !ok;
            conn_send(c, r->request, r->request_len);
            return true;
        }
        if (!c->ssl || !SSL_has_pending(c->ssl))
            return true;
    }
}

static SSL_CTX *tls(const struct http_load *l)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_read_ahead(ctx, 1);
    if (l->cert_file && (SSL_CTX_use_certificate_chain_file(ctx, l->cert_file) != 1 ||
                         SSL_CTX_use_PrivateKey_file(ctx, l->key_file, SSL_FILETYPE_PEM) != 1))
        fprintf(stderr, "cannot use %s with %s\n", l->cert_file, l->key_file);
    return ctx;
}

int http_load_run(const struct http_load *load, struct http_load_result *ret)
{
    struct run r = {.load = load, .samples = malloc(LOAD_SAMPLES_MAX * sizeof(uint32_t))};
    struct conn *conns = calloc((size_t)load->connections, sizeof *conns);
    SSL_CTX *ctx = load->tls ? tls(load) : NULL;
    int ep = epoll_create1(EPOLL_CLOEXEC);
    bench_pin(load->cpu);
    r.request_len =
        snprintf(r.request, sizeof r.request, "GET %s HTTP/1.1\r\nHost: %s:%d\r\nAccept: application/json\r\n%s\r\n",
                 load->path, load->host, load->port, load->header ? load->header : "");
    int open = 0;
    for (int i = 0; i < load->connections; i++) {
        if (!conn_open(&conns[i], load, ctx))
            continue;
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = &conns[i]};
        epoll_ctl(ep, EPOLL_CTL_ADD, conns[i].fd, &e);
        open++;
        conn_send(&conns[i], r.request, r.request_len);
    }
    int64_t begin = now_ns(), end = begin + (int64_t)(load->seconds * 1e9), now = begin;
    while (open && now < end) {
        struct epoll_event events[256];
        int n = epoll_wait(ep, events, 256, 1000);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (readable(&r, c))
                continue;
            epoll_ctl(ep, EPOLL_CTL_DEL, c->fd, NULL);
            r.failures++;
            open--;
        }
        now = now_ns();
    }
    long kept = r.count < LOAD_SAMPLES_MAX ? r.count : LOAD_SAMPLES_MAX;
    qsort(r.samples, (size_t)kept, sizeof *r.samples, by_value);
    *ret = (struct http_load_result){.per_second = (double)r.count * 1e9 / (double)(now - begin),
                                     .p50_us = kept ? r.samples[kept / 2] : 0,
                                     .p99_us = kept ? r.samples[kept * 99 / 100] : 0,
                                     .requests = r.count,
                                     .failures = r.failures};
    for (int i = 0; i < load->connections; i++) {
        SSL_free(conns[i].ssl);
        close(conns[i].fd);
    }
    SSL_CTX_free(ctx);
    close(ep);
    free(conns);
    free(r.samples);
    return r.count ? 0 : -1;
}
