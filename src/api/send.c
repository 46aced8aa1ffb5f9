/* api/send.c - a list on its way to the client: rendered chunk by chunk, never further ahead than the stream's queue
 * takes.
 *
 * The objects are pinned when the list begins (a pointer and a reference each), so that every chunk shows one revision.
 * Protobuf needs the length of the whole before its first byte: what is small is rendered at once; of what is large the
 * lengths are measured first, in slices, and everything is rendered a second time. */
#include "api/internal.h"
#include "doc/wire.h"
#include "http/encoding.h"

enum {
    CHUNK_BYTES = 64 << 10,
    PB_WHOLE_BYTES_MAX = 1 << 20,
    PB_SLICE_BYTES = 512 << 10, /* measured in one turn of the loop */
    PRETTY_BYTES_MAX = 1 << 20  /* longer lists come compact, whoever asks */
};

struct lister {
    struct api_req *r;
    struct view view;
    struct obj **objs; /* references; those before `next` are dropped */
    int count, next;
    int64_t now_ms;
    struct arena *tmp;
    struct list_meta meta;
    size_t bytes; /* of all objects at rest */
    bool head_done;
    /* protobuf */
    struct loop_task task;
    int measured;
    size_t raw_len; /* of the list message */
    struct arena *whole_mem;
    struct sb whole;
    struct gzip_stream *gzip; /* NULL: as it is */
};

static void lister_free(struct lister *l)
{
    for (int i = l->next; i < l->count; i++)
        obj_unref(l->objs[i]);
    free(l->objs);
    arena_free(l->tmp);
    arena_free(l->whole_mem);
    loop_task_cancel(&l->task);
    gzip_stream_free(l->gzip);
    l->r->state = NULL;
    free(l);
}

static void on_abort(struct api_req *r)
{
    lister_free(r->state);
}

static void release_chunk(void *owner)
{
    arena_free(owner);
}

/* ---- what stands around the items */

static void put_list_meta(const struct lister *l, struct sb *out)
{
    if (!l->meta.rev) {
        sb_addz(out, "\"metadata\":{},");
        return;
    }
    sb_addf(out, "\"metadata\":{\"resourceVersion\":\"%llu\"", (unsigned long long)l->meta.rev);
    if (l->meta.cont.len)
        sb_addf(out, ",\"continue\":\"" STR_FMT "\"", STR_ARG(l->meta.cont));
    if (l->meta.remaining >= 0)
        sb_addf(out, ",\"remainingItemCount\":%lld", (long long)l->meta.remaining);
    sb_addz(out, "},");
}

static void list_kind(const struct lister *l, const char **kind, const char **version)
{
    const struct view *v = &l->view;
    bool meta = v->m.as != AS_IS;
    *kind = v->m.as == AS_TABLE ? "Table" : meta ? "PartialObjectMetadataList" : l->r->res->list_kind;
    *version = !meta ? l->r->res->api_version : v->m.beta ? "meta.k8s.io/v1beta1" : "meta.k8s.io/v1";
}

static void put_json_head(const struct lister *l, struct sb *out)
{
    const char *kind, *version;
    list_kind(l, &kind, &version);
    sb_addf(out, "{\"kind\":\"%s\",\"apiVersion\":\"%s\",", kind, version);
    put_list_meta(l, out);
    if (l->view.m.as == AS_TABLE) {
        table_columns(out, l->r->res);
        sb_addz(out, ",\"rows\":[");
    } else {
        sb_addz(out, "\"items\":[");
    }
}

static struct str pb_meta(struct lister *l)
{
    struct doc *d = doc_new_object(l->r->mem);
    struct sb b = SB(l->r->mem);
    if (l->meta.rev)
        doc_put_str(l->r->mem, d, "resourceVersion", str_fmt(l->r->mem, "%llu", (unsigned long long)l->meta.rev));
    if (l->meta.cont.len)
        doc_put_str(l->r->mem, d, "continue", l->meta.cont);
    if (l->meta.remaining >= 0)
        doc_put_int(l->r->mem, d, "remainingItemCount", l->meta.remaining);
    schema_encode_pb_message(&b, schema_type("meta.v1.ListMeta"), d);
    return sb_str(&b);
}

