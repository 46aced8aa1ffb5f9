/* Source: kubelet volume/util AtomicWriter: files stand in ..TIMESTAMP/, ..data points to it, and each name on the top
 * level is a link through ..data; one rename of ..data changes them all. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "node/files.h"
#include "node/volume/volume.h"

void payload_add(struct arena *mem, struct payload *p, struct str path, struct str bytes, uint32_t mode)
{
    if (p->count == p->cap) {
        int cap = p->cap ? p->cap * 2 : 8;
        p->files = arena_grow(mem, p->files, sizeof(*p->files) * (size_t)p->cap, sizeof(*p->files) * (size_t)cap);
        p->cap = cap;
    }
    for (int i = 0; i < p->count; i++)
        if (str_eq(p->files[i].path, path)) {
            p->files[i] = (struct payload_file){path, bytes, mode};
            return;
        }
    p->files[p->count++] = (struct payload_file){path, bytes, mode};
}

uint64_t payload_hash(const struct payload *p)
{
    uint64_t h = 1469598103934665603u + (uint64_t)p->count;
    for (int i = 0; i < p->count; i++)
        h = (h * 31 + str_hash(p->files[i].path)) * 31 + str_hash(p->files[i].bytes) + p->files[i].mode;
    return h ? h : 1;
}

bool payload_path_valid(struct str path)
{
    struct str part, rest = path;
    if (path.len == 0 || path.len > 1024 || path.ptr[0] == '/' || str_find(path, '\0') >= 0)
        return false;
    if (str_starts(path, STR("..")))
        return false;
    while (str_next(&rest, '/', &part))
        if (part.len == 0 || str_is(part, ".."))
            return false;
    return true;
}

static int write_file(struct arena *mem, const char *dir, const struct payload_file *f, int64_t gid)
{
    char *path = str_fmtz(mem, "%s/" STR_FMT, dir, STR_ARG(f->path));
    ptrdiff_t slash = str_rfind(str_of(path), '/');
    int r = files_mkdirs(str_z(mem, str_head(str_of(path), (size_t)slash)), 0755);
    r = r < 0 ? r : files_write(path, 0600, f->bytes);
    if (r == 0 && gid >= 0 && chown(path, (uid_t)-1, (gid_t)gid) < 0)
        r = -errno;
    return r == 0 && chmod(path, gid >= 0 ? f->mode | 0040 : f->mode) < 0 ? -errno : r;
}

static struct str top_of(struct str path)
{
    struct str head, rest;
    str_cut(path, '/', &head, &rest);
    return head;
}

static void remove_stale(struct arena *mem, const char *dir, const struct payload *p, struct str keep)
{
    char **names;
    int n = files_list(dir, mem, &names);
    for (int i = 0; i < n; i++) {
        struct str name = str_of(names[i]);
        bool used = str_is(name, "..data") || str_eq(name, keep);
        for (int k = 0; k < p->count && !used; k++)
            used = str_eq(top_of(p->files[k].path), name);
        if (!used)
            files_remove_tree(str_fmtz(mem, "%s/%s", dir, names[i]));
    }
}

int payload_write(const char *dir, const struct payload *p, int64_t gid)
{
    cleanup_arena struct arena *mem = arena_new();
    char *work = str_fmtz(mem, "%s/..%lld.XXXXXX", dir, (long long)time(NULL));
    if (!mkdtemp(work) || chmod(work, 0755) < 0)
        return -errno;
    int r = 0;
    for (int i = 0; i < p->count && r == 0; i++)
        r = write_file(mem, work, &p->files[i], gid);
    struct str base = str_from(str_of(work), strlen(dir) + 1);
    char *next = str_fmtz(mem, "%s/..data_tmp", dir);
    unlink(next);
    if (r == 0 && (symlink(base.ptr, next) < 0 || rename(next, str_fmtz(mem, "%s/..data", dir)) < 0))
        r = -errno;
    for (int i = 0; i < p->count && r == 0; i++) {
        struct str top = top_of(p->files[i].path);
        char *link = str_fmtz(mem, "%s/" STR_FMT, dir, STR_ARG(top));
        if (symlink(str_fmtz(mem, "..data/" STR_FMT, STR_ARG(top)), link) < 0 && errno != EEXIST)
            r = -errno;
    }
    if (r < 0)
        return files_remove_tree(work), r;
    remove_stale(mem, dir, p, base);
    return 0;
}
