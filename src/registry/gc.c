/* registry/gc.c - collection of what nothing refers to, while pushes go on.
 *
 * When something may have become garbage, the time is marked; a grace later a sweep on the pool removes what was last
 * renewed before the mark and that nothing refers to now: blobs that no manifest of their repository names, contents
 * that no repository links (hard links count them), untagged manifests where the namespace wants that, uploads at rest,
 * repositories of namespaces that are gone. A push that is under way has renewed all that it was told is there, after
 * the mark. If the wall clock jumped meanwhile, ages say nothing: it is marked anew. */
#include "registry/internal.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "schema/quantity.h"

enum { UPLOAD_GRACES = 4, DEPTH_MAX = 130, MARK_EARLIER_S = 1 /* file systems' clocks are coarse */ };

struct owner { /* a namespace */
    struct str uid;
    int64_t untagged_s; /* -1: untagged manifests stay */
    bool is_mirror;
};
struct gc {
    struct registry *g;
    struct loop_timer timer;
    struct loop_work work;
    struct arena *mem; /* of a sweep */
    int64_t mark_wall_ms, mark_ms;
    bool changed, running, stopped;
    struct owner *owners; /* sorted by uid */
    int owner_count;
    int64_t now_s, cut_s, upload_cut_s;
    int removed, young; /* young: garbage that a later sweep takes */
};

/* ---- on the pool */
static void remove_if_old(struct gc *gc, const char *path, int64_t cut_s, bool unlinked_only)
{
    struct stat st;
    pthread_rwlock_wrlock(&gc->g->disk.lock);
    bool garbage = stat(path, &st) == 0 && (!unlinked_only || st.st_nlink == 1);
    gc->young += garbage && st.st_mtime >= cut_s;
    gc->removed += garbage && st.st_mtime < cut_s && unlink(path) == 0;
    pthread_rwlock_unlock(&gc->g->disk.lock);
}

