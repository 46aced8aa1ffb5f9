/* HTTP, TCP and gRPC probes over http/: streams and the HTTP/2 client; nothing of the answer is trusted, 10 KiB of it
 * is read. Source: kubelet prober, k8s.io/kubernetes/pkg/probe. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "http/client.h"
#include "http/stream.h"
#include "node/net/net.h"

enum { ANSWER_BYTES_MAX = 10 << 10, HEADERS_MAX = 64 };

enum kind { HTTP, TCP, GRPC };
struct probing {
    struct net *net;
    struct arena *mem;
    enum kind kind;
    uint32_t id;
    struct stream *stream;
    struct http_client *client;
    struct http_call *call;
    struct loop_timer timer;
    struct loop_task over;
    struct sb answer;
    struct str url;
    bool answered, closed;
};

static void freed(struct loop_task *t)
{
    struct probing *p = container_of(t, struct probing, over);
    if (p->client)
        http_client_free(p->client);
    arena_free(p->mem);
}

static void answer(struct probing *p, int error, struct str why)
{
    if (p->answered)
        return;
    p->answered = true;
    loop_timer_stop(&p->timer);
    ipc_reply(p->net->agent, p->id, error, why, NULL, NULL, 0);
    if (p->stream && !p->closed)
        stream_close(p->stream); /* closed() frees */
    else
        loop_post(p->net->loop, &p->over);
}

static void timed_out(struct loop_timer *t)
{
    struct probing *p = container_of(t, struct probing, timer);
    if (p->kind == GRPC && p->call)
        p->call = NULL;
    answer(p, -ETIMEDOUT,
           p->kind == HTTP ? str_fmt(p->mem,
                                     "Get \"" STR_FMT
                                     "\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
                                     STR_ARG(p->url))
           : p->kind == TCP
               ? str_fmt(p->mem, "dial tcp " STR_FMT ": i/o timeout", STR_ARG(p->url))
               : str_fmt(p->mem, "timeout: failed to connect service \"" STR_FMT "\" within the time limit",
                         STR_ARG(p->url)));
}

/* "HTTP/1.1 200 OK". 200 to 399 is success, redirects are not followed to other hosts. */
static void judge_http(struct probing *p)
{
    struct str all = sb_str(&p->answer), head, code, rest, body = STR_NULL;
    int64_t status = 0;
    str_cut(all, '\n', &head, &rest);
    if (!str_starts(head, STR("HTTP/1.")) || !str_cut(head, ' ', &head, &code)) {
        answer(p, -EPROTO, str_fmt(p->mem, "Get \"" STR_FMT "\": malformed HTTP response", STR_ARG(p->url)));
        return;
    }
    str_cut(str_trim(code), ' ', &code, &head);
    str_to_i64(code, &status);
    for (struct str line; str_cut(rest, '\n', &line, &rest);)
        if (str_trim(line).len == 0) {
            body = rest;
            break;
        }
    (void)body;
    if (status >= 200 && status < 400)
        answer(p, 0, STR_NULL);
    else
        answer(p, -EPROTO, str_fmt(p->mem, "HTTP probe failed with statuscode: %lld", (long long)status));
}

static void on_data(void *ctx, struct str bytes)
{
    struct probing *p = ctx;
    size_t room = p->answer.len < ANSWER_BYTES_MAX ? ANSWER_BYTES_MAX - p->answer.len : 0;
    sb_add(&p->answer, str_head(bytes, room));
    if (p->kind == HTTP && !p->answered &&
        (str_has(sb_str(&p->answer), STR("\r\n\r\n")) || p->answer.len == ANSWER_BYTES_MAX))
        judge_http(p);
}

static void on_eof(void *ctx)
{
    struct probing *p = ctx;
    if (!p->answered && p->kind == HTTP)
        judge_http(p);
}

