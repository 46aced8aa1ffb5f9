/* Fields of closed feature gates: dropped from what a client writes, unless the old object already uses the field.
 * Source: pkg/api/pod DropDisabledPodFields and its like in every strategy: what counts is whether the field is in use
 * anywhere in the old object, not at the same place. */
#include "schema/tables.h"

/* Is the field (by its place in the tables) set anywhere below v? */
static bool in_use(const struct type *t, const struct doc *v, const struct field *wanted, int depth)
{
    if (!v || !t->has_gates || depth > SCHEMA_DEPTH_MAX)
        return false;
    if (t->kind == TYPE_LIST || t->kind == TYPE_MAP) {
        doc_each (d, v)
            if (in_use(t->elem, d, wanted, depth + 1))
                return true;
        return false;
    }
    if (t->kind != TYPE_STRUCT)
        return false;
    doc_each (d, v) {
        const struct field *f = type_field(t, d->key);
        if (f && ((f == wanted && !field_is_empty(f, d)) || in_use(f->type, d, wanted, depth + 1)))
            return true;
    }
    return false;
}

struct drop {
    const struct type *root;
    const struct doc *old;
};

static void drop_below(const struct drop *c, const struct type *t, struct doc *v, int depth)
{
    if (!t->has_gates || depth > SCHEMA_DEPTH_MAX)
        return;
    if (t->kind == TYPE_LIST || t->kind == TYPE_MAP) {
        doc_each (d, v)
            drop_below(c, t->elem, d, depth + 1);
        return;
    }
    if (t->kind != TYPE_STRUCT || v->type != DOC_OBJECT)
        return;
    for (struct doc *d = doc_first(v), *next; d; d = next) {
        next = d->next;
        const struct field *f = type_field(t, d->key);
        if (!f)
            continue;
        if (!gate_on(f->gate) && !in_use(c->root, c->old, f, 0))
            doc_remove(v, d);
        else
            drop_below(c, f->type, d, depth + 1);
    }
}

void schema_drop_gated(const struct type *t, struct doc *obj, const struct doc *old)
{
    struct drop c = {t, old};
    drop_below(&c, t, obj, 0);
}
