/* node/pod.h - what the agent knows of a pod and its containers, and who steps it.
 *
 * A pod is a state machine: pod_kick() asks for a step, pod_step() (agent/pod.c) looks at what is, starts what can be
 * started, and returns; nobody waits. All of it belongs to the agent's loop thread. What must survive the agent is
 * written as small JSON files under RUN (a tmpfs: it ends with the containers it tells of): see runtime/record.h.
 * May use http/, schema/, doc/, base/. */
#ifndef SAMPAN_NODE_POD_H
#define SAMPAN_NODE_POD_H

#include "base/list.h"
#include "base/loop.h"
#include "doc/doc.h"
#include "http/stream.h"

struct node; /* node/node.h: the agent */
struct ipc;
struct pod;
struct image;

/* X(NAME, what it waits for) */
#define POD_STATES(X)                                                                                                  \
    X(NEW, "admission")                                                                                                \
    X(SETUP, "volumes, sandbox and network")                                                                           \
    X(INIT, "init containers")                                                                                         \
    X(RUN, "regular containers run, and restart by policy")                                                            \
    X(STOP, "containers are being ended")                                                                              \
    X(ENDED, "all containers have ended for good; the sandbox is gone; status stays")                                  \
    X(GONE, "forgotten at the end of this step")
enum pod_state {
#define X(name, what) POD_##name,
    POD_STATES(X)
#undef X
};

/* X(NAME, what it waits for) */
#define CONTAINER_STATES(X)                                                                                            \
    X(IDLE, "its turn: image, back-off, the init container before it")                                                 \
    X(CREATE, "conmon and crun to report a created container")                                                         \
    X(START, "its postStart hook")                                                                                     \
    X(RUN, "nothing: it runs")                                                                                         \
    X(STOP, "its end: preStop, SIGTERM, SIGKILL")                                                                      \
    X(EXITED, "the pod to decide about a restart")
enum container_state {
#define X(name, what) CT_##name,
    CONTAINER_STATES(X)
#undef X
};
enum container_kind { KIND_INIT, KIND_SIDECAR, KIND_REGULAR, KIND_EPHEMERAL };

/* Of one run of a container that ended, or none (id empty and reason empty). Strings are in the container's arena of
 * results, replaced as a whole. */
struct container_end {
    int exit_code, signal;
    int64_t started_ms, finished_ms; /* Unix time; started_ms 0: never ran */
    char id[68];                     /* 64 hex digits */
    char reason[32];                 /* Completed, Error, OOMKilled, ContainerCannotRun, StartError */
    char *message;                   /* heap; NULL: none */
};

enum { PROBE_STARTUP, PROBE_LIVENESS, PROBE_READINESS, PROBE_KINDS };
struct probe {
    struct container *container;
    int kind;
    const struct doc *spec; /* NULL: no such probe */
    struct loop_timer timer;
    int successes, failures; /* in a row */
    bool running, result;    /* result: the last that counted */
    uint32_t call;           /* a question to net that is open */
    struct exec *exec;       /* or an exec that runs */
};

struct container {
    struct pod *pod;
    enum container_kind kind;
    enum container_state state;
    const struct doc *spec; /* in the pod's arena of the spec */
    struct str name;
    int index; /* among its kind's list in the spec: the order of start */

    char id[68];  /* of the present or last run; empty: never created */
    int restarts; /* restartCount: runs before this one */
    int pid, conmon_pid;
    int64_t created_ms, started_ms; /* Unix time */
    bool started, ready;            /* startup probe passed; readiness */
    bool starting_failed;           /* create or start failed: the end carries the reason */
    const char *kill_reason;        /* why it is being stopped; a literal, for the event */
    bool restart_wanted;            /* stopped by a probe: policy decides as after an exit */

    struct container_end end, last; /* present run's end (state EXITED), and lastState */
    char waiting_reason[40];        /* ContainerCreating, CrashLoopBackOff, ErrImagePull, ... */
    char *waiting_message;          /* heap; NULL: none */

    const struct image *image; /* resolved; borrowed from the store while pinned */
    char *image_name;          /* heap: what status.image says */
    char *image_id;            /* heap: name@sha256:..., or the config digest */
    bool pulling;
    int64_t pull_started_us;
    int pull_backoff_s; /* 0: none yet */
    int crash_backoff_s;
    struct loop_timer backoff;    /* of a restart or a pull */
    struct loop_timer kill_timer; /* end of the grace period */
    bool backoff_told;            /* the BackOff event was sent for this wait */
    struct probe probes[PROBE_KINDS];
    struct exec *hook;            /* preStop or postStart: as a command, */
    uint32_t hook_call;           /* or a question to net that is open, */
    struct loop_timer hook_sleep; /* or a sleep */
    bool hook_done;
    struct start_op *op; /* a creation under way */
    int log_attempt;     /* N of N.log */
};

struct pod_ip {
    char text[46];
};

