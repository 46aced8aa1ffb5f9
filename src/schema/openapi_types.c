/* schema/openapi_types.c - types as OpenAPI schemas. */
#include "schema/openapi_gen.h"

#include "schema/tables.h"

/* Go packages that don't follow io.k8s.api.GROUP.VERSION. */
static const struct {
    const char *prefix, *package;
} packages[] = {
    {"meta.v1.", "io.k8s.apimachinery.pkg.apis.meta.v1."},
    {"apiextensions.v1.", "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."},
    {"apiregistration.v1.", "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1."},
    {"metrics.v1beta1.", "io.k8s.metrics.pkg.apis.metrics.v1beta1."},
};

struct str openapi_type_name(struct arena *mem, const struct type *t)
{
    struct str name = str_of(t->name);
    for (size_t i = 0; i < sizeof(packages) / sizeof(packages[0]); i++)
        if (str_starts(name, str_of(packages[i].prefix)))
            return str_fmt(mem, "%s%s", packages[i].package, t->name + strlen(packages[i].prefix));
    return str_fmt(mem, "io.k8s.api.%s", t->name);
}

void openapi_ref(struct openapi_gen *g, struct str name)
{
    sb_addf(g->out, "{\"$ref\":\"#/%s/" STR_FMT "\"}", g->v3 ? "components/schemas" : "definitions", STR_ARG(name));
}

/* Types of their own in Go that the tables know as kinds of value. */
static const struct leaf {
    enum type_kind kind;
    const char *name, *schema;
} leaves[] = {
    {TYPE_QUANTITY, "io.k8s.apimachinery.pkg.api.resource.Quantity", "\"type\":\"string\""},
    {TYPE_INT_OR_STRING, "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
     "\"format\":\"int-or-string\",\"type\":\"string\""},
    {TYPE_TIME, "io.k8s.apimachinery.pkg.apis.meta.v1.Time", "\"format\":\"date-time\",\"type\":\"string\""},
    {TYPE_MICRO_TIME, "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime", "\"format\":\"date-time\",\"type\":\"string\""},
    {TYPE_DURATION, "io.k8s.apimachinery.pkg.apis.meta.v1.Duration", "\"type\":\"string\""},
    {TYPE_RAW, "io.k8s.apimachinery.pkg.runtime.RawExtension", "\"type\":\"object\""},
    {TYPE_FIELDS_V1, "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1", "\"type\":\"object\""},
    {TYPE_JSON, "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON", "\"description\":\"Any JSON value.\""},
};
enum { LEAVES = sizeof(leaves) / sizeof(leaves[0]) };

static const struct leaf *leaf_of(const struct type *t)
{
    for (int i = 0; i < LEAVES; i++)
        if (leaves[i].kind == t->kind)
            return &leaves[i];
    return NULL;
}

static ptrdiff_t index_of(const struct type *t)
{
    ptrdiff_t i = t - schema_types;
    return t->name && t->kind == TYPE_STRUCT && i >= 0 && i < schema_type_count ? i : -1;
}

void openapi_mark(struct openapi_gen *g, const struct type *t)
{
    while (t && (t->kind == TYPE_LIST || t->kind == TYPE_MAP))
        t = t->elem;
    ptrdiff_t i = t ? index_of(t) : -1;
    if (i < 0 || g->wanted[i])
        return; /* depth is bounded by the nesting of types */
    g->wanted[i] = 1;
    for (int f = 0; f < t->field_count; f++)
        openapi_mark(g, t->fields[f].type);
}

/* The members of a schema for a value of type t, without braces; a struct gives its $ref. */
static void put_type(struct openapi_gen *g, const struct type *t)
{
    static const char *const plain[] = {[TYPE_STRING] = "\"type\":\"string\"",
                                        [TYPE_BOOL] = "\"type\":\"boolean\"",
                                        [TYPE_INT32] = "\"format\":\"int32\",\"type\":\"integer\"",
                                        [TYPE_INT64] = "\"format\":\"int64\",\"type\":\"integer\"",
                                        [TYPE_DOUBLE] = "\"format\":\"double\",\"type\":\"number\"",
                                        [TYPE_BYTES] = "\"format\":\"byte\",\"type\":\"string\""};
    const struct leaf *leaf = leaf_of(t);
    if (t->kind < TYPE_STRUCT) {
        sb_addz(g->out, plain[t->kind]);
    } else if (t->kind == TYPE_LIST || t->kind == TYPE_MAP) {
        sb_addz(g->out, t->kind == TYPE_LIST ? "\"items\":{" : "\"additionalProperties\":{");
        put_type(g, t->elem);
        sb_addz(g->out, t->kind == TYPE_LIST ? "},\"type\":\"array\"" : "},\"type\":\"object\"");
    } else {
        sb_addf(g->out, "\"$ref\":\"#/%s/" STR_FMT "\"", g->v3 ? "components/schemas" : "definitions",
                STR_ARG(leaf ? str_of(leaf->name) : openapi_type_name(g->mem, t)));
    }
}

static bool is_ref(const struct type *t)
{
    return t->kind >= TYPE_STRUCT && t->kind != TYPE_LIST && t->kind != TYPE_MAP;
}

