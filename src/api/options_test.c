/* Options of requests and continue tokens: what is accepted, and the words of what is not.
 * Texts from apimachinery pkg/apis/meta/v1/validation and pkg/apis/meta/internalversion/validation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "api/internal.h"

struct fixture {
    struct arena *mem;
    struct exchange x;
    struct api_req r;
};

static void setup(struct fixture *f, const char *query)
{
    *f = (struct fixture){.mem = arena_new()};
    f->x.mem = f->mem;
    f->r.mem = f->mem, f->r.x = &f->x;
    f->r.err = ERR(f->mem);
    query_parse(f->mem, str_of(query), &f->r.query);
}

static void expect(struct fixture *f, const char *query, int result, const char *message)
{
    if ((result < 0) != (message != NULL))
        fail_msg("%s: %s: %.*s", query, result < 0 ? "refused" : "accepted", STR_ARG(f->r.err.message));
    if (message && !str_is(f->r.err.message, message))
        fail_msg("%s: \"%.*s\"", query, STR_ARG(f->r.err.message));
    arena_free(f->mem);
}

static void test_list_options(void **state)
{
    static const struct {
        const char *query, *message; /* NULL: fine */
    } rows[] = {
        {"", NULL},
        {"limit=500&resourceVersion=0", NULL},
        {"resourceVersion=5&resourceVersionMatch=Exact", NULL},
        {"labelSelector=a%3Db,c&fieldSelector=metadata.name%3Dx", NULL},
        {"limit=a", "strconv.ParseInt: parsing \"a\": invalid syntax"},
        {"timeoutSeconds=1s", "strconv.ParseInt: parsing \"1s\": invalid syntax"},
        {"resourceVersionMatch=Exact", "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: "
                                       "resourceVersionMatch is forbidden unless "
                                       "resourceVersion is provided"},
        {"resourceVersionMatch=Exact&resourceVersion=0",
         "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch \"exact\" is "
         "forbidden for resourceVersion \"0\""},
        {"resourceVersionMatch=NotOlderThan&resourceVersion=1&continue=x",
         "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden "
         "when "
         "continue is provided"},
        {"sendInitialEvents=false", "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: "
                                    "sendInitialEvents is forbidden for list"},
        {"watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan", NULL},
        {"watch=1&sendInitialEvents=true",
         "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires setting "
         "resourceVersionMatch to NotOlderThan"},
        {"watch=1&resourceVersionMatch=NotOlderThan", "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: "
                                                      "Forbidden: resourceVersionMatch is forbidden for "
                                                      "watch unless sendInitialEvents is provided"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fixture f;
        struct list_opts o;
        setup(&f, rows[i].query);
        expect(&f, rows[i].query, list_options(&f.r, &o), rows[i].message);
    }
}

