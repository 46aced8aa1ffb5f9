/* When images are collected: the node's status looks at the disk anyway, and does it through here; nothing else wakes
 * up. Layers are removed by a pool thread. Source: kubelet images/image_gc_manager.go, its defaults. */
#include <stdlib.h>
#include <sys/statvfs.h>

#include "node/agent/events.h"
#include "node/agent/nodestatus.h"
#include "node/agent/pods.h"
#include "node/files.h"
#include "node/image/store.h"

enum { HIGH_PERCENT = 85, LOW_PERCENT = 80, AGE_MS_MIN = 120000, FAILED_AGAIN_MS = 300000 };

struct removal {
    struct loop_work work;
    char *path;
};

static void remove_tree(struct loop_work *w)
{
    files_remove_tree(container_of(w, struct removal, work)->path);
}

static void removed(struct loop_work *w)
{
    struct removal *r = container_of(w, struct removal, work);
    free(r->path), free(r);
}

static void remove_later(void *ctx, const char *path)
{
    struct node *n = ctx;
    struct removal *r = calloc(1, sizeof(*r));
    if (!r)
        return; /* the next agent removes it */
    r->work = (struct loop_work){.work = remove_tree, .done = removed}, r->path = strdup(path);
    if (!r->path || loop_work(n->loop, &r->work) < 0)
        free(r->path), free(r);
}

/* Of any container that is there, ended or not. Records may have been read again since it was pinned. */
static bool used(void *ctx, const struct image *i)
{
    const struct node *n = ctx;
    list_each (at, &n->pods) {
        const struct pod *p = container_of(at, struct pod, link);
        for (int k = 0; k < p->container_count; k++)
            if (p->containers[k]->image && str_eq(p->containers[k]->image->info.digest, i->info.digest))
                return true;
    }
    return false;
}

void image_gc_look(struct node *n)
{
    struct statvfs fs;
    int64_t now = loop_wall_ms(n->loop), freed;
    if (statvfs(n->state_dir, &fs) < 0)
        return;
    struct images_gc g = {.capacity = (int64_t)fs.f_blocks * (int64_t)fs.f_frsize,
                          .available = (int64_t)fs.f_bavail * (int64_t)fs.f_frsize,
                          .high_percent = HIGH_PERCENT,
                          .low_percent = LOW_PERCENT,
                          .min_age_ms = AGE_MS_MIN,
                          .now_ms = now,
                          .used = used,
                          .remove = remove_later,
                          .ctx = n};
    int64_t wanted = images_collect(n->images, &g, &freed);
    if (freed >= wanted || loop_now_ms(n->loop) < n->image_gc_again_ms)
        return;
    cleanup_arena struct arena *mem = arena_new();
    struct str name = str_of(n->name);
    n->image_gc_again_ms = loop_now_ms(n->loop) + FAILED_AGAIN_MS;
    events_send(n->events, &(struct event_subject){.kind = STR("Node"), .name = name, .uid = name}, "Warning",
                "FreeDiskSpaceFailed",
                str_fmt(mem,
                        "Failed to garbage collect required amount of images. Attempted to free %lld bytes, but only "
                        "found %lld bytes eligible to free.",
                        (long long)wanted, (long long)freed));
}
