/* store/crash_test.c - power cuts, full and broken disks, on a disk that forgets what was not synced; and kill -9 on a
 * real one.
 *
 * SAMPAN_LONG=1 runs many more rounds. */
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>

#include "store/faulty_vfs.h"
#include "store/test_sqlite.h"

enum { KEYS = 12, OPS_MAX = 40 };

static int rounds(int normal, int many)
{
    const char *set = getenv("SAMPAN_LONG");
    return set && *set == '1' ? many : normal;
}

static int setup(void **state)
{
    faulty_vfs_install(1);
    *state = disk_new();
    return 0;
}

static int teardown(void **state)
{
    disk_free(*state);
    faulty_vfs_remove();
    return 0;
}

/* ---- what was acknowledged must be there */

struct model {
    uint64_t acked[KEYS]; /* revision; 0: absent */
    uint64_t tried[KEYS]; /* the newest one sent; what is found lies between the two. Deletes count as KEY_DELETED */
    bool acked_gone[KEYS];
    uint64_t highest; /* ever seen */
    bool quiet;
};
struct attempt {
    struct model *m;
    int key;
    bool is_delete, answered;
    int error;
};

static const char *name_of(struct disk_world *w, int key)
{
    return str_fmtz(w->mem, "k%02d", key);
}

static void on_answer(void *ctx, int error, int failed, uint64_t rev)
{
    struct attempt *a = ctx;
    a->answered = true;
    a->error = error;
    if (error)
        return;
    a->m->acked[a->key] = a->is_delete ? 0 : rev;
    if (rev > a->m->highest)
        a->m->highest = rev;
}

/* Some writes at once, then time; true while the disk works. */
static bool burst(struct disk_world *w, struct model *m)
{
    struct attempt a[8];
    int n = 1 + (int)(loop_rand(w->loop, RAND_TEST) % 8), key = (int)(loop_rand(w->loop, RAND_TEST) % KEYS);
    bool ok = true;
    for (int i = 0; i < n; i++) {
        int k = (key + i) % KEYS;
        uint64_t rev = disk_rev(w, name_of(w, k));
        bool is_delete = rev && loop_rand(w->loop, RAND_TEST) % 4 == 0;
        struct obj *o = test_pod(name_of(w, k), "some words that make the row a little longer");
        struct store_op op = is_delete ? test_del(o, rev) : test_put(o, rev);
        a[i] = (struct attempt){.m = m, .key = k, .is_delete = is_delete};
        store_commit(w->store, &op, 1, on_answer, &a[i]);
        m->tried[k] = o->rev;
    }
    loop_sim_run(w->loop, 300);
    for (int i = 0; i < n; i++) {
        assert_true(a[i].answered);
        assert_true(a[i].error == 0 || a[i].error == -EIO || a[i].error == -ENOSPC || a[i].error == -EROFS);
        ok &= a[i].error == 0;
    }
    return ok;
}

/* Returns how many broken promises it found. */
static int check_model(struct disk_world *w, struct model *m)
{
    struct store_state s = disk_state(w);
    int broken = (s.rev < m->highest) + s.read_only;
    for (int k = 0; k < KEYS; k++) {
        uint64_t rev = disk_rev(w, name_of(w, k));
        /* The last write may be there though it was not acknowledged: a lost answer. A delete likewise. */
        bool as_acked = rev == m->acked[k], as_tried = m->tried[k] > m->acked[k] && (rev == m->tried[k] || rev == 0);
        if (!as_acked && !as_tried) {
            if (!m->quiet)
                print_message("k%02d is at %d, acknowledged %d, tried %d\n", k, (int)rev, (int)m->acked[k],
                              (int)m->tried[k]);
            broken++;
        }
        m->acked[k] = m->tried[k] = rev;
    }
    if (s.rev > m->highest)
        m->highest = s.rev;
    return broken;
}

