/* store/sqlite_repair.c - `sampan store repair`: a new file from all that is whole; the old one stays beside it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/sqlite_recover.h"

struct repair {
    struct db from, to;
    const char *dir;
    char *to_dir;
    struct sb *out;
    struct arena *mem;
    uint64_t kept, reserved;
    int error;
};

static bool on_row(void *ctx, uint64_t id, int kind, struct str key, struct str value)
{
    struct repair *r = ctx;
    r->kept++;
    if (!r->error && r->to.sql)
        r->error = db_put(&r->to, id, kind, key, value);
    return true;
}

static void on_garbage(void *ctx, uint64_t id, size_t bytes)
{
}

static void on_meta(void *ctx, struct str name, struct str value)
{
    struct repair *r = ctx;
    if (str_is(name, "reserved"))
        str_to_u64(value, &r->reserved);
    if (!r->error && r->to.sql && !str_is(name, "clean"))
        r->error = db_meta_put(&r->to, name, value);
}

/* One pass over the file; with r->to open it is also the salvage. */
static int pass(struct repair *r, struct recover *rec)
{
    int bad = 0;
    *rec = (struct recover){.mem = r->mem, .on_row = on_row, .on_garbage = on_garbage, .ctx = r, .use_older = true};
    r->kept = 0;
    int error = db_meta_each(&r->from, on_meta, r, &bad);
    if (error == -EUCLEAN || bad) {
        rec->damaged = true;
        rec->what = "the table of settings";
        sb_addz(r->out,
                "some of the server's own settings, such as its certificates, are lost and will be made anew\n");
        error = 0;
    }
    return error ? error : recover_all(&r->from, rec);
}

static int fsync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = fd < 0 || fsync(fd) < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    return error;
}

/* The new file takes the place; the old one is kept as sampan.db.damaged. */
static int exchange(struct repair *r)
{
    char *old = db_file(r->mem, r->dir, ""), *old_wal = db_file(r->mem, r->dir, "-wal");
    if (rename(old, db_file(r->mem, r->dir, ".damaged")) < 0)
        return -errno;
    if (rename(old_wal, db_file(r->mem, r->dir, ".damaged-wal")) < 0 && errno != ENOENT)
        return -errno;
    if (rename(db_file(r->mem, r->to_dir, ""), old) < 0)
        return -errno;
    rmdir(r->to_dir);
    return fsync_dir(r->dir);
}

static int salvage(struct repair *r, struct recover *rec)
{
    struct str why = STR_NULL;
    r->to_dir = str_fmtz(r->mem, "%s/sampan.repair.XXXXXX", r->dir);
    if (!mkdtemp(r->to_dir))
        return -errno;
    int error = db_open(&r->to, r->to_dir, 0, r->mem, &why);
    if (!error)
        error = db_begin(&r->to);
    if (!error)
        error = db_meta_del(&r->to, "clean"); /* first: what stands in the old file comes over */
    if (!error)
        error = pass(r, rec);
    if (!error)
        error = r->error;
    uint64_t reserved = r->reserved > rec->max_rev ? r->reserved : rec->max_rev;
    if (!error) /* of a lost newest row the revision is not known: leave a gap */
        error = db_meta_put_u64(&r->to, "reserved", reserved + (1 << 20));
    if (!error)
        error = db_commit(&r->to);
    db_close(&r->to); /* its WAL goes into the file */
    db_close(&r->from);
    if (!error)
        return exchange(r);
    unlink(db_file(r->mem, r->to_dir, ""));
    unlink(db_file(r->mem, r->to_dir, "-wal"));
    rmdir(r->to_dir);
    return error;
}

static void report(struct repair *r, const struct recover *rec)
{
    sb_addf(r->out, "damage found: %s\n", rec->what ? rec->what : "the first page");
    for (int i = 0; i < rec->older_count; i++)
        sb_addf(r->out, "taken back to an older revision: " STR_FMT "\n", STR_ARG(rec->older[i]));
    for (int i = 0; i < rec->lost_count; i++)
        sb_addf(r->out, "lost: " STR_FMT "\n", STR_ARG(rec->lost[i]));
    if (rec->unnamed)
        sb_addz(r->out, "lost: an unknown number of objects that nothing names any more\n");
    sb_addf(r->out, "%llu objects kept; the damaged file is %s\n", (unsigned long long)r->kept,
            db_file(r->mem, r->dir, ".damaged"));
}

int store_repair_sqlite(const char *dir, struct sb *out)
{
    cleanup_arena struct arena *mem = arena_new();
    struct repair r = {.dir = dir, .out = out, .mem = mem};
    struct recover rec;
    struct str why = STR_NULL;
    struct stat st;
    if (stat(db_file(mem, dir, ""), &st) < 0) {
        sb_addf(out, "%s: %s\n", db_file(mem, dir, ""), strerror(errno));
        return -errno;
    }
    int error = db_open(&r.from, dir, DB_KEEP_WAL, mem, &why);
    bool first_page = error == -EUCLEAN;
    if (first_page)
        error = db_open(&r.from, dir, DB_MEND_FIRST | DB_KEEP_WAL, mem, &why);
    if (error) {
        sb_addf(out, STR_FMT "\n", STR_ARG(why));
        return error;
    }
    error = pass(&r, &rec);
    if (!error && !rec.damaged && !first_page) {
        sb_addf(out, "%s is sound: %llu objects\n", db_file(mem, dir, ""), (unsigned long long)r.kept);
        db_close(&r.from);
        return 0;
    }
    error = error ? error : salvage(&r, &rec);
    db_close(&r.from);
    if (error)
        sb_addf(out, "repair failed, nothing was changed: %s\n", strerror(-error));
    else
        report(&r, &rec);
    return error;
}