/* k8s\0, then runtime.Unknown: typeMeta = 1, raw = 2, contentEncoding = 3, contentType = 4. */
static void put_pb_head(struct lister *l, struct sb *out)
{
    const char *kind, *version;
    list_kind(l, &kind, &version);
    sb_add(out, str_mem("k8s", 4));
    size_t mark = wire_open(out, 1);
    wire_put_bytes(out, 1, str_of(version));
    wire_put_bytes(out, 2, str_of(kind));
    wire_close(out, mark);
    wire_put_tag(out, 2, WIRE_LEN);
    wire_put_varint(out, l->raw_len);
    wire_put_bytes(out, 1, pb_meta(l));
}

static void put_pb_tail(struct sb *out)
{
    wire_put_bytes(out, 3, STR_NULL);
    wire_put_bytes(out, 4, STR_NULL);
}

/* ---- items */

static void put_item(struct lister *l, int i, struct sb *out)
{
    if (l->view.m.form == MEDIA_PB) {
        size_t mark = wire_open(out, 2);
        view_put_item(l->tmp, &l->view, l->objs[i], l->now_ms, out);
        wire_close(out, mark);
    } else {
        if (i)
            sb_addc(out, ',');
        view_put_item(l->tmp, &l->view, l->objs[i], l->now_ms, out);
    }
    arena_reset(l->tmp);
}

static void put_zipped(void *ctx, struct str bytes)
{
    sb_add(ctx, bytes);
}

static bool send_chunk(struct lister *l, struct arena *mem, struct sb *chunk, bool last)
{
    struct sb zipped = {0};
    if (l->gzip) {
        zipped.mem = arena_new();
        gzip_stream_add(l->gzip, sb_str(chunk), /* flush= */ false, last, put_zipped, &zipped);
        arena_free(mem);
        mem = zipped.mem;
        chunk = &zipped;
    }
    if (!chunk->len) {
        arena_free(mem);
        return true;
    }
    return exchange_write(l->r->x, (struct stream_buf){sb_str(chunk), release_chunk, mem});
}

static void finish(struct lister *l)
{
    struct exchange *x = l->r->x;
    x->on_drain = NULL;
    lister_free(l);
    exchange_end(x);
}

/* Render until the queue is full or all is said. */
static void pump(struct lister *l)
{
    bool room = true;
    while (room) {
        struct arena *mem = arena_new();
        struct sb chunk = SB(mem);
        bool pb = l->view.m.form == MEDIA_PB;
        sb_room(&chunk, CHUNK_BYTES + 4096);
        if (!l->head_done && pb)
            put_pb_head(l, &chunk);
        else if (!l->head_done)
            put_json_head(l, &chunk);
        l->head_done = true;
        while (l->next < l->count && chunk.len < CHUNK_BYTES) {
            put_item(l, l->next, &chunk);
            obj_unref(l->objs[l->next]);
            l->next++;
        }
        bool last = l->next == l->count;
        if (last && pb)
            put_pb_tail(&chunk);
        else if (last)
            sb_addz(&chunk, "]}\n");
        room = send_chunk(l, mem, &chunk, last);
        if (last) {
            finish(l);
            return;
        }
    }
}

static void on_drain(struct exchange *x)
{
    struct api_req *r = x->user;
    if (r->state)
        pump(r->state);
}

static void begin(struct lister *l)
{
    struct api_req *r = l->r;
    if (l->gzip) {
        exchange_set_header(r->x, "Content-Encoding", STR("gzip"));
        exchange_set_header(r->x, "Vary", STR("Accept-Encoding"));
    }
    r->x->on_drain = on_drain;
    exchange_begin(r->x, 200, media_type(&l->view.m));
    pump(l);
}

/* ---- protobuf: measure first */

