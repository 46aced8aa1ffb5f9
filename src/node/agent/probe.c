/* Probes of one container. Source: kubelet prober/worker.go: startup first; liveness and readiness from then on; a
 * container that fails startup or liveness is ended and restarted by policy. */
#include <errno.h>
#include <stdio.h>

#include "node/agent/pods.h"

static const char *const words[] = {"Startup", "Liveness", "Readiness"};
static const char *const keys[] = {"startupProbe", "livenessProbe", "readinessProbe"};

static int64_t field(const struct probe *p, const char *key, int64_t dflt)
{
    int64_t v = doc_int(p->spec, key, dflt);
    return v > 0 ? v : dflt;
}

static void again(struct probe *p)
{
    struct container *c = p->container;
    if (c->state == CT_RUN && p->spec && !(p->kind == PROBE_STARTUP && c->started))
        loop_timer_start(&p->timer, field(p, "periodSeconds", 10) * 1000);
}

static void start_later(struct container *c);

static void passed(struct probe *p)
{
    struct container *c = p->container;
    if (p->kind == PROBE_STARTUP) {
        c->started = true;
        c->ready = !c->probes[PROBE_READINESS].spec;
        start_later(c);
        pod_kick(c->pod);
    } else if (p->kind == PROBE_READINESS) {
        c->ready = true;
    }
    pod_status_changed(c->pod);
}

static void failed(struct probe *p)
{
    struct container *c = p->container;
    if (p->kind == PROBE_READINESS) {
        c->ready = false;
        pod_status_changed(c->pod);
        return;
    }
    cleanup_arena struct arena *mem = arena_new();
    int64_t grace = doc_int(p->spec, "terminationGracePeriodSeconds",
                            doc_int(c->pod->spec, "terminationGracePeriodSeconds", GRACE_S_DEFAULT));
    container_stop(c, grace * 1000,
                   str_fmtz(mem, "Container " STR_FMT " failed %s probe, will be restarted", STR_ARG(c->name),
                            p->kind == PROBE_STARTUP ? "startup" : "liveness"));
}

static void judge(struct probe *p, bool success, struct str output)
{
    p->running = false, p->exec = NULL, p->call = 0;
    if (p->container->state != CT_RUN)
        return;
    if (success) {
        p->failures = 0;
        if (++p->successes == field(p, "successThreshold", 1))
            passed(p);
    } else {
        p->successes = 0;
        pod_event(p->container->pod, p->container, "Warning", "Unhealthy", "%s probe failed: " STR_FMT, words[p->kind],
                  STR_ARG(str_head(output, 1024)));
        if (++p->failures == field(p, "failureThreshold", 3))
            failed(p);
    }
    again(p);
}

static void exec_done(void *ctx, int code, struct str output)
{
    struct probe *p = ctx;
    char why[64];
    if (code == -ENOEXEC) { /* it could not ask: this one does not count */
        p->running = false, p->exec = NULL;
        pod_event(p->container->pod, p->container, "Warning", "Unhealthy",
                  "%s probe errored and resulted in unknown state: " STR_FMT, words[p->kind], STR_ARG(output));
        again(p);
        return;
    }
    snprintf(why, sizeof(why), "command timed out after %llds", (long long)field(p, "timeoutSeconds", 1));
    judge(p, code == 0, code == -ETIMEDOUT ? str_of(why) : output);
}

static void net_done(void *ctx, struct ipc_msg *reply)
{
    struct probe *p = ctx;
    if (reply->error == -ECANCELED) { /* the helper is being started again: this one does not count */
        p->running = false, p->call = 0;
        again(p);
        return;
    }
    judge(p, reply->error == 0, reply->message);
}

static void run_exec(struct probe *p, const struct doc *spec, int64_t timeout_ms)
{
    cleanup_arena struct arena *mem = arena_new();
    struct exec_opts o = {.timeout_ms = timeout_ms, .done = exec_done, .ctx = p};
    o.args.v = arena_array(mem, struct str, doc_len(doc_get(spec, "command")) + 1);
    doc_each (a, doc_get(spec, "command"))
        o.args.v[o.args.n++] = doc_string(a);
    int error = 0;
    p->exec = exec_start(p->container, &o, NULL, &error);
    if (!p->exec)
        judge(p, false, str_of(strerror(-error)));
}

static void fire(struct loop_timer *t)
{
    struct probe *p = container_of(t, struct probe, timer);
    struct container *c = p->container;
    int64_t timeout_ms = field(p, "timeoutSeconds", 1) * 1000;
    const struct doc *d;
    if (p->running || c->state != CT_RUN || !p->spec)
        return;
    p->running = true;
    if ((d = doc_get(p->spec, "exec")))
        run_exec(p, d, timeout_ms);
    else if ((d = doc_get(p->spec, "httpGet")))
        p->call = net_http(c, d, timeout_ms, net_done, p);
    else if ((d = doc_get(p->spec, "tcpSocket")))
        p->call = net_tcp(c, d, timeout_ms, net_done, p);
    else if ((d = doc_get(p->spec, "grpc")))
        p->call = net_grpc(c, d, timeout_ms, net_done, p);
}

void probes_init(struct container *c)
{
    for (int i = 0; i < PROBE_KINDS; i++) {
        struct probe *p = &c->probes[i];
        const struct doc *spec = doc_get(c->spec, keys[i]);
        if (!p->container)
            loop_timer_init(c->pod->node->loop, &p->timer, fire);
        p->container = c, p->kind = i, p->spec = doc_is(spec, DOC_OBJECT) ? spec : NULL;
    }
}

static void begin(struct probe *p)
{
    p->successes = p->failures = 0;
    if (p->spec)
        loop_timer_start(&p->timer, doc_int(p->spec, "initialDelaySeconds", 0) * 1000);
}

static void start_later(struct container *c)
{
    begin(&c->probes[PROBE_LIVENESS]), begin(&c->probes[PROBE_READINESS]);
}

void probes_start(struct container *c)
{
    if (c->kind == KIND_INIT)
        return;
    if (c->started)
        start_later(c);
    else
        begin(&c->probes[PROBE_STARTUP]);
}

void probes_stop(struct container *c)
{
    for (int i = 0; i < PROBE_KINDS; i++) {
        struct probe *p = &c->probes[i];
        if (!p->container)
            continue;
        loop_timer_stop(&p->timer);
        p->exec = exec_cancel(p->exec);
        ipc_forget(c->pod->node->net, p->call);
        p->call = 0, p->running = false;
    }
}
