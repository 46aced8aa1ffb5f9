/* base/metrics.h - counters, gauges and histograms, printed in the Prometheus text format 0.0.4.
 *
 * A family is registered once, by a static descriptor; its series are found by label values. Core thread only.
 * Names are Kubernetes' wherever it has one. A family holds at most METRIC_SERIES_MAX series; more are folded into one
 * whose label values are all "other", so that a client cannot grow the memory. */
#ifndef SAMPAN_BASE_METRICS_H
#define SAMPAN_BASE_METRICS_H

#include "base/list.h"
#include "base/str.h"

enum { METRIC_LABELS_MAX = 9, METRIC_SERIES_MAX = 4096 };
enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric_family {
    const char *name, *help;
    enum metric_type type;
    const char *labels[METRIC_LABELS_MAX]; /* NULL-terminated when fewer */
    const double *buckets;                 /* upper bounds, ascending; histograms only */
    int bucket_count;
    struct metric_state *state; /* the registry's */
};
struct metric; /* one series */

/* The series with these label values, made when new; as many as the family has labels. */
struct metric *metric_get(struct metric_family *f, ...); /* const char * each */
void metric_add(struct metric *m, double by);
void metric_set(struct metric *m, double value);
void metric_observe(struct metric *m, double value);
double metric_value(const struct metric *m); /* sum for histograms */
/* A gauge computed when printed. */
void metric_callback(struct metric_family *f, double (*value)(void *data), void *data);
/* Looked at before each print: sets what is only known by looking. Embedded in its owner. */
struct metric_probe {
    struct list link;
    void (*look)(struct metric_probe *p);
};
void metric_probe_add(struct metric_probe *p);
void metric_probe_remove(struct metric_probe *p); /* harmless when zeroed or not added */
/* All families in order of name. */
void metrics_print(struct sb *out);
void metrics_reset(void); /* forget all: tests */

#endif
