/* Limits of local storage: emptyDir.sizeLimit on disk, and the containers' limits of ephemeral-storage. A pod beyond
 * one is evicted.
 *
 * Only pods that have such a limit are looked at, and only while they run: without one nothing wakes up. The trees are
 * walked by a pool thread, at most WALK_ENTRIES_MAX entries a round, then again after kubelet's 10 s or, when the walk
 * was long, after WALK_REST times as long. Project quotas, which tell without a walk, are not used.
 * Source: kubelet eviction/eviction_manager.go (localStorageEviction), eviction/helpers.go. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/map.h"
#include "node/agent/pods.h"
#include "node/files.h"
#include "node/volume/volume.h"
#include "schema/quantity.h"

enum { LOOK_MS = 10000, WALK_REST = 20, WALK_ENTRIES_MAX = 1000000, WALK_DEPTH_MAX = 64, EVICT_GRACE_S = 1 };

/* A volume or a container of a pod. */
struct usage {
    struct str uid, name;
    bool is_volume;
    const char *paths[2]; /* NULL: none */
    int64_t used;
};
struct storage {
    struct node *node;
    struct loop_timer timer;
    struct loop_work work;
    struct arena *mem; /* of a round; NULL: none under way */
    struct usage *usages;
    int count, cap, entries;
    int64_t began_ms;
    bool stopped;
};

static struct str limit_of(const struct doc *container)
{
    return doc_string(doc_path(container, "resources", "limits", "ephemeral-storage", NULL));
}

/* Empty: none, or it is in memory, where the kernel keeps it. */
static struct str size_limit_of(const struct doc *volume)
{
    const struct doc *e = doc_get(volume, "emptyDir");
    return doc_str(e, "medium").len ? STR_NULL : doc_str(e, "sizeLimit");
}

static bool containers_limited(const struct pod *p)
{
    doc_each (c, doc_get(p->spec, "containers"))
        if (limit_of(c).len)
            return true;
    return false;
}

static bool limited(const struct pod *p)
{
    doc_each (v, doc_get(p->spec, "volumes"))
        if (size_limit_of(v).len)
            return true;
    return containers_limited(p);
}

/* ---- on the pool's thread: only what the round's arena holds */
struct seen {
    struct arena *mem;
    struct map inodes; /* of files with several names: counted once */
    dev_t device;
};

static bool counted(struct seen *s, const struct stat *st)
{
    if (st->st_nlink < 2 || S_ISDIR(st->st_mode))
        return false;
    struct str key = str_dup(s->mem, str_mem((const char *)&st->st_ino, sizeof(st->st_ino)));
    return map_put(&s->inodes, key, s) != NULL;
}

static void walk(struct storage *s, struct usage *u, struct seen *seen, int dir, int depth)
{
    DIR *d = dir < 0 || depth > WALK_DEPTH_MAX ? NULL : fdopendir(dir);
    if (!d) {
        if (dir >= 0)
            close(dir);
        return;
    }
    for (struct dirent *e; s->entries < WALK_ENTRIES_MAX && (e = readdir(d));) {
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
            fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_dev != seen->device)
            continue;
        s->entries++;
        if (!counted(seen, &st))
            u->used += (int64_t)st.st_blocks * 512;
        if (S_ISDIR(st.st_mode))
            walk(s, u, seen, openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), depth + 1);
    }
    closedir(d);
}

static void work(struct loop_work *w)
{
    struct storage *s = container_of(w, struct storage, work);
    for (int i = 0; i < s->count; i++)
        for (int k = 0; k < 2; k++) {
            struct stat st;
            const char *path = s->usages[i].paths[k];
            struct seen seen = {.mem = s->mem, .inodes = MAP_INIT};
            if (!path || stat(path, &st) < 0)
                continue;
            seen.device = st.st_dev;
            walk(s, &s->usages[i], &seen, open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), 0);
            map_done(&seen.inodes);
        }
}

/* ---- a round */
static struct usage *add(struct storage *s, const struct pod *p, struct str name)
{
    if (s->count == s->cap) {
        struct usage *more = arena_array(s->mem, struct usage, s->cap * 2 + 16);
        if (s->count)
            memcpy(more, s->usages, sizeof(*more) * (size_t)s->count);
        s->usages = more, s->cap = s->cap * 2 + 16;
    }
    struct usage *u = &s->usages[s->count++];
    *u = (struct usage){.uid = str_dup(s->mem, p->uid), .name = str_dup(s->mem, name)};
    return u;
}

static void add_pod(struct storage *s, struct pod *p)
{
    bool whole = containers_limited(p);
    doc_each (v, doc_get(p->spec, "volumes")) {
        const struct doc *e = doc_get(v, "emptyDir");
        if (!e || doc_str(e, "medium").len || (!whole && !size_limit_of(v).len))
            continue;
        struct usage *u = add(s, p, doc_str(v, "name"));
        u->is_volume = true;
        u->paths[0] = str_fmtz(s->mem, "%s/pods/" STR_FMT "/volumes/kubernetes.io~empty-dir/" STR_FMT,
                               p->node->kubelet_dir, STR_ARG(p->uid), STR_ARG(u->name));
    }
    for (int i = 0; i < p->container_count && whole; i++) {
        struct container *c = p->containers[i];
        struct usage *u = add(s, p, c->name);
        char *log = runtime_log_path(c, s->mem, c->log_attempt);
        u->paths[0] = str_z(s->mem, str_head(str_of(log), (size_t)str_rfind(str_of(log), '/')));
        if (c->id[0])
            u->paths[1] = str_fmtz(s->mem, "%s/containers/%s/upper", p->node->state_dir, c->id);
    }
}

