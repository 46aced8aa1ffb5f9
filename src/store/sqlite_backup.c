/* store/sqlite_backup.c - SQLite's online backup into TO.part, renamed when whole. */
#include "store/sqlite_backup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { BACKUP_PAGES = 256 /* a step: a megabyte, between two batches */ };

/* Who starts from a backup does not know which revisions were handed out after it was taken. It goes on beyond them: so
 * many lie between, which at 15,000 writes a second is 50 days. */
static const uint64_t restore_gap = 1ull << 36;

struct backup {
    struct db *d;
    sqlite3 *to;
    sqlite3_backup *copy;
    struct arena *mem;
    char *path, *part;
    void (*done)(void *ctx, int error);
    void *ctx;
};

static struct backup *backup_free(struct backup *b)
{
    sqlite3_backup_finish(b->copy);
    sqlite3_close(b->to);
    arena_free(b->mem);
    free(b);
    return NULL;
}

int backup_begin(struct backup **ret, struct db *d, const char *to, void (*done)(void *ctx, int error), void *ctx)
{
    struct backup *b = calloc(1, sizeof *b);
    if (!b)
        return -ENOMEM;
    *b = (struct backup){.d = d, .mem = arena_new(), .done = done, .ctx = ctx};
    b->path = str_fmtz(b->mem, "%s", to);
    b->part = str_fmtz(b->mem, "%s.part", to);
    int fd =
        access(to, F_OK) == 0 ? (errno = EEXIST, -1) : open(b->part, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    int error = fd < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    if (!error && sqlite3_open_v2(b->part, &b->to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        error = -EIO;
    if (error) {
        backup_free(b);
        return error;
    }
    *ret = b;
    return 0;
}

static void on_meta(void *ctx, struct str name, struct str value)
{
    if (str_is(name, "reserved"))
        str_to_u64(value, ctx);
}

static int finish(struct backup *b)
{
    struct db to = {.sql = b->to};
    uint64_t reserved = 0;
    int bad;
    sqlite3_backup_finish(b->copy);
    b->copy = NULL;
    sqlite3_exec(b->to, "PRAGMA locking_mode=EXCLUSIVE", NULL, NULL, NULL);
    int error = db_meta_each(&to, on_meta, &reserved, &bad);
    if (!error)
        error = db_begin(&to);
    if (!error)
        error = db_meta_put_u64(&to, "reserved", reserved + restore_gap);
    if (!error)
        error = db_meta_del(&to, "clean");
    if (!error)
        error = db_commit(&to);
    sqlite3_finalize(to.put_meta);
    sqlite3_finalize(to.del_meta);
    if (sqlite3_close(b->to) != SQLITE_OK && !error)
        error = -EIO;
    b->to = NULL;
    return error ? error : rename(b->part, b->path) < 0 ? -errno : 0;
}

int backup_step(struct backup *b, bool *ret_more)
{
    *ret_more = false;
    if (!b->copy)
        b->copy = sqlite3_backup_init(b->to, "main", b->d->sql, "main");
    int rc = b->copy ? sqlite3_backup_step(b->copy, BACKUP_PAGES) : sqlite3_errcode(b->to);
    if (rc == SQLITE_DONE)
        return finish(b);
    *ret_more = rc == SQLITE_OK || rc == SQLITE_BUSY || rc == SQLITE_LOCKED;
    return *ret_more ? 0 : db_errno(b->d, rc);
}

static struct backup *end(struct backup *b, int error)
{
    if (error)
        unlink(b->part);
    if (b->done)
        b->done(b->ctx, error);
    return backup_free(b);
}

struct backup *backup_stepped(struct backup *b, const struct job *j)
{
    if (!j->error && j->backup_more)
        return b;
    return end(b, j->error);
}

struct backup *backup_abandon(struct backup *b)
{
    return b ? end(b, -ECANCELED) : NULL;
}
