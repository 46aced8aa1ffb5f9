/* store/sqlite_open.c - opening sampan.db: lock, mode, version; and the private copy where the real file can't serve.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/sqlite_db.h"

static const char schema[] =
    "CREATE TABLE log(id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, crc INTEGER NOT NULL, key BLOB NOT NULL, value "
    "BLOB NOT NULL);"
    "CREATE TABLE names(id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, key BLOB NOT NULL, crc INTEGER NOT NULL);"
    "CREATE TABLE meta(name BLOB PRIMARY KEY, value BLOB NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;";

char *db_file(struct arena *mem, const char *dir, const char *suffix)
{
    return str_fmtz(mem, "%s/sampan.db%s", dir, suffix);
}

bool db_writable(const char *dir)
{
    return access(dir, W_OK) == 0; /* says EROFS for root too */
}

/* ---- a private copy */

static int copy_file(const char *from, const char *to)
{
    char buf[65536];
    int in = open(from, O_RDONLY | O_CLOEXEC), error = 0;
    if (in < 0)
        return errno == ENOENT ? 0 : -errno;
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t n = 0;
    if (out < 0)
        error = -errno;
    while (!error && (n = read(in, buf, sizeof buf)) > 0)
        if (write(out, buf, (size_t)n) != n)
            error = errno ? -errno : -ENOSPC;
    if (n < 0)
        error = -errno;
    close(in);
    if (out >= 0)
        close(out);
    return error;
}

static void copy_remove(struct db *d)
{
    cleanup_arena struct arena *mem = arena_new();
    if (!d->copy_dir)
        return;
    unlink(db_file(mem, d->copy_dir, ""));
    unlink(db_file(mem, d->copy_dir, "-wal"));
    unlink(db_file(mem, d->copy_dir, "-journal"));
    rmdir(d->copy_dir);
    free(d->copy_dir);
    d->copy_dir = NULL;
}

static int copy_make(struct db *d, const char *dir, struct arena *mem)
{
    char *to = str_fmtz(mem, "%s/sampan.copy.XXXXXX", db_writable(dir) ? dir : P_tmpdir);
    if (!mkdtemp(to))
        return -errno;
    d->copy_dir = strdup(to);
    int error = copy_file(db_file(mem, dir, ""), db_file(mem, to, ""));
    return error ? error : copy_file(db_file(mem, dir, "-wal"), db_file(mem, to, "-wal"));
}

static void put_be32(unsigned char *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (unsigned char)(v >> (24 - 8 * i));
}

/* Everything on the first page is known: schema and root pages never differ. The free list is forgotten, which costs
 * space only. File format: sqlite.org/fileformat2.html, 1.3. */
static int mend_first_page(const char *path)
{
    sqlite3 *blank = NULL;
    sqlite3_int64 size = 0;
    struct stat st;
    int error = -EIO, fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    unsigned char *page = NULL;
    if (sqlite3_open(":memory:", &blank) == SQLITE_OK &&
        sqlite3_exec(blank, "PRAGMA page_size=4096", NULL, NULL, NULL) == SQLITE_OK &&
        sqlite3_exec(blank, schema, NULL, NULL, NULL) == SQLITE_OK)
        page = sqlite3_serialize(blank, "main", &size, 0);
    if (page && size >= DB_PAGE && fstat(fd, &st) == 0) {
        page[18] = page[19] = 2; /* WAL */
        put_be32(page + 28, (uint32_t)(st.st_size / DB_PAGE));
        memcpy(page + 92, page + 24, 4); /* the size is valid for this change counter */
        put_be32(page + 60, DB_VERSION);
        put_be32(page + 68, DB_APPLICATION_ID);
        error = pwrite(fd, page, DB_PAGE, 0) == DB_PAGE ? 0 : -errno;
    }
    sqlite3_free(page);
    sqlite3_close(blank);
    close(fd);
    return error;
}

/* ---- the file */

int db_on_wal(void *ctx, sqlite3 *sql, const char *name, int frames)
{
    struct db *d = ctx;
    uint64_t n = (uint64_t)frames;
    d->bytes_written += (n >= d->frames ? n - d->frames : n) * DB_FRAME;
    d->frames = n;
    return SQLITE_OK;
}

static int pragma_int(struct db *d, const char *name, int *ret)
{
    char sql[64];
    sqlite3_stmt *s = NULL;
    snprintf(sql, sizeof sql, "PRAGMA %s", name);
    int rc = sqlite3_prepare_v2(d->sql, sql, -1, &s, NULL);
    if (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW)
        *ret = sqlite3_column_int(s, 0);
    sqlite3_finalize(s);
    return db_errno(d, rc);
}

