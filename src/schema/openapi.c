/* schema/openapi.c - documents and paths. */
#include "schema/openapi_gen.h"

#include "schema/tables.h"

/* ---- paths: what verbs a resource has, and which parameters each takes */

struct param {
    const char *name, *type;
};
static const struct param common[] = {{"pretty", "string"}, {NULL, NULL}};
static const struct param list_params[] = {{"allowWatchBookmarks", "boolean"},
                                           {"continue", "string"},
                                           {"fieldSelector", "string"},
                                           {"labelSelector", "string"},
                                           {"limit", "integer"},
                                           {"resourceVersion", "string"},
                                           {"resourceVersionMatch", "string"},
                                           {"sendInitialEvents", "boolean"},
                                           {"timeoutSeconds", "integer"},
                                           {"watch", "boolean"},
                                           {NULL, NULL}};
static const struct param write_params[] = {
    {"dryRun", "string"}, {"fieldManager", "string"}, {"fieldValidation", "string"}, {NULL, NULL}};
static const struct param patch_params[] = {{"dryRun", "string"},
                                            {"fieldManager", "string"},
                                            {"fieldValidation", "string"},
                                            {"force", "boolean"},
                                            {NULL, NULL}};
static const struct param delete_params[] = {{"dryRun", "string"},
                                             {"gracePeriodSeconds", "integer"},
                                             {"orphanDependents", "boolean"},
                                             {"propagationPolicy", "string"},
                                             {NULL, NULL}};

static const struct operation {
    uint16_t verb;
    bool on_item;
    const char *method, *action, *word; /* x-kubernetes-action; first word of the operationId */
    const struct param *params;
    bool has_body;
} operations[] = {
    {VERB_LIST, false, "get", "list", "list", list_params, false},
    {VERB_CREATE, false, "post", "post", "create", write_params, true},
    {VERB_DELETE_COLLECTION, false, "delete", "deletecollection", "deleteCollection", delete_params, false},
    {VERB_GET, true, "get", "get", "read", common, false},
    {VERB_UPDATE, true, "put", "put", "replace", write_params, true},
    {VERB_PATCH, true, "patch", "patch", "patch", patch_params, true},
    {VERB_DELETE, true, "delete", "delete", "delete", delete_params, false},
};
enum { OPERATIONS = sizeof(operations) / sizeof(operations[0]) };

static void put_param(struct openapi_gen *g, const char *name, const char *type, const char *in)
{
    bool in_path = !strcmp(in, "path");
    sb_addf(g->out, "{\"in\":\"%s\",\"name\":\"%s\"%s", in, name, in_path ? ",\"required\":true" : "");
    if (g->v3)
        sb_addf(g->out, ",\"schema\":{\"type\":\"%s\"}}", type);
    else
        sb_addf(g->out, ",\"type\":\"%s\",\"uniqueItems\":true}", type);
}

static void put_params(struct openapi_gen *g, const struct operation *op)
{
    int count = 0;
    sb_addz(g->out, "\"parameters\":[");
    for (const struct param *p = op->params; p->name; p++) {
        sb_addz(g->out, count++ ? "," : "");
        put_param(g, p->name, p->type, "query");
    }
    if (op->has_body && !g->v3)
        sb_addf(g->out, "%s{\"in\":\"body\",\"name\":\"body\",\"required\":true,\"schema\":{\"type\":\"object\"}}",
                count ? "," : "");
    sb_addc(g->out, ']');
}

/* "RbacAuthorization" of rbac.authorization.k8s.io; "Core" of "". */
static struct str group_word(struct arena *mem, struct str group)
{
    struct sb b = SB(mem);
    struct str rest = group.len ? group : STR("core"), part;
    if (str_ends(rest, STR(".k8s.io")))
        rest = str_head(rest, rest.len - 7);
    while (str_next(&rest, '.', &part))
        if (part.len) {
            sb_addc(&b, (char)(part.ptr[0] & ~0x20));
            sb_add(&b, str_from(part, 1));
        }
    return sb_str(&b);
}

static struct str capital(struct arena *mem, const char *word)
{
    struct str s = str_dup(mem, str_of(word));
    if (s.len)
        ((char *)s.ptr)[0] = (char)(s.ptr[0] & ~0x20);
    return s;
}

struct target { /* one path */
    const struct resource *r;
    const struct subresource *sub; /* NULL: the resource */
    bool on_item, all_namespaces;
};

static void put_body(struct openapi_gen *g, const struct operation *op, const struct type *t)
{
    if (!g->v3 || !op->has_body)
        return;
    sb_addz(g->out, ",\"requestBody\":{\"content\":{\"*/*\":{\"schema\":");
    openapi_ref(g, op->verb == VERB_PATCH ? STR("io.k8s.apimachinery.pkg.apis.meta.v1.Patch")
                                          : openapi_type_name(g->mem, t));
    sb_addz(g->out, "}}}");
}

