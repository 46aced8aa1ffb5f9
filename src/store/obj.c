/* store/obj.c - sealing, loading and counting objects at rest. */
#include "store/obj.h"

#include <assert.h>
#include <stdlib.h>

#include "base/slab.h"
#include "store/scan.h"

enum { SEAL_NODES = 48 /* of the two upper levels of a document, without a heap allocation */ };

static const struct resource *stored(const struct resource *res)
{
    return res->stored_as ? res->stored_as : res;
}

/* ---- keys */

static size_t key_part(char *to, size_t at, struct str s, bool slash)
{
    if (at + s.len + slash > OBJ_KEY_MAX)
        return OBJ_KEY_MAX + 1;
    if (s.len)
        memcpy(to + at, s.ptr, s.len);
    if (slash)
        to[at + s.len] = '/';
    return at + s.len + slash;
}

/* "group/plural/" of the stored resource. */
static size_t key_resource(char *to, const struct resource *res)
{
    res = stored(res);
    size_t at = res->group && *res->group ? key_part(to, 0, str_of(res->group), /* slash= */ true) : 0;
    return key_part(to, at, str_of(res->name), /* slash= */ true);
}

struct str obj_key_put(char *to, const struct resource *res, struct str ns, struct str name)
{
    size_t at = key_part(to, key_resource(to, res), ns, /* slash= */ true);
    at = key_part(to, at, name, /* slash= */ false);
    return at > OBJ_KEY_MAX ? STR_NULL : str_mem(to, at);
}

struct str obj_key(struct arena *mem, const struct resource *res, struct str ns, struct str name)
{
    char key[OBJ_KEY_MAX];
    return str_dup(mem, obj_key_put(key, res, ns, name));
}

struct str obj_prefix(struct arena *mem, const struct resource *res, struct str ns)
{
    char key[OBJ_KEY_MAX];
    size_t at = key_resource(key, res);
    if (ns.len)
        at = key_part(key, at, ns, /* slash= */ true);
    return at > OBJ_KEY_MAX ? STR_NULL : str_dup(mem, str_mem(key, at));
}

/* ---- one block: header, labels, owners, key, JSON */

static struct obj *block_new(int labels, int owners, size_t key_len, size_t json_len)
{
    size_t size = sizeof(struct obj) + (size_t)labels * sizeof(struct obj_label) + (size_t)owners * sizeof(struct str);
    struct obj *o = slab_alloc(size + key_len + json_len + 1);
    if (!o)
        return NULL;
    *o = (struct obj){.refs = 1, .label_count = (uint16_t)labels, .owner_count = (uint16_t)owners};
    o->labels = (const struct obj_label *)(o + 1);
    o->owners = (const struct str *)(o->labels + labels);
    o->key = str_mem((const char *)o + size, key_len);
    o->json = str_mem(o->key.ptr + key_len, json_len);
    ((char *)o->json.ptr)[json_len] = '\0';
    return o;
}

/* A slice of `from` as a slice of the block's copy. */
static struct str moved(struct str s, const char *from, const char *to)
{
    return s.ptr ? str_mem(to + (s.ptr - from), s.len) : s;
}

static int label_cmp(const void *a, const void *b)
{
    return str_cmp(((const struct obj_label *)a)->key, ((const struct obj_label *)b)->key);
}

/* f was found in text that begins at `from`; the block's key and JSON are there. name_len is that of the key, which is
 * shorter than the one in the JSON if that has escapes (RBAC names may). */
static void fill(struct obj *o, const struct scan_found *f, const char *from, size_t name_len)
{
    struct obj_label *labels = (struct obj_label *)o->labels;
    struct str *owners = (struct str *)o->owners;
    const char *to = o->json.ptr;
    for (int i = 0; i < f->label_count; i++)
        labels[i] = (struct obj_label){moved(f->labels[i].key, from, to), moved(f->labels[i].value, from, to)};
    qsort(labels, (size_t)f->label_count, sizeof labels[0], label_cmp);
    for (int i = 0; i < f->owner_count; i++)
        owners[i] = moved(f->owners[i], from, to);
    o->name = str_from(o->key, o->key.len - name_len);
    o->ns = str_mem(o->name.ptr - 1 - f->ns.len, f->ns.len);
    o->uid = moved(f->uid, from, to);
    o->owner_uid = moved(f->owner_uid, from, to);
    o->node = moved(f->node, from, to);
    o->created_ms = f->created_ms;
    o->deleting = f->deleting;
    o->rev_at = (uint32_t)f->rev_at;
}

static bool has_node(const struct resource *res)
{
    return (!res->group || !*res->group) && strcmp(res->name, "pods") == 0;
}

