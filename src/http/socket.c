/* http/socket.c - a stream over a descriptor, plain or TLS.
 *
 * CONNECTING -> HANDSHAKE -> OPEN -> CLOSED; plain ones skip the handshake, accepted ones the connecting. Everything
 * happens in the poll's callback or in the flush task; close is reported from libuv's closing phase. */
#include "http/socket.h"

#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "http/sendq.h"
#include "http/tls_priv.h"

enum {
    SOCKET_PIECE_BYTES = 16384 /* a TLS record */,
    SOCKET_READS_MAX = 8,
    SOCKET_WRITES_MAX = 64,
    SOCKET_IOV_MAX = 64
};
enum sock_state { SOCK_CONNECTING, SOCK_HANDSHAKE, SOCK_OPEN, SOCK_CLOSED };

struct sock {
    struct stream base;
    struct loop *loop;
    uv_poll_t poll;
    struct loop_task flush;
    struct sendq q;
    SSL *ssl; /* NULL: plain */
    void (*ready)(void *ctx);
    void *ready_ctx;
    int fd, error, mask;
    enum sock_state state;
    bool busy;    /* in the poll's callback: writes are flushed at its end */
    bool paused;  /* by the owner */
    bool blocked; /* the last write would have blocked */
    bool high;    /* a write returned false; drain is owed */
    bool eof;     /* read to the end */
    bool shut;    /* shutdown was asked for */
    bool shut_done;
    bool reread; /* TLS may hold bytes that no poll will announce */
};

static const struct stream_ops sock_ops;

static struct sock *sock_of(struct stream *s)
{
    assert(s->ops == &sock_ops);
    return (struct sock *)s;
}

static void on_closed(uv_handle_t *h)
{
    struct sock *k = h->data;
    SSL_free(k->ssl);
    close(k->fd);
    k->ssl = NULL;
    if (k->base.events)
        k->base.events->close(k->base.ctx, k->error);
    free(k);
}

static void sock_end(struct sock *k, int error)
{
    if (k->state == SOCK_CLOSED)
        return;
    k->state = SOCK_CLOSED;
    k->error = error;
    loop_task_cancel(&k->flush);
    sendq_drop(&k->q, NULL);
    uv_close((uv_handle_t *)&k->poll, on_closed);
}

static void on_poll(uv_poll_t *p, int status, int events);

static void update_mask(struct sock *k)
{
    int mask = 0;
    if (k->state == SOCK_CONNECTING)
        mask = UV_WRITABLE;
    else if (k->state == SOCK_HANDSHAKE)
        mask = UV_READABLE | (k->blocked ? UV_WRITABLE : 0);
    else if (k->state == SOCK_OPEN)
        mask = (k->paused || k->eof ? 0 : UV_READABLE) | (k->blocked ? UV_WRITABLE : 0);
    if (k->state == SOCK_CLOSED || mask == k->mask)
        return;
    k->mask = mask;
    if (mask)
        uv_poll_start(&k->poll, mask, on_poll);
    else
        uv_poll_stop(&k->poll);
}

/* ---- TLS results as errno */
static int tls_errno(struct sock *k, int r)
{
    int saved = errno;
    switch (SSL_get_error(k->ssl, r)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        return saved ? -saved : -ECONNRESET;
    default:
        return SSL_get_verify_result(k->ssl) == X509_V_OK ? -EPROTO : -EKEYREJECTED;
    }
}

