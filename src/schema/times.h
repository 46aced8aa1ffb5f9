/* schema/times.h - RFC 3339 as metav1.Time and MicroTime read and write it, and Go's durations, which metav1.Duration
 * writes. Pure functions. May use base/. Source: apimachinery pkg/apis/meta/v1 time.go, Go's time.Parse, ParseDuration
 * and Duration.String. */
#ifndef SAMPAN_SCHEMA_TIMES_H
#define SAMPAN_SCHEMA_TIMES_H

#include "base/err.h"

#define TIME_ZERO_SEC (-62135596800) /* 0001-01-01T00:00:00Z: Go's zero time, written as null */

/* Any offset and, unless micro, any fraction; micro wants exactly six digits. false with *ret_why (in mem) as Go words
 * it. */
bool time_parse(struct arena *mem, struct str text, bool micro, int64_t *ret_sec, int32_t *ret_nano,
                struct str *ret_why);
/* In UTC, whole seconds or six digits. Years 0 to 9999. */
struct str time_format(struct arena *mem, int64_t sec, int32_t nano, bool micro);

/* "1h15m30.918s", "-1.5h", "0". false: no duration, or more than 64 bits of nanoseconds. */
bool duration_parse(struct str text, int64_t *ret_ns);
struct str duration_format(struct arena *mem, int64_t ns); /* "1h0m0.5s", "15ms", "0s" */

#endif
