/* base/str.c - strings, builders, quoting, hexadecimal and base64. */
#include "base/str.h"

#include <assert.h>
#include <stdio.h>

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

bool str_ieq(struct str a, struct str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.ptr[i]) != lower(b.ptr[i]))
            return false;
    return true;
}

int str_cmp(struct str a, struct str b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n ? memcmp(a.ptr, b.ptr, n) : 0;
    return c ? c : (a.len > b.len) - (a.len < b.len);
}

bool str_has(struct str s, struct str needle)
{
    return needle.len == 0 || (s.len >= needle.len && memmem(s.ptr, s.len, needle.ptr, needle.len));
}

ptrdiff_t str_find(struct str s, char c)
{
    const char *p = s.len ? memchr(s.ptr, c, s.len) : NULL;
    return p ? p - s.ptr : -1;
}

ptrdiff_t str_rfind(struct str s, char c)
{
    const char *p = s.len ? memrchr(s.ptr, c, s.len) : NULL;
    return p ? p - s.ptr : -1;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct str str_trim(struct str s)
{
    while (s.len && is_space(s.ptr[0]))
        s.ptr++, s.len--;
    while (s.len && is_space(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

bool str_cut(struct str s, char sep, struct str *head, struct str *rest)
{
    ptrdiff_t at = str_find(s, sep);
    *head = at < 0 ? s : str_head(s, (size_t)at);
    *rest = at < 0 ? STR_NULL : str_from(s, (size_t)at + 1);
    return at >= 0;
}

bool str_next(struct str *rest, char sep, struct str *ret_token)
{
    if (rest->len == 0)
        return false;
    str_cut(*rest, sep, ret_token, rest);
    return true;
}

bool str_to_u64(struct str s, uint64_t *ret)
{
    uint64_t v = 0;
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned char)s.ptr[i] - (unsigned)'0';
        if (digit > 9 || __builtin_mul_overflow(v, (uint64_t)10, &v) || __builtin_add_overflow(v, (uint64_t)digit, &v))
            return false;
    }
    *ret = v;
    return true;
}

bool str_to_i64(struct str s, int64_t *ret)
{
    bool negative = s.len && s.ptr[0] == '-';
    uint64_t v;
    if (s.len && (s.ptr[0] == '-' || s.ptr[0] == '+'))
        s.ptr++, s.len--;
    if (!str_to_u64(s, &v) || v > (uint64_t)INT64_MAX + negative)
        return false;
    *ret = (int64_t)(negative ? -v : v);
    return true;
}

struct str str_dup(struct arena *a, struct str s)
{
    char *p = arena_alloc(a, s.len + 1);
    if (s.len)
        memcpy(p, s.ptr, s.len);
    p[s.len] = 0;
    return str_mem(p, s.len);
}

char *str_z(struct arena *a, struct str s)
{
    char *z = (char *)str_dup(a, s).ptr;
    for (size_t i = 0; i < s.len; i++)
        if (!z[i])
            z[i] = '\x7f';
    return z;
}

struct str str_vfmt(struct arena *a, const char *fmt, va_list ap)
{
    enum { FIRST_GUESS = 128 };
    va_list again;
    va_copy(again, ap);
    char *p = arena_alloc(a, FIRST_GUESS);
    int n = vsnprintf(p, FIRST_GUESS, fmt, ap);
    assert(n >= 0);
    if (n >= FIRST_GUESS) {
        p = arena_grow(a, p, FIRST_GUESS, (size_t)n + 1);
        vsnprintf(p, (size_t)n + 1, fmt, again);
    }
    va_end(again);
    return str_mem(p, (size_t)n);
}

struct str str_fmt(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    struct str s = str_vfmt(a, fmt, ap);
    va_end(ap);
    return s;
}

char *str_fmtz(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    struct str s = str_vfmt(a, fmt, ap);
    va_end(ap);
    return (char *)s.ptr;
}

uint64_t str_hash(struct str s)
{
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (unsigned char)s.ptr[i]) * 1099511628211u;
    return h;
}

char *sb_room(struct sb *b, size_t n)
{
    enum { SB_MIN = 64 };
    if (b->cap - b->len >= n && b->ptr)
        return b->ptr + b->len;
    size_t want;
    if (__builtin_add_overflow(b->len, n, &want))
        want = SIZE_MAX; /* the arena refuses */
    size_t cap = b->cap ? b->cap : SB_MIN;
    while (cap < want && cap <= SIZE_MAX / 2)
        cap *= 2;
    if (cap < want)
        cap = want;
    b->ptr = arena_grow(b->mem, b->ptr, b->cap, cap);
    b->cap = cap;
    return b->ptr + b->len;
}

void sb_add(struct sb *b, struct str s)
{
    if (s.len == 0)
        return;
    memcpy(sb_room(b, s.len), s.ptr, s.len);
    b->len += s.len;
}

void sb_addz(struct sb *b, const char *z)
{
    sb_add(b, str_of(z));
}

void sb_addc(struct sb *b, char c)
{
    *sb_room(b, 1) = c;
    b->len++;
}

void sb_addvf(struct sb *b, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    char *p = sb_room(b, 1);
    size_t room = b->cap - b->len;
    int n = vsnprintf(p, room, fmt, ap);
    assert(n >= 0);
    if ((size_t)n >= room)
        vsnprintf(sb_room(b, (size_t)n + 1), (size_t)n + 1, fmt, again);
    b->len += (size_t)n;
    va_end(again);
}

void sb_addf(struct sb *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    sb_addvf(b, fmt, ap);
    va_end(ap);
}

char *sb_z(struct sb *b)
{
    *sb_room(b, 1) = 0;
    return b->ptr;
}

/* One code point at s.ptr[0]; returns its bytes, or 0 where they are not UTF-8. */
static size_t rune_at(struct str s, uint32_t *ret)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char c = (unsigned char)s.ptr[0];
    size_t n = c < 0x80 ? 1 : (c & 0xe0) == 0xc0 ? 2 : (c & 0xf0) == 0xe0 ? 3 : (c & 0xf8) == 0xf0 ? 4 : 0;
    if (n == 0 || n > s.len)
        return 0;
    uint32_t r = n == 1 ? c : c & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if (((unsigned char)s.ptr[i] & 0xc0) != 0x80)
            return 0;
        r = r << 6 | ((unsigned char)s.ptr[i] & 0x3f);
    }
    if (r < least[n] || (r >= 0xd800 && r < 0xe000) || r > 0x10ffff)
        return 0;
    *ret = r;
    return n;
}

