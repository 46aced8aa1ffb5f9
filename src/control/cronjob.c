/* control/cronjob.c - CronJobs: a Job each time the schedule comes round.
 *
 * A Job's name carries the minute it is for, so that none is made twice; status.active and lastScheduleTime follow from
 * the Jobs that are there, whatever died in between. Source: kubernetes pkg/controller/cronjob (controllerv2).
 * Ours knows UTC only: a CronJob with another spec.timeZone is not started, and an event says so. */
#include <stdlib.h>
#include <time.h>

#include "control/conditions.h"
#include "control/cron_schedule.h"
#include "control/internal.h"
#include "control/owner.h"

#define SCHEDULED_AT "batch.kubernetes.io/cronjob-scheduled-timestamp"
enum { MISSED_MAX = 100, LATE_MS = 100 };

struct child {
    const struct obj *obj;
    const char *end;       /* "Complete", "Failed"; NULL: goes on */
    int64_t at_s, start_s; /* at_s 0: not one that the schedule made */
    struct str completed;
};
struct cronjob {
    struct reconcile *r;
    const struct obj *obj;
    struct doc *doc, *status;
    const struct doc *spec, *stored;
    struct child *jobs;
    int job_count, active;
};

/* ---- the snapshot */

static struct str job_name(const struct cronjob *c, int64_t at_s)
{
    return str_fmt(c->r->mem, STR_FMT "-%lld", STR_ARG(c->obj->name), (long long)(at_s / 60));
}

static struct child child_of(const struct cronjob *c, const struct obj *o)
{
    const struct doc *d = obj_doc(c->r->mem, o), *status = doc_get(d, "status");
    struct child j = {.obj = o, .completed = doc_str(status, "completionTime")};
    int64_t at_s = time_ms(meta_annotation(d, SCHEDULED_AT)) / 1000;
    j.at_s = at_s && str_eq(o->name, job_name(c, at_s)) ? at_s : 0;
    j.start_s = time_ms(doc_str(status, "startTime")) / 1000;
    j.end = condition_is(status, "Complete", "True") ? "Complete"
            : condition_is(status, "Failed", "True") ? "Failed"
                                                     : NULL;
    return j;
}

static void load(struct cronjob *c)
{
    int count;
    struct obj **list = cache_by_owner(c->r->cache, c->r->mem, c->obj->uid, &count);
    c->jobs = arena_array(c->r->mem, struct child, count + 1);
    for (int i = 0; i < count; i++)
        if (list[i]->res == schema_stored("batch", "jobs"))
            c->jobs[c->job_count++] = child_of(c, list[i]);
}

static const struct child *child_by_uid(const struct cronjob *c, struct str uid)
{
    for (int i = 0; i < c->job_count; i++)
        if (str_eq(c->jobs[i].obj->uid, uid))
            return &c->jobs[i];
    return NULL;
}

static bool was_active(const struct cronjob *c, struct str uid)
{
    doc_each (ref, doc_get(c->stored, "active")) {
        if (str_eq(doc_str(ref, "uid"), uid))
            return true;
    }
    return false;
}

/* ---- the status */

static struct doc *reference(struct arena *mem, const struct obj *o)
{
    struct doc *ref = doc_new_object(mem);
    doc_put_str(mem, ref, "apiVersion", STR("batch/v1"));
    doc_put_str(mem, ref, "kind", STR("Job"));
    doc_put_str(mem, ref, "name", o->name);
    doc_put_str(mem, ref, "namespace", o->ns);
    doc_put_str(mem, ref, "resourceVersion", str_fmt(mem, "%llu", (unsigned long long)o->rev));
    doc_put_str(mem, ref, "uid", o->uid);
    return ref;
}

static void follow_jobs(struct cronjob *c)
{
    struct arena *mem = c->r->mem;
    struct doc *active = doc_new_array(mem);
    doc_each (ref, doc_get(c->stored, "active")) { /* those that stand there keep their place and words */
        const struct child *j = child_by_uid(c, doc_str(ref, "uid"));
        if (j && !j->end)
            doc_push(active, doc_copy(mem, ref));
    }
    int64_t last_s = time_ms(doc_str(c->stored, "lastScheduleTime")) / 1000;
    int64_t success_ms = time_ms(doc_str(c->stored, "lastSuccessfulTime"));
    for (int i = 0; i < c->job_count; i++) {
        const struct child *j = &c->jobs[i];
        if (!j->end && !was_active(c, j->obj->uid)) {
            if (j->at_s)
                doc_push(active, reference(mem, j->obj));
            else /* kubectl create job --from */
                reconcile_event(c->r, c->obj, "Warning", "UnexpectedJob",
                                "Saw a job that the controller did not create or forgot: " STR_FMT,
                                STR_ARG(j->obj->name));
        }
        if (j->at_s > last_s) {
            last_s = j->at_s;
            doc_put_str(mem, c->status, "lastScheduleTime", write_time(mem, last_s * 1000));
        }
        if (j->end && !strcmp(j->end, "Complete") && time_ms(j->completed) > success_ms) {
            success_ms = time_ms(j->completed);
            doc_put_str(mem, c->status, "lastSuccessfulTime", j->completed);
        }
    }
    c->active = (int)doc_len(active);
    if (c->active)
        doc_put(mem, c->status, "active", active);
    else
        doc_del(c->status, "active");
}

