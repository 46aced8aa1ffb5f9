/* store/cache_test.c - the common part of a store, over memory, and the cache that it feeds. */
#include "store/test_store.h"

#include <errno.h>

struct world {
    struct loop *loop;
    struct cache *cache;
    struct store *store;
    struct arena *mem;
};

static struct world *world_new(uint64_t seed, int64_t history_ms, size_t history_bytes)
{
    struct world *w = calloc(1, sizeof *w);
    w->loop = loop_new_sim(seed);
    w->cache =
        cache_new(&(struct cache_opts){.loop = w->loop, .history_ms = history_ms, .history_bytes = history_bytes});
    w->mem = arena_new();
    assert_int_equal(store_open_memory(&(struct store_opts){.loop = w->loop}, cache_feed, w->cache, &w->store), 0);
    cache_set_store(w->cache, w->store);
    return w;
}

static void world_free(struct world *w)
{
    store_close(w->store);
    cache_free(w->cache);
    loop_free(w->loop);
    arena_free(w->mem);
    free(w);
}

static int setup(void **state)
{
    *state = world_new(1, 0, 0);
    return 0;
}

static int teardown(void **state)
{
    world_free(*state);
    return 0;
}

static struct test_result commit(struct world *w, struct store_op *ops, int count)
{
    struct test_result r = {0};
    store_commit(w->store, ops, count, test_done, &r);
    assert_false(r.called); /* always from the loop */
    loop_sim_run(w->loop, 100);
    assert_true(r.called);
    return r;
}

static struct test_result put(struct world *w, struct obj *o, uint64_t expect)
{
    return commit(w, (struct store_op[]){test_put(o, expect)}, 1);
}

static struct test_result del(struct world *w, struct obj *o, uint64_t expect)
{
    return commit(w, (struct store_op[]){test_del(o, expect)}, 1);
}

static void test_compare_and_swap(void **state)
{
    struct world *w = *state;
    uint64_t rev = put(w, test_pod("a", "1"), 0).rev;
    assert_true(rev > 0 && cache_rev(w->cache) == rev);
    assert_int_equal(put(w, test_pod("a", "again"), 0).error, -EAGAIN);
    assert_int_equal(put(w, test_pod("a", "stale"), rev + 1).error, -EAGAIN);
    assert_int_equal(put(w, test_pod("b", "absent"), rev).error, -EAGAIN);
    assert_int_equal(del(w, test_pod("b", ""), 0).error, -EAGAIN); /* deleting what is absent */
    struct test_result r = put(w, test_pod("a", "2"), rev);
    assert_true(r.error == 0 && r.rev > rev);
    assert_int_equal(del(w, test_pod("a", ""), r.rev).error, 0);
    assert_null(cache_get(w->cache, STR("pods/ns/a")));
    assert_int_equal(put(w, test_pod("a", "new"), 0).error, 0);
}

static void test_transaction_is_all_or_nothing(void **state)
{
    struct world *w = *state;
    uint64_t rev = put(w, test_pod("a", "1"), 0).rev;
    struct test_result r =
        commit(w, (struct store_op[]){test_put(test_pod("b", "1"), 0), test_put(test_pod("a", "2"), rev + 7)}, 2);
    assert_int_equal(r.error, -EAGAIN);
    assert_int_equal(r.failed, 1);
    assert_null(cache_get(w->cache, STR("pods/ns/b")));
    r = commit(w, (struct store_op[]){test_put(test_pod("b", "1"), 0), test_put(test_pod("a", "2"), rev)}, 2);
    assert_int_equal(r.error, 0);
    assert_int_equal(cache_get(w->cache, STR("pods/ns/a"))->rev, r.rev);
    assert_int_equal(cache_get(w->cache, STR("pods/ns/b"))->rev, r.rev);
}

static void test_writes_to_one_key_queue_up(void **state)
{
    struct world *w = *state;
    struct test_result r[4] = {0};
    struct obj *first = test_pod("a", "1"), *second = test_pod("a", "2"), *third = test_pod("a", "3");
    store_commit(w->store, (struct store_op[]){test_put(first, 0)}, 1, test_done, &r[0]);
    uint64_t rev = first->rev; /* known at once, durable later */
    store_commit(w->store, (struct store_op[]){test_put(second, rev)}, 1, test_done, &r[1]);
    store_commit(w->store, (struct store_op[]){test_put(third, rev)}, 1, test_done, &r[2]); /* lost the race */
    store_commit(w->store, (struct store_op[]){test_del(test_pod("a", "4"), rev + 1)}, 1, test_done, &r[3]);
    loop_sim_run(w->loop, 1000);
    assert_true(r[0].error == 0 && r[1].error == 0 && r[2].error == -EAGAIN && r[3].error == 0);
    assert_true(r[0].rev < r[1].rev && r[1].rev < r[3].rev);
    assert_null(cache_get(w->cache, STR("pods/ns/a")));
}

