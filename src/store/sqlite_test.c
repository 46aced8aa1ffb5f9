/* store/sqlite_test.c - the store on disk, in virtual time: what survives, what is written, what is refused. */
#include "store/test_sqlite.h"

#include <sqlite3.h>

#include "store/crc.h"

static int setup(void **state)
{
    *state = disk_new();
    return 0;
}

static int teardown(void **state)
{
    disk_free(*state);
    return 0;
}

static void test_crc32c(void **state)
{
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283); /* RFC 3720 */
    char buf[100];
    for (int i = 0; i < 100; i++)
        buf[i] = (char)(i * 37);
    for (size_t from = 0; from < 8; from++)
        for (size_t n = 0; n + from < sizeof buf; n++)
            assert_int_equal(crc32c(7, buf + from, n), crc32c_table(7, buf + from, n));
}

static void test_objects_survive_a_clean_stop(void **state)
{
    struct disk_world *w = *state;
    disk_open(w);
    uint64_t a = disk_put(w, "a", "1", 0).rev;
    a = disk_put(w, "a", "2", a).rev;
    uint64_t b = disk_put(w, "b", "1", 0).rev;
    assert_int_equal(disk_commit(w, test_del(test_pod("b", ""), b)).error, 0);
    uint64_t c = disk_put(w, "c", "1", 0).rev, head = disk_state(w).rev;
    disk_close(w);
    disk_open(w);
    assert_int_equal(disk_rev(w, "a"), a);
    assert_int_equal(disk_rev(w, "b"), 0);
    assert_int_equal(disk_rev(w, "c"), c);
    assert_int_equal(disk_state(w).rev, head);
    assert_int_equal(disk_state(w).complete_since, head); /* a watch from the last revision goes on */
    assert_int_equal(cache_rev(w->cache), head);
    assert_true(disk_put(w, "d", "", 0).rev > head);
    assert_int_equal(disk_put(w, "a", "lost race", a + 1).error, -EAGAIN);
}

