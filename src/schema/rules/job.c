/* schema/rules/job.c - Job and CronJob. Source: pkg/apis/batch/validation. */
#include "schema/labels.h"
#include "schema/rules/cron.h"
#include "schema/rules/kinds.h"
#include "schema/rules/rules.h"

enum {
    INDEXED_PARALLELISM_MAX = 100000,
    FAILED_INDEXES_MAX = 100000,
    COMPLETIONS_SOFT_MAX = 100000,
    HIGH_PARALLELISM_MAX = 10000,
    HIGH_FAILED_INDEXES_MAX = 10000,
    FAILURE_RULES_MAX = 20,
    EXIT_CODES_MAX = 255,
    CONDITION_PATTERNS_MAX = 20,
    SUCCESS_RULES_MAX = 20,
    SUCCEEDED_INDEXES_BYTES_MAX = 64 << 10,
    CRON_NAME_MAX = 52,
    MANAGED_BY_MAX = 63,
};
static const struct fpath spec_at = {.name = "spec"};

static const char only_indexed[] = "requires indexed completion mode";

static void check_indexed(struct rule_ctx *c, const struct fpath *at, const struct doc *spec)
{
    const struct doc *completions = doc_get(spec, "completions"), *failed = doc_get(spec, "maxFailedIndexes");
    const struct fpath *failed_at = AT(at, "maxFailedIndexes");
    int64_t parallelism = doc_int(spec, "parallelism", 0);
    if (!doc_is(completions, DOC_INT))
        rule_required(c, AT(at, "completions"), "when completion mode is Indexed");
    if (parallelism > INDEXED_PARALLELISM_MAX)
        rule_invalid_int(c, AT(at, "parallelism"), parallelism,
                         "must be less than or equal to %d when completion mode is Indexed", INDEXED_PARALLELISM_MAX);
    if (doc_is(failed, DOC_INT) && doc_is(completions, DOC_INT) && failed->i > completions->i)
        rule_invalid_int(c, failed_at, failed->i, "must be less than or equal to completions");
    if (doc_is(failed, DOC_INT) && failed->i > FAILED_INDEXES_MAX)
        rule_invalid_int(c, failed_at, failed->i, "must be less than or equal to %d", FAILED_INDEXES_MAX);
    if (!doc_is(completions, DOC_INT) || completions->i <= COMPLETIONS_SOFT_MAX ||
        !rule_has(spec, "backoffLimitPerIndex"))
        return;
    const char *text =
        "must be less than or equal to %d when completions are above %d and used with backoff limit per index";
    if (!doc_is(failed, DOC_INT))
        rule_required(c, failed_at, "must be specified when completions is above %d", COMPLETIONS_SOFT_MAX);
    if (parallelism > HIGH_PARALLELISM_MAX)
        rule_invalid_int(c, AT(at, "parallelism"), parallelism, text, HIGH_PARALLELISM_MAX, COMPLETIONS_SOFT_MAX);
    if (doc_is(failed, DOC_INT) && failed->i > HIGH_FAILED_INDEXES_MAX)
        rule_invalid_int(c, failed_at, failed->i, text, HIGH_FAILED_INDEXES_MAX, COMPLETIONS_SOFT_MAX);
}

static void check_counts(struct rule_ctx *c, const struct fpath *at, const struct doc *spec)
{
    static const char *const counts[] = {"parallelism",
                                         "completions",
                                         "activeDeadlineSeconds",
                                         "backoffLimit",
                                         "ttlSecondsAfterFinished",
                                         "backoffLimitPerIndex",
                                         "maxFailedIndexes",
                                         NULL};
    static const char *const modes[] = {"NonIndexed", "Indexed", NULL};
    struct str mode = doc_str(spec, "completionMode"), managed = doc_str(spec, "managedBy"), prefix, rest;
    check_nonnegative_in(c, at, spec, counts);
    if (rule_has(spec, "maxFailedIndexes") && !rule_has(spec, "backoffLimitPerIndex"))
        rule_required(c, AT(at, "backoffLimitPerIndex"), "when maxFailedIndexes is specified");
    if (rule_has(spec, "managedBy")) {
        if (!str_cut(managed, '/', &prefix, &rest) || !prefix.len || !rest.len)
            rule_invalid(c, AT(at, "managedBy"), managed, "must be a domain-prefixed path (such as \"acme.io/foo\")");
        else
            check_name(c, AT(at, "managedBy"), prefix, name_dns1123_subdomain);
        if (managed.len > MANAGED_BY_MAX)
            err_cause(c->err, CAUSE_TOO_LONG, AT(at, "managedBy"), "may not be more than %d bytes", MANAGED_BY_MAX);
    }
    if (rule_has(spec, "completionMode"))
        check_enum(c, AT(at, "completionMode"), mode, modes);
    if (str_is(mode, "Indexed")) {
        check_indexed(c, at, spec);
        return;
    }
    if (rule_has(spec, "backoffLimitPerIndex"))
        rule_invalid_int(c, AT(at, "backoffLimitPerIndex"), doc_int(spec, "backoffLimitPerIndex", 0), only_indexed);
    if (rule_has(spec, "maxFailedIndexes"))
        rule_invalid_int(c, AT(at, "maxFailedIndexes"), doc_int(spec, "maxFailedIndexes", 0), only_indexed);
}

