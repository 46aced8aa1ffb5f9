/* write/bind.c - a pod gets its node. */
#include "write/bind.h"
#include "write/internal.h"

bool put_condition(struct arena *mem, struct doc *obj, const char *type, const char *status, struct str reason,
                   struct str message, struct str now)
{
    struct doc *conditions = doc_sub_array(mem, doc_sub(mem, obj, "status"), "conditions"), *c = NULL;
    doc_each (each, conditions)
        if (str_is(doc_str(each, "type"), type))
            c = each;
    bool is_new = !c, moved = is_new || !str_is(doc_str(c, "status"), status);
    if (is_new) {
        c = doc_push(conditions, doc_new_object(mem));
        doc_put_str(mem, c, "type", str_of(type));
    }
    bool changed = moved || !str_eq(doc_str(c, "reason"), reason) || !str_eq(doc_str(c, "message"), message);
    doc_put_str(mem, c, "status", str_of(status));
    if (moved)
        doc_put_str(mem, c, "lastTransitionTime", now);
    if (reason.len)
        doc_put_str(mem, c, "reason", reason);
    else
        doc_del(c, "reason");
    if (message.len)
        doc_put_str(mem, c, "message", message);
    else
        doc_del(c, "message");
    return changed;
}

/* Why the pod can't take a node; NULL: it can. */
static const char *refusal(struct arena *mem, const struct doc *pod, struct str want_uid)
{
    const struct doc *meta = doc_get(pod, "metadata"), *spec = doc_get(pod, "spec");
    struct str name = doc_str(meta, "name"), present = doc_str(spec, "nodeName"), uid = doc_str(meta, "uid");
    if (want_uid.len && !str_eq(want_uid, uid))
        return str_fmtz(mem, "Precondition failed: UID in precondition: " STR_FMT ", UID in object meta: " STR_FMT,
                        STR_ARG(want_uid), STR_ARG(uid));
    if (doc_str(meta, "deletionTimestamp").len)
        return str_fmtz(mem, "pod " STR_FMT " is being deleted, cannot be assigned to a host", STR_ARG(name));
    if (present.len)
        return str_fmtz(mem, "pod " STR_FMT " is already assigned to node " STR_FMT, STR_ARG(name),
                        STR_ARG(str_quote(mem, present)));
    if (doc_len(doc_get(spec, "schedulingGates")))
        return str_fmtz(mem, "pod " STR_FMT " has non-empty .spec.schedulingGates", STR_ARG(name));
    return NULL;
}

static void merge(struct arena *mem, struct doc *meta, const struct doc *from, const char *key)
{
    doc_each (m, doc_get(from, key))
        doc_set(doc_sub(mem, meta, key), m->key, doc_copy(mem, m));
}

int bind_pod(struct arena *mem, struct doc *pod, struct str node, const struct doc *binding, struct str now,
             struct err *err)
{
    struct doc *meta = doc_sub(mem, pod, "metadata");
    const char *why = refusal(mem, pod, doc_str(binding, "uid"));
    if (why)
        return err_conflict(err, STR(""), STR("pods/binding"), doc_str(meta, "name"), why);
    doc_put_str(mem, doc_sub(mem, pod, "spec"), "nodeName", node);
    merge(mem, meta, binding, "annotations");
    merge(mem, meta, binding, "labels");
    put_condition(mem, pod, "PodScheduled", "True", STR_NULL, STR_NULL, now);
    return 0;
}

struct bind {
    struct write_req req;
    struct writer *w;
    struct str node;
    write_result_fn *done;
    void *ctx;
};

static struct doc *mutate(struct write_req *r, struct doc *current, struct err *err)
{
    struct bind *b = r->ctx;
    struct str now = meta_time(r->mem, loop_wall_ms(b->w->loop));
    return bind_pod(r->mem, current, b->node, NULL, now, err) < 0 ? NULL : current;
}

static void on_done(struct write_req *r, struct obj *obj, const struct err *err)
{
    struct bind *b = r->ctx;
    if (b->done)
        b->done(b->ctx, obj, err);
    arena_free(r->mem);
}

void write_bind(struct writer *w, const struct user *user, struct str ns, struct str name, struct str want_uid,
                struct str node, write_result_fn *done, void *ctx)
{
    struct arena *mem = arena_new();
    struct bind *b = arena_new_of(mem, struct bind);
    const struct resource *pods = schema_stored("", "pods");
    b->w = w, b->node = str_dup(mem, node), b->done = done, b->ctx = ctx;
    b->req = (struct write_req){.mem = mem,
                                .verb = WRITE_PATCH,
                                .user = user,
                                .res = pods,
                                .sub = resource_subresource(pods, STR("binding")),
                                .ns = str_dup(mem, ns),
                                .name = str_dup(mem, name),
                                .want_uid = str_dup(mem, want_uid),
                                .mutate = mutate,
                                .done = on_done,
                                .ctx = b};
    write_start(w, &b->req);
}
