/* As evanphx/json-patch v4, which the API server uses: its texts, negative indexes, and a replace of an absent member
 * that adds it. Where RFC 6902 asks for more than that library checks (leading zeros, missing value or from, a pointer
 * without slash, operations on the whole document), ours follows the RFC. */
#include "doc/patch.h"

#include <stdarg.h>

struct patching {
    struct arena *mem;
    struct doc *root;
    struct err *err;
    const struct doc *op;
    struct str path, from;
    size_t copied_bytes;
};

/* Where a pointer leads: a container and a key or index in it. con NULL: the whole document. */
struct place {
    struct doc *con;
    struct str key;
};

static bool fail(struct patching *p, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    struct str text = str_vfmt(p->mem, fmt, ap);
    va_end(ap);
    err_set(p->err, ERR_INVALID, STR_FMT, STR_ARG(text));
    return false;
}

/* ~1 is a slash, ~0 a tilde (RFC 6901). */
static struct str unescape(struct arena *mem, struct str token)
{
    if (str_find(token, '~') < 0)
        return token;
    char *start = arena_alloc(mem, token.len), *to = start;
    for (size_t i = 0; i < token.len; i++) {
        char c = token.ptr[i];
        if (c == '~' && i + 1 < token.len && (token.ptr[i + 1] == '0' || token.ptr[i + 1] == '1'))
            c = token.ptr[++i] == '0' ? '~' : '/';
        *to++ = c;
    }
    return str_mem(start, (size_t)(to - start));
}

/* An array index; those below zero count from `len`. The reason, in strconv's and the library's words, when it is none.
 */
static bool index_in(struct patching *p, struct str key, uint32_t len, uint32_t *ret, struct str *ret_why)
{
    int64_t i;
    struct str digits = str_starts(key, STR("-")) ? str_from(key, 1) : key;
    bool zeros = digits.len > 1 && digits.ptr[0] == '0';
    if (zeros || digits.len == 0 || digits.ptr[0] < '0' || digits.ptr[0] > '9' || !str_to_i64(key, &i)) {
        *ret_why = str_fmt(p->mem, "strconv.Atoi: parsing \"" STR_FMT "\": invalid syntax", STR_ARG(key));
        return false;
    }
    int64_t at = i < 0 ? i + len : i;
    if (at < 0 || at >= len) {
        *ret_why = str_fmt(p->mem, "Unable to access invalid index: %lld: invalid index referenced", (long long)i);
        return false;
    }
    *ret = (uint32_t)at;
    return true;
}

static struct doc *child(struct patching *p, struct doc *con, struct str key)
{
    uint32_t i;
    struct str why;
    if (doc_is(con, DOC_OBJECT))
        return doc_get_str(con, key);
    return doc_is(con, DOC_ARRAY) && index_in(p, key, con->count, &i, &why) ? doc_at(con, i) : NULL;
}

/* False: there is no such container. */
static bool find(struct patching *p, struct str pointer, struct place *ret)
{
    struct str rest = pointer, token;
    *ret = (struct place){NULL, STR_NULL};
    if (pointer.len == 0)
        return true;
    if (pointer.ptr[0] != '/')
        return false;
    struct doc *con = p->root;
    rest = str_from(rest, 1);
    while (str_cut(rest, '/', &token, &rest))
        if (!(con = child(p, con, unescape(p->mem, token))))
            return false;
    if (!doc_is(con, DOC_OBJECT) && !doc_is(con, DOC_ARRAY))
        return false;
    *ret = (struct place){con, unescape(p->mem, token)};
    return true;
}

/* ---- on a place. A why of length 0 with NULL: an absent member. */

static struct doc *get(struct patching *p, struct place at, struct str *ret_why)
{
    uint32_t i;
    *ret_why = STR_NULL;
    if (!at.con)
        return p->root;
    if (at.con->type == DOC_OBJECT)
        return doc_get_str(at.con, at.key);
    return index_in(p, at.key, at.con->count, &i, ret_why) ? doc_at(at.con, i) : NULL;
}