/* ---- podFailurePolicy */
static void check_exit_codes(struct rule_ctx *c, const struct fpath *at, const struct doc *on,
                             const struct rule_set *containers)
{
    static const char *const operators[] = {"In", "NotIn", NULL};
    const struct doc *values = doc_get(on, "values");
    const struct fpath *values_at = AT(at, "values");
    struct str op = doc_str(on, "operator"), container = doc_str(on, "containerName");
    bool ordered = true;
    if (!op.len)
        rule_required(c, AT(at, "operator"), "valid values: [\"In\" \"NotIn\"]");
    else
        check_enum(c, AT(at, "operator"), op, operators);
    if (rule_has(on, "containerName") && !rule_set_has(containers, container))
        rule_invalid(c, AT(at, "containerName"), container,
                     "must be one of the container or initContainer names in the pod template");
    if (!doc_len(values))
        rule_invalid_doc(c, values_at, values, "at least one value is required");
    else if (doc_len(values) > EXIT_CODES_MAX)
        err_cause_int(c->err, CAUSE_TOO_MANY, values_at, doc_len(values), "must have at most %d items", EXIT_CODES_MAX);
    cleanup_set struct rule_set seen = {0};
    const struct doc *last = NULL;
    rule_each (v, values) {
        int64_t code = doc_is(v, DOC_INT) ? v->i : 0;
        if (str_is(op, "In") && code == 0)
            rule_invalid_int(c, AT_INDEX(values_at, v_i), code, "must not be 0 for the In operator");
        if (!rule_set_add(&seen, str_fmt(c->mem, "%lld", (long long)code)))
            err_cause_int(c->err, CAUSE_DUPLICATE, AT_INDEX(values_at, v_i), code, NULL);
        if (doc_is(last, DOC_INT) && last->i > code)
            ordered = false;
        last = v;
    }
    if (!ordered)
        rule_invalid_doc(c, values_at, values, "must be ordered");
}

static void check_condition_patterns(struct rule_ctx *c, const struct fpath *at, const struct doc *patterns)
{
    static const char *const statuses[] = {"False", "True", "Unknown", NULL};
    if (doc_len(patterns) > CONDITION_PATTERNS_MAX)
        err_cause_int(c->err, CAUSE_TOO_MANY, at, doc_len(patterns), "must have at most %d items",
                      CONDITION_PATTERNS_MAX);
    rule_each (p, patterns) {
        const struct fpath *item = AT_INDEX(at, p_i);
        check_name(c, AT(item, "type"), doc_str(p, "type"), name_qualified);
        if (doc_str(p, "status").len)
            check_enum(c, AT(item, "status"), doc_str(p, "status"), statuses);
        else
            rule_required(c, AT(item, "status"), "valid values: [\"False\" \"True\" \"Unknown\"]");
    }
}

static void check_failure_rule(struct rule_ctx *c, const struct fpath *at, const struct doc *rule,
                               const struct doc *spec, const struct rule_set *containers)
{
    static const char *const actions[] = {"Count", "FailIndex", "FailJob", "Ignore", NULL};
    struct str action = doc_str(rule, "action");
    bool codes = rule_has(rule, "onExitCodes"), conditions = doc_len(doc_get(rule, "onPodConditions")) > 0;
    if (!action.len)
        rule_required(c, AT(at, "action"), "valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]");
    else if (str_is(action, "FailIndex")) {
        if (!rule_has(spec, "backoffLimitPerIndex"))
            rule_invalid(c, AT(at, "action"), action, "requires the backoffLimitPerIndex to be set");
    } else
        check_enum(c, AT(at, "action"), action, actions);
    if (codes)
        check_exit_codes(c, AT(at, "onExitCodes"), doc_get(rule, "onExitCodes"), containers);
    if (conditions)
        check_condition_patterns(c, AT(at, "onPodConditions"), doc_get(rule, "onPodConditions"));
    if (codes == conditions)
        err_cause(c->err, CAUSE_INVALID, at,
                  codes ? "specifying both OnExitCodes and OnPodConditions is not supported"
                        : "specifying one of OnExitCodes and OnPodConditions is required");
}

