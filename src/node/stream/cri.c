#include "node/stream/cri.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { TAIL_BLOCK_BYTES = 64 << 10, HEAD_BYTES_MAX = 64 };

static bool digits(struct str s, size_t at, size_t n, int64_t *ret)
{
    *ret = 0;
    for (size_t i = at; i < at + n; i++) {
        if (i >= s.len || s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
        *ret = *ret * 10 + (s.ptr[i] - '0');
    }
    return true;
}

/* Days since 1970-01-01 of the proleptic Gregorian calendar (H. Hinnant, "chrono-compatible low-level date
 * algorithms"). */
static int64_t days_of(int64_t y, int64_t m, int64_t d)
{
    y -= m <= 2;
    int64_t era = y / 400, yoe = y - era * 400, doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static bool zone(struct str s, int64_t *ret_s)
{
    int64_t h, m;
    *ret_s = 0;
    if (str_is(s, "Z") || str_is(s, "z"))
        return true;
    if (s.len != 6 || (s.ptr[0] != '+' && s.ptr[0] != '-') || s.ptr[3] != ':' || !digits(s, 1, 2, &h) ||
        !digits(s, 4, 2, &m) || h > 23 || m > 59)
        return false;
    *ret_s = (h * 3600 + m * 60) * (s.ptr[0] == '-' ? -1 : 1);
    return true;
}

/* The digits behind the point; returns where the zone begins. */
static size_t fraction(struct str s, int64_t *ret_ns)
{
    size_t at = 19;
    int64_t scale = 100000000;
    *ret_ns = 0;
    if (at >= s.len || s.ptr[at] != '.')
        return at;
    for (at++; at < s.len && s.ptr[at] >= '0' && s.ptr[at] <= '9'; at++, scale /= 10)
        *ret_ns += (s.ptr[at] - '0') * scale;
    return at;
}

bool cri_time(struct str s, int64_t *ret_ns)
{
    int64_t y, mo, d, h, mi, sec, ns, offset_s;
    if (s.len < 20 || s.len > 40 || s.ptr[4] != '-' || s.ptr[7] != '-' || (s.ptr[10] != 'T' && s.ptr[10] != 't') ||
        s.ptr[13] != ':' || s.ptr[16] != ':' || !digits(s, 0, 4, &y) || !digits(s, 5, 2, &mo) || !digits(s, 8, 2, &d) ||
        !digits(s, 11, 2, &h) || !digits(s, 14, 2, &mi) || !digits(s, 17, 2, &sec) || mo < 1 || mo > 12 || d < 1 ||
        d > 31 || h > 23 || mi > 59 || sec > 60 || y < 1700 || y > 2261)
        return false;
    size_t at = fraction(s, &ns);
    if (!zone(str_from(s, at), &offset_s))
        return false;
    *ret_ns = (((days_of(y, mo, d) * 24 + h) * 60 + mi) * 60 + sec - offset_s) * 1000000000 + ns;
    return true;
}

size_t cri_time_text(struct str time, char out[40])
{
    int64_t ns;
    size_t at = fraction(time, &ns);
    struct str rest = str_from(time, at);
    memcpy(out, time.ptr, 19);
    out[19] = '.';
    for (int i = 28; i >= 20; i--, ns /= 10)
        out[i] = (char)('0' + ns % 10);
    if (str_is(rest, "+00:00") || str_is(rest, "-00:00"))
        rest = STR("Z");
    memcpy(out + 29, rest.ptr, rest.len);
    return 29 + rest.len;
}

bool cri_parse(struct str line, struct cri_line *ret)
{
    struct str stream, tags, first;
    if (!str_cut(line, ' ', &ret->time, &line) || !cri_time(ret->time, &ret->time_ns) ||
        !str_cut(line, ' ', &stream, &line))
        return false;
    if (str_is(stream, "stdout"))
        ret->stream = CRI_STDOUT;
    else if (str_is(stream, "stderr"))
        ret->stream = CRI_STDERR;
    else
        return false;
    if (!str_cut(line, ' ', &tags, &ret->text) && tags.len == 0)
        return false;
    str_cut(tags, ':', &first, &tags); /* further tags are for later versions of the format */
    ret->partial = str_is(first, "P");
    return ret->partial || str_is(first, "F");
}

/* The line that begins here ends a line of text: its third word is F. What can't be read is not shown and does not
 * count. */
static bool ends_line(int fd, int64_t at)
{
    char head[HEAD_BYTES_MAX];
    ssize_t n = pread(fd, head, sizeof(head), at);
    struct str s = str_mem(head, n > 0 ? (size_t)n : 0), word;
    struct str rest;
    str_cut(s, '\n', &s, &rest);
    for (int i = 0; i < 2; i++)
        if (!str_cut(s, ' ', &word, &s))
            return false;
    return s.len > 0 && s.ptr[0] == 'F';
}

int64_t cri_tail(int fd, int64_t size, int64_t lines)
{
    char *block = malloc(TAIL_BLOCK_BYTES);
    int64_t end = -1; /* where the line that we are inside of ends, behind its '\n'; -1: not known yet */
    if (!block)
        return -ENOMEM;
    for (int64_t pos = size; pos > 0;) {
        int64_t n = pos < TAIL_BLOCK_BYTES ? pos : TAIL_BLOCK_BYTES;
        ssize_t got = pread(fd, block, (size_t)n, pos - n);
        if (got != n) {
            int r = got < 0 ? -errno : -EIO;
            free(block);
            return r;
        }
        for (int64_t i = n - 1; i >= 0; i--) {
            if (block[i] != '\n')
                continue;
            int64_t start = pos - n + i + 1; /* of the line that ends at `end` */
            if (end >= 0 && ends_line(fd, start) && lines-- == 0) {
                free(block);
                return end;
            }
            end = start;
        }
        pos -= n;
    }
    free(block);
    return end >= 0 && lines == 0 && ends_line(fd, 0) ? end : 0;
}
