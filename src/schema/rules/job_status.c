/* schema/rules/job_status.c - the status of a Job and how it may move, and the sets of indexes that Jobs name.
 *
 * What a rule says of a field or condition is only asked when that changed: a spec that moved may make an old status
 * wrong, and its controller must still be able to write the rest (registry/batch/job/strategy.go). Source:
 * pkg/apis/batch/validation. */
#include "schema/rules/kinds.h"
#include "schema/rules/rules.h"

static const struct fpath status_at = {.name = "status"};

struct span {
    int64_t first, last;
};

/* "3" or "3-5"; what is wrong goes to *ret_why in Go's words. */
static bool parse_span(struct arena *mem, struct str text, int64_t completions, struct span *ret, struct str *ret_why)
{
    struct str parts[2], more;
    bool two = str_cut(text, '-', &parts[0], &parts[1]);
    if (two && str_cut(parts[1], '-', &more, &more)) {
        *ret_why = str_fmt(mem,
                           "the fragment " STR_FMT
                           " violates the requirement that an index interval can have at most two parts separated by "
                           "'-'",
                           STR_ARG(str_quote(mem, text)));
        return false;
    }
    int64_t v[2] = {0};
    for (int i = 0; i < 1 + two; i++) {
        const char *wrong = !str_to_i64(parts[i], &v[i]) ? "cannot convert string to integer for index"
                            : v[i] >= completions        ? "too large index"
                                                         : NULL;
        if (wrong) {
            *ret_why = str_fmt(mem, "%s: " STR_FMT, wrong, STR_ARG(str_quote(mem, parts[i])));
            return false;
        }
    }
    if (two && v[0] >= v[1]) {
        *ret_why =
            str_fmt(mem, "non-increasing order, previous: %lld, current: %lld", (long long)v[0], (long long)v[1]);
        return false;
    }
    *ret = (struct span){v[0], two ? v[1] : v[0]};
    return true;
}

bool job_index_set(struct arena *mem, struct str text, int64_t completions, int64_t *ret_count, struct str *ret_why)
{
    struct str rest = text, part;
    struct span span, last = {0};
    bool first = true, more = text.len > 0;
    for (*ret_count = 0; more; first = false) {
        more = str_cut(rest, ',', &part, &rest);
        if (!parse_span(mem, part, completions, &span, ret_why))
            return false;
        if (!first && last.last >= span.first) {
            *ret_why = str_fmt(mem, "non-increasing order, previous: %lld, current: %lld", (long long)last.last,
                               (long long)span.first);
            return false;
        }
        *ret_count += span.last - span.first + 1;
        last = span;
    }
    return true;
}

/* The next readable interval of a list; unreadable ones are said elsewhere. */
static bool next_span(struct arena *mem, struct str *rest, int64_t completions, struct span *ret)
{
    struct str part, why;
    while (str_next(rest, ',', &part))
        if (parse_span(mem, part, completions, ret, &why))
            return true;
    return false;
}

static void check_overlap(struct rule_ctx *c, const struct doc *status, int64_t completions)
{
    struct str done = doc_str(status, "completedIndexes"), failed = doc_str(status, "failedIndexes"), rest = failed;
    struct span x, y;
    bool more = next_span(c->mem, &done, completions, &x) && next_span(c->mem, &rest, completions, &y);
    while (more) {
        if (x.first <= y.last && y.first <= x.last) {
            rule_invalid(c, AT(&status_at, "failedIndexes"), failed,
                         "failedIndexes and completedIndexes overlap at index: %lld",
                         (long long)(x.first > y.first ? x.first : y.first));
            return;
        }
        more =
            x.first <= y.first ? next_span(c->mem, &done, completions, &x) : next_span(c->mem, &rest, completions, &y);
    }
}

static bool is_true(const struct doc *status, const char *type)
{
    doc_each (cond, doc_get(status, "conditions"))
        if (str_is(doc_str(cond, "type"), type) && str_is(doc_str(cond, "status"), "True"))
            return true;
    return false;
}

static bool is_finished(const struct doc *status)
{
    return is_true(status, "Complete") || is_true(status, "Failed");
}

/* What one write changes. */
struct change {
    struct rule_ctx *c;
    const struct doc *spec, *now, *was;
};

