/* registry/disk_test.c - files of the registry: one content with many links, names that two may write at once. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka last */
#include <cmocka.h>

#include "base/io.h"
#include "registry/disk.h"

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

struct fixture {
    struct disk d;
    struct arena *mem;
    char root[64];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    snprintf(f->root, sizeof f->root, "%s", "/tmp/registry-disk-XXXXXX");
    assert_non_null(mkdtemp(f->root));
    f->mem = arena_new();
    f->d = (struct disk){.root = f->root, .grace_s = 100};
    pthread_rwlock_init(&f->d.lock, NULL);
    pthread_mutex_init(&f->d.quota, NULL);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", f->root);
    int r = system(command);
    arena_free(f->mem);
    free(f);
    return r;
}

static void commit(struct fixture *f, const char *repo, const char *hex, const char *text)
{
    char *path = str_fmtz(f->mem, "%s/new", f->root);
    assert_int_equal(io_write_whole(path, str_of(text), 0600), 0);
    assert_int_equal(disk_commit(&f->d, f->mem, path, str_of(repo), DISK_BLOBS, str_of(hex)), 0);
    assert_int_equal(access(path, F_OK), -1);
}

static struct stat stat_of(struct fixture *f, const char *hex)
{
    struct stat st;
    assert_int_equal(stat(disk_blob_path(&f->d, f->mem, str_of(hex)), &st), 0);
    return st;
}

static void test_one_content_many_links(void **state)
{
    struct fixture *f = *state;
    uint64_t size = 0;
    commit(f, "u1/app", A, "four");
    ino_t first = stat_of(f, A).st_ino;
    commit(f, "u2/deep/er/app", A, "four"); /* the same again: the file that others link to stays */
    assert_int_equal(stat_of(f, A).st_ino, first);
    assert_int_equal(stat_of(f, A).st_nlink, 3);
    assert_int_equal(disk_mount(&f->d, f->mem, STR("u1/app"), STR("u1/two"), STR(A)), 0);
    assert_int_equal(disk_mount(&f->d, f->mem, STR("u1/app"), STR("u1/two"), STR(A)), 0); /* safe to repeat */
    assert_int_equal(stat_of(f, A).st_nlink, 4);
    assert_int_equal(disk_mount(&f->d, f->mem, STR("u1/app"), STR("u1/two"), STR(B)), -ENOENT);
    assert_int_equal(disk_stat(&f->d, f->mem, STR("u1/two"), DISK_BLOBS, STR(A), true, &size), 0);
    assert_int_equal(size, 4);
    assert_int_equal(disk_usage(&f->d, f->mem, STR("u1")), 8); /* each repository by itself */
    assert_int_equal(disk_usage(&f->d, f->mem, STR("u2")), 4);
    assert_int_equal(disk_usage(&f->d, f->mem, STR("nobody")), 0);
    assert_int_equal(disk_unlink(&f->d, f->mem, STR("u1/two"), DISK_BLOBS, STR(A)), 0);
    assert_int_equal(disk_unlink(&f->d, f->mem, STR("u1/two"), DISK_BLOBS, STR(A)), -ENOENT);
    assert_int_equal(stat_of(f, A).st_nlink, 3);
}

/* Telling a client that it is there counts; but a flash disk is not written for each of those. */
static void test_renewal(void **state)
{
    struct fixture *f = *state;
    uint64_t size;
    struct timespec old[2] = {{.tv_sec = time(NULL) - 50}, {.tv_sec = time(NULL) - 50}};
    struct timespec young[2] = {{.tv_sec = time(NULL) - 20}, {.tv_sec = time(NULL) - 20}};
    commit(f, "u1/app", A, "x");
    char *path = disk_blob_path(&f->d, f->mem, STR(A));
    utimensat(AT_FDCWD, path, young, 0);
    assert_int_equal(disk_stat(&f->d, f->mem, STR("u1/app"), DISK_BLOBS, STR(A), true, &size), 0);
    assert_int_equal(stat_of(f, A).st_mtime, young[0].tv_sec);
    utimensat(AT_FDCWD, path, old, 0);
    assert_int_equal(disk_stat(&f->d, f->mem, STR("u1/app"), DISK_BLOBS, STR(A), false, &size), 0);
    assert_int_equal(stat_of(f, A).st_mtime, old[0].tv_sec);
    assert_int_equal(disk_stat(&f->d, f->mem, STR("u1/app"), DISK_BLOBS, STR(A), true, &size), 0);
    assert_true(stat_of(f, A).st_mtime > young[0].tv_sec);
    utimensat(AT_FDCWD, path, old, 0);
    commit(f, "u2/app", A, "x"); /* pushed again */
    assert_true(stat_of(f, A).st_mtime > young[0].tv_sec);
}

static void test_tags(void **state)
{
    struct fixture *f = *state;
    struct str hex, *names;
    int count;
    assert_int_equal(disk_tag_get(&f->d, f->mem, STR("u/a"), STR("v1"), &hex), -ENOENT);
    assert_int_equal(disk_tag_put(&f->d, f->mem, STR("u/a"), STR("v1"), STR(A)), 0);
    assert_int_equal(disk_tag_put(&f->d, f->mem, STR("u/a"), STR("v1"), STR(B)), 0);
    assert_int_equal(disk_tag_put(&f->d, f->mem, STR("u/a"), STR("V0"), STR(A)), 0);
    assert_int_equal(disk_tag_get(&f->d, f->mem, STR("u/a"), STR("v1"), &hex), 0);
    assert_true(str_is(hex, B));
    char *dir = disk_path(&f->d, f->mem, STR("u/a"), DISK_TAGS, STR_NULL);
    io_write_whole(str_fmtz(f->mem, "%s/.7", dir), STR("left behind"), 0600);
    assert_int_equal(disk_list(f->mem, dir, &names, &count), 0);
    assert_int_equal(count, 2);
    assert_true(str_is(names[0], "V0") && str_is(names[1], "v1"));
    io_write_whole(str_fmtz(f->mem, "%s/v2", dir), STR("damaged"), 0600);
    assert_int_equal(disk_tag_get(&f->d, f->mem, STR("u/a"), STR("v2"), &hex), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_content_many_links, setup, teardown),
        cmocka_unit_test_setup_teardown(test_renewal, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tags, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
