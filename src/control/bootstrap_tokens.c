/* control/bootstrap_tokens.c - bootstrap tokens go when their time is over, and sign what a machine that wants to join
 * reads first.
 *
 * The token cleaner's keys are those Secrets. The signer has one key, the ConfigMap kube-public/cluster-info: each
 * token that may sign adds jws-kubeconfig-ID, a detached JWS (HS256, RFC 7515 appendix F) of the kubeconfig in it, so
 * that who knows the token can trust the CA that stands there. Source: kubernetes pkg/controller/bootstrap. */
#include "control/internal.h"
#include "http/pki.h"
#include "schema/bootstrap_token.h"

#define INFO_NS   STR("kube-public")
#define INFO_NAME STR("cluster-info")
#define JWS       "jws-kubeconfig-"

static bool is_token(const struct obj *o)
{
    return str_is(o->ns, "kube-system") && str_has(o->json, STR("\"" BOOTSTRAP_TOKEN_TYPE "\""));
}

/* ---- the cleaner */

static void clean(struct reconcile *r)
{
    const struct obj *o = cache_get(r->cache, r->key);
    struct bootstrap_token t;
    if (!o || o->deleting || !bootstrap_token_read(r->mem, obj_doc(r->mem, o), &t) || !t.expires_ms)
        return;
    if (bootstrap_token_is_over(&t, r->wall_ms))
        reconcile_delete(r, o);
    else
        r->again_ms = t.expires_ms - r->wall_ms;
}

static void on_secret(struct controller *c, const struct cache_event *ev)
{
    if (is_token(ev->obj))
        controller_enqueue(c, ev->obj->key);
}

const struct controller_kind controller_token_cleaner = {
    .name = "token_cleaner",
    .account = "token-cleaner",
    .watches = {{"", "secrets", on_secret}},
    .reconcile = clean,
};

/* ---- the signer */

static struct str detached_jws(struct arena *mem, const struct bootstrap_token *t, struct str content)
{
    struct str header = str_base64url(mem, str_fmt(mem, "{\"alg\":\"HS256\",\"kid\":\"" STR_FMT "\"}", STR_ARG(t->id)));
    struct str body = str_base64url(mem, content),
               text = str_fmt(mem, STR_FMT "." STR_FMT, STR_ARG(header), STR_ARG(body)),
               signature = str_base64url(mem, pki_hmac_sha256(mem, t->secret, text));
    return str_fmt(mem, STR_FMT ".." STR_FMT, STR_ARG(header), STR_ARG(signature));
}

static void put_signatures(struct reconcile *r, struct doc *data)
{
    struct str content = doc_str(data, "kubeconfig");
    struct cache_iter it =
        cache_list(r->cache, obj_prefix(r->mem, schema_stored("", "secrets"), STR("kube-system")), STR_NULL);
    for (const struct obj *o; (o = cache_next(&it));) {
        struct bootstrap_token t;
        if (is_token(o) && !o->deleting && bootstrap_token_read(r->mem, obj_doc(r->mem, o), &t) && t.signs &&
            !bootstrap_token_is_over(&t, r->wall_ms))
            doc_put_str(r->mem, data, str_fmtz(r->mem, JWS STR_FMT, STR_ARG(t.id)), detached_jws(r->mem, &t, content));
    }
}

static void sign(struct reconcile *r)
{
    const struct resource *maps = schema_stored("", "configmaps");
    const struct obj *o = cache_find(r->cache, maps, INFO_NS, INFO_NAME);
    if (!o || o->deleting)
        return;
    struct doc *info = obj_doc(r->mem, o), *data = doc_get(info, "data");
    if (!doc_str(data, "kubeconfig").len)
        return;
    for (struct doc *m = doc_first(data), *next; m; m = next) {
        next = m->next;
        if (str_starts(m->key, STR(JWS)))
            doc_remove(data, m);
    }
    put_signatures(r, data);
    reconcile_update(r, maps, NULL, info);
}

static void wake_signer(struct controller *c)
{
    cleanup_arena struct arena *mem = arena_new();
    controller_enqueue(c, obj_key(mem, schema_stored("", "configmaps"), INFO_NS, INFO_NAME));
}

static void on_token(struct controller *c, const struct cache_event *ev)
{
    if (is_token(ev->obj))
        wake_signer(c);
}

static void on_info(struct controller *c, const struct cache_event *ev)
{
    if (str_eq(ev->obj->name, INFO_NAME) && str_eq(ev->obj->ns, INFO_NS))
        wake_signer(c);
}

const struct controller_kind controller_bootstrap_signer = {
    .name = "bootstrap_signer_queue",
    .account = "bootstrap-signer",
    .watches = {{"", "secrets", on_token}, {"", "configmaps", on_info}},
    .reconcile = sign,
};