/* The process dies: nothing is closed. A fork has its own copy of everything but the disk. */
static void die_after(struct disk_world *w, void (*act)(struct disk_world *w))
{
    pid_t pid = fork();
    if (pid == 0) {
        disk_open(w);
        act(w);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void write_then_renew(struct disk_world *w)
{
    uint64_t rev = disk_put(w, "a", "1", 0).rev;
    for (int i = 0; i < 50; i++)
        rev = disk_put_volatile(w, "a", "2", rev).rev;
    if (rev != 52) /* what the parent counts on */
        _exit(1);
}

static void test_unclean_stop_skips_a_block(void **state)
{
    struct disk_world *w = *state;
    die_after(w, write_then_renew);
    disk_open(w);
    assert_int_equal(disk_rev(w, "a"), 2); /* the renewals are gone */
    assert_true(disk_state(w).rev >= 52);  /* but not their revisions */
    assert_int_equal(disk_state(w).complete_since, disk_state(w).rev);
    struct cache_sub sub = {.prefix = STR("pods/")};
    struct err err = ERR(w->mem);
    assert_int_equal(cache_subscribe(w->cache, &sub, 52, &err), -1);
    assert_int_equal(err.reason, ERR_EXPIRED);
    assert_int_equal(cache_subscribe(w->cache, &sub, cache_rev(w->cache), &err), 0);
    cache_unsubscribe(w->cache, &sub);
    assert_true(disk_put(w, "b", "", 0).rev > 52);
}

static void nothing(struct disk_world *w)
{
}

static void test_start_and_stop_write_nothing(void **state)
{
    struct disk_world *w = *state;
    disk_open(w);
    disk_put(w, "a", "", 0);
    disk_close(w);
    struct stat before, after;
    char *path = str_fmtz(w->mem, "%s/sampan.db", w->dir);
    assert_int_equal(stat(path, &before), 0);
    die_after(w, nothing); /* dying without a write is a clean stop too */
    disk_open(w);
    assert_int_equal(disk_state(w).rev, disk_state(w).complete_since);
    assert_int_equal(disk_state(w).rev, 2);
    loop_sim_run(w->loop, 3600 * 1000);
    assert_int_equal(disk_state(w).bytes_written, 0);
    disk_close(w);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
}

static void test_volatile_is_written_within_the_budget(void **state)
{
    struct disk_world *w = *state;
    w->budget = 200000;
    disk_open(w);
    uint64_t rev[20];
    for (int i = 0; i < 20; i++)
        rev[i] = disk_put(w, str_fmtz(w->mem, "lease-%d", i), "", 0).rev;
    uint64_t before = disk_state(w).bytes_written, fsyncs = disk_state(w).fsyncs;
    for (int s = 0; s < 3600; s += 10)
        for (int i = 0; i < 20; i++) {
            struct test_result r = disk_put_volatile(w, str_fmtz(w->mem, "lease-%d", i), "renewed", rev[i]);
            assert_int_equal(r.error, 0);
            rev[i] = r.rev;
            loop_sim_run(w->loop, 300);
        }
    uint64_t written = disk_state(w).bytes_written - before;
    assert_in_range(written, 20 * 300, 200000);
    assert_in_range(disk_state(w).fsyncs - fsyncs, 1, 7);
    disk_close(w); /* the rest goes out at the end */
    disk_open(w);
    for (int i = 0; i < 20; i++)
        assert_int_equal(disk_rev(w, str_fmtz(w->mem, "lease-%d", i)), rev[i]);
}

static void renew_for_an_hour(struct disk_world *w)
{
    uint64_t rev = disk_put(w, "a", "1", 0).rev, event;
    rev = disk_put_volatile(w, "a", "2", rev).rev;
    event = disk_put_volatile(w, "event", "", 0).rev;
    loop_sim_run(w->loop, 3600 * 1000);
    struct store_op del = test_del(test_pod("event", ""), event);
    del.is_volatile = true;
    if (disk_commit(w, del).error || disk_put(w, "b", "", 0).error)
        _exit(1);
    loop_sim_run(w->loop, 3600 * 1000);
    disk_put_volatile(w, "a", "3", rev);
}

static void test_volatile_reaches_the_disk_in_time(void **state)
{
    struct disk_world *w = *state;
    die_after(w, renew_for_an_hour);
    disk_open(w);
    assert_int_equal(disk_rev(w, "a"), 3);
    assert_int_equal(disk_rev(w, "event"), 0);
    assert_true(disk_rev(w, "b") > 0);
}

static void test_volatile_delete_of_what_was_never_written(void **state)
{
    struct disk_world *w = *state;
    disk_open(w);
    disk_put(w, "a", "", 0);
    uint64_t e = disk_put_volatile(w, "event", "", 0).rev;
    struct store_op del = test_del(test_pod("event", ""), e);
    del.is_volatile = true;
    assert_int_equal(disk_commit(w, del).error, 0);
    uint64_t before = disk_state(w).bytes_written;
    loop_sim_run(w->loop, 3600 * 1000);
    assert_int_equal(disk_state(w).bytes_written, before);
    assert_int_equal(disk_put(w, "event", "again", 0).error, 0);
    disk_close(w);
    disk_open(w);
    assert_true(disk_rev(w, "event") > e);
}

/* ---- group commit */

static void test_many_writes_share_one_fsync(void **state)
{
    struct disk_world *w = *state;
    disk_open(w);
    disk_put(w, "first", "", 0);
    uint64_t before = disk_state(w).fsyncs;
    static struct test_result r[500];
    memset(r, 0, sizeof r);
    for (int i = 0; i < 500; i++) {
        struct store_op op = test_put(test_pod(str_fmtz(w->mem, "p%d", i), ""), 0);
        store_commit(w->store, &op, 1, test_done, &r[i]);
    }
    loop_sim_run(w->loop, 1000);
    for (int i = 0; i < 500; i++) {
        assert_true(r[i].called && r[i].error == 0);
        assert_true(i == 0 || r[i].rev > r[i - 1].rev);
    }
    assert_int_equal(disk_state(w).fsyncs - before, 1);
}

/* A chain of writes to one key, gathered over several batches, and a watcher that sees every one in order. */
struct chain {
    struct disk_world *w;
    uint64_t seen;
    int events;
};
static struct chain chain;

static void on_chain(struct cache_sub *sub, struct cache_event *ev)
{
    assert_true(ev->rev > chain.seen);
    chain.seen = ev->rev;
    chain.events++;
}

static void test_writes_pipeline_behind_a_flush(void **state)
{
    struct disk_world *w = *state;
    struct cache_sub sub = {.prefix = STR("pods/"), .on_event = on_chain};
    static struct test_result r[60];
    memset(r, 0, sizeof r);
    chain = (struct chain){.w = w};
    disk_open(w);
    cache_subscribe(w->cache, &sub, 0, NULL);
    uint64_t rev = 0;
    for (int i = 0; i < 60; i++) {
        struct store_op op = test_put(test_pod("a", ""), rev);
        store_commit(w->store, &op, 1, test_done, &r[i]);
        rev = op.obj->rev;
        loop_sim_run(w->loop, 1);
    }
    loop_sim_run(w->loop, 1000);
    for (int i = 0; i < 60; i++)
        assert_int_equal(r[i].error, 0);
    assert_int_equal(chain.events, 60);
    assert_true(disk_state(w).fsyncs < 50);
    cache_unsubscribe(w->cache, &sub);
}

/* ---- upkeep */

static int rows(struct disk_world *w, const char *table)
{
    sqlite3 *db;
    sqlite3_stmt *s;
    assert_int_equal(sqlite3_open(str_fmtz(w->mem, "%s/sampan.db", w->dir), &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, str_fmtz(w->mem, "SELECT count(*) FROM %s", table), -1, &s, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    int n = sqlite3_column_int(s, 0);
    sqlite3_finalize(s);
    sqlite3_close(db);
    return n;
}

static void test_compaction_leaves_what_is_needed(void **state)
{
    struct disk_world *w = *state;
    disk_open(w);
    uint64_t rev = 0;
    for (int i = 0; i < 600; i++)
        rev = disk_put(w, "a", "", rev).rev;
    uint64_t b = disk_put(w, "b", "", 0).rev;
    disk_commit(w, test_del(test_pod("b", ""), b));
    disk_close(w);
    assert_int_equal(rows(w, "log"), 602);
    disk_open(w);
    loop_sim_run(w->loop, 1000);
    assert_int_equal(disk_rev(w, "a"), rev);
    store_compact(w->store);
    loop_sim_run(w->loop, 10000);
    disk_close(w);
    assert_int_equal(rows(w, "log"), 1);
    assert_int_equal(rows(w, "names"), 1);
    disk_open(w);
    assert_int_equal(disk_rev(w, "a"), rev);
    assert_int_equal(disk_rev(w, "b"), 0);
}

static void test_compaction_by_itself_after_the_window(void **state)
{
    struct disk_world *w = *state;
    disk_open(w);
    uint64_t rev = 0;
    for (int i = 0; i < 1000; i++)
        rev = disk_put(w, "a", "", rev).rev;
    loop_sim_run(w->loop, 3600 * 1000);
    uint64_t written = disk_state(w).bytes_written;
    loop_sim_run(w->loop, 3600 * 1000);
    assert_int_equal(disk_state(w).bytes_written, written); /* then rest */
    disk_close(w);
    assert_true(rows(w, "log") < 600);
}

static void on_done(void *ctx, int error)
{
    *(int *)ctx = error;
}

static void test_backup_while_writing(void **state)
{
    struct disk_world *w = *state;
    struct test_result r[100] = {0};
    int done = 1;
    disk_open(w);
    for (int i = 0; i < 50; i++)
        disk_put(w, str_fmtz(w->mem, "p%d", i), "", 0);
    store_meta_put(w->store, "ca", STR("secret"), NULL, NULL);
    loop_sim_run(w->loop, 100);
    char *to_dir = str_fmtz(w->mem, "%s/copy", w->dir);
    assert_int_equal(mkdir(to_dir, 0700), 0);
    assert_int_equal(store_backup_sqlite(w->store, str_fmtz(w->mem, "%s/sampan.db", to_dir), on_done, &done), 0);
    for (int i = 0; i < 100; i++) {
        struct store_op op = test_put(test_pod(str_fmtz(w->mem, "q%d", i), ""), 0);
        store_commit(w->store, &op, 1, test_done, &r[i]);
        loop_sim_run(w->loop, 1);
    }
    loop_sim_run(w->loop, 1000);
    assert_int_equal(done, 0);
    assert_int_equal(store_backup_sqlite(w->store, str_fmtz(w->mem, "%s/sampan.db", to_dir), on_done, &done), -EEXIST);
    uint64_t head = disk_state(w).rev;
    disk_close(w);
    char dir[sizeof w->dir];
    memcpy(dir, w->dir, sizeof dir);
    snprintf(w->dir, sizeof w->dir, "%.20s/copy", dir);
    disk_open(w);
    struct str ca;
    assert_true(disk_rev(w, "p0") && disk_rev(w, "p49"));
    assert_true(disk_state(w).rev > head); /* a restore never goes back */
    assert_int_equal(store_meta_get(w->store, w->mem, "ca", &ca), 0);
    disk_close(w);
    memcpy(w->dir, dir, sizeof dir);
}

/* ---- what is refused */

static void test_two_servers_on_one_directory(void **state)
{
    struct disk_world *w = *state;
    disk_open(w);
    disk_put(w, "a", "", 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct store *other;
        struct str why = STR_NULL;
        struct loop *loop = loop_new_sim(2);
        const struct store_opts o = {.loop = loop, .dir = w->dir};
        int error = store_open_sqlite(&o, w->mem, cache_feed, w->cache, &other, &why);
        _exit(error == -EBUSY && str_has(why, str_fmt(w->mem, "(process %d)", (int)getppid())) ? 0 : 1);
    }
    int status;
    waitpid(pid, &status, 0);
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(disk_put(w, "b", "", 0).error, 0);
}

static void alter(struct disk_world *w, const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(str_fmtz(w->mem, "%s/sampan.db", w->dir), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void test_directory_of_another_version(void **state)
{
    struct disk_world *w = *state;
    struct str why = STR_NULL;
    disk_open(w);
    disk_put(w, "a", "", 0);
    disk_close(w);
    alter(w, "PRAGMA user_version=7");
    assert_int_equal(disk_try_open(w, &why), -EMEDIUMTYPE);
    assert_true(str_has(why, STR("version 7")));
    disk_close(w);
    alter(w, "PRAGMA user_version=1; PRAGMA application_id=5");
    assert_int_equal(disk_try_open(w, &why), -EMEDIUMTYPE);
    assert_true(str_has(why, STR("not a store of Sampan")));
    disk_close(w);
    alter(w, "PRAGMA application_id=1398893936");
    disk_open(w);
    assert_true(disk_rev(w, "a") > 0);
}

static void test_unknown_resources_are_kept(void **state)
{
    struct disk_world *w = *state;
    static const struct resource strange = {.group = "x.example", .name = "widgets", .namespaced = true};
    disk_open(w);
    disk_commit(w, test_put(test_seal(&strange, "{\"metadata\":{\"name\":\"a\",\"namespace\":\"b\"}}"), 0));
    disk_put(w, "a", "", 0);
    disk_close(w);
    disk_open(w);
    assert_true(disk_rev(w, "a") && !disk_state(w).read_only);
    store_compact(w->store);
    loop_sim_run(w->loop, 1000);
    disk_close(w);
    assert_int_equal(rows(w, "log"), 2);
}

/* ---- on real threads */

static void stop_at_last(void *ctx, int error, int failed, uint64_t rev)
{
    struct disk_world *w = ctx;
    assert_int_equal(error, 0);
    if (--w->budget == 0)
        loop_stop(w->loop);
}

static void test_on_a_pool_thread(void **state)
{
    struct disk_world *w = *state;
    w->real_loop = true;
    disk_open(w);
    w->budget = 200;
    for (int i = 0; i < 200; i++) {
        struct store_op op = test_put(test_pod(str_fmtz(w->mem, "p%d", i), ""), 0);
        store_commit(w->store, &op, 1, stop_at_last, w);
    }
    loop_run(w->loop);
    assert_int_equal(cache_count(w->cache, &test_pods), 200);
    w->budget = 100; /* closed with work in hand: all are answered */
    for (int i = 0; i < 100; i++) {
        struct store_op op = test_put(test_pod(str_fmtz(w->mem, "q%d", i), ""), 0);
        store_commit(w->store, &op, 1, stop_at_last, w);
    }
    w->store = store_close(w->store);
    assert_int_equal(w->budget, 0);
    assert_int_equal(cache_count(w->cache, &test_pods), 300);
    disk_close(w);
    w->real_loop = false;
    disk_open(w);
    assert_int_equal(cache_count(w->cache, &test_pods), 300);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc32c),
        T(test_objects_survive_a_clean_stop),
        T(test_unclean_stop_skips_a_block),
        T(test_start_and_stop_write_nothing),
        T(test_volatile_is_written_within_the_budget),
        T(test_volatile_reaches_the_disk_in_time),
        T(test_volatile_delete_of_what_was_never_written),
        T(test_many_writes_share_one_fsync),
        T(test_writes_pipeline_behind_a_flush),
        T(test_compaction_leaves_what_is_needed),
        T(test_compaction_by_itself_after_the_window),
        T(test_backup_while_writing),
        T(test_two_servers_on_one_directory),
        T(test_directory_of_another_version),
        T(test_unknown_resources_are_kept),
        T(test_on_a_pool_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