/* Nothing else may stand where the revision will be written. */
static bool slot_is_whole(struct str json, size_t at)
{
    if (at == SIZE_MAX || at + OBJ_REV_SLOT > json.len || json.ptr[at] != '"')
        return false;
    size_t i = at + 1, end = at + OBJ_REV_SLOT;
    while (i < end && json.ptr[i] >= '0' && json.ptr[i] <= '9')
        i++;
    if (i == end || json.ptr[i++] != '"')
        return false;
    while (i < end && json.ptr[i] == ' ')
        i++;
    return i == end;
}

/* The name as the key has it. */
static struct str plain_name(struct arena **mem, struct str name, struct str json)
{
    if (!name.len || !memchr(name.ptr, '\\', name.len))
        return name;
    *mem = arena_new();
    return doc_str(doc_get(doc_parse(*mem, json, NULL, NULL), "metadata"), "name");
}

static struct obj *load(const struct resource *res, struct str json, uint64_t rev, const struct scan_found *f)
{
    char key_buf[OBJ_KEY_MAX];
    cleanup_arena struct arena *mem = NULL;
    struct str name = plain_name(&mem, f->name, json), key = obj_key_put(key_buf, res, f->ns, name);
    if (!key.len || !name.len || !slot_is_whole(json, f->rev_at))
        return NULL;
    struct obj *o = block_new(f->label_count, f->owner_count, key.len, json.len);
    if (!o)
        return NULL;
    o->res = res;
    memcpy((char *)o->key.ptr, key.ptr, key.len);
    memcpy((char *)o->json.ptr, json.ptr, json.len);
    fill(o, f, json.ptr, name.len);
    obj_set_rev(o, rev);
    return o;
}

struct obj *obj_load(const struct resource *res, struct str json, uint64_t rev)
{
    struct scan_found f;
    if (json.len > OBJ_BYTES_MAX)
        return NULL;
    res = stored(res);
    struct obj *o = scan_object(json, has_node(res), &f) ? load(res, json, rev, &f) : NULL;
    scan_done(&f);
    return o;
}

/* Shallow copies of the two upper levels with a slot for the revision put in, so that the caller's document stays as it
 * is. */
struct sealed_doc {
    struct doc root;
    struct doc *heap, stack[SEAL_NODES];
};

/* `at` is where the copies go; returns the place after them. */
static struct doc *copy_children(struct doc *parent, struct doc *at)
{
    struct doc **link = &parent->first;
    for (const struct doc *c = parent->first; c; c = c->next) {
        *at = *c;
        *link = parent->last = at;
        link = &at->next;
        at++;
    }
    return at;
}

/* Where Kubernetes has it: after uid, before generation. */
static void place_slot(struct doc *meta, struct doc *slot)
{
    static const char *const before[] = {"name", "generateName", "namespace", "selfLink", "uid"};
    struct doc *last = NULL;
    for (struct doc *c = meta->first; c; c = c->next) {
        if (str_is(c->key, "resourceVersion")) {
            slot->next = c->next;
            *c = *slot;
            return;
        }
        for (size_t i = 0; i < sizeof before / sizeof before[0]; i++)
            if (str_is(c->key, before[i]))
                last = c;
    }
    struct doc **link = last ? &last->next : &meta->first;
    slot->next = *link;
    *link = slot;
    if (!slot->next)
        meta->last = slot;
    meta->count++;
}

static bool with_slot(struct sealed_doc *s, const struct doc *d)
{
    /* Twenty digits in quotes are OBJ_REV_SLOT bytes; a number's literal is written as it stands. */
    static const char blank[] = "\"00000000000000000000\"";
    _Static_assert(sizeof blank - 1 == OBJ_REV_SLOT, "the slot holds any revision");
    size_t need = (size_t)doc_len(d) + doc_len(doc_get(d, "metadata")) + 1;
    s->heap = need > SEAL_NODES ? malloc(need * sizeof(struct doc)) : NULL;
    if (need > SEAL_NODES && !s->heap)
        return false;
    struct doc *at = s->heap ? s->heap : s->stack;
    s->root = *d;
    at = copy_children(&s->root, at);
    struct doc *meta = doc_get(&s->root, "metadata");
    at = copy_children(meta, at);
    *at = (struct doc){.key = STR("resourceVersion"), .type = DOC_NUMBER, .s = str_mem(blank, sizeof blank - 1)};
    place_slot(meta, at);
    return true;
}

