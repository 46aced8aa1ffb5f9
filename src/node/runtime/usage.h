/* node/runtime/usage.h - what a control group, the whole node and a network namespace have used, read when asked.
 *
 * Source: cgroup-v1/memory.rst, cgroup-v2.rst; cadvisor container/libcontainer/handler.go for what "working set" is:
 * usage without the file cache that was not used lately. */
#ifndef SAMPAN_NODE_RUNTIME_USAGE_H
#define SAMPAN_NODE_RUNTIME_USAGE_H

#include "node/node.h"

struct usage_sample {
    int64_t cpu_ns;
    int64_t memory_bytes, working_set_bytes, rss_bytes, cache_bytes, swap_bytes;
    int64_t faults, major_faults, processes, oom_kills;
    int64_t unix_ms; /* when it was read */
};
/* path as in cgroup.h. False: it is gone, or no controller tells. */
bool usage_of_cgroup(struct node *n, const char *path, struct usage_sample *ret);
bool usage_of_node(struct node *n, struct usage_sample *ret);

struct usage_link {
    struct str name; /* in mem */
    int64_t rx_bytes, rx_packets, rx_errors, rx_drops, tx_bytes, tx_packets, tx_errors, tx_drops;
};
enum { USAGE_LINKS_MAX = 32 };
/* The links that process pid sees, without lo; how many. */
int usage_of_links(struct arena *mem, int pid, struct usage_link ret[USAGE_LINKS_MAX]);

#endif
