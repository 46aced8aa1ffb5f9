/* sched/sched.h - the scheduler: which node runs which pod.
 *
 * A cache of nodes and what is placed on them, queues of pods (active, back-off, unschedulable), and a framework of
 * filters and scores: rows of one table, each a pure function of a snapshot. A decision is a binding written through
 * write/, or a condition and an event that say why not, in Kubernetes' words (`0/3 nodes are available: 1 Insufficient
 * cpu, 2 node(s) had untolerated taint(s).`). Core thread only. May use write/, store/, schema/, doc/, base/. Source:
 * kube-scheduler, KEP-624 (framework). */
#ifndef SAMPAN_SCHED_SCHED_H
#define SAMPAN_SCHED_SCHED_H

#include "base/loop.h"
#include "store/cache.h"
#include "write/write.h"

struct sched;
struct sched_opts {
    struct loop *loop;
    struct cache *cache;
    struct writer *writer;
};
struct sched *sched_start(const struct sched_opts *o);
struct sched *sched_stop(struct sched *s);

#endif
