/* api/reply.c - one object or document as an answer. */
#include "api/internal.h"

static void release_obj(void *owner)
{
    obj_unref(owner);
}

void reply_json(struct api_req *r, int code, struct str json)
{
    exchange_reply(r->x, code, "application/json", json);
}

static struct str pretty(struct arena *mem, const struct doc *d)
{
    struct sb b = SB(mem);
    doc_json_pretty(&b, d, 2);
    sb_addc(&b, '\n');
    return sb_str(&b);
}

static void reply_table(struct api_req *r, int code, const struct obj *o, struct view *v)
{
    struct sb b = SB(r->mem);
    if (table_include(&r->query, &v->include, &r->err) < 0) {
        reply_err(r);
        return;
    }
    sb_addf(&b, "{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/%s\",\"metadata\":{", v->m.beta ? "v1beta1" : "v1");
    if (o->rev)
        sb_addf(&b, "\"resourceVersion\":\"%llu\"", (unsigned long long)o->rev);
    sb_addz(&b, "},");
    table_columns(&b, r->res);
    sb_addz(&b, ",\"rows\":[");
    view_put(r->mem, v, o, loop_wall_ms(r->api->loop), &b);
    sb_addz(&b, "]}\n");
    exchange_reply(r->x, code, media_type(&v->m), sb_str(&b));
}

void reply_obj(struct api_req *r, int code, const struct obj *o)
{
    struct view v = {.res = r->res, .m = r->out};
    if (view_is_raw(&v)) {
        exchange_reply_buf(r->x, code, "application/json", (struct stream_buf){o->json, release_obj, obj_ref(o)});
        return;
    }
    if (v.m.as == AS_TABLE) {
        reply_table(r, code, o, &v);
        return;
    }
    struct sb b = SB(r->mem);
    if (view_put(r->mem, &v, o, 0, &b) < 0) {
        err_set(&r->err, ERR_NOT_ACCEPTABLE, "the object has no %s form", media_type(&v.m));
        r->out = (struct media){0};
        reply_err(r);
        return;
    }
    struct str body = sb_str(&b);
    struct err ignored = ERR(r->mem);
    const struct doc *d = v.m.pretty && v.m.form == MEDIA_JSON ? doc_parse(r->mem, body, NULL, &ignored) : NULL;
    exchange_reply(r->x, code, media_type(&v.m), d ? pretty(r->mem, d) : body);
}

void reply_doc(struct api_req *r, int code, const struct type *t, struct doc *d)
{
    struct sb b = SB(r->mem);
    struct media m = r->out;
    m.stream = false;
    if (m.form == MEDIA_PB && t && schema_encode_pb(&b, t, d) == 0) {
        exchange_reply(r->x, code, media_type(&m), sb_str(&b));
        return;
    }
    if (m.form == MEDIA_YAML) {
        doc_yaml(&b, d);
        exchange_reply(r->x, code, media_type(&m), sb_str(&b));
        return;
    }
    if (m.pretty) {
        reply_json(r, code, pretty(r->mem, d));
        return;
    }
    doc_json_sb(&b, d);
    sb_addc(&b, '\n');
    reply_json(r, code, sb_str(&b));
}