/* Four lives, each ended by a power cut. */
static int lives(uint64_t seed, bool lies)
{
    struct model m = {.quiet = lies};
    int broken = 0;
    faulty_vfs_install(seed);
    if (lies)
        faulty_vfs_lie();
    struct disk_world *w = disk_new();
    for (int life = 0; life < 4 && !broken; life++) {
        if (disk_try_open(w, NULL) < 0) {
            broken++;
            break;
        }
        for (uint64_t i = 0; i < seed; i++)
            loop_rand(w->loop, RAND_TEST);
        broken += check_model(w, &m);
        if (disk_state(w).read_only)
            break;
        faulty_vfs_fail(FAULT_IO, (int)(loop_rand(w->loop, RAND_TEST) % 400));
        for (int i = 0; i < OPS_MAX && burst(w, &m); i++)
            if (i % 16 == 7)
                store_compact(w->store);
        faulty_vfs_fail(FAULT_IO, 0);
        disk_close(w);
        faulty_vfs_power_cut();
    }
    if (!broken) {
        disk_open(w);
        broken += check_model(w, &m);
    }
    disk_free(w);
    return broken;
}

static void test_power_cuts(void **state)
{
    int n = rounds(150, 5000);
    for (int seed = 1; seed <= n; seed++)
        if (lives((uint64_t)seed, /* lies= */ false))
            fail_msg("seed %d", seed);
}

/* The control: the same test on a disk that lies about syncs must find losses. */
static void test_power_cuts_on_a_lying_disk(void **state)
{
    int broken = 0;
    for (int seed = 1; seed <= 10; seed++)
        broken += lives((uint64_t)seed, /* lies= */ true);
    assert_true(broken > 0);
}

/* ---- errors that pass */

static void test_errors_pass_and_nothing_is_fed(void **state)
{
    static const struct {
        enum fault fault;
        int error;
        const char *why;
    } cases[] = {{FAULT_FULL, -ENOSPC, "no space left"},
                 {FAULT_READONLY, -EROFS, "read-only"},
                 {FAULT_IO, -EIO, "writing"},
                 {FAULT_FSYNC, -EIO, "writing"}};
    struct disk_world *w = *state;
    disk_open(w);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *name = name_of(w, (int)i);
        uint64_t rev = disk_put(w, name, "1", 0).rev, head = cache_rev(w->cache);
        faulty_vfs_fail(cases[i].fault, 0);
        struct test_result r = disk_put(w, name, "2", rev);
        assert_int_equal(r.error, cases[i].error);
        assert_int_equal(cache_rev(w->cache), head);
        assert_int_equal(disk_rev(w, name), rev);
        assert_true(disk_state(w).read_only && str_has(disk_state(w).why, str_of(cases[i].why)));
        r = disk_put_volatile(w, name, "3", rev); /* needs no disk */
        assert_int_equal(r.error, 0);
        faulty_vfs_fail(FAULT_NONE, 0);
        r = disk_put(w, name, "4", r.rev);
        assert_int_equal(r.error, 0);
        assert_false(disk_state(w).read_only);
    }
    disk_close(w);
    disk_open(w);
    for (int i = 0; i < 4; i++)
        assert_true(disk_rev(w, name_of(w, i)) > 0);
}

/* What stands on the failed write fails with it, however it was ordered. */
static void test_a_failed_batch_fails_what_is_stacked_on_it(void **state)
{
    struct disk_world *w = *state;
    struct test_result r[4] = {0};
    disk_open(w);
    uint64_t b = disk_put(w, "b", "", 0).rev;
    faulty_vfs_fail(FAULT_FULL, 0);
    struct obj *first = test_pod("a", "1");
    struct store_op ops[] = {test_put(first, 0), test_put(test_pod("a", "2"), 0), test_put(test_pod("a", "renewed"), 0),
                             test_put(test_pod("b", "v"), b)};
    store_commit(w->store, &ops[0], 1, test_done, &r[0]);
    ops[1].expect_rev = first->rev;
    store_commit(w->store, &ops[1], 1, test_done, &r[1]);
    ops[2].expect_rev = ops[1].obj->rev;
    ops[2].is_volatile = ops[3].is_volatile = true;
    store_commit(w->store, &ops[2], 1, test_done, &r[2]);
    store_commit(w->store, &ops[3], 1, test_done, &r[3]);
    loop_sim_run(w->loop, 1000);
    assert_true(r[0].error == -ENOSPC && r[1].error == -ENOSPC && r[2].error == -ENOSPC);
    assert_int_equal(r[3].error, 0); /* volatile, and its ground stands */
    assert_int_equal(disk_rev(w, "a"), 0);
    faulty_vfs_fail(FAULT_NONE, 0);
    assert_int_equal(disk_put(w, "a", "again", 0).error, 0);
}

