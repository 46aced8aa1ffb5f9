/* Transcripts: testdata/NAME.txt holds cases, an object and the row that `kubectl get -o wide` would show of it.
 *
 *   === title
 *   pods [GROUP[/VERSION]]
 *   YAML of the object, in flow or block style
 *   --- want
 *   Column: cell            one line a column, cells as JSON; wide columns have an asterisk
 *
 * Now is 2025-01-01T00:00:00Z. With SAMPAN_TRANSCRIPTS=write the files are written anew: read the diff. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "schema/print/print.h"

enum { NOW_SEC = 1735689600 };
static const char *dir;

static struct str read_file(struct arena *mem, const char *name)
{
    FILE *f = fopen(str_fmtz(mem, "%s/%s", dir, name), "rb");
    struct sb text = SB(mem);
    assert_non_null(f);
    for (size_t n = 1; n; text.len += n)
        n = fread(sb_room(&text, 4096), 1, 4096, f);
    fclose(f);
    return sb_str(&text);
}

/* Lines of *rest up to one that starts with stop; *rest then begins with that line. */
static struct str until(struct str *rest, const char *stop)
{
    struct str start = *rest, line, before = *rest;
    for (; str_next(rest, '\n', &line); before = *rest)
        if (str_starts(line, str_of(stop))) {
            *rest = before;
            return str_mem(start.ptr, (size_t)(before.ptr - start.ptr));
        }
    *rest = STR("");
    return start;
}

static const struct resource *resource_of(struct arena *mem, struct str head)
{
    struct str plural, where, group, version;
    str_cut(head, ' ', &plural, &where);
    const struct resource *r = str_cut(where, '/', &group, &version)
                                   ? schema_resource(group, version, plural)
                                   : schema_stored(str_z(mem, where), str_z(mem, plural));
    if (!r || !r->cells)
        fail_msg("no columns: %.*s", STR_ARG(head));
    return r;
}

static struct str run_case(struct arena *mem, struct str head, struct str yaml)
{
    const struct resource *r = resource_of(mem, head);
    struct err err = ERR(mem);
    struct doc *obj = doc_parse_yaml(mem, yaml, NULL, NULL, &err), *cells = doc_new_array(mem);
    struct sb out = SB(mem);
    if (!obj || schema_read(mem, r->type, obj, FIELDS_IGNORE, NULL, NULL, &err) < 0)
        fail_msg("%.*s\n%.*s", STR_ARG(err.message), STR_ARG(yaml));
    r->cells(mem, obj, (int64_t)NOW_SEC * 1000, cells);
    assert_int_equal(doc_len(cells), r->column_count);
    const struct column *c = r->columns;
    doc_each (cell, cells) {
        sb_addf(&out, "%s%s: ", c->name, c->priority ? "*" : "");
        doc_json_sb(&out, cell);
        sb_addc(&out, '\n');
        c++;
    }
    return sb_str(&out);
}

static void write_file(struct arena *mem, const char *name, struct str text)
{
    FILE *f = fopen(str_fmtz(mem, "%s/%s", dir, name), "wb");
    fwrite(text.ptr, 1, text.len, f);
    fclose(f);
}

static void run_file(const char *name)
{
    struct arena *mem = arena_new();
    struct str rest = read_file(mem, name), title, head, line;
    struct sb out = SB(mem);
    const char *write = getenv("SAMPAN_TRANSCRIPTS");
    int bad = 0, count = 0;
    sb_add(&out, until(&rest, "==="));
    for (; str_next(&rest, '\n', &title); count++) {
        str_next(&rest, '\n', &head);
        struct str yaml = until(&rest, "---");
        str_next(&rest, '\n', &line);
        struct str want = until(&rest, "==="), got = run_case(mem, head, yaml);
        sb_addf(&out, STR_FMT "\n" STR_FMT "\n" STR_FMT "--- want\n" STR_FMT, STR_ARG(title), STR_ARG(head),
                STR_ARG(yaml), STR_ARG(got));
        if (!str_eq(str_trim(want), str_trim(got)) && ++bad)
            print_error("%s: %.*s\n-- want\n%.*s-- got\n%.*s\n", name, STR_ARG(title), STR_ARG(want), STR_ARG(got));
    }
    assert_true(count > 0);
    if (write && !strcmp(write, "write"))
        write_file(mem, name, sb_str(&out));
    else
        assert_int_equal(bad, 0);
    arena_free(mem);
}

