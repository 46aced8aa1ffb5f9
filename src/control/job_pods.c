/* control/job_pods.c - a Job's pods are made and removed. */
#include "control/conditions.h"
#include "control/job.h"

enum { BURST_MAX = 500 };

/* ---- making */

static void put_index_env(struct arena *mem, struct doc *containers)
{
    doc_each (c, containers) {
        struct doc *env = doc_sub_array(mem, c, "env"), *e = doc_new_object(mem);
        bool given = false;
        doc_each (v, env)
            given |= str_is(doc_str(v, "name"), "JOB_COMPLETION_INDEX");
        if (given)
            continue;
        doc_put_str(mem, e, "name", STR("JOB_COMPLETION_INDEX"));
        doc_put_str(mem, doc_sub(mem, doc_sub(mem, e, "valueFrom"), "fieldRef"), "fieldPath",
                    STR("metadata.labels['" JOB_INDEX_LABEL "']"));
        doc_push(env, e);
    }
}

static void put_index(struct job *j, struct doc *pod, int64_t index)
{
    struct arena *mem = j->r->mem;
    struct doc *meta = doc_get(pod, "metadata"), *spec = doc_get(pod, "spec");
    struct str text = str_fmt(mem, "%lld", (long long)index);
    struct str name = str_fmt(mem, STR_FMT "-" STR_FMT, STR_ARG(j->obj->name), STR_ARG(text));
    doc_put_str(mem, doc_sub(mem, meta, "annotations"), JOB_INDEX_LABEL, text);
    doc_put_str(mem, doc_sub(mem, meta, "labels"), JOB_INDEX_LABEL, text);
    doc_put_str(mem, meta, "generateName", str_fmt(mem, STR_FMT "-", STR_ARG(name)));
    doc_put_str(mem, spec, "hostname", name);
    put_index_env(mem, doc_get(spec, "initContainers"));
    put_index_env(mem, doc_get(spec, "containers"));
}

static void create_pod(struct job *j, int64_t index)
{
    struct arena *mem = j->r->mem;
    struct doc *pod = pod_from_template(mem, j->obj, doc_get(j->spec, "template"));
    doc_push(doc_sub_array(mem, doc_get(pod, "metadata"), "finalizers"), doc_new_str(mem, STR(JOB_FINALIZER)));
    if (j->indexed)
        put_index(j, pod, index);
    reconcile_create(j->r, schema_stored("", "pods"), j->obj->ns, pod);
}

/* The lowest indexes that neither succeeded nor run; as many as wanted, fewer when there are no more. */
static int64_t pending_indexes(const struct job *j, int64_t *ret, int64_t wanted)
{
    bool *taken = arena_array(j->r->mem, bool, j->completions + 1);
    int64_t n = 0;
    memcpy(taken, j->done, sizeof(bool) * (size_t)j->completions);
    for (int i = 0; i < j->pod_count; i++) {
        int64_t index = job_pod_index(&j->pods[i], j->completions);
        if (index >= 0 && j->pods[i].active)
            taken[index] = true;
    }
    for (int64_t i = 0; i < j->completions && n < wanted; i++)
        if (!taken[i])
            ret[n++] = i;
    return n;
}

static void create_pods(struct job *j, int64_t missing)
{
    struct reconcile *r = j->r;
    int64_t wait_ms = job_backoff_left_ms(j->pods, j->pod_count, r->wall_ms);
    if (wait_ms > 0) {
        r->again_ms = !r->again_ms || wait_ms < r->again_ms ? wait_ms : r->again_ms;
        return;
    }
    int64_t batch = r->memo > 0 ? r->memo : 1, n = missing < batch ? missing : batch;
    int64_t *indexes = arena_array(r->mem, int64_t, n + 1);
    if (j->indexed)
        n = pending_indexes(j, indexes, n);
    for (int64_t i = 0; i < n; i++)
        create_pod(j, indexes[i]);
    r->memo = batch < BURST_MAX ? batch * 2 : batch;
}

/* ---- removing */

static struct pod *active_pods(const struct job *j)
{
    struct pod *list = arena_array(j->r->mem, struct pod, j->pod_count + 1);
    int n = 0;
    for (int i = 0; i < j->pod_count; i++)
        if (j->pods[i].active)
            list[n++] = j->pods[i];
    return list;
}

void job_delete_active(struct job *j)
{
    struct pod *list = active_pods(j);
    for (int64_t i = 0; i < j->active && i < BURST_MAX; i++)
        reconcile_delete(j->r, list[i].obj);
}

static void delete_pods(struct job *j, int64_t excess)
{
    struct pod *list = active_pods(j);
    pods_rank_for_deletion(j->r->mem, list, (int)j->active, j->r->wall_ms);
    for (int64_t i = 0; i < excess && i < BURST_MAX; i++)
        reconcile_delete(j->r, list[i].obj);
}

void job_manage_pods(struct job *j)
{
    int64_t parallelism = doc_int(j->spec, "parallelism", 1);
    if (j->suspended) {
        job_delete_active(j);
        return;
    }
    int64_t want = job_want_active(parallelism, j->completions, j->succeeded, j->active);
    int64_t missing = want - j->active;
    if (str_is(doc_str(j->spec, "podReplacementPolicy"), "Failed"))
        missing -= missing > 0 ? j->terminating : 0;
    if (missing > 0) {
        create_pods(j, missing);
        return;
    }
    j->r->memo = 0;
    if (want < j->active)
        delete_pods(j, j->active - want);
}
