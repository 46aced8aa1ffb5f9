#include "node/agent/client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "base/log.h"
#include "http/client.h"
#include "http/tls.h"
#include "node/agent.h"
#include "node/files.h"

enum {
    WATCH_BACKOFF_MS_MIN = 250,
    WATCH_BACKOFF_MS_MAX = 30000,
    WATCH_LINE_BYTES_MAX = 8 << 20,
    PEM_BYTES_MAX = 1 << 20
};

struct api {
    struct loop *loop;
    struct http_client *client;
    struct tls_context *tls;
    char *token;
};

static int read_pem(const char *path, struct arena *mem, struct str *ret)
{
    *ret = STR_NULL;
    return path ? files_read(AT_FDCWD, path, PEM_BYTES_MAX, mem, ret) : 0;
}

static bool pem_field(struct arena *mem, const struct doc *d, const char *data, const char *file, struct str *ret)
{
    struct str text = doc_str(d, data), path = doc_str(d, file);
    if (text.len)
        return str_base64_dec(mem, text, ret);
    return path.len == 0 || read_pem(str_z(mem, path), mem, ret) == 0;
}

static const struct doc *named(const struct doc *list, struct str name)
{
    doc_each (i, list)
        if (str_eq(doc_str(i, "name"), name))
            return i;
    return NULL;
}

static const char *from_kubeconfig(const char *path, struct arena *mem, struct api_credentials *c)
{
    struct str text;
    if (files_read(AT_FDCWD, path, PEM_BYTES_MAX, mem, &text) < 0)
        return "the kubeconfig can't be read";
    const struct doc *d = doc_parse_yaml(mem, text, NULL, NULL, NULL);
    const struct doc *context = doc_get(named(doc_get(d, "contexts"), doc_str(d, "current-context")), "context");
    const struct doc *cluster = doc_get(named(doc_get(d, "clusters"), doc_str(context, "cluster")), "cluster");
    const struct doc *user = doc_get(named(doc_get(d, "users"), doc_str(context, "user")), "user");
    if (!cluster || !user)
        return "the kubeconfig names no cluster or user";
    c->server = doc_str(cluster, "server"), c->token = doc_str(user, "token");
    if (!pem_field(mem, cluster, "certificate-authority-data", "certificate-authority", &c->ca) ||
        !pem_field(mem, user, "client-certificate-data", "client-certificate", &c->cert) ||
        !pem_field(mem, user, "client-key-data", "client-key", &c->key))
        return "a certificate of the kubeconfig can't be read";
    if (str_starts(c->server, STR("https://")))
        c->server = str_from(c->server, 8);
    else if (str_starts(c->server, STR("http://")))
        c->server = str_from(c->server, 7), c->plain = true;
    while (str_ends(c->server, STR("/")))
        c->server.len--;
    return NULL;
}

static const char *gather(const struct agent_opts *o, struct arena *mem, struct api_credentials *c)
{
    if (o->kubeconfig)
        return from_kubeconfig(o->kubeconfig, mem, c);
    c->server = str_of(o->server);
    c->plain = str_starts(c->server, STR("unix:")) && !o->ca_file;
    if (read_pem(o->ca_file, mem, &c->ca) < 0 || read_pem(o->cert_file, mem, &c->cert) < 0 ||
        read_pem(o->key_file, mem, &c->key) < 0 || read_pem(o->token_file, mem, &c->token) < 0)
        return "the agent's credentials can't be read";
    c->token = str_trim(c->token);
    return NULL;
}

static char *host_of(struct arena *mem, struct str servers)
{
    struct str server = http_address_nth(str_z(mem, servers), 0);
    ptrdiff_t colon = str_rfind(server, ':');
    struct str host = colon > 0 ? str_head(server, (size_t)colon) : server;
    return str_z(mem, str_starts(host, STR("[")) ? str_mem(host.ptr + 1, host.len - 2) : host);
}

