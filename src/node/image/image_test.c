/* References as docker normalises them, manifests, and archives that attack: each through the real, shut-in process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "node/files.h"
#include "node/image/keyring.h"
#include "node/image/info.h"
#include "node/image/ref.h"
#include "node/image/store.h"
#include "node/image/unpack.h"
#include "node/ipc.h"

static void test_ref(void **state)
{
    static const char *const cases[][2] = {
        {"nginx", "docker.io/library/nginx:latest"},
        {"nginx:1.2", "docker.io/library/nginx:1.2"},
        {"a/b", "docker.io/a/b:latest"},
        {"localhost:5000/x", "localhost:5000/x:latest"},
        {"localhost/x:y", "localhost/x:y"},
        {"registry.example.org/a/b/c:v1", "registry.example.org/a/b/c:v1"},
        {"index.docker.io/library/a", "docker.io/library/a:latest"},
        {"a:1@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
         "docker.io/library/a@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},
        {"", NULL},
        {"UPPER", NULL},
        {"a b", NULL},
        {"a:", NULL},
        {"a//b", NULL},
        {"-a", NULL},
        {"a@sha256:12", NULL},
        {"a/", NULL},
        {"a___b", NULL},
        {"a/../b", NULL},
    };
    cleanup_arena struct arena *mem = arena_new();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct image_ref r;
        bool fine = image_ref_parse(mem, str_of(cases[i][0]), &r);
        assert_int_equal(fine, cases[i][1] != NULL);
        if (fine)
            assert_string_equal(str_z(mem, image_ref_name(mem, &r)), cases[i][1]);
    }
}

static void test_index_pick(void **state)
{
#define D(c) "sha256:" c c c c c c c c c c c c c c c c
    cleanup_arena struct arena *mem = arena_new();
    struct err err = ERR(mem);
    struct str digest;
    struct str text = STR("{\"manifests\":[{\"digest\":\"" D(
        "aaaa") "\",\"platform\":{\"os\":\"linux\",\"architecture\":\"arm64\"}},"
                "{\"digest\":\"" D(
                    "bbbb") "\",\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}},"
                            "{\"digest\":\"" D(
                                "cccc") "\",\"platform\":{\"os\":\"unknown\",\"architecture\":\"unknown\"}}]}");
    assert_true(image_is_index(mem, text));
    assert_int_equal(image_index_pick(mem, text, STR("amd64"), &digest, &err), 0);
    assert_string_equal(str_z(mem, digest), D("bbbb"));
    assert_int_equal(image_index_pick(mem, text, STR("s390x"), &digest, &err), -1);
}

/* ---- a tar writer of our own: attacks are not what libraries write */

static void tar_add(struct sb *out, const char *name, char type, const char *link, const char *data)
{
    char h[512] = {0};
    size_t n = data ? strlen(data) : 0;
    snprintf(h, 100, "%s", name), snprintf(h + 100, 8, "%07o", type == '5' ? 0755 : 0644),
        snprintf(h + 108, 8, "%07o", 0);
    snprintf(h + 116, 8, "%07o", 0), snprintf(h + 124, 12, "%011o", (unsigned)n), snprintf(h + 136, 12, "%011o", 1);
    memset(h + 148, ' ', 8), h[156] = type;
    snprintf(h + 157, 100, "%s", link ? link : ""), memcpy(h + 257, "ustar\00000", 8);
    unsigned sum = 0;
    for (int i = 0; i < 512; i++)
        sum += (unsigned char)h[i];
    snprintf(h + 148, 8, "%06o", sum);
    sb_add(out, str_mem(h, 512));
    if (n) {
        char pad[512] = {0};
        sb_add(out, str_mem(data, n)), sb_add(out, str_mem(pad, (512 - n % 512) % 512));
    }
}

struct result {
    int error;
    char *why, *dir;
};

static struct str sum_of(struct arena *mem, struct str s)
{
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    EVP_Digest(s.ptr, s.len, md, &n, EVP_sha256(), NULL);
    return str_fmt(mem, "sha256:" STR_FMT, STR_ARG(str_hex(mem, str_mem((char *)md, n))));
}

