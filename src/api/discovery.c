/* api/discovery.c - which groups, versions and resources there are: /api, /apis, /apis/G, /apis/G/V; aggregated as
 * APIGroupDiscoveryList (apidiscovery.k8s.io/v2 and v2beta1).
 *
 * The tables are constant, so each document is built once and kept, with its ETag.
 * Source: k8s.io/apiserver pkg/endpoints/discovery, KEP-3352. */
#include <openssl/evp.h>

#include "api/internal.h"

struct page {
    struct page *next;
    struct str key; /* path and form */
    struct str body, etag;
    struct doc *doc; /* for forms other than JSON */
};
struct discovery {
    struct page *pages;
};

static struct str sha256(struct arena *mem, struct str s)
{
    unsigned char *digest = arena_alloc(mem, EVP_MAX_MD_SIZE);
    unsigned len = 0;
    EVP_Digest(s.ptr, s.len, digest, &len, EVP_sha256(), NULL);
    return str_mem((const char *)digest, len);
}

static struct doc *typed(struct arena *mem, const char *kind, const char *version)
{
    struct doc *d = doc_new_object(mem);
    doc_put_str(mem, d, "kind", str_of(kind));
    doc_put_str(mem, d, "apiVersion", str_of(version));
    return d;
}

/* Kubernetes lists verbs in the order of the alphabet. */
static void put_verbs(struct arena *mem, struct doc *d, unsigned verbs)
{
    static const struct {
        unsigned bit;
        const char *name;
    } rows[] = {{VERB_CREATE, "create"}, {VERB_DELETE, "delete"}, {VERB_DELETE_COLLECTION, "deletecollection"},
                {VERB_GET, "get"},       {VERB_LIST, "list"},     {VERB_PATCH, "patch"},
                {VERB_UPDATE, "update"}, {VERB_WATCH, "watch"}};
    struct doc *list = doc_put(mem, d, "verbs", doc_new_array(mem));
    if (verbs & VERB_CONNECT) /* connecters answer to create and get */
        verbs = (verbs & ~(unsigned)VERB_CONNECT) | VERB_CREATE | VERB_GET;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (verbs & rows[i].bit)
            doc_push(list, doc_new_str(mem, str_of(rows[i].name)));
}

static void put_names(struct arena *mem, struct doc *d, const char *key, const char *const *names)
{
    if (!names || !names[0])
        return;
    struct doc *list = doc_put(mem, d, key, doc_new_array(mem));
    for (; *names; names++)
        doc_push(list, doc_new_str(mem, str_of(*names)));
}

static const struct resource *const *group_start(struct str group, const char *version)
{
    for (const struct resource *const *r = schema_resources; *r; r++)
        if (str_is(group, (*r)->group) && (!version || !strcmp((*r)->version, version)))
            return r;
    return NULL;
}

/* Versions as clients prefer them: v2 before v1. */
static int versions_of(struct arena *mem, const char *group, const char ***ret)
{
    const char **list = arena_alloc(mem, sizeof(*list) * 16);
    int n = 0;
    for (const struct resource *const *r = schema_resources; *r && n < 16; r++) {
        if (strcmp((*r)->group, group) != 0 || (n && !strcmp(list[n - 1], (*r)->version)))
            continue;
        list[n++] = (*r)->version;
    }
    for (int i = 0; i < n / 2; i++) {
        const char *t = list[i];
        list[i] = list[n - 1 - i], list[n - 1 - i] = t;
    }
    *ret = list;
    return n;
}

static int groups(struct arena *mem, const char ***ret)
{
    const char **list = arena_alloc(mem, sizeof(*list) * 64);
    int n = 0;
    for (const struct resource *const *r = schema_resources; *r && n < 64; r++)
        if ((*r)->group[0] && (!n || strcmp(list[n - 1], (*r)->group) != 0))
            list[n++] = (*r)->group;
    *ret = list;
    return n;
}

/* ---- legacy */

static void put_subresource(struct arena *mem, struct doc *list, const struct resource *r, const struct subresource *s)
{
    struct doc *d = doc_push(list, doc_new_object(mem));
    doc_put_str(mem, d, "name", str_fmt(mem, "%s/%s", r->name, s->name));
    doc_put_str(mem, d, "singularName", STR(""));
    doc_put_bool(mem, d, "namespaced", r->namespaced);
    if (s->group && (strcmp(s->group, r->group) != 0 || strcmp(s->version, r->version) != 0)) {
        if (s->group[0])
            doc_put_str(mem, d, "group", str_of(s->group));
        doc_put_str(mem, d, "version", str_of(s->version));
    }
    doc_put_str(mem, d, "kind", str_of(s->kind ? s->kind : r->kind));
    put_verbs(mem, d, s->verbs);
}

