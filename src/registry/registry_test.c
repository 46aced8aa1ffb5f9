/* registry/registry_test.c - what paths, names, ranges and manifests are taken for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka last */
#include <cmocka.h>

#include "registry/manifest.h"
#include "registry/name.h"

#define HEX "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void test_routes(void **state)
{
    static const struct {
        const char *path;
        enum route route;
        const char *name, *ref;
    } cases[] = {
        {"/v2", ROUTE_BASE, "", ""},
        {"/v2/", ROUTE_BASE, "", ""},
        {"/v2/token", ROUTE_TOKEN, "", ""},
        {"/v2/a/b/blobs/x", ROUTE_BLOB, "a/b", "x"},
        {"/v2/a/b/blobs/uploads/", ROUTE_UPLOADS, "a/b", ""},
        {"/v2/a/b/blobs/uploads", ROUTE_UPLOADS, "a/b", ""},
        {"/v2/a/b/blobs/uploads/1f", ROUTE_UPLOAD, "a/b", "1f"},
        {"/v2/a/b/c/manifests/v1", ROUTE_MANIFEST, "a/b/c", "v1"},
        {"/v2/a/manifests/manifests/v1", ROUTE_MANIFEST, "a/manifests", "v1"}, /* names may hold these words */
        {"/v2/a/b/tags/list", ROUTE_TAGS, "a/b", ""},
        {"/v2/a/tags/tags/list", ROUTE_TAGS, "a/tags", ""},
        {"/v2/a/b/referrers/sha256:1", ROUTE_REFERRERS, "a/b", "sha256:1"},
        {"/v2/blobs/x", ROUTE_BLOB, "", "x"},
        {"/v2//blobs/x", ROUTE_BLOB, "", "x"},
        {"/v2/a/b", ROUTE_NONE, "", "b"},
        {"/v2x/a/b/blobs/x", ROUTE_NONE, "", ""},
        {"", ROUTE_NONE, "", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct target t = name_route(str_of(cases[i].path));
        print_message("%s\n", cases[i].path);
        assert_int_equal(t.route, cases[i].route);
        assert_true(str_is(t.name, cases[i].name));
        assert_true(str_is(t.ref, cases[i].ref));
    }
}

static void test_names(void **state)
{
    static const char *const good[] = {"a/b", "a/b.c", "a/b_c", "a/b__c", "a/b---c", "0/1/2/3"};
    static const char *const bad[] = {"",      "a",       "a/",     "/a",    "a//b",      "a/B",     "a/b..c",
                                      "a/-b",  "a/b-",    "a/_b",   "a/.",   "a/..",      "a/b___c", "a/b._c",
                                      "a/b c", "a/b%2fc", "a/\x7f", "a/b\n", "a/_blobs/x"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(name_valid(str_of(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(name_valid(str_of(bad[i])));
    assert_true(name_tag_valid(STR("_v1.0-RC")));
    assert_false(name_tag_valid(STR(".hidden")) || name_tag_valid(STR("-x")) || name_tag_valid(STR("")) ||
                 name_tag_valid(STR("a/b")));
    struct str hex;
    assert_true(name_digest(STR("sha256:" HEX), &hex));
    assert_false(name_digest(STR("sha256:" HEX "0"), &hex) || name_digest(STR("sha512:" HEX), &hex) ||
                 name_digest(STR("sha256:../../"), &hex));
}

static void test_ranges(void **state)
{
    static const struct {
        const char *header;
        uint64_t size;
        int result;
        uint64_t first, last;
    } cases[] = {
        {"bytes=0-4", 10, 1, 0, 4},     {"bytes=5-", 10, 1, 5, 9},   {"bytes=-3", 10, 1, 7, 9},
        {"bytes=-30", 10, 1, 0, 9},     {"bytes=9-99", 10, 1, 9, 9}, {"bytes=10-", 10, -1, 0, 0},
        {"bytes=-0", 10, -1, 0, 0},     {"bytes=0-", 0, -1, 0, 0},   {"bytes=4-2", 10, 0, 0, 0},
        {"bytes=0-1,3-4", 10, 0, 0, 0}, {"lines=1-2", 10, 0, 0, 0},  {"", 10, 0, 0, 0},
        {"bytes=a-b", 10, 0, 0, 0},     {"bytes=-", 10, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t first = 0, last = 0;
        print_message("%s\n", cases[i].header);
        assert_int_equal(name_range(str_of(cases[i].header), cases[i].size, &first, &last), cases[i].result);
        assert_int_equal(first, cases[i].first);
        assert_int_equal(last, cases[i].last);
    }
    uint64_t a, b;
    assert_true(name_content_range(STR("0-1023"), &a, &b) && a == 0 && b == 1023);
    assert_true(name_content_range(STR("bytes 5-6/*"), &a, &b) && a == 5 && b == 6);
    assert_false(name_content_range(STR("5-4"), &a, &b) || name_content_range(STR("x"), &a, &b) ||
                 name_content_range(STR("-5"), &a, &b));
}

#define D        "{\"mediaType\":\"x/y\",\"digest\":\"sha256:" HEX "\",\"size\":0}"
#define OCI      "application/vnd.oci.image.manifest.v1+json"
#define OCI_LIST "application/vnd.oci.image.index.v1+json"
#define DOCKER   "application/vnd.docker.distribution.manifest.v2+json"
static void test_manifests(void **state)
{
    static const struct {
        const char *text, *declared, *type; /* NULL: refused, and then why */
        const char *why;
        int blobs, manifests;
    } cases[] = {
        {"{\"schemaVersion\":2,\"config\":" D ",\"layers\":[" D "," D "]}", OCI, OCI, "", 3, 0},
        {"{\"schemaVersion\":2,\"mediaType\":\"" DOCKER "\",\"config\":" D ",\"layers\":[]}", DOCKER "; charset=utf-8",
         DOCKER, "", 1, 0},
        {"{\"schemaVersion\":2,\"manifests\":[" D "]}", "", OCI_LIST, "", 0, 1},
        {"{\"schemaVersion\":2,\"config\":" D ",\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer."
         "nondistributable.v1.tar\",\"digest\":\"sha256:" HEX "\",\"size\":1,\"urls\":[\"http://x\"]}]}",
         OCI, OCI, "", 1, 0},
        /* CVE-2021-41190 */
        {"{\"schemaVersion\":2,\"config\":" D ",\"layers\":[],\"manifests\":[]}", OCI, NULL, "either", 0, 0},
        {"{\"schemaVersion\":2,\"mediaType\":\"" OCI_LIST "\",\"config\":" D ",\"layers\":[]}", OCI_LIST, NULL,
         "not what mediaType says", 0, 0},
        {"{\"schemaVersion\":2,\"config\":" D ",\"layers\":[]}", DOCKER, NULL, "Content-Type", 0, 0},
        {"{\"schemaVersion\":2,\"mediaType\":7,\"config\":" D ",\"layers\":[]}", OCI, NULL, "string", 0, 0},
        {"{\"schemaVersion\":1,\"fsLayers\":[]}", "", NULL, "schemaVersion", 0, 0},
        {"{\"schemaVersion\":2,\"config\":" D "}", OCI, NULL, "layers must", 0, 0},
        {"{\"schemaVersion\":2,\"config\":{\"digest\":\"sha256:../..\",\"size\":0},\"layers\":[]}", OCI, NULL,
         "descriptor", 0, 0},
        {"{\"schemaVersion\":2,\"config\":{\"digest\":\"sha256:" HEX "\",\"size\":-1},\"layers\":[]}", OCI, NULL,
         "descriptor", 0, 0},
        {"{\"schemaVersion\":2,\"config\":" D ",\"layers\":[],\"subject\":\"x\"}", OCI, NULL, "subject", 0, 0},
        {"[]", OCI, NULL, "schemaVersion", 0, 0},
        {"", OCI, NULL, "", 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cleanup_arena struct arena *mem = arena_new();
        struct err err = ERR(mem);
        struct manifest m = {0};
        bool fine = manifest_read(mem, str_of(cases[i].text), str_of(cases[i].declared), &m, &err);
        print_message("%s: %.*s\n", cases[i].text, STR_ARG(err.message));
        assert_int_equal(fine, cases[i].type != NULL);
        assert_true(str_has(err.message, str_of(cases[i].why)));
        assert_int_equal(m.blob_count, cases[i].blobs);
        assert_int_equal(m.manifest_count, cases[i].manifests);
        if (fine)
            assert_string_equal(m.type, cases[i].type);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_manifests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
