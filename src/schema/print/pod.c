/* Pods: one word for everything a pod can be. Source: printPod of printers.go. */
#include "schema/print/print.h"
#include "schema/times.h"

/* What the loops over container statuses gather. */
struct tally {
    struct arena *mem;
    const struct doc *pod_spec;
    struct str reason;
    int64_t restarts, ready, total;
    int64_t last_restart, last_sidecar_restart; /* seconds; TIME_ZERO_SEC: never */
    int64_t sidecar_restarts;                   /* those of restartable init containers count for the pod's life */
};

static bool is_sidecar(const struct doc *spec, struct str name)
{
    doc_each (c, doc_get(spec, "initContainers")) {
        if (str_eq(doc_str(c, "name"), name))
            return str_is(doc_str(c, "restartPolicy"), "Always");
    }
    return false;
}

static void count_restart(struct tally *t, const struct doc *status, int64_t *restarts, int64_t *last)
{
    int64_t at = print_time(t->mem, doc_path(status, "lastState", "terminated", "finishedAt", NULL));
    *restarts += doc_int(status, "restartCount", 0);
    if (at > *last)
        *last = at;
}

/* `Reason`, or how it ended when nobody said why. */
static struct str ended(struct arena *mem, const char *prefix, const struct doc *terminated)
{
    struct str reason = doc_str(terminated, "reason");
    int64_t signal = doc_int(terminated, "signal", 0);
    if (reason.len)
        return str_fmt(mem, "%s" STR_FMT, prefix, STR_ARG(reason));
    if (signal)
        return str_fmt(mem, "%sSignal:%lld", prefix, (long long)signal);
    return str_fmt(mem, "%sExitCode:%lld", prefix, (long long)doc_int(terminated, "exitCode", 0));
}

/* False: this one is done, or a sidecar that runs; look at the next. */
static bool init_blocks(struct tally *t, const struct doc *c, int index, bool sidecar)
{
    const struct doc *state = doc_get(c, "state"), *terminated = doc_get(state, "terminated");
    struct str waiting = doc_str(doc_get(state, "waiting"), "reason");
    if (terminated && doc_int(terminated, "exitCode", 0) == 0)
        return false;
    if (sidecar && doc_bool(c, "started", false)) {
        t->ready += doc_bool(c, "ready", false);
        return false;
    }
    if (terminated)
        t->reason = ended(t->mem, "Init:", terminated);
    else if (waiting.len && !str_is(waiting, "PodInitializing"))
        t->reason = str_fmt(t->mem, "Init:" STR_FMT, STR_ARG(waiting));
    else
        t->reason = str_fmt(t->mem, "Init:%d/%u", index, doc_len(doc_get(t->pod_spec, "initContainers")));
    return true;
}

static bool look_at_init(struct tally *t, const struct doc *statuses)
{
    int index = 0;
    doc_each (c, statuses) {
        bool sidecar = is_sidecar(t->pod_spec, doc_str(c, "name"));
        count_restart(t, c, &t->restarts, &t->last_restart);
        if (sidecar)
            count_restart(t, c, &t->sidecar_restarts, &t->last_sidecar_restart);
        if (init_blocks(t, c, index++, sidecar))
            return true;
    }
    return false;
}

/* The first container that has something to say wins: Kubernetes walks them backwards and lets each overwrite. */
static void look_at_containers(struct tally *t, const struct doc *statuses, bool pod_ready)
{
    bool running = false, said = false;
    t->restarts = t->sidecar_restarts;
    t->last_restart = t->last_sidecar_restart;
    doc_each (c, statuses) {
        const struct doc *state = doc_get(c, "state"), *terminated = doc_get(state, "terminated");
        struct str waiting = doc_str(doc_get(state, "waiting"), "reason");
        count_restart(t, c, &t->restarts, &t->last_restart);
        if (waiting.len || terminated) {
            if (!said)
                t->reason = waiting.len ? waiting : ended(t->mem, "", terminated);
            said = true;
        } else if (doc_bool(c, "ready", false) && doc_get(state, "running")) {
            running = true;
            t->ready++;
        }
    }
    if (running && str_is(t->reason, "Completed"))
        t->reason = pod_ready ? STR("Running") : STR("NotReady");
}

static void count_containers(struct tally *t)
{
    t->total = doc_len(doc_get(t->pod_spec, "containers"));
    doc_each (c, doc_get(t->pod_spec, "initContainers"))
        t->total += str_is(doc_str(c, "restartPolicy"), "Always");
}

static struct str first_reason(const struct row *r)
{
    struct str reason = doc_str(r->status, "reason");
    if (!reason.len)
        reason = doc_str(r->status, "phase");
    doc_each (c, doc_get(r->status, "conditions")) {
        if (str_is(doc_str(c, "type"), "PodScheduled") && str_is(doc_str(c, "reason"), "SchedulingGated"))
            reason = STR("SchedulingGated");
    }
    return reason;
}

static struct str last_reason(const struct row *r, struct str reason)
{
    struct str phase = doc_str(r->status, "phase");
    if (!doc_get(r->meta, "deletionTimestamp"))
        return reason;
    if (str_is(doc_str(r->status, "reason"), "NodeLost"))
        return STR("Unknown");
    return str_is(phase, "Succeeded") || str_is(phase, "Failed") ? reason : STR("Terminating");
}

static void put_readiness_gates(struct row *r)
{
    const struct doc *gates = doc_get(r->spec, "readinessGates"), *conditions = doc_get(r->status, "conditions");
    int holding = 0;
    if (!doc_len(gates)) {
        row_str(r, STR("<none>"));
        return;
    }
    doc_each (g, gates)
        holding += print_condition(conditions, str_z(r->mem, doc_str(g, "conditionType")));
    row_fmt(r, "%d/%u", holding, doc_len(gates));
}

void print_pod(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    const struct doc *conditions = doc_get(r.status, "conditions");
    struct tally t = {.mem = mem, .pod_spec = r.spec, .reason = first_reason(&r)};
    t.last_restart = t.last_sidecar_restart = TIME_ZERO_SEC;
    count_containers(&t);
    bool initializing = look_at_init(&t, doc_get(r.status, "initContainerStatuses"));
    if (!initializing || print_condition(conditions, "Initialized"))
        look_at_containers(&t, doc_get(r.status, "containerStatuses"), print_condition(conditions, "Ready"));

    row_fmt(&r, "%lld/%lld", (long long)t.ready, (long long)t.total);
    row_str(&r, last_reason(&r, t.reason));
    if (t.restarts && t.last_restart != TIME_ZERO_SEC)
        row_fmt(&r, "%lld (" STR_FMT " ago)", (long long)t.restarts,
                STR_ARG(human_duration(mem, now_ms - t.last_restart * 1000)));
    else
        row_fmt(&r, "%lld", (long long)t.restarts);
    row_age(&r);
    row_or(&r, doc_str(doc_first(doc_get(r.status, "podIPs")), "ip"), "<none>");
    row_or(&r, doc_str(r.spec, "nodeName"), "<none>");
    row_or(&r, doc_str(r.status, "nominatedNodeName"), "<none>");
    put_readiness_gates(&r);
}

void print_pod_template(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    const struct doc *template = doc_get(obj, "template");
    row_containers(&r, doc_get(template, "spec"));
    row_labels(&r, doc_path(template, "metadata", "labels", NULL));
}
