/* Objects, rows and errors as clients see them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "api/frame.h"

static const char config_map[] =
    "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"a\",\"namespace\":\"ns\",\"uid\":\"u-1\","
    "\"creationTimestamp\":\"1970-01-01T00:00:00Z\",\"labels\":{\"x\":\"}{\\\"\"}},\"data\":{\"k\":\"v\"}}";

static struct obj *make(struct arena *mem, const char *group, const char *resource, const char *json, uint64_t rev)
{
    struct err err = ERR(mem);
    struct doc *d = doc_parse(mem, str_of(json), NULL, &err);
    struct obj *o = obj_seal(schema_resource(str_of(group), STR("v1"), str_of(resource)), d, rev, &err);
    assert_non_null(o);
    return o;
}

static struct str without_space(struct arena *mem, struct str s)
{
    struct sb b = SB(mem);
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] != ' ')
            sb_addc(&b, s.ptr[i]);
    return sb_str(&b);
}

static void expect(struct arena *mem, const struct sb *b, const char *want)
{
    struct str have = without_space(mem, sb_str(b));
    if (!str_is(have, want))
        fail_msg("%.*s", STR_ARG(have));
}

#define META                                                                                                           \
    "{\"name\":\"a\",\"namespace\":\"ns\",\"uid\":\"u-1\",\"resourceVersion\":\"7\",\"creationTimestamp\":"            \
    "\"1970-01-01T00:00:00Z\",\"labels\":{\"x\":\"}{\\\"\"}}"

static void test_forms(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    cleanup_obj struct obj *o = make(mem, "", "configmaps", config_map, 7);
    struct view v = {.res = o->res};
    struct sb raw = SB(mem), item = SB(mem), partial = SB(mem), row = SB(mem), bare = SB(mem);
    assert_true(view_is_raw(&v));
    view_put(mem, &v, o, 0, &raw);
    assert_true(str_eq(sb_str(&raw), o->json));
    view_put_item(mem, &v, o, 0, &item);
    expect(mem, &item, "{\"metadata\":" META ",\"data\":{\"k\":\"v\"}}");
    v.m.as = AS_PARTIAL;
    view_put(mem, &v, o, 0, &partial);
    expect(mem, &partial,
           "{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":" META "}");
    if (o->res->columns)
        return; /* cells are the schema's business */
    v.m.as = AS_TABLE, v.include = "Metadata";
    view_put(mem, &v, o, 90000, &row);
    expect(mem, &row,
           "{\"cells\":[\"a\",\"<unknown>\"],\"object\":{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s."
           "io/v1\","
           "\"metadata\":" META "}}");
    v.include = "None";
    view_put(mem, &v, o, 90000, &bare);
    expect(mem, &bare, "{\"cells\":[\"a\",\"<unknown>\"],\"object\":null}");
}

static void test_another_version(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    const struct resource *other = schema_resource(STR("events.k8s.io"), STR("v1"), STR("events"));
    if (!other || !other->stored_as)
        return;
    cleanup_obj struct obj *o =
        make(mem, "", "events",
             "{\"kind\":\"Event\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"e\",\"namespace\":\"ns\"}}", 3);
    struct view v = {.res = other};
    struct sb b = SB(mem);
    assert_false(view_is_raw(&v));
    view_put(mem, &v, o, 0, &b);
    assert_true(str_starts(sb_str(&b), STR("{\"kind\":\"Event\",\"apiVersion\":\"events.k8s.io/v1\",")));
}

static void test_frames(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    cleanup_obj struct obj *o = make(mem, "", "configmaps", config_map, 7);
    struct view v = {.res = o->res};
    struct cache_frame *f = frame_obj(mem, &v, false, "ADDED", o, 0);
    assert_true(str_starts(f->bytes, STR("{\"type\":\"ADDED\",\"object\":{\"kind\":\"ConfigMap\"")));
    assert_true(str_ends(f->bytes, STR("}}}\n")));
    cache_frame_unref(f);
    v.m.form = MEDIA_PB;
    f = frame_obj(mem, &v, false, "ADDED", o, 0);
    const unsigned char *p = (const unsigned char *)f->bytes.ptr;
    assert_int_equal(p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3], f->bytes.len - 4);
    assert_true(str_has(f->bytes, str_mem("k8s\0", 4)));
    cache_frame_unref(f);
}

static void test_frames_are_shared(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    cleanup_obj struct obj *o = make(mem, "", "configmaps", config_map, 7);
    static const char *const added = "ADDED";
    struct frame_slots slots = {0};
    struct view v = {.res = o->res, .m.form = MEDIA_PB}, other = {.res = o->res, .m.as = AS_PARTIAL};
    struct cache_frame *a = frame_shared(&slots, mem, &v, added, o, 0), *b = frame_shared(&slots, mem, &v, added, o, 0);
    struct cache_frame *c = frame_shared(&slots, mem, &other, added, o, 0);
    assert_ptr_equal(a, b);
    assert_ptr_not_equal(a, c);
    cache_frame_unref(a), cache_frame_unref(b), cache_frame_unref(c);
    frame_slots_drop(&slots);
}

