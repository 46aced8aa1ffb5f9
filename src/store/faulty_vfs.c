/* store/faulty_vfs.c - files are arrays; each keeps the image of its last sync and the writes since. */
#include "store/faulty_vfs.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { FILES_MAX = 32, SECTOR = 512, PATH_MAX_LEN = 512 };

struct write {
    sqlite3_int64 at; /* -1: a truncation to len */
    size_t len;
    unsigned char *data;
};
struct image {
    unsigned char *data;
    size_t len, cap;
};
struct file {
    char path[PATH_MAX_LEN];
    bool exists;
    struct image now, synced;
    struct write *writes;
    size_t count, cap;
    int locked; /* handles that hold more than nothing */
};
struct handle {
    sqlite3_file base;
    struct file *f;
    int lock;
};
static struct {
    struct file files[FILES_MAX];
    uint64_t rng, ops;
    enum fault fault;
    int countdown, errors;
    bool lies;
    sqlite3_vfs vfs, *real;
} disk;

static uint64_t draw(void)
{
    disk.rng ^= disk.rng << 13, disk.rng ^= disk.rng >> 7, disk.rng ^= disk.rng << 17;
    return disk.rng;
}

static void image_write(struct image *m, size_t at, const void *data, size_t len)
{
    if (at + len > m->cap) {
        size_t cap = (at + len) * 2;
        m->data = realloc(m->data, cap);
        memset(m->data + m->cap, 0, cap - m->cap);
        m->cap = cap;
    }
    if (at + len > m->len)
        m->len = at + len;
    if (len)
        memcpy(m->data + at, data, len);
}

static void image_truncate(struct image *m, size_t len)
{
    if (len < m->len)
        memset(m->data + len, 0, m->len - len);
    m->len = len;
}

static void image_copy(struct image *to, const struct image *from)
{
    image_truncate(to, 0);
    image_write(to, 0, from->data, from->len);
}

static void forget_writes(struct file *f)
{
    for (size_t i = 0; i < f->count; i++)
        free(f->writes[i].data);
    f->count = 0;
}

static void note(struct file *f, sqlite3_int64 at, const void *data, size_t len)
{
    if (f->count == f->cap) {
        f->cap = f->cap ? f->cap * 2 : 64;
        f->writes = realloc(f->writes, f->cap * sizeof *f->writes);
    }
    struct write w = {at, len, NULL};
    if (at >= 0) {
        w.data = malloc(len);
        memcpy(w.data, data, len);
    }
    f->writes[f->count++] = w;
}

static int inject(bool sync)
{
    disk.ops++;
    if (disk.fault == FAULT_NONE || disk.countdown-- > 0)
        return SQLITE_OK;
    disk.countdown = 0;
    if (disk.fault == FAULT_FSYNC && !sync)
        return SQLITE_OK;
    disk.errors++;
    return disk.fault == FAULT_FULL       ? SQLITE_FULL
           : disk.fault == FAULT_READONLY ? SQLITE_READONLY
           : sync                         ? SQLITE_IOERR_FSYNC
                                          : SQLITE_IOERR_WRITE;
}

/* ---- a file's methods */

static int f_close(sqlite3_file *h)
{
    struct handle *x = (struct handle *)h;
    if (x->lock)
        x->f->locked--;
    return SQLITE_OK;
}

static int f_read(sqlite3_file *h, void *to, int len, sqlite3_int64 at)
{
    const struct image *m = &((struct handle *)h)->f->now;
    size_t have = (size_t)at < m->len ? m->len - (size_t)at : 0, n = have < (size_t)len ? have : (size_t)len;
    if (n)
        memcpy(to, m->data + at, n);
    memset((char *)to + n, 0, (size_t)len - n);
    return n < (size_t)len ? SQLITE_IOERR_SHORT_READ : SQLITE_OK;
}

static int f_write(sqlite3_file *h, const void *from, int len, sqlite3_int64 at)
{
    struct file *f = ((struct handle *)h)->f;
    int rc = inject(/* sync= */ false);
    if (rc)
        return rc;
    image_write(&f->now, (size_t)at, from, (size_t)len);
    note(f, at, from, (size_t)len);
    return SQLITE_OK;
}

static int f_truncate(sqlite3_file *h, sqlite3_int64 len)
{
    struct file *f = ((struct handle *)h)->f;
    image_truncate(&f->now, (size_t)len);
    note(f, -1, NULL, (size_t)len);
    return SQLITE_OK;
}

static int f_sync(sqlite3_file *h, int flags)
{
    struct file *f = ((struct handle *)h)->f;
    int rc = inject(/* sync= */ true);
    if (rc || disk.lies)
        return rc;
    image_copy(&f->synced, &f->now);
    forget_writes(f);
    return SQLITE_OK;
}

static int f_size(sqlite3_file *h, sqlite3_int64 *ret)
{
    *ret = (sqlite3_int64)((struct handle *)h)->f->now.len;
    return SQLITE_OK;
}

static int f_lock(sqlite3_file *h, int level)
{
    struct handle *x = (struct handle *)h;
    if (!x->lock && x->f->locked)
        return SQLITE_BUSY;
    if (!x->lock)
        x->f->locked++;
    x->lock = level;
    return SQLITE_OK;
}

static int f_unlock(sqlite3_file *h, int level)
{
    struct handle *x = (struct handle *)h;
    if (x->lock && !level)
        x->f->locked--;
    x->lock = level;
    return SQLITE_OK;
}

