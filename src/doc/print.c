/* Measure, then write. Neither recurses per level of the document: a frame remembers the way up for SEGMENT levels and
 * only then calls itself, so that 10,000 levels need about 100 KB of stack.
 *
 * An exact measure looks at every byte of every string, which costs as much as the writing. Where the caller doesn't
 * need it beforehand we add up lengths as if nothing had to be escaped, and give the escapes some slack; a document
 * that needs more is measured and written again. */
#include "doc/doc.h"

#include <assert.h>

#include "doc/scan.h"
#include "doc/utf8.h"

enum { SEGMENT = 200, SLACK_MIN = 128 };

/* What escapes may still add. When it is used up strings are left out, the rest stays within bounds, and the caller
 * throws all away. */
struct slack {
    size_t left;
    bool failed;
};

/* ---- strings */

/* Bytes that c at p becomes; *ret_in is how many bytes of the source that covers. */
static int escaped_len(const char *p, const char *end, int *ret_in)
{
    unsigned char c = (unsigned char)*p;
    *ret_in = 1;
    if (c == '"' || c == '\\' || c == '\n' || c == '\r' || c == '\t' || c == '\b' || c == '\f')
        return 2;
    if (c < 0x20)
        return 6;
    if (c != 0xe2 || end - p < 3 || (unsigned char)p[1] != 0x80 || ((unsigned char)p[2] & 0xfe) != 0xa8)
        return 1;
    *ret_in = 3; /* U+2028, U+2029: they end a line in JavaScript */
    return 6;
}

static __attribute__((noinline)) size_t string_len_slow(struct str s)
{
    const char *end = s.ptr + s.len;
    size_t n = 0;
    int in;
    for (const char *p = s.ptr; p < end; p += in)
        n += (size_t)escaped_len(p, end, &in);
    return n;
}

static inline size_t string_len(struct str s)
{
    return __builtin_expect(scan_out_plain(s.ptr, s.len), 1) ? s.len : string_len_slow(s);
}

static char *put_escape(char *to, const char *p, int out)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char c = (unsigned char)*p;
    *to++ = '\\';
    if (out == 2) {
        *to++ = c == '\n' ? 'n' : c == '\r' ? 'r' : c == '\t' ? 't' : c == '\b' ? 'b' : c == '\f' ? 'f' : (char)c;
        return to;
    }
    memcpy(to, c == 0xe2 ? "u202" : "u00", 4);
    to += 4;
    if (c != 0xe2)
        to[-1] = hex[c >> 4];
    *to++ = c == 0xe2 ? hex[(unsigned char)p[2] & 0xf] : hex[c & 15];
    return to;
}

static __attribute__((noinline)) char *put_string_slow(char *to, struct str s, struct slack *slack)
{
    const char *end = s.ptr + s.len;
    size_t extra = string_len_slow(s) - s.len;
    int in;
    if (extra > slack->left) {
        slack->failed = true;
        return to;
    }
    slack->left -= extra;
    for (const char *p = s.ptr; p < end; p += in) {
        int out = escaped_len(p, end, &in);
        if (out == 1)
            *to++ = *p;
        else
            to = put_escape(to, p, out);
    }
    return to;
}

static inline char *put_string(char *to, struct str s, struct slack *slack)
{
    *to++ = '"';
    if (__builtin_expect(scan_out_copy(to, s.ptr, s.len), 1))
        to += s.len;
    else
        to = put_string_slow(to, s, slack);
    *to++ = '"';
    return to;
}

/* ---- numbers */

static inline size_t int_len(int64_t i)
{
    uint64_t v = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    size_t n = i < 0 ? 2 : 1;
    for (; v >= 10000; v /= 10000)
        n += 4;
    return n + (v >= 10) + (v >= 100) + (v >= 1000);
}

static inline char *put_int(char *to, int64_t i)
{
    uint64_t v = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    size_t n = int_len(i);
    char *p = to + n;
    do
        *--p = (char)('0' + v % 10);
    while (v /= 10);
    if (i < 0)
        *to = '-';
    return to + n;
}

/* ---- one value without its children */

static inline size_t scalar_len(const struct doc *d, bool exact)
{
    switch ((enum doc_type)d->type) {
    case DOC_STRING:
        return 2 + (exact ? string_len(d->s) : d->s.len);
    case DOC_INT:
        return int_len(d->i);
    case DOC_BOOL:
        return d->b ? 4 : 5;
    case DOC_NUMBER:
        return d->s.len;
    case DOC_NULL:
        return 4;
    case DOC_ARRAY:
    case DOC_OBJECT:
        return 2; /* the brackets */
    }
    assert(!"a type of document");
    return 0;
}

