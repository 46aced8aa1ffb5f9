/* control/ttl_after_finished.c - a finished Job goes ttlSecondsAfterFinished after its end, with its pods.
 *
 * Source: kubernetes pkg/controller/ttlafterfinished. */
#include "control/conditions.h"
#include "control/internal.h"

static void reconcile(struct reconcile *r)
{
    const struct obj *o = cache_get(r->cache, r->key);
    if (!o || o->deleting)
        return;
    const struct doc *job = obj_doc(r->mem, o), *spec = doc_get(job, "spec"), *status = doc_get(job, "status");
    const struct doc *end = condition_get(status, "Complete");
    end = end ? end : condition_get(status, "Failed");
    if (!doc_get(spec, "ttlSecondsAfterFinished") || !str_is(doc_str(end, "status"), "True"))
        return;
    int64_t at_ms = time_ms(doc_str(end, "lastTransitionTime")) + doc_int(spec, "ttlSecondsAfterFinished", 0) * 1000;
    if (at_ms > r->wall_ms)
        r->again_ms = at_ms - r->wall_ms;
    else
        reconcile_delete_how(r, o, PROPAGATE_FOREGROUND, /* grace_s= */ -1, /* exact= */ true);
}

const struct controller_kind controller_ttl_after_finished = {
    .name = "ttl_jobs_to_delete",
    .account = "ttl-after-finished-controller",
    .watches = {{"batch", "jobs"}},
    .reconcile = reconcile,
};
