/* api/frame.c - one event of a watch as bytes: a JSON line, or a length-delimited protobuf message.
 *
 * Rendered once for all watchers that want the same form. */
#include "api/frame.h"
#include "doc/wire.h"

enum { KEEP_BYTES_MAX = 256 << 10 }; /* larger frames are rendered again rather than kept beyond their event */

static struct cache_frame *frame_of(struct str bytes)
{
    struct cache_frame *f = cache_frame_new(bytes.len);
    if (f && bytes.len)
        memcpy((char *)(uintptr_t)f->bytes.ptr, bytes.ptr, bytes.len);
    return f;
}

/* A WatchEvent around an object that is rendered already. */
static struct cache_frame *wrap(struct arena *mem, enum media_form form, const char *type, struct str object)
{
    struct sb b = SB(mem);
    if (form != MEDIA_PB) {
        sb_room(&b, object.len + 64);
        sb_addf(&b, "{\"type\":\"%s\",\"object\":", type);
        sb_add(&b, object);
        sb_addz(&b, "}\n");
        return frame_of(sb_str(&b));
    }
    sb_add(&b, str_mem("\0\0\0", 4));
    wire_put_bytes(&b, 1, str_of(type));
    size_t mark = wire_open(&b, 2);
    wire_put_bytes(&b, 1, object);
    wire_close(&b, mark);
    uint32_t len = (uint32_t)(b.len - 4);
    for (int i = 0; i < 4; i++)
        b.ptr[i] = (char)(len >> (24 - 8 * i));
    return frame_of(sb_str(&b));
}

static void put_table(struct arena *mem, const struct view *v, bool headers, const struct obj *o, const struct doc *d,
                      struct str rev, int64_t now_ms, struct sb *out)
{
    sb_addf(out,
            "{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/%s\",\"metadata\":{\"resourceVersion\":\"" STR_FMT "\"},",
            v->m.beta ? "v1beta1" : "v1", STR_ARG(rev));
    if (headers)
        table_columns(out, v->res);
    else
        sb_addz(out, "\"columnDefinitions\":null");
    sb_addz(out, ",\"rows\":[");
    table_row(mem, v, o, d, now_ms, out);
    sb_addz(out, "]}");
}

struct cache_frame *frame_obj(struct arena *mem, const struct view *v, bool headers, const char *type,
                              const struct obj *o, int64_t now_ms)
{
    struct sb b = SB(mem);
    if (v->m.as == AS_TABLE)
        put_table(mem, v, headers, o, NULL, str_fmt(mem, "%llu", (unsigned long long)o->rev), now_ms, &b);
    else
        view_put(mem, v, o, now_ms, &b);
    return wrap(mem, v->m.form, type, sb_str(&b));
}

struct cache_frame *frame_doc(struct arena *mem, const struct view *v, bool headers, const char *type,
                              const struct type *t, struct doc *d, int64_t now_ms)
{
    struct sb b = SB(mem);
    if (v->m.as == AS_TABLE && t == v->res->type)
        put_table(mem, v, headers, NULL, d, doc_str(doc_get(d, "metadata"), "resourceVersion"), now_ms, &b);
    else if (v->m.form == MEDIA_PB)
        schema_encode_pb(&b, t, d);
    else
        doc_json_sb(&b, d);
    return wrap(mem, v->m.form, type, sb_str(&b));
}

/* ---- frames that several watchers want, in forms for which the event itself has no place */

static bool same_form(const struct frame_slot *s, const struct view *v, const char *type, const struct obj *o)
{
    return s->frame && s->obj == o && s->res == v->res && s->form == v->m.form && s->as == v->m.as &&
           s->beta == v->m.beta && s->include == v->include && s->type == type;
}

void frame_slots_drop(struct frame_slots *f)
{
    for (int i = 0; i < FRAME_SLOTS; i++) {
        f->slots[i].frame = cache_frame_unref(f->slots[i].frame);
        f->slots[i].obj = obj_unref(f->slots[i].obj);
    }
}

struct cache_frame *frame_shared(struct frame_slots *f, struct arena *mem, const struct view *v, const char *type,
                                 const struct obj *o, int64_t now_ms)
{
    for (int i = 0; i < FRAME_SLOTS; i++)
        if (same_form(&f->slots[i], v, type, o))
            return cache_frame_ref(f->slots[i].frame);
    struct cache_frame *frame = frame_obj(mem, v, /* headers= */ false, type, o, now_ms);
    if (!frame || frame->bytes.len > KEEP_BYTES_MAX)
        return frame;
    struct frame_slot *s = &f->slots[f->next];
    f->next = (f->next + 1) % FRAME_SLOTS;
    cache_frame_unref(s->frame);
    obj_unref(s->obj);
    *s = (struct frame_slot){obj_ref(o), v->res,  type,      v->include,
                             v->m.form,  v->m.as, v->m.beta, cache_frame_ref(frame)};
    return frame;
}
