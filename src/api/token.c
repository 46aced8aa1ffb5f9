/* api/token.c - serviceaccounts/token: a TokenRequest is answered with a signed token.
 * Source: kubernetes pkg/registry/core/serviceaccount/storage/token.go. */
#include "api/internal.h"

enum { TOKEN_S_MIN = 600, TOKEN_S_DEFAULT = 3600 };
#define TOKEN_S_MAX ((int64_t)1 << 32)

static int check(struct doc *spec, const struct api_req *r, struct err *err)
{
    static const struct fpath at = {NULL, "spec", 0, {0}}, seconds = {&at, "expirationSeconds", 0, {0}};
    int64_t s = doc_int(spec, "expirationSeconds", TOKEN_S_DEFAULT);
    if (s < TOKEN_S_MIN)
        err_cause_int(err, CAUSE_INVALID, &seconds, s, "may not specify a duration less than 10 minutes");
    if (s > TOKEN_S_MAX)
        err_cause_int(err, CAUSE_INVALID, &seconds, s, "may not specify a duration larger than 2^32 seconds");
    return err_invalid(err, STR("authentication.k8s.io"), STR("TokenRequest"), r->info.name);
}

/* The object a token is bound to must exist and be the one that was meant. */
static int check_bound(struct api_req *r, const struct doc *ref, struct str *ret_uid)
{
    static const struct {
        const char *kind, *resource;
        bool namespaced;
    } kinds[] = {{"Pod", "pods", true}, {"Secret", "secrets", true}, {"Node", "nodes", false}};
    struct str kind = doc_str(ref, "kind"), name = doc_str(ref, "name"), uid = doc_str(ref, "uid");
    *ret_uid = uid;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (!str_is(kind, kinds[i].kind))
            continue;
        const struct resource *res = schema_resource(STR_NULL, STR("v1"), str_of(kinds[i].resource));
        const struct obj *o = cache_find(r->api->cache, res, kinds[i].namespaced ? r->info.ns : STR_NULL, name);
        if (!o)
            return err_not_found(&r->err, STR_NULL, str_of(kinds[i].resource), name);
        if (uid.len && !str_eq(uid, o->uid))
            return err_conflict(
                &r->err, STR_NULL, str_of(kinds[i].resource), name,
                str_fmtz(r->mem,
                         "the UID in the bound object reference (" STR_FMT
                         ") does not match the UID in record. The object might have been deleted and then "
                         "recreated",
                         STR_ARG(uid)));
        if (!strcmp(kinds[i].kind, "Pod") &&
            !str_eq(doc_str(doc_get(obj_doc(r->mem, o), "spec"), "serviceAccountName"), r->info.name))
            return err_set(&r->err, ERR_BAD_REQUEST,
                           "cannot bind token for serviceaccount " STR_FMT
                           " to pod running with different serviceaccount name.",
                           STR_ARG(str_quote(r->mem, r->info.name)));
        *ret_uid = o->uid;
        return 0;
    }
    return err_set(&r->err, ERR_BAD_REQUEST, "cannot bind token to object of type /v1, Kind=" STR_FMT, STR_ARG(kind));
}

static int issue(struct api_req *r, struct doc *body, const struct obj *account)
{
    struct doc *spec = doc_sub(r->mem, body, "spec"), *aud = doc_get(spec, "audiences");
    const struct doc *ref = doc_get(spec, "boundObjectRef");
    int64_t seconds = doc_int(spec, "expirationSeconds", TOKEN_S_DEFAULT), expires_ms;
    struct str uid = STR_NULL, token;
    struct str *audiences = arena_array(r->mem, struct str, doc_len(aud) + 2);
    int count = 0;
    if (check(spec, r, &r->err) < 0 || (ref && check_bound(r, ref, &uid) < 0))
        return -1;
    if (!doc_len(aud)) { /* the server's own */
        const struct doc *config = doc_parse(r->mem, gate_openid_config(r->api->gate, r->mem), NULL, &r->err);
        aud = doc_put(r->mem, spec, "audiences", doc_new_array(r->mem));
        doc_push(aud, doc_new_str(r->mem, doc_str(config, "issuer")));
    }
    doc_each (a, aud)
        audiences[count++] = doc_string(a);
    if (gate_issue_token(r->api->gate, r->mem, r->info.ns, r->info.name, account->uid, audiences, count, seconds,
                         ref ? str_z(r->mem, doc_str(ref, "kind")) : NULL, doc_str(ref, "name"), uid, &token,
                         &expires_ms, &r->err) < 0)
        return -1;
    struct doc *status = doc_put(r->mem, body, "status", doc_new_object(r->mem));
    doc_put_str(r->mem, status, "token", token);
    doc_put_str(r->mem, status, "expirationTimestamp", write_time(r->mem, expires_ms));
    doc_put_int(r->mem, spec, "expirationSeconds", seconds);
    struct doc *meta = doc_sub(r->mem, body, "metadata");
    doc_put_str(r->mem, meta, "name", r->info.name);
    doc_put_str(r->mem, meta, "namespace", r->info.ns);
    return 0;
}

void handle_token(struct api_req *r)
{
    const struct type *t = schema_type("authentication.v1.TokenRequest");
    const struct obj *account = cache_find(r->api->cache, r->res, r->info.ns, r->info.name);
    struct write_opts o;
    enum media_form form;
    struct warnings warnings = {0};
    struct doc *body = NULL;
    if (!account)
        err_not_found(&r->err, STR_NULL, STR("serviceaccounts"), r->info.name);
    else if (write_options(r, "CreateOptions", &o) == 0 &&
             negotiate_body(exchange_header(r->x, "content-type"), &form, &r->err) == 0)
        body = decode_body(r->mem, r->x->body, form, t, "TokenRequest", "authentication.k8s.io/v1", o.validation,
                           &warnings, &r->err);
    if (!body || issue(r, body, account) < 0) {
        reply_err(r);
        return;
    }
    set_warnings(r, &warnings);
    schema_order(r->mem, t, body);
    reply_doc(r, 201, t, body);
}