static int by_str(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static bool has(const struct str *sorted, int count, struct str s)
{
    return count > 0 && bsearch(&s, sorted, (size_t)count, sizeof *sorted, by_str) != NULL;
}

struct repo {
    struct gc *gc;
    struct arena *mem, *tmp; /* of this repository, of one manifest */
    struct str path;         /* UID/app/web */
    const struct owner *owner;
    struct str *manifests; /* sorted */
    int manifest_count;
    struct str *named; /* blobs that they name */
    int named_count, named_cap;
};

static char *repo_path(const struct repo *p, struct arena *mem, const char *kind, struct str name)
{
    return disk_path(&p->gc->g->disk, mem, p->path, kind, name);
}

static bool read_manifest(struct repo *p, struct str hex, struct manifest *ret)
{
    struct str text;
    struct err err = ERR(p->tmp);
    arena_reset(p->tmp);
    return io_read_whole(p->tmp, repo_path(p, p->tmp, DISK_MANIFESTS, hex), REGISTRY_MANIFEST_BYTES_MAX, &text) == 0 &&
           manifest_read(p->tmp, text, STR_NULL, ret, &err);
}

static void add_named(struct repo *p, struct str hex)
{
    if (p->named_count == p->named_cap) {
        int cap = p->named_cap ? p->named_cap * 2 : 64;
        p->named =
            arena_grow(p->mem, p->named, (size_t)p->named_cap * sizeof(struct str), (size_t)cap * sizeof(struct str));
        p->named_cap = cap;
    }
    p->named[p->named_count++] = str_dup(p->mem, hex);
}

/* False: a manifest can't be read, so nobody knows what it names: nothing of this repository is removed. */
static bool gather_named(struct repo *p)
{
    struct manifest m;
    for (int i = 0; i < p->manifest_count; i++) {
        if (!read_manifest(p, p->manifests[i], &m))
            return access(repo_path(p, p->tmp, DISK_MANIFESTS, p->manifests[i]), F_OK) < 0 && errno == ENOENT;
        for (int k = 0; k < m.blob_count; k++)
            add_named(p, m.blobs[k]);
    }
    if (p->named_count)
        qsort(p->named, (size_t)p->named_count, sizeof(struct str), by_str);
    return true;
}

static int index_of(const struct repo *p, struct str hex)
{
    const struct str *found =
        p->manifest_count ? bsearch(&hex, p->manifests, (size_t)p->manifest_count, sizeof hex, by_str) : NULL;
    return found ? (int)(found - p->manifests) : -1;
}

static bool mark_live(struct repo *p, bool *live, struct str hex)
{
    int i = index_of(p, hex);
    if (i < 0 || live[i])
        return false;
    return live[i] = true;
}

/* Tagged; or in an index that is live; or about a subject that is live. */
static bool *find_live(struct repo *p)
{
    bool *live = arena_array(p->mem, bool, p->manifest_count + 1);
    struct str *tags = NULL, hex;
    int count = 0;
    struct manifest m;
    if (disk_list(p->mem, repo_path(p, p->mem, DISK_TAGS, STR_NULL), &tags, &count) == 0)
        for (int i = 0; i < count; i++)
            if (disk_tag_get(&p->gc->g->disk, p->mem, p->path, tags[i], &hex) == 0)
                mark_live(p, live, hex);
    for (bool more = true; more;) {
        more = false;
        for (int i = 0; i < p->manifest_count; i++) {
            if (!read_manifest(p, p->manifests[i], &m))
                return NULL;
            int about = m.subject.len ? index_of(p, m.subject) : -1;
            if (about >= 0 && live[about] && !live[i])
                more = live[i] = true;
            for (int k = 0; k < m.manifest_count && live[i]; k++)
                more |= mark_live(p, live, m.manifests[k]);
        }
    }
    return live;
}

static void remove_untagged(struct repo *p)
{
    int64_t cut = p->gc->now_s - p->owner->untagged_s;
    cut = cut < p->gc->cut_s ? cut : p->gc->cut_s;
    const bool *live = find_live(p);
    for (int i = 0; live && i < p->manifest_count; i++)
        if (!live[i])
            remove_if_old(p->gc, repo_path(p, p->mem, DISK_MANIFESTS, p->manifests[i]), cut, false);
}

/* Links of manifests that are gone. */
static void sweep_referrers(struct repo *p)
{
    struct str *subjects, *names;
    int subject_count, count;
    if (disk_list(p->mem, repo_path(p, p->mem, DISK_REFERRERS, STR_NULL), &subjects, &subject_count) < 0)
        return;
    for (int i = 0; i < subject_count; i++) {
        char *dir = repo_path(p, p->mem, DISK_REFERRERS, subjects[i]);
        if (disk_list(p->mem, dir, &names, &count) < 0)
            continue;
        for (int k = 0; k < count; k++)
            if (access(repo_path(p, p->mem, DISK_MANIFESTS, names[k]), F_OK) < 0 && errno == ENOENT)
                remove_if_old(p->gc, str_fmtz(p->mem, "%s/%.*s", dir, STR_ARG(names[k])), p->gc->cut_s, false);
    }
}

static void sweep_names(struct repo *p, const char *kind, int64_t cut_s, const struct str *keep, int keep_count)
{
    struct str *names;
    int count;
    if (disk_list(p->mem, repo_path(p, p->mem, kind, STR_NULL), &names, &count) < 0)
        return;
    for (int i = 0; i < count; i++)
        if (!has(keep, keep_count, names[i]))
            remove_if_old(p->gc, repo_path(p, p->mem, kind, names[i]), cut_s, false);
}

/* Of a mirror: manifests that nobody asked for in a long time, tagged or not; their blobs follow. */
static void sweep_copies(struct repo *p)
{
    int64_t cut = p->gc->now_s - REGISTRY_MIRROR_KEEP_S;
    sweep_names(p, DISK_MANIFESTS, cut < p->gc->cut_s ? cut : p->gc->cut_s, NULL, 0);
}

static void sweep_repo(struct gc *gc, struct str path, const struct owner *owner)
{
    struct repo p = {.gc = gc, .mem = arena_new(), .tmp = arena_new(), .path = path, .owner = owner};
    char *dir = repo_path(&p, p.mem, DISK_MANIFESTS, STR_NULL);
    sweep_names(&p, DISK_UPLOADS, gc->upload_cut_s, NULL, 0);
    if (owner->is_mirror)
        sweep_copies(&p);
    if (owner->untagged_s >= 0 && disk_list(p.mem, dir, &p.manifests, &p.manifest_count) == 0)
        remove_untagged(&p);
    p.manifest_count = 0;
    int error = disk_list(p.mem, dir, &p.manifests, &p.manifest_count);
    if ((error == 0 || error == -ENOENT) && gather_named(&p))
        sweep_names(&p, DISK_BLOBS, gc->cut_s, p.named, p.named_count);
    sweep_referrers(&p);
    arena_free(p.tmp);
    arena_free(p.mem);
}

static void sweep_below(struct gc *gc, struct str path, const struct owner *owner, int depth)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str *names;
    int count;
    bool is_repo = false;
    if (depth > DEPTH_MAX ||
        disk_list(mem, str_fmtz(mem, "%s/repos/%.*s", gc->g->disk.root, STR_ARG(path)), &names, &count) < 0)
        return;
    for (int i = 0; i < count; i++) {
        is_repo |= names[i].ptr[0] == '_';
        if (names[i].ptr[0] != '_')
            sweep_below(gc, str_fmt(mem, "%.*s/%.*s", STR_ARG(path), STR_ARG(names[i])), owner, depth + 1);
    }
    if (is_repo)
        sweep_repo(gc, path, owner);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

static int by_uid(const void *a, const void *b)
{
    return str_cmp(((const struct owner *)a)->uid, ((const struct owner *)b)->uid);
}

static void sweep_owner(struct gc *gc, struct str uid)
{
    struct stat st;
    const struct owner key = {.uid = uid},
                       *o = gc->owner_count ? bsearch(&key, gc->owners, (size_t)gc->owner_count, sizeof key, by_uid)
                                            : NULL;
    char *path = str_fmtz(gc->mem, "%s/repos/%.*s", gc->g->disk.root, STR_ARG(uid));
    if (str_find(uid, '.') >= 0)
        sweep_below(gc, uid, &(const struct owner){.untagged_s = -1, .is_mirror = true}, 0);
    else if (o)
        sweep_below(gc, uid, o, 0);
    else if (stat(path, &st) == 0 && st.st_mtime >= gc->cut_s)
        gc->young++; /* it may be younger than the list of namespaces */
    else {
        nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        gc->removed++;
    }
}

static void sweep_contents(struct gc *gc)
{
    struct str *dirs, *names;
    int dir_count, count;
    char *root = str_fmtz(gc->mem, "%s/blobs/sha256", gc->g->disk.root);
    if (disk_list(gc->mem, root, &dirs, &dir_count) < 0)
        return;
    for (int i = 0; i < dir_count; i++) {
        cleanup_arena struct arena *mem = arena_new();
        char *dir = str_fmtz(mem, "%s/%.*s", root, STR_ARG(dirs[i]));
        if (disk_list(mem, dir, &names, &count) < 0)
            continue;
        for (int k = 0; k < count; k++)
            remove_if_old(gc, str_fmtz(mem, "%s/%.*s", dir, STR_ARG(names[k])), gc->cut_s, /* unlinked_only= */ true);
    }
}

static void sweep(struct loop_work *w)
{
    struct gc *gc = container_of(w, struct gc, work);
    struct str *uids;
    int count;
    gc->removed = gc->young = 0;
    if (disk_list(gc->mem, str_fmtz(gc->mem, "%s/repos", gc->g->disk.root), &uids, &count) == 0)
        for (int i = 0; i < count; i++)
            sweep_owner(gc, uids[i]);
    sweep_contents(gc);
}

/* ---- on the core thread */
static int64_t untagged_of(struct arena *mem, const struct obj *ns)
{
    int64_t s = -1;
    struct str text =
        doc_str(doc_path(obj_doc(mem, ns), "metadata", "annotations", NULL), "sampan.dev/registry-untagged-seconds");
    return str_to_i64(text, &s) && s >= 0 ? s : -1;
}

static void gather_owners(struct gc *gc)
{
    const struct resource *res = schema_stored("", "namespaces");
    struct cache_iter it = cache_list(gc->g->cache, STR("namespaces/"), STR_NULL);
    gc->owners = arena_array(gc->mem, struct owner, cache_count(gc->g->cache, res) + 1);
    gc->owner_count = 0;
    for (struct obj *o; (o = cache_next(&it));)
        gc->owners[gc->owner_count++] =
            (struct owner){.uid = str_dup(gc->mem, o->uid), .untagged_s = untagged_of(gc->mem, o)};
    qsort(gc->owners, (size_t)gc->owner_count, sizeof *gc->owners, by_uid);
}

static void mark(struct gc *gc)
{
    gc->changed = false;
    gc->mark_wall_ms = loop_wall_ms(gc->g->loop);
    gc->mark_ms = loop_now_ms(gc->g->loop);
    loop_timer_start(&gc->timer, gc->g->grace_s * 1000);
}

static void swept(struct loop_work *w)
{
    struct gc *gc = container_of(w, struct gc, work);
    gc->mem = arena_free(gc->mem);
    gc->running = false;
    if (gc->removed)
        log_info("registry", "collected", "removed=%d", gc->removed);
    if (gc->stopped)
        registry_check_freed(gc->g);
    else if (gc->changed || gc->removed || gc->young) /* what is gone may have been all that held something else */
        mark(gc);
}

static void on_timer(struct loop_timer *t)
{
    struct gc *gc = container_of(t, struct gc, timer);
    int64_t wall = loop_wall_ms(gc->g->loop), passed = loop_now_ms(gc->g->loop) - gc->mark_ms;
    int64_t jump = wall - gc->mark_wall_ms - passed;
    if (gc->running || llabs(jump) > gc->g->grace_s * 100) { /* a tenth of the grace */
        mark(gc);
        return;
    }
    uploads_expire(gc->g);
    gc->now_s = wall / 1000;
    gc->cut_s = gc->mark_wall_ms / 1000 - MARK_EARLIER_S;
    gc->upload_cut_s = gc->now_s - UPLOAD_GRACES * gc->g->grace_s;
    gc->mem = arena_new();
    gather_owners(gc);
    gc->work = (struct loop_work){.work = sweep, .done = swept};
    gc->running = true;
    if (loop_work(gc->g->loop, &gc->work) < 0)
        gc->running = false, gc->mem = arena_free(gc->mem), mark(gc);
}

struct gc *gc_new(struct registry *g)
{
    struct gc *gc = calloc(1, sizeof *gc);
    if (!gc)
        abort(); /* at start */
    gc->g = g;
    gc->changed = true; /* what an earlier process left: looked for once the registry is used */
    loop_timer_init(g->loop, &gc->timer, on_timer);
    return gc;
}

void gc_stop(struct gc *gc)
{
    loop_timer_stop(&gc->timer);
    gc->stopped = true;
}

bool gc_is_running(const struct gc *gc)
{
    return gc->running;
}

void gc_free(struct gc *gc)
{
    free(gc);
}

void gc_changed(struct registry *g)
{
    g->gc->changed = true;
    if (!g->gc->stopped && !loop_timer_running(&g->gc->timer) && !g->gc->running)
        mark(g->gc);
}