static void put_resource(struct arena *mem, struct doc *list, const struct resource *r)
{
    struct doc *d = doc_push(list, doc_new_object(mem));
    doc_put_str(mem, d, "name", str_of(r->name));
    doc_put_str(mem, d, "singularName", str_of(r->singular));
    doc_put_bool(mem, d, "namespaced", r->namespaced);
    doc_put_str(mem, d, "kind", str_of(r->kind));
    put_verbs(mem, d, r->verbs);
    put_names(mem, d, "shortNames", r->short_names);
    put_names(mem, d, "categories", r->categories);
    if (r->verbs & VERB_CREATE && r->verbs & VERB_LIST) { /* of what is stored */
        const struct resource *s = stored_res(r);
        struct str digest = sha256(mem, str_fmt(mem, "%s/%s/%s", s->group, s->version, s->kind));
        doc_put_str(mem, d, "storageVersionHash", str_base64(mem, str_head(digest, 8)));
    }
    for (int i = 0; i < r->subresource_count; i++)
        put_subresource(mem, list, r, &r->subresources[i]);
}

static struct doc *resource_list(struct arena *mem, struct str group, struct str version)
{
    const struct resource *const *r = group_start(group, str_z(mem, version));
    struct doc *d = typed(mem, "APIResourceList", "v1");
    if (!r)
        return NULL;
    if (!group.len) { /* the core group's list has no apiVersion of its own in Kubernetes */
        doc_del(d, "apiVersion");
    }
    doc_put_str(mem, d, "groupVersion", str_of((*r)->api_version));
    struct doc *list = doc_put(mem, d, "resources", doc_new_array(mem));
    for (; *r && str_is(group, (*r)->group) && str_is(version, (*r)->version); r++)
        put_resource(mem, list, *r);
    return d;
}

static struct doc *put_version(struct arena *mem, struct doc *d, const char *group, const char *version)
{
    doc_put_str(mem, d, "groupVersion", str_fmt(mem, "%s/%s", group, version));
    doc_put_str(mem, d, "version", str_of(version));
    return d;
}

static void fill_group(struct arena *mem, struct doc *d, const char *group)
{
    const char **versions;
    int n = versions_of(mem, group, &versions);
    doc_put_str(mem, d, "name", str_dup(mem, str_of(group)));
    struct doc *list = doc_put(mem, d, "versions", doc_new_array(mem));
    for (int i = 0; i < n; i++)
        put_version(mem, doc_push(list, doc_new_object(mem)), group, versions[i]);
    put_version(mem, doc_put(mem, d, "preferredVersion", doc_new_object(mem)), group, versions[0]);
}

static struct doc *api_versions(struct api *a, struct arena *mem)
{
    struct doc *d = doc_new_object(mem);
    doc_put_str(mem, d, "kind", STR("APIVersions"));
    doc_push(doc_put(mem, d, "versions", doc_new_array(mem)), doc_new_str(mem, STR("v1")));
    struct doc *list = doc_put(mem, d, "serverAddressByClientCIDRs", doc_new_array(mem));
    struct doc *one = doc_push(list, doc_new_object(mem));
    doc_put_str(mem, one, "clientCIDR", STR("0.0.0.0/0"));
    doc_put_str(mem, one, "serverAddress", a->advertise);
    return d;
}

static struct doc *group_list(struct arena *mem)
{
    const char **names;
    int n = groups(mem, &names);
    struct doc *d = typed(mem, "APIGroupList", "v1"), *list = doc_put(mem, d, "groups", doc_new_array(mem));
    for (int i = 0; i < n; i++)
        fill_group(mem, doc_push(list, doc_new_object(mem)), names[i]);
    return d;
}

/* ---- aggregated */

static void put_kind(struct arena *mem, struct doc *d, const char *group, const char *version, const char *kind)
{
    struct doc *k = doc_put(mem, d, "responseKind", doc_new_object(mem));
    doc_put_str(mem, k, "group", str_of(group));
    doc_put_str(mem, k, "version", str_of(version));
    doc_put_str(mem, k, "kind", str_of(kind));
}

