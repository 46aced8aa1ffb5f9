/* registry/upload.c - blobs on their way in: POST (mount, monolithic, session), PATCH, PUT, and what has come so far.
 *
 * The file in _uploads is the truth: its length is the offset. The running SHA-256 is kept in memory between requests;
 * after a restart the file is hashed again. One request at a time writes an upload. Bytes gather while the pool hashes
 * and writes those before them; the client is held back by what is not written yet. */
#include "registry/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { REHASH_BYTES = 256 << 10, FLUSH_BYTES = 8 << 20 };

struct upload {
    struct str id; /* behind the struct */
    EVP_MD_CTX *sum;
    uint64_t offset; /* what sum has seen */
    bool busy;       /* a request is writing it */
};
struct transfer {
    struct upload *up;
    int fd;
    char *fill, *out; /* gathering, and with the pool */
    size_t fill_len, fill_cap, out_len, out_cap;
    uint64_t room; /* what the namespace's limit leaves */
    bool is_new, opened, body_ended, is_put;
    struct str range; /* Content-Range */
};

/* ---- the table of running sums */
static void upload_free(struct registry *g, struct upload *up)
{
    map_del(&g->uploads, up->id);
    EVP_MD_CTX_free(up->sum);
    free(up);
}

static void forget_idle(struct registry *g, bool all)
{
    uint32_t it = 0;
    struct str key;
    void *value;
    while (map_each(&g->uploads, &it, &key, &value))
        if (!((struct upload *)value)->busy) {
            upload_free(g, value);
            if (!all)
                return;
        }
}

void uploads_expire(struct registry *g)
{
    forget_idle(g, /* all= */ true);
}

void uploads_done(struct registry *g)
{
    forget_idle(g, /* all= */ true);
    map_done(&g->uploads);
}

static struct upload *upload_take(struct registry *g, struct str id)
{
    struct upload *up = map_get(&g->uploads, id);
    if (up)
        return up;
    if (g->uploads.count >= REGISTRY_UPLOADS_MAX)
        forget_idle(g, /* all= */ false);
    up = calloc(1, sizeof *up + id.len);
    if (!up || !(up->sum = EVP_MD_CTX_new()) || !EVP_DigestInit_ex(up->sum, EVP_sha256(), NULL))
        abort(); /* small, and their number is bounded */
    up->id = str_mem(memcpy(up + 1, id.ptr, id.len), id.len);
    map_put(&g->uploads, up->id, up);
    return up;
}

/* ---- on the pool */
static bool rehash(struct request *r, struct transfer *t, uint64_t size)
{
    struct upload *up = t->up;
    char *piece = malloc(REHASH_BYTES);
    bool fine = piece && EVP_DigestInit_ex(up->sum, EVP_sha256(), NULL);
    up->offset = 0;
    while (fine && up->offset < size) {
        ssize_t n = pread(t->fd, piece, REHASH_BYTES, (off_t)up->offset);
        fine = n > 0 && EVP_DigestUpdate(up->sum, piece, (size_t)n);
        up->offset += n > 0 ? (uint64_t)n : 0;
    }
    free(piece);
    if (!fine)
        request_fail_errno(r, -EIO, "reading an upload");
    return fine;
}

/* What the limit leaves; counting is paid for only by namespaces that have one. */
static uint64_t room_of(struct request *r)
{
    if (r->limit == UINT64_MAX)
        return UINT64_MAX;
    ptrdiff_t slash = str_find(r->repo, '/');
    uint64_t used = disk_usage(&r->g->disk, r->mem, str_head(r->repo, (size_t)slash));
    return used < r->limit ? r->limit - used : 0;
}

static void over_limit(struct request *r)
{
    request_fail(r, 403, CODE_DENIED, "exceeded quota: the namespace may hold %llu bytes (sampan.dev/registry-bytes)",
                 (unsigned long long)r->limit);
}

