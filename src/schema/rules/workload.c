/* schema/rules/workload.c - Deployment, ReplicaSet, StatefulSet, DaemonSet, ReplicationController, PodTemplate. */
#include "schema/labels.h"
#include "schema/rules/kinds.h"
#include "schema/rules/rules.h"

static const struct fpath spec_at = {.name = "spec"}, status_at = {.name = "status"};

static void check_selects_template(struct rule_ctx *c, const struct selector *sel, const struct doc *spec)
{
    const struct doc *labels = doc_get(doc_get(doc_get(spec, "template"), "metadata"), "labels");
    if (!selector_is_everything(sel) && !selector_matches(sel, labels))
        rule_invalid_doc(c, AT_META(AT(&spec_at, "template"), "labels"), labels,
                         "`selector` does not match template `labels`");
}

/* A template whose pods are started again for ever. kind names it in the text about deadlines. */
static void check_lasting_template(struct rule_ctx *c, const struct doc *spec, const char *kind)
{
    const struct doc *pod = doc_get(doc_get(spec, "template"), "spec");
    const struct fpath *at = AT(AT(&spec_at, "template"), "spec");
    if (!str_is(doc_str(pod, "restartPolicy"), "Always"))
        rule_unsupported(c, AT(at, "restartPolicy"), doc_str(pod, "restartPolicy"), "Always");
    if (rule_has(pod, "activeDeadlineSeconds"))
        rule_forbidden(c, AT(at, "activeDeadlineSeconds"), "activeDeadlineSeconds in %s is not Supported", kind);
}

static void check_selector(struct rule_ctx *c, const struct doc *spec, const char *kind)
{
    const struct doc *selector = doc_get(spec, "selector");
    const struct fpath *at = AT(&spec_at, "selector");
    if (!doc_is(selector, DOC_OBJECT)) {
        rule_required(c, at, NULL);
        return;
    }
    check_label_selector(c, at, selector);
    if (doc_len(doc_get(selector, "matchLabels")) + doc_len(doc_get(selector, "matchExpressions")) == 0)
        rule_invalid_doc(c, at, selector, "empty selector is invalid for %s", kind);
}

/* Selector and template as ReplicaSets and Deployments hold them. */
static void check_replicated(struct rule_ctx *c, const struct doc *spec)
{
    struct selector *sel = selector_from_doc(c->mem, doc_get(spec, "selector"), NULL);
    if (!sel) {
        rule_invalid_doc(c, AT(&spec_at, "selector"), doc_get(spec, "selector"), "invalid label selector");
        return;
    }
    check_selects_template(c, sel, spec);
    check_pod_template(c, AT(&spec_at, "template"), doc_get(spec, "template"));
    check_lasting_template(c, spec, "ReplicaSet");
}

static void check_same_selector(struct rule_ctx *c, const struct doc *obj, const struct doc *old)
{
    if (old)
        check_immutable(c, AT(&spec_at, "selector"), doc_get(doc_get(obj, "spec"), "selector"),
                        doc_get(doc_get(old, "spec"), "selector"));
}

static void check_rolling(struct rule_ctx *c, const struct fpath *at, const struct doc *rolling)
{
    const struct doc *unavailable = doc_get(rolling, "maxUnavailable"), *surge = doc_get(rolling, "maxSurge");
    check_int_or_percent(c, AT(at, "maxUnavailable"), unavailable);
    check_int_or_percent(c, AT(at, "maxSurge"), surge);
    if (int_or_percent(unavailable) == 0 && int_or_percent(surge) == 0)
        rule_invalid_doc(c, AT(at, "maxUnavailable"), unavailable, "may not be 0 when `maxSurge` is 0");
    check_at_most_100_percent(c, AT(at, "maxUnavailable"), unavailable);
}

