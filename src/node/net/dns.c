/* Sockets of the name server: clients here, upstreams in dns_forward.c. */
#include "node/net/dns.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <uv.h>

#include "base/log.h"
#include "node/net/dns_priv.h"

static struct dns *dns_new(struct loop *l)
{
    struct dns *d = calloc(1, sizeof(*d));
    if (!d)
        abort();
    d->loop = l, d->zone = dns_zone_new();
    list_init(&d->pending), list_init(&d->conns);
    return d;
}

/* ---- answers to clients */

struct sent {
    uv_udp_send_t udp;
    uv_write_t tcp;
    uv_buf_t buf;
    char bytes[];
};

static void udp_sent(uv_udp_send_t *r, int status)
{
    free(container_of(r, struct sent, udp));
}

static void tcp_sent(uv_write_t *r, int status)
{
    free(container_of(r, struct sent, tcp));
}

static struct sent *sent_new(struct str message, bool framed)
{
    struct sent *s = malloc(sizeof(*s) + message.len + 2);
    if (!s)
        return NULL;
    size_t at = framed ? 2 : 0;
    s->bytes[0] = (char)(message.len >> 8), s->bytes[1] = (char)message.len;
    memcpy(s->bytes + at, message.ptr, message.len);
    s->buf = uv_buf_init(s->bytes, (unsigned)(message.len + at));
    return s;
}

void dns_reply(struct dns *d, const struct dns_client *c, struct str message)
{
    struct sent *s;
    if (message.len == 0 || (c->conn && c->conn->closed) || !(s = sent_new(message, c->conn != NULL)))
        return;
    int r = c->conn ? uv_write(&s->tcp, (uv_stream_t *)&c->conn->tcp, &s->buf, 1, tcp_sent)
                    : uv_udp_send(&s->udp, &d->udp, &s->buf, 1, (const struct sockaddr *)&c->from, udp_sent);
    if (r < 0)
        free(s);
}

static void on_query(struct dns *d, const struct dns_client *c, struct str bytes)
{
    struct arena *mem = arena_new();
    struct dns_query *q = arena_new_of(mem, struct dns_query);
    struct dns_name *target = arena_new_of(mem, struct dns_name);
    struct str message = STR_NULL;
    enum dns_verdict v = DNS_IGNORE;
    size_t max = DNS_MESSAGE_MAX;
    if (dns_parse_query(mem, bytes, q)) {
        max = c->conn ? DNS_MESSAGE_MAX : q->udp_max;
        v = dns_zone_answer(d->zone, mem, q, max, d->turn++, &message, target);
    }
    if (v == DNS_ANSWER)
        dns_reply(d, c, message);
    if (v == DNS_FORWARD || v == DNS_CHASE)
        dns_forward(d, c, mem, q, v == DNS_CHASE ? target : NULL); /* takes mem */
    else
        arena_free(mem);
}

/* ---- UDP */

static void udp_room(uv_handle_t *h, size_t hint, uv_buf_t *buf)
{
    static char room[4096]; /* longer questions are cut, and then malformed */
    *buf = uv_buf_init(room, sizeof(room));
}

static void on_udp(uv_udp_t *u, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from, unsigned flags)
{
    struct dns *d = u->data;
    if (n <= 0 || !from || from->sa_family != AF_INET)
        return;
    struct dns_client c = {0};
    memcpy(&c.from, from, sizeof(struct sockaddr_in));
    if (c.from.sin_port != 0)
        on_query(d, &c, str_mem(buf->base, (size_t)n));
}

/* ---- TCP */

static void conn_freed(uv_handle_t *h)
{
    struct dns_conn *c = h->data;
    c->handle_closed = true;
    dns_conn_unref(c);
}

void dns_conn_unref(struct dns_conn *c)
{
    if (--c->refs == 0)
        free(c);
}

static void conn_close(struct dns_conn *c)
{
    if (c->closed)
        return;
    c->closed = true;
    c->dns->conn_count--;
    list_remove(&c->link);
    loop_timer_stop(&c->idle);
    uv_close((uv_handle_t *)&c->tcp, conn_freed);
}

