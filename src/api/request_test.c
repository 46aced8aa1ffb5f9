/* What paths name. Cases from k8s.io/apiserver pkg/endpoints/request/requestinfo_test.go, and some of our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "api/internal.h"

static const struct row {
    const char *method, *path, *query;
    bool is_resource;
    const char *verb, *group, *version, *ns, *resource, *sub, *name, *rest;
} rows[] = {
    {"GET", "/api/v1/namespaces", "", true, "list", "", "v1", "", "namespaces", "", "", ""},
    {"GET", "/api/v1/namespaces/other", "", true, "get", "", "v1", "other", "namespaces", "", "other", ""},
    {"GET", "/api/v1/namespaces/other/pods", "", true, "list", "", "v1", "other", "pods", "", "", ""},
    {"GET", "/api/v1/namespaces/other/pods/foo", "", true, "get", "", "v1", "other", "pods", "", "foo", ""},
    {"HEAD", "/api/v1/namespaces/other/pods/foo", "", true, "get", "", "v1", "other", "pods", "", "foo", ""},
    {"GET", "/api/v1/pods", "", true, "list", "", "v1", "", "pods", "", "", ""},
    {"GET", "/api/v1/pods/", "", true, "list", "", "v1", "", "pods", "", "", ""},
    {"HEAD", "/api/v1/pods", "", true, "list", "", "v1", "", "pods", "", "", ""},
    {"GET", "/api/v1/watch/pods", "", true, "watch", "", "v1", "", "pods", "", "", ""},
    {"GET", "/api/v1/pods", "watch=true", true, "watch", "", "v1", "", "pods", "", "", ""},
    {"GET", "/api/v1/pods", "watch=false", true, "list", "", "v1", "", "pods", "", "", ""},
    {"GET", "/api/v1/pods", "watch", true, "watch", "", "v1", "", "pods", "", "", ""},
    {"GET", "/api/v1/pods", "watch=0", true, "list", "", "v1", "", "pods", "", "", ""},
    {"GET", "/api/v1/watch/namespaces/other/pods", "", true, "watch", "", "v1", "other", "pods", "", "", ""},
    {"GET", "/api/v1/namespaces/other/pods/foo/status", "", true, "get", "", "v1", "other", "pods", "status", "foo",
     ""},
    {"PUT", "/api/v1/namespaces/other/finalize", "", true, "update", "", "v1", "other", "namespaces", "finalize",
     "other", ""},
    {"PUT", "/api/v1/namespaces/other/status", "", true, "update", "", "v1", "other", "namespaces", "status", "other",
     ""},
    {"DELETE", "/api/v1/namespaces/other/pods/foo", "", true, "delete", "", "v1", "other", "pods", "", "foo", ""},
    {"DELETE", "/api/v1/namespaces/other/pods", "", true, "deletecollection", "", "v1", "other", "pods", "", "", ""},
    {"POST", "/apis/apps/v1/namespaces/other/deployments", "", true, "create", "apps", "v1", "other", "deployments", "",
     "", ""},
    {"PATCH", "/apis/apps/v1/namespaces/o/deployments/d/scale", "", true, "patch", "apps", "v1", "o", "deployments",
     "scale", "d", ""},
    {"GET", "/api/v1/pods", "fieldSelector=metadata.name%3Dfoo", true, "list", "", "v1", "", "pods", "", "foo", ""},
    {"GET", "/api/v1/pods", "fieldSelector=metadata.name%3D..", true, "list", "", "v1", "", "pods", "", "", ""},
    {"GET", "/api/v1/pods", "watch=1&fieldSelector=metadata.name=foo", true, "watch", "", "v1", "", "pods", "", "foo",
     ""},
    {"GET", "/api/v1/namespaces/n/services/s:80/proxy/a/b/c/", "", true, "get", "", "v1", "n", "services", "proxy",
     "s:80", "/a/b/c/"},
    {"POST", "/api/v1/namespaces/n/pods/p/proxy", "", true, "create", "", "v1", "n", "pods", "proxy", "p", ""},
    {"GET", "/api/v1/nodes/n1/proxy/a/../b", "", true, "get", "", "v1", "", "nodes", "proxy", "n1", "/a/../b"},
    {"BREW", "/api/v1/pods/x", "", true, "", "", "v1", "", "pods", "", "x", ""},
    /* no resources */
    {"GET", "/", "", false, "get", "", "", "", "", "", "", ""},
    {"GET", "/api", "", false, "get", "", "", "", "", "", "", ""},
    {"GET", "/api/v1", "", false, "get", "", "", "", "", "", "", ""},
    {"GET", "/apis/apps/v1", "", false, "get", "", "", "", "", "", "", ""},
    {"POST", "/apis/apps", "", false, "post", "", "", "", "", "", "", ""},
    {"GET", "/livez/ping", "", false, "get", "", "", "", "", "", "", ""},
    {"GET", "//", "", false, "get", "", "", "", "", "", "", ""},
    {"GET", "", "", false, "get", "", "", "", "", "", "", ""},
};