static int busy_why(const char *dir, struct arena *mem, struct str *why)
{
    int fd = open(db_file(mem, dir, ""), O_RDONLY | O_CLOEXEC);
    /* The byte that every writer of SQLite locks: sqlite3.c, PENDING_BYTE + 2 on. */
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0x40000000, .l_len = 512};
    if (fd >= 0 && fcntl(fd, F_GETLK, &l) == 0 && l.l_type != F_UNLCK && l.l_pid > 0)
        *why =
            str_fmt(mem, "another server (process %d) is using %s: stop it first, or give this one its own --data-dir",
                    (int)l.l_pid, dir);
    else
        *why = str_fmt(mem, "another server is using %s: stop it first, or give this one its own --data-dir", dir);
    if (fd >= 0)
        close(fd);
    return -EBUSY;
}

static int create(struct db *d)
{
    char sql[64];
    int error = db_begin(d);
    if (error)
        return error;
    snprintf(sql, sizeof sql, "PRAGMA user_version=%d; PRAGMA application_id=%d", DB_VERSION, DB_APPLICATION_ID);
    error = db_errno(d, sqlite3_exec(d->sql, schema, NULL, NULL, NULL));
    if (!error)
        error = db_errno(d, sqlite3_exec(d->sql, sql, NULL, NULL, NULL));
    if (!error)
        error = db_meta_put_u64(d, "clean", 1);
    if (!error)
        error = db_commit(d);
    if (error)
        db_rollback(d);
    return error;
}

static int check_version(struct db *d, const char *dir, struct arena *mem, struct str *why)
{
    int version = 0, id = 0, tables = 0;
    int error = pragma_int(d, "user_version", &version);
    if (!error)
        error = pragma_int(d, "application_id", &id);
    if (!error)
        error = pragma_int(d, "schema_version", &tables);
    if (error)
        return error;
    if (version == 0 && id == 0 && tables == 0)
        return create(d);
    if (id != DB_APPLICATION_ID) {
        *why = str_fmt(mem, "%s/sampan.db is not a store of Sampan", dir);
        return -EMEDIUMTYPE;
    }
    if (version != DB_VERSION) {
        *why = str_fmt(mem,
                       "%s holds a store of version %d, and this sampan knows version %d: start the sampan that wrote "
                       "it, or give this one another --data-dir",
                       dir, version, DB_VERSION);
        return -EMEDIUMTYPE;
    }
    return 0;
}

/* EXCLUSIVE comes before the first access, so that the WAL's index lives in our memory and not in a shared file. */
static const char *const settings[] = {
    "PRAGMA locking_mode=EXCLUSIVE", "PRAGMA page_size=4096",     "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",       "PRAGMA cache_size=-1024",   "PRAGMA temp_store=MEMORY",
    "PRAGMA trusted_schema=OFF",     "PRAGMA cell_size_check=ON", "PRAGMA journal_size_limit=33554432",
};

static int open_file(struct db *d, const char *dir, int flags, struct arena *mem, struct str *why)
{
    int rc =
        sqlite3_open_v2(d->path, &d->sql,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    for (size_t i = 0; rc == SQLITE_OK && i < sizeof settings / sizeof settings[0]; i++)
        rc = sqlite3_exec(d->sql, settings[i], NULL, NULL, NULL);
    if (rc == SQLITE_OK && sqlite3_db_readonly(d->sql, "main") == 1)
        return -EROFS;
    if (rc != SQLITE_OK)
        return db_errno(d, rc);
    if (flags & DB_KEEP_WAL)
        sqlite3_db_config(d->sql, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_wal_hook(d->sql, db_on_wal, d);
    return check_version(d, dir, mem, why);
}

int db_open(struct db *d, const char *dir, int flags, struct arena *mem, struct str *why)
{
    int error = 0;
    *d = (struct db){.dir = strdup(dir)};
    if (mkdir(dir, 0700) < 0 && errno != EEXIST && errno != EROFS)
        error = -errno;
    if (!error && flags & (DB_COPY | DB_MEND_FIRST))
        error = copy_make(d, dir, mem);
    d->path = strdup(db_file(mem, d->copy_dir ? d->copy_dir : dir, ""));
    if (!error && flags & DB_MEND_FIRST)
        error = mend_first_page(d->path);
    if (!error && !d->copy_dir && !db_writable(dir))
        error = -EROFS;
    if (!error)
        error = open_file(d, dir, flags, mem, why);
    if (error == -EBUSY)
        busy_why(dir, mem, why);
    else if (error && error != -EMEDIUMTYPE)
        *why = str_fmt(mem, "%s: %s", d->path,
                       error == -EUCLEAN ? "the first page of the file is damaged" : strerror(-error));
    if (error)
        db_close(d);
    return error;
}

void db_close(struct db *d)
{
    sqlite3_stmt **all[] = {&d->put_log, &d->put_name, &d->del_log, &d->del_name, &d->put_meta, &d->del_meta};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        sqlite3_finalize(*all[i]);
    sqlite3_close(d->sql);
    copy_remove(d);
    free(d->dir);
    free(d->path);
    *d = (struct db){0};
}
