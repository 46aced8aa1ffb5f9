/* tests/sim/sim.h - a whole control plane in virtual time: memory store, cache, writer, controllers, and nodes that are
 * played. The same seed gives the same run, byte for byte. */
#ifndef SAMPAN_TESTS_SIM_SIM_H
#define SAMPAN_TESTS_SIM_SIM_H

#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/map.h"
#include "control/control.h"
#include "sched/sched.h"
#include "store/cache.h"
#include "store/store.h"
#include "write/write.h"

enum { SIM_SETTLE_MS = 60 * 1000, SIM_NODES_MAX = 16 };

struct sim;
struct sim_opts {
    uint64_t seed;
    int nodes;
    bool no_controllers;
    struct str cluster_cidr; /* empty: nodes get no range of pod addresses */
    /* Called for every change, in order. */
    void (*on_event)(struct sim *s, const struct cache_event *ev, void *ctx);
    void *ctx;
};
struct sim_node;
struct sim {
    struct sim_opts o;
    struct loop *loop;
    struct cache *cache;
    struct store *store;
    struct writer *writer;
    struct controllers *controllers;
    struct sched *sched;
    struct arena *mem; /* what the calls below return */
    struct sim_node *nodes[SIM_NODES_MAX];
    struct cache_sub log_sub, pod_sub;
    struct map pods;                /* key -> struct sim_pod */
    int ips;                        /* given out */
    struct sb log;                  /* one line an event */
    int64_t pods_failing;           /* of 100 job pods so many fail */
    int crashes_lost, crashes_kept; /* that met a write under way, by what became of the disk's batch */
    bool keep_terminating;          /* nodes don't finish what they are told to stop */
};
struct sim *sim_new(const struct sim_opts *o); /* namespaces default and kube-node-lease are there */
struct sim *sim_free(struct sim *s);
void sim_run(struct sim *s, int64_t ms);
/* The server dies and comes back: of what was under way a part is durable but was never answered, the rest never
 * happened. Controllers and scheduler start afresh; nodes try again what they could not report. */
void sim_crash(struct sim *s);

/* Writes wait for their answer; a refused one fails the test, except in the _err forms. JSON with ' for ". */
void sim_create(struct sim *s, const char *group, const char *resource, const char *ns, const char *json);
enum err_reason sim_create_err(struct sim *s, const char *group, const char *resource, const char *ns, const char *json,
                               struct err *err);
void sim_merge(struct sim *s, const char *group, const char *resource, const char *ns, const char *name,
               const char *json);
/* propagation: PROPAGATE_* */
void sim_delete(struct sim *s, const char *group, const char *resource, const char *ns, const char *name,
                int propagation);
const struct obj *sim_obj(struct sim *s, const char *group, const char *resource, const char *ns, const char *name);
struct doc *sim_get(struct sim *s, const char *group, const char *resource, const char *ns, const char *name);
int sim_count(struct sim *s, const char *group, const char *resource, const char *ns); /* ns "": all */
/* status of a condition of an object; "" when there is none */
const char *sim_condition(struct sim *s, const char *group, const char *resource, const char *ns, const char *name,
                          const char *type);
int sim_events(struct sim *s, const char *reason); /* Events with this reason, repeats counted */

void sim_cut(struct sim *s, const char *node);  /* the node falls silent; its pods go on unseen */
void sim_join(struct sim *s, const char *node); /* and is heard again */

#define SIM_POD_SPEC "'spec':{'containers':[{'name':'c','image':'i'}]}"

#endif
