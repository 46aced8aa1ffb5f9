/* gate/token.c - service account tokens: ES256 JWTs bound to an account and, usually, to a pod.
 *
 * Source: KEP-1205 (bound service account tokens), RFC 7519; kubernetes pkg/serviceaccount/claims.go. */
#include "gate/internal.h"
#include "schema/bootstrap_token.h"

enum { TOKENS_SEEN_MAX = 4096, TOKEN_BYTES_MAX = 8192, TOKEN_LEEWAY_S = 0, TOKEN_SECONDS_MIN = 600 };

struct token_seen { /* a token whose signature was verified once */
    char *text;
    struct arena *mem;
    struct doc *claims;
};

static struct token_seen *seen_free(struct token_seen *t)
{
    arena_free(t->mem);
    free(t->text);
    free(t);
    return NULL;
}

void tokens_done(struct gate *g)
{
    uint32_t it = 0;
    struct str key;
    void *value;
    while (map_each(&g->tokens, &it, &key, &value)) {
        map_del(&g->tokens, key);
        seen_free(value);
    }
}

static struct str encode(struct arena *mem, const struct doc *d)
{
    return str_base64url(mem, doc_json(mem, d));
}

static int64_t now_s(const struct gate *g)
{
    return loop_wall_ms(g->o.loop) / 1000;
}

static void put_ref(struct arena *mem, struct doc *in, const char *kind, struct str name, struct str uid)
{
    struct doc *ref = doc_sub(mem, in, kind);
    doc_put_str(mem, ref, "name", name);
    doc_put_str(mem, ref, "uid", uid);
}

static struct str uuid(struct gate *g, struct arena *mem)
{
    uint8_t u[16];
    loop_rand_bytes(g->o.loop, RAND_UID, u, sizeof(u));
    struct str h = str_hex(mem, str_mem((char *)u, sizeof(u)));
    return str_fmt(mem, "%.8s-%.4s-4%.3s-a%.3s-%.12s", h.ptr, h.ptr + 8, h.ptr + 13, h.ptr + 17, h.ptr + 20);
}

/* A pod's token says where the pod is; the node need not outlive it (KEP-4193). */
static void put_bound(struct gate *g, struct arena *mem, struct doc *k8s, const char *kind, struct str ns,
                      struct str name, struct str uid)
{
    bool is_pod = str_ieq(str_of(kind), STR("Pod"));
    put_ref(mem, k8s, is_pod ? "pod" : str_ieq(str_of(kind), STR("Secret")) ? "secret" : "node", name, uid);
    const struct obj *pod = is_pod ? cache_find(g->o.cache, schema_stored("", "pods"), ns, name) : NULL;
    const struct obj *node =
        pod && pod->node.len ? cache_find(g->o.cache, schema_stored("", "nodes"), STR_NULL, pod->node) : NULL;
    if (node)
        put_ref(mem, k8s, "node", node->name, node->uid);
}

int gate_issue_token(struct gate *g, struct arena *mem, struct str ns, struct str sa, struct str sa_uid,
                     const struct str *audiences, int audience_count, int64_t expiration_s, const char *bound_kind,
                     struct str bound_name, struct str bound_uid, struct str *ret_token, int64_t *ret_expires_ms,
                     struct err *err)
{
    int64_t now = now_s(g), lifetime = expiration_s < TOKEN_SECONDS_MIN ? TOKEN_SECONDS_MIN : expiration_s;
    struct doc *claims = doc_new_object(mem), *aud = doc_sub_array(mem, claims, "aud");
    for (int i = 0; i < audience_count; i++)
        doc_push(aud, doc_new_str(mem, audiences[i]));
    if (!audience_count)
        doc_push(aud, doc_new_str(mem, g->o.issuer));
    doc_put_int(mem, claims, "exp", now + lifetime);
    doc_put_int(mem, claims, "iat", now);
    doc_put_str(mem, claims, "iss", g->o.issuer);
    doc_put_str(mem, claims, "jti", uuid(g, mem));
    struct doc *k8s = doc_sub(mem, claims, "kubernetes.io");
    doc_put_str(mem, k8s, "namespace", ns);
    if (bound_kind)
        put_bound(g, mem, k8s, bound_kind, ns, bound_name, bound_uid);
    put_ref(mem, k8s, "serviceaccount", sa, sa_uid);
    doc_put_int(mem, claims, "nbf", now);
    doc_put_str(mem, claims, "sub",
                str_fmt(mem, "system:serviceaccount:" STR_FMT ":" STR_FMT, STR_ARG(ns), STR_ARG(sa)));

