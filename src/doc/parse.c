/* One loop, no recursion: while a container is open its `next` points at the container around it, so that depth costs
 * nothing but nodes. Nodes come from a pool estimated from the size of the text: one allocation for most documents. */
#include "doc/doc.h"

#include <stdint.h>

#include "base/map.h"
#include "doc/dups.h"
#include "doc/scan.h"
#include "doc/utf8.h"

enum {
    BYTES_PER_NODE = 16, /* an estimate: compact Kubernetes objects have about 20 */
    NODES_MIN = 4,
    NODES_MAX = 1 << 16 /* of one later chunk of the pool */
};

struct parser {
    struct arena *mem;
    struct err *err;
    const char *text, *end;
    struct doc *pool, *pool_end;
    size_t pool_size; /* nodes in the present chunk */
    struct dups dups;
    int depth, depth_max;
};

static struct doc *pool_grow(struct parser *ps)
{
    ps->pool_size = ps->pool_size * 2 < NODES_MAX ? ps->pool_size * 2 : NODES_MAX;
    ps->pool = arena_alloc(ps->mem, ps->pool_size * sizeof(struct doc));
    ps->pool_end = ps->pool + ps->pool_size;
    return ps->pool++;
}

static inline struct doc *take(struct parser *ps)
{
    return __builtin_expect(ps->pool < ps->pool_end, 1) ? ps->pool++ : pool_grow(ps);
}

/* ---- errors, in encoding/json's words */

static const char *fail(struct parser *ps, const char *at, const char *why)
{
    size_t byte = (size_t)(at - ps->text);
    if (at >= ps->end) {
        err_set(ps->err, ERR_BAD_REQUEST, "unexpected end of JSON input (byte %zu)", byte);
        return NULL;
    }
    unsigned char c = (unsigned char)*at;
    if (c == '\'' || c == '\\')
        err_set(ps->err, ERR_BAD_REQUEST, "invalid character '\\%c' %s (byte %zu)", c, why, byte);
    else if (c >= 0x20 && c < 0x7f)
        err_set(ps->err, ERR_BAD_REQUEST, "invalid character '%c' %s (byte %zu)", c, why, byte);
    else
        err_set(ps->err, ERR_BAD_REQUEST, "invalid character '\\x%02x' %s (byte %zu)", c, why, byte);
    return NULL;
}

/* ---- strings */

static int hex4(const char *p)
{
    int v = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        v = v << 4 | digit;
    }
    return v;
}

/* \uXXXX at p, which points at the u; a high surrogate takes the low one after it along. A lone one becomes U+FFFD. */
static const char *unescape_rune(struct parser *ps, const char *p, const char *close, char **to)
{
    int rune = close - p < 5 ? -1 : hex4(p + 1);
    if (rune < 0)
        return fail(ps, p, "in \\u hexadecimal character escape");
    p += 5;
    if (rune >= 0xd800 && rune < 0xdc00 && close - p >= 6 && p[0] == '\\' && p[1] == 'u') {
        int low = hex4(p + 2);
        if (low >= 0xdc00 && low < 0xe000) {
            rune = 0x10000 + ((rune - 0xd800) << 10) + (low - 0xdc00);
            p += 6;
        }
    }
    *to += utf8_put(*to, (uint32_t)rune);
    return p;
}

static const char *unescape(struct parser *ps, const char *p, const char *close, char **to)
{
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    if (*p == 'u')
        return unescape_rune(ps, p, close, to);
    const char *hit = *p ? strchr(from, *p) : NULL;
    if (!hit)
        return fail(ps, p, "in string escape code");
    *(*to)++ = into[hit - from];
    return p + 1;
}

/* p..close has escapes and is otherwise known to be good. Decoding never makes it longer. */
static bool decode(struct parser *ps, const char *p, const char *close, struct str *ret)
{
    char *start = arena_alloc(ps->mem, (size_t)(close - p)), *to = start;
    while (p < close) {
        const char *slash = memchr(p, '\\', (size_t)(close - p));
        size_t run = (size_t)((slash ? slash : close) - p);
        memcpy(to, p, run);
        to += run;
        p += run;
        if (slash && !(p = unescape(ps, p + 1, close, &to)))
            return false;
    }
    *ret = str_mem(start, (size_t)(to - start));
    return true;
}

/* The string that starts at p has a special byte at `at`, which is no quote. Returns past the closing quote, or NULL.
 */
