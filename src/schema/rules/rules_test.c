/* Transcripts: testdata/NAME.txt holds cases, each an object (or two: an update) and every cause that it gets, in
 * order.
 *
 *   === title
 *   pods[/subresource] [GROUP]
 *   YAML of the object
 *   --- old
 *   YAML of the object before; absent on create
 *   --- want
 *   field: message          one cause a line, none for a valid object; a line break inside a message is shown as \n
 *   warning: text           what is allowed but hardly meant
 *
 * Objects go through schema_read and schema_default first, and get what the write path would add (uid, namespace ...).
 * With SAMPAN_TRANSCRIPTS=write the files are written anew: read the diff. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "schema/labels.h"
#include "schema/rules/cron.h"
#include "schema/rules/rules.h"

static const char *dir;

static struct str read_file(struct arena *mem, const char *name)
{
    FILE *f = fopen(str_fmtz(mem, "%s/%s", dir, name), "rb");
    struct sb text = SB(mem);
    assert_non_null(f);
    for (size_t n = 1; n;) {
        n = fread(sb_room(&text, 4096), 1, 4096, f);
        text.len += n;
    }
    fclose(f);
    return sb_str(&text);
}

/* The next line without its end. */
static bool next_line(struct str *rest, struct str *ret)
{
    return str_next(rest, '\n', ret);
}

/* Lines of *rest up to one that starts with stop; *rest then begins with that line. */
static struct str until(struct str *rest, const char *stop)
{
    struct str start = *rest, line, before = *rest;
    while (next_line(rest, &line)) {
        if (str_starts(line, str_of(stop))) {
            *rest = before;
            return str_mem(start.ptr, (size_t)(before.ptr - start.ptr));
        }
        before = *rest;
    }
    *rest = STR("");
    return start;
}

static void put_if_absent(struct arena *mem, struct doc *obj, const char *key, const char *value)
{
    if (!doc_get(obj, key))
        doc_put_str(mem, obj, key, str_of(value));
}

static struct doc *read_object(struct arena *mem, const struct resource *r, const struct subresource *sub,
                               struct str yaml, bool update)
{
    struct err err = ERR(mem);
    struct warnings warnings = {0};
    struct doc *obj = doc_parse_yaml(mem, yaml, NULL, NULL, &err);
    const struct type *t = sub && sub->type ? sub->type : r->type;
    if (!obj)
        fail_msg("%.*s", STR_ARG(err.message));
    put_if_absent(mem, obj, "apiVersion", r->api_version);
    put_if_absent(mem, obj, "kind", r->kind);
    if (schema_read(mem, t, obj, FIELDS_STRICT, NULL, &warnings, &err) < 0)
        fail_msg("%.*s\n%.*s", STR_ARG(err.message), STR_ARG(yaml));
    struct doc *meta = doc_sub(mem, obj, "metadata");
    put_if_absent(mem, meta, "name", "x");
    put_if_absent(mem, meta, "uid", "u");
    if (r->namespaced)
        put_if_absent(mem, meta, "namespace", "default");
    if (update)
        put_if_absent(mem, meta, "resourceVersion", "1");
    if (t == r->type)
        schema_default(mem, r, obj);
    schema_order(mem, t, obj);
    return obj;
}

static struct str run_case(struct arena *mem, struct str head, struct str yaml, struct str old_yaml)
{
    struct str plural, group, name, sub_name;
    if (!str_cut(head, ' ', &plural, &group))
        group = STR("");
    if (!str_cut(plural, '/', &name, &sub_name))
        sub_name = STR("");
    const struct resource *r = schema_stored(str_z(mem, group), str_z(mem, name));
    if (!r)
        fail_msg("no resource %.*s", STR_ARG(head));
    const struct subresource *sub = sub_name.len ? resource_subresource(r, sub_name) : NULL;
    struct doc *obj = read_object(mem, r, sub, yaml, old_yaml.len > 0);
    struct doc *old = old_yaml.len ? read_object(mem, r, NULL, old_yaml, true) : NULL;
    struct err err = ERR(mem);
    struct sb out = SB(mem);
    struct warnings warnings = {0};
    int rc = schema_validate(mem, r, sub, obj, old, &warnings, &err);
    assert_int_equal(rc, err.cause_count ? -1 : 0);
    for (const struct cause *c = err.causes; c; c = c->next) {
        sb_add(&out, c->field);
        sb_addz(&out, ": ");
        for (size_t i = 0; i < c->message.len; i++)
            sb_addz(&out, c->message.ptr[i] == '\n' ? "\\n" : (char[]){c->message.ptr[i], 0});
        sb_addc(&out, '\n');
    }
    for (int i = 0; i < warnings.count; i++)
        sb_addf(&out, "warning: " STR_FMT "\n", STR_ARG(warnings.texts[i]));
    return sb_str(&out);
}

