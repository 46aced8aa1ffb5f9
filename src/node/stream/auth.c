/* node/stream/auth.c - who asks on the kubelet's port, and may they: a client certificate of the cluster's CA or a
 * bearer token that the API server knows (TokenReview), then SubjectAccessReview on subresources of nodes. Nobody is
 * anonymous.
 *
 * Answers are remembered as kubelet does: tokens 2 min, yes 5 min, no 30 s, at most CACHE_MAX of each kind (then all
 * are forgotten). Source: kubernetes pkg/kubelet/server/auth.go, cmd/kubelet/app/auth.go, KEP-2862 (fine-grained). */
#include <errno.h>
#include <openssl/sha.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/map.h"
#include "doc/doc.h"
#include "node/stream/streams_priv.h"

enum {
    CACHE_MAX = 1024,
    TOKEN_MS = 120000,
    ALLOWED_MS = 300000,
    DENIED_MS = 30000,
    REVIEW_MS_MAX = 10000,
    TOKEN_BYTES_MAX = 16384
};

struct entry { /* one block: the key and the value stand behind it */
    int64_t until_ms;
    struct str key, value; /* value: of a token, its user as JSON; of a decision, "yes" or the reason */
    bool yes;
};
struct streams_auth {
    struct streams *s;
    struct map cache;
    struct list checks; /* under way */
};

static void cache_clear(struct streams_auth *a)
{
    uint32_t it = 0;
    void *value;
    while (map_each(&a->cache, &it, NULL, &value))
        free(value);
    map_done(&a->cache);
    a->cache = MAP_INIT;
}

static struct entry *cache_find(struct streams_auth *a, struct str key)
{
    struct entry *e = map_get(&a->cache, key);
    return e && e->until_ms > loop_now_ms(a->s->o.loop) ? e : NULL;
}

static void cache_put(struct streams_auth *a, struct str key, bool yes, struct str value, int64_t ms)
{
    if (a->cache.count >= CACHE_MAX)
        cache_clear(a);
    struct entry *e = malloc(sizeof(*e) + key.len + value.len);
    if (!e)
        return;
    char *p = (char *)(e + 1);
    memcpy(p, key.ptr, key.len);
    if (value.len)
        memcpy(p + key.len, value.ptr, value.len);
    *e = (struct entry){loop_now_ms(a->s->o.loop) + ms, str_mem(p, key.len), str_mem(p + key.len, value.len), yes};
    free(map_put(&a->cache, e->key, e));
}

struct streams_auth *auth_new(struct streams *s)
{
    struct streams_auth *a = calloc(1, sizeof(*a));
    if (!a)
        abort();
    a->s = s;
    list_init(&a->checks);
    return a;
}

/* ---- one request */
struct check {
    struct list link;
    struct streams *s;
    struct exchange *x; /* everything lies in its arena */
    void (*then)(struct streams *s, struct exchange *x);
    struct http_call *call;
    struct str key;   /* of what is being asked */
    struct doc *user; /* username, uid, groups, extra */
    struct str resources[2];
    int asking; /* index into resources */
};

struct streams_auth *auth_free(struct streams_auth *a)
{
    while (!list_empty(&a->checks)) {
        struct check *c = container_of(a->checks.next, struct check, link);
        c->x->on_abort = NULL;
        list_remove(&c->link);
        struct exchange *x = c->x;
        http_call_cancel(c->call);
        answer_error(x, 503, STR("the endpoint is being closed"), false);
    }
    cache_clear(a);
    free(a);
    return NULL;
}

static void on_abort(struct exchange *x)
{
    struct check *c = x->user;
    list_remove(&c->link);
    c->x = NULL;
    http_call_cancel(c->call);
}

static void refuse(struct check *c, int status, struct str message)
{
    answer_error(c->x, status, message, false);
}