/* Header and bytes; *ret_rev_at is that of the slot. */
static struct obj *pack(const struct resource *res, const struct doc *d, size_t *ret_rev_at, struct err *err)
{
    char key_buf[OBJ_KEY_MAX];
    const struct doc *meta = doc_get(d, "metadata");
    struct str key = obj_key_put(key_buf, res, doc_str(meta, "namespace"), doc_str(meta, "name"));
    size_t len = doc_json_len(d);
    if (len > OBJ_BYTES_MAX) {
        err_set(err, ERR_TOO_LARGE, "object of %zu bytes is larger than the limit of %d bytes", len, OBJ_BYTES_MAX);
        return NULL;
    }
    if (!key.len || !doc_str(meta, "name").len) {
        err_set(err, ERR_INTERNAL, "an object without metadata.name can't be stored");
        return NULL;
    }
    struct obj *o =
        block_new((int)doc_len(doc_get(meta, "labels")), (int)doc_len(doc_get(meta, "ownerReferences")), key.len, len);
    if (!o) {
        err_set(err, ERR_UNAVAILABLE, "out of memory");
        return NULL;
    }
    memcpy((char *)o->key.ptr, key.ptr, key.len);
    o->res = res;
    doc_json_put(d, (char *)o->json.ptr);
    struct scan_found f;
    bool whole =
        scan_object(o->json, has_node(res), &f) && f.label_count <= o->label_count && f.owner_count <= o->owner_count;
    if (whole) {
        o->label_count = (uint16_t)f.label_count;
        o->owner_count = (uint16_t)f.owner_count;
        fill(o, &f, o->json.ptr, doc_str(meta, "name").len);
    }
    *ret_rev_at = f.rev_at;
    scan_done(&f);
    if (!whole) {
        err_set(err, ERR_INTERNAL, "an object that is not canonical can't be stored");
        return obj_unref(o);
    }
    return o;
}

struct obj *obj_made(const struct resource *res, const struct doc *d, struct err *err)
{
    size_t rev_at;
    return pack(res, d, &rev_at, err);
}

static struct obj *seal(const struct resource *res, const struct doc *d, uint64_t rev, struct err *err)
{
    size_t rev_at;
    struct obj *o = pack(res, d, &rev_at, err);
    if (o && !slot_is_whole(o->json, rev_at)) {
        err_set(err, ERR_INTERNAL, "an object that is not canonical can't be stored");
        return obj_unref(o);
    }
    if (o)
        obj_set_rev(o, rev);
    return o;
}

struct obj *obj_seal(const struct resource *res, const struct doc *d, uint64_t rev, struct err *err)
{
    struct sealed_doc s;
    const struct doc *meta = doc_get(d, "metadata");
    if (!doc_is(meta, DOC_OBJECT)) {
        err_set(err, ERR_INTERNAL, "an object without metadata can't be stored");
        return NULL;
    }
    if (doc_len(doc_get(meta, "labels")) > SCAN_ITEMS_MAX ||
        doc_len(doc_get(meta, "ownerReferences")) > SCAN_ITEMS_MAX) {
        err_set(err, ERR_TOO_LARGE, "more than %d labels or owner references", SCAN_ITEMS_MAX);
        return NULL;
    }
    if (!with_slot(&s, d)) {
        err_set(err, ERR_UNAVAILABLE, "out of memory");
        return NULL;
    }
    struct obj *o = seal(stored(res), &s.root, rev, err);
    free(s.heap);
    return o;
}

void obj_set_rev(struct obj *o, uint64_t rev)
{
    char digits[20];
    int n = 0;
    uint64_t v = rev;
    do
        digits[n++] = (char)('0' + v % 10);
    while (v /= 10);
    char *slot = (char *)o->json.ptr + o->rev_at;
    o->rev = rev;
    memset(slot, ' ', OBJ_REV_SLOT);
    *slot++ = '"';
    while (n)
        *slot++ = digits[--n];
    *slot = '"';
}

struct obj *obj_ref(const struct obj *o)
{
    uint32_t before = __atomic_fetch_add(&((struct obj *)o)->refs, 1, __ATOMIC_RELAXED);
    assert(before > 0);
    return (struct obj *)o;
}

struct obj *obj_unref(const struct obj *o)
{
    if (!o)
        return NULL;
    uint32_t before = __atomic_fetch_sub(&((struct obj *)o)->refs, 1, __ATOMIC_ACQ_REL);
    assert(before > 0);
    if (before == 1) /* the JSON and its NUL end the block */
        slab_free((struct obj *)o, (size_t)(o->json.ptr + o->json.len + 1 - (const char *)o));
    return NULL;
}

static void drop(void *data)
{
    obj_unref(data);
}

struct doc *obj_doc(struct arena *mem, const struct obj *o)
{
    struct doc *d = doc_parse(mem, o->json, NULL, NULL);
    assert(d); /* obj_seal wrote it */
    arena_on_free(mem, drop, obj_ref(o));
    return d;
}

struct str obj_label_value(const struct obj *o, struct str key, bool *ret_found)
{
    struct obj_label want = {key, STR_NULL};
    const struct obj_label *l = bsearch(&want, o->labels, o->label_count, sizeof want, label_cmp);
    if (ret_found)
        *ret_found = l != NULL;
    return l ? l->value : STR_NULL;
}