static void run_file(const char *name)
{
    struct arena *mem = arena_new();
    struct str rest = read_file(mem, name), line, head;
    struct sb out = SB(mem);
    int bad = 0, count = 0;
    const char *write = getenv("SAMPAN_TRANSCRIPTS");
    sb_add(&out, until(&rest, "==="));
    while (next_line(&rest, &line)) {
        struct str title = line, old = STR("");
        next_line(&rest, &head);
        struct str yaml = until(&rest, "---");
        next_line(&rest, &line);
        if (str_is(line, "--- old")) {
            old = until(&rest, "---");
            next_line(&rest, &line);
        }
        struct str want = until(&rest, "===");
        struct str got = run_case(mem, head, yaml, old);
        count++;
        sb_addf(&out, STR_FMT "\n" STR_FMT "\n" STR_FMT, STR_ARG(title), STR_ARG(head), STR_ARG(yaml));
        if (old.len)
            sb_addf(&out, "--- old\n" STR_FMT, STR_ARG(old));
        sb_addf(&out, "--- want\n" STR_FMT, STR_ARG(got));
        if (!str_eq(str_trim(want), str_trim(got)) && ++bad)
            print_error("%s: %.*s\n-- want\n%.*s-- got\n%.*s\n", name, STR_ARG(title), STR_ARG(want), STR_ARG(got));
    }
    if (write && !strcmp(write, "write")) {
        FILE *f = fopen(str_fmtz(mem, "%s/%s", dir, name), "wb");
        fwrite(out.ptr, 1, out.len, f);
        fclose(f);
        bad = 0;
    }
    arena_free(mem);
    assert_true(count > 0);
    assert_int_equal(bad, 0);
}

#define TRANSCRIPT(name)                                                                                               \
    static void test_##name(void **state)                                                                              \
    {                                                                                                                  \
        run_file(#name ".txt");                                                                                        \
    }
TRANSCRIPT(meta)
TRANSCRIPT(pod)
TRANSCRIPT(pod_update)
TRANSCRIPT(workload)
TRANSCRIPT(service)
TRANSCRIPT(config)
TRANSCRIPT(job)
TRANSCRIPT(other)
TRANSCRIPT(warnings)
TRANSCRIPT(ratchet)

/* ---- tables */
static struct str messages(struct arena *mem, name_rule *rule, const char *value)
{
    const char *msgs[NAME_MSGS_MAX];
    int n = rule(str_of(value), msgs);
    struct sb out = SB(mem);
    assert_in_range(n, 0, NAME_MSGS_MAX);
    for (int i = 0; i < n; i++)
        sb_addf(&out, "%s%s", i ? "; " : "", msgs[i]);
    return sb_str(&out);
}

static void test_names(void **state)
{
#define LABEL_TEXT                                                                                                     \
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "    \
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "                     \
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
    static const struct {
        name_rule *rule;
        const char *value, *want;
    } cases[] = {
        {name_dns1123_label, "a", ""},
        {name_dns1123_label, "a-1", ""},
        {name_dns1123_label, "", LABEL_TEXT},
        {name_dns1123_label, "A", LABEL_TEXT},
        {name_dns1123_label, "-a", LABEL_TEXT},
        {name_dns1123_label, "a.b", "must not contain dots"},
        {name_dns1123_label, "0123456789012345678901234567890123456789012345678901234567890123",
         "must be no more than 63 characters"},
        {name_dns1123_subdomain, "a.b-c.d", ""},
        {name_dns1035_label, "a", ""},
        {name_dns1035_label, "1a",
         "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
         "character, and end "
         "with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
         "'[a-z]([-a-z0-9]*[a-z0-9])?')"},
        {name_subdomain_underscore, "_sip._tcp.example", ""},
        {name_qualified, "example.com/Key_1", ""},
        {name_qualified, "/a", "prefix part must be non-empty"},
        {name_qualified, "a/b/c",
         "a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
         "alphanumeric "
         "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
         "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. "
         "'example.com/MyName')"},
        {name_qualified_caseless, "Example.COM/Key", ""},
        {name_label_value, "", ""},
        {name_label_value, "a b",
         "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start "
         "and end with an "
         "alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
         "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"},
        {name_path_segment, "..", "may not be '..'"},
        {name_path_segment, "a/b%", "may not contain '/'; may not contain '%'"},
        {name_port, "http", ""},
        {name_port, "-8--",
         "must contain at least one letter (a-z); must not contain consecutive hyphens; must not begin or end with a "
         "hyphen"},
        {name_env_var, "1.my var", ""},
        {name_env_var, "a=b",
         "a valid environment variable name must consist only of printable ASCII characters other than '='"},
        {name_config_key, "..a", "must not start with '..'"},
        {name_http_header, "X-A", ""},
        {name_percent, "50%", ""},
        {name_wildcard_subdomain, "*.a.b", ""},
        {name_condition_reason, "A,b:c_", ""},
    };
    struct arena *mem = arena_new();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct str got = messages(mem, cases[i].rule, cases[i].value);
        if (!str_is(got, cases[i].want))
            fail_msg("%s: %.*s", cases[i].value, STR_ARG(got));
    }
    arena_free(mem);
}