    struct doc *header = doc_new_object(mem);
    doc_put_str(mem, header, "alg", STR("ES256"));
    doc_put_str(mem, header, "kid", g->sa_key_id);
    struct str head = encode(mem, header), body = encode(mem, claims), signature;
    struct str text = str_fmt(mem, STR_FMT "." STR_FMT, STR_ARG(head), STR_ARG(body));
    if (pki_sign_es256(mem, g->sa.key_pem, text, &signature) < 0)
        return err_set(err, ERR_INTERNAL, "signing the token failed");
    signature = str_base64url(mem, signature);
    *ret_token = str_fmt(mem, STR_FMT "." STR_FMT, STR_ARG(text), STR_ARG(signature));
    *ret_expires_ms = (now + lifetime) * 1000;
    return 0;
}

/* The claims of a token that we signed; NULL: we did not. */
static const struct doc *verify(struct gate *g, struct str token)
{
    struct token_seen *known = map_get(&g->tokens, token);
    if (known)
        return known->claims;
    cleanup_arena struct arena *tmp = arena_new();
    struct str head, body, signature, raw_head, raw_signature, raw_body;
    struct err ignored = ERR(tmp);
    if (token.len > TOKEN_BYTES_MAX || !str_cut(token, '.', &head, &body) || !str_cut(body, '.', &body, &signature) ||
        !str_base64url_dec(tmp, head, &raw_head) || !str_base64url_dec(tmp, body, &raw_body) ||
        !str_base64url_dec(tmp, signature, &raw_signature))
        return NULL;
    const struct doc *header = doc_parse(tmp, raw_head, NULL, &ignored);
    if (!str_is(doc_str(header, "alg"), "ES256") ||
        !pki_verify_es256(g->sa_public, str_mem(token.ptr, head.len + 1 + body.len), raw_signature))
        return NULL;
    if (g->tokens.count >= TOKENS_SEEN_MAX)
        tokens_done(g);
    struct token_seen *t = calloc(1, sizeof(*t));
    if (!t)
        abort();
    t->mem = arena_new();
    t->text = strndup(token.ptr, token.len);
    t->claims = doc_parse(t->mem, str_dup(t->mem, raw_body), NULL, &ignored);
    if (!t->claims) {
        seen_free(t);
        return NULL;
    }
    map_put(&g->tokens, str_mem(t->text, token.len), t);
    return t->claims;
}

static bool audience_matches(struct gate *g, const struct doc *claims, const struct str *audiences, int count)
{
    doc_each (aud, doc_get(claims, "aud")) {
        if (!count && str_eq(doc_string(aud), g->o.issuer))
            return true;
        for (int i = 0; i < count; i++)
            if (str_eq(doc_string(aud), audiences[i]))
                return true;
    }
    return false;
}

/* An object the token is bound to must still be the same one. */
static bool bound_is_alive(struct gate *g, const struct doc *k8s, const char *claim, const char *resource,
                           struct str ns)
{
    const struct doc *ref = doc_get(k8s, claim);
    if (!ref)
        return true;
    const struct obj *o = cache_find(g->o.cache, schema_stored("", resource), ns, doc_str(ref, "name"));
    return o && str_eq(o->uid, doc_str(ref, "uid"));
}

static struct str *account_groups(struct arena *mem, struct str ns, int *ret_count)
{
    struct str *groups = arena_array(mem, struct str, 3);
    groups[0] = STR("system:serviceaccounts");
    groups[1] = str_fmt(mem, "system:serviceaccounts:" STR_FMT, STR_ARG(ns));
    groups[2] = STR("system:authenticated");
    *ret_count = 3;
    return groups;
}

static void add_extra(struct arena *mem, struct user *u, const char *key, struct str value)
{
    struct user_extra *e = &u->extra[u->extra_count++];
    e->key = str_of(key), e->count = 1;
    e->values = arena_array(mem, struct str, 1);
    e->values[0] = value;
}

