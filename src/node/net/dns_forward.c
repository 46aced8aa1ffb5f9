/* Questions that others answer: by UDP, or by TCP where the client came by TCP. Each try is a socket of its own, so the
 * kernel picks its port and drops what others send to it. */
#include <stdlib.h>

#include "node/net/dns_priv.h"

enum { ANSWER_ROOM = 65535 + 2 };

struct pending {
    struct list link;
    struct dns *dns;
    struct dns_client client;
    struct arena *mem;
    const struct dns_query *query;
    const struct dns_name *target; /* NULL: the client's own question */
    struct str question;           /* what the upstream is asked */
    struct loop_timer timer;
    struct attempt *attempt; /* NULL between tries */
    int tries;
    uint16_t id;
};
struct attempt {             /* dies by itself after its handle is closed */
    struct pending *pending; /* NULL: given up */
    bool tcp, closing;
    union {
        uv_handle_t handle;
        uv_udp_t udp;
        uv_tcp_t stream;
    };
    uv_connect_t connect;
    uv_write_t write;
    size_t len, cap;
    char *room;
    size_t out_len;
    char out[2 + DNS_HEADER + DNS_NAME_MAX + 4 + 11];
};

static void try_next(struct pending *p);

static void attempt_freed(uv_handle_t *h)
{
    struct attempt *a = h->data;
    free(a->room), free(a);
}

static void attempt_end(struct attempt *a)
{
    if (!a || a->closing)
        return;
    a->closing = true;
    if (a->pending)
        a->pending->attempt = NULL, a->pending = NULL;
    uv_close(&a->handle, attempt_freed);
}

static void pending_free(struct pending *p)
{
    attempt_end(p->attempt);
    loop_timer_stop(&p->timer);
    list_remove(&p->link);
    p->dns->pending_count--;
    if (p->client.conn)
        dns_conn_unref(p->client.conn);
    arena_free(p->mem);
    free(p);
}

static void answer(struct pending *p, struct str message)
{
    dns_reply(p->dns, &p->client, message);
    pending_free(p);
}

/* The client's id and his own spelling of the question; too long for him: truncated, he comes again by TCP. */
static struct str for_client(struct pending *p, struct str m)
{
    size_t max = p->client.conn ? DNS_MESSAGE_MAX : p->query->udp_max;
    if (p->target)
        return dns_zone_chased(p->mem, p->query, p->target, m, max);
    if (m.len > max) {
        struct dns_writer w;
        dns_write_begin(&w, p->mem, p->query);
        return dns_write_end(&w, dns_rcode(m), /* authoritative= */ false, /* max= */ 0);
    }
    struct str copy = str_dup(p->mem, m);
    char *at = (char *)(uintptr_t)copy.ptr;
    at[0] = (char)(p->query->id >> 8), at[1] = (char)p->query->id;
    memcpy(at + DNS_HEADER, p->query->question.ptr, p->query->question.len);
    return copy;
}

static void on_answer(struct attempt *a, struct str m)
{
    struct pending *p = a->pending;
    if (!p || !dns_is_answer(p->mem, m, p->id, p->question))
        return; /* a forgery, or late: the true one may still come */
    int rcode = dns_rcode(m);
    if ((rcode == DNS_SERVFAIL || rcode == DNS_REFUSED) && p->tries < DNS_TRIES_MAX &&
        p->tries < p->dns->upstream_count) {
        try_next(p);
        return;
    }
    answer(p, for_client(p, m));
}

static void on_datagram(uv_udp_t *u, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from, unsigned flags)
{
    struct attempt *a = u->data;
    if (n > 0 && from)
        on_answer(a, str_mem(buf->base, (size_t)n));
    else if (n < 0 && a->pending)
        try_next(a->pending); /* refused */
}

static void room(uv_handle_t *h, size_t hint, uv_buf_t *buf)
{
    static char datagram[4096];
    struct attempt *a = h->data;
    if (!a->tcp) {
        *buf = uv_buf_init(datagram, sizeof(datagram));
        return;
    }
    if (a->len == a->cap) {
        size_t cap = a->cap ? ANSWER_ROOM : 4096;
        char *more = cap > a->cap ? realloc(a->room, cap) : NULL;
        if (more)
            a->room = more, a->cap = cap;
    }
    *buf = uv_buf_init(a->room ? a->room + a->len : NULL, (unsigned)(a->cap - a->len));
}

static void on_bytes(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct attempt *a = s->data;
    if (n == 0 || !a->pending)
        return;
    if (n < 0) {
        try_next(a->pending);
        return;
    }
    a->len += (size_t)n;
    size_t want = a->len < 2 ? 0 : (size_t)(uint8_t)a->room[0] << 8 | (uint8_t)a->room[1];
    if (a->len >= 2 && a->len - 2 >= want)
        on_answer(a, str_mem(a->room + 2, want));
}

