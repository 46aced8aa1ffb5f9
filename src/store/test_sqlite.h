/* store/test_sqlite.h - a store in a directory of its own, for the tests of this folder. */
#ifndef SAMPAN_STORE_TEST_SQLITE_H
#define SAMPAN_STORE_TEST_SQLITE_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "store/test_store.h"

struct disk_world {
    struct loop *loop;
    struct cache *cache;
    struct store *store;
    struct arena *mem;
    char dir[32];
    size_t budget;
    bool real_loop;
};

static inline void quiet(void *data, struct str line)
{
}

static inline struct disk_world *disk_new(void)
{
    struct disk_world *w = calloc(1, sizeof *w);
    log_set_sink(quiet, NULL);
    memcpy(w->dir, "store-test-XXXXXX", sizeof "store-test-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    w->mem = arena_new();
    w->budget = 10 << 20;
    return w;
}

/* 0 or what store_open_sqlite said; *why may be NULL. */
static inline int disk_try_open(struct disk_world *w, struct str *why)
{
    struct str ignored;
    w->loop = w->real_loop ? loop_new_uv() : loop_new_sim(1);
    w->cache = cache_new(&(struct cache_opts){.loop = w->loop});
    const struct store_opts opts = {.loop = w->loop, .dir = w->dir, .volatile_bytes_per_h = w->budget};
    int error = store_open_sqlite(&opts, w->mem, cache_feed, w->cache, &w->store, why ? why : &ignored);
    if (!error)
        cache_set_store(w->cache, w->store);
    return error;
}

static inline void disk_open(struct disk_world *w)
{
    struct str why = STR_NULL;
    int error = disk_try_open(w, &why);
    if (error)
        fail_msg("%d: " STR_FMT, error, STR_ARG(why));
}

static inline void disk_close(struct disk_world *w)
{
    w->store = store_close(w->store);
    if (w->loop && !w->real_loop)
        loop_sim_run(w->loop, 1000); /* a job's last breath */
    w->cache = cache_free(w->cache);
    w->loop = loop_free(w->loop);
}

static inline void remove_tree(const char *dir)
{
    cleanup_arena struct arena *mem = arena_new();
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        char *path = str_fmtz(mem, "%s/%s", dir, e->d_name);
        if (unlink(path) < 0)
            remove_tree(path);
    }
    if (d)
        closedir(d);
    rmdir(dir);
}

static inline void disk_free(struct disk_world *w)
{
    disk_close(w);
    remove_tree(w->dir);
    arena_free(w->mem);
    log_set_sink(NULL, NULL);
    free(w);
}

static inline struct test_result disk_commit(struct disk_world *w, struct store_op op)
{
    struct test_result r = {0};
    store_commit(w->store, &op, 1, test_done, &r);
    assert_false(r.called);
    loop_sim_run(w->loop, 200);
    assert_true(r.called);
    return r;
}

static inline struct test_result disk_put(struct disk_world *w, const char *name, const char *note, uint64_t expect)
{
    return disk_commit(w, test_put(test_pod(name, note), expect));
}

static inline struct test_result disk_put_volatile(struct disk_world *w, const char *name, const char *note,
                                                   uint64_t expect)
{
    struct store_op op = test_put(test_pod(name, note), expect);
    op.is_volatile = true;
    return disk_commit(w, op);
}

static inline uint64_t disk_rev(struct disk_world *w, const char *name)
{
    const struct obj *o = cache_find(w->cache, &test_pods, STR("ns"), str_of(name));
    return o ? o->rev : 0;
}

static inline struct store_state disk_state(struct disk_world *w)
{
    struct store_state s;
    store_get_state(w->store, &s);
    return s;
}

#endif
