/* node/agent/pod.c - the state machine of a pod: from its first sight to the last trace of it. */
#include "node/agent/pods.h"

#include <stdlib.h>

#include "base/log.h"
#include "node/files.h"
#include "node/runtime/cgroup.h"
#include "node/volume/volume.h"

enum { SETUP_RETRY_S_MAX = 120 };

static const char *const state_words[] = {
#define X(name, what) [POD_##name] = #name,
    POD_STATES(X)
#undef X
};

static void pod_step(struct pod *p);

static void run_task(struct loop_task *t)
{
    pod_step(container_of(t, struct pod, task));
}

void pod_kick(struct pod *p)
{
    loop_post(p->node->loop, &p->task);
}

static void on_retry(struct loop_timer *t)
{
    pod_kick(container_of(t, struct pod, retry));
}

static void on_deadline(struct loop_timer *t)
{
    struct pod *p = container_of(t, struct pod, deadline);
    if (p->state < POD_STOP)
        pod_end(p, "Failed", "DeadlineExceeded", "Pod was active on the node longer than the specified deadline");
}

struct pod *pod_find(struct node *n, struct str uid)
{
    list_each (at, &n->pods) {
        struct pod *p = container_of(at, struct pod, link);
        if (str_eq(p->uid, uid))
            return p;
    }
    return NULL;
}

struct pod *pod_find_name(struct node *n, struct str ns, struct str name)
{
    struct pod *found = NULL;
    list_each (at, &n->pods) {
        struct pod *p = container_of(at, struct pod, link);
        if (str_eq(p->name, name) && str_eq(p->ns, ns) && (!found || !p->deleting))
            found = p;
    }
    return found;
}

struct container *pod_container(struct pod *p, struct str name)
{
    for (int i = 0; i < p->container_count; i++)
        if (str_eq(p->containers[i]->name, name))
            return p->containers[i];
    return NULL;
}

struct container *container_find(struct node *n, const char *id)
{
    list_each (at, &n->pods) {
        struct pod *p = container_of(at, struct pod, link);
        for (int i = 0; i < p->container_count; i++)
            if (strcmp(p->containers[i]->id, id) == 0)
                return p->containers[i];
    }
    return NULL;
}

/* ---- birth, change, death */

/* Ephemeral containers come while the pod runs, and never go. */
static void add_ephemeral(struct pod *p)
{
    int index = 0;
    doc_each (s, doc_get(p->spec, "ephemeralContainers")) {
        index++;
        if (pod_container(p, doc_str(s, "name")))
            continue;
        struct container **more = arena_array(p->keep, struct container *, p->container_count + 1);
        memcpy(more, p->containers, sizeof(*more) * (size_t)p->container_count);
        more[p->container_count++] = container_new(p, KIND_EPHEMERAL, doc_str(s, "name"), index - 1);
        p->containers = more;
    }
}

static void take_object(struct pod *p, const struct doc *obj)
{
    struct arena *old = p->mem;
    p->mem = arena_new();
    p->obj = doc_copy_deep(p->mem, obj), p->spec = doc_get(p->obj, "spec");
    if (p->container_count)
        add_ephemeral(p);
    static const char *const lists[] = {"initContainers", "containers", "ephemeralContainers"};
    for (int k = 0; k < 3; k++)
        doc_each (s, doc_get(p->spec, lists[k])) {
            struct container *c = pod_container(p, doc_str(s, "name"));
            if (c) {
                c->spec = s;
                probes_init(c);
            }
        }
    arena_free(old);
    const struct doc *meta = doc_get(p->obj, "metadata");
    if (doc_str(meta, "deletionTimestamp").len) {
        p->deleting = true;
        p->grace_s = doc_int(meta, "deletionGracePeriodSeconds", p->grace_s);
    }
}

static void add_containers(struct pod *p)
{
    int n = (int)(doc_len(doc_get(p->spec, "initContainers")) + doc_len(doc_get(p->spec, "containers")));
    p->containers = arena_array(p->keep, struct container *, n);
    int index = 0;
    doc_each (s, doc_get(p->spec, "initContainers")) {
        bool sidecar = str_is(doc_str(s, "restartPolicy"), "Always");
        p->containers[p->container_count++] =
            container_new(p, sidecar ? KIND_SIDECAR : KIND_INIT, doc_str(s, "name"), index++);
    }
    index = 0;
    doc_each (s, doc_get(p->spec, "containers"))
        p->containers[p->container_count++] = container_new(p, KIND_REGULAR, doc_str(s, "name"), index++);
}

