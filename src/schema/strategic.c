/* Strategic merge patch: apimachinery pkg/util/strategicpatch, the branch an API server takes (parallel lists are
 * merged, nulls that match nothing are dropped).
 *
 *   $patch: replace | delete | merge          in an object, or in an item of a list that merges
 *   $retainKeys: [names]                      all other members of the object go
 *   $setElementOrder/LIST: [items]            the order of LIST after the merge
 *   $deleteFromPrimitiveList/LIST: [values]   values that leave LIST
 *
 * A list that merges ends up as: the patch's items in the patch's order, between them what only the server has, as near
 * to its old neighbours as that allows. Ours differs: what Kubernetes answers with a 500 (an item without its key) is a
 * 400 with the same text. */
#include <stdlib.h>

#include "base/map.h"
#include "schema/tables.h"

#define ORDER  STR("$setElementOrder/")
#define DELETE STR("$deleteFromPrimitiveList/")

struct merge {
    struct arena *mem;
    struct err *err;
    int depth;
};

/* ---- Go's %v, for messages */
static int by_key(const void *a, const void *b)
{
    return str_cmp((*(const struct doc *const *)a)->key, (*(const struct doc *const *)b)->key);
}

static void go_value(struct sb *out, const struct doc *v, int depth)
{
    const char *sep = "";
    if (depth > 20) {
        sb_addz(out, "...");
    } else if (v->type == DOC_OBJECT) {
        const struct doc **all = arena_array(out->mem, const struct doc *, v->count + 1);
        uint32_t n = 0;
        doc_each (d, v)
            all[n++] = d;
        qsort(all, n, sizeof(*all), by_key);
        sb_addz(out, "map[");
        for (uint32_t i = 0; i < n; i++, sep = " ") {
            sb_addf(out, "%s" STR_FMT ":", sep, STR_ARG(all[i]->key));
            go_value(out, all[i], depth + 1);
        }
        sb_addc(out, ']');
    } else if (v->type == DOC_ARRAY) {
        sb_addc(out, '[');
        doc_each (d, v) {
            sb_addz(out, sep);
            go_value(out, d, depth + 1);
            sep = " ";
        }
        sb_addc(out, ']');
    } else if (v->type == DOC_STRING) {
        sb_add(out, v->s);
    } else if (v->type == DOC_NULL) {
        sb_addz(out, "<nil>");
    } else {
        doc_json_sb(out, v);
    }
}

static struct str go_text(struct merge *m, const struct doc *v)
{
    struct sb b = SB(m->mem);
    go_value(&b, v, 0);
    return sb_str(&b);
}

static int bad(struct merge *m, const char *message)
{
    return err_set(m->err, ERR_BAD_REQUEST, "%s", message);
}
static int bad_order(struct merge *m)
{
    return bad(m, "invalid patch format of setElementOrder list");
}

/* ---- what of a patch goes in as it is */
/* A copy without nulls in objects and without anything marked by a directive; NULL: nothing is left. */
static struct doc *plain(struct merge *m, const struct doc *v)
{
    if (v->type == DOC_OBJECT) {
        if (doc_get(v, "$patch"))
            return NULL;
        struct doc *to = doc_new_object(m->mem);
        doc_each (d, v) {
            struct doc *own = d->type == DOC_NULL ? NULL : plain(m, d);
            if (own)
                doc_link_at(to, d->key.ptr, d->key.len, own);
        }
        return to;
    }
    if (v->type == DOC_ARRAY) {
        struct doc *to = doc_new_array(m->mem);
        doc_each (d, v) {
            struct doc *own = plain(m, d);
            if (own)
                doc_push(to, own);
        }
        return to;
    }
    return doc_copy(m->mem, v);
}

/* ---- lists */
struct items {
    struct doc **all;
    struct str *ids; /* of an object its merge key's value, of a scalar itself: as JSON */
    int count;
};

static struct str id_of(struct merge *m, const struct doc *v)
{
    return doc_json(m->mem, v);
}

