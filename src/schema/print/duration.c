/* Source: apimachinery pkg/util/duration HumanDuration. */
#include "schema/print/print.h"

/* Two units, the second dropped when zero. */
static struct str two(struct arena *mem, int64_t big, char unit, int64_t small, char small_unit)
{
    return small ? str_fmt(mem, "%lld%c%lld%c", (long long)big, unit, (long long)small, small_unit)
                 : str_fmt(mem, "%lld%c", (long long)big, unit);
}

struct str human_duration(struct arena *mem, int64_t ms)
{
    int64_t s = ms / 1000, m = s / 60, h = m / 60, d = h / 24, y = d / 365;
    if (s < -1)
        return STR("<invalid>");
    if (s < 0) /* clocks may differ by as much as that */
        return STR("0s");
    if (s < 2 * 60)
        return two(mem, s, 's', 0, 0);
    if (m < 10)
        return two(mem, m, 'm', s % 60, 's');
    if (m < 3 * 60)
        return two(mem, m, 'm', 0, 0);
    if (h < 8)
        return two(mem, h, 'h', m % 60, 'm');
    if (h < 48)
        return two(mem, h, 'h', 0, 0);
    if (h < 24 * 8)
        return two(mem, d, 'd', h % 24, 'h');
    if (d < 365 * 2)
        return two(mem, d, 'd', 0, 0);
    if (d < 365 * 8)
        return two(mem, y, 'y', d % 365, 'd');
    return two(mem, y, 'y', 0, 0);
}
