/* api/openapi.c - /openapi/v2 and /openapi/v3. Documents are made on request and forgotten: they are large and asked
 * for rarely, and clients keep them by ETag or, in v3, by the hash in their address. Source: k8s.io/kube-openapi
 * pkg/handler, pkg/handler3. */
#include "schema/openapi.h"
#include "api/internal.h"
#include "http/encoding.h"

#define PB_TYPE    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
#define PB_TYPE_AT "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"

static void release(void *owner)
{
    arena_free(owner);
}

static bool accepts(struct str accept, const char *type)
{
    struct str item, name, params;
    while (str_next(&accept, ',', &item)) {
        str_cut(item, ';', &name, &params);
        if (str_ieq(str_trim(name), str_of(type)))
            return true;
    }
    return false;
}

/* Takes mem, in which out was built. */
static void reply_page(struct api_req *r, const char *type, struct arena *mem, const struct sb *out)
{
    struct str etag = str_fmt(r->mem, "\"%016llX\"", (unsigned long long)str_hash(sb_str(out)));
    exchange_set_header(r->x, "ETag", etag);
    exchange_set_header(r->x, "Vary", STR("Accept-Encoding, Accept"));
    if (str_eq(exchange_header(r->x, "if-none-match"), etag)) {
        arena_free(mem);
        exchange_reply(r->x, 304, NULL, STR_NULL);
        return;
    }
    struct stream_buf body = {sb_str(out), release, mem}, zipped;
    if (out->len > ENCODING_MIN_BYTES && encoding_accepts_gzip(exchange_header(r->x, "accept-encoding")) &&
        encoding_gzip(sb_str(out), 0, &zipped) == 0) {
        arena_free(mem);
        body = zipped;
        exchange_set_header(r->x, "Content-Encoding", STR("gzip"));
    }
    exchange_reply_buf(r->x, 200, type, body);
}

static void reply_v2(struct api_req *r)
{
    struct str accept = exchange_header(r->x, "accept");
    bool pb = accepts(accept, PB_TYPE) || accepts(accept, PB_TYPE_AT);
    struct arena *mem = arena_new();
    struct sb out = SB(mem);
    if (pb)
        openapi_v2_pb(&out);
    else
        openapi_v2_json(&out);
    reply_page(r, pb ? PB_TYPE : "application/json", mem, &out);
}

void handle_openapi(struct api_req *r)
{
    struct str path = r->info.path, v3 = STR("/openapi/v3");
    while (path.len > 1 && path.ptr[path.len - 1] == '/')
        path.len--;
    if (!str_starts(path, v3)) {
        reply_v2(r);
        return;
    }
    struct arena *mem = arena_new();
    struct sb out = SB(mem);
    if (path.len == v3.len) {
        openapi_v3_index(&out);
    } else if (!openapi_v3(&out, str_from(path, v3.len + 1))) {
        arena_free(mem);
        reply_text(r, 404, "404 page not found");
        return;
    }
    reply_page(r, "application/json", mem, &out);
}
