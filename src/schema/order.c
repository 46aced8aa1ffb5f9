/* The canonical form: members in the order of the table, empty ones left out as Go's omitempty does, what Go always
 * writes put in, maps sorted by key. Source: Go encoding/json, apimachinery's types. */
#include <stdio.h>
#include <stdlib.h>

#include "schema/tables.h"

struct str type_short_name(const struct type *t)
{
    struct str name = str_of(t->name);
    return str_from(name, (size_t)(str_rfind(name, '.') + 1));
}

struct str type_go_name(struct arena *mem, const struct type *t)
{
    static const char *const words[] = {
        [TYPE_STRING] = "string",         [TYPE_BOOL] = "bool",
        [TYPE_INT32] = "int32",           [TYPE_INT64] = "int64",
        [TYPE_DOUBLE] = "float64",        [TYPE_BYTES] = "[]uint8",
        [TYPE_QUANTITY] = "string",       [TYPE_INT_OR_STRING] = "intstr.IntOrString",
        [TYPE_TIME] = "string",           [TYPE_MICRO_TIME] = "string",
        [TYPE_DURATION] = "string",       [TYPE_RAW] = "runtime.RawExtension",
        [TYPE_FIELDS_V1] = "v1.FieldsV1", [TYPE_JSON] = "v1.JSON",
        [TYPE_EITHER] = "v1.JSON",
    };
    if (t->name) {
        struct str short_name = type_short_name(t),
                   gv = str_head(str_of(t->name), strlen(t->name) - short_name.len - 1);
        return str_fmt(mem, STR_FMT "." STR_FMT, STR_ARG(str_from(gv, (size_t)(str_rfind(gv, '.') + 1))),
                       STR_ARG(short_name));
    }
    if (t->kind == TYPE_LIST || t->kind == TYPE_MAP) {
        struct str elem = type_go_name(mem, t->elem);
        return str_fmt(mem, "%s" STR_FMT, t->kind == TYPE_LIST ? "[]" : "map[string]", STR_ARG(elem));
    }
    return str_of(words[t->kind]);
}

struct doc *double_node(struct arena *mem, double v)
{
    char text[40], digits[20];
    if (v == (double)(int64_t)(v > -1e18 && v < 1e18 ? v : 0))
        return doc_new_int(mem, (int64_t)v);
    for (int precision = 0; precision < 17; precision++) {
        snprintf(text, sizeof(text), "%.*e", precision, v); /* -d.ddde+XX */
        if (strtod(text, NULL) == v)
            break;
    }
    int n = 0, exponent = atoi(strchr(text, 'e') + 1);
    for (const char *p = text; *p != 'e'; p++)
        if (*p >= '0' && *p <= '9')
            digits[n++] = *p;
    struct sb b = SB(mem);
    sb_addz(&b, v < 0 ? "-" : "");
    if (exponent < -6 || exponent >= 21) {
        sb_addf(&b, "%c%s%.*se%s%d", digits[0], n > 1 ? "." : "", n - 1, digits + 1, exponent < 0 ? "" : "+", exponent);
    } else if (exponent < 0) {
        sb_addf(&b, "0.%.*s%.*s", -exponent - 1, "00000", n, digits);
    } else {
        for (int i = 0; i < n || i <= exponent; i++) {
            sb_addz(&b, i == exponent + 1 ? "." : "");
            sb_addc(&b, i < n ? digits[i] : '0');
        }
    }
    return doc_new_number(mem, sb_str(&b));
}

bool field_is_empty(const struct field *f, const struct doc *v)
{
    if (!v || v->type == DOC_NULL)
        return true;
    if (f->type->kind == TYPE_LIST || f->type->kind == TYPE_MAP)
        return doc_len(v) == 0;
    if (f->flags & FIELD_PTR)
        return false;
    switch (f->type->kind) {
    case TYPE_STRING:
    case TYPE_BYTES:
        return v->type == DOC_STRING && v->s.len == 0;
    case TYPE_BOOL:
        return v->type == DOC_BOOL && !v->b;
    case TYPE_INT32:
    case TYPE_INT64:
    case TYPE_DOUBLE:
        return v->type == DOC_INT && v->i == 0;
    default:
        return false; /* a struct is never empty to omitempty */
    }
}

