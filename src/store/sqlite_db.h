/* store/sqlite_db.h - sampan.db: the file, its tables and its rows. One thread at a time.
 *
 * WAL mode with an exclusive lock (so there is no -shm file, and no second server), synchronous=FULL. Tables, all made
 * in this order, so that their root pages are always 2, 3 and 4: log    one row a change: id = revision * STORE_OPS_MAX
 * + index; kind, crc, key, value (canonical JSON; a delete has none) names  id -> kind, key, crc: the same again
 * without values, on pages of its own, so that what is lost with a damaged page of log has a name meta   name -> value,
 * crc: "reserved" (revisions up to here may have been handed out), "clean" (the last revision, present only after a
 * clean stop), "v:NAME" (store_meta_put) For src/store/ only. */
#ifndef SAMPAN_STORE_SQLITE_DB_H
#define SAMPAN_STORE_SQLITE_DB_H

#include <sqlite3.h>

#include "store/store_priv.h"

enum { DB_VERSION = 1, DB_APPLICATION_ID = 0x53616d70 /* "Samp" */, DB_PAGE = 4096, DB_FRAME = DB_PAGE + 24 };

struct db {
    sqlite3 *sql;
    sqlite3_stmt *put_log, *put_name, *del_log, *del_name, *put_meta, *del_meta;
    char *dir, *path; /* malloc'd; path is the file really open, perhaps a copy */
    char *copy_dir;   /* a private copy to read from: removed when closed; NULL: the real file */
    uint64_t frames;  /* in the WAL */
    uint64_t bytes_written, fsyncs;
};

enum db_open_flags {
    DB_COPY = 1,       /* work on a private copy: the directory can't be written */
    DB_MEND_FIRST = 2, /* on a private copy whose first page, with header and schema, is made new */
    DB_KEEP_WAL = 4,   /* leave file and WAL as they are when closing */
};
/* 0; -EBUSY: another process has it; -EMEDIUMTYPE: another version or no file of ours; -EROFS, -ENOSPC, ...; -EUCLEAN:
 * the first page is damaged. *why tells the user. */
int db_open(struct db *d, const char *dir, int flags, struct arena *mem, struct str *why);
void db_close(struct db *d);
char *db_file(struct arena *mem, const char *dir, const char *suffix); /* "DIR/sampan.db" + suffix */
/* The directory can be written again, or never could not. */
bool db_writable(const char *dir);

int db_begin(struct db *d);
int db_commit(struct db *d);
void db_rollback(struct db *d);
int db_put(struct db *d, uint64_t id, int kind, struct str key, struct str value);
int db_del(struct db *d, uint64_t id);
int db_meta_put(struct db *d, struct str name, struct str value);
int db_meta_put_u64(struct db *d, const char *name, uint64_t value);
int db_meta_del(struct db *d, const char *name);
/* Each value with a sound checksum; *bad counts the others, if the table can be read at all. */
int db_meta_each(struct db *d, void (*fn)(void *ctx, struct str name, struct str value), void *ctx, int *bad);
int db_checkpoint(struct db *d);
int db_on_wal(void *db, sqlite3 *sql, const char *name, int frames); /* the hook that counts frames */
/* Bring a result code of SQLite to -errno: ENOSPC, EROFS, EIO, EUCLEAN (damaged), EBUSY, ENOMEM. */
int db_errno(struct db *d, int rc);

uint32_t db_row_crc(uint64_t id, int kind, struct str key, struct str value);
static inline uint64_t db_row_rev(uint64_t id)
{
    return id >> STORE_ROW_SHIFT;
}
static inline struct str db_column(sqlite3_stmt *s, int i) /* blob before bytes: SQLite wants this order */
{
    const char *p = sqlite3_column_blob(s, i);
    return str_mem(p, (size_t)sqlite3_column_bytes(s, i));
}

#endif