/* An error anywhere, then recovery without a restart. */
static void test_an_error_at_every_operation(void **state)
{
    struct disk_world *w = *state;
    struct model m = {0};
    disk_open(w);
    for (int i = 0; i < 8; i++)
        loop_rand(w->loop, RAND_TEST);
    for (int at = 0; at < 60; at++)
        for (int fault = FAULT_FULL; fault <= FAULT_FSYNC; fault++) {
            faulty_vfs_fail((enum fault)fault, at);
            while (burst(w, &m))
                ;
            faulty_vfs_fail(FAULT_NONE, 0);
            assert_true(burst(w, &m));
            for (int k = 0; k < KEYS; k++) {
                assert_int_equal(disk_rev(w, name_of(w, k)), m.acked[k]);
                m.tried[k] = m.acked[k];
            }
        }
    disk_close(w);
    disk_open(w);
    assert_int_equal(check_model(w, &m), 0);
}

/* ---- kill -9, on the real disk. The child tells what was acknowledged over a pipe, before it can die. */

struct told {
    enum { TOLD_START, TOLD_HAVE, TOLD_ACKED, TOLD_ACKED_VOLATILE } what;
    int key;
    uint64_t rev;
};
struct child {
    struct disk_world *w;
    int fd;
    uint64_t writes;
};
struct child_write {
    struct child *c;
    int key;
    bool is_volatile;
};

static void child_next(struct child *c);

static void tell(int fd, int what, int key, uint64_t rev)
{
    const struct told t = {what, key, rev};
    if (write(fd, &t, sizeof t) != sizeof t)
        _exit(2);
}

static void child_acked(void *ctx, int error, int failed, uint64_t rev)
{
    struct child_write *cw = ctx;
    if (error)
        _exit(3);
    tell(cw->c->fd, cw->is_volatile ? TOLD_ACKED_VOLATILE : TOLD_ACKED, cw->key, rev);
    child_next(cw->c);
    free(cw);
}

static void child_next(struct child *c)
{
    struct child_write *cw = malloc(sizeof *cw);
    *cw = (struct child_write){c, (int)(c->writes % KEYS), c->writes % 5 == 0};
    c->writes++;
    const char *name = name_of(c->w, cw->key);
    const struct obj *now = cache_find(c->w->cache, &test_pods, STR("ns"), str_of(name));
    struct store_op op = test_put(test_pod(name, "x"), now ? now->rev : 0);
    op.is_volatile = cw->is_volatile;
    store_commit(c->w->store, &op, 1, child_acked, cw);
}

static void child_run(struct disk_world *w, int fd)
{
    struct child c = {.w = w, .fd = fd};
    w->real_loop = true;
    disk_open(w);
    tell(fd, TOLD_START, 0, disk_state(w).rev);
    for (int k = 0; k < KEYS; k++)
        tell(fd, TOLD_HAVE, k, disk_rev(w, name_of(w, k)));
    for (int i = 0; i < KEYS / 2; i++)
        child_next(&c);
    loop_run(w->loop);
    _exit(1);
}

/* What the parent knows from all lives. */
struct heard {
    uint64_t highest, durable[KEYS];
    int acked;
};

static void hear(struct heard *h, const struct told *t, uint64_t *started)
{
    switch (t->what) {
    case TOLD_START:
        *started = t->rev;
        assert_true(t->rev >= h->highest); /* above everything that was ever told */
        break;
    case TOLD_HAVE:
        assert_true(t->rev >= h->durable[t->key]);
        break;
    case TOLD_ACKED:
        h->durable[t->key] = t->rev;
        h->acked++; /* fall through */
    case TOLD_ACKED_VOLATILE:
        assert_true(t->rev > *started);
        break;
    }
    if (t->rev > h->highest)
        h->highest = t->rev;
}

static void kill_once(struct disk_world *w, struct heard *h, unsigned wait_us)
{
    uint64_t started = 0;
    int fds[2], status;
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        child_run(w, fds[1]);
    }
    close(fds[1]);
    usleep(wait_us);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    assert_true(WIFSIGNALED(status));
    struct told t;
    while (read(fds[0], &t, sizeof t) == sizeof t)
        hear(h, &t, &started);
    close(fds[0]);
}

