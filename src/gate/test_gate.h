/* gate/test_gate.h - one cluster in virtual time, its gate open, for the tests of this folder. */
#ifndef SAMPAN_GATE_TEST_GATE_H
#define SAMPAN_GATE_TEST_GATE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gate/internal.h"

struct world {
    struct arena *mem;
    struct loop *loop;
    struct cache *cache;
    struct store *store;
    struct writer *writer;
    struct gate *gate;
    int ready; /* times the gate said so */
};

static inline void world_ready(void *ctx, int error, struct str why)
{
    struct world *w = ctx;
    if (error)
        fail_msg("gate: %.*s", (int)why.len, why.ptr);
    w->ready++;
}

static inline void world_open_gate(struct world *w)
{
    struct gate_opts o = {.loop = w->loop,
                          .cache = w->cache,
                          .store = w->store,
                          .writer = w->writer,
                          .advertise = STR("192.0.2.1:6443"),
                          .service_ip = STR("10.96.0.1"),
                          .service_cidr = STR("10.96.0.0/16"),
                          .dns_ip = STR("10.96.0.10")};
    w->gate = gate_new(&o, world_ready, w);
    assert_non_null(w->gate);
    loop_sim_run(w->loop, 1000);
}

static inline struct world *world_new(void)
{
    struct arena *mem = arena_new();
    struct world *w = arena_new_of(mem, struct world);
    w->mem = mem, w->loop = loop_new_sim(7);
    w->cache = cache_new(&(struct cache_opts){.loop = w->loop});
    assert_int_equal(store_open_memory(&(struct store_opts){.loop = w->loop}, cache_feed, w->cache, &w->store), 0);
    cache_set_store(w->cache, w->store);
    w->writer = writer_new(&(struct writer_opts){
        .loop = w->loop, .cache = w->cache, .store = w->store, .service_cidr = STR("10.96.0.0/16")});
    world_open_gate(w);
    assert_int_equal(w->ready, 1);
    return w;
}

static inline void world_free(struct world *w)
{
    gate_free(w->gate);
    loop_sim_run(w->loop, 1000);
    writer_free(w->writer);
    store_close(w->store);
    cache_free(w->cache);
    loop_free(w->loop);
    arena_free(w->mem);
}

static inline void world_must(void *ctx, struct obj *obj, const struct err *err)
{
    if (err)
        fail_msg("%.*s", STR_ARG(err->message));
}

static inline struct doc *world_doc(struct world *w, const char *json)
{
    struct err err = ERR(w->mem);
    struct doc *d = doc_parse(w->mem, str_of(json), NULL, &err);
    if (!d)
        fail_msg("%s: %.*s", json, STR_ARG(err.message));
    return d;
}

/* Make an object; kind and apiVersion are filled in. */
static inline struct obj *world_put(struct world *w, const char *group, const char *resource, const char *ns,
                                    const char *json)
{
    const struct resource *res = schema_stored(group, resource);
    struct doc *d = world_doc(w, json);
    doc_put_str(w->mem, d, "kind", str_of(res->kind));
    doc_put_str(w->mem, d, "apiVersion", str_of(res->api_version));
    write_create(w->writer, NULL, res, str_of(ns), d, world_must, NULL);
    loop_sim_run(w->loop, 200);
    return cache_find(w->cache, res, str_of(ns), doc_str(doc_get(d, "metadata"), "name"));
}

static inline void world_delete(struct world *w, const char *group, const char *resource, const char *ns,
                                const char *name)
{
    write_delete(w->writer, NULL, schema_stored(group, resource), str_of(ns), str_of(name), STR_NULL, 0, world_must,
                 NULL);
    loop_sim_run(w->loop, 2500);
}

/* groups: separated by spaces; every user is authenticated too. */
static inline struct user *world_user(struct world *w, const char *name, const char *groups)
{
    struct user *u = arena_new_of(w->mem, struct user);
    struct str rest = str_of(groups), word;
    u->name = str_of(name);
    u->groups = arena_array(w->mem, struct str, 8);
    while (str_next(&rest, ' ', &word))
        u->groups[u->group_count++] = word;
    u->groups[u->group_count++] = STR("system:authenticated");
    return u;
}

/* "get apps/deployments/scale ns/name", "list /pods ns", "get /nodes /a", "get @/metrics" with @ for a path. */
static inline struct gate_attrs world_attrs(const char *text)
{
    struct str rest = str_of(text), target, where, group, resource;
    struct gate_attrs a = {.version = STR("v1")};
    str_cut(rest, ' ', &a.verb, &rest);
    str_cut(rest, ' ', &target, &where);
    if (str_starts(target, STR("@"))) {
        a.path = str_from(target, 1);
        return a;
    }
    str_cut(target, '/', &group, &resource);
    a.group = group;
    str_cut(resource, '/', &a.resource, &a.subresource);
    str_cut(where, '?', &where, &a.field_selector);
    str_cut(where, '/', &a.ns, &a.name);
    return a;
}

struct decision {
    const char *user, *groups, *what;
    bool allowed;
    const char *why; /* NULL: not looked at */
};

static inline void world_decide(struct world *w, const struct decision *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct gate_attrs a = world_attrs(rows[i].what);
        struct str why = STR_NULL;
        bool allowed = gate_authorize(w->gate, w->mem, world_user(w, rows[i].user, rows[i].groups), &a, &why);
        if (allowed != rows[i].allowed)
            fail_msg("%s: %s: %s", rows[i].user, rows[i].what, allowed ? "allowed" : "refused");
        if (rows[i].why && !str_has(why, str_of(rows[i].why)))
            fail_msg("%s: %s: why=%.*s", rows[i].user, rows[i].what, STR_ARG(why));
    }
}
#define DECIDE(w, rows) world_decide(w, rows, sizeof(rows) / sizeof(rows[0]))

#endif