static bool moved(const struct change *h, const char *field)
{
    return !rule_equal(doc_get(h->now, field), doc_get(h->was, field));
}

static bool turned(const struct change *h, const char *condition)
{
    return is_true(h->now, condition) != is_true(h->was, condition);
}

static void invalid_conditions(const struct change *h, const char *text)
{
    err_cause(h->c->err, CAUSE_INVALID, AT(&status_at, "conditions"), "%s", text);
}

/* As Go prints a metav1.Time: 2024-05-01 10:00:00 +0000 UTC */
static void invalid_time(const struct change *h, const char *field, const char *text)
{
    struct str t = doc_str(h->now, field);
    if (t.len >= 19)
        t = str_fmt(h->c->mem, "%.10s %.8s +0000 UTC", t.ptr, t.ptr + 11);
    err_cause_raw(h->c->err, CAUSE_INVALID, AT(&status_at, field), t, "%s", text);
}

static void check_uncounted(struct rule_ctx *c, const struct doc *uncounted)
{
    static const char *const lists[] = {"succeeded", "failed", NULL};
    cleanup_set struct rule_set seen = {0};
    for (const char *const *l = lists; *l; l++) {
        const struct fpath *at = AT(AT(&status_at, "uncountedTerminatedPods"), *l);
        rule_each (uid, doc_get(uncounted, *l))
            if (!doc_string(uid).len)
                rule_invalid(c, AT_INDEX(at, uid_i), STR(""), "must not be empty");
            else if (!rule_set_add(&seen, doc_string(uid)))
                rule_duplicate(c, AT_INDEX(at, uid_i), doc_string(uid));
    }
}

static void check_completion(const struct change *h)
{
    bool complete = is_true(h->now, "Complete"), has_time = rule_has(h->now, "completionTime"),
         ask = turned(h, "Complete") || moved(h, "completionTime");
    struct str start = doc_str(h->now, "startTime"), end = doc_str(h->now, "completionTime");
    if ((turned(h, "Complete") || turned(h, "Failed")) && complete && is_true(h->now, "Failed"))
        invalid_conditions(h, "cannot set Complete=True and Failed=true conditions");
    if ((turned(h, "Complete") || turned(h, "FailureTarget")) && complete && is_true(h->now, "FailureTarget"))
        invalid_conditions(h, "cannot set Complete=True and FailureTarget=true conditions");
    if (ask && has_time && !complete)
        invalid_time(h, "completionTime", "cannot set completionTime when there is no Complete=True condition");
    if (ask && !has_time && complete)
        rule_required(h->c, AT(&status_at, "completionTime"), "completionTime is required for Complete jobs");
    if ((moved(h, "startTime") || moved(h, "completionTime")) && start.len && end.len && str_cmp(end, start) < 0)
        invalid_time(h, "completionTime", "completionTime cannot be set before startTime");
}

static void check_finished(const struct change *h)
{
    bool finished = is_finished(h->now), turns = finished != is_finished(h->was);
    const struct doc *uncounted = doc_get(h->now, "uncountedTerminatedPods");
    int64_t active = doc_int(h->now, "active", 0);
    if (!finished)
        return;
    if ((turns || moved(h, "active")) && active > 0)
        rule_invalid_int(h->c, AT(&status_at, "active"), active, "active>0 is invalid for finished job");
    if ((turns || moved(h, "startTime")) && !rule_has(h->now, "startTime"))
        rule_required(h->c, AT(&status_at, "startTime"), "startTime is required for finished job");
    if ((turns || moved(h, "uncountedTerminatedPods")) &&
        doc_len(doc_get(uncounted, "succeeded")) + doc_len(doc_get(uncounted, "failed")) > 0)
        rule_invalid_doc(h->c, AT(&status_at, "uncountedTerminatedPods"), uncounted,
                         "uncountedTerminatedPods needs to be empty for finished job");
}

static void check_set(const struct change *h, const char *field, int64_t completions)
{
    struct str text = doc_str(h->now, field), why;
    int64_t count;
    if (moved(h, field) && !job_index_set(h->c->mem, text, completions, &count, &why))
        rule_invalid(h->c, AT(&status_at, field), text, "error parsing %s: " STR_FMT, field, STR_ARG(why));
}

