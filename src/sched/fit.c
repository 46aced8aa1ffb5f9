/* sched/fit.c - NodeResourcesFit and NodeResourcesBalancedAllocation. */
#include "sched/plugins.h"

#include <math.h>

const char *filter_fit(const struct cycle *c, int row, const struct node_info *n)
{
    static const char *const reasons[RES_NAMED] = {"Insufficient cpu", "Insufficient memory",
                                                   "Insufficient ephemeral-storage"};
    const struct amounts *want = &c->pod->requests;
    if (n->pod_count + 1 > n->pods_max)
        return "Too many pods";
    for (int i = 0; i < RES_NAMED; i++)
        if (want->fixed[i] > 0 && want->fixed[i] > n->allocatable.fixed[i] - n->used.fixed[i])
            return reasons[i];
    for (int i = 0; i < want->named_count; i++)
        if (want->named[i].value > 0 && want->named[i].value > amounts_named(&n->allocatable, want->named[i].name) -
                                                                   amounts_named(&n->used, want->named[i].name))
            return str_fmtz(c->mem, "Insufficient " STR_FMT, STR_ARG(want->named[i].name));
    return NULL;
}

/* The share of cpu and memory left free, out of 100 (LeastAllocated, both weigh the same). */
int64_t score_least_allocated(const struct cycle *c, int row, const struct node_info *n)
{
    int64_t sum = 0, weights = 0;
    for (int i = RES_CPU; i <= RES_MEMORY; i++) {
        int64_t capacity = n->allocatable.fixed[i], used = n->used_non_zero.fixed[i] + c->pod->non_zero.fixed[i];
        if (capacity <= 0)
            continue;
        weights++;
        if (used <= capacity)
            sum += (capacity - used) * 100 / capacity;
    }
    return weights ? sum / weights : 0;
}

/* 100 where cpu and memory are used in equal shares: 1 minus their standard deviation. */
int64_t score_balanced(const struct cycle *c, int row, const struct node_info *n)
{
    double share[2];
    for (int i = RES_CPU; i <= RES_MEMORY; i++) {
        double capacity = (double)n->allocatable.fixed[i];
        double used = (double)(n->used.fixed[i] + c->pod->requests.fixed[i]);
        share[i] = capacity > 0 ? fmin(used / capacity, 1) : 1;
    }
    return (int64_t)((1 - fabs(share[0] - share[1]) / 2) * 100);
}
