#include "schema/times.h"

struct scan {
    struct str text, rest;
    const char *layout;
    struct arena *mem;
    struct str *ret_why;
};

static bool mismatch(struct scan *s, const char *element)
{
    struct sb b = SB(s->mem);
    sb_addz(&b, "parsing time ");
    sb_addq(&b, s->text);
    sb_addf(&b, " as \"%s\": cannot parse ", s->layout);
    sb_addq(&b, s->rest);
    sb_addf(&b, " as \"%s\"", element);
    *s->ret_why = sb_str(&b);
    return false;
}

static bool out_of_range(struct scan *s, const char *what)
{
    struct sb b = SB(s->mem);
    sb_addz(&b, "parsing time ");
    sb_addq(&b, s->text);
    sb_addf(&b, ": %s out of range", what);
    *s->ret_why = sb_str(&b);
    return false;
}

static bool digits(struct scan *s, int n, const char *element, int *ret)
{
    int v = 0;
    for (int i = 0; i < n; i++) {
        if ((size_t)i >= s->rest.len || s->rest.ptr[i] < '0' || s->rest.ptr[i] > '9')
            return mismatch(s, element);
        v = v * 10 + (s->rest.ptr[i] - '0');
    }
    s->rest = str_from(s->rest, n);
    *ret = v;
    return true;
}

static bool literal(struct scan *s, const char *c)
{
    if (!s->rest.len || s->rest.ptr[0] != *c)
        return mismatch(s, c);
    s->rest = str_from(s->rest, 1);
    return true;
}

static bool fraction(struct scan *s, bool micro, int32_t *ret_nano)
{
    int n = 0;
    int64_t nano = 0;
    bool dot = s->rest.len && (s->rest.ptr[0] == '.' || (!micro && s->rest.ptr[0] == ','));
    *ret_nano = 0;
    if (!dot)
        return micro ? mismatch(s, ".000000") : true;
    while ((size_t)n + 1 < s->rest.len && s->rest.ptr[n + 1] >= '0' && s->rest.ptr[n + 1] <= '9') {
        if (n < 9)
            nano = nano * 10 + (s->rest.ptr[n + 1] - '0');
        n++;
    }
    if (micro ? n != 6 : n == 0)
        return mismatch(s, micro ? ".000000" : "Z07:00");
    for (int i = n; i < 9; i++)
        nano *= 10;
    s->rest = str_from(s->rest, n + 1);
    *ret_nano = (int32_t)nano;
    return true;
}

static bool zone(struct scan *s, int *ret_offset_s)
{
    *ret_offset_s = 0;
    if (s->rest.len && s->rest.ptr[0] == 'Z') {
        s->rest = str_from(s->rest, 1);
        return true;
    }
    struct scan at = *s;
    int hours, minutes;
    if (!s->rest.len || (s->rest.ptr[0] != '+' && s->rest.ptr[0] != '-'))
        return mismatch(s, "Z07:00");
    int sign = s->rest.ptr[0] == '-' ? -1 : 1;
    at.rest = str_from(at.rest, 1);
    if (!digits(&at, 2, "", &hours) || !literal(&at, ":") || !digits(&at, 2, "", &minutes))
        return mismatch(s, "Z07:00");
    s->rest = at.rest;
    if (hours > 24 || minutes > 60)
        return out_of_range(s, hours > 24 ? "time zone offset hour" : "time zone offset minute");
    *ret_offset_s = sign * (hours * 3600 + minutes * 60);
    return true;
}

static bool leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Days since 1970-01-01 in the proleptic Gregorian calendar. */
static int64_t days_from_civil(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400, yoe = y - era * 400;
    int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1, doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

bool time_parse(struct arena *mem, struct str text, bool micro, int64_t *ret_sec, int32_t *ret_nano,
                struct str *ret_why)
{
    static const uint8_t month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const char *layout = micro ? "2006-01-02T15:04:05.000000Z07:00" : "2006-01-02T15:04:05Z07:00";
    struct scan s = {text, text, layout, mem, ret_why};
    int year, month, day, hour, minute, second, offset;
    int32_t nano;
    if (!digits(&s, 4, "2006", &year) || !literal(&s, "-") || !digits(&s, 2, "01", &month))
        return false;
    if (month < 1 || month > 12)
        return out_of_range(&s, "month");
    if (!literal(&s, "-") || !digits(&s, 2, "02", &day) || !literal(&s, "T") || !digits(&s, 2, "15", &hour))
        return false;
    if (hour > 23)
        return out_of_range(&s, "hour");
    if (!literal(&s, ":") || !digits(&s, 2, "04", &minute))
        return false;
    if (minute > 59)
        return out_of_range(&s, "minute");
    if (!literal(&s, ":") || !digits(&s, 2, "05", &second))
        return false;
    if (second > 59)
        return out_of_range(&s, "second");
    if (!fraction(&s, micro, &nano) || !zone(&s, &offset))
        return false;
    if (day < 1 || day > month_days[month - 1] + (month == 2 && leap(year)))
        return out_of_range(&s, "day");
    if (s.rest.len) {
        *ret_why =
            str_fmt(mem, "parsing time \"" STR_FMT "\": extra text: \"" STR_FMT "\"", STR_ARG(text), STR_ARG(s.rest));
        return false;
    }
    *ret_sec = days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset;
    *ret_nano = nano;
    return true;
}

/* By hand: every status holds some times, and printf costs ten times as much. Returns the place behind `then`. */
static char *put_digits(char *to, int value, int digits, char then)
{
    for (int i = digits; i-- > 0; value /= 10)
        to[i] = (char)('0' + value % 10);
    to[digits] = then;
    return to + digits + 1;
}

struct str time_format(struct arena *mem, int64_t sec, int32_t nano, bool micro)
{
    int64_t days = sec / 86400, rem = sec % 86400;
    if (rem < 0)
        rem += 86400, days--;
    int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153, day = doy - (153 * mp + 2) / 5 + 1, month = mp < 10 ? mp + 3 : mp - 9;
    int64_t year = yoe + era * 400 + (month <= 2);
    char *to = arena_alloc(mem, sizeof "0000-00-00T00:00:00.000000Z"), *end = to;
    end = put_digits(end, (int)year, 4, '-');
    end = put_digits(end, (int)month, 2, '-');
    end = put_digits(end, (int)day, 2, 'T');
    end = put_digits(end, (int)(rem / 3600), 2, ':');
    end = put_digits(end, (int)(rem / 60 % 60), 2, ':');
    end = put_digits(end, (int)(rem % 60), 2, micro ? '.' : 'Z');
    if (micro)
        end = put_digits(end, nano / 1000, 6, 'Z');
    *end = '\0';
    return str_mem(to, (size_t)(end - to));
}