static const struct usage *find(const struct storage *s, const struct pod *p, struct str name, bool is_volume)
{
    for (int i = 0; i < s->count; i++)
        if (s->usages[i].is_volume == is_volume && str_eq(s->usages[i].uid, p->uid) && str_eq(s->usages[i].name, name))
            return &s->usages[i];
    return NULL;
}

static bool beyond(const struct usage *u, struct str limit)
{
    return u && limit.len && u->used > quantity_value(quantity_of_str(limit));
}

/* Why the pod must go, in kubelet's words; empty: it may stay. */
static struct str verdict(const struct storage *s, const struct pod *p)
{
    doc_each (v, doc_get(p->spec, "volumes"))
        if (beyond(find(s, p, doc_str(v, "name"), true), size_limit_of(v)))
            return str_fmt(s->mem, "Usage of EmptyDir volume " STR_FMT " exceeds the limit " STR_FMT ". ",
                           STR_ARG(str_quote(s->mem, doc_str(v, "name"))),
                           STR_ARG(str_quote(s->mem, size_limit_of(v))));
    int64_t used = 0;
    struct quantity limit = QUANTITY_ZERO;
    doc_each (c, doc_get(p->spec, "containers"))
        limit = limit_of(c).len ? quantity_add(limit, quantity_of_str(limit_of(c))) : limit;
    for (int i = 0; i < s->count; i++)
        used += str_eq(s->usages[i].uid, p->uid) ? s->usages[i].used : 0;
    if (quantity_sign(limit) && used > quantity_value(limit))
        return str_fmt(s->mem, "Pod ephemeral local storage usage exceeds the total limit of containers " STR_FMT ". ",
                       STR_ARG(quantity_str(s->mem, limit)));
    doc_each (c, doc_get(p->spec, "containers"))
        if (beyond(find(s, p, doc_str(c, "name"), false), limit_of(c)))
            return str_fmt(s->mem, "Container " STR_FMT " exceeded its local ephemeral storage limit " STR_FMT ". ",
                           STR_ARG(doc_str(c, "name")), STR_ARG(str_quote(s->mem, limit_of(c))));
    return STR_NULL;
}

static bool watched(const struct pod *p)
{
    return p->state > POD_NEW && p->state < POD_STOP && !p->end_phase && limited(p);
}

static void done(struct loop_work *w)
{
    struct storage *s = container_of(w, struct storage, work);
    if (s->stopped) {
        arena_free(s->mem);
        free(s);
        return;
    }
    list_each (at, &s->node->pods) {
        struct pod *p = container_of(at, struct pod, link);
        struct str why = watched(p) ? verdict(s, p) : STR_NULL;
        if (!why.len)
            continue;
        p->end_grace_s = EVICT_GRACE_S;
        pod_event(p, NULL, "Warning", "Evicted", STR_FMT, STR_ARG(why));
        pod_end(p, "Failed", "Evicted", str_z(s->mem, why));
    }
    if (s->entries >= WALK_ENTRIES_MAX)
        log_warn("storage", "too many files; limits of local storage are not fully kept", "entries=%d", s->entries);
    int64_t rest_ms = (loop_now_ms(s->node->loop) - s->began_ms) * WALK_REST;
    arena_free(s->mem);
    s->mem = NULL;
    loop_timer_start(&s->timer, rest_ms > LOOK_MS ? rest_ms : LOOK_MS);
}

static void look(struct loop_timer *t)
{
    struct storage *s = container_of(t, struct storage, timer);
    s->mem = arena_new(), s->count = s->cap = s->entries = 0, s->usages = NULL;
    s->began_ms = loop_now_ms(s->node->loop);
    list_each (at, &s->node->pods)
        if (watched(container_of(at, struct pod, link)))
            add_pod(s, container_of(at, struct pod, link));
    s->work.work = work, s->work.done = done;
    if (s->count && loop_work(s->node->loop, &s->work) == 0)
        return;
    arena_free(s->mem);
    s->mem = NULL;
}

void storage_watch(struct pod *p)
{
    struct node *n = p->node;
    if (!limited(p))
        return;
    if (!n->storage) {
        n->storage = calloc(1, sizeof(*n->storage));
        if (!n->storage)
            abort();
        n->storage->node = n;
        loop_timer_init(n->loop, &n->storage->timer, look);
    }
    if (!n->storage->mem && !loop_timer_running(&n->storage->timer))
        loop_timer_start(&n->storage->timer, LOOK_MS);
}

void storage_stop(struct node *n)
{
    struct storage *s = n->storage;
    if (!s)
        return;
    loop_timer_stop(&s->timer);
    n->storage = NULL;
    s->stopped = true;
    if (!s->mem)
        free(s); /* else done() does */
}
