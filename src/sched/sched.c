/* sched/sched.c - the queues and the round: takes pods in order of priority, picks, assumes, binds.
 *
 * A pod that fits nowhere waits until something changed that may help it (a node, a pod that left), then backs off 1 s
 * doubling to 10 s per attempt; as a safety net all are tried again after five minutes (kube-scheduler's flush).
 * Nothing waiting: no timer runs. */
#include "sched/sched.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/tree.h"
#include "sched/framework.h"
#include "sched/sched_metrics.h"
#include "write/bind.h"

enum { BACKOFF_MS = 1000, BACKOFF_MS_MAX = 10000, FLUSH_MS = 300000, PODS_PER_TURN = 32 };

struct sched {
    struct sched_opts o;
    struct cache_sub pods_sub, nodes_sub;
    struct map pods;   /* key -> struct pod_info */
    struct tree nodes; /* name -> struct node_info */
    struct heap active, backoff;
    struct list unschedulable;
    struct loop_task round;
    struct loop_timer backoff_timer, flush_timer;
    struct metric_probe probe;
    uint64_t next_id;
    int writes;   /* under way */
    bool stopped; /* the last write to end frees the rest */
};

static void release(struct sched *s)
{
    if (s->stopped && !s->writes)
        free(s);
}

static void look(struct metric_probe *probe)
{
    struct sched *s = container_of(probe, struct sched, probe);
    int waiting = 0;
    list_each (l, &s->unschedulable)
        waiting++;
    sched_show_pending(s->active.count, s->backoff.count, waiting);
}

static struct node_info *node_of(struct sched *s, struct str name)
{
    struct node_info *n = tree_get(&s->nodes, name);
    if (!n) {
        n = node_info_new(name);
        tree_put(&s->nodes, n->name, n);
    }
    return n;
}

static void drop_empty_node(struct sched *s, struct node_info *n)
{
    if (n->obj || n->pod_count)
        return;
    tree_del(&s->nodes, n->name);
    node_info_free(n);
}

/* ---- queues */

static void make_active(struct sched *s, struct pod_info *p)
{
    if (!p->first_us)
        p->first_us = loop_now_us(s->o.loop);
    p->place = POD_ACTIVE;
    p->heap.key = -p->priority, p->heap.id = ++s->next_id; /* equal priorities: in order of arrival */
    heap_push(&s->active, &p->heap);
    loop_post(s->o.loop, &s->round);
}

static void arm_backoff(struct sched *s)
{
    struct heap_item *first = heap_peek(&s->backoff);
    int64_t now = loop_now_ms(s->o.loop);
    if (first)
        loop_timer_start(&s->backoff_timer, first->key > now ? first->key - now : 0);
}

static void make_backoff(struct sched *s, struct pod_info *p)
{
    int64_t wait = BACKOFF_MS << (p->attempts > 4 ? 4 : p->attempts > 0 ? p->attempts - 1 : 0);
    p->place = POD_BACKOFF;
    p->heap.key = p->queued_ms + (wait > BACKOFF_MS_MAX ? BACKOFF_MS_MAX : wait), p->heap.id = ++s->next_id;
    heap_push(&s->backoff, &p->heap);
    arm_backoff(s);
}

static void make_unschedulable(struct sched *s, struct pod_info *p)
{
    p->place = POD_UNSCHEDULABLE;
    p->queued_ms = loop_now_ms(s->o.loop);
    list_add_tail(&s->unschedulable, &p->link);
    if (!loop_timer_running(&s->flush_timer))
        loop_timer_start(&s->flush_timer, FLUSH_MS);
}

static void leave_queue(struct sched *s, struct pod_info *p)
{
    if (p->place == POD_ACTIVE)
        heap_remove(&s->active, &p->heap);
    else if (p->place == POD_BACKOFF)
        heap_remove(&s->backoff, &p->heap);
    else if (p->place == POD_UNSCHEDULABLE)
        list_remove(&p->link);
    p->place = POD_UNKNOWN;
}

