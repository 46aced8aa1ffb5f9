/* control/owner.c - owner references; adoption and release. */
#include "control/owner.h"

const struct doc *owner_controller(const struct doc *obj)
{
    doc_each (ref, doc_path(obj, "metadata", "ownerReferences", NULL))
        if (doc_bool(ref, "controller", false))
            return ref;
    return NULL;
}

static struct doc *reference(struct arena *mem, const struct obj *owner)
{
    struct doc *ref = doc_new_object(mem);
    doc_put_str(mem, ref, "apiVersion", str_of(owner->res->api_version));
    doc_put_str(mem, ref, "kind", str_of(owner->res->kind));
    doc_put_str(mem, ref, "name", owner->name);
    doc_put_str(mem, ref, "uid", owner->uid);
    doc_put_bool(mem, ref, "controller", true);
    doc_put_bool(mem, ref, "blockOwnerDeletion", true);
    return ref;
}

void owner_put(struct arena *mem, struct doc *meta, const struct obj *owner)
{
    doc_push(doc_sub_array(mem, meta, "ownerReferences"), reference(mem, owner));
}

static bool label_of(const struct obj *o, struct str key, struct str *ret)
{
    bool found;
    *ret = obj_label_value(o, key, &found);
    return found;
}

static struct str get_label(void *data, struct str key, bool *found)
{
    struct str v;
    *found = label_of(data, key, &v);
    return v;
}

bool selector_matches_obj(const struct selector *sel, const struct obj *o)
{
    return selector_matches_get(sel, get_label, (void *)o);
}

struct selector *selector_of(struct arena *mem, const struct resource *res, const struct doc *obj)
{
    struct err ignored = ERR(mem);
    const struct doc *sel = doc_path(obj, "spec", "selector", NULL);
    if (strcmp(res->name, "replicationcontrollers") != 0)
        return selector_from_doc(mem, sel, &ignored);
    return doc_len(sel) ? selector_from_map(mem, sel) : selector_from_doc(mem, NULL, &ignored);
}

static void enqueue_matching(struct controller *c, struct arena *mem, const struct resource *res, const struct obj *o)
{
    struct cache_iter it = cache_list(controller_cache(c), obj_prefix(mem, res, o->ns), STR_NULL);
    for (struct obj *w; (w = cache_next(&it));) {
        const struct selector *sel = selector_of(mem, res, obj_doc(mem, w));
        if (sel && selector_matches_obj(sel, o))
            controller_enqueue(c, w->key);
    }
}

static void enqueue_owner_of(struct controller *c, struct arena *mem, const struct resource *res, const struct obj *o,
                             const struct doc *doc)
{
    const struct doc *ref = owner_controller(doc);
    struct str group;
    if (!str_cut(doc_str(ref, "apiVersion"), '/', &group, &(struct str){0}))
        group = STR("");
    if (str_is(doc_str(ref, "kind"), res->kind) && str_is(group, res->group))
        controller_enqueue(c, obj_key(mem, res, o->ns, doc_str(ref, "name")));
}

static bool same_labels(const struct obj *a, const struct obj *b)
{
    if (a->label_count != b->label_count)
        return false;
    for (int i = 0; i < a->label_count; i++)
        if (!str_eq(a->labels[i].key, b->labels[i].key) || !str_eq(a->labels[i].value, b->labels[i].value))
            return false;
    return true;
}

void owner_enqueue(struct controller *c, const struct resource *res, const struct cache_event *ev)
{
    cleanup_arena struct arena *mem = arena_new();
    const struct obj *o = ev->obj, *was = ev->prev;
    if (o->owner_uid.len)
        enqueue_owner_of(c, mem, res, o, cache_event_doc(ev));
    if (was && was->owner_uid.len && !str_eq(was->owner_uid, o->owner_uid))
        enqueue_owner_of(c, mem, res, was, cache_event_prev_doc(ev));
    bool orphan = !o->owner_uid.len && ev->type != CACHE_DELETED && !o->deleting;
    if (orphan && (!was || was->owner_uid.len || !same_labels(was, o)))
        enqueue_matching(c, mem, res, o);
}

/* A patch of the references as they stand in this very state: another writer's change makes it fail. */
static void patch_references(struct reconcile *r, const struct obj *o, struct doc *refs)
{
    struct doc *patch = doc_new_object(r->mem), *meta = doc_sub(r->mem, patch, "metadata");
    doc_put_str(r->mem, meta, "uid", o->uid);
    doc_put_str(r->mem, meta, "resourceVersion", str_fmt(r->mem, "%llu", (unsigned long long)o->rev));
    doc_put(r->mem, meta, "ownerReferences", doc_len(refs) ? refs : doc_new_null(r->mem));
    reconcile_merge(r, o->res, NULL, o->ns, o->name, patch);
}

static void adopt(struct reconcile *r, const struct obj *owner, const struct obj *o)
{
    const struct doc *refs = doc_path(obj_doc(r->mem, o), "metadata", "ownerReferences", NULL);
    struct doc *more = refs ? doc_copy(r->mem, refs) : doc_new_array(r->mem);
    doc_push(more, reference(r->mem, owner));
    patch_references(r, o, more);
}

static void release(struct reconcile *r, const struct obj *owner, const struct obj *o)
{
    struct doc *rest = doc_new_array(r->mem);
    doc_each (ref, doc_path(obj_doc(r->mem, o), "metadata", "ownerReferences", NULL)) {
        if (!str_eq(doc_str(ref, "uid"), owner->uid))
            doc_push(rest, doc_copy(r->mem, ref));
    }
    patch_references(r, o, rest);
}

/* True when o counts as owner's. */
static bool claim(struct reconcile *r, const struct obj *owner, const struct selector *sel, const struct obj *o)
{
    bool matches = selector_matches_obj(sel, o);
    if (str_eq(o->owner_uid, owner->uid)) {
        if (!matches && !owner->deleting)
            release(r, owner, o);
        return matches;
    }
    if (o->owner_uid.len || !matches || o->deleting || owner->deleting)
        return false;
    adopt(r, owner, o);
    return true;
}

struct obj **owner_claim(struct reconcile *r, const struct obj *owner, const struct selector *sel,
                         const struct resource *res, int *ret_count)
{
    int count = 0, cap = 16;
    struct obj **list = arena_array(r->mem, struct obj *, cap);
    struct cache_iter it = cache_list(r->cache, obj_prefix(r->mem, res, owner->ns), STR_NULL);
    for (struct obj *o; (o = cache_next(&it));) {
        if (!str_eq(o->owner_uid, owner->uid) && o->owner_uid.len)
            continue;
        if (!claim(r, owner, sel, o))
            continue;
        if (count == cap) {
            list = arena_grow(r->mem, list, sizeof(*list) * cap, sizeof(*list) * cap * 2);
            cap *= 2;
        }
        list[count++] = o;
    }
    *ret_count = count;
    return list;
}
