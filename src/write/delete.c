/* write/delete.c - DELETE: at once, after a grace period, or when the last finalizer is gone.
 *
 * Source: apiserver registry/generic/registry/store.go, registry/rest/delete.go; for pods
 * registry/core/pod/strategy.go. */
#include "write/internal.h"

static int check_preconditions(struct pending *p)
{
    struct write_req *r = p->req;
    struct str group = str_of(r->res->group), resource = str_of(r->res->name);
    if (r->want_uid.len && !str_eq(r->want_uid, p->old->uid))
        return err_conflict(
            &p->err, group, resource, r->name,
            str_fmtz(r->mem, "Precondition failed: UID in precondition: " STR_FMT ", UID in object meta: " STR_FMT,
                     STR_ARG(r->want_uid), STR_ARG(p->old->uid)));
    if (r->want_rev && r->want_rev != p->old->rev)
        return err_conflict(
            &p->err, group, resource, r->name,
            str_fmtz(r->mem,
                     "Precondition failed: ResourceVersion in precondition: %llu, ResourceVersion in object meta: %llu",
                     (unsigned long long)r->want_rev, (unsigned long long)p->old->rev));
    return 0;
}

/* Seconds a Pod is given; 0: it goes now. */
static int64_t pod_grace_s(const struct pending *p, const struct doc *obj)
{
    const struct doc *spec = doc_get(obj, "spec"), *status = doc_get(obj, "status");
    struct str phase = doc_str(status, "phase");
    int64_t grace = p->req->grace_s >= 0 ? p->req->grace_s : doc_int(spec, "terminationGracePeriodSeconds", 30);
    if (!doc_str(spec, "nodeName").len || str_is(phase, "Succeeded") || str_is(phase, "Failed"))
        return 0;
    return grace;
}

static bool has_finalizer(const struct doc *meta, const char *name)
{
    doc_each (f, doc_get(meta, "finalizers"))
        if (str_is(doc_string(f), name))
            return true;
    return false;
}

static void set_finalizer(struct arena *mem, struct doc *meta, const char *name, bool wanted)
{
    struct doc *list = doc_sub_array(mem, meta, "finalizers");
    for (struct doc *f = doc_first(list), *next; f; f = next) {
        next = f->next;
        if (str_is(doc_string(f), name)) {
            if (wanted)
                return;
            doc_remove(list, f);
        }
    }
    if (wanted)
        doc_push(list, doc_new_str(mem, str_of(name)));
    if (!doc_len(list))
        doc_del(meta, "finalizers");
}

/* ReplicationControllers, and Jobs of batch/v1, leave their pods alone unless asked. */
static bool orphans_by_default(const struct resource *r)
{
    return !strcmp(r->name, "replicationcontrollers") || !strcmp(r->name, "jobs");
}

static void settle_propagation(struct pending *p, struct doc *meta)
{
    struct arena *mem = p->req->mem;
    int how = p->req->propagation;
    if (how == PROPAGATE_DEFAULT) {
        if (has_finalizer(meta, "orphan") || has_finalizer(meta, "foregroundDeletion"))
            return; /* what was asked before stands */
        how = orphans_by_default(p->stored) ? PROPAGATE_ORPHAN : PROPAGATE_BACKGROUND;
    }
    set_finalizer(mem, meta, "orphan", how == PROPAGATE_ORPHAN);
    set_finalizer(mem, meta, "foregroundDeletion", how == PROPAGATE_FOREGROUND);
}

static void mark_deleting(struct pending *p, struct doc *obj, int64_t grace_s)
{
    struct arena *mem = p->req->mem;
    struct doc *meta = doc_get(obj, "metadata");
    bool first = !doc_str(meta, "deletionTimestamp").len;
    if (first || grace_s < doc_int(meta, "deletionGracePeriodSeconds", 0)) {
        int64_t now = loop_wall_ms(p->w->loop);
        doc_put_str(mem, meta, "deletionTimestamp", meta_time(mem, now + grace_s * 1000));
        doc_put_int(mem, meta, "deletionGracePeriodSeconds", grace_s);
    }
    if (first && doc_int(meta, "generation", 0) > 0)
        doc_put_int(mem, meta, "generation", doc_int(meta, "generation", 0) + 1);
    if (!strcmp(p->stored->kind, "Namespace"))
        doc_put_str(mem, doc_sub(mem, obj, "status"), "phase", STR("Terminating"));
}

void delete_attempt(struct pending *p)
{
    struct write_req *r = p->req;
    if (!p->old) {
        err_not_found(&p->err, str_of(r->res->group), str_of(r->res->name), r->name);
        pending_fail(p);
        return;
    }
    struct doc *old = obj_doc(r->mem, p->old), *obj = doc_copy(r->mem, old), *meta = doc_get(obj, "metadata");
    if (check_preconditions(p) < 0 || admission_run(p, WRITE_DELETE, NULL, old, /* mutate= */ false) < 0) {
        pending_fail(p);
        return;
    }
    bool is_pod = !strcmp(p->stored->kind, "Pod"), is_namespace = !strcmp(p->stored->kind, "Namespace");
    int64_t grace_s = is_pod ? pod_grace_s(p, obj) : 0;
    settle_propagation(p, meta);
    bool kept = grace_s > 0 || doc_len(doc_get(meta, "finalizers")) ||
                (is_namespace && doc_len(doc_path(obj, "spec", "finalizers", NULL)));
    if (kept || !doc_str(meta, "deletionTimestamp").len)
        mark_deleting(p, obj, grace_s);
    else
        doc_put_int(r->mem, meta, "deletionGracePeriodSeconds", 0);
    schema_order(r->mem, p->stored->type, obj);
    if (kept && doc_eq(obj, old)) {
        r->unchanged = true;
        pending_finish(p, obj_ref(p->old));
        return;
    }
    if (!kept && service_ips_assign(p, NULL, old) < 0) {
        pending_fail(p);
        return;
    }
    r->gone = !kept;
    struct obj *sealed = obj_seal(p->stored, obj, 0, &p->err);
    if (!sealed)
        pending_fail(p);
    else
        pending_commit(p, kept ? STORE_PUT : STORE_DELETE, sealed, /* is_volatile= */ false);
}