static void check_strategy(struct rule_ctx *c, const struct doc *spec)
{
    const struct fpath *at = AT(&spec_at, "strategy"), *rolling_at = AT(at, "rollingUpdate");
    const struct doc *strategy = doc_get(spec, "strategy"), *rolling = doc_get(strategy, "rollingUpdate");
    struct str type = doc_str(strategy, "type");
    if (str_is(type, "Recreate")) {
        if (doc_is(rolling, DOC_OBJECT))
            rule_forbidden(c, rolling_at, "may not be specified when strategy `type` is 'Recreate'");
    } else if (!str_is(type, "RollingUpdate"))
        err_cause_raw(c->err, CAUSE_NOT_SUPPORTED, at, rule_json(c, strategy),
                      "supported values: \"Recreate\", \"RollingUpdate\"");
    else if (!doc_is(rolling, DOC_OBJECT))
        rule_required(c, rolling_at, "this should be defaulted and never be nil");
    else
        check_rolling(c, rolling_at, rolling);
}

static void check_optional_counts(struct rule_ctx *c, const struct doc *spec)
{
    check_nonnegative_in(c, &spec_at, spec, (const char *const[]){"minReadySeconds", "revisionHistoryLimit", NULL});
}

void validate_deployment(struct rule_ctx *c, const struct doc *obj, const struct doc *old, const struct fpath *at)
{
    const struct doc *spec = doc_get(obj, "spec"), *progress = doc_get(spec, "progressDeadlineSeconds");
    check_nonnegative(c, AT(&spec_at, "replicas"), doc_int(spec, "replicas", 0));
    check_selector(c, spec, "deployment");
    check_replicated(c, spec);
    check_strategy(c, spec);
    check_optional_counts(c, spec);
    if (doc_is(progress, DOC_INT)) {
        check_nonnegative(c, AT(&spec_at, "progressDeadlineSeconds"), progress->i);
        if (progress->i <= doc_int(spec, "minReadySeconds", 0))
            rule_invalid_int(c, AT(&spec_at, "progressDeadlineSeconds"), progress->i,
                             "must be greater than minReadySeconds");
    }
    check_same_selector(c, obj, old);
}

void validate_replica_set(struct rule_ctx *c, const struct doc *obj, const struct doc *old, const struct fpath *at)
{
    const struct doc *spec = doc_get(obj, "spec");
    check_nonnegative_in(c, &spec_at, spec, (const char *const[]){"replicas", "minReadySeconds", NULL});
    check_selector(c, spec, "deployment"); /* Kubernetes' own slip */
    check_replicated(c, spec);
    check_same_selector(c, obj, old);
}

/* Counts of a status, and what may not be more than what. */
static void check_not_more(struct rule_ctx *c, const struct doc *status, const char *name, const char *than,
                           const char *text)
{
    int64_t v = doc_int(status, name, 0);
    if (v > doc_int(status, than, 0))
        rule_invalid_int(c, AT(&status_at, name), v, "%s", text);
}

static void check_collisions(struct rule_ctx *c, const struct doc *status, const struct doc *old)
{
    int64_t now = doc_int(status, "collisionCount", 0);
    if (now < doc_int(old, "collisionCount", 0))
        rule_invalid_int(c, AT(&status_at, "collisionCount"), now, "cannot be decremented");
}

static const char of_replicas[] = "cannot be greater than status.replicas",
                  of_ready[] = "cannot be greater than readyReplicas";

void validate_deployment_status(struct rule_ctx *c, const struct doc *obj, const struct doc *old,
                                const struct fpath *at)
{
    static const char *const counts[] = {"observedGeneration",  "replicas",          "updatedReplicas",
                                         "readyReplicas",       "availableReplicas", "unavailableReplicas",
                                         "terminatingReplicas", "collisionCount",    NULL};
    const struct doc *status = doc_get(obj, "status");
    check_nonnegative_in(c, &status_at, status, counts);
    check_not_more(c, status, "updatedReplicas", "replicas", of_replicas);
    check_not_more(c, status, "readyReplicas", "replicas", of_replicas);
    check_not_more(c, status, "availableReplicas", "replicas", of_replicas);
    check_not_more(c, status, "availableReplicas", "readyReplicas", of_ready);
    check_collisions(c, status, doc_get(old, "status"));
}

