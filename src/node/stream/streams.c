/* node/stream/streams.c - the helper's half as a whole: certificates, the tunnel and its reconnection, the endpoint. */
#include "node/stream/streams.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/log.h"
#include "node/stream/streams_priv.h"

enum { PEM_BYTES_MAX = 256 << 10, BODY_BYTES_MAX = 1 << 20 };

/* ---- sessions */
bool session_begin(struct streams *o, struct session *s, void (*cut)(struct session *s), struct exchange *x)
{
    if (o->session_count >= STREAMS_SESSIONS_MAX) {
        answer_error(x, 503, STR("too many streams are open on this node"), x->peer->identity != NULL);
        return false;
    }
    s->owner = o, s->cut = cut;
    list_add_tail(&o->sessions, &s->link);
    o->session_count++;
    return true;
}

void session_end(struct session *s)
{
    if (!s->owner)
        return;
    list_remove(&s->link);
    s->owner->session_count--;
    s->owner = NULL;
}

static void exec_exited(struct streams *s, uint64_t id, int code, struct str message)
{
    list_each (at, &s->sessions) {
        struct session *one = container_of(at, struct session, link);
        if (one->exec_id == id && one->exited) {
            one->exited(one, code, message);
            return;
        }
    }
}

/* ---- the tunnel */
static void tunnel_open(struct streams *s);

static void on_retry(struct loop_timer *t)
{
    tunnel_open(container_of(t, struct streams, retry));
}

static void on_opened(void *ctx)
{
    struct streams *s = ctx;
    struct str at = http_address_nth(s->address, s->turn);
    s->backoff_ms = 0, s->failed_told = false, s->open = true;
    log_info("stream", "tunnel open", "server=" STR_FMT, STR_ARG(at));
}

static void on_closed(void *ctx, int error)
{
    struct streams *s = ctx;
    s->tunnel = NULL;
    s->turn += !s->open; /* an address that could not be reached: the next one */
    s->open = false;
    s->backoff_ms = s->backoff_ms == 0 ? STREAMS_BACKOFF_MS_MIN : s->backoff_ms * 2;
    if (s->backoff_ms > STREAMS_BACKOFF_MS_MAX)
        s->backoff_ms = STREAMS_BACKOFF_MS_MAX;
    if (!s->failed_told)
        log_warn("stream", "tunnel closed", "server=%s error=%d", s->address, error);
    s->failed_told = true;
    int64_t jitter = (int64_t)(loop_rand(s->o.loop, RAND_JITTER) % (uint64_t)(s->backoff_ms / 2 + 1));
    loop_timer_start(&s->retry, s->backoff_ms / 2 + jitter);
}

static void refuse_data(void *ctx, struct str bytes)
{
}

static void refuse_close(void *ctx, int error)
{
}

static const struct stream_events refuse_events = {refuse_data, NULL, NULL, refuse_close};

/* "kubelet" is our own endpoint; else an address in the pod network or on this host. */
static void on_accept(void *ctx, struct stream *stream, struct str authority)
{
    struct streams *s = ctx;
    cleanup_arena struct arena *mem = arena_new();
    if (str_is(authority, "kubelet")) {
        http_server_adopt(s->server, stream, STR("tunnel"), s);
        return;
    }
    int error = 0;
    bool is_path = str_starts(authority, STR("unix:"));
    struct stream *target = is_path ? NULL : stream_connect(s->o.loop, str_z(mem, authority), NULL, NULL, &error);
    if (!target) {
        stream_on(stream, &refuse_events, NULL);
        stream_close(stream);
        return;
    }
    stream_join(stream, target, NULL, NULL);
}

static struct http_client_opts api_opts(struct streams *s)
{
    return (struct http_client_opts){
        .loop = s->o.loop, .address = s->address, .server_name = s->server_name, .tls = s->tunnel_tls};
}

static void tunnel_open(struct streams *s)
{
    cleanup_arena struct arena *mem = arena_new();
    struct http_client_opts o = api_opts(s);
    o.address = str_z(mem, http_address_nth(s->address, s->turn));
    s->tunnel = http_tunnel_open(&o, s->path, on_accept, on_opened, on_closed, s);
}