/* Something changed that may let a waiting pod run. */
static void wake_unschedulable(struct sched *s)
{
    list_each_safe (l, &s->unschedulable) {
        struct pod_info *p = container_of(l, struct pod_info, link);
        leave_queue(s, p);
        make_backoff(s, p);
    }
    loop_timer_stop(&s->flush_timer);
}

static void on_flush(struct loop_timer *t)
{
    wake_unschedulable(container_of(t, struct sched, flush_timer));
}

static void on_backoff(struct loop_timer *t)
{
    struct sched *s = container_of(t, struct sched, backoff_timer);
    int64_t now = loop_now_ms(s->o.loop);
    for (struct heap_item *i; (i = heap_peek(&s->backoff)) && i->key <= now;) {
        heap_pop(&s->backoff);
        make_active(s, container_of(i, struct pod_info, heap));
    }
    arm_backoff(s);
}

/* ---- what happens in the cluster */

static void forget_pod(struct sched *s, struct pod_info *p)
{
    struct node_info *n = p->node;
    leave_queue(s, p);
    if (n) {
        node_info_remove(n, p);
        drop_empty_node(s, n);
    }
    map_del(&s->pods, p->obj->key);
    pod_info_free(p);
}

/* Only its status moved: what we look at is as before. */
static bool same_spec(const struct obj *a, const struct cache_event *ev)
{
    cleanup_arena struct arena *mem = arena_new();
    const struct obj *b = ev->obj;
    return a->deleting == b->deleting && a->label_count == b->label_count &&
           doc_eq(doc_get(a == ev->prev ? cache_event_prev_doc(ev) : obj_doc(mem, a), "spec"),
                  doc_get(cache_event_doc(ev), "spec"));
}

static void place_pod(struct sched *s, struct pod_info *p, struct str node)
{
    map_put(&s->pods, p->obj->key, p);
    if (p->is_bound) {
        p->place = POD_PLACED;
        node_info_add(node_of(s, node), p);
    } else if (p->is_ours) {
        make_active(s, p);
    }
}

static void on_pod(struct cache_sub *sub, struct cache_event *ev)
{
    struct sched *s = container_of(sub, struct sched, pods_sub);
    struct str node = STR_NULL;
    struct pod_info *was = map_get(&s->pods, ev->obj->key);
    struct pod_info *p = ev->type == CACHE_DELETED ? NULL : pod_info_new(ev->obj, cache_event_doc(ev), &node);
    bool over = p && p->is_over, bound_now = p && p->is_bound;
    if (was && p && !over && !bound_now && (was->is_assumed || same_spec(was->obj, ev))) {
        /* Only its status moved, often by ourselves. The map's key lives in the object. */
        struct obj *old = was->obj;
        was->obj = obj_ref(ev->obj);
        map_put(&s->pods, was->obj->key, was);
        obj_unref(old);
        pod_info_free(p);
        return;
    }
    bool freed = was && was->place == POD_PLACED && (!p || over);
    if (was)
        forget_pod(s, was);
    if (over)
        p = pod_info_free(p);
    if (p)
        place_pod(s, p, node);
    if (freed)
        wake_unschedulable(s);
}

/* A heartbeat changes nothing that a filter looks at. */
static bool node_differs(const struct cache_event *ev)
{
    const struct doc *a = cache_event_doc(ev), *b = cache_event_prev_doc(ev);
    return !doc_eq(doc_get(a, "spec"), doc_get(b, "spec")) ||
           !doc_eq(doc_path(a, "status", "allocatable", NULL), doc_path(b, "status", "allocatable", NULL)) ||
           !doc_eq(doc_path(a, "metadata", "labels", NULL), doc_path(b, "metadata", "labels", NULL));
}

static void on_node(struct cache_sub *sub, struct cache_event *ev)
{
    struct sched *s = container_of(sub, struct sched, nodes_sub);
    struct node_info *n = node_of(s, ev->obj->name);
    bool differs = !ev->prev || node_differs(ev);
    if (ev->type == CACHE_DELETED) {
        node_info_set(n, NULL);
        drop_empty_node(s, n);
    } else if (differs || !n->obj) {
        node_info_set(n, ev->obj);
        wake_unschedulable(s);
    }
}

/* ---- the round */