void validate_replica_set_status(struct rule_ctx *c, const struct doc *obj, const struct doc *old,
                                 const struct fpath *at)
{
    static const char *const counts[] = {"replicas",
                                         "fullyLabeledReplicas",
                                         "readyReplicas",
                                         "availableReplicas",
                                         "observedGeneration",
                                         "terminatingReplicas",
                                         NULL};
    const struct doc *status = doc_get(obj, "status");
    check_nonnegative_in(c, &status_at, status, counts);
    check_not_more(c, status, "fullyLabeledReplicas", "replicas", of_replicas);
    check_not_more(c, status, "readyReplicas", "replicas", of_replicas);
    check_not_more(c, status, "availableReplicas", "replicas", of_replicas);
    check_not_more(c, status, "availableReplicas", "readyReplicas", of_ready);
}

/* ---- StatefulSet */
static void check_set_strategy(struct rule_ctx *c, const struct doc *spec)
{
    const struct fpath *at = AT(&spec_at, "updateStrategy"), *rolling_at = AT(at, "rollingUpdate");
    const struct doc *strategy = doc_get(spec, "updateStrategy"), *rolling = doc_get(strategy, "rollingUpdate"),
                     *unavailable = doc_get(rolling, "maxUnavailable");
    struct str type = doc_str(strategy, "type");
    if (!type.len)
        rule_required(c, at, NULL);
    else if (str_is(type, "OnDelete")) {
        if (doc_is(rolling, DOC_OBJECT))
            rule_invalid_doc(c, rolling_at, rolling, "only allowed for updateStrategy 'RollingUpdate'");
    } else if (!str_is(type, "RollingUpdate"))
        rule_invalid_doc(c, at, strategy, "must be 'RollingUpdate' or 'OnDelete'");
    else {
        check_nonnegative(c, AT(rolling_at, "partition"), doc_int(rolling, "partition", 0));
        if (!unavailable)
            return;
        check_int_or_percent(c, AT(rolling_at, "maxUnavailable"), unavailable);
        if (int_or_percent(unavailable) == 0)
            rule_invalid_doc(c, AT(rolling_at, "maxUnavailable"), unavailable, "cannot be 0");
        check_at_most_100_percent(c, AT(rolling_at, "maxUnavailable"), unavailable);
    }
}

static void check_retention(struct rule_ctx *c, const struct doc *spec)
{
    static const char *const policies[] = {"Retain", "Delete", NULL}, *const names[] = {"whenDeleted", "whenScaled",
                                                                                        NULL};
    const struct doc *policy = doc_get(spec, "persistentVolumeClaimRetentionPolicy");
    if (!doc_is(policy, DOC_OBJECT))
        return;
    for (const char *const *n = names; *n; n++)
        check_enum(c, AT(AT(&spec_at, "persistentVolumeClaimRetentionPolicy"), *n), doc_str(policy, *n), policies);
}

/* Kubernetes does not judge the PodSpec here: its volumes come from the claim templates. */
static void check_set_template(struct rule_ctx *c, const struct doc *spec)
{
    struct selector *sel = selector_from_doc(c->mem, doc_get(spec, "selector"), NULL);
    const struct doc *template = doc_get(spec, "template"), *meta = doc_get(template, "metadata");
    const struct fpath *at = AT(&spec_at, "template");
    if (!sel) {
        rule_invalid_doc(c, AT(&spec_at, "selector"), doc_get(spec, "selector"), NULL);
        return;
    }
    check_selects_template(c, sel, spec);
    check_labels(c, AT(at, "labels"), doc_get(meta, "labels"));
    check_annotations(c, AT(at, "annotations"), doc_get(meta, "annotations"));
    check_pod_annotations(c, AT(at, "annotations"), doc_get(meta, "annotations"), doc_get(template, "spec"));
    check_lasting_template(c, spec, "StatefulSet");
}

static void check_set_change(struct rule_ctx *c, const struct doc *spec, const struct doc *old)
{
    static const char *const may[] = {"replicas",
                                      "ordinals",
                                      "template",
                                      "updateStrategy",
                                      "revisionHistoryLimit",
                                      "persistentVolumeClaimRetentionPolicy",
                                      "minReadySeconds",
                                      NULL};
    struct doc *now = doc_copy(c->mem, spec), *before = doc_copy(c->mem, old);
    for (const char *const *f = may; *f; f++) {
        doc_del(now, *f);
        doc_del(before, *f);
    }
    if (!rule_equal(now, before))
        rule_forbidden(
            c, &spec_at,
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
            "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden");
}

