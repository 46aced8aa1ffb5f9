/* sched/plugins.h - the functions behind the rows of sched_filters and sched_scores (framework.c), one file a
 * behaviour. */
#ifndef SAMPAN_SCHED_PLUGINS_H
#define SAMPAN_SCHED_PLUGINS_H

#include "sched/framework.h"

const char *filter_unschedulable(const struct cycle *c, int row, const struct node_info *n); /* taint.c */
const char *filter_taints(const struct cycle *c, int row, const struct node_info *n);
int64_t score_taints(const struct cycle *c, int row, const struct node_info *n);
const char *filter_fit(const struct cycle *c, int row, const struct node_info *n); /* fit.c */
int64_t score_least_allocated(const struct cycle *c, int row, const struct node_info *n);
int64_t score_balanced(const struct cycle *c, int row, const struct node_info *n);
const char *filter_ports(const struct cycle *c, int row, const struct node_info *n); /* ports.c */
void spread_pre_filter(struct cycle *c, int row);                                    /* spread.c */
const char *filter_spread(const struct cycle *c, int row, const struct node_info *n);
void spread_pre_score(struct cycle *c, int row);
int64_t score_spread(const struct cycle *c, int row, const struct node_info *n);

#endif
