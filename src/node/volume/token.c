/* Service account tokens by TokenRequest, bound to the pod, renewed at 80 % of their life (or after a day). Source:
 * kubelet token_manager.go, volume/projected. */
#include <stdlib.h>
#include <errno.h>

#include "base/log.h"
#include "http/client.h"
#include "node/agent/client.h"
#include "node/volume/priv.h"

enum { TOKEN_EXPIRY_S = 3600, TOKEN_RENEW_MS_MAX = 24 * 3600 * 1000, TOKEN_RETRY_MS = 10000 };

static void answered(void *ctx, const struct api_answer *a)
{
    struct volume_token *t = ctx;
    struct pod *p = t->volume->pod;
    struct str token = doc_str(doc_get(a->doc, "status"), "token");
    int64_t now = loop_wall_ms(p->node->loop),
            life_ms = doc_int(doc_get(a->doc, "spec"), "expirationSeconds", TOKEN_EXPIRY_S) * 1000;
    t->call = NULL, t->asked = false;
    if (a->status / 100 == 2 && token.len) {
        free(t->text);
        t->text = strndup(token.ptr, token.len);
        int64_t in = life_ms * 8 / 10;
        t->renew_at_ms = now + (in < TOKEN_RENEW_MS_MAX ? in : TOKEN_RENEW_MS_MAX), t->failed = false;
        pod_kick(p);
    } else if (a->error != -ECANCELED) {
        struct str why = doc_str(a->doc, "message");
        log_warn("volume", "no service account token", "pod=" STR_FMT " status=%d why=" STR_FMT, STR_ARG(p->name),
                 a->status, STR_ARG(why));
        t->renew_at_ms = now + TOKEN_RETRY_MS, t->failed = true;
    } else {
        return;
    }
    loop_timer_start(&t->volume->renew, t->renew_at_ms - now);
}

static void ask(struct pod *p, struct volume_token *t, const struct doc *source)
{
    cleanup_arena struct arena *mem = arena_new();
    struct doc *d = doc_new_object(mem);
    doc_put_str(mem, d, "apiVersion", STR("authentication.k8s.io/v1")),
        doc_put_str(mem, d, "kind", STR("TokenRequest"));
    struct doc *spec = doc_sub(mem, d, "spec"), *audiences = doc_sub_array(mem, spec, "audiences");
    if (doc_str(source, "audience").len)
        doc_push(audiences, doc_new_str(mem, doc_str(source, "audience")));
    doc_put_int(mem, spec, "expirationSeconds", doc_int(source, "expirationSeconds", TOKEN_EXPIRY_S));
    struct doc *bound = doc_sub(mem, spec, "boundObjectRef");
    doc_put_str(mem, bound, "kind", STR("Pod")), doc_put_str(mem, bound, "apiVersion", STR("v1"));
    doc_put_str(mem, bound, "name", p->name), doc_put_str(mem, bound, "uid", p->uid);
    struct str account = doc_str(p->spec, "serviceAccountName");
    account = account.len ? account : STR("default");
    struct str path = str_fmt(mem, "/api/v1/namespaces/" STR_FMT "/serviceaccounts/" STR_FMT "/token", STR_ARG(p->ns),
                              STR_ARG(account));
    t->asked = true;
    t->call = api_send(p->node->api, "POST", path, NULL, doc_json(mem, d), answered, t);
}

int volume_token(struct pod *p, struct pod_volume *v, int index, const struct doc *source, struct str *ret,
                 struct str *ret_why)
{
    struct volume_token *t = &v->tokens[index];
    t->volume = v;
    if (!p->node->api)
        return *ret_why = STR("failed to fetch token: there is no API server"), -1;
    if (!t->asked && loop_wall_ms(p->node->loop) >= t->renew_at_ms)
        ask(p, t, source);
    if (t->text)
        return *ret = str_of(t->text), 1;
    if (t->failed)
        return *ret_why = STR("failed to fetch token: the API server gave none"), -1;
    return 0;
}

void volume_tokens_free(struct pod_volume *v)
{
    for (int i = 0; i < VOLUME_TOKENS_MAX; i++) {
        if (v->tokens[i].call)
            http_call_cancel(v->tokens[i].call);
        free(v->tokens[i].text);
        v->tokens[i] = (struct volume_token){0};
    }
}