struct pod {
    struct list link; /* node.pods */
    struct node *node;
    enum pod_state state;
    struct loop_task task; /* a step that was asked for */

    struct arena *mem;        /* of obj; replaced with it */
    const struct doc *obj;    /* the newest Pod from the API, or from a file */
    const struct doc *spec;   /* obj.spec */
    struct str uid, ns, name; /* in keep: constant for the pod's life */
    struct arena *keep;
    bool from_file; /* no API server: statuses are printed, not sent */
    bool seen;      /* in the list under way (resync) */

    struct container **containers; /* init (and sidecars) in order, then regular, then ephemeral */
    int container_count;
    bool host_network, host_pid, host_ipc, share_pid;

    /* setup */
    bool admitted, adopted; /* adopted: found running by a new agent */
    bool sandbox_asked, sandbox_ready, network_ready, network_asked, volumes_ready;
    struct pod_volume *volumes; /* volume/volume.h */
    int volume_count;
    char *setup_problem;     /* heap: why it does not go on; FailedMount, FailedCreatePodSandBox */
    struct loop_timer retry; /* of setup */
    int retry_s;
    struct pod_ip ips[2];
    int ip_count;
    char *netns;  /* path of the pinned network namespace; NULL: the host's */
    int init_pid; /* of our init when share_pid, else 0 */
    char *cgroup; /* below the hierarchy: "sampan/kubepods/burstable/podUID" */

    /* the end */
    bool deleting;                  /* deletionTimestamp is set, or the object is gone */
    bool forced;                    /* gone from the API: end without grace beyond a moment */
    int64_t grace_s;                /* effective */
    int64_t stop_at_ms;             /* loop time of SIGKILL */
    bool removing;                  /* its remains, by the pool */
    const char *end_phase;          /* "Failed" for evictions and rejections; NULL: computed */
    const char *final_phase;        /* Succeeded or Failed, once it was that; NULL: not yet */
    int64_t end_grace_s;            /* of that end; 0: the pod's own */
    char *end_reason, *end_message; /* heap: status.reason, status.message */
    struct loop_timer deadline;     /* activeDeadlineSeconds */
    bool delete_sent;

    /* status */
    int64_t start_ms; /* status.startTime, Unix time; 0: not yet admitted */
    struct str sent;  /* the last status that was sent, heap; compare before sending */
    bool sending, status_dirty;
    bool over; /* it had ended before this agent saw it: its status stays as it is */
    struct loop_task status_task;
    struct loop_timer status_retry;
    struct pod_condition {
        bool known, value;
        int64_t since_ms;
    } conditions[5];    /* status.c's order */
    int64_t created_us; /* loop_now_us at first sight: for the pod_start latency */
};

/* Ask for a step; cheap, repeatable. */
void pod_kick(struct pod *p);
/* The status changed or may have: computed and sent from the loop, once for many calls. */
void pod_status_changed(struct pod *p);
/* An event about the pod, or about one of its containers (c may be NULL: fieldPath spec.containers{NAME}). type is
 * "Normal" or "Warning". Repeats are counted into one object. */
void pod_event(struct pod *p, const struct container *c, const char *type, const char *reason, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
struct pod *pod_find(struct node *n, struct str uid);
struct pod *pod_find_name(struct node *n, struct str ns, struct str name); /* the one not deleting, if there are two */
/* The container of that name, whatever its kind; NULL: none. */
struct container *pod_container(struct pod *p, struct str name);

/* ---- the pod network: filled by net_*.c. NULL ops: pods get a namespace with lo only. */
struct pod_network_ops {
    /* Once, before any pod. 0 or -errno (the agent then logs it and goes on without pod network). *ret_ctx is given to
     * the others. */
    int (*start)(struct node *n, void **ret_ctx);
    void (*stop)(void *ctx);
    /* Wire the pod: p->netns is the path of its new network namespace (lo is up). Call pod_network_done() now or later,
     * with p->ips filled on success. Never called for hostNetwork. */
    void (*setup)(void *ctx, struct pod *p);
    /* The same for a pod that a former agent wired (p->ips are as recorded): claim the addresses again, change nothing
     * that is right. */
    void (*adopt)(void *ctx, struct pod *p);
    /* Undo; the namespace may be gone. Safe to repeat. */
    void (*teardown)(void *ctx, struct pod *p);
    /* The name server for pods with dnsPolicy ClusterFirst; NULL: none yet (the node's resolv.conf is used). */
    const char *(*dns_ip)(void *ctx);
    /* The net helper has been started, or started again, or has ended (NULL). May be NULL. */
    void (*helper)(void *ctx, struct ipc *net);
    const char *(*ready)(void *ctx); /* NULL: ready; else why not, for the node's Ready condition */
};
void pod_network_done(struct pod *p, int error, const char *message);

/* ---- streaming: what stream/ needs of a running container */
struct exec; /* runtime/exec.h */

#endif
