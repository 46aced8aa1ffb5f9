/* store/obj_test.c - one block, its fields, and the revision's slot. */
#include "store/test_store.h"

#include "store/scan.h"

static void test_seal_extracts_fields(void **state)
{
    cleanup_obj struct obj *o = test_seal(
        &test_deployments,
        "{\"apiVersion\":\"apps/"
        "v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"web\",\"namespace\":\"shop\",\"uid\":\"u-1\","
        "\"generation\":3,"
        "\"creationTimestamp\":\"2026-01-02T03:04:05Z\",\"deletionTimestamp\":\"2026-01-02T03:05:05Z\","
        "\"labels\":{\"tier\":\"front\",\"app\":\"web\"},\"ownerReferences\":[{\"kind\":\"A\",\"uid\":\"o-1\"},"
        "{\"kind\":\"B\",\"uid\":\"o-2\",\"controller\":true}],\"managedFields\":[{\"x\":{\"name\":\"no\"}}]},\"spec\":"
        "{\"nodeName\":\"no\"}}");
    assert_string_equal(
        o->json.ptr,
        "{\"apiVersion\":\"apps/"
        "v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"web\",\"namespace\":\"shop\",\"uid\":\"u-1\","
        "\"resourceVersion\":\"0\"                   ,\"generation\":3,"
        "\"creationTimestamp\":\"2026-01-02T03:04:05Z\",\"deletionTimestamp\":\"2026-01-02T03:05:05Z\","
        "\"labels\":{\"tier\":\"front\",\"app\":\"web\"},\"ownerReferences\":[{\"kind\":\"A\",\"uid\":\"o-1\"},"
        "{\"kind\":\"B\",\"uid\":\"o-2\",\"controller\":true}],\"managedFields\":[{\"x\":{\"name\":\"no\"}}]},"
        "\"spec\":{\"nodeName\":\"no\"}}");
    assert_true(str_is(o->key, "apps/deployments/shop/web") && str_is(o->ns, "shop") && str_is(o->name, "web") &&
                str_is(o->uid, "u-1"));
    assert_true(str_is(obj_res_prefix(o), "apps/deployments/"));
    assert_true(o->deleting);
    assert_int_equal(o->created_ms, 1767323045000);
    assert_int_equal(o->label_count, 2);
    assert_true(str_is(o->labels[0].key, "app") && str_is(o->labels[1].key, "tier"));
    bool found;
    assert_true(str_is(obj_label_value(o, STR("tier"), &found), "front") && found);
    assert_true(obj_label_value(o, STR("tie"), &found).len == 0 && !found);
    assert_int_equal(o->owner_count, 2);
    assert_true(str_is(o->owners[0], "o-1") && str_is(o->owner_uid, "o-2"));
    assert_int_equal(o->node.len, 0); /* of pods only */
}

static void test_revision_fills_its_slot(void **state)
{
    static const uint64_t revs[] = {0, 1, 42, 18446744073709551615u};
    for (size_t i = 0; i < sizeof revs / sizeof revs[0]; i++) {
        cleanup_obj struct obj *o = test_pod("a", "x");
        cleanup_arena struct arena *mem = arena_new();
        size_t len = o->json.len;
        obj_set_rev(o, revs[i]);
        struct doc *d = obj_doc(mem, o);
        uint64_t rev;
        assert_true(str_to_u64(doc_string(doc_path(d, "metadata", "resourceVersion", NULL)), &rev));
        assert_true(rev == revs[i] && o->rev == revs[i] && o->json.len == len);
    }
}

static void test_seal_replaces_a_revision_and_leaves_the_document(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct err err = ERR(mem);
    struct str text =
        STR("{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"7\",\"labels\":{}},\"data\":{\"k\":\"\xc3\xa9\\n\"}}");
    struct doc *d = doc_parse(mem, text, NULL, &err);
    cleanup_obj struct obj *o = obj_seal(&test_namespaces, d, 12, &err);
    assert_non_null(o);
    assert_true(str_is(o->key, "namespaces//a") && str_is(obj_res_prefix(o), "namespaces/"));
    assert_true(str_eq(doc_json(mem, d), text));
    doc_put_str(mem, doc_get(d, "metadata"), "resourceVersion", STR("12"));
    assert_true(doc_eq(d, obj_doc(mem, o)));
}