static void on_close(void *ctx, int error)
{
    struct probing *p = ctx;
    p->closed = true;
    if (p->answered) {
        loop_post(p->net->loop, &p->over);
        return;
    }
    if (p->kind == HTTP && p->answer.len)
        judge_http(p);
    else if (p->kind == HTTP)
        answer(p, error ? error : -ECONNRESET,
               str_fmt(p->mem, "Get \"" STR_FMT "\": %s", STR_ARG(p->url),
                       error == -ECONNREFUSED ? "connect: connection refused"
                       : error                ? strerror(-error)
                                              : "EOF"));
    else
        answer(p, error ? error : -ECONNRESET,
               str_fmt(p->mem, "dial tcp " STR_FMT ": connect: %s", STR_ARG(p->url),
                       error == -ECONNREFUSED ? "connection refused"
                       : error                ? strerror(-error)
                                              : "connection closed"));
}

static void opened(void *ctx)
{
    struct probing *p = ctx;
    if (p->kind == TCP)
        answer(p, 0, STR_NULL);
}

static const struct stream_events events = {.data = on_data, .eof = on_eof, .close = on_close};

static struct probing *probing_new(struct net *n, struct ipc_msg *m, enum kind kind)
{
    struct arena *mem = arena_new();
    struct probing *p = arena_new_of(mem, struct probing);
    *p = (struct probing){.net = n, .mem = mem, .kind = kind, .id = m->id, .answer = SB(mem)};
    loop_timer_init(n->loop, &p->timer, timed_out);
    loop_task_init(&p->over, freed);
    return p;
}

static struct str address(struct arena *mem, struct str host, uint64_t port)
{
    return str_fmt(mem, str_find(host, ':') >= 0 ? "[" STR_FMT "]:%u" : STR_FMT ":%u", STR_ARG(host), (unsigned)port);
}

static void refuse(struct probing *p)
{
    answer(p, -EINVAL, STR("the probe's address can't be used"));
}

static bool token_safe(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
            return false;
    return true;
}

void net_probe_http(struct net *n, struct ipc_msg *m)
{
    struct probing *p = probing_new(n, m, HTTP);
    struct ipc_reader r = IPC_READER(m->body);
    uint64_t tls = ipc_get_u64(&r);
    struct str host = str_dup(p->mem, ipc_get_str(&r));
    uint64_t port = ipc_get_u64(&r);
    struct str path = str_dup(p->mem, ipc_get_str(&r));
    size_t count;
    struct str *headers = ipc_get_strv(&r, p->mem, HEADERS_MAX * 2, &count);
    uint64_t timeout_ms = ipc_get_u64(&r);
    if (!ipc_read_ok(&r) || port == 0 || port > 65535 || !token_safe(path)) {
        refuse(p);
        return;
    }
    struct str at = address(p->mem, host, port);
    p->url = str_fmt(p->mem, "%s://" STR_FMT "%s" STR_FMT, tls ? "https" : "http", STR_ARG(at),
                     str_starts(path, STR("/")) ? "" : "/", STR_ARG(path));
    if (tls) {
        net_probe_https(n, p->url, headers, count, (int64_t)timeout_ms, p->id);
        p->answered = true;
        loop_post(n->loop, &p->over);
        return;
    }
    p->stream = stream_connect(n->loop, str_z(p->mem, at), opened, p, NULL);
    if (!p->stream) {
        refuse(p);
        return;
    }
    stream_on(p->stream, &events, p);
    loop_timer_start(&p->timer, (int64_t)timeout_ms);
    struct sb out = SB(p->mem);
    bool has_host = false, has_agent = false, has_accept = false;
    sb_addf(&out, "GET %s" STR_FMT " HTTP/1.1\r\n", str_starts(path, STR("/")) ? "" : "/", STR_ARG(path));
    for (size_t i = 0; i + 1 < count; i += 2) {
        if (!token_safe(headers[i]) || !token_safe(headers[i + 1]))
            continue;
        has_host = has_host || str_ieq(headers[i], STR("Host")),
        has_agent = has_agent || str_ieq(headers[i], STR("User-Agent"));
        has_accept = has_accept || str_ieq(headers[i], STR("Accept"));
        sb_addf(&out, STR_FMT ": " STR_FMT "\r\n", STR_ARG(headers[i]), STR_ARG(headers[i + 1]));
    }
    if (!has_host)
        sb_addf(&out, "Host: " STR_FMT "\r\n", STR_ARG(at));
    sb_addf(&out, "%s%sConnection: close\r\n\r\n", has_agent ? "" : "User-Agent: kube-probe/1.36\r\n",
            has_accept ? "" : "Accept: */*\r\n");
    stream_write(p->stream, sb_str(&out));
}

