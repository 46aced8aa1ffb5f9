/* store/sqlite.c - the store on one board: sampan.db. Core-thread side: what goes into a transaction, and upkeep in
 * between.
 *
 * Nothing here wakes an idle process for its own sake: the timer of the lazily written runs only while something waits
 * for it, compaction only while enough garbage is old enough, a checkpoint follows the write that made it due. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/map.h"
#include "store/garbage.h"
#include "store/lazy.h"
#include "store/sqlite_backup.h"
#include "store/sqlite_job.h"
#include "store/sqlite_recover.h"

enum {
    REV_BLOCK = 65536, /* revisions reserved at a time */
    LAZY_BYTES_PER_H = 200000,
    LAZY_MS = 10 * 60 * 1000,        /* the lazily written waits so long for company */
    LAZY_RIDE_MS = 60 * 1000,        /* and so long between two rides with a batch */
    LAZY_FLUSH_BYTES = 4 * DB_FRAME, /* what a transaction costs beside its rows */
    COMPACT_ROWS_MIN = 512,          /* below it is not worth a write */
    COMPACT_STEP = 256,
    WAL_SOFT = 1024, /* frames, 4 MiB: checkpoint when nothing waits */
    HISTORY_MS = 5 * 60 * 1000,
};

struct sqlite {
    struct store s; /* first */
    struct db db;
    struct job *job;
    enum { DOING_NOTHING, DOING_BATCH, DOING_LAZY, DOING_COMPACT, DOING_CHECKPOINT, DOING_BACKUP } doing;
    struct lazy lazy;
    size_t lazy_in_job; /* the first so many lazy items are in the job */
    int64_t lazy_at_ms; /* when some were written last */
    struct garbage garbage;
    int64_t history_ms;
    struct loop_timer lazy_timer, compact_timer;
    bool lazy_due, compact_all;
    uint64_t reserved;              /* durably */
    uint64_t bytes_written, fsyncs; /* as of the last job: db's own counters belong to the thread that works */
    bool marked;                    /* "reserved" stands and "clean" does not */
    struct backup *backup;
    struct arena *mem; /* what the state points at */
    struct str why;
    struct str *lost;
    int lost_count;
};

static struct sqlite *of(const struct store *s)
{
    return (struct sqlite *)s;
}

/* ---- a transaction of the disk */

static void add_mark(struct sqlite *q)
{
    if (!q->marked || q->s.next + REV_BLOCK / 4 > q->reserved)
        q->job->mark = q->s.next + REV_BLOCK;
}

/* Lazily written rows as far as the allowance goes; all: whatever they cost. */
static void add_lazy(struct sqlite *q, bool all)
{
    int64_t now = loop_now_ms(q->s.loop), left = lazy_allowance(&q->lazy, now);
    q->lazy_in_job = 0;
    list_each (l, &q->lazy.order) {
        const struct lazy_item *i = (const struct lazy_item *)l;
        int64_t cost = 2 * (int64_t)(i->obj->json.len + i->obj->key.len); /* WAL, and later the file */
        if (!all && cost > left)
            break;
        left -= cost;
        q->lazy.tokens -= cost;
        job_add_row(q->job, i->id, i->kind, i->obj);
        q->lazy_in_job++;
    }
    if (q->lazy_in_job)
        q->lazy_at_ms = now;
}

static void build_batch(struct sqlite *q, struct batch *b)
{
    job_clear(q->job);
    q->doing = DOING_BATCH;
    q->lazy_in_job = 0;
    list_each (l, &b->txns) {
        const struct txn *t = (const struct txn *)l;
        for (int i = 0; t->durable && i < t->count; i++)
            job_add_row(q->job, t->rev << STORE_ROW_SHIFT | (uint64_t)i, t->ops[i].kind, t->ops[i].obj);
    }
    if (!list_empty(&b->metas))
        q->job->metas = &b->metas;
    if (!list_empty(&q->lazy.order) && loop_now_ms(q->s.loop) - q->lazy_at_ms >= LAZY_RIDE_MS)
        add_lazy(q, /* all= */ false);
    add_mark(q);
}

/* Transactions are refused at the door of a damaged store; values of the server itself end here. */
static bool is_damaged(const struct store *s)
{
    return s->refuse_error && s->refuse_error != -ESHUTDOWN;
}

static void sqlite_write(struct store *s, struct batch *b)
{
    if (is_damaged(s)) {
        store_batch_done(s, s->refuse_error);
        return;
    }
    build_batch(of(s), b);
    job_start(of(s)->job, s->loop);
}

/* ---- what a finished transaction means */

