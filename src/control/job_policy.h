/* control/job_policy.h - what a Job's own rules say about its pods: podFailurePolicy and successPolicy. Pure.
 *
 * Source: kubernetes pkg/controller/job/{pod_failure_policy,success_policy}.go; KEP-3329, KEP-3850, KEP-3998. */
#ifndef SAMPAN_CONTROL_JOB_POLICY_H
#define SAMPAN_CONTROL_JOB_POLICY_H

#include "control/job_index.h"

/* job_failure_policy.c */
enum job_action { JOB_ACTION_COUNT, JOB_ACTION_IGNORE, JOB_ACTION_FAIL_INDEX, JOB_ACTION_FAIL_JOB };
/* What the first rule that matches a failed pod wants; JOB_ACTION_COUNT when none does or policy is NULL.
 *   *ret_message  only for FAIL_JOB: the text of the Failed condition, in mem */
enum job_action job_failure_match(struct arena *mem, const struct doc *policy, const struct pod *p,
                                  struct str *ret_message);

/* job_success_policy.c: the first rule that the succeeded indexes fulfil, -1: none. n: spec.completions. */
int job_success_match(struct arena *mem, const struct doc *policy, int64_t n, const struct job_indexes *done);

#endif
