#include "node/image/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/log.h"
#include "node/files.h"
#include "node/image/store_priv.h"

const char *image_arch(void)
{
    static struct utsname u;
    static const char *const table[][2] = {{"x86_64", "amd64"},    {"aarch64", "arm64"},   {"armv7l", "arm"},
                                           {"riscv64", "riscv64"}, {"ppc64le", "ppc64le"}, {"s390x", "s390x"}};
    uname(&u);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (strcmp(table[i][0], u.machine) == 0)
            return table[i][1];
    return u.machine;
}

struct images *images_open(const char *state_dir, struct loop *loop, int *ret_error)
{
    struct arena *keep = arena_new();
    struct images *s = arena_new_of(keep, struct images);
    s->keep = keep, s->loop = loop;
    s->dir = str_fmtz(keep, "%s/images", state_dir);
    s->meta = str_fmtz(keep, "%s/meta", s->dir), s->layers = str_fmtz(keep, "%s/layers", s->dir);
    s->incoming = str_fmtz(keep, "%s/incoming", s->dir);
    list_init(&s->all), list_init(&s->pulls);
    int r = files_mkdirs(s->meta, 0700);
    if (r == 0)
        r = files_mkdirs(s->layers, 0700);
    if (r == 0)
        r = files_mkdirs(s->incoming, 0700);
    if (r < 0) {
        *ret_error = r;
        arena_free(keep);
        return NULL;
    }
    if (loop)
        files_remove_older(s->incoming, /* age_s= */ 3600);
    return s;
}

static void image_drop(struct image *i)
{
    i->gone = true;
    list_remove(&i->link);
    if (i->pins == 0)
        arena_free(i->mem);
}

struct images *images_close(struct images *s)
{
    if (!s)
        return NULL;
    list_each_safe (at, &s->all)
        image_drop(container_of(at, struct image, link));
    arena_free(s->keep);
    return NULL;
}

void image_pin(const struct image *i)
{
    ((struct image *)(uintptr_t)i)->pins++;
}

void image_unpin(const struct image *i)
{
    struct image *m = (struct image *)(uintptr_t)i;
    if (m && --m->pins == 0 && m->gone)
        arena_free(m->mem);
}

