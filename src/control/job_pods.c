/* control/job_pods.c - a Job's pods are made and removed. */
#include "control/conditions.h"
#include "control/job.h"

enum {
    BURST_MAX = 500,
    GENERATED_MAX = 63 - 5 /* what generateName may have before its random tail */
};

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

/* generateName keeps the index where the Job's name has to be cut. */
static struct str pod_prefix(struct job *j, int64_t index)
{
    struct arena *mem = j->r->mem;
    struct str tail = str_fmt(mem, "-%lld-", (long long)index), name = j->obj->name;
    size_t room = (size_t)GENERATED_MAX - tail.len;
    name = name.len > room ? str_head(name, room) : name;
    return str_fmt(mem, STR_FMT STR_FMT, STR_ARG(name), STR_ARG(tail));
}

static void put_failures(struct job *j, struct doc *annotations, const struct pod *before)
{
    struct arena *mem = j->r->mem;
    struct str message;
    int64_t failed = 0, ignored = 0;
    if (before) {
        bool ignore = job_pod_action(j, before, &message) == JOB_ACTION_IGNORE;
        failed = job_pod_failures(before, JOB_INDEX_FAILED) + !ignore;
        ignored = job_pod_failures(before, JOB_INDEX_IGNORED) + ignore;
    }
    doc_put_str(mem, annotations, JOB_INDEX_FAILED, str_fmt(mem, "%lld", (long long)failed));
    if (ignored)
        doc_put_str(mem, annotations, JOB_INDEX_IGNORED, str_fmt(mem, "%lld", (long long)ignored));
}

static void put_index(struct job *j, struct doc *pod, int64_t index)
{
    struct arena *mem = j->r->mem;
    struct doc *meta = doc_get(pod, "metadata"), *spec = doc_get(pod, "spec");
    struct str text = str_fmt(mem, "%lld", (long long)index);
    doc_put_str(mem, doc_sub(mem, meta, "annotations"), JOB_INDEX_LABEL, text);
    doc_put_str(mem, doc_sub(mem, meta, "labels"), JOB_INDEX_LABEL, text);
    doc_put_str(mem, meta, "generateName", pod_prefix(j, index));
    doc_put_str(mem, spec, "hostname", str_fmt(mem, STR_FMT "-" STR_FMT, STR_ARG(j->obj->name), STR_ARG(text)));
    put_index_env(mem, doc_get(spec, "initContainers"));
    put_index_env(mem, doc_get(spec, "containers"));
    if (j->per_index)
        put_failures(j, doc_sub(mem, meta, "annotations"), job_held_pod(j, index));
}

static void create_pod(struct job *j, int64_t index)
{
    struct arena *mem = j->r->mem;
    struct doc *pod = pod_from_template(mem, j->obj, doc_get(j->spec, "template"));
    if (!meta_has_finalizer(pod, JOB_FINALIZER))
        doc_push(doc_sub_array(mem, doc_get(pod, "metadata"), "finalizers"), doc_new_str(mem, STR(JOB_FINALIZER)));
    if (j->indexed)
        put_index(j, pod, index);
    reconcile_create(j->r, schema_stored("", "pods"), j->obj->ns, pod);
}

/* The lowest indexes that neither succeeded nor failed nor run; as many as wanted, fewer when there are no more. */
static int64_t pending_indexes(const struct job *j, int64_t *ret, int64_t wanted)
{
    struct job_indexes taken = job_indexes_of(j->r->mem);
    job_indexes_merge(&taken, &j->done);
    job_indexes_merge(&taken, &j->lost);
    for (int i = 0; i < j->pod_count; i++) {
        const struct pod *p = &j->pods[i];
        int64_t index = job_pod_index(p, j->completions);
        if (index >= 0 && (p->active || (j->only_failed && !p->finished)))
            job_indexes_add(&taken, index, index);
    }
    return job_indexes_missing(&taken, j->completions, ret, wanted);
}

static void again_in(struct job *j, int64_t wait_ms)
{
    j->r->again_ms = !j->r->again_ms || wait_ms < j->r->again_ms ? wait_ms : j->r->again_ms;
}