struct doc *field_zero(struct arena *mem, const struct field *f)
{
    if (f->flags & FIELD_PTR)
        return doc_new_null(mem);
    struct doc *zero;
    switch (f->type->kind) {
    case TYPE_STRING:
        return doc_new_str(mem, STR(""));
    case TYPE_BOOL:
        return doc_new_bool(mem, false);
    case TYPE_INT32:
    case TYPE_INT64:
    case TYPE_DOUBLE:
    case TYPE_INT_OR_STRING:
        return doc_new_int(mem, 0);
    case TYPE_QUANTITY:
        return doc_new_str(mem, STR("0"));
    case TYPE_DURATION:
        return doc_new_str(mem, STR("0s"));
    case TYPE_STRUCT:
        zero = doc_new_object(mem);
        schema_order(mem, f->type, zero);
        return zero;
    default:
        return doc_new_null(mem);
    }
}

uint32_t type_slots(const struct type *t, const struct doc *obj, struct doc **slots)
{
    uint32_t known = 0;
    int next = 0;
    memset(slots, 0, sizeof(*slots) * t->field_count);
    doc_each (d, obj) {
        const struct field *f = type_field_near(t, d->key, &next);
        if (!f)
            continue;
        slots[f - t->fields] = d->type == DOC_NULL ? NULL : d;
        known++;
    }
    return known;
}

/* The members that the type does not know, taken out, chained. */
static struct doc *take_unknown(const struct type *t, struct doc *obj)
{
    struct doc *first = NULL, **end = &first;
    for (struct doc *d = obj->first, *next; d; d = next) {
        next = d->next;
        if (type_field(t, d->key))
            continue;
        d->next = NULL;
        *end = d;
        end = &d->next;
    }
    return first;
}

static void order_struct(struct arena *mem, const struct type *t, struct doc *obj)
{
    struct doc *slots[SCHEMA_FIELDS_MAX];
    bool all_known = type_slots(t, obj, slots) == obj->count;
    struct doc *unknown = all_known ? NULL : take_unknown(t, obj);
    doc_clear(obj);
    for (int i = 0; i < t->field_count; i++) {
        const struct field *f = &t->fields[i];
        struct doc *v = slots[i];
        if (v)
            schema_order(mem, f->type, v);
        if (field_is_empty(f, v)) {
            if (!(f->flags & FIELD_ALWAYS))
                continue;
            v = field_zero(mem, f);
        }
        doc_link_at(obj, f->name, f->name_len, v);
    }
    for (struct doc *d = unknown, *next; d; d = next) {
        next = d->next;
        doc_link(obj, d);
    }
}

static void order_either(struct arena *mem, const struct type *t, struct doc *v)
{
    for (int i = 0; i < t->field_count; i++) {
        const struct type *own = t->fields[i].type;
        if (own->kind == TYPE_STRUCT ? v->type == DOC_OBJECT : own->kind == TYPE_LIST && v->type == DOC_ARRAY)
            schema_order(mem, own, v);
    }
}

void schema_order(struct arena *mem, const struct type *t, struct doc *obj)
{
    switch (t->kind) {
    case TYPE_STRUCT:
        if (obj->type == DOC_OBJECT)
            order_struct(mem, t, obj);
        break;
    case TYPE_EITHER:
        order_either(mem, t, obj);
        break;
    case TYPE_LIST:
        if (t->elem->kind == TYPE_STRUCT || t->elem->kind >= TYPE_LIST)
            doc_each (d, obj)
                schema_order(mem, t->elem, d);
        break;
    case TYPE_MAP:
        doc_sort_keys(obj);
        if (t->elem->kind == TYPE_STRUCT || t->elem->kind >= TYPE_LIST)
            doc_each (d, obj)
                schema_order(mem, t->elem, d);
        break;
    default:
        break;
    }
}
