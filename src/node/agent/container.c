/* node/agent/container.c - one container of a pod, step by step: image, creation, start, probes, end, again. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "node/agent/pods.h"
#include "node/files.h"
#include "node/runtime/priv.h"
#include "node/volume/volume.h"

enum {
    MESSAGE_BYTES_MAX = 4096,
    MESSAGE_LOG_BYTES_MAX = 2048,
    MESSAGE_LOG_LINES_MAX = 80,
    CONFIG_RETRY_MS = 10000,
    HOOK_NET_MS = 30000,
    CONFIG_BYTES_MAX = 4 << 20
};

int backoff_next(int seconds)
{
    return seconds == 0 ? BACKOFF_S_MIN : seconds * 2 > BACKOFF_S_MAX ? BACKOFF_S_MAX : seconds * 2;
}

static void set_text(char **to, const char *text)
{
    char *copy = text ? strdup(text) : NULL;
    free(*to);
    *to = copy;
}

void container_wait(struct container *c, const char *reason, const char *fmt, ...)
{
    char text[2048] = "";
    if (fmt) {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
    }
    snprintf(c->waiting_reason, sizeof(c->waiting_reason), "%s", reason);
    set_text(&c->waiting_message, *text ? text : NULL);
    pod_status_changed(c->pod);
}

static void on_backoff(struct loop_timer *t)
{
    struct container *c = container_of(t, struct container, backoff);
    c->backoff_told = false;
    pod_kick(c->pod);
}

static void on_kill(struct loop_timer *t);
static void hook_slept(struct loop_timer *t);

struct container *container_new(struct pod *p, enum container_kind kind, struct str name, int index)
{
    struct container *c = calloc(1, sizeof(*c));
    if (!c)
        abort();
    c->pod = p, c->kind = kind, c->name = str_dup(p->keep, name), c->index = index;
    loop_timer_init(p->node->loop, &c->backoff, on_backoff), loop_timer_init(p->node->loop, &c->kill_timer, on_kill);
    loop_timer_init(p->node->loop, &c->hook_sleep, hook_slept);
    snprintf(c->waiting_reason, sizeof(c->waiting_reason), "%s",
             doc_len(doc_get(p->spec, "initContainers")) ? "PodInitializing" : "ContainerCreating");
    return c;
}

/* Whatever carries it; nothing of it is heard again. */
static void hook_cancel(struct container *c)
{
    c->hook = exec_cancel(c->hook);
    ipc_forget(c->pod->node->net, c->hook_call);
    c->hook_call = 0;
    loop_timer_stop(&c->hook_sleep);
}

void container_free(struct container *c)
{
    probes_stop(c);
    rotate_forget(c);
    loop_timer_stop(&c->backoff), loop_timer_stop(&c->kill_timer);
    hook_cancel(c);
    runtime_abandon(c);
    images_forget(c->pod->node->images, c);
    if (c->image)
        image_unpin(c->image);
    free(c->end.message), free(c->last.message), free(c->waiting_message), free(c->image_name), free(c->image_id);
    free(c);
}

bool container_active(const struct container *c)
{
    return c->state == CT_CREATE || c->state == CT_START || c->state == CT_RUN || c->state == CT_STOP;
}

static bool restarts(const struct container *c)
{
    const struct pod *p = c->pod;
    if (p->deleting || p->end_phase || p->state >= POD_STOP || c->kind == KIND_EPHEMERAL)
        return false;
    if (c->kind == KIND_SIDECAR)
        return true;
    if (c->kind == KIND_INIT)
        return c->end.exit_code != 0 && !pod_restarts(p, "Never");
    return pod_restarts(p, "Always") || (pod_restarts(p, "OnFailure") && c->end.exit_code != 0);
}

bool container_done(const struct container *c)
{
    return c->state == CT_EXITED && !restarts(c);
}

/* ---- up */

/* Source: containerd internal/cri/server/container_start.go (StartError, 128), kubelet kuberuntime_container.go. */
static void start_failed(struct container *c, const char *why)
{
    enum { START_ERROR_CODE = 128 };
    pod_event(c->pod, c, "Warning", "Failed", "Error: %s", why);
    c->starting_failed = true;
    snprintf(c->end.reason, sizeof(c->end.reason), "StartError");
    set_text(&c->end.message, why);
    container_wait(c, "RunContainerError", "%s", why);
    container_exited(c, START_ERROR_CODE, false);
}

