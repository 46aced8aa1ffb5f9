/* tests/sim/sim.c - the played cluster: set-up, writes, looking. Nodes are in sim_node.c. */
#include "sim.h"

#include "sim_priv.h"

/* ---- waiting for answers */

struct answer {
    bool done;
    struct err *err;
    enum err_reason reason;
    struct arena *mem;
};

static void on_answer(void *ctx, struct obj *obj, const struct err *err)
{
    struct answer *a = ctx;
    a->done = true;
    a->reason = err ? err->reason : ERR_NONE;
    if (err && a->err)
        err_copy(a->err, err);
}

static void wait_for(struct sim *s, struct answer *a)
{
    for (int i = 0; i < 1000 && !a->done; i++)
        loop_sim_run(s->loop, 1);
    assert_true(a->done);
}

struct doc *sim_json(struct arena *mem, const char *json)
{
    char *text = str_z(mem, str_of(json));
    for (char *p = text; *p; p++)
        if (*p == '\'')
            *p = '"';
    struct err err = ERR(mem);
    struct doc *d = doc_parse(mem, str_of(text), NULL, &err);
    if (!d)
        fail_msg("%s: " STR_FMT, text, STR_ARG(err.message));
    return d;
}

enum err_reason sim_create_err(struct sim *s, const char *group, const char *resource, const char *ns, const char *json,
                               struct err *err)
{
    const struct resource *res = schema_stored(group, resource);
    struct doc *d = sim_json(s->mem, json);
    struct answer a = {.err = err};
    doc_put_str(s->mem, d, "apiVersion", str_of(res->api_version));
    doc_put_str(s->mem, d, "kind", str_of(res->kind));
    struct err bad = ERR(s->mem);
    if (schema_read(s->mem, res->type, d, FIELDS_STRICT, NULL, NULL, &bad) < 0)
        fail_msg(STR_FMT, STR_ARG(bad.message));
    static const struct user admin = {.name = {"admin", 5}};
    write_create(s->writer, &admin, res, str_of(ns), d, on_answer, &a);
    wait_for(s, &a);
    return a.reason;
}

void sim_create(struct sim *s, const char *group, const char *resource, const char *ns, const char *json)
{
    struct err err = ERR(s->mem);
    if (sim_create_err(s, group, resource, ns, json, &err) != ERR_NONE)
        fail_msg("create %s: " STR_FMT, resource, STR_ARG(err.message));
}

void sim_merge(struct sim *s, const char *group, const char *resource, const char *ns, const char *name,
               const char *json)
{
    struct err err = ERR(s->mem);
    struct answer a = {.err = &err};
    write_merge(s->writer, NULL, schema_stored(group, resource), NULL, str_of(ns), str_of(name), sim_json(s->mem, json),
                on_answer, &a);
    wait_for(s, &a);
    if (a.reason != ERR_NONE)
        fail_msg("patch %s %s: " STR_FMT, resource, name, STR_ARG(err.message));
}

struct deletion {
    struct write_req req;
    struct answer a;
    struct err err;
};

static void on_deleted(struct write_req *r, struct obj *obj, const struct err *err)
{
    on_answer(r->ctx, obj, err);
}

void sim_delete(struct sim *s, const char *group, const char *resource, const char *ns, const char *name,
                int propagation)
{
    struct deletion *d = arena_new_of(s->mem, struct deletion);
    d->err = ERR(s->mem), d->a.err = &d->err;
    d->req = (struct write_req){.mem = s->mem,
                                .verb = WRITE_DELETE,
                                .res = schema_stored(group, resource),
                                .ns = str_dup(s->mem, str_of(ns)),
                                .name = str_dup(s->mem, str_of(name)),
                                .grace_s = -1,
                                .propagation = propagation,
                                .done = on_deleted,
                                .ctx = &d->a};
    write_start(s->writer, &d->req);
    wait_for(s, &d->a);
    if (d->a.reason != ERR_NONE)
        fail_msg("delete %s %s: " STR_FMT, resource, name, STR_ARG(d->err.message));
}

/* ---- looking */

const struct obj *sim_obj(struct sim *s, const char *group, const char *resource, const char *ns, const char *name)
{
    return cache_find(s->cache, schema_stored(group, resource), str_of(ns), str_of(name));
}

struct doc *sim_get(struct sim *s, const char *group, const char *resource, const char *ns, const char *name)
{
    const struct obj *o = sim_obj(s, group, resource, ns, name);
    return o ? obj_doc(s->mem, o) : NULL;
}