/* Shown as an object, never stored: the bytes are the document's. */
static void test_made_has_no_revision(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct err err = ERR(mem);
    const char *text =
        "{\"kind\":\"Deployment\",\"metadata\":{\"name\":\"a\",\"namespace\":\"n\",\"labels\":{\"l\":\"v\"}}}";
    cleanup_obj struct obj *o = obj_made(&test_deployments, doc_parse(mem, str_of(text), NULL, &err), &err);
    assert_non_null(o);
    assert_true(str_is(o->json, text) && str_is(o->name, "a") && str_is(o->ns, "n") && o->rev == 0);
    assert_true(str_is(obj_label_value(o, STR("l"), NULL), "v"));
    assert_null(obj_made(&test_deployments, doc_parse(mem, STR("{\"metadata\":{}}"), NULL, &err), &err));
    assert_int_equal(err.reason, ERR_INTERNAL);
}

static void test_load_equals_seal(void **state)
{
    cleanup_obj struct obj *a = test_pod("web-1", "q\\\"uote");
    cleanup_obj struct obj *b = obj_load(&test_pods, a->json, 99);
    assert_non_null(b);
    assert_true(str_eq(a->key, b->key) && b->rev == 99 && str_is(b->node, "n1") && str_eq(a->uid, b->uid));
    obj_set_rev(a, 99);
    assert_true(str_eq(a->json, b->json));
}

static void test_name_with_escapes(void **state)
{
    cleanup_obj struct obj *a = test_seal(&test_namespaces, "{\"metadata\":{\"name\":\"a\\\"b\\\\\"}}");
    assert_true(str_is(a->key, "namespaces//a\"b\\") && str_is(a->name, "a\"b\\") && a->ns.len == 0);
    cleanup_obj struct obj *b = obj_load(&test_namespaces, a->json, 1);
    assert_non_null(b);
    assert_true(str_eq(a->key, b->key) && str_eq(a->name, b->name));
}

static void test_load_refuses_other_bytes(void **state)
{
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "{}",
        "null",
        "{\"metadata\":",
        "{\"metadata\":{}}",
        "{\"metadata\":{\"name\":\"x\"}}",
        "{\"metadata\":{\"name\":\"x",
        "{\"metadata\":{\"name\":\"x\",\"resourceVersion\":\"1\"}}",
        "{\"metadata\":{\"labels\":{\"a\"}}}",
        "{\"metadata\":{\"ownerReferences\":[{]}}",
        "{\"metadata\":{\"name\":\"x\",\"resourceVersion\":12345678901234567890123}}",
        "{\"metadata\":{\"name\":\"x\",\"resourceVersion\":\"1\",\"labels\":{\"aaaaaaaaaaaa\":\"b\"}}}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char *copy = malloc(strlen(bad[i]) + 1); /* so that ASan sees the end */
        memcpy(copy, bad[i], strlen(bad[i]) + 1);
        assert_null(obj_load(&test_pods, str_of(copy), 1));
        free(copy);
    }
}

/* Every truncation and a byte changed anywhere: never a crash. */
static void test_load_is_safe_on_any_bytes(void **state)
{
    cleanup_obj struct obj *o = test_seal(
        &test_pods, "{\"metadata\":{\"name\":\"a\",\"namespace\":\"b\",\"labels\":{\"l\":\"v\"},\"ownerReferences\":[{"
                    "\"uid\":\"u\","
                    "\"controller\":true}]},\"spec\":{\"containers\":[{\"name\":\"c\"}],\"nodeName\":\"n\"}}");
    for (size_t i = 0; i < o->json.len; i++) {
        char *copy = malloc(i);
        memcpy(copy, o->json.ptr, i);
        obj_unref(obj_load(&test_pods, str_mem(copy, i), 1));
        free(copy);
        copy = malloc(o->json.len);
        memcpy(copy, o->json.ptr, o->json.len);
        for (const char *c = "\"{}[],:\\x"; *c; c++) {
            copy[i] = *c;
            obj_unref(obj_load(&test_pods, str_mem(copy, o->json.len), 1));
        }
        free(copy);
    }
}

