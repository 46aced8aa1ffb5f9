/* schema/rules/affinity.c - node and pod affinity, topology spread. */
#include "schema/rules/rules.h"

static void check_weight(struct rule_ctx *c, const struct fpath *at, int64_t weight)
{
    if (weight < 1 || weight > 100)
        rule_invalid_int(c, at, weight, "must be in the range 1-100");
}

static void check_node_affinity(struct rule_ctx *c, const struct fpath *at, const struct doc *na)
{
    const struct fpath *preferred = AT(at, "preferredDuringSchedulingIgnoredDuringExecution");
    if (rule_has(na, "requiredDuringSchedulingIgnoredDuringExecution"))
        check_node_selector(c, AT(at, "requiredDuringSchedulingIgnoredDuringExecution"),
                            doc_get(na, "requiredDuringSchedulingIgnoredDuringExecution"));
    rule_each (term, doc_get(na, "preferredDuringSchedulingIgnoredDuringExecution")) {
        const struct fpath *item = AT_INDEX(preferred, term_i);
        check_weight(c, AT(item, "weight"), doc_int(term, "weight", 0));
        check_node_selector_term(c, AT(item, "preference"), doc_get(term, "preference"), /* any_value= */ true);
    }
}

static void check_label_keys(struct rule_ctx *c, const struct fpath *at, const struct doc *keys,
                             const struct doc *selector)
{
    if (!doc_len(keys))
        return;
    if (!doc_is(selector, DOC_OBJECT)) {
        rule_forbidden(c, at, "must not be specified when labelSelector is not set");
        return;
    }
    rule_each (key, keys)
        check_name(c, AT_INDEX(at, key_i), doc_string(key), name_qualified);
}

static void gather_strings(struct rule_set *s, const struct doc *list)
{
    doc_each (v, list)
        rule_set_add(s, doc_string(v));
}

static int index_of(const struct doc *list, struct str s)
{
    rule_each (v, list)
        if (str_eq(doc_string(v), s))
            return v_i;
    return 0;
}

static void check_match_keys(struct rule_ctx *c, const struct fpath *at, const struct doc *term)
{
    const struct doc *match = doc_get(term, "matchLabelKeys"), *mismatch = doc_get(term, "mismatchLabelKeys"),
                     *selector = doc_get(term, "labelSelector");
    cleanup_set struct rule_set selected = {0}, matched = {0}, mismatched = {0};
    check_label_keys(c, AT(at, "matchLabelKeys"), match, selector);
    check_label_keys(c, AT(at, "mismatchLabelKeys"), mismatch, selector);
    gather_strings(&matched, match), gather_strings(&mismatched, mismatch);
    doc_each (pair, doc_get(selector, "matchLabels"))
        rule_set_add(&selected, pair->key);
    doc_each (e, doc_get(selector, "matchExpressions")) {
        struct str key = doc_str(e, "key");
        if (!rule_set_add(&selected, key) && rule_set_has(&matched, key) && c->err->cause_count < ERR_CAUSES_MAX)
            rule_invalid(c, AT_INDEX(at, index_of(match, key)), key, "exists in both matchLabelKeys and labelSelector");
    }
    rule_each (key, match)
        if (rule_set_has(&mismatched, doc_string(key)))
            rule_invalid(c, AT_INDEX(AT(at, "matchLabelKeys"), key_i), doc_string(key),
                         "exists in both matchLabelKeys and mismatchLabelKeys");
}

static void check_pod_term(struct rule_ctx *c, const struct fpath *at, const struct doc *term)
{
    struct str key = doc_str(term, "topologyKey");
    check_label_selector(c, AT(at, "labelSelector"), doc_get(term, "labelSelector"));
    check_label_selector(c, AT(at, "namespaceSelector"), doc_get(term, "namespaceSelector"));
    doc_each (ns, doc_get(term, "namespaces"))
        check_name(c, AT(at, "namespace"), doc_string(ns), name_dns1123_label);
    check_match_keys(c, at, term);
    if (!key.len)
        rule_required(c, AT(at, "topologyKey"), "can not be empty");
    check_name(c, AT(at, "topologyKey"), key, name_qualified);
}

static void check_pod_affinity(struct rule_ctx *c, const struct fpath *at, const struct doc *pa)
{
    const struct fpath *required = AT(at, "requiredDuringSchedulingIgnoredDuringExecution"),
                       *preferred = AT(at, "preferredDuringSchedulingIgnoredDuringExecution");
    rule_each (term, doc_get(pa, required->name))
        check_pod_term(c, AT_INDEX(required, term_i), term);
    rule_each (term, doc_get(pa, preferred->name)) {
        const struct fpath *item = AT_INDEX(preferred, term_i);
        check_weight(c, AT(item, "weight"), doc_int(term, "weight", 0));
        check_pod_term(c, AT(item, "podAffinityTerm"), doc_get(term, "podAffinityTerm"));
    }
}