static __attribute__((noinline)) const char *string_slow(struct parser *ps, const char *p, const char *at,
                                                         struct str *ret)
{
    bool escaped = false;
    for (;; at = scan_in(at, ps->end)) {
        if (at == ps->end)
            return fail(ps, at, "");
        unsigned char c = (unsigned char)*at;
        if (c == '"')
            break;
        if (c == '\\') {
            escaped = true;
            if (ps->end - at < 2)
                return fail(ps, ps->end, "");
            if (scan_in_special((unsigned char)at[1]) && at[1] != '"' && at[1] != '\\')
                return fail(ps, at + 1, "in string escape code");
            at += 2;
            continue;
        }
        int n = c < 0x20 ? 0 : utf8_seq(at, ps->end);
        if (n == 0)
            return fail(ps, at, c < 0x20 ? "in string literal" : "in string literal: not UTF-8");
        at += n;
    }
    if (!escaped)
        *ret = str_mem(p, (size_t)(at - p));
    else if (!decode(ps, p, at, ret))
        return NULL;
    return at + 1;
}

/* p is past the opening quote. */
static inline const char *string(struct parser *ps, const char *p, struct str *ret)
{
    const char *at = scan_in(p, ps->end);
    if (__builtin_expect(at == ps->end || *at != '"', 0))
        return string_slow(ps, p, at, ret);
    *ret = str_mem(p, (size_t)(at - p));
    return at + 1;
}

/* ---- numbers */

static inline bool is_digit(const char *p, const char *end)
{
    return p < end && (unsigned)(*p - '0') <= 9;
}

static const char *digits(struct parser *ps, const char *p, const char *why)
{
    if (!is_digit(p, ps->end))
        return fail(ps, p, why);
    while (is_digit(p, ps->end))
        p++;
    return p;
}

/* Fraction and exponent. */
static const char *number_rest(struct parser *ps, const char *p)
{
    if (p < ps->end && *p == '.' && !(p = digits(ps, p + 1, "after decimal point in numeric literal")))
        return NULL;
    if (p < ps->end && (*p | 0x20) == 'e') {
        p++;
        if (p < ps->end && (*p == '+' || *p == '-'))
            p++;
        p = digits(ps, p, "in exponent of numeric literal");
    }
    return p;
}

/* A literal of decimal digits as int64; false where it doesn't fit. "-0" is no integer: it would lose its sign. */
static bool fits_int(const char *p, const char *end, int64_t *ret)
{
    bool negative = *p == '-';
    uint64_t v = 0, limit = (uint64_t)INT64_MAX + negative;
    p += negative;
    if (end - p > 19)
        return false;
    for (; p < end; p++)
        v = v * 10 + (uint64_t)(*p - '0'); /* 19 digits stay below 2^64 */
    if (v > limit || (negative && v == 0))
        return false;
    *ret = negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

static const char *number(struct parser *ps, const char *p, struct doc *node)
{
    const char *start = p;
    p += *p == '-';
    if (p < ps->end && *p == '0')
        p++;
    else if (!(p = digits(ps, p, p == start ? "looking for beginning of value" : "in numeric literal")))
        return NULL;
    const char *whole = p;
    if (p < ps->end && (*p == '.' || (*p | 0x20) == 'e') && !(p = number_rest(ps, p)))
        return NULL;
    if (p == whole && fits_int(start, p, &node->i)) {
        node->type = DOC_INT;
        return p;
    }
    node->type = DOC_NUMBER;
    node->s = str_mem(start, (size_t)(p - start));
    return p;
}

static const char *word(struct parser *ps, const char *p, const char *text, const char *why)
{
    for (; *text; text++, p++)
        if (p == ps->end || *p != *text)
            return fail(ps, p, why);
    return p;
}

/* ---- structure */

static inline const char *space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r'))
        p++;
    return p;
}

static inline void append(struct doc *parent, struct doc *node)
{
    if (!parent)
        return;
    if (parent->last)
        parent->last->next = node;
    else
        parent->first = node;
    parent->last = node;
    parent->count++;
}

static inline struct doc *node_new(struct parser *ps, struct str key)
{
    struct doc *node = take(ps);
    node->next = NULL;
    node->key = key;
    node->b = false;
    node->count = 0;
    return node;
}

