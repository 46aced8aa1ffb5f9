/* control/deployment_rollout_test.c - plans as readable transcripts: testdata/rollout.txt holds cases and what comes
 * out.
 *
 * A case is a line `name: replicas=5 surge=1 unavailable=0 [recreate] [running] [reported=N]`, then one line a set,
 * oldest first: `NAME spec actual available [desired=N] [max=N] [unseen] [new]`, then `step` or `scale`, then the
 * expected sizes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/io.h"
#include "control/deployment_rollout.h"

static int64_t number(struct str line, const char *name, int64_t absent)
{
    struct str word, key, value;
    int64_t n;
    while (str_next(&line, ' ', &word))
        if (str_cut(word, '=', &key, &value) && str_is(key, name) && str_to_i64(value, &n))
            return n;
    return absent;
}

static bool has_word(struct str line, const char *name)
{
    struct str word;
    while (str_next(&line, ' ', &word))
        if (str_is(word, name))
            return true;
    return false;
}

static void read_set(struct rollout *in, struct str line)
{
    struct rollout_set *s = &in->sets[in->count];
    struct str rest = line, word;
    int64_t n[3] = {0};
    *s = (struct rollout_set){.desired = number(line, "desired", -1), .max = number(line, "max", 0)};
    str_next(&rest, ' ', &s->name);
    for (int i = 0; i < 3 && str_next(&rest, ' ', &word); i++)
        assert_true(str_to_i64(word, &n[i]));
    s->spec = s->want = n[0], s->actual = n[1], s->available = s->reported = n[2];
    s->unseen = has_word(line, "unseen");
    if (has_word(line, "new"))
        in->new_at = in->count;
    in->count++;
}

static struct str outcome(struct arena *mem, const struct rollout *in)
{
    struct sb out = SB(mem);
    sb_addz(&out, "=>");
    for (int i = 0; i < in->count; i++)
        sb_addf(&out, " " STR_FMT "=%lld", STR_ARG(in->sets[i].name), (long long)in->sets[i].want);
    if (in->new_at < 0)
        sb_addf(&out, " first=%lld", (long long)rollout_first_size(in));
    return sb_str(&out);
}

static void test_transcripts(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str text, line, name = STR_NULL;
    struct rollout in = {.sets = arena_array(mem, struct rollout_set, 16)};
    int cases = 0;
    assert_int_equal(io_read_whole(mem, TESTDATA "/rollout.txt", 1 << 20, &text), 0);
    while (text.len) {
        str_cut(text, '\n', &line, &text);
        line = str_trim(line);
        if (!line.len || line.ptr[0] == '#')
            continue;
        if (str_find(line, ':') >= 0) {
            str_cut(line, ':', &name, &line);
            struct rollout_set *sets = in.sets;
            in = (struct rollout){.replicas = number(line, "replicas", 0),
                                  .max_surge = number(line, "surge", 0),
                                  .max_unavailable = number(line, "unavailable", 0),
                                  .total_reported = number(line, "reported", 0),
                                  .recreate = has_word(line, "recreate"),
                                  .old_pods_running = has_word(line, "running"),
                                  .sets = sets,
                                  .new_at = -1};
        } else if (str_is(line, "step")) {
            rollout_step(&in);
        } else if (str_is(line, "scale")) {
            assert_true(rollout_is_scaling(&in));
            rollout_scale(&in);
        } else if (str_starts(line, STR("=>"))) {
            struct str got = outcome(mem, &in);
            if (!str_eq(got, line))
                fail_msg(STR_FMT ": " STR_FMT ", expected " STR_FMT, STR_ARG(name), STR_ARG(got), STR_ARG(line));
            cases++;
        } else {
            read_set(&in, line);
        }
    }
    assert_true(cases >= 15);
}

static void test_fenceposts(void **state)
{
    static const struct {
        const char *strategy;
        int64_t replicas, surge, unavailable;
    } cases[] = {
        {"{\"type\":\"RollingUpdate\",\"rollingUpdate\":{\"maxSurge\":\"25%\",\"maxUnavailable\":\"25%\"}}", 5, 2, 1},
        {"{\"type\":\"RollingUpdate\",\"rollingUpdate\":{\"maxSurge\":\"25%\",\"maxUnavailable\":\"25%\"}}", 1, 1, 0},
        {"{\"type\":\"RollingUpdate\",\"rollingUpdate\":{\"maxSurge\":0,\"maxUnavailable\":\"10%\"}}", 5, 0, 1},
        {"{\"type\":\"RollingUpdate\",\"rollingUpdate\":{\"maxSurge\":3,\"maxUnavailable\":9}}", 5, 3, 5},
        {"{\"type\":\"RollingUpdate\",\"rollingUpdate\":{\"maxSurge\":1,\"maxUnavailable\":0}}", 0, 1, 0},
        {"{\"type\":\"Recreate\"}", 5, 0, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cleanup_arena struct arena *mem = arena_new();
        struct err err = ERR(mem);
        int64_t surge, unavailable;
        rollout_fenceposts(doc_parse(mem, str_of(cases[i].strategy), NULL, &err), cases[i].replicas, &surge,
                           &unavailable);
        assert_int_equal(surge, cases[i].surge);
        assert_int_equal(unavailable, cases[i].unavailable);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_transcripts), cmocka_unit_test(test_fenceposts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
