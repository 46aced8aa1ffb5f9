#include "node/agent/configs.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/tree.h"
#include "node/agent/client.h"

enum { HOLDERS_MAX = 4096 };

struct config {
    struct list link;
    struct configs *all;
    struct arena *keep;
    enum config_kind kind;
    struct str ns, name;
    struct api_watch watch;
    struct arena *mem; /* of obj */
    const struct doc *obj;
    bool known, fixed, listed;
    struct pod **pods;
    int pod_count, pod_cap;
};
struct service {
    struct arena *mem;
    struct str key; /* ns/name */
    const struct doc *obj;
    bool listed;
};
struct configs {
    struct node *node;
    struct list all;
    struct api_watch services_watch;
    struct tree services;
    bool services_known;
};

static void service_put(struct configs *c, const struct doc *obj)
{
    const struct doc *meta = doc_get(obj, "metadata");
    struct arena *mem = arena_new();
    struct service *s = arena_new_of(mem, struct service);
    s->mem = mem, s->obj = doc_copy_deep(mem, obj), s->listed = true;
    s->key = str_fmt(mem, STR_FMT "/" STR_FMT, STR_ARG(doc_str(meta, "namespace")), STR_ARG(doc_str(meta, "name")));
    struct service *old = tree_put(&c->services, s->key, s);
    if (old)
        arena_free(old->mem);
}

static void service_del(struct configs *c, struct str key)
{
    struct service *old = tree_del(&c->services, key);
    if (old)
        arena_free(old->mem);
}

static void services_event(struct api_watch *w, enum watch_event e, const struct doc *obj)
{
    struct configs *c = container_of(w, struct configs, services_watch);
    struct str key = STR_NULL;
    if (e == WATCH_SYNC_BEGIN)
        for (struct service *s; (s = tree_seek(&c->services, key, key.len > 0, &key));)
            s->listed = false;
    if (e == WATCH_ADDED || e == WATCH_MODIFIED)
        service_put(c, obj);
    if (e == WATCH_DELETED) {
        cleanup_arena struct arena *mem = arena_new();
        const struct doc *meta = doc_get(obj, "metadata");
        service_del(
            c, str_fmt(mem, STR_FMT "/" STR_FMT, STR_ARG(doc_str(meta, "namespace")), STR_ARG(doc_str(meta, "name"))));
    }
    if (e != WATCH_SYNC_END)
        return;
    cleanup_arena struct arena *mem = arena_new();
    for (struct service *s; (s = tree_seek(&c->services, key, key.len > 0, &key));) {
        key = str_dup(mem, key);
        if (!s->listed)
            service_del(c, key);
    }
    c->services_known = true;
    list_each (at, &c->node->pods)
        pod_kick(container_of(at, struct pod, link));
}

struct configs *configs_new(struct node *n)
{
    struct configs *c = calloc(1, sizeof(*c));
    if (!c)
        abort();
    c->node = n;
    list_init(&c->all);
    c->services_watch = (struct api_watch){.path = STR("/api/v1/services"), .event = services_event};
    if (n->api)
        api_watch_start(n->api, &c->services_watch);
    return c;
}

static void config_drop(struct config *g)
{
    if (g->all->node->api && !g->fixed)
        api_watch_stop(&g->watch);
    list_remove(&g->link);
    arena_free(g->mem), arena_free(g->keep);
    free(g->pods), free(g);
}

struct configs *configs_free(struct configs *c)
{
    if (!c)
        return NULL;
    list_each_safe (at, &c->all)
        config_drop(container_of(at, struct config, link));
    if (c->node->api)
        api_watch_stop(&c->services_watch);
    for (struct service *s; (s = tree_seek(&c->services, STR_NULL, /* after= */ false, NULL));)
        service_del(c, s->key);
    tree_done(&c->services);
    free(c);
    return NULL;
}

static void config_set(struct config *g, const struct doc *obj)
{
    arena_free(g->mem);
    g->mem = NULL, g->obj = NULL;
    if (obj) {
        g->mem = arena_new();
        g->obj = doc_copy_deep(g->mem, obj);
    }
}

