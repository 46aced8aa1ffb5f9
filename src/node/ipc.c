#include "node/ipc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

struct header {
    uint32_t type, id, len, pad;
};

struct call {
    struct list link;
    uint32_t id;
    int error; /* failed before it was sent */
    void (*done)(void *ctx, struct ipc_msg *reply);
    void *ctx;
};

struct packet {
    struct list link;
    int fds[IPC_FDS_MAX], fd_count;
    size_t len;
    char bytes[];
};

struct ipc {
    struct loop *loop;
    const struct ipc_handler *handler;
    void *ctx;
    int fd;
    uint32_t next_id;
    struct list calls, queue;
    int queued;
    uv_poll_t poll;
    struct loop_task failed; /* reports calls that could not be sent */
    bool broken, freed;
    int busy; /* callbacks on the stack */
};

static const char *const words[] = {
#define X(name, direction, body, answer) [IPC_##name] = #name,
    IPC_TYPES(X)
#undef X
};

const char *ipc_word(enum ipc_type type)
{
    return type > IPC_NONE && type < IPC_TYPE_COUNT ? words[type] : "?";
}

void ipc_put_u64(struct ipc_body *b, uint64_t v)
{
    sb_add(&b->sb, str_mem((const char *)&v, sizeof(v)));
}

void ipc_put_i64(struct ipc_body *b, int64_t v)
{
    ipc_put_u64(b, (uint64_t)v);
}

void ipc_put_str(struct ipc_body *b, struct str s)
{
    ipc_put_u64(b, s.len);
    sb_add(&b->sb, s);
}

void ipc_put_strv(struct ipc_body *b, const struct str *v, size_t n)
{
    ipc_put_u64(b, n);
    for (size_t i = 0; i < n; i++)
        ipc_put_str(b, v[i]);
}

uint64_t ipc_get_u64(struct ipc_reader *r)
{
    uint64_t v;
    if (r->bad || r->rest.len < sizeof(v))
        return r->bad = true, 0;
    memcpy(&v, r->rest.ptr, sizeof(v));
    r->rest = str_from(r->rest, sizeof(v));
    return v;
}

int64_t ipc_get_i64(struct ipc_reader *r)
{
    return (int64_t)ipc_get_u64(r);
}

struct str ipc_get_str(struct ipc_reader *r)
{
    uint64_t n = ipc_get_u64(r);
    if (r->bad || n > r->rest.len)
        return r->bad = true, STR_NULL;
    struct str s = str_head(r->rest, n);
    r->rest = str_from(r->rest, n);
    return s;
}

struct str *ipc_get_strv(struct ipc_reader *r, struct arena *mem, size_t max, size_t *ret_n)
{
    uint64_t n = ipc_get_u64(r);
    *ret_n = 0;
    if (r->bad || n > max || n > r->rest.len / sizeof(uint64_t))
        return r->bad = true, NULL;
    struct str *v = arena_array(mem, struct str, n ? n : 1);
    for (size_t i = 0; i < n; i++)
        v[i] = ipc_get_str(r);
    *ret_n = r->bad ? 0 : n;
    return v;
}

bool ipc_read_ok(const struct ipc_reader *r)
{
    return !r->bad && r->rest.len == 0;
}

/* ---- packets */

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * IPC_FDS_MAX)];
};

