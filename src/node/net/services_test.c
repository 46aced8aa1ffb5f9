/* Transcripts: testdata/services.txt holds steps and the plan each must give. With SAMPAN_REWRITE=1 the file is written
 * anew; read the diff. */
#include "node/net/services.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "node/files.h"

#define TRANSCRIPT TESTDATA "/services.txt"

static struct services *model(void)
{
    const struct services_opts o = {.node_name = STR("n1"), .own_dns = 0x0a2b000a};
    return services_new(&o);
}

static const struct doc *yaml(struct arena *mem, struct str text)
{
    struct err err = {.mem = mem};
    const struct doc *d = doc_parse_yaml(mem, text, NULL, NULL, &err);
    if (!d)
        fail_msg("not YAML: " STR_FMT, STR_ARG(text));
    return d;
}

static struct str named(struct arena *mem, struct str kind_rest, const char *form)
{
    struct str name, rest;
    str_cut(kind_rest, ' ', &name, &rest);
    return str_fmt(mem, form, STR_ARG(name), STR_ARG(rest));
}

/* "service NAME SPEC", "slice SERVICE ENDPOINTS", "-service NAME", "-slice SERVICE"; specs are flow YAML. */
static void run(struct services *s, struct arena *mem, struct str line)
{
    struct str word, rest;
    str_cut(line, ' ', &word, &rest);
    struct str service = named(mem, rest, "{metadata: {namespace: default, name: " STR_FMT "}, spec: {" STR_FMT "}}");
    struct str slice = named(mem, rest,
                             "{metadata: {namespace: default, name: x, labels: {kubernetes.io/service-name: " STR_FMT
                             "}}, addressType: IPv4, ports: [{name: web, port: 8080}, {name: dns, port: 53, protocol: "
                             "UDP}], endpoints: [" STR_FMT "]}");
    if (str_is(word, "service"))
        services_put(s, yaml(mem, service));
    else if (str_is(word, "slice"))
        services_put_slice(s, yaml(mem, slice));
    else if (str_is(word, "-service"))
        services_remove(s, yaml(mem, service));
    else if (str_is(word, "-slice"))
        services_remove_slice(s, yaml(mem, slice));
    else
        fail_msg("what is " STR_FMT "?", STR_ARG(line));
}

static void put_plan(struct services *s, struct arena *mem, struct sb *out)
{
    struct plan plan = {.mem = mem};
    struct sb text = SB(mem);
    services_plan(s, /* all= */ true, &plan);
    plan_print(&plan, &text);
    struct str rest = sb_str(&text), line;
    while (str_next(&rest, '\n', &line))
        sb_addf(out, "    " STR_FMT "\n", STR_ARG(line));
}

static void test_transcript(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str text, line;
    struct sb out = SB(mem);
    struct services *s = model();
    bool asked = false;
    assert_int_equal(files_read(AT_FDCWD, TRANSCRIPT, 1 << 20, mem, &text), 0);
    for (struct str rest = text; rest.len;) {
        str_cut(rest, '\n', &line, &rest);
        if (str_starts(line, STR("    ")))
            continue; /* what was expected */
        if (asked && (line.len == 0 || line.ptr[0] == '#' || line.ptr[0] == '='))
            put_plan(s, mem, &out), asked = false;
        sb_add(&out, line), sb_addc(&out, '\n');
        if (str_starts(line, STR("==")))
            services_free(s), s = model();
        else if (line.len && line.ptr[0] != '#')
            run(s, mem, line), asked = true;
    }
    if (asked)
        put_plan(s, mem, &out);
    services_free(s);
    if (getenv("SAMPAN_REWRITE"))
        files_write(TRANSCRIPT, 0644, sb_str(&out));
    else
        assert_string_equal(sb_z(&out), str_z(mem, text));
}

/* What the kernel holds at start is neither written again nor left when nobody asks for it. */
static void test_found(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct services *s = model();
    struct plan plan = {.mem = mem};
    struct sb out = SB(mem);
    struct backend backends[] = {{0x0a2a0003, 8080}, {0x0a2a0002, 8080}};
    const struct frontend fronts[] = {
        {{0x0a2b0032, 80, 6}, FRONTEND_SERVED, {.count = 2}, backends, 2},
        {{0x0a2b0033, 80, 6}, FRONTEND_REJECTED, {0}, NULL, 0},
    };
    services_found(s, fronts, 2);
    run(s, mem, STR("service web clusterIP: 10.43.0.50, ports: [{name: web, port: 80}]"));
    run(s, mem, STR("slice web {addresses: [10.42.0.2]}, {addresses: [10.42.0.3]}"));
    services_plan(s, /* all= */ true, &plan);
    plan_print(&plan, &out);
    assert_string_equal(sb_z(&out), "- frontend 10.43.0.51 tcp 80 reject\n");
    services_free(s);
}

static void test_groups(void **state)
{
    static const char *const names[] = {"pick-3", "pick-1-node", "pick-12-node-masq-sticky-10800"};
    for (int i = 0; i < 3; i++) {
        struct group g;
        char name[GROUP_NAME_MAX];
        assert_true(group_parse(str_of(names[i]), &g));
        group_name(&g, name);
        assert_string_equal(name, names[i]);
    }
    static const char *const bad[] = {"", "pick", "pick-", "pick-0", "pick-x", "pick-3-foo", "pick-3-sticky", "serve"};
    struct group g;
    for (int i = 0; i < 8; i++)
        assert_false(group_parse(str_of(bad[i]), &g));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_transcript), cmocka_unit_test(test_found),
                                       cmocka_unit_test(test_groups)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
