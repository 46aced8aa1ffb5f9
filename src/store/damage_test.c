/* store/damage_test.c - every page of a real file is destroyed in turn: what is left is served read-only, what is lost
 * has a name, and repair makes a store that is sound. */
#include "store/test_sqlite.h"

enum { PODS = 120, PAGE = 4096 };

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

static char *db_path(struct disk_world *w, const char *suffix)
{
    return str_fmtz(w->mem, "%s/sampan.db%s", w->dir, suffix);
}

static struct str read_file(struct disk_world *w, const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    char *p = arena_alloc(w->mem, (size_t)st.st_size + 1);
    assert_int_equal(read(fd, p, (size_t)st.st_size), st.st_size);
    close(fd);
    return str_mem(p, (size_t)st.st_size);
}

static void write_file(const char *path, struct str bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes.ptr, bytes.len), bytes.len);
    close(fd);
}

static const char *pod_name(struct disk_world *w, int i)
{
    return str_fmtz(w->mem, "pod-%03d", i);
}

/* PODS pods of all sizes, some changed, some deleted, one value of the server's own. Every fourth of the last is
 * absent. */
static void fill(struct disk_world *w)
{
    char *note = arena_alloc(w->mem, 12001);
    disk_open(w);
    for (int i = 0; i < PODS; i++) {
        size_t len = i % 20 == 0 ? 12000 : 600;
        memset(note, 'a' + i % 26, len);
        note[len] = '\0';
        uint64_t rev = disk_put(w, pod_name(w, i), "first", 0).rev;
        if (i % 4 == 3)
            disk_commit(w, test_del(test_pod(pod_name(w, i), ""), rev));
        else
            disk_put(w, pod_name(w, i), note, rev);
    }
    store_meta_put(w->store, "ca", STR("certificate"), NULL, NULL);
    loop_sim_run(w->loop, 1000);
    disk_close(w);
}

static bool is_lost(const struct store_state *s, struct str key)
{
    for (int i = 0; i < s->lost_count; i++)
        if (str_eq(s->lost_keys[i], key))
            return true;
    return false;
}

/* Every pod is served or named as lost; what was deleted stays so. Returns how many are lost. */
static int check_served(struct disk_world *w)
{
    struct store_state s = disk_state(w);
    int lost = 0;
    for (int i = 0; i < PODS; i++) {
        struct str key = obj_key(w->mem, &test_pods, STR("ns"), str_of(pod_name(w, i)));
        const struct obj *o = cache_get(w->cache, key);
        if (i % 4 == 3)
            assert_true(!o && !is_lost(&s, key));
        else
            assert_true((o != NULL) != is_lost(&s, key));
        if (o)
            assert_true(o->json.len > 600);
        lost += is_lost(&s, key);
    }
    assert_int_equal(lost, s.lost_count);
    return lost;
}

static void check_read_only(struct disk_world *w)
{
    int error = 0;
    struct store_state s = disk_state(w);
    assert_true(s.read_only && str_has(s.why, STR("sampan store repair")));
    assert_int_equal(disk_put(w, "new", "", 0).error, -EROFS);
    assert_int_equal(disk_put_volatile(w, "new", "", 0).error, -EROFS);
    for (int i = 0; i < s.lost_count && i < 20; i++)
        assert_true(str_has(s.why, s.lost_keys[i]));
    store_meta_put(w->store, "x", STR("y"), NULL, NULL);
    loop_sim_run(w->loop, 100);
    assert_int_equal(error, 0);
}

static void repair(struct disk_world *w, struct str *ret_report)
{
    struct sb out = SB(w->mem);
    int error = store_repair_sqlite(w->dir, &out);
    if (error)
        fail_msg("%d: " STR_FMT, error, STR_ARG(sb_str(&out)));
    *ret_report = sb_str(&out);
}

/* After a repair: sound, writable, nothing gone that was served; lost objects came back at an older revision or are
 * named. */
static void check_repaired(struct disk_world *w, struct str report, uint64_t rev_before)
{
    struct str again;
    repair(w, &again);
    assert_true(str_has(again, STR("is sound")));
    disk_open(w);
    struct store_state s = disk_state(w);
    assert_true(!s.read_only && s.lost_count == 0 && s.rev > rev_before);
    for (int i = 0; i < PODS; i++) {
        struct str name = str_of(pod_name(w, i)), key = obj_key(w->mem, &test_pods, STR("ns"), name);
        const struct obj *o = cache_get(w->cache, key);
        if (i % 4 == 3)
            assert_null(o);
        else if (!o)
            assert_true(str_has(report, str_fmt(w->mem, "lost: " STR_FMT, STR_ARG(key))));
        else if (o->json.len < 600)
            assert_true(str_has(report, str_fmt(w->mem, "older revision: " STR_FMT, STR_ARG(key))));
    }
    assert_int_equal(disk_put(w, "new", "", 0).error, 0);
    disk_close(w);
}

