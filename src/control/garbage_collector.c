/* control/garbage_collector.c - objects go when their owners are gone; owners wait or let go as they were told.
 *
 * Each object with owner references is looked at when it appears, when its references change, when an owner goes, or
 * when an owner begins to wait for it. There is no graph: the cache knows dependents by uid, and an owner is looked up
 * by the kind and name that the reference gives; that its uid is another means that it is gone. Source: kubernetes
 * pkg/controller/garbagecollector. */
#include "control/conditions.h"
#include "control/internal.h"

enum owner_state { OWNER_SOLID, OWNER_ABSENT, OWNER_WAITING, OWNER_UNKNOWN };

static const struct resource *owner_resource(const struct doc *ref)
{
    struct str group, version;
    if (!str_cut(doc_str(ref, "apiVersion"), '/', &group, &version))
        version = group, group = STR("");
    return schema_kind(group, version, doc_str(ref, "kind"));
}

static const struct obj *owner_lookup(const struct cache *cache, const struct obj *o, const struct doc *ref)
{
    const struct resource *res = owner_resource(ref);
    return res ? cache_find(cache, res, res->namespaced ? o->ns : STR_NULL, doc_str(ref, "name")) : NULL;
}

/* It exists, but in another namespace: a mistake that is worth telling. */
static bool is_elsewhere(struct reconcile *r, const struct resource *res, struct str uid)
{
    struct cache_iter it = cache_list(r->cache, obj_prefix(r->mem, res, STR_NULL), STR_NULL);
    for (struct obj *o; (o = cache_next(&it));)
        if (str_eq(o->uid, uid))
            return true;
    return false;
}

static void tell_mistake(struct reconcile *r, const struct obj *o, const struct doc *ref)
{
    reconcile_event(r, o, "Warning", "OwnerRefInvalidNamespace",
                    "ownerRef [" STR_FMT "/" STR_FMT ", namespace: " STR_FMT ", name: " STR_FMT ", uid: " STR_FMT
                    "] does not exist in namespace \"" STR_FMT "\"",
                    STR_ARG(doc_str(ref, "apiVersion")), STR_ARG(doc_str(ref, "kind")), STR_ARG(o->ns),
                    STR_ARG(doc_str(ref, "name")), STR_ARG(doc_str(ref, "uid")), STR_ARG(o->ns));
}

static enum owner_state judge_owner(struct reconcile *r, const struct obj *o, const struct doc *ref)
{
    const struct resource *res = owner_resource(ref);
    if (!res)
        return OWNER_UNKNOWN; /* a kind that is not served now may be again */
    if (res->namespaced && !o->ns.len) {
        tell_mistake(r, o, ref);
        return OWNER_UNKNOWN; /* can't be looked for: left alone */
    }
    const struct obj *owner = owner_lookup(r->cache, o, ref);
    if (!owner || !str_eq(owner->uid, doc_str(ref, "uid"))) {
        if (res->namespaced && is_elsewhere(r, res, doc_str(ref, "uid")))
            tell_mistake(r, o, ref);
        return OWNER_ABSENT;
    }
    if (owner->deleting && meta_has_finalizer(obj_doc(r->mem, owner), "foregroundDeletion"))
        return OWNER_WAITING;
    return OWNER_SOLID;
}

static void patch_meta(struct reconcile *r, const struct obj *o, const char *member, struct doc *value)
{
    struct doc *patch = doc_new_object(r->mem), *meta = doc_sub(r->mem, patch, "metadata");
    doc_put_str(r->mem, meta, "uid", o->uid);
    doc_put_str(r->mem, meta, "resourceVersion", str_fmt(r->mem, "%llu", (unsigned long long)o->rev));
    doc_put(r->mem, meta, member, doc_len(value) ? value : doc_new_null(r->mem));
    reconcile_merge(r, o->res, NULL, o->ns, o->name, patch);
}

static void delete_as_it_says(struct reconcile *r, const struct obj *o, const struct doc *doc, bool foreground)
{
    int how = meta_has_finalizer(doc, "orphan") ? PROPAGATE_ORPHAN : PROPAGATE_BACKGROUND;
    if (foreground || meta_has_finalizer(doc, "foregroundDeletion"))
        how = PROPAGATE_FOREGROUND;
    reconcile_delete_how(r, o, how, /* grace_s= */ -1, /* exact= */ true);
}

