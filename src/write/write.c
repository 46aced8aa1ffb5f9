/* write/write.c - one request from start to answer: its turn on the key, attempts, the commit. */
#include "write/internal.h"

#include <assert.h>
#include <errno.h>

#include "base/log.h"

struct writer *writer_new(const struct writer_opts *o)
{
    struct writer *w = calloc(1, sizeof(*w));
    if (!w)
        abort(); /* at start */
    w->loop = o->loop, w->cache = o->cache, w->store = o->store;
    w->service_ips = service_ips_new(w, o->service_cidr, o->node_port_min, o->node_port_max);
    w->recorder = recorder_new(w);
    return w;
}

struct writer *writer_free(struct writer *w)
{
    if (!w)
        return NULL;
    recorder_free(w->recorder);
    service_ips_free(w->service_ips);
    map_done(&w->busy);
    free(w);
    return NULL;
}

bool writer_idle(const struct writer *w)
{
    return w->under_way == 0;
}

struct str write_time(struct arena *mem, int64_t wall_ms)
{
    return meta_time(mem, wall_ms);
}

struct str write_now(const struct writer *w, struct arena *mem)
{
    return meta_time(mem, loop_wall_ms(w->loop));
}

const struct resource *stored_of(const struct resource *r)
{
    return r->stored_as ? r->stored_as : r;
}

bool user_in_group(const struct user *u, const char *group)
{
    for (int i = 0; u && i < u->group_count; i++)
        if (str_is(u->groups[i], group))
            return true;
    return false;
}

static void attempt(struct pending *p)
{
    p->extra_count = 0;
    p->old = obj_unref(p->old);
    const struct obj *old = cache_get(p->w->cache, p->key);
    if (old)
        p->old = obj_ref(old);
    switch (p->req->verb) {
    case WRITE_CREATE:
        create_attempt(p);
        break;
    case WRITE_UPDATE:
    case WRITE_PATCH:
        update_attempt(p);
        break;
    case WRITE_DELETE:
        delete_attempt(p);
        break;
    }
}

static void on_start(struct loop_task *t)
{
    attempt(container_of(t, struct pending, start));
}

/* Give the key to the next in line. */
static void pass_key(struct pending *p)
{
    if (!p->key.len || map_get(&p->w->busy, p->key) != p)
        return;
    map_del(&p->w->busy, p->key);
    if (list_empty(&p->waiting))
        return;
    struct pending *next = container_of(p->waiting.next, struct pending, link);
    list_remove(&next->link);
    while (!list_empty(&p->waiting)) {
        struct list *l = p->waiting.next;
        list_remove(l);
        list_add_tail(&next->waiting, l);
    }
    map_put(&next->w->busy, next->key, next);
    loop_post(next->w->loop, &next->start);
}

/* True when the key is ours now; else the request waits and starts later. */
static bool take_key(struct pending *p)
{
    struct pending *holder = map_get(&p->w->busy, p->key);
    if (!holder) {
        map_put(&p->w->busy, p->key, p);
        return true;
    }
    list_add_tail(&holder->waiting, &p->link);
    return false;
}

static void on_finish(struct loop_task *t)
{
    struct pending *p = container_of(t, struct pending, finish);
    struct write_req *r = p->req;
    pass_key(p);
    p->w->under_way--;
    struct obj *result = obj_take(&p->result), *old = obj_take(&p->old);
    r->done(r, result, p->failed ? &p->err : NULL); /* may free the arena, p with it */
    obj_unref(result);
    obj_unref(old);
}

void pending_finish(struct pending *p, struct obj *result)
{
    assert(result);
    p->result = result;
    loop_post(p->w->loop, &p->finish);
}

void pending_fail(struct pending *p)
{
    assert(p->err.reason != ERR_NONE);
    p->failed = true;
    for (int i = 0; i < p->extra_count; i++)
        obj_unref(p->extra[i].obj);
    p->extra_count = 0;
    loop_post(p->w->loop, &p->finish);
}