static bool add(struct patching *p, struct place at, struct doc *value, struct str *ret_why)
{
    uint32_t i;
    if (!at.con) {
        p->root = value;
        return true;
    }
    if (at.con->type == DOC_OBJECT) {
        doc_set(at.con, at.key, value);
        return true;
    }
    if (str_is(at.key, "-"))
        i = at.con->count;
    else if (!index_in(p, at.key, at.con->count + 1, &i, ret_why)) {
        if (str_starts(*ret_why, STR("strconv")))
            *ret_why = str_fmt(p->mem, "value was not a proper array index: '" STR_FMT "': " STR_FMT, STR_ARG(at.key),
                               STR_ARG(*ret_why));
        return false;
    }
    doc_insert(at.con, i, value);
    return true;
}

static struct doc *take(struct patching *p, struct place at, struct str *ret_why)
{
    struct doc *d = get(p, at, ret_why);
    if (!d && ret_why->len == 0)
        *ret_why = str_fmt(p->mem, "Unable to remove nonexistent key: " STR_FMT ": missing value", STR_ARG(at.key));
    return d && at.con ? doc_remove(at.con, d) : d;
}

/* ---- the operations */

static bool op_add(struct patching *p)
{
    const struct doc *value = doc_get(p->op, "value");
    struct place at;
    struct str why = STR_NULL;
    if (!value)
        return fail(p, "add operation failed: operation, missing value field: missing value");
    if (!find(p, p->path, &at))
        return fail(p, "add operation does not apply: doc is missing path: \"" STR_FMT "\": missing value",
                    STR_ARG(p->path));
    if (!add(p, at, doc_copy(p->mem, value), &why))
        return fail(p, "error in add for path: '" STR_FMT "': " STR_FMT, STR_ARG(p->path), STR_ARG(why));
    return true;
}

static bool op_remove(struct patching *p)
{
    struct place at;
    struct str why = STR_NULL;
    if (!find(p, p->path, &at) || !at.con)
        return fail(p, "remove operation does not apply: doc is missing path: \"" STR_FMT "\": missing value",
                    STR_ARG(p->path));
    if (!take(p, at, &why))
        return fail(p, "error in remove for path: '" STR_FMT "': " STR_FMT, STR_ARG(p->path), STR_ARG(why));
    return true;
}

static bool op_replace(struct patching *p)
{
    const struct doc *value = doc_get(p->op, "value");
    struct place at;
    struct str why = STR_NULL;
    if (!value)
        return fail(p, "replace operation failed: operation, missing value field: missing value");
    if (!find(p, p->path, &at))
        return fail(p, "replace operation does not apply: doc is missing path: " STR_FMT ": missing value",
                    STR_ARG(p->path));
    struct doc *old = get(p, at, &why);
    if (why.len)
        return fail(p, "replace operation does not apply: doc is missing key: " STR_FMT ": missing value",
                    STR_ARG(p->path));
    if (old && at.con)
        doc_assign(old, doc_copy(p->mem, value));
    else
        add(p, at, doc_copy(p->mem, value), &why);
    return true;
}

static bool op_move(struct patching *p)
{
    struct place at;
    struct str why = STR_NULL;
    if (!find(p, p->from, &at))
        return fail(p, "move operation does not apply: doc is missing from path: " STR_FMT ": missing value",
                    STR_ARG(p->from));
    if (str_eq(p->from, p->path))
        return get(p, at, &why) || fail(p, "error in move for path: '" STR_FMT "': missing value", STR_ARG(at.key));
    if (!at.con)
        return fail(p, "move operation does not apply: the document cannot be moved into itself");
    struct doc *d = take(p, at, &why);
    if (!d)
        return fail(p, "error in move for path: '" STR_FMT "': " STR_FMT, STR_ARG(at.key), STR_ARG(why));
    if (!find(p, p->path, &at))
        return fail(p, "move operation does not apply: doc is missing destination path: " STR_FMT ": missing value",
                    STR_ARG(p->path));
    if (!add(p, at, d, &why))
        return fail(p, "error in move for path: '" STR_FMT "': " STR_FMT, STR_ARG(p->path), STR_ARG(why));
    return true;
}