/* Ask the API server; on_done gets the reply. */
static void review(struct check *c, const char *group, const char *kind, const char *plural, struct doc *spec,
                   void (*on_done)(void *ctx, const struct http_reply *reply))
{
    struct arena *mem = c->x->mem;
    struct doc *d = doc_new_object(mem);
    doc_put_str(mem, d, "apiVersion", str_fmt(mem, "%s/v1", group));
    doc_put_str(mem, d, "kind", str_of(kind));
    doc_put(mem, d, "spec", spec);
    if (!c->s->api) {
        refuse(c, 503, STR("the API server is not known yet"));
        return;
    }
    c->x->user = c, c->x->on_abort = on_abort;
    list_add_tail(&c->s->auth->checks, &c->link);
    c->call = http_client_send(c->s->api, &(struct http_request){.method = "POST",
                                                                 .path = str_fmt(mem, "/apis/%s/v1/%s", group, plural),
                                                                 .content_type = "application/json",
                                                                 .accept = "application/json",
                                                                 .body = doc_json(mem, d),
                                                                 .timeout_ms = REVIEW_MS_MAX,
                                                                 .on_done = on_done,
                                                                 .ctx = c});
}

/* The status of the answer, or NULL and the request is answered. */
static const struct doc *review_status(struct check *c, const struct http_reply *reply)
{
    if (!c->x || reply->error == -ECANCELED)
        return NULL;
    list_remove(&c->link);
    c->x->on_abort = NULL, c->call = NULL;
    const struct doc *d = doc_get(doc_parse(c->x->mem, str_dup(c->x->mem, reply->body), NULL, NULL), "status");
    if (reply->status / 100 == 2 && d)
        return d;
    log_warn("stream", "a review failed", "status=%d error=%d", reply->status, reply->error);
    refuse(c, 500, STR("the API server could not be asked"));
    return NULL;
}

/* ---- may they */
static void authorize(struct check *c);

static struct str decision_key(struct check *c)
{
    struct sb b = SB(c->x->mem);
    sb_addz(&b, "may ");
    sb_add(&b, c->resources[c->asking]);
    sb_addc(&b, ' ');
    sb_add(&b, c->x->method);
    sb_addc(&b, ' ');
    doc_json_sb(&b, c->user);
    return sb_str(&b);
}

static const char *verb_of(struct str method)
{
    return str_is(method, "POST")     ? "create"
           : str_is(method, "PUT")    ? "update"
           : str_is(method, "PATCH")  ? "patch"
           : str_is(method, "DELETE") ? "delete"
                                      : "get";
}

static void decide(struct check *c, bool allowed)
{
    if (allowed) {
        c->x->user = NULL;
        c->then(c->s, c->x);
    } else if (c->asking == 0 && c->resources[1].len) {
        c->asking = 1;
        authorize(c);
    } else {
        struct arena *mem = c->x->mem;
        refuse(c, 403,
               str_fmt(mem, "Forbidden (user=" STR_FMT ", verb=%s, resource=nodes, subresource(s)=[" STR_FMT "])\n",
                       STR_ARG(doc_str(c->user, "username")), verb_of(c->x->method), STR_ARG(c->resources[c->asking])));
    }
}

static void on_decision(void *ctx, const struct http_reply *reply)
{
    struct check *c = ctx;
    const struct doc *status = review_status(c, reply);
    if (!status)
        return;
    bool allowed = doc_bool(status, "allowed", false);
    cache_put(c->s->auth, c->key, allowed, STR_NULL, allowed ? ALLOWED_MS : DENIED_MS);
    decide(c, allowed);
}

static void authorize(struct check *c)
{
    struct arena *mem = c->x->mem;
    c->key = decision_key(c);
    struct entry *e = cache_find(c->s->auth, c->key);
    if (e) {
        decide(c, e->yes);
        return;
    }
    struct doc *spec = doc_new_object(mem), *a = doc_new_object(mem);
    doc_put_str(mem, a, "verb", str_of(verb_of(c->x->method)));
    doc_put_str(mem, a, "version", STR("v1"));
    doc_put_str(mem, a, "resource", STR("nodes"));
    doc_put_str(mem, a, "subresource", c->resources[c->asking]);
    doc_put_str(mem, a, "name", str_of(c->s->o.node_name));
    doc_put(mem, spec, "resourceAttributes", a);
    doc_put_str(mem, spec, "user", doc_str(c->user, "username"));
    static const char *const keys[] = {"groups", "uid", "extra"};
    for (int i = 0; i < 3; i++)
        if (doc_get(c->user, keys[i]))
            doc_put(mem, spec, keys[i], doc_copy(mem, doc_get(c->user, keys[i])));
    review(c, "authorization.k8s.io", "SubjectAccessReview", "subjectaccessreviews", spec, on_decision);
}