static void fail_lost_race(struct pending *p)
{
    struct str group = str_of(p->stored->group), name = str_of(p->stored->name);
    if (p->req->verb == WRITE_CREATE)
        err_already_exists(&p->err, group, name, p->req->name);
    else
        err_conflict(&p->err, group, name, p->req->name,
                     "the object has been modified; please apply your changes to the latest version and try again");
    pending_fail(p);
}

/* What was lost has names, which are for those who may see them: /readyz?verbose tells. */
static void fail_undurable(struct pending *p, int error)
{
    struct store_state s;
    store_get_state(p->w->store, &s);
    bool damaged = str_starts(s.why, STR("sampan.db is damaged"));
    struct str why = damaged     ? STR("sampan.db is damaged: stop the server and run `sampan store repair`")
                     : s.why.len ? s.why
                                 : str_of(strerror(-error));
    err_set(&p->err, ERR_UNAVAILABLE, "the write is not durable: " STR_FMT, STR_ARG(why));
    p->err.retry_after_s = 1;
    pending_fail(p);
}

static void on_committed(void *ctx, int error, int failed, uint64_t rev)
{
    struct pending *p = ctx;
    if (!error) {
        pending_finish(p, obj_take(&p->result));
        return;
    }
    p->result = obj_unref(p->result);
    p->extra_count = 0; /* the store has dropped them */
    bool drawn_name = p->req->verb == WRITE_CREATE && p->req->priv[1];
    bool may_retry = failed > 0 || p->req->verb != WRITE_CREATE || drawn_name;
    if (error == -EAGAIN && may_retry && ++p->tries < WRITE_RETRIES_MAX) {
        attempt(p);
        return;
    }
    if (error == -EAGAIN)
        fail_lost_race(p);
    else
        fail_undurable(p, error);
}

void pending_commit(struct pending *p, enum store_op_kind kind, struct obj *obj, bool is_volatile)
{
    if (p->req->dry_run) {
        for (int i = 0; i < p->extra_count; i++)
            obj_unref(p->extra[i].obj);
        p->extra_count = 0;
        pending_finish(p, obj);
        return;
    }
    struct store_op ops[1 + WRITE_EXTRA_OPS_MAX] = {{.kind = kind,
                                                     .key = obj->key,
                                                     .expect_rev = p->old ? p->old->rev : 0,
                                                     .obj = obj,
                                                     .is_volatile = is_volatile}};
    memcpy(ops + 1, p->extra, sizeof(p->extra[0]) * (size_t)p->extra_count);
    p->result = obj_ref(obj);
    store_commit(p->w->store, ops, 1 + p->extra_count, on_committed, p);
}

int judge(struct pending *p, enum write_verb verb, struct doc *obj, const struct doc *old)
{
    if (admission_run(p, verb, obj, old, /* mutate= */ true) < 0)
        return -1;
    schema_default(p->req->mem, p->stored, obj);
    /* A binding is judged by api/ and may set what an update may not. */
    const struct subresource *sub = p->req->sub;
    if (!(sub && !strcmp(sub->name, "binding")) &&
        schema_validate(p->req->mem, p->stored, sub, obj, old, p->req->warnings, &p->err) < 0)
        return -1;
    return admission_run(p, verb, obj, old, /* mutate= */ false);
}

void write_start(struct writer *w, struct write_req *r)
{
    struct pending *p = arena_new_of(r->mem, struct pending);
    r->priv[0] = p;
    r->priv[1] = NULL;
    p->w = w, p->req = r, p->stored = stored_of(r->res);
    p->err = ERR(r->mem);
    list_init(&p->waiting);
    list_init(&p->link);
    w->under_way++;
    loop_task_init(&p->start, on_start);
    loop_task_init(&p->finish, on_finish);
    if (r->verb == WRITE_CREATE && !r->name.len)
        r->name = doc_str(doc_get(r->body, "metadata"), "name");
    if (!r->name.len) { /* generateName, or a mistake that create_attempt reports */
        attempt(p);
        return;
    }
    p->key = obj_key(r->mem, p->stored, r->ns, r->name);
    if (take_key(p))
        attempt(p);
}
