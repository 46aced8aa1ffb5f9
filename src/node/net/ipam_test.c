#include "node/net/ipam.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "node/files.h"

static char dir[64];

static int setup(void **state)
{
    snprintf(dir, sizeof(dir), "/tmp/ipam_test.XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    return files_remove_tree(dir);
}

static struct ipam *open_29(void)
{
    struct ipam *p = NULL;
    assert_int_equal(ipam_open(dir, 0x0a2a0000, 29, &p), 0);
    return p;
}

static uint32_t take(struct ipam *p, const char *owner)
{
    uint32_t a = 0;
    assert_int_equal(ipam_take(p, str_of(owner), &a), 0);
    return a;
}

static void test_parses(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        uint32_t network;
        int prefix;
    } rows[] = {{"10.42.0.0/24", true, 0x0a2a0000, 24},
                {"10.42.0.77/24", true, 0x0a2a0000, 24},
                {"0.0.0.0/0", true, 0, 0},
                {"10.42.0.1/32", true, 0x0a2a0001, 32},
                {"10.42.0.0", false, 0, 0},
                {"10.42.0.0/33", false, 0, 0},
                {"10.42.0/24", false, 0, 0},
                {"", false, 0, 0},
                {"fd00::/64", false, 0, 0},
                {"10.42.0.0/-1", false, 0, 0}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint32_t network = 0;
        int prefix = 0;
        assert_int_equal(ipv4_parse_cidr(str_of(rows[i].text), &network, &prefix), rows[i].ok);
        assert_int_equal(network, rows[i].network);
        assert_int_equal(prefix, rows[i].prefix);
    }
}

static void test_gives_in_turn_and_to_the_end(void **state)
{
    struct ipam *p = open_29();
    uint32_t a = 0;
    for (uint32_t i = 2; i < 7; i++) {
        char owner[8];
        snprintf(owner, sizeof(owner), "u%u", i);
        assert_int_equal(take(p, owner), 0x0a2a0000 + i);
    }
    assert_int_equal(ipam_take(p, STR("one too many"), &a), -ENOSPC);
    assert_int_equal(take(p, "u3"), 0x0a2a0003); /* who has one keeps it */
    assert_int_equal(ipam_count(p), 5);
    ipam_release(p, STR("u4")), ipam_release(p, STR("u4")), ipam_release(p, STR("nobody"));
    assert_int_equal(take(p, "again"), 0x0a2a0004); /* reuse after wrap */
    ipam_close(p);
}

static void test_a_released_address_rests(void **state)
{
    struct ipam *p = open_29();
    assert_int_equal(take(p, "a"), 0x0a2a0002);
    ipam_release(p, STR("a"));
    assert_int_equal(take(p, "b"), 0x0a2a0003);
    p = ipam_close(p);
    p = open_29();
    ipam_release(p, STR("b"));
    assert_int_equal(take(p, "c"), 0x0a2a0004); /* the turn survives too */
    ipam_close(p);
}

static void test_found_again(void **state)
{
    struct ipam *p = open_29();
    uint32_t a = take(p, "a"), b = take(p, "b"), found = 0;
    ipam_close(p); /* nothing is written here: as after kill -9 */
    int fd = open(dir, O_RDONLY | O_DIRECTORY);
    close(openat(fd, "new.10.42.0.5", O_CREAT | O_WRONLY, 0600)); /* killed between writing and taking */
    close(openat(fd, "10.99.0.1", O_CREAT | O_WRONLY, 0600));     /* not of our range */
    p = open_29();
    assert_true(ipam_find(p, STR("a"), &found) && found == a);
    assert_true(ipam_find(p, STR("b"), &found) && found == b);
    assert_int_equal(ipam_count(p), 2);
    assert_int_equal(faccessat(fd, "new.10.42.0.5", F_OK, 0), -1);
    assert_int_equal(faccessat(fd, "10.99.0.1", F_OK, 0), 0);
    close(fd);
    ipam_close(p);
}

static void test_claim(void **state)
{
    struct ipam *p = open_29();
    assert_int_equal(ipam_claim(p, STR("a"), 0x0a2a0005), 0);
    assert_int_equal(ipam_claim(p, STR("a"), 0x0a2a0005), 0);
    assert_int_equal(ipam_claim(p, STR("b"), 0x0a2a0005), -EADDRINUSE);
    assert_int_equal(ipam_claim(p, STR("b"), 0x0a2b0005), -ERANGE);
    assert_int_equal(ipam_claim(p, STR("a"), 0x0a2a0004), 0); /* moves */
    assert_int_equal(ipam_count(p), 1);
    ipam_close(p);
}

static bool keep_a(void *ctx, struct str owner, uint32_t address)
{
    return str_is(owner, "a");
}

static void test_sweep(void **state)
{
    struct ipam *p = open_29();
    take(p, "a"), take(p, "b"), take(p, "c");
    ipam_sweep(p, keep_a, NULL);
    p = ipam_close(p);
    p = open_29();
    assert_int_equal(ipam_count(p), 1);
    ipam_close(p);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_parses),
                                       T(test_gives_in_turn_and_to_the_end),
                                       T(test_a_released_address_rests),
                                       T(test_found_again),
                                       T(test_claim),
                                       T(test_sweep)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
