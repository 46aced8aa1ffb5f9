/* cli/duration.c - durations as Go writes them, in whole seconds. */
#include <stdbool.h>

#include "cli/cli.h"

int64_t cli_duration_s(const char *text)
{
    static const struct {
        char unit;
        int64_t seconds;
    } units[] = {{'h', 3600}, {'m', 60}, {'s', 1}};
    enum { NUMBER_MAX = 1000000000 };
    struct str rest = str_of(text);
    int64_t sum = 0, n;
    size_t next = 0; /* units come in this order, each once */
    if (str_is(rest, "0"))
        return 0;
    while (rest.len && next < sizeof(units) / sizeof(units[0])) {
        struct str digits;
        if (!str_cut(rest, units[next++].unit, &digits, &rest)) {
            rest = digits;
            continue;
        }
        if (!str_to_i64(digits, &n) || n < 0 || n > NUMBER_MAX)
            return -1;
        sum += n * units[next - 1].seconds;
    }
    return rest.len || !*text ? -1 : sum;
}