static void test_close_finishes_what_is_under_way(void **state)
{
    struct world *w = world_new(3, 0, 0);
    struct test_result r[2] = {0};
    store_commit(w->store, (struct store_op[]){test_put(test_pod("a", "1"), 0)}, 1, test_done, &r[0]);
    store_commit(w->store, (struct store_op[]){test_put(test_pod("a", "1"), 0)}, 1, test_done, &r[1]);
    w->store = store_close(w->store);
    assert_true(r[0].called && r[0].error == 0 && r[1].called && r[1].error == -EAGAIN);
    world_free(w);
}

static void meta_done(void *ctx, int error)
{
    *(int *)ctx = error;
}

static void test_meta_values(void **state)
{
    struct world *w = *state;
    struct str got;
    int error = 1;
    assert_int_equal(store_meta_get(w->store, w->mem, "ca", &got), -ENOENT);
    store_meta_put(w->store, "ca", STR("old"), NULL, NULL);
    store_meta_put(w->store, "ca", STR("secret"), meta_done, &error);
    loop_sim_run(w->loop, 100);
    assert_int_equal(error, 0);
    assert_int_equal(store_meta_get(w->store, w->mem, "ca", &got), 0);
    assert_true(str_is(got, "secret"));
}

/* ---- lists and indexes */

static void test_list_and_counts(void **state)
{
    struct world *w = *state;
    static const char *const names[] = {"b", "a", "c-1", "c"};
    for (size_t i = 0; i < 4; i++)
        put(w, test_pod(names[i], ""), 0);
    put(w, test_seal(&test_namespaces, "{\"metadata\":{\"name\":\"z\"}}"), 0);
    assert_int_equal(cache_count(w->cache, &test_pods), 4);
    assert_int_equal(cache_count(w->cache, &test_namespaces), 1);
    assert_int_equal(cache_count(w->cache, &test_deployments), 0);
    struct sb out = SB(w->mem);
    struct cache_iter it = cache_list(w->cache, STR("pods/"), STR_NULL);
    for (struct obj *o; (o = cache_next(&it));)
        sb_addf(&out, STR_FMT " ", STR_ARG(o->name));
    assert_string_equal(sb_z(&out), "a b c c-1 ");
    it = cache_list(w->cache, STR("pods/ns/"), STR("pods/ns/b"));
    assert_true(str_is(cache_next(&it)->name, "c"));
    it = cache_list(w->cache, STR("pods/ns/"), STR("pods/ns/bb")); /* gone meanwhile */
    assert_true(str_is(cache_next(&it)->name, "c"));
    it = cache_list(w->cache, STR("pods/ns/"), STR("pods/ns/c-1"));
    assert_null(cache_next(&it));
    assert_true(cache_find(w->cache, &test_pods, STR("ns"), STR("a")) == cache_get(w->cache, STR("pods/ns/a")));
}

static struct obj *owned(const char *name, const char *owners, const char *node)
{
    cleanup_arena struct arena *mem = arena_new();
    return test_seal(&test_pods, str_fmtz(mem,
                                          "{\"metadata\":{\"name\":\"%s\",\"namespace\":\"ns\",\"ownerReferences\":%s},"
                                          "\"spec\":{\"nodeName\":\"%s\"}}",
                                          name, owners, node));
}

static void expect_names(struct world *w, struct obj **objs, int count, const char *want)
{
    struct sb out = SB(w->mem);
    for (int i = 0; i < count; i++)
        sb_addf(&out, STR_FMT " ", STR_ARG(objs[i]->name));
    assert_string_equal(sb_z(&out), want);
}

