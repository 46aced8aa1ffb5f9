/* schema/validate.c - the order in which an object is judged: metadata, then its kind's own function, or the columns of
 * the table where the kind has none. A kind's function says everything about its fields, so the columns are not asked
 * twice. */
#include "schema/rules/warn.h"

enum { WALK_DEPTH_MAX = 1000 }; /* types can contain themselves (JSONSchemaProps) */

static void walk(struct rule_ctx *c, const struct type *t, const struct doc *value, const struct doc *old,
                 const struct fpath *at, int depth);

static bool is_empty(const struct doc *d)
{
    return !d || d->type == DOC_NULL || (d->type == DOC_STRING && !d->s.len) ||
           ((d->type == DOC_ARRAY || d->type == DOC_OBJECT) && !d->count);
}

static void walk_enum(struct rule_ctx *c, const struct field *f, const struct doc *value, const struct fpath *at)
{
    if (doc_is(value, DOC_STRING))
        check_enum(c, at, value->s, f->enums);
    else if (doc_is(value, DOC_ARRAY))
        rule_each (item, value)
            check_enum(c, AT_INDEX(at, item_i), doc_string(item), f->enums);
}

static void walk_field(struct rule_ctx *c, const struct field *f, const struct doc *value, const struct doc *old,
                       bool is_update, const struct fpath *at, int depth)
{
    if ((f->flags & FIELD_REQUIRED) && is_empty(value)) {
        rule_required(c, at, NULL);
        return;
    }
    if ((f->flags & FIELD_IMMUTABLE) && is_update)
        check_immutable(c, at, value, old);
    if (!value || value->type == DOC_NULL)
        return;
    if (f->enums && !((f->flags & FIELD_OPTIONAL) && is_empty(value)))
        walk_enum(c, f, value, at);
    if ((f->min || f->max) && doc_is(value, DOC_INT))
        check_range(c, at, value->i, f->min, f->max);
    if (f->check)
        f->check(c, value, old, at);
    walk(c, f->type, value, old, at, depth + 1);
}

static void walk_struct(struct rule_ctx *c, const struct type *t, const struct doc *value, const struct doc *old,
                        const struct fpath *at, int depth)
{
    for (int i = 0; i < t->field_count; i++) {
        const struct field *f = &t->fields[i];
        struct str name = str_mem(f->name, f->name_len);
        if (!at && (str_is(name, "metadata") || str_is(name, "status")))
            continue; /* judged apart */
        walk_field(c, f, doc_get_str(value, name), doc_get_str(old, name), old != NULL, AT(at, f->name), depth);
    }
}

static void walk(struct rule_ctx *c, const struct type *t, const struct doc *value, const struct doc *old,
                 const struct fpath *at, int depth)
{
    if (depth > WALK_DEPTH_MAX) {
        rule_invalid_doc(c, at, NULL, "nested too deeply");
        return;
    }
    if (t->kind == TYPE_STRUCT)
        walk_struct(c, t, value, old, at, depth);
    else if (t->kind == TYPE_LIST)
        rule_each (item, value)
            walk(c, t->elem, item, NULL, AT_INDEX(at, item_i), depth + 1);
    else if (t->kind == TYPE_MAP)
        doc_each (item, value)
            walk(c, t->elem, item, doc_get_str(old, item->key), AT_KEY(at, item->key), depth + 1);
    if (t->check)
        t->check(c, value, old, at);
}

/* The body of a subresource of another type: Scale, Binding, Eviction, TokenRequest. */
static void judge_foreign(struct rule_ctx *c)
{
    if (c->res->validate && str_is(str_of(c->sub->name), "binding"))
        c->res->validate(c, c->root, c->old_root, NULL);
    else if (c->sub->type)
        walk(c, c->sub->type, c->root, NULL, NULL, 0);
}

static void judge(struct rule_ctx *c)
{
    const struct doc *meta = doc_get(c->root, "metadata"), *old_meta = doc_get(c->old_root, "metadata");
    if (c->old_root)
        check_meta_update(c, meta, old_meta);
    else
        check_meta(c, meta, c->res->namespaced, c->res->name_rule);
    if (c->sub && str_is(str_of(c->sub->name), "status")) {
        if (c->res->validate_status)
            c->res->validate_status(c, c->root, c->old_root, NULL);
    } else if (c->res->validate)
        c->res->validate(c, c->root, c->old_root, NULL);
    else if (c->res->type)
        walk(c, c->res->type, c->root, c->old_root, NULL, 0);
    if (c->warnings && !c->sub && !c->err->cause_count)
        warn_object(c);
}

int schema_validate(struct arena *mem, const struct resource *r, const struct subresource *sub, const struct doc *obj,
                    const struct doc *old, struct warnings *ret_warnings, struct err *err)
{
    struct err local = ERR(mem);
    struct rule_ctx c = {.mem = mem,
                         .err = err ? err : &local,
                         .res = r,
                         .sub = sub,
                         .root = obj,
                         .old_root = old,
                         .warnings = ret_warnings};
    struct str kind = str_of(sub && sub->kind ? sub->kind : r->kind),
               group = str_of(sub && sub->group ? sub->group : r->group);
    if (sub && sub->type && sub->type != r->type)
        judge_foreign(&c);
    else
        judge(&c);
    return err_invalid(c.err, group, kind, doc_str(doc_get(obj, "metadata"), "name"));
}

void schema_warn(struct rule_ctx *c, const char *fmt, ...)
{
    if (!c->warnings || warned_enough(c))
        return;
    va_list ap;
    va_start(ap, fmt);
    struct warnings *w = c->warnings;
    size_t size = sizeof *w->texts * (size_t)w->count;
    struct str *texts = arena_alloc(c->mem, size + sizeof *texts);
    if (w->count)
        memcpy(texts, w->texts, size);
    texts[w->count] = str_vfmt(c->mem, fmt, ap);
    w->texts = texts;
    w->count++;
    va_end(ap);
}
