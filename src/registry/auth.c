/* registry/auth.c - who asks the registry, and what they may.
 *
 * Source: distribution's token authentication; RFC 7617. */
#include "registry/internal.h"
#include "schema/quantity.h"

#define HOST  "kubernetes.default.svc"
#define GROUP "sampan.dev"

/* ---- who */
static bool is_anonymous(const struct user *u)
{
    return str_is(u->name, "system:anonymous");
}

/* A Host header goes into the challenge only if it is one. */
static bool is_host(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || memchr(".-:[]_", c, 6)))
            return false;
    }
    return s.len > 0;
}

static void challenge(struct request *r, const char *scope)
{
    struct str host = exchange_header(r->x, "host");
    struct sb b = SB(r->x->mem);
    if (r->target.route == ROUTE_TOKEN || !is_host(host)) {
        sb_addz(&b, "Basic realm=\"sampan\"");
    } else {
        sb_addf(&b, "Bearer realm=\"https://%.*s/v2/token\",service=\"sampan\"", STR_ARG(host));
        if (scope)
            sb_addf(&b, ",scope=\"repository:%.*s:%s\"", STR_ARG(r->target.name), scope);
    }
    exchange_set_header(r->x, "WWW-Authenticate", sb_str(&b));
    request_refuse(r, 401, CODE_UNAUTHORIZED, "authentication required");
}

/* The token of "Basic USER:TOKEN"; false: it is no such header, or nonsense. */
static bool basic_token(struct request *r, struct str *ret)
{
    struct str header = exchange_header(r->x, "authorization"), text, user;
    return str_ieq(str_head(header, 6), STR("Basic ")) &&
           str_base64_dec(r->mem, str_trim(str_from(header, 6)), &text) && str_cut(text, ':', &user, ret);
}

bool auth_user(struct request *r)
{
    struct err err = ERR(r->mem);
    struct str header = exchange_header(r->x, "authorization"), token;
    if (str_ieq(str_head(header, 6), STR("Basic ")))
        r->user = basic_token(r, &token) ? gate_authenticate_token(r->g->gate, r->mem, token, NULL, 0, &err) : NULL;
    else
        r->user = gate_authenticate(r->g->gate, r->x, &err);
    if (r->user)
        return true;
    if (err.reason == ERR_FORBIDDEN || err.reason == ERR_BAD_REQUEST) /* impersonation */
        request_fail(r, 403, CODE_DENIED, "%.*s", STR_ARG(err.message)), request_answer_failure(r);
    else
        challenge(r, NULL);
    return false;
}

void serve_base(struct request *r)
{
    if (is_anonymous(r->user)) /* so that clients send what they have */
        challenge(r, NULL);
    else
        request_reply(r, 200, "application/json", STR("{}"));
}

/* The token that came as a password is the one to use: it is known to the client already, and gate/ judges it each
 * time. */
void serve_token(struct request *r)
{
    struct str token;
    if (!basic_token(r, &token)) {
        challenge(r, NULL);
        return;
    }
    struct sb b = SB(r->mem);
    sb_addz(&b, "{\"token\":");
    doc_json_string(&b, token);
    sb_addz(&b, ",\"access_token\":");
    doc_json_string(&b, token);
    sb_addz(&b, ",\"expires_in\":300}");
    exchange_set_header(r->x, "Cache-Control", STR("no-store"));
    request_reply(r, 200, "application/json", sb_str(&b));
}

/* ---- which repository */
static const struct obj *namespace_of(struct request *r, struct str name, struct str *ret_ns, struct str *ret_image)
{
    str_cut(name, '/', ret_ns, ret_image);
    return cache_find(r->g->cache, schema_stored("", "namespaces"), STR_NULL, *ret_ns);
}

static struct str repo_of(struct request *r, const struct obj *ns, struct str image)
{
    return str_fmt(r->mem, "%.*s/%.*s", STR_ARG(ns->uid), STR_ARG(image));
}

struct str auth_repo_path(struct request *r, struct str name, struct str *ret_ns, struct str *ret_image)
{
    const struct obj *ns = name_valid(name) ? namespace_of(r, name, ret_ns, ret_image) : NULL;
    return ns ? repo_of(r, ns, *ret_image) : STR_NULL;
}

/* What the namespace may hold. A limit that can't be read is zero: a typing error must not lift it. */
static uint64_t limit_of(struct request *r, const struct obj *ns)
{
    struct quantity q;
    const struct doc *annotations = doc_path(obj_doc(r->mem, ns), "metadata", "annotations", NULL);
    struct str text = doc_str(annotations, "sampan.dev/registry-bytes");
    if (!doc_get(annotations, "sampan.dev/registry-bytes"))
        return UINT64_MAX;
    return quantity_parse(text, &q) == 0 && quantity_sign(q) > 0 ? (uint64_t)quantity_value(q) : 0;
}