static void judge(struct reconcile *r, const struct obj *o, const struct doc *doc)
{
    struct doc *kept = doc_new_array(r->mem);
    int waiting = 0, count = 0;
    doc_each (ref, doc_path(doc, "metadata", "ownerReferences", NULL)) {
        enum owner_state s = judge_owner(r, o, ref);
        count++;
        waiting += s == OWNER_WAITING;
        if (s == OWNER_SOLID || s == OWNER_UNKNOWN)
            doc_push(kept, doc_copy(r->mem, ref));
    }
    if (count == 0 || (int)doc_len(kept) == count)
        return;
    if (doc_len(kept)) {
        patch_meta(r, o, "ownerReferences", kept);
        return;
    }
    int dependents = 0;
    cache_by_owner(r->cache, r->mem, o->uid, &dependents);
    delete_as_it_says(r, o, doc, /* foreground= */ waiting && dependents);
}

/* ---- owners that are being deleted */

static struct doc *without_owner(struct reconcile *r, const struct obj *o, struct str uid)
{
    struct doc *rest = doc_new_array(r->mem);
    doc_each (ref, doc_path(obj_doc(r->mem, o), "metadata", "ownerReferences", NULL)) {
        if (!str_eq(doc_str(ref, "uid"), uid))
            doc_push(rest, doc_copy(r->mem, ref));
    }
    return rest;
}

static void orphan_dependents(struct reconcile *r, const struct obj *o, const struct doc *doc)
{
    int count;
    struct obj **list = cache_by_owner(r->cache, r->mem, o->uid, &count);
    for (int i = 0; i < count; i++)
        patch_meta(r, list[i], "ownerReferences", without_owner(r, list[i], o->uid));
    if (!count)
        patch_meta(r, o, "finalizers", meta_without_finalizer(r->mem, doc, "orphan"));
}

static bool blocks(struct reconcile *r, const struct obj *dependent, struct str owner_uid)
{
    doc_each (ref, doc_path(obj_doc(r->mem, dependent), "metadata", "ownerReferences", NULL)) {
        if (str_eq(doc_str(ref, "uid"), owner_uid) && doc_bool(ref, "blockOwnerDeletion", false))
            return true;
    }
    return false;
}

static void wait_for_dependents(struct reconcile *r, const struct obj *o, const struct doc *doc)
{
    int count, blocking = 0;
    struct obj **list = cache_by_owner(r->cache, r->mem, o->uid, &count);
    for (int i = 0; i < count; i++) {
        blocking += blocks(r, list[i], o->uid);
        if (!list[i]->deleting)
            controller_enqueue(r->c, list[i]->key); /* it sees that its owner waits, and goes */
    }
    if (!blocking)
        patch_meta(r, o, "finalizers", meta_without_finalizer(r->mem, doc, "foregroundDeletion"));
}

static void reconcile(struct reconcile *r)
{
    const struct obj *o = cache_get(r->cache, r->key);
    if (!o)
        return;
    const struct doc *doc = obj_doc(r->mem, o);
    if (!o->deleting)
        judge(r, o, doc);
    else if (meta_has_finalizer(doc, "orphan"))
        orphan_dependents(r, o, doc);
    else if (meta_has_finalizer(doc, "foregroundDeletion"))
        wait_for_dependents(r, o, doc);
}

/* ---- what wakes it */

static bool owners_moved(const struct cache_event *ev)
{
    const struct obj *a = ev->prev, *b = ev->obj;
    if (!a || a->owner_count != b->owner_count)
        return true;
    for (int i = 0; i < a->owner_count; i++)
        if (!str_eq(a->owners[i], b->owners[i]))
            return true;
    return false;
}

/* Owners that may have waited for this one. */
static void wake_owners(struct controller *c, const struct obj *o)
{
    cleanup_arena struct arena *mem = arena_new();
    doc_each (ref, doc_path(obj_doc(mem, o), "metadata", "ownerReferences", NULL)) {
        const struct obj *owner = owner_lookup(controller_cache(c), o, ref);
        if (owner && owner->deleting)
            controller_enqueue(c, owner->key);
    }
}

static void wake_dependents(struct controller *c, const struct obj *o)
{
    cleanup_arena struct arena *mem = arena_new();
    int count;
    struct obj **list = cache_by_owner(controller_cache(c), mem, o->uid, &count);
    for (int i = 0; i < count; i++)
        controller_enqueue(c, list[i]->key);
}

static void on_anything(struct controller *c, const struct cache_event *ev)
{
    const struct obj *o = ev->obj;
    if (ev->type == CACHE_DELETED) {
        wake_dependents(c, o);
        if (o->owner_count)
            wake_owners(c, o);
        return;
    }
    if (ev->prev && ev->prev->owner_count && owners_moved(ev))
        wake_owners(c, ev->prev);
    if (o->deleting || (o->owner_count && owners_moved(ev)))
        controller_enqueue(c, o->key);
}

const struct controller_kind controller_garbage_collector = {
    .name = "garbage_collector_attempt_to_delete",
    .account = "generic-garbage-collector",
    .component = "garbage-collector-controller",
    .watches = {{"*", "", on_anything}},
    .reconcile = reconcile,
};
