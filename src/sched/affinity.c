/* sched/affinity.c - NodeAffinity: nodeSelector and node affinity terms against a node's labels and name. */
#include "sched/framework.h"

/* In, NotIn, Exists, DoesNotExist, Gt, Lt (core/v1 NodeSelectorRequirement). */
static bool requirement_matches(const struct doc *r, struct str value, bool present)
{
    struct str op = doc_str(r, "operator");
    const struct doc *values = doc_get(r, "values");
    int64_t have, want;
    if (str_is(op, "Exists"))
        return present;
    if (str_is(op, "DoesNotExist"))
        return !present;
    if (str_is(op, "Gt") || str_is(op, "Lt"))
        return present && str_to_i64(value, &have) && str_to_i64(doc_string(doc_first(values)), &want) &&
               (str_is(op, "Gt") ? have > want : have < want);
    bool in = false;
    doc_each (v, values)
        in |= present && str_eq(doc_string(v), value);
    return str_is(op, "In") ? in : str_is(op, "NotIn") ? !in : false;
}

/* All requirements of a term; an empty term matches nothing. */
static bool term_matches(const struct doc *term, const struct node_info *n)
{
    const struct doc *labels = doc_get(term, "matchExpressions"), *fields = doc_get(term, "matchFields");
    if (!doc_len(labels) && !doc_len(fields))
        return false;
    doc_each (r, labels) {
        bool present = false;
        struct str value = obj_label_value(n->obj, doc_str(r, "key"), &present);
        if (!requirement_matches(r, value, present))
            return false;
    }
    doc_each (r, fields)
        if (!str_is(doc_str(r, "key"), "metadata.name") || !requirement_matches(r, n->name, true))
            return false;
    return true;
}

bool node_matches_selector(const struct doc *spec, const struct node_info *n)
{
    doc_each (want, doc_get(spec, "nodeSelector")) {
        bool present = false;
        if (!str_eq(obj_label_value(n->obj, want->key, &present), doc_string(want)) || !present)
            return false;
    }
    const struct doc *required =
        doc_path(spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", NULL);
    if (!required)
        return true;
    doc_each (term, doc_get(required, "nodeSelectorTerms"))
        if (term_matches(term, n))
            return true;
    return false;
}

int64_t node_preference(const struct doc *spec, const struct node_info *n)
{
    int64_t sum = 0;
    doc_each (pref, doc_path(spec, "affinity", "nodeAffinity", "preferredDuringSchedulingIgnoredDuringExecution", NULL))
        if (term_matches(doc_get(pref, "preference"), n))
            sum += doc_int(pref, "weight", 0);
    return sum;
}