/* ---- Status */

static void test_status(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct err err = ERR(mem);
    err_not_found(&err, STR("apps"), STR("deployments"), STR("x"));
    struct str have = doc_json(mem, status_doc(mem, &err, NULL, STR_NULL, STR_NULL));
    assert_true(str_is(have,
                       "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\"message\":"
                       "\"deployments.apps \\\"x\\\" not found\",\"reason\":\"NotFound\",\"details\":{\"name\":\"x\","
                       "\"group\":\"apps\",\"kind\":\"deployments\"},\"code\":404}"));
    struct err late = ERR(mem);
    err_set(&late, ERR_EXPIRED, "too old");
    late.retry_after_s = 2;
    have = doc_json(mem, status_doc(mem, &late, "Odd", STR("why"), STR("TOKEN")));
    assert_true(
        str_is(have, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{\"continue\":\"TOKEN\"},\"status\":"
                     "\"Failure\",\"message\":\"too old\",\"reason\":\"Expired\",\"details\":{\"causes\":[{\"reason\":"
                     "\"Odd\",\"message\":\"why\"}],\"retryAfterSeconds\":2},\"code\":410}"));
}

static void test_warnings(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    assert_true(str_is(warning_header(mem, STR("unknown field \"spec.a\"")), "299 - \"unknown field \\\"spec.a\\\"\""));
    assert_true(str_is(warning_header(mem, STR("a\r\nSet-Cookie: x")), "299 - \"a  Set-Cookie: x\""));
}

/* ---- Scale */

static void test_scale(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct err err = ERR(mem);
    struct doc *d =
        doc_parse(mem,
                  STR("{\"metadata\":{\"name\":\"web\",\"namespace\":\"ns\",\"labels\":{\"a\":\"b\"}},\"spec\":{"
                      "\"replicas\":3,\"selector\":{\"matchLabels\":{\"app\":\"web\"}}},\"status\":{\"replicas\":2}}"),
                  NULL, &err);
    struct str have = doc_json(mem, scale_of(mem, schema_resource(STR("apps"), STR("v1"), STR("deployments")), d));
    assert_true(str_is(have, "{\"kind\":\"Scale\",\"apiVersion\":\"autoscaling/v1\",\"metadata\":{\"name\":\"web\","
                             "\"namespace\":\"ns\"},\"spec\":{\"replicas\":3},\"status\":{\"replicas\":2,\"selector\":"
                             "\"app=web\"}}"));
}

/* ---- bodies */

static void test_bodies(void **state)
{
    static const struct {
        const char *body, *message; /* NULL: fine; a trailing * matches any end */
    } rows[] = {
        {"{\"metadata\":{\"name\":\"a\"}}", NULL},
        {"{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\"}", NULL},
        {"{\"kind\":\"ConfigMap\",\"apiVersion\":\"v2\"}",
         "the API version in the data (v2) does not match the expected API version (v1)"},
        {"{\"kind\":\"Nothing\",\"apiVersion\":\"v1\"}",
         "Nothing in version \"v1\" cannot be handled as a ConfigMap: no kind \"Nothing\" is registered for version "
         "\"v1\" in "
         "scheme \"k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30\""},
        {"", "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse "
             "error: "
             "unexpected end of JSON input (<empty>)"},
        {"{\"kind\":1}", "the object provided is unrecognized*"},
        {"[1]", "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json "
                "parse error: "
                "json: cannot unmarshal*"},
        {"{\"data\":{\"a\":1}}",
         "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal number "
         "into Go struct field ConfigMap.data of type string"},
        {"{\"dota\":{}}",
         "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: unknown field "
         "\"dota\""},
    };
    const struct resource *res = schema_resource(STR_NULL, STR("v1"), STR("configmaps"));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cleanup_arena struct arena *mem = arena_new();
        struct err err = ERR(mem);
        struct warnings w = {0};
        struct doc *d = decode_body(mem, str_of(rows[i].body), MEDIA_JSON, res->type, res->kind, res->api_version,
                                    FIELDS_STRICT, &w, &err);
        struct str want = str_of(rows[i].message);
        if (!d != (rows[i].message != NULL))
            fail_msg("%s: %.*s", rows[i].body, STR_ARG(err.message));
        bool open = want.len && want.ptr[want.len - 1] == '*';
        if (!d && !(open ? str_starts(err.message, str_head(want, want.len - 1)) : str_eq(err.message, want)))
            fail_msg("%s: \"%.*s\"", rows[i].body, STR_ARG(err.message));
        if (d)
            assert_true(str_is(doc_str(d, "kind"), "ConfigMap") && str_is(doc_str(d, "apiVersion"), "v1"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),  cmocka_unit_test(test_another_version),
        cmocka_unit_test(test_frames), cmocka_unit_test(test_frames_are_shared),
        cmocka_unit_test(test_status), cmocka_unit_test(test_warnings),
        cmocka_unit_test(test_scale),  cmocka_unit_test(test_bodies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