static void test_addresses(void **state)
{
    static const struct {
        bool (*check)(struct rule_ctx *, const struct fpath *, struct str);
        const char *value, *want;
    } cases[] = {
        {check_ip, "10.0.0.1", NULL},
        {check_ip, "fe80::1", NULL},
        {check_ip, "::ffff:1.2.3.4", "must not be an IPv4-mapped IPv6 address"},
        {check_ip, "010.0.0.1", "must not have leading 0s"},
        {check_ip, "256.0.0.1", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"},
        {check_ip, "1.2.3", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"},
        {check_ip, "fe80::1%eth0", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"},
        {check_cidr, "10.0.0.0/8", NULL},
        {check_cidr, "2001:db8::/64", NULL},
        {check_cidr, "10.0.0.1/8", "must not have bits set beyond the prefix length"},
        {check_cidr, "10.0.0.0/08", "must not have leading 0s in IP or prefix length"},
        {check_cidr, "10.0.0.0/33", "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"},
        {check_cidr, "::ffff:1.2.3.0/120", "must not have an IPv4-mapped IPv6 address"},
        {check_not_special_ip, "127.0.0.1", "may not be in the loopback range (127.0.0.0/8, ::1/128)"},
        {check_not_special_ip, "169.254.1.1", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"},
        {check_not_special_ip, "0.0.0.0", "may not be unspecified (0.0.0.0)"},
        {check_not_special_ip, "224.0.0.7", "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"},
    };
    struct arena *mem = arena_new();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err err = ERR(mem);
        struct rule_ctx c = {.mem = mem, .err = &err};
        bool ok = cases[i].check(&c, NULL, str_of(cases[i].value));
        assert_int_equal(ok, !cases[i].want);
        if (!ok && !str_ends(err.causes->message, str_of(cases[i].want)))
            fail_msg("%s: %.*s", cases[i].value, STR_ARG(err.causes->message));
    }
    arena_free(mem);
}

static void test_cron(void **state)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"*/5 * * * *", NULL},
        {"0 0 1 jan sun", NULL},
        {"@daily", NULL},
        {"@every 1h30m", NULL},
        {"1-5,10/2 * * * 0-6", NULL},
        {"* * * *", "expected exactly 5 fields, found 4: [* * * *]"},
        {"60 * * * *", "end of range (60) above maximum (59): 60"},
        {"* * 0 * *", "beginning of range (0) below minimum (1): 0"},
        {"* * * * 7", "end of range (7) above maximum (6): 7"},
        {"5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"},
        {"1-2-3 * * * *", "too many hyphens: 1-2-3"},
        {"*/0 * * * *", "step of range should be a positive number: */0"},
        {"x * * * *", "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax"},
        {"@noon", "unrecognized descriptor: @noon"},
        {"", "empty spec string"},
    };
    struct arena *mem = arena_new();
    struct cron cron;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *got = cron_parse(mem, str_of(cases[i].text), &cron);
        if (!got != !cases[i].want || (got && strcmp(got, cases[i].want)))
            fail_msg("%s: %s", cases[i].text, got ? got : "no error");
    }
    assert_null(cron_parse(mem, STR("30 4 1,15 * 5"), &cron));
    assert_true(cron_matches(&cron, 30, 4, 1, 2, 0)); /* the day */
    assert_true(cron_matches(&cron, 30, 4, 3, 2, 5)); /* or the weekday */
    assert_false(cron_matches(&cron, 30, 4, 3, 2, 4));
    assert_null(cron_parse(mem, STR("0 0 * * 1"), &cron));
    assert_false(cron_matches(&cron, 0, 0, 3, 2, 2));
    arena_free(mem);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),    cmocka_unit_test(test_addresses), cmocka_unit_test(test_cron),
        cmocka_unit_test(test_meta),     cmocka_unit_test(test_pod),       cmocka_unit_test(test_pod_update),
        cmocka_unit_test(test_workload), cmocka_unit_test(test_service),   cmocka_unit_test(test_config),
        cmocka_unit_test(test_job),      cmocka_unit_test(test_other),     cmocka_unit_test(test_warnings),
        cmocka_unit_test(test_ratchet),
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