static void check(const struct row *t, const char *what, struct str have, const char *want)
{
    if (!str_is(have, want))
        fail_msg("%s %s?%s: %s is \"%.*s\", not \"%s\"", t->method, t->path, t->query, what, STR_ARG(have), want);
}

static void test_paths(void **state)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cleanup_arena struct arena *mem = arena_new();
        const struct row *t = &rows[i];
        struct query q;
        struct request_info info;
        struct err err = ERR(mem);
        query_parse(mem, str_of(t->query), &q);
        assert_int_equal(request_parse(mem, str_of(t->method), str_of(t->path), &q, &info, &err), 0);
        check(t, "is_resource", info.is_resource ? STR("yes") : STR("no"), t->is_resource ? "yes" : "no");
        check(t, "verb", str_of(info.verb), t->verb);
        check(t, "group", info.group, t->group);
        check(t, "version", info.version, t->version);
        check(t, "namespace", info.ns, t->ns);
        check(t, "resource", info.resource, t->resource);
        check(t, "subresource", info.sub, t->sub);
        check(t, "name", info.name, t->name);
        check(t, "rest", info.rest, t->rest);
    }
}

static void test_paths_that_cannot_be_read(void **state)
{
    static const char *const bad[] = {"/api/v1/%zz", "/api/v1/pods/%", "/api/v1/pods/%4", "/api/v1/watch"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cleanup_arena struct arena *mem = arena_new();
        struct query q = {0};
        struct request_info info;
        struct err err = ERR(mem);
        assert_int_equal(request_parse(mem, STR("GET"), str_of(bad[i]), &q, &info, &err), -1);
        assert_int_equal(err.reason, ERR_BAD_REQUEST);
    }
}

static void test_query(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct query q;
    struct err err = ERR(mem);
    int64_t n = 7;
    query_parse(mem, STR("a=1&b=x+y%2Cz&c&a=2&bad=%zz&n=99999999999999999999&m=-3&e="), &q);
    assert_true(str_is(query_get(&q, "a"), "1"));
    assert_true(str_is(query_get(&q, "b"), "x y,z"));
    assert_true(query_has(&q, "c") && query_bool(&q, "c"));
    assert_false(query_has(&q, "bad"));
    assert_int_equal(query_int(&q, "missing", &n, &err), 0);
    assert_int_equal(query_int(&q, "e", &n, &err), 0);
    assert_int_equal(n, 7);
    assert_int_equal(query_int(&q, "m", &n, &err), 1);
    assert_int_equal(n, -3);
    assert_int_equal(query_int(&q, "n", &n, &err), -1);
    assert_true(str_is(err.message, "strconv.ParseInt: parsing \"99999999999999999999\": value out of range"));
    assert_int_equal(query_int(&q, "b", &n, &err), -1);
    assert_true(str_is(err.message, "strconv.ParseInt: parsing \"x y,z\": invalid syntax"));
}

static void test_query_has_a_limit(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct sb b = SB(mem);
    struct query q;
    for (int i = 0; i < API_PARAMS_MAX * 2; i++)
        sb_addf(&b, "k%d=v&", i);
    query_parse(mem, sb_str(&b), &q);
    assert_int_equal(q.count, API_PARAMS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_paths_that_cannot_be_read),
        cmocka_unit_test(test_query),
        cmocka_unit_test(test_query_has_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
