/* schema/rules/cron.h - the schedule of a CronJob: five fields or @daily and its kin. Source: robfig/cron v3,
 * ParseStandard. */
#ifndef SAMPAN_SCHEMA_RULES_CRON_H
#define SAMPAN_SCHEMA_RULES_CRON_H

#include "base/str.h"

struct cron {
    uint64_t minute, hour, day, month, weekday; /* a bit a value; bit 63: it was a star */
    int64_t every_s;                            /* @every: seconds, and the rest unused; else 0 */
};
#define CRON_STAR (UINT64_C(1) << 63)

/* NULL: *ret is filled. Else the library's message, in mem. Of TZ= and CRON_TZ= prefixes only the name is passed over.
 */
const char *cron_parse(struct arena *mem, struct str text, struct cron *ret);
/* Does a minute fit? weekday 0 is Sunday. As cron: with neither day nor weekday a star, one of both is enough. */
bool cron_matches(const struct cron *cron, int minute, int hour, int day, int month, int weekday);

#endif