static void put_responses(struct openapi_gen *g, const struct type *t)
{
    if (g->v3) {
        sb_addz(g->out,
                ",\"responses\":{\"200\":{\"description\":\"OK\",\"content\":{\"application/json\":{\"schema\":");
        openapi_ref(g, openapi_type_name(g->mem, t));
        sb_addz(g->out, "}}},\"401\":{\"description\":\"Unauthorized\"}}");
    } else {
        sb_addz(g->out, ",\"responses\":{\"200\":{\"description\":\"OK\",\"schema\":");
        openapi_ref(g, openapi_type_name(g->mem, t));
        sb_addz(g->out, "},\"401\":{\"description\":\"Unauthorized\"}}");
    }
}

static void put_operation(struct openapi_gen *g, const struct operation *op, const struct target *at)
{
    static const char mimes[] = "[\"application/json\",\"application/yaml\",\"application/vnd.kubernetes.protobuf\"]";
    static const char patches[] =
        "[\"application/json-patch+json\",\"application/merge-patch+json\",\"application/strategic-merge-patch+json\"]";
    const struct resource *r = at->r;
    const struct type *t = at->sub && at->sub->type ? at->sub->type : r->type;
    struct str group = group_word(g->mem, str_of(r->group)), version = capital(g->mem, r->version);
    struct str sub = at->sub ? capital(g->mem, at->sub->name) : STR_NULL;
    sb_addf(g->out, "\"%s\":{\"operationId\":\"%s" STR_FMT STR_FMT "%s%s" STR_FMT "%s\",", op->method, op->word,
            STR_ARG(group), STR_ARG(version), r->namespaced && !at->all_namespaces ? "Namespaced" : "", r->kind,
            STR_ARG(sub), at->all_namespaces ? "ForAllNamespaces" : "");
    put_params(g, op);
    put_body(g, op, t);
    put_responses(g, t);
    if (!g->v3)
        sb_addf(g->out, ",\"consumes\":%s,\"produces\":%s,\"schemes\":[\"https\"]",
                op->verb == VERB_PATCH ? patches : mimes, mimes);
    sb_addf(g->out,
            ",\"tags\":[\"" STR_FMT "_%s\"],\"x-kubernetes-action\":\"%s\",\"x-kubernetes-group-version-kind\":{"
            "\"group\":\"%s\",\"kind\":\"%s\",\"version\":\"%s\"}}",
            STR_ARG(group), r->version, op->action, at->sub && at->sub->group ? at->sub->group : r->group,
            at->sub && at->sub->kind ? at->sub->kind : r->kind,
            at->sub && at->sub->version ? at->sub->version : r->version);
}

static bool has_operation(const struct operation *op, const struct target *at)
{
    uint16_t verbs = at->sub ? at->sub->verbs : at->r->verbs;
    if (at->sub)
        return (verbs & op->verb) && (op->on_item || op->verb == VERB_CREATE);
    if (at->all_namespaces)
        return op->verb == VERB_LIST && (verbs & VERB_LIST);
    return op->on_item == at->on_item && (verbs & op->verb);
}

static void put_path(struct openapi_gen *g, const struct target *at, int *count)
{
    const struct resource *r = at->r;
    int operations_put = 0;
    for (int i = 0; i < OPERATIONS; i++) {
        if (!has_operation(&operations[i], at))
            continue;
        if (!operations_put) {
            sb_addf(g->out, "%s\"/%s%s%s%s%s/%s%s%s%s\":{", (*count)++ ? "," : "", r->group[0] ? "apis/" : "api",
                    r->group, "/", r->version, r->namespaced && !at->all_namespaces ? "/namespaces/{namespace}" : "",
                    r->name, at->on_item ? "/{name}" : "", at->sub ? "/" : "", at->sub ? at->sub->name : "");
        }
        sb_addz(g->out, operations_put++ ? "," : "");
        put_operation(g, &operations[i], at);
    }
    if (!operations_put)
        return;
    sb_addz(g->out, ",\"parameters\":[");
    bool needs_ns = r->namespaced && !at->all_namespaces;
    if (needs_ns)
        put_param(g, "namespace", "string", "path");
    if (at->on_item) {
        sb_addz(g->out, needs_ns ? "," : "");
        put_param(g, "name", "string", "path");
    }
    sb_addz(g->out, "]}");
}

