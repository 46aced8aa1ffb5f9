#include "node/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

int files_mkdirs(const char *path, mode_t mode)
{
    if (mkdir(path, mode) == 0 || errno == EEXIST)
        return 0;
    if (errno != ENOENT)
        return -errno;
    cleanup_arena struct arena *mem = arena_new();
    ptrdiff_t slash = str_rfind(str_of(path), '/');
    if (slash <= 0)
        return -ENOENT;
    int r = files_mkdirs(str_z(mem, str_head(str_of(path), (size_t)slash)), 0755);
    if (r < 0)
        return r;
    return mkdir(path, mode) == 0 || errno == EEXIST ? 0 : -errno;
}

int files_read(int dir, const char *path, size_t max, struct arena *mem, struct str *ret)
{
    cleanup_fd int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct sb out = SB(mem);
    for (;;) {
        ssize_t n = read(fd, sb_room(&out, 4096), 4096);
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        out.len += (size_t)n;
        if (out.len > max)
            return -EFBIG;
    }
    sb_z(&out);
    *ret = sb_str(&out);
    return 0;
}

static int write_all(int fd, struct str text)
{
    while (text.len) {
        ssize_t n = write(fd, text.ptr, text.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        text = str_from(text, (size_t)n);
    }
    return 0;
}

int files_write_atomic(const char *path, mode_t mode, struct str text, bool durable)
{
    cleanup_arena struct arena *mem = arena_new();
    char *tmp = str_fmtz(mem, "%s.tmp%d", path, (int)getpid());
    cleanup_fd int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0)
        return -errno;
    int r = write_all(fd, text);
    if (r == 0 && durable && fdatasync(fd) < 0)
        r = -errno;
    if (r == 0 && rename(tmp, path) < 0)
        r = -errno;
    if (r < 0)
        return unlink(tmp), r;
    if (!durable)
        return 0;
    ptrdiff_t slash = str_rfind(str_of(path), '/');
    cleanup_fd int dir =
        open(slash > 0 ? str_z(mem, str_head(str_of(path), (size_t)slash)) : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir >= 0 && fsync(dir) == 0 ? 0 : -errno;
}

static int write_with(const char *path, int flags, mode_t mode, struct str text)
{
    cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC | flags, mode);
    return fd < 0 ? -errno : write_all(fd, text);
}

int files_write(const char *path, mode_t mode, struct str text)
{
    return write_with(path, O_CREAT | O_TRUNC | O_NOFOLLOW, mode, text);
}

int files_write_existing(const char *path, struct str text)
{
    return write_with(path, 0, 0, text);
}

int files_list(const char *path, struct arena *mem, char ***ret)
{
    DIR *d = opendir(path);
    if (!d)
        return -errno;
    char **v = NULL;
    int n = 0, cap = 0;
    for (struct dirent *e; (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (n == cap) {
            v = arena_grow(mem, v, sizeof(*v) * (size_t)cap, sizeof(*v) * (size_t)(cap ? cap * 2 : 32));
            cap = cap ? cap * 2 : 32;
        }
        v[n++] = str_z(mem, str_of(e->d_name));
    }
    closedir(d);
    *ret = v;
    return n;
}

enum { TREE_DEPTH_MAX = 512 };

static int remove_at(int dir, const char *name, dev_t dev, int depth)
{
    if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    if (unlinkat(dir, name, AT_REMOVEDIR) == 0)
        return 0;
    if ((errno != ENOTEMPTY && errno != EEXIST) || depth == TREE_DEPTH_MAX)
        return -errno;
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0 || st.st_dev != dev)
        return close(fd), -EBUSY;
    DIR *d = fdopendir(fd);
    if (!d)
        return close(fd), -ENOMEM;
    int r = 0;
    for (struct dirent *e; (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        int one = remove_at(fd, e->d_name, dev, depth + 1);
        r = r ? r : one;
    }
    closedir(d);
    return unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : r ? r : -errno;
}

int files_remove_tree(const char *path)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    return remove_at(AT_FDCWD, path, st.st_dev, 0);
}

void files_remove_older(const char *dir, int age_s)
{
    cleanup_arena struct arena *mem = arena_new();
    char **names;
    int n = files_list(dir, mem, &names);
    for (int i = 0; i < n; i++) {
        struct stat st;
        char *path = str_fmtz(mem, "%s/%s", dir, names[i]);
        if (lstat(path, &st) == 0 && st.st_mtim.tv_sec + age_s < time(NULL))
            files_remove_tree(path);
    }
}
