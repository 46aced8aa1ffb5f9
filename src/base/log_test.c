/* base/log_test.c */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/log.h"

static struct sb lines;

static void keep(void *data, struct str line)
{
    sb_add(&lines, str_from(line, strlen("2026-01-02T03:04:05.678Z ")));
    sb_addc(&lines, '\n');
}

static void test_lines(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    lines = SB(mem);
    log_set_sink(keep, NULL);
    log_debug("store", "not seen", NULL);
    log_info("store", "committed batch", "rev=%d ops=%d", 1042, 17);
    log_warn("store", "no pairs", NULL);
    log_error("http", "refused", "path=%s", "/\n2026-01-02 forged\x1b[0m");
    log_set_level(LOG_DEBUG);
    log_debug("a", "seen", "%s", "");
    log_set_level(LOG_INFO);
    log_set_sink(NULL, NULL);
    assert_string_equal(sb_z(&lines), "INFO  store: committed batch  rev=1042 ops=17\n"
                                      "WARN  store: no pairs\n"
                                      "ERROR http: refused  path=/\\n2026-01-02 forged\\x1b[0m\n"
                                      "DEBUG a: seen  \n");
}

static void test_quote_only_where_needed(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    static const char *const cases[][2] = {
        {"web-0", "web-0"}, {"", "\"\""},          {"a b", "\"a b\""},
        {"a=b", "\"a=b\""}, {"a\nb", "\"a\\nb\""}, {"\"", "\"\\\"\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(str_z(mem, log_quote(mem, str_of(cases[i][0]))), cases[i][1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_quote_only_where_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
