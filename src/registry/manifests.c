/* registry/manifests.c - manifests: GET and HEAD by tag or digest, PUT, DELETE. */
#include "registry/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <unistd.h>

struct content {
    struct str tag; /* empty: by digest */
    char *text;
    size_t len, cap;
    struct str content_type, id; /* of a push: declared; the name of its temporary file */
    struct manifest m;
};

static void drop(struct request *r)
{
    free(((struct content *)r->state)->text);
}

static struct str text_of(const struct content *c)
{
    return str_mem(c->text, c->len);
}

static void unknown(struct request *r)
{
    request_fail(r, 404, CODE_MANIFEST_UNKNOWN, "manifest unknown to registry");
}

/* ---- on the pool */
static void read_content(struct request *r)
{
    struct content *c = r->state;
    uint64_t size = 0, renewed;
    int fd = disk_open(&r->g->disk, r->mem, r->repo, DISK_MANIFESTS, r->hex, &size);
    bool fine = fd >= 0 && size <= REGISTRY_MANIFEST_BYTES_MAX && (c->text = malloc(size + 1));
    while (fine && c->len < size) {
        ssize_t n = read(fd, c->text + c->len, size - c->len);
        fine = n > 0;
        c->len += n > 0 ? (size_t)n : 0;
    }
    if (fd >= 0)
        close(fd);
    if (!fine || disk_stat(&r->g->disk, r->mem, r->repo, DISK_MANIFESTS, r->hex, /* renew= */ true, &renewed) < 0)
        unknown(r);
}

static void get(struct request *r)
{
    struct content *c = r->state;
    struct err err = ERR(r->mem);
    if (c->tag.len && disk_tag_get(&r->g->disk, r->mem, r->repo, c->tag, &r->hex) < 0) {
        unknown(r);
        return;
    }
    read_content(r);
    if (!r->code && !manifest_read(r->mem, text_of(c), STR_NULL, &c->m, &err))
        request_fail(r, 500, CODE_MANIFEST_INVALID, "%.*s", STR_ARG(err.message)); /* was judged when it was pushed */
}

static bool check_references(struct request *r, const char *kind, const struct str *hexes, int count)
{
    uint64_t size;
    for (int i = 0; i < count; i++)
        if (disk_stat(&r->g->disk, r->mem, r->repo, kind, hexes[i], /* renew= */ true, &size) < 0) {
            request_fail(r, 404, CODE_MANIFEST_BLOB_UNKNOWN, "the manifest refers to sha256:%.*s, which is not here",
                         STR_ARG(hexes[i]));
            return false;
        }
    return true;
}

static int write_file(const char *path, struct str text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), error = fd < 0 ? -errno : 0;
    while (text.len && !error) {
        ssize_t n = write(fd, text.ptr, text.len);
        error = n < 0 && errno != EINTR ? -errno : 0;
        text = str_from(text, n > 0 ? (size_t)n : 0);
    }
    if (!error && fsync(fd) < 0)
        error = -errno;
    if (fd >= 0)
        close(fd);
    return error;
}

static void keep(struct request *r)
{
    struct content *c = r->state;
    struct disk *d = &r->g->disk;
    const char *path = disk_path(d, r->mem, r->repo, DISK_UPLOADS, c->id);
    int error = disk_make_dirs(d, r->mem, disk_path(d, r->mem, r->repo, DISK_UPLOADS, STR_NULL));
    error = error < 0 ? error : write_file(path, text_of(c));
    error = error < 0 ? error : disk_commit(d, r->mem, path, r->repo, DISK_MANIFESTS, r->hex);
    if (error == 0 && c->m.subject.len)
        error = disk_link_referrer(d, r->mem, r->repo, c->m.subject, r->hex);
    if (error == 0 && c->tag.len)
        error = disk_tag_put(d, r->mem, r->repo, c->tag, r->hex);
    if (error < 0) {
        unlink(path);
        request_fail_errno(r, error, "keeping a manifest");
    }
}

