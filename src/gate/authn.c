/* gate/authn.c - who asks: client certificate, bearer token, or nobody; then impersonation.
 *
 * Source: k8s.io/apiserver authentication/request, endpoints/filters/impersonation. */
#include "gate/internal.h"
#include "http/url.h"

static const struct user *of_certificate(struct arena *mem, const struct tls_cert *cert)
{
    struct user *u = arena_new_of(mem, struct user);
    u->name = cert->common_name;
    u->groups = arena_array(mem, struct str, cert->organization_count + 1);
    for (int i = 0; i < cert->organization_count; i++)
        u->groups[u->group_count++] = cert->organizations[i];
    u->groups[u->group_count++] = STR("system:authenticated");
    u->extra = arena_new_of(mem, struct user_extra);
    u->extra->key = STR("authentication.kubernetes.io/credential-id");
    u->extra->values = arena_new_of(mem, struct str);
    u->extra->values[0] = str_fmt(mem, "X509SHA256=" STR_FMT, STR_ARG(cert->fingerprint_sha256));
    u->extra->count = u->extra_count = 1;
    return u;
}

static const struct user *nobody(struct arena *mem)
{
    static struct str groups[] = {{"system:unauthenticated", 22}};
    static const struct user anonymous = {.name = {"system:anonymous", 16}, .groups = groups, .group_count = 1};
    return &anonymous;
}

static const struct user *of_credentials(struct gate *g, struct exchange *x, struct err *err)
{
    struct str header = exchange_header(x, "authorization");
    if (header.len >= 7 && str_ieq(str_head(header, 7), STR("Bearer ")))
        return token_authenticate(g, x->mem, str_trim(str_from(header, 7)), NULL, 0, err);
    if (x->peer->cert)
        return of_certificate(x->mem, x->peer->cert);
    return nobody(x->mem);
}

static bool may_impersonate(struct gate *g, struct arena *mem, const struct user *u, const char *group,
                            const char *resource, struct str ns, struct str name, struct str sub, struct err *err)
{
    struct gate_attrs a = {.verb = STR("impersonate"),
                           .group = str_of(group),
                           .version = STR("v1"),
                           .resource = str_of(resource),
                           .subresource = sub,
                           .ns = ns,
                           .name = name};
    struct str why = STR_NULL;
    if (gate_authorize(g, mem, u, &a, &why))
        return true;
    gate_forbid(err, u, &a, why);
    return false;
}

/* Extras of one key come in several headers; the key is percent-encoded, as header names can't hold everything. */
static void add_extra(struct arena *mem, struct user *as, int header_count, struct str key, struct str value)
{
    struct user_extra *e = NULL;
    if (!as->extra)
        as->extra = arena_array(mem, struct user_extra, header_count);
    for (int i = 0; i < as->extra_count && !e; i++)
        if (str_eq(as->extra[i].key, key))
            e = &as->extra[i];
    if (!e) {
        e = &as->extra[as->extra_count++];
        e->key = key;
        e->values = arena_array(mem, struct str, header_count);
    }
    e->values[e->count++] = value;
}

static const struct user *impersonate(struct gate *g, struct exchange *x, const struct user *u, struct err *err)
{
    struct str name = exchange_header(x, "impersonate-user"), prefix = STR("system:serviceaccount:"), ns, sa;
    if (!name.len) {
        if (exchange_header(x, "impersonate-group").len || exchange_header(x, "impersonate-uid").len) {
            err_set(err, ERR_BAD_REQUEST, "requested impersonation without impersonating a user");
            return NULL;
        }
        return u;
    }
    struct user *as = arena_new_of(x->mem, struct user);
    as->name = name;
    as->groups = arena_array(x->mem, struct str, x->header_count + 3);
    bool is_account = str_starts(name, prefix) && str_cut(str_from(name, prefix.len), ':', &ns, &sa);
    if (is_account ? !may_impersonate(g, x->mem, u, "", "serviceaccounts", ns, sa, STR_NULL, err)
                   : !may_impersonate(g, x->mem, u, "", "users", STR_NULL, name, STR_NULL, err))
        return NULL;
    for (int i = 0; i < x->header_count; i++) {
        struct str key = x->headers[i].name, value = x->headers[i].value, extra = STR("impersonate-extra-");
        if (str_is(key, "impersonate-group")) {
            if (!may_impersonate(g, x->mem, u, "", "groups", STR_NULL, value, STR_NULL, err))
                return NULL;
            as->groups[as->group_count++] = value;
        } else if (str_is(key, "impersonate-uid")) {
            if (!may_impersonate(g, x->mem, u, "authentication.k8s.io", "uids", STR_NULL, value, STR_NULL, err))
                return NULL;
            as->uid = value;
        } else if (str_starts(key, extra)) {
            struct str name_of = str_from(key, extra.len);
            url_decode_path(x->mem, name_of, &name_of); /* what does not decode stays as it is, as in Kubernetes */
            if (!may_impersonate(g, x->mem, u, "authentication.k8s.io", "userextras", STR_NULL, value, name_of, err))
                return NULL;
            add_extra(x->mem, as, x->header_count, name_of, value);
        }
    }
    if (!as->group_count && is_account) {
        as->groups[as->group_count++] = STR("system:serviceaccounts");
        as->groups[as->group_count++] = str_fmt(x->mem, "system:serviceaccounts:" STR_FMT, STR_ARG(ns));
    }
    bool is_anonymous = str_is(name, "system:anonymous");
    if (!user_in_group(as, is_anonymous ? "system:unauthenticated" : "system:authenticated"))
        as->groups[as->group_count++] = is_anonymous ? STR("system:unauthenticated") : STR("system:authenticated");
    return as;
}

const struct user *gate_authenticate(struct gate *g, struct exchange *x, struct err *err)
{
    const struct user *u = of_credentials(g, x, err);
    return u ? impersonate(g, x, u, err) : NULL;
}

const struct user *gate_authenticate_token(struct gate *g, struct arena *mem, struct str token,
                                           const struct str *audiences, int count, struct err *err)
{
    return token_authenticate(g, mem, token, audiences, count, err);
}
