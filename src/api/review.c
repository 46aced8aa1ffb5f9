/* api/review.c - kinds that are questions: TokenReview, SelfSubjectReview, the SubjectAccessReview family and
 * SelfSubjectRulesReview. Nothing is stored; the answer is the status.
 * Source: kubernetes pkg/registry/authentication, pkg/registry/authorization. */
#include "api/internal.h"

static void put_user(struct arena *mem, struct doc *d, const struct user *u)
{
    doc_put_str(mem, d, "username", u->name);
    if (u->uid.len)
        doc_put_str(mem, d, "uid", u->uid);
    struct doc *groups = u->group_count ? doc_sub_array(mem, d, "groups") : NULL;
    for (int i = 0; i < u->group_count; i++)
        doc_push(groups, doc_new_str(mem, u->groups[i]));
    struct doc *extra = u->extra_count ? doc_sub(mem, d, "extra") : NULL;
    for (int i = 0; i < u->extra_count; i++) {
        struct doc *values = doc_set(extra, u->extra[i].key, doc_new_array(mem));
        for (int k = 0; k < u->extra[i].count; k++)
            doc_push(values, doc_new_str(mem, u->extra[i].values[k]));
    }
}

static struct doc *status_of(struct api_req *r, struct doc *body)
{
    return doc_put(r->mem, body, "status", doc_new_object(r->mem));
}

static int token_review(struct api_req *r, struct doc *body)
{
    struct arena *mem = r->mem;
    const struct doc *spec = doc_get(body, "spec"), *aud = doc_get(spec, "audiences");
    struct str token = doc_str(spec, "token");
    struct str *audiences = arena_array(mem, struct str, doc_len(aud) + 1);
    int count = 0;
    struct err why = ERR(mem);
    if (!token.len)
        return err_set(&r->err, ERR_BAD_REQUEST, "token is required for TokenReview in authentication");
    doc_each (a, aud)
        audiences[count++] = doc_string(a);
    const struct user *u = gate_authenticate_token(r->api->gate, mem, token, audiences, count, &why);
    struct doc *status = status_of(r, body);
    if (!u) {
        if (why.message.len)
            doc_put_str(mem, status, "error", why.message);
        doc_put(mem, status, "user", doc_new_object(mem));
        return 0;
    }
    doc_put_bool(mem, status, "authenticated", true);
    put_user(mem, doc_sub(mem, status, "user"), u);
    if (count)
        doc_put(mem, status, "audiences", doc_copy(mem, aud));
    return 0;
}

static int self_review(struct api_req *r, struct doc *body)
{
    put_user(r->mem, doc_sub(r->mem, status_of(r, body), "userInfo"), r->user);
    return 0;
}

/* ---- access */

static const struct user *asked_user(struct arena *mem, const struct doc *spec)
{
    struct user *u = arena_new_of(mem, struct user);
    const struct doc *groups = doc_get(spec, "groups");
    u->name = doc_str(spec, "user"), u->uid = doc_str(spec, "uid");
    u->groups = arena_array(mem, struct str, doc_len(groups) + 1);
    doc_each (g, groups)
        u->groups[u->group_count++] = doc_string(g);
    return u;
}

static int read_attrs(const struct doc *spec, struct gate_attrs *ret, struct err *err)
{
    const struct doc *res = doc_get(spec, "resourceAttributes"), *path = doc_get(spec, "nonResourceAttributes");
    if (!res == !path)
        return err_set(err, ERR_BAD_REQUEST,
                       res ? "nonResourceAttributes and resourceAttributes may not both be set"
                           : "exactly one of nonResourceAttributes or resourceAttributes must be specified");
    *ret = (struct gate_attrs){.verb = doc_str(res ? res : path, "verb")};
    if (path) {
        ret->path = doc_str(path, "path");
        return 0;
    }
    ret->group = doc_str(res, "group"), ret->version = doc_str(res, "version");
    ret->resource = doc_str(res, "resource"), ret->subresource = doc_str(res, "subresource");
    ret->ns = doc_str(res, "namespace"), ret->name = doc_str(res, "name");
    return 0;
}

static int answer_access(struct api_req *r, struct doc *body, const struct user *u)
{
    struct gate_attrs a;
    struct str why = STR_NULL, ns = r->info.ns;
    const struct doc *spec = doc_get(body, "spec");
    if (read_attrs(spec, &a, &r->err) < 0)
        return -1;
    if (ns.len && !str_eq(a.ns, ns))
        return err_set(&r->err, ERR_BAD_REQUEST, "spec.resourceAttributes.namespace must match namespace: " STR_FMT,
                       STR_ARG(ns));
    bool allowed = gate_authorize(r->api->gate, r->mem, u, &a, &why);
    struct doc *status = status_of(r, body);
    doc_put_bool(r->mem, status, "allowed", allowed);
    if (why.len)
        doc_put_str(r->mem, status, "reason", why);
    return 0;
}

static int self_access(struct api_req *r, struct doc *body)
{
    return answer_access(r, body, r->user);
}

static int subject_access(struct api_req *r, struct doc *body)
{
    const struct user *u = asked_user(r->mem, doc_get(body, "spec"));
    if (!u->name.len && !u->group_count)
        return err_set(&r->err, ERR_BAD_REQUEST, "at least one of user or group must be specified");
    return answer_access(r, body, u);
}

static int rules(struct api_req *r, struct doc *body)
{
    struct doc *status = status_of(r, body);
    struct str ns = doc_str(doc_get(body, "spec"), "namespace");
    if (!ns.len)
        return err_set(&r->err, ERR_BAD_REQUEST, "no namespace on request");
    struct doc *resources = doc_put(r->mem, status, "resourceRules", doc_new_array(r->mem));
    struct doc *paths = doc_put(r->mem, status, "nonResourceRules", doc_new_array(r->mem));
    gate_rules(r->api->gate, r->mem, r->user, ns, resources, paths);
    doc_put_bool(r->mem, status, "incomplete", false);
    return 0;
}

static const struct review {
    const char *resource;
    int (*answer)(struct api_req *r, struct doc *body);
} reviews[] = {
    {"tokenreviews", token_review},
    {"selfsubjectreviews", self_review},
    {"selfsubjectaccessreviews", self_access},
    {"subjectaccessreviews", subject_access},
    {"localsubjectaccessreviews", subject_access},
    {"selfsubjectrulesreviews", rules},
};

static const struct review *find(const struct resource *res)
{
    bool group = !strcmp(res->group, "authentication.k8s.io") || !strcmp(res->group, "authorization.k8s.io");
    for (size_t i = 0; group && i < sizeof(reviews) / sizeof(reviews[0]); i++)
        if (!strcmp(res->name, reviews[i].resource))
            return &reviews[i];
    return NULL;
}

bool is_review(const struct resource *res)
{
    return find(res) != NULL;
}

void handle_review(struct api_req *r)
{
    struct write_opts o;
    enum media_form form;
    struct warnings warnings = {0};
    struct doc *body;
    if (write_options(r, "CreateOptions", &o) < 0 ||
        negotiate_body(exchange_header(r->x, "content-type"), &form, &r->err) < 0 ||
        !(body = decode_body(r->mem, r->x->body, form, r->res->type, r->res->kind, r->res->api_version, o.validation,
                             &warnings, &r->err)) ||
        find(r->res)->answer(r, body) < 0) {
        reply_err(r);
        return;
    }
    set_warnings(r, &warnings);
    schema_order(r->mem, r->res->type, body);
    reply_doc(r, 201, r->res->type, body);
}
