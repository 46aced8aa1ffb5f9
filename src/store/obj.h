/* store/obj.h - an object at rest: one immutable, reference-counted block.
 *
 * Header, key, extracted fields and canonical JSON bytes in one allocation. Counts are atomic, so a block may be sent
 * by another thread; contents never change after the revision has been filled into its slot. The JSON holds
 * `"resourceVersion":"NNN"` padded with white space after the value (legal JSON) to OBJ_REV_SLOT bytes, so that a
 * revision known only after the commit costs no new block. May use schema/, doc/, base/. */
#ifndef SAMPAN_STORE_OBJ_H
#define SAMPAN_STORE_OBJ_H

#include "schema/schema.h"

enum {
    OBJ_REV_SLOT = 22,
    OBJ_BYTES_MAX = 3 << 20,
    OBJ_KEY_MAX = 900 /* bytes; longer names are refused by validation long before */
};

struct obj_label {
    struct str key, value;
};
struct obj {
    uint32_t refs;   /* atomic */
    uint32_t rev_at; /* of the revision's slot in json, its opening quote */
    uint16_t label_count, owner_count;
    bool deleting;                  /* deletionTimestamp is set */
    const struct resource *res;     /* the stored one */
    uint64_t rev;                   /* resourceVersion; of a tombstone: of the delete */
    struct str key;                 /* obj_key(): "pods/ns/name", "apps/deployments/ns/name", "namespaces//name" */
    struct str ns, name, uid;       /* slices of the block */
    struct str owner_uid;           /* of the controller owner reference; empty: none */
    const struct str *owners;       /* the uids of all owner references, in order */
    struct str node;                /* of a pod: spec.nodeName; else empty */
    const struct obj_label *labels; /* sorted by key */
    struct str json;                /* canonical bytes, storage version */
    int64_t created_ms;             /* metadata.creationTimestamp; 0: none */
    uint64_t row; /* the store's own: where its disk has the newest state of this key that it wrote; 0: nowhere */
};

/* Extracted strings are the bytes that stand between the quotes of the JSON: validation lets nothing in there that JSON
 * would escape (an owner uid that a client made up may hold escapes; it then equals no real uid, which is right). */

/* Seal a document: metadata.resourceVersion is set from rev (0: to be filled later by obj_set_rev). NULL: out of memory
 * or larger than OBJ_BYTES_MAX, with err UNAVAILABLE or TOO_LARGE; without metadata.name INTERNAL. d is only read. The
 * object starts with one reference, the caller's. */
struct obj *obj_seal(const struct resource *res, const struct doc *d, uint64_t rev, struct err *err);
/* The same of what is no object at rest but shown as one (what a node uses at present): no revision, in the JSON
 * neither, and res is as given. Never for a store. */
struct obj *obj_made(const struct resource *res, const struct doc *d, struct err *err);
/* The same from bytes that were written by obj_seal before (the store's recovery). NULL: not such bytes. */
struct obj *obj_load(const struct resource *res, struct str json, uint64_t rev);
void obj_set_rev(struct obj *o, uint64_t rev); /* before anybody else sees it */
struct obj *obj_ref(const struct obj *o);      /* returns the same */
struct obj *obj_unref(const struct obj *o);    /* NULL accepted; returns NULL */
static inline struct obj *obj_take(struct obj **o)
{
    struct obj *t = *o;
    *o = NULL;
    return t;
}
static inline void obj_cleanup(struct obj **o)
{
    obj_unref(*o);
}
#define cleanup_obj __attribute__((cleanup(obj_cleanup)))

/* The object as a fresh document in mem, to read or change; strings borrow the block, so a reference is kept by mem. */
struct doc *obj_doc(struct arena *mem, const struct obj *o);
struct str obj_label_value(const struct obj *o, struct str key, bool *ret_found);
/* "group/plural/ns/name" without group for core; ns empty for cluster scope. Slashes stand always. */
/* Of a resource that is stored as another the key is that of the other. */
struct str obj_key(struct arena *mem, const struct resource *res, struct str ns, struct str name);
/* The part that all objects of a resource (and namespace, if not empty) share; ends in '/'. */
struct str obj_prefix(struct arena *mem, const struct resource *res, struct str ns);
/* obj_key into to[OBJ_KEY_MAX]; empty when it does not fit. */
struct str obj_key_put(char *to, const struct resource *res, struct str ns, struct str name);
/* The leading part of o->key that names its resource: "pods/", "apps/deployments/". */
static inline struct str obj_res_prefix(const struct obj *o)
{
    return str_head(o->key, o->key.len - o->name.len - o->ns.len - 1);
}

#endif
