/* Pod.status from the pod's state: pure but for p->conditions, which remember since when. Source: kubelet
 * status/generate.go, kubelet_pods.go (getPhase, convertStatusToAPIStatus). */
#include <stdio.h>
#include <time.h>

#include "node/agent/pods.h"

struct str unix_time_text(struct arena *mem, int64_t unix_ms)
{
    if (unix_ms == 0)
        return STR_NULL;
    time_t s = (time_t)(unix_ms / 1000);
    struct tm tm;
    gmtime_r(&s, &tm);
    return str_fmt(mem, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
                   tm.tm_min, tm.tm_sec);
}

int64_t unix_time_parse(struct str text)
{
    struct tm tm = {0};
    char buf[32];
    if (text.len < 20 || text.len >= sizeof(buf))
        return 0;
    memcpy(buf, text.ptr, text.len), buf[text.len] = 0;
    if (sscanf(buf, "%d-%d-%dT%d:%d:%d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec) !=
        6)
        return 0;
    tm.tm_year -= 1900, tm.tm_mon--;
    return (int64_t)timegm(&tm) * 1000;
}

static void put_end(struct arena *mem, struct doc *to, const struct container_end *e)
{
    struct doc *t = doc_sub(mem, to, "terminated");
    if (e->id[0])
        doc_put_str(mem, t, "containerID", str_fmt(mem, "sampan://%s", e->id));
    doc_put_int(mem, t, "exitCode", e->exit_code);
    doc_put_str(mem, t, "finishedAt", unix_time_text(mem, e->finished_ms));
    if (e->message)
        doc_put_str(mem, t, "message", str_of(e->message));
    doc_put_str(mem, t, "reason", str_dup(mem, str_of(e->reason)));
    doc_put_str(mem, t, "startedAt", e->started_ms ? unix_time_text(mem, e->started_ms) : STR("1970-01-01T00:00:00Z"));
}

static void put_waiting(struct arena *mem, struct doc *state, const struct container *c)
{
    struct doc *w = doc_sub(mem, state, "waiting");
    if (c->waiting_message)
        doc_put_str(mem, w, "message", str_dup(mem, str_of(c->waiting_message)));
    doc_put_str(mem, w, "reason", str_dup(mem, str_of(c->waiting_reason)));
}

/* An ended container that waits for its restart shows the wait, and its end as the last state. */
static void put_states(struct arena *mem, struct doc *s, const struct container *c)
{
    struct doc *last = doc_sub(mem, s, "lastState"), *state = doc_sub(mem, s, "state");
    bool again = c->state == CT_EXITED && !container_done(c) && (c->backoff_told || c->starting_failed);
    if (again)
        put_end(mem, last, &c->end);
    else if (c->last.id[0] || c->last.reason[0])
        put_end(mem, last, &c->last);
    if (c->state == CT_RUN || c->state == CT_STOP || c->state == CT_START)
        doc_put_str(mem, doc_sub(mem, state, "running"), "startedAt", unix_time_text(mem, c->started_ms));
    else if (c->state == CT_EXITED && !again)
        put_end(mem, state, &c->end);
    else
        put_waiting(mem, state, c);
}

static struct doc *container_status(struct arena *mem, const struct container *c)
{
    struct doc *s = doc_new_object(mem);
    const char *id = c->id[0] && c->started_ms ? c->id : c->end.id[0] ? c->end.id : c->last.id;
    if (*id)
        doc_put_str(mem, s, "containerID", str_fmt(mem, "sampan://%s", id));
    doc_put_str(mem, s, "image", c->image_name ? str_dup(mem, str_of(c->image_name)) : doc_str(c->spec, "image"));
    doc_put_str(mem, s, "imageID", str_dup(mem, str_of(c->image_id)));
    doc_put_str(mem, s, "name", c->name);
    bool init_done = c->kind == KIND_INIT && c->state == CT_EXITED && c->end.exit_code == 0;
    bool counts = c->kind != KIND_INIT && c->kind != KIND_EPHEMERAL;
    doc_put_bool(mem, s, "ready", init_done || (c->state == CT_RUN && c->ready && counts));
    doc_put_int(mem, s, "restartCount", c->restarts);
    if (c->kind != KIND_EPHEMERAL)
        doc_put_bool(mem, s, "started", (c->state == CT_RUN || c->state == CT_STOP) && c->started);
    put_states(mem, s, c);
    return s;
}

static const char *phase_now(const struct pod *p)
{
    int waiting = 0, running = 0, failed = 0, succeeded = 0;
    bool init_pending = p->state < POD_RUN && p->state != POD_STOP;
    for (int i = 0; i < p->container_count; i++) {
        const struct container *c = p->containers[i];
        if (c->kind == KIND_INIT && container_done(c) && c->end.exit_code != 0 && c->state == CT_EXITED)
            return container_active(c) ? "Pending" : "Failed";
        if (c->kind != KIND_REGULAR)
            continue;
        if (c->state == CT_EXITED && container_done(c))
            c->end.exit_code == 0 ? succeeded++ : failed++;
        else if (c->state == CT_EXITED || c->state == CT_RUN || c->state == CT_STOP || c->state == CT_START ||
                 c->last.reason[0])
            running++;
        else
            waiting++;
    }
    if (p->end_phase && p->state == POD_ENDED)
        return p->end_phase;
    if (p->state == POD_ENDED) /* nothing runs: what never started has failed */
        return failed || waiting ? "Failed" : "Succeeded";
    if (init_pending || (waiting && !running && !failed && !succeeded))
        return "Pending";
    if (waiting)
        return running || failed || succeeded ? "Running" : "Pending";
    if (running || p->state == POD_STOP)
        return "Running";
    return failed ? "Failed" : "Succeeded";
}

/* A pod runs until its sidecars have stopped too (KEP-753). */
static bool has_live_sidecar(const struct pod *p)
{
    for (int i = 0; i < p->container_count; i++) {
        const struct container *c = p->containers[i];
        if (c->kind == KIND_SIDECAR && (c->state == CT_START || c->state == CT_RUN || c->state == CT_STOP))
            return true;
    }
    return false;
}

static bool is_final(const char *phase)
{
    return strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0;
}

/* A pod that has ended stays so: taking it apart, or being deleted meanwhile, makes it run no more. Others act on the
 * word at once (a Job lets the pod go and would remove one that runs). */
static const char *phase(struct pod *p)
{
    if (!p->final_phase) {
        const char *now = phase_now(p);
        if (is_final(now) && has_live_sidecar(p))
            return "Running";
        if (!is_final(now) || (p->container_count == 0 && p->state != POD_ENDED))
            return now;
        p->final_phase = now;
    }
    return p->state == POD_ENDED && p->end_phase ? p->end_phase : p->final_phase;
}

enum { COND_READY_TO_START, COND_INITIALIZED, COND_READY, COND_CONTAINERS_READY, COND_DISRUPTION };
static const char *const cond_names[] = {"PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady",
                                         "DisruptionTarget"};

static void names_of(struct pod *p, struct sb *out, bool init)
{
    for (int i = 0; i < p->container_count; i++) {
        const struct container *c = p->containers[i];
        if (c->kind == KIND_EPHEMERAL)
            continue;
        bool bad = init ? c->kind != KIND_REGULAR && !(c->state == CT_EXITED && c->end.exit_code == 0) &&
                              !(c->kind == KIND_SIDECAR && c->started)
                        : c->kind != KIND_INIT && !(c->state == CT_RUN && c->ready);
        if (bad)
            sb_addf(out, "%s" STR_FMT, out->len ? " " : "", STR_ARG(c->name));
    }
}

static bool gates_open(const struct pod *p)
{
    doc_each (g, doc_get(p->spec, "readinessGates")) {
        bool open = false;
        doc_each (c, doc_path(p->obj, "status", "conditions", NULL))
            if (str_eq(doc_str(c, "type"), doc_str(g, "conditionType")))
                open = str_is(doc_str(c, "status"), "True");
        if (!open)
            return false;
    }
    return true;
}

static int64_t since(struct pod *p, int which, bool value, int64_t now_ms)
{
    struct pod_condition *m = &p->conditions[which];
    if (!m->known)
        doc_each (c, doc_path(p->obj, "status", "conditions", NULL))
            if (str_is(doc_str(c, "type"), cond_names[which])) {
                m->known = true, m->value = str_is(doc_str(c, "status"), "True");
                m->since_ms = unix_time_parse(doc_str(c, "lastTransitionTime"));
            }
    if (!m->known || m->value != value || m->since_ms == 0)
        *m = (struct pod_condition){true, value, now_ms};
    return m->since_ms;
}

static void put_condition(struct pod *p, struct arena *mem, struct doc *list, int which, bool value, const char *reason,
                          struct str message, int64_t now_ms)
{
    struct doc *c = doc_push(list, doc_new_object(mem));
    doc_put_str(mem, c, "lastTransitionTime", unix_time_text(mem, since(p, which, value, now_ms)));
    if ((!value || which == COND_DISRUPTION) && message.len)
        doc_put_str(mem, c, "message", message);
    if (reason)
        doc_put_str(mem, c, "reason", str_of(reason));
    doc_put_str(mem, c, "status", value ? STR("True") : STR("False"));
    doc_put_str(mem, c, "type", str_of(cond_names[which]));
}

static void put_conditions(struct pod *p, struct arena *mem, struct doc *s, const char *ph, int64_t now_ms)
{
    struct doc *list = doc_sub_array(mem, s, "conditions");
    struct sb init = SB(mem), ready = SB(mem);
    bool over = is_final(ph);
    bool completed = strcmp(ph, "Succeeded") == 0;
    names_of(p, &init, true), names_of(p, &ready, false);
    put_condition(p, mem, list, COND_READY_TO_START, p->sandbox_ready && p->network_ready && p->state < POD_ENDED, NULL,
                  STR_NULL, now_ms);
    bool init_ok = init.len == 0 || completed || p->state == POD_RUN;
    const char *done = completed ? "PodCompleted" : NULL;
    put_condition(p, mem, list, COND_INITIALIZED, init_ok,
                  done      ? done
                  : init_ok ? NULL
                            : "ContainersNotInitialized",
                  str_fmt(mem, "containers with incomplete status: [" STR_FMT "]", STR_ARG(sb_str(&init))), now_ms);
    bool all = ready.len == 0 && !over && p->state == POD_RUN;
    struct str unready = str_fmt(mem, "containers with unready status: [" STR_FMT "]", STR_ARG(sb_str(&ready)));
    const char *why = completed ? "PodCompleted" : over ? "PodFailed" : all ? NULL : "ContainersNotReady";
    bool gates = gates_open(p);
    put_condition(p, mem, list, COND_READY, all && gates, all && !gates ? "ReadinessGatesNotReady" : why,
                  all && !gates ? STR("corresponding condition of pod readiness gate does not exist or is not True")
                  : over        ? STR_NULL
                                : unready,
                  now_ms);
    put_condition(p, mem, list, COND_CONTAINERS_READY, all, why, over ? STR_NULL : unready, now_ms);
    if (p->end_reason && strcmp(p->end_reason, "Evicted") == 0)
        put_condition(p, mem, list, COND_DISRUPTION, true, "TerminationByKubelet", str_of(p->end_message), now_ms);
}

struct doc *status_build(struct pod *p, struct arena *mem, int64_t now_ms)
{
    struct doc *s = doc_new_object(mem);
    const char *ph = phase(p);
    put_conditions(p, mem, s, ph, now_ms);
    doc_put_str(mem, s, "phase", str_of(ph));
    doc_put_str(mem, s, "hostIP", str_of(p->node->address));
    struct doc *h = doc_push(doc_sub_array(mem, s, "hostIPs"), doc_new_object(mem));
    doc_put_str(mem, h, "ip", str_of(p->node->address));
    if (p->end_message)
        doc_put_str(mem, s, "message", str_of(p->end_message));
    if (p->end_reason)
        doc_put_str(mem, s, "reason", str_of(p->end_reason));
    if (p->ip_count)
        doc_put_str(mem, s, "podIP", str_of(p->ips[0].text));
    for (int i = 0; i < p->ip_count; i++)
        doc_put_str(mem, doc_push(doc_sub_array(mem, s, "podIPs"), doc_new_object(mem)), "ip", str_of(p->ips[i].text));
    doc_put_str(mem, s, "qosClass", str_of(pod_qos(p->spec)));
    if (p->start_ms)
        doc_put_str(mem, s, "startTime", unix_time_text(mem, p->start_ms));
    for (int i = 0; i < p->container_count && p->admitted; i++) {
        const struct container *c = p->containers[i];
        static const char *const lists[] = {[KIND_INIT] = "initContainerStatuses",
                                            [KIND_SIDECAR] = "initContainerStatuses",
                                            [KIND_REGULAR] = "containerStatuses",
                                            [KIND_EPHEMERAL] = "ephemeralContainerStatuses"};
        doc_push(doc_sub_array(mem, s, lists[c->kind]), container_status(mem, c));
    }
    int64_t generation = doc_int(doc_get(p->obj, "metadata"), "generation", 0);
    if (generation)
        doc_put_int(mem, s, "observedGeneration", generation);
    return s;
}