void validate_stateful_set(struct rule_ctx *c, const struct doc *obj, const struct doc *old, const struct fpath *at)
{
    const struct doc *spec = doc_get(obj, "spec");
    struct str management = doc_str(spec, "podManagementPolicy");
    if (!management.len)
        rule_required(c, AT(&spec_at, "podManagementPolicy"), NULL);
    else if (!str_is(management, "OrderedReady") && !str_is(management, "Parallel"))
        rule_invalid(c, AT(&spec_at, "podManagementPolicy"), management, "must be 'OrderedReady' or 'Parallel'");
    check_set_strategy(c, spec);
    check_retention(c, spec);
    check_nonnegative_in(c, &spec_at, spec, (const char *const[]){"replicas", "minReadySeconds", NULL});
    check_nonnegative(c, AT(AT(&spec_at, "ordinals"), "start"), doc_int(doc_get(spec, "ordinals"), "start", 0));
    check_selector(c, spec, "statefulset");
    check_set_template(c, spec);
    if (old)
        check_set_change(c, spec, doc_get(old, "spec"));
}

void validate_stateful_set_status(struct rule_ctx *c, const struct doc *obj, const struct doc *old,
                                  const struct fpath *at)
{
    static const char *const counts[] = {
        "replicas",          "readyReplicas",      "currentReplicas", "updatedReplicas",
        "availableReplicas", "observedGeneration", "collisionCount",  NULL};
    const struct doc *status = doc_get(obj, "status");
    check_nonnegative_in(c, &status_at, status, counts);
    check_not_more(c, status, "readyReplicas", "replicas", of_replicas);
    check_not_more(c, status, "currentReplicas", "replicas", of_replicas);
    check_not_more(c, status, "updatedReplicas", "replicas", of_replicas);
    check_not_more(c, status, "availableReplicas", "replicas", of_replicas);
    check_not_more(c, status, "availableReplicas", "readyReplicas", "cannot be greater than status.readyReplicas");
    check_collisions(c, status, doc_get(old, "status"));
}

/* ---- DaemonSet */
static void check_daemon_rolling(struct rule_ctx *c, const struct fpath *at, const struct doc *rolling)
{
    const struct doc *unavailable = doc_get(rolling, "maxUnavailable"), *surge = doc_get(rolling, "maxSurge");
    check_int_or_percent(c, AT(at, "maxUnavailable"), unavailable);
    check_int_or_percent(c, AT(at, "maxSurge"), surge);
    check_at_most_100_percent(c, AT(at, "maxUnavailable"), unavailable);
    check_at_most_100_percent(c, AT(at, "maxSurge"), surge);
    if (int_or_percent(unavailable) && int_or_percent(surge))
        rule_invalid_doc(c, AT(at, "maxSurge"), surge, "may not be set when maxUnavailable is non-zero");
    if (!int_or_percent(unavailable) && !int_or_percent(surge))
        rule_required(c, AT(at, "maxUnavailable"), "cannot be 0 when maxSurge is 0");
}

static void check_daemon_strategy(struct rule_ctx *c, const struct doc *strategy)
{
    const struct fpath *at = AT(&spec_at, "updateStrategy");
    struct str type = doc_str(strategy, "type");
    if (str_is(type, "OnDelete"))
        return;
    if (!str_is(type, "RollingUpdate"))
        err_cause_raw(c->err, CAUSE_NOT_SUPPORTED, at, rule_json(c, strategy),
                      "supported values: \"RollingUpdate\", \"OnDelete\"");
    else if (!rule_has(strategy, "rollingUpdate"))
        rule_required(c, AT(at, "rollingUpdate"), NULL);
    else
        check_daemon_rolling(c, AT(at, "rollingUpdate"), doc_get(strategy, "rollingUpdate"));
}