static void check_failure_policy(struct rule_ctx *c, const struct fpath *at, const struct doc *spec)
{
    const struct doc *rules = doc_get(doc_get(spec, "podFailurePolicy"), "rules"),
                     *pod = doc_get(doc_get(spec, "template"), "spec");
    cleanup_set struct rule_set containers = {0};
    if (!rule_has(spec, "podFailurePolicy"))
        return;
    if (doc_len(rules) > FAILURE_RULES_MAX)
        err_cause_int(c->err, CAUSE_TOO_MANY, AT(at, "rules"), doc_len(rules), "must have at most %d items",
                      FAILURE_RULES_MAX);
    doc_each (ctr, doc_get(pod, "containers"))
        rule_set_add(&containers, doc_str(ctr, "name"));
    doc_each (ctr, doc_get(pod, "initContainers"))
        rule_set_add(&containers, doc_str(ctr, "name"));
    rule_each (rule, rules)
        check_failure_rule(c, AT_INDEX(AT(at, "rules"), rule_i), rule, spec, &containers);
}

static void check_success_rule(struct rule_ctx *c, const struct fpath *at, const struct doc *rule, int64_t completions)
{
    const struct doc *count = doc_get(rule, "succeededCount"), *indexes = doc_get(rule, "succeededIndexes");
    const struct fpath *indexes_at = AT(at, "succeededIndexes"), *count_at = AT(at, "succeededCount");
    struct str text = doc_string(indexes), why;
    int64_t total = 0;
    if (!count && !indexes)
        rule_required(c, at, "at least one of succeededCount or succeededIndexes must be specified");
    if (text.len > SUCCEEDED_INDEXES_BYTES_MAX)
        err_cause(c->err, CAUSE_TOO_LONG, indexes_at, "may not be more than %d bytes", SUCCEEDED_INDEXES_BYTES_MAX);
    if (!job_index_set(c->mem, text, completions, &total, &why)) {
        rule_invalid(c, indexes_at, text, "error parsing succeededIndexes: " STR_FMT, STR_ARG(why));
        total = 0;
    }
    if (!doc_is(count, DOC_INT))
        return;
    check_nonnegative(c, count_at, count->i);
    if (count->i > completions)
        rule_invalid_int(c, count_at, count->i,
                         "must be less than or equal to %lld (the number of specified completions)",
                         (long long)completions);
    if (indexes && count->i > total)
        rule_invalid_int(c, count_at, count->i,
                         "must be less than or equal to %lld (the number of indexes in the specified succeededIndexes "
                         "field)",
                         (long long)total);
}

static void check_success_policy(struct rule_ctx *c, const struct fpath *at, const struct doc *spec)
{
    const struct doc *policy = doc_get(spec, "successPolicy"), *rules = doc_get(policy, "rules");
    const struct fpath *rules_at = AT(at, "rules");
    if (!doc_is(policy, DOC_OBJECT))
        return;
    if (!str_is(doc_str(spec, "completionMode"), "Indexed")) {
        rule_invalid_doc(c, at, policy, only_indexed);
        return;
    }
    if (!doc_len(rules))
        rule_required(c, rules_at, "at least one rules must be specified when the successPolicy is specified");
    if (doc_len(rules) > SUCCESS_RULES_MAX)
        err_cause_int(c->err, CAUSE_TOO_MANY, rules_at, doc_len(rules), "must have at most %d items",
                      SUCCESS_RULES_MAX);
    rule_each (rule, rules)
        check_success_rule(c, AT_INDEX(rules_at, rule_i), rule, doc_int(spec, "completions", 0));
}

