/* api/api.c - the way in: who asks, what for, may they; then the behaviour that answers.
 * Source: k8s.io/apiserver pkg/server/config.go DefaultBuildHandlerChain. */
#include "api/internal.h"

/* ---- life */

struct api *api_new(const struct api_opts *o)
{
    struct arena *mem = arena_new();
    struct api *a = arena_new_of(mem, struct api);
    a->mem = mem;
    a->loop = o->loop, a->cache = o->cache, a->store = o->store, a->writer = o->writer, a->gate = o->gate;
    a->advertise = str_dup(mem, o->advertise);
    a->git_commit = o->git_commit, a->build_date = o->build_date;
    a->reads_max = o->reads_max ? o->reads_max : API_READS_MAX;
    a->writes_max = o->writes_max ? o->writes_max : API_WRITES_MAX;
    watches_init(a);
    return a;
}

struct api *api_free(struct api *a)
{
    if (!a)
        return NULL;
    tunnels_done(a);
    usage_done(a);
    watches_done(a);
    memo_done(a);
    map_done(&a->tunnels);
    arena_free(a->mem);
    return NULL;
}

void api_set_ready(struct api *a, bool ready)
{
    a->ready = ready;
}

void api_stop(struct api *a)
{
    a->stopping = true;
    watches_stop(a);
}

/* Who is unknown gets no megabytes of memory before being told so. */
size_t api_body_max(void *ctx, const struct exchange *x)
{
    struct api *a = ctx;
    struct str length = exchange_header(x, "content-length");
    struct err ignored = ERR(x->mem);
    uint64_t bytes;
    if (length.len && str_to_u64(length, &bytes) && bytes <= API_STRANGERS_BODY_BYTES_MAX)
        return API_BODY_BYTES_MAX;
    const struct user *u = gate_authenticate(a->gate, (struct exchange *)x, &ignored);
    return u && !str_is(u->name, "system:anonymous") ? API_BODY_BYTES_MAX : API_STRANGERS_BODY_BYTES_MAX;
}

struct str api_error_body(void *ctx, struct arena *mem, int status, const char *text, const char **ret_content_type)
{
    static const struct {
        int status;
        enum err_reason reason;
    } rows[] = {{413, ERR_TOO_LARGE}, {503, ERR_UNAVAILABLE}, {408, ERR_TIMEOUT}};
    struct err err = ERR(mem);
    enum err_reason reason = ERR_BAD_REQUEST;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].status == status)
            reason = rows[i].reason;
    if (reason == ERR_TOO_LARGE)
        err_set(&err, reason, "Request entity too large: limit is %d", API_BODY_BYTES_MAX);
    else
        err_set(&err, reason, "%s", text);
    struct doc *d = status_doc(mem, &err, NULL, STR_NULL, STR_NULL);
    doc_put_int(mem, d, "code", status);
    *ret_content_type = "application/json";
    return doc_json(mem, d);
}

/* ---- one request's beginning and end */

static void on_abort(struct exchange *x)
{
    struct api_req *r = x->user;
    if (r->job)
        r->job->r = NULL;
    r->job = NULL;
    if (r->on_abort)
        r->on_abort(r);
}

static void on_end(struct exchange *x)
{
    struct api_req *r = x->user;
    if (r->job) /* answered without it */
        r->job->r = NULL;
    r->api->reads -= r->counted_read;
    r->api->writes -= r->counted_write;
    if (!r->res && r->info.is_resource) { /* refused before that mattered */
        r->res = schema_resource(r->info.group, r->info.version, r->info.resource);
        r->sub = r->res && r->info.sub.len ? resource_subresource(r->res, r->info.sub) : NULL;
    }
    count_long_running(r, -1);
    count_request(r, x->status, loop_now_us(r->api->loop) - x->start_us);
}

