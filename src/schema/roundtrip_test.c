/* Every fully populated object of Kubernetes 1.36 both ways, and small ones of our own that say what each form means.
 * The files are read where they are: SAMPAN_ROUNDTRIP is set by meson.build; without them that part says so and passes.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "schema/schema.h"

static struct str read_file(struct arena *mem, const char *dir, const char *name, const char *ending)
{
    FILE *f = fopen(str_fmtz(mem, "%s/%s%s", dir, name, ending), "rb");
    struct sb b = SB(mem);
    size_t n;
    assert_non_null(f);
    while ((n = fread(sb_room(&b, 65536), 1, 65536, f)) > 0)
        b.len += n;
    fclose(f);
    return sb_str(&b);
}

static void same_bytes(const char *name, const char *way, struct str got, struct str want)
{
    if (str_eq(got, want))
        return;
    size_t i = 0;
    while (i < got.len && i < want.len && got.ptr[i] == want.ptr[i])
        i++;
    size_t from = i > 60 ? i - 60 : 0;
    fail_msg("%s, %s: byte %zu of %zu, want %zu: got ...%.*s want ...%.*s", name, way, i, got.len, want.len,
             (int)(got.len - from > 160 ? 160 : got.len - from), got.ptr + from,
             (int)(want.len - from > 160 ? 160 : want.len - from), want.ptr + from);
}

static const struct type *type_of(const struct doc *obj, const char *name)
{
    const struct type *t = schema_body(doc_str(obj, "apiVersion"), doc_str(obj, "kind"));
    if (!t && strstr(name, ".WatchEvent")) /* the frame of a watch has no kind */
        t = schema_type("meta.v1.WatchEvent");
    if (!t)
        fail_msg("%s: no type", name);
    return t;
}

static void round_trip(const char *dir, const char *name)
{
    cleanup_arena struct arena *mem = arena_new();
    struct err err = ERR(mem);
    struct str pb = read_file(mem, dir, name, ".pb");
    struct doc *obj = doc_parse(mem, read_file(mem, dir, name, ".json"), NULL, &err), *back = NULL;
    assert_non_null(obj);
    const struct type *t = type_of(obj, name);
    struct str before = doc_json(mem, obj);
    if (schema_read(mem, t, obj, FIELDS_STRICT, NULL, NULL, &err) < 0)
        fail_msg("%s: " STR_FMT, name, STR_ARG(err.message));
    schema_order(mem, t, obj);
    same_bytes(name, "JSON to JSON", doc_json(mem, obj), before);
    struct sb out = SB(mem);
    assert_int_equal(schema_encode_pb(&out, t, obj), 0);
    same_bytes(name, "JSON to protobuf", sb_str(&out), pb);
    if (strstr(name, ".WatchEvent"))
        return;
    if (schema_decode_pb(mem, pb, &back, &err) < 0)
        fail_msg("%s: " STR_FMT, name, STR_ARG(err.message));
    same_bytes(name, "protobuf to JSON", doc_json(mem, back), before);
}

static void test_every_kind_of_kubernetes(void **state)
{
    DIR *d = opendir(SAMPAN_ROUNDTRIP);
    int pairs = 0;
    if (!d) {
        print_message("skipped: no round-trip files at %s\n", SAMPAN_ROUNDTRIP);
        return;
    }
    for (struct dirent *e; (e = readdir(d));) {
        size_t n = strlen(e->d_name);
        if (n < 6 || strcmp(e->d_name + n - 5, ".json") != 0)
            continue;
        cleanup_arena struct arena *mem = arena_new();
        round_trip(SAMPAN_ROUNDTRIP, str_z(mem, str_mem(e->d_name, n - 5)));
        pairs++;
    }
    closedir(d);
    print_message("%d pairs\n", pairs);
}

