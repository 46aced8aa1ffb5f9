/* write/simple.c - the forms of a write that reconcilers use: everything in an arena of its own. */
#include "doc/patch.h"
#include "write/internal.h"

struct simple {
    struct write_req req;
    write_result_fn *done;
    void *ctx;
    const struct doc *patch;
};

static void on_done(struct write_req *r, struct obj *obj, const struct err *err)
{
    struct simple *s = r->ctx;
    if (s->done)
        s->done(s->ctx, obj, err);
    arena_free(r->mem); /* s with it */
}

static struct simple *simple_new(const struct user *user, const struct resource *res, write_result_fn *done, void *ctx)
{
    struct arena *mem = arena_new();
    struct simple *s = arena_new_of(mem, struct simple);
    s->done = done, s->ctx = ctx;
    s->req = (struct write_req){.mem = mem, .user = user, .res = res, .grace_s = -1, .done = on_done, .ctx = s};
    return s;
}

void write_create(struct writer *w, const struct user *user, const struct resource *res, struct str ns,
                  const struct doc *body, write_result_fn *done, void *ctx)
{
    struct simple *s = simple_new(user, res, done, ctx);
    s->req.verb = WRITE_CREATE;
    s->req.ns = str_dup(s->req.mem, ns);
    s->req.body = doc_copy_deep(s->req.mem, body);
    write_start(w, &s->req);
}

void write_update(struct writer *w, const struct user *user, const struct resource *res, const char *sub,
                  const struct doc *body, write_result_fn *done, void *ctx)
{
    struct simple *s = simple_new(user, res, done, ctx);
    struct doc *copy = doc_copy_deep(s->req.mem, body), *meta = doc_get(copy, "metadata");
    s->req.verb = WRITE_UPDATE;
    s->req.sub = sub ? resource_subresource(res, str_of(sub)) : NULL;
    s->req.ns = res->namespaced ? doc_str(meta, "namespace") : STR_NULL;
    s->req.name = doc_str(meta, "name");
    s->req.body = copy;
    write_start(w, &s->req);
}

static struct doc *apply_merge(struct write_req *r, struct doc *current, struct err *err)
{
    const struct simple *s = r->ctx;
    return merge_patch(r->mem, current, doc_copy(r->mem, s->patch));
}

void write_merge(struct writer *w, const struct user *user, const struct resource *res, const char *sub, struct str ns,
                 struct str name, const struct doc *patch, write_result_fn *done, void *ctx)
{
    struct simple *s = simple_new(user, res, done, ctx);
    s->req.verb = WRITE_PATCH;
    s->req.sub = sub ? resource_subresource(res, str_of(sub)) : NULL;
    s->req.ns = str_dup(s->req.mem, ns);
    s->req.name = str_dup(s->req.mem, name);
    s->patch = doc_copy_deep(s->req.mem, patch);
    s->req.mutate = apply_merge;
    write_start(w, &s->req);
}

void write_delete(struct writer *w, const struct user *user, const struct resource *res, struct str ns, struct str name,
                  struct str want_uid, int64_t grace_s, write_result_fn *done, void *ctx)
{
    struct simple *s = simple_new(user, res, done, ctx);
    s->req.verb = WRITE_DELETE;
    s->req.ns = str_dup(s->req.mem, ns);
    s->req.name = str_dup(s->req.mem, name);
    s->req.want_uid = str_dup(s->req.mem, want_uid);
    s->req.grace_s = grace_s;
    s->req.propagation = PROPAGATE_BACKGROUND;
    write_start(w, &s->req);
}