/* Makes the file. */
static int create(struct request *r, struct str id)
{
    struct disk *d = &r->g->disk;
    int error = disk_make_dirs(d, r->mem, disk_path(d, r->mem, r->repo, DISK_UPLOADS, STR_NULL));
    if (error < 0)
        return error;
    int fd = open(disk_path(d, r->mem, r->repo, DISK_UPLOADS, id), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return fd < 0 ? -errno : fd;
}

static void open_upload(struct request *r)
{
    struct transfer *t = r->state;
    struct stat st;
    t->fd = t->is_new ? create(r, t->up->id)
                      : open(disk_path(&r->g->disk, r->mem, r->repo, DISK_UPLOADS, t->up->id), O_RDWR | O_CLOEXEC);
    if (t->fd < 0 && t->is_new) {
        request_fail_errno(r, t->fd, "beginning an upload");
        return;
    }
    if (t->fd < 0 || fstat(t->fd, &st) < 0) {
        request_fail(r, 404, CODE_BLOB_UPLOAD_UNKNOWN, "blob upload unknown to registry");
        return;
    }
    if ((uint64_t)st.st_size != t->up->offset && !rehash(r, t, (uint64_t)st.st_size))
        return;
    t->room = room_of(r);
}

/* A partial write is taken back, so that file and sum always agree. */
static void write_out(struct request *r)
{
    struct transfer *t = r->state;
    struct upload *up = t->up;
    size_t done = 0;
    int error = disk_has_room(&r->g->disk) ? 0 : -ENOSPC;
    if (t->out_len > t->room || up->offset > t->room - t->out_len) {
        over_limit(r);
        return;
    }
    while (done < t->out_len && !error) {
        ssize_t n = pwrite(t->fd, t->out + done, t->out_len - done, (off_t)(up->offset + done));
        error = n < 0 && errno != EINTR ? -errno : 0;
        done += n > 0 ? (size_t)n : 0;
    }
    if (error) {
        (void)!ftruncate(t->fd, (off_t)up->offset);
        request_fail_errno(r, error, "writing an upload");
        return;
    }
    EVP_DigestUpdate(up->sum, t->out, t->out_len);
    up->offset += t->out_len;
    if (up->offset / FLUSH_BYTES != (up->offset - t->out_len) / FLUSH_BYTES) /* so that the fsync finds little to do */
        sync_file_range(t->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

static void commit_checked(struct request *r, const char *path)
{
    struct transfer *t = r->state;
    uint64_t held;
    bool limited = r->limit != UINT64_MAX;
    if (limited)
        pthread_mutex_lock(&r->g->disk.quota);
    if (limited && disk_stat(&r->g->disk, r->mem, r->repo, DISK_BLOBS, r->hex, false, &held) < 0 &&
        room_of(r) < t->up->offset) {
        over_limit(r);
        unlink(path);
    } else {
        int error = disk_commit(&r->g->disk, r->mem, path, r->repo, DISK_BLOBS, r->hex);
        if (error == -ENOENT)
            request_fail(r, 404, CODE_BLOB_UPLOAD_UNKNOWN, "blob upload unknown to registry");
        else if (error < 0)
            request_fail_errno(r, error, "keeping a blob");
    }
    if (limited)
        pthread_mutex_unlock(&r->g->disk.quota);
}

static void commit(struct request *r)
{
    struct transfer *t = r->state;
    const char *path = disk_path(&r->g->disk, r->mem, r->repo, DISK_UPLOADS, t->up->id);
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    EVP_DigestFinal_ex(t->up->sum, sum, &n);
    struct str got = str_hex(r->mem, str_mem((char *)sum, n));
    if (!str_eq(got, r->hex)) {
        unlink(path);
        request_fail(r, 400, CODE_DIGEST_INVALID, "the content's digest is sha256:%.*s", STR_ARG(got));
    } else if (fsync(t->fd) < 0) {
        request_fail_errno(r, -errno, "writing an upload");
    } else {
        commit_checked(r, path);
    }
}

/* ---- a transfer */
static void drop(struct request *r)
{
    struct transfer *t = r->state;
    if (t->up)
        t->up->busy = false;
    r->g->transfers--;
    if (t->fd >= 0)
        close(t->fd);
    free(t->fill);
    free(t->out);
}

static void set_location(struct request *r, const char *what, struct str last)
{
    exchange_set_header(r->x, "Location",
                        str_fmt(r->x->mem, "/v2/%.*s/%s%.*s", STR_ARG(r->target.name), what, STR_ARG(last)));
}

/* Where an upload stands: its place and how much of it is here. */
static void set_upload_headers(struct request *r, struct str id, uint64_t offset)
{
    set_location(r, "blobs/uploads/", id);
    exchange_set_header(r->x, "Docker-Upload-UUID", id);
    exchange_set_header(r->x, "Range", str_fmt(r->x->mem, "0-%llu", (unsigned long long)(offset ? offset - 1 : 0)));
}

static void committed(struct request *r)
{
    struct transfer *t = r->state;
    upload_free(r->g, t->up);
    t->up = NULL;
    gc_changed(r->g);
    if (r->code) {
        request_answer_failure(r);
        return;
    }
    request_set_digest(r, r->hex);
    set_location(r, "blobs/sha256:", r->hex);
    request_reply(r, 201, NULL, STR_NULL);
}

/* A client that left during the commit: the sum is used up, and the file may be gone. */
static void drop_committing(struct request *r)
{
    struct transfer *t = r->state;
    if (t->up)
        upload_free(r->g, t->up);
    t->up = NULL;
    drop(r);
}

static void pump(struct request *r);

static void written(struct request *r)
{
    struct transfer *t = r->state;
    if (r->code) {
        request_answer_failure(r);
        return;
    }
    exchange_body_taken(r->x, t->out_len);
    t->out_len = 0;
    pump(r);
}

static void pump(struct request *r)
{
    struct transfer *t = r->state;
    if (!t->opened || r->working || !r->x)
        return;
    if (t->fill_len) {
        char *free_one = t->out;
        size_t free_cap = t->out_cap;
        t->out = t->fill, t->out_len = t->fill_len, t->out_cap = t->fill_cap;
        t->fill = free_one, t->fill_len = 0, t->fill_cap = free_cap;
        request_run(r, write_out, written);
    } else if (t->body_ended && t->is_put) {
        r->drop = drop_committing;
        request_run(r, commit, committed);
    } else if (t->body_ended) {
        set_upload_headers(r, t->up->id, t->up->offset);
        request_reply(r, 202, NULL, STR_NULL);
    }
}

static void on_body(struct exchange *x, struct str bytes)
{
    struct request *r = x->user;
    struct transfer *t = r->state;
    size_t need = t->fill_len + bytes.len; /* bounded by HTTP_BODY_AHEAD_BYTES and one read */
    if (need > t->fill_cap) {
        size_t cap = need < 2 * t->fill_cap ? 2 * t->fill_cap : need;
        char *more = realloc(t->fill, cap);
        if (!more) {
            exchange_reset(x);
            return;
        }
        t->fill = more, t->fill_cap = cap;
    }
    if (bytes.len)
        memcpy(t->fill + t->fill_len, bytes.ptr, bytes.len);
    t->fill_len = need;
    pump(r);
}

static void on_body_end(struct exchange *x)
{
    struct request *r = x->user;
    ((struct transfer *)r->state)->body_ended = true;
    pump(r);
}

static void opened(struct request *r)
{
    struct transfer *t = r->state;
    uint64_t first, last;
    if (!r->code && t->range.len && (!name_content_range(t->range, &first, &last) || first != t->up->offset)) {
        set_upload_headers(r, t->up->id, t->up->offset);
        request_fail(r, 416, CODE_BLOB_UPLOAD_INVALID, "the chunk does not begin where the upload ends");
    }
    if (r->code) {
        request_answer_failure(r);
        return;
    }
    t->opened = true;
    pump(r);
}

static void transfer_start(struct request *r, struct str id, bool is_put, bool is_new)
{
    if (r->g->transfers >= REGISTRY_TRANSFERS_MAX) {
        request_refuse(r, 429, CODE_TOOMANYREQUESTS, "too many uploads at once");
        return;
    }
    struct upload *up = upload_take(r->g, id);
    if (up->busy) {
        request_refuse(r, 409, CODE_BLOB_UPLOAD_INVALID, "another request is writing this upload");
        return;
    }
    struct transfer *t = arena_new_of(r->mem, struct transfer);
    *t = (struct transfer){.up = up, .fd = -1, .is_put = is_put, .is_new = is_new, .body_ended = !r->x->body_streams};
    t->range = str_dup(r->mem, exchange_header(r->x, "content-range"));
    up->busy = true;
    r->g->transfers++;
    r->state = t, r->drop = drop;
    r->x->on_body = on_body, r->x->on_body_end = on_body_end;
    request_run(r, open_upload, opened);
}

/* ---- beginning an upload */
struct start {
    struct str id, from_repo;
    bool mounts, mounted;
};

static void begin(struct request *r)
{
    struct start *s = r->state;
    if (s->mounts && room_of(r) > 0 && disk_mount(&r->g->disk, r->mem, s->from_repo, r->repo, r->hex) == 0) {
        s->mounted = true;
        return;
    }
    if (room_of(r) == 0) {
        over_limit(r);
        return;
    }
    int fd = create(r, s->id);
    if (fd < 0)
        request_fail_errno(r, fd, "beginning an upload");
    else
        close(fd);
}

static void begun(struct request *r)
{
    struct start *s = r->state;
    gc_changed(r->g); /* it may be left behind */
    if (r->code) {
        request_answer_failure(r);
    } else if (s->mounted) {
        request_set_digest(r, r->hex);
        set_location(r, "blobs/sha256:", r->hex);
        request_reply(r, 201, NULL, STR_NULL);
    } else {
        set_upload_headers(r, s->id, 0);
        request_reply(r, 202, NULL, STR_NULL);
    }
}

void serve_uploads(struct request *r)
{
    struct start *s = arena_new_of(r->mem, struct start);
    struct str mount = request_query(r, "mount"), from = request_query(r, "from"), digest = request_query(r, "digest");
    struct str ns, image;
    unsigned char random[16];
    if (!auth_require(r, "create"))
        return;
    if ((digest.len || mount.len) && !request_digest(r, digest.len ? digest : mount))
        return;
    if (mount.len && from.len) {
        s->from_repo = auth_repo_path(r, from, &ns, &image);
        s->mounts = s->from_repo.len && auth_may(r, "get", ns, image);
    }
    loop_rand_bytes(r->g->loop, RAND_NAME, random, sizeof random);
    s->id = str_hex(r->mem, str_mem((char *)random, sizeof random));
    r->state = s;
    if (digest.len)
        transfer_start(r, s->id, /* is_put= */ true, /* is_new= */ true);
    else
        request_run(r, begin, begun);
}

/* ---- asking for and giving up an upload */
static void look(struct request *r)
{
    uint64_t *size = r->state;
    if (disk_stat(&r->g->disk, r->mem, r->repo, DISK_UPLOADS, r->target.ref, /* renew= */ true, size) < 0)
        request_fail(r, 404, CODE_BLOB_UPLOAD_UNKNOWN, "blob upload unknown to registry");
}

static void looked(struct request *r)
{
    if (r->code) {
        request_answer_failure(r);
        return;
    }
    set_upload_headers(r, r->target.ref, *(uint64_t *)r->state);
    request_reply(r, 204, NULL, STR_NULL);
}

static void cancel(struct request *r)
{
    if (disk_unlink(&r->g->disk, r->mem, r->repo, DISK_UPLOADS, r->target.ref) < 0)
        request_fail(r, 404, CODE_BLOB_UPLOAD_UNKNOWN, "blob upload unknown to registry");
}

static void cancelled(struct request *r)
{
    if (r->code)
        request_answer_failure(r);
    else
        request_reply(r, 204, NULL, STR_NULL);
}

void serve_upload(struct request *r)
{
    struct str method = r->x->method, digest;
    if (!auth_require(r, "create"))
        return;
    if (!name_upload_valid(r->target.ref)) {
        request_refuse(r, 404, CODE_BLOB_UPLOAD_UNKNOWN, "blob upload unknown to registry");
    } else if (str_is(method, "PATCH")) {
        transfer_start(r, r->target.ref, /* is_put= */ false, /* is_new= */ false);
    } else if (str_is(method, "PUT")) {
        digest = request_query(r, "digest");
        if (request_digest(r, digest))
            transfer_start(r, r->target.ref, /* is_put= */ true, /* is_new= */ false);
    } else if (str_is(method, "GET")) {
        r->state = arena_new_of(r->mem, uint64_t);
        request_run(r, look, looked);
    } else {
        struct upload *up = map_get(&r->g->uploads, r->target.ref);
        if (up && up->busy) {
            request_refuse(r, 409, CODE_BLOB_UPLOAD_INVALID, "another request is writing this upload");
            return;
        }
        if (up)
            upload_free(r->g, up);
        request_run(r, cancel, cancelled);
    }
}