void net_probe_tcp(struct net *n, struct ipc_msg *m)
{
    struct probing *p = probing_new(n, m, TCP);
    struct ipc_reader r = IPC_READER(m->body);
    struct str host = ipc_get_str(&r);
    uint64_t port = ipc_get_u64(&r), timeout_ms = ipc_get_u64(&r);
    if (!ipc_read_ok(&r) || port == 0 || port > 65535) {
        refuse(p);
        return;
    }
    p->url = address(p->mem, host, port);
    p->stream = stream_connect(n->loop, str_z(p->mem, p->url), opened, p, NULL);
    if (!p->stream) {
        refuse(p);
        return;
    }
    stream_on(p->stream, &events, p);
    loop_timer_start(&p->timer, (int64_t)timeout_ms);
}

/* grpc.health.v1.Health/Check over plain HTTP/2. The answer's frame holds field 1 (status), 1 is SERVING. */
static void grpc_done(void *ctx, const struct http_reply *reply)
{
    struct probing *p = ctx;
    p->call = NULL;
    if (p->answered)
        return;
    if (reply->error || reply->status != 200) {
        answer(p, reply->error ? reply->error : -EPROTO,
               str_fmt(p->mem, "error: health rpc probe failed: %s",
                       reply->error ? strerror(-reply->error) : "bad status"));
        return;
    }
    struct str b = reply->body;
    bool serving = b.len >= 7 && b.ptr[0] == 0 && b.ptr[5] == 8 && b.ptr[6] == 1;
    if (serving)
        answer(p, 0, STR_NULL);
    else
        answer(p, -EPROTO, STR("service unhealthy (responded with \"NOT_SERVING\")"));
}

void net_probe_grpc(struct net *n, struct ipc_msg *m)
{
    struct probing *p = probing_new(n, m, GRPC);
    struct ipc_reader r = IPC_READER(m->body);
    struct str host = ipc_get_str(&r);
    uint64_t port = ipc_get_u64(&r);
    struct str service = ipc_get_str(&r);
    uint64_t timeout_ms = ipc_get_u64(&r);
    if (!ipc_read_ok(&r) || port == 0 || port > 65535 || service.len > 120) {
        refuse(p);
        return;
    }
    p->url = address(p->mem, host, port);
    char *at = str_z(p->mem, p->url);
    const struct http_client_opts opts = {.loop = n->loop, .address = at, .server_name = at};
    p->client = http_client_new(&opts);
    if (!p->client) {
        refuse(p);
        return;
    }
    struct sb body = SB(p->mem);
    size_t inner = service.len ? service.len + 2 : 0;
    const char frame[5] = {0, 0, 0, 0, (char)inner};
    sb_add(&body, str_mem(frame, 5));
    if (inner)
        sb_addc(&body, 10), sb_addc(&body, (char)service.len), sb_add(&body, service);
    static const struct http_header headers[] = {{STR("te"), STR("trailers")}};
    const struct http_request req = {.method = "POST",
                                     .path = STR("/grpc.health.v1.Health/Check"),
                                     .content_type = "application/grpc",
                                     .headers = headers,
                                     .header_count = 1,
                                     .body = sb_str(&body),
                                     .timeout_ms = (int64_t)timeout_ms,
                                     .on_done = grpc_done,
                                     .ctx = p};
    loop_timer_start(&p->timer, (int64_t)timeout_ms);
    p->call = http_client_send(p->client, &req);
}