static void keep_within_limit(struct request *r)
{
    struct content *c = r->state;
    struct disk *d = &r->g->disk;
    uint64_t held;
    if (r->limit == UINT64_MAX) {
        keep(r);
        return;
    }
    pthread_mutex_lock(&d->quota);
    uint64_t used = disk_usage(d, r->mem, str_head(r->repo, (size_t)str_find(r->repo, '/')));
    if (disk_stat(d, r->mem, r->repo, DISK_MANIFESTS, r->hex, false, &held) < 0 && used + c->len > r->limit)
        request_fail(r, 403, CODE_DENIED,
                     "exceeded quota: the namespace may hold %llu bytes (sampan.dev/registry-bytes)",
                     (unsigned long long)r->limit);
    else
        keep(r);
    pthread_mutex_unlock(&d->quota);
}

static void put(struct request *r)
{
    struct content *c = r->state;
    struct err err = ERR(r->mem);
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    struct str was;
    EVP_Digest(c->text, c->len, sum, &n, EVP_sha256(), NULL);
    struct str hex = str_hex(r->mem, str_mem((char *)sum, n));
    if (!c->tag.len && !str_eq(hex, r->hex)) {
        request_fail(r, 400, CODE_DIGEST_INVALID, "the content's digest is sha256:%.*s", STR_ARG(hex));
        return;
    }
    r->hex = hex;
    if (!manifest_read(r->mem, text_of(c), c->content_type, &c->m, &err)) {
        request_fail(r, 400, CODE_MANIFEST_INVALID, "%.*s", STR_ARG(err.message));
        return;
    }
    if (c->tag.len && !r->may_update && disk_tag_get(&r->g->disk, r->mem, r->repo, c->tag, &was) == 0 &&
        !str_eq(was, hex)) {
        request_fail(r, 403, CODE_DENIED, "the tag is there; moving it needs the verb update");
        return;
    }
    if (check_references(r, DISK_BLOBS, c->m.blobs, c->m.blob_count) &&
        check_references(r, DISK_MANIFESTS, c->m.manifests, c->m.manifest_count))
        keep_within_limit(r);
}

/* By digest its tags go too, and what says that it refers to its subject. */
static void delete (struct request *r)
{
    struct content *c = r->state;
    struct disk *d = &r->g->disk;
    struct err err = ERR(r->mem);
    struct str *tags, hex;
    int count;
    if (c->tag.len) {
        if (disk_unlink(d, r->mem, r->repo, DISK_TAGS, c->tag) < 0)
            unknown(r);
        return;
    }
    read_content(r);
    if (r->code)
        return;
    if (disk_list(r->mem, disk_path(d, r->mem, r->repo, DISK_TAGS, STR_NULL), &tags, &count) < 0)
        count = 0;
    for (int i = 0; i < count; i++)
        if (disk_tag_get(d, r->mem, r->repo, tags[i], &hex) == 0 && str_eq(hex, r->hex))
            disk_unlink(d, r->mem, r->repo, DISK_TAGS, tags[i]);
    if (manifest_read(r->mem, text_of(c), STR_NULL, &c->m, &err) && c->m.subject.len)
        disk_unlink(d, r->mem, r->repo, DISK_REFERRERS,
                    str_fmt(r->mem, "%.*s/%.*s", STR_ARG(c->m.subject), STR_ARG(r->hex)));
    int error = disk_unlink(d, r->mem, r->repo, DISK_MANIFESTS, r->hex);
    if (error < 0)
        request_fail_errno(r, error, "removing a manifest");
}

/* ---- on the core thread */

/* Does the client take this type? One that says nothing takes anything. */
static bool is_accepted(const struct exchange *x, const char *type)
{
    bool said = false;
    for (int i = 0; i < x->header_count; i++) {
        struct str rest = x->headers[i].value, item;
        if (!str_is(x->headers[i].name, "accept"))
            continue;
        while (str_next(&rest, ',', &item)) {
            said = true;
            str_cut(item, ';', &item, &(struct str){0});
            item = str_trim(item);
            if (str_is(item, type) || str_is(item, "*/*") || str_is(item, "application/*"))
                return true;
        }
    }
    return !said;
}