/* -1: an object without the key, or of the wrong form. */
static int items_of(struct merge *m, const struct doc *list, const char *key, struct items *ret)
{
    int n = 0;
    *ret = (struct items){arena_array(m->mem, struct doc *, doc_len(list) + 1),
                          arena_array(m->mem, struct str, doc_len(list) + 1), 0};
    doc_each (d, list) {
        const struct doc *id = d;
        if (key && d->type != DOC_OBJECT)
            return err_set(m->err, ERR_BAD_REQUEST, "value for key %d is not a map", n);
        if (!key && (d->type == DOC_OBJECT || d->type == DOC_ARRAY))
            return bad(m, d->type == DOC_ARRAY ? "lists of lists are not supported"
                                               : "cannot merge lists without merge key");
        if (key && (!(id = doc_get(d, key)) || id->type == DOC_NULL)) {
            struct str text = go_text(m, d);
            return err_set(m->err, ERR_BAD_REQUEST, "map: " STR_FMT " does not contain declared merge key: %s",
                           STR_ARG(text), key);
        }
        ret->all[n] = d;
        ret->ids[n++] = id_of(m, id);
    }
    ret->count = n;
    return 0;
}

/* Position by id, counted from 1; the first of equals. */
static void index_items(struct map *map, const struct items *items)
{
    for (int i = items->count - 1; i >= 0; i--)
        map_put(map, items->ids[i], (void *)(intptr_t)(i + 1));
}
static int position(const struct map *map, struct str id)
{
    return (int)(intptr_t)map_get(map, id) - 1;
}

struct placed {
    struct doc *d;
    int wanted, server; /* positions in the wanted order and in the old list; -1: not there */
    int at;
};

static int by_wanted(const void *a, const void *b)
{
    const struct placed *x = a, *y = b;
    return x->wanted != y->wanted ? (x->wanted < y->wanted ? -1 : 1) : x->at - y->at;
}
static int by_server(const void *a, const void *b)
{
    const struct placed *x = a, *y = b;
    return x->server != y->server ? (x->server < y->server ? -1 : 1) : x->at - y->at;
}

/* Put the items of `list` in order: those in `wanted` as there, the others as on the server, interleaved by the old
 * list. */
static void settle_order(struct merge *m, struct doc *list, const struct items *items, const struct items *wanted,
                         const struct items *server)
{
    struct map want = MAP_INIT, old = MAP_INIT;
    struct placed *ours = arena_array(m->mem, struct placed, items->count + 1),
                  *theirs = arena_array(m->mem, struct placed, items->count + 1);
    int n = 0, k = 0, i = 0, j = 0;
    index_items(&want, wanted);
    index_items(&old, server);
    for (int x = 0; x < items->count; x++) {
        struct placed p = {items->all[x], position(&want, items->ids[x]), position(&old, items->ids[x]), x};
        if (p.wanted >= 0)
            ours[n++] = p;
        else
            theirs[k++] = p;
    }
    map_done(&want);
    map_done(&old);
    qsort(ours, (size_t)n, sizeof(*ours), by_wanted);
    qsort(theirs, (size_t)k, sizeof(*theirs), by_server);
    doc_clear(list);
    while (i < n || j < k) {
        bool left =
            i >= n || (j < k && theirs[j].server >= 0 && ours[i].server >= 0 && theirs[j].server < ours[i].server);
        doc_link(list, left ? theirs[j++].d : ours[i++].d);
    }
}

static int merge_object(struct merge *m, const struct type *t, struct doc *to, const struct doc *patch);

/* Keep the items whose id is not in `gone`. */
static int drop_items(struct merge *m, struct doc *list, const char *key, const struct map *gone)
{
    struct items items;
    if (items_of(m, list, key, &items) < 0)
        return -1;
    doc_clear(list);
    for (int i = 0; i < items.count; i++)
        if (!map_get(gone, items.ids[i]))
            doc_link(list, items.all[i]);
    return 0;
}

/* One item with $patch. 0, 1: replace the whole list, -1. */
static int special_item(struct merge *m, const struct doc *item, const struct doc *directive, const char *key,
                        struct map *gone)
{
    const struct doc *id = doc_get(item, key);
    if (str_is(doc_string(directive), "replace"))
        return 1;
    if (str_is(doc_string(directive), "merge"))
        return bad(m, "merging lists cannot yet be specified in the patch");
    struct str text = go_text(m, item), word = go_text(m, directive);
    if (!str_is(doc_string(directive), "delete"))
        return err_set(m->err, ERR_BAD_REQUEST, "unknown patch type: " STR_FMT " in map: " STR_FMT, STR_ARG(word),
                       STR_ARG(text));
    if (!id)
        return err_set(m->err, ERR_BAD_REQUEST, "map: " STR_FMT " does not contain declared merge key: %s",
                       STR_ARG(text), key);
    map_put(gone, id_of(m, id), m);
    return 0;
}