static void check_indexes(const struct change *h)
{
    const struct doc *completions = doc_get(h->spec, "completions");
    struct str done = doc_str(h->now, "completedIndexes"), failed = doc_str(h->now, "failedIndexes");
    bool per_index = rule_has(h->spec, "backoffLimitPerIndex"), has_failed = rule_has(h->now, "failedIndexes"),
         done_moved = moved(h, "completedIndexes"), failed_moved = moved(h, "failedIndexes");
    if (doc_is(completions, DOC_INT)) {
        check_set(h, "completedIndexes", completions->i);
        if (per_index && has_failed)
            check_set(h, "failedIndexes", completions->i);
    }
    if (done_moved && done.len && !str_is(doc_str(h->spec, "completionMode"), "Indexed"))
        rule_invalid(h->c, AT(&status_at, "completedIndexes"), done,
                     "cannot set non-empty completedIndexes when non-indexed completion mode");
    if (failed_moved && has_failed && !per_index)
        rule_invalid(h->c, AT(&status_at, "failedIndexes"), failed,
                     "cannot set non-null failedIndexes when backoffLimitPerIndex is null");
    if ((done_moved || failed_moved) && has_failed && doc_is(completions, DOC_INT))
        check_overlap(h->c, h->now, completions->i);
}

static void check_success_criteria(const struct change *h)
{
    bool met = is_true(h->now, "SuccessCriteriaMet");
    if (met && is_true(h->now, "Failed"))
        invalid_conditions(h, "cannot set SuccessCriteriaMet=True and Failed=true conditions");
    if (met && is_true(h->now, "FailureTarget"))
        invalid_conditions(h, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions");
    if (rule_has(h->spec, "successPolicy") && !met && is_true(h->now, "Complete"))
        invalid_conditions(h, "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True");
}

/* What may only grow, or stays once it is said. */
static void check_moves(const struct change *h)
{
    static const char *const lasting[] = {"Failed", "Complete", "FailureTarget", NULL};
    int64_t failed = doc_int(h->now, "failed", 0), succeeded = doc_int(h->now, "succeeded", 0);
    bool elastic = str_is(doc_str(h->spec, "completionMode"), "Indexed") &&
                   rule_equal(doc_get(h->spec, "completions"), doc_get(h->spec, "parallelism")),
         met = is_true(h->now, "SuccessCriteriaMet"), was_met = is_true(h->was, "SuccessCriteriaMet");
    for (const char *const *l = lasting; *l; l++)
        if (is_true(h->was, *l) && !is_true(h->now, *l))
            invalid_conditions(h, str_fmtz(h->c->mem, "cannot disable the terminal %s=True condition", *l));
    if (failed < doc_int(h->was, "failed", 0))
        rule_invalid_int(h->c, AT(&status_at, "failed"), failed, "cannot decrease the failed counter");
    if (!elastic && succeeded < doc_int(h->was, "succeeded", 0))
        rule_invalid_int(h->c, AT(&status_at, "succeeded"), succeeded, "cannot decrease the succeeded counter");
    if (rule_has(h->now, "completionTime") && rule_has(h->was, "completionTime") && moved(h, "completionTime"))
        invalid_time(h, "completionTime", "completionTime cannot be mutated");
    if (rule_has(h->was, "startTime") && moved(h, "startTime") && !doc_bool(h->spec, "suspend", false))
        rule_required(h->c, AT(&status_at, "startTime"), "startTime cannot be removed for unsuspended job");
    if (was_met && !met)
        invalid_conditions(h, "cannot disable the SuccessCriteriaMet=True condition");
    if (is_true(h->was, "Complete") && !was_met && met)
        invalid_conditions(h, "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions");
}

void validate_job_status(struct rule_ctx *c, const struct doc *obj, const struct doc *old, const struct fpath *at)
{
    static const char *const counts[] = {"active", "succeeded", "failed", "ready", "terminating", NULL};
    struct change h = {
        .c = c, .spec = doc_get(obj, "spec"), .now = doc_get(obj, "status"), .was = doc_get(old, "status")};
    check_nonnegative_in(c, &status_at, h.now, counts);
    check_uncounted(c, doc_get(h.now, "uncountedTerminatedPods"));
    check_completion(&h);
    check_finished(&h);
    check_indexes(&h);
    check_success_criteria(&h);
    check_moves(&h);
}