static struct str start_words(struct container *c, struct arena *mem, const char *why)
{
    struct str text, program = STR_NULL, cwd = STR_NULL;
    char *path = runtime_bundle(c->pod->node, mem, c->id, "config.json");
    if (files_read(AT_FDCWD, path, CONFIG_BYTES_MAX, mem, &text) == 0) {
        const struct doc *process = doc_get(doc_parse(mem, text, NULL, NULL), "process");
        program = doc_string(doc_at(doc_get(process, "args"), 0)), cwd = doc_str(process, "cwd");
    }
    return str_fmt(
        mem,
        "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create "
        "failed: unable to start container process: error during container init: " STR_FMT ": unknown",
        STR_ARG(runtime_words(mem, str_of(why), program, cwd)));
}

static void create(struct container *c)
{
    cleanup_arena struct arena *mem = arena_new();
    struct doc *config;
    struct str why;
    struct node *n = c->pod->node;
    runtime_new_id(n, c->id);
    int r = launch_config(c, mem, &config, &why);
    if (r == 0) {
        c->id[0] = 0;
        return;
    }
    if (r < 0) {
        c->id[0] = 0;
        if (!c->backoff_told)
            pod_event(c->pod, c, "Warning", "Failed", "Error: " STR_FMT, STR_ARG(why));
        container_wait(c, r == LAUNCH_REFUSED ? "CreateContainerError" : "CreateContainerConfigError", STR_FMT,
                       STR_ARG(why));
        loop_timer_start(&c->backoff, CONFIG_RETRY_MS);
        return;
    }
    c->state = CT_CREATE, c->created_ms = loop_wall_ms(n->loop), c->started_ms = 0, c->pid = 0;
    c->started = c->ready = c->starting_failed = false, c->kill_reason = NULL, c->hook_done = false;
    runtime_create(c, config, image_lowerdir(n->images, c->image, mem));
}

/* What was the present run becomes the last one. */
static void retire(struct container *c)
{
    if (c->log_attempt > 0)
        rotate_remove(c, c->log_attempt - 1); /* one former log is kept */
    runtime_remove(c, c->end.id);
    free(c->last.message);
    c->last = c->end, c->end = (struct container_end){0};
    c->restarts++, c->log_attempt++;
    c->id[0] = 0;
    if (c->image) { /* policy is asked again */
        image_unpin(c->image);
        c->image = NULL;
    }
}

/* Source: kubelet doBackOff: the first restart comes at once, the next ones wait 10 s to 5 min after the last end; ten
 * good minutes forget it all. */
static bool backing_off(struct container *c)
{
    struct pod *p = c->pod;
    int64_t now = loop_wall_ms(p->node->loop);
    if (c->end.started_ms && c->end.finished_ms - c->end.started_ms > BACKOFF_RESET_MS)
        c->crash_backoff_s = 0;
    int64_t due = c->end.finished_ms + (int64_t)c->crash_backoff_s * 1000;
    if (c->crash_backoff_s == 0 || now >= due) {
        c->crash_backoff_s = backoff_next(c->crash_backoff_s);
        return false;
    }
    if (!c->backoff_told) {
        pod_event(p, c, "Warning", "BackOff",
                  "Back-off restarting failed container " STR_FMT " in pod " STR_FMT "_" STR_FMT "(" STR_FMT ")",
                  STR_ARG(c->name), STR_ARG(p->name), STR_ARG(p->ns), STR_ARG(p->uid));
        container_wait(c, "CrashLoopBackOff",
                       "back-off %s restarting failed container=" STR_FMT " pod=" STR_FMT "_" STR_FMT "(" STR_FMT ")",
                       c->crash_backoff_s == 10    ? "10s"
                       : c->crash_backoff_s == 20  ? "20s"
                       : c->crash_backoff_s == 40  ? "40s"
                       : c->crash_backoff_s == 80  ? "1m20s"
                       : c->crash_backoff_s == 160 ? "2m40s"
                                                   : "5m0s",
                       STR_ARG(c->name), STR_ARG(p->name), STR_ARG(p->ns), STR_ARG(p->uid));
        c->backoff_told = true;
    }
    loop_timer_start(&c->backoff, due - now);
    return true;
}

void container_step(struct container *c)
{
    if (loop_timer_running(&c->backoff) || container_active(c) || container_done(c))
        return;
    if (c->state == CT_EXITED) {
        if (backing_off(c))
            return;
        retire(c);
        c->state = CT_IDLE;
        container_wait(c, "ContainerCreating", NULL);
    }
    if (strcmp(c->waiting_reason, "PodInitializing") == 0 && c->pod->state == POD_RUN)
        container_wait(c, "ContainerCreating", NULL);
    if (image_ensure(c) > 0)
        create(c);
}

static void hook_ended(struct container *c, bool failed, const char *why);