static void aggregate_resource(struct arena *mem, struct doc *list, const struct resource *r)
{
    struct doc *d = doc_push(list, doc_new_object(mem));
    doc_put_str(mem, d, "resource", str_of(r->name));
    put_kind(mem, d, r->group, r->version, r->kind);
    doc_put_str(mem, d, "scope", r->namespaced ? STR("Namespaced") : STR("Cluster"));
    doc_put_str(mem, d, "singularResource", str_of(r->singular));
    put_verbs(mem, d, r->verbs);
    put_names(mem, d, "shortNames", r->short_names);
    put_names(mem, d, "categories", r->categories);
    struct doc *subs = r->subresource_count ? doc_put(mem, d, "subresources", doc_new_array(mem)) : NULL;
    for (int i = 0; i < r->subresource_count; i++) {
        const struct subresource *s = &r->subresources[i];
        struct doc *one = doc_push(subs, doc_new_object(mem));
        doc_put_str(mem, one, "subresource", str_of(s->name));
        put_kind(mem, one, s->group ? s->group : r->group, s->version ? s->version : r->version,
                 s->kind ? s->kind : r->kind);
        put_verbs(mem, one, s->verbs);
    }
}

static void aggregate_group(struct arena *mem, struct doc *items, const char *group)
{
    const char **versions;
    int n = versions_of(mem, group, &versions);
    struct doc *item = doc_push(items, doc_new_object(mem)),
               *meta = doc_put(mem, item, "metadata", doc_new_object(mem));
    if (group[0])
        doc_put_str(mem, meta, "name", str_of(group));
    doc_put(mem, meta, "creationTimestamp", doc_new_null(mem));
    struct doc *list = doc_put(mem, item, "versions", doc_new_array(mem));
    for (int i = 0; i < n; i++) {
        struct doc *v = doc_push(list, doc_new_object(mem));
        doc_put_str(mem, v, "version", str_of(versions[i]));
        struct doc *resources = doc_put(mem, v, "resources", doc_new_array(mem));
        for (const struct resource *const *r = schema_resources; *r; r++)
            if (!strcmp((*r)->group, group) && !strcmp((*r)->version, versions[i]))
                aggregate_resource(mem, resources, *r);
        doc_put_str(mem, v, "freshness", STR("Current"));
    }
}

static struct doc *aggregated(struct arena *mem, bool core, bool beta)
{
    const char **names;
    struct doc *d =
        typed(mem, "APIGroupDiscoveryList", beta ? "apidiscovery.k8s.io/v2beta1" : "apidiscovery.k8s.io/v2");
    doc_put(mem, d, "metadata", doc_new_object(mem));
    struct doc *items = doc_put(mem, d, "items", doc_new_array(mem));
    if (core) {
        aggregate_group(mem, items, "");
        return d;
    }
    int n = groups(mem, &names);
    for (int i = 0; i < n; i++)
        aggregate_group(mem, items, names[i]);
    return d;
}

/* ---- pages */

static struct doc *build(struct api *a, struct arena *mem, struct str path, const struct media *m)
{
    struct str head, group, version;
    bool core = str_starts(path, STR("/api/")) || str_is(path, "/api");
    str_cut(str_from(path, 1), '/', &head, &path);
    if (!path.len && m->as == AS_DISCOVERY)
        return aggregated(mem, core, m->beta);
    if (!path.len)
        return core ? api_versions(a, mem) : group_list(mem);
    if (core)
        return resource_list(mem, STR_NULL, path);
    if (str_cut(path, '/', &group, &version))
        return group.len ? resource_list(mem, group, version) : NULL;
    const struct resource *const *r = group.len ? group_start(group, NULL) : NULL;
    if (!r)
        return NULL;
    struct doc *d = typed(mem, "APIGroup", "v1");
    fill_group(mem, d, (*r)->group);
    return d;
}