void check_affinity(struct rule_ctx *c, const struct fpath *at, const struct doc *affinity)
{
    if (rule_has(affinity, "nodeAffinity"))
        check_node_affinity(c, AT(at, "nodeAffinity"), doc_get(affinity, "nodeAffinity"));
    if (rule_has(affinity, "podAffinity"))
        check_pod_affinity(c, AT(at, "podAffinity"), doc_get(affinity, "podAffinity"));
    if (rule_has(affinity, "podAntiAffinity"))
        check_pod_affinity(c, AT(at, "podAntiAffinity"), doc_get(affinity, "podAntiAffinity"));
}

static void check_spread_keys(struct rule_ctx *c, const struct fpath *at, const struct doc *constraint)
{
    const struct doc *keys = doc_get(constraint, "matchLabelKeys"), *selector = doc_get(constraint, "labelSelector");
    cleanup_set struct rule_set selected = {0};
    doc_each (pair, doc_get(selector, "matchLabels"))
        rule_set_add(&selected, pair->key);
    doc_each (e, doc_get(selector, "matchExpressions"))
        rule_set_add(&selected, doc_str(e, "key"));
    if (doc_len(keys) && !doc_is(selector, DOC_OBJECT))
        rule_forbidden(c, at, "must not be specified when labelSelector is not set");
    rule_each (key, keys) {
        check_name(c, AT_INDEX(at, key_i), doc_string(key), name_qualified);
        if (rule_set_has(&selected, doc_string(key)))
            rule_invalid(c, AT_INDEX(at, key_i), doc_string(key), "exists in both matchLabelKeys and labelSelector");
    }
}

static void check_min_domains(struct rule_ctx *c, const struct fpath *at, const struct doc *min, struct str action)
{
    if (!doc_is(min, DOC_INT))
        return;
    if (min->i <= 0)
        rule_invalid_int(c, at, min->i, "must be greater than zero");
    if (!str_is(action, "DoNotSchedule"))
        rule_invalid_int(c, at, min->i, "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not " STR_FMT,
                         STR_ARG(action));
}

void check_topology_spread(struct rule_ctx *c, const struct fpath *at, const struct doc *constraints)
{
    static const char *const actions[] = {"DoNotSchedule", "ScheduleAnyway", NULL}, *const policies[] = {
                                                                                        "Honor", "Ignore", NULL};
    cleanup_set struct rule_set last = {0};
    doc_each (con, constraints) {
        struct str key = doc_str(con, "topologyKey"), action = doc_str(con, "whenUnsatisfiable");
        map_put(&last.map, str_fmt(c->mem, "{" STR_FMT ", " STR_FMT "}", STR_ARG(key), STR_ARG(action)), con);
    }
    rule_each (con, constraints) {
        const struct fpath *item = AT_INDEX(at, con_i);
        int64_t skew = doc_int(con, "maxSkew", 0);
        struct str key = doc_str(con, "topologyKey"), action = doc_str(con, "whenUnsatisfiable");
        if (skew <= 0)
            rule_invalid_int(c, AT(item, "maxSkew"), skew, "must be greater than zero");
        if (!key.len)
            rule_required(c, AT(item, "topologyKey"), "can not be empty");
        check_enum(c, AT(item, "whenUnsatisfiable"), action, actions);
        struct str pair = str_fmt(c->mem, "{" STR_FMT ", " STR_FMT "}", STR_ARG(key), STR_ARG(action));
        if (rule_set_node(&last, pair) != con)
            rule_duplicate(c, AT(item, "{topologyKey, whenUnsatisfiable}"), pair);
        check_min_domains(c, AT(item, "minDomains"), doc_get(con, "minDomains"), action);
        if (rule_has(con, "nodeAffinityPolicy"))
            check_enum(c, AT(item, "nodeAffinityPolicy"), doc_str(con, "nodeAffinityPolicy"), policies);
        if (rule_has(con, "nodeTaintsPolicy"))
            check_enum(c, AT(item, "nodeTaintsPolicy"), doc_str(con, "nodeTaintsPolicy"), policies);
        if (!rule_kept(c, item, con)) {
            check_spread_keys(c, AT(item, "matchLabelKeys"), con);
            check_label_selector(c, AT(item, "labelSelector"), doc_get(con, "labelSelector"));
        }
    }
}
