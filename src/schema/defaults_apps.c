/* Defaults of apps, batch and autoscaling that are no constants. */
#include "schema/defaults.h"

void default_deployment_strategy(struct arena *mem, struct doc *s, const struct doc *root)
{
    set_blank(mem, s, "type", "RollingUpdate");
    if (!str_is(doc_str(s, "type"), "RollingUpdate"))
        return;
    struct doc *r = doc_sub(mem, s, "rollingUpdate");
    if (is_unset(r, "maxUnavailable"))
        doc_put_str(mem, r, "maxUnavailable", STR("25%"));
    if (is_unset(r, "maxSurge"))
        doc_put_str(mem, r, "maxSurge", STR("25%"));
}

void default_daemon_set_strategy(struct arena *mem, struct doc *s, const struct doc *root)
{
    set_blank(mem, s, "type", "RollingUpdate");
    if (!str_is(doc_str(s, "type"), "RollingUpdate"))
        return;
    struct doc *r = doc_sub(mem, s, "rollingUpdate");
    set_int(mem, r, "maxUnavailable", 1);
    set_int(mem, r, "maxSurge", 0);
}

void default_stateful_set_strategy(struct arena *mem, struct doc *s, const struct doc *root)
{
    if (is_blank(s, "type")) {
        doc_put_str(mem, s, "type", STR("RollingUpdate"));
        doc_sub(mem, s, "rollingUpdate");
    }
    struct doc *r = doc_get(s, "rollingUpdate");
    if (!str_is(doc_str(s, "type"), "RollingUpdate") || !doc_is(r, DOC_OBJECT))
        return;
    set_int(mem, r, "partition", 0);
    if (gate_on(gate_find(STR("MaxUnavailableStatefulSet"))))
        set_int(mem, r, "maxUnavailable", 1);
}

static void default_counts(struct arena *mem, struct doc *spec)
{
    if (is_unset(spec, "completions") && is_unset(spec, "parallelism"))
        doc_put_int(mem, spec, "completions", 1);
    set_int(mem, spec, "parallelism", 1);
    set_int(mem, spec, "backoffLimit", is_unset(spec, "backoffLimitPerIndex") ? 6 : INT32_MAX);
}

/* Of a Job, not of a CronJob's template: that is defaulted when a Job is made of it. */
void default_job(struct arena *mem, struct doc *job, const struct doc *root)
{
    struct doc *spec = doc_sub(mem, job, "spec");
    default_counts(mem, spec);
    const struct doc *labels = doc_path(spec, "template", "metadata", "labels", NULL);
    if (doc_is(labels, DOC_OBJECT) && doc_len(labels) && doc_len(doc_path(job, "metadata", "labels", NULL)) == 0)
        doc_put(mem, doc_sub(mem, job, "metadata"), "labels", doc_copy(mem, labels));
    set_blank(mem, spec, "completionMode", "NonIndexed");
    if (is_unset(spec, "suspend"))
        doc_put_bool(mem, spec, "suspend", false);
    if (is_unset(spec, "podReplacementPolicy"))
        doc_put_str(mem, spec, "podReplacementPolicy",
                    is_unset(spec, "podFailurePolicy") ? STR("TerminatingOrFailed") : STR("Failed"));
    if (is_unset(spec, "manualSelector"))
        doc_put_bool(mem, spec, "manualSelector", false);
}

static struct doc *json(struct arena *mem, const char *text)
{
    return doc_parse(mem, str_of(text), NULL, NULL);
}

static void default_scaling_rules(struct arena *mem, struct doc *behavior, const char *direction, const char *policies)
{
    struct doc *rules = doc_sub(mem, behavior, direction);
    set_blank(mem, rules, "selectPolicy", "Max");
    if (is_unset(rules, "policies"))
        doc_put(mem, rules, "policies", json(mem, policies));
}

void default_hpa_spec(struct arena *mem, struct doc *spec, const struct doc *root)
{
    if (doc_len(doc_get(spec, "metrics")) == 0)
        doc_put(mem, spec, "metrics",
                json(mem, "[{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\",\"target\":{\"type\":\"Utilization\","
                          "\"averageUtilization\":80}}}]"));
    struct doc *behavior = doc_get(spec, "behavior");
    if (!doc_is(behavior, DOC_OBJECT))
        return;
    default_scaling_rules(mem, behavior, "scaleUp",
                          "[{\"type\":\"Pods\",\"value\":4,\"periodSeconds\":15},{\"type\":\"Percent\",\"value\":100,"
                          "\"periodSeconds\":15}]");
    set_int(mem, doc_get(behavior, "scaleUp"), "stabilizationWindowSeconds", 0);
    default_scaling_rules(mem, behavior, "scaleDown", "[{\"type\":\"Percent\",\"value\":100,\"periodSeconds\":15}]");
}