static void config_event(struct api_watch *w, enum watch_event e, const struct doc *obj)
{
    struct config *g = container_of(w, struct config, watch);
    if (e == WATCH_SYNC_BEGIN) {
        g->listed = false;
        return;
    }
    if (e == WATCH_ADDED || e == WATCH_MODIFIED)
        config_set(g, obj), g->listed = true;
    if (e == WATCH_DELETED || (e == WATCH_SYNC_END && !g->listed))
        config_set(g, NULL);
    g->known = g->known || e == WATCH_SYNC_END;
    if (g->known)
        for (int i = 0; i < g->pod_count; i++)
            pod_kick(g->pods[i]);
}

static struct config *config_new(struct configs *c, enum config_kind kind, struct str ns, struct str name)
{
    struct config *g = calloc(1, sizeof(*g));
    if (!g)
        abort();
    g->keep = arena_new();
    g->all = c, g->kind = kind, g->ns = str_dup(g->keep, ns), g->name = str_dup(g->keep, name);
    list_add_tail(&c->all, &g->link);
    return g;
}

static struct config *config_find(struct configs *c, enum config_kind kind, struct str ns, struct str name)
{
    list_each (at, &c->all) {
        struct config *g = container_of(at, struct config, link);
        if (g->kind == kind && str_eq(g->name, name) && str_eq(g->ns, ns))
            return g;
    }
    return NULL;
}

static void hold(struct config *g, struct pod *p)
{
    for (int i = 0; i < g->pod_count; i++)
        if (g->pods[i] == p)
            return;
    if (g->pod_count == g->pod_cap) {
        g->pod_cap = g->pod_cap ? g->pod_cap * 2 : 4;
        g->pods = realloc(g->pods, sizeof(struct pod *) * (size_t)g->pod_cap);
        if (!g->pods)
            abort();
    }
    g->pods[g->pod_count++] = p;
}

enum config_state configs_get(struct configs *c, struct pod *p, enum config_kind kind, struct str name,
                              const struct doc **ret)
{
    *ret = NULL;
    struct config *g = config_find(c, kind, p->ns, name);
    if (!g && !c->node->api)
        return CONFIG_MISSING;
    if (!g) {
        g = config_new(c, kind, p->ns, name);
        g->watch.path = str_fmt(g->keep, "/api/v1/namespaces/" STR_FMT "/%s?fieldSelector=metadata.name%%3D" STR_FMT,
                                STR_ARG(p->ns), kind == CONFIG_MAP ? "configmaps" : "secrets", STR_ARG(name));
        g->watch.event = config_event;
        hold(g, p);
        api_watch_start(c->node->api, &g->watch);
        return CONFIG_WAITING;
    }
    hold(g, p);
    if (g->obj)
        return *ret = g->obj, CONFIG_READY;
    return g->known || g->fixed ? CONFIG_MISSING : CONFIG_WAITING;
}

void configs_release(struct configs *c, struct pod *p)
{
    list_each_safe (at, &c->all) {
        struct config *g = container_of(at, struct config, link);
        for (int i = 0; i < g->pod_count; i++)
            if (g->pods[i] == p)
                g->pods[i--] = g->pods[--g->pod_count];
        if (g->pod_count == 0 && !g->fixed)
            config_drop(g);
    }
}

void configs_add_static(struct configs *c, const struct doc *obj)
{
    enum config_kind kind = str_is(doc_str(obj, "kind"), "Secret") ? CONFIG_SECRET : CONFIG_MAP;
    struct str ns = doc_str(doc_get(obj, "metadata"), "namespace"), name = doc_str(doc_get(obj, "metadata"), "name");
    ns = ns.len ? ns : STR("default");
    struct config *g = config_find(c, kind, ns, name);
    if (!g)
        g = config_new(c, kind, ns, name);
    g->fixed = true;
    config_set(g, obj);
    for (int i = 0; i < g->pod_count; i++)
        pod_kick(g->pods[i]);
}

bool configs_services_known(const struct configs *c)
{
    return c->services_known || !c->node->api;
}

void configs_services(struct configs *c, struct str ns, void (*each)(void *ctx, const struct doc *service), void *ctx)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str prefix = str_fmt(mem, STR_FMT "/", STR_ARG(ns)), key = STR_NULL;
    struct service *k = tree_get(&c->services, STR("default/kubernetes"));
    if (k && !str_is(ns, "default"))
        each(ctx, k->obj);
    struct service *s = tree_seek(&c->services, prefix, false, &key);
    for (; s && str_starts(key, prefix); s = tree_seek(&c->services, key, true, &key))
        each(ctx, s->obj);
}
