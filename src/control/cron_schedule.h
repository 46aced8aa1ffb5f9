/* control/cron_schedule.h - when a CronJob's schedule comes round. Pure arithmetic in UTC, Unix seconds.
 *
 * Source: robfig/cron v3 (SpecSchedule.Next: gives up after five years; @every counts from the time before). */
#ifndef SAMPAN_CONTROL_CRON_SCHEDULE_H
#define SAMPAN_CONTROL_CRON_SCHEDULE_H

#include "schema/rules/cron.h"

int64_t cron_next(const struct cron *cron, int64_t after_s); /* the first after it; -1: none in five years */
/* The last in (since_s, now_s]; -1: none. */
int64_t cron_latest(const struct cron *cron, int64_t since_s, int64_t now_s);
/* How many there are in (since_s, now_s], counted up to max. */
int cron_missed(const struct cron *cron, int64_t since_s, int64_t now_s, int max);

#endif