static void test_kill_at_any_moment(void **state)
{
    struct disk_world *w = disk_new();
    struct heard h = {0};
    int n = rounds(30, 1000);
    for (int i = 0; i < n; i++)
        kill_once(w, &h, 2000 + (unsigned)(i * 7919 % 60000));
    disk_open(w);
    struct store_state s = disk_state(w);
    assert_true(!s.read_only && s.rev >= h.highest && h.acked > n);
    for (int k = 0; k < KEYS; k++)
        assert_true(disk_rev(w, name_of(w, k)) >= h.durable[k]);
    disk_free(w);
}

/* ---- real file systems that are read-only or full, in a mount namespace of their own */

#define MUST(x)                                                                                                        \
    do {                                                                                                               \
        if (!(x))                                                                                                      \
            _exit(__LINE__ % 200 + 10);                                                                                \
    } while (0)

static void read_only_child(struct disk_world *w)
{
    MUST(mount(w->dir, w->dir, NULL, MS_BIND, NULL) == 0);
    MUST(mount(NULL, w->dir, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) == 0);
    disk_open(w);
    uint64_t rev = disk_rev(w, "a");
    MUST(rev && disk_state(w).read_only && str_has(disk_state(w).why, STR("read-only")));
    MUST(disk_put(w, "b", "", 0).error == -EROFS);
    MUST(mount(NULL, w->dir, NULL, MS_BIND | MS_REMOUNT, NULL) == 0);
    MUST(disk_put(w, "b", "", 0).error == 0);
    MUST(disk_put(w, "a", "", rev).error == 0);
    MUST(!disk_state(w).read_only);
    disk_close(w);
    disk_open(w);
    MUST(disk_rev(w, "b") && disk_rev(w, "a") > rev);
    disk_close(w);
}

static void full_child(struct disk_world *w)
{
    static char block[65536];
    MUST(mount("tmpfs", w->dir, "tmpfs", 0, "size=1m") == 0);
    disk_open(w);
    uint64_t rev = disk_put(w, "a", "", 0).rev;
    int fd = open(str_fmtz(w->mem, "%s/filler", w->dir), O_CREAT | O_WRONLY, 0600);
    while (write(fd, block, sizeof block) > 0)
        ;
    struct test_result r = {0};
    for (int i = 0; i < 50 && r.error == 0; i++)
        r = disk_put(w, str_fmtz(w->mem, "p%d", i), "", 0);
    MUST(r.error == -ENOSPC && str_has(disk_state(w).why, STR("no space left")));
    MUST(disk_put(w, "a", "", rev).error == -ENOSPC && disk_rev(w, "a") == rev);
    MUST(ftruncate(fd, 0) == 0);
    MUST(disk_put(w, "a", "", rev).error == 0 && !disk_state(w).read_only);
    disk_close(w);
    disk_open(w); /* and starts when full */
    while (write(fd, block, sizeof block) > 0)
        ;
    disk_close(w);
    disk_open(w);
    MUST(disk_rev(w, "a") > rev);
    disk_close(w);
    MUST(umount2(w->dir, MNT_DETACH) == 0);
}

static void in_namespace(void (*child)(struct disk_world *w))
{
    struct disk_world *w = disk_new();
    disk_open(w);
    disk_put(w, "a", "", 0);
    disk_close(w);
    pid_t pid = fork();
    if (pid == 0) {
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
            _exit(2);
        child(w);
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    disk_free(w);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
        skip(); /* not allowed to make a mount namespace */
    assert_int_equal(status, 0);
}

static void test_read_only_file_system(void **state)
{
    in_namespace(read_only_child);
}

static void test_full_file_system(void **state)
{
    in_namespace(full_child);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kill_at_any_moment),
        cmocka_unit_test(test_read_only_file_system),
        cmocka_unit_test(test_full_file_system),
        T(test_errors_pass_and_nothing_is_fed),
        T(test_a_failed_batch_fails_what_is_stacked_on_it),
        T(test_an_error_at_every_operation),
        cmocka_unit_test(test_power_cuts),
        cmocka_unit_test(test_power_cuts_on_a_lying_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
