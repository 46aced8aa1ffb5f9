/* Images that nobody uses go when the disk is nearly full, the least recently used first. Source: kubelet
 * images/image_gc_manager.go. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "node/files.h"
#include "node/image/store_priv.h"

static int by_use(const void *a, const void *b)
{
    const struct image *x = *(struct image *const *)a, *y = *(struct image *const *)b;
    if (x->used_ms != y->used_ms)
        return x->used_ms < y->used_ms ? -1 : 1;
    if (x->first_ms != y->first_ms)
        return x->first_ms < y->first_ms ? -1 : 1;
    return str_cmp(x->info.digest, y->info.digest);
}

static bool wanted_layer(struct images *s, struct str diff_id)
{
    list_each (at, &s->all) {
        const struct image *i = container_of(at, struct image, link);
        for (size_t k = 0; k < i->info.layer_count; k++)
            if (str_eq(i->info.layers[k].diff_id, diff_id))
                return true;
    }
    return false;
}

/* The record goes first, so that a power cut leaves no image without its layers. */
static void remove_image(struct images *s, struct image *i, const struct images_gc *g, struct arena *mem)
{
    struct image_info info = i->info;
    log_info("image", "an image is removed to free the disk", "digest=" STR_FMT " bytes=%llu", STR_ARG(info.digest),
             (unsigned long long)info.bytes);
    unlink(str_fmtz(mem, "%s/" STR_FMT ".json", s->meta, STR_ARG(str_from(info.digest, 7))));
    int dir = open(s->meta, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir >= 0)
        fsync(dir), close(dir);
    list_remove(&i->link), list_init(&i->link);
    for (size_t k = 0; k < info.layer_count; k++) {
        char *to = str_fmtz(mem, "%s/layer.XXXXXX", s->incoming);
        char *from = str_fmtz(mem, "%s/" STR_FMT, s->layers, STR_ARG(str_from(info.layers[k].diff_id, 7)));
        if (!wanted_layer(s, info.layers[k].diff_id) && mkdtemp(to) && rename(from, to) == 0)
            g->remove(g->ctx, to);
    }
    i->gone = true;
    if (i->pins == 0)
        arena_free(i->mem);
}

int64_t images_collect(struct images *s, const struct images_gc *g, int64_t *ret_freed)
{
    cleanup_arena struct arena *mem = arena_new();
    int count = 0;
    *ret_freed = 0;
    for (const struct image *i = images_next(s, NULL); i; i = images_next(s, i)) {
        count++;
        if (g->used(g->ctx, i))
            ((struct image *)(uintptr_t)i)->used_ms = g->now_ms;
    }
    if (g->capacity <= 0 || 100 - g->available * 100 / g->capacity < g->high_percent || !list_empty(&s->pulls))
        return 0;
    int64_t wanted = g->capacity * (100 - g->low_percent) / 100 - g->available;
    struct image **v = arena_array(mem, struct image *, count ? count : 1);
    count = 0;
    list_each (at, &s->all) {
        struct image *i = container_of(at, struct image, link);
        if (i->used_ms < g->now_ms && g->now_ms - i->first_ms >= g->min_age_ms)
            v[count++] = i;
    }
    if (count > 1)
        qsort(v, (size_t)count, sizeof(struct image *), by_use);
    int lock = open(str_fmtz(mem, "%s/.lock", s->meta), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0) /* an import goes first */
        count = 0;
    for (int k = 0; k < count && *ret_freed < wanted; k++) {
        *ret_freed += (int64_t)v[k]->info.bytes;
        remove_image(s, v[k], g, mem);
    }
    struct stat st;
    if (count && stat(s->meta, &st) == 0)
        s->seen = st.st_mtim;
    if (lock >= 0)
        close(lock);
    return wanted;
}
