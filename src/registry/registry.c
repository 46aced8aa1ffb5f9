/* registry/registry.c - the way in and out of the registry: routes, requests that outlive their exchange, errors. */
#include "registry/internal.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "http/url.h"

/* ---- life */
struct registry *registry_new(const struct registry_opts *o)
{
    struct arena *mem = arena_new();
    struct registry *g = arena_new_of(mem, struct registry);
    g->mem = mem, g->loop = o->loop, g->gate = o->gate, g->cache = o->cache;
    g->grace_s = o->grace_s ? o->grace_s : REGISTRY_GRACE_S;
    g->disk.grace_s = g->grace_s;
    g->disk.root = str_z(mem, str_of(o->dir));
    pthread_rwlock_init(&g->disk.lock, NULL);
    pthread_mutex_init(&g->disk.quota, NULL);
    g->mirrors = str_dup(mem, str_of(o->mirrors));
    list_init(&g->fetches);
    g->gc = gc_new(g);
    return g;
}

void registry_check_freed(struct registry *g)
{
    if (!g->freed || g->requests || g->fetching || gc_is_running(g->gc))
        return;
    uploads_done(g);
    gc_free(g->gc);
    pthread_rwlock_destroy(&g->disk.lock);
    pthread_mutex_destroy(&g->disk.quota);
    arena_free(g->mem);
}

struct registry *registry_free(struct registry *g)
{
    if (!g)
        return NULL;
    gc_stop(g->gc);
    g->freed = true;
    mirrors_stop(g);
    registry_check_freed(g);
    return NULL;
}

bool registry_wants(const struct exchange *x)
{
    return str_is(x->path, "/v2") || str_starts(x->path, STR("/v2/"));
}

/* ---- requests */
static void request_end(struct request *r)
{
    struct registry *g = r->g;
    if (r->drop)
        r->drop(r);
    arena_free(r->mem);
    g->requests--;
    registry_check_freed(g);
}

static void leave(struct exchange *x)
{
    struct request *r = x->user;
    if (!r)
        return;
    x->user = NULL;
    r->x = NULL;
    if (r->is_waiting)
        list_remove(&r->wait);
    if (!r->working)
        request_end(r);
}

static void on_work(struct loop_work *w)
{
    struct request *r = container_of(w, struct request, work);
    r->job(r);
}

static void on_done(struct loop_work *w)
{
    struct request *r = container_of(w, struct request, work);
    r->working = false;
    if (r->x)
        r->then(r);
    else
        request_end(r);
}

void request_run(struct request *r, void (*job)(struct request *r), void (*then)(struct request *r))
{
    r->job = job, r->then = then;
    r->work = (struct loop_work){.work = on_work, .done = on_done};
    r->working = true;
    if (loop_work(r->g->loop, &r->work) == 0)
        return;
    r->working = false;
    request_refuse(r, 503, CODE_UNKNOWN, "no thread");
}

void request_fail(struct request *r, int status, enum code code, const char *fmt, ...)
{
    va_list ap;
    if (r->code != CODE_NONE)
        return;
    va_start(ap, fmt);
    r->why = str_vfmt(r->mem, fmt, ap);
    va_end(ap);
    r->status = status, r->code = code;
}

void request_fail_errno(struct request *r, int error, const char *what)
{
    bool full = error == -ENOSPC || error == -EDQUOT || error == -EMLINK;
    if (!full)
        log_warn("registry", "a file could not be handled", "what=%s error=%s", what, strerror(-error));
    request_fail(r, full ? 507 : 500, CODE_UNKNOWN, "%s: %s", what, strerror(-error));
}

void request_answer_failure(struct request *r)
{
#define X(code) #code,
    static const char *const words[] = {"", REGISTRY_CODES(X)};
#undef X
    struct sb b = SB(r->x->mem);
    sb_addf(&b, "{\"errors\":[{\"code\":\"%s\",\"message\":", words[r->code]);
    doc_json_string(&b, r->why);
    sb_addz(&b, "}]}\n");
    if (r->status == 429)
        exchange_set_header(r->x, "Retry-After", STR("1"));
    exchange_reply(r->x, r->status, "application/json", sb_str(&b));
}