static void check_restart_policy(struct rule_ctx *c, const struct fpath *at, const struct doc *spec)
{
    const struct fpath *policy_at = AT(AT(AT(at, "template"), "spec"), "restartPolicy");
    struct str policy = doc_str(doc_get(doc_get(spec, "template"), "spec"), "restartPolicy");
    if (!policy.len || str_is(policy, "Always"))
        rule_required(c, policy_at, "valid values: \"OnFailure\", \"Never\"");
    else if (!str_is(policy, "OnFailure") && !str_is(policy, "Never"))
        rule_unsupported(c, policy_at, policy, "OnFailure", "Never");
    else if (rule_has(spec, "podFailurePolicy") && !str_is(policy, "Never"))
        rule_invalid(c, policy_at, policy, "only \"Never\" is supported when podFailurePolicy is specified");
}

/* What Jobs and the templates of CronJobs share. */
void check_job_spec(struct rule_ctx *c, const struct fpath *at, const struct doc *spec)
{
    static const char *const any[] = {"Failed", "TerminatingOrFailed", NULL}, *const failed[] = {"Failed", NULL};
    check_counts(c, at, spec);
    check_failure_policy(c, AT(at, "podFailurePolicy"), spec);
    check_success_policy(c, AT(at, "successPolicy"), spec);
    if (rule_has(spec, "podReplacementPolicy"))
        check_enum(c, AT(at, "podReplacementPolicy"), doc_str(spec, "podReplacementPolicy"),
                   rule_has(spec, "podFailurePolicy") ? failed : any);
    check_pod_template(c, AT(at, "template"), doc_get(spec, "template"));
    check_restart_policy(c, at, spec);
}

/* ---- the generated selector */
static const char *const uid_labels[] = {"controller-uid", "job-name", "batch.kubernetes.io/controller-uid",
                                         "batch.kubernetes.io/job-name"};

static const struct doc *template_labels(const struct doc *job)
{
    return doc_get(doc_get(doc_get(doc_get(job, "spec"), "template"), "metadata"), "labels");
}

/* Jobs of before 1.27 have the first two only, and may keep them so. */
static int labels_asked(const struct doc *old)
{
    const struct doc *labels = template_labels(old);
    return old && (!doc_get(labels, uid_labels[2]) || !doc_get(labels, uid_labels[3])) ? 2 : 4;
}

struct expected_labels {
    const struct doc *meta;
    int count;
};

static struct str expected_label(void *data, struct str key, bool *found)
{
    const struct expected_labels *e = data;
    for (int i = 0; i < e->count; i++)
        if (str_is(key, uid_labels[i])) {
            *found = true;
            return doc_str(e->meta, i % 2 ? "name" : "uid");
        }
    *found = false;
    return STR("");
}

static void check_generated(struct rule_ctx *c, const struct doc *obj, const struct doc *old,
                            const struct selector *sel)
{
    const struct doc *meta = doc_get(obj, "metadata"), *spec = doc_get(obj, "spec"), *labels = template_labels(obj);
    struct expected_labels expected = {.meta = meta, .count = labels_asked(old)};
    const struct fpath *at = AT_META(AT(&spec_at, "template"), "labels");
    if (doc_bool(spec, "manualSelector", false) || !rule_has(spec, "selector"))
        return;
    if (!doc_str(meta, "uid").len)
        rule_required(c, AT_META(NULL, "uid"), NULL);
    for (int i = 0; i < expected.count; i++) {
        struct str want = doc_str(meta, i % 2 ? "name" : "uid");
        const struct doc *value = doc_get(labels, uid_labels[i]);
        if (!value)
            rule_required(c, AT_KEY(at, str_of(uid_labels[i])), "must be '" STR_FMT "'", STR_ARG(want));
        else if (!str_eq(doc_string(value), want))
            rule_invalid_doc(c, AT_KEY(at, str_of(uid_labels[i])), labels, "must be '" STR_FMT "'", STR_ARG(want));
    }
    if (sel && !selector_matches_get(sel, expected_label, &expected))
        rule_invalid_doc(c, AT(&spec_at, "selector"), doc_get(spec, "selector"), "`selector` not auto-generated");
}

static void check_job_selector(struct rule_ctx *c, const struct doc *spec, const struct selector *sel)
{
    const struct doc *labels = doc_get(doc_get(doc_get(spec, "template"), "metadata"), "labels");
    if (!rule_has(spec, "selector"))
        rule_required(c, AT(&spec_at, "selector"), NULL);
    else
        check_label_selector(c, AT(&spec_at, "selector"), doc_get(spec, "selector"));
    if (sel && !selector_matches(sel, labels))
        rule_invalid_doc(c, AT_META(AT(&spec_at, "template"), "labels"), labels,
                         "`selector` does not match template `labels`");
}

