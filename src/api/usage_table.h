/* api/usage_table.h - what the containers of one node, and the node, used at one time: read from the text of the
 * kubelet's /metrics/resource, as it arrives; and how fast, from two such readings.
 *
 * A table holds what this server knows of a node between questions; nothing else is kept. The text is a node's word:
 * lines that say nothing to us or make no sense are passed over. Pure functions of their arguments. Internal to api/.
 * Source: Prometheus text format 0.0.4, kubelet pkg/kubelet/metrics/collectors/resource_metrics.go; metrics-server
 * pkg/storage for which two points make a rate. */
#ifndef SAMPAN_API_USAGE_TABLE_H
#define SAMPAN_API_USAGE_TABLE_H

#include "base/map.h"

enum {
    USAGE_LINE_BYTES_MAX = 2048, /* longer lines are passed over */
    USAGE_POINTS_MAX = 8192,     /* further containers are not seen */
    USAGE_WINDOW_MS_MIN = 500,   /* less tells nothing about a rate */
    USAGE_WINDOW_MS_MAX = 90000, /* more tells nothing about the present */
    USAGE_CLOCK_SLACK_MS = 3000, /* a node's clock that went differently from ours by more is not believed */
};
struct usage_point {
    struct str ns, pod, container; /* all empty: the node */
    int64_t cpu_ns, memory_bytes;  /* -1: not told */
    int64_t at_ms, start_ms;       /* Unix time by the node's clock; start 0: not told */
    int64_t cpu_nano, window_ms;   /* thousand millionths of a core, over the window before at_ms; window 0: unknown */
};
struct usage_table {
    struct arena *mem;
    struct usage_point **points; /* after usage_table_end: those with CPU and memory, in order of ns, pod, container */
    int count, cap;
    int64_t taken_ms; /* loop time of the end */
    /* while it is read */
    struct map index;
    char line[USAGE_LINE_BYTES_MAX];
    size_t line_len;
    bool skip; /* the rest of a line that is too long */
};

struct usage_table *usage_table_new(void);
struct usage_table *usage_table_free(struct usage_table *t);    /* NULL accepted; returns NULL */
void usage_table_read(struct usage_table *t, struct str bytes); /* any part of the text, in order */
/* before: an earlier reading of the same node, or NULL. A container that began after it counts from its start. */
void usage_table_end(struct usage_table *t, const struct usage_table *before, int64_t now_ms);

/* The containers of a pod, or with empty names the node; NULL: none. */
struct usage_point *const *usage_table_find(const struct usage_table *t, struct str ns, struct str pod, int *ret_count);
#endif