struct pod *pod_new(struct node *n, const struct doc *obj)
{
    struct pod *p = calloc(1, sizeof(*p));
    if (!p)
        abort();
    p->node = n, p->keep = arena_new();
    const struct doc *meta = doc_get(obj, "metadata");
    p->uid = str_dup(p->keep, doc_str(meta, "uid"));
    p->ns = str_dup(p->keep, doc_str(meta, "namespace")), p->name = str_dup(p->keep, doc_str(meta, "name"));
    loop_task_init(&p->task, run_task);
    loop_timer_init(n->loop, &p->retry, on_retry), loop_timer_init(n->loop, &p->deadline, on_deadline);
    report_init(p);
    p->grace_s = doc_int(doc_get(obj, "spec"), "terminationGracePeriodSeconds", GRACE_S_DEFAULT);
    p->created_us = loop_now_us(n->loop);
    take_object(p, obj);
    p->host_network = doc_bool(p->spec, "hostNetwork", false), p->host_pid = doc_bool(p->spec, "hostPID", false);
    p->host_ipc = doc_bool(p->spec, "hostIPC", false);
    p->share_pid = doc_bool(p->spec, "shareProcessNamespace", false) && !p->host_pid;
    p->start_ms = unix_time_parse(doc_str(doc_get(p->obj, "status"), "startTime"));
    const char *qos = pod_qos(p->spec);
    p->cgroup = str_fmtz(p->keep, "%s/kubepods/%spod" STR_FMT, n->opts.cgroup_parent,
                         strcmp(qos, "Guaranteed") == 0  ? ""
                         : strcmp(qos, "Burstable") == 0 ? "burstable/"
                                                         : "besteffort/",
                         STR_ARG(p->uid));
    add_containers(p);
    take_object(p, p->obj); /* gives the containers their specs */
    list_add_tail(&n->pods, &p->link);
    return p;
}

void pod_free(struct pod *p)
{
    list_remove(&p->link);
    loop_task_cancel(&p->task);
    loop_timer_stop(&p->retry), loop_timer_stop(&p->deadline);
    report_stop(p), volumes_stop(p);
    configs_release(p->node->configs, p);
    for (int i = 0; i < p->container_count; i++)
        container_free(p->containers[i]);
    free(p->setup_problem), free(p->end_reason), free(p->end_message), free((char *)(uintptr_t)p->sent.ptr);
    arena_free(p->mem), arena_free(p->keep);
    free(p);
}

void pod_update(struct pod *p, const struct doc *obj)
{
    bool was = p->deleting;
    int count = p->container_count;
    take_object(p, obj);
    if (p->container_count != count && p->sandbox_ready && p->state < POD_ENDED)
        record_pod(p); /* else a later agent would start them again */
    if (p->deleting && !was)
        log_debug("pod", "is to end", "pod=" STR_FMT " grace=%lld", STR_ARG(p->name), (long long)p->grace_s);
    pod_kick(p);
}

void pod_gone(struct pod *p)
{
    p->forced = true;
    if (!p->deleting)
        p->deleting = true, p->grace_s = GRACE_S_MIN;
    pod_kick(p);
}

static void replace(char **to, const char *text)
{
    char *copy = text ? strdup(text) : NULL;
    free(*to);
    *to = copy;
}

void pod_end(struct pod *p, const char *phase, const char *reason, const char *message)
{
    p->end_phase = phase;
    replace(&p->end_reason, reason), replace(&p->end_message, message);
    pod_kick(p), pod_status_changed(p);
}

bool pod_restarts(const struct pod *p, const char *policy)
{
    struct str s = doc_str(p->spec, "restartPolicy");
    return str_is(s.len ? s : STR("Always"), policy);
}

/* ---- the states */

static void enter(struct pod *p, enum pod_state s)
{
    log_debug("pod", "state", "pod=" STR_FMT "/" STR_FMT " from=%s to=%s", STR_ARG(p->ns), STR_ARG(p->name),
              state_words[p->state], state_words[s]);
    p->state = s;
    pod_status_changed(p);
    pod_kick(p);
}

static void step_new(struct pod *p)
{
    cleanup_arena struct arena *mem = arena_new();
    const char *reason;
    struct str message;
    if (p->deleting || p->end_phase) {
        enter(p, POD_STOP);
        return;
    }
    if (!p->adopted && pod_admit(p, mem, &reason, &message) < 0) {
        pod_event(p, NULL, "Warning", reason, STR_FMT, STR_ARG(message));
        pod_end(p, "Failed", reason, str_z(mem, message));
        enter(p, POD_ENDED);
        return;
    }
    p->admitted = true;
    if (p->start_ms == 0)
        p->start_ms = loop_wall_ms(p->node->loop);
    const struct doc *limit = doc_get(p->spec, "activeDeadlineSeconds");
    if (doc_is(limit, DOC_INT)) {
        int64_t left = p->start_ms + limit->i * 1000 - loop_wall_ms(p->node->loop);
        loop_timer_start(&p->deadline, left > 0 ? left : 0);
    }
    enter(p, POD_SETUP);
}

