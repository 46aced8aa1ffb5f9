/* Deployments, ReplicaSets, StatefulSets, DaemonSets, ReplicationControllers, Jobs, CronJobs, ControllerRevisions. */
#include "schema/labels.h"
#include "schema/print/print.h"
#include "schema/times.h"

static const struct doc *template_spec(const struct row *r)
{
    return doc_path(r->spec, "template", "spec", NULL);
}

static void row_status_int(struct row *r, const char *key)
{
    row_int(r, doc_int(r->status, key, 0));
}

static void row_ready(struct row *r) /* 2/3 */
{
    row_fmt(r, "%lld/%lld", (long long)doc_int(r->status, "readyReplicas", 0),
            (long long)doc_int(r->spec, "replicas", 0));
}

void print_deployment(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    struct selector *sel = selector_from_doc(mem, doc_get(r.spec, "selector"), NULL);
    row_ready(&r);
    row_status_int(&r, "updatedReplicas");
    row_status_int(&r, "availableReplicas");
    row_age(&r);
    row_containers(&r, template_spec(&r));
    row_str(&r, sel ? selector_str(mem, sel) : STR("<invalid>")); /* unlike the others, empty stays empty */
}

/* Desired, Current, Ready, Age, Containers, Images */
static void replicas(struct row *r)
{
    row_int(r, doc_int(r->spec, "replicas", 0));
    row_status_int(r, "replicas");
    row_status_int(r, "readyReplicas");
    row_age(r);
    row_containers(r, template_spec(r));
}

void print_replica_set(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    replicas(&r);
    row_selector(&r, doc_get(r.spec, "selector"));
}

void print_replication_controller(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    replicas(&r);
    row_labels(&r, doc_get(r.spec, "selector"));
}

void print_stateful_set(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    row_ready(&r);
    row_age(&r);
    row_containers(&r, template_spec(&r));
}

void print_daemon_set(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    row_status_int(&r, "desiredNumberScheduled");
    row_status_int(&r, "currentNumberScheduled");
    row_status_int(&r, "numberReady");
    row_status_int(&r, "updatedNumberScheduled");
    row_status_int(&r, "numberAvailable");
    row_labels(&r, doc_get(template_spec(&r), "nodeSelector"));
    row_age(&r);
    row_containers(&r, template_spec(&r));
    row_selector(&r, doc_get(r.spec, "selector"));
}

static const char *job_status(const struct row *r)
{
    const struct doc *conditions = doc_get(r->status, "conditions");
    if (print_condition(conditions, "Complete"))
        return "Complete";
    if (print_condition(conditions, "Failed"))
        return "Failed";
    if (doc_get(r->meta, "deletionTimestamp"))
        return "Terminating";
    if (print_condition(conditions, "Suspended"))
        return "Suspended";
    return print_condition(conditions, "FailureTarget") ? "FailureTarget" : "Running";
}

static void row_completions(struct row *r)
{
    long long done = doc_int(r->status, "succeeded", 0), wanted = doc_int(r->spec, "completions", -1);
    long long parallelism = doc_int(r->spec, "parallelism", 0);
    if (wanted >= 0)
        row_fmt(r, "%lld/%lld", done, wanted);
    else if (parallelism > 1)
        row_fmt(r, "%lld/1 of %lld", done, parallelism);
    else
        row_fmt(r, "%lld/1", done);
}

static void row_job_duration(struct row *r)
{
    int64_t start = print_time(r->mem, doc_get(r->status, "startTime"));
    int64_t end = print_time(r->mem, doc_get(r->status, "completionTime"));
    if (start == TIME_ZERO_SEC)
        row_str(r, STR(""));
    else
        row_str(r, human_duration(r->mem, (end == TIME_ZERO_SEC ? r->now_ms : end * 1000) - start * 1000));
}

void print_job(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    row_str(&r, str_of(job_status(&r)));
    row_completions(&r);
    row_job_duration(&r);
    row_age(&r);
    row_containers(&r, template_spec(&r));
    row_selector(&r, doc_get(r.spec, "selector"));
}

void print_cron_job(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    const struct doc *suspend = doc_get(r.spec, "suspend"), *last = doc_get(r.status, "lastScheduleTime");
    const struct doc *job = doc_path(r.spec, "jobTemplate", "spec", NULL);
    row_str(&r, doc_str(r.spec, "schedule"));
    row_or(&r, doc_str(r.spec, "timeZone"), "<none>");
    row_str(&r, !doc_is(suspend, DOC_BOOL) ? STR("<unset>") : suspend->b ? STR("True") : STR("False"));
    row_int(&r, doc_len(doc_get(r.status, "active")));
    row_str(&r, doc_string(last).len ? print_since(&r, last) : STR("<none>"));
    row_age(&r);
    row_containers(&r, doc_path(job, "template", "spec", NULL));
    row_selector(&r, doc_get(job, "selector"));
}

/* daemonset.apps/x: the kind in lower case, qualified, and the name. */
static struct str controller(const struct row *r)
{
    doc_each (ref, doc_get(r->meta, "ownerReferences")) {
        struct str group, version, kind = print_lower(r->mem, doc_str(ref, "kind")), name = doc_str(ref, "name");
        if (!doc_bool(ref, "controller", false))
            continue;
        if (!str_cut(doc_str(ref, "apiVersion"), '/', &group, &version)) /* core */
            return str_fmt(r->mem, STR_FMT "/" STR_FMT, STR_ARG(kind), STR_ARG(name));
        return str_fmt(r->mem, STR_FMT "." STR_FMT "/" STR_FMT, STR_ARG(kind), STR_ARG(group), STR_ARG(name));
    }
    return STR("<none>");
}

void print_controller_revision(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    row_str(&r, controller(&r));
    row_int(&r, doc_int(obj, "revision", 0));
    row_age(&r);
}