/* Items with $patch delete, or replace the whole list; the others are left in `rest`. */
static int special_items(struct merge *m, struct doc *to, const struct doc *patch, const char *key, struct doc *rest)
{
    bool replace = false;
    struct map gone = MAP_INIT;
    int r = 0;
    doc_each (d, patch) {
        const struct doc *directive = doc_get(d, "$patch");
        if (r < 0)
            break;
        if (!directive)
            doc_push(rest, doc_copy(m->mem, d));
        else if ((r = special_item(m, d, directive, key, &gone)) > 0)
            replace = true;
    }
    if (r >= 0 && gone.count && !replace)
        r = drop_items(m, to, key, &gone);
    map_done(&gone);
    if (replace) {
        doc_clear(to);
        for (struct doc *d = doc_first(rest), *next; d; d = next) {
            next = d->next;
            doc_link(to, d);
        }
        doc_clear(rest);
    }
    return r < 0 ? -1 : 0;
}

static int merge_objects(struct merge *m, const struct field *f, struct doc *to, const struct doc *patch)
{
    struct doc *rest = doc_new_array(m->mem);
    struct items server, wanted, merged;
    struct map known = MAP_INIT; /* id to the item of `to` */
    int r = 0;
    if (!f->patch_key)
        return bad(m, "cannot merge lists without merge key");
    doc_each (d, patch)
        if (d->type != DOC_OBJECT)
            return bad(m, "expected a map in a list that merges");
    if (special_items(m, to, patch, f->patch_key, rest) < 0 || items_of(m, to, f->patch_key, &server) < 0 ||
        items_of(m, rest, f->patch_key, &wanted) < 0)
        return -1;
    for (int i = server.count - 1; i >= 0; i--)
        map_put(&known, server.ids[i], server.all[i]);
    for (int i = 0; i < wanted.count && r == 0; i++) {
        struct doc *old = map_get(&known, wanted.ids[i]);
        if (old)
            r = merge_object(m, f->type->elem, old, wanted.all[i]);
        else
            map_put(&known, wanted.ids[i], doc_push(to, doc_copy(m->mem, wanted.all[i])));
    }
    map_done(&known);
    if (r < 0 || items_of(m, to, f->patch_key, &merged) < 0)
        return -1;
    settle_order(m, to, &merged, &wanted, &server);
    return 0;
}

static int merge_scalars(struct merge *m, struct doc *to, const struct doc *patch)
{
    struct items server, wanted, merged;
    struct map seen = MAP_INIT;
    if (items_of(m, to, NULL, &server) < 0 || items_of(m, patch, NULL, &wanted) < 0)
        return -1;
    struct doc *both = doc_new_array(m->mem);
    for (int i = 0; i < server.count + wanted.count; i++) {
        const struct items *from = i < server.count ? &server : &wanted;
        int at = i < server.count ? i : i - server.count;
        if (map_put(&seen, from->ids[at], to))
            continue;
        doc_push(both, doc_copy(m->mem, from->all[at]));
    }
    map_done(&seen);
    if (items_of(m, both, NULL, &merged) < 0)
        return -1;
    settle_order(m, to, &merged, &wanted, &server);
    return 0;
}

static int delete_scalars(struct merge *m, struct doc *to, const struct doc *list)
{
    struct map gone = MAP_INIT;
    if (list->type != DOC_ARRAY)
        return bad(m, "invalid patch format of primitive list");
    doc_each (d, list)
        map_put(&gone, id_of(m, d), m);
    int r = drop_items(m, to, NULL, &gone);
    map_done(&gone);
    return r;
}

static int merge_list(struct merge *m, const struct field *f, struct doc *to, const struct doc *patch)
{
    const struct doc *any = doc_first(to) ? doc_first(to) : doc_first(patch);
    if (!f || !(f->flags & FIELD_PATCH_MERGE)) {
        doc_assign(to, doc_copy(m->mem, patch));
        return 0;
    }
    if (!any)
        return 0;
    return any->type == DOC_OBJECT ? merge_objects(m, f, to, patch) : merge_scalars(m, to, patch);
}

