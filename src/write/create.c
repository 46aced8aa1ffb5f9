/* write/create.c - POST: an object that was not there before. */
#include "write/internal.h"

static void to_stored(struct pending *p, struct doc *obj)
{
    struct arena *mem = p->req->mem;
    if (p->req->res->to_stored)
        p->req->res->to_stored(mem, obj);
    doc_put_str(mem, obj, "apiVersion", str_of(p->stored->api_version));
    doc_put_str(mem, obj, "kind", str_of(p->stored->kind));
}

static void settle_name(struct pending *p, struct doc *meta)
{
    struct write_req *r = p->req;
    struct str prefix = doc_str(meta, "generateName");
    if (!doc_str(meta, "name").len && prefix.len) {
        r->name = meta_generate_name(p, prefix);
        r->priv[1] = r; /* a lost race may be tried again under another name */
        p->key = obj_key(r->mem, p->stored, r->ns, r->name);
    }
    if (r->name.len)
        doc_put_str(r->mem, meta, "name", r->name);
}

void create_attempt(struct pending *p)
{
    struct write_req *r = p->req;
    struct doc *obj = doc_copy(r->mem, r->body), *meta = doc_sub(r->mem, obj, "metadata");
    if (r->priv[1])
        doc_del(meta, "name"); /* the name drawn before was taken */
    if (meta_check_create(p, obj) < 0) {
        pending_fail(p);
        return;
    }
    settle_name(p, meta);
    schema_drop_gated(r->res->type, obj, NULL);
    schema_default(r->mem, r->res, obj);
    to_stored(p, obj);
    meta_stamp_create(p, obj);
    strategy_create(p, obj);
    if (p->stored->prepare_create) {
        struct rule_ctx c = {.mem = r->mem, .err = &p->err, .res = p->stored, .root = obj, .warnings = r->warnings};
        p->stored->prepare_create(&c, obj);
    }
    if (service_ips_assign(p, obj, NULL) < 0 || judge(p, WRITE_CREATE, obj, NULL) < 0) {
        pending_fail(p);
        return;
    }
    if (p->old) {
        err_already_exists(&p->err, str_of(r->res->group), str_of(r->res->name), r->name);
        pending_fail(p);
        return;
    }
    schema_order(r->mem, p->stored->type, obj);
    struct obj *sealed = obj_seal(p->stored, obj, 0, &p->err);
    if (!sealed)
        pending_fail(p);
    else
        pending_commit(p, STORE_PUT, sealed, p->stored->volatile_writes);
}
