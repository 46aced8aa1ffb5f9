/* api/select.c - label and field selectors on objects at rest. */
#include "api/internal.h"

static struct str label_get(void *data, struct str key, bool *found)
{
    return obj_label_value(data, key, found);
}

static bool known_path(const struct resource *res, struct str path)
{
    if (str_is(path, "metadata.name") || (res->namespaced && str_is(path, "metadata.namespace")))
        return true;
    for (const char *const *s = res->selectable; s && *s; s++)
        if (str_is(path, *s))
            return true;
    return false;
}

int choice_init(struct choice *c, const struct resource *res, const struct list_opts *o, struct err *err)
{
    *c = (struct choice){.labels = o->labels, .fields = o->fields, .res = res, .simple_fields = true};
    for (int i = 0; o->fields && i < o->fields->count; i++) {
        struct str path = o->fields->reqs[i].key;
        if (!known_path(res, path))
            return res->selectable
                       ? err_set(err, ERR_BAD_REQUEST, "field label not supported: " STR_FMT, STR_ARG(path))
                       : err_set(err, ERR_BAD_REQUEST,
                                 STR_FMT
                                 " is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
                                 STR_ARG(str_quote(err->mem, path)));
        if (!str_is(path, "metadata.name") && !str_is(path, "metadata.namespace"))
            c->simple_fields = false;
    }
    if (c->labels && selector_is_everything(c->labels))
        c->labels = NULL;
    if (c->fields && selector_is_everything(c->fields))
        c->fields = NULL;
    return 0;
}

bool choice_all(const struct choice *c)
{
    return !c->labels && !c->fields;
}

/* The documents parsed last: all watchers of an event ask about the same two objects, one after the other. */
enum { MEMO_SLOTS = 2 };
struct memo {
    struct {
        struct arena *mem;
        struct obj *obj; /* referenced */
        const struct resource *res;
        struct doc *doc;
    } slots[MEMO_SLOTS];
    int next;
};

static struct doc *memo_doc(struct api *a, const struct resource *res, const struct obj *o, struct arena **ret_mem)
{
    if (!a->memo) {
        a->memo = arena_new_of(a->mem, struct memo);
        for (int i = 0; i < MEMO_SLOTS; i++)
            a->memo->slots[i].mem = arena_new();
    }
    struct memo *m = a->memo;
    for (int i = 0; i < MEMO_SLOTS; i++)
        if (m->slots[i].obj == o && m->slots[i].res == res) {
            *ret_mem = m->slots[i].mem;
            return m->slots[i].doc;
        }
    int i = m->next;
    m->next = (i + 1) % MEMO_SLOTS;
    arena_reset(m->slots[i].mem);
    m->slots[i].obj = obj_unref(m->slots[i].obj);
    m->slots[i].doc = view_doc(m->slots[i].mem, res, o);
    m->slots[i].obj = obj_ref(o);
    m->slots[i].res = res;
    *ret_mem = m->slots[i].mem;
    return m->slots[i].doc;
}

void memo_done(struct api *a)
{
    for (int i = 0; a->memo && i < MEMO_SLOTS; i++) {
        arena_free(a->memo->slots[i].mem);
        obj_unref(a->memo->slots[i].obj);
    }
}

struct field_source {
    struct api *a;
    const struct choice *c;
    const struct obj *o;
};

static struct str field_get(void *data, struct str key, bool *found)
{
    struct field_source *s = data;
    struct str value = STR_NULL;
    struct arena *mem;
    *found = true;
    if (str_is(key, "metadata.name"))
        return s->o->name;
    if (str_is(key, "metadata.namespace"))
        return s->o->ns;
    const struct doc *d = memo_doc(s->a, s->c->res, s->o, &mem);
    schema_selector_value(mem, s->c->res, d, key, &value);
    return value;
}

bool choice_takes(struct api *a, const struct choice *c, const struct obj *o)
{
    if (c->labels && !selector_matches_get(c->labels, label_get, (void *)(uintptr_t)o))
        return false;
    struct field_source s = {a, c, o};
    return !c->fields || selector_matches_get(c->fields, field_get, &s);
}
