/* http/address.c - "127.0.0.1:6443", "[::1]:0" and "unix:/path" as sockaddrs, and connecting to them. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include "http/socket.h"

static int unix_address(const char *path, struct sockaddr_storage *ret, unsigned *ret_len)
{
    struct sockaddr_un *un = (struct sockaddr_un *)ret;
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof un->sun_path)
        return -EINVAL;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, len + 1);
    *ret_len = (unsigned)(offsetof(struct sockaddr_un, sun_path) + len + 1);
    return 0;
}

int socket_address(const char *address, struct sockaddr_storage *ret, unsigned *ret_len)
{
    memset(ret, 0, sizeof *ret);
    if (strncmp(address, "unix:", 5) == 0)
        return unix_address(address + 5, ret, ret_len);
    struct str all = str_of(address);
    ptrdiff_t colon = str_rfind(all, ':');
    int64_t port = 0;
    char host[INET6_ADDRSTRLEN + 1];
    if (colon < 0 || !str_to_i64(str_from(all, (size_t)colon + 1), &port) || port < 0 || port > 65535)
        return -EINVAL;
    struct str h = str_head(all, (size_t)colon);
    bool is_v6 = h.len > 2 && h.ptr[0] == '[' && h.ptr[h.len - 1] == ']';
    if (is_v6)
        h = str_mem(h.ptr + 1, h.len - 2);
    if (h.len >= sizeof host)
        return -EAFNOSUPPORT;
    memcpy(host, h.ptr, h.len);
    host[h.len] = 0;
    if (is_v6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;
        *in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
        *ret_len = sizeof *in6;
        return inet_pton(AF_INET6, host, &in6->sin6_addr) == 1 ? 0 : -EINVAL;
    }
    struct sockaddr_in *in = (struct sockaddr_in *)ret;
    *in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    *ret_len = sizeof *in;
    if (h.len == 0) /* ":80" */
        return 0;
    return inet_pton(AF_INET, host, &in->sin_addr) == 1 ? 0 : -EAFNOSUPPORT;
}

/* A peer that is gone is noticed within half a minute by the kernel, without waking us; one that was never there within
 * seven seconds (1, 2 and 4 of them), since there may be another address to try. */
static void tune(int fd)
{
    int one = 1, idle_s = 15, every_s = 5, times = 3, user_ms = 30000, syns = 2;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every_s, sizeof every_s);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &times, sizeof times);
    setsockopt(fd, IPPROTO_TCP, TCP_SYNCNT, &syns, sizeof syns);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_ms, sizeof user_ms);
}

struct stream *socket_connect(const struct socket_opts *opts, const char *address, int *ret_error)
{
    struct sockaddr_storage to;
    unsigned len = 0;
    int error = socket_address(address, &to, &len), fd = -1;
    if (!error) {
        fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        error = fd < 0 ? -errno : 0;
    }
    if (!error && to.ss_family != AF_UNIX)
        tune(fd);
    if (!error && connect(fd, (struct sockaddr *)&to, len) < 0 && errno != EINPROGRESS)
        error = -errno;
    if (error) {
        if (fd >= 0)
            close(fd);
        if (ret_error)
            *ret_error = error;
        return NULL;
    }
    struct socket_opts client = *opts;
    client.is_client = true;
    return socket_new(&client, fd, ret_error);
}

struct stream *stream_connect(struct loop *l, const char *address, void (*opened)(void *ctx), void *opened_ctx,
                              int *ret_error)
{
    return socket_connect(&(struct socket_opts){.loop = l, .ready = opened, .ctx = opened_ctx}, address, ret_error);
}

/* ---- with a look-up */
struct socket_dial {
    struct socket_opts opts;
    uv_getaddrinfo_t req;
    struct loop_task task;
    char *address;
    void (*done)(void *ctx, struct stream *s, int error);
    void *ctx;
    bool cancelled, looking_up;
};

static void dial_free(struct socket_dial *d)
{
    free(d->address);
    free(d);
}

static void dial_finish(struct socket_dial *d, const char *address, int error)
{
    if (!d->cancelled) {
        struct stream *s = error ? NULL : socket_connect(&d->opts, address, &error);
        d->done(d->ctx, s, error);
    }
    dial_free(d);
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
    struct socket_dial *d = container_of(req, struct socket_dial, req);
    char host[INET6_ADDRSTRLEN] = "", address[INET6_ADDRSTRLEN + 16];
    const char *port = strrchr(d->address, ':');
    bool is_v6 = list && list->ai_family == AF_INET6;
    if (is_v6)
        inet_ntop(AF_INET6, &((struct sockaddr_in6 *)list->ai_addr)->sin6_addr, host, sizeof host);
    else if (list)
        inet_ntop(AF_INET, &((struct sockaddr_in *)list->ai_addr)->sin_addr, host, sizeof host);
    snprintf(address, sizeof address, is_v6 ? "[%s]%s" : "%s%s", host, port);
    uv_freeaddrinfo(list);
    dial_finish(d, address, status < 0 || !host[0] ? -EHOSTUNREACH : 0);
}

static void on_dial_task(struct loop_task *t)
{
    struct socket_dial *d = container_of(t, struct socket_dial, task);
    dial_finish(d, d->address, 0);
}

struct socket_dial *socket_dial(const struct socket_opts *opts, const char *address,
                                void (*done)(void *ctx, struct stream *s, int error), void *ctx)
{
    struct socket_dial *d = calloc(1, sizeof *d);
    if (!d || !(d->address = strdup(address)))
        abort();
    d->opts = *opts;
    d->done = done;
    d->ctx = ctx;
    loop_task_init(&d->task, on_dial_task);
    struct sockaddr_storage to;
    unsigned len;
    if (socket_address(address, &to, &len) == -EAFNOSUPPORT) {
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
        char *host = strndup(address, (size_t)(strrchr(address, ':') - address));
        d->looking_up =
            host && uv_getaddrinfo(loop_uv_handle(opts->loop), &d->req, on_resolved, host, NULL, &hints) == 0;
        free(host);
    }
    if (!d->looking_up)
        loop_post(opts->loop, &d->task);
    return d;
}

void socket_dial_cancel(struct socket_dial *d)
{
    d->cancelled = true;
    if (d->looking_up)
        return; /* on_resolved frees it */
    loop_task_cancel(&d->task);
    dial_free(d);
}