/* ---- history */

static int by_start(const void *x, const void *y)
{
    const struct child *a = x, *b = y;
    int64_t s = a->start_s ? a->start_s : INT64_MAX, t = b->start_s ? b->start_s : INT64_MAX;
    return s != t ? (s < t ? -1 : 1) : str_cmp(a->obj->name, b->obj->name);
}

static void keep_newest(struct cronjob *c, const char *end, const char *limit, int64_t usual)
{
    int64_t count = 0, keep = doc_int(c->spec, limit, usual);
    for (int i = 0; i < c->job_count; i++)
        count += c->jobs[i].end && !strcmp(c->jobs[i].end, end);
    for (int i = 0; i < c->job_count && count > keep; i++) { /* the oldest first */
        if (!c->jobs[i].end || strcmp(c->jobs[i].end, end) != 0)
            continue;
        count--;
        if (!c->jobs[i].obj->deleting)
            reconcile_delete(c->r, c->jobs[i].obj);
    }
}

/* ---- starting */

static void create(struct cronjob *c, int64_t at_s)
{
    static const char *const copied[] = {"labels", "annotations"};
    struct arena *mem = c->r->mem;
    const struct doc *template = doc_get(c->spec, "jobTemplate");
    struct doc *job = doc_new_object(mem), *meta = doc_sub(mem, job, "metadata");
    doc_put_str(mem, job, "apiVersion", STR("batch/v1"));
    doc_put_str(mem, job, "kind", STR("Job"));
    doc_put_str(mem, meta, "name", job_name(c, at_s));
    doc_put_str(mem, meta, "namespace", c->obj->ns);
    for (int i = 0; i < 2; i++) {
        const struct doc *d = doc_path(template, "metadata", copied[i], NULL);
        if (d)
            doc_put(mem, meta, copied[i], doc_copy(mem, d));
    }
    doc_put_str(mem, doc_sub(mem, meta, "annotations"), SCHEDULED_AT, write_time(mem, at_s * 1000));
    owner_put(mem, meta, c->obj);
    doc_put(mem, job, "spec", doc_copy(mem, doc_get(template, "spec")));
    reconcile_create(c->r, schema_stored("batch", "jobs"), c->obj->ns, job);
}

static void replace_active(struct cronjob *c)
{
    for (int i = 0; i < c->job_count; i++)
        if (!c->jobs[i].end && c->jobs[i].at_s && !c->jobs[i].obj->deleting)
            reconcile_delete(c->r, c->jobs[i].obj);
}

static struct str time_in_words(struct arena *mem, int64_t sec) /* RFC 1123 with a numeric zone */
{
    char text[64];
    time_t t = (time_t)sec;
    struct tm tm;
    gmtime_r(&t, &tm);
    strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S +0000", &tm);
    return str_dup(mem, str_of(text));
}

/* The time that is due and not yet served; -1: none. */
static int64_t due(struct cronjob *c, const struct cron *cron, int64_t now_s)
{
    int64_t since_s = time_ms(doc_str(c->status, "lastScheduleTime")) / 1000;
    since_s = since_s ? since_s : c->obj->created_ms / 1000;
    bool limited = doc_get(c->spec, "startingDeadlineSeconds");
    int64_t deadline_s = doc_int(c->spec, "startingDeadlineSeconds", 0), at_s = cron_latest(cron, since_s, now_s);
    int64_t from_s = limited && now_s - deadline_s > since_s ? now_s - deadline_s : since_s;
    if (at_s >= 0 && cron_missed(cron, from_s, now_s, MISSED_MAX + 1) > MISSED_MAX)
        reconcile_event(c->r, c->obj, "Warning", "TooManyMissedTimes",
                        "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock "
                        "skew");
    if (at_s >= 0 && limited && (at_s + deadline_s) * 1000 < c->r->wall_ms) {
        reconcile_event(c->r, c->obj, "Warning", "MissSchedule", "Missed scheduled time to start a job: " STR_FMT,
                        STR_ARG(time_in_words(c->r->mem, at_s)));
        return -1;
    }
    return at_s;
}