static void test_indexes_follow(void **state)
{
    struct world *w = *state;
    int n;
    struct obj **objs;
    uint64_t b = put(w, owned("b", "[{\"uid\":\"o1\"},{\"uid\":\"o2\",\"controller\":true}]", "n1"), 0).rev;
    uint64_t a = put(w, owned("a", "[{\"uid\":\"o1\"}]", ""), 0).rev;
    objs = cache_by_owner(w->cache, w->mem, STR("o1"), &n);
    expect_names(w, objs, n, "a b ");
    objs = cache_by_owner(w->cache, w->mem, STR("o2"), &n);
    expect_names(w, objs, n, "b ");
    objs = cache_pods_of_node(w->cache, w->mem, STR("n1"), &n);
    expect_names(w, objs, n, "b ");
    a = put(w, owned("a", "[{\"uid\":\"o2\"}]", "n1"), a).rev; /* adopted by another, bound */
    objs = cache_by_owner(w->cache, w->mem, STR("o1"), &n);
    expect_names(w, objs, n, "b ");
    objs = cache_by_owner(w->cache, w->mem, STR("o2"), &n);
    expect_names(w, objs, n, "a b ");
    assert_ptr_equal(objs[0], cache_get(w->cache, STR("pods/ns/a")));
    b = put(w, owned("b", "[{\"uid\":\"o1\"},{\"uid\":\"o2\",\"controller\":true}]", "n1"), b).rev; /* the same sets */
    objs = cache_by_owner(w->cache, w->mem, STR("o2"), &n);
    assert_ptr_equal(objs[1], cache_get(w->cache, STR("pods/ns/b")));
    del(w, owned("b", "[]", ""), b);
    objs = cache_by_owner(w->cache, w->mem, STR("o1"), &n);
    expect_names(w, objs, n, "");
    objs = cache_pods_of_node(w->cache, w->mem, STR("n1"), &n);
    expect_names(w, objs, n, "a ");
}

/* ---- watching */

struct watcher {
    struct cache_sub sub;
    struct world *w;
    struct sb seen;
    struct cache_sub *end; /* unsubscribed by the first event */
    int frames_made;
};

static void on_event(struct cache_sub *sub, struct cache_event *ev)
{
    struct watcher *x = (struct watcher *)sub;
    static const char types[] = "+~-";
    sb_addf(&x->seen, "%c" STR_FMT " ", types[ev->type], STR_ARG(ev->obj->name));
    assert_int_equal(ev->obj->rev, ev->rev);
    assert_true((ev->prev == NULL) == (ev->type == CACHE_ADDED));
    if (!ev->frame) {
        ev->frame = cache_frame_new(8);
        x->frames_made++;
    }
    if (x->end)
        cache_unsubscribe(x->w->cache, x->end);
}

static struct watcher *watch(struct world *w, const char *prefix, uint64_t from, int *ret)
{
    struct watcher *x = arena_zalloc(w->mem, sizeof *x);
    struct err err = ERR(w->mem);
    *x = (struct watcher){.sub = {.prefix = str_of(prefix), .on_event = on_event}, .w = w, .seen = SB(w->mem)};
    int r = cache_subscribe(w->cache, &x->sub, from, &err);
    if (ret)
        *ret = r;
    else
        assert_int_equal(r, 0);
    return x;
}

static void test_watch_replays_then_follows(void **state)
{
    struct world *w = *state;
    uint64_t start = cache_rev(w->cache);
    uint64_t a = put(w, test_pod("a", ""), 0).rev, b = put(w, test_pod("b", ""), 0).rev;
    struct watcher *all = watch(w, "pods/", start, NULL), *later = watch(w, "pods/ns/", a, NULL),
                   *live = watch(w, "", 0, NULL), *one = watch(w, "pods/ns/b", 0, NULL),
                   *other = watch(w, "pods/other/", 0, NULL), *odd = watch(w, "po", 0, NULL),
                   *future = watch(w, "pods/", b + 1, NULL);
    assert_string_equal(sb_z(&all->seen), "+a +b ");
    a = put(w, test_pod("a", "2"), a).rev;
    b = del(w, test_pod("b", ""), b).rev;
    put(w, test_pod("bb", ""), 0);
    assert_string_equal(sb_z(&all->seen), "+a +b ~a -b +bb ");
    assert_string_equal(sb_z(&later->seen), "+b ~a -b +bb ");
    assert_string_equal(sb_z(&live->seen), "~a -b +bb ");
    assert_string_equal(sb_z(&odd->seen), "~a -b +bb ");
    assert_string_equal(sb_z(&one->seen), "-b ");
    assert_string_equal(sb_z(&other->seen), "");
    assert_string_equal(sb_z(&future->seen), "-b +bb ");
    assert_int_equal(live->frames_made + all->frames_made + later->frames_made + odd->frames_made + one->frames_made +
                         future->frames_made,
                     2 /* replays */ + 1 + 3);
    cache_unsubscribe(w->cache, &all->sub);
    cache_unsubscribe(w->cache, &all->sub);
    put(w, test_pod("c", ""), 0);
    assert_string_equal(sb_z(&all->seen), "+a +b ~a -b +bb ");
}

