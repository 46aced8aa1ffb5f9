/* store/cache.c - objects by key, their indexes and counts, and what feeds them. */
#include "store/cache.h"

#include <assert.h>
#include <stdlib.h>

#include "store/fanout.h"
#include "store/history.h"
#include "store/index.h"

enum { HISTORY_MS = 5 * 60 * 1000, HISTORY_BYTES = 64 << 20 };

/* A subscription that is being told of the past; on_event may end it. */
struct replay {
    struct replay *up;
    const struct cache_sub *sub; /* NULL: ended */
};

struct cache {
    struct loop *loop;
    struct store *store; /* NULL: recovering */
    struct tree objects; /* key -> struct obj *, with a reference */
    struct map counts;   /* "pods/" -> struct count * */
    struct index by_owner, by_node;
    struct history history;
    struct fanout fanout;
    struct replay *replays;
    uint64_t rev, number; /* of the last change */
};

struct count {
    uint64_t n;
    struct str prefix; /* behind the struct */
};

struct cache *cache_new(const struct cache_opts *o)
{
    struct cache *c = calloc(1, sizeof *c);
    if (!c)
        abort(); /* at start */
    c->loop = o->loop;
    c->history.window_ms = o->history_ms ? o->history_ms : HISTORY_MS;
    c->history.bytes_max = o->history_bytes ? o->history_bytes : HISTORY_BYTES;
    fanout_init(&c->fanout);
    return c;
}

struct cache *cache_free(struct cache *c)
{
    void *value;
    uint32_t it = 0;
    if (!c)
        return NULL;
    fanout_done(&c->fanout);
    history_done(&c->history);
    index_done(&c->by_owner);
    index_done(&c->by_node);
    struct tree_iter all = tree_iter_at(&c->objects, STR_NULL);
    while ((value = tree_next(&all, NULL)))
        obj_unref(value);
    tree_done(&c->objects);
    while (map_each(&c->counts, &it, NULL, &value))
        free(value);
    map_done(&c->counts);
    free(c);
    return NULL;
}

void cache_set_store(struct cache *c, struct store *s)
{
    struct store_state state;
    store_get_state(s, &state);
    c->store = s;
    c->rev = state.rev;
    history_start(&c->history, state.complete_since > state.rev ? state.complete_since : state.rev);
}

/* ---- what it holds */

static void count_by(struct cache *c, const struct obj *o, int64_t by)
{
    struct str prefix = obj_res_prefix(o);
    struct count *n = map_get(&c->counts, prefix);
    if (!n) {
        n = malloc(sizeof *n + prefix.len);
        if (!n)
            abort();
        memcpy(n + 1, prefix.ptr, prefix.len);
        *n = (struct count){0, str_mem((const char *)(n + 1), prefix.len)};
        map_put(&c->counts, n->prefix, n);
    }
    n->n += (uint64_t)by;
}

static void index_in(struct cache *c, struct obj *o)
{
    for (int i = 0; i < o->owner_count; i++)
        index_put(&c->by_owner, o->owners[i], o);
    if (o->node.len)
        index_put(&c->by_node, o->node, o);
}

static void index_out(struct cache *c, const struct obj *o)
{
    for (int i = 0; i < o->owner_count; i++)
        index_del(&c->by_owner, o->owners[i], o);
    if (o->node.len)
        index_del(&c->by_node, o->node, o);
}

/* An update seldom moves an object between sets: then its place there is taken over. */
static void reindex(struct cache *c, const struct obj *old, struct obj *o)
{
    bool same = old->owner_count == o->owner_count && str_eq(old->node, o->node);
    for (int i = 0; same && i < o->owner_count; i++)
        same = str_eq(old->owners[i], o->owners[i]);
    if (!same)
        index_out(c, old);
    index_in(c, o);
}

/* Returns the state before, whose reference passes to the caller. */
static struct obj *take_in(struct cache *c, const struct store_event *ev)
{
    struct obj *old;
    if (ev->kind == STORE_DELETE) {
        old = tree_del(&c->objects, ev->obj->key);
        if (old) {
            index_out(c, old);
            count_by(c, old, -1);
        }
        return old;
    }
    old = tree_put(&c->objects, ev->obj->key, obj_ref(ev->obj));
    if (old) {
        reindex(c, old, ev->obj);
    } else {
        index_in(c, ev->obj);
        count_by(c, ev->obj, 1);
    }
    return old;
}