static struct page *find_page(struct api *a, struct str path, const struct media *m)
{
    if (!a->discovery)
        a->discovery = arena_new_of(a->mem, struct discovery);
    cleanup_arena struct arena *tmp = arena_new();
    struct str key =
        str_fmt(tmp, "%d%d" STR_FMT, m->as == AS_DISCOVERY, m->as == AS_DISCOVERY && m->beta, STR_ARG(path));
    for (struct page *p = a->discovery->pages; p; p = p->next)
        if (str_eq(p->key, key))
            return p;
    struct doc *d = build(a, tmp, path, m);
    if (!d)
        return NULL;
    struct page *p = arena_new_of(a->mem, struct page);
    p->key = str_dup(a->mem, key);
    p->body = str_fmt(a->mem, STR_FMT "\n", STR_ARG(doc_json(tmp, d)));
    p->etag = str_fmt(a->mem, "\"" STR_FMT "\"", STR_ARG(str_hex(tmp, sha256(tmp, p->body))));
    p->next = a->discovery->pages;
    a->discovery->pages = p;
    return p;
}

static const char *pb_type(struct str path)
{
    int slashes = 0;
    for (size_t i = 0; i < path.len; i++)
        slashes += path.ptr[i] == '/';
    bool core = str_starts(path, STR("/api/")) || str_is(path, "/api");
    if (slashes == 1)
        return core ? "meta.v1.APIVersions" : "meta.v1.APIGroupList";
    return core || slashes == 3 ? "meta.v1.APIResourceList" : "meta.v1.APIGroup";
}

static void reply_page(struct api_req *r, struct str path, const struct page *p, const struct media *m)
{
    struct err ignored = ERR(r->mem);
    if (m->form != MEDIA_JSON || m->pretty) {
        struct media kept = r->out;
        r->out = *m;
        r->out.as = AS_IS;
        reply_doc(r, 200, schema_type(pb_type(path)), doc_parse(r->mem, p->body, NULL, &ignored));
        r->out = kept;
        return;
    }
    if (m->as == AS_DISCOVERY) {
        exchange_set_header(r->x, "Vary", STR("Accept"));
        exchange_set_header(r->x, "ETag", p->etag);
        if (str_eq(exchange_header(r->x, "if-none-match"), p->etag)) {
            exchange_reply(r->x, 304, NULL, STR_NULL);
            return;
        }
    }
    exchange_reply(r->x, 200,
                   m->as != AS_DISCOVERY ? "application/json"
                   : m->beta             ? "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
                                         : "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
                   p->body);
}

bool handle_discovery(struct api_req *r)
{
    struct str path = r->info.path;
    struct media m;
    while (path.len > 1 && path.ptr[path.len - 1] == '/')
        path.len--;
    if (!str_is(path, "/api") && !str_is(path, "/apis") && !str_starts(path, STR("/api/")) &&
        !str_starts(path, STR("/apis/")))
        return false;
    if (negotiate_discovery(exchange_header(r->x, "accept"), &m) < 0)
        m = (struct media){0};
    m.pretty |= r->out.pretty && m.form == MEDIA_JSON && m.as == AS_IS;
    const struct page *p = find_page(r->api, path, &m);
    if (!p)
        return false;
    reply_page(r, path, p, &m);
    return true;
}

void handle_root(struct api_req *r)
{
    static const char *const more[] = {"/healthz",    "/livez",          "/metrics", "/metrics/slis", "/openapi/v2",
                                       "/openapi/v3", "/openid/v1/jwks", "/readyz",  "/version"};
    struct arena *mem = r->mem;
    struct doc *d = doc_new_object(mem), *list = doc_put(mem, d, "paths", doc_new_array(mem));
    doc_push(list, doc_new_str(mem, STR("/.well-known/openid-configuration")));
    doc_push(list, doc_new_str(mem, STR("/api")));
    doc_push(list, doc_new_str(mem, STR("/api/v1")));
    doc_push(list, doc_new_str(mem, STR("/apis")));
    const char *group = "", *version = "";
    for (const struct resource *const *s = schema_resources; *s; s++) {
        if (!(*s)->group[0])
            continue;
        if (strcmp((*s)->group, group) != 0)
            doc_push(list, doc_new_str(mem, str_fmt(mem, "/apis/%s", (*s)->group))), version = "";
        if (strcmp((*s)->version, version) != 0)
            doc_push(list, doc_new_str(mem, str_fmt(mem, "/apis/%s/%s", (*s)->group, (*s)->version)));
        group = (*s)->group, version = (*s)->version;
    }
    for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++)
        doc_push(list, doc_new_str(mem, str_of(more[i])));
    reply_doc(r, 200, NULL, d);
}