/* A random UUID. Bytes are drawn for many requests at once: a system call each would cost more than a GET's look-up. */
static struct str audit_id(struct api_req *r)
{
    static const char digits[] = "0123456789abcdef";
    struct api *a = r->api;
    char *to = arena_alloc(r->mem, 37);
    if (a->random_left < 16) {
        loop_rand_bytes(a->loop, RAND_JITTER, a->random, sizeof(a->random));
        a->random_left = sizeof(a->random);
    }
    uint8_t *b = a->random + (a->random_left -= 16);
    b[6] = (b[6] & 0x0f) | 0x40, b[8] = (b[8] & 0x3f) | 0x80;
    int n = 0;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            to[n++] = '-';
        to[n++] = digits[b[i] >> 4], to[n++] = digits[b[i] & 15];
    }
    to[n] = 0;
    return str_mem(to, (size_t)n);
}

static struct api_req *req_new(struct api *a, struct exchange *x)
{
    struct api_req *r = arena_new_of(x->mem, struct api_req);
    struct str given = exchange_header(x, "audit-id");
    r->api = a, r->x = x, r->mem = x->mem;
    r->err = ERR(x->mem);
    r->info.verb = "";
    x->user = r;
    x->on_abort = on_abort;
    x->on_end = on_end;
    exchange_set_header(x, "Audit-Id", given.len && given.len <= 64 ? given : audit_id(r));
    exchange_set_header(x, "Cache-Control", STR("no-cache, private"));
    return r;
}

/* People get indented JSON: ?pretty, or the clients of people. */
static bool is_pretty(const struct api_req *r)
{
    struct str agent = exchange_header(r->x, "user-agent");
    if (query_has(&r->query, "pretty"))
        return query_bool(&r->query, "pretty");
    return str_starts(agent, STR("curl")) || str_starts(agent, STR("Wget")) || str_starts(agent, STR("Mozilla/5.0"));
}

/* ---- who, and may they */

static bool is_health(struct str path)
{
    static const char *const roots[] = {"/livez", "/readyz", "/healthz"};
    for (int i = 0; i < 3; i++) {
        struct str root = str_of(roots[i]);
        if (str_starts(path, root) && (path.len == root.len || path.ptr[root.len] == '/'))
            return true;
    }
    return false;
}

static struct gate_attrs attrs_of(const struct api_req *r, const char *verb)
{
    const struct request_info *i = &r->info;
    struct gate_attrs a = {.verb = str_of(verb)};
    if (!i->is_resource) {
        a.path = i->path;
        return a;
    }
    a.group = i->group, a.version = i->version, a.resource = i->resource, a.subresource = i->sub;
    a.ns = i->ns, a.name = i->name;
    if (!strcmp(verb, "list") || !strcmp(verb, "watch") || !strcmp(verb, "deletecollection"))
        a.field_selector = query_get(&r->query, "fieldSelector");
    return a;
}

/* Anonymous requests end here, but for what RBAC lets strangers read: /version, and the ConfigMap cluster-info, with
 * which a machine begins to join. */
static bool is_for_strangers(struct api_req *r, const struct user *u)
{
    struct gate_attrs a = attrs_of(r, "get");
    struct str why;
    return !strcmp(r->info.verb, "get") && gate_authorize(r->api->gate, r->mem, u, &a, &why);
}

static bool authenticate(struct api_req *r)
{
    struct err why = ERR(r->mem);
    const struct user *u = gate_authenticate(r->api->gate, r->x, &why);
    if (u && (!str_is(u->name, "system:anonymous") || is_for_strangers(r, u))) {
        r->user = u;
        return true;
    }
    if (u || why.reason == ERR_UNAUTHORIZED || why.reason == ERR_NONE)
        err_set(&r->err, ERR_UNAUTHORIZED, "Unauthorized");
    else
        err_copy(&r->err, &why); /* impersonation that is not allowed */
    return false;
}

static bool may(struct api_req *r, const char *verb)
{
    struct str why = STR_NULL;
    struct gate_attrs a = attrs_of(r, verb);
    if (gate_authorize(r->api->gate, r->mem, r->user, &a, &why))
        return true;
    gate_forbid(&r->err, r->user, &a, why);
    return false;
}

/* ---- not too many at once */

static bool is_long(const struct api_req *r)
{
    static const char *const subs[] = {"log", "exec", "attach", "portforward", "proxy"};
    if (!strcmp(r->info.verb, "watch"))
        return true;
    for (size_t i = 0; i < sizeof(subs) / sizeof(subs[0]); i++)
        if (str_is(r->info.sub, subs[i]))
            return true;
    return str_starts(r->info.path, STR("/sampan/v1/tunnel/"));
}

