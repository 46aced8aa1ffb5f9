/* schema/go_duration.c - Go's durations as text. */
#include <inttypes.h>

#include "schema/times.h"

static const struct unit {
    const char *name;
    int64_t ns;
} units[] = {{"ns", 1},       {"us", 1000},      {"µs", 1000},       {"μs", 1000},
             {"ms", 1000000}, {"s", 1000000000}, {"m", 60000000000}, {"h", 3600000000000}};

static int64_t take_unit(struct str *rest)
{
    size_t len = 0;
    while (len < rest->len && rest->ptr[len] != '.' && (rest->ptr[len] < '0' || rest->ptr[len] > '9'))
        len++;
    struct str name = str_head(*rest, len);
    *rest = str_from(*rest, len);
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (str_is(name, units[i].name))
            return units[i].ns;
    return 0;
}

/* Digits, a fraction, a unit. false: something else, or too much. */
static bool take_part(struct str *rest, uint64_t *sum)
{
    uint64_t whole = 0, part = 0;
    double scale = 1;
    bool any = false, in_fraction = false;
    for (; rest->len; *rest = str_from(*rest, 1)) {
        char c = rest->ptr[0];
        if (c == '.' && !in_fraction) {
            in_fraction = true;
            continue;
        }
        if (c < '0' || c > '9')
            break;
        any = true;
        if (!in_fraction &&
            (__builtin_mul_overflow(whole, 10, &whole) || __builtin_add_overflow(whole, (uint64_t)(c - '0'), &whole)))
            return false;
        if (in_fraction && part <= (INT64_MAX - 9) / 10) /* further digits are too small to matter */
            part = part * 10 + (uint64_t)(c - '0'), scale *= 10;
    }
    int64_t unit = any ? take_unit(rest) : 0;
    return unit && !__builtin_mul_overflow(whole, (uint64_t)unit, &whole) &&
           !__builtin_add_overflow(*sum, whole, sum) &&
           !__builtin_add_overflow(*sum, (uint64_t)((double)part * ((double)unit / scale)), sum);
}

bool duration_parse(struct str text, int64_t *ret_ns)
{
    bool negative = str_starts(text, STR("-"));
    uint64_t sum = 0;
    if (negative || str_starts(text, STR("+")))
        text = str_from(text, 1);
    if (!text.len)
        return false;
    if (str_is(text, "0"))
        text = STR_NULL;
    while (text.len)
        if (!take_part(&text, &sum))
            return false;
    if (sum > (uint64_t)INT64_MAX + negative)
        return false;
    *ret_ns = (int64_t)(negative ? -sum : sum);
    return true;
}

/* value / unit, with as many digits behind the point as it needs. */
static void put_fraction(struct sb *b, uint64_t value, uint64_t unit)
{
    sb_addf(b, "%" PRIu64, value / unit);
    uint64_t rest = value % unit;
    for (sb_addz(b, rest ? "." : ""); rest; rest %= unit)
        unit /= 10, sb_addc(b, (char)('0' + rest / unit));
}

struct str duration_format(struct arena *mem, int64_t ns)
{
    struct sb b = SB(mem);
    uint64_t u = ns < 0 ? -(uint64_t)ns : (uint64_t)ns;
    if (!u)
        return STR("0s");
    sb_addz(&b, ns < 0 ? "-" : "");
    if (u < 1000000000) {
        int i = u < 1000 ? 0 : u < 1000000 ? 2 : 4;
        put_fraction(&b, u, (uint64_t)units[i].ns);
        sb_addz(&b, units[i].name);
        return sb_str(&b);
    }
    uint64_t minutes = u / 60000000000;
    if (minutes >= 60)
        sb_addf(&b, "%" PRIu64 "h", minutes / 60);
    if (minutes)
        sb_addf(&b, "%" PRIu64 "m", minutes % 60);
    put_fraction(&b, u % 60000000000, 1000000000);
    sb_addc(&b, 's');
    return sb_str(&b);
}
