#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "schema/labels.h"

/* Source: apimachinery pkg/labels: Parse, then String. */
static void test_parse(void **state)
{
    static const struct {
        const char *text, *want; /* want: printed again, or "!" and the error */
    } cases[] = {
        {"", ""},
        {"a=b", "a=b"},
        {"a==b", "a==b"},
        {"a!=b", "a!=b"},
        {"x,!y", "x,!y"},
        {" a = b , c ", "a=b,c"},
        {"z=1,a=2", "a=2,z=1"},
        {"e in (g,f,g)", "e in (f,g)"},
        {"e notin ()", "e notin ()"},
        {"e in (,)", "e in ()"},
        {"e in (a,,b)", "e in (,a,b)"},
        {"in in (in,notin)", "in in (in,notin)"},
        {"a>1,b<2", "a>1,b<2"},
        {"a=", "a="},
        {"a=,b", "a=,b"},
        {"a", "a"},
        {"example.com/a in (x)", "example.com/a in (x)"},
        {"a=b,", "!found '', expected: identifier after ','"},
        {",a", "!found ',', expected: !, identifier, or 'end of string'"},
        {"a=b=c", "!found '=', expected: ',' or 'end of string'"},
        {"a b", "!unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"},
        {"a in b", "!unable to parse requirement: found 'b' expected: '('"},
        {"a in (b", "!unable to parse requirement: found '', expected: ',' or ')'"},
        {"a=(b)", "!unable to parse requirement: found '(', expected: identifier"},
        {"!", "!unable to parse requirement: found '', expected: identifier"},
        {"a>x", "!unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value "
                "must be an integer"},
        {"a=b$",
         "!unable to parse requirement: values[0][a]: Invalid value: \"b$\": a valid label must be an empty string or "
         "consist of "
         "alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. "
         "'MyValue',  or "
         "'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"},
        {"/a", "!unable to parse requirement: <nil>: Invalid value: \"/a\": prefix part must be non-empty"},
    };
    struct arena *mem = arena_new();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err err = ERR(mem);
        struct selector *s = selector_parse(mem, str_of(cases[i].text), &err);
        struct str got = s ? selector_str(mem, s) : str_fmt(mem, "!" STR_FMT, STR_ARG(err.message));
        if (!str_is(got, cases[i].want))
            fail_msg("%s: %.*s", cases[i].text, STR_ARG(got));
        if (!s)
            assert_int_equal(err.reason, ERR_BAD_REQUEST);
    }
    arena_free(mem);
}

static void test_matches(void **state)
{
    static const struct {
        const char *text;
        bool want;
    } cases[] = {
        {"", true},
        {"a=1", true},
        {"a=2", false},
        {"a!=2", true},
        {"c!=1", true},
        {"c=1", false},
        {"a", true},
        {"!a", false},
        {"!c", true},
        {"a in (1,2)", true},
        {"a in (2)", false},
        {"a notin (1)", false},
        {"c notin (1)", true},
        {"c in (1)", false},
        {"n>5", true},
        {"n<5", false},
        {"c>1", false},
        {"b>1", false},
        {"a=1,b=x", true},
        {"a=1,b=y", false},
    };
    struct arena *mem = arena_new();
    struct doc *labels = doc_parse(mem, STR("{\"a\":\"1\",\"b\":\"x\",\"n\":\"10\"}"), NULL, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (selector_matches(selector_parse(mem, str_of(cases[i].text), NULL), labels) != cases[i].want)
            fail_msg("%s", cases[i].text);
    arena_free(mem);
}

static void test_from_doc(void **state)
{
    static const struct {
        const char *json, *want;
    } cases[] = {
        {"{}", ""},
        {"{\"matchLabels\":{\"b\":\"1\",\"a\":\"2\"}}", "a=2,b=1"},
        {"{\"matchExpressions\":[{\"key\":\"k\",\"operator\":\"In\",\"values\":[\"b\",\"a\"]},{\"key\":\"e\","
         "\"operator\":\"Exists\"}]}",
         "e,k in (a,b)"},
        {"{\"matchExpressions\":[{\"key\":\"k\",\"operator\":\"Near\"}]}",
         "!\"Near\" is not a valid label selector operator"},
        {"{\"matchExpressions\":[{\"key\":\"k\",\"operator\":\"In\"}]}",
         "!values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty"},
    };
    struct arena *mem = arena_new();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err err = ERR(mem);
        struct selector *s = selector_from_doc(mem, doc_parse(mem, str_of(cases[i].json), NULL, NULL), &err);
        struct str got = s ? selector_str(mem, s) : str_fmt(mem, "!" STR_FMT, STR_ARG(err.message));
        if (!str_is(got, cases[i].want))
            fail_msg("%s: %.*s", cases[i].json, STR_ARG(got));
    }
    assert_false(selector_matches(selector_from_doc(mem, NULL, NULL), NULL));
    assert_true(selector_matches(selector_from_map(mem, NULL), NULL));
    arena_free(mem);
}

static struct str get_field(void *data, struct str key, bool *found)
{
    *found = str_is(key, "metadata.name");
    return *found ? STR("a,b") : STR("");
}

static void test_fields(void **state)
{
    static const struct {
        const char *text, *want;
        bool matches;
    } cases[] = {
        {"metadata.name=a\\,b", "metadata.name=a\\,b", true},
        {"metadata.name!=x,spec.nodeName=", "metadata.name!=x,spec.nodeName=", true},
        {"metadata.name==x", "metadata.name=x", false},
        {"", "", true},
        {",,", "", true},
        {"a", "!invalid selector: 'a'; can't understand 'a'", false},
        {"a=b=c", "!invalid field selector: unescaped character in value: 61", false},
        {"a=b\\q", "!invalid field selector: invalid escape sequence: \\q", false},
        {"a=b\\", "!invalid field selector: invalid escape sequence: \\", false},
    };
    struct arena *mem = arena_new();
    struct str value;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err err = ERR(mem);
        struct selector *s = field_selector_parse(mem, str_of(cases[i].text), &err);
        struct str got = s ? selector_str(mem, s) : str_fmt(mem, "!" STR_FMT, STR_ARG(err.message));
        if (!str_is(got, cases[i].want) || (s && selector_matches_get(s, get_field, NULL) != cases[i].matches))
            fail_msg("%s: %.*s", cases[i].text, STR_ARG(got));
    }
    assert_true(selector_exact(field_selector_parse(mem, STR("spec.nodeName=n1"), NULL), STR("spec.nodeName"), &value));
    assert_true(str_is(value, "n1"));
    assert_false(
        selector_exact(field_selector_parse(mem, STR("spec.nodeName!=n1"), NULL), STR("spec.nodeName"), &value));
    arena_free(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_parse), cmocka_unit_test(test_matches),
                                       cmocka_unit_test(test_from_doc), cmocka_unit_test(test_fields)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
