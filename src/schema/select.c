/* The strings that field selectors see. Source: pkg/apis/.../v1/conversion.go (AddFieldLabelConversionFunc) and the
 * ToSelectableFields of pkg/registry. */
#include "schema/schema.h"

static struct str text_of(struct arena *mem, const struct doc *v, const char *zero)
{
    if (!v || v->type == DOC_NULL)
        return str_of(zero);
    if (v->type == DOC_STRING)
        return v->s;
    if (v->type == DOC_ARRAY) { /* status.podIPs: the addresses, joined */
        struct sb b = SB(mem);
        doc_each (d, v) {
            sb_addz(&b, b.len ? "," : "");
            sb_add(&b, doc_str(d, "ip"));
        }
        return sb_str(&b);
    }
    return doc_json(mem, v);
}

/* Paths that are no place in the object. */
static const struct {
    const char *path, *place, *other, *zero;
} special[] = {
    {"status.successful", "status.succeeded", NULL, "0"}, /* Job */
    {"status.replicas", "status.replicas", NULL, "0"},
    {"spec.unschedulable", "spec.unschedulable", NULL, "false"},
    {"spec.hostNetwork", "spec.hostNetwork", NULL, "false"},
    {"source", "source.component", "reportingComponent", ""}, /* Event */
    {"reportingComponent", "reportingComponent", "source.component", ""},
    {"reportingController", "reportingController", NULL, ""},
};

static const struct doc *follow(const struct doc *obj, struct str path)
{
    struct str rest = path, name;
    while (obj && str_next(&rest, '.', &name))
        obj = doc_get_str(obj, name);
    return obj;
}

static bool is_selectable(const struct resource *r, struct str path)
{
    if (str_is(path, "metadata.name") || (str_is(path, "metadata.namespace") && r->namespaced))
        return true;
    for (const char *const *p = r->selectable; p && *p; p++)
        if (str_is(path, *p))
            return true;
    return false;
}

bool schema_selector_value(struct arena *mem, const struct resource *r, const struct doc *obj, struct str path,
                           struct str *ret)
{
    const char *zero = "";
    if (!is_selectable(r, path))
        return false;
    struct str value = STR_NULL;
    for (size_t i = 0; i < sizeof(special) / sizeof(*special); i++) {
        if (!str_is(path, special[i].path))
            continue;
        zero = special[i].zero;
        value = text_of(mem, follow(obj, str_of(special[i].place)), zero);
        if (!value.len && special[i].other)
            value = text_of(mem, follow(obj, str_of(special[i].other)), zero);
        *ret = value;
        return true;
    }
    *ret = text_of(mem, follow(obj, path), zero);
    return true;
}