static void now_garbage(struct sqlite *q, uint64_t row, size_t bytes)
{
    if (row)
        garbage_push(&q->garbage, row, loop_now_ms(q->s.loop), bytes);
}

/* The first lazy_in_job items are on disk. */
static void lazy_written(struct sqlite *q)
{
    while (q->lazy_in_job) {
        struct lazy_item *i = (struct lazy_item *)q->lazy.order.next;
        struct obj *o = i->obj;
        now_garbage(q, o->row, o->json.len);
        o->row = i->id;
        if (i->kind == STORE_DELETE)
            now_garbage(q, i->id, 0);
        lazy_drop(&q->lazy, o->key);
        q->lazy_in_job--;
    }
}

static void sqlite_applied(struct store *s, struct txn *t, int index, struct obj *old, bool written)
{
    struct sqlite *q = of(s);
    struct obj *o = t->ops[index].obj;
    uint64_t id = t->rev << STORE_ROW_SHIFT | (uint64_t)index;
    const struct lazy_item *waiting = lazy_get(&q->lazy, o->key);
    uint64_t old_row = old ? old->row : waiting ? waiting->obj->row : 0; /* a delete may wait whose object is on disk */
    if (!written) {
        o->row = old_row;
        if (t->ops[index].kind == STORE_DELETE && !old_row)
            lazy_drop(&q->lazy, o->key);
        else
            lazy_put(&q->lazy, o, t->ops[index].kind, id);
        if (!list_empty(&q->lazy.order) && !loop_timer_running(&q->lazy_timer))
            loop_timer_start(&q->lazy_timer, LAZY_MS);
        return;
    }
    lazy_drop(&q->lazy, o->key);
    now_garbage(q, old_row, old ? old->json.len : 0);
    o->row = id;
    if (t->ops[index].kind == STORE_DELETE)
        now_garbage(q, id, 0);
}

static void set_why(struct sqlite *q, int error)
{
    static const struct {
        int error;
        const char *text;
    } texts[] = {
        {-ENOSPC, "no space left for sampan.db: make room, the next write tries again"},
        {-EROFS, "the file system of sampan.db is read-only: the next write tries again"},
        {-EUCLEAN, "sampan.db is damaged: stop the server and run `sampan store repair`"},
    };
    const char *text = "writing sampan.db failed: the next write tries again";
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts[i].error == error)
            text = texts[i].text;
    if (!error && q->why.len)
        log_info("store", "writing works again", NULL);
    else if (error && !str_is(q->why, text))
        log_error("store", "write failed", "error=%d why=\"%s\"", -error, text);
    q->why = error ? str_of(text) : STR_NULL;
}

/* Returns what clients are told. */
static int write_outcome(struct sqlite *q)
{
    int error = q->job->error;
    set_why(q, error);
    if (error == -EUCLEAN) {
        q->s.refuse_error = -EROFS;
        return -EROFS;
    }
    if (error)
        return error == -ENOSPC || error == -EROFS ? error : -EIO;
    if (q->job->mark) {
        q->reserved = q->s.volatile_max = q->job->mark;
        q->marked = true;
    }
    lazy_written(q);
    return 0;
}

static void finish(void *owner);

static void compacted(struct sqlite *q)
{
    if (!q->job->error)
        garbage_pop(&q->garbage, q->job->del_count);
    if (q->garbage.count == 0 || q->job->error)
        q->compact_all = false;
}

static void finish(void *owner)
{
    struct sqlite *q = owner;
    int doing = q->doing, error = 0;
    q->doing = DOING_NOTHING;
    q->bytes_written = q->db.bytes_written;
    q->fsyncs = q->db.fsyncs;
    if (doing == DOING_BATCH || doing == DOING_LAZY || doing == DOING_COMPACT)
        error = write_outcome(q);
    else if (q->job->error && doing == DOING_CHECKPOINT)
        set_why(q, q->job->error);
    if (doing == DOING_COMPACT)
        compacted(q);
    if (doing == DOING_BACKUP)
        q->backup = backup_stepped(q->backup, q->job);
    if (doing == DOING_BATCH)
        store_batch_done(&q->s, error);
    else
        store_idle_done(&q->s);
}

/* ---- upkeep, when no write waits */

static void lazy_fired(struct loop_timer *t)
{
    struct sqlite *q = (struct sqlite *)((char *)t - offsetof(struct sqlite, lazy_timer));
    q->lazy_due = true;
    store_kick(&q->s);
}