static struct image *load(struct images *s, const char *name)
{
    struct arena *mem = arena_new();
    struct str text;
    struct image *i = arena_new_of(mem, struct image);
    if (files_read(AT_FDCWD, str_fmtz(mem, "%s/%s", s->meta, name), IMAGE_MANIFEST_BYTES_MAX, mem, &text) < 0 ||
        image_from_json(mem, text, &i->info, &i->names) < 0) {
        log_warn("image", "a record can't be read", "file=%s", name);
        arena_free(mem);
        return NULL;
    }
    struct stat st;
    if (stat(str_fmtz(mem, "%s/%s", s->meta, name), &st) == 0)
        i->first_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
    i->mem = mem;
    list_init(&i->link);
    return i;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void rescan(struct images *s)
{
    struct stat st;
    if (stat(s->meta, &st) < 0 || (st.st_mtim.tv_sec == s->seen.tv_sec && st.st_mtim.tv_nsec == s->seen.tv_nsec))
        return;
    cleanup_arena struct arena *mem = arena_new();
    char **names;
    int n = files_list(s->meta, mem, &names);
    s->seen = st.st_mtim;
    struct list before;
    list_init(&before);
    list_each_safe (at, &s->all) {
        list_remove(at);
        list_add_tail(&before, at);
    }
    if (n > 0)
        qsort(names, (size_t)n, sizeof(char *), compare_names);
    for (int k = 0; k < n; k++) {
        struct image *i = str_ends(str_of(names[k]), STR(".json")) ? load(s, names[k]) : NULL;
        if (!i)
            continue;
        list_add_tail(&s->all, &i->link);
        list_each (at, &before)
            if (str_eq(container_of(at, struct image, link)->info.digest, i->info.digest))
                i->used_ms = container_of(at, struct image, link)->used_ms;
    }
    list_each_safe (at, &before)
        image_drop(container_of(at, struct image, link));
}

const struct image *images_find(struct images *s, const struct image_ref *ref)
{
    rescan(s);
    cleanup_arena struct arena *mem = arena_new();
    struct str name = image_ref_name(mem, ref);
    list_each (at, &s->all) {
        struct image *i = container_of(at, struct image, link);
        if (ref->digest.len && (str_eq(i->info.digest, ref->digest) || str_eq(i->info.id, ref->digest)))
            return i;
        for (size_t k = 0; k < i->names.n; k++)
            if (str_eq(i->names.v[k], name))
                return i;
    }
    return NULL;
}

const struct image *images_next(struct images *s, const struct image *after)
{
    if (!after)
        rescan(s);
    const struct list *at = after ? after->link.next : s->all.next;
    return at == &s->all ? NULL : container_of(at, struct image, link);
}

const char *images_dir(const struct images *s)
{
    return s->dir;
}

static char *layer_path(const struct images *s, struct arena *mem, struct str diff_id)
{
    return str_fmtz(mem, "%s/" STR_FMT, s->layers, STR_ARG(str_from(diff_id, 7)));
}

/* Linux takes a page of mount options: where the paths are too long for it, they are given relative to the store's
 * layers (runtime/start.c mounts from there). */
struct str image_lowerdir(struct images *s, const struct image *i, struct arena *mem)
{
    struct sb out = SB(mem);
    for (size_t k = i->info.layer_count; k-- > 0;) {
        bool again = false; /* the same layer twice (the empty one): overlayfs refuses */
        for (size_t j = k + 1; j < i->info.layer_count; j++)
            again = again || str_eq(i->info.layers[j].diff_id, i->info.layers[k].diff_id);
        if (again)
            continue;
        if (out.len)
            sb_addc(&out, ':');
        sb_add(&out, str_from(i->info.layers[k].diff_id, 7));
    }
    return sb_str(&out);
}

bool images_has_layer(struct images *s, struct str diff_id)
{
    cleanup_arena struct arena *mem = arena_new();
    return access(layer_path(s, mem, diff_id), F_OK) == 0;
}

struct str images_diff_of(struct images *s, struct str blob_digest)
{
    rescan(s);
    list_each (at, &s->all) {
        const struct image *i = container_of(at, struct image, link);
        for (size_t k = 0; k < i->info.layer_count; k++)
            if (str_eq(i->info.layers[k].digest, blob_digest))
                return i->info.layers[k].diff_id;
    }
    return STR_NULL;
}

int images_layer_begin(struct images *s, struct arena *mem, char **ret_path)
{
    char *path = str_fmtz(mem, "%s/layer.XXXXXX", s->incoming);
    if (!mkdtemp(path) || chmod(path, 0755) < 0)
        return -errno;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    *ret_path = path;
    return fd;
}

int images_layer_end(struct images *s, struct str diff_id, const char *path, bool keep)
{
    cleanup_arena struct arena *mem = arena_new();
    int r = 0;
    if (keep && rename(path, layer_path(s, mem, diff_id)) == 0)
        return 0;
    if (keep && errno != EEXIST && errno != ENOTEMPTY)
        r = -errno;
    files_remove_tree(path);
    return r;
}

int images_blob_file(struct images *s)
{
    int fd = open(s->incoming, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
        return fd < 0 ? -errno : fd;
    cleanup_arena struct arena *mem = arena_new();
    char *path = str_fmtz(mem, "%s/blob.XXXXXX", s->incoming);
    fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    unlink(path);
    return fd;
}

static int save(struct images *s, struct arena *mem, const struct image_info *info, const struct strv *names)
{
    return files_write_atomic(str_fmtz(mem, "%s/" STR_FMT ".json", s->meta, STR_ARG(str_from(info->digest, 7))), 0600,
                              image_to_json(mem, info, names->v, names->n), /* durable= */ true);
}

/* Take the name away from whoever has it; returns whether `keep` itself has it already. */
static bool move_name(struct images *s, struct arena *mem, struct str name, struct str keep)
{
    bool has = false;
    list_each (at, &s->all) {
        struct image *i = container_of(at, struct image, link);
        for (size_t k = 0; k < i->names.n; k++) {
            if (!str_eq(i->names.v[k], name))
                continue;
            if (str_eq(i->info.digest, keep)) {
                has = true;
                continue;
            }
            i->names.v[k--] = i->names.v[--i->names.n];
            save(s, mem, &i->info, &i->names);
        }
    }
    return has;
}

int images_record(struct images *s, const struct image_info *info, struct str name)
{
    cleanup_arena struct arena *mem = arena_new();
    int lock = open(str_fmtz(mem, "%s/.lock", s->meta), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (lock < 0)
        return -errno;
    flock(lock, LOCK_EX);
    for (size_t k = 0; k < info->layer_count; k++)
        if (!images_has_layer(s, info->layers[k].diff_id)) { /* collected since it was looked for */
            close(lock);
            return -ESTALE;
        }
    int layers = open(s->layers, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (layers >= 0)
        syncfs(layers), close(layers);
    rescan(s);
    struct strv names = {arena_array(mem, struct str, IMAGE_LIST_MAX), 0};
    const struct image *old = NULL;
    list_each (at, &s->all)
        if (str_eq(container_of(at, struct image, link)->info.digest, info->digest))
            old = container_of(at, struct image, link);
    if (old)
        for (size_t k = 0; k < old->names.n && names.n < IMAGE_LIST_MAX - 1; k++)
            names.v[names.n++] = old->names.v[k];
    int r = 0;
    if (name.len && !move_name(s, mem, name, info->digest))
        names.v[names.n++] = name;
    if (!old || names.n != old->names.n)
        r = save(s, mem, info, &names);
    s->seen = (struct timespec){0};
    rescan(s);
    close(lock);
    return r;
}

int image_list(const char *state_dir, void (*each)(void *ctx, struct str name, struct str digest, uint64_t bytes),
               void *ctx)
{
    int r = 0;
    struct images *s = images_open(state_dir, NULL, &r);
    if (!s)
        return r;
    for (const struct image *i = images_next(s, NULL); i; i = images_next(s, i)) {
        for (size_t k = 0; k < i->names.n; k++)
            each(ctx, i->names.v[k], i->info.digest, i->info.bytes);
        if (i->names.n == 0)
            each(ctx, STR("<none>"), i->info.digest, i->info.bytes);
    }
    images_close(s);
    return 0;
}