static void on_idle(struct loop_timer *t)
{
    conn_close(container_of(t, struct dns_conn, idle));
}

static void conn_room(uv_handle_t *h, size_t hint, uv_buf_t *buf)
{
    struct dns_conn *c = h->data;
    *buf = uv_buf_init(c->bytes + c->len, (unsigned)(sizeof(c->bytes) - c->len));
}

/* Whole questions in the buffer; false: one that can't fit. */
static bool take_questions(struct dns_conn *c)
{
    size_t at = 0;
    while (c->len - at >= 2 && !c->closed) {
        size_t n = (size_t)(uint8_t)c->bytes[at] << 8 | (uint8_t)c->bytes[at + 1];
        if (n > sizeof(c->bytes) - 2)
            return false;
        if (c->len - at - 2 < n)
            break;
        struct dns_client client = {.conn = c};
        on_query(c->dns, &client, str_mem(c->bytes + at + 2, n));
        at += n + 2;
    }
    memmove(c->bytes, c->bytes + at, c->len - at);
    c->len -= at;
    return true;
}

static void on_tcp(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct dns_conn *c = s->data;
    if (n == 0)
        return;
    if (n > 0)
        c->len += (size_t)n, loop_timer_start(&c->idle, DNS_CONN_IDLE_MS);
    if (n < 0 || !take_questions(c))
        conn_close(c);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct dns *d = listener->data;
    struct dns_conn *c = status < 0 ? NULL : calloc(1, sizeof(*c));
    if (!c)
        return;
    c->dns = d, c->refs = 1, c->tcp.data = c;
    list_init(&c->link);
    loop_timer_init(d->loop, &c->idle, on_idle);
    uv_tcp_init(loop_uv_handle(d->loop), &c->tcp);
    d->conn_count++;
    list_add_tail(&d->conns, &c->link);
    loop_timer_start(&c->idle, DNS_CONN_IDLE_MS);
    if (uv_accept(listener, (uv_stream_t *)&c->tcp) < 0 || d->conn_count > DNS_CONNS_MAX ||
        uv_read_start((uv_stream_t *)&c->tcp, conn_room, on_tcp) < 0)
        conn_close(c);
}

/* ---- messages of the agent */

static bool listen_on(struct dns *d, struct ipc_msg *m)
{
    cleanup_arena struct arena *mem = arena_new();
    struct ipc_reader r = IPC_READER(m->body);
    size_t n;
    struct str *upstreams = ipc_get_strv(&r, mem, DNS_UPSTREAMS_MAX, &n);
    if (!ipc_read_ok(&r) || m->fd_count != 2 || d->listening)
        return false;
    for (size_t i = 0; i < n; i++) {
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(d->upstream_port ? d->upstream_port : 53)};
        if (inet_pton(AF_INET, str_z(mem, upstreams[i]), &a.sin_addr) == 1)
            d->upstreams[d->upstream_count++] = a;
    }
    uv_loop_t *uv = loop_uv_handle(d->loop);
    uv_udp_init(uv, &d->udp), uv_tcp_init(uv, &d->tcp);
    d->udp.data = d->tcp.data = d, d->listening = true;
    if (uv_udp_open(&d->udp, m->fds[0]) < 0)
        return false;
    m->fds[0] = -1;
    if (uv_tcp_open(&d->tcp, m->fds[1]) < 0)
        return false;
    m->fds[1] = -1;
    return uv_udp_recv_start(&d->udp, udp_room, on_udp) == 0 &&
           uv_listen((uv_stream_t *)&d->tcp, 64, on_connection) == 0;
}

bool dns_message(struct dns **dns, struct loop *l, struct ipc_msg *m)
{
    if (!*dns)
        *dns = dns_new(l);
    return m->type == IPC_DNS_LISTEN ? listen_on(*dns, m) : dns_zone_message((*dns)->zone, m->type, m->body);
}