static bool begin_lazy(struct sqlite *q)
{
    if (!q->lazy_due)
        return false;
    q->lazy_due = false;
    q->lazy_in_job = 0;
    job_clear(q->job);
    if (lazy_allowance(&q->lazy, loop_now_ms(q->s.loop)) > LAZY_FLUSH_BYTES) {
        q->lazy.tokens -= LAZY_FLUSH_BYTES;
        add_lazy(q, /* all= */ false);
    }
    if (!list_empty(&q->lazy.order)) /* for what comes, or is left */
        loop_timer_start(&q->lazy_timer, LAZY_MS);
    q->doing = DOING_LAZY;
    add_mark(q);
    return q->lazy_in_job > 0;
}

static void compact_fired(struct loop_timer *t)
{
    struct sqlite *q = (struct sqlite *)((char *)t - offsetof(struct sqlite, compact_timer));
    store_kick(&q->s);
}

static bool begin_compact(struct sqlite *q)
{
    int64_t now = loop_now_ms(q->s.loop), ripe = now - q->history_ms;
    if (q->garbage.count == 0 || (!q->compact_all && q->garbage.count < COMPACT_ROWS_MIN))
        return false;
    if (!q->compact_all && garbage_at(&q->garbage, COMPACT_STEP - 1)->at_ms > ripe) {
        if (!loop_timer_running(&q->compact_timer))
            loop_timer_start(&q->compact_timer, garbage_at(&q->garbage, COMPACT_STEP - 1)->at_ms - ripe + 1000);
        return false;
    }
    job_clear(q->job);
    for (size_t i = 0; i < q->garbage.count && i < COMPACT_STEP; i++)
        job_add_del(q->job, garbage_at(&q->garbage, i)->id);
    q->lazy_in_job = 0;
    q->doing = DOING_COMPACT;
    return true;
}

static bool begin_checkpoint(struct sqlite *q)
{
    if (q->db.frames < WAL_SOFT || q->why.len)
        return false;
    job_clear(q->job);
    q->job->kind = JOB_CHECKPOINT;
    q->doing = DOING_CHECKPOINT;
    return true;
}

static bool begin_backup(struct sqlite *q)
{
    if (!q->backup)
        return false;
    job_clear(q->job);
    q->job->kind = JOB_BACKUP;
    q->job->backup = q->backup;
    q->doing = DOING_BACKUP;
    return true;
}

static bool sqlite_idle(struct store *s)
{
    struct sqlite *q = of(s);
    if (s->refuse_error)
        return false;
    if (!begin_lazy(q) && !begin_compact(q) && !begin_checkpoint(q) && !begin_backup(q)) {
        q->doing = DOING_NOTHING;
        return false;
    }
    job_start(q->job, s->loop);
    return true;
}

static void sqlite_compact(struct store *s)
{
    of(s)->compact_all = true;
    store_kick(s);
}

static int sqlite_backup(struct store *s, const char *to, void (*done)(void *ctx, int error), void *ctx)
{
    struct sqlite *q = of(s);
    if (q->backup)
        return -EBUSY;
    int error = backup_begin(&q->backup, &q->db, to, done, ctx);
    if (!error)
        store_kick(s);
    return error;
}

/* ---- state and end */

static uint64_t file_size(struct arena *mem, const char *path, const char *suffix)
{
    struct stat st;
    return stat(str_fmtz(mem, "%s%s", path, suffix), &st) == 0 ? (uint64_t)st.st_size : 0;
}

static void sqlite_state(const struct store *s, struct store_state *ret)
{
    const struct sqlite *q = of(s);
    cleanup_arena struct arena *mem = arena_new();
    ret->read_only = q->why.len > 0;
    ret->why = q->why;
    ret->lost_keys = q->lost;
    ret->lost_count = q->lost_count;
    ret->bytes_written = q->bytes_written;
    ret->fsyncs = q->fsyncs;
    if (q->db.path)
        ret->size_bytes = file_size(mem, q->db.path, "") + file_size(mem, q->db.path, "-wal");
}

/* The last transaction: all that waited, and the mark of a clean stop. Nothing to write: nothing is written. */
static void write_last(struct sqlite *q)
{
    if (is_damaged(&q->s) || (!q->marked && list_empty(&q->lazy.order)))
        return;
    job_clear(q->job);
    add_lazy(q, /* all= */ true);
    q->job->clean = q->s.next;
    job_run(q->job);
    write_outcome(q);
}

