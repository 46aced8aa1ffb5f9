/* api/usage.c - get and list of NodeMetrics and PodMetrics: which nodes and pods are meant, and what they use.
 *
 * Names and labels are those of the node or pod; who has no usage (not running, too young, on a node that does not
 * answer) is left out of lists. Unlike metrics-server a pod whose init containers run is shown too. Paging is not
 * offered, as there. Source: metrics-server pkg/api. */
#include "api/usage.h"
#include "schema/quantity.h"
#include "schema/times.h"

struct question {
    struct api_req *r;
    const struct resource *of; /* core pods or nodes */
    struct choice choice;      /* of a list */
    struct usage_wait *wait;
};

bool is_usage(const struct resource *res)
{
    return !strcmp(res->group, "metrics.k8s.io");
}

static bool is_list(const struct question *q)
{
    return !strcmp(q->r->info.verb, "list");
}

/* What is asked about, borrowed for this turn. -1: r->err. */
static int gather(struct question *q, struct obj ***ret, int *ret_count)
{
    struct api_req *r = q->r;
    bool more;
    int64_t remaining;
    if (is_list(q))
        return list_gather(r->api, r->mem, &q->choice, list_prefix(r->mem, q->of, r->info.ns), STR_NULL, 0, 0, ret,
                           ret_count, &more, &remaining, &r->err);
    *ret = arena_array(r->mem, struct obj *, 1);
    **ret = cache_find(r->api->cache, q->of, r->info.ns, r->info.name);
    *ret_count = 1;
    return **ret ? 0 : err_not_found(&r->err, STR_NULL, str_of(q->of->name), r->info.name);
}

static struct str node_of(const struct obj *o)
{
    return o->res->namespaced ? o->node : o->name;
}

/* What is known of it; NULL: nothing. */
static struct usage_point *const *points_of(struct api *a, const struct obj *o, int *ret_count)
{
    const struct usage_table *t = usage_known(a, node_of(o));
    return t ? usage_table_find(t, o->ns, o->ns.len ? o->name : STR_NULL, ret_count) : NULL;
}

/* Each once. */
static int nodes_of(struct question *q, struct obj **objs, int count, struct usage_want **ret)
{
    struct api *a = q->r->api;
    struct map seen = MAP_INIT;
    struct usage_want *wants = arena_array(q->r->mem, struct usage_want, count + 1), *w;
    int64_t now_ms = loop_wall_ms(a->loop);
    int n = 0, points;
    for (int i = 0; i < count; i++) {
        struct str name = node_of(objs[i]);
        if (!name.len)
            continue;
        if (!(w = map_get(&seen, name))) {
            w = &wants[n++];
            w->node = name;
            map_put(&seen, name, w);
        }
        w->again |= now_ms - objs[i]->created_ms < USAGE_YOUNG_MS && !points_of(a, objs[i], &points);
    }
    map_done(&seen);
    *ret = wants;
    return n;
}

/* ---- the answer */

static void put_usage(struct arena *mem, struct doc *to, const struct usage_point *p)
{
    struct doc *d = doc_sub(mem, to, "usage");
    doc_put_str(mem, d, "cpu", quantity_str(mem, (struct quantity){p->cpu_nano, QUANTITY_DECIMAL}));
    doc_put_str(mem, d, "memory", quantity_str(mem, quantity_of(p->memory_bytes, QUANTITY_BINARY)));
}

static struct doc *head(struct arena *mem, const struct resource *res, const struct obj *o, int64_t now_ms)
{
    struct doc *d = doc_new_object(mem);
    doc_put_str(mem, d, "kind", str_of(res->kind));
    doc_put_str(mem, d, "apiVersion", str_of(res->api_version));
    struct doc *meta = doc_sub(mem, d, "metadata");
    doc_put_str(mem, meta, "name", o->name);
    if (o->ns.len)
        doc_put_str(mem, meta, "namespace", o->ns);
    doc_put_str(mem, meta, "creationTimestamp", time_format(mem, now_ms / 1000, 0, false));
    struct doc *labels = o->label_count ? doc_sub(mem, meta, "labels") : NULL;
    for (int i = 0; i < o->label_count; i++)
        doc_set(labels, o->labels[i].key, doc_new_str(mem, o->labels[i].value));
    return d;
}

