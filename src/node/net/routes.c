/* From Nodes to routes. */
#include "node/net/routes.h"

#include <errno.h>
#include <stdlib.h>

#include "base/ipv4.h"
#include "base/log.h"
#include "base/map.h"

struct peer {
    struct link_route route; /* prefix 0: none wanted */
    bool put, named;         /* named: in the list that is being read */
    struct str name;
    char bytes[];
};
struct routes {
    struct link *link;
    const struct net_config *config;
    const char *self;
    struct api_watch watch;
    struct map peers; /* name -> struct peer */
};

static bool same(const struct link_route *a, const struct link_route *b)
{
    return a->dst == b->dst && a->prefix == b->prefix && a->via == b->via;
}

/* Another node's range or address is not to be had by claiming it too; nor is ours. */
static bool is_claimed(struct routes *r, const struct peer *p, const struct link_route *want)
{
    uint32_t it = 0;
    void *value;
    const struct net_config *c = r->config;
    uint32_t wide = ipv4_mask(want->prefix < c->pods_prefix ? want->prefix : c->pods_prefix);
    if (((want->dst ^ c->pods) & wide) == 0 || want->via == c->node)
        return true;
    while (map_each(&r->peers, &it, NULL, &value)) {
        const struct peer *other = value;
        uint32_t mask = ipv4_mask(want->prefix < other->route.prefix ? want->prefix : other->route.prefix);
        if (other != p && other->route.prefix && ((want->dst ^ other->route.dst) & mask) == 0)
            return true;
    }
    return false;
}

/* Only what lies in the pods' range is ever routed: a Node object can't turn other traffic its way. */
static struct link_route wanted(const struct routes *r, const struct doc *node)
{
    const struct net_config *c = r->config;
    struct link_route want = {0};
    uint32_t dst;
    int prefix;
    if (!ipv4_parse_cidr(doc_str(doc_get(node, "spec"), "podCIDR"), &dst, &prefix) || prefix < c->cluster_prefix ||
        ((dst ^ c->cluster) & ipv4_mask(c->cluster_prefix)) != 0)
        return want;
    doc_each (a, doc_path(node, "status", "addresses", NULL))
        if (str_is(doc_str(a, "type"), "InternalIP") && ipv4_parse(doc_str(a, "address"), &want.via)) {
            want.dst = dst, want.prefix = prefix;
            break;
        }
    return want;
}

static void drop_route(struct routes *r, struct peer *p)
{
    if (p->put)
        link_route_remove(r->link, &p->route);
    p->put = false, p->route = (struct link_route){0};
}

static void set(struct routes *r, struct peer *p, const struct link_route *want)
{
    if (same(&p->route, want) && (p->put || !want->prefix))
        return;
    if (p->put && p->route.dst != want->dst)
        drop_route(r, p);
    p->route = *want;
    if (!want->prefix) {
        drop_route(r, p);
        return;
    }
    int error = link_route_put(r->link, want);
    cleanup_arena struct arena *mem = arena_new();
    p->put = error == 0;
    if (error < 0)
        log_warn("net", "no route to the pods of a node", "node=" STR_FMT " address=" STR_FMT " error=%d",
                 STR_ARG(p->name), STR_ARG(ipv4_text(mem, want->via)), -error);
    else
        log_info("net", "route to the pods of a node", "node=" STR_FMT " pods=" STR_FMT "/%d by=" STR_FMT,
                 STR_ARG(p->name), STR_ARG(ipv4_text(mem, want->dst)), want->prefix,
                 STR_ARG(ipv4_text(mem, want->via)));
}

static struct peer *peer_of(struct routes *r, struct str name)
{
    struct peer *p = map_get(&r->peers, name);
    if (p)
        return p;
    p = calloc(1, sizeof(*p) + name.len);
    if (!p)
        abort();
    memcpy(p->bytes, name.ptr, name.len);
    p->name = str_mem(p->bytes, name.len);
    map_put(&r->peers, p->name, p);
    return p;
}

static void forget(struct routes *r, struct peer *p)
{
    drop_route(r, p);
    map_del(&r->peers, p->name);
    free(p);
}

static void see(struct routes *r, const struct doc *node)
{
    struct str name = doc_str(doc_get(node, "metadata"), "name");
    if (str_is(name, r->self))
        return;
    struct peer *p = peer_of(r, name);
    struct link_route want = wanted(r, node);
    p->named = true;
    if (want.prefix && is_claimed(r, p, &want)) {
        log_warn("net", "a node claims addresses that are another's", "node=" STR_FMT, STR_ARG(name));
        want = (struct link_route){0};
    }
    set(r, p, &want);
}

/* What the kernel has and no node stands for. */
static bool is_stale(void *ctx, const struct link_route *found)
{
    struct routes *r = ctx;
    uint32_t it = 0;
    void *value;
    while (map_each(&r->peers, &it, NULL, &value))
        if (same(&((struct peer *)value)->route, found))
            return false;
    return found->via; /* others are of this node's own pods and ranges */
}

static void synced(struct routes *r)
{
    uint32_t it = 0;
    void *value;
    while (map_each(&r->peers, &it, NULL, &value)) /* deleting the current one is allowed */
        if (!((struct peer *)value)->named)
            forget(r, value);
    int error = link_routes_sweep(r->link, is_stale, r);
    if (error < 0)
        log_warn("net", "routes of an earlier agent could not be looked at", "error=%d", -error);
}

static void on_node(struct api_watch *w, enum watch_event e, const struct doc *node)
{
    struct routes *r = container_of(w, struct routes, watch);
    uint32_t it = 0;
    void *value;
    if (e == WATCH_SYNC_BEGIN)
        while (map_each(&r->peers, &it, NULL, &value))
            ((struct peer *)value)->named = false;
    else if (e == WATCH_SYNC_END)
        synced(r);
    else if (e != WATCH_DELETED)
        see(r, node);
    else if ((value = map_get(&r->peers, doc_str(doc_get(node, "metadata"), "name"))))
        forget(r, value);
}

struct routes *routes_new(struct api *api, struct link *link, const struct net_config *config, const char *self)
{
    struct routes *r = calloc(1, sizeof(*r));
    if (!r)
        abort(); /* at start */
    r->link = link, r->config = config, r->self = self;
    r->watch.path = STR("/api/v1/nodes"), r->watch.event = on_node;
    api_watch_start(api, &r->watch);
    return r;
}

struct routes *routes_free(struct routes *r)
{
    uint32_t it = 0;
    void *value;
    if (!r)
        return NULL;
    api_watch_stop(&r->watch);
    while (map_each(&r->peers, &it, NULL, &value)) {
        map_del(&r->peers, ((struct peer *)value)->name);
        free(value);
    }
    map_done(&r->peers);
    free(r);
    return NULL;
}
