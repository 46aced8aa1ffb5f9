/* schema/rules/policy.c - PodDisruptionBudget. */
#include "schema/rules/kinds.h"
#include "schema/rules/rules.h"

void validate_pod_disruption_budget(struct rule_ctx *c, const struct doc *obj, const struct doc *old,
                                    const struct fpath *at)
{
    static const char *const limits[] = {"minAvailable", "maxUnavailable", NULL}, *const policies[] = {
                                                                                      "AlwaysAllow", "IfHealthyBudget",
                                                                                      NULL};
    const struct doc *spec = doc_get(obj, "spec");
    const struct fpath *spec_at = AT(at, "spec");
    if (rule_has(spec, "minAvailable") && rule_has(spec, "maxUnavailable"))
        rule_invalid_doc(c, spec_at, spec, "minAvailable and maxUnavailable cannot be both set");
    for (const char *const *l = limits; *l; l++) {
        check_int_or_percent(c, AT(spec_at, *l), doc_get(spec, *l));
        check_at_most_100_percent(c, AT(spec_at, *l), doc_get(spec, *l));
    }
    check_label_selector(c, AT(spec_at, "selector"), doc_get(spec, "selector"));
    if (rule_has(spec, "unhealthyPodEvictionPolicy"))
        check_enum(c, AT(spec_at, "unhealthyPodEvictionPolicy"), doc_str(spec, "unhealthyPodEvictionPolicy"), policies);
}

void validate_pod_disruption_budget_status(struct rule_ctx *c, const struct doc *obj, const struct doc *old,
                                           const struct fpath *at)
{
    static const char *const counts[] = {"disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods",
                                         NULL};
    const struct doc *status = doc_get(obj, "status");
    check_conditions(c, AT(AT(at, "status"), "conditions"), doc_get(status, "conditions"));
    check_nonnegative_in(c, AT(at, "status"), status, counts);
}