static void setup_failed(struct pod *p, const char *reason, const char *why)
{
    if (p->state != POD_SETUP) { /* it has begun to end meanwhile, and waits for this answer */
        pod_kick(p);
        return;
    }
    if (!p->setup_problem || strcmp(p->setup_problem, why) != 0 || !loop_timer_running(&p->retry))
        pod_event(p, NULL, "Warning", reason, "%s", why);
    replace(&p->setup_problem, why);
    p->retry_s = p->retry_s ? p->retry_s * 2 : 1;
    if (p->retry_s > SETUP_RETRY_S_MAX)
        p->retry_s = SETUP_RETRY_S_MAX;
    loop_timer_start(&p->retry, p->retry_s * 500);
    pod_status_changed(p);
}

static void sandbox_made(struct pod *p, int error, const char *why)
{
    if (error) {
        struct removal *half = removal_new(p->node);
        sandbox_remove(p, half);
        removal_now(half);
        p->sandbox_asked = false;
        setup_failed(p, "FailedCreatePodSandBox", why);
        return;
    }
    p->sandbox_ready = true;
    pod_kick(p);
}

void pod_network_done(struct pod *p, int error, const char *message)
{
    if (error) {
        p->network_asked = false;
        setup_failed(p, "FailedCreatePodSandBox", message ? message : "network setup failed");
        return;
    }
    p->network_ready = true;
    record_pod(p);
    pod_status_changed(p), pod_kick(p);
}

static void setup_network(struct pod *p)
{
    const struct pod_network_ops *ops = p->node->network;
    p->network_asked = true;
    if (p->host_network) {
        strncpy(p->ips[0].text, p->node->address, sizeof(p->ips[0].text) - 1);
        p->ip_count = 1;
        pod_network_done(p, 0, NULL);
    } else if (!ops) {
        pod_network_done(p, 0, NULL);
    } else if (p->adopted && p->ip_count) {
        ops->adopt(p->node->network_ctx, p);
        pod_network_done(p, 0, NULL);
    } else {
        ops->setup(p->node->network_ctx, p);
    }
}

static void setup_sandbox(struct pod *p)
{
    struct cgroup_limits l = {0};
    int64_t memory_request;
    cleanup_arena struct arena *mem = arena_new();
    pod_resources(p->spec, &l.cpu_milli_request, &l.cpu_milli_limit, &memory_request, &l.memory_limit_bytes);
    if (p->adopted && access(sandbox_path(p, mem, p->host_network ? "hosts" : "net"), F_OK) == 0) {
        p->netns = p->host_network ? NULL : sandbox_path(p, p->keep, "net");
        p->sandbox_ready = true;
        pod_kick(p);
        return;
    }
    sandbox_start(p, &l, sandbox_made);
    record_pod(p);
}

/* Volumes, sandbox with network, and the first images: all at once. */
static void step_setup(struct pod *p)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str why;
    if (p->deleting || p->end_phase) {
        enter(p, POD_STOP);
        return;
    }
    if (loop_timer_running(&p->retry))
        return;
    if (!p->sandbox_ready && !p->sandbox_asked) {
        p->sandbox_asked = true;
        setup_sandbox(p);
    }
    if (p->sandbox_ready && !p->network_asked)
        setup_network(p);
    for (int i = 0; i < p->container_count; i++)
        if (p->containers[i]->state == CT_IDLE && !loop_timer_running(&p->containers[i]->backoff))
            image_ensure(p->containers[i]);
    int r = volumes_step(p, mem, &why);
    if (r < 0)
        setup_failed(p, "FailedMount", str_z(mem, why));
    p->volumes_ready = r > 0;
    if (!p->volumes_ready || !p->network_ready)
        return;
    if (!configs_services_known(p->node->configs))
        return;
    replace(&p->setup_problem, NULL), p->retry_s = 0;
    volume_etc_files(p);
    storage_watch(p);
    enter(p, POD_INIT);
}

/* A sidecar holds back what comes after it until it has started once; later it may end and come again. */
static bool sidecar_was_up(const struct pod *p, int at)
{
    const struct container *c = p->containers[at];
    if (c->started && c->state == CT_RUN)
        return true;
    for (int i = at + 1; i < p->container_count; i++)
        if (p->containers[i]->kind <= KIND_SIDECAR && (p->containers[i]->id[0] || p->containers[i]->restarts))
            return true;
    return false;
}

static void step_ephemeral(struct pod *p)
{
    for (int i = 0; i < p->container_count; i++)
        if (p->containers[i]->kind == KIND_EPHEMERAL)
            container_step(p->containers[i]);
}