/* ---- directives of an object */
static int retain_keys(struct merge *m, struct doc *to, const struct doc *patch, const struct doc *list)
{
    struct map keep = MAP_INIT;
    int r = list->type == DOC_ARRAY ? 0 : -1;
    doc_each (d, list)
        if (d->type == DOC_STRING)
            map_put(&keep, d->s, to);
    doc_each (d, patch) {
        if (d->type == DOC_NULL || str_starts(d->key, ORDER) || str_starts(d->key, DELETE) ||
            str_is(d->key, "$retainKeys"))
            continue;
        if (!map_get(&keep, d->key))
            r = -1;
    }
    struct doc *first = r == 0 ? doc_first(to) : NULL;
    if (r == 0)
        doc_clear(to);
    for (struct doc *d = first, *next; d; d = next) {
        next = d->next;
        if (map_get(&keep, d->key))
            doc_link(to, d);
    }
    map_done(&keep);
    return r < 0 ? bad(m, "invalid patch format of retainKeys") : 0;
}

/* Items of the patch must stand in the order of the directive's list, and all be in it. */
static int check_order(struct merge *m, const struct doc *patch, const struct doc *order, const char *key)
{
    struct items wanted, items;
    struct doc *own = doc_new_array(m->mem);
    doc_each (d, patch)
        if (!doc_get(d, "$patch"))
            doc_push(own, doc_copy(m->mem, d));
    if (items_of(m, own, key, &items) < 0 || items_of(m, order, key, &wanted) < 0)
        return -1;
    int i = 0, j = 0;
    if (!wanted.count)
        return 0;
    for (; i < items.count && j < wanted.count; j++)
        if (str_eq(items.ids[i], wanted.ids[j]))
            i++;
    if (i == items.count)
        return 0;
    struct str a = go_text(m, patch), b = go_text(m, order);
    return err_set(m->err, ERR_BAD_REQUEST,
                   "The order in patch list:\n" STR_FMT "\n doesn't match $setElementOrder list:\n" STR_FMT "\n",
                   STR_ARG(a), STR_ARG(b));
}

static int set_order(struct merge *m, const struct type *t, struct doc *to, const struct doc *patch,
                     const struct doc *order)
{
    struct str name = str_from(order->key, ORDER.len);
    const struct field *f = t && t->kind == TYPE_STRUCT ? type_field(t, name) : NULL;
    struct doc *list = doc_get_str(to, name), *own = doc_get_str(patch, name);
    struct items server, wanted, merged;
    if (order->type != DOC_ARRAY || (list && list->type != DOC_ARRAY) || (own && own->type != DOC_ARRAY))
        return bad_order(m);
    if (!f || f->type->kind != TYPE_LIST)
        return err_set(m->err, ERR_BAD_REQUEST,
                       "unable to find api field in struct " STR_FMT " for the json field \"" STR_FMT "\"",
                       STR_ARG(t && t->name ? type_short_name(t) : STR("map")), STR_ARG(name));
    if (own && check_order(m, own, order, f->patch_key) < 0)
        return -1;
    if (!list && !own)
        return 0;
    if (items_of(m, list, f->patch_key, &server) < 0)
        return -1;
    if (!list)
        list = doc_set(to, name, plain(m, own));
    else if (own && merge_list(m, f, list, own) < 0)
        return -1;
    if (items_of(m, list, f->patch_key, &merged) < 0 || items_of(m, order, f->patch_key, &wanted) < 0)
        return -1;
    settle_order(m, list, &merged, &wanted, &server);
    return 0;
}

static int whole_object(struct merge *m, struct doc *to, const struct doc *patch, const struct doc *directive)
{
    bool replace = str_is(doc_string(directive), "replace");
    if (!replace && !str_is(doc_string(directive), "delete")) {
        struct str text = go_text(m, patch), word = go_text(m, directive);
        return err_set(m->err, ERR_BAD_REQUEST, "unknown patch type: " STR_FMT " in map: " STR_FMT, STR_ARG(word),
                       STR_ARG(text));
    }
    doc_clear(to);
    doc_each (d, patch)
        if (replace && d != directive)
            doc_set(to, d->key, doc_copy(m->mem, d));
    return 0;
}

/* The field of a member of t: of a map every member is of the element's type, which has no patch markers. */
static const struct field *member(const struct type *t, struct str key, struct field *room)
{
    if (!t || (t->kind != TYPE_STRUCT && t->kind != TYPE_MAP))
        return NULL;
    if (t->kind == TYPE_STRUCT)
        return type_field(t, key);
    *room = (struct field){.type = t->elem};
    return room;
}

