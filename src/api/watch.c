/* api/watch.c - WATCH: initial objects where they are wanted, then every change, bookmarks, and an end.
 *
 * A watch holds no queue of events: what the client has not taken waits in the stream's queue (frames are shared by all
 * watchers); when that is full the watch leaves the cache and, once there is room again, goes on from the revision it
 * has reached, out of the cache's history. Who is slower than history gets 410, who takes nothing is cut off by http/.
 * States: INITIAL (objects pinned at the start are being sent) -> LIVE (subscribed) <-> AWAY (waiting for room).
 * Source: k8s.io/apiserver pkg/endpoints/handlers/watch.go, pkg/storage/cacher; KEP-3157 (streaming lists). */
#include "api/frame.h"

enum watch_state { WATCH_INITIAL, WATCH_LIVE, WATCH_AWAY };

struct watch {
    struct list link; /* in api.watches */
    struct api_req *r;
    struct view view;
    struct choice choice;
    struct str prefix;
    struct cache_sub sub;
    struct loop_timer timeout;
    enum watch_state state;
    struct obj **objs; /* INITIAL: references from `next` on */
    int count, next;
    uint64_t rev;             /* everything up to here has been told */
    uint64_t bookmarked;      /* the last bookmark's revision */
    bool full;                /* the stream's queue is; once the present revision is complete the watch goes AWAY */
    bool bookmarks, end_mark; /* end_mark: the client waits for k8s.io/initial-events-end */
    bool headers_sent;        /* of a Table */
};

static const char *const ADDED = "ADDED", *const MODIFIED = "MODIFIED", *const DELETED = "DELETED",
                         *const BOOKMARK = "BOOKMARK", *const FAILED = "ERROR";

static struct frame_slots *slots_of(struct api *a)
{
    return (struct frame_slots *)a->frames;
}

static void release_frame(void *owner)
{
    cache_frame_unref(owner);
}

static void watch_free(struct watch *w)
{
    struct api_req *r = w->r;
    cache_unsubscribe(r->api->cache, &w->sub);
    loop_timer_stop(&w->timeout);
    list_remove(&w->link);
    for (int i = w->next; i < w->count; i++)
        obj_unref(w->objs[i]);
    free(w->objs);
    r->state = NULL;
    r->on_abort = NULL;
    r->x->on_drain = NULL;
    free(w);
}

static void on_abort(struct api_req *r)
{
    watch_free(r->state);
}

static void end(struct watch *w)
{
    struct exchange *x = w->r->x;
    watch_free(w);
    exchange_end(x);
}

/* Takes the frame. */
static void send_frame(struct watch *w, struct cache_frame *f)
{
    if (!f)
        return; /* out of memory: the event is lost, and the revision with it */
    count_watch_event(w->r->api, w->r->res, f->bytes.len);
    if (!exchange_write(w->r->x, (struct stream_buf){f->bytes, release_frame, f}))
        w->full = true;
}

static void send_obj(struct watch *w, const char *type, const struct obj *o)
{
    struct api *a = w->r->api;
    cleanup_arena struct arena *tmp = arena_new();
    int64_t now = loop_wall_ms(a->loop);
    if (w->view.m.as == AS_TABLE && !w->headers_sent)
        send_frame(w, frame_obj(tmp, &w->view, true, type, o, now));
    else
        send_frame(w, frame_shared(slots_of(a), tmp, &w->view, type, o, now));
    w->headers_sent = true;
}

static void send_doc(struct watch *w, const char *type, const struct type *t, struct doc *d, struct arena *tmp)
{
    send_frame(w, frame_doc(tmp, &w->view, !w->headers_sent, type, t, d, loop_wall_ms(w->r->api->loop)));
}

static void send_bookmark(struct watch *w, uint64_t rev, bool end_of_initial)
{
    cleanup_arena struct arena *tmp = arena_new();
    struct doc *d = doc_new_object(tmp);
    bool partial = w->view.m.as == AS_PARTIAL || w->view.m.as == AS_PARTIAL_LIST;
    doc_put_str(tmp, d, "kind", partial ? STR("PartialObjectMetadata") : str_of(w->r->res->kind));
    doc_put_str(tmp, d, "apiVersion", partial ? STR("meta.k8s.io/v1") : str_of(w->r->res->api_version));
    struct doc *meta = doc_put(tmp, d, "metadata", doc_new_object(tmp));
    doc_put_str(tmp, meta, "resourceVersion", str_fmt(tmp, "%llu", (unsigned long long)rev));
    doc_put(tmp, meta, "creationTimestamp", doc_new_null(tmp));
    if (end_of_initial)
        doc_put_str(tmp, doc_sub(tmp, meta, "annotations"), "k8s.io/initial-events-end", STR("true"));
    send_doc(w, BOOKMARK, partial ? schema_type("meta.v1.PartialObjectMetadata") : w->r->res->type, d, tmp);
    w->bookmarked = rev;
}

