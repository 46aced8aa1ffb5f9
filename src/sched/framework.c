/* sched/framework.c - the rows: filters in Kubernetes' order, scores with their default weights. */
#include "sched/plugins.h"

static const char *filter_name(const struct cycle *c, int row, const struct node_info *n)
{
    struct str want = doc_str(c->spec, "nodeName");
    return !want.len || str_eq(want, n->name) ? NULL : "node(s) didn't match the requested node name";
}

static const char *filter_affinity(const struct cycle *c, int row, const struct node_info *n)
{
    return node_matches_selector(c->spec, n) ? NULL : "node(s) didn't match Pod's node affinity/selector";
}

static int64_t score_affinity(const struct cycle *c, int row, const struct node_info *n)
{
    return node_preference(c->spec, n);
}

const struct filter_plugin sched_filters[] = {
    {"NodeUnschedulable", NULL, filter_unschedulable},
    {"NodeName", NULL, filter_name},
    {"TaintToleration", NULL, filter_taints},
    {"NodeAffinity", NULL, filter_affinity},
    {"NodePorts", NULL, filter_ports},
    {"NodeResourcesFit", NULL, filter_fit},
    {"PodTopologySpread", spread_pre_filter, filter_spread},
    {NULL, NULL, NULL},
};

const struct score_plugin sched_scores[] = {
    {"TaintToleration", 3, SCORE_REVERSE, NULL, score_taints},
    {"NodeAffinity", 2, SCORE_MAX, NULL, score_affinity},
    {"PodTopologySpread", 2, SCORE_REVERSE, spread_pre_score, score_spread},
    {"NodeResourcesFit", 1, SCORE_AS_IS, NULL, score_least_allocated},
    {"NodeResourcesBalancedAllocation", 1, SCORE_AS_IS, NULL, score_balanced},
    {NULL, 0, SCORE_AS_IS, NULL, NULL},
};