/* The host name of the last pod of an Indexed Job must still be a label. */
static void check_pod_names(struct rule_ctx *c, const struct doc *obj, const struct doc *spec)
{
    struct str name = doc_str(doc_get(obj, "metadata"), "name");
    int64_t completions = doc_int(spec, "completions", 0);
    if (!str_is(doc_str(spec, "completionMode"), "Indexed") || completions <= 0)
        return;
    struct str host = str_fmt(c->mem, STR_FMT "-%lld", STR_ARG(name), (long long)completions - 1);
    if (!name_ok(host, name_dns1123_label))
        rule_invalid(c, AT_META(NULL, "name"), name, "will not able to create pod with invalid DNS label: " STR_FMT,
                     STR_ARG(host));
}

/* A Job that was told to stop, and whose pods are gone or never were. */
static bool is_at_rest(const struct doc *spec, const struct doc *status)
{
    bool stopped = !rule_has(status, "startTime");
    doc_each (cond, doc_get(status, "conditions"))
        stopped |= str_is(doc_str(cond, "type"), "Suspended") && str_is(doc_str(cond, "status"), "True");
    return doc_bool(spec, "suspend", false) && stopped && doc_int(status, "active", 0) == 0;
}

/* Takes out of a template what may change while its Job is at rest: where its pods run, and on how much. */
static void drop_mutable(struct rule_ctx *c, struct doc *template)
{
    static const char *const placement[] = {"nodeSelector", "tolerations", "schedulingGates", NULL},
                             *const lists[] = {"containers", "initContainers", NULL};
    struct doc *pod = doc_sub(c->mem, template, "spec"), *meta = doc_sub(c->mem, template, "metadata");
    for (const char *const *f = placement; *f; f++)
        doc_del(pod, *f);
    doc_del(doc_sub(c->mem, pod, "affinity"), "nodeAffinity");
    for (const char *const *l = lists; *l; l++)
        doc_each (ctr, doc_get(pod, *l))
            doc_del((struct doc *)(uintptr_t)ctr, "resources");
    doc_del(meta, "labels");
    doc_del(meta, "annotations");
}

static void check_template_change(struct rule_ctx *c, const struct doc *spec, const struct doc *old,
                                  const struct doc *old_status)
{
    const struct doc *value = doc_get(spec, "template"), *before = doc_get(old, "template");
    struct doc *now = doc_copy(c->mem, value), *was = doc_copy(c->mem, before);
    if (is_at_rest(old, old_status)) {
        drop_mutable(c, now);
        drop_mutable(c, was);
    }
    if (!rule_equal(now, was))
        rule_invalid_doc(c, AT(&spec_at, "template"), value, "field is immutable");
}

/* An Indexed Job grows and shrinks by both numbers at once. */
static void check_completions_change(struct rule_ctx *c, const struct doc *spec, const struct doc *old)
{
    const struct doc *now = doc_get(spec, "completions"), *was = doc_get(old, "completions");
    const struct fpath *at = AT(&spec_at, "completions");
    if (!str_is(doc_str(spec, "completionMode"), "Indexed"))
        check_immutable(c, at, now, was);
    else if (doc_is(now, DOC_INT) && !rule_equal(now, was) && !rule_equal(now, doc_get(spec, "parallelism")))
        rule_invalid_int(c, at, now->i, "can only be modified in tandem with spec.parallelism");
}

static void check_job_change(struct rule_ctx *c, const struct doc *spec, const struct doc *old,
                             const struct doc *old_status)
{
    static const char *const fixed[] = {"completionMode", "podFailurePolicy", "backoffLimitPerIndex",
                                        "managedBy",      "successPolicy",    NULL};
    check_completions_change(c, spec, old);
    check_immutable(c, AT(&spec_at, "selector"), doc_get(spec, "selector"), doc_get(old, "selector"));
    check_template_change(c, spec, old, old_status);
    for (const char *const *f = fixed; *f; f++)
        check_immutable(c, AT(&spec_at, *f), doc_get(spec, *f), doc_get(old, *f));
}