static bool is_read(const char *verb)
{
    return !strcmp(verb, "get") || !strcmp(verb, "list") || !strcmp(verb, "watch") || !strcmp(verb, "head");
}

static bool take_place(struct api_req *r)
{
    struct api *a = r->api;
    bool read = is_read(r->info.verb), system = r->user && user_in_group(r->user, "system:masters");
    if (is_long(r)) {
        r->is_long = true;
        return true;
    }
    if ((read ? a->reads >= a->reads_max : a->writes >= a->writes_max) && !system) {
        err_set(&r->err, ERR_TOO_MANY_REQUESTS, "too many requests, please try again later");
        r->err.retry_after_s = 1;
        return false;
    }
    r->counted_read = read, r->counted_write = !read;
    a->reads += read, a->writes += !read;
    return true;
}

/* ---- where to */

static void not_allowed(struct api_req *r)
{
    err_set(&r->err, ERR_METHOD_NOT_ALLOWED, "the server does not allow this method on the requested resource");
    reply_err(r);
}

static void on_list(struct api_req *r)
{
    handle_list(r);
}

static void on_watch(struct api_req *r)
{
    struct list_opts o;
    if (list_options(r, &o) < 0) {
        r->out.stream = false;
        reply_err(r);
        return;
    }
    handle_watch(r, &o);
}

static const struct verb_row {
    const char *verb;
    unsigned bit;
    bool named, nameless;
    void (*handle)(struct api_req *r);
} verbs[] = {
    {"get", VERB_GET, true, false, handle_get},
    {"list", VERB_LIST, true, true, on_list}, /* named by a field selector */
    {"watch", VERB_WATCH, true, true, on_watch},
    {"create", VERB_CREATE, false, true, handle_create},
    {"update", VERB_UPDATE, true, false, handle_update},
    {"patch", VERB_PATCH, true, false, handle_patch},
    {"delete", VERB_DELETE, true, false, handle_delete},
    {"deletecollection", VERB_DELETE_COLLECTION, false, true, handle_delete_collection},
};

static const struct verb_row *find_verb(const char *verb)
{
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
        if (!strcmp(verbs[i].verb, verb))
            return &verbs[i];
    return NULL;
}

/* Subresources that are something else than a part of the object. */
static const struct sub_row {
    const char *name;
    void (*handle)(struct api_req *r);
} subs[] = {
    {"scale", handle_scale},   {"binding", handle_binding},     {"eviction", handle_eviction},
    {"log", handle_connect},   {"exec", handle_connect},        {"attach", handle_connect},
    {"proxy", handle_connect}, {"portforward", handle_connect}, {"token", handle_token},
};

static void to_subresource(struct api_req *r, const struct verb_row *v)
{
    if (!r->info.name.len || (!(r->sub->verbs & v->bit) && !(r->sub->verbs & VERB_CONNECT))) {
        not_allowed(r);
        return;
    }
    for (size_t i = 0; i < sizeof(subs) / sizeof(subs[0]); i++)
        if (!strcmp(subs[i].name, r->sub->name)) {
            subs[i].handle(r);
            return;
        }
    if (v->handle == handle_get || v->handle == handle_update || v->handle == handle_patch)
        v->handle(r);
    else
        not_allowed(r);
}

static bool find_resource(struct api_req *r)
{
    struct request_info *i = &r->info;
    r->res = schema_resource(i->group, i->version, i->resource);
    if (!r->res)
        return false;
    bool namespaces = !i->group.len && str_is(i->resource, "namespaces");
    if (namespaces)
        i->ns = STR_NULL;
    if (!r->res->namespaced && i->ns.len)
        return false;
    if (r->res->namespaced && !i->ns.len && (i->sub.len || !(!strcmp(i->verb, "list") || !strcmp(i->verb, "watch"))))
        return i->name.len ? false : (not_allowed(r), true);
    if (i->sub.len) {
        r->sub = resource_subresource(r->res, i->sub);
        return r->sub && (r->sub->verbs & VERB_CONNECT || !i->rest.len || str_is(i->rest, "/"));
    }
    return true;
}