static void send_error(struct watch *w, const struct err *err)
{
    cleanup_arena struct arena *tmp = arena_new();
    send_doc(w, FAILED, schema_type("meta.v1.Status"), status_doc(tmp, err, NULL, STR_NULL, STR_NULL), tmp);
}

/* ---- live */

/* The first who wants the bytes as they are at rest fills the event's own frame. */
static void send_raw(struct watch *w, const char *type, struct cache_event *ev)
{
    if (!ev->frame) {
        cleanup_arena struct arena *tmp = arena_new();
        ev->frame = frame_obj(tmp, &w->view, false, type, ev->obj, 0);
    }
    if (ev->frame)
        send_frame(w, cache_frame_ref(ev->frame));
}

/* It left the selection: told as deleted, in its last selected state, with the revision of the change. */
static void send_left(struct watch *w, struct cache_event *ev)
{
    struct obj *o = obj_load(ev->prev->res, ev->prev->json, ev->rev);
    if (o)
        send_obj(w, DELETED, o);
    obj_unref(o);
}

static void tell(struct watch *w, struct cache_event *ev)
{
    struct api *a = w->r->api;
    const char *native = ev->type == CACHE_ADDED ? ADDED : ev->type == CACHE_MODIFIED ? MODIFIED : DELETED;
    if (choice_all(&w->choice)) {
        if (view_is_raw(&w->view))
            send_raw(w, native, ev);
        else
            send_obj(w, native, ev->obj);
        return;
    }
    if (ev->type == CACHE_DELETED) {
        if (choice_takes(a, &w->choice, ev->prev ? ev->prev : ev->obj))
            send_obj(w, DELETED, ev->obj);
        return;
    }
    bool is = choice_takes(a, &w->choice, ev->obj), was = ev->prev && choice_takes(a, &w->choice, ev->prev);
    if (is && view_is_raw(&w->view) && was == (ev->type == CACHE_MODIFIED))
        send_raw(w, native, ev);
    else if (is)
        send_obj(w, was ? MODIFIED : ADDED, ev->obj);
    else if (was)
        send_left(w, ev);
}

static void on_event(struct cache_sub *sub, struct cache_event *ev)
{
    struct watch *w = container_of(sub, struct watch, sub);
    /* A transaction gives several objects one revision: leave only between revisions, for that is where we come back.
     */
    if (w->full && ev->rev > w->rev) {
        cache_unsubscribe(w->r->api->cache, &w->sub);
        w->state = WATCH_AWAY;
        return;
    }
    if (ev->rev > w->rev)
        w->rev = ev->rev;
    tell(w, ev);
}

/* Join the live feed behind w->rev. False: too old, the watch has ended. */
static bool go_live(struct watch *w)
{
    cleanup_arena struct arena *tmp = arena_new();
    struct err err = ERR(tmp);
    struct cache *c = w->r->api->cache;
    w->state = WATCH_LIVE;
    w->sub = (struct cache_sub){.prefix = w->prefix, .on_event = on_event};
    if (cache_subscribe(c, &w->sub, w->rev, &err) < 0) {
        send_error(w, &err);
        end(w);
        return false;
    }
    if (w->state == WATCH_LIVE && w->rev < cache_rev(c))
        w->rev = cache_rev(c);
    return true;
}

/* ---- initial objects */

static void pump_initial(struct watch *w)
{
    while (w->next < w->count && !w->full) {
        struct obj *o = w->objs[w->next++];
        send_obj(w, ADDED, o);
        obj_unref(o);
    }
    if (w->next < w->count)
        return;
    free(w->objs);
    w->objs = NULL, w->count = w->next = 0;
    if (w->end_mark)
        send_bookmark(w, w->rev, true);
    go_live(w);
}

static void on_drain(struct exchange *x)
{
    struct api_req *r = x->user;
    struct watch *w = r->state;
    if (!w)
        return;
    w->full = false;
    if (w->state == WATCH_INITIAL)
        pump_initial(w);
    else if (w->state == WATCH_AWAY)
        go_live(w);
}

/* ---- time */

/* Only when it says something new: an idle cluster stays silent. */
static void bookmark(struct watch *w)
{
    uint64_t rev = cache_rev(w->r->api->cache);
    if (w->bookmarks && w->state == WATCH_LIVE && !w->full && rev > w->bookmarked) {
        send_bookmark(w, rev, false);
        w->rev = rev;
    }
}

static void on_bookmarks(struct loop_timer *t)
{
    struct api *a = container_of(t, struct api, bookmarks);
    bool any = false;
    list_each_safe (l, &a->watches) {
        struct watch *w = container_of(l, struct watch, link);
        any |= w->bookmarks;
        bookmark(w);
    }
    if (any)
        loop_timer_start(t, API_WATCH_BOOKMARK_MS);
}

