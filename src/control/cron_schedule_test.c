/* control/cron_schedule_test.c - when schedules come round. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "control/cron_schedule.h"
#include "schema/times.h"

static int64_t at(struct arena *mem, const char *text)
{
    int64_t sec;
    int32_t nano;
    struct str why;
    assert_true(time_parse(mem, str_of(text), /* micro= */ false, &sec, &nano, &why));
    return sec;
}

/* After a time comes the next; and seen from then, that one was the latest. */
static void test_next_and_latest(void **state)
{
    static const struct {
        const char *schedule, *after, *next;
    } cases[] = {
        {"* * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"},
        {"* * * * *", "2026-01-01T00:00:59Z", "2026-01-01T00:01:00Z"},
        {"*/15 * * * *", "2026-01-01T00:45:00Z", "2026-01-01T01:00:00Z"},
        {"30 4 * * *", "2026-01-01T04:30:00Z", "2026-01-02T04:30:00Z"},
        {"0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"},
        {"0 12 * * mon", "2026-01-01T00:00:00Z", "2026-01-05T12:00:00Z"},
        {"0 12 13 * fri", "2026-01-01T00:00:00Z", "2026-01-02T12:00:00Z"},
        {"@yearly", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"},
        {"59 23 31 12 *", "2025-12-31T23:59:00Z", "2026-12-31T23:59:00Z"},
        {"@every 90s", "2026-01-01T00:00:00Z", "2026-01-01T00:01:30Z"},
        {"0 0 31 2 *", "2026-01-01T00:00:00Z", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cleanup_arena struct arena *mem = arena_new();
        struct cron cron;
        assert_null(cron_parse(mem, str_of(cases[i].schedule), &cron));
        int64_t after = at(mem, cases[i].after), next = cases[i].next ? at(mem, cases[i].next) : -1;
        assert_int_equal(cron_next(&cron, after), next);
        if (next < 0)
            continue;
        assert_int_equal(cron_latest(&cron, after, next), next);
        assert_int_equal(cron_latest(&cron, after, next + 30), next);
        assert_int_equal(cron_latest(&cron, after, next - 1), -1);
        assert_int_equal(cron_missed(&cron, after, next, 5), 1);
    }
}

static void test_missed_are_counted_to_a_limit(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct cron cron;
    assert_null(cron_parse(mem, STR("*/5 * * * *"), &cron));
    int64_t t = at(mem, "2026-01-01T00:00:00Z");
    assert_int_equal(cron_missed(&cron, t, t + 3600, 100), 12);
    assert_int_equal(cron_missed(&cron, t, t + 360000, 101), 101);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_next_and_latest),
                                       cmocka_unit_test(test_missed_are_counted_to_a_limit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