static void sqlite_close(struct store *s)
{
    struct sqlite *q = of(s);
    loop_timer_stop(&q->lazy_timer);
    loop_timer_stop(&q->compact_timer);
    if (job_wait(q->job))
        finish(q);
    while (store_next_batch(s)) {
        if (s->flight.durable && is_damaged(s)) {
            store_batch_done(s, s->refuse_error);
        } else if (s->flight.durable) {
            build_batch(q, &s->flight);
            job_run(q->job);
            finish(q);
        } else {
            store_batch_done(s, 0);
        }
    }
    q->backup = backup_abandon(q->backup);
    write_last(q);
    db_close(&q->db);
    job_free(q->job);
    lazy_done(&q->lazy);
    garbage_done(&q->garbage);
    arena_free(q->mem);
    q->mem = NULL;
}

static const struct store_backend sqlite_backend = {
    .write = sqlite_write,
    .applied = sqlite_applied,
    .idle = sqlite_idle,
    .compact = sqlite_compact,
    .close = sqlite_close,
    .state = sqlite_state,
    .backup = sqlite_backup,
};

/* ---- opening */

struct opening {
    struct sqlite *q;
    struct map by_prefix; /* "apps/deployments/" -> struct resource * */
    struct map unknown;   /* prefixes that no resource has */
    struct arena *mem;
    struct obj **objs;
    struct garbage_row *garbage; /* newest first */
    size_t obj_count, obj_cap, garbage_count, garbage_cap;
    uint64_t reserved, clean;
};

static void *more(void *items, size_t count, size_t *cap, size_t size)
{
    if (count < *cap)
        return items;
    *cap = *cap ? *cap * 2 : 1024;
    items = realloc(items, *cap * size);
    if (!items)
        abort(); /* at start */
    return items;
}

/* "pods/ns/name" or "apps/deployments/ns/name": neither namespaces nor names hold a slash. */
static const struct resource *resource_of(struct opening *o, struct str key)
{
    int slashes = 0;
    for (size_t i = 0; i < key.len; i++)
        slashes += key.ptr[i] == '/';
    ptrdiff_t end = str_find(key, '/');
    if (slashes == 3)
        end += 1 + str_find(str_from(key, (size_t)end + 1), '/');
    if (slashes < 2 || slashes > 3)
        return NULL;
    struct str prefix = str_head(key, (size_t)end);
    const struct resource *res = map_get(&o->by_prefix, prefix);
    if (res || map_get(&o->unknown, prefix))
        return res;
    struct str group = STR_NULL, plural = prefix;
    if (slashes == 3)
        str_cut(prefix, '/', &group, &plural);
    res = schema_stored(str_z(o->mem, group), str_z(o->mem, plural));
    prefix = str_dup(o->mem, prefix);
    if (res) {
        map_put(&o->by_prefix, prefix, (void *)res);
    } else {
        map_put(&o->unknown, prefix, o);
        log_warn("store", "objects of an unknown resource are kept and not served", "resource=" STR_FMT,
                 STR_ARG(prefix));
    }
    return res;
}

static bool on_row(void *ctx, uint64_t id, int kind, struct str key, struct str value)
{
    struct opening *o = ctx;
    const struct resource *res = resource_of(o, key);
    if (!res)
        return true;
    struct obj *obj = obj_load(res, value, db_row_rev(id));
    if (!obj || !str_eq(obj->key, key)) {
        obj_unref(obj);
        return false;
    }
    obj->row = id;
    o->objs = more(o->objs, o->obj_count, &o->obj_cap, sizeof(struct obj *));
    o->objs[o->obj_count++] = obj;
    return true;
}

static void on_garbage(void *ctx, uint64_t id, size_t bytes)
{
    struct opening *o = ctx;
    o->garbage = more(o->garbage, o->garbage_count, &o->garbage_cap, sizeof *o->garbage);
    o->garbage[o->garbage_count++] = (struct garbage_row){id, 0, (uint32_t)bytes};
}

static void on_meta(void *ctx, struct str name, struct str value)
{
    struct opening *o = ctx;
    if (str_is(name, "reserved"))
        str_to_u64(value, &o->reserved);
    else if (str_is(name, "clean"))
        str_to_u64(value, &o->clean);
    else if (str_starts(name, STR("v:")))
        store_meta_set(&o->q->s, store_meta_new(str_from(name, 2), value));
}

/* The file as it is; else a copy of it. *damaged: its first page is. */
static int open_db(struct sqlite *q, const char *dir, struct arena *mem, bool *damaged, struct str *why)
{
    int error = db_open(&q->db, dir, 0, mem, why);
    *damaged = error == -EUCLEAN;
    if (*damaged)
        return db_open(&q->db, dir, DB_MEND_FIRST | DB_KEEP_WAL, mem, why);
    if (error == -EROFS || error == -EACCES || error == -ENOSPC) {
        struct str copy_why;
        int copied = db_open(&q->db, dir, DB_COPY, mem, &copy_why);
        if (!copied)
            set_why(q, error);
        return copied ? error : 0;
    }
    return error;
}

