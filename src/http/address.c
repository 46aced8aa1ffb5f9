/* http/address.c - "127.0.0.1:6443", "[::1]:0" and "unix:/path" as sockaddrs, and connecting to them. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

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

struct stream *socket_connect(const struct socket_opts *opts, const char *address, int *ret_error)
{
    struct sockaddr_storage to;
    unsigned len = 0;
    int error = socket_address(address, &to, &len), fd = -1, one = 1;
    if (!error) {
        fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        error = fd < 0 ? -errno : 0;
    }
    if (!error && connect(fd, (struct sockaddr *)&to, len) < 0 && errno != EINPROGRESS)
        error = -errno;
    if (error) {
        if (fd >= 0)
            close(fd);
        if (ret_error)
            *ret_error = error;
        return NULL;
    }
    if (to.ss_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct socket_opts client = *opts;
    client.is_client = true;
    return socket_new(&client, fd, ret_error);
}

struct stream *stream_connect(struct loop *l, const char *address, void (*opened)(void *ctx), void *opened_ctx,
                              int *ret_error)
{
    return socket_connect(&(struct socket_opts){.loop = l, .ready = opened, .ctx = opened_ctx}, address, ret_error);
}