static ssize_t sock_read(struct sock *k, char *buf, size_t cap)
{
    if (k->ssl) {
        ERR_clear_error();
        errno = 0;
        int r = SSL_read(k->ssl, buf, (int)cap);
        return r > 0 ? r : tls_errno(k, r);
    }
    ssize_t n;
    do
        n = read(k->fd, buf, cap);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* One attempt at what is first in the queue; more than one record in a row is the caller's loop. */
static ssize_t sock_write(struct sock *k)
{
    if (k->ssl) {
        char piece[SOCKET_PIECE_BYTES];
        struct str s = sendq_gather(&k->q, piece, sizeof piece);
        ERR_clear_error();
        errno = 0;
        int r = SSL_write(k->ssl, s.ptr, s.len > (1 << 20) ? 1 << 20 : (int)s.len);
        if (r > 0)
            return r;
        int e = tls_errno(k, r);
        return e ? e : -EPIPE;
    }
    struct iovec iov[SOCKET_IOV_MAX];
    int count = sendq_iov(&k->q, iov, SOCKET_IOV_MAX);
    ssize_t n;
    do
        n = count == 1 ? write(k->fd, iov[0].iov_base, iov[0].iov_len) : writev(k->fd, iov, count);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static void shut_now(struct sock *k)
{
    k->shut_done = true;
    if (k->ssl) {
        ERR_clear_error();
        SSL_shutdown(k->ssl);
    }
    if (shutdown(k->fd, SHUT_WR) < 0 && errno == ENOTSOCK)
        k->eof = true; /* a pipe or terminal has one direction's end only: closing it */
}

static void flush(struct sock *k)
{
    if (k->state != SOCK_OPEN)
        return;
    k->blocked = false;
    for (int i = 0; k->q.bytes; i++) {
        ssize_t n = i < SOCKET_WRITES_MAX ? sock_write(k) : -EAGAIN; /* take turns */
        if (n == -EAGAIN) {
            k->blocked = true;
            break;
        }
        if (n < 0) {
            sock_end(k, (int)n);
            return;
        }
        sendq_consume(&k->q, (size_t)n);
    }
    if (k->shut && !k->shut_done && k->q.bytes == 0)
        shut_now(k);
    if (k->shut_done && k->eof) {
        sock_end(k, 0);
        return;
    }
    if (k->high && k->q.bytes < STREAM_LOW_BYTES) {
        k->high = false;
        if (k->base.events && k->base.events->drain)
            k->base.events->drain(k->base.ctx);
    }
}

/* After whatever may have queued writes or changed what we wait for. */
static void settle(struct sock *k)
{
    if (k->state == SOCK_OPEN && !k->blocked && (k->q.bytes || (k->shut && !k->shut_done) || (k->shut_done && k->eof)))
        flush(k);
    update_mask(k);
    bool wrote_more = !k->blocked && k->q.bytes; /* in drain */
    if (k->state == SOCK_OPEN && (wrote_more || (k->reread && !k->paused && !k->eof)))
        loop_post(k->loop, &k->flush);
}

static void touch(struct sock *k)
{
    if (k->state == SOCK_OPEN && !k->busy && !k->blocked)
        loop_post(k->loop, &k->flush);
}

static void on_eof(struct sock *k)
{
    k->eof = true;
    if (k->base.events->eof)
        k->base.events->eof(k->base.ctx);
    else
        sock_end(k, 0);
}

static void readable(struct sock *k)
{
    char buf[SOCKET_PIECE_BYTES];
    k->reread = false;
    for (int i = 0; i < SOCKET_READS_MAX && k->state == SOCK_OPEN && !k->paused && !k->eof; i++) {
        ssize_t n = sock_read(k, buf, sizeof buf);
        if (n == -EAGAIN)
            return;
        if (n == 0 || (n == -EIO && !k->ssl)) { /* EIO: a terminal whose other side is gone */
            on_eof(k);
            return;
        }
        if (n < 0) {
            sock_end(k, (int)n);
            return;
        }
        k->base.events->data(k->base.ctx, str_mem(buf, (size_t)n));
        if (k->state == SOCK_OPEN && (k->ssl ? !SSL_has_pending(k->ssl) : (size_t)n < sizeof buf))
            return;
    }
    k->reread = k->ssl && k->state == SOCK_OPEN;
}

static void on_flush(struct loop_task *t)
{
    struct sock *k = container_of(t, struct sock, flush);
    k->busy = true;
    if (k->reread && k->state == SOCK_OPEN && !k->paused && !k->eof)
        readable(k);
    k->busy = false;
    settle(k);
}

static void opened(struct sock *k)
{
    k->state = SOCK_OPEN;
    if (k->ready)
        k->ready(k->ready_ctx);
}

static void handshake(struct sock *k)
{
    ERR_clear_error();
    errno = 0;
    int r = SSL_do_handshake(k->ssl);
    k->blocked = false;
    if (r == 1) {
        opened(k);
        return;
    }
    int want = SSL_get_error(k->ssl, r);
    k->blocked = want == SSL_ERROR_WANT_WRITE;
    if (want != SSL_ERROR_WANT_READ && want != SSL_ERROR_WANT_WRITE) {
        int e = tls_errno(k, r);
        sock_end(k, e ? e : -ECONNRESET);
    }
}

static int pending_error(struct sock *k)
{
    int e = 0;
    socklen_t len = sizeof e;
    return getsockopt(k->fd, SOL_SOCKET, SO_ERROR, &e, &len) == 0 ? -e : 0;
}

static void connected(struct sock *k)
{
    int e = pending_error(k);
    if (e) {
        sock_end(k, e);
        return;
    }
    k->state = k->ssl ? SOCK_HANDSHAKE : SOCK_OPEN;
    if (!k->ssl)
        opened(k);
}

/* EPOLLERR: take what can still be read, then end. libuv has stopped the poll. */
static void poll_failed(struct sock *k)
{
    k->mask = 0;
    if (k->state == SOCK_OPEN && !k->paused)
        readable(k);
    if (k->state == SOCK_CLOSED)
        return;
    int e = pending_error(k);
    sock_end(k, e ? e : k->eof ? -EPIPE : -ECONNRESET);
}

static void on_poll(uv_poll_t *p, int status, int events)
{
    struct sock *k = p->data;
    k->busy = true;
    if (status < 0) {
        poll_failed(k);
    } else {
        if (k->state == SOCK_CONNECTING)
            connected(k);
        if (k->state == SOCK_HANDSHAKE)
            handshake(k);
        if (k->state == SOCK_OPEN && (events & UV_WRITABLE) && k->blocked)
            flush(k);
        if (k->state == SOCK_OPEN && (events & UV_READABLE)) {
            readable(k);
        }
    }
    k->busy = false;
    settle(k);
}

/* ---- ops */
static bool below_high(struct sock *k)
{
    if (k->q.bytes <= STREAM_HIGH_BYTES)
        return true;
    k->high = true;
    return false;
}

static bool op_write(struct stream *s, struct stream_buf buf)
{
    struct sock *k = sock_of(s);
    if (k->state == SOCK_CLOSED || k->shut) {
        stream_buf_release(buf);
        return k->state != SOCK_CLOSED;
    }
    sendq_push(&k->q, buf);
    touch(k);
    return below_high(k);
}

static bool op_write_copy(struct stream *s, struct str bytes)
{
    struct sock *k = sock_of(s);
    if (k->state == SOCK_CLOSED || k->shut)
        return k->state != SOCK_CLOSED;
    sendq_copy(&k->q, bytes);
    touch(k);
    return below_high(k);
}

static size_t op_queued(const struct stream *s)
{
    return ((const struct sock *)s)->q.bytes;
}

static void op_shutdown(struct stream *s)
{
    struct sock *k = sock_of(s);
    k->shut = true;
    touch(k);
}

static void op_close(struct stream *s)
{
    sock_end(sock_of(s), 0);
}

static void op_pause(struct stream *s, bool paused)
{
    struct sock *k = sock_of(s);
    if (k->state == SOCK_CLOSED || k->paused == paused)
        return;
    k->paused = paused;
    if (k->busy)
        return;
    if (!paused && k->reread && k->state == SOCK_OPEN)
        loop_post(k->loop, &k->flush);
    update_mask(k);
}

static const struct stream_ops sock_ops = {op_write, op_queued, op_shutdown, op_close, op_pause, op_write_copy};

/* ---- making them */
void socket_ignore_sigpipe(void)
{
    signal(SIGPIPE, SIG_IGN);
}

struct stream *socket_new(const struct socket_opts *opts, int fd, int *ret_error)
{
    struct sock *k = calloc(1, sizeof *k);
    SSL *ssl = NULL;
    int error = k ? 0 : -ENOMEM;
    if (!error && opts->tls) {
        ssl = opts->is_client ? tls_ssl_client(opts->tls, fd, opts->server_name, opts->alpn)
                              : tls_ssl_server(opts->tls, fd);
        error = ssl ? 0 : -ENOMEM;
    }
    if (!error)
        error = uv_poll_init(loop_uv_handle(opts->loop), &k->poll, fd);
    if (error) {
        SSL_free(ssl);
        free(k);
        close(fd);
        if (ret_error)
            *ret_error = error;
        return NULL;
    }
    socket_ignore_sigpipe();
    k->base.ops = &sock_ops;
    k->loop = opts->loop;
    k->fd = fd;
    k->ssl = ssl;
    k->ready = opts->ready;
    k->ready_ctx = opts->ctx;
    k->poll.data = k;
    k->state = opts->is_client ? SOCK_CONNECTING : ssl ? SOCK_HANDSHAKE : SOCK_OPEN;
    loop_task_init(&k->flush, on_flush);
    update_mask(k);
    return &k->base;
}

bool socket_is_h2(const struct stream *s)
{
    const struct sock *k = (const struct sock *)s;
    const unsigned char *name = NULL;
    unsigned len = 0;
    if (k->ssl)
        SSL_get0_alpn_selected(k->ssl, &name, &len);
    return len == 2 && memcmp(name, "h2", 2) == 0;
}

struct tls_cert *socket_peer_cert(const struct stream *s)
{
    const struct sock *k = (const struct sock *)s;
    return k->ssl ? tls_peer_cert(k->ssl) : NULL;
}

struct stream *stream_open_fd(struct loop *l, int fd)
{
    return socket_new(&(struct socket_opts){.loop = l}, fd, NULL);
}

int stream_pair(struct loop *l, struct stream *ret[2])
{
    int fds[2], error = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
        return -errno;
    struct stream *a = socket_new(&(struct socket_opts){.loop = l}, fds[0], &error);
    if (!a) {
        close(fds[1]);
        return error;
    }
    struct stream *b = socket_new(&(struct socket_opts){.loop = l}, fds[1], &error);
    if (!b) {
        stream_close(a);
        return error;
    }
    ret[0] = a;
    ret[1] = b;
    return 0;
}