static void tell_damage(struct sqlite *q, const struct recover *r)
{
    static const int shown_max = 20;
    struct sb b = SB(q->mem);
    sb_addf(&b, "sampan.db is damaged (%s)", r->what ? r->what : "its first page");
    if (r->lost_count || r->unnamed)
        sb_addf(&b, ", lost: %d object%s%s", r->lost_count, r->lost_count == 1 ? "" : "s",
                r->unnamed ? " and more that nothing names" : "");
    else
        sb_addz(&b, ", no object is lost");
    for (int i = 0; i < r->lost_count && i < shown_max; i++)
        sb_addf(&b, "%s" STR_FMT, i ? ", " : ": ", STR_ARG(r->lost[i]));
    if (r->lost_count > shown_max)
        sb_addz(&b, ", ...");
    sb_addz(&b, "; nothing can be written: stop the server and run `sampan store repair`");
    q->why = sb_str(&b);
    q->lost = r->lost;
    q->lost_count = r->lost_count;
    q->s.refuse_error = -EROFS;
    if (q->db.sql)
        sqlite3_db_config(q->db.sql, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    log_error("store", "damaged, serving read-only", "why=\"" STR_FMT "\"", STR_ARG(q->why));
}

/* Objects came newest first; everybody gets them oldest first. */
static void feed_all(struct sqlite *q, struct opening *o)
{
    while (o->obj_count)
        store_recovered(&q->s, o->objs[--o->obj_count]);
    while (o->garbage_count) {
        const struct garbage_row *g = &o->garbage[--o->garbage_count];
        garbage_push(&q->garbage, g->id, INT64_MIN / 2, g->bytes); /* no watch reaches it: ripe */
    }
}

static void set_revision(struct sqlite *q, const struct opening *o, uint64_t max_rev)
{
    struct store *s = &q->s;
    uint64_t rev = o->clean ? o->clean : o->reserved;
    s->rev = s->next = rev > max_rev ? rev : max_rev;
    if (s->rev == 0)
        s->rev = s->next = 1;
    s->complete_since = q->reserved = s->volatile_max = s->rev;
}

static int recover(struct sqlite *q, bool damaged)
{
    struct opening o = {.q = q, .mem = arena_new()};
    struct recover r = {.mem = q->mem, .on_row = on_row, .on_garbage = on_garbage, .ctx = &o, .damaged = damaged};
    int bad = 0;
    int error = db_meta_each(&q->db, on_meta, &o, &bad);
    if (error == -EUCLEAN || bad) {
        r.damaged = true;
        r.what = "the table of settings";
        error = 0;
    }
    if (!error)
        error = recover_all(&q->db, &r);
    feed_all(q, &o);
    set_revision(q, &o, r.max_rev);
    if (r.damaged)
        tell_damage(q, &r);
    free(o.objs);
    free(o.garbage);
    map_done(&o.by_prefix);
    map_done(&o.unknown);
    arena_free(o.mem);
    return error;
}

int store_open_sqlite(const struct store_opts *o, struct arena *mem, store_feed_fn *feed, void *ctx, struct store **ret,
                      struct str *ret_why)
{
    struct sqlite *q = calloc(1, sizeof *q);
    bool damaged;
    if (!q)
        return -ENOMEM;
    store_init(&q->s, o, feed, ctx);
    q->s.be = &sqlite_backend;
    q->mem = arena_new();
    q->history_ms = o->history_ms ? o->history_ms : HISTORY_MS;
    q->job = job_new(&q->db, finish, q);
    lazy_init(&q->lazy, o->volatile_bytes_per_h ? (int64_t)o->volatile_bytes_per_h : LAZY_BYTES_PER_H,
              loop_now_ms(o->loop));
    q->lazy_at_ms = loop_now_ms(o->loop);
    loop_timer_init(o->loop, &q->lazy_timer, lazy_fired);
    loop_timer_init(o->loop, &q->compact_timer, compact_fired);
    int error = open_db(q, o->dir, mem, &damaged, ret_why);
    if (!error) {
        error = recover(q, damaged);
        if (error)
            *ret_why = str_fmt(mem, "%s/sampan.db: %s", o->dir, strerror(-error));
    }
    if (error) {
        q->s.refuse_error = error; /* nothing is written at the end */
        store_close(&q->s);
        return error;
    }
    *ret = &q->s;
    return 0;
}