/* The members of an object that is merged into. Large maps are indexed: a hundred thousand keys may meet as many. */
struct members {
    struct doc *obj;
    struct map index; /* key to member, when indexed */
    bool indexed;
};
enum { INDEX_FROM = 256 };

static struct members members_of(struct doc *obj, const struct doc *patch)
{
    struct members all = {obj, MAP_INIT, doc_len(obj) + doc_len(patch) > INDEX_FROM};
    if (all.indexed)
        doc_each (d, obj)
            map_put(&all.index, d->key, d);
    return all;
}

static struct doc *members_get(const struct members *all, struct str key)
{
    return all->indexed ? map_get(&all->index, key) : doc_get_str(all->obj, key);
}

static void members_del(struct members *all, struct str key)
{
    if (all->indexed)
        map_del(&all->index, key); /* leaves the object in members_done */
    else
        doc_del_str(all->obj, key);
}

static void members_set(struct members *all, struct str key, struct doc *v)
{
    struct doc *old = all->indexed ? map_get(&all->index, key) : NULL;
    if (!all->indexed) {
        doc_set(all->obj, key, v);
    } else if (old) {
        doc_assign(old, v);
    } else {
        doc_link_at(all->obj, key.ptr, key.len, v);
        map_put(&all->index, key, v);
    }
}

static void members_done(struct members *all)
{
    if (all->indexed) {
        struct doc *first = doc_first(all->obj);
        doc_clear(all->obj);
        for (struct doc *d = first, *next; d; d = next) {
            next = d->next;
            if (map_get(&all->index, d->key) == d)
                doc_link(all->obj, d);
        }
    }
    map_done(&all->index);
}

static int merge_member(struct merge *m, const struct type *t, struct members *to, const struct doc *v)
{
    bool deletes = str_starts(v->key, DELETE);
    struct str key = deletes ? str_from(v->key, DELETE.len) : v->key;
    struct doc *old = members_get(to, key), *own;
    struct field room;
    const struct field *f = member(t, key, &room);
    if (v->type == DOC_NULL) {
        members_del(to, key);
        return 0;
    }
    if (deletes)
        return old && old->type == DOC_ARRAY ? delete_scalars(m, old, v) : 0;
    if (old && old->type == DOC_OBJECT && v->type == DOC_OBJECT && !(f && f->flags & FIELD_PATCH_REPLACE))
        return merge_object(m, f ? f->type : NULL, old, v);
    if (old && old->type == DOC_ARRAY && v->type == DOC_ARRAY)
        return merge_list(m, f, old, v);
    own = plain(m, v);
    if (own)
        members_set(to, key, own);
    else
        members_del(to, key);
    return 0;
}

static int merge_members(struct merge *m, const struct type *t, struct doc *to, const struct doc *patch)
{
    struct members all = members_of(to, patch);
    int r = 0;
    doc_each (d, patch) {
        if (r < 0 || str_starts(d->key, ORDER) || str_is(d->key, "$retainKeys"))
            continue;
        char *order = d->type == DOC_ARRAY ? str_fmtz(m->mem, "$setElementOrder/" STR_FMT, STR_ARG(d->key)) : NULL;
        if (!order || !doc_get(patch, order)) /* else merged with its order already */
            r = merge_member(m, t, &all, d);
    }
    members_done(&all);
    return r;
}

static int merge_object(struct merge *m, const struct type *t, struct doc *to, const struct doc *patch)
{
    const struct doc *directive = doc_get(patch, "$patch"), *keys = doc_get(patch, "$retainKeys");
    int r = 0;
    if (directive)
        return whole_object(m, to, patch, directive);
    if (m->depth == SCHEMA_DEPTH_MAX)
        return bad(m, "patch is nested too deep");
    m->depth++;
    if (keys)
        r = retain_keys(m, to, patch, keys);
    doc_each (d, patch)
        if (r == 0 && str_starts(d->key, ORDER))
            r = set_order(m, t, to, patch, d);
    if (r == 0)
        r = merge_members(m, t, to, patch);
    m->depth--;
    return r;
}

struct doc *schema_strategic_merge(struct arena *mem, const struct type *t, struct doc *target, const struct doc *patch,
                                   struct err *err)
{
    struct merge m = {mem, err, 0};
    if (patch->type != DOC_OBJECT) {
        bad(&m, "invalid JSON document");
        return NULL;
    }
    return merge_object(&m, t, target, patch) < 0 ? NULL : target;
}
