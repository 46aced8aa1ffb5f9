/* node/runtime/cgroup.h - pods' control groups, v1, v2 and hybrid.
 *
 * PARENT/kubepods[/burstable|/besteffort]/podUID[/CONTAINER]; the container's is made by crun. Paths are relative to
 * the hierarchies' roots, without leading slash. */
#ifndef SAMPAN_NODE_RUNTIME_CGROUP_H
#define SAMPAN_NODE_RUNTIME_CGROUP_H

#include "node/node.h"

enum cgroup_mode cgroup_detect(void);
struct cgroup_limits {
    int64_t cpu_milli_request, cpu_milli_limit, memory_limit_bytes; /* 0: none; request 0: the least shares */
};
/* Make it in every hierarchy (parents too), with limits where they are given. 0 or -errno. */
int cgroup_make(enum cgroup_mode mode, const char *path, const struct cgroup_limits *limits);
/* Kill what is in it and below, once (never what is outside); the number of processes signalled. */
int cgroup_kill(enum cgroup_mode mode, const char *path);
/* Remove it with what is below, as far as it is empty. -EBUSY: processes are left. */
int cgroup_remove(enum cgroup_mode mode, const char *path);
/* v2: does the cgroup have this file. */
bool cgroup_has(const char *path, const char *file);
bool cgroup_oom_killed(enum cgroup_mode mode, const char *path);

#endif