void validate_daemon_set(struct rule_ctx *c, const struct doc *obj, const struct doc *old, const struct fpath *at)
{
    const struct doc *spec = doc_get(obj, "spec"), *selector = doc_get(spec, "selector");
    const struct doc *labels = doc_get(doc_get(doc_get(spec, "template"), "metadata"), "labels");
    struct selector *sel = selector_from_doc(c->mem, selector, NULL);
    check_label_selector(c, AT(&spec_at, "selector"), selector);
    if (sel && !selector_matches(sel, labels))
        rule_invalid_doc(c, AT_META(AT(&spec_at, "template"), "labels"), labels,
                         "`selector` does not match template `labels`");
    if (doc_is(selector, DOC_OBJECT) && sel && selector_is_everything(sel))
        rule_invalid_doc(c, AT(&spec_at, "selector"), selector, "empty selector is invalid for daemonset");
    check_pod_template(c, AT(&spec_at, "template"), doc_get(spec, "template"));
    check_lasting_template(c, spec, "DaemonSet");
    check_nonnegative(c, AT(&spec_at, "minReadySeconds"), doc_int(spec, "minReadySeconds", 0));
    check_daemon_strategy(c, doc_get(spec, "updateStrategy"));
    check_nonnegative(c, AT(&spec_at, "revisionHistoryLimit"), doc_int(spec, "revisionHistoryLimit", 0));
    check_same_selector(c, obj, old);
}

void validate_daemon_set_status(struct rule_ctx *c, const struct doc *obj, const struct doc *old,
                                const struct fpath *at)
{
    static const char *const counts[] = {"currentNumberScheduled", "numberMisscheduled",
                                         "desiredNumberScheduled", "numberReady",
                                         "observedGeneration",     "updatedNumberScheduled",
                                         "numberAvailable",        "numberUnavailable",
                                         "collisionCount",         NULL};
    check_nonnegative_in(c, &status_at, doc_get(obj, "status"), counts);
    check_collisions(c, doc_get(obj, "status"), doc_get(old, "status"));
}

/* ---- the older ones */
void validate_replication_controller(struct rule_ctx *c, const struct doc *obj, const struct doc *old,
                                     const struct fpath *at)
{
    const struct doc *spec = doc_get(obj, "spec"), *selector = doc_get(spec, "selector"),
                     *template = doc_get(spec, "template");
    check_nonnegative(c, AT(&spec_at, "minReadySeconds"), doc_int(spec, "minReadySeconds", 0));
    if (!doc_len(selector))
        rule_required(c, AT(&spec_at, "selector"), NULL);
    check_nonnegative(c, AT(&spec_at, "replicas"), doc_int(spec, "replicas", 0));
    if (!doc_is(template, DOC_OBJECT)) {
        rule_required(c, AT(&spec_at, "template"), NULL);
        return;
    }
    check_selects_template(c, selector_from_map(c->mem, selector), spec);
    check_pod_template(c, AT(&spec_at, "template"), template);
    check_lasting_template(c, spec, "ReplicationController");
}

void validate_replication_controller_status(struct rule_ctx *c, const struct doc *obj, const struct doc *old,
                                            const struct fpath *at)
{
    validate_replica_set_status(c, obj, old, at);
}

void validate_pod_template(struct rule_ctx *c, const struct doc *obj, const struct doc *old, const struct fpath *at)
{
    check_pod_template(c, AT(at, "template"), doc_get(obj, "template"));
}

void validate_controller_revision(struct rule_ctx *c, const struct doc *obj, const struct doc *old,
                                  const struct fpath *at)
{
    if (!rule_has(obj, "data"))
        rule_required(c, AT(at, "data"), "data is mandatory");
    check_nonnegative(c, AT(at, "revision"), doc_int(obj, "revision", 0));
    if (old)
        check_immutable(c, AT(at, "data"), doc_get(obj, "data"), doc_get(old, "data"));
}

void validate_scale(struct rule_ctx *c, const struct doc *obj, const struct doc *old, const struct fpath *at)
{
    int64_t replicas = doc_int(doc_get(obj, "spec"), "replicas", 0);
    if (replicas < 0)
        rule_invalid_int(c, AT(&spec_at, "replicas"), replicas, "must be greater than or equal to 0");
}