struct api *api_open(struct loop *l, const struct api_credentials *c, struct arena *mem, const char **ret_why)
{
    const char *why = "bad credentials";
    struct tls_context *tls = c->plain        ? NULL
                              : c->unverified ? tls_client_unverified_new(&why)
                                              : tls_client_new(c->ca, c->cert, c->key, &why);
    if (!tls && !c->plain)
        return *ret_why = why, NULL;
    struct api *a = calloc(1, sizeof(*a));
    if (!a)
        abort();
    a->loop = l, a->tls = tls, a->token = c->token.len ? strndup(c->token.ptr, c->token.len) : NULL;
    const struct http_client_opts opts = {.loop = l,
                                          .address = str_z(mem, c->server),
                                          .tls = tls,
                                          .bearer_token = a->token,
                                          .server_name = c->server_name ? c->server_name : host_of(mem, c->server)};
    a->client = http_client_new(&opts);
    if (!a->client) {
        api_disconnect(a);
        return *ret_why = "the server's address is none", NULL;
    }
    return a;
}

struct api *api_connect(struct loop *l, const struct agent_opts *o, struct arena *mem, const char **ret_why)
{
    struct api_credentials c = {.server_name = o->server_name};
    const char *why = gather(o, mem, &c);
    return why ? (*ret_why = why, NULL) : api_open(l, &c, mem, ret_why);
}

int api_renew(struct api *a, struct str cert_pem, struct str key_pem, const char **ret_why)
{
    return a->tls ? tls_context_renew(a->tls, cert_pem, key_pem, ret_why) : 0;
}

struct api *api_disconnect(struct api *a)
{
    if (!a)
        return NULL;
    http_client_free(a->client);
    tls_context_free(a->tls);
    free(a->token), free(a);
    return NULL;
}

struct question {
    api_done_fn *done;
    void *ctx;
};

static void answered(void *ctx, const struct http_reply *r)
{
    struct question *q = ctx;
    cleanup_arena struct arena *mem = arena_new();
    struct api_answer a = {.status = r->status, .error = r->error, .mem = mem};
    if (r->body.len && r->error == 0)
        a.doc = doc_parse(mem, r->body, NULL, NULL);
    if (q->done)
        q->done(q->ctx, &a);
    free(q);
}

struct http_call *api_send(struct api *a, const char *method, struct str path, const char *content_type,
                           struct str body, api_done_fn *done, void *ctx)
{
    struct question *q = calloc(1, sizeof(*q));
    if (!q)
        abort();
    q->done = done, q->ctx = ctx;
    const struct http_request r = {.method = method,
                                   .path = path,
                                   .accept = "application/json",
                                   .body = body,
                                   .on_done = answered,
                                   .ctx = q,
                                   .content_type =
                                       body.len ? (content_type ? content_type : "application/json") : NULL};
    return http_client_send(a->client, &r);
}

/* ---- watches */

static void list_again(struct api_watch *w);
static void watch_again(struct api_watch *w);

static void fire(struct loop_timer *t)
{
    struct api_watch *w = container_of(t, struct api_watch, timer);
    if (!w->on || w->call)
        return;
    if (w->synced && w->revision.len)
        watch_again(w);
    else
        list_again(w);
}

static void later(struct api_watch *w, bool failed)
{
    if (!w->on)
        return;
    if (failed)
        w->backoff_ms = w->backoff_ms ? w->backoff_ms * 2 : WATCH_BACKOFF_MS_MIN;
    if (w->backoff_ms > WATCH_BACKOFF_MS_MAX)
        w->backoff_ms = WATCH_BACKOFF_MS_MAX;
    int64_t jitter = failed ? (int64_t)(loop_rand(w->api->loop, RAND_JITTER) % (uint64_t)(w->backoff_ms / 2 + 1)) : 0;
    loop_timer_start(&w->timer, failed ? w->backoff_ms + jitter : 0);
}

static void set_revision(struct api_watch *w, struct str r)
{
    char *copy = r.len ? strndup(r.ptr, r.len) : NULL;
    free((char *)(uintptr_t)w->revision.ptr);
    w->revision = str_of(copy);
}

static void listed(void *ctx, const struct http_reply *r)
{
    struct api_watch *w = ctx;
    cleanup_arena struct arena *mem = arena_new();
    w->call = NULL;
    if (!w->on)
        return;
    const struct doc *d = r->status == 200 && r->error == 0 ? doc_parse(mem, r->body, NULL, NULL) : NULL;
    if (!d) {
        if (w->backoff_ms == 0)
            log_warn("api", "a list failed", "path=" STR_FMT " status=%d error=%s", STR_ARG(w->path), r->status,
                     strerror(-r->error));
        later(w, /* failed= */ true);
        return;
    }
    w->event(w, WATCH_SYNC_BEGIN, NULL);
    doc_each (i, doc_get(d, "items"))
        if (w->on) /* an event may stop it */
            w->event(w, WATCH_ADDED, i);
    if (!w->on)
        return;
    set_revision(w, doc_str(doc_get(d, "metadata"), "resourceVersion"));
    w->synced = true, w->backoff_ms = 0;
    w->event(w, WATCH_SYNC_END, NULL);
    if (w->on)
        watch_again(w);
}

