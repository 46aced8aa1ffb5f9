/* base/log.c - one write(2) a line, so that lines of several threads and processes do not mix. */
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static const char *const level_names[] = {"DEBUG", "INFO ", "WARN ", "ERROR"};
static enum log_level level_min = LOG_INFO;
static void (*line_sink)(void *data, struct str line);
static void *line_sink_data;

void log_set_level(enum log_level level)
{
    level_min = level;
}

void log_set_sink(void (*sink)(void *data, struct str line), void *data)
{
    line_sink = sink;
    line_sink_data = data;
}

static void add_time(struct sb *b)
{
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    sb_addf(b, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
            tm.tm_min, tm.tm_sec, now.tv_nsec / 1000000);
}

/* A message or formatted pairs: whatever they hold, they stay on this line. */
static void add_visible(struct sb *b, struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c < ' ' || c == 0x7f)
            sb_addf(b, c == '\n' ? "\\n" : "\\x%02x", c);
        else
            sb_addc(b, (char)c);
    }
}

static void write_stderr(struct str line)
{
    while (line.len) {
        ssize_t n = write(STDERR_FILENO, line.ptr, line.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* nowhere to complain */
        line = str_from(line, (size_t)n);
    }
}

void log_line(enum log_level level, const char *area, const char *message, const char *pairs, ...)
{
    if (level < level_min)
        return;
    int saved_errno = errno;
    cleanup_arena struct arena *mem = arena_new();
    struct sb b = SB(mem);
    add_time(&b);
    sb_addf(&b, " %s %s: ", level_names[level], area);
    add_visible(&b, str_of(message));
    if (pairs && *pairs) {
        va_list ap;
        va_start(ap, pairs);
        sb_addz(&b, "  ");
        add_visible(&b, str_vfmt(mem, pairs, ap));
        va_end(ap);
    }
    if (line_sink) {
        line_sink(line_sink_data, sb_str(&b));
    } else {
        sb_addc(&b, '\n');
        write_stderr(sb_str(&b));
    }
    errno = saved_errno;
}

static bool plain(struct str value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\')
            return false;
    }
    return value.len > 0;
}

struct str log_quote(struct arena *a, struct str value)
{
    return plain(value) ? value : str_quote(a, value);
}
