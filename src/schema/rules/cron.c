#include "schema/rules/cron.h"

#include <limits.h>

struct bounds {
    int min, max;
    const char *names; /* "sun mon ..." from min on; NULL: numbers only */
};
static const struct bounds minutes = {0, 59, NULL}, hours = {0, 23, NULL}, days = {1, 31, NULL},
                           months = {1, 12, "jan feb mar apr may jun jul aug sep oct nov dec"},
                           weekdays = {0, 6, "sun mon tue wed thu fri sat"};

static const char *read_number(struct arena *mem, struct str s, int *ret)
{
    int64_t v;
    if (!str_to_i64(s, &v) || v > INT_MAX || v < INT_MIN)
        return str_fmtz(mem, "failed to parse int from " STR_FMT ": strconv.Atoi: parsing " STR_FMT ": %s", STR_ARG(s),
                        STR_ARG(str_quote(mem, s)), "invalid syntax");
    if (v < 0)
        return str_fmtz(mem, "negative number (%d) not allowed: " STR_FMT, (int)v, STR_ARG(s));
    *ret = (int)v;
    return NULL;
}

static const char *read_value(struct arena *mem, struct str s, const struct bounds *b, int *ret)
{
    struct str rest = str_of(b->names), name;
    for (int v = b->min; str_next(&rest, ' ', &name); v++)
        if (str_ieq(s, name)) {
            *ret = v;
            return NULL;
        }
    return read_number(mem, s, ret);
}

static uint64_t bits_of(int from, int to, int step)
{
    uint64_t bits = 0;
    for (int v = from; v <= to; v += step)
        bits |= UINT64_C(1) << v;
    return bits;
}

/* star, number, a-b, each with /step */
static const char *read_range(struct arena *mem, struct str expr, const struct bounds *b, uint64_t *ret)
{
    struct str range, step_text, low, high;
    int from, to, step = 1;
    uint64_t star = 0;
    const char *wrong;
    bool stepped = str_cut(expr, '/', &range, &step_text);
    bool spans = str_cut(range, '-', &low, &high);
    if (str_is(low, "*") || str_is(low, "?")) {
        from = b->min, to = b->max;
        star = CRON_STAR;
    } else {
        if ((wrong = read_value(mem, low, b, &from)))
            return wrong;
        to = from;
        if (spans && str_find(high, '-') >= 0)
            return str_fmtz(mem, "too many hyphens: " STR_FMT, STR_ARG(expr));
        if (spans && (wrong = read_value(mem, high, b, &to)))
            return wrong;
    }
    if (stepped) {
        if (str_find(step_text, '/') >= 0)
            return str_fmtz(mem, "too many slashes: " STR_FMT, STR_ARG(expr));
        if ((wrong = read_number(mem, step_text, &step)))
            return wrong;
        if (!spans)
            to = b->max; /* N/step means N-max/step */
        if (step > 1)
            star = 0;
    }
    if (from < b->min)
        return str_fmtz(mem, "beginning of range (%d) below minimum (%d): " STR_FMT, from, b->min, STR_ARG(expr));
    if (to > b->max)
        return str_fmtz(mem, "end of range (%d) above maximum (%d): " STR_FMT, to, b->max, STR_ARG(expr));
    if (from > to)
        return str_fmtz(mem, "beginning of range (%d) beyond end of range (%d): " STR_FMT, from, to, STR_ARG(expr));
    if (step == 0)
        return str_fmtz(mem, "step of range should be a positive number: " STR_FMT, STR_ARG(expr));
    *ret |= bits_of(from, to, step > b->max ? b->max + 1 : step) | star;
    return NULL;
}

static const char *read_field(struct arena *mem, struct str field, const struct bounds *b, uint64_t *ret)
{
    struct str rest = field, part;
    while (str_next(&rest, ',', &part)) {
        if (!part.len)
            continue;
        const char *wrong = read_range(mem, part, b, ret);
        if (wrong)
            return wrong;
    }
    return NULL;
}

