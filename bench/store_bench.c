/* The store on its own: durable creates by 64 clients against what the disk itself can do in the same run, memory a
 * stored pod, start with 10,000 objects, one event to 1,000 watchers. One JSON object a figure, as bench/run gathers
 * them. Usage: bench_store [DIR [SECONDS]]; DIR is made, and removed at the end. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/loop.h"
#include "store/cache.h"
#include "store/store.h"

enum {
    CLIENTS = 64,
    PODS = 10000,
    POD_BYTES = 3500,
    OBJECT_BYTES = 1000,
    WATCHERS = 1000,
    SAMPLES_MAX = 1 << 21,
    PROBE_FILE = 16 << 20
};

static const char *dir = "store-bench";
static double seconds = 3;

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void figure(const char *name, double value, const char *unit, double target, bool at_least, const char *peer,
                   double peer_value)
{
    printf("{\"group\":\"cluster\",\"name\":\"%s\",\"value\":%.4g,\"unit\":\"%s\",\"target\":%.4g", name, value, unit,
           target);
    if (peer)
        printf(",\"peer\":\"%s\",\"peer_value\":%.4g,\"ratio\":%.3g", peer, peer_value, value / peer_value);
    printf(",\"met\":%s}\n", (at_least ? value >= target : value <= target) ? "true" : "false");
    fflush(stdout);
}

static char *file(struct arena *mem, const char *name)
{
    return str_fmtz(mem, "%s/%s", dir, name);
}

static void remove_store(void)
{
    struct arena *mem = arena_new();
    unlink(file(mem, "sampan.db"));
    unlink(file(mem, "sampan.db-wal"));
    unlink(file(mem, "probe"));
    rmdir(dir);
    arena_free(mem);
}

struct world {
    struct loop *loop;
    struct cache *cache;
    struct store *store;
    struct arena *mem;
};

static void world_open(struct world *w)
{
    struct str why = STR_NULL;
    w->loop = loop_new_uv();
    w->mem = arena_new();
    w->cache = cache_new(&(struct cache_opts){.loop = w->loop});
    const struct store_opts o = {.loop = w->loop, .dir = dir};
    if (store_open_sqlite(&o, w->mem, cache_feed, w->cache, &w->store, &why) < 0) {
        fprintf(stderr, "bench_store: " STR_FMT "\n", STR_ARG(why));
        exit(1);
    }
    cache_set_store(w->cache, w->store);
}

static void world_close(struct world *w)
{
    store_close(w->store);
    cache_free(w->cache);
    loop_free(w->loop);
    arena_free(w->mem);
}

/* ---- durable creates */

struct bench {
    struct world w;
    const struct resource *res;
    struct doc *doc; /* made into each new object by another name */
    uint64_t made, done;
    double end_s;
    uint32_t *us; /* latencies */
    int running;
};
struct client {
    struct bench *b;
    int64_t began_us;
};

static void client_next(struct client *c);

static void client_done(void *ctx, int error, int failed, uint64_t rev)
{
    struct client *c = ctx;
    if (error) {
        fprintf(stderr, "bench_store: write failed: %d\n", error);
        exit(1);
    }
    if (c->b->done < SAMPLES_MAX)
        c->b->us[c->b->done] = (uint32_t)(loop_now_us(c->b->w.loop) - c->began_us);
    c->b->done++;
    if (now_s() < c->b->end_s)
        client_next(c);
    else if (--c->b->running == 0)
        loop_stop(c->b->w.loop);
}

static void client_next(struct client *c)
{
    struct bench *b = c->b;
    struct arena *mem = arena_new();
    struct err err = ERR(mem);
    c->began_us = loop_now_us(b->w.loop);
    doc_put_str(b->w.mem, doc_get(b->doc, "metadata"), "name", str_fmt(mem, "cm-%llu", (unsigned long long)b->made++));
    struct obj *o = obj_seal(b->res, b->doc, 0, &err);
    struct store_op op = {.kind = STORE_PUT, .key = o->key, .obj = o};
    store_commit(b->w.store, &op, 1, client_done, c);
    arena_free(mem);
}