static struct result run(struct arena *mem, struct sb *tar, const struct unpack_job *limits)
{
    char zero[1024] = {0};
    struct result r = {.dir = str_fmtz(mem, "unpack-test.XXXXXX")};
    sb_add(tar, str_mem(zero, sizeof(zero)));
    assert_non_null(mkdtemp(r.dir));
    char *blob_path = str_fmtz(mem, "%s.blob", r.dir);
    assert_int_equal(files_write(blob_path, 0600, sb_str(tar)), 0);
    struct unpack_job job = *limits;
    job.blob_fd = open(blob_path, O_RDONLY | O_CLOEXEC), job.dir_fd = open(r.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    job.digest = job.digest.len ? job.digest : sum_of(mem, sb_str(tar)),
    job.diff_id = job.diff_id.len ? job.diff_id : sum_of(mem, sb_str(tar));
    int sock = -1, pid = unpack_start(&job, &sock);
    assert_true(pid > 0);
    struct ipc_msg m;
    assert_int_equal(ipc_recv_sync(sock, mem, &m), 0);
    waitpid(pid, NULL, 0);
    r.error = m.error, r.why = str_z(mem, m.message);
    close(sock), close(job.blob_fd), close(job.dir_fd), unlink(blob_path);
    return r;
}

static void done(struct result *r)
{
    files_remove_tree(r->dir);
}

static void needs_root(void)
{
    if (geteuid() != 0)
        skip();
}

static void test_unpack_good(void **state)
{
    needs_root();
    cleanup_arena struct arena *mem = arena_new();
    struct sb t = SB(mem);
    struct stat st;
    tar_add(&t, "d/", '5', NULL, NULL), tar_add(&t, "d/f", '0', NULL, "first"), tar_add(&t, "d/f", '0', NULL, "hello"),
        tar_add(&t, "d/h", '1', "d/f", NULL);
    tar_add(&t, "l", '2', "/etc/passwd", NULL), tar_add(&t, "d/.wh.gone", '0', NULL, NULL),
        tar_add(&t, "dev", '3', NULL, NULL);
    struct result r = run(mem, &t, &(struct unpack_job){0});
    assert_string_equal(r.why, "");
    assert_int_equal(r.error, 0);
    assert_int_equal(lstat(str_fmtz(mem, "%s/d/h", r.dir), &st), 0);
    assert_int_equal(st.st_nlink, 2);
    assert_int_equal(lstat(str_fmtz(mem, "%s/d/gone", r.dir), &st), 0);
    assert_true(S_ISCHR(st.st_mode) && st.st_rdev == 0);
    assert_int_equal(lstat(str_fmtz(mem, "%s/dev", r.dir), &st), -1);
    done(&r);
}

/* Each is refused, and nothing appears outside. */
static void test_unpack_attacks(void **state)
{
    needs_root();
    static const struct {
        const char *what;
        struct {
            const char *name;
            char type;
            const char *link, *data;
        } e[3];
    } cases[] = {
        {"dotdot", {{"../escape", '0', NULL, "x"}}},
        {"dotdot inside", {{"a/../../escape", '0', NULL, "x"}}},
        {"through a symlink", {{"l", '2', "..", NULL}, {"l/escape", '0', NULL, "x"}}},
        {"through an absolute symlink", {{"l", '2', "/tmp", NULL}, {"l/sampan-escape", '0', NULL, "x"}}},
        {"hard link out", {{"h", '1', "../escape-source", NULL}}},
        {"hard link to what is not there", {{"h", '1', "etc/shadow", NULL}}},
        {"hard link through a symlink", {{"l", '2', "/etc", NULL}, {"h", '1', "l/passwd", NULL}}},
        {"whiteout dotdot", {{"../.wh.unpack", '0', NULL, NULL}}},
        {"whiteout through a symlink", {{"l", '2', "..", NULL}, {"l/.wh.x", '0', NULL, NULL}}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cleanup_arena struct arena *mem = arena_new();
        struct sb t = SB(mem);
        for (int k = 0; k < 3 && cases[i].e[k].name; k++)
            tar_add(&t, cases[i].e[k].name, cases[i].e[k].type, cases[i].e[k].link, cases[i].e[k].data);
        struct result r = run(mem, &t, &(struct unpack_job){0});
        if (r.error == 0)
            print_error("not refused: %s\n", cases[i].what);
        assert_true(r.error < 0);
        assert_true(strlen(r.why) > 0);
        assert_int_equal(access("escape", F_OK), -1);
        assert_int_equal(access("/tmp/sampan-escape", F_OK), -1);
        done(&r);
    }
}

static void test_unpack_lies(void **state)
{
    needs_root();
    cleanup_arena struct arena *mem = arena_new();
    struct str wrong = STR("sha256:0000000000000000000000000000000000000000000000000000000000000000");
    struct sb a = SB(mem), b = SB(mem), c = SB(mem), d = SB(mem);
    tar_add(&a, "f", '0', NULL, "x"), tar_add(&b, "f", '0', NULL, "x");
    struct result r = run(mem, &a, &(struct unpack_job){.digest = wrong});
    assert_int_equal(r.error, -EBADMSG);
    assert_non_null(strstr(r.why, "does not have the digest"));
    done(&r);
    r = run(mem, &b, &(struct unpack_job){.diff_id = wrong});
    assert_non_null(strstr(r.why, "diff_id"));
    done(&r);
    for (int i = 0; i < 20; i++)
        tar_add(&c, str_fmtz(mem, "f%d", i), '0', NULL, "x"), tar_add(&d, str_fmtz(mem, "f%d", i), '0', NULL, "x");
    r = run(mem, &c, &(struct unpack_job){.files_max = 10});
    assert_int_equal(r.error, -EFBIG);
    done(&r);
    r = run(mem, &d, &(struct unpack_job){.bytes_max = 4096});
    assert_non_null(strstr(r.why, "larger than the limit"));
    done(&r);
}

/* Source: pkg/credentialprovider keyring_test.go */
static void test_keyring(void **state)
{
    static const struct {
        const char *key, *image;
        bool fits;
    } cases[] = {{"localhost:5000", "localhost:5000/a/b:1", true},
                 {"localhost:5000", "localhost:5001/a/b:1", false},
                 {"https://registry.io/v1/", "registry.io/a", true},
                 {"registry.io/team", "registry.io/team/app", true},
                 {"registry.io/team", "registry.io/other/app", false},
                 {"*.registry.io", "eu.registry.io/a", true},
                 {"*.registry.io", "registry.io/a", false},
                 {"*.registry.io", "x.eu.registry.io/a", false},
                 {"*.io", "evil.io.com/a", false},
                 {"https://index.docker.io/v1/", "nginx", true},
                 {"index.docker.io", "registry.io/nginx", false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cleanup_arena struct arena *mem = arena_new();
        struct keyring k = {0};
        struct image_ref ref;
        struct str text = str_fmt(mem, "{\"%s\":{\"auth\":\"%s\"}}", cases[i].key, "dTpwOnE=" /* u:p:q */);
        struct str secret =
            str_fmt(mem, "{\"type\":\"kubernetes.io/dockercfg\",\"data\":{\".dockercfg\":\"" STR_FMT "\"}}",
                    STR_ARG(str_base64(mem, text)));
        assert_true(image_ref_parse(mem, str_of(cases[i].image), &ref));
        assert_true(keyring_add(&k, mem, doc_parse(mem, secret, NULL, NULL), &ref));
        assert_int_equal(k.count, cases[i].fits);
        if (k.count)
            assert_true(str_is(k.found[0].credentials.user, "u") && str_is(k.found[0].credentials.password, "p:q"));
    }
}

/* ---- collection */
struct collected {
    const char *used;
    int removed;
};

static bool is_used(void *ctx, const struct image *i)
{
    const char *name = ((struct collected *)ctx)->used;
    return name && str_has(i->names.v[0], str_of(name));
}

static void count_removed(void *ctx, const char *path)
{
    ((struct collected *)ctx)->removed++;
    assert_int_equal(access(path, F_OK), 0);
}

static struct str hex_of(struct arena *mem, char c)
{
    char *p = arena_alloc(mem, 71);
    memcpy(p, "sha256:", 7), memset(p + 7, c, 64);
    return str_mem(p, 71);
}

/* An image of 100 bytes with the base layer 'f' and one of its own. */
static int record(struct images *s, struct arena *mem, char c, const char *name)
{
    struct image_info info = {.digest = hex_of(mem, c), .id = hex_of(mem, c), .bytes = 100, .layer_count = 2};
    for (int k = 0; k < 2; k++) {
        info.layers[k] = (struct image_layer){.diff_id = hex_of(mem, k ? c : 'f'), .digest = hex_of(mem, k ? c : 'f')};
        mkdir(str_fmtz(mem, "%s/layers/" STR_FMT, images_dir(s), STR_ARG(str_from(info.layers[k].diff_id, 7))), 0755);
    }
    return images_record(s, &info, str_of(name));
}

static void test_collect(void **state)
{
    static const struct {
        int64_t available, min_age_ms;
        const char *used;
        int64_t wanted, freed;
        const char *left; /* in order of digest */
        int layers;
    } cases[] = {
        {200, 0, NULL, 0, 0, "abc", 0},        /* 80 % in use: below the threshold */
        {150, 1000000, NULL, 50, 0, "abc", 0}, /* too young */
        {150, 0, "b", 50, 100, "bc", 1},       /* one is enough; the base layer stays */
        {0, 0, "b", 200, 200, "b", 2},         /* what is used stays */
        {0, 0, NULL, 200, 200, "c", 2},
        {-150, 0, NULL, 350, 300, "", 4}, /* the last one takes the base layer along */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cleanup_arena struct arena *mem = arena_new();
        char dir[] = "/tmp/sampan-gc-XXXXXX";
        int error = 0;
        assert_non_null(mkdtemp(dir));
        struct images *s = images_open(dir, NULL, &error);
        assert_non_null(s);
        for (char c = 'a'; c <= 'c'; c++)
            assert_int_equal(record(s, mem, c, str_fmtz(mem, "test/%c:1", c)), 0);
        struct collected seen = {.used = cases[i].used ? str_fmtz(mem, "test/%s:", cases[i].used) : NULL};
        struct images_gc g = {.capacity = 1000,
                              .available = cases[i].available,
                              .high_percent = 85,
                              .low_percent = 80,
                              .min_age_ms = cases[i].min_age_ms,
                              .now_ms = (int64_t)time(NULL) * 1000 + 60000,
                              .used = is_used,
                              .remove = count_removed,
                              .ctx = &seen};
        int64_t freed;
        assert_int_equal(images_collect(s, &g, &freed), cases[i].wanted);
        assert_int_equal(freed, cases[i].freed);
        assert_int_equal(seen.removed, cases[i].layers);
        images_close(s);
        s = images_open(dir, NULL, &error); /* as another agent finds it */
        struct sb left = SB(mem);
        for (const struct image *im = images_next(s, NULL); im; im = images_next(s, im)) {
            sb_addc(&left, im->info.digest.ptr[7]);
            for (size_t k = 0; k < im->info.layer_count; k++)
                assert_true(images_has_layer(s, im->info.layers[k].diff_id));
        }
        assert_string_equal(sb_z(&left), cases[i].left);
        images_close(s);
        files_remove_tree(dir);
    }
}

static void test_record_without_layers(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    char dir[] = "/tmp/sampan-gc-XXXXXX";
    int error = 0;
    assert_non_null(mkdtemp(dir));
    struct images *s = images_open(dir, NULL, &error);
    struct image_info info = {.digest = hex_of(mem, 'b'), .id = hex_of(mem, 'b'), .layer_count = 1};
    info.layers[0] = (struct image_layer){.diff_id = hex_of(mem, 'a'), .digest = hex_of(mem, 'a')};
    assert_int_equal(images_record(s, &info, STR("test/x:1")), -ESTALE);
    assert_null(images_next(s, NULL));
    images_close(s);
    files_remove_tree(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keyring),        cmocka_unit_test(test_ref),
        cmocka_unit_test(test_index_pick),     cmocka_unit_test(test_unpack_good),
        cmocka_unit_test(test_unpack_attacks), cmocka_unit_test(test_unpack_lies),
        cmocka_unit_test(test_collect),        cmocka_unit_test(test_record_without_layers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