static void list_again(struct api_watch *w)
{
    w->synced = false;
    const struct http_request r = {
        .method = "GET", .path = w->path, .accept = "application/json", .on_done = listed, .ctx = w};
    w->call = http_client_send(w->api->client, &r);
    w->watching = true;
}

static void on_line(struct api_watch *w, struct str line)
{
    cleanup_arena struct arena *mem = arena_new();
    const struct doc *d = doc_parse(mem, line, NULL, NULL), *obj = doc_get(d, "object");
    struct str type = doc_str(d, "type"), revision = doc_str(doc_get(obj, "metadata"), "resourceVersion");
    if (str_is(type, "ERROR")) {
        set_revision(w, STR_NULL); /* 410 or worse: list again */
        w->synced = false;
        return;
    }
    if (revision.len)
        set_revision(w, revision);
    w->backoff_ms = 0;
    if (str_is(type, "ADDED"))
        w->event(w, WATCH_ADDED, obj);
    else if (str_is(type, "MODIFIED"))
        w->event(w, WATCH_MODIFIED, obj);
    else if (str_is(type, "DELETED"))
        w->event(w, WATCH_DELETED, obj);
}

static void keep_rest(struct api_watch *w, struct str rest)
{
    if (w->line_len + rest.len > w->line_cap) {
        w->line_cap = (w->line_len + rest.len) * 2 + 256;
        w->line = realloc(w->line, w->line_cap);
        if (!w->line)
            abort();
    }
    if (rest.len)
        memcpy(w->line + w->line_len, rest.ptr, rest.len);
    w->line_len += rest.len;
}

static void on_data(void *ctx, struct str bytes)
{
    struct api_watch *w = ctx;
    struct str line;
    while (w->on && str_find(bytes, '\n') >= 0) {
        str_cut(bytes, '\n', &line, &bytes);
        if (w->line_len) {
            keep_rest(w, line);
            line = str_mem(w->line, w->line_len);
        }
        w->line_len = 0;
        if (line.len)
            on_line(w, line);
    }
    if (w->on && w->line_len + bytes.len <= WATCH_LINE_BYTES_MAX)
        keep_rest(w, bytes);
    if (w->on && w->line_len == 0 && w->line_cap > 65536)
        free(w->line), w->line = NULL, w->line_cap = 0;
}

static void on_header(void *ctx, const struct http_reply *r)
{
    struct api_watch *w = ctx;
    if (r->status == 410)
        set_revision(w, STR_NULL), w->synced = false;
}

static void ended(void *ctx, const struct http_reply *r)
{
    struct api_watch *w = ctx;
    w->call = NULL, w->line_len = 0;
    bool failed = r->error != 0 || r->status != 200;
    if (r->status == 410)
        set_revision(w, STR_NULL), w->synced = false;
    later(w, failed);
}

static void watch_again(struct api_watch *w)
{
    cleanup_arena struct arena *mem = arena_new();
    bool query = str_find(w->path, '?') >= 0;
    struct str path = str_fmt(mem, STR_FMT "%cwatch=true&allowWatchBookmarks=true&resourceVersion=" STR_FMT,
                              STR_ARG(w->path), query ? '&' : '?', STR_ARG(w->revision));
    const struct http_request r = {.method = "GET",
                                   .path = path,
                                   .accept = "application/json",
                                   .on_header = on_header,
                                   .on_data = on_data,
                                   .on_done = ended,
                                   .ctx = w};
    w->call = http_client_send(w->api->client, &r);
}

void api_watch_start(struct api *a, struct api_watch *w)
{
    w->api = a, w->on = true;
    loop_timer_init(a->loop, &w->timer, fire);
    list_again(w);
}

void api_watch_stop(struct api_watch *w)
{
    if (!w->on)
        return;
    w->on = false;
    loop_timer_stop(&w->timer);
    if (w->call)
        http_call_cancel(w->call);
    w->call = NULL;
    free((char *)(uintptr_t)w->revision.ptr), free(w->line);
    w->revision = STR_NULL, w->line = NULL, w->line_len = w->line_cap = 0;
}