void openapi_paths(struct openapi_gen *g, struct str group, struct str version)
{
    int count = 0;
    for (int i = 0; schema_resources[i]; i++) {
        const struct resource *r = schema_resources[i];
        if (version.len && (!str_is(group, r->group) || !str_is(version, r->version)))
            continue;
        put_path(g, &(struct target){.r = r}, &count);
        put_path(g, &(struct target){.r = r, .on_item = true}, &count);
        if (r->namespaced)
            put_path(g, &(struct target){.r = r, .all_namespaces = true}, &count);
        for (int s = 0; s < r->subresource_count; s++)
            put_path(g, &(struct target){.r = r, .sub = &r->subresources[s], .on_item = true}, &count);
    }
}

/* ---- documents */

static void mark_resource(struct openapi_gen *g, const struct resource *r)
{
    struct str name = str_of(r->type->name);
    openapi_mark(g, r->type);
    if (r->list_kind) {
        struct str list = str_fmt(g->mem, STR_FMT "%s",
                                  STR_ARG(str_head(name, name.len - type_short_name(r->type).len)), r->list_kind);
        openapi_mark(g, schema_type(str_z(g->mem, list)));
    }
    for (int i = 0; i < r->subresource_count; i++)
        openapi_mark(g, r->subresources[i].type);
}

static void mark_group(struct openapi_gen *g, struct str group, struct str version)
{
    for (int i = 0; schema_resources[i]; i++)
        if (!version.len ||
            (str_is(group, schema_resources[i]->group) && str_is(version, schema_resources[i]->version)))
            mark_resource(g, schema_resources[i]);
    openapi_mark(g, schema_type("meta.v1.Status"));
    openapi_mark(g, schema_type("meta.v1.DeleteOptions"));
}

static struct openapi_gen gen_of(struct sb *out, struct arena *mem, bool v3)
{
    return (struct openapi_gen){
        .out = out, .mem = mem, .v3 = v3, .wanted = arena_zalloc(mem, (size_t)schema_type_count + 1)};
}

#define INFO       "\"info\":{\"title\":\"Kubernetes\",\"version\":\"v" KUBERNETES_VERSION "\"}"
#define PATCH_TYPE "io.k8s.apimachinery.pkg.apis.meta.v1.Patch"

bool openapi_v3(struct sb *out, struct str path)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str group = STR_NULL, version = STR_NULL;
    if (str_starts(path, STR("apis/")))
        str_cut(str_from(path, 5), '/', &group, &version);
    else if (str_starts(path, STR("api/")))
        version = str_from(path, 4);
    bool found = false;
    for (int i = 0; schema_resources[i]; i++)
        found |= str_is(group, schema_resources[i]->group) && str_is(version, schema_resources[i]->version);
    if (!found)
        return false;
    struct openapi_gen g = gen_of(out, mem, true);
    mark_group(&g, group, version);
    sb_addz(out, "{\"openapi\":\"3.0.0\"," INFO ",\"paths\":{");
    openapi_paths(&g, group, version);
    sb_addz(out, "},\"components\":{\"schemas\":{\"" PATCH_TYPE "\":{\"type\":\"object\"},");
    openapi_definitions(&g);
    sb_addz(
        out,
        "},\"securitySchemes\":{\"BearerToken\":{\"type\":\"apiKey\",\"name\":\"authorization\",\"in\":\"header\"}}}}");
    return true;
}

void openapi_v3_index(struct sb *out)
{
    const struct resource *prev = NULL;
    sb_addz(out, "{\"paths\":{");
    for (int i = 0; schema_resources[i]; i++) {
        const struct resource *r = schema_resources[i];
        if (prev && !strcmp(prev->group, r->group) && !strcmp(prev->version, r->version))
            continue;
        const char *root = r->group[0] ? "apis/" : "api", *slash = "/";
        /* The tables change only with the binary, so its version is the hash. */
        sb_addf(out,
                "%s\"%s%s%s%s\":{\"serverRelativeURL\":\"/openapi/v3/%s%s%s%s?hash=" SAMPAN_VERSION
                "-" KUBERNETES_VERSION "\"}",
                prev ? "," : "", root, r->group, slash, r->version, root, r->group, slash, r->version);
        prev = r;
    }
    sb_addz(out, "}}");
}

void openapi_v2_json(struct sb *out)
{
    cleanup_arena struct arena *mem = arena_new();
    struct openapi_gen g = gen_of(out, mem, false);
    mark_group(&g, STR_NULL, STR_NULL);
    sb_addz(out, "{\"swagger\":\"2.0\"," INFO ",\"paths\":{");
    openapi_paths(&g, STR_NULL, STR_NULL);
    sb_addz(out, "},\"definitions\":{\"" PATCH_TYPE "\":{\"type\":\"object\"},");
    openapi_definitions(&g);
    sb_addz(out, "},\"securityDefinitions\":{\"BearerToken\":{\"in\":\"header\",\"name\":\"authorization\",\"type\":"
                 "\"apiKey\"}},\"security\":[{\"BearerToken\":[]}]}");
}