struct binding {
    struct sched *s;
    struct arena *mem;
    struct str key, node, uid;
    int64_t started_us, first_us;
    int attempts;
};

static void on_bound(void *ctx, struct obj *obj, const struct err *err)
{
    struct binding *b = ctx;
    struct sched *s = b->s;
    struct pod_info *p = s->stopped ? NULL : map_get(&s->pods, b->key);
    int64_t now_us = loop_now_us(s->o.loop);
    s->writes--;
    sched_count_attempt(err ? ATTEMPT_ERROR : ATTEMPT_SCHEDULED, now_us - b->started_us);
    if (!err) {
        sched_count_scheduled(b->attempts, now_us - b->first_us);
        write_event(s->o.writer, STR(SCHEDULER_NAME), obj, "Normal", "Scheduled",
                    "Successfully assigned " STR_FMT "/" STR_FMT " to " STR_FMT, STR_ARG(obj->ns), STR_ARG(obj->name),
                    STR_ARG(b->node));
    } else if (p && p->is_assumed && str_eq(p->obj->uid, b->uid)) {
        struct node_info *n = p->node;
        log_warn("sched", "a binding was refused", "pod=" STR_FMT " message=" STR_FMT, STR_ARG(b->key),
                 STR_ARG(err->message));
        node_info_remove(n, p);
        drop_empty_node(s, n);
        p->is_assumed = false, p->place = POD_UNKNOWN, p->queued_ms = loop_now_ms(s->o.loop);
        if (p->is_ours)
            make_backoff(s, p);
    }
    arena_free(b->mem);
    release(s);
}

static void assume_and_bind(struct sched *s, struct pod_info *p, struct node_info *n, int64_t started_us)
{
    struct arena *mem = arena_new();
    struct binding *b = arena_new_of(mem, struct binding);
    b->s = s, b->mem = mem;
    b->started_us = started_us, b->first_us = p->first_us, b->attempts = p->attempts;
    b->key = str_dup(mem, p->obj->key), b->node = str_dup(mem, n->name), b->uid = str_dup(mem, p->obj->uid);
    p->place = POD_PLACED, p->is_assumed = true;
    node_info_add(n, p);
    s->writes++;
    write_bind(s->o.writer, NULL, p->obj->ns, p->obj->name, p->obj->uid, n->name, on_bound, b);
}

struct refusal {
    struct write_req req;
    struct sched *s;
    struct str message;
};

static struct doc *put_refusal(struct write_req *r, struct doc *pod, struct err *err)
{
    struct refusal *f = r->ctx;
    if (!doc_path(pod, "spec", "nodeName", NULL))
        put_condition(r->mem, pod, "PodScheduled", "False", STR("Unschedulable"), f->message,
                      write_now(f->s->o.writer, r->mem));
    return pod;
}

static void on_refused(struct write_req *r, struct obj *obj, const struct err *err)
{
    struct refusal *f = r->ctx;
    struct sched *s = f->s;
    arena_free(r->mem);
    s->writes--;
    release(s);
}

/* Say why, in the pod's condition and an event. An unchanged condition is not written again. */
static void refuse(struct sched *s, struct pod_info *p, struct str message)
{
    struct arena *mem = arena_new();
    struct refusal *f = arena_new_of(mem, struct refusal);
    const struct resource *pods = p->obj->res;
    f->s = s, f->message = str_dup(mem, message);
    f->req = (struct write_req){.mem = mem,
                                .verb = WRITE_PATCH,
                                .res = pods,
                                .sub = resource_subresource(pods, STR("status")),
                                .ns = str_dup(mem, p->obj->ns),
                                .name = str_dup(mem, p->obj->name),
                                .want_uid = str_dup(mem, p->obj->uid),
                                .mutate = put_refusal,
                                .done = on_refused,
                                .ctx = f};
    write_event(s->o.writer, STR(SCHEDULER_NAME), p->obj, "Warning", "FailedScheduling", STR_FMT, STR_ARG(message));
    s->writes++;
    write_start(s->o.writer, &f->req);
}

