/* node/node.h - the agent itself: the one struct that everything in node/ hangs on. Internal to node/.
 *
 * May use http/, schema/, doc/, base/. Never store/, write/, api/: the agent is an API client. */
#ifndef SAMPAN_NODE_NODE_H
#define SAMPAN_NODE_NODE_H

#include "node/agent.h"
#include "node/ipc.h"
#include "node/pod.h"

enum cgroup_mode { CGROUP_V1, CGROUP_HYBRID, CGROUP_V2 };

struct node {
    struct loop *loop;
    struct agent_opts opts;
    struct arena *keep; /* lives as long as the agent */
    const char *name;
    const char *state_dir;          /* images, writable layers: /var/lib/sampan */
    const char *run_dir;            /* tmpfs: sockets, bundles, records, namespaces: /run/sampan */
    const char *kubelet_dir;        /* /var/lib/kubelet: pods/UID/volumes */
    const char *log_dir;            /* /var/log/pods */
    const char *containers_log_dir; /* /var/log/containers: links; NULL: none */
    const char *address;            /* InternalIP */
    bool pod_cidr_given;            /* by --pod-cidr, not by the server */
    const char *conmon, *crun, *init;

    struct list pods;
    struct api *api; /* agent/client.h; NULL: pods come from files */
    struct ipc *net; /* the net helper; NULL while it is being started again */
    int net_pid;
    struct images *images; /* image/store.h */
    struct events *events; /* agent/events.h */
    struct nodestatus *status;
    struct identity *identity;     /* agent/identity.h; NULL: credentials are others' business */
    struct pods_watch *pods_watch; /* agent/watch.c */
    struct configs *configs;       /* agent/configs.h: config maps and secrets in use */
    struct runtime *runtime;       /* runtime/runtime.h */
    int64_t image_gc_again_ms;     /* loop time: agent/image_gc.c may complain again */
    struct storage *storage;       /* agent/storage.c; NULL: no pod had limits yet */
    struct rotation *rotation;     /* runtime/rotate.c: container logs */
    const struct pod_network_ops *network;
    void *network_ctx;

    enum cgroup_mode cgroup_mode;
    int64_t cpu_milli, memory_bytes, disk_bytes, pods_max; /* capacity */
    struct serve *serve; /* stream/serve.c: what net has started inside containers; NULL: nothing yet */
    bool stopping;
    void (*on_status)(struct node *n, struct pod *p, struct str status); /* tests: instead of the API */
};

/* The table that net_*.c fills; NULL: built without a pod network. Set by agent_main's caller through agent_opts. */

#endif
