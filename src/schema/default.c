/* Filling defaults: constants from the table, then the struct's own function, then what is below. Outer before inner,
 * as Kubernetes' generated defaulters go. Only branches that can have a default are entered. */
#include "schema/tables.h"

/* The JSON text of a default. Most are one token. */
static struct doc *constant(struct arena *mem, const char *text)
{
    struct str s = str_of(text);
    int64_t i;
    if (s.len >= 2 && text[0] == '"' && text[s.len - 1] == '"' && !strchr(text, '\\'))
        return doc_new_str(mem, str_mem(text + 1, s.len - 2));
    if (str_to_i64(s, &i))
        return doc_new_int(mem, i);
    if (str_is(s, "true") || str_is(s, "false"))
        return doc_new_bool(mem, text[0] == 't');
    return doc_parse(mem, s, NULL, NULL);
}

static void walk(struct arena *mem, const struct type *t, struct doc *v, const struct doc *root);

static void walk_struct(struct arena *mem, const struct type *t, struct doc *v, const struct doc *root)
{
    struct doc *slots[SCHEMA_FIELDS_MAX];
    type_slots(t, v, slots);
    for (int i = 0; i < t->field_count; i++) {
        const struct field *f = &t->fields[i];
        if (f->dflt && field_is_empty(f, slots[i]))
            slots[i] = doc_set(v, str_mem(f->name, f->name_len), constant(mem, f->dflt));
    }
    if (t->defaults) {
        t->defaults(mem, v, root);
        type_slots(t, v, slots);
    }
    for (int i = 0; i < t->field_count; i++) {
        const struct field *f = &t->fields[i];
        if (!f->type->has_defaults)
            continue;
        if (!slots[i] && f->type->kind == TYPE_STRUCT && !(f->flags & FIELD_PTR))
            slots[i] = doc_set(v, str_mem(f->name, f->name_len), doc_new_object(mem)); /* a Go struct is always there */
        if (slots[i])
            walk(mem, f->type, slots[i], root);
    }
}

static void walk(struct arena *mem, const struct type *t, struct doc *v, const struct doc *root)
{
    if (t->kind == TYPE_STRUCT && v->type == DOC_OBJECT)
        walk_struct(mem, t, v, root);
    else if (t->kind == TYPE_LIST || t->kind == TYPE_MAP)
        doc_each (item, v)
            walk(mem, t->elem, item, root);
}

void schema_default_type(struct arena *mem, const struct type *t, struct doc *obj)
{
    if (t->has_defaults)
        walk(mem, t, obj, obj);
}

void schema_default(struct arena *mem, const struct resource *r, struct doc *obj)
{
    schema_default_type(mem, r->type, obj);
}
