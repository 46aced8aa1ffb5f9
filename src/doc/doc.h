/* doc/doc.h - the JSON document: what an API server does all day.
 *
 * A document is a tree of nodes in an arena: order-preserving, exact for 64-bit integers and decimals, mutable in
 * place. Reading: RFC 8259, hardened (depth, size, UTF-8). Of duplicate keys the last stands and the path of each is
 * reported. Strings are decoded (escapes resolved) and are valid UTF-8 (a lone surrogate escape becomes U+FFFD, as in
 * Go); they may hold NUL. Strings without escapes point into the parsed text, so the text must live as long as the
 * document. May use base/. */
#ifndef SAMPAN_DOC_DOC_H
#define SAMPAN_DOC_DOC_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum doc_type { DOC_NULL, DOC_BOOL, DOC_INT, DOC_NUMBER, DOC_STRING, DOC_ARRAY, DOC_OBJECT };
enum { DOC_DEPTH_MAX = 10000, DOC_BYTES_MAX = 64 << 20 };

/* One value. Members of an object and items of an array are chained in order. Read the fields freely; change them only
 * through the calls below. */
struct doc {
    struct doc *next; /* sibling; NULL: the last */
    struct str key;   /* in an object; ptr NULL elsewhere */
    uint8_t type;     /* enum doc_type */
    bool b;           /* DOC_BOOL */
    uint32_t count;   /* children */
    union {
        int64_t i;    /* DOC_INT: an integer that fits 64 bits signed, written without fraction or exponent */
        struct str s; /* DOC_STRING: decoded. DOC_NUMBER: the literal as written, for all other numbers */
        struct {
            struct doc *first, *last; /* children */
        };
    };
};

/* ---- reading */
struct doc_opts {
    int depth_max;             /* 0: DOC_DEPTH_MAX */
    struct doc_dups *ret_dups; /* optional: receives duplicate keys */
};
struct doc_dups {
    struct str *paths; /* `spec.replicas`, `spec.containers[0].name`: in order, at most 64 */
    int count;
};
/* NULL with err BAD_REQUEST: message says what and at which byte. opts may be NULL. Trailing white space is fine, any
 * other trailing byte is not. */
struct doc *doc_parse(struct arena *mem, struct str text, const struct doc_opts *opts, struct err *err);

/* YAML 1.2 text as Kubernetes reads it (sigs.k8s.io/yaml: YAML 1.1 scalars: 0644 is octal, yes and on are booleans;
 * anchors and merge keys within a budget). One document; *rest, if not NULL, gets what follows the next `---`. */
struct doc *doc_parse_yaml(struct arena *mem, struct str text, struct str *rest, const struct doc_opts *opts,
                           struct err *err);

/* ---- writing: compact, no trailing newline; strings escaped as Go's encoding/json does without HTML escaping, except
 * that U+2028 and U+2029 are escaped and control characters use \uXXXX, \n, \r, \t, \b, \f. */
size_t doc_json_len(const struct doc *d);         /* exact */
void doc_json_put(const struct doc *d, char *to); /* writes doc_json_len bytes */
struct str doc_json(struct arena *mem, const struct doc *d);
void doc_json_sb(struct sb *out, const struct doc *d);
void doc_json_pretty(struct sb *out, const struct doc *d, int indent); /* as kubectl -o json: 4 spaces, "key": value */
void doc_json_string(struct sb *out, struct str s);                    /* quoted and escaped */
void doc_yaml(struct sb *out, const struct doc *d); /* as kubectl -o yaml: two spaces, lists not indented */

/* ---- looking. All accept NULL and the wrong type, and answer "nothing". */
static inline bool doc_is(const struct doc *d, enum doc_type t)
{
    return d && d->type == t;
}
static inline uint32_t doc_len(const struct doc *d)
{
    return d && (d->type == DOC_ARRAY || d->type == DOC_OBJECT) ? d->count : 0;
}
static inline struct doc *doc_first(const struct doc *d)
{
    return doc_len(d) ? d->first : NULL;
}
#define doc_each(pos, d) for (struct doc *pos = doc_first(d); pos; pos = pos->next)

struct doc *doc_get(const struct doc *obj, const char *key);
struct doc *doc_get_str(const struct doc *obj, struct str key);
struct doc *doc_at(const struct doc *arr, uint32_t index); /* O(n) */
/* Follow keys, NULL-terminated: doc_path(pod, "spec", "nodeName", NULL). */
struct doc *doc_path(const struct doc *obj, ...) __attribute__((sentinel));
struct str doc_str(const struct doc *obj, const char *key); /* empty when absent or no string */
int64_t doc_int(const struct doc *obj, const char *key, int64_t absent);
bool doc_bool(const struct doc *obj, const char *key, bool absent);
struct str doc_string(const struct doc *d);            /* of a string node itself, else empty */
bool doc_eq(const struct doc *a, const struct doc *b); /* deep; order of keys ignored, of items not; 1 and 1.0 differ */

/* ---- building and changing. Keys and strings are borrowed: dup them first where they do not live as long. */
struct doc *doc_new_object(struct arena *mem);
struct doc *doc_new_array(struct arena *mem);
struct doc *doc_new_null(struct arena *mem);
struct doc *doc_new_str(struct arena *mem, struct str s);
struct doc *doc_new_int(struct arena *mem, int64_t i);
struct doc *doc_new_bool(struct arena *mem, bool b);
struct doc *doc_new_number(struct arena *mem, struct str literal);
struct doc *doc_copy(struct arena *mem, const struct doc *d);      /* deep; strings stay borrowed */
struct doc *doc_copy_deep(struct arena *mem, const struct doc *d); /* strings copied too */

/* Put value under key: replaces in place or appends. value must be in no other parent. Returns value. */
struct doc *doc_set(struct doc *obj, struct str key, struct doc *value);
struct doc *doc_put(struct arena *mem, struct doc *obj, const char *key,
                    struct doc *value); /* key is a literal or outlives */
void doc_put_str(struct arena *mem, struct doc *obj, const char *key, struct str s);
void doc_put_int(struct arena *mem, struct doc *obj, const char *key, int64_t i);
void doc_put_bool(struct arena *mem, struct doc *obj, const char *key, bool b);
/* The object (array) under key, made when absent or null. */
struct doc *doc_sub(struct arena *mem, struct doc *obj, const char *key);
struct doc *doc_sub_array(struct arena *mem, struct doc *obj, const char *key);
bool doc_del(struct doc *obj, const char *key); /* true: was there */
bool doc_del_str(struct doc *obj, struct str key);
struct doc *doc_push(struct doc *arr, struct doc *item);            /* append */
void doc_insert(struct doc *arr, uint32_t index, struct doc *item); /* index <= count */
struct doc *doc_remove(struct doc *parent, struct doc *child);      /* unlink; returns child */
void doc_clear(struct doc *parent);
/* Overwrite the value of `to` with that of `from`, keeping its place and key. */
void doc_assign(struct doc *to, const struct doc *from);
void doc_sort_keys(struct doc *obj); /* one level, bytewise */

#endif
