/* registry/disk.c - the registry's files. */
#include "registry/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "registry/registry.h"

enum { DIR_DEPTH_MAX = 130 /* of a repository's name: every second byte may be a slash */ };

char *disk_path(const struct disk *d, struct arena *mem, struct str repo, const char *kind, struct str name)
{
    return str_fmtz(mem, "%s/repos/%.*s/%s%s%.*s", d->root, STR_ARG(repo), kind, name.len ? "/" : "", STR_ARG(name));
}

char *disk_blob_path(const struct disk *d, struct arena *mem, struct str hex)
{
    return str_fmtz(mem, "%s/blobs/sha256/%.*s/%.*s", d->root, STR_ARG(str_head(hex, 2)), STR_ARG(hex));
}

static char *parent_of(struct arena *mem, const char *path)
{
    struct str p = str_of(path);
    ptrdiff_t slash = str_rfind(p, '/');
    return str_z(mem, str_head(p, slash > 0 ? (size_t)slash : 1));
}

int disk_sync_dir(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return r;
}

int disk_make_dirs(const struct disk *d, struct arena *mem, const char *path)
{
    size_t end = strlen(path);
    if (mkdir(path, 0700) == 0)
        return disk_sync_dir(parent_of(mem, path));
    if (errno == EEXIST)
        return 0;
    if (errno != ENOENT)
        return -errno;
    for (size_t i = strlen(d->root); i <= end; i++) { /* from the root down, so that each is durable in its parent */
        if (path[i] != '/' && path[i] != 0)
            continue;
        char *at = str_z(mem, str_mem(path, i));
        if (mkdir(at, 0700) < 0 && errno != EEXIST)
            return -errno;
        int r = disk_sync_dir(parent_of(mem, at));
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- contents */
int disk_stat(struct disk *d, struct arena *mem, struct str repo, const char *kind, struct str hex, bool renew,
              uint64_t *ret_size)
{
    const char *path = disk_path(d, mem, repo, kind, hex);
    struct stat st;
    pthread_rwlock_rdlock(&d->lock);
    int r = stat(path, &st) < 0 ? -errno : 0;
    renew = renew && r == 0 && time(NULL) - st.st_mtime > d->grace_s / 4;
    if (renew && utimensat(AT_FDCWD, path, NULL, 0) < 0)
        r = -errno;
    pthread_rwlock_unlock(&d->lock);
    if (r == 0)
        *ret_size = (uint64_t)st.st_size;
    return r;
}

int disk_open(struct disk *d, struct arena *mem, struct str repo, const char *kind, struct str hex, uint64_t *ret_size)
{
    struct stat st;
    int fd = open(disk_path(d, mem, repo, kind, hex), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    *ret_size = (uint64_t)st.st_size;
    return fd;
}

/* A hard link, made durable; it may be there already. Under the shared lock. */
static int link_into(const char *content, const char *dir, const char *path)
{
    if (link(content, path) < 0 && errno != EEXIST)
        return -errno;
    return disk_sync_dir(dir);
}

int disk_commit(struct disk *d, struct arena *mem, const char *path, struct str repo, const char *kind, struct str hex)
{
    char *content = disk_blob_path(d, mem, hex), *dir = parent_of(mem, content);
    char *to = disk_path(d, mem, repo, kind, hex), *to_dir = disk_path(d, mem, repo, kind, STR_NULL);
    int r = disk_make_dirs(d, mem, dir);
    r = r < 0 ? r : disk_make_dirs(d, mem, to_dir);
    if (r < 0)
        return r;
    pthread_rwlock_rdlock(&d->lock);
    /* Of what is there already the file stays, as others are linked to it. */
    if (utimensat(AT_FDCWD, content, NULL, 0) == 0)
        r = unlink(path) < 0 ? -errno : 0;
    else
        r = rename(path, content) < 0 ? -errno : 0;
    r = r < 0 ? r : disk_sync_dir(dir);
    r = r < 0 ? r : link_into(content, to_dir, to);
    pthread_rwlock_unlock(&d->lock);
    return r;
}

int disk_mount(struct disk *d, struct arena *mem, struct str from, struct str to, struct str hex)
{
    uint64_t size;
    int r = disk_stat(d, mem, from, DISK_BLOBS, hex, /* renew= */ true, &size);
    char *dir = disk_path(d, mem, to, DISK_BLOBS, STR_NULL);
    r = r < 0 ? r : disk_make_dirs(d, mem, dir);
    if (r < 0)
        return r;
    pthread_rwlock_rdlock(&d->lock);
    r = link_into(disk_path(d, mem, from, DISK_BLOBS, hex), dir, disk_path(d, mem, to, DISK_BLOBS, hex));
    pthread_rwlock_unlock(&d->lock);
    return r;
}

int disk_link_referrer(struct disk *d, struct arena *mem, struct str repo, struct str subject, struct str hex)
{
    char *dir = disk_path(d, mem, repo, DISK_REFERRERS, subject);
    int r = disk_make_dirs(d, mem, dir);
    return r < 0 ? r
                 : link_into(disk_path(d, mem, repo, DISK_MANIFESTS, hex), dir,
                             str_fmtz(mem, "%s/%.*s", dir, STR_ARG(hex)));
}

int disk_unlink(struct disk *d, struct arena *mem, struct str repo, const char *kind, struct str name)
{
    char *path = disk_path(d, mem, repo, kind, name);
    return unlink(path) < 0 ? -errno : disk_sync_dir(parent_of(mem, path));
}

/* ---- tags */
int disk_tag_get(struct disk *d, struct arena *mem, struct str repo, struct str tag, struct str *ret_hex)
{
    struct str text;
    int r = io_read_whole(mem, disk_path(d, mem, repo, DISK_TAGS, tag), 80, &text);
    if (r < 0)
        return r;
    text = str_trim(text);
    *ret_hex = str_from(text, 7);
    return ret_hex->len == 64 ? 0 : -EBADMSG;
}

/* Its temporary name begins with a dot, as no tag does, and is its own: two may move one tag at once. */
int disk_tag_put(struct disk *d, struct arena *mem, struct str repo, struct str tag, struct str hex)
{
    static atomic_uint counter;
    char *dir = disk_path(d, mem, repo, DISK_TAGS, STR_NULL), *path = disk_path(d, mem, repo, DISK_TAGS, tag);
    char *tmp = str_fmtz(mem, "%s/.%u", dir, atomic_fetch_add(&counter, 1));
    int r = disk_make_dirs(d, mem, dir);
    r = r < 0 ? r : io_write_whole(tmp, str_fmt(mem, "sha256:%.*s\n", STR_ARG(hex)), 0600);
    if (r == 0 && rename(tmp, path) < 0)
        r = -errno;
    return r < 0 ? r : disk_sync_dir(dir);
}

/* ---- directories */
static int by_name(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

int disk_list(struct arena *mem, const char *path, struct str **ret, int *ret_count)
{
    DIR *dir = opendir(path);
    if (!dir)
        return -errno;
    struct str *names = NULL;
    int n = 0, cap = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] == '.')
            continue;
        if (n == cap) {
            int more = cap ? cap * 2 : 16;
            names = arena_grow(mem, names, (size_t)cap * sizeof *names, (size_t)more * sizeof *names);
            cap = more;
        }
        names[n++] = str_dup(mem, str_of(e->d_name));
    }
    closedir(dir);
    if (n)
        qsort(names, (size_t)n, sizeof *names, by_name);
    *ret = names, *ret_count = n;
    return 0;
}

bool disk_has_room(const struct disk *d)
{
    struct statvfs fs;
    if (statvfs(d->root, &fs) < 0)
        return true; /* the write will tell */
    uint64_t reserve = (uint64_t)fs.f_blocks * fs.f_frsize / 20;
    reserve = reserve < DISK_RESERVE_BYTES_MAX ? reserve : DISK_RESERVE_BYTES_MAX;
    return (uint64_t)fs.f_bavail * fs.f_frsize >= reserve;
}

bool disk_has_repo(struct disk *d, struct arena *mem, struct str repo)
{
    struct stat st;
    return stat(disk_path(d, mem, repo, DISK_MANIFESTS, STR_NULL), &st) == 0 ||
           stat(disk_path(d, mem, repo, DISK_BLOBS, STR_NULL), &st) == 0;
}

static uint64_t sum_sizes(const char *path)
{
    uint64_t sum = 0;
    DIR *dir = opendir(path);
    struct stat st;
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (e->d_name[0] != '.' && fstatat(dirfd(dir), e->d_name, &st, 0) == 0 && S_ISREG(st.st_mode))
            sum += (uint64_t)st.st_size;
    if (dir)
        closedir(dir);
    return sum;
}

static uint64_t usage_below(struct arena *mem, const char *path, int depth)
{
    struct str *names;
    int count;
    uint64_t sum = 0;
    if (depth > DIR_DEPTH_MAX || disk_list(mem, path, &names, &count) < 0)
        return 0;
    for (int i = 0; i < count; i++) {
        char *at = str_fmtz(mem, "%s/%.*s", path, STR_ARG(names[i]));
        if (names[i].ptr[0] != '_')
            sum += usage_below(mem, at, depth + 1);
        else if (str_is(names[i], DISK_BLOBS) || str_is(names[i], DISK_MANIFESTS))
            sum += sum_sizes(at);
    }
    return sum;
}

uint64_t disk_usage(struct disk *d, struct arena *mem, struct str owner)
{
    cleanup_arena struct arena *scratch = arena_new();
    return usage_below(scratch, str_fmtz(mem, "%s/repos/%.*s", d->root, STR_ARG(owner)), 0);
}