void cache_feed(void *ctx, const struct store_event *ev)
{
    struct cache *c = ctx;
    cleanup_obj struct obj *old = take_in(c, ev);
    if (ev->rev > c->rev)
        c->rev = ev->rev;
    if (ev->kind == STORE_DELETE && !old)
        return;
    c->number++;
    if (c->store)
        history_add(&c->history,
                    &(struct change){ev->rev, c->number, loop_now_ms(c->loop), ev->obj, old, ev->kind == STORE_DELETE});
    struct cache_event out = {ev->rev,
                              ev->kind == STORE_DELETE ? CACHE_DELETED
                              : old                    ? CACHE_MODIFIED
                                                       : CACHE_ADDED,
                              ev->obj, old};
    fanout_send(&c->fanout, &out, c->number);
    cache_event_done(&out);
}

/* ---- reading */

uint64_t cache_rev(const struct cache *c)
{
    return c->rev;
}

struct obj *cache_get(const struct cache *c, struct str key)
{
    return tree_get(&c->objects, key);
}

struct obj *cache_find(const struct cache *c, const struct resource *res, struct str ns, struct str name)
{
    char buf[OBJ_KEY_MAX];
    struct str key = obj_key_put(buf, res, ns, name);
    return key.len ? tree_get(&c->objects, key) : NULL;
}

uint64_t cache_count(const struct cache *c, const struct resource *res)
{
    char buf[OBJ_KEY_MAX];
    struct str key = obj_key_put(buf, res, STR_NULL, STR_NULL); /* "pods//": one slash more than the prefix */
    const struct count *n = key.len ? map_get(&c->counts, str_head(key, key.len - 1)) : NULL;
    return n ? n->n : 0;
}

struct cache_iter cache_list(const struct cache *c, struct str prefix, struct str after)
{
    struct cache_iter it = {prefix, tree_iter_at(&c->objects, str_cmp(after, prefix) > 0 ? after : prefix)};
    struct tree_iter peek = it.at;
    struct str key;
    if (after.len && tree_next(&peek, &key) && str_eq(key, after))
        it.at = peek;
    return it;
}

struct obj *cache_next(struct cache_iter *it)
{
    struct str key;
    struct obj *o = tree_next(&it->at, &key);
    return o && str_starts(key, it->prefix) ? o : NULL;
}

struct obj **cache_by_owner(const struct cache *c, struct arena *mem, struct str owner_uid, int *ret_count)
{
    return index_list(&c->by_owner, mem, owner_uid, ret_count);
}

struct obj **cache_pods_of_node(const struct cache *c, struct arena *mem, struct str node, int *ret_count)
{
    return index_list(&c->by_node, mem, node, ret_count);
}

/* ---- the past */

/* The state of a key at the wanted revision, where it differs from now. */
struct undo {
    struct str key;
    struct obj *was; /* NULL: absent */
};

static int undo_cmp(const void *a, const void *b)
{
    return str_cmp(((const struct undo *)a)->key, ((const struct undo *)b)->key);
}

/* One undo per key under prefix, sorted. Walking back from now, the change nearest to rev is met last and stands. */
static struct undo *undo_to(const struct cache *c, struct arena *mem, struct str prefix, struct str after, uint64_t rev,
                            int *ret_count)
{
    const struct history *h = &c->history;
    size_t from = history_after(h, rev);
    struct undo *undos = arena_alloc(mem, (h->count - from) * sizeof *undos);
    struct map seen = MAP_INIT;
    int n = 0;
    for (size_t i = h->count; i-- > from;) {
        const struct change *ch = history_at(h, i);
        struct str key = ch->obj->key;
        if (!str_starts(key, prefix) || (after.len && str_cmp(key, after) <= 0))
            continue;
        struct undo *u = map_get(&seen, key);
        if (!u) {
            u = &undos[n++];
            u->key = key;
            map_put(&seen, u->key, u);
        }
        u->was = ch->prev;
    }
    map_done(&seen);
    qsort(undos, (size_t)n, sizeof *undos, undo_cmp);
    *ret_count = n;
    return undos;
}

/* Both in order of key: now, and what differed then. */
struct merge {
    struct cache_iter it;
    struct obj *now;
    const struct undo *undo, *end;
};

static struct obj *merge_next(struct merge *m)
{
    for (;;) {
        struct obj *o = m->now;
        if (!o && m->undo == m->end)
            return NULL;
        int cmp = !o ? 1 : m->undo == m->end ? -1 : str_cmp(o->key, m->undo->key);
        if (cmp <= 0)
            m->now = cache_next(&m->it);
        if (cmp < 0)
            return o;
        o = m->undo++->was;
        if (o)
            return o;
    }
}

