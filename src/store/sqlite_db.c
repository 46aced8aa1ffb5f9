/* store/sqlite_db.c - statements and error codes of sampan.db. Opening is in sqlite_open.c. */
#include "store/sqlite_db.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/crc.h"

int db_errno(struct db *d, int rc)
{
    int sys = d->sql ? sqlite3_system_errno(d->sql) : 0;
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return 0;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return -EROFS;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return -EUCLEAN;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_CANTOPEN:
        return sys ? -sys : -EIO;
    default:
        return sys == ENOSPC || sys == EDQUOT ? -ENOSPC : sys == EROFS ? -EROFS : -EIO;
    }
}

uint32_t db_row_crc(uint64_t id, int kind, struct str key, struct str value)
{
    uint8_t head[9];
    for (int i = 0; i < 8; i++)
        head[i] = (uint8_t)(id >> 8 * i);
    head[8] = (uint8_t)kind;
    uint32_t crc = crc32c(0, head, sizeof head);
    crc = crc32c(crc, key.ptr, key.len);
    return crc32c(crc, value.ptr, value.len);
}

/* ---- transactions */

static int exec(struct db *d, const char *sql)
{
    return db_errno(d, sqlite3_exec(d->sql, sql, NULL, NULL, NULL));
}

int db_begin(struct db *d)
{
    return exec(d, "BEGIN IMMEDIATE");
}

int db_commit(struct db *d)
{
    d->fsyncs++;
    return exec(d, "COMMIT");
}

void db_rollback(struct db *d)
{
    if (!sqlite3_get_autocommit(d->sql))
        sqlite3_exec(d->sql, "ROLLBACK", NULL, NULL, NULL);
}

/* ---- rows */

static sqlite3_stmt *statement(struct db *d, sqlite3_stmt **cached, const char *sql)
{
    if (!*cached)
        sqlite3_prepare_v3(d->sql, sql, -1, SQLITE_PREPARE_PERSISTENT, cached, NULL);
    return *cached;
}

static void bind_str(sqlite3_stmt *s, int i, struct str v)
{
    sqlite3_bind_blob64(s, i, v.ptr ? v.ptr : "", v.len, SQLITE_STATIC);
}

static int run(struct db *d, sqlite3_stmt *s)
{
    int rc = sqlite3_step(s);
    int error = rc == SQLITE_DONE ? 0 : db_errno(d, rc);
    sqlite3_reset(s);
    return error;
}

static int not_prepared(struct db *d)
{
    int error = db_errno(d, sqlite3_errcode(d->sql));
    return error ? error : -EIO;
}

int db_put(struct db *d, uint64_t id, int kind, struct str key, struct str value)
{
    sqlite3_stmt *s = statement(d, &d->put_log, "INSERT INTO log(id, kind, crc, key, value) VALUES(?, ?, ?, ?, ?)");
    sqlite3_stmt *n = statement(d, &d->put_name, "INSERT INTO names(id, kind, key, crc) VALUES(?, ?, ?, ?)");
    if (!s || !n)
        return not_prepared(d);
    sqlite3_bind_int64(s, 1, (int64_t)id);
    sqlite3_bind_int(s, 2, kind);
    sqlite3_bind_int64(s, 3, db_row_crc(id, kind, key, value));
    bind_str(s, 4, key);
    bind_str(s, 5, value);
    int error = run(d, s);
    if (error)
        return error;
    sqlite3_bind_int64(n, 1, (int64_t)id);
    sqlite3_bind_int(n, 2, kind);
    bind_str(n, 3, key);
    sqlite3_bind_int64(n, 4, db_row_crc(id, kind, key, STR_NULL));
    return run(d, n);
}

int db_del(struct db *d, uint64_t id)
{
    sqlite3_stmt *s = statement(d, &d->del_log, "DELETE FROM log WHERE id = ?");
    sqlite3_stmt *n = statement(d, &d->del_name, "DELETE FROM names WHERE id = ?");
    if (!s || !n)
        return not_prepared(d);
    sqlite3_bind_int64(s, 1, (int64_t)id);
    sqlite3_bind_int64(n, 1, (int64_t)id);
    int error = run(d, s);
    return error ? error : run(d, n);
}

int db_meta_put(struct db *d, struct str name, struct str value)
{
    sqlite3_stmt *s = statement(d, &d->put_meta, "INSERT OR REPLACE INTO meta(name, value, crc) VALUES(?, ?, ?)");
    if (!s)
        return not_prepared(d);
    bind_str(s, 1, name);
    bind_str(s, 2, value);
    sqlite3_bind_int64(s, 3, db_row_crc(0, 0, name, value));
    return run(d, s);
}

int db_meta_put_u64(struct db *d, const char *name, uint64_t value)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return db_meta_put(d, str_of(name), str_mem(text, (size_t)n));
}

int db_meta_del(struct db *d, const char *name)
{
    sqlite3_stmt *s = statement(d, &d->del_meta, "DELETE FROM meta WHERE name = ?");
    if (!s)
        return not_prepared(d);
    bind_str(s, 1, str_of(name));
    return run(d, s);
}

int db_meta_each(struct db *d, void (*fn)(void *ctx, struct str name, struct str value), void *ctx, int *bad)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(d->sql, "SELECT name, value, crc FROM meta", -1, &s, NULL);
    *bad = 0;
    while (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) {
        struct str name = db_column(s, 0), value = db_column(s, 1);
        if (sqlite3_column_int64(s, 2) == db_row_crc(0, 0, name, value))
            fn(ctx, name, value);
        else
            ++*bad;
        rc = SQLITE_OK;
    }
    int error = rc == SQLITE_DONE ? 0 : db_errno(d, rc);
    sqlite3_finalize(s);
    return error;
}

/* The frames go over into the file; the next commit starts the WAL anew. */
int db_checkpoint(struct db *d)
{
    int frames = 0, done = 0;
    if (d->frames == 0)
        return 0;
    int error = db_errno(d, sqlite3_wal_checkpoint_v2(d->sql, NULL, SQLITE_CHECKPOINT_PASSIVE, &frames, &done));
    d->fsyncs += 2;
    d->bytes_written +=
        (uint64_t)(done > 0 ? done : 0) * DB_PAGE; /* at most: a page in several frames is written once */
    if (!error && frames == done)
        d->frames = 0;
    return error;
}
