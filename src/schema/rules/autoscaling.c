/* schema/rules/autoscaling.c - HorizontalPodAutoscaler, in the form of v2. */
#include "schema/rules/kinds.h"
#include "schema/rules/rules.h"

enum { PERIOD_SECONDS_MAX = 1800, WINDOW_SECONDS_MAX = 3600 };
static const struct fpath spec_at = {.name = "spec"};

static void check_ref(struct rule_ctx *c, const struct fpath *at, const struct doc *ref)
{
    check_required_name(c, AT(at, "kind"), doc_str(ref, "kind"), name_path_segment);
    check_required_name(c, AT(at, "name"), doc_str(ref, "name"), name_path_segment);
}

static void check_positive_amount(struct rule_ctx *c, const struct fpath *up, const struct doc *target,
                                  const char *name)
{
    if (rule_has(target, name) && quantity_sign(quantity_of_str(doc_str(target, name))) <= 0)
        rule_invalid(c, AT(up, name), doc_str(target, name), "must be positive");
}

static void check_target(struct rule_ctx *c, const struct fpath *at, const struct doc *target)
{
    struct str type = doc_str(target, "type");
    const struct doc *use = doc_get(target, "averageUtilization");
    if (!type.len)
        rule_required(c, AT(at, "type"), "must specify a metric target type");
    if (!str_is(type, "Utilization") && !str_is(type, "Value") && !str_is(type, "AverageValue"))
        rule_invalid(c, AT(at, "type"), type, "must be either Utilization, Value, or AverageValue");
    check_positive_amount(c, at, target, "value");
    check_positive_amount(c, at, target, "averageValue");
    if (doc_is(use, DOC_INT) && use->i < 1)
        rule_invalid_int(c, AT(at, "averageUtilization"), use->i, "must be greater than 0");
}

static void check_metric_name(struct rule_ctx *c, const struct fpath *at, const struct doc *metric)
{
    if (doc_str(metric, "name").len)
        check_name(c, AT(at, "name"), doc_str(metric, "name"), name_path_segment);
    else
        rule_required(c, AT(at, "name"), "must specify a metric name");
    check_label_selector(c, AT(at, "selector"), doc_get(metric, "selector"));
}

static void check_object(struct rule_ctx *c, const struct fpath *at, const struct doc *src)
{
    const struct doc *target = doc_get(src, "target");
    check_ref(c, AT(at, "describedObject"), doc_get(src, "describedObject"));
    check_metric_name(c, AT(at, "metric"), doc_get(src, "metric"));
    check_target(c, AT(at, "target"), target);
    if (!rule_has(target, "value") && !rule_has(target, "averageValue"))
        rule_required(c, AT(AT(at, "target"), "averageValue"), "must set either a target value or averageValue");
}

static void check_external(struct rule_ctx *c, const struct fpath *at, const struct doc *src)
{
    const struct doc *target = doc_get(src, "target");
    check_metric_name(c, AT(at, "metric"), doc_get(src, "metric"));
    check_target(c, AT(at, "target"), target);
    if (!rule_has(target, "value") && !rule_has(target, "averageValue"))
        rule_required(c, AT(AT(at, "target"), "averageValue"),
                      "must set either a target value for metric or a per-pod target");
    if (rule_has(target, "value") && rule_has(target, "averageValue"))
        rule_forbidden(c, AT(AT(at, "target"), "value"),
                       "may not set both a target value for metric and a per-pod target");
}

static void check_pods(struct rule_ctx *c, const struct fpath *at, const struct doc *src)
{
    check_metric_name(c, AT(at, "metric"), doc_get(src, "metric"));
    check_target(c, AT(at, "target"), doc_get(src, "target"));
    if (!rule_has(doc_get(src, "target"), "averageValue"))
        rule_required(c, AT(AT(at, "target"), "averageValue"), "must specify a positive target averageValue");
}

static void check_resource(struct rule_ctx *c, const struct fpath *at, const struct doc *src)
{
    const struct doc *target = doc_get(src, "target");
    bool use = rule_has(target, "averageUtilization"), value = rule_has(target, "averageValue");
    if (!doc_str(src, "name").len)
        rule_required(c, AT(at, "name"), "must specify a resource name");
    check_target(c, AT(at, "target"), target);
    if (!use && !value)
        rule_required(c, AT(AT(at, "target"), "averageUtilization"),
                      "must set either a target raw value or a target utilization");
    if (use && value)
        rule_forbidden(c, AT(AT(at, "target"), "averageValue"),
                       "may not set both a target raw value and a target utilization");
}

static void check_container_resource(struct rule_ctx *c, const struct fpath *at, const struct doc *src)
{
    if (doc_str(src, "container").len)
        check_name(c, AT(at, "container"), doc_str(src, "container"), name_dns1123_label);
    else
        rule_required(c, AT(at, "container"), "must specify a container");
    check_resource(c, at, src);
}

static const struct source {
    const char *type, *field;
    void (*check)(struct rule_ctx *c, const struct fpath *at, const struct doc *src);
} sources[] = {
    {"Object", "object", check_object},
    {"External", "external", check_external},
    {"Pods", "pods", check_pods},
    {"Resource", "resource", check_resource},
    {"ContainerResource", "containerResource", check_container_resource},
};
enum { SOURCE_COUNT = sizeof sources / sizeof *sources };

