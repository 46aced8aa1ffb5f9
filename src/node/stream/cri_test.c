/* node/stream/cri_test.c - lines of a log, their times, and where the last ones begin. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
/* cmocka last */
#include <cmocka.h>

#include "node/stream/cri.h"

#define T "2026-01-02T03:04:05.123456789+00:00 "

static void test_lines(void **state)
{
    static const struct {
        const char *name, *line;
        bool good, partial;
        enum cri_stream stream;
        const char *text;
    } cases[] = {
        {"whole", T "stdout F hello world", true, false, CRI_STDOUT, "hello world"},
        {"piece", T "stderr P abc", true, true, CRI_STDERR, "abc"},
        {"empty text", T "stdout F ", true, false, CRI_STDOUT, ""},
        {"no text and no blank", T "stdout F", true, false, CRI_STDOUT, ""},
        {"more tags", T "stdout P:TAG2 x", true, true, CRI_STDOUT, "x"},
        {"blanks stay", T "stdout F  x ", true, false, CRI_STDOUT, " x "},
        {"unknown stream", T "stdin F x", false},
        {"unknown tag", T "stdout X x", false},
        {"no tag", T "stdout", false},
        {"no time", "now stdout F x", false},
        {"empty", "", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cri_line l;
        print_message("%s\n", cases[i].name);
        assert_int_equal(cri_parse(str_of(cases[i].line), &l), cases[i].good);
        if (!cases[i].good)
            continue;
        assert_int_equal(l.partial, cases[i].partial);
        assert_int_equal(l.stream, cases[i].stream);
        assert_true(str_is(l.text, cases[i].text));
        assert_int_equal(l.time_ns, 1767323045123456789);
    }
}

static void test_times(void **state)
{
    static const struct {
        const char *text;
        bool good;
        int64_t ns;
        const char *shown;
    } cases[] = {
        {"1970-01-01T00:00:00Z", true, 0, "1970-01-01T00:00:00.000000000Z"},
        {"1970-01-01T01:00:00.5+01:00", true, 500000000, "1970-01-01T01:00:00.500000000+01:00"},
        {"2000-02-29T12:00:00.000000001-00:30", true, 951827400000000001, "2000-02-29T12:00:00.000000001-00:30"},
        {"2026-01-02T03:04:05.123456789+00:00", true, 1767323045123456789, "2026-01-02T03:04:05.123456789Z"},
        {"1969-12-31T23:59:59Z", true, -1000000000, "1969-12-31T23:59:59.000000000Z"},
        {"2026-13-02T03:04:05Z", false, 0, NULL},
        {"2026-01-02 03:04:05Z", false, 0, NULL},
        {"2026-01-02T03:04:05", false, 0, NULL},
        {"2026-01-02T03:04:05.123456789012345678901234567890Z", false, 0, NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t ns = 0;
        char out[40];
        print_message("%s\n", cases[i].text);
        assert_int_equal(cri_time(str_of(cases[i].text), &ns), cases[i].good);
        if (!cases[i].good)
            continue;
        assert_int_equal(ns, cases[i].ns);
        assert_true(str_is(str_mem(out, cri_time_text(str_of(cases[i].text), out)), cases[i].shown));
    }
}

static void check_tail(const char *text, int64_t lines, const char *rest)
{
    int fd = memfd_create("log", 0);
    int64_t size = (int64_t)strlen(text), at;
    assert_int_equal(write(fd, text, (size_t)size), size);
    at = cri_tail(fd, size, lines);
    assert_true(at >= 0 && at <= size);
    assert_string_equal(text + at, rest);
    close(fd);
}

static void test_tail(void **state)
{
    check_tail(T "stdout F a\n" T "stdout F b\n" T "stdout F c\n", 2, T "stdout F b\n" T "stdout F c\n");
    check_tail(T "stdout F a\n" T "stdout F b\n", 2, T "stdout F a\n" T "stdout F b\n");
    check_tail(T "stdout F a\n", 5, T "stdout F a\n");
    check_tail(T "stdout F a\n", 0, "");
    check_tail("", 3, "");
    /* pieces of one line count once */
    check_tail(T "stdout F a\n" T "stdout P b1\n" T "stdout P b2\n" T "stdout F b3\n", 1,
               T "stdout P b1\n" T "stdout P b2\n" T "stdout F b3\n");
    /* a line that is still being written is shown, not counted */
    check_tail(T "stdout F a\n" T "stdout F b\n" T "stdo", 1, T "stdout F b\n" T "stdo");
}

static void test_tail_of_long_logs(void **state)
{
    int fd = memfd_create("log", 0);
    int64_t size = 0, place = 0;
    for (int i = 0; i < 20000; i++) {
        char line[128];
        int n = snprintf(line, sizeof(line), T "stdout F line %d\n", i);
        if (i == 20000 - 7000)
            place = size;
        assert_int_equal(write(fd, line, (size_t)n), n);
        size += n;
    }
    assert_int_equal(cri_tail(fd, size, 7000), place);
    assert_int_equal(cri_tail(fd, size, 20000), 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_tail),
        cmocka_unit_test(test_tail_of_long_logs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
