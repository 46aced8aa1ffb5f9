/* Finding types, fields, resources and subresources in the tables. */
#include "schema/tables.h"

static int name_cmp(struct str name, const struct field *f)
{
    size_t n = name.len < f->name_len ? name.len : f->name_len;
    int order = n ? memcmp(name.ptr, f->name, n) : 0;
    return order ? order : (int)name.len - (int)f->name_len;
}

const struct field *type_field(const struct type *t, struct str name)
{
    int low = 0, high = t->field_count;
    if (name.len > UINT16_MAX)
        return NULL;
    while (low < high) {
        int mid = (low + high) / 2;
        const struct field *f = &t->fields[t->by_name[mid]];
        int order = name_cmp(name, f);
        if (order == 0)
            return f;
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

const struct field *type_field_near(const struct type *t, struct str name, int *next)
{
    enum { LOOK_AHEAD = 8 };
    int end = *next + LOOK_AHEAD < t->field_count ? *next + LOOK_AHEAD : t->field_count;
    const struct field *f = NULL;
    for (int i = *next; i < end && !f; i++)
        if (t->fields[i].name_len == name.len && name.len && t->fields[i].name[0] == name.ptr[0] &&
            memcmp(t->fields[i].name, name.ptr, name.len) == 0)
            f = &t->fields[i];
    if (!f)
        f = type_field(t, name);
    if (f)
        *next = (int)(f - t->fields) + 1;
    return f;
}

static const struct type *find_type(struct str name)
{
    int low = 0, high = schema_type_count;
    while (low < high) {
        int mid = (low + high) / 2, order = str_cmp(name, str_of(schema_types[mid].name));
        if (order == 0)
            return &schema_types[mid];
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

const struct type *schema_type(const char *name)
{
    return find_type(str_of(name));
}

/* "prefix.kind" without building it on the heap: names are short. */
static const struct type *type_of(const char *prefix, struct str kind)
{
    char name[128];
    size_t n = strlen(prefix);
    if (n + 1 + kind.len > sizeof(name))
        return NULL;
    memcpy(name, prefix, n);
    name[n] = '.';
    if (kind.len)
        memcpy(name + n + 1, kind.ptr, kind.len);
    const struct type *t = find_type(str_mem(name, n + 1 + kind.len));
    return t && t->kind == TYPE_STRUCT ? t : NULL;
}

static bool has_kind(const struct type *t)
{
    return t && t->field_count > 1 && str_is(STR("kind"), t->fields[0].name) && t->fields[0].flags & FIELD_INLINED;
}

const struct type *schema_body(struct str api_version, struct str kind)
{
    struct str group, version;
    if (!str_cut(api_version, '/', &group, &version))
        version = group, group = STR("");
    const struct type *t;
    bool known = str_is(group, "meta.k8s.io") && str_is(version, "v1");
    for (const struct schema_group *g = schema_groups; g->prefix; g++) {
        if (!str_is(group, g->group) || !str_is(version, g->version))
            continue;
        known = true;
        if (has_kind(t = type_of(g->prefix, kind)))
            return t;
    }
    /* Options, Status and WatchEvent are registered in every group. */
    t = known ? type_of("meta.v1", kind) : NULL;
    return has_kind(t) || (t && str_is(kind, "WatchEvent")) ? t : NULL;
}

/* Asked for every object: the first byte rules out most rows before any length is measured. */
static bool names(struct str want, const char *have)
{
    return want.len && have[0] == want.ptr[0] && strncmp(have, want.ptr, want.len) == 0 && !have[want.len];
}

const struct resource *schema_resource(struct str group, struct str version, struct str plural)
{
    for (int i = 0; i < schema_resource_count; i++) {
        const struct resource *r = schema_resources[i];
        if (names(plural, r->name) && str_is(group, r->group) && str_is(version, r->version))
            return r;
    }
    return NULL;
}

const struct resource *schema_kind(struct str group, struct str version, struct str kind)
{
    for (int i = 0; i < schema_resource_count; i++) {
        const struct resource *r = schema_resources[i];
        if (names(kind, r->kind) && str_is(group, r->group) && str_is(version, r->version))
            return r;
    }
    return NULL;
}

/* Versions sort v1 before v2 and so on, and Kubernetes prefers the newest stable one. */
const struct resource *schema_stored(const char *group, const char *plural)
{
    const struct resource *last = NULL;
    for (int i = 0; i < schema_resource_count; i++) {
        const struct resource *r = schema_resources[i];
        if (r->name[0] == plural[0] && !strcmp(r->name, plural) && !strcmp(r->group, group))
            last = r;
    }
    return last && last->stored_as ? last->stored_as : last;
}

const struct subresource *resource_subresource(const struct resource *r, struct str name)
{
    for (int i = 0; i < r->subresource_count; i++)
        if (str_is(name, r->subresources[i].name))
            return &r->subresources[i];
    return NULL;
}