static void written(uv_write_t *w, int status)
{
}

static void connected(uv_connect_t *c, int status)
{
    struct attempt *a = container_of(c, struct attempt, connect);
    uv_buf_t buf = uv_buf_init(a->out, (unsigned)a->out_len);
    if (!a->pending)
        return;
    if (status < 0 || uv_read_start((uv_stream_t *)&a->stream, room, on_bytes) < 0 ||
        uv_write(&a->write, (uv_stream_t *)&a->stream, &buf, 1, written) < 0)
        try_next(a->pending);
}

/* Header, question, OPT; framed for TCP. */
static void compose(struct attempt *a, const struct pending *p)
{
    static const char opt[11] = {0, 0, DNS_OPT, DNS_UDP_MAX >> 8, DNS_UDP_MAX & 255};
    char *m = a->out + 2;
    size_t len = DNS_HEADER + p->question.len + (p->query->edns ? sizeof(opt) : 0);
    m[0] = (char)(p->id >> 8), m[1] = (char)p->id, m[2] = p->query->recursion ? 1 : 0, m[5] = 1;
    memcpy(m + DNS_HEADER, p->question.ptr, p->question.len);
    if (p->query->edns)
        m[11] = 1, memcpy(m + DNS_HEADER + p->question.len, opt, sizeof(opt));
    a->out[0] = (char)(len >> 8), a->out[1] = (char)len;
    a->out_len = len + 2;
}

static int start_udp(struct attempt *a, uv_loop_t *uv, const struct sockaddr *to)
{
    uv_udp_init(uv, &a->udp), a->handle.data = a;
    uv_buf_t buf = uv_buf_init(a->out + 2, (unsigned)a->out_len - 2);
    int r = uv_udp_connect(&a->udp, to);
    if (r == 0)
        r = uv_udp_recv_start(&a->udp, room, on_datagram);
    if (r == 0)
        r = uv_udp_try_send(&a->udp, &buf, 1, NULL);
    return r < 0 ? r : 0;
}

static int start_tcp(struct attempt *a, uv_loop_t *uv, const struct sockaddr *to)
{
    uv_tcp_init(uv, &a->stream), a->handle.data = a;
    return uv_tcp_connect(&a->connect, &a->stream, to, connected);
}

static void try_next(struct pending *p)
{
    struct dns *d = p->dns;
    attempt_end(p->attempt);
    if (p->tries >= DNS_TRIES_MAX || d->upstream_count == 0) {
        answer(p, dns_error(p->mem, p->query, DNS_SERVFAIL));
        return;
    }
    const struct sockaddr_in *to = &d->upstreams[p->tries++ % d->upstream_count];
    struct attempt *a = calloc(1, sizeof(*a));
    if (!a)
        abort();
    uint16_t id;
    loop_rand_bytes(d->loop, RAND_NAME, &id, sizeof(id));
    p->id = id, p->attempt = a;
    a->pending = p, a->tcp = p->client.conn != NULL;
    compose(a, p);
    loop_timer_start(&p->timer, DNS_TRY_MS);
    int r = (a->tcp ? start_tcp : start_udp)(a, loop_uv_handle(d->loop), (const struct sockaddr *)to);
    if (r < 0)
        loop_timer_start(&p->timer, 0); /* unreachable: the next one, from the loop */
}

static void on_timer(struct loop_timer *t)
{
    try_next(container_of(t, struct pending, timer));
}

static struct str question_of(struct arena *mem, const struct dns_query *q, const struct dns_name *target)
{
    if (!target)
        return q->question;
    struct sb out = SB(mem);
    sb_add(&out, dns_name_wire(mem, target));
    const char tail[4] = {(char)(q->type >> 8), (char)q->type, 0, DNS_IN};
    sb_add(&out, str_mem(tail, sizeof(tail)));
    return sb_str(&out);
}

void dns_forward(struct dns *d, const struct dns_client *c, struct arena *mem, const struct dns_query *q,
                 const struct dns_name *target)
{
    struct pending *p = d->pending_count < DNS_PENDING_MAX ? calloc(1, sizeof(*p)) : NULL;
    if (!p) {
        dns_reply(d, c, dns_error(mem, q, DNS_SERVFAIL));
        arena_free(mem);
        return;
    }
    *p = (struct pending){.dns = d, .client = *c, .mem = mem, .query = q, .target = target};
    p->question = question_of(mem, q, target);
    if (c->conn)
        c->conn->refs++;
    d->pending_count++;
    list_add_tail(&d->pending, &p->link);
    loop_timer_init(d->loop, &p->timer, on_timer);
    try_next(p);
}