/* time.ParseDuration of positive h, m and s parts, in whole seconds; false: malformed. */
static bool read_duration(struct str s, int64_t *ret)
{
    int64_t total = 0;
    bool any = false;
    if (str_starts(s, STR("+")))
        s = str_from(s, 1);
    while (s.len) {
        int64_t v = 0;
        size_t n = 0;
        while (n < s.len && n < 9 && s.ptr[n] >= '0' && s.ptr[n] <= '9')
            v = v * 10 + (s.ptr[n++] - '0');
        if (!n || n == s.len)
            return false;
        s = str_from(s, n);
        int unit = s.ptr[0] == 'h' ? 3600 : s.ptr[0] == 'm' && !str_starts(s, STR("ms")) ? 60 : s.ptr[0] == 's' ? 1 : 0;
        if (!unit)
            return false;
        total += v * unit;
        any = true;
        s = str_from(s, 1);
    }
    *ret = total < 1 ? 1 : total;
    return any;
}

static const char *read_descriptor(struct arena *mem, struct str text, struct cron *ret)
{
    static const struct {
        const char *word, *spec;
    } words[] = {{"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
                 {"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"},    {"@midnight", "0 0 * * *"},
                 {"@hourly", "0 * * * *"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (str_is(text, words[i].word))
            return cron_parse(mem, str_of(words[i].spec), ret);
    if (str_starts(text, STR("@every "))) {
        struct str duration = str_from(text, strlen("@every "));
        if (read_duration(duration, &ret->every_s))
            return NULL;
        return str_fmtz(mem, "failed to parse duration " STR_FMT ": time: invalid duration " STR_FMT, STR_ARG(text),
                        STR_ARG(str_quote(mem, duration)));
    }
    return str_fmtz(mem, "unrecognized descriptor: " STR_FMT, STR_ARG(text));
}

/* strings.Fields: up to six, so that a sixth is noticed; the count of all. */
static int split_fields(struct str text, struct str fields[6])
{
    int n = 0;
    for (size_t i = 0; i < text.len;) {
        size_t start = i;
        while (i < text.len && !strchr(" \t\n\v\f\r", text.ptr[i]))
            i++;
        if (i > start && n++ < 6)
            fields[n - 1] = str_mem(text.ptr + start, i - start);
        while (i < text.len && text.ptr[i] && strchr(" \t\n\v\f\r", text.ptr[i]))
            i++;
        if (i == start)
            i++; /* a NUL: strchr takes it for its own end */
    }
    return n;
}

const char *cron_parse(struct arena *mem, struct str text, struct cron *ret)
{
    struct str fields[6];
    const char *wrong;
    *ret = (struct cron){0};
    if (!text.len)
        return "empty spec string";
    if (str_starts(text, STR("TZ=")) || str_starts(text, STR("CRON_TZ="))) {
        struct str zone;
        if (!str_cut(text, ' ', &zone, &text))
            return str_fmtz(mem, "provided bad location " STR_FMT,
                            STR_ARG(str_from(zone, (size_t)str_find(zone, '=') + 1)));
        text = str_trim(text);
    }
    if (str_starts(text, STR("@")))
        return read_descriptor(mem, text, ret);
    int n = split_fields(text, fields);
    if (n != 5) {
        struct sb list = SB(mem);
        for (int i = 0; i < n && i < 6; i++)
            sb_addf(&list, "%s" STR_FMT, i ? " " : "", STR_ARG(fields[i]));
        return str_fmtz(mem, "expected exactly 5 fields, found %d: [" STR_FMT "]", n, STR_ARG(sb_str(&list)));
    }
    (void)((wrong = read_field(mem, fields[0], &minutes, &ret->minute)) ||
           (wrong = read_field(mem, fields[1], &hours, &ret->hour)) ||
           (wrong = read_field(mem, fields[2], &days, &ret->day)) ||
           (wrong = read_field(mem, fields[3], &months, &ret->month)) ||
           (wrong = read_field(mem, fields[4], &weekdays, &ret->weekday)));
    return wrong;
}

bool cron_matches(const struct cron *cron, int minute, int hour, int day, int month, int weekday)
{
    bool by_day = cron->day >> day & 1, by_weekday = cron->weekday >> weekday & 1;
    bool star = (cron->day | cron->weekday) & CRON_STAR;
    return (cron->minute >> minute & 1) && (cron->hour >> hour & 1) && (cron->month >> month & 1) &&
           (star ? by_day && by_weekday : by_day || by_weekday);
}