static const struct user *user_of(struct arena *mem, const struct doc *claims)
{
    const struct doc *k8s = doc_get(claims, "kubernetes.io"), *pod = doc_get(k8s, "pod"), *node = doc_get(k8s, "node");
    struct user *u = arena_new_of(mem, struct user);
    u->name = str_dup(mem, doc_str(claims, "sub"));
    u->uid = str_dup(mem, doc_str(doc_get(k8s, "serviceaccount"), "uid"));
    u->groups = account_groups(mem, str_dup(mem, doc_str(k8s, "namespace")), &u->group_count);
    u->extra = arena_array(mem, struct user_extra, 5);
    add_extra(mem, u, "authentication.kubernetes.io/credential-id",
              str_fmt(mem, "JTI=" STR_FMT, STR_ARG(doc_str(claims, "jti"))));
    if (pod) {
        add_extra(mem, u, "authentication.kubernetes.io/pod-name", str_dup(mem, doc_str(pod, "name")));
        add_extra(mem, u, "authentication.kubernetes.io/pod-uid", str_dup(mem, doc_str(pod, "uid")));
    }
    if (node) {
        add_extra(mem, u, "authentication.kubernetes.io/node-name", str_dup(mem, doc_str(node, "name")));
        add_extra(mem, u, "authentication.kubernetes.io/node-uid", str_dup(mem, doc_str(node, "uid")));
    }
    return u;
}

/* Tokens that know no audience are for the API server. */
static bool api_is_meant(const struct gate *g, const struct str *audiences, int count)
{
    bool found = !count;
    for (int i = 0; i < count; i++)
        found |= str_eq(audiences[i], g->o.issuer);
    return found;
}

const struct user *token_authenticate(struct gate *g, struct arena *mem, struct str token, const struct str *audiences,
                                      int count, struct err *err)
{
    struct str id, secret;
    if (bootstrap_token_split(token, &id, &secret) && api_is_meant(g, audiences, count))
        return bootstrap_token_authenticate(g, mem, id, secret, err);
    const struct doc *claims = verify(g, token), *k8s = doc_get(claims, "kubernetes.io");
    int64_t now = now_s(g);
    struct str ns = doc_str(k8s, "namespace");
    if (!claims || !str_eq(doc_str(claims, "iss"), g->o.issuer) || now >= doc_int(claims, "exp", 0) + TOKEN_LEEWAY_S ||
        now + TOKEN_LEEWAY_S < doc_int(claims, "nbf", 0) || !audience_matches(g, claims, audiences, count) ||
        !bound_is_alive(g, k8s, "serviceaccount", "serviceaccounts", ns) ||
        !bound_is_alive(g, k8s, "pod", "pods", ns) || !bound_is_alive(g, k8s, "secret", "secrets", ns) ||
        (!doc_get(k8s, "pod") && !bound_is_alive(g, k8s, "node", "nodes", STR_NULL))) {
        err_set(err, ERR_UNAUTHORIZED, "Unauthorized");
        return NULL;
    }
    return user_of(mem, claims);
}

struct str gate_jwks(struct gate *g, struct arena *mem)
{
    uint8_t x[32], y[32];
    pki_public_xy(g->sa_public, x, y);
    struct doc *set = doc_new_object(mem), *key = doc_push(doc_sub_array(mem, set, "keys"), doc_new_object(mem));
    doc_put_str(mem, key, "use", STR("sig"));
    doc_put_str(mem, key, "kty", STR("EC"));
    doc_put_str(mem, key, "kid", g->sa_key_id);
    doc_put_str(mem, key, "crv", STR("P-256"));
    doc_put_str(mem, key, "alg", STR("ES256"));
    doc_put_str(mem, key, "x", str_base64url(mem, str_mem((char *)x, 32)));
    doc_put_str(mem, key, "y", str_base64url(mem, str_mem((char *)y, 32)));
    return doc_json(mem, set);
}

struct str gate_openid_config(struct gate *g, struct arena *mem)
{
    return str_fmt(mem,
                   "{\"issuer\":\"" STR_FMT "\",\"jwks_uri\":\"https://" STR_FMT
                   "/openid/v1/jwks\",\"response_types_supported\":[\"id_token\"],"
                   "\"subject_types_supported\":[\"public\"],\"id_token_signing_alg_values_supported\":[\"ES256\"]}",
                   STR_ARG(g->o.issuer), STR_ARG(g->o.advertise));
}