int cache_list_at(const struct cache *c, struct arena *mem, struct str prefix, struct str after, uint64_t rev,
                  int limit, struct obj ***ret, int *ret_count, bool *ret_more, struct err *err)
{
    int undo_count = 0, n = 0, cap = limit > 0 && limit < 512 ? limit : 512;
    if (rev && rev < c->history.floor)
        return err_set(err, ERR_EXPIRED, "%s",
                       after.len ? "The provided continue parameter is too old to display a consistent list result. "
                                   "You can start a new list without "
                                   "the continue parameter."
                                 : "The resourceVersion for the provided list is too old.");
    const struct undo *undos = rev ? undo_to(c, mem, prefix, after, rev, &undo_count) : NULL;
    struct merge m = {.it = cache_list(c, prefix, after), .undo = undos, .end = undos ? undos + undo_count : NULL};
    m.now = cache_next(&m.it);
    struct obj **out = arena_alloc(mem, (size_t)cap * sizeof *out), *o;
    *ret_more = false;
    while ((o = merge_next(&m))) {
        if (limit > 0 && n == limit) {
            *ret_more = true;
            break;
        }
        if (n == cap) {
            out = arena_grow(mem, out, (size_t)cap * sizeof *out, (size_t)cap * 2 * sizeof *out);
            cap *= 2;
        }
        out[n++] = o;
    }
    *ret = out;
    *ret_count = n;
    return 0;
}

/* ---- changes */

static struct cache_event event_of(const struct change *ch)
{
    return (struct cache_event){ch->rev,
                                ch->deleted ? CACHE_DELETED
                                : ch->prev  ? CACHE_MODIFIED
                                            : CACHE_ADDED,
                                ch->obj, ch->prev};
}

static const struct doc *event_doc(const struct cache_event *ev, const struct obj *o, const struct doc **doc)
{
    struct cache_event *e = (struct cache_event *)ev;
    if (!o || *doc)
        return *doc;
    if (!e->mem)
        e->mem = arena_new();
    *doc = obj_doc(e->mem, o);
    return *doc;
}

const struct doc *cache_event_doc(const struct cache_event *ev)
{
    return event_doc(ev, ev->obj, &((struct cache_event *)ev)->doc);
}

const struct doc *cache_event_prev_doc(const struct cache_event *ev)
{
    return event_doc(ev, ev->prev, &((struct cache_event *)ev)->prev_doc);
}

void cache_event_done(struct cache_event *ev)
{
    ev->frame = cache_frame_unref(ev->frame);
    ev->mem = arena_free(ev->mem);
    ev->doc = ev->prev_doc = NULL;
}

/* A prefix without a closing slash that is a whole key means that object alone. */
static bool matches(const struct cache_sub *sub, struct str key)
{
    return str_starts(key, sub->prefix) && (sub->group->odd || key.len == sub->prefix.len || !sub->prefix.len ||
                                            sub->prefix.ptr[sub->prefix.len - 1] == '/');
}

static void replay(struct cache *c, struct cache_sub *sub, uint64_t from_rev)
{
    struct replay r = {c->replays, sub};
    c->replays = &r;
    for (size_t i = history_after(&c->history, from_rev); r.sub && i < c->history.count; i++) {
        const struct change *ch = history_at(&c->history, i);
        if (!matches(sub, ch->obj->key))
            continue;
        struct cache_event ev = event_of(ch);
        sub->on_event(sub, &ev);
        cache_event_done(&ev);
    }
    c->replays = r.up;
}

int cache_subscribe(struct cache *c, struct cache_sub *sub, uint64_t from_rev, struct err *err)
{
    if (from_rev && from_rev < c->history.floor)
        return err_set(err, ERR_EXPIRED, "too old resource version: %llu (%llu)", (unsigned long long)from_rev,
                       (unsigned long long)c->history.floor);
    sub->from_rev = from_rev;
    sub->seen = c->number;
    fanout_add(&c->fanout, sub);
    if (from_rev)
        replay(c, sub, from_rev);
    return 0;
}

void cache_unsubscribe(struct cache *c, struct cache_sub *sub)
{
    if (!sub->group)
        return;
    for (struct replay *r = c->replays; r; r = r->up)
        if (r->sub == sub)
            r->sub = NULL;
    fanout_remove(&c->fanout, sub);
}

struct cache_frame *cache_frame_new(size_t len)
{
    struct cache_frame *f = malloc(sizeof *f + len);
    if (f)
        *f = (struct cache_frame){1, {(const char *)(f + 1), len}};
    return f;
}

struct cache_frame *cache_frame_ref(struct cache_frame *f)
{
    f->refs++;
    return f;
}

struct cache_frame *cache_frame_unref(struct cache_frame *f)
{
    if (f && --f->refs == 0)
        free(f);
    return NULL;
}