#define TRANSCRIPT(name)                                                                                               \
    static void test_##name(void **state)                                                                              \
    {                                                                                                                  \
        run_file(#name ".txt");                                                                                        \
    }
TRANSCRIPT(pod)
TRANSCRIPT(workload)
TRANSCRIPT(service)
TRANSCRIPT(other)

/* Cases of apimachinery pkg/util/duration. */
static void test_duration(void **state)
{
    enum { S = 1000, M = 60 * S, H = 60 * M };
    const int64_t D = 24 * H, Y = 365 * D;
    const struct {
        int64_t ms;
        const char *want;
    } cases[] = {
        {-2 * S, "<invalid>"},
        {-2 * S + 1, "0s"},
        {0, "0s"},
        {S - 1, "0s"},
        {S, "1s"},
        {70 * S, "70s"},
        {2 * M - 1, "119s"},
        {2 * M, "2m"},
        {2 * M + S, "2m1s"},
        {190 * S, "3m10s"},
        {10 * M - 1, "9m59s"},
        {10 * M, "10m"},
        {10 * M + S, "10m"},
        {70 * M, "70m"},
        {3 * H - 1, "179m"},
        {3 * H, "3h"},
        {3 * H + M, "3h1m"},
        {8 * H - 1, "7h59m"},
        {8 * H, "8h"},
        {8 * H + 59 * M, "8h"},
        {47 * (int64_t)H, "47h"},
        {2 * D - 1, "47h"},
        {2 * D, "2d"},
        {2 * D + H, "2d1h"},
        {8 * D - 1, "7d23h"},
        {8 * D, "8d"},
        {8 * D + 23 * (int64_t)H, "8d"},
        {367 * D, "367d"},
        {2 * Y - 1, "729d"},
        {2 * Y, "2y"},
        {2 * Y + D - 1, "2y"},
        {2 * Y + D, "2y1d"},
        {3 * Y, "3y"},
        {8 * Y - 1, "7y364d"},
        {8 * Y, "8y"},
        {8 * Y + 364 * D, "8y"},
        {9 * Y, "9y"},
    };
    struct arena *mem = arena_new();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(str_z(mem, human_duration(mem, cases[i].ms)), cases[i].want);
    arena_free(mem);
}

/* Every kind that is listed has columns, and a cell for each even of an object that says nothing. */
static void test_every_kind(void **state)
{
    struct arena *mem = arena_new();
    for (const struct resource *const *r = schema_resources; *r; r++) {
        struct doc *cells = doc_new_array(mem);
        if (!((*r)->verbs & VERB_LIST))
            continue;
        if (!(*r)->cells || !(*r)->columns)
            fail_msg("%s %s has no columns", (*r)->api_version, (*r)->name);
        (*r)->cells(mem, doc_new_object(mem), 0, cells);
        assert_int_equal(doc_len(cells), (*r)->column_count);
    }
    arena_free(mem);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_duration), cmocka_unit_test(test_every_kind), cmocka_unit_test(test_pod),
        cmocka_unit_test(test_workload), cmocka_unit_test(test_service),    cmocka_unit_test(test_other),
    };
    static char source[] = __FILE__; /* relative to the build directory, where tests run */
    char *slash = strrchr(source, '/');
    if (slash)
        *slash = 0;
    static char beside[sizeof source + 16];
    snprintf(beside, sizeof beside, "%s/testdata", slash ? source : ".");
    dir = argc > 1 ? argv[1] : beside;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