static int f_reserved(sqlite3_file *h, int *ret)
{
    *ret = 0;
    return SQLITE_OK;
}

static int f_control(sqlite3_file *h, int op, void *arg)
{
    return SQLITE_NOTFOUND;
}

static int f_sector(sqlite3_file *h)
{
    return SECTOR;
}

static int f_device(sqlite3_file *h)
{
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE; /* what SQLite assumes of every disk unless told otherwise */
}

static const sqlite3_io_methods methods = {.iVersion = 1,
                                           .xClose = f_close,
                                           .xRead = f_read,
                                           .xWrite = f_write,
                                           .xTruncate = f_truncate,
                                           .xSync = f_sync,
                                           .xFileSize = f_size,
                                           .xLock = f_lock,
                                           .xUnlock = f_unlock,
                                           .xCheckReservedLock = f_reserved,
                                           .xFileControl = f_control,
                                           .xSectorSize = f_sector,
                                           .xDeviceCharacteristics = f_device};

/* ---- the file system */

static struct file *find(const char *path, bool create)
{
    struct file *unused = NULL;
    for (int i = 0; i < FILES_MAX; i++) {
        struct file *f = &disk.files[i];
        if (f->path[0] && strcmp(f->path, path) == 0)
            return f;
        if (!f->path[0] && !unused)
            unused = f;
    }
    if (!create || !unused || strlen(path) >= PATH_MAX_LEN)
        return NULL;
    memcpy(unused->path, path, strlen(path) + 1);
    return unused;
}

static int v_open(sqlite3_vfs *v, const char *path, sqlite3_file *h, int flags, int *out)
{
    struct handle *x = (struct handle *)h;
    *x = (struct handle){0};
    struct file *f = find(path ? path : "temporary", /* create= */ true);
    if (!f || (!f->exists && !(flags & SQLITE_OPEN_CREATE)))
        return SQLITE_CANTOPEN;
    f->exists = true;
    *x = (struct handle){.base = {&methods}, .f = f};
    if (out)
        *out = flags;
    return SQLITE_OK;
}

static int v_delete(sqlite3_vfs *v, const char *path, int sync)
{
    struct file *f = find(path, /* create= */ false);
    if (!f || !f->exists)
        return SQLITE_IOERR_DELETE_NOENT;
    f->exists = false;
    image_truncate(&f->now, 0);
    image_truncate(&f->synced, 0);
    forget_writes(f);
    return SQLITE_OK;
}

static int v_access(sqlite3_vfs *v, const char *path, int flags, int *ret)
{
    const struct file *f = find(path, /* create= */ false);
    *ret = f && f->exists;
    return SQLITE_OK;
}

void faulty_vfs_install(uint64_t seed)
{
    faulty_vfs_remove();
    disk.rng = seed * 0x9e3779b97f4a7c15u + 1;
    disk.real = sqlite3_vfs_find(NULL);
    disk.vfs = *disk.real;
    disk.vfs.zName = "faulty";
    disk.vfs.szOsFile = sizeof(struct handle);
    disk.vfs.xOpen = v_open;
    disk.vfs.xDelete = v_delete;
    disk.vfs.xAccess = v_access;
    sqlite3_vfs_register(&disk.vfs, 1);
}

void faulty_vfs_remove(void)
{
    if (disk.real)
        sqlite3_vfs_unregister(&disk.vfs);
    for (int i = 0; i < FILES_MAX; i++) {
        forget_writes(&disk.files[i]);
        free(disk.files[i].writes);
        free(disk.files[i].now.data);
        free(disk.files[i].synced.data);
    }
    memset(&disk, 0, sizeof disk);
}

void faulty_vfs_fail(enum fault f, int after)
{
    disk.fault = f;
    disk.countdown = after;
}

/* Some sectors of one write reach the disk. */
static void write_torn(struct image *m, const struct write *w)
{
    size_t from = 0, to = w->len;
    if (draw() % 4 == 0) { /* torn: only a run of sectors */
        from = draw() % (w->len + 1) / SECTOR * SECTOR;
        to = from + draw() % (w->len - from + 1);
        if (to < w->len)
            to = to / SECTOR * SECTOR;
    }
    if (to > from)
        image_write(m, (size_t)w->at + from, w->data + from, to - from);
}

static void cut(struct file *f)
{
    unsigned keep = draw() % 4;             /* of 3: nothing, some, most or all of it */
    for (size_t i = f->count; i > 1; i--) { /* reordered */
        size_t j = draw() % i;
        struct write t = f->writes[i - 1];
        f->writes[i - 1] = f->writes[j];
        f->writes[j] = t;
    }
    for (size_t i = 0; i < f->count; i++) {
        if (draw() % 3 >= keep)
            continue;
        if (f->writes[i].at < 0)
            image_truncate(&f->synced, f->writes[i].len < f->synced.len ? f->writes[i].len : f->synced.len);
        else
            write_torn(&f->synced, &f->writes[i]);
    }
    forget_writes(f);
    image_copy(&f->now, &f->synced);
    f->locked = 0;
}

void faulty_vfs_power_cut(void)
{
    disk.fault = FAULT_NONE;
    for (int i = 0; i < FILES_MAX; i++)
        if (disk.files[i].exists)
            cut(&disk.files[i]);
}

void faulty_vfs_lie(void)
{
    disk.lies = true;
}

uint64_t faulty_vfs_ops(void)
{
    return disk.ops;
}

int faulty_vfs_errors(void)
{
    return disk.errors;
}
