/* api/write.c - a write on its way through write/: it goes on when its client has gone, so it owns all it needs. */
#include "api/internal.h"
#include "schema/times.h"

const struct user *user_copy(struct arena *mem, const struct user *u)
{
    struct user *c = arena_new_of(mem, struct user);
    *c = (struct user){.name = str_dup(mem, u->name), .uid = str_dup(mem, u->uid)};
    c->groups = arena_array(mem, struct str, u->group_count + 1);
    for (; c->group_count < u->group_count; c->group_count++)
        c->groups[c->group_count] = str_dup(mem, u->groups[c->group_count]);
    c->extra = arena_array(mem, struct user_extra, u->extra_count + 1);
    for (; c->extra_count < u->extra_count; c->extra_count++) {
        const struct user_extra *from = &u->extra[c->extra_count];
        struct user_extra *to = &c->extra[c->extra_count];
        to->key = str_dup(mem, from->key);
        to->values = arena_array(mem, struct str, from->count + 1);
        for (; to->count < from->count; to->count++)
            to->values[to->count] = str_dup(mem, from->values[to->count]);
    }
    return c;
}

void write_job_free(struct write_job *j)
{
    if (j->r)
        j->r->job = NULL;
    arena_free(j->mem);
}

/* What was not written has no revision: a new object shows none, a changed one that of what stands. */
static void reply_dry(struct write_job *j, const struct obj *o)
{
    struct api_req *r = j->r;
    const struct obj *now = cache_find(r->api->cache, j->w.res, o->ns, o->name);
    cleanup_obj struct obj *shown = now ? obj_load(o->res, o->json, now->rev) : NULL;
    if (shown) {
        reply_obj(r, j->code, shown);
        return;
    }
    struct doc *d = view_doc(r->mem, r->res, o);
    doc_del(doc_get(d, "metadata"), "resourceVersion");
    reply_doc(r, j->code, r->res->type, d);
}

static void on_done(struct write_req *w, struct obj *obj, const struct err *err)
{
    struct write_job *j = w->ctx;
    struct api_req *r = j->r;
    if (!err && j->then) {
        void (*then)(struct write_job *, struct obj *) = j->then;
        j->then = NULL;
        then(j, obj);
        return;
    }
    if (r) {
        r->job = NULL;
        set_warnings(r, &j->warnings);
        if (err)
            reply_status(r, err);
        else if (j->answer)
            j->answer(j, obj);
        else if (w->dry_run && !obj->rev)
            reply_dry(j, obj);
        else
            reply_obj(r, w->created ? 201 : j->code, obj);
        j->r = NULL;
    }
    write_job_free(j);
}

struct write_job *write_job_new(struct api_req *r, enum write_verb verb)
{
    struct arena *mem = arena_new();
    struct write_job *j = arena_new_of(mem, struct write_job);
    *j = (struct write_job){.mem = mem, .r = r, .api = r->api, .code = verb == WRITE_CREATE ? 201 : 200};
    j->body = str_dup(mem, r->x->body);
    j->w = (struct write_req){.mem = mem,
                              .verb = verb,
                              .user = user_copy(mem, r->user),
                              .res = r->res,
                              .sub = r->sub,
                              .ns = str_dup(mem, r->info.ns),
                              .name = str_dup(mem, r->info.name),
                              .warnings = &j->warnings,
                              .grace_s = -1,
                              .done = on_done,
                              .ctx = j};
    r->job = j;
    return j;
}

void write_job_start(struct write_job *j)
{
    write_start(j->api->writer, &j->w);
}

void write_job_fail(struct write_job *j, const struct err *err)
{
    struct api_req *r = j->r;
    r->job = NULL;
    set_warnings(r, &j->warnings);
    reply_status(r, err);
    j->r = NULL;
    write_job_free(j);
}
