/* base/io_test.c */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"

static struct arena *mem;
static char *dir;

static int setup(void **state)
{
    const char *tmp = getenv("TMPDIR");
    mem = arena_new();
    dir = mkdtemp(str_fmtz(mem, "%s/sampan-io-XXXXXX", tmp ? tmp : "/tmp"));
    return dir ? 0 : -1;
}

static int teardown(void **state)
{
    rmdir(dir);
    mem = arena_free(mem);
    return 0;
}

static void test_write_replaces_whole(void **state)
{
    char *path = str_fmtz(mem, "%s/key", dir);
    struct str got;
    struct stat st;
    assert_int_equal(io_write_whole(path, STR("a long first text"), 0644), 0);
    assert_int_equal(io_write_whole(path, STR("second"), 0600), 0);
    assert_int_equal(io_read_whole(mem, path, 6, &got), 0);
    assert_true(str_is(got, "second"));
    assert_int_equal(io_read_whole(mem, path, 5, &got), -EFBIG);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(access(str_fmtz(mem, "%s.new", path), F_OK), -1);
    assert_int_equal(unlink(path), 0);
}

static void test_missing_places(void **state)
{
    struct str got;
    assert_int_equal(io_read_whole(mem, str_fmtz(mem, "%s/none", dir), 10, &got), -ENOENT);
    assert_int_equal(io_write_whole(str_fmtz(mem, "%s/none/x", dir), STR("x"), 0600), -ENOENT);
}

static void test_mkdir_p(void **state)
{
    char *deep = str_fmtz(mem, "%s/a/b", dir), *file = str_fmtz(mem, "%s/f", dir);
    assert_int_equal(io_mkdir_p(deep, 0755), 0);
    assert_int_equal(io_mkdir_p(deep, 0755), 0);
    assert_int_equal(rmdir(deep), 0);
    assert_int_equal(rmdir(str_fmtz(mem, "%s/a", dir)), 0);
    assert_int_equal(io_write_whole(file, STR(""), 0600), 0);
    assert_int_equal(io_mkdir_p(str_fmtz(mem, "%s/g", file), 0755), -ENOTDIR);
    assert_int_equal(unlink(file), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_write_replaces_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missing_places, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mkdir_p, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
