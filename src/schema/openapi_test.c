/* schema/openapi_test.c - the documents are whole: valid JSON, every $ref resolves, kinds and verbs that clients look
 * for are there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "doc/wire.h"
#include "schema/openapi.h"
#include "schema/schema.h"

static void check_refs(const struct doc *d, const struct doc *definitions, struct str prefix, int *count)
{
    struct str ref = doc_str(d, "$ref");
    if (ref.len) {
        assert_true(str_starts(ref, prefix));
        assert_non_null(doc_get_str(definitions, str_from(ref, prefix.len)));
        ++*count;
    }
    doc_each (m, d)
        check_refs(m, definitions, prefix, count);
}

static void test_v2_is_whole(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct sb out = SB(mem);
    struct err err = ERR(mem);
    int refs = 0;
    openapi_v2_json(&out);
    const struct doc *d = doc_parse(mem, sb_str(&out), NULL, &err);
    assert_non_null(d);
    check_refs(d, doc_get(d, "definitions"), STR("#/definitions/"), &refs);
    assert_true(refs > 500);
    const struct doc *pod = doc_path(d, "definitions", "io.k8s.api.core.v1.Pod", NULL);
    assert_true(str_is(doc_str(doc_first(doc_get(pod, "x-kubernetes-group-version-kind")), "kind"), "Pod"));
    const struct doc *patch =
        doc_path(d, "paths", "/apis/apps/v1/namespaces/{namespace}/deployments/{name}", "patch", NULL);
    assert_true(str_is(doc_str(patch, "operationId"), "patchAppsV1NamespacedDeployment"));
}

static void test_v3_of_each_group_version(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct sb index = SB(mem);
    struct err err = ERR(mem);
    openapi_v3_index(&index);
    const struct doc *d = doc_parse(mem, sb_str(&index), NULL, &err);
    assert_true(doc_len(doc_get(d, "paths")) > 10);
    doc_each (p, doc_get(d, "paths")) {
        struct sb out = SB(mem);
        int refs = 0;
        assert_true(openapi_v3(&out, p->key));
        const struct doc *v3 = doc_parse(mem, sb_str(&out), NULL, &err);
        assert_non_null(v3);
        check_refs(v3, doc_path(v3, "components", "schemas", NULL), STR("#/components/schemas/"), &refs);
        assert_true(refs > 0);
    }
    struct sb none = SB(mem);
    assert_false(openapi_v3(&none, STR("apis/nothing/v1")));
}

static void test_protobuf_holds_definitions(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct sb out = SB(mem);
    openapi_v2_pb(&out);
    assert_true(out.len > 100000);
    assert_true(str_has(sb_str(&out), STR("io.k8s.api.core.v1.PodSpec")));
    assert_int_equal((unsigned char)out.ptr[0], 0x0a); /* swagger */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_v2_is_whole),
                                       cmocka_unit_test(test_v3_of_each_group_version),
                                       cmocka_unit_test(test_protobuf_holds_definitions)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