static void reply_whole(struct lister *l)
{
    struct api_req *r = l->r;
    struct sb b = SB(r->mem);
    put_pb_head(l, &b);
    sb_add(&b, sb_str(&l->whole));
    put_pb_tail(&b);
    lister_free(l);
    exchange_reply(r->x, 200, "application/vnd.kubernetes.protobuf", sb_str(&b));
}

static void measure(struct loop_task *t)
{
    struct lister *l = container_of(t, struct lister, task);
    size_t done = 0;
    bool whole = l->whole_mem != NULL;
    while (l->measured < l->count && done < PB_SLICE_BYTES) {
        struct arena *mem = whole ? l->whole_mem : arena_new();
        struct sb one = SB(mem), *out = whole ? &l->whole : &one;
        size_t before = out->len;
        put_item(l, l->measured, out);
        l->raw_len += out->len - before;
        done += l->objs[l->measured++]->json.len;
        if (!whole)
            arena_free(mem);
        if (whole && l->whole.len > PB_WHOLE_BYTES_MAX) {
            l->whole_mem = arena_free(l->whole_mem);
            whole = false;
        }
    }
    if (l->measured < l->count)
        loop_post(l->r->api->loop, &l->task);
    else if (whole)
        reply_whole(l);
    else
        begin(l);
}

static void start_pb(struct lister *l)
{
    struct sb b = SB(l->r->mem);
    wire_put_bytes(&b, 1, pb_meta(l));
    l->raw_len = b.len;
    l->whole_mem = arena_new();
    l->whole = SB(l->whole_mem);
    measure(&l->task);
}

/* ---- the small and human forms: one document */

static void reply_document(struct lister *l)
{
    struct api_req *r = l->r;
    struct sb b = SB(r->mem);
    struct err ignored = ERR(r->mem);
    uint8_t form = l->view.m.form;
    l->view.m.form = MEDIA_JSON;
    put_json_head(l, &b);
    for (int i = 0; i < l->count; i++)
        put_item(l, i, &b);
    sb_addz(&b, "]}");
    struct doc *d = doc_parse(r->mem, sb_str(&b), NULL, &ignored);
    lister_free(l);
    struct media m = r->out;
    r->out.form = form, r->out.as = AS_IS;
    reply_doc(r, 200, NULL, d);
    r->out = m;
}

void list_send(struct api_req *r, struct obj **objs, int count, const struct list_meta *meta)
{
    struct lister *l = calloc(1, sizeof(*l));
    struct obj **pinned = malloc(sizeof(*pinned) * (size_t)(count ? count : 1));
    if (!l || !pinned) {
        free(l);
        free(pinned);
        err_set(&r->err, ERR_UNAVAILABLE, "out of memory");
        reply_err(r);
        return;
    }
    *l = (struct lister){.r = r, .view = {.res = r->res, .m = r->out}, .objs = pinned, .count = count, .meta = *meta};
    l->now_ms = loop_wall_ms(r->api->loop);
    l->tmp = arena_new();
    loop_task_init(&l->task, measure);
    for (int i = 0; i < count; i++) {
        pinned[i] = obj_ref(objs[i]);
        l->bytes += objs[i]->json.len;
    }
    r->state = l;
    r->on_abort = on_abort;
    if (l->view.m.as == AS_TABLE && table_include(&r->query, &l->view.include, &r->err) < 0) {
        lister_free(l);
        reply_err(r);
        return;
    }
    if (l->view.m.form == MEDIA_YAML ||
        (l->view.m.pretty && l->view.m.form == MEDIA_JSON && l->bytes < PRETTY_BYTES_MAX)) {
        reply_document(l);
        return;
    }
    if (l->view.m.form == MEDIA_PB) {
        start_pb(l);
        return;
    }
    if (l->bytes > ENCODING_MIN_BYTES && encoding_accepts_gzip(exchange_header(r->x, "accept-encoding")))
        l->gzip = gzip_stream_new(/* level= */ 0);
    begin(l);
}