static void step_init(struct pod *p)
{
    if (p->deleting || p->end_phase) {
        enter(p, POD_STOP);
        return;
    }
    step_ephemeral(p);
    for (int i = 0; i < p->container_count; i++) {
        struct container *c = p->containers[i];
        if (c->kind == KIND_REGULAR || c->kind == KIND_EPHEMERAL)
            continue;
        if (c->kind == KIND_INIT && c->state == CT_EXITED && c->end.exit_code == 0)
            continue;
        if (container_done(c)) { /* failed, and policy is Never */
            enter(p, POD_STOP);
            return;
        }
        container_step(c);
        if (c->kind == KIND_SIDECAR && sidecar_was_up(p, i))
            continue;
        return;
    }
    enter(p, POD_RUN);
}

static void step_run(struct pod *p)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str why;
    if (p->deleting || p->end_phase) {
        enter(p, POD_STOP);
        return;
    }
    volumes_step(p, mem, &why);
    bool all = true;
    for (int i = 0; i < p->container_count; i++) {
        struct container *c = p->containers[i];
        if (c->kind == KIND_INIT)
            continue;
        container_step(c);
        if (c->kind == KIND_REGULAR && !container_done(c))
            all = false;
    }
    if (all)
        enter(p, POD_STOP);
}

static void removed(struct pod *p)
{
    p->removing = false;
    enter(p, POD_ENDED);
}

/* The sandbox last: the pod's record is in it, and by that a later agent would start over. */
static void teardown(struct pod *p)
{
    struct removal *r = removal_new(p->node);
    for (int i = 0; i < p->container_count; i++)
        runtime_removal(p->containers[i], p->containers[i]->id, r);
    if (p->node->network && !p->host_network && (p->network_asked || p->adopted))
        p->node->network->teardown(p->node->network_ctx, p);
    volumes_remove(p, r);
    removal_cgroup(r, p->cgroup);
    sandbox_remove(p, r);
    configs_release(p->node->configs, p);
    loop_timer_stop(&p->retry), loop_timer_stop(&p->deadline);
    p->removing = true;
    removal_start(r, p->uid, removed);
}

/* Somebody works on the sandbox or the network and will answer. */
static bool setting_up(const struct pod *p)
{
    return (p->sandbox_asked && !p->sandbox_ready) || (p->network_asked && !p->network_ready);
}

/* Regular containers first; then the sidecars, the last one first. The grace period is one for all, but each sidecar
 * has a last moment. Source: KEP-753; kubelet's minimumGracePeriodInSeconds. */
static void step_stop(struct pod *p)
{
    int64_t now = loop_now_ms(p->node->loop), grace_ms = p->grace_s * 1000;
    if (p->end_phase && !p->deleting)
        grace_ms =
            (p->end_grace_s ? p->end_grace_s : doc_int(p->spec, "terminationGracePeriodSeconds", GRACE_S_DEFAULT)) *
            1000;
    if (!p->stop_at_ms || now + grace_ms < p->stop_at_ms)
        p->stop_at_ms = now + grace_ms;
    int64_t left = p->stop_at_ms > now ? p->stop_at_ms - now : 0;
    int64_t left_sidecars = left < GRACE_S_MIN * 1000 && grace_ms >= GRACE_S_MIN * 1000 ? GRACE_S_MIN * 1000 : left;
    bool regular = false;
    if (p->removing)
        return;
    for (int i = 0; i < p->container_count; i++) {
        struct container *c = p->containers[i];
        if (c->kind == KIND_SIDECAR || !container_active(c))
            continue;
        regular = true;
        container_stop(c, left, "Stopping container");
    }
    for (int i = p->container_count; i-- > 0 && !regular;) {
        struct container *c = p->containers[i];
        if (c->kind != KIND_SIDECAR || !container_active(c))
            continue;
        container_stop(c, left_sidecars, "Stopping container");
        return;
    }
    if (!regular && !setting_up(p))
        teardown(p);
}

static void remove_logs(struct pod *p)
{
    cleanup_arena struct arena *mem = arena_new();
    files_remove_tree(str_fmtz(mem, "%s/" STR_FMT "_" STR_FMT "_" STR_FMT, p->node->log_dir, STR_ARG(p->ns),
                               STR_ARG(p->name), STR_ARG(p->uid)));
}

static void step_ended(struct pod *p)
{
    if (p->forced || (p->deleting && p->from_file)) {
        remove_logs(p);
        p->state = POD_GONE;
        pod_free(p);
        return;
    }
    if (p->deleting)
        pod_status_changed(p); /* report.c deletes the object once its status is sent */
}

static void pod_step(struct pod *p)
{
    static void (*const steps[])(struct pod * p) = {
        [POD_NEW] = step_new, [POD_SETUP] = step_setup, [POD_INIT] = step_init,
        [POD_RUN] = step_run, [POD_STOP] = step_stop,   [POD_ENDED] = step_ended,
    };
    if (p->state != POD_GONE)
        steps[p->state](p);
}
