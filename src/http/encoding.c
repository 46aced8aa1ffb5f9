/* http/encoding.c - see its header. */
#include "http/encoding.h"

#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

enum { GZIP_WINDOW_BITS = 15 + 16 /* gzip, not zlib */, GZIP_MEM_LEVEL = 8, GZIP_PIECE_BYTES = 16384 };

static bool has_zero_q(struct str params)
{
    struct str p;
    while (str_next(&params, ';', &p)) {
        p = str_trim(p);
        if (p.len < 3 || (p.ptr[0] | 0x20) != 'q' || p.ptr[1] != '=')
            continue;
        struct str q = str_from(p, 2);
        bool zero = true;
        for (size_t i = 0; i < q.len; i++)
            zero = zero && (q.ptr[i] == '0' || q.ptr[i] == '.');
        return zero;
    }
    return false;
}

bool encoding_accepts_gzip(struct str accept_encoding)
{
    struct str item;
    bool any = false;
    while (str_next(&accept_encoding, ',', &item)) {
        struct str name, params;
        str_cut(item, ';', &name, &params);
        name = str_trim(name);
        if (str_ieq(name, STR("gzip")))
            return !has_zero_q(params);
        any = any || (str_is(name, "*") && !has_zero_q(params));
    }
    return any;
}

int encoding_gzip(struct str body, int level, struct stream_buf *ret)
{
    z_stream z = {0};
    if (body.len > UINT32_MAX ||
        deflateInit2(&z, level ? level : 1, Z_DEFLATED, GZIP_WINDOW_BITS, GZIP_MEM_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
        return -ENOMEM;
    size_t cap = deflateBound(&z, body.len);
    char *out = malloc(cap);
    if (!out) {
        deflateEnd(&z);
        return -ENOMEM;
    }
    z.next_in = (Bytef *)body.ptr;
    z.avail_in = (uInt)body.len;
    z.next_out = (Bytef *)out;
    z.avail_out = (uInt)cap;
    int r = deflate(&z, Z_FINISH);
    size_t len = z.total_out;
    deflateEnd(&z);
    if (r != Z_STREAM_END) {
        free(out);
        return -ENOMEM;
    }
    *ret = (struct stream_buf){str_mem(out, len), free, out};
    return 0;
}

int encoding_gunzip(struct str body, size_t max, struct stream_buf *ret)
{
    z_stream z = {.next_in = (Bytef *)body.ptr, .avail_in = (uInt)body.len};
    if (body.len > UINT32_MAX)
        return -EMSGSIZE;
    if (inflateInit2(&z, GZIP_WINDOW_BITS) != Z_OK)
        return -ENOMEM;
    size_t cap = 0, len = 0;
    char *out = NULL;
    int r = Z_OK, error = 0;
    while (r != Z_STREAM_END && !error) {
        if (len == cap) {
            size_t want = cap ? cap * 2 : body.len * 4 + 64;
            want = want > max + 1 ? max + 1 : want; /* one more, to see that it is too much */
            char *p = want > cap ? realloc(out, want) : NULL;
            if (!p) {
                error = want > cap ? -ENOMEM : -EMSGSIZE;
                break;
            }
            out = p;
            cap = want;
        }
        z.next_out = (Bytef *)out + len;
        z.avail_out = (uInt)(cap - len);
        r = inflate(&z, Z_NO_FLUSH);
        size_t made = cap - len - z.avail_out;
        len += made;
        if (r != Z_OK && r != Z_STREAM_END)
            error = -EPROTO;
        else if (r == Z_OK && made == 0 && z.avail_in == 0)
            error = -EPROTO; /* cut off */
    }
    inflateEnd(&z);
    if (!error && len > max)
        error = -EMSGSIZE;
    if (error) {
        free(out);
        return error;
    }
    *ret = (struct stream_buf){str_mem(out, len), free, out};
    return 0;
}

struct gzip_stream {
    z_stream z;
};

struct gzip_stream *gzip_stream_new(int level)
{
    struct gzip_stream *g = calloc(1, sizeof *g);
    if (g && deflateInit2(&g->z, level ? level : 1, Z_DEFLATED, GZIP_WINDOW_BITS, GZIP_MEM_LEVEL, Z_DEFAULT_STRATEGY) !=
                 Z_OK) {
        free(g);
        g = NULL;
    }
    return g;
}

struct gzip_stream *gzip_stream_free(struct gzip_stream *g)
{
    if (g)
        deflateEnd(&g->z);
    free(g);
    return NULL;
}

void gzip_stream_add(struct gzip_stream *g, struct str bytes, bool flush, bool end,
                     void (*put)(void *ctx, struct str bytes), void *ctx)
{
    char piece[GZIP_PIECE_BYTES];
    g->z.next_in = (Bytef *)bytes.ptr;
    g->z.avail_in = (uInt)bytes.len;
    do {
        g->z.next_out = (Bytef *)piece;
        g->z.avail_out = sizeof piece;
        deflate(&g->z, end ? Z_FINISH : flush ? Z_SYNC_FLUSH : Z_NO_FLUSH);
        size_t n = sizeof piece - g->z.avail_out;
        if (n)
            put(ctx, str_mem(piece, n));
    } while (g->z.avail_out == 0);
}
