#include "schema/quantity.h"

#include <stdint.h>

enum { NANO_DIGITS = 9, QUANTITY_EXPONENT_MAX = 1000 };
#define NANO       ((__int128)1000000000)
#define INT128_MAX ((__int128)(~(unsigned __int128)0 >> 1))

/* The parts of a quantity's text, as Go's scanner cuts it: it is laxer than the documented expression ("Ki" is 0). */
struct parts {
    bool negative;
    struct str value, num, denom, suffix;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t skip_digits(struct str s, size_t at)
{
    while (at < s.len && is_digit(s.ptr[at]))
        at++;
    return at;
}

static struct str slice(struct str s, size_t from, size_t to)
{
    return str_mem(s.ptr + from, to - from);
}

/* At `at` begins what follows the number: letters of suffixes, a sign, digits, and nothing else. */
static int cut_suffix(struct str s, size_t at, struct parts *p)
{
    size_t end = at;
    while (end < s.len && s.ptr[end] && strchr("eEinumkKMGTP", s.ptr[end]))
        end++;
    if (end < s.len && (s.ptr[end] == '-' || s.ptr[end] == '+'))
        end++;
    end = skip_digits(s, end);
    p->suffix = slice(s, at, end);
    return end == s.len ? 0 : QUANTITY_E_FORMAT;
}

static int cut_parts(struct str s, struct parts *p)
{
    size_t at = 0;
    *p = (struct parts){0};
    if (s.len && (s.ptr[0] == '-' || s.ptr[0] == '+'))
        p->negative = s.ptr[0] == '-', at = 1;
    while (at < s.len && s.ptr[at] == '0')
        at++;
    p->num = p->value = STR("0");
    if (at == s.len)
        return 0;
    size_t end = skip_digits(s, at);
    if (end > at)
        p->num = slice(s, at, end);
    p->value = slice(s, 0, end);
    if (end == s.len)
        return 0;
    if (s.ptr[end] == '.') {
        size_t frac = end + 1;
        end = skip_digits(s, frac);
        p->denom = slice(s, frac, end);
        p->value = slice(s, 0, end);
    }
    return end == s.len ? 0 : cut_suffix(s, end, p);
}

static const struct suffix {
    char text[4];
    uint8_t base;
    int8_t exponent;
} suffixes[] = {
    {"", 10, 0},   {"n", 10, -9}, {"u", 10, -6}, {"m", 10, -3}, {"k", 10, 3},  {"M", 10, 6},
    {"G", 10, 9},  {"T", 10, 12}, {"P", 10, 15}, {"E", 10, 18}, {"Ki", 2, 10}, {"Mi", 2, 20},
    {"Gi", 2, 30}, {"Ti", 2, 40}, {"Pi", 2, 50}, {"Ei", 2, 60},
};

/* Go's strconv.ParseInt: one sign, then digits. Held to a range in which the arithmetic below can't overflow. */
static bool read_exponent(struct str s, int *ret)
{
    bool negative = s.len && s.ptr[0] == '-';
    if (s.len && (s.ptr[0] == '-' || s.ptr[0] == '+'))
        s = str_from(s, 1);
    int64_t v;
    if (!s.len || skip_digits(s, 0) != s.len || !str_to_i64(s, &v))
        return false;
    if (v > QUANTITY_EXPONENT_MAX)
        v = QUANTITY_EXPONENT_MAX;
    *ret = negative ? -(int)v : (int)v;
    return true;
}

static int read_suffix(struct str s, int *ret_base, int *ret_exponent, enum quantity_format *ret_format)
{
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (str_is(s, suffixes[i].text)) {
            *ret_base = suffixes[i].base;
            *ret_exponent = suffixes[i].exponent;
            *ret_format = suffixes[i].base == 2 ? QUANTITY_BINARY : QUANTITY_DECIMAL;
            return 0;
        }
    if (s.len < 2 || (s.ptr[0] != 'e' && s.ptr[0] != 'E') || !read_exponent(str_from(s, 1), ret_exponent))
        return QUANTITY_E_SUFFIX;
    *ret_base = 10;
    *ret_format = QUANTITY_EXPONENT;
    return 0;
}

/* digits(num denom) * 10^power, in nano-units, rounded away from zero. false: out of range. */
static bool scale_decimal(struct str num, struct str denom, int power, __int128 *ret)
{
    __int128 v = 0;
    int shift = power + NANO_DIGITS - (int)denom.len;
    bool inexact = false;
    size_t total = num.len + denom.len;
    /* Digits that fall below nano are only looked at for being non-zero. */
    size_t keep = shift >= 0 ? total : (size_t)-shift >= total ? 0 : total - (size_t)-shift;
    for (size_t i = 0; i < total; i++) {
        int d = (i < num.len ? num.ptr[i] : denom.ptr[i - num.len]) - '0';
        if (i >= keep) {
            inexact |= d != 0;
            continue;
        }
        if (__builtin_mul_overflow(v, (__int128)10, &v) || __builtin_add_overflow(v, (__int128)d, &v))
            return false;
    }
    for (; shift > 0 && v; shift--)
        if (__builtin_mul_overflow(v, (__int128)10, &v))
            return false;
    if (inexact && __builtin_add_overflow(v, (__int128)1, &v))
        return false;
    *ret = v;
    return true;
}

static bool scale_binary(struct str num, struct str denom, int exponent, __int128 *ret)
{
    /* The value in nano-units, times 2^exponent. Go rounds after multiplying; digits below nano (1.0000000001Ki) are
     * scaled up by as many tens first, then divided again. */
    int extra = (int)denom.len > NANO_DIGITS ? (int)denom.len - NANO_DIGITS : 0;
    __int128 v;
    if (extra > 18 || !scale_decimal(num, denom, extra, &v))
        return false;
    const __int128 cap = (__int128)INT64_MAX * NANO;
    for (int i = 0; i < exponent; i++)
        if (__builtin_mul_overflow(v, (__int128)2, &v)) {
            *ret = cap;
            return true;
        }
    for (; extra > 0; extra--)
        v = v / 10 + (v % 10 != 0);
    *ret = v > cap ? cap : v;
    return true;
}

static int read_quantity(struct str s, struct parts *p, int *ret_exponent, struct quantity *ret)
{
    int base = 10, rc = s.len ? cut_parts(s, p) : QUANTITY_E_FORMAT;
    enum quantity_format format = QUANTITY_DECIMAL;
    if (rc == 0)
        rc = read_suffix(p->suffix, &base, ret_exponent, &format);
    if (rc < 0)
        return rc;
    __int128 v;
    bool ok = base == 2 ? scale_binary(p->num, p->denom, *ret_exponent, &v)
                        : scale_decimal(p->num, p->denom, *ret_exponent, &v);
    if (!ok)
        return QUANTITY_E_NUMERIC;
    if (format == QUANTITY_BINARY && v > 0 && v < NANO)
        format = QUANTITY_DECIMAL; /* as Go: 0.5i would not read well */
    *ret = (struct quantity){p->negative ? -v : v, format};
    return 0;
}

int quantity_parse(struct str s, struct quantity *ret)
{
    struct parts p;
    int exponent;
    return read_quantity(s, &p, &exponent, ret);
}

const char *quantity_strerror(int code)
{
    switch (code) {
    case QUANTITY_E_NUMERIC:
        return "unable to parse numeric part of quantity";
    case QUANTITY_E_SUFFIX:
        return "unable to parse quantity's suffix";
    default:
        return "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
    }
}

/* Go keeps the text as it was when its fast path takes it for canonical, and then never looks again. The numbers below
 * are those of that path: 18 digits fit, binary ones lose three tenths of a digit a bit. */
static bool keeps_spelling(const struct parts *p, int exponent, struct quantity q)
{
    int digits = (int)(p->num.len + p->denom.len);
    if (q.format == QUANTITY_BINARY) {
        __int128 value = (q.nano < 0 ? -q.nano : q.nano) / NANO >> exponent;
        int precision = 15 - (int)p->num.len - exponent * 3 / 10 - 1;
        return !p->denom.len && precision >= 0 && (value & 7);
    }
    int scale = exponent - (int)p->denom.len;
    if (digits > 18 || scale < -NANO_DIGITS || scale % 3 != 0 || p->num.ptr[0] == '0')
        return false;
    int zeros = 0;
    for (int i = digits - 1; i >= 0 && zeros < 3; i--, zeros++)
        if ((i < (int)p->num.len ? p->num.ptr[i] : p->denom.ptr[i - (int)p->num.len]) != '0')
            break;
    return zeros < 3;
}

struct str quantity_canonical(struct arena *mem, struct str s)
{
    struct parts p;
    struct quantity q;
    int exponent;
    if (str_is(s, "0"))
        return s;
    if (read_quantity(s, &p, &exponent, &q) < 0)
        return STR_NULL;
    return keeps_spelling(&p, exponent, q) ? s : quantity_str(mem, q);
}

static void add_int128(struct sb *out, __int128 v)
{
    char digits[48];
    int n = 0;
    unsigned __int128 u = v < 0 ? -(unsigned __int128)v : (unsigned __int128)v;
    do
        digits[n++] = (char)('0' + (int)(u % 10));
    while (u /= 10);
    if (v < 0)
        sb_addc(out, '-');
    while (n)
        sb_addc(out, digits[--n]);
}

static void add_binary(struct sb *out, __int128 units)
{
    static const char *const names[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
    int n = 0;
    for (; n < 6 && units % 1024 == 0; n++)
        units /= 1024;
    add_int128(out, units);
    sb_addz(out, names[n]);
}

static void add_decimal(struct sb *out, struct quantity q)
{
    static const char *const names[] = {"n", "u", "m", "", "k", "M", "G", "T", "P", "E"};
    __int128 v = q.nano;
    int n = 0;
    /* Beyond E there is no suffix; Go leaves it away and so loses the value. Ours differs: the number grows instead. */
    for (; (n < 9 || q.format == QUANTITY_EXPONENT) && v % 1000 == 0; n++)
        v /= 1000;
    add_int128(out, v);
    int exponent = n * 3 - NANO_DIGITS;
    if (q.format != QUANTITY_EXPONENT)
        sb_addz(out, names[n]);
    else if (exponent)
        sb_addf(out, "e%d", exponent);
}

struct str quantity_str(struct arena *mem, struct quantity q)
{
    struct sb out = SB(mem);
    if (q.nano == 0)
        return STR("0");
    bool small = q.nano > -1024 * NANO && q.nano < 1024 * NANO;
    if (q.format == QUANTITY_BINARY && !small && q.nano % NANO == 0)
        add_binary(&out, q.nano / NANO);
    else
        add_decimal(&out, (struct quantity){q.nano, q.format == QUANTITY_BINARY ? QUANTITY_DECIMAL : q.format});
    return sb_str(&out);
}

static int64_t divide(__int128 v, __int128 by)
{
    __int128 r = v / by;
    if (v % by)
        r += v < 0 ? -1 : 1;
    return r > INT64_MAX ? INT64_MAX : r < INT64_MIN ? INT64_MIN : (int64_t)r;
}

int64_t quantity_value(struct quantity q)
{
    return divide(q.nano, NANO);
}

int64_t quantity_milli(struct quantity q)
{
    return divide(q.nano, NANO / 1000);
}

struct quantity quantity_of(int64_t units, enum quantity_format format)
{
    return (struct quantity){units * NANO, (uint8_t)format};
}

struct quantity quantity_of_milli(int64_t milli)
{
    return (struct quantity){milli * (NANO / 1000), QUANTITY_DECIMAL};
}

struct quantity quantity_add(struct quantity a, struct quantity b)
{
    struct quantity sum = {0, a.nano ? a.format : b.format};
    if (__builtin_add_overflow(a.nano, b.nano, &sum.nano))
        sum.nano = a.nano < 0 ? -INT128_MAX : INT128_MAX;
    return sum;
}

struct quantity quantity_sub(struct quantity a, struct quantity b)
{
    return quantity_add(a, (struct quantity){-b.nano, b.format});
}

struct quantity quantity_of_str(struct str s)
{
    struct quantity q = QUANTITY_ZERO;
    quantity_parse(s, &q);
    return q;
}