static void post_start_exec(void *ctx, int code, struct str output)
{
    struct container *c = ctx;
    char why[256];
    struct str text = str_head(output, 150);
    if (code < 0)
        snprintf(why, sizeof(why), STR_FMT, STR_ARG(str_head(output, 250)));
    else
        snprintf(why, sizeof(why), "command exited with %d, message: " STR_FMT, code, STR_ARG(text));
    c->hook = NULL;
    hook_ended(c, code != 0, why);
}

static void hook_net(void *ctx, struct ipc_msg *reply)
{
    struct container *c = ctx;
    char why[256];
    c->hook_call = 0;
    snprintf(why, sizeof(why), STR_FMT, STR_ARG(str_head(reply->message, 200)));
    hook_ended(c, reply->error != 0, why);
}

static void hook_slept(struct loop_timer *t)
{
    hook_ended(container_of(t, struct container, hook_sleep), false, "");
}

/* exec, httpGet, tcpSocket, sleep. False: there is no such hook. */
static bool run_hook(struct container *c, const char *which)
{
    const struct doc *h = doc_path(c->spec, "lifecycle", which, NULL), *d;
    int error = 0;
    if (!doc_is(h, DOC_OBJECT))
        return false;
    if ((d = doc_get(h, "exec"))) {
        cleanup_arena struct arena *mem = arena_new();
        struct exec_opts o = {.done = post_start_exec, .ctx = c};
        o.args.v = arena_array(mem, struct str, doc_len(doc_get(d, "command")) + 1);
        doc_each (a, doc_get(d, "command"))
            o.args.v[o.args.n++] = doc_string(a);
        c->hook = exec_start(c, &o, NULL, &error);
        if (!c->hook)
            hook_ended(c, true, strerror(-error));
    } else if ((d = doc_get(h, "httpGet"))) {
        c->hook_call = net_http(c, d, HOOK_NET_MS, hook_net, c);
    } else if ((d = doc_get(h, "tcpSocket"))) {
        c->hook_call = net_tcp(c, d, HOOK_NET_MS, hook_net, c);
    } else if ((d = doc_get(h, "sleep"))) {
        loop_timer_start(&c->hook_sleep, doc_int(d, "seconds", 0) * 1000);
    } else {
        return false;
    }
    return true;
}

static void now_running(struct container *c)
{
    c->state = CT_RUN;
    c->started = c->kind == KIND_INIT || !doc_get(c->spec, "startupProbe");
    c->ready = c->started && !doc_get(c->spec, "readinessProbe");
    probes_start(c);
    pod_status_changed(c->pod), pod_kick(c->pod);
}

void container_created(struct container *c, int error, const char *why)
{
    struct pod *p = c->pod;
    cleanup_arena struct arena *mem = arena_new();
    pod_event(p, c, "Normal", "Created", "Created container: " STR_FMT, STR_ARG(c->name));
    int r = error ? 0 : runtime_start(c);
    if (error || r < 0) {
        start_failed(c, error ? str_z(mem, start_words(c, mem, why)) : strerror(-r));
        return;
    }
    c->started_ms = loop_wall_ms(p->node->loop);
    pod_event(p, c, "Normal", "Started", "Started container " STR_FMT, STR_ARG(c->name));
    c->state = CT_START;
    runtime_adopt(c); /* an end that came already is in its file and comes by inotify */
    record_container(c);
    if (p->state >= POD_STOP) {
        c->state = CT_RUN;
        pod_kick(p);
        return;
    }
    if (!run_hook(c, "postStart"))
        now_running(c);
}

/* ---- down */

static int stop_signal(const struct container *c)
{
    static const struct {
        const char *name;
        int number;
    } table[] = {{"TERM", SIGTERM}, {"INT", SIGINT},   {"QUIT", SIGQUIT},   {"HUP", SIGHUP},  {"KILL", SIGKILL},
                 {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"WINCH", SIGWINCH}, {"ABRT", SIGABRT}};
    struct str s = doc_str(doc_get(c->spec, "lifecycle"), "stopSignal");
    int64_t number;
    if (s.len == 0 && c->image)
        s = c->image->info.stop_signal;
    if (str_starts(s, STR("SIG")))
        s = str_from(s, 3);
    if (str_starts(s, STR("RTMIN+")) && str_to_i64(str_from(s, 6), &number) && number >= 0 && number < 30)
        return SIGRTMIN + (int)number;
    if (str_to_i64(s, &number) && number > 0 && number < 65)
        return (int)number;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (str_is(s, table[i].name))
            return table[i].number;
    return SIGTERM;
}

static void on_kill(struct loop_timer *t)
{
    runtime_kill(container_of(t, struct container, kill_timer));
}