/* NULL: nothing is known. */
static struct obj *usage_obj(struct question *q, struct arena *mem, const struct obj *o)
{
    struct api_req *r = q->r;
    int count = 0;
    struct usage_point *const *points = points_of(r->api, o, &count);
    const struct usage_point *oldest = count ? points[0] : NULL;
    for (int i = 0; i < count; i++) {
        if (!points[i]->window_ms) /* all or nothing: half a pod's use would be read as the whole */
            return NULL;
        oldest = points[i]->at_ms < oldest->at_ms ? points[i] : oldest;
    }
    if (!count)
        return NULL;
    struct doc *d = head(mem, r->res, o, loop_wall_ms(r->api->loop));
    doc_put_str(mem, d, "timestamp", time_format(mem, oldest->at_ms / 1000, 0, false));
    doc_put_str(mem, d, "window", duration_format(mem, oldest->window_ms * 1000000));
    struct doc *list = o->ns.len ? doc_sub_array(mem, d, "containers") : NULL;
    for (int i = 0; i < count; i++) {
        struct doc *one = list ? doc_push(list, doc_new_object(mem)) : d;
        if (list)
            doc_put_str(mem, one, "name", points[i]->container);
        put_usage(mem, one, points[i]);
    }
    return obj_made(r->res, d, &r->err);
}

static void answer_list(struct question *q, struct obj **objs, int count)
{
    struct api_req *r = q->r;
    const struct list_meta meta = {.remaining = -1};
    struct obj **made = arena_array(r->mem, struct obj *, count + 1);
    struct arena *tmp = arena_new();
    int n = 0;
    for (int i = 0; i < count; i++) {
        made[n] = usage_obj(q, tmp, objs[i]);
        n += made[n] != NULL;
        arena_reset(tmp);
    }
    arena_free(tmp);
    list_send(r, made, n, &meta);
    for (int i = 0; i < n; i++)
        obj_unref(made[i]);
}

static void answer_get(struct question *q, const struct obj *o)
{
    struct api_req *r = q->r;
    cleanup_obj struct obj *made = usage_obj(q, r->mem, o);
    if (made) {
        reply_obj(r, 200, made);
        return;
    }
    bool pod = r->res->namespaced;
    err_not_found(&r->err, str_of(r->res->group), pod ? STR("podmetrics") : STR("nodemetrics"),
                  pod ? str_fmt(r->mem, STR_FMT "/" STR_FMT, STR_ARG(o->ns), STR_ARG(o->name)) : o->name);
    reply_err(r);
}

static void answer(void *ctx)
{
    struct question *q = ctx;
    struct obj **objs;
    int count;
    q->r->on_abort = NULL;
    q->r->state = NULL;
    if (gather(q, &objs, &count) < 0)
        reply_err(q->r);
    else if (is_list(q))
        answer_list(q, objs, count);
    else
        answer_get(q, objs[0]);
}

static void on_abort(struct api_req *r)
{
    struct question *q = r->state;
    usage_wait_cancel(q->wait);
}

void handle_usage(struct api_req *r)
{
    struct question *q = arena_new_of(r->mem, struct question);
    struct list_opts o;
    struct obj **objs;
    int count;
    q->r = r;
    q->of = schema_resource(STR_NULL, STR("v1"), str_of(r->res->name));
    if (is_list(q) && (list_options(r, &o) < 0 || choice_init(&q->choice, r->res, &o, &r->err) < 0)) {
        reply_err(r);
        return;
    }
    q->choice.res = q->of;
    if (gather(q, &objs, &count) < 0) {
        reply_err(r);
        return;
    }
    struct usage_want *wants;
    int n = nodes_of(q, objs, count, &wants);
    q->wait = usage_ask(r->api, wants, n, answer, q);
    if (!q->wait) {
        answer(q);
        return;
    }
    r->state = q;
    r->on_abort = on_abort;
}
