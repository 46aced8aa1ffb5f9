/* sched/taint.c - TaintToleration and NodeUnschedulable. Source: core/v1 Toleration.ToleratesTaint. */
#include "sched/plugins.h"

bool toleration_matches(const struct doc *toleration, const struct doc *taint)
{
    struct str key = doc_str(toleration, "key"), effect = doc_str(toleration, "effect"),
               op = doc_str(toleration, "operator");
    if (effect.len && !str_eq(effect, doc_str(taint, "effect")))
        return false;
    if (key.len && !str_eq(key, doc_str(taint, "key")))
        return false;
    if (str_is(op, "Exists"))
        return true;
    return key.len && str_eq(doc_str(toleration, "value"), doc_str(taint, "value"));
}

static bool tolerated(const struct doc *spec, const struct doc *taint)
{
    doc_each (t, doc_get(spec, "tolerations"))
        if (toleration_matches(t, taint))
            return true;
    return false;
}

const char *filter_taints(const struct cycle *c, int row, const struct node_info *n)
{
    doc_each (taint, doc_get(n->spec, "taints"))
        if (!str_is(doc_str(taint, "effect"), "PreferNoSchedule") && !tolerated(c->spec, taint))
            return "node(s) had untolerated taint(s)";
    return NULL;
}

int64_t score_taints(const struct cycle *c, int row, const struct node_info *n)
{
    int64_t untolerated = 0;
    doc_each (taint, doc_get(n->spec, "taints"))
        untolerated += str_is(doc_str(taint, "effect"), "PreferNoSchedule") && !tolerated(c->spec, taint);
    return untolerated;
}

const char *filter_unschedulable(const struct cycle *c, int row, const struct node_info *n)
{
    if (!doc_bool(n->spec, "unschedulable", false))
        return NULL;
    doc_each (t, doc_get(c->spec, "tolerations"))
        if (str_is(doc_str(t, "key"), "node.kubernetes.io/unschedulable") ||
            (!doc_str(t, "key").len && str_is(doc_str(t, "operator"), "Exists")))
            return NULL;
    return "node(s) were unschedulable";
}
