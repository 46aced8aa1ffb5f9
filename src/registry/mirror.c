/* registry/mirror.c - the pull-through cache: what is not here is fetched from the registry that HOST stands for.
 *
 * A repository HOST/NAME whose HOST is configured is a copy of that registry's NAME. A digest that is here is never
 * asked for again; of a tag the upstream is asked each time (HEAD), and while it does not answer, the copy is served.
 * Many who want one thing wait for one fetch. Content is hashed while it comes and is kept, and served, only when it is
 * what its digest says. What nobody asked for in REGISTRY_MIRROR_KEEP_S goes (gc.c).
 *
 * Fetches block pool threads that the store's fsync needs too, hence MIRROR_FETCHES_MAX. */
#include "registry/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "http/fetch.h"

enum { MIRROR_FETCHES_MAX = 2, MIRROR_QUEUE_MAX = 1024, MANIFEST_MS_MAX = 60000 };
#define MIRROR_BLOB_BYTES_MAX (32ULL << 30)
#define ACCEPT                                                                                                         \
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "                            \
    "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"

struct fetching {
    struct list link, waiters; /* struct request.wait */
    struct registry *g;
    struct arena *mem;
    struct str key; /* repo, kind and reference */
    struct str repo, upstream, name, ref, hex;
    bool is_blob, running;
    struct loop_work work;
    struct str authorization, id;
    /* Of a blob that comes */
    int fd;
    EVP_MD_CTX *sum;
    uint64_t bytes;
    /* What went wrong, as in struct request */
    int status;
    enum code code;
    struct str why;
};

struct str mirror_upstream(const struct registry *g, struct str host)
{
    struct str rest = g->mirrors, row, name, url;
    while (str_next(&rest, ',', &row))
        if (str_cut(row, '=', &name, &url) && str_eq(name, host))
            return url;
    return STR_NULL;
}

/* ---- on the pool */
static void fail(struct fetching *f, int status, enum code code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static void fail(struct fetching *f, int status, enum code code, const char *fmt, ...)
{
    va_list ap;
    if (f->code != CODE_NONE)
        return;
    va_start(ap, fmt);
    f->why = str_vfmt(f->mem, fmt, ap);
    va_end(ap);
    f->status = status, f->code = code;
}

/* One request, with a token when the upstream wants one. True: 200. */
static bool ask(struct fetching *f, struct fetch *q)
{
    for (int round = 0; round < 2; round++) {
        q->authorization = f->authorization.len ? str_z(f->mem, f->authorization) : NULL;
        fetch_run(q);
        if (q->status != 401 || round)
            break;
        struct str scope = str_fmt(f->mem, "repository:%.*s:pull", STR_ARG(f->name));
        f->authorization = fetch_authorization(q, STR_NULL, STR_NULL, scope);
        if (!f->authorization.len)
            break;
    }
    return q->status == 200;
}

static void explain(struct fetching *f, const struct fetch *q)
{
    if (q->status == 404)
        fail(f, 404, f->is_blob ? CODE_BLOB_UNKNOWN : CODE_MANIFEST_UNKNOWN, "unknown to the upstream registry");
    else if (q->status == 401 || q->status == 403)
        fail(f, 403, CODE_DENIED, "the upstream registry refuses");
    else if (q->status == 429)
        fail(f, 429, CODE_TOOMANYREQUESTS, "the upstream registry has had too many requests");
    else if (q->status)
        fail(f, 502, CODE_UNKNOWN, "the upstream registry answers with status %ld", q->status);
    else
        fail(f, 502, CODE_UNKNOWN, "the upstream registry: %.*s", STR_ARG(q->why));
}

static char *url_of(struct fetching *f, const char *kind)
{
    return str_fmtz(f->mem, "%.*s/v2/%.*s/%s/%.*s", STR_ARG(f->upstream), STR_ARG(f->name), kind, STR_ARG(f->ref));
}

static bool is_here(struct fetching *f, const char *kind)
{
    uint64_t size;
    return f->hex.len && disk_stat(&f->g->disk, f->mem, f->repo, kind, f->hex, /* renew= */ true, &size) == 0;
}

static bool write_piece(void *ctx, const char *bytes, size_t n)
{
    struct fetching *f = ctx;
    f->bytes += n;
    if (f->bytes > MIRROR_BLOB_BYTES_MAX)
        return fail(f, 502, CODE_SIZE_INVALID, "the upstream blob is too large"), false;
    if (!disk_has_room(&f->g->disk))
        return fail(f, 507, CODE_UNKNOWN, "writing a blob: %s", strerror(ENOSPC)), false;
    EVP_DigestUpdate(f->sum, bytes, n);
    while (n) {
        ssize_t w = write(f->fd, bytes, n);
        if (w < 0 && errno != EINTR)
            return fail(f, errno == ENOSPC ? 507 : 500, CODE_UNKNOWN, "writing a blob: %s", strerror(errno)), false;
        bytes += w > 0 ? w : 0, n -= w > 0 ? (size_t)w : 0;
    }
    return true;
}

/* What came is kept if it has the digest that was asked for (f->hex empty: whatever it has). */
static void keep(struct fetching *f, const char *path, const char *kind)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    EVP_DigestFinal_ex(f->sum, sum, &n);
    struct str got = str_hex(f->mem, str_mem((char *)sum, n));
    if (f->hex.len && !str_eq(got, f->hex)) {
        fail(f, 502, CODE_DIGEST_INVALID, "the upstream's content has the digest sha256:%.*s", STR_ARG(got));
        return;
    }
    f->hex = got;
    int error = fsync(f->fd) < 0 ? -errno : disk_commit(&f->g->disk, f->mem, path, f->repo, kind, f->hex);
    if (error < 0)
        fail(f, error == -ENOSPC ? 507 : 500, CODE_UNKNOWN, "keeping a copy: %s", strerror(-error));
}

