/* gate/escalate.h - nobody grants by RBAC what they do not hold.
 *
 * A guard of the write path: it judges each write of a Role, ClusterRole, RoleBinding or ClusterRoleBinding by a
 * client. Allowed are members of system:masters, who may `escalate` the role or `bind` what the binding refers to, and
 * whoever holds every single right that would be granted, at the same scope. May use write/, store/, schema/, doc/,
 * base/. Source: kubernetes pkg/registry/rbac (policybased storages, validation/policy_comparator.go,
 * policy_compact.go). */
#ifndef SAMPAN_GATE_ESCALATE_H
#define SAMPAN_GATE_ESCALATE_H

#include "gate/gate.h"

/* The write_guard_fn of the writer; ctx is the struct gate. -1 with FORBIDDEN, or NOT_FOUND for a role that a binding
 * refers to. */
int escalate_check(void *ctx, struct admission *a);

/* ---- the comparison itself, for tests: documents are arrays of rbac/v1 PolicyRules. */
/* Rights of wanted that no rule of held covers, broken down to one group, resource, name and verb each, then put
 * together again by resource. An empty array: all are covered. */
struct doc *escalate_missing(struct arena *mem, const struct doc *held, const struct doc *wanted);
/* {APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}, a line each, sorted. */
struct str escalate_describe(struct arena *mem, const struct doc *rules);

#endif
