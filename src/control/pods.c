/* control/pods.c - pods as their owners see them. */
#include "control/pods.h"

#include <stdlib.h>

#include "control/conditions.h"
#include "control/owner.h"

bool pod_phase_is(const struct pod *p, const char *phase)
{
    return str_is(doc_str(doc_get(p->doc, "status"), "phase"), phase);
}

struct pod pod_read(const struct obj *o, const struct doc *doc)
{
    struct pod p = {.obj = o, .doc = doc};
    const struct doc *ready = condition_get(doc_get(p.doc, "status"), "Ready");
    p.finished = pod_phase_is(&p, "Succeeded") || pod_phase_is(&p, "Failed");
    p.active = !p.finished && !o->deleting;
    p.ready = str_is(doc_str(ready, "status"), "True");
    p.ready_ms = p.ready ? time_ms(doc_str(ready, "lastTransitionTime")) : 0;
    if (!str_to_i64(meta_annotation(p.doc, "controller.kubernetes.io/pod-deletion-cost"), &p.deletion_cost))
        p.deletion_cost = 0;
    return p;
}

struct pod pod_of(struct arena *mem, const struct obj *o)
{
    return pod_read(o, obj_doc(mem, o));
}

struct pod *pods_of(struct arena *mem, struct obj **objs, int count)
{
    struct pod *pods = arena_array(mem, struct pod, count + 1);
    for (int i = 0; i < count; i++)
        pods[i] = pod_of(mem, objs[i]);
    return pods;
}

bool pod_is_available(const struct pod *p, int64_t min_ready_s, int64_t wall_ms, int64_t *again_ms)
{
    if (!p->ready)
        return false;
    int64_t left_ms = p->ready_ms + min_ready_s * 1000 - wall_ms;
    if (min_ready_s == 0 || (p->ready_ms && left_ms <= 0))
        return true;
    if (p->ready_ms && (!*again_ms || left_ms < *again_ms))
        *again_ms = left_ms;
    return false;
}

struct doc *pod_from_template(struct arena *mem, const struct obj *owner, const struct doc *template)
{
    static const char *const copied[] = {"labels", "annotations", "finalizers"};
    struct doc *pod = doc_new_object(mem), *meta = doc_sub(mem, pod, "metadata");
    doc_put_str(mem, pod, "apiVersion", STR("v1"));
    doc_put_str(mem, pod, "kind", STR("Pod"));
    doc_put_str(mem, meta, "generateName", str_fmt(mem, STR_FMT "-", STR_ARG(owner->name)));
    for (int i = 0; i < 3; i++) {
        const struct doc *d = doc_path(template, "metadata", copied[i], NULL);
        if (d)
            doc_put(mem, meta, copied[i], doc_copy(mem, d));
    }
    owner_put(mem, meta, owner);
    const struct doc *spec = doc_get(template, "spec");
    doc_put(mem, pod, "spec", spec ? doc_copy(mem, spec) : doc_new_object(mem));
    return pod;
}

/* ---- ranking for deletion (ActivePodsWithRanks) */

struct ranked {
    struct pod pod;
    bool assigned;
    int phase, neighbours;
    int64_t restarts, age_ms, ready_age_ms;
};

static int phase_rank(const struct pod *p)
{
    return pod_phase_is(p, "Pending") ? 0 : pod_phase_is(p, "Running") ? 2 : 1;
}

static int64_t restarts_max(const struct pod *p)
{
    int64_t most = 0;
    doc_each (c, doc_path(p->doc, "status", "containerStatuses", NULL)) {
        int64_t n = doc_int(c, "restartCount", 0);
        most = n > most ? n : most;
    }
    return most;
}

/* Ages count in powers of two, so that among pods of about the same age it is chance (the uid) that decides. */
static int log_age(int64_t age_ms)
{
    int n = 0;
    for (int64_t s = age_ms; s > 0; s /= 2)
        n++;
    return n;
}

static int by(int64_t a, int64_t b) /* smaller first */
{
    return a < b ? -1 : a > b;
}

static int compare(const void *x, const void *y)
{
    const struct ranked *a = x, *b = y;
    int c;
    if ((c = by(a->assigned, b->assigned)) || (c = by(a->phase, b->phase)) || (c = by(a->pod.ready, b->pod.ready)) ||
        (c = by(a->pod.deletion_cost, b->pod.deletion_cost)) || (c = by(b->neighbours, a->neighbours)))
        return c;
    if (a->pod.ready && b->pod.ready && (c = by(log_age(a->ready_age_ms), log_age(b->ready_age_ms))))
        return c;
    if ((c = by(b->restarts, a->restarts)) || (c = by(log_age(a->age_ms), log_age(b->age_ms))))
        return c;
    return str_cmp(a->pod.obj->uid, b->pod.obj->uid);
}

static int neighbours_of(const struct pod *pods, int count, int i)
{
    int n = 0;
    for (int k = 0; k < count; k++)
        n += pods[i].obj->node.len && str_eq(pods[k].obj->node, pods[i].obj->node);
    return n;
}

void pods_rank_for_deletion(struct arena *mem, struct pod *pods, int count, int64_t wall_ms)
{
    struct ranked *ranked = arena_array(mem, struct ranked, count + 1);
    for (int i = 0; i < count; i++)
        ranked[i] = (struct ranked){.pod = pods[i],
                                    .assigned = pods[i].obj->node.len > 0,
                                    .phase = phase_rank(&pods[i]),
                                    .neighbours = neighbours_of(pods, count, i),
                                    .restarts = restarts_max(&pods[i]),
                                    .age_ms = wall_ms - pods[i].obj->created_ms,
                                    .ready_age_ms = wall_ms - pods[i].ready_ms};
    qsort(ranked, (size_t)count, sizeof(*ranked), compare);
    for (int i = 0; i < count; i++)
        pods[i] = ranked[i].pod;
}