/* Go's unicode.IsPrint without its tables: controls, formats, spaces other than U+0020, private use and noncharacters
 * are not printable. Ours differs for code points that Unicode has not assigned: they are taken as printable. */
static bool rune_printable(uint32_t r)
{
    static const uint32_t hidden[][2] = {
        {0x00, 0x1f},       {0x7f, 0xa0},       {0xad, 0xad},       {0x600, 0x605},      {0x61c, 0x61c},
        {0x6dd, 0x6dd},     {0x70f, 0x70f},     {0x890, 0x891},     {0x8e2, 0x8e2},      {0x1680, 0x1680},
        {0x180e, 0x180e},   {0x2000, 0x200f},   {0x2028, 0x202f},   {0x205f, 0x206f},    {0x3000, 0x3000},
        {0xe000, 0xf8ff},   {0xfdd0, 0xfdef},   {0xfeff, 0xfeff},   {0xfff0, 0xfffb},    {0xfffe, 0xffff},
        {0x110bd, 0x110bd}, {0x1d173, 0x1d17a}, {0xe0000, 0xe00ff}, {0xf0000, 0x10ffff},
    };
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
        if (r >= hidden[i][0] && r <= hidden[i][1])
            return false;
    return (r & 0xfffe) != 0xfffe;
}