/* Run body with a new file; what it leaves behind is removed. */
static void with_file(struct fetching *f, void (*body)(struct fetching *f, const char *path))
{
    struct disk *d = &f->g->disk;
    const char *path = disk_path(d, f->mem, f->repo, DISK_UPLOADS, f->id);
    int error = disk_make_dirs(d, f->mem, disk_path(d, f->mem, f->repo, DISK_UPLOADS, STR_NULL));
    f->fd = error < 0 ? -1 : open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    f->sum = EVP_MD_CTX_new();
    if (f->fd < 0 || !f->sum || !EVP_DigestInit_ex(f->sum, EVP_sha256(), NULL))
        fail(f, 500, CODE_UNKNOWN, "a copy can't be made");
    else
        body(f, path);
    EVP_MD_CTX_free(f->sum);
    if (f->fd >= 0)
        close(f->fd), unlink(path);
}

static void get_blob(struct fetching *f, const char *path)
{
    struct fetch q = {.url = url_of(f, "blobs"), .mem = f->mem, .data = write_piece, .ctx = f};
    if (f->authorization.len == 0) { /* a refusal's text is no content: ask for the token first */
        struct fetch head = {.url = q.url, .mem = f->mem, .head = true, .timeout_ms = MANIFEST_MS_MAX};
        if (!ask(f, &head)) {
            explain(f, &head);
            return;
        }
    }
    if (!ask(f, &q))
        explain(f, &q);
    else
        keep(f, path, DISK_BLOBS);
}

static void get_manifest(struct fetching *f, const char *path)
{
    struct manifest m;
    struct err err = ERR(f->mem);
    struct fetch q = {.url = url_of(f, "manifests"),
                      .mem = f->mem,
                      .accept = ACCEPT,
                      .body_max = REGISTRY_MANIFEST_BYTES_MAX,
                      .timeout_ms = MANIFEST_MS_MAX};
    if (!ask(f, &q)) {
        explain(f, &q);
        return;
    }
    struct str text = sb_str(&q.body);
    if (!manifest_read(f->mem, text, STR_NULL, &m, &err))
        fail(f, 502, CODE_MANIFEST_INVALID, "the upstream's manifest: %.*s", STR_ARG(err.message));
    else if (write_piece(f, text.ptr, text.len))
        keep(f, path, DISK_MANIFESTS);
}

/* What the tag means upstream now. False: the copy has to do, or there is an error. */
static bool resolve_tag(struct fetching *f)
{
    struct str was, hex;
    bool have = disk_tag_get(&f->g->disk, f->mem, f->repo, f->ref, &was) == 0;
    struct fetch q = {
        .url = url_of(f, "manifests"), .mem = f->mem, .accept = ACCEPT, .head = true, .timeout_ms = MANIFEST_MS_MAX};
    if (ask(f, &q)) {
        if (name_digest(q.digest, &hex))
            f->hex = hex;
        return true;
    }
    if (!have || q.status == 404) {
        explain(f, &q);
    } else {
        log_warn("registry", "the copy of a tag is served", "repository=%.*s tag=%.*s status=%ld", STR_ARG(f->repo),
                 STR_ARG(f->ref), q.status);
    }
    return false;
}

