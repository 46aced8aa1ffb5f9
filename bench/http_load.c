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

/* Returns true when the answer is complete. */
static bool take(struct conn *c, const char *p, long n)
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
    return c->left <= 0;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

struct run {
    const struct http_load *load;
    struct conn *conns;
    char request[16384];
    int request_len, open;
    uint32_t *samples;
    long count;
    struct http_load_result *ret;
};

/* False: this connection has nothing more to ask. */
static bool ask(struct run *r, struct conn *c)
{
    if (r->load->make)
        r->request_len = r->load->make(r->load->ctx, (int)(c - r->conns), r->request, sizeof r->request);
    if (r->request_len)
        conn_send(c, r->request, r->request_len);
    return r->request_len > 0;
}

static void judge(struct run *r, const struct conn *c)
{
    if (strncmp(c->head + 9, "409", 3) == 0) {
        r->ret->conflicts++;
    } else if (c->head[9] != '2') {
        if (!r->ret->failures++)
            snprintf(r->ret->first_failure, sizeof r->ret->first_failure, "%.500s", c->head);
    }
}

/* False: the connection is of no more use. */
static bool readable(struct run *r, struct conn *c)
{
    static char buf[LOAD_READ_BYTES];
    for (;;) {
        long n = c->ssl ? SSL_read(c->ssl, buf, sizeof buf) : read(c->fd, buf, sizeof buf);
        if (n <= 0)
            return c->ssl ? SSL_get_error(c->ssl, (int)n) == SSL_ERROR_WANT_READ : n < 0 && errno == EAGAIN;
        if (take(c, buf, n)) {
            if (r->count < LOAD_SAMPLES_MAX)
                r->samples[r->count] = (uint32_t)((now_ns() - c->sent_ns) / 1000);
            r->count++;
            judge(r, c);
            if (!ask(r, c))
                r->open--;
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

static void open_all(struct run *r, int ep)
{
    const struct http_load *load = r->load;
    SSL_CTX *ctx = load->tls ? tls(load) : NULL;
    for (int i = 0; i < load->connections; i++) {
        struct conn *c = &r->conns[i];
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        if (!conn_open(c, load, ctx)) {
            r->ret->failures++;
            close(c->fd);
            c->fd = -1;
            continue;
        }
        epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
        r->open++;
    }
    SSL_CTX_free(ctx);
}

static int64_t run(struct run *r, int ep)
{
    int64_t begin = now_ns(), end = begin + (int64_t)(r->load->seconds * 1e9), now = begin;
    long max = r->load->requests_max;
    for (int i = 0; i < r->load->connections; i++)
        if (r->conns[i].fd >= 0 && !ask(r, &r->conns[i]))
            r->open--;
    while (r->open > 0 && now < end && (!max || r->count < max)) {
        struct epoll_event events[256];
        int n = epoll_wait(ep, events, 256, 1000);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (readable(r, c))
                continue;
            epoll_ctl(ep, EPOLL_CTL_DEL, c->fd, NULL);
            r->ret->failures++;
            r->open--;
        }
        now = now_ns();
    }
    return now - begin;
}

int http_load_run(const struct http_load *load, struct http_load_result *ret)
{
    struct run r = {.load = load, .samples = malloc(LOAD_SAMPLES_MAX * sizeof(uint32_t)), .ret = ret};
    int ep = epoll_create1(EPOLL_CLOEXEC);
    *ret = (struct http_load_result){0};
    r.conns = calloc((size_t)load->connections, sizeof *r.conns);
    bench_pin(load->cpu);
    r.request_len =
        snprintf(r.request, sizeof r.request, "GET %s HTTP/1.1\r\nHost: %s:%d\r\nAccept: application/json\r\n%s\r\n",
                 load->path ? load->path : "/", load->host, load->port, load->header ? load->header : "");
    open_all(&r, ep);
    int64_t took = run(&r, ep);
    long kept = r.count < LOAD_SAMPLES_MAX ? r.count : LOAD_SAMPLES_MAX;
    qsort(r.samples, (size_t)kept, sizeof *r.samples, by_value);
    ret->per_second = (double)r.count * 1e9 / (double)took;
    ret->p50_us = kept ? r.samples[kept / 2] : 0;
    ret->p99_us = kept ? r.samples[kept * 99 / 100] : 0;
    ret->requests = r.count;
    for (int i = 0; i < load->connections; i++) {
        SSL_free(r.conns[i].ssl);
        close(r.conns[i].fd);
    }
    close(ep);
    free(r.conns);
    free(r.samples);
    return r.count ? 0 : -1;
}
