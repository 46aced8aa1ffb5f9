#include "node/runtime/removal.h"

#include <poll.h>
#include <sys/mount.h>

#include "base/log.h"
#include "node/files.h"
#include "node/runtime/cgroup.h"
#include "node/volume/volume.h"

/* A process that was killed is in its cgroup until it has left the kernel. */
enum { EMPTY_ROUNDS_MAX = 50, EMPTY_STEP_MS = 4 };

enum what { CGROUP, UNMOUNT, TREE, VOLUMES };
struct removal {
    struct loop_work work;
    struct node *node;
    struct arena *mem;
    struct list steps;
    struct str uid;
    void (*done)(struct pod *p);
};
struct step {
    struct list link;
    enum what what;
    char *path;
};

struct removal *removal_new(struct node *n)
{
    struct arena *mem = arena_new();
    struct removal *r = arena_new_of(mem, struct removal);
    *r = (struct removal){.node = n, .mem = mem};
    list_init(&r->steps);
    return r;
}

static void add(struct removal *r, enum what what, const char *path)
{
    struct step *s = arena_new_of(r->mem, struct step);
    s->what = what, s->path = str_fmtz(r->mem, "%s", path);
    list_add_tail(&r->steps, &s->link);
}

void removal_cgroup(struct removal *r, const char *path)
{
    add(r, CGROUP, path);
}

void removal_unmount(struct removal *r, const char *path)
{
    add(r, UNMOUNT, path);
}

void removal_tree(struct removal *r, const char *path)
{
    add(r, TREE, path);
}

void removal_volumes(struct removal *r, const char *path)
{
    add(r, VOLUMES, path);
}

static void remove_cgroup(enum cgroup_mode mode, const char *path)
{
    int r = cgroup_remove(mode, path);
    for (int i = 0; r < 0 && i < EMPTY_ROUNDS_MAX; i++) {
        cgroup_kill(mode, path);
        poll(NULL, 0, EMPTY_STEP_MS);
        r = cgroup_remove(mode, path);
    }
    if (r < 0)
        log_warn("runtime", "a cgroup can't be removed", "path=%s", path);
}

static void run_all(struct removal *r)
{
    list_each (at, &r->steps) {
        const struct step *s = container_of(at, struct step, link);
        switch (s->what) {
        case CGROUP:
            remove_cgroup(r->node->cgroup_mode, s->path);
            break;
        case UNMOUNT:
            umount2(s->path, MNT_DETACH | UMOUNT_NOFOLLOW);
            break;
        case TREE:
            files_remove_tree(s->path);
            break;
        case VOLUMES:
            volumes_remove_tree(s->path);
            break;
        }
    }
}

static void on_work(struct loop_work *w)
{
    run_all(container_of(w, struct removal, work));
}

static void on_done(struct loop_work *w)
{
    struct removal *r = container_of(w, struct removal, work);
    struct pod *p = r->done ? pod_find(r->node, r->uid) : NULL;
    if (p)
        r->done(p);
    arena_free(r->mem);
}

void removal_start(struct removal *r, struct str uid, void (*done)(struct pod *p))
{
    r->uid = str_dup(r->mem, uid), r->done = done;
    r->work = (struct loop_work){.work = on_work, .done = on_done};
    if (loop_work(r->node->loop, &r->work) < 0)
        on_work(&r->work), on_done(&r->work);
}

void removal_now(struct removal *r)
{
    run_all(r);
    arena_free(r->mem);
}