static void work(struct loop_work *w)
{
    struct fetching *f = container_of(w, struct fetching, work);
    const char *kind = f->is_blob ? DISK_BLOBS : DISK_MANIFESTS;
    struct str was;
    bool is_tag = !f->hex.len;
    if (is_tag && !resolve_tag(f))
        return;
    if (!is_here(f, kind))
        with_file(f, f->is_blob ? get_blob : get_manifest);
    if (f->code || !is_tag || (disk_tag_get(&f->g->disk, f->mem, f->repo, f->ref, &was) == 0 && str_eq(was, f->hex)))
        return;
    if (disk_tag_put(&f->g->disk, f->mem, f->repo, f->ref, f->hex) < 0)
        fail(f, 500, CODE_UNKNOWN, "a tag can't be kept");
}

/* ---- on the core thread */
static void start_next(struct registry *g);

static void done(struct loop_work *w)
{
    struct fetching *f = container_of(w, struct fetching, work);
    struct registry *g = f->g;
    list_remove(&f->link);
    g->fetching--, g->fetch_count--;
    gc_changed(g);
    while (!list_empty(&f->waiters)) {
        struct request *r = container_of(f->waiters.next, struct request, wait);
        list_remove(&r->wait);
        r->is_waiting = false;
        if (f->code)
            request_fail(r, f->status, f->code, "%.*s", STR_ARG(f->why));
        r->then(r);
    }
    arena_free(f->mem);
    if (g->freed)
        registry_check_freed(g);
    else
        start_next(g);
}

static void start_next(struct registry *g)
{
    list_each_safe (l, &g->fetches) {
        struct fetching *f = container_of(l, struct fetching, link);
        if (g->fetching >= MIRROR_FETCHES_MAX)
            return;
        if (f->running)
            continue;
        f->running = true;
        g->fetching++;
        f->work = (struct loop_work){.work = work, .done = done};
        if (loop_work(g->loop, &f->work) < 0)
            abort(); /* libuv refuses only nonsense */
    }
}

static struct fetching *find(struct registry *g, struct str key)
{
    list_each (l, &g->fetches) {
        struct fetching *f = container_of(l, struct fetching, link);
        if (str_eq(f->key, key))
            return f;
    }
    return NULL;
}

static struct fetching *fetching_new(struct request *r, struct str key, bool is_blob)
{
    struct registry *g = r->g;
    struct arena *mem = arena_new();
    struct fetching *f = arena_new_of(mem, struct fetching);
    unsigned char random[16];
    loop_rand_bytes(g->loop, RAND_NAME, random, sizeof random);
    *f = (struct fetching){.g = g, .mem = mem, .is_blob = is_blob, .fd = -1, .key = str_dup(mem, key)};
    f->repo = str_dup(mem, r->repo), f->name = str_dup(mem, r->image), f->ref = str_dup(mem, r->target.ref);
    f->hex = str_dup(mem, r->hex), f->upstream = str_dup(mem, mirror_upstream(g, r->ns));
    f->id = str_hex(mem, str_mem((char *)random, sizeof random));
    list_init(&f->waiters);
    list_add_tail(&g->fetches, &f->link);
    g->fetch_count++;
    return f;
}

void mirror_want(struct request *r, bool is_blob, void (*then)(struct request *r))
{
    struct registry *g = r->g;
    struct str key = str_fmt(r->mem, "%.*s %d %.*s", STR_ARG(r->repo), is_blob, STR_ARG(r->target.ref));
    struct fetching *f = find(g, key);
    if (!f && (g->fetch_count >= MIRROR_QUEUE_MAX || !fetch_open())) {
        request_refuse(r, 503, CODE_UNKNOWN, "libcurl.so.4 is not installed, or too much is being fetched");
        return;
    }
    f = f ? f : fetching_new(r, key, is_blob);
    r->then = then, r->is_waiting = true;
    list_add_tail(&f->waiters, &r->wait);
    start_next(g);
}

/* What has not begun never will; what runs ends by itself. */
void mirrors_stop(struct registry *g)
{
    list_each_safe (l, &g->fetches) {
        struct fetching *f = container_of(l, struct fetching, link);
        if (f->running)
            continue;
        list_remove(&f->link);
        arena_free(f->mem);
    }
}
