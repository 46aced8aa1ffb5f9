/* node/agent/pods.h - what the files of the pod state machine share.
 *
 *   pod.c        the machine: states, step
 *   container.c  one container: its states, restarts, back-off, hooks, end
 *   launch.c     what a container is started with
 *   pull.c       images: policy, back-off, events
 *   probe.c      startup, liveness, readiness
 *   admit.c      does the pod fit this node
 *   storage.c    limits of local storage
 *   status.c     the status that follows from all that (a pure function)
 *   report.c     sends it
 *   record.c     what a later agent finds again
 *   stray.c      what a former agent left and nobody claims
 *   watch.c      pods from the API and from files */
#ifndef SAMPAN_NODE_AGENT_PODS_H
#define SAMPAN_NODE_AGENT_PODS_H

#include "node/agent/configs.h"
#include "node/agent/events.h"
#include "node/node.h"
#include "node/runtime/runtime.h"

enum { BACKOFF_S_MIN = 10, BACKOFF_S_MAX = 300, BACKOFF_RESET_MS = 600000, GRACE_S_DEFAULT = 30, GRACE_S_MIN = 2 };
/* The next delay: 10, 20, ... 300. */
int backoff_next(int seconds);

/* pod.c */
struct pod *pod_new(struct node *n, const struct doc *obj); /* copies */
void pod_free(struct pod *p);                               /* unlinks; sandbox and containers stay as they are */
void pod_update(struct pod *p, const struct doc *obj);      /* a newer object of the same uid */
void pod_gone(struct pod *p);                               /* deleted from the API: end it, then forget it */
void pod_end(struct pod *p, const char *phase, const char *reason,
             const char *message);                          /* evict: end with this status */
bool pod_restarts(const struct pod *p, const char *policy); /* restartPolicy is */

/* container.c */
struct container *container_new(struct pod *p, enum container_kind kind, struct str name, int index);
void container_free(struct container *c);
void container_step(struct container *c);         /* it is its turn: bring it up, or up again */
bool container_done(const struct container *c);   /* it has ended and policy does not restart it */
bool container_active(const struct container *c); /* has processes, or is about to */
/* grace_ms 0: kill at once. reason for the event; repeated calls only shorten. */
void container_stop(struct container *c, int64_t grace_ms, const char *event_text);
void container_wait(struct container *c, const char *reason, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* launch.c. 1: *ret is the config; 0: awaited; -1: why the kubelet, LAUNCH_REFUSED: why the runtime refuses. */
enum { LAUNCH_REFUSED = -2 };
int launch_config(struct container *c, struct arena *mem, struct doc **ret, struct str *ret_why);
void launch_resources(const struct doc *container, int64_t *cpu_request, int64_t *cpu_limit, int64_t *memory_request,
                      int64_t *memory_limit);
const char *pod_qos(const struct doc *spec); /* Guaranteed, Burstable, BestEffort */
void pod_resources(const struct doc *spec, int64_t *cpu_request, int64_t *cpu_limit, int64_t *memory_request,
                   int64_t *memory_limit);

/* pull.c. 1: c->image is set and pinned; 0: awaited (c waits with a reason). */
int image_ensure(struct container *c);

/* probe.c */
void probes_start(struct container *c);
void probes_stop(struct container *c);
void probes_init(struct container *c);

/* admit.c: 0, or -1 with reason and message in kubelet's words. */
int pod_admit(struct pod *p, struct arena *mem, const char **ret_reason, struct str *ret_message);

/* status.c: Pod.status as JSON document. now_ms: Unix time. Moves p->conditions. */
struct doc *status_build(struct pod *p, struct arena *mem, int64_t now_ms);
struct str unix_time_text(struct arena *mem, int64_t unix_ms); /* RFC 3339, seconds; empty for 0 */
int64_t unix_time_parse(struct str text);                      /* 0: none */

/* report.c */
void report_init(struct pod *p);
void report_stop(struct pod *p);

/* record.c */
void record_pod(struct pod *p);
void record_container(struct container *c);
void record_restore_all(struct node *n); /* makes pods of what a former agent left */

/* storage.c: from now on, if the pod has limits of local storage */
void storage_watch(struct pod *p);
void storage_stop(struct node *n);

/* stray.c: after the records have been read; and once the API's pods are known. Without an API nothing is removed. */
void strays_end(struct node *n);
void strays_remove_files(struct node *n);

/* watch.c */
void watch_start(struct node *n);
void watch_stop(struct node *n);
void watch_files(struct node *n, const char *dir);

/* hooks over net: kubelet's httpGet and tcpSocket, also for probes. 0 is success. Returns the call's id. */
uint32_t net_http(struct container *c, const struct doc *http_get, int64_t timeout_ms,
                  void (*done)(void *ctx, struct ipc_msg *reply), void *ctx);
uint32_t net_tcp(struct container *c, const struct doc *tcp, int64_t timeout_ms,
                 void (*done)(void *ctx, struct ipc_msg *reply), void *ctx);
uint32_t net_grpc(struct container *c, const struct doc *grpc, int64_t timeout_ms,
                  void (*done)(void *ctx, struct ipc_msg *reply), void *ctx);

#endif