static int list_nodes(struct sched *s, struct arena *mem, struct node_info ***ret)
{
    struct node_info **list = arena_array(mem, struct node_info *, s->nodes.count + 1);
    struct tree_iter it = tree_iter_at(&s->nodes, STR(""));
    int count = 0;
    for (struct node_info *n; (n = tree_next(&it, NULL));)
        if (n->obj)
            list[count++] = n;
    *ret = list;
    return count;
}

static void schedule_one(struct sched *s, struct pod_info *p)
{
    cleanup_arena struct arena *mem = arena_new();
    struct cycle c = {.mem = mem, .pod = p, .spec = doc_get(obj_doc(mem, p->obj), "spec")};
    struct str message = STR_NULL;
    int64_t started_us = loop_now_us(s->o.loop);
    c.node_count = list_nodes(s, mem, &c.nodes);
    p->attempts++;
    p->place = POD_UNKNOWN;
    struct node_info *n = sched_pick(&c, s->o.loop, &message);
    if (n) {
        assume_and_bind(s, p, n, started_us);
    } else {
        sched_count_attempt(ATTEMPT_UNSCHEDULABLE, loop_now_us(s->o.loop) - started_us);
        make_unschedulable(s, p);
        refuse(s, p, message);
    }
}

static void on_round(struct loop_task *t)
{
    struct sched *s = container_of(t, struct sched, round);
    for (int i = 0; i < PODS_PER_TURN; i++) {
        struct heap_item *item = heap_pop(&s->active);
        if (!item)
            break;
        schedule_one(s, container_of(item, struct pod_info, heap));
    }
    if (heap_peek(&s->active))
        loop_post(s->o.loop, &s->round);
}

/* ---- start and stop */

static void read_present(struct sched *s, struct cache_sub *sub)
{
    struct cache_iter it = cache_list(s->o.cache, sub->prefix, STR_NULL);
    for (struct obj *o; (o = cache_next(&it));) {
        struct cache_event ev = {.rev = o->rev, .type = CACHE_ADDED, .obj = o};
        sub->on_event(sub, &ev);
        cache_event_done(&ev);
    }
}

struct sched *sched_start(const struct sched_opts *o)
{
    struct sched *s = calloc(1, sizeof(*s));
    if (!s)
        abort(); /* at start */
    s->o = *o;
    s->probe.look = look;
    metric_probe_add(&s->probe);
    list_init(&s->unschedulable);
    loop_task_init(&s->round, on_round);
    loop_timer_init(o->loop, &s->backoff_timer, on_backoff);
    loop_timer_init(o->loop, &s->flush_timer, on_flush);
    list_init(&s->pods_sub.link), list_init(&s->nodes_sub.link);
    s->nodes_sub.prefix = STR("nodes/"), s->nodes_sub.on_event = on_node;
    s->pods_sub.prefix = STR("pods/"), s->pods_sub.on_event = on_pod;
    read_present(s, &s->nodes_sub);
    read_present(s, &s->pods_sub);
    cache_subscribe(o->cache, &s->nodes_sub, 0, NULL);
    cache_subscribe(o->cache, &s->pods_sub, 0, NULL);
    return s;
}

struct sched *sched_stop(struct sched *s)
{
    if (!s)
        return NULL;
    cache_unsubscribe(s->o.cache, &s->nodes_sub);
    cache_unsubscribe(s->o.cache, &s->pods_sub);
    loop_timer_stop(&s->backoff_timer), loop_timer_stop(&s->flush_timer);
    loop_task_cancel(&s->round);
    metric_probe_remove(&s->probe);
    uint32_t it = 0;
    struct str key;
    void *value;
    while (map_each(&s->pods, &it, &key, &value)) {
        struct pod_info *p = value;
        map_del(&s->pods, key);
        if (p->node)
            node_info_remove(p->node, p);
        pod_info_free(p);
    }
    for (struct node_info *n; (n = tree_seek(&s->nodes, STR(""), false, NULL));) {
        tree_del(&s->nodes, n->name);
        node_info_free(n);
    }
    map_done(&s->pods), tree_done(&s->nodes), heap_done(&s->active), heap_done(&s->backoff);
    s->stopped = true;
    release(s);
    return NULL;
}