static void test_all_objects_of_a_transaction_are_seen(void **state)
{
    struct world *w = *state;
    uint64_t start = cache_rev(w->cache);
    struct watcher *live = watch(w, "pods/", 0, NULL), *from = watch(w, "pods/", start, NULL);
    commit(w, (struct store_op[]){test_put(test_pod("a", ""), 0), test_put(test_pod("b", ""), 0)}, 2);
    struct watcher *replayed = watch(w, "pods/", start, NULL);
    assert_string_equal(sb_z(&live->seen), "+a +b ");
    assert_string_equal(sb_z(&from->seen), "+a +b ");
    assert_string_equal(sb_z(&replayed->seen), "+a +b ");
}

static void test_unsubscribing_inside_an_event(void **state)
{
    struct world *w = *state;
    uint64_t start = cache_rev(w->cache);
    struct watcher *a = watch(w, "pods/", 0, NULL), *b = watch(w, "pods/", 0, NULL), *c = watch(w, "pods/", 0, NULL),
                   *d = watch(w, "pods/ns/", 0, NULL);
    a->end = &b->sub; /* the next */
    c->end = &c->sub; /* itself */
    d->end = &a->sub; /* of another group */
    put(w, test_pod("a", ""), 0);
    put(w, test_pod("b", ""), 0);
    assert_string_equal(sb_z(&a->seen), "+a ");
    assert_string_equal(sb_z(&b->seen), "");
    assert_string_equal(sb_z(&c->seen), "+a ");
    assert_string_equal(sb_z(&d->seen), "+a +b ");
    struct watcher *e = arena_zalloc(w->mem, sizeof *e); /* ends itself in the replay */
    *e = (struct watcher){
        .sub = {.prefix = STR("pods/"), .on_event = on_event}, .w = w, .seen = SB(w->mem), .end = &e->sub};
    assert_int_equal(cache_subscribe(w->cache, &e->sub, start, NULL), 0);
    assert_string_equal(sb_z(&e->seen), "+a ");
}

static void on_event_subscribe(struct cache_sub *sub, struct cache_event *ev)
{
    struct watcher *x = (struct watcher *)sub;
    if (x->end) {
        x->end->from_rev = 0;
        assert_int_equal(cache_subscribe(x->w->cache, x->end, ev->rev - 1, NULL), 0);
        x->end = NULL;
    }
}

static void test_subscribing_inside_an_event(void **state)
{
    struct world *w = *state;
    struct watcher *a = watch(w, "pods/", 0, NULL), *b = arena_zalloc(w->mem, sizeof *b);
    *b = (struct watcher){.sub = {.prefix = STR("pods/"), .on_event = on_event}, .w = w, .seen = SB(w->mem)};
    a->sub.on_event = on_event_subscribe;
    a->end = &b->sub;
    put(w, test_pod("a", ""), 0);
    put(w, test_pod("b", ""), 0);
    assert_string_equal(sb_z(&b->seen), "+a +b "); /* each once: the first replayed, the second live */
}

static void test_history_is_bounded_in_time_and_bytes(void **state)
{
    static const struct {
        int64_t ms;
        size_t bytes;
    } cases[] = {{1000, 0}, {0, 20000}};
    for (size_t i = 0; i < 2; i++) {
        struct world *w = world_new(1, cases[i].ms, cases[i].bytes);
        uint64_t start = cache_rev(w->cache), rev = put(w, test_pod("a", ""), 0).rev, first = rev;
        for (int j = 0; j < 200; j++)
            rev = put(w, test_pod("a", "x"), rev).rev;
        struct err err = ERR(w->mem);
        struct cache_sub sub = {.prefix = STR("pods/"), .on_event = on_event};
        assert_int_equal(cache_subscribe(w->cache, &sub, start, &err), -1);
        assert_int_equal(err.reason, ERR_EXPIRED);
        assert_true(str_starts(err.message, str_fmt(w->mem, "too old resource version: %d (", (int)start)));
        struct obj **objs;
        int n;
        bool more;
        err = ERR(w->mem);
        assert_int_equal(
            cache_list_at(w->cache, w->mem, STR("pods/"), STR("pods/ns/0"), first, 1, &objs, &n, &more, &err), -1);
        assert_true(err.reason == ERR_EXPIRED &&
                    str_starts(err.message, STR("The provided continue parameter is too old")));
        watch(w, "pods/", rev - 2, NULL);
        world_free(w);
    }
}

