/* base/str.h - borrowed strings and builders.
 *
 * A struct str points at bytes that somebody else owns; it need not end in NUL. A struct sb builds one in an arena.
 * Functions whose name says dup copy; all others borrow. */
#ifndef SAMPAN_BASE_STR_H
#define SAMPAN_BASE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"

struct str {
    const char *ptr; /* NULL only where len is 0 */
    size_t len;
};

#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1}) /* of a string literal */
#define STR_NULL     ((struct str){NULL, 0})
#define STR_FMT      "%.*s"
#define STR_ARG(s)   (int)(s).len, (s).ptr ? (s).ptr : ""

static inline struct str str_of(const char *z) /* NULL gives the empty string */
{
    return (struct str){z, z ? strlen(z) : 0};
}
static inline struct str str_mem(const char *ptr, size_t len)
{
    return (struct str){ptr, len};
}
static inline bool str_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}
static inline bool str_is(struct str a, const char *z)
{
    return str_eq(a, str_of(z));
}
static inline bool str_starts(struct str s, struct str prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}
static inline bool str_ends(struct str s, struct str suffix)
{
    return s.len >= suffix.len && (suffix.len == 0 || memcmp(s.ptr + s.len - suffix.len, suffix.ptr, suffix.len) == 0);
}
static inline struct str str_from(struct str s, size_t at) /* the rest from byte `at`; empty if past the end */
{
    return at >= s.len ? (struct str){s.ptr, 0} : (struct str){s.ptr + at, s.len - at};
}
static inline struct str str_head(struct str s, size_t n)
{
    return (struct str){s.ptr, n < s.len ? n : s.len};
}

bool str_ieq(struct str a, struct str b); /* ASCII case ignored */
int str_cmp(struct str a, struct str b);  /* bytewise, shorter first */
bool str_has(struct str s, struct str needle);
/* Index of the first / last byte c, or -1. */
ptrdiff_t str_find(struct str s, char c);
ptrdiff_t str_rfind(struct str s, char c);
struct str str_trim(struct str s); /* ASCII white space on both ends */
/* Cut at the first sep: *head gets what is before it, returns true and *rest what is after; without sep: false, *head
 * is all, *rest empty. head or rest may be the same variable as s. */
bool str_cut(struct str s, char sep, struct str *head, struct str *rest);
/* The next token of *rest up to sep; false at the end. An empty *rest yields nothing; "a," yields "a". */
bool str_next(struct str *rest, char sep, struct str *ret_token);

/* Whole-string numbers, base 10, no white space, overflow refused. i64 takes a sign, + too (as Go's ParseInt). */
bool str_to_i64(struct str s, int64_t *ret);
bool str_to_u64(struct str s, uint64_t *ret);

struct str str_dup(struct arena *a, struct str s); /* NUL-terminated beyond len */
/* A C string. A NUL inside becomes DEL, which stands in no name, number or address: what a stranger sends is never cut
 * short into something else, and is no reason to stop. */
char *str_z(struct arena *a, struct str s) __attribute__((returns_nonnull));
struct str str_fmt(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
struct str str_vfmt(struct arena *a, const char *fmt, va_list ap);
char *str_fmtz(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3), returns_nonnull));
/* FNV-1a, 64 bit: for tables and Kubernetes' template hashes, not for secrets. */
uint64_t str_hash(struct str s);

/* A growing buffer in an arena. */
struct sb {
    struct arena *mem;
    char *ptr;
    size_t len, cap;
};
#define SB(arena) ((struct sb){.mem = (arena)})
void sb_add(struct sb *b, struct str s);
void sb_addz(struct sb *b, const char *z);
void sb_addc(struct sb *b, char c);
void sb_addf(struct sb *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sb_addvf(struct sb *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
/* In double quotes, escaped as Go's %q does: the form of every value in Kubernetes' messages. */
void sb_addq(struct sb *b, struct str s);
struct str str_quote(struct arena *a, struct str s);
/* Room for n more bytes at the returned place; the caller adds to b->len what it used. */
char *sb_room(struct sb *b, size_t n);
static inline struct str sb_str(const struct sb *b)
{
    return (struct str){b->ptr, b->len};
}
char *sb_z(struct sb *b); /* NUL-terminated, NUL not counted */

/* Hexadecimal and base64 (RFC 4648; the url form has no padding). Decoders return false on a bad character or length.
 */
struct str str_hex(struct arena *a, struct str bytes);
struct str str_base64(struct arena *a, struct str bytes);
struct str str_base64url(struct arena *a, struct str bytes);
bool str_base64_dec(struct arena *a, struct str text, struct str *ret); /* padding required, no white space */
bool str_base64url_dec(struct arena *a, struct str text, struct str *ret);

#endif