static void test_write_options(void **state)
{
    static const struct {
        const char *kind, *query, *message;
    } rows[] = {
        {"CreateOptions", "", NULL},
        {"CreateOptions", "dryRun=All&fieldValidation=Strict&fieldManager=me", NULL},
        {"CreateOptions", "dryRun=Some",
         "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"Some\"]: supported values: \"All\""},
        {"UpdateOptions", "fieldValidation=Maybe",
         "UpdateOptions.meta.k8s.io \"\" is invalid: fieldValidation: Unsupported value: \"Maybe\": supported values: "
         "\"\", "
         "\"Ignore\", \"Strict\", \"Warn\""},
        {"PatchOptions", "force=true",
         "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fixture f;
        struct write_opts o;
        setup(&f, rows[i].query);
        expect(&f, rows[i].query, write_options(&f.r, rows[i].kind, &o), rows[i].message);
    }
}

static void test_manager_comes_from_the_agent(void **state)
{
    struct fixture f;
    struct write_opts o;
    struct http_header header = {STR("user-agent"), STR("kubectl/v1.33.0 (linux/amd64) kubernetes/abc")};
    setup(&f, "");
    f.x.headers = &header, f.x.header_count = 1;
    assert_int_equal(write_options(&f.r, "CreateOptions", &o), 0);
    assert_true(str_is(o.field_manager, "kubectl"));
    assert_int_equal(o.validation, FIELDS_WARN);
    arena_free(f.mem);
}

static void test_delete_options(void **state)
{
    static const struct {
        const char *query, *body, *message;
        int64_t grace_s;
        int propagation;
    } rows[] = {
        {"", "", NULL, -1, PROPAGATE_DEFAULT},
        {"gracePeriodSeconds=0&propagationPolicy=Foreground", "", NULL, 0, PROPAGATE_FOREGROUND},
        {"orphanDependents=true", "", NULL, -1, PROPAGATE_ORPHAN},
        {"", "{\"propagationPolicy\":\"Background\",\"gracePeriodSeconds\":5}", NULL, 5, PROPAGATE_BACKGROUND},
        {"gracePeriodSeconds=9", "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"apps/v1\"}", NULL, -1,
         PROPAGATE_DEFAULT},
        {"propagationPolicy=Maybe", "",
         "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \"Maybe\": supported "
         "values: "
         "\"Foreground\", \"Background\", \"Orphan\", \"nil\"",
         0, 0},
        {"", "{\"propagationPolicy\":\"Orphan\",\"orphanDependents\":true}",
         "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Invalid value: \"Orphan\": orphanDependents "
         "and "
         "deletionPropagation cannot be both set",
         0, 0},
        {"", "{\"dryRun\":[\"None\"]}",
         "DeleteOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"None\"]: supported values: \"All\"",
         0, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fixture f;
        struct delete_opts o;
        setup(&f, rows[i].query);
        f.x.body = str_of(rows[i].body);
        int r = delete_options(&f.r, &o);
        if (r == 0) {
            assert_int_equal(o.grace_s, rows[i].grace_s);
            assert_int_equal(o.propagation, rows[i].propagation);
        }
        expect(&f, rows[i].query, r, rows[i].message);
    }
}

/* ---- continue tokens */

static void test_continue_round_trip(void **state)
{
    static const char *const keys[][2] = {
        {"pods/", "pods/default/web-1"},
        {"pods/default/", "pods/default/web-1"},
        {"namespaces//", "namespaces//kube-system"},
        {"rbac.authorization.k8s.io/clusterroles//", "rbac.authorization.k8s.io/clusterroles//system:node"},
    };
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        cleanup_arena struct arena *mem = arena_new();
        struct err err = ERR(mem);
        struct str after;
        int64_t rev;
        struct str token = continue_encode(mem, 77, str_of(keys[i][0]), str_of(keys[i][1]));
        assert_int_equal(continue_decode(mem, token, str_of(keys[i][0]), &rev, &after, &err), 0);
        assert_int_equal(rev, 77);
        assert_true(str_is(after, keys[i][1]));
    }
}

static void test_continue_reads_as_kubernetes(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str json;
    struct str token = continue_encode(mem, 7, STR("pods/"), STR("pods/ns/a"));
    assert_true(str_base64url_dec(mem, token, &json));
    assert_true(str_is(json, "{\"v\":\"meta.k8s.io/v1\",\"rv\":7,\"start\":\"ns/a\\u0000\"}"));
}

static void test_continue_refuses(void **state)
{
    static const char *const bad[] = {
        "{\"v\":\"meta.k8s.io/v2\",\"rv\":1,\"start\":\"a\"}",
        "{\"v\":\"meta.k8s.io/v1\",\"rv\":0,\"start\":\"a\"}",
        "{\"v\":\"meta.k8s.io/v1\",\"rv\":-2,\"start\":\"a\"}",
        "{\"v\":\"meta.k8s.io/v1\",\"rv\":1,\"start\":\"\"}",
        "{\"v\":\"meta.k8s.io/v1\",\"rv\":1}",
        "{\"v\":\"meta.k8s.io/v1\",\"rv\":1,\"start\":\"../secrets/a\"}",
        "{\"v\":\"meta.k8s.io/v1\",\"rv\":1,\"start\":\"a//b\"}",
        "{\"v\":\"meta.k8s.io/v1\",\"rv\":1,\"start\":\"/\"}",
        "{\"v\":\"meta.k8s.io/v1\",\"rv\":1,\"start\":\"\\u0000\"}",
        "[]",
        "{",
        "",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cleanup_arena struct arena *mem = arena_new();
        struct err err = ERR(mem);
        struct str after;
        int64_t rev;
        assert_int_equal(continue_decode(mem, str_base64url(mem, str_of(bad[i])), STR("pods/"), &rev, &after, &err),
                         -1);
        assert_int_equal(err.reason, ERR_BAD_REQUEST);
        assert_true(str_starts(err.message, STR("invalid continue token: continue key is not valid")));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list_options),
        cmocka_unit_test(test_write_options),
        cmocka_unit_test(test_manager_comes_from_the_agent),
        cmocka_unit_test(test_delete_options),
        cmocka_unit_test(test_continue_round_trip),
        cmocka_unit_test(test_continue_reads_as_kubernetes),
        cmocka_unit_test(test_continue_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