static void to_resource(struct api_req *r)
{
    const struct verb_row *v = find_verb(r->info.verb);
    if (!find_resource(r)) {
        reply_text(r, 404, "404 page not found");
        return;
    }
    if (r->err.reason) /* answered */
        return;
    if (r->is_long)
        count_long_running(r, 1);
    bool connect = r->sub && r->sub->verbs & VERB_CONNECT;
    if (!connect && negotiate(exchange_header(r->x, "accept"), !strcmp(r->info.verb, "watch"), &r->out, &r->err) < 0) {
        r->out = (struct media){0};
        reply_err(r);
        return;
    }
    r->out.pretty |= is_pretty(r);
    if (!v)
        not_allowed(r);
    else if (r->sub)
        to_subresource(r, v);
    else if (!(r->res->verbs & v->bit) || (r->info.name.len ? !v->named : !v->nameless))
        not_allowed(r);
    else if (is_review(r->res))
        handle_review(r);
    else if (is_usage(r->res))
        handle_usage(r);
    else if (!r->res->group[0] && !strcmp(r->res->name, "bindings"))
        handle_binding(r);
    else
        v->handle(r);
}

static void handle_jwks(struct api_req *r)
{
    exchange_reply(r->x, 200, "application/jwk-set+json", gate_jwks(r->api->gate, r->mem));
}

static void handle_openid(struct api_req *r)
{
    exchange_reply(r->x, 200, "application/json", gate_openid_config(r->api->gate, r->mem));
}

static const struct path_row {
    const char *path;
    bool below; /* paths under it too */
    void (*handle)(struct api_req *r);
} paths[] = {
    {"/", false, handle_root},
    {"/version", false, handle_version},
    {"/metrics", false, handle_metrics},
    {"/metrics/slis", false, handle_slis},
    {"/openapi/v2", false, handle_openapi},
    {"/openapi/v3", true, handle_openapi},
    {"/.well-known/openid-configuration", false, handle_openid},
    {"/openid/v1/jwks", false, handle_jwks},
};

static void to_path(struct api_req *r)
{
    struct str path = r->info.path;
    r->out.pretty = is_pretty(r);
    if (strcmp(r->info.verb, "get") != 0 && strcmp(r->info.verb, "head") != 0) {
        not_allowed(r);
        return;
    }
    while (path.len > 1 && path.ptr[path.len - 1] == '/')
        path.len--;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct str p = str_of(paths[i].path);
        if (str_eq(path, p) || (paths[i].below && str_starts(path, p) && path.ptr[p.len] == '/')) {
            paths[i].handle(r);
            return;
        }
    }
    if (!handle_discovery(r))
        reply_text(r, 404, "404 page not found");
}

/* Since 1.35 a WebSocket to exec, attach or portforward is no mere "get". */
static bool may_connect(struct api_req *r)
{
    bool stream = str_is(r->info.sub, "exec") || str_is(r->info.sub, "attach") || str_is(r->info.sub, "portforward");
    return !stream || !str_is(r->info.resource, "pods") || strcmp(r->info.verb, "get") != 0 || may(r, "create");
}

void api_handle(void *ctx, struct exchange *x)
{
    struct api *a = ctx;
    struct api_req *r = req_new(a, x);
    query_parse(r->mem, x->query, &r->query);
    if (request_parse(r->mem, x->method, x->path, &r->query, &r->info, &r->err) < 0) {
        reply_err(r);
        return;
    }
    if (!r->info.is_resource && is_health(r->info.path)) {
        handle_health(r, r->info.path);
        return;
    }
    bool tunnel = str_starts(r->info.path, STR("/sampan/v1/tunnel/"));
    if (!authenticate(r) || !take_place(r) || (!tunnel && !may(r, r->info.verb)) || !may_connect(r)) {
        reply_err(r);
        return;
    }
    if (tunnel)
        handle_tunnel(r);
    else if (r->info.is_resource)
        to_resource(r);
    else
        to_path(r);
}
