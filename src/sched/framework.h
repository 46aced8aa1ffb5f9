/* sched/framework.h - what the scheduler knows, and the rows that judge it.
 *
 * A pod and a node are read once from their objects into the structs below; filters and scores are pure functions of
 * them (KEP-624). A filter returns NULL (fits) or Kubernetes' reason; a score is any number, brought to 0..100 over the
 * feasible nodes by its row's normalisation, then multiplied by its weight. */
#ifndef SAMPAN_SCHED_FRAMEWORK_H
#define SAMPAN_SCHED_FRAMEWORK_H

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "store/cache.h"

/* Quantities a scheduler counts: cpu in thousandths, the others in units. */
enum { RES_CPU, RES_MEMORY, RES_EPHEMERAL, RES_NAMED };
struct amount {
    struct str name; /* "nvidia.com/gpu", "hugepages-2Mi" */
    int64_t value;
};
struct amounts {
    int64_t fixed[RES_NAMED];
    struct amount *named; /* sorted by name */
    int named_count;
};

struct host_port {
    struct str protocol, ip;
    int port;
};

enum pod_place { POD_UNKNOWN, POD_ACTIVE, POD_BACKOFF, POD_UNSCHEDULABLE, POD_PLACED };
struct node_info;
struct pod_info {    /* one small block: what stays in memory for every pod of the cluster */
    struct obj *obj; /* referenced */
    struct amounts requests;
    struct amounts non_zero; /* with 100m and 200Mi for containers that ask nothing: for scores */
    struct host_port *ports;
    int port_count;
    uint32_t bytes; /* of the block */
    int64_t priority;
    bool is_ours;  /* to be scheduled by us: not gated, not going, our scheduler's name */
    bool is_over;  /* Succeeded or Failed */
    bool is_bound; /* has a node */
    /* The scheduler's own state of it. */
    enum pod_place place;
    struct node_info *node; /* POD_PLACED: where it is, or is assumed to be */
    bool is_assumed;        /* the binding is still being written */
    struct list link;       /* of its node's pods, or of the unschedulable */
    struct heap_item heap;  /* active: by priority and age; back-off: by time */
    int attempts;
    int64_t queued_ms;
    int64_t first_us; /* when it was first to be scheduled */
};
struct node_info {
    struct arena *mem;
    struct obj *obj; /* NULL: pods name a node that is not there */
    struct str name;
    const struct doc *spec;
    struct amounts allocatable;
    int64_t pods_max;
    struct amounts used, used_non_zero;
    struct list pods;
    int pod_count;
};

/* One pod looking at all nodes. */
struct cycle {
    struct arena *mem;
    const struct pod_info *pod;
    const struct doc *spec;   /* of the pod; lives in mem */
    struct node_info **nodes; /* by name */
    int node_count;
    void *state[8]; /* of the plugins with a pre_filter, by their row */
};
struct filter_plugin {
    const char *name;
    void (*pre_filter)(struct cycle *c, int row); /* may fill c->state[row] */
    const char *(*filter)(const struct cycle *c, int row, const struct node_info *n);
};
enum score_norm { SCORE_AS_IS, SCORE_MAX, SCORE_REVERSE }; /* 0..100 already; highest is 100; lowest is 100 */
struct score_plugin {
    const char *name;
    int weight;
    enum score_norm norm;
    void (*pre_score)(struct cycle *c, int row);
    int64_t (*score)(const struct cycle *c, int row, const struct node_info *n);
};
extern const struct filter_plugin sched_filters[]; /* in Kubernetes' order; ended by a NULL name */
extern const struct score_plugin sched_scores[];

/* info.c */
/* doc: the pod's. ret_node: slice of pod; may be NULL. */
struct pod_info *pod_info_new(const struct obj *pod, const struct doc *doc, struct str *ret_node);
struct pod_info *pod_info_free(struct pod_info *p);
struct node_info *node_info_new(struct str name);
void node_info_set(struct node_info *n, const struct obj *node); /* NULL: it is gone, its pods are not */
struct node_info *node_info_free(struct node_info *n);
void node_info_add(struct node_info *n, struct pod_info *p);
void node_info_remove(struct node_info *n, struct pod_info *p);
int64_t amounts_named(const struct amounts *a, struct str name);

/* affinity.c */
bool node_matches_selector(const struct doc *spec, const struct node_info *n); /* nodeSelector and required affinity */
int64_t node_preference(const struct doc *spec, const struct node_info *n); /* weights of preferred terms that match */
/* taint.c */
bool toleration_matches(const struct doc *toleration, const struct doc *taint);

/* pick.c: the decision. NULL: none fits; *ret_message says why in Kubernetes' words. */
struct node_info *sched_pick(struct cycle *c, struct loop *loop, struct str *ret_message);

#endif
