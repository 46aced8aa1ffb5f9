/* gate/bootstrap.h - the tables of what a cluster is born with. One row an object or a rule; bootstrap.c makes them. */
#ifndef SAMPAN_GATE_BOOTSTRAP_H
#define SAMPAN_GATE_BOOTSTRAP_H

#include <stdbool.h>

/* One rule of a default role. Words are separated by spaces; "-" in groups is the core group. */
struct role_rule {
    const char *role;                                       /* NS/NAME of a Role; rows of one role stand together */
    const char *verbs, *groups, *resources, *names, *paths; /* NULL: none */
};
struct default_role {
    const char *ns; /* NULL: a ClusterRole */
    const char *name;
    const char *label;     /* "aggregate-to-edit": this role is part of edit; NULL: none */
    const char *aggregate; /* "aggregate-to-edit": this role is the sum of those; NULL: its own rules */
};
struct default_binding {
    const char *ns; /* NULL: a ClusterRoleBinding */
    const char *name, *role_kind, *role;
    const char *subject_kind; /* User, Group or ServiceAccount (ns/name) */
    const char *subjects;     /* separated by spaces */
};
struct default_level { /* a PriorityLevelConfiguration */
    const char *name;
    bool exempt;
    int shares, lendable_percent;
    int queues, hand_size, queue_length; /* queues 0: what is too much is refused at once */
};
struct default_flow { /* a FlowSchema */
    const char *name, *level;
    int precedence;
    const char *by;       /* ByUser, ByNamespace, NULL */
    const char *subjects; /* pairs of words: g GROUP, u USER, s ACCOUNT (of kube-system) */
};
struct flow_rule {
    const char *flow; /* one without rows matches every request */
    const char *verbs, *groups, *resources;
    bool cluster_scope;
    const char *paths;
};
extern const struct default_level default_levels[]; /* ended by a NULL name, as the next two */
extern const struct default_flow default_flows[];   /* after the levels they name */
extern const struct flow_rule default_flow_rules[];
extern const struct role_rule default_rules[];    /* ended by a NULL role */
extern const struct default_role default_roles[]; /* ended by a NULL name */
extern const struct default_binding default_bindings[];
extern const struct role_rule default_controllers[]; /* role: the controller's account; ended by a NULL role */

#endif
