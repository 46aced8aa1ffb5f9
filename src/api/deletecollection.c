/* api/deletecollection.c - DELETE of all that a selector means, a few at a time; answers the list of what it deleted.
 * Source: k8s.io/apiserver registry/generic/registry/store.go DeleteCollection. */
#include "api/internal.h"

enum { SWEEP_RUNNING_MAX = 16 };

struct sweep {
    struct arena *mem;
    struct api *api;
    struct api_req *r; /* NULL: the client is gone; what has begun goes on, the rest stays */
    const struct resource *res;
    const struct user *user;
    struct delete_opts o;
    struct obj **objs;    /* references */
    struct obj **deleted; /* references */
    int count, next, running, deleted_count;
    bool failed;
    struct err err;
};
struct sweep_item {
    struct sweep *s;
    struct write_req w;
};

static void sweep_free(struct sweep *s)
{
    for (int i = 0; i < s->count; i++)
        obj_unref(s->objs[i]);
    for (int i = 0; i < s->deleted_count; i++)
        obj_unref(s->deleted[i]);
    arena_free(s->mem);
}

static void on_abort(struct api_req *r)
{
    struct sweep *s = r->state;
    s->r = NULL;
}

static void finish(struct sweep *s)
{
    struct api_req *r = s->r;
    struct list_meta meta = {.rev = cache_rev(s->api->cache), .remaining = -1};
    if (r) {
        r->state = NULL;
        r->on_abort = NULL;
        if (s->failed)
            reply_status(r, &s->err);
        else
            list_send(r, s->deleted, s->deleted_count, &meta);
    }
    sweep_free(s);
}

static void step(struct sweep *s);

static void on_done(struct write_req *w, struct obj *obj, const struct err *err)
{
    struct sweep_item *item = w->ctx;
    struct sweep *s = item->s;
    if (!err) {
        s->deleted[s->deleted_count++] = obj_ref(obj);
    } else if (err->reason != ERR_NOT_FOUND && !s->failed) { /* gone already is as good */
        s->failed = true;
        err_copy(&s->err, err);
    }
    arena_free(w->mem);
    s->running--;
    step(s);
}

static void start(struct sweep *s, const struct obj *o)
{
    struct arena *mem = arena_new();
    struct sweep_item *item = arena_new_of(mem, struct sweep_item);
    item->s = s;
    item->w = (struct write_req){.mem = mem,
                                 .verb = WRITE_DELETE,
                                 .user = s->user,
                                 .res = s->res,
                                 .ns = o->ns,
                                 .name = o->name,
                                 .dry_run = s->o.dry_run,
                                 .grace_s = s->o.grace_s,
                                 .want_uid = s->o.want_uid,
                                 .want_rev = s->o.want_rev,
                                 .propagation = (unsigned)s->o.propagation,
                                 .done = on_done,
                                 .ctx = item};
    s->running++;
    write_start(s->api->writer, &item->w);
}

static void step(struct sweep *s)
{
    while (s->r && !s->failed && s->next < s->count && s->running < SWEEP_RUNNING_MAX)
        start(s, s->objs[s->next++]);
    if (!s->running)
        finish(s);
}

void handle_delete_collection(struct api_req *r)
{
    struct list_opts lo;
    struct delete_opts o;
    struct choice c;
    struct obj **objs;
    bool more;
    int64_t remaining;
    int count;
    if (list_options(r, &lo) < 0 || delete_options(r, &o) < 0 || choice_init(&c, r->res, &lo, &r->err) < 0 ||
        list_gather(r->api, r->mem, &c, list_prefix(r->mem, r->res, r->info.ns), STR_NULL, 0, lo.limit, &objs, &count,
                    &more, &remaining, &r->err) < 0) {
        reply_err(r);
        return;
    }
    struct arena *mem = arena_new();
    struct sweep *s = arena_new_of(mem, struct sweep);
    *s = (struct sweep){.mem = mem, .api = r->api, .r = r, .res = r->res, .user = user_copy(mem, r->user), .o = o};
    s->o.want_uid = str_dup(mem, o.want_uid);
    s->err = ERR(mem);
    s->objs = arena_array(mem, struct obj *, count + 1);
    s->deleted = arena_array(mem, struct obj *, count + 1);
    for (; s->count < count; s->count++)
        s->objs[s->count] = obj_ref(objs[s->count]);
    r->state = s;
    r->on_abort = on_abort;
    step(s);
}