static void check_metric(struct rule_ctx *c, const struct fpath *at, const struct doc *metric)
{
    struct str type = doc_str(metric, "type");
    const struct source *want = NULL;
    int present = 0;
    if (!type.len)
        rule_required(c, AT(at, "type"), "must specify a metric source type");
    for (int i = 0; i < SOURCE_COUNT; i++) {
        if (str_is(type, sources[i].type))
            want = &sources[i];
        if (rule_has(metric, sources[i].field) && present++ == 0)
            sources[i].check(c, AT(at, sources[i].field), doc_get(metric, sources[i].field));
    }
    if (!want)
        rule_unsupported(c, AT(at, "type"), type, "ContainerResource", "External", "Object", "Pods", "Resource");
    else if (!rule_has(metric, want->field))
        rule_required(c, AT(at, want->field), "must populate information for the given metric source");
    for (int i = 0; i < SOURCE_COUNT && present != 1; i++)
        if (&sources[i] != want && rule_has(metric, sources[i].field))
            rule_forbidden(c, AT(at, sources[i].field), "must populate the given metric source only");
}

static void check_scaling(struct rule_ctx *c, const struct fpath *at, const struct doc *rules)
{
    static const char *const selects[] = {"Disabled", "Max", "Min", NULL};
    const struct doc *window = doc_get(rules, "stabilizationWindowSeconds"), *policies = doc_get(rules, "policies");
    if (!doc_is(rules, DOC_OBJECT))
        return;
    if (doc_is(window, DOC_INT) && window->i < 0)
        rule_invalid_int(c, AT(at, "stabilizationWindowSeconds"), window->i, "must be greater than or equal to zero");
    if (doc_is(window, DOC_INT) && window->i > WINDOW_SECONDS_MAX)
        rule_invalid_int(c, AT(at, "stabilizationWindowSeconds"), window->i, "must be less than or equal to %d",
                         WINDOW_SECONDS_MAX);
    if (rule_has(rules, "selectPolicy"))
        check_enum(c, AT(at, "selectPolicy"), doc_str(rules, "selectPolicy"), selects);
    if (rule_has(rules, "tolerance") && quantity_sign(quantity_of_str(doc_str(rules, "tolerance"))) < 0)
        rule_invalid(c, AT(at, "tolerance"), doc_str(rules, "tolerance"), "must be greater than or equal to 0");
    if (!doc_len(policies))
        rule_required(c, AT(at, "policies"), "must specify at least one Policy");
    rule_each (p, policies) {
        const struct fpath *item = AT_INDEX(AT(at, "policies"), p_i);
        int64_t value = doc_int(p, "value", 0), period = doc_int(p, "periodSeconds", 0);
        if (!str_is(doc_str(p, "type"), "Pods") && !str_is(doc_str(p, "type"), "Percent"))
            rule_unsupported(c, AT(item, "type"), doc_str(p, "type"), "Percent", "Pods");
        if (value <= 0)
            rule_invalid_int(c, AT(item, "value"), value, "must be greater than zero");
        if (period <= 0)
            rule_invalid_int(c, AT(item, "periodSeconds"), period, "must be greater than zero");
        if (period > PERIOD_SECONDS_MAX)
            rule_invalid_int(c, AT(item, "periodSeconds"), period, "must be less than or equal to %d",
                             PERIOD_SECONDS_MAX);
    }
}

void validate_horizontal_pod_autoscaler(struct rule_ctx *c, const struct doc *obj, const struct doc *old,
                                        const struct fpath *at)
{
    const struct doc *spec = doc_get(obj, "spec"), *min = doc_get(spec, "minReplicas"),
                     *use = doc_get(spec, "targetCPUUtilizationPercentage");
    int64_t max = doc_int(spec, "maxReplicas", 0), least = doc_int(doc_get(old, "spec"), "minReplicas", 1) == 0 ? 0 : 1;
    if (doc_is(min, DOC_INT) && min->i < least)
        rule_invalid_int(c, AT(&spec_at, "minReplicas"), min->i, "must be greater than or equal to %d", (int)least);
    if (max < 1)
        rule_invalid_int(c, AT(&spec_at, "maxReplicas"), max, "must be greater than 0");
    if (doc_is(min, DOC_INT) && max < min->i)
        rule_invalid_int(c, AT(&spec_at, "maxReplicas"), max, "must be greater than or equal to `minReplicas`");
    check_ref(c, AT(&spec_at, "scaleTargetRef"), doc_get(spec, "scaleTargetRef"));
    rule_each (m, doc_get(spec, "metrics"))
        check_metric(c, AT_INDEX(AT(&spec_at, "metrics"), m_i), m);
    if (doc_is(use, DOC_INT) && use->i < 1) /* v1, which Kubernetes converts to a metric first */
        rule_invalid_int(c, AT(&spec_at, "targetCPUUtilizationPercentage"), use->i, "must be greater than 0");
    check_scaling(c, AT(AT(&spec_at, "behavior"), "scaleUp"), doc_get(doc_get(spec, "behavior"), "scaleUp"));
    check_scaling(c, AT(AT(&spec_at, "behavior"), "scaleDown"), doc_get(doc_get(spec, "behavior"), "scaleDown"));
}

void validate_horizontal_pod_autoscaler_status(struct rule_ctx *c, const struct doc *obj, const struct doc *old,
                                               const struct fpath *at)
{
    check_nonnegative_in(c, AT(at, "status"), doc_get(obj, "status"),
                         (const char *const[]){"currentReplicas", "desiredReplicas", NULL});
}
