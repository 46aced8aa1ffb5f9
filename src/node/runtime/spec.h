/* node/runtime/spec.h - the OCI runtime configuration (config.json) of one container.
 *
 * A pure function of what the agent has resolved; tests compare its text. Source: OCI runtime spec 1.0; defaults are
 * containerd's (capabilities, masked paths), where Kubernetes leaves them to the runtime. May use doc/, base/. */
#ifndef SAMPAN_NODE_RUNTIME_SPEC_H
#define SAMPAN_NODE_RUNTIME_SPEC_H

#include "doc/doc.h"
#include "node/image/info.h"

struct mount_spec {
    struct str source, destination, type; /* type empty: bind */
    struct str options;                   /* separated by commas */
};
enum { SPEC_MOUNTS_MAX = 256, SPEC_GIDS_MAX = 64 };

struct spec_in {
    const struct doc *pod;       /* Pod.spec */
    const struct doc *container; /* of it */
    struct strv args, env;
    struct str workdir;
    uint32_t uid, gid;
    uint32_t gids[SPEC_GIDS_MAX];
    int gid_count;
    struct mount_spec mounts[SPEC_MOUNTS_MAX];
    int mount_count;
    struct str hostname;
    struct str netns, ipcns, utsns, pidns; /* paths; empty: the host's (pid: a new one, unless host_pid) */
    bool host_pid;
    struct str rootfs, cgroup;      /* cgroup: path below the hierarchies, with a leading slash */
    bool cgroup_v2, swap_accounted; /* swap_accounted: v2 has memory.swap.max */
    int64_t cpu_milli_request, cpu_milli_limit, memory_limit_bytes; /* 0: none */
    int oom_score_adj;
    struct str apparmor;       /* name of a loaded profile; empty: unconfined */
    const struct doc *seccomp; /* the runtime's default profile, or an OCI object; NULL: unconfined */
    bool seccomp_local;        /* it is an OCI object already */
    const struct doc *devices; /* linux.devices for privileged containers; NULL: none */
};
struct doc *spec_build(struct arena *mem, const struct spec_in *in);
/* securityContext of the container, else of the pod: the value of key, or NULL. */
const struct doc *spec_security(const struct doc *pod, const struct doc *container, const char *key);
bool spec_privileged(const struct doc *container);
/* The runtime's default profile (containers' seccomp.json) turned into an OCI object for these capabilities (names with
 * CAP_). NULL: not usable. */
struct doc *spec_seccomp(struct arena *mem, const struct doc *profile, const struct doc *caps);
/* A Localhost profile (an OCI seccomp object as a file) without what an OCI object has no place for. NULL: it is none.
 */
struct doc *spec_seccomp_local(struct arena *mem, const struct doc *profile);
int64_t spec_shares(int64_t cpu_milli); /* cgroup v1 cpu.shares, as kubelet computes it */

#endif