static void put_list_markers(struct openapi_gen *g, const struct field *f)
{
    static const char *const words[] = {[LIST_ATOMIC] = "atomic", [LIST_SET] = "set", [LIST_MAP] = "map"};
    if (f->list_type == LIST_MAP) {
        sb_addz(g->out, ",\"x-kubernetes-list-map-keys\":[");
        for (int i = 0; f->list_keys && f->list_keys[i]; i++)
            sb_addf(g->out, "%s\"%s\"", i ? "," : "", f->list_keys[i]);
        sb_addc(g->out, ']');
    }
    if (f->list_type != LIST_NONE)
        sb_addf(g->out, ",\"x-kubernetes-list-type\":\"%s\"", words[f->list_type]);
    if (f->flags & FIELD_MAP_ATOMIC)
        sb_addz(g->out, ",\"x-kubernetes-map-type\":\"atomic\"");
}

static void put_patch_markers(struct openapi_gen *g, const struct field *f)
{
    bool merge = f->flags & FIELD_PATCH_MERGE, retain = f->flags & FIELD_PATCH_RETAIN_KEYS;
    if (f->patch_key)
        sb_addf(g->out, ",\"x-kubernetes-patch-merge-key\":\"%s\"", f->patch_key);
    if (merge || retain)
        sb_addf(g->out, ",\"x-kubernetes-patch-strategy\":\"%s\"",
                merge && retain ? "merge,retainKeys"
                : merge         ? "merge"
                                : "retainKeys");
}

static void put_enum(struct openapi_gen *g, const struct field *f)
{
    if (!f->enums || !f->enums[0])
        return;
    sb_addz(g->out, ",\"enum\":[");
    for (int i = 0; f->enums[i]; i++) {
        sb_addz(g->out, i ? "," : "");
        doc_json_string(g->out, str_of(f->enums[i]));
    }
    sb_addc(g->out, ']');
}

static void put_text(struct openapi_gen *g, const char *text)
{
    if (!text)
        return;
    sb_addz(g->out, "\"description\":");
    doc_json_string(g->out, str_of(text));
    sb_addc(g->out, ',');
}

static void put_field(struct openapi_gen *g, const struct field *f)
{
    bool wrap = g->v3 && is_ref(f->type); /* OpenAPI 3.0 allows nothing beside a $ref */
    sb_addf(g->out, "\"%s\":{", f->name);
    put_text(g, f->text);
    if (f->dflt)
        sb_addf(g->out, "\"default\":%s,", f->dflt);
    sb_addz(g->out, wrap ? "\"allOf\":[{" : "");
    put_type(g, f->type);
    sb_addz(g->out, wrap ? "}]" : "");
    put_enum(g, f);
    put_list_markers(g, f);
    put_patch_markers(g, f);
    sb_addc(g->out, '}');
}

static void put_required(struct openapi_gen *g, const struct type *t)
{
    int count = 0;
    for (int i = 0; i < t->field_count; i++)
        if (!(t->fields[i].flags & FIELD_OPTIONAL) || (t->fields[i].flags & FIELD_REQUIRED))
            sb_addf(g->out, "%s\"%s\"", count++ ? "," : "\"required\":[", t->fields[i].name);
    sb_addz(g->out, count ? "]," : "");
}

/* The kinds that this type is the body of. */
static void put_kinds(struct openapi_gen *g, const struct type *t)
{
    struct str short_name = type_short_name(t);
    int count = 0;
    for (int i = 0; schema_resources[i]; i++) {
        const struct resource *r = schema_resources[i];
        struct str prefix = str_head(str_of(r->type->name), strlen(r->type->name) - type_short_name(r->type).len);
        bool is_kind = r->type == t,
             is_list = r->list_kind && str_is(short_name, r->list_kind) && str_starts(str_of(t->name), prefix);
        if (is_kind || is_list)
            sb_addf(g->out, "%s{\"group\":\"%s\",\"kind\":\"%s\",\"version\":\"%s\"}",
                    count++ ? "," : ",\"x-kubernetes-group-version-kind\":[", r->group,
                    is_kind ? r->kind : r->list_kind, r->version);
    }
    if (!count && (!strcmp(t->name, "meta.v1.Status") || !strcmp(t->name, "meta.v1.DeleteOptions")))
        sb_addf(g->out, "%s{\"group\":\"\",\"kind\":\"" STR_FMT "\",\"version\":\"v1\"}",
                count++ ? "," : ",\"x-kubernetes-group-version-kind\":[", STR_ARG(short_name));
    sb_addz(g->out, count ? "]" : "");
}

static void put_definition(struct openapi_gen *g, const struct type *t)
{
    sb_addf(g->out, "\"" STR_FMT "\":{", STR_ARG(openapi_type_name(g->mem, t)));
    put_text(g, t->text);
    put_required(g, t);
    sb_addz(g->out, "\"properties\":{");
    for (int i = 0; i < t->field_count; i++) {
        sb_addz(g->out, i ? "," : "");
        put_field(g, &t->fields[i]);
    }
    sb_addz(g->out, "},\"type\":\"object\"");
    put_kinds(g, t);
    sb_addc(g->out, '}');
}

void openapi_definitions(struct openapi_gen *g)
{
    for (int i = 0; i < LEAVES; i++)
        sb_addf(g->out, "%s\"%s\":{%s}", i ? "," : "", leaves[i].name, leaves[i].schema);
    for (int i = 0; i < schema_type_count; i++)
        if (g->wanted[i]) {
            sb_addc(g->out, ',');
            put_definition(g, &schema_types[i]);
        }
}
