/* control/control.c - runs the controllers: subscriptions fill their queues, a task of the loop empties them. */
#include "control/internal.h"

#include <assert.h>

#include "base/log.h"
#include "control/queue.h"
#include "doc/patch.h"

enum { PASSES_PER_TURN = 16 }; /* of all controllers together, before the loop serves others */

static const struct controller_kind *const kinds[] = {
    &controller_namespace,
    &controller_garbage_collector,
    &controller_service_account,
    &controller_root_ca,
    &controller_event_ttl,
    &controller_deployment,
    &controller_replicaset,
    &controller_replication,
    &controller_job,
    &controller_cronjob,
    &controller_ttl_after_finished,
    &controller_endpoint_slice,
    &controller_endpoints,
    &controller_node_ipam,
    &controller_node_lifecycle,
    &controller_taint_eviction,
    &controller_pod_gc,
    &controller_csr,
    &controller_clusterrole_aggregation,
    &controller_token_cleaner,
    &controller_bootstrap_signer,
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

struct watch {
    struct cache_sub sub; /* first */
    struct controller *c;
    void (*map)(struct controller *c, const struct cache_event *ev);
};
struct controller {
    struct controllers *cs;
    const struct controller_kind *kind;
    struct queue *queue;
    struct watch watches[CONTROLLER_WATCHES_MAX];
    struct user user;
    struct str groups[3];
    struct str component;
    void *state;
};
struct controllers {
    struct controllers_opts o;
    struct arena *mem;
    struct loop_task pass;
    struct list passes; /* of struct pass: writes are under way */
    struct controller all[KINDS];
    int turn;     /* whose queue is looked at next */
    bool stopped; /* kept only for what is under way */
};

/* One reconcile from its start to its last write's answer. Lives in its own arena. */
struct pass {
    struct reconcile r; /* first */
    struct list link;
    struct controllers *cs;
    int writes; /* not answered yet, and one for reconcile() itself */
    bool again; /* lost a race: look again */
};
struct write {
    struct pass *p;
    enum write_verb verb;
    const struct resource *res;
    struct str ns, name;
    struct write_req req; /* of a delete */
};

static struct pass *pass_of(struct reconcile *r)
{
    return (struct pass *)r;
}

/* ---- writes */

static void controllers_free(struct controllers *cs)
{
    arena_free(cs->mem);
    free(cs);
}

static void pass_end(struct pass *p)
{
    if (--p->writes)
        return;
    struct reconcile *r = &p->r;
    struct controllers *cs = p->cs;
    list_remove(&p->link);
    if (!cs->stopped) {
        bool failed = r->failed || p->again;
        queue_done(r->c->queue, r->key, failed, r->memo);
        if (r->again_ms > 0 && !failed)
            queue_add_after(r->c->queue, r->key, r->again_ms);
    }
    arena_free(r->mem);
    if (cs->stopped && list_empty(&cs->passes))
        controllers_free(cs);
}

/* A namespace that goes away takes no more content, and its namespace controller will remove what asked for it. */
static bool is_hopeless(const struct write *w, const struct err *err)
{
    if (w->verb != WRITE_CREATE || !w->res->namespaced)
        return false;
    const struct obj *ns = cache_find(w->p->r.cache, schema_stored("", "namespaces"), STR_NULL, w->ns);
    return !ns || ns->deleting;
}

static void judge_failure(struct write *w, const struct err *err)
{
    struct pass *p = w->p;
    if (is_hopeless(w, err))
        return;
    if (err->reason == ERR_CONFLICT || err->reason == ERR_NOT_FOUND || err->reason == ERR_ALREADY_EXISTS) {
        /* A delete of what is gone is done. */
        p->again |= !(w->verb == WRITE_DELETE && err->reason == ERR_NOT_FOUND);
        return;
    }
    p->r.failed = true;
    log_warn("control", "a write failed",
             "controller=%s key=" STR_FMT " resource=%s name=" STR_FMT " reason=%s why=" STR_FMT, p->r.c->kind->name,
             STR_ARG(p->r.key), w->res->name, STR_ARG(w->name), err_word(err->reason),
             STR_ARG(log_quote(p->r.mem, err->message)));
}

static void on_written(void *ctx, struct obj *obj, const struct err *err)
{
    struct write *w = ctx;
    struct pass *p = w->p;
    if (!p->cs->stopped) {
        if (err)
            judge_failure(w, err);
        if (p->r.written)
            p->r.written(&p->r, w->verb, w->res, w->name, obj, err);
    }
    pass_end(p);
}

static struct write *write_new(struct reconcile *r, enum write_verb verb, const struct resource *res, struct str ns,
                               struct str name)
{
    struct write *w = arena_new_of(r->mem, struct write);
    *w = (struct write){
        .p = pass_of(r), .verb = verb, .res = res, .ns = str_dup(r->mem, ns), .name = str_dup(r->mem, name)};
    w->p->writes++;
    return w;
}

void reconcile_create(struct reconcile *r, const struct resource *res, struct str ns, const struct doc *body)
{
    struct str name = doc_str(doc_get(body, "metadata"), "name");
    struct write *w = write_new(r, WRITE_CREATE, res, ns, name);
    write_create(r->writer, r->user, res, ns, body, on_written, w);
}

void reconcile_update(struct reconcile *r, const struct resource *res, const char *sub, const struct doc *body)
{
    const struct doc *meta = doc_get(body, "metadata");
    struct str ns = res->namespaced ? doc_str(meta, "namespace") : STR_NULL, name = doc_str(meta, "name");
    const struct obj *now = cache_find(r->cache, res, ns, name);
    if (now && doc_eq(obj_doc(r->mem, now), body))
        return;
    struct write *w = write_new(r, WRITE_UPDATE, res, ns, name);
    write_update(r->writer, r->user, res, sub, body, on_written, w);
}

void reconcile_merge(struct reconcile *r, const struct resource *res, const char *sub, struct str ns, struct str name,
                     const struct doc *patch)
{
    const struct obj *now = cache_find(r->cache, res, ns, name);
    if (now) {
        struct doc *was = obj_doc(r->mem, now);
        struct doc *patched = merge_patch(r->mem, doc_copy(r->mem, was), doc_copy(r->mem, patch));
        if (doc_eq(was, patched))
            return;
    }
    struct write *w = write_new(r, WRITE_PATCH, res, ns, name);
    write_merge(r->writer, r->user, res, sub, ns, name, patch, on_written, w);
}

static void on_deleted(struct write_req *req, struct obj *obj, const struct err *err)
{
    on_written(req->ctx, obj, err);
}

void reconcile_delete_how(struct reconcile *r, const struct obj *o, int propagation, int64_t grace_s, bool exact)
{
    struct write *w = write_new(r, WRITE_DELETE, o->res, o->ns, o->name);
    w->req = (struct write_req){.mem = r->mem,
                                .verb = WRITE_DELETE,
                                .user = r->user,
                                .res = o->res,
                                .ns = w->ns,
                                .name = w->name,
                                .grace_s = grace_s,
                                .want_uid = str_dup(r->mem, o->uid),
                                .want_rev = exact ? o->rev : 0,
                                .propagation = propagation,
                                .done = on_deleted,
                                .ctx = w};
    write_start(r->writer, &w->req);
}

void reconcile_delete(struct reconcile *r, const struct obj *o)
{
    reconcile_delete_how(r, o, PROPAGATE_BACKGROUND, /* grace_s= */ -1, /* exact= */ false);
}

/* ---- passes */

static void run_key(struct controller *c, struct str key, int64_t memo)
{
    struct controllers *cs = c->cs;
    struct arena *mem = arena_new();
    struct pass *p = arena_new_of(mem, struct pass);
    *p = (struct pass){.r = {.mem = mem,
                             .c = c,
                             .cache = cs->o.cache,
                             .writer = cs->o.writer,
                             .user = &c->user,
                             .key = str_dup(mem, key),
                             .now_ms = loop_now_ms(cs->o.loop),
                             .wall_ms = loop_wall_ms(cs->o.loop),
                             .memo = memo},
                       .cs = cs,
                       .writes = 1};
    list_add_tail(&cs->passes, &p->link);
    c->kind->reconcile(&p->r);
    pass_end(p);
}

static bool run_one(struct controllers *cs)
{
    for (int i = 0; i < KINDS; i++) {
        struct controller *c = &cs->all[(cs->turn + i) % KINDS];
        struct str key;
        int64_t memo;
        if (!queue_next(c->queue, &key, &memo))
            continue;
        cs->turn = (cs->turn + i + 1) % KINDS;
        run_key(c, key, memo);
        return true;
    }
    return false;
}

static void on_pass(struct loop_task *t)
{
    struct controllers *cs = container_of(t, struct controllers, pass);
    for (int i = 0; i < PASSES_PER_TURN; i++)
        if (!run_one(cs))
            return;
    loop_post(cs->o.loop, &cs->pass);
}

static void on_ready(void *ctx)
{
    struct controllers *cs = ctx;
    loop_post(cs->o.loop, &cs->pass);
}

/* ---- what wakes them */

static void wake(struct watch *w, const struct cache_event *ev)
{
    if (w->map)
        w->map(w->c, ev);
    else
        controller_enqueue(w->c, ev->obj->key);
}

static void on_event(struct cache_sub *sub, struct cache_event *ev)
{
    wake((struct watch *)sub, ev);
}

static void see_present(struct watch *w, struct cache *cache)
{
    struct cache_iter it = cache_list(cache, w->sub.prefix, STR_NULL);
    for (struct obj *o; (o = cache_next(&it));) {
        struct cache_event ev = {.rev = o->rev, .type = CACHE_ADDED, .obj = o};
        wake(w, &ev);
        cache_event_done(&ev);
    }
}

static void watch_start(struct controller *c, struct watch *w, const struct controller_watch *cw)
{
    struct controllers *cs = c->cs;
    w->c = c, w->map = cw->map;
    w->sub.on_event = on_event;
    if (strcmp(cw->group, "*") != 0) {
        const struct resource *res = schema_stored(cw->group, cw->resource);
        assert(res);
        w->sub.prefix = obj_prefix(cs->mem, res, STR_NULL);
    }
    cache_subscribe(cs->o.cache, &w->sub, /* from_rev= */ 0, NULL);
    see_present(w, cs->o.cache);
}

static void controller_init(struct controllers *cs, struct controller *c, const struct controller_kind *kind)
{
    c->cs = cs, c->kind = kind;
    c->queue = queue_new(cs->o.loop, kind->name, on_ready, cs);
    c->groups[0] = STR("system:serviceaccounts");
    c->groups[1] = STR("system:serviceaccounts:kube-system");
    c->groups[2] = STR("system:authenticated");
    const char *account = kind->account ? kind->account : str_fmtz(cs->mem, "%s-controller", kind->name);
    c->user.name = str_fmt(cs->mem, "system:serviceaccount:kube-system:%s", account);
    c->user.groups = c->groups, c->user.group_count = 3;
    c->component = str_of(kind->component ? kind->component : account);
    if (kind->start)
        c->state = kind->start(&cs->o, c);
}

struct controllers *controllers_start(const struct controllers_opts *o)
{
    struct controllers *cs = calloc(1, sizeof(*cs));
    if (!cs)
        abort(); /* at start */
    cs->o = *o;
    cs->mem = arena_new();
    cs->o.ca_pem = str_dup(cs->mem, o->ca_pem);
    cs->o.cluster_cidr = str_dup(cs->mem, o->cluster_cidr);
    cs->o.node_grace_ms = o->node_grace_ms ? o->node_grace_ms : 50 * 1000;
    cs->o.event_ttl_ms = o->event_ttl_ms ? o->event_ttl_ms : 3600 * 1000;
    cs->o.terminated_pods_max = o->terminated_pods_max ? o->terminated_pods_max : 12500;
    list_init(&cs->passes);
    loop_task_init(&cs->pass, on_pass);
    for (int i = 0; i < KINDS; i++)
        controller_init(cs, &cs->all[i], kinds[i]);
    for (int i = 0; i < KINDS; i++)
        for (int w = 0; w < CONTROLLER_WATCHES_MAX && kinds[i]->watches[w].group; w++)
            watch_start(&cs->all[i], &cs->all[i].watches[w], &kinds[i]->watches[w]);
    return cs;
}

struct controllers *controllers_stop(struct controllers *cs)
{
    if (!cs)
        return NULL;
    loop_task_cancel(&cs->pass);
    for (int i = 0; i < KINDS; i++) {
        struct controller *c = &cs->all[i];
        for (int w = 0; w < CONTROLLER_WATCHES_MAX; w++)
            cache_unsubscribe(cs->o.cache, &c->watches[w].sub);
        if (c->kind->stop)
            c->kind->stop(c->state);
        c->queue = queue_free(c->queue);
    }
    cs->stopped = true;
    if (list_empty(&cs->passes))
        controllers_free(cs);
    return NULL;
}

/* ---- for the reconcilers */

void controller_enqueue(struct controller *c, struct str key)
{
    queue_add(c->queue, key);
}

void *controller_state(const struct controller *c)
{
    return c->state;
}

struct cache *controller_cache(const struct controller *c)
{
    return c->cs->o.cache;
}

const struct controllers_opts *controller_opts(const struct controller *c)
{
    return &c->cs->o;
}

struct str controller_component(const struct controller *c)
{
    return c->component;
}