bool auth_repository(struct request *r)
{
    struct str name = r->target.name;
    if (!name_valid(name)) {
        request_refuse(r, 400, CODE_NAME_INVALID, "the name must be NAMESPACE/IMAGE in lower case");
        return false;
    }
    const struct obj *ns = namespace_of(r, name, &r->ns, &r->image);
    if (mirror_upstream(r->g, r->ns).len) {
        r->is_mirror = true;
        r->repo = name, r->limit = UINT64_MAX;
        return true;
    }
    if (!ns) {
        if (auth_require(r, "get"))
            request_refuse(r, 404, CODE_NAME_UNKNOWN, "the namespace does not exist");
        return false;
    }
    r->repo = repo_of(r, ns, r->image);
    r->limit = limit_of(r, ns);
    return true;
}

/* ---- may they */

/* An image as pods name it: HOST/NAME and then nothing, a tag or a digest. */
static bool image_is(struct str image, struct str name)
{
    static const char *const hosts[] = {HOST "/", HOST ":443/", HOST ".cluster.local/", HOST ".cluster.local:443/"};
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        struct str rest = str_from(image, strlen(hosts[i]));
        if (str_starts(image, str_of(hosts[i])) && str_starts(rest, name))
            return rest.len == name.len || rest.ptr[name.len] == ':' || rest.ptr[name.len] == '@';
    }
    return false;
}

static bool pod_runs(const struct doc *spec, struct str name)
{
    static const char *const lists[] = {"containers", "initContainers", "ephemeralContainers"};
    for (int i = 0; i < 3; i++)
        doc_each (c, doc_get(spec, lists[i]))
            if (image_is(doc_str(c, "image"), name))
                return true;
    doc_each (v, doc_get(spec, "volumes"))
        if (image_is(doc_str(doc_get(v, "image"), "reference"), name))
            return true;
    return false;
}

static bool may(struct request *r, const struct user *u, const char *verb, struct str ns, struct str image)
{
    struct str why, prefix = STR("system:serviceaccounts:");
    if (!strcmp(verb, "get"))
        for (int i = 0; i < u->group_count; i++)
            if (str_starts(u->groups[i], prefix) && str_eq(str_from(u->groups[i], prefix.len), ns))
                return true;
    struct gate_attrs a = {.verb = str_of(verb),
                           .group = STR(GROUP),
                           .version = STR("v1"),
                           .resource = STR("repositories"),
                           .ns = ns,
                           .name = image};
    return gate_authorize(r->g->gate, r->mem, u, &a, &why);
}

/* The pod's own service account must be allowed: its node lends it no rights. */
static bool pod_may(struct request *r, const struct obj *pod, const struct doc *spec, struct str ns, struct str image)
{
    struct str account = doc_str(spec, "serviceAccountName");
    struct str groups[] = {STR("system:serviceaccounts"),
                           str_fmt(r->mem, "system:serviceaccounts:%.*s", STR_ARG(pod->ns)),
                           STR("system:authenticated")};
    struct user u = {.name = str_fmt(r->mem, "system:serviceaccount:%.*s:%.*s", STR_ARG(pod->ns), STR_ARG(account)),
                     .groups = groups,
                     .group_count = 3};
    return may(r, &u, "get", ns, image);
}

static bool node_may(struct request *r, struct str node, struct str ns, struct str image)
{
    int count;
    struct str name = str_fmt(r->mem, "%.*s/%.*s", STR_ARG(ns), STR_ARG(image));
    struct obj **pods = cache_pods_of_node(r->g->cache, r->mem, node, &count);
    for (int i = 0; i < count; i++) {
        const struct doc *spec = doc_get(obj_doc(r->mem, pods[i]), "spec");
        if (pod_runs(spec, name) && pod_may(r, pods[i], spec, ns, image))
            return true;
    }
    return false;
}

/* An agent, and its helper, which pulls. */
static const struct {
    const char *group, *prefix;
} agents[] = {{"system:nodes", "system:node:"}, {"sampan:tunnels", "sampan:tunnel:"}};

bool auth_may(struct request *r, const char *verb, struct str ns, struct str image)
{
    if (may(r, r->user, verb, ns, image))
        return true;
    for (size_t i = 0; !strcmp(verb, "get") && i < sizeof(agents) / sizeof(agents[0]); i++) {
        struct str prefix = str_of(agents[i].prefix);
        if (user_in_group(r->user, agents[i].group) && str_starts(r->user->name, prefix))
            return node_may(r, str_from(r->user->name, prefix.len), ns, image);
    }
    return false;
}

/* Copies belong to nobody: everybody known may have them, and those delete them who may do so in the whole cluster. */
static bool mirror_may(struct request *r, const char *verb)
{
    if (!strcmp(verb, "get"))
        return !is_anonymous(r->user);
    return !strcmp(verb, "delete") && may(r, r->user, verb, STR_NULL, r->target.name);
}

bool auth_require(struct request *r, const char *verb)
{
    if (r->is_mirror ? mirror_may(r, verb) : auth_may(r, verb, r->ns, r->image))
        return true;
    if (is_anonymous(r->user)) {
        challenge(r, !strcmp(verb, "get") ? "pull" : !strcmp(verb, "delete") ? "delete" : "pull,push");
        return false;
    }
    request_fail(r, 403, CODE_DENIED,
                 "User \"%.*s\" cannot %s resource \"repositories\" in API group \"" GROUP
                 "\" in the namespace \"%.*s\": %.*s",
                 STR_ARG(r->user->name), verb, STR_ARG(r->ns), STR_ARG(r->image));
    request_answer_failure(r);
    return false;
}