int sim_count(struct sim *s, const char *group, const char *resource, const char *ns)
{
    struct cache_iter it =
        cache_list(s->cache, obj_prefix(s->mem, schema_stored(group, resource), str_of(ns)), STR_NULL);
    int n = 0;
    while (cache_next(&it))
        n++;
    return n;
}

const char *sim_condition(struct sim *s, const char *group, const char *resource, const char *ns, const char *name,
                          const char *type)
{
    const struct doc *d = sim_get(s, group, resource, ns, name);
    doc_each (c, doc_path(d, "status", "conditions", NULL))
        if (str_is(doc_str(c, "type"), type))
            return str_z(s->mem, doc_str(c, "status"));
    return "";
}

int sim_events(struct sim *s, const char *reason)
{
    struct cache_iter it = cache_list(s->cache, obj_prefix(s->mem, schema_stored("", "events"), STR_NULL), STR_NULL);
    int n = 0;
    for (struct obj *o; (o = cache_next(&it));) {
        const struct doc *e = obj_doc(s->mem, o);
        if (str_is(doc_str(e, "reason"), reason))
            n += (int)doc_int(e, "count", 1);
    }
    return n;
}

/* ---- set-up */

static void on_change(struct cache_sub *sub, struct cache_event *ev)
{
    struct sim *s = container_of(sub, struct sim, log_sub);
    static const char *const names[] = {"ADDED", "MODIFIED", "DELETED"};
    sb_addf(&s->log, "%lld %s " STR_FMT " %llu %016llx\n", (long long)loop_now_ms(s->loop), names[ev->type],
            STR_ARG(ev->obj->key), (unsigned long long)ev->rev, (unsigned long long)str_hash(ev->obj->json));
    if (s->o.on_event)
        s->o.on_event(s, ev, s->o.ctx);
}

static void make_namespace(struct sim *s, const char *name)
{
    sim_create(s, "", "namespaces", "", str_fmtz(s->mem, "{'metadata':{'name':'%s'}}", name));
}

static void start_server(struct sim *s)
{
    if (!s->o.no_controllers)
        s->controllers = controllers_start(&(struct controllers_opts){.loop = s->loop,
                                                                      .cache = s->cache,
                                                                      .writer = s->writer,
                                                                      .ca_pem = STR("CA\n"),
                                                                      .cluster_cidr = s->o.cluster_cidr});
    s->sched = sched_start(&(struct sched_opts){.loop = s->loop, .cache = s->cache, .writer = s->writer});
}

static void stop_server(struct sim *s)
{
    s->controllers = controllers_stop(s->controllers);
    s->sched = sched_stop(s->sched);
}

void sim_crash(struct sim *s)
{
    bool kept = sim_chance(s->loop, 2);
    if (!writer_idle(s->writer))
        kept ? s->crashes_kept++ : s->crashes_lost++;
    stop_server(s);
    store_memory_power(s->store, /* on= */ false, /* batch_survives= */ kept);
    for (int i = 0; i < 100 && !writer_idle(s->writer); i++)
        loop_sim_run(s->loop, 0); /* what the writer still holds ends with it */
    assert_true(writer_idle(s->writer));
    store_memory_power(s->store, /* on= */ true, false);
    start_server(s);
}

struct sim *sim_new(const struct sim_opts *o)
{
    struct sim *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    s->o = *o;
    s->mem = arena_new();
    s->log = SB(s->mem);
    s->loop = loop_new_sim(o->seed);
    s->cache = cache_new(&(struct cache_opts){.loop = s->loop});
    assert_int_equal(store_open_memory(&(struct store_opts){.loop = s->loop}, cache_feed, s->cache, &s->store), 0);
    cache_set_store(s->cache, s->store);
    s->writer = writer_new(&(struct writer_opts){
        .loop = s->loop, .cache = s->cache, .store = s->store, .service_cidr = STR("10.96.0.0/16")});
    s->log_sub = (struct cache_sub){.on_event = on_change};
    assert_int_equal(cache_subscribe(s->cache, &s->log_sub, 0, NULL), 0);
    start_server(s);
    make_namespace(s, "default");
    make_namespace(s, "kube-node-lease");
    sim_nodes_start(s);
    sim_run(s, 1000);
    return s;
}

void sim_run(struct sim *s, int64_t ms)
{
    loop_sim_run(s->loop, ms);
}

struct sim *sim_free(struct sim *s)
{
    stop_server(s);
    sim_nodes_stop(s);
    cache_unsubscribe(s->cache, &s->log_sub);
    store_close(s->store);
    loop_sim_run(s->loop, 1000); /* answers that are still posted */
    writer_free(s->writer);
    cache_free(s->cache);
    loop_free(s->loop);
    arena_free(s->mem);
    free(s);
    return NULL;
}
