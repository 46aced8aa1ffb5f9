/* write/update.c - PUT and PATCH: read what is, change it, compare and swap. */
#include "write/internal.h"

#include <assert.h>

/* A document of the stored kind as the client's version shows it. */
static struct doc *in_version(struct pending *p, const struct doc *stored)
{
    struct write_req *r = p->req;
    struct doc *d = doc_copy(r->mem, stored);
    if (r->res != p->stored) {
        if (r->res->from_stored)
            r->res->from_stored(r->mem, d);
        doc_put_str(r->mem, d, "apiVersion", str_of(r->res->api_version));
        doc_put_str(r->mem, d, "kind", str_of(r->res->kind));
    }
    return d;
}

static int check_identity(struct pending *p, const struct doc *meta)
{
    struct write_req *r = p->req;
    struct str name = doc_str(meta, "name"), ns = doc_str(meta, "namespace");
    if (!str_eq(name, r->name))
        return name.len
                   ? err_set(&p->err, ERR_BAD_REQUEST,
                             "the name of the object (" STR_FMT ") does not match the name on the URL (" STR_FMT ")",
                             STR_ARG(name), STR_ARG(r->name))
                   : err_set(&p->err, ERR_BAD_REQUEST, "name must be provided");
    if (r->res->namespaced && ns.len && !str_eq(ns, r->ns))
        return err_set(&p->err, ERR_BAD_REQUEST,
                       "the namespace of the provided object does not match the namespace sent on the request");
    return 0;
}

static int check_preconditions(struct pending *p, const struct doc *meta)
{
    struct write_req *r = p->req;
    struct str group = str_of(r->res->group), resource = str_of(r->res->name);
    struct str rev = doc_str(meta, "resourceVersion"), uid = doc_str(meta, "uid");
    uint64_t want = r->want_rev;
    if (rev.len && !str_is(rev, "0") && !str_to_u64(rev, &want)) {
        static const struct fpath metadata = {NULL, "metadata", 0, {0}}, at = {&metadata, "resourceVersion", 0, {0}};
        err_cause_str(&p->err, CAUSE_INVALID, &at, rev, "must be an unsigned integer");
        return err_invalid(&p->err, group, str_of(r->res->kind), r->name);
    }
    if (want && want != p->old->rev)
        return err_conflict(
            &p->err, group, resource, r->name,
            "the object has been modified; please apply your changes to the latest version and try again");
    if (r->want_uid.len)
        uid = r->want_uid;
    if (uid.len && !str_eq(uid, p->old->uid))
        return err_conflict(
            &p->err, group, resource, r->name,
            str_fmtz(r->mem, "Precondition failed: UID in precondition: " STR_FMT ", UID in object meta: " STR_FMT,
                     STR_ARG(uid), STR_ARG(p->old->uid)));
    return 0;
}

/* metadata.generation moves when something outside metadata and status moved. */
static void move_generation(struct pending *p, struct doc *obj, const struct doc *old)
{
    if (!p->stored->has_generation)
        return;
    bool moved = false;
    doc_each (m, obj)
        if (!str_is(m->key, "metadata") && !str_is(m->key, "status") && !doc_eq(m, doc_get_str(old, m->key)))
            moved = true;
    doc_each (m, old)
        if (!str_is(m->key, "metadata") && !str_is(m->key, "status") && !doc_get_str(obj, m->key))
            moved = true;
    int64_t generation = doc_int(doc_get(old, "metadata"), "generation", 0);
    if (moved || generation)
        doc_put_int(p->req->mem, doc_get(obj, "metadata"), "generation", generation + moved);
    if (moved && !generation) /* a member of its own, put last */
        schema_order(p->req->mem, p->stored->type, obj);
}

/* The last finalizer of an object that is being deleted is gone: it goes too. */
static bool is_finished(const struct pending *p, const struct doc *obj)
{
    const struct doc *meta = doc_get(obj, "metadata");
    if (!doc_str(meta, "deletionTimestamp").len || doc_len(doc_get(meta, "finalizers")) ||
        doc_int(meta, "deletionGracePeriodSeconds", 0) > 0)
        return false;
    return strcmp(p->stored->kind, "Namespace") != 0 || !doc_len(doc_path(obj, "spec", "finalizers", NULL));
}

static void commit(struct pending *p, struct doc *obj, const struct doc *old)
{
    struct write_req *r = p->req;
    bool finished = is_finished(p, obj);
    if (!finished && doc_eq(obj, old)) {
        r->unchanged = true;
        pending_finish(p, obj_ref(p->old));
        return;
    }
    if (finished && service_ips_assign(p, NULL, old) < 0) {
        pending_fail(p);
        return;
    }
    struct obj *sealed = obj_seal(p->stored, obj, 0, &p->err);
    if (!sealed) {
        pending_fail(p);
        return;
    }
    pending_commit(p, finished ? STORE_DELETE : STORE_PUT, sealed, !finished && strategy_is_volatile(p, obj, old));
}

void update_attempt(struct pending *p)
{
    struct write_req *r = p->req;
    if (!p->old) {
        if (r->verb == WRITE_UPDATE && r->create_if_absent && !r->sub) {
            r->created = true;
            create_attempt(p);
            return;
        }
        err_not_found(&p->err, str_of(r->res->group), str_of(r->res->name), r->name);
        pending_fail(p);
        return;
    }
    struct doc *old = obj_doc(r->mem, p->old);
    struct doc *obj = r->verb == WRITE_PATCH ? r->mutate(r, in_version(p, old), &p->err) : doc_copy(r->mem, r->body);
    if (!obj) {
        pending_fail(p);
        return;
    }
    struct doc *meta = doc_sub(r->mem, obj, "metadata");
    if (check_identity(p, meta) < 0 || check_preconditions(p, meta) < 0) {
        pending_fail(p);
        return;
    }
    schema_drop_gated(r->res->type, obj, r->res == p->stored ? old : in_version(p, old));
    schema_default(r->mem, r->res, obj);
    if (r->res->to_stored)
        r->res->to_stored(r->mem, obj);
    doc_put_str(r->mem, obj, "apiVersion", str_of(p->stored->api_version));
    doc_put_str(r->mem, obj, "kind", str_of(p->stored->kind));
    schema_default(r->mem, p->stored, old); /* an object older than a default is not changed by it */
    meta_keep_on_update(r->mem, obj, old);
    strategy_update(p, obj, old);
    if (p->stored->prepare_update) {
        struct rule_ctx c = {.mem = r->mem,
                             .err = &p->err,
                             .res = p->stored,
                             .sub = r->sub,
                             .root = obj,
                             .old_root = old,
                             .warnings = r->warnings};
        p->stored->prepare_update(&c, obj, old);
    }
    if (service_ips_assign(p, obj, old) < 0 || judge(p, r->verb, obj, old) < 0) {
        pending_fail(p);
        return;
    }
    schema_order(r->mem, p->stored->type, obj); /* first: an empty list may be kept as null, which is no change */
    move_generation(p, obj, old);
    commit(p, obj, old);
}
