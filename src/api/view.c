/* api/view.c - an object at rest in the form a client wants: its own bytes where that is possible, else converted. */
#include "api/internal.h"

struct str view_head(struct arena *mem, const struct resource *res)
{
    return str_fmt(mem, "{\"kind\":\"%s\",\"apiVersion\":\"%s\",", res->kind, res->api_version);
}

struct str view_body(const struct obj *o, struct str stored_head)
{
    return str_starts(o->json, stored_head) ? str_from(o->json, stored_head.len) : STR_NULL;
}

static bool is_swap(const struct resource *res) /* nothing but kind and apiVersion differs from the bytes at rest */
{
    return !res->from_stored;
}

bool view_is_raw(const struct view *v)
{
    return v->m.form == MEDIA_JSON && v->m.as == AS_IS && !v->m.pretty && !v->res->stored_as;
}

struct doc *view_doc(struct arena *mem, const struct resource *res, const struct obj *o)
{
    struct doc *d = obj_doc(mem, o);
    if (o->res == res)
        return d;
    if (res->from_stored)
        res->from_stored(mem, d);
    doc_put_str(mem, d, "apiVersion", str_of(res->api_version));
    doc_put_str(mem, d, "kind", str_of(res->kind));
    return d;
}

/* The end of the object that begins at s: one pass that knows strings and braces. 0: none. */
static size_t object_end(struct str s)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{') {
            depth++;
        } else if (c == '}' && --depth == 0) {
            return i + 1;
        }
    }
    return 0;
}

struct str view_metadata(struct arena *mem, const struct obj *o)
{
    struct str key = STR("\"metadata\":"), body = view_body(o, view_head(mem, o->res));
    if (body.ptr && str_starts(body, key)) {
        struct str meta = str_from(body, key.len);
        size_t end = object_end(meta);
        if (end)
            return str_head(meta, end);
    }
    const struct doc *meta = doc_get(obj_doc(mem, o), "metadata");
    return meta ? doc_json(mem, meta) : STR("{}");
}

static const char *partial_version(const struct view *v)
{
    return v->m.beta ? "meta.k8s.io/v1beta1" : "meta.k8s.io/v1";
}

static struct doc *partial_doc(struct arena *tmp, const struct view *v, const struct obj *o)
{
    struct doc *d = doc_new_object(tmp);
    struct err ignored = ERR(tmp);
    doc_put_str(tmp, d, "kind", STR("PartialObjectMetadata"));
    doc_put_str(tmp, d, "apiVersion", str_of(partial_version(v)));
    struct doc *meta = doc_parse(tmp, view_metadata(tmp, o), NULL, &ignored);
    doc_put(tmp, d, "metadata", meta ? meta : doc_new_object(tmp));
    return d;
}

static void put_partial_json(struct arena *tmp, const struct view *v, const struct obj *o, struct sb *out)
{
    sb_addf(out, "{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"%s\",\"metadata\":", partial_version(v));
    sb_add(out, view_metadata(tmp, o));
    sb_addc(out, '}');
}

/* The whole object as JSON, in the version of the view. */
static void put_json(struct arena *tmp, const struct view *v, const struct obj *o, struct sb *out)
{
    if (o->res == v->res) {
        sb_add(out, o->json);
        return;
    }
    struct str body = is_swap(v->res) ? view_body(o, view_head(tmp, o->res)) : STR_NULL;
    if (body.ptr) {
        sb_add(out, view_head(tmp, v->res));
        sb_add(out, body);
        return;
    }
    struct doc *d = view_doc(tmp, v->res, o);
    schema_order(tmp, v->res->type, d);
    doc_json_sb(out, d);
}

int view_put(struct arena *tmp, const struct view *v, const struct obj *o, int64_t now_ms, struct sb *out)
{
    bool partial = v->m.as == AS_PARTIAL || v->m.as == AS_PARTIAL_LIST;
    if (v->m.as == AS_TABLE) {
        table_row(tmp, v, o, NULL, now_ms, out);
        return 0;
    }
    if (v->m.form == MEDIA_JSON) {
        if (partial)
            put_partial_json(tmp, v, o, out);
        else
            put_json(tmp, v, o, out);
        return 0;
    }
    struct doc *d = partial ? partial_doc(tmp, v, o) : view_doc(tmp, v->res, o);
    if (v->m.form == MEDIA_PB)
        return schema_encode_pb(out, partial ? schema_type("meta.v1.PartialObjectMetadata") : v->res->type, d);
    doc_yaml(out, d);
    return 0;
}

int view_put_item(struct arena *tmp, const struct view *v, const struct obj *o, int64_t now_ms, struct sb *out)
{
    bool partial = v->m.as == AS_PARTIAL || v->m.as == AS_PARTIAL_LIST;
    if (v->m.as == AS_TABLE || (v->m.form == MEDIA_JSON && partial))
        return view_put(tmp, v, o, now_ms, out);
    if (v->m.form == MEDIA_PB) {
        struct doc *d = partial ? partial_doc(tmp, v, o) : view_doc(tmp, v->res, o);
        return schema_encode_pb_message(out, partial ? schema_type("meta.v1.PartialObjectMetadata") : v->res->type, d);
    }
    struct str body = is_swap(v->res) || o->res == v->res ? view_body(o, view_head(tmp, o->res)) : STR_NULL;
    if (body.ptr) { /* typed lists leave kind and apiVersion of their items out */
        sb_addc(out, '{');
        sb_add(out, body);
        return 0;
    }
    struct doc *d = view_doc(tmp, v->res, o);
    schema_order(tmp, v->res->type, d);
    doc_del(d, "kind");
    doc_del(d, "apiVersion");
    doc_json_sb(out, d);
    return 0;
}
