/* base/log.h - structured log lines on standard error, one JSON-free logfmt line each:
 *   2026-01-02T03:04:05.678Z INFO  store: committed batch  rev=1042 ops=17
 *
 * Whoever decides what to do about an error logs it, once. Any thread. Values are quoted where they hold spaces or
 * control characters, so that a stranger's bytes cannot forge a line. */
#ifndef SAMPAN_BASE_LOG_H
#define SAMPAN_BASE_LOG_H

#include "base/str.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Not thread-safe; at start only. */
void log_set_level(enum log_level level);
/* Where lines go instead of standard error, for tests; NULL restores. */
void log_set_sink(void (*sink)(void *data, struct str line), void *data);
/* Called with `area` ("store") a fixed message and pairs in the format: log_info("store", "committed", "rev=%lu", rev).
 * pairs may be NULL. */
void log_line(enum log_level level, const char *area, const char *message, const char *pairs, ...)
    __attribute__((format(printf, 4, 5)));
#define log_debug(area, message, ...) log_line(LOG_DEBUG, area, message, __VA_ARGS__)
#define log_info(area, message, ...)  log_line(LOG_INFO, area, message, __VA_ARGS__)
#define log_warn(area, message, ...)  log_line(LOG_WARN, area, message, __VA_ARGS__)
#define log_error(area, message, ...) log_line(LOG_ERROR, area, message, __VA_ARGS__)
/* A value that may hold anything, quoted for a log line; in the arena. */
struct str log_quote(struct arena *a, struct str value);

#endif