static void hook_ended(struct container *c, bool failed, const char *why)
{
    if (c->state == CT_STOP) {
        if (failed)
            pod_event(c->pod, c, "Warning", "FailedPreStopHook", "PreStopHook failed: %s", why);
        c->hook_done = true;
        runtime_signal(c, stop_signal(c));
    } else if (c->state == CT_START && failed) {
        pod_event(c->pod, c, "Warning", "FailedPostStartHook", "PostStartHook failed: %s", why);
        c->state = CT_RUN;
        container_stop(c, c->pod->grace_s * 1000, "FailedPostStartHook");
    } else if (c->state == CT_START) {
        now_running(c);
    }
}

void container_stop(struct container *c, int64_t grace_ms, const char *event_text)
{
    int64_t now = loop_now_ms(c->pod->node->loop);
    if (c->state == CT_CREATE)
        return; /* container_created comes back here through the pod's step */
    if (c->state == CT_STOP) {
        if (loop_timer_running(&c->kill_timer) && c->kill_timer.heap.key > now + grace_ms)
            loop_timer_start(&c->kill_timer, grace_ms);
        return;
    }
    if (c->state != CT_RUN && c->state != CT_START)
        return;
    if (strncmp(event_text, "Stopping", 8) == 0)
        pod_event(c->pod, c, "Normal", "Killing", "%s " STR_FMT, event_text, STR_ARG(c->name));
    else
        pod_event(c->pod, c, "Normal", "Killing", "%s", event_text);
    hook_cancel(c);
    probes_stop(c);
    c->state = CT_STOP, c->ready = false;
    pod_status_changed(c->pod);
    loop_timer_start(&c->kill_timer, grace_ms);
    if (grace_ms > 0 && !run_hook(c, "preStop"))
        runtime_signal(c, stop_signal(c));
}

static struct str tail_of_log(struct container *c, struct arena *mem)
{
    cleanup_fd int fd = open(runtime_log_path(c, mem, c->log_attempt), O_RDONLY | O_CLOEXEC);
    off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
    char *buf = arena_alloc(mem, MESSAGE_LOG_BYTES_MAX * 2);
    off_t from = size > MESSAGE_LOG_BYTES_MAX * 2 ? size - MESSAGE_LOG_BYTES_MAX * 2 : 0;
    ssize_t n = fd < 0 ? 0 : pread(fd, buf, MESSAGE_LOG_BYTES_MAX * 2, from);
    struct str text = str_mem(buf, n > 0 ? (size_t)n : 0), line;
    struct sb out = SB(mem);
    while (str_next(&text, '\n', &line)) { /* "TIME stdout F text" */
        struct str a, b, f;
        if (str_cut(line, ' ', &a, &line) && str_cut(line, ' ', &b, &line) && str_cut(line, ' ', &f, &line)) {
            sb_add(&out, line);
            if (str_is(f, "F"))
                sb_addc(&out, '\n');
        }
    }
    struct str all = sb_str(&out);
    return all.len > MESSAGE_LOG_BYTES_MAX ? str_from(all, all.len - MESSAGE_LOG_BYTES_MAX) : all;
}

static void read_message(struct container *c)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str text = STR_NULL;
    char *path = volume_termination_log(c->pod, c, mem);
    cleanup_fd int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    char *buf = arena_alloc(mem, MESSAGE_BYTES_MAX);
    ssize_t n = fd < 0 ? 0 : read(fd, buf, MESSAGE_BYTES_MAX);
    if (n > 0)
        text = str_mem(buf, (size_t)n);
    if (text.len == 0 && c->end.exit_code != 0 &&
        str_is(doc_str(c->spec, "terminationMessagePolicy"), "FallbackToLogsOnError"))
        text = tail_of_log(c, mem);
    unlink(path);
    if (text.len)
        set_text(&c->end.message, str_z(mem, str_head(text, strnlen(text.ptr, text.len))));
}

void container_exited(struct container *c, int code, bool oom)
{
    struct pod *p = c->pod;
    if (!container_active(c))
        return;
    probes_stop(c);
    rotate_forget(c);
    loop_timer_stop(&c->kill_timer);
    hook_cancel(c);
    c->state = CT_EXITED, c->ready = c->started = false, c->pid = 0;
    c->end.exit_code = code, c->end.started_ms = c->started_ms, c->end.finished_ms = loop_wall_ms(p->node->loop);
    memcpy(c->end.id, c->id, sizeof(c->end.id));
    if (!c->starting_failed) {
        snprintf(c->end.reason, sizeof(c->end.reason), "%s", oom ? "OOMKilled" : code == 0 ? "Completed" : "Error");
        read_message(c);
    }
    log_debug("container", "ended", "pod=" STR_FMT " container=" STR_FMT " code=%d reason=%s", STR_ARG(p->name),
              STR_ARG(c->name), code, c->end.reason);
    record_container(c);
    pod_status_changed(p), pod_kick(p);
}
