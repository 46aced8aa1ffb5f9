/* control/event_ttl.c - Events are forgotten some time after they were last seen, as kube-apiserver's --event-ttl has
 * it.
 */
#include "control/conditions.h"
#include "control/internal.h"

static int64_t last_seen_ms(struct arena *mem, const struct obj *o)
{
    static const char *const names[] = {"lastTimestamp", "eventTime", "firstTimestamp"};
    const struct doc *e = obj_doc(mem, o);
    int64_t last = time_ms(doc_str(doc_get(e, "series"), "lastObservedTime"));
    for (int i = 0; i < 3; i++) {
        int64_t t = time_ms(doc_str(e, names[i]));
        last = t > last ? t : last;
    }
    return o->created_ms > last ? o->created_ms : last;
}

static void reconcile(struct reconcile *r)
{
    const struct obj *o = cache_get(r->cache, r->key);
    if (!o || o->deleting)
        return;
    int64_t left_ms = last_seen_ms(r->mem, o) + controller_opts(r->c)->event_ttl_ms - r->wall_ms;
    if (left_ms <= 0)
        reconcile_delete(r, o);
    else
        r->again_ms = left_ms;
}

static void on_event(struct controller *c, const struct cache_event *ev)
{
    if (ev->type == CACHE_ADDED)
        controller_enqueue(c, ev->obj->key);
}

const struct controller_kind controller_event_ttl = {
    .name = "event_ttl",
    .account = "event-ttl-controller",
    .watches = {{"", "events", on_event}},
    .reconcile = reconcile,
};
