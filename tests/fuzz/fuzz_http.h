/* tests/fuzz/fuzz_http.h - bytes fed to a stream in pieces, the loop run until it is quiet. */
#ifndef SAMPAN_TESTS_FUZZ_FUZZ_HTTP_H
#define SAMPAN_TESTS_FUZZ_FUZZ_HTTP_H

#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "http/server.h"

struct fuzz_peer {
    int fd; /* our end, blocking */
    struct stream *s;
};

static inline struct fuzz_peer fuzz_pair(struct loop *l)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) < 0)
        __builtin_trap();
    return (struct fuzz_peer){fds[0], stream_open_fd(l, fds[1])};
}

static inline void fuzz_turn(struct loop *l)
{
    for (int i = 0; i < 4; i++)
        uv_run(loop_uv_handle(l), UV_RUN_NOWAIT);
}

/* The first byte says how large the pieces are. */
static inline void fuzz_feed(struct loop *l, struct fuzz_peer *p, const uint8_t *data, size_t size)
{
    static char sink[65536];
    size_t piece = size && data[0] & 1 ? 1 + data[0] / 2u : size;
    for (size_t at = 1; at < size; at += piece) {
        size_t n = size - at < piece ? size - at : piece;
        if (write(p->fd, data + at, n) < 0)
            break;
        fuzz_turn(l);
        while (read(p->fd, sink, sizeof sink) > 0)
            ;
    }
    close(p->fd);
    fuzz_turn(l);
}

static inline void fuzz_handle(void *ctx, struct exchange *x)
{
    if (str_has(x->path, STR("stream"))) {
        exchange_begin(x, 200, "text/plain");
        exchange_write(x, (struct stream_buf){STR("chunk"), NULL, NULL});
        exchange_end(x);
    } else {
        exchange_set_header(x, "X-Query", x->query);
        exchange_reply(x, 200, "text/plain", x->body);
    }
}

static inline void fuzz_server(const uint8_t *data, size_t size, struct str preface)
{
    struct loop *l = loop_new_uv();
    struct http_server *s = http_server_new(&(struct http_server_opts){.loop = l, .handle = fuzz_handle});
    struct fuzz_peer p = fuzz_pair(l);
    http_server_adopt(s, p.s, STR("fuzz"), NULL);
    if (preface.len && write(p.fd, preface.ptr, preface.len) != (ssize_t)preface.len)
        __builtin_trap();
    fuzz_feed(l, &p, data, size);
    http_server_free(s);
    fuzz_turn(l);
    loop_free(l);
}
#endif
