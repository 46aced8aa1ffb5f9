/* registry/blob.c - blobs: HEAD, GET whole or a range, DELETE. Content is read ahead on the pool, one piece at a time,
 * as fast as the client takes it. */
#include "registry/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { PIECE_BYTES = 256 << 10 };

struct download {
    int fd;
    uint64_t size, at, end;
    bool head;
    bool held; /* the client is slow: on_drain goes on */
    char *piece;
    size_t piece_len;
};

static void drop(struct request *r)
{
    struct download *dl = r->state;
    if (dl->fd >= 0)
        close(dl->fd);
    free(dl->piece);
}

/* ---- sending */
static void next(struct request *r);

static void read_piece(struct request *r)
{
    struct download *dl = r->state;
    size_t want = dl->end - dl->at < PIECE_BYTES ? (size_t)(dl->end - dl->at) : PIECE_BYTES;
    dl->piece = malloc(want);
    dl->piece_len = 0;
    while (dl->piece && dl->piece_len < want) {
        ssize_t n = pread(dl->fd, dl->piece + dl->piece_len, want - dl->piece_len, (off_t)(dl->at + dl->piece_len));
        if (n <= 0 && !(n < 0 && errno == EINTR))
            break;
        dl->piece_len += n > 0 ? (size_t)n : 0;
    }
}

static void piece_read(struct request *r)
{
    struct download *dl = r->state;
    char *piece = dl->piece;
    if (dl->piece_len == 0) { /* a failing disk: the client sees that it is not whole */
        exchange_reset(r->x);
        return;
    }
    dl->piece = NULL;
    dl->at += dl->piece_len;
    if (exchange_write(r->x, (struct stream_buf){str_mem(piece, dl->piece_len), free, piece}))
        next(r);
    else if (dl->at == dl->end)
        exchange_end(r->x);
    else
        dl->held = true;
}

static void next(struct request *r)
{
    struct download *dl = r->state;
    if (dl->at == dl->end)
        exchange_end(r->x);
    else
        request_run(r, read_piece, piece_read);
}

static void on_drain(struct exchange *x)
{
    struct request *r = x->user;
    struct download *dl = r->state;
    if (!dl->held || r->working)
        return;
    dl->held = false;
    next(r);
}

/* ---- beginning */
static void open_blob(struct request *r)
{
    struct download *dl = r->state;
    dl->fd = dl->head ? disk_stat(&r->g->disk, r->mem, r->repo, DISK_BLOBS, r->hex, /* renew= */ true, &dl->size)
                      : disk_open(&r->g->disk, r->mem, r->repo, DISK_BLOBS, r->hex, &dl->size);
    if (dl->head && dl->fd == 0)
        dl->fd = -1;
    else if (dl->fd < 0)
        request_fail(r, 404, CODE_BLOB_UNKNOWN, "blob unknown to registry");
}

static void opened(struct request *r)
{
    struct download *dl = r->state;
    struct exchange *x = r->x;
    if (r->code) {
        request_answer_failure(r);
        return;
    }
    uint64_t first = 0, last = dl->size ? dl->size - 1 : 0;
    int range = name_range(exchange_header(x, "range"), dl->size, &first, &last);
    exchange_set_header(x, "Accept-Ranges", STR("bytes"));
    if (range < 0) {
        exchange_set_header(x, "Content-Range", str_fmt(x->mem, "bytes */%llu", (unsigned long long)dl->size));
        request_refuse(r, 416, CODE_SIZE_INVALID, "the range is not in the blob");
        return;
    }
    request_set_digest(r, r->hex);
    exchange_set_header(x, "ETag", str_fmt(x->mem, "\"sha256:%.*s\"", STR_ARG(r->hex)));
    if (range > 0)
        exchange_set_header(x, "Content-Range",
                            str_fmt(x->mem, "bytes %llu-%llu/%llu", (unsigned long long)first, (unsigned long long)last,
                                    (unsigned long long)dl->size));
    if (dl->fd < 0) { /* HEAD: only the length of the body is looked at */
        exchange_reply(x, 200, "application/octet-stream", str_mem("", dl->size));
        return;
    }
    dl->at = first, dl->end = dl->size ? last + 1 : 0;
    x->on_drain = on_drain;
    exchange_begin_sized(x, range > 0 ? 206 : 200, "application/octet-stream", dl->end - dl->at);
    next(r);
}

static void fetched(struct request *r)
{
    if (r->code)
        request_answer_failure(r);
    else
        request_run(r, open_blob, opened);
}

static void delete_blob(struct request *r)
{
    int error = disk_unlink(&r->g->disk, r->mem, r->repo, DISK_BLOBS, r->hex);
    if (error == -ENOENT)
        request_fail(r, 404, CODE_BLOB_UNKNOWN, "blob unknown to registry");
    else if (error < 0)
        request_fail_errno(r, error, "removing a blob");
}

static void deleted(struct request *r)
{
    gc_changed(r->g);
    if (r->code)
        request_answer_failure(r);
    else
        request_reply(r, 202, NULL, STR_NULL);
}

void serve_blob(struct request *r)
{
    bool is_delete = str_is(r->x->method, "DELETE");
    if (!request_digest(r, r->target.ref) || !auth_require(r, is_delete ? "delete" : "get"))
        return;
    if (is_delete) {
        request_run(r, delete_blob, deleted);
        return;
    }
    struct download *dl = arena_new_of(r->mem, struct download);
    dl->fd = -1, dl->head = str_is(r->x->method, "HEAD");
    r->state = dl, r->drop = drop;
    if (r->is_mirror)
        mirror_want(r, /* is_blob= */ true, fetched);
    else
        request_run(r, open_blob, opened);
}