static void test_too_large_and_nameless(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct err err = ERR(mem);
    struct doc *d = doc_new_object(mem);
    assert_null(obj_seal(&test_pods, d, 1, &err));
    assert_int_equal(err.reason, ERR_INTERNAL);
    doc_put_str(mem, doc_sub(mem, d, "metadata"), "name", STR("x"));
    char *big = memset(arena_alloc(mem, OBJ_BYTES_MAX), 'x', OBJ_BYTES_MAX);
    doc_put_str(mem, d, "data", str_mem(big, OBJ_BYTES_MAX));
    err = ERR(mem);
    assert_null(obj_seal(&test_pods, d, 1, &err));
    assert_int_equal(err.reason, ERR_TOO_LARGE);
}

/* More labels and owners than the scanner keeps inline; a wide root. */
static void test_many_of_everything(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct err err = ERR(mem);
    struct doc *d = doc_new_object(mem), *meta = doc_sub(mem, d, "metadata");
    doc_put_str(mem, meta, "name", STR("x"));
    for (int i = 0; i < 200; i++) {
        doc_put_str(mem, d, str_fmtz(mem, "k%d", i), STR("v"));
        doc_put_str(mem, doc_sub(mem, meta, "labels"), str_fmtz(mem, "l%03d", 199 - i), STR("v"));
        struct doc *owner = doc_push(doc_sub_array(mem, meta, "ownerReferences"), doc_new_object(mem));
        doc_put_str(mem, owner, "uid", str_fmt(mem, "u%d", i));
    }
    cleanup_obj struct obj *o = obj_seal(&test_pods, d, 5, &err);
    assert_non_null(o);
    assert_int_equal(o->label_count, 200);
    assert_int_equal(o->owner_count, 200);
    assert_true(str_is(o->labels[0].key, "l000") && str_is(o->owners[199], "u199"));
    cleanup_obj struct obj *b = obj_load(&test_pods, o->json, 5);
    assert_true(b && b->label_count == 200 && str_is(b->labels[199].key, "l199"));
}

static void test_keys(void **state)
{
    static const struct resource core_events = {.group = "", .name = "events"};
    static const struct resource events = {.group = "events.k8s.io", .name = "events", .stored_as = &core_events};
    cleanup_arena struct arena *mem = arena_new();
    assert_true(str_is(obj_key(mem, &test_pods, STR("a"), STR("b")), "pods/a/b"));
    assert_true(str_is(obj_key(mem, &test_namespaces, STR_NULL, STR("b")), "namespaces//b"));
    assert_true(str_is(obj_key(mem, &events, STR("a"), STR("b")), "events/a/b"));
    assert_true(str_is(obj_prefix(mem, &test_deployments, STR_NULL), "apps/deployments/"));
    assert_true(str_is(obj_prefix(mem, &test_deployments, STR("x")), "apps/deployments/x/"));
    char *big = memset(arena_alloc(mem, OBJ_KEY_MAX), 'x', OBJ_KEY_MAX);
    assert_int_equal(obj_key(mem, &test_pods, STR("a"), str_mem(big, OBJ_KEY_MAX)).len, 0);
}

static void test_times(void **state)
{
    static const struct {
        const char *text;
        int64_t ms; /* -1: refused */
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2000-02-29T23:59:59Z", 951868799000},
        {"2026-01-02T03:04:05.678901Z", 1767323045678},
        {"2026-01-02T03:04:05", -1},
        {"", -1},
        {"2026-01-02T03:04:05+01:00", -1},
        {"2026-01-02 03:04:05Z", -1},
        {"202x-01-02T03:04:05Z", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t ms = -1;
        bool ok = scan_time(str_of(cases[i].text), &ms);
        assert_int_equal(ok ? ms : -1, cases[i].ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seal_extracts_fields),
        cmocka_unit_test(test_revision_fills_its_slot),
        cmocka_unit_test(test_seal_replaces_a_revision_and_leaves_the_document),
        cmocka_unit_test(test_made_has_no_revision),
        cmocka_unit_test(test_load_equals_seal),
        cmocka_unit_test(test_name_with_escapes),
        cmocka_unit_test(test_load_refuses_other_bytes),
        cmocka_unit_test(test_load_is_safe_on_any_bytes),
        cmocka_unit_test(test_too_large_and_nameless),
        cmocka_unit_test(test_many_of_everything),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