static int packet_send(int fd, const void *bytes, size_t len, const int *fds, int fd_count)
{
    struct iovec iov = {(void *)(uintptr_t)bytes, len};
    union control control = {0};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    if (fd_count > 0) {
        m.msg_control = control.bytes, m.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)fd_count);
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)fd_count);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * (size_t)fd_count);
    }
    ssize_t n;
    do
        n = sendmsg(fd, &m, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

static void fds_close(struct ipc_msg *m)
{
    for (int i = 0; i < m->fd_count; i++)
        if (m->fds[i] >= 0)
            close(m->fds[i]);
    m->fd_count = 0;
}

/* One packet into buf (header and body). 0, -EAGAIN, -EPIPE at the end, -EBADMSG. */
static int packet_recv(int fd, char *buf, size_t cap, struct ipc_msg *ret)
{
    struct iovec iov = {buf, cap};
    union control control;
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
    ssize_t n;
    do
        n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    *ret = (struct ipc_msg){0};
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        int count = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        for (int i = 0; i < count; i++) {
            int got;
            memcpy(&got, CMSG_DATA(c) + (size_t)i * sizeof(int), sizeof(int));
            if (ret->fd_count < IPC_FDS_MAX)
                ret->fds[ret->fd_count++] = got;
            else
                close(got);
        }
    }
    if (n == 0)
        return fds_close(ret), -EPIPE;
    struct header h;
    if ((size_t)n < sizeof(h) || (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
        return fds_close(ret), -EBADMSG;
    memcpy(&h, buf, sizeof(h));
    if (h.type <= IPC_NONE || h.type >= IPC_TYPE_COUNT || h.len != (size_t)n - sizeof(h) ||
        (h.type == IPC_REPLY && h.id == 0))
        return fds_close(ret), -EBADMSG;
    ret->type = h.type, ret->id = h.id, ret->body = str_mem(buf + sizeof(h), h.len);
    if (h.type == IPC_REPLY) {
        struct ipc_reader r = IPC_READER(ret->body);
        int64_t error = ipc_get_i64(&r);
        ret->message = ipc_get_str(&r);
        if (r.bad || error > 0 || error < -4095)
            return fds_close(ret), -EBADMSG;
        ret->error = (int)error, ret->body = r.rest;
    }
    return 0;
}

/* ---- the channel */

static void really_free(uv_handle_t *h)
{
    free(container_of((uv_poll_t *)h, struct ipc, poll));
}

static void arm(struct ipc *c);

static void channel_end(struct ipc *c)
{
    loop_task_cancel(&c->failed);
    list_each_safe (at, &c->queue) {
        struct packet *p = container_of(at, struct packet, link);
        list_remove(at);
        for (int i = 0; i < p->fd_count; i++)
            close(p->fds[i]);
        free(p);
    }
    c->queued = 0;
    while (!list_empty(&c->calls)) {
        struct call *call = container_of(c->calls.next, struct call, link);
        list_remove(&call->link);
        struct ipc_msg gone = {
            .type = IPC_REPLY, .id = call->id, .error = -ECANCELED, .message = STR("the helper process went away")};
        call->done(call->ctx, &gone);
        free(call);
    }
}

struct ipc *ipc_free(struct ipc *c)
{
    if (!c || c->freed)
        return NULL;
    c->freed = true, c->busy++;
    channel_end(c);
    c->busy--;
    uv_poll_stop(&c->poll);
    close(c->fd), c->fd = -1;
    if (c->busy == 0)
        uv_close((uv_handle_t *)&c->poll, really_free);
    return NULL;
}

static void channel_break(struct ipc *c, int error)
{
    if (c->broken || c->freed)
        return;
    c->broken = true;
    uv_poll_stop(&c->poll);
    channel_end(c);
    if (c->handler->closed)
        c->handler->closed(c->ctx, c, error);
}

static void give_reply(struct ipc *c, struct ipc_msg *m)
{
    list_each (at, &c->calls) {
        struct call *call = container_of(at, struct call, link);
        if (call->id != m->id)
            continue;
        list_remove(&call->link);
        call->done(call->ctx, m);
        free(call);
        return;
    }
}

static void flush(struct ipc *c)
{
    while (!list_empty(&c->queue)) {
        struct packet *p = container_of(c->queue.next, struct packet, link);
        int r = packet_send(c->fd, p->bytes, p->len, p->fds, p->fd_count);
        if (r == -EAGAIN)
            return;
        for (int i = 0; i < p->fd_count; i++)
            close(p->fds[i]);
        list_remove(&p->link), c->queued--;
        free(p);
    }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct ipc *c = container_of(poll, struct ipc, poll);
    static char buf[sizeof(struct header) + IPC_BODY_MAX]; /* one thread, and callbacks do not nest polls */
    c->busy++;
    if (events & UV_WRITABLE)
        flush(c), arm(c);
    for (int i = 0; i < 16 && !c->freed && !c->broken; i++) {
        struct ipc_msg m;
        int r = packet_recv(c->fd, buf, sizeof(buf), &m);
        if (r == -EAGAIN)
            break;
        if (r < 0) {
            channel_break(c, r == -EPIPE ? 0 : r);
            break;
        }
        if (m.type == IPC_REPLY)
            give_reply(c, &m);
        else
            c->handler->message(c->ctx, c, &m);
        fds_close(&m);
    }
    c->busy--;
    if (c->freed && c->busy == 0 && !uv_is_closing((uv_handle_t *)poll))
        uv_close((uv_handle_t *)poll, really_free);
    (void)status;
}

static void arm(struct ipc *c)
{
    if (!c->freed && !c->broken)
        uv_poll_start(&c->poll, UV_READABLE | (list_empty(&c->queue) ? 0 : UV_WRITABLE), on_poll);
}

static void report_failed(struct loop_task *t)
{
    struct ipc *c = container_of(t, struct ipc, failed);
    c->busy++;
    list_each_safe (at, &c->calls) {
        struct call *call = container_of(at, struct call, link);
        if (!call->error)
            continue;
        struct ipc_msg m = {.type = IPC_REPLY, .id = call->id, .error = call->error, .message = STR("could not ask")};
        list_remove(&call->link);
        call->done(call->ctx, &m);
        free(call);
        if (c->freed)
            break;
    }
    c->busy--;
    if (c->freed && c->busy == 0 && !uv_is_closing((uv_handle_t *)&c->poll))
        uv_close((uv_handle_t *)&c->poll, really_free);
}

struct ipc *ipc_new(struct loop *l, int fd, const struct ipc_handler *handler, void *ctx)
{
    struct ipc *c = calloc(1, sizeof(*c));
    if (!c || uv_poll_init(loop_uv_handle(l), &c->poll, fd) < 0) {
        free(c), close(fd);
        return NULL;
    }
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), fcntl(fd, F_SETFD, FD_CLOEXEC);
    c->loop = l, c->fd = fd, c->handler = handler, c->ctx = ctx;
    list_init(&c->calls), list_init(&c->queue);
    loop_task_init(&c->failed, report_failed);
    arm(c);
    return c;
}

static int queue_packet(struct ipc *c, const char *bytes, size_t len, const int *fds, int fd_count)
{
    if (c->queued >= IPC_QUEUE_MAX)
        return -ENOBUFS;
    struct packet *p = malloc(sizeof(*p) + len);
    if (!p)
        return -ENOMEM;
    memcpy(p->bytes, bytes, len);
    p->len = len, p->fd_count = 0;
    for (int i = 0; i < fd_count; i++) {
        int fd = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
        if (fd >= 0)
            p->fds[p->fd_count++] = fd;
    }
    list_add_tail(&c->queue, &p->link), c->queued++;
    arm(c);
    return 0;
}

static int emit(struct ipc *c, enum ipc_type type, uint32_t id, struct str head, struct str body, const int *fds,
                int fd_count)
{
    static char buf[sizeof(struct header) + IPC_BODY_MAX];
    size_t len = head.len + body.len;
    if (len > IPC_BODY_MAX || fd_count > IPC_FDS_MAX)
        return -EMSGSIZE;
    if (c->broken || c->freed)
        return -EPIPE;
    struct header h = {.type = type, .id = id, .len = (uint32_t)len};
    memcpy(buf, &h, sizeof(h));
    if (head.len)
        memcpy(buf + sizeof(h), head.ptr, head.len);
    if (body.len)
        memcpy(buf + sizeof(h) + head.len, body.ptr, body.len);
    int r = list_empty(&c->queue) ? packet_send(c->fd, buf, sizeof(h) + len, fds, fd_count) : -EAGAIN;
    return r == -EAGAIN ? queue_packet(c, buf, sizeof(h) + len, fds, fd_count) : r;
}

int ipc_send(struct ipc *c, enum ipc_type type, const struct ipc_body *body, const int *fds, int fd_count)
{
    return emit(c, type, 0, STR_NULL, body ? sb_str(&body->sb) : STR_NULL, fds, fd_count);
}

uint32_t ipc_call(struct ipc *c, enum ipc_type type, const struct ipc_body *body, const int *fds, int fd_count,
                  void (*done)(void *ctx, struct ipc_msg *reply), void *ctx)
{
    struct call *call = calloc(1, sizeof(*call));
    if (!call)
        abort();
    if (++c->next_id == 0)
        c->next_id = 1;
    call->id = c->next_id, call->done = done, call->ctx = ctx;
    list_add_tail(&c->calls, &call->link);
    call->error = emit(c, type, call->id, STR_NULL, body ? sb_str(&body->sb) : STR_NULL, fds, fd_count);
    if (call->error)
        loop_post(c->loop, &c->failed);
    return call->id;
}

void ipc_expect(struct ipc *c, uint32_t id, void (*done)(void *ctx, struct ipc_msg *reply), void *ctx)
{
    struct call *call = calloc(1, sizeof(*call));
    if (!call)
        abort();
    call->id = id, call->done = done, call->ctx = ctx;
    list_add_tail(&c->calls, &call->link);
}

void ipc_forget(struct ipc *c, uint32_t id)
{
    if (!c)
        return;
    list_each_safe (at, &c->calls) {
        struct call *call = container_of(at, struct call, link);
        if (call->id == id) {
            list_remove(at);
            free(call);
            return;
        }
    }
}

int ipc_reply(struct ipc *c, uint32_t id, int error, struct str message, const struct ipc_body *body, const int *fds,
              int fd_count)
{
    cleanup_arena struct arena *mem = arena_new();
    struct ipc_body head = IPC_BODY(mem);
    ipc_put_i64(&head, error);
    ipc_put_str(&head, str_head(message, 4096));
    return emit(c, IPC_REPLY, id, sb_str(&head.sb), body ? sb_str(&body->sb) : STR_NULL, fds, fd_count);
}

int ipc_recv_sync(int fd, struct arena *mem, struct ipc_msg *ret)
{
    size_t cap = sizeof(struct header) + IPC_BODY_MAX;
    return packet_recv(fd, arena_alloc(mem, cap), cap, ret);
}

int ipc_reply_sync(int fd, uint32_t id, int error, struct str message, const struct ipc_body *body)
{
    cleanup_arena struct arena *mem = arena_new();
    struct ipc_body b = IPC_BODY(mem);
    ipc_put_i64(&b, error);
    ipc_put_str(&b, str_head(message, 4096));
    struct str tail = body ? sb_str(&body->sb) : STR_NULL;
    struct header h = {.type = IPC_REPLY, .id = id, .len = (uint32_t)(b.sb.len + tail.len)};
    if (h.len > IPC_BODY_MAX)
        return -EMSGSIZE;
    struct sb packet = SB(mem);
    sb_add(&packet, str_mem((const char *)&h, sizeof(h)));
    sb_add(&packet, sb_str(&b.sb));
    sb_add(&packet, tail);
    return packet_send(fd, packet.ptr, packet.len, NULL, 0);
}