static void add_rune_quoted(struct sb *b, struct str bytes, uint32_t r)
{
    static const char letters[] = "abtnvfr"; /* from 7 on */
    if (r == '"' || r == '\\')
        sb_addc(b, '\\'), sb_addc(b, (char)r);
    else if (rune_printable(r))
        sb_add(b, bytes);
    else if (r >= 7 && r <= 13)
        sb_addc(b, '\\'), sb_addc(b, letters[r - 7]);
    else
        sb_addf(b, r < ' ' || r == 0x7f ? "\\x%02x" : r < 0x10000 ? "\\u%04x" : "\\U%08x", r);
}

void sb_addq(struct sb *b, struct str s)
{
    sb_addc(b, '"');
    while (s.len) {
        uint32_t r;
        size_t n = rune_at(s, &r);
        if (n)
            add_rune_quoted(b, str_head(s, n), r);
        else
            sb_addf(b, "\\x%02x", (unsigned char)s.ptr[0]);
        s = str_from(s, n ? n : 1);
    }
    sb_addc(b, '"');
}

struct str str_quote(struct arena *a, struct str s)
{
    struct sb b = SB(a);
    sb_addq(&b, s);
    return sb_str(&b);
}

struct str str_hex(struct arena *a, struct str bytes)
{
    static const char digits[] = "0123456789abcdef";
    char *p = arena_alloc(a, bytes.len * 2 + 1);
    for (size_t i = 0; i < bytes.len; i++) {
        p[2 * i] = digits[(unsigned char)bytes.ptr[i] >> 4];
        p[2 * i + 1] = digits[(unsigned char)bytes.ptr[i] & 15];
    }
    p[bytes.len * 2] = 0;
    return str_mem(p, bytes.len * 2);
}

static const char base64_std[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char base64_url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static struct str base64_enc(struct arena *a, struct str s, const char *alphabet, bool pad)
{
    char *out = arena_alloc(a, (s.len + 2) / 3 * 4 + 1), *p = out;
    for (size_t i = 0; i < s.len; i += 3) {
        size_t n = s.len - i < 3 ? s.len - i : 3;
        uint32_t v = 0;
        for (size_t k = 0; k < 3; k++)
            v = v << 8 | (k < n ? (unsigned char)s.ptr[i + k] : 0);
        for (size_t k = 0; k <= n; k++)
            *p++ = alphabet[v >> (18 - 6 * k) & 63];
        for (size_t k = n; pad && k < 3; k++)
            *p++ = '=';
    }
    *p = 0;
    return str_mem(out, (size_t)(p - out));
}

struct str str_base64(struct arena *a, struct str bytes)
{
    return base64_enc(a, bytes, base64_std, /* pad= */ true);
}

struct str str_base64url(struct arena *a, struct str bytes)
{
    return base64_enc(a, bytes, base64_url, /* pad= */ false);
}

static int base64_digit(char c, bool url)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == (url ? '-' : '+') ? 62 : c == (url ? '_' : '/') ? 63 : -1;
}

/* s without padding. The unused low bits of the last digit are ignored, as Go's non-strict decoder does. */
static bool base64_dec(struct arena *a, struct str s, bool url, struct str *ret)
{
    if (s.len % 4 == 1)
        return false;
    char *out = arena_alloc(a, s.len / 4 * 3 + 4), *p = out;
    uint32_t v = 0;
    for (size_t i = 0; i < s.len; i++) {
        int digit = base64_digit(s.ptr[i], url);
        if (digit < 0)
            return false;
        v = v << 6 | (uint32_t)digit;
        if (i % 4 == 1)
            *p++ = (char)(v >> 4);
        else if (i % 4 == 2)
            *p++ = (char)(v >> 2);
        else if (i % 4 == 3)
            *p++ = (char)v;
    }
    *p = 0;
    *ret = str_mem(out, (size_t)(p - out));
    return true;
}

bool str_base64_dec(struct arena *a, struct str text, struct str *ret)
{
    if (text.len % 4 != 0)
        return false;
    for (int i = 0; i < 2 && text.len && text.ptr[text.len - 1] == '='; i++)
        text.len--;
    return base64_dec(a, text, /* url= */ false, ret);
}

bool str_base64url_dec(struct arena *a, struct str text, struct str *ret)
{
    return base64_dec(a, text, /* url= */ true, ret);
}