void validate_job(struct rule_ctx *c, const struct doc *obj, const struct doc *old, const struct fpath *at)
{
    const struct doc *spec = doc_get(obj, "spec");
    const struct selector *sel = selector_from_doc(c->mem, doc_get(spec, "selector"), NULL);
    check_generated(c, obj, old, sel);
    check_job_spec(c, &spec_at, spec);
    check_job_selector(c, spec, sel);
    check_pod_names(c, obj, spec);
    if (old)
        check_job_change(c, spec, doc_get(old, "spec"), doc_get(old, "status"));
}

/* ---- CronJob */
static void check_schedule(struct rule_ctx *c, const struct doc *spec, const struct doc *old)
{
    const struct fpath *at = AT(&spec_at, "schedule");
    struct str schedule = doc_str(spec, "schedule");
    struct cron cron;
    if (!schedule.len) {
        rule_required(c, at, NULL);
        return;
    }
    const char *wrong = cron_parse(c->mem, schedule, &cron);
    bool zone = str_has(schedule, STR("TZ")), may = str_has(doc_str(old, "schedule"), STR("TZ"));
    if (wrong)
        rule_invalid(c, at, schedule, "%s", wrong);
    if (zone && !may)
        rule_invalid(c, at, schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
    else if (zone && rule_has(spec, "timeZone"))
        rule_invalid(c, at, schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule");
}

static bool is_zone_part(struct str part)
{
    if (!part.len || part.len > 14 || part.ptr[0] == '-' || str_is(part, ".") || str_is(part, ".."))
        return false;
    for (size_t i = 0; i < part.len; i++) {
        char ch = part.ptr[i];
        if (!((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') || strchr(".-_+", ch)) ||
            !ch)
            return false;
    }
    return true;
}

/* The form only: rules do no I/O, so that a zone exists is for the controller to find out. */
static void check_zone(struct rule_ctx *c, const struct doc *zone)
{
    const struct fpath *at = AT(&spec_at, "timeZone");
    struct str name = doc_string(zone), rest = name, part;
    if (!doc_is(zone, DOC_STRING))
        return;
    if (!name.len) {
        rule_invalid(c, at, name, "timeZone must be nil or non-empty string");
        return;
    }
    for (bool more = true; more;) {
        more = str_cut(rest, '/', &part, &rest);
        if (!is_zone_part(part)) {
            rule_invalid(c, at, name, "unknown time zone " STR_FMT, STR_ARG(name));
            return;
        }
    }
    if (str_ieq(name, STR("Local")))
        rule_invalid(c, at, name,
                     "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones");
}

void validate_cron_job(struct rule_ctx *c, const struct doc *obj, const struct doc *old, const struct fpath *at)
{
    static const char *const policies[] = {"Allow", "Forbid", "Replace", NULL};
    const struct doc *spec = doc_get(obj, "spec"), *job = doc_get(doc_get(spec, "jobTemplate"), "spec");
    const struct fpath *job_at = AT(AT(&spec_at, "jobTemplate"), "spec");
    struct str policy = doc_str(spec, "concurrencyPolicy"), name = doc_str(doc_get(obj, "metadata"), "name");
    check_schedule(c, spec, doc_get(old, "spec"));
    check_nonnegative(c, AT(&spec_at, "startingDeadlineSeconds"), doc_int(spec, "startingDeadlineSeconds", 0));
    if (!old || !rule_equal(doc_get(spec, "timeZone"), doc_get(doc_get(old, "spec"), "timeZone")))
        check_zone(c, doc_get(spec, "timeZone"));
    if (policy.len)
        check_enum(c, AT(&spec_at, "concurrencyPolicy"), policy, policies);
    else
        rule_required(c, AT(&spec_at, "concurrencyPolicy"), NULL);
    check_job_spec(c, job_at, job);
    if (rule_has(job, "selector"))
        rule_invalid_doc(c, AT(job_at, "selector"), doc_get(job, "selector"), "`selector` will be auto-generated");
    if (doc_bool(job, "manualSelector", false))
        err_cause_raw(c->err, CAUSE_NOT_SUPPORTED, AT(job_at, "manualSelector"), STR("true"),
                      "supported values: \"nil\", \"false\"");
    check_nonnegative_in(c, &spec_at, spec,
                         (const char *const[]){"successfulJobsHistoryLimit", "failedJobsHistoryLimit", NULL});
    if (!old && name.len > CRON_NAME_MAX)
        rule_invalid(c, AT_META(NULL, "name"), name, "must be no more than %d characters", CRON_NAME_MAX);
}