static int u32_cmp(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static struct doc *object_doc(struct arena *mem, const char *kind, size_t bytes)
{
    struct err err = ERR(mem);
    char *fill = memset(arena_alloc(mem, bytes), 'x', bytes);
    struct doc *d = doc_parse(
        mem,
        str_fmt(mem,
                "{\"apiVersion\":\"v1\",\"kind\":\"%s\",\"metadata\":{\"name\":\"n\",\"namespace\":\"default\","
                "\"uid\":\"0b7ddc6c-4a33-4bb4-9a44-7e3a1d2f3c4d\",\"creationTimestamp\":\"2026-01-02T03:04:05Z\","
                "\"labels\":{"
                "\"app\":\"web\",\"pod-template-hash\":\"5d4f8c7b9\",\"tier\":\"front\"},\"ownerReferences\":[{"
                "\"apiVersion\":\"apps/v1\","
                "\"kind\":\"ReplicaSet\",\"name\":\"web-5d4f8c7b9\",\"uid\":\"owner-uid\",\"controller\":true,"
                "\"blockOwnerDeletion\":true}]},\"spec\":{\"nodeName\":\"node\"},\"data\":{}}",
                kind),
        NULL, &err);
    size_t len = doc_json_len(d);
    doc_put_str(mem, doc_get(d, "data"), "k", str_mem(fill, bytes > len + 10 ? bytes - len - 10 : 0));
    return d;
}

/* Creates a second, with so many bytes to one write and fdatasync, over a file whose blocks exist: the best that a log
 * could do. */
static double probe(size_t batch_bytes, double batch_ops, double for_s)
{
    struct arena *mem = arena_new();
    char *buf = memset(arena_alloc(mem, batch_bytes), 'p', batch_bytes);
    int fd = open(file(mem, "probe"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    for (size_t at = 0; fd >= 0 && at < PROBE_FILE; at += batch_bytes)
        if (pwrite(fd, buf, batch_bytes, (off_t)at) < 0)
            exit(1);
    fsync(fd);
    double start = now_s(), took;
    size_t n = 0, at = 0;
    do {
        if (pwrite(fd, buf, batch_bytes, (off_t)at) < 0 || fdatasync(fd) < 0)
            exit(1);
        at = at + 2 * batch_bytes > PROBE_FILE ? 0 : at + batch_bytes;
        n++;
        took = now_s() - start;
    } while (took < for_s);
    close(fd);
    unlink(file(mem, "probe"));
    arena_free(mem);
    return (double)n * batch_ops / took;
}

/* Store and probe take turns, so that a disk whose speed changes by the second treats both alike. */
static void bench_create(void)
{
    enum { TURNS = 6 };
    struct bench b = {.res = schema_stored("", "configmaps"), .us = malloc(SAMPLES_MAX * sizeof(uint32_t))};
    struct client clients[CLIENTS];
    struct store_state before, after;
    double took = 0, limit = 0, batches = 0, ops = CLIENTS;
    world_open(&b.w);
    b.doc = object_doc(b.w.mem, "ConfigMap", OBJECT_BYTES);
    store_get_state(b.w.store, &before);
    for (int turn = 0; turn < TURNS; turn++) {
        double start = now_s();
        b.end_s = start + seconds / TURNS;
        b.running = CLIENTS;
        for (int i = 0; i < CLIENTS; i++) {
            clients[i] = (struct client){&b, 0};
            client_next(&clients[i]);
        }
        loop_run(b.w.loop);
        took += now_s() - start;
        store_get_state(b.w.store, &after);
        batches = (double)(after.fsyncs - before.fsyncs);
        ops = (double)b.done / batches;
        limit += probe((size_t)(ops * (OBJECT_BYTES + 40)), ops, seconds / TURNS / 2) / TURNS;
    }
    double rate = (double)b.done / took;
    uint64_t n = b.done < SAMPLES_MAX ? b.done : SAMPLES_MAX;
    qsort(b.us, n, sizeof b.us[0], u32_cmp);
    figure("store_create_durable", rate, "op/s", 15000, true, "fsync probe", limit);
    figure("store_create_durable_of_limit", 100 * rate / limit, "%", 60, true, NULL, 0);
    figure("store_create_durable_p99", b.us[n * 99 / 100] / 1e3, "ms", 15, false, NULL, 0);
    figure("store_create_ops_per_fsync", ops, "op", 1, true, NULL, 0);
    figure("store_bytes_written_per_byte",
           (double)(after.bytes_written - before.bytes_written) / (double)b.done / OBJECT_BYTES, "x", 4, false, NULL,
           0);
    world_close(&b.w);
    free(b.us);
    remove_store();
}

/* ---- 10,000 pods: start, memory, and 1,000 watchers */

static void count_down(void *ctx, int error, int failed, uint64_t rev)
{
    struct bench *b = ctx;
    if (error)
        exit(1);
    if (--b->running == 0)
        loop_stop(b->w.loop);
}

static void put(struct bench *b, const char *name, uint64_t expect)
{
    struct err err = ERR(b->w.mem);
    doc_put_str(b->w.mem, doc_get(b->doc, "metadata"), "name", str_of(name));
    struct obj *o = obj_seal(b->res, b->doc, 0, &err);
    store_commit(b->w.store, &(struct store_op){.kind = STORE_PUT, .key = o->key, .expect_rev = expect, .obj = o}, 1,
                 count_down, b);
}

static void fill(struct bench *b)
{
    world_open(&b->w);
    b->doc = object_doc(b->w.mem, "Pod", POD_BYTES);
    b->running = PODS;
    for (int i = 0; i < PODS; i++) {
        doc_put_str(b->w.mem, doc_get(b->doc, "spec"), "nodeName", str_fmt(b->w.mem, "node-%d", i % 100));
        doc_put_str(b->w.mem, doc_first(doc_path(b->doc, "metadata", "ownerReferences", NULL)), "uid",
                    str_fmt(b->w.mem, "owner-%d", i / 3));
        put(b, str_fmtz(b->w.mem, "web-5d4f8c7b9-%05d", i), 0);
    }
    loop_run(b->w.loop);
    world_close(&b->w);
}

static int events_seen;

static void on_event(struct cache_sub *sub, struct cache_event *ev)
{
    events_seen++;
}

static void bench_watchers(struct bench *b)
{
    struct cache_sub *subs = calloc(WATCHERS, sizeof *subs);
    for (int i = 0; i < WATCHERS; i++) {
        subs[i] = (struct cache_sub){.prefix = STR("pods/"), .on_event = on_event};
        cache_subscribe(b->w.cache, &subs[i], 0, NULL);
    }
    const struct obj *o = cache_get(b->w.cache, STR("pods/default/web-5d4f8c7b9-00000"));
    struct store_event ev = {o->rev + 1, STORE_PUT, obj_ref(o)};
    double start = now_s();
    for (int i = 0; i < 100; i++)
        cache_feed(b->w.cache, &ev);
    figure("cache_event_to_1000_watchers", (now_s() - start) * 1e3 / 100, "ms", 15, false, NULL, 0);
    for (int i = 0; i < WATCHERS; i++)
        cache_unsubscribe(b->w.cache, &subs[i]);
    obj_unref(ev.obj);
    free(subs);
}

static void bench_pods(void)
{
    struct bench b = {.res = schema_stored("", "pods")};
    fill(&b);
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    double start = now_s();
    world_open(&b.w);
    double took = now_s() - start;
    size_t used = mallinfo2().uordblks + mallinfo2().hblkhd - before;
    figure("store_open_10000_objects", took * 1e3, "ms", 300, false, NULL, 0);
    figure("store_memory_per_pod_of_3500_bytes", (double)used / PODS, "byte", 4200, false, NULL, 0);
    bench_watchers(&b);
    world_close(&b.w);
    remove_store();
}

int main(int argc, char **argv)
{
    if (argc > 1)
        dir = argv[1];
    if (argc > 2)
        seconds = atof(argv[2]);
    remove_store();
    if (mkdir(dir, 0700) < 0) {
        fprintf(stderr, "bench_store: %s: %s\n", dir, strerror(errno));
        return 1;
    }
    bench_create();
    bench_pods();
    return 0;
}
