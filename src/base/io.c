/* base/io.c - small files, whole. */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int write_all(int fd, struct str text)
{
    while (text.len) {
        ssize_t n = write(fd, text.ptr, text.len);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0)
            text = str_from(text, (size_t)n);
    }
    return fsync(fd) < 0 ? -errno : 0;
}

static int sync_parent(const char *path)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str p = str_of(path);
    ptrdiff_t slash = str_rfind(p, '/');
    int fd = open(slash > 0    ? str_z(mem, str_head(p, (size_t)slash))
                  : slash == 0 ? "/"
                               : ".",
                  O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return r;
}

int io_write_whole(const char *path, struct str text, unsigned mode)
{
    cleanup_arena struct arena *mem = arena_new();
    char *tmp = str_fmtz(mem, "%s.new", path);
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return -errno;
    int r = fchmod(fd, mode) < 0 ? -errno : write_all(fd, text);
    close(fd);
    if (r == 0 && rename(tmp, path) < 0)
        r = -errno;
    if (r < 0)
        unlink(tmp);
    return r < 0 ? r : sync_parent(path);
}

int io_read_whole(struct arena *mem, const char *path, size_t max_bytes, struct str *ret)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct sb b = SB(mem);
    int r = 0;
    for (;;) {
        ssize_t n = read(fd, sb_room(&b, 4096), 4096);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            r = n < 0 ? -errno : 0;
            break;
        }
        b.len += (size_t)n;
        if (b.len > max_bytes) {
            r = -EFBIG;
            break;
        }
    }
    close(fd);
    if (r == 0)
        *ret = sb_str(&b);
    return r;
}

int io_mkdir_p(const char *path, unsigned mode)
{
    cleanup_arena struct arena *mem = arena_new();
    char *p = str_z(mem, str_of(path));
    for (char *c = p + 1; *c; c++)
        if (*c == '/') {
            *c = 0;
            if (mkdir(p, mode) < 0 && errno != EEXIST)
                return -errno;
            *c = '/';
        }
    return mkdir(p, mode) < 0 && errno != EEXIST ? -errno : 0;
}
