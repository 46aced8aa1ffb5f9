/* node/agent/main.c - the agent from start to stop: options, directories, helpers, then the loop. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "base/log.h"
#include "node/agent/client.h"
#include "node/agent/enroll.h"
#include "node/agent/helper.h"
#include "node/agent/identity.h"
#include "node/agent/nodestatus.h"
#include "node/agent/pods.h"
#include "node/files.h"

enum { KUBELET_PORT = 10250, PODS_MAX = 110, NOBODY = 65534 };

static const char *program(struct arena *mem, const char *name)
{
    static const char *const dirs[] = {"/usr/bin", "/usr/local/bin", "/usr/libexec/podman", "/usr/sbin"};
    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
        char *path = str_fmtz(mem, "%s/%s", dirs[i], name);
        if (access(path, X_OK) == 0)
            return path;
    }
    return NULL;
}

/* Where the small init lies, seen from the executable: installed together, in a build directory, installed by meson. */
static const char *find_init(struct node *n)
{
    static const char *const places[] = {"sampan-pod-init", "../node/sampan-pod-init",
                                         "../libexec/sampan/sampan-pod-init"};
    if (n->opts.init_path)
        return n->opts.init_path;
    char *self = arena_zalloc(n->keep, PATH_MAX);
    if (readlink("/proc/self/exe", self, PATH_MAX - 1) > 0)
        for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
            char *path = str_fmtz(n->keep, "%.*s/%s", (int)str_rfind(str_of(self), '/'), self, places[i]);
            if (access(path, X_OK) == 0)
                return path;
        }
    return "/usr/lib/sampan/pod-init";
}

static const char * or (const char *a, const char *b)
{
    return a ? a : b;
}

static void fill(struct node *n, const struct agent_opts *o)
{
    n->opts = *o;
    n->opts.cgroup_parent = or (o->cgroup_parent, "sampan");
    n->opts.cluster_domain = or (o->cluster_domain, "cluster.local");
    n->opts.service_cidr = or (o->service_cidr, "10.96.0.0/16");
    n->opts.kubelet_port = o->kubelet_port ? o->kubelet_port : KUBELET_PORT;
    n->opts.pods_max = o->pods_max ? o->pods_max : PODS_MAX;
    n->opts.net_uid = o->net_uid ? o->net_uid : NOBODY;
    n->state_dir = or (o->state_dir, "/var/lib/sampan/agent"), n->run_dir = or (o->run_dir, "/run/sampan/agent");
    n->kubelet_dir = or (o->kubelet_dir, "/var/lib/kubelet"), n->log_dir = or (o->log_dir, "/var/log/pods");
    n->containers_log_dir = o->log_dir ? NULL : "/var/log/containers";
    char *host = arena_zalloc(n->keep, 256);
    gethostname(host, 255);
    for (char *c = host; *c; c++)
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
    n->name = or (o->node_name, host);
    n->network = o->network;
}

static const char *check(struct node *n)
{
    if (geteuid() != 0)
        return "the agent must be started by root";
    n->conmon = program(n->keep, "conmon"), n->crun = program(n->keep, "crun");
    if (!n->conmon || !n->crun)
        return "conmon and crun must be installed";
    const char *const dirs[] = {n->state_dir, n->run_dir, n->kubelet_dir, n->log_dir, n->containers_log_dir};
    for (size_t i = 0; i < 5; i++)
        if (dirs[i] && files_mkdirs(dirs[i], i == 1 || i == 0 ? 0700 : 0755) < 0)
            return str_fmtz(n->keep, "%s can't be made", dirs[i]);
    chmod(n->run_dir, 0700);
    int lock = open(str_fmtz(n->keep, "%s/lock", n->run_dir), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0)
        return "another agent runs with this run directory";
    char *version = str_fmtz(n->keep, "%s/version", n->state_dir);
    struct str text;
    if (files_read(AT_FDCWD, version, 64, n->keep, &text) < 0)
        files_write_atomic(version, 0600, STR("1\n"), /* durable= */ true);
    else if (!str_is(str_trim(text), "1"))
        return "the state directory is of another version of sampan";
    return NULL;
}