/* Keep those whose own back-off is over. */
static int64_t rested_indexes(struct job *j, int64_t *indexes, int64_t n)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t wait_ms = job_backoff_index_left_ms(job_held_pod(j, indexes[i]), j->r->wall_ms);
        if (wait_ms > 0)
            again_in(j, wait_ms);
        else
            indexes[kept++] = indexes[i];
    }
    return kept;
}

static void create_pods(struct job *j, int64_t missing)
{
    struct reconcile *r = j->r;
    int64_t wait_ms = j->per_index ? 0 : job_backoff_left_ms(j->pods, j->pod_count, r->wall_ms);
    if (wait_ms > 0) {
        again_in(j, wait_ms);
        return;
    }
    int64_t batch = r->memo > 0 ? r->memo : 1, n = missing < BURST_MAX ? missing : BURST_MAX;
    int64_t *indexes = arena_array(r->mem, int64_t, n + 1);
    if (j->indexed)
        n = pending_indexes(j, indexes, n);
    if (j->per_index)
        n = rested_indexes(j, indexes, n);
    n = n < batch ? n : batch;
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

/* Remove a pod that did nothing wrong: first our finalizer, then, when that is answered, the pod. */
static void shed(struct job *j, const struct pod *p)
{
    if (!job_pod_is_tracked(p)) {
        reconcile_delete(j->r, p->obj);
        return;
    }
    j->shed[j->shed_count++] = p->obj->uid;
    job_release(j->r, p->obj);
}

void job_pod_released(struct job *j, const struct obj *o)
{
    for (int i = 0; i < j->shed_count; i++)
        if (str_eq(j->shed[i], o->uid))
            reconcile_delete(j->r, o);
}

/* Put the pods first whose index another has too (all but the best of them) or is none. Returns how many. */
static int64_t put_repeated_first(struct job *j, struct pod *list)
{
    struct job_indexes seen = job_indexes_of(j->r->mem);
    struct pod *kept = arena_array(j->r->mem, struct pod, j->active + 1);
    int64_t n = 0, rest = 0;
    for (int64_t i = j->active; i-- > 0;) { /* the list is in order of deletion: the last is the best */
        int64_t index = job_pod_index(&list[i], j->completions);
        if (index >= 0 && !job_indexes_has(&seen, index)) {
            job_indexes_add(&seen, index, index);
            kept[rest++] = list[i];
        } else {
            n++;
            kept[j->active - n] = list[i];
        }
    }
    for (int64_t i = 0; i < j->active; i++)
        list[i] = kept[j->active - 1 - i];
    return n;
}

/* At least excess pods go. Returns how many. */
static int64_t remove_pods(struct job *j, int64_t excess)
{
    struct pod *list = active_pods(j);
    excess = excess > 0 ? excess : 0;
    pods_rank_for_deletion(j->r->mem, list, (int)j->active, j->r->wall_ms);
    int64_t repeated = j->indexed ? put_repeated_first(j, list) : 0, n = repeated > excess ? repeated : excess;
    n = n < BURST_MAX ? n : BURST_MAX;
    j->shed = arena_array(j->r->mem, struct str, n + 1);
    for (int64_t i = 0; i < n; i++)
        shed(j, &list[i]);
    return n;
}

int64_t job_want_active(int64_t parallelism, int64_t completions, int64_t succeeded, int64_t active)
{
    if (completions < 0)
        return succeeded > 0 ? active : parallelism;
    int64_t left = completions - succeeded;
    left = left < 0 ? 0 : left;
    return left < parallelism ? left : parallelism;
}

void job_manage_pods(struct job *j)
{
    int64_t parallelism = doc_int(j->spec, "parallelism", 1);
    int64_t want = j->suspended ? 0 : job_want_active(parallelism, j->completions, j->succeeded, j->active);
    int64_t removed = remove_pods(j, j->active - want);
    int64_t missing = want - j->active - (j->only_failed ? j->terminating : 0);
    if (removed == 0 && missing > 0)
        create_pods(j, missing);
    else
        j->r->memo = 0;
}
