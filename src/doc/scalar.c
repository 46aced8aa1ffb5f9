#include "doc/scalar.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* clang-format off */
#define BOOL_WORDS(X)                                                                                                  \
    X("y", true)                                                                                                       \
    X("Y", true)                                                                                                       \
    X("yes", true)                                                                                                     \
    X("Yes", true)                                                                                                     \
    X("YES", true) X("true", true) X("True", true) X("TRUE", true) X("on", true) X("On", true) X("ON", true)           \
        X("n", false) X("N", false) X("no", false) X("No", false) X("NO", false) X("false", false) X("False", false)   \
            X("FALSE", false) X("off", false) X("Off", false) X("OFF", false)
/* clang-format on */

enum { WORD_MAX = 5, NUMBER_MAX = 512 };

static bool word(struct str s, struct scalar *ret)
{
    static const struct {
        const char *word;
        bool b;
    } bools[] = {
#define X(word, b) {word, b},
        BOOL_WORDS(X)
#undef X
    };
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    static const char *const floats[] = {".nan",  ".NaN",  ".NAN",  ".inf",  ".Inf",  ".INF",
                                         "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF"};
    if (s.len > WORD_MAX)
        return false;
    for (size_t i = 0; i < sizeof bools / sizeof *bools; i++)
        if (str_is(s, bools[i].word))
            return *ret = (struct scalar){SCALAR_BOOL, {.b = bools[i].b}}, true;
    for (size_t i = 0; i < sizeof nulls / sizeof *nulls; i++)
        if (str_is(s, nulls[i]))
            return *ret = (struct scalar){.type = SCALAR_NULL}, true;
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
        if (str_is(s, floats[i]))
            return *ret = (struct scalar){SCALAR_FLOAT,
                                          {.f = i < 3   ? (double)NAN
                                                : i < 9 ? (double)INFINITY
                                                        : -(double)INFINITY}},
                   true;
    return false;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* ParseInt and ParseUint with base 0: a sign, then 0x, 0o, 0b or 0 tell the base. Underscores are gone already. */
static bool integer(struct str s, struct scalar *ret)
{
    bool negative = str_starts(s, STR("-"));
    if (negative || str_starts(s, STR("+")))
        s = str_from(s, 1);
    unsigned base = 10;
    if (s.len > 1 && s.ptr[0] == '0') {
        char c = (char)(s.ptr[1] | 0x20);
        base = c == 'x' ? 16 : c == 'b' ? 2 : 8;
        s = str_from(s, c == 'x' || c == 'b' || c == 'o' ? 2 : 1);
    }
    if (s.len == 0)
        return false;
    uint64_t v = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        unsigned digit = is_digit(c)                              ? (unsigned)(c - '0')
                         : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (unsigned)((c | 0x20) - 'a' + 10)
                                                                  : 99;
        if (digit >= base || __builtin_mul_overflow(v, base, &v) || __builtin_add_overflow(v, digit, &v))
            return false;
    }
    if (v > (uint64_t)INT64_MAX + negative) {
        *ret = (struct scalar){SCALAR_UINT, {.u = v}};
        return !negative;
    }
    *ret = (struct scalar){SCALAR_INT, {.i = negative ? (int64_t)(0 - v) : (int64_t)v}};
    return true;
}

/* ^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$, and within a double. */
static bool decimal(struct str s, struct scalar *ret)
{
    const char *p = s.ptr, *end = p + s.len;
    char z[NUMBER_MAX];
    p += p < end && (*p == '+' || *p == '-');
    const char *whole = p;
    while (p < end && is_digit(*p))
        p++;
    bool digits = p > whole;
    if (p < end && *p == '.') {
        const char *fraction = ++p;
        while (p < end && is_digit(*p))
            p++;
        digits = digits || p > fraction;
    }
    if (!digits)
        return false;
    if (p < end && (*p | 0x20) == 'e') {
        p++;
        p += p < end && (*p == '+' || *p == '-');
        if (p == end)
            return false;
        while (p < end && is_digit(*p))
            p++;
    }
    if (p != end || s.len >= sizeof z)
        return false;
    memcpy(z, s.ptr, s.len);
    z[s.len] = 0;
    *ret = (struct scalar){SCALAR_FLOAT, {.f = strtod(z, NULL)}};
    return isfinite(ret->f);
}

/* n to m digits at *s. */
static bool digits(struct str *s, size_t n, size_t m, int max)
{
    size_t i = 0;
    int v = 0;
    for (; i < s->len && i < m && is_digit(s->ptr[i]); i++)
        v = v * 10 + (s->ptr[i] - '0');
    *s = str_from(*s, i);
    return i >= n && v <= max;
}

static bool skip(struct str *s, const char *any)
{
    if (s->len == 0 || !s->ptr[0] || !strchr(any, s->ptr[0]))
        return false;
    *s = str_from(*s, 1);
    return true;
}

