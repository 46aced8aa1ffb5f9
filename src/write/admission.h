/* write/admission.h - the built-in admission plugins and what they share. One file each: admit_NAME.c. */
#ifndef SAMPAN_WRITE_ADMISSION_H
#define SAMPAN_WRITE_ADMISSION_H

#include "write/write.h"

extern const struct admission_plugin admit_namespace_lifecycle; /* no content in a namespace that is gone or going */
extern const struct admission_plugin admit_limit_range;     /* LimitRanges: defaults and bounds of pods and claims */
extern const struct admission_plugin admit_service_account; /* a pod's account and its token volume */
extern const struct admission_plugin admit_taint_nodes_by_condition; /* a new node is not ready */
extern const struct admission_plugin admit_priority; /* priorityClassName -> priority, preemptionPolicy */
extern const struct admission_plugin admit_default_toleration_seconds;      /* 300 s on not-ready and unreachable */
extern const struct admission_plugin admit_node_restriction;                /* a node writes only itself and its pods */
extern const struct admission_plugin admit_certificate_subject_restriction; /* no client becomes system:masters */

bool admission_is(const struct admission *a, const char *group, const char *resource); /* any subresource */
bool admission_creates(const struct admission *a, const char *group,
                       const char *resource); /* POST of the object itself */
/* FORBIDDEN in Kubernetes' frame: `pods "x" is forbidden: WHY`. Returns -1. */
int admission_forbid(struct admission *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
