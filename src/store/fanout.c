/* store/fanout.c - groups of subscriptions with the same prefix. */
#include "store/fanout.h"

#include <stdlib.h>

void fanout_init(struct fanout *f)
{
    *f = (struct fanout){0};
    list_init(&f->odd);
}

static struct cache_group *group_new(struct str prefix)
{
    struct cache_group *g = malloc(sizeof *g + prefix.len + 1);
    if (!g)
        abort(); /* a few bytes */
    char *text = (char *)(g + 1);
    memcpy(text, prefix.len ? prefix.ptr : "", prefix.len + (prefix.len == 0));
    *g = (struct cache_group){.prefix = str_mem(text, prefix.len)};
    list_init(&g->link);
    list_init(&g->subs);
    /* "pods/ns/na" can't be told from a whole key "group/plural/ns/name" by slashes alone, but it is cheap to be right:
     * what has fewer than two slashes and does not end in one is no key. */
    int slashes = 0;
    for (size_t i = 0; i < prefix.len; i++)
        slashes += prefix.ptr[i] == '/';
    g->odd = prefix.len && prefix.ptr[prefix.len - 1] != '/' && slashes < 2;
    return g;
}

static void group_drop(struct fanout *f, struct cache_group *g)
{
    if (g->walks || !list_empty(&g->subs))
        return;
    map_del(&f->groups, g->prefix);
    list_remove(&g->link);
    free(g);
}

void fanout_add(struct fanout *f, struct cache_sub *sub)
{
    struct cache_group *g = map_get(&f->groups, sub->prefix);
    if (!g) {
        g = group_new(sub->prefix);
        map_put(&f->groups, g->prefix, g);
        if (g->odd)
            list_add_tail(&f->odd, &g->link);
    }
    sub->group = g;
    list_add_tail(&g->subs, &sub->link);
}

void fanout_remove(struct fanout *f, struct cache_sub *sub)
{
    struct cache_group *g = sub->group;
    sub->group = NULL;
    list_remove(&sub->link);
    group_drop(f, g);
}

/* A marker behind the present subscription is the place to go on from, whatever on_event removes. */
static void send_group(struct fanout *f, struct cache_group *g, struct cache_event *ev, uint64_t number)
{
    struct list marker;
    list_init(&marker);
    g->walks++;
    for (struct list *l = g->subs.next; l != &g->subs; l = marker.next) {
        list_remove(&marker);
        list_add_head(l, &marker);
        struct cache_sub *sub = (struct cache_sub *)((char *)l - offsetof(struct cache_sub, link));
        if (number > sub->seen && ev->rev > sub->from_rev)
            sub->on_event(sub, ev);
    }
    list_remove(&marker);
    g->walks--;
    group_drop(f, g);
}

static void send_prefix(struct fanout *f, struct str prefix, struct cache_event *ev, uint64_t number)
{
    struct cache_group *g = map_get(&f->groups, prefix);
    if (g && !g->odd)
        send_group(f, g, ev, number);
}

static void send_odd(struct fanout *f, struct cache_event *ev, uint64_t number)
{
    struct list marker;
    list_init(&marker);
    for (struct list *l = f->odd.next; l != &f->odd; l = marker.next) {
        list_remove(&marker);
        list_add_head(l, &marker);
        struct cache_group *g = (struct cache_group *)((char *)l - offsetof(struct cache_group, link));
        if (str_starts(ev->obj->key, g->prefix))
            send_group(f, g, ev, number);
    }
    list_remove(&marker);
}

void fanout_send(struct fanout *f, struct cache_event *ev, uint64_t number)
{
    struct str key = ev->obj->key;
    if (f->groups.count == 0)
        return;
    send_prefix(f, STR_NULL, ev, number);
    for (size_t i = 0; i < key.len; i++)
        if (key.ptr[i] == '/')
            send_prefix(f, str_head(key, i + 1), ev, number);
    send_prefix(f, key, ev, number);
    if (!list_empty(&f->odd))
        send_odd(f, ev, number);
}

void fanout_done(struct fanout *f)
{
    uint32_t it = 0;
    void *value;
    while (map_each(&f->groups, &it, NULL, &value)) {
        struct cache_group *g = value;
        while (!list_empty(&g->subs)) {
            struct cache_sub *sub = (struct cache_sub *)((char *)g->subs.next - offsetof(struct cache_sub, link));
            sub->group = NULL;
            list_remove(&sub->link);
        }
        free(g);
    }
    map_done(&f->groups);
}
