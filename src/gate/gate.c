/* gate/gate.c - the CA and keys of a cluster: made once, kept in the store, loaded ever after. */
#include "gate/escalate.h"
#include "gate/internal.h"

#include <errno.h>

#include "base/log.h"

enum { RENEW_CHECK_MS = 6 * 3600 * 1000, RENEW_BEFORE_S = PKI_LEAF_DAYS / 3 * 86400 };

static void report(struct gate *g)
{
    struct str why = STR_NULL;
    int error = g->save_error;
    if (!error && credentials_write(g, &why) < 0)
        error = -EIO;
    else if (error)
        why = STR("the cluster CA could not be made durable");
    g->ready(g->ready_ctx, error, why);
}

static void on_saved(void *ctx, int error)
{
    struct gate *g = ctx;
    if (error)
        g->save_error = error;
    if (--g->saving == 0)
        report(g);
}

static void save(struct gate *g, const char *name, struct str value)
{
    g->saving++;
    store_meta_put(g->o.store, name, value, on_saved, g);
}

static int make_keys(struct gate *g, const char **ret_why)
{
    if (pki_new_ca(g->mem, STR("sampan-ca"), loop_wall_ms(g->o.loop) / 1000, &g->ca, ret_why) < 0)
        return -1;
    *ret_why = "making the service account key";
    g->sa.key_pem = pki_new_key(g->mem);
    if (!g->sa.key_pem.len)
        return -1;
    save(g, "ca.key", g->ca.key_pem);
    save(g, "ca.crt", g->ca.cert_pem);
    save(g, "service-account.key", g->sa.key_pem);
    return 0;
}

static bool load_keys(struct gate *g)
{
    return store_meta_get(g->o.store, g->mem, "ca.crt", &g->ca.cert_pem) == 0 &&
           store_meta_get(g->o.store, g->mem, "ca.key", &g->ca.key_pem) == 0 &&
           store_meta_get(g->o.store, g->mem, "service-account.key", &g->sa.key_pem) == 0;
}

/* Apart from the others: a state directory of an earlier version has none. */
static int load_or_make_front_ca(struct gate *g, const char **ret_why)
{
    if (store_meta_get(g->o.store, g->mem, "front-proxy-ca.crt", &g->front_ca.cert_pem) == 0 &&
        store_meta_get(g->o.store, g->mem, "front-proxy-ca.key", &g->front_ca.key_pem) == 0)
        return 0;
    if (pki_new_ca(g->mem, STR("front-proxy-ca"), loop_wall_ms(g->o.loop) / 1000, &g->front_ca, ret_why) < 0)
        return -1;
    save(g, "front-proxy-ca.key", g->front_ca.key_pem);
    save(g, "front-proxy-ca.crt", g->front_ca.cert_pem);
    return 0;
}

static void name_sa_key(struct gate *g)
{
    uint8_t xy[64];
    pki_public_xy(g->sa_public, xy, xy + 32);
    g->sa_key_id = str_base64url(g->mem, pki_sha256(g->mem, str_mem((char *)xy, sizeof(xy))));
}

/* A certificate in its last third is replaced; connections under way keep what they have. */
static void on_renew(struct loop_timer *t)
{
    struct gate *g = container_of(t, struct gate, renew);
    struct str why = STR_NULL;
    if (pki_not_after_s(g->serving.cert_pem) - loop_wall_ms(g->o.loop) / 1000 < RENEW_BEFORE_S) {
        const char *tls_why = "";
        if (credentials_serving(g, &why) < 0 || credentials_write(g, &why) < 0 ||
            tls_context_renew(g->tls, g->serving.cert_pem, g->serving.key_pem, &tls_why) < 0)
            log_error("gate", "certificates could not be renewed", "why=" STR_FMT "%s", STR_ARG(why), tls_why);
        else
            log_info("gate", "certificates renewed", NULL);
    }
    loop_timer_start(t, RENEW_CHECK_MS);
}

static void on_ready_later(struct loop_timer *t)
{
    struct gate *g = container_of(t, struct gate, renew);
    loop_timer_init(g->o.loop, &g->renew, on_renew);
    loop_timer_start(&g->renew, RENEW_CHECK_MS);
    report(g);
}

/* What is admitted by permissions beyond those of the request itself. */
static int guard(void *ctx, struct admission *a)
{
    return escalate_check(ctx, a) < 0 || signers_check(ctx, a) < 0 ? -1 : 0;
}

struct gate *gate_new(const struct gate_opts *o, void (*ready)(void *ctx, int error, struct str why), void *ctx)
{
    struct gate *g = calloc(1, sizeof(*g));
    const char *why = "";
    struct str serving_why = STR_NULL;
    if (!g)
        abort(); /* at start */
    g->o = *o, g->mem = arena_new(), g->ready = ready, g->ready_ctx = ctx;
    if (!g->o.issuer.len)
        g->o.issuer = STR("https://kubernetes.default.svc.cluster.local");
    if ((!load_keys(g) && make_keys(g, &why) < 0) || load_or_make_front_ca(g, &why) < 0)
        goto fail;
    why = "the service account key is unreadable";
    if (!(g->sa_public = pki_public_of(g->sa.key_pem)))
        goto fail;
    name_sa_key(g);
    why = "the serving certificate";
    if (credentials_serving(g, &serving_why) < 0 ||
        !(g->tls = tls_server_new(g->serving.cert_pem, g->serving.key_pem, g->ca.cert_pem, &why)))
        goto fail;
    g->rbac = rbac_new(g);
    if (o->writer)
        writer_set_guard(o->writer, guard, g);
    loop_timer_init(o->loop, &g->renew, g->saving ? on_renew : on_ready_later);
    loop_timer_start(&g->renew, g->saving ? RENEW_CHECK_MS : 0);
    return g;
fail:
    log_error("gate", "can't start", "why=%s", why);
    return gate_free(g);
}

struct gate *gate_free(struct gate *g)
{
    if (!g)
        return NULL;
    if (g->renew.loop)
        loop_timer_stop(&g->renew);
    if (g->o.writer)
        writer_set_guard(g->o.writer, NULL, NULL);
    bootstrap_free(g->bootstrap);
    rbac_free(g->rbac);
    tls_context_free(g->tls);
    pki_public_free(g->sa_public);
    tokens_done(g);
    map_done(&g->tokens);
    arena_free(g->mem);
    free(g);
    return NULL;
}

struct tls_context *gate_server_tls(struct gate *g)
{
    return g->tls;
}

struct str gate_ca_pem(const struct gate *g)
{
    return g->ca.cert_pem;
}

int gate_sign_csr(struct gate *g, struct arena *mem, struct str csr_pem, int usage, int64_t lifetime_s,
                  struct str *ret_cert_pem, const char **ret_why)
{
    return pki_sign_csr(mem, &g->ca, csr_pem, usage, lifetime_s, loop_wall_ms(g->o.loop) / 1000, ret_cert_pem, ret_why);
}