static void start(struct cronjob *c, int64_t at_s)
{
    struct str policy = doc_str(c->spec, "concurrencyPolicy");
    if (cache_find(c->r->cache, schema_stored("batch", "jobs"), c->obj->ns, job_name(c, at_s)))
        return; /* @every of less than a minute: the minute has its Job */
    if (str_is(policy, "Forbid") && c->active) {
        reconcile_event(c->r, c->obj, "Normal", "JobAlreadyActive",
                        "Not starting job because prior execution is running and concurrency policy is Forbid");
        return;
    }
    if (str_is(policy, "Replace"))
        replace_active(c);
    create(c, at_s);
}

static void follow_schedule(struct cronjob *c)
{
    struct reconcile *r = c->r;
    struct str zone = doc_str(c->spec, "timeZone"), text = doc_str(c->spec, "schedule");
    struct cron cron;
    if (zone.len && !str_is(zone, "UTC") && !str_is(zone, "Etc/UTC")) {
        reconcile_event(r, c->obj, "Warning", "UnknownTimeZone", "invalid timeZone: " STR_FMT ": only UTC is known",
                        STR_ARG(str_quote(r->mem, zone)));
        return;
    }
    if (doc_bool(c->spec, "suspend", false))
        return;
    const char *wrong = cron_parse(r->mem, text, &cron);
    if (!wrong && (str_starts(text, STR("TZ=")) || str_starts(text, STR("CRON_TZ="))))
        wrong = "time zones in the schedule are not supported";
    if (wrong) {
        reconcile_event(r, c->obj, "Warning", "UnparseableSchedule", "unparseable schedule: " STR_FMT " : %s",
                        STR_ARG(str_quote(r->mem, text)), wrong);
        return;
    }
    int64_t now_s = r->wall_ms / 1000, at_s = due(c, &cron, now_s);
    if (at_s >= 0)
        start(c, at_s);
    int64_t next_s = cron_next(&cron, cron.every_s && at_s >= 0 ? at_s : now_s);
    if (next_s >= 0)
        r->again_ms = next_s * 1000 + LATE_MS - r->wall_ms;
}

/* ---- one pass */

static void say_what_ended(struct cronjob *c, const struct obj *o)
{
    doc_each (ref, doc_get(c->stored, "active")) {
        const struct child *j = child_by_uid(c, doc_str(ref, "uid"));
        struct str name = doc_str(ref, "name");
        if (j && j->end)
            reconcile_event(c->r, o, "Normal", "SawCompletedJob", "Saw completed job: " STR_FMT ", status: %s",
                            STR_ARG(name), j->end);
        else if (!j)
            reconcile_event(c->r, o, "Normal", "MissingJob", "Active job went missing: " STR_FMT, STR_ARG(name));
    }
}

static void written(struct reconcile *r, enum write_verb verb, const struct resource *res, struct str name,
                    const struct obj *obj, const struct err *err)
{
    const struct obj *o = cache_get(r->cache, r->key);
    if (!o)
        return;
    if (verb == WRITE_UPDATE && !err)
        say_what_ended(r->ctx, o);
    else if (verb == WRITE_CREATE && !err)
        reconcile_event(r, o, "Normal", "SuccessfulCreate", "Created job " STR_FMT, STR_ARG(name));
    else if (verb == WRITE_CREATE && r->failed)
        reconcile_event(r, o, "Warning", "FailedCreate", "Error creating job: " STR_FMT, STR_ARG(err->message));
    else if (verb == WRITE_DELETE && !err)
        reconcile_event(r, o, "Normal", "SuccessfulDelete", "Deleted job " STR_FMT, STR_ARG(name));
    else if (verb == WRITE_DELETE && r->failed)
        reconcile_event(r, o, "Warning", "FailedDelete", "Deleted job: " STR_FMT, STR_ARG(err->message));
}

static void reconcile(struct reconcile *r)
{
    const struct obj *o = cache_get(r->cache, r->key);
    if (!o)
        return;
    struct cronjob *c = arena_new_of(r->mem, struct cronjob);
    *c = (struct cronjob){.r = r, .obj = o, .doc = obj_doc(r->mem, o)};
    c->spec = doc_get(c->doc, "spec");
    c->stored = doc_get(obj_doc(r->mem, o), "status");
    c->status = doc_sub(r->mem, c->doc, "status");
    r->ctx = c, r->written = written;
    load(c);
    follow_jobs(c);
    qsort(c->jobs, (size_t)c->job_count, sizeof(*c->jobs), by_start);
    keep_newest(c, "Complete", "successfulJobsHistoryLimit", 3);
    keep_newest(c, "Failed", "failedJobsHistoryLimit", 1);
    if (!o->deleting)
        follow_schedule(c);
    reconcile_update(r, o->res, "status", c->doc);
}

static void on_job(struct controller *c, const struct cache_event *ev)
{
    owner_enqueue(c, schema_stored("batch", "cronjobs"), ev);
}

const struct controller_kind controller_cronjob = {
    .name = "cronjob",
    .watches = {{"batch", "cronjobs"}, {"batch", "jobs", on_job}},
    .reconcile = reconcile,
};
