#include "node/stream/attachment.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

enum { READS_A_TURN = 16, OUTPUT_BYTES_MAX = 64 << 10 };

struct attachment {
    uv_poll_t poll;
    int fd;
    const struct attachment_events *events;
    void *ctx;
    char *queue;
    size_t len, cap;
    bool paused, high, shut, shut_done, closed;
};

static void on_closed(uv_handle_t *h)
{
    struct attachment *a = container_of((uv_poll_t *)h, struct attachment, poll);
    close(a->fd);
    a->events->close(a->ctx);
    free(a->queue);
    free(a);
}

void attachment_close(struct attachment *a)
{
    if (a->closed)
        return;
    a->closed = true;
    uv_close((uv_handle_t *)&a->poll, on_closed);
}

static void on_poll(uv_poll_t *p, int status, int events);

static void arm(struct attachment *a)
{
    int mask = (a->paused ? 0 : UV_READABLE) | (a->len ? UV_WRITABLE : 0) | UV_DISCONNECT;
    if (!a->closed)
        uv_poll_start(&a->poll, mask, on_poll);
}

static void flush(struct attachment *a)
{
    size_t sent = 0;
    while (sent < a->len) {
        size_t n = a->len - sent < ATTACH_PACKET_BYTES ? a->len - sent : ATTACH_PACKET_BYTES;
        ssize_t r = send(a->fd, a->queue + sent, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (r < 0 && errno != EAGAIN && errno != EINTR) /* takes no input: output may still come */
            a->len = sent = 0;
        if (r <= 0)
            break;
        sent += (size_t)r;
    }
    if (sent)
        memmove(a->queue, a->queue + sent, a->len - sent);
    a->len -= sent;
    if (a->len == 0 && a->shut && !a->shut_done) {
        a->shut_done = true;
        shutdown(a->fd, SHUT_WR);
    }
}

static void read_packets(struct attachment *a)
{
    static _Thread_local char buf[OUTPUT_BYTES_MAX];
    for (int i = 0; i < READS_A_TURN && !a->paused && !a->closed; i++) {
        ssize_t n = recv(a->fd, buf, sizeof(buf), MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            attachment_close(a);
            return;
        }
        a->events->output(a->ctx, (unsigned char)buf[0], str_mem(buf + 1, (size_t)n - 1));
    }
}

static void on_poll(uv_poll_t *p, int status, int events)
{
    struct attachment *a = container_of(p, struct attachment, poll);
    if (status < 0) {
        attachment_close(a);
        return;
    }
    if (events & UV_WRITABLE)
        flush(a);
    if (events & UV_READABLE)
        read_packets(a);
    else if (events & UV_DISCONNECT)
        attachment_close(a);
    if (a->closed)
        return;
    if (a->high && a->len < ATTACH_QUEUE_BYTES_MAX / 4) {
        a->high = false;
        a->events->drain(a->ctx);
    }
    arm(a);
}

struct attachment *attachment_new(struct loop *l, int fd, const struct attachment_events *events, void *ctx)
{
    struct attachment *a = calloc(1, sizeof(*a));
    if (!a || uv_poll_init(loop_uv_handle(l), &a->poll, fd) < 0) {
        free(a);
        close(fd);
        return NULL;
    }
    a->fd = fd, a->events = events, a->ctx = ctx;
    arm(a);
    return a;
}

bool attachment_write(struct attachment *a, struct str bytes)
{
    if (a->closed || a->shut)
        return true;
    if (a->len + bytes.len > a->cap) {
        a->cap = 2 * (a->len + bytes.len);
        a->queue = realloc(a->queue, a->cap);
        if (!a->queue)
            abort(); /* bounded: the writer holds back */
    }
    memcpy(a->queue + a->len, bytes.ptr, bytes.len);
    a->len += bytes.len;
    flush(a);
    arm(a);
    if (a->len > ATTACH_QUEUE_BYTES_MAX)
        a->high = true;
    return !a->high;
}

void attachment_shutdown(struct attachment *a)
{
    if (a->closed)
        return;
    a->shut = true;
    flush(a);
}

void attachment_pause(struct attachment *a, bool paused)
{
    a->paused = paused;
    arm(a);
}