/* Key and colon of the next member; returns the place of its value. */
static inline const char *member(struct parser *ps, const char *p, struct doc *obj, struct doc **ret_node)
{
    struct str key;
    if (p == ps->end || *p != '"')
        return fail(ps, p, "looking for beginning of object key string");
    if (!(p = string(ps, p + 1, &key)))
        return NULL;
    if (p < ps->end && *p != ':')
        p = space(p, ps->end);
    if (p == ps->end || *p != ':')
        return fail(ps, p, "after object key");
    *ret_node = node_new(ps, key);
    dups_note(&ps->dups, obj, *ret_node);
    p++;
    return p < ps->end && *p <= ' ' ? space(p, ps->end) : p;
}

static const char *scalar(struct parser *ps, const char *p, struct doc *node)
{
    switch (*p) {
    case '"':
        node->type = DOC_STRING;
        return string(ps, p + 1, &node->s);
    case 't':
        node->type = DOC_BOOL;
        node->b = true;
        return word(ps, p, "true", "in literal true");
    case 'f':
        node->type = DOC_BOOL;
        return word(ps, p, "false", "in literal false");
    case 'n':
        node->type = DOC_NULL;
        return word(ps, p, "null", "in literal null");
    default:
        return number(ps, p, node);
    }
}

static inline bool open_container(struct parser *ps, struct doc *node, struct doc *parent, uint8_t type)
{
    node->type = type;
    node->first = node->last = NULL;
    node->next = parent;
    return ++ps->depth <= ps->depth_max;
}

/* Returns the container around it. */
static inline struct doc *close_container(struct parser *ps, struct doc *node)
{
    struct doc *parent = node->next;
    if (node->type == DOC_OBJECT)
        dups_close(&ps->dups, node);
    node->next = NULL;
    ps->depth--;
    return parent;
}

static struct doc *parse(struct parser *ps)
{
    const char *p = space(ps->text, ps->end), *end = ps->end;
    struct doc *parent = NULL, *root = node_new(ps, STR_NULL), *node = root;
value:
    if (p == end)
        return fail(ps, p, ""), NULL;
    append(parent, node);
    if (*p == '{' || *p == '[') {
        char close = *p + 2; /* in ASCII both pairs are two apart */
        if (!open_container(ps, node, parent, *p == '{' ? DOC_OBJECT : DOC_ARRAY))
            return err_set(ps->err, ERR_BAD_REQUEST, "exceeded max depth (byte %zu)", (size_t)(p - ps->text)), NULL;
        parent = node;
        if (++p < end && *p <= ' ')
            p = space(p, end);
        if (p < end && *p == close)
            goto closed;
        goto child;
    }
    if (!(p = scalar(ps, p, node)))
        return NULL;
after:
    if (!parent)
        goto done;
    if (p < end && *p <= ' ')
        p = space(p, end);
    if (p == end)
        return fail(ps, p, ""), NULL;
    if (*p == ',') {
        if (++p < end && *p <= ' ')
            p = space(p, end);
        goto child;
    }
    if (*p == (parent->type == DOC_OBJECT ? '}' : ']'))
        goto closed;
    return fail(ps, p, parent->type == DOC_OBJECT ? "after object key:value pair" : "after array element"), NULL;
child:
    if (parent->type == DOC_ARRAY)
        node = node_new(ps, STR_NULL);
    else if (!(p = member(ps, p, parent, &node)))
        return NULL;
    goto value;
closed:
    p++;
    parent = close_container(ps, parent);
    goto after;
done:
    p = space(p, end);
    return p == end ? root : (fail(ps, p, "after top-level value"), NULL);
}

struct doc *doc_parse(struct arena *mem, struct str text, const struct doc_opts *opts, struct err *err)
{
    struct parser ps = {.mem = mem, .err = err, .text = text.ptr, .end = text.ptr ? text.ptr + text.len : NULL};
    if (text.len > DOC_BYTES_MAX) {
        err_set(err, ERR_BAD_REQUEST, "the document of %zu bytes is larger than %d", text.len, DOC_BYTES_MAX);
        return NULL;
    }
    ps.depth_max = opts && opts->depth_max > 0 ? opts->depth_max : DOC_DEPTH_MAX;
    dups_init(&ps.dups, mem, opts ? opts->ret_dups : NULL);
    ps.pool_size = text.len / BYTES_PER_NODE + NODES_MIN;
    ps.pool = arena_alloc(mem, ps.pool_size * sizeof(struct doc));
    ps.pool_end = ps.pool + ps.pool_size;
    struct doc *root = parse(&ps);
    dups_done(&ps.dups);
    return root;
}