static const struct {
    const char *what, *type, *json, *canonical, *hex;
} cases[] = {
    {"values that are no pointers are always written", "core.v1.ContainerPort", "{\"containerPort\":80}",
     "{\"containerPort\":80}",
     "0a001000"
     "1850"
     "2200"
     "2a00"},
    {"what Go always writes is there even when empty", "rbac.v1.PolicyRule", "{}", "{\"verbs\":null}", ""},
    {"a pointer keeps its zero", "apps.v1.DeploymentSpec", "{\"replicas\":0}",
     "{\"replicas\":0,\"selector\":null,\"template\":{\"metadata\":{},\"spec\":{\"containers\":null}},\"strategy\":{}}",
     NULL},
    {"an inlined struct is a message of its own", "core.v1.Volume", "{\"emptyDir\":{},\"name\":\"v\"}",
     "{\"name\":\"v\",\"emptyDir\":{}}",
     "0a0176"
     "1204"
     "1202"
     "0a00"},
    {"maps are sorted", "core.v1.ConfigMap", "{\"data\":{\"b\":\"1\",\"a\":\"2\"}}",
     "{\"metadata\":{},\"data\":{\"a\":\"2\",\"b\":\"1\"}}", NULL},
    {"quantities take their canonical form", "core.v1.ResourceRequirements",
     "{\"limits\":{\"cpu\":0.5,\"memory\":\"1024Mi\"}}", "{\"limits\":{\"cpu\":\"500m\",\"memory\":\"1Gi\"}}",
     "0a0d0a03637075"
     "1206"
     "0a04"
     "3530306d"
     ""
     "0a0f0a066d656d6f7279"
     "1205"
     "0a03"
     "314769"},
    {"times are in UTC, the zero time is null", "core.v1.PodCondition",
     "{\"type\":\"Ready\",\"status\":\"True\",\"lastProbeTime\":\"0001-01-01T00:00:00Z\",\"lastTransitionTime\":\"2024-"
     "02-29T23:59:59.5-01:30\"}",
     "{\"type\":\"Ready\",\"status\":\"True\",\"lastProbeTime\":null,\"lastTransitionTime\":\"2024-03-01T01:29:59Z\"}",
     NULL},
    {"IntOrString is one of two", "core.v1.ServicePort", "{\"port\":80,\"targetPort\":\"http\"}",
     "{\"port\":80,\"targetPort\":\"http\"}",
     "0a001200"
     "1850"
     "220a"
     "0801"
     "1000"
     "1a0468747470"
     "2800"},
    {"durations are Go's, and nanoseconds on the wire", "metrics.v1beta1.NodeMetrics",
     "{\"timestamp\":\"1970-01-01T00:00:01Z\",\"window\":\"1500ms\",\"usage\":{\"cpu\":\"250000000n\"}}",
     "{\"metadata\":{},\"timestamp\":\"1970-01-01T00:00:01Z\",\"window\":\"1.5s\",\"usage\":{\"cpu\":\"250m\"}}",
     "0a100a0012001a0022002a00320038004200"
     "120408011000"
     "1a060880dea0cb05"
     "220d0a0363707512060a043235306d"},
    {"no duration", "metrics.v1beta1.NodeMetrics", "{}",
     "{\"metadata\":{},\"timestamp\":null,\"window\":\"0s\",\"usage\":null}", NULL},
    {"nulls are absent", "core.v1.PodSpec", "{\"containers\":[],\"hostname\":null,\"nodeSelector\":null}",
     "{\"containers\":null}", NULL},
};

static void test_small_ones(void **state)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        cleanup_arena struct arena *mem = arena_new();
        struct err err = ERR(mem);
        const struct type *t = schema_type(cases[i].type);
        struct doc *obj = doc_parse(mem, str_of(cases[i].json), NULL, &err), *back;
        assert_non_null(obj);
        if (schema_read(mem, t, obj, FIELDS_STRICT, NULL, NULL, &err) < 0)
            fail_msg("%s: " STR_FMT, cases[i].what, STR_ARG(err.message));
        schema_order(mem, t, obj);
        same_bytes(cases[i].what, "canonical", doc_json(mem, obj), str_of(cases[i].canonical));
        struct sb out = SB(mem);
        assert_int_equal(schema_encode_pb_message(&out, t, obj), 0);
        if (cases[i].hex)
            same_bytes(cases[i].what, "protobuf", str_hex(mem, sb_str(&out)), str_of(cases[i].hex));
        if (schema_decode_pb_message(mem, t, sb_str(&out), &back, &err) < 0)
            fail_msg("%s: " STR_FMT, cases[i].what, STR_ARG(err.message));
        same_bytes(cases[i].what, "and back", doc_json(mem, back), str_of(cases[i].canonical));
    }
}