/* ---- any revision of the past, under random writes, against a model that keeps every state */

enum { MODEL_KEYS = 40, MODEL_STEPS = 400 };

static const char *model_key(struct world *w, int k)
{
    return str_fmtz(w->mem, "p%02d", k);
}

static void random_write(struct world *w)
{
    int k = (int)(loop_rand(w->loop, RAND_TEST) % MODEL_KEYS);
    const char *name = model_key(w, k);
    const struct obj *now = cache_find(w->cache, &test_pods, STR("ns"), str_of(name));
    if (now && loop_rand(w->loop, RAND_TEST) % 3 == 0)
        assert_int_equal(del(w, test_pod(name, "gone"), now->rev).error, 0);
    else
        assert_int_equal(put(w, test_pod(name, "x"), now ? now->rev : 0).error, 0);
}

static void snapshot(struct world *w, uint64_t revs[MODEL_KEYS])
{
    for (int k = 0; k < MODEL_KEYS; k++) {
        const struct obj *o = cache_find(w->cache, &test_pods, STR("ns"), str_of(model_key(w, k)));
        revs[k] = o ? o->rev : 0;
    }
}

/* Page through the state at rev, by pages of `limit`. */
static void check_at(struct world *w, uint64_t rev, const uint64_t want[MODEL_KEYS], int limit)
{
    struct str after = STR_NULL;
    int k = 0;
    for (bool more = true; more;) {
        struct obj **objs;
        int n;
        assert_int_equal(cache_list_at(w->cache, w->mem, STR("pods/ns/"), after, rev, limit, &objs, &n, &more, NULL),
                         0);
        assert_true(limit == 0 || n == limit || !more);
        for (int i = 0; i < n; i++, k++) {
            while (k < MODEL_KEYS && want[k] == 0)
                k++;
            assert_true(k < MODEL_KEYS);
            assert_string_equal(str_z(w->mem, objs[i]->name), model_key(w, k));
            assert_int_equal(objs[i]->rev, want[k]);
            after = str_dup(w->mem, objs[i]->key);
        }
    }
    while (k < MODEL_KEYS)
        assert_int_equal(want[k++], 0);
}

static void test_list_at_equals_the_model(void **state)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct world *w = world_new(seed, INT64_MAX / 4, SIZE_MAX / 2);
        static uint64_t model[MODEL_STEPS + 1][MODEL_KEYS], revs[MODEL_STEPS + 1];
        memset(model, 0, sizeof model);
        revs[0] = cache_rev(w->cache);
        for (int s = 1; s <= MODEL_STEPS; s++) {
            random_write(w);
            revs[s] = cache_rev(w->cache);
            snapshot(w, model[s]);
            int then = (int)(loop_rand(w->loop, RAND_TEST) % (uint64_t)(s + 1));
            check_at(w, revs[then], model[then], (int)(loop_rand(w->loop, RAND_TEST) % 7));
        }
        check_at(w, 0, model[MODEL_STEPS], 5);
        world_free(w);
    }
}

/* The same writes give the same replay from any revision as what a live watcher saw. */
static void test_replay_equals_live(void **state)
{
    struct world *w = world_new(11, INT64_MAX / 4, SIZE_MAX / 2);
    struct watcher *live = watch(w, "pods/", 0, NULL);
    uint64_t start = cache_rev(w->cache);
    for (int s = 0; s < 300; s++)
        random_write(w);
    struct watcher *replayed = watch(w, "pods/", start, NULL);
    assert_string_equal(sb_z(&live->seen), sb_z(&replayed->seen));
    world_free(w);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_compare_and_swap),
        T(test_transaction_is_all_or_nothing),
        T(test_writes_to_one_key_queue_up),
        cmocka_unit_test(test_close_finishes_what_is_under_way),
        T(test_meta_values),
        T(test_list_and_counts),
        T(test_indexes_follow),
        T(test_watch_replays_then_follows),
        T(test_all_objects_of_a_transaction_are_seen),
        T(test_unsubscribing_inside_an_event),
        T(test_subscribing_inside_an_event),
        cmocka_unit_test(test_history_is_bounded_in_time_and_bytes),
        cmocka_unit_test(test_list_at_equals_the_model),
        cmocka_unit_test(test_replay_equals_live),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