static void destroy(struct disk_world *w, struct str whole, size_t page, int how)
{
    char *bytes = memcpy(arena_alloc(w->mem, whole.len), whole.ptr, whole.len);
    for (size_t i = 0; i < PAGE; i++)
        bytes[page * PAGE + i] = (char)(how == 0   ? 0
                                        : how == 1 ? (int)(i * 2654435761u >> 13)
                                                   : bytes[page * PAGE + i]);
    if (how == 2) /* one bit in the middle */
        bytes[page * PAGE + PAGE / 2] ^= 0x10;
    unlink(db_path(w, "-wal"));
    unlink(db_path(w, ".damaged"));
    write_file(db_path(w, ""), str_mem(bytes, whole.len));
}

static void test_every_page_destroyed_in_turn(void **state)
{
    struct disk_world *w = *state;
    fill(w);
    struct str whole = read_file(w, db_path(w, "")), report;
    size_t pages = whole.len / PAGE;
    int damaged = 0, lost = 0, first_page_lost = 0;
    assert_true(pages > 40);
    for (size_t page = 0; page < pages; page++)
        for (int how = 0; how < 3; how++) {
            destroy(w, whole, page, how);
            struct str why = STR_NULL;
            int error = disk_try_open(w, &why);
            if (error)
                fail_msg("page %d, %d: %d " STR_FMT, (int)page, how, error, STR_ARG(why));
            uint64_t rev = disk_state(w).rev;
            int n = check_served(w);
            if (disk_state(w).read_only) {
                damaged++;
                lost += n;
                first_page_lost += page == 0 ? n : 0;
                check_read_only(w);
                disk_close(w);
                repair(w, &report);
                check_repaired(w, report, page == 3 ? 0 : rev);
            } else {
                disk_close(w);
            }
        }
    assert_true(damaged > (int)pages && lost > 0 && lost < PODS * 3);
    assert_int_equal(first_page_lost, 0);
}

/* The log's last bytes were on their way when the power went: the WAL is cut at any length, or its end is noise. */
static void write_and_die(struct disk_world *w)
{
    if (fork() == 0) {
        disk_open(w);
        for (int i = 0; i < 20; i++)
            disk_put(w, pod_name(w, i), "x", 0);
        _exit(0);
    }
    int status;
    wait(&status);
}

static void test_torn_tail_heals_alone(void **state)
{
    struct disk_world *w = *state;
    disk_open(w);
    disk_put(w, "base", "", 0);
    disk_close(w);
    write_and_die(w);
    struct str db = read_file(w, db_path(w, "")), wal = read_file(w, db_path(w, "-wal"));
    assert_true(wal.len > 20 * PAGE);
    for (size_t cut = 0; cut < wal.len; cut += 777) {
        for (int noise = 0; noise < 2; noise++) {
            char *torn = memcpy(arena_alloc(w->mem, wal.len), wal.ptr, wal.len);
            for (size_t i = wal.len - cut; noise && i < wal.len; i++)
                torn[i] ^= (char)(i * 31 + 1);
            write_file(db_path(w, ""), db);
            write_file(db_path(w, "-wal"), str_mem(torn, noise ? wal.len : wal.len - cut));
            disk_open(w);
            assert_false(disk_state(w).read_only);
            assert_true(disk_rev(w, "base") > 0);
            bool before = true; /* a prefix of the writes is there */
            for (int i = 0; i < 20; i++) {
                bool there = disk_rev(w, pod_name(w, i)) > 0;
                assert_true(!there || before);
                before = there;
            }
            assert_int_equal(disk_put(w, "new", "", 0).error, 0);
            disk_close(w);
        }
    }
}

static void test_repair_of_what_is_not_there(void **state)
{
    struct disk_world *w = *state;
    struct sb out = SB(w->mem);
    assert_int_equal(store_repair_sqlite(w->dir, &out), -ENOENT);
    assert_true(str_has(sb_str(&out), STR("No such file")));
}

static void test_repair_while_a_server_runs(void **state)
{
    struct disk_world *w = *state;
    disk_open(w);
    disk_put(w, "a", "", 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct sb out = SB(w->mem);
        _exit(store_repair_sqlite(w->dir, &out) == -EBUSY && str_has(sb_str(&out), STR("another server")) ? 0 : 1);
    }
    int status;
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_every_page_destroyed_in_turn),
        T(test_torn_tail_heals_alone),
        T(test_repair_of_what_is_not_there),
        T(test_repair_while_a_server_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