/* ---- certificates */
static bool read_pem(struct arena *mem, int fd, struct str *ret)
{
    struct stat st;
    if (fstat(fd, &st) < 0 || st.st_size <= 0 || st.st_size > PEM_BYTES_MAX)
        return false;
    char *text = arena_alloc(mem, (size_t)st.st_size + 1);
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return false;
    memcpy(text, p, (size_t)st.st_size);
    munmap(p, (size_t)st.st_size);
    text[st.st_size] = 0;
    *ret = str_mem(text, (size_t)st.st_size);
    return true;
}

/* The certificate and its chain stand before the key, the CA behind it. */
static bool split_pem(struct arena *mem, struct str all, struct str *cert, struct str *key, struct str *ca)
{
    static const char begin[] = "-----BEGIN ", end[] = "PRIVATE KEY-----\n";
    const char *stop = memmem(all.ptr, all.len, end, sizeof(end) - 1);
    if (!stop) /* the BEGIN line is the first to end so */
        return false;
    const char *start = stop;
    while (start > all.ptr && (*start != '\n' || strncmp(start + 1, begin, sizeof(begin) - 1) != 0))
        start--;
    const char *after = memmem(stop + 1, all.len - (size_t)(stop + 1 - all.ptr), end, sizeof(end) - 1);
    if (start == all.ptr || !after)
        return false;
    after += sizeof(end) - 1;
    *cert = str_dup(mem, str_mem(all.ptr, (size_t)(start + 1 - all.ptr)));
    *key = str_dup(mem, str_mem(start + 1, (size_t)(after - start - 1)));
    *ca = str_dup(mem, str_from(all, (size_t)(after - all.ptr)));
    return true;
}

static void set_text(char **to, struct str text)
{
    free(*to);
    *to = strndup(text.len ? text.ptr : "", text.len);
    if (!*to)
        abort();
}

/* "10.0.0.1:6443", "[::1]:6443": without the port. */
static struct str host_of(struct str address)
{
    ptrdiff_t colon = str_rfind(address, ':');
    struct str host = colon < 0 ? address : str_head(address, (size_t)colon);
    if (host.len > 1 && host.ptr[0] == '[')
        host = str_mem(host.ptr + 1, host.len - 2);
    return host;
}

static void tunnel_certificate(struct streams *s, struct str address, struct str cert, struct str key, struct str ca)
{
    const char *why = "";
    bool same = s->address && str_is(address, s->address);
    if (s->tunnel_tls && same) {
        if (tls_context_renew(s->tunnel_tls, cert, key, &why) < 0)
            log_warn("stream", "bad tunnel certificate", "why=\"%s\"", why);
        else
            set_text(&s->cert, cert), set_text(&s->key, key);
        return;
    }
    struct tls_context *tls = tls_client_new(ca, cert, key, &why);
    if (!tls) {
        log_warn("stream", "bad tunnel certificate", "why=\"%s\"", why);
        return;
    }
    set_text(&s->cert, cert), set_text(&s->key, key), set_text(&s->ca, ca);
    loop_timer_stop(&s->retry);
    s->tunnel = http_tunnel_close(s->tunnel);
    s->api = http_client_free(s->api);
    tls_context_free(s->tunnel_tls);
    s->tunnel_tls = tls;
    set_text(&s->address, address);
    set_text(&s->server_name, s->o.server_name ? str_of(s->o.server_name) : host_of(http_address_nth(s->address, 0)));
    struct http_client_opts o = api_opts(s);
    s->api = http_client_new(&o);
    tunnel_open(s);
}

bool streams_identity(const struct streams *s, struct arena *mem, struct streams_identity *ret)
{
    if (!s->tunnel_tls || str_starts(str_of(s->address), STR("unix:")))
        return false;
    *ret = (struct streams_identity){.address = str_z(mem, str_of(s->address)),
                                     .server_name = str_z(mem, str_of(s->server_name)),
                                     .cert = str_z(mem, str_of(s->cert)),
                                     .key = str_z(mem, str_of(s->key)),
                                     .ca = str_z(mem, str_of(s->ca))};
    return true;
}

static void handle(void *ctx, struct exchange *x)
{
    struct streams *s = ctx;
    if (x->peer->identity)
        route(s, x);
    else
        auth_check(s, x, route);
}