/* The subresource of nodes that guards a path; fine-grained ones are asked first, then proxy, as since 1.33. */
static void resources_of(struct check *c)
{
    static const struct {
        const char *path, *resource;
        bool or_proxy;
    } rows[] = {{"/stats", "stats", false},           {"/metrics", "metrics", false}, {"/logs", "log", false},
                {"/checkpoint", "checkpoint", false}, {"/healthz", "healthz", true},  {"/pods", "pods", true},
                {"/runningpods", "pods", true},       {"/configz", "configz", true}};
    c->resources[0] = STR("proxy");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct str p = c->x->path, prefix = str_of(rows[i].path);
        if (!str_starts(p, prefix) || (p.len > prefix.len && p.ptr[prefix.len] != '/'))
            continue;
        c->resources[0] = str_of(rows[i].resource);
        c->resources[1] = rows[i].or_proxy ? STR("proxy") : STR_NULL;
    }
}

/* ---- who */
static void known(struct check *c, struct doc *user)
{
    c->user = user;
    resources_of(c);
    authorize(c);
}

static void on_token(void *ctx, const struct http_reply *reply)
{
    struct check *c = ctx;
    const struct doc *status = review_status(c, reply);
    if (!status)
        return;
    struct doc *user = doc_get(status, "user");
    bool yes = doc_bool(status, "authenticated", false) && doc_is(user, DOC_OBJECT);
    cache_put(c->s->auth, c->key, yes, yes ? doc_json(c->x->mem, user) : STR_NULL, yes ? TOKEN_MS : DENIED_MS);
    if (yes)
        known(c, user);
    else
        refuse(c, 401, STR("Unauthorized"));
}

static void by_token(struct check *c, struct str token)
{
    struct arena *mem = c->x->mem;
    unsigned char md[SHA256_DIGEST_LENGTH]; /* tokens are not kept */
    SHA256((const unsigned char *)token.ptr, token.len, md);
    c->key = str_fmt(mem, "who " STR_FMT, STR_ARG(str_hex(mem, str_mem((char *)md, sizeof(md)))));
    struct entry *e = cache_find(c->s->auth, c->key);
    if (e && e->yes) {
        known(c, doc_parse(mem, str_dup(mem, e->value), NULL, NULL));
        return;
    }
    if (e) {
        refuse(c, 401, STR("Unauthorized"));
        return;
    }
    struct doc *spec = doc_new_object(mem);
    doc_put_str(mem, spec, "token", token);
    review(c, "authentication.k8s.io", "TokenReview", "tokenreviews", spec, on_token);
}

static void by_certificate(struct check *c, const struct tls_cert *cert)
{
    struct arena *mem = c->x->mem;
    struct doc *user = doc_new_object(mem), *groups = doc_new_array(mem);
    doc_put_str(mem, user, "username", cert->common_name);
    for (int i = 0; i < cert->organization_count; i++)
        doc_push(groups, doc_new_str(mem, cert->organizations[i]));
    doc_push(groups, doc_new_str(mem, STR("system:authenticated")));
    doc_put(mem, user, "groups", groups);
    known(c, user);
}

void auth_check(struct streams *s, struct exchange *x, void (*then)(struct streams *s, struct exchange *x))
{
    struct check *c = arena_new_of(x->mem, struct check);
    *c = (struct check){.s = s, .x = x, .then = then};
    list_init(&c->link);
    struct str header = exchange_header(x, "authorization"), bearer = STR("Bearer ");
    if (x->peer->cert && x->peer->cert->common_name.len)
        by_certificate(c, x->peer->cert);
    else if (str_starts(header, bearer) && header.len > bearer.len && header.len < TOKEN_BYTES_MAX)
        by_token(c, str_trim(str_from(header, bearer.len)));
    else
        refuse(c, 401, STR("Unauthorized"));
}