static void got(struct request *r)
{
    struct content *c = r->state;
    if (!r->code && !is_accepted(r->x, c->m.type))
        request_fail(r, 404, CODE_MANIFEST_UNKNOWN, "the manifest is a %s, which the Accept header does not name",
                     c->m.type);
    if (r->code) {
        request_answer_failure(r);
        return;
    }
    request_set_digest(r, r->hex);
    exchange_set_header(r->x, "ETag", str_fmt(r->x->mem, "\"sha256:%.*s\"", STR_ARG(r->hex)));
    char *text = c->text;
    c->text = NULL;
    exchange_reply_buf(r->x, 200, c->m.type, (struct stream_buf){str_mem(text, c->len), free, text});
}

static void fetched(struct request *r)
{
    if (r->code)
        request_answer_failure(r);
    else
        request_run(r, get, got);
}

static void put_done(struct request *r)
{
    struct content *c = r->state;
    gc_changed(r->g); /* what the tag named may be of no use now */
    if (r->code) {
        request_answer_failure(r);
        return;
    }
    request_set_digest(r, r->hex);
    exchange_set_header(r->x, "Location",
                        str_fmt(r->x->mem, "/v2/%.*s/manifests/sha256:%.*s", STR_ARG(r->target.name), STR_ARG(r->hex)));
    if (c->m.subject.len)
        exchange_set_header(r->x, "OCI-Subject", str_fmt(r->x->mem, "sha256:%.*s", STR_ARG(c->m.subject)));
    request_reply(r, 201, NULL, STR_NULL);
}

static void deleted(struct request *r)
{
    gc_changed(r->g);
    if (r->code)
        request_answer_failure(r);
    else
        request_reply(r, 202, NULL, STR_NULL);
}

static void on_body(struct exchange *x, struct str bytes)
{
    struct request *r = x->user;
    struct content *c = r->state;
    if (bytes.len > REGISTRY_MANIFEST_BYTES_MAX - c->len) {
        request_refuse(r, 413, CODE_SIZE_INVALID, "a manifest may have 4 MiB");
        return;
    }
    if (c->len + bytes.len > c->cap) {
        size_t cap = 2 * (c->len + bytes.len);
        char *more = realloc(c->text, cap);
        if (!more) {
            request_refuse(r, 503, CODE_UNKNOWN, "out of memory");
            return;
        }
        c->text = more, c->cap = cap;
    }
    if (bytes.len)
        memcpy(c->text + c->len, bytes.ptr, bytes.len);
    c->len += bytes.len;
    exchange_body_taken(x, bytes.len);
}

static void on_body_end(struct exchange *x)
{
    request_run(x->user, put, put_done);
}

static void receive(struct request *r)
{
    struct content *c = r->state;
    struct exchange *x = r->x;
    unsigned char random[16];
    loop_rand_bytes(r->g->loop, RAND_NAME, random, sizeof random);
    c->id = str_hex(r->mem, str_mem((char *)random, sizeof random));
    c->content_type = str_dup(r->mem, exchange_header(x, "content-type"));
    r->may_update = c->tag.len && auth_may(r, "update", r->ns, r->image);
    x->on_body = on_body, x->on_body_end = on_body_end;
    if (!x->body_streams)
        request_refuse(r, 400, CODE_MANIFEST_INVALID, "the request has no body");
}

void serve_manifest(struct request *r)
{
    struct str method = r->x->method, ref = r->target.ref;
    struct content *c = arena_new_of(r->mem, struct content);
    const char *verb = str_is(method, "PUT") ? "create" : str_is(method, "DELETE") ? "delete" : "get";
    if (!auth_require(r, verb))
        return;
    if (str_find(ref, ':') >= 0 ? !request_digest(r, ref) : false)
        return;
    if (!r->hex.len && !name_tag_valid(ref)) {
        request_refuse(r, *verb == 'g' ? 404 : 400, *verb == 'g' ? CODE_MANIFEST_UNKNOWN : CODE_MANIFEST_INVALID,
                       "neither a tag nor a digest");
        return;
    }
    c->tag = r->hex.len ? STR_NULL : ref;
    r->state = c, r->drop = drop;
    if (*verb == 'c')
        receive(r);
    else if (*verb == 'd')
        request_run(r, delete, deleted);
    else if (r->is_mirror)
        mirror_want(r, /* is_blob= */ false, fetched);
    else
        request_run(r, get, got);
}