struct signals {
    uv_signal_t term, interrupt;
};

static void on_signal(uv_signal_t *s, int number)
{
    struct node *n = s->data;
    n->stopping = true;
    loop_stop(n->loop);
}

static void tell_ready(int fd)
{
    if (fd < 0)
        return;
    if (write(fd, "READY=1\n", 8) < 0)
        log_warn("agent", "nobody waits for ready", "error=%d", errno);
    close(fd);
}

static const char *start(struct node *n)
{
    const char *why = NULL;
    int error = 0;
    n->init = find_init(n);
    n->images = images_open(n->state_dir, n->loop, &error);
    if (!n->images)
        return "the image store can't be opened";
    if (runtime_open(n) < 0)
        return "the run directory can't be used";
    nodestatus_measure(n);
    if ((why = identity_join(n)))
        return why;
    if (n->opts.server || n->opts.kubeconfig) {
        n->api = api_connect(n->loop, &n->opts, n->keep, &why);
        if (!n->api)
            return why;
        enroll(n);
    }
    n->events = events_new(n), n->configs = configs_new(n);
    helper_start(n);
    if (n->network && n->network->start(n, &n->network_ctx) < 0) {
        log_error("agent", "the pod network can't start; pods get no addresses", NULL);
        n->network = NULL;
    }
    record_restore_all(n);
    strays_end(n);
    if (n->opts.manifest_dir)
        watch_files(n, n->opts.manifest_dir);
    if (n->api) {
        nodestatus_start(n);
        watch_start(n);
    }
    return NULL;
}

static void stop(struct node *n)
{
    if (n->api)
        watch_stop(n), nodestatus_stop(n), identity_stop(n);
    storage_stop(n);
    list_each_safe (at, &n->pods)
        pod_free(container_of(at, struct pod, link));
    if (n->network && n->network->stop)
        n->network->stop(n->network_ctx);
    n->configs = configs_free(n->configs);
    if (n->net)
        n->net = ipc_free(n->net);
    n->api = api_disconnect(n->api); /* answers what is under way, events' among it */
    n->events = events_free(n->events);
    runtime_close(n);
    children_forget(n->loop);
    n->images = images_close(n->images);
}

static int agent_run(struct node *n)
{
    const char *why = check(n);
    if (!why)
        why = start(n);
    if (why) {
        log_error("agent", "can't start", "why=\"%s\"", why);
        return 1;
    }
    struct signals *s = arena_new_of(n->keep, struct signals);
    uv_loop_t *uv = loop_uv_handle(n->loop);
    uv_signal_init(uv, &s->term), uv_signal_init(uv, &s->interrupt);
    s->term.data = s->interrupt.data = n;
    uv_signal_start(&s->term, on_signal, SIGTERM), uv_signal_start(&s->interrupt, on_signal, SIGINT);
    log_info("agent", "runs", "node=%s address=%s cgroups=%s", n->name, n->address,
             n->cgroup_mode == CGROUP_V2   ? "v2"
             : n->cgroup_mode == CGROUP_V1 ? "v1"
                                           : "hybrid");
    tell_ready(n->opts.ready_fd);
    loop_run(n->loop);
    uv_close((uv_handle_t *)&s->term, NULL), uv_close((uv_handle_t *)&s->interrupt, NULL);
    stop(n);
    return 0;
}

int agent_main(const struct agent_opts *opts)
{
    struct arena *keep = arena_new();
    struct node *n = arena_new_of(keep, struct node);
    n->keep = keep;
    list_init(&n->pods);
    n->loop = loop_new_uv();
    if (!n->loop)
        return 1;
    signal(SIGPIPE, SIG_IGN);
    fill(n, opts);
    int r = agent_run(n);
    loop_free(n->loop);
    arena_free(keep);
    return r;
}
