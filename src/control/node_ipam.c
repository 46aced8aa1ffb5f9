/* control/node_ipam.c - every node gets a range of pod addresses of its own, cut from the cluster's.
 *
 * Which ranges are taken is kept by their number: counted from the nodes in the cache, and held for a node whose write
 * is still under way, so that two that join at once can't get the same. A node may wish for the range it had before
 * (annotation sampan.dev/pod-cidr: its running pods have those addresses); it gets it if it is free.
 * Source: kubernetes pkg/controller/nodeipam/ipam/range_allocator.go. Keys are those of nodes. */
#include "control/internal.h"

#include <stdlib.h>

#include "base/ipv4.h"
#include "base/map.h"

#define WISH "sampan.dev/pod-cidr"

struct held {
    int slot;
    struct str key;
    char bytes[];
};
struct state {
    uint32_t network;   /* of the cluster */
    int prefix;         /* of each node's */
    int slots;          /* 0: ranges are not given out here */
    int next;           /* where the search begins: a range rests as long as possible */
    uint16_t *used;     /* nodes that hold it */
    struct map holders; /* node key -> struct held */
};

static void *start(const struct controllers_opts *o, struct controller *c)
{
    struct state *s = calloc(1, sizeof(*s));
    int prefix = 0;
    if (!s)
        abort(); /* at start */
    s->prefix = o->node_cidr_prefix ? o->node_cidr_prefix : 24;
    if (!ipv4_parse_cidr(o->cluster_cidr, &s->network, &prefix) || s->prefix < prefix || s->prefix - prefix > 16)
        return s;
    s->slots = 1 << (s->prefix - prefix);
    s->used = calloc((size_t)s->slots, sizeof(*s->used));
    if (!s->used)
        abort(); /* at start */
    return s;
}

static void release(struct state *s, struct str key)
{
    struct held *h = map_del(&s->holders, key);
    if (h)
        s->used[h->slot]--;
    free(h);
}

static void hold(struct state *s, struct str key, int slot)
{
    struct held *h = malloc(sizeof(*h) + key.len);
    if (!h)
        abort(); /* an address given twice would be worse */
    release(s, key);
    memcpy(h->bytes, key.ptr, key.len);
    h->slot = slot, h->key = str_mem(h->bytes, key.len);
    s->used[slot]++;
    map_put(&s->holders, h->key, h);
}

static void stop(void *state)
{
    struct state *s = state;
    uint32_t it = 0;
    struct str key;
    void *h;
    while (map_each(&s->holders, &it, &key, &h))
        release(s, key);
    map_done(&s->holders);
    free(s->used);
    free(s);
}

/* -1: no range of ours. */
static int slot_of(const struct state *s, struct str cidr)
{
    uint32_t network;
    int prefix;
    if (!ipv4_parse_cidr(cidr, &network, &prefix) || prefix != s->prefix)
        return -1;
    uint32_t slot = (network - s->network) >> (32 - s->prefix);
    return slot < (uint32_t)s->slots ? (int)slot : -1;
}

static int pick(struct state *s, struct str wish)
{
    int slot = slot_of(s, wish);
    if (slot >= 0 && !s->used[slot])
        return slot;
    for (int i = 0; i < s->slots; i++) {
        slot = (s->next + i) % s->slots;
        if (!s->used[slot]) {
            s->next = slot + 1;
            return slot;
        }
    }
    return -1;
}

static void reconcile(struct reconcile *r)
{
    struct state *s = controller_state(r->c);
    const struct obj *o = cache_get(r->cache, r->key);
    if (!o || o->deleting || !s->slots)
        return;
    const struct doc *node = obj_doc(r->mem, o);
    if (doc_str(doc_get(node, "spec"), "podCIDR").len)
        return;
    const struct held *h = map_get(&s->holders, r->key);
    int slot = h ? h->slot : pick(s, doc_str(doc_path(node, "metadata", "annotations", NULL), WISH));
    if (slot < 0) {
        reconcile_event(r, o, "Normal", "CIDRNotAvailable", "Node " STR_FMT " status is now: CIDRNotAvailable",
                        STR_ARG(o->name));
        r->failed = true; /* a node that goes frees one: looked at again with back-off */
        return;
    }
    hold(s, r->key, slot);
    struct str cidr = str_fmt(r->mem, STR_FMT "/%d",
                              STR_ARG(ipv4_text(r->mem, s->network + ((uint32_t)slot << (32 - s->prefix)))), s->prefix);
    struct doc *patch = doc_new_object(r->mem), *spec = doc_sub(r->mem, patch, "spec");
    doc_put_str(r->mem, spec, "podCIDR", cidr);
    doc_push(doc_sub_array(r->mem, spec, "podCIDRs"), doc_new_str(r->mem, cidr));
    reconcile_merge(r, o->res, NULL, STR_NULL, o->name, patch);
}

static void on_node(struct controller *c, const struct cache_event *ev)
{
    struct state *s = controller_state(c);
    cleanup_arena struct arena *mem = arena_new();
    if (!s->slots)
        return;
    if (ev->type == CACHE_DELETED) {
        release(s, ev->obj->key);
        return;
    }
    const struct held *h = map_get(&s->holders, ev->obj->key);
    struct str cidr = doc_str(doc_get(obj_doc(mem, ev->obj), "spec"), "podCIDR");
    int slot = slot_of(s, cidr);
    if (slot >= 0 && (!h || h->slot != slot))
        hold(s, ev->obj->key, slot);
    if (!cidr.len)
        controller_enqueue(c, ev->obj->key);
}

const struct controller_kind controller_node_ipam = {
    .name = "node_ipam_controller",
    .account = "node-controller",
    .component = "cidrAllocator",
    .watches = {{"", "nodes", on_node}},
    .reconcile = reconcile,
    .start = start,
    .stop = stop,
};