static void test_broken_messages_are_refused(void **state)
{
    static const struct {
        struct str bytes;
        const char *why;
    } broken[] = {
        {STR("{}"), "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"},
        {STR("k8s\0\x0a\x0a\x0a\x02v1\x12\x04Nope"), "no kind \"Nope\" is registered for version \"v1\""},
        {STR("k8s\0\x0a\x09\x0a\x02v1\x12\x03Pod\x12\x02\x0a\x7f"), "protobuf: malformed field in metadata"},
        {STR("k8s\0\x0a\x09\x0a\x02v1\x12\x03Pod\x12\x05\x0a\x03\x0a\x01\xff"),
         "protobuf: string field contains invalid UTF-8 in name"},
    };
    for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++) {
        cleanup_arena struct arena *mem = arena_new();
        struct err err = ERR(mem);
        struct doc *obj = NULL;
        assert_int_equal(schema_decode_pb(mem, broken[i].bytes, &obj, &err), -1);
        assert_string_equal(str_z(mem, err.message), broken[i].why);
        assert_null(obj);
    }
}

/* Of a key that comes twice the last one stands, whatever the order. */
static void test_map_entries_in_any_order(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct err err = ERR(mem);
    struct doc *obj;
    struct str bytes = STR("\x12\x06\x0a\x01z\x12\x01"
                           "1"
                           "\x12\x06\x0a\x01"
                           "a\x12\x01"
                           "2"
                           "\x12\x06\x0a\x01z\x12\x01"
                           "3");
    assert_int_equal(schema_decode_pb_message(mem, schema_type("core.v1.ConfigMap"), bytes, &obj, &err), 0);
    assert_string_equal(str_z(mem, doc_json(mem, obj)), "{\"metadata\":{},\"data\":{\"a\":\"2\",\"z\":\"3\"}}");
}

/* Items of a list have no kind of their own on the wire. */
static void test_lists(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct err err = ERR(mem);
    const char *json = "{\"kind\":\"ConfigMapList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"7\"},"
                       "\"items\":[{\"metadata\":"
                       "{\"name\":\"a\"}},{\"metadata\":{\"name\":\"b\"},\"data\":{\"k\":\"v\"}}]}";
    struct doc *list = doc_parse(mem, str_of(json), NULL, &err), *back = NULL;
    struct sb out = SB(mem);
    assert_int_equal(schema_encode_pb(&out, schema_type("core.v1.ConfigMapList"), list), 0);
    assert_int_equal(schema_decode_pb(mem, sb_str(&out), &back, &err), 0);
    assert_string_equal(str_z(mem, doc_json(mem, back)), json);
}

/* Clients in Go send quantities as they were written: they are made canonical, or refused, here. */
static void test_quantities_off_the_wire(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct err err = ERR(mem);
    const struct type *t = schema_type("core.v1.ResourceRequirements");
    struct doc *obj;
    struct str good = STR("\x0a\x0e\x0a\x03"
                          "cpu\x12\x07\x0a\x05"
                          "1000m"),
               bad = STR("\x0a\x0c\x0a\x03"
                         "cpu\x12\x05\x0a\x03"
                         "lot");
    assert_int_equal(schema_decode_pb_message(mem, t, good, &obj, &err), 0);
    assert_string_equal(str_z(mem, doc_json(mem, obj)), "{\"limits\":{\"cpu\":\"1\"}}");
    assert_int_equal(schema_decode_pb_message(mem, t, bad, &obj, &err), -1);
    assert_true(str_has(err.message, STR("quantities must match")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_of_kubernetes),
        cmocka_unit_test(test_small_ones),
        cmocka_unit_test(test_broken_messages_are_refused),
        cmocka_unit_test(test_map_entries_in_any_order),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_quantities_off_the_wire),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