static size_t body_max(void *ctx, const struct exchange *x)
{
    return BODY_BYTES_MAX;
}

static struct http_server *server_new(struct streams *s, struct tls_context *tls)
{
    return http_server_new(&(struct http_server_opts){
        .loop = s->o.loop, .tls = tls, .handle = handle, .ctx = s, .body_max = body_max, .conns_max = 1024});
}

static void kubelet_certificate(struct streams *s, struct str cert, struct str key, struct str ca)
{
    const char *why = "";
    if (s->server_tls) {
        if (tls_context_renew(s->server_tls, cert, key, &why) < 0)
            log_warn("stream", "bad serving certificate", "why=\"%s\"", why);
        return;
    }
    if (s->o.port < 0)
        return;
    s->server_tls = tls_server_new(cert, key, ca, &why);
    if (!s->server_tls) {
        log_warn("stream", "bad serving certificate", "why=\"%s\"", why);
        return;
    }
    cleanup_arena struct arena *mem = arena_new();
    int port = s->o.port ? s->o.port : 10250;
    s->listener = server_new(s, s->server_tls);
    int r = http_server_listen(s->listener, str_fmtz(mem, "0.0.0.0:%d", port));
    http_server_listen(s->listener, str_fmtz(mem, "[::]:%d", port)); /* a host may have no IPv6 */
    if (r < 0)
        log_warn("stream", "cannot serve the kubelet's endpoint", "port=%d error=%d", port, r);
}

static void on_tls(struct streams *s, struct ipc_msg *m)
{
    cleanup_arena struct arena *mem = arena_new();
    struct ipc_reader r = IPC_READER(m->body);
    struct str purpose = ipc_get_str(&r), address = ipc_get_str(&r), all, cert, key, ca;
    if (!ipc_read_ok(&r) || m->fd_count != 1 || !read_pem(mem, m->fds[0], &all) ||
        !split_pem(mem, all, &cert, &key, &ca))
        log_warn("stream", "bad credentials from the agent", NULL);
    else if (str_is(purpose, "tunnel"))
        tunnel_certificate(s, address, cert, key, ca);
    else if (str_is(purpose, "kubelet"))
        kubelet_certificate(s, cert, key, ca);
}

bool streams_message(struct streams *s, struct ipc_msg *m)
{
    struct ipc_reader r = IPC_READER(m->body);
    if (m->type == IPC_TLS) {
        on_tls(s, m);
    } else if (m->type == IPC_EXEC_EXIT) {
        uint64_t id = ipc_get_u64(&r), code = ipc_get_u64(&r);
        struct str message = ipc_get_str(&r);
        if (ipc_read_ok(&r) && id)
            exec_exited(s, id, (int)(int64_t)code, message);
    } else {
        return false;
    }
    return true;
}

struct streams *streams_new(const struct streams_opts *o)
{
    struct arena *keep = arena_new();
    struct streams *s = arena_new_of(keep, struct streams);
    *s = (struct streams){.o = *o, .keep = keep};
    s->o.node_name = str_z(keep, str_of(o->node_name));
    s->o.server_name = o->server_name ? str_z(keep, str_of(o->server_name)) : NULL;
    s->path = str_fmtz(keep, "/sampan/v1/tunnel/%s", s->o.node_name);
    list_init(&s->sessions);
    loop_timer_init(o->loop, &s->retry, on_retry);
    s->server = server_new(s, NULL);
    s->auth = auth_new(s);
    return s;
}

struct http_server *streams_server(struct streams *s)
{
    return s->server;
}

struct streams *streams_free(struct streams *s)
{
    if (!s)
        return NULL;
    loop_timer_stop(&s->retry);
    while (!list_empty(&s->sessions)) {
        struct session *one = container_of(s->sessions.next, struct session, link);
        one->cut(one); /* and session_end */
    }
    s->tunnel = http_tunnel_close(s->tunnel);
    auth_free(s->auth);
    http_server_free(s->server);
    http_server_free(s->listener);
    http_client_free(s->api);
    tls_context_free(s->server_tls);
    tls_context_free(s->tunnel_tls);
    free(s->address), free(s->server_name);
    free(s->cert), free(s->key), free(s->ca);
    arena_free(s->keep);
    return NULL;
}