static bool op_copy(struct patching *p)
{
    struct place from, at;
    struct str why = STR_NULL;
    if (!find(p, p->from, &from))
        return fail(p, "copy operation does not apply: doc is missing from path: " STR_FMT ": missing value",
                    STR_ARG(p->from));
    const struct doc *d = get(p, from, &why);
    if (!d)
        return fail(p, "error in copy for from: '" STR_FMT "': " STR_FMT, STR_ARG(p->from),
                    STR_ARG(why.len ? why : STR("missing value")));
    if (!find(p, p->path, &at))
        return fail(p, "copy operation does not apply: doc is missing destination path: " STR_FMT ": missing value",
                    STR_ARG(p->path));
    p->copied_bytes += doc_json_len(d);
    if (p->copied_bytes > JSON_PATCH_COPY_MAX)
        return fail(p,
                    "Unable to complete the copy, the accumulated size increase of copy is %zu, exceeding the limit %d",
                    p->copied_bytes, JSON_PATCH_COPY_MAX);
    if (!add(p, at, doc_copy(p->mem, d), &why))
        return fail(p, "error while adding value during copy: " STR_FMT, STR_ARG(why));
    return true;
}

static bool op_test(struct patching *p)
{
    const struct doc *value = doc_get(p->op, "value");
    struct place at;
    struct str why = STR_NULL;
    if (!value)
        return fail(p, "test operation failed: operation, missing value field: missing value");
    if (!find(p, p->path, &at))
        return fail(p, "test operation does not apply: is missing path: " STR_FMT ": missing value", STR_ARG(p->path));
    const struct doc *d = get(p, at, &why);
    if (why.len)
        return fail(p, "error in test for path: '" STR_FMT "': " STR_FMT, STR_ARG(p->path), STR_ARG(why));
    /* As in the library: an absent member equals null. */
    if (d ? doc_eq(d, value) : value->type == DOC_NULL)
        return true;
    return fail(p, "testing value " STR_FMT " failed: test failed", STR_ARG(p->path));
}

static const struct {
    const char *name;
    bool (*run)(struct patching *p);
    bool needs_from;
} ops[] = {
    {"add", op_add, false},  {"remove", op_remove, false}, {"replace", op_replace, false},
    {"move", op_move, true}, {"copy", op_copy, true},      {"test", op_test, false},
};

static bool run(struct patching *p)
{
    struct str kind = doc_str(p->op, "op");
    const struct doc *path = doc_get(p->op, "path"), *from = doc_get(p->op, "from");
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        if (!str_is(kind, ops[i].name))
            continue;
        if (ops[i].needs_from && !doc_is(from, DOC_STRING))
            return fail(p, "%s operation failed to decode from: operation, missing from field: missing value",
                        ops[i].name);
        if (!doc_is(path, DOC_STRING))
            return fail(p, "%s operation failed to decode path: operation missing path field: missing value",
                        ops[i].name);
        p->path = doc_string(path);
        p->from = doc_string(from);
        return ops[i].run(p);
    }
    return fail(p, "Unexpected kind: " STR_FMT, STR_ARG(kind.len ? kind : STR("unknown")));
}

struct doc *json_patch(struct arena *mem, struct doc *target, const struct doc *patch, struct err *err)
{
    struct patching p = {.mem = mem, .root = target, .err = err};
    if (!doc_is(patch, DOC_ARRAY)) {
        err_set(err, ERR_BAD_REQUEST, "json: cannot unmarshal %s into Go value of type jsonpatch.Patch",
                doc_is(patch, DOC_OBJECT)   ? "object"
                : doc_is(patch, DOC_STRING) ? "string"
                                            : "value");
        return NULL;
    }
    if (patch->count > JSON_PATCH_OPS_MAX) {
        err_set(err, ERR_TOO_LARGE, "The allowed maximum operations in a JSON patch is %d, got %u", JSON_PATCH_OPS_MAX,
                patch->count);
        return NULL;
    }
    doc_each (op, patch) {
        if (op->type != DOC_OBJECT) {
            err_set(err, ERR_BAD_REQUEST, "json: cannot unmarshal a value into Go value of type jsonpatch.Operation");
            return NULL;
        }
        p.op = op;
        if (!run(&p))
            return NULL;
    }
    return p.root;
}