void request_reply(struct request *r, int status, const char *content_type, struct str body)
{
    exchange_reply(r->x, status, content_type, str_dup(r->x->mem, body));
}

void request_set_digest(struct request *r, struct str hex)
{
    exchange_set_header(r->x, "Docker-Content-Digest", str_fmt(r->x->mem, "sha256:%.*s", STR_ARG(hex)));
}

struct str request_query(struct request *r, const char *name)
{
    struct str value = STR_NULL;
    url_query_get(r->mem, r->x->query, name, &value);
    return value;
}

bool request_digest(struct request *r, struct str digest)
{
    if (name_digest(digest, &r->hex))
        return true;
    request_refuse(r, 400, CODE_DIGEST_INVALID, "the digest must be sha256: and 64 hex digits");
    return false;
}

bool request_page(struct request *r, int *ret_n, struct str *ret_last)
{
    struct str n = request_query(r, "n");
    uint64_t number = REGISTRY_PAGE_MAX;
    if (n.len && !str_to_u64(n, &number)) {
        request_refuse(r, 400, CODE_UNSUPPORTED, "n must be a number");
        return false;
    }
    *ret_n = number < REGISTRY_PAGE_MAX ? (int)number : REGISTRY_PAGE_MAX;
    *ret_last = request_query(r, "last");
    return true;
}

/* ---- routes */
static const struct row {
    enum route route;
    bool named;
    const char *methods; /* others are 405 */
    void (*handle)(struct request *r);
} rows[] = {
    {ROUTE_BASE, false, "GET HEAD", serve_base},
    {ROUTE_TOKEN, false, "GET", serve_token},
    {ROUTE_BLOB, true, "GET HEAD DELETE", serve_blob},
    {ROUTE_UPLOADS, true, "POST", serve_uploads},
    {ROUTE_UPLOAD, true, "GET PATCH PUT DELETE", serve_upload},
    {ROUTE_MANIFEST, true, "GET HEAD PUT DELETE", serve_manifest},
    {ROUTE_TAGS, true, "GET HEAD", serve_tags},
    {ROUTE_REFERRERS, true, "GET HEAD", serve_referrers},
};

static bool has_word(const char *list, struct str word)
{
    struct str rest = str_of(list), one;
    while (str_next(&rest, ' ', &one))
        if (str_eq(one, word))
            return true;
    return false;
}

static struct request *request_new(struct registry *g, struct exchange *x)
{
    struct arena *mem = arena_new();
    struct request *r = arena_new_of(mem, struct request);
    r->g = g, r->x = x, r->mem = mem;
    g->requests++;
    x->user = r;
    x->on_abort = leave, x->on_end = leave;
    exchange_set_header(x, "Docker-Distribution-Api-Version", STR("registry/2.0"));
    return r;
}

static void route(struct request *r)
{
    struct str path;
    const struct row *row = NULL;
    if (url_decode_path(r->mem, r->x->path, &path))
        r->target = name_route(str_dup(r->mem, path));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) && !row; i++)
        if (rows[i].route == r->target.route)
            row = &rows[i];
    if (!row)
        request_refuse(r, 404, CODE_UNSUPPORTED, "no such endpoint");
    else if (!has_word(row->methods, r->x->method))
        request_refuse(r, 405, CODE_UNSUPPORTED, "the operation is unsupported");
    else if (auth_user(r) && (!row->named || auth_repository(r)))
        row->handle(r);
}

void registry_handle(void *ctx, struct exchange *x)
{
    struct registry *g = ctx;
    struct request *r = request_new(g, x);
    if (g->requests > REGISTRY_REQUESTS_MAX)
        request_refuse(r, 429, CODE_TOOMANYREQUESTS, "too many requests");
    else
        route(r);
}
