/* gate/bootstrap.h - the tables of what a cluster is born with. One row an object or a rule; bootstrap.c makes them. */
#ifndef SAMPAN_GATE_BOOTSTRAP_H
#define SAMPAN_GATE_BOOTSTRAP_H

/* One rule of a default role. Words are separated by spaces; "-" in groups is the core group. */
struct role_rule {
    const char *role;                                       /* rows of one role stand together */
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
extern const struct role_rule default_rules[];    /* ended by a NULL role */
extern const struct default_role default_roles[]; /* ended by a NULL name */
extern const struct default_binding default_bindings[];

#endif
