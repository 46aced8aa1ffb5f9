/* control/cron_schedule.c - schedules day by day, then by hour and minute. */
#include "control/cron_schedule.h"

enum { DAY_S = 86400, DAYS_MAX = 5 * 366 };

/* Month and day of the month of a day since 1970-01-01 (Howard Hinnant, civil_from_days). */
static void civil(int64_t days, int *ret_month, int *ret_day)
{
    int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097, of_era = z - era * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100), month = (5 * of_year + 2) / 153;
    *ret_day = (int)(of_year - (153 * month + 2) / 5 + 1);
    *ret_month = (int)(month < 10 ? month + 3 : month - 9);
}

static bool fits(const struct cron *cron, int64_t day, int minute_of_day)
{
    int month, of_month;
    civil(day, &month, &of_month);
    return cron_matches(cron, minute_of_day % 60, minute_of_day / 60, of_month, month, (int)((day + 4) % 7));
}

/* Some minute of the day fits: its hours and minutes always do, so ask at one that does. */
static bool day_fits(const struct cron *cron, int64_t day)
{
    if (!cron->hour || !cron->minute)
        return false;
    return fits(cron, day, __builtin_ctzll(cron->hour) * 60 + __builtin_ctzll(cron->minute));
}

int64_t cron_next(const struct cron *cron, int64_t after_s)
{
    if (cron->every_s)
        return after_s + cron->every_s;
    int64_t from = after_s / 60 + 1, first = from * 60 / DAY_S;
    for (int64_t day = first; day < first + DAYS_MAX; day++) {
        if (!day_fits(cron, day))
            continue;
        for (int m = day == first ? (int)(from % 1440) : 0; m < 1440; m++)
            if (fits(cron, day, m))
                return day * DAY_S + m * 60;
    }
    return -1;
}

int64_t cron_latest(const struct cron *cron, int64_t since_s, int64_t now_s)
{
    if (cron->every_s)
        return now_s - since_s >= cron->every_s ? now_s - (now_s - since_s) % cron->every_s : -1;
    int64_t last = now_s / DAY_S, first = since_s / DAY_S;
    first = first > last - DAYS_MAX ? first : last - DAYS_MAX;
    for (int64_t day = last; day >= first; day--) {
        if (!day_fits(cron, day))
            continue;
        for (int m = day == last ? (int)(now_s / 60 % 1440) : 1439; m >= 0; m--)
            if (fits(cron, day, m))
                return day * DAY_S + m * 60 > since_s ? day * DAY_S + m * 60 : -1;
    }
    return -1;
}

int cron_missed(const struct cron *cron, int64_t since_s, int64_t now_s, int max)
{
    int n = 0;
    for (int64_t t = since_s; n < max && (t = cron_next(cron, t)) >= 0 && t <= now_s;)
        n++;
    return n;
}