static inline char *put_scalar(char *to, const struct doc *d, struct slack *slack)
{
    switch ((enum doc_type)d->type) {
    case DOC_STRING:
        return put_string(to, d->s, slack);
    case DOC_INT:
        return put_int(to, d->i);
    case DOC_BOOL:
        memcpy(to, d->b ? "true" : "fals", 4);
        to[d->b ? 3 : 4] = 'e';
        return to + (d->b ? 4 : 5);
    case DOC_NUMBER:
        memcpy(to, d->s.ptr, d->s.len);
        return to + d->s.len;
    case DOC_NULL:
        memcpy(to, "null", 4);
        return to + 4;
    case DOC_ARRAY:
    case DOC_OBJECT:
        memcpy(to, d->type == DOC_ARRAY ? "[]" : "{}", 2);
        return to + 2;
    }
    assert(!"a type of document");
    return to;
}

static inline bool has_children(const struct doc *d)
{
    return d->type >= DOC_ARRAY && d->first;
}

/* ---- the whole */

static inline size_t key_len(const struct doc *parent, const struct doc *d, bool exact)
{
    return parent->type != DOC_OBJECT ? 0 : 3 + (exact ? string_len(d->key) : d->key.len);
}

static size_t plain_len(const struct doc *d);

static inline __attribute__((always_inline)) size_t measure(const struct doc *d, bool exact)
{
    const struct doc *up[SEGMENT];
    int depth = 0;
    size_t n = 0;
    for (;;) {
        n += scalar_len(d, exact);
        if (has_children(d) && depth < SEGMENT) {
            up[depth++] = d;
            d = d->first;
        } else {
            if (has_children(d))
                for (const struct doc *c = d->first; c; c = c->next)
                    n += (exact ? doc_json_len(c) : plain_len(c)) + key_len(d, c, exact) + (c->next ? 1 : 0);
            while (depth && !d->next)
                d = up[--depth];
            if (!depth)
                return n;
            d = d->next;
            n++; /* comma */
        }
        n += key_len(up[depth - 1], d, exact);
    }
}

size_t doc_json_len(const struct doc *d)
{
    return measure(d, /* exact= */ true);
}

static size_t plain_len(const struct doc *d)
{
    return measure(d, /* exact= */ false);
}

static inline char *put_key(char *to, const struct doc *parent, const struct doc *d, struct slack *slack)
{
    if (parent->type != DOC_OBJECT)
        return to;
    to = put_string(to, d->key, slack);
    *to++ = ':';
    return to;
}

static char *put(char *to, const struct doc *d, struct slack *slack);

static char *put_children(char *to, const struct doc *d, struct slack *slack)
{
    *to++ = d->type == DOC_OBJECT ? '{' : '[';
    for (const struct doc *c = d->first; c; c = c->next) {
        to = put(put_key(to, d, c, slack), c, slack);
        if (c->next)
            *to++ = ',';
    }
    *to++ = d->type == DOC_OBJECT ? '}' : ']';
    return to;
}

static char *put(char *to, const struct doc *d, struct slack *slack)
{
    const struct doc *up[SEGMENT];
    int depth = 0;
    for (;;) {
        if (has_children(d) && depth < SEGMENT) {
            *to++ = d->type == DOC_OBJECT ? '{' : '[';
            up[depth++] = d;
            d = d->first;
        } else {
            to = has_children(d) ? put_children(to, d, slack) : put_scalar(to, d, slack);
            while (depth && !d->next) {
                d = up[--depth];
                *to++ = d->type == DOC_OBJECT ? '}' : ']';
            }
            if (!depth)
                return to;
            d = d->next;
            *to++ = ',';
        }
        to = put_key(to, up[depth - 1], d, slack);
    }
}

void doc_json_put(const struct doc *d, char *to)
{
    struct slack slack = {SIZE_MAX, false};
    put(to, d, &slack);
}

struct str doc_json(struct arena *mem, const struct doc *d)
{
    size_t plain = plain_len(d);
    struct slack slack = {plain / 16 + SLACK_MIN, false};
    char *to = arena_alloc(mem, plain + slack.left), *end = put(to, d, &slack);
    if (!slack.failed)
        return str_mem(to, (size_t)(end - to));
    size_t len = doc_json_len(d);
    to = arena_alloc(mem, len);
    doc_json_put(d, to);
    return str_mem(to, len);
}

void doc_json_sb(struct sb *out, const struct doc *d)
{
    size_t plain = plain_len(d);
    struct slack slack = {plain / 16 + SLACK_MIN, false};
    char *to = sb_room(out, plain + slack.left), *end = put(to, d, &slack);
    size_t len = (size_t)(end - to);
    if (slack.failed) {
        len = doc_json_len(d);
        doc_json_put(d, sb_room(out, len));
    }
    out->len += len;
}

void doc_json_string(struct sb *out, struct str s)
{
    size_t len = 2 + string_len(s);
    struct slack slack = {SIZE_MAX, false};
    put_string(sb_room(out, len), s, &slack);
    out->len += len;
}