/* YYYY-M-D, with [Tt]H:M:S.fraction and a zone, or a space, H:M:S.fraction and none. */
static bool timestamp(struct str s)
{
    if (!digits(&s, 4, 4, 9999) || !skip(&s, "-") || !digits(&s, 1, 2, 12) || !skip(&s, "-") || !digits(&s, 1, 2, 31))
        return false;
    if (s.len == 0)
        return true;
    bool zoned = *s.ptr != ' ';
    if (!skip(&s, "Tt ") || !digits(&s, 1, 2, 23) || !skip(&s, ":") || !digits(&s, 1, 2, 59) || !skip(&s, ":") ||
        !digits(&s, 1, 2, 59))
        return false;
    if (skip(&s, ".") && !digits(&s, 1, 9, INT32_MAX))
        return false;
    if (!zoned || skip(&s, "Z"))
        return s.len == 0;
    return skip(&s, "+-") && digits(&s, 2, 2, 24) && skip(&s, ":") && digits(&s, 2, 2, 60) && s.len == 0;
}

struct scalar scalar_resolve(struct str text)
{
    struct scalar ret = {.type = SCALAR_STR};
    if (word(text, &ret))
        return ret;
    char c = text.ptr[0];
    if (c == '.')
        return decimal(text, &ret) ? ret : (struct scalar){.type = SCALAR_STR};
    if (!is_digit(c) && c != '+' && c != '-')
        return ret;
    if (timestamp(text))
        return (struct scalar){.type = SCALAR_TIME};
    if (text.len >= NUMBER_MAX)
        return ret;
    char plain[NUMBER_MAX];
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] != '_')
            plain[n++] = text.ptr[i];
    if (integer(str_mem(plain, n), &ret) || decimal(str_mem(plain, n), &ret))
        return ret;
    return (struct scalar){.type = SCALAR_STR};
}

/* ^[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?$ */
bool scalar_base60(struct str s)
{
    skip(&s, "+-");
    if (s.len == 0 || !is_digit(s.ptr[0]) || str_find(s, ':') < 0)
        return false;
    while (s.len && (is_digit(s.ptr[0]) || s.ptr[0] == '_'))
        s = str_from(s, 1);
    do
        if (!skip(&s, ":") || !digits(&s, 1, 2, 59))
            return false;
    while (s.len && s.ptr[0] == ':');
    if (skip(&s, "."))
        while (s.len && (is_digit(s.ptr[0]) || s.ptr[0] == '_'))
            s = str_from(s, 1);
    return s.len == 0;
}

/* ---- floats as Go writes them */

enum { DIGITS_MAX = 17 };

/* The shortest decimal digits that read back as f, and the place of the point: 0.DIGITS x 10^point. */
static int shortest(double f, bool single, char *ret_digits, int *ret_point)
{
    char text[40];
    for (int n = 1;; n++) {
        snprintf(text, sizeof text, "%.*e", n - 1, f);
        if (n < DIGITS_MAX && (single ? (double)strtof(text, NULL) != (double)(float)f : strtod(text, NULL) != f))
            continue;
        char *to = ret_digits;
        const char *p = text;
        for (; *p && *p != 'e'; p++)
            if (is_digit(*p))
                *to++ = *p;
        *ret_point = atoi(p + 1) + 1;
        return (int)(to - ret_digits);
    }
}

static void put_scientific(struct sb *out, const char *d, int n, int exp, bool two)
{
    sb_addc(out, d[0]);
    if (n > 1)
        sb_addc(out, '.');
    sb_add(out, str_mem(d + 1, (size_t)n - 1));
    sb_addf(out, two ? "e%c%02d" : "e%c%d", exp < 0 ? '-' : '+', abs(exp));
}

static void put_positional(struct sb *out, const char *d, int n, int point)
{
    if (point <= 0)
        sb_addz(out, "0.");
    for (int i = point; i < 0; i++)
        sb_addc(out, '0');
    for (int i = 0; i < n || i < point; i++) {
        if (i == point && i > 0)
            sb_addc(out, '.');
        sb_addc(out, i < n ? d[i] : '0');
    }
}

void scalar_put_json_float(struct sb *out, double f)
{
    char d[DIGITS_MAX + 1];
    int point, n;
    if (signbit(f))
        sb_addc(out, '-');
    f = fabs(f);
    if (f == 0) {
        sb_addc(out, '0');
        return;
    }
    n = shortest(f, /* single= */ false, d, &point);
    if (f < 1e-6 || f >= 1e21)
        put_scientific(out, d, n, point - 1, /* two= */ false);
    else
        put_positional(out, d, n, point);
}

void scalar_put_key_float(struct sb *out, double f)
{
    char d[DIGITS_MAX + 1];
    int point, n;
    if (isnan(f) || isinf(f) || isinf((float)f)) {
        sb_addz(out, isnan(f) ? ".nan" : f > 0 ? ".inf" : "-.inf");
        return;
    }
    if (signbit(f))
        sb_addc(out, '-');
    f = fabs(f);
    if ((float)f == 0) {
        sb_addc(out, '0');
        return;
    }
    n = shortest((double)(float)f, /* single= */ true, d, &point);
    if (point - 1 < -4 || point - 1 >= 6) /* as %g with shortest digits */
        put_scientific(out, d, n, point - 1, /* two= */ true);
    else
        put_positional(out, d, n, point);
}
