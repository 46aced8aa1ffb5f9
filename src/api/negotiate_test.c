/* Accept and Content-Type. Cases from k8s.io/apiserver pkg/endpoints/handlers/negotiation/negotiate_test.go and from
 * what kubectl and client-go send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "api/internal.h"

static const struct row {
    const char *accept;
    bool watch, ok;
    struct media want;
} rows[] = {
    {"", false, true, {.form = MEDIA_JSON}},
    {"*/*", false, true, {.form = MEDIA_JSON}},
    {"application/*", false, true, {.form = MEDIA_JSON}},
    {"application/json", false, true, {.form = MEDIA_JSON}},
    {"application/yaml", false, true, {.form = MEDIA_YAML}},
    {"application/yaml;q=0.5, application/json;q=0.9", false, true, {.form = MEDIA_JSON}},
    {"text/html,application/xhtml+xml,*/*;q=0.8", false, true, {.form = MEDIA_JSON}},
    {"application/vnd.kubernetes.protobuf", false, true, {.form = MEDIA_PB}},
    {"application/vnd.kubernetes.protobuf,application/json", false, true, {.form = MEDIA_PB}},
    {"application/json;pretty=1", false, true, {.form = MEDIA_JSON, .pretty = true}},
    {"application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
     false,
     true,
     {.form = MEDIA_JSON, .as = AS_TABLE}},
    {"application/json;as=Table;v=v1beta1;g=meta.k8s.io, application/json",
     false,
     true,
     {.form = MEDIA_JSON, .as = AS_TABLE, .beta = true}},
    {"application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
     false,
     true,
     {.form = MEDIA_PB, .as = AS_PARTIAL_LIST}},
    {"application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
     false,
     true,
     {.form = MEDIA_JSON, .as = AS_PARTIAL}},
    {"application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1, application/json",
     false,
     true,
     {.form = MEDIA_JSON}},
    {"application/json;as=Other;g=meta.k8s.io;v=v1", false, false, {0}},
    {"application/json;as=Table;g=other;v=v1", false, false, {0}},
    {"application/json;as=Table;g=meta.k8s.io;v=v2", false, false, {0}},
    {"text/html", false, false, {0}},
    {"application/cbor", false, false, {0}},
    {"application/json;stream=watch", true, true, {.form = MEDIA_JSON, .stream = true}},
    {"application/vnd.kubernetes.protobuf;stream=watch", true, true, {.form = MEDIA_PB, .stream = true}},
    {"application/json;stream=other", true, false, {0}},
    {"application/yaml", true, false, {0}},
    {"application/yaml, application/json;q=0.1", true, true, {.form = MEDIA_JSON, .stream = true}},
    {",,;;,", false, false, {0}},
};

static void test_accept(void **state)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cleanup_arena struct arena *mem = arena_new();
        struct err err = ERR(mem);
        struct media m;
        int r = negotiate(str_of(rows[i].accept), rows[i].watch, &m, &err);
        if ((r == 0) != rows[i].ok)
            fail_msg("\"%s\" was %s", rows[i].accept, r ? "refused" : "accepted");
        if (!rows[i].ok) {
            assert_int_equal(err.reason, ERR_NOT_ACCEPTABLE);
            continue;
        }
        if (m.form != rows[i].want.form || m.as != rows[i].want.as || m.beta != rows[i].want.beta ||
            m.pretty != rows[i].want.pretty || m.stream != rows[i].want.stream)
            fail_msg("\"%s\": form %d as %d beta %d pretty %d stream %d", rows[i].accept, m.form, m.as, m.beta,
                     m.pretty, m.stream);
    }
}

static void test_refusal_names_what_there_is(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct err err = ERR(mem);
    struct media m;
    assert_int_equal(negotiate(STR("text/html"), false, &m, &err), -1);
    assert_true(str_is(err.message, "only the following media types are accepted: application/json, application/yaml, "
                                    "application/vnd.kubernetes.protobuf"));
}

static void test_content_type(void **state)
{
    static const struct {
        const char *type;
        int form; /* -1: refused */
    } types[] = {
        {"", MEDIA_JSON},
        {"application/json", MEDIA_JSON},
        {"application/json; charset=utf-8", MEDIA_JSON},
        {"Application/JSON", MEDIA_JSON},
        {"application/yaml", MEDIA_YAML},
        {"application/vnd.kubernetes.protobuf", MEDIA_PB},
        {"text/plain", -1},
        {"application/x-www-form-urlencoded", -1},
    };
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        cleanup_arena struct arena *mem = arena_new();
        struct err err = ERR(mem);
        enum media_form form;
        int r = negotiate_body(str_of(types[i].type), &form, &err);
        assert_int_equal(r, types[i].form < 0 ? -1 : 0);
        if (r == 0)
            assert_int_equal(form, types[i].form);
        else
            assert_int_equal(err.reason, ERR_UNSUPPORTED_MEDIA_TYPE);
    }
}

static void test_discovery(void **state)
{
    struct media m;
    struct str kubectl = STR("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;"
                             "g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json");
    assert_int_equal(negotiate_discovery(kubectl, &m), 0);
    assert_true(m.as == AS_DISCOVERY && !m.beta);
    assert_int_equal(
        negotiate_discovery(STR("application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"), &m), 0);
    assert_true(m.as == AS_DISCOVERY && m.beta);
    assert_int_equal(negotiate_discovery(STR("application/json"), &m), 0);
    assert_int_equal(m.as, AS_IS);
    assert_int_equal(
        negotiate_discovery(STR("application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList"), &m), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accept),
        cmocka_unit_test(test_refusal_names_what_there_is),
        cmocka_unit_test(test_content_type),
        cmocka_unit_test(test_discovery),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