static void on_timeout(struct loop_timer *t)
{
    struct watch *w = container_of(t, struct watch, timeout);
    bookmark(w);
    end(w);
}

void watches_init(struct api *a)
{
    list_init(&a->watches);
    loop_timer_init(a->loop, &a->bookmarks, on_bookmarks);
    a->frames = arena_new_of(a->mem, struct frame_slots);
}

void watches_stop(struct api *a)
{
    list_each_safe (l, &a->watches)
        on_timeout(&container_of(l, struct watch, link)->timeout);
}

void watches_done(struct api *a)
{
    loop_timer_stop(&a->bookmarks);
    frame_slots_drop(slots_of(a));
}

/* ---- the request */

static int pin_objs(struct watch *w, struct obj **objs, int count, struct err *err)
{
    w->objs = malloc(sizeof(*objs) * (size_t)(count ? count : 1));
    if (!w->objs)
        return err_set(err, ERR_UNAVAILABLE, "out of memory");
    for (int i = 0; i < count; i++)
        w->objs[i] = obj_ref(objs[i]);
    w->count = count;
    return 0;
}

static int pin(struct watch *w, struct err *err)
{
    cleanup_arena struct arena *tmp = arena_new();
    struct obj **objs;
    bool more;
    int64_t remaining;
    int count;
    if (!str_ends(w->prefix, STR("/"))) { /* it is a key: see watch_prefix */
        struct obj *o = cache_get(w->r->api->cache, w->prefix);
        return pin_objs(w, &o, o && choice_takes(w->r->api, &w->choice, o), err);
    }
    if (list_gather(w->r->api, tmp, &w->choice, w->prefix, STR_NULL, 0, 0, &objs, &count, &more, &remaining, err) < 0)
        return -1;
    return pin_objs(w, objs, count, err);
}

/* The prefix of a watch on one object is its key: others then cost it nothing. */
static struct str watch_prefix(struct api_req *r, const struct choice *c)
{
    struct str name = r->info.watch_path ? r->info.name : STR_NULL;
    if (!name.len && c->fields)
        selector_exact(c->fields, STR("metadata.name"), &name);
    if (name.len && (!r->res->namespaced || r->info.ns.len))
        return obj_key(r->mem, stored_res(r->res), r->info.ns, name);
    return list_prefix(r->mem, r->res, r->info.ns);
}

static struct watch *watch_new(struct api_req *r, const struct list_opts *o, const struct choice *c)
{
    struct watch *w = calloc(1, sizeof(*w));
    if (!w) {
        err_set(&r->err, ERR_UNAVAILABLE, "out of memory");
        return NULL;
    }
    *w = (struct watch){.r = r, .view = {.res = r->res, .m = r->out}, .choice = *c, .bookmarks = o->bookmarks};
    w->prefix = watch_prefix(r, c);
    list_add_tail(&r->api->watches, &w->link);
    loop_timer_init(r->api->loop, &w->timeout, on_timeout);
    r->state = w;
    r->on_abort = on_abort;
    return w;
}

static void start(struct watch *w, const struct list_opts *o)
{
    struct api *a = w->r->api;
    int64_t timeout_ms = o->timeout_s * 1000;
    if (timeout_ms <= 0)
        timeout_ms = API_WATCH_S_MIN * 1000 + (int64_t)(loop_rand(a->loop, RAND_JITTER) % (API_WATCH_S_MIN * 1000));
    loop_timer_start(&w->timeout, timeout_ms);
    if (w->bookmarks && !loop_timer_running(&a->bookmarks))
        loop_timer_start(&a->bookmarks, API_WATCH_BOOKMARK_MS);
    w->r->x->on_drain = on_drain;
    exchange_begin(w->r->x, 200, media_type(&w->view.m));
    if (w->state == WATCH_INITIAL)
        pump_initial(w);
    else
        go_live(w);
}

void handle_watch(struct api_req *r, const struct list_opts *o)
{
    struct choice c;
    uint64_t from;
    if (choice_init(&c, r->res, o, &r->err) < 0 || parse_rev(r, o->rev, true, &from) < 0) {
        reply_err(r);
        return;
    }
    /* no revision or 0: the state of now, then changes; sendInitialEvents decides otherwise when given */
    bool initial = o->initial_events >= 0 ? o->initial_events : from == 0;
    struct watch *w = watch_new(r, o, &c);
    if (!w || (w->view.m.as == AS_TABLE && table_include(&r->query, &w->view.include, &r->err) < 0) ||
        (initial && pin(w, &r->err) < 0)) {
        if (w)
            watch_free(w);
        r->out.stream = false;
        reply_err(r);
        return;
    }
    w->state = initial ? WATCH_INITIAL : WATCH_LIVE;
    w->rev = initial || !from ? cache_rev(r->api->cache) : from;
    w->end_mark = o->initial_events == 1 && o->bookmarks;
    start(w, o);
}
