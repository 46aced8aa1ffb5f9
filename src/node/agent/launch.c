/* What a container is started with: everything that its spec, its image, the pod's sandbox and the node say, put
 * together. Source: kubelet kuberuntime_container.go, cm/helpers_linux.go, qos/policy.go. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "node/agent/pods.h"
#include "node/runtime/cgroup.h"
#include "node/files.h"
#include "node/volume/volume.h"
#include "schema/quantity.h"

enum { OOM_GUARANTEED = -997, OOM_BEST_EFFORT = 1000, SERVICE_ENV_MAX = 8192, SECCOMP_BYTES_MAX = 1 << 20 };

static int64_t resource(const struct doc *container, const char *which, const char *name, bool milli)
{
    struct str s = doc_string(doc_path(container, "resources", which, name, NULL));
    return s.len == 0 ? 0 : milli ? quantity_milli(quantity_of_str(s)) : quantity_value(quantity_of_str(s));
}

void launch_resources(const struct doc *c, int64_t *cpu_request, int64_t *cpu_limit, int64_t *memory_request,
                      int64_t *memory_limit)
{
    *cpu_limit = resource(c, "limits", "cpu", true), *memory_limit = resource(c, "limits", "memory", false);
    bool cpu = doc_path(c, "resources", "requests", "cpu", NULL) != NULL;
    bool memory = doc_path(c, "resources", "requests", "memory", NULL) != NULL;
    *cpu_request = cpu ? resource(c, "requests", "cpu", true) : *cpu_limit;
    *memory_request = memory ? resource(c, "requests", "memory", false) : *memory_limit;
}

/* Sums of the regular containers and sidecars; limits only where all have one. The largest init container counts. */
void pod_resources(const struct doc *spec, int64_t *cpu_request, int64_t *cpu_limit, int64_t *memory_request,
                   int64_t *memory_limit)
{
    int64_t v[4], sum[4] = {0}, most[4] = {0};
    bool no_cpu = false, no_memory = false;
    static const char *const lists[] = {"containers", "initContainers"};
    for (int k = 0; k < 2; k++)
        doc_each (c, doc_get(spec, lists[k])) {
            bool adds = k == 0 || str_is(doc_str(c, "restartPolicy"), "Always");
            launch_resources(c, &v[0], &v[1], &v[2], &v[3]);
            no_cpu = no_cpu || v[1] == 0, no_memory = no_memory || v[3] == 0;
            for (int i = 0; i < 4; i++) {
                sum[i] += adds ? v[i] : 0;
                most[i] = !adds && v[i] > most[i] ? v[i] : most[i];
            }
        }
    int64_t *const out[] = {cpu_request, cpu_limit, memory_request, memory_limit};
    for (int i = 0; i < 4; i++)
        *out[i] = sum[i] > most[i] ? sum[i] : most[i];
    *cpu_limit = no_cpu ? 0 : *cpu_limit, *memory_limit = no_memory ? 0 : *memory_limit;
}

const char *pod_qos(const struct doc *spec)
{
    bool any = false, guaranteed = true;
    static const char *const lists[] = {"containers", "initContainers"};
    for (int k = 0; k < 2; k++)
        doc_each (c, doc_get(spec, lists[k])) {
            int64_t cr, cl, mr, ml;
            launch_resources(c, &cr, &cl, &mr, &ml);
            any = any || cr || cl || mr || ml;
            guaranteed = guaranteed && cl && ml && cr == cl && mr == ml;
        }
    return !any ? "BestEffort" : guaranteed ? "Guaranteed" : "Burstable";
}

static int oom_score(const struct container *c)
{
    const char *qos = pod_qos(c->pod->spec);
    int64_t cr, cl, mr, ml, total = c->pod->node->memory_bytes;
    if (strcmp(qos, "Guaranteed") == 0)
        return OOM_GUARANTEED;
    if (strcmp(qos, "BestEffort") == 0 || total <= 0)
        return OOM_BEST_EFFORT;
    launch_resources(c->spec, &cr, &cl, &mr, &ml);
    int64_t score = 1000 - 1000 * mr / total;
    return (int)(score < 3 ? 3 : score > 999 ? 999 : score);
}

/* ---- environment */

struct lookup {
    struct container *c;
};

static enum env_lookup find_config(void *ctx, bool secret, struct str name, const struct doc **ret)
{
    struct container *c = ctx;
    switch (configs_get(c->pod->node->configs, c->pod, secret ? CONFIG_SECRET : CONFIG_MAP, name, ret)) {
    case CONFIG_READY:
        return ENV_FOUND;
    case CONFIG_MISSING:
        return ENV_MISSING;
    default:
        return ENV_WAITING;
    }
}

void volume_env_in(struct pod *p, struct container *c, struct env_in *in, struct arena *mem)
{
    *in = (struct env_in){.pod = p->obj,
                          .container = c ? c->spec : NULL,
                          .node_name = str_of(p->node->name),
                          .host_ip = str_of(p->node->address),
                          .node_cpu_milli = p->node->cpu_milli,
                          .node_memory_bytes = p->node->memory_bytes,
                          .lookup = find_config,
                          .ctx = c};
    in->pod_ips.v = arena_array(mem, struct str, 2);
    for (int i = 0; i < p->ip_count; i++)
        in->pod_ips.v[in->pod_ips.n++] = str_of(p->ips[i].text);
}

struct services {
    struct arena *mem;
    struct strv *to;
    bool links;
    struct str ns;
};

static void add_service(void *ctx, const struct doc *service)
{
    struct services *s = ctx;
    const struct doc *meta = doc_get(service, "metadata");
    bool kubernetes = str_is(doc_str(meta, "name"), "kubernetes") && str_is(doc_str(meta, "namespace"), "default");
    if (s->links || kubernetes)
        env_service(s->mem, service, s->to, SERVICE_ENV_MAX);
}

static int environment(struct container *c, struct spec_in *in, struct arena *mem, struct str *ret_why)
{
    struct pod *p = c->pod;
    struct env_in e;
    volume_env_in(p, c, &e, mem);
    e.image_env = c->image->info.env;
    e.service_env.v = arena_array(mem, struct str, SERVICE_ENV_MAX);
    struct services s = {mem, &e.service_env, doc_bool(p->spec, "enableServiceLinks", true), p->ns};
    configs_services(p->node->configs, p->ns, add_service, &s);
    int r = env_build(mem, &e, &in->env, ret_why);
    if (r <= 0)
        return r;
    bool path = false, host = false;
    for (size_t i = 0; i < in->env.n; i++) {
        path = path || str_starts(in->env.v[i], STR("PATH="));
        host = host || str_starts(in->env.v[i], STR("HOSTNAME="));
    }
    struct str *v = arena_array(mem, struct str, in->env.n + 2);
    if (in->env.n)
        memcpy(v, in->env.v, sizeof(*v) * in->env.n);
    in->env.v = v;
    if (!path)
        v[in->env.n++] = STR("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    if (!host)
        v[in->env.n++] = str_fmt(mem, "HOSTNAME=" STR_FMT, STR_ARG(volume_hostname(p, mem)));
    return 1;
}

/* command replaces the entrypoint and, without args, the image's cmd too. */
static int arguments(struct container *c, struct spec_in *in, struct arena *mem, struct str *ret_why)
{
    const struct doc *command = doc_get(c->spec, "command"), *args = doc_get(c->spec, "args");
    const struct image_info *image = &c->image->info;
    size_t n = doc_len(command) + doc_len(args) + image->entrypoint.n + image->cmd.n;
    in->args.v = arena_array(mem, struct str, n ? n : 1);
    doc_each (a, command)
        in->args.v[in->args.n++] = env_expand(mem, doc_string(a), &in->env);
    for (size_t i = 0; i < image->entrypoint.n && !doc_len(command); i++)
        in->args.v[in->args.n++] = image->entrypoint.v[i];
    doc_each (a, args)
        in->args.v[in->args.n++] = env_expand(mem, doc_string(a), &in->env);
    for (size_t i = 0; i < image->cmd.n && !doc_len(command) && !doc_len(args); i++)
        in->args.v[in->args.n++] = image->cmd.v[i];
    if (in->args.n == 0)
        return *ret_why = str_fmt(
                   mem, "failed to generate container \"%s\" spec: failed to generate spec: no command specified",
                   c->id),
               LAUNCH_REFUSED;
    struct str dir = doc_str(c->spec, "workingDir");
    in->workdir = dir.len ? dir : image->workdir;
    return 1;
}

/* ---- identity */

static void add_gid(struct spec_in *in, int64_t gid)
{
    if (gid >= 0 && in->gid_count < SPEC_GIDS_MAX)
        in->gids[in->gid_count++] = (uint32_t)gid;
}

static int identity(struct container *c, struct spec_in *in, struct arena *mem, struct str *ret_why)
{
    struct pod *p = c->pod;
    const struct doc *as_user = spec_security(p->spec, c->spec, "runAsUser"),
                     *as_group = spec_security(p->spec, c->spec, "runAsGroup");
    const struct doc *not_root = spec_security(p->spec, c->spec, "runAsNonRoot");
    struct str user = doc_is(as_user, DOC_INT) ? str_fmt(mem, "%lld", (long long)as_user->i) : c->image->info.user;
    const char *why = NULL;
    if (runtime_user(p->node->images, c->image, user, mem, &in->uid, &in->gid, in->gids, &in->gid_count, &why) < 0)
        return *ret_why = str_of(why), -1;
    if (doc_is(as_group, DOC_INT))
        in->gid = (uint32_t)as_group->i;
    int64_t number;
    struct str head, rest;
    str_cut(user, ':', &head, &rest);
    bool by_name = head.len && !str_to_i64(head, &number);
    if (doc_is(not_root, DOC_BOOL) && not_root->b) {
        if (by_name)
            return *ret_why =
                       str_fmt(mem,
                               "container has runAsNonRoot and image has non-numeric user (" STR_FMT
                               "), cannot verify user is non-root (pod: \"" STR_FMT "_" STR_FMT "(" STR_FMT
                               ")\", container: " STR_FMT ")",
                               STR_ARG(head), STR_ARG(p->name), STR_ARG(p->ns), STR_ARG(p->uid), STR_ARG(c->name)),
                   -1;
        if (in->uid == 0)
            return *ret_why = str_fmt(mem,
                                      "container has runAsNonRoot and image will run as root (pod: \"" STR_FMT
                                      "_" STR_FMT "(" STR_FMT ")\", container: " STR_FMT ")",
                                      STR_ARG(p->name), STR_ARG(p->ns), STR_ARG(p->uid), STR_ARG(c->name)),
                   -1;
    }
    const struct doc *pod_security = doc_get(p->spec, "securityContext");
    if (str_is(doc_str(pod_security, "supplementalGroupsPolicy"), "Strict"))
        in->gid_count = 0;
    add_gid(in, doc_int(pod_security, "fsGroup", -1));
    doc_each (g, doc_get(pod_security, "supplementalGroups"))
        if (doc_is(g, DOC_INT))
            add_gid(in, g->i);
    return 1;
}

/* Source: containerd internal/cri/server/container_create_linux.go; kubelet's --seccomp-profile-root. */
static int local_profile(struct container *c, struct str name, struct spec_in *in, struct arena *mem,
                         struct str *ret_why)
{
    char *path = str_fmtz(mem, "%s/seccomp/" STR_FMT, c->pod->node->kubelet_dir, STR_ARG(name));
    struct str text;
    bool inside = name.len && name.ptr[0] != '/' && !str_has(str_fmt(mem, "/" STR_FMT "/", STR_ARG(name)), STR("/../"));
    int r = inside ? files_read(AT_FDCWD, path, SECCOMP_BYTES_MAX, mem, &text) : -ENOENT;
    in->seccomp = r < 0 ? NULL : spec_seccomp_local(mem, doc_parse(mem, text, NULL, NULL));
    in->seccomp_local = true;
    if (in->seccomp)
        return 1;
    *ret_why = str_fmt(mem, "failed to create containerd container: cannot load seccomp profile \"%s\": %s%s%s", path,
                       r < 0 ? "open " : "decoding seccomp profile failed", r < 0 ? path : "",
                       r == -ENOENT   ? ": no such file or directory"
                       : r == -EACCES ? ": permission denied"
                       : r < 0        ? ": can't be read"
                                      : "");
    return LAUNCH_REFUSED;
}

static int confinement(struct container *c, struct spec_in *in, struct arena *mem, struct str *ret_why)
{
    const struct doc *profile = spec_security(c->pod->spec, c->spec, "seccompProfile");
    struct str type = doc_str(profile, "type");
    if (str_is(type, "RuntimeDefault"))
        in->seccomp = runtime_seccomp(c->pod->node);
    if (str_is(type, "Localhost") && !spec_privileged(c->spec))
        return local_profile(c, doc_str(profile, "localhostProfile"), in, mem, ret_why);
    if (str_is(type, "RuntimeDefault") && !in->seccomp)
        return *ret_why = STR("the default seccomp profile is not installed on the node"), -1;
    if (runtime_apparmor(c->pod->node, c->pod->spec, c->spec, mem, &in->apparmor, ret_why) < 0)
        return -1;
    if (spec_privileged(c->spec))
        in->devices = runtime_devices(c->pod->node, mem);
    return 1;
}

/* The PID namespace to be in: of the pod, of the container that is debugged, or one of its own. */
static int pid_namespace(struct container *c, struct spec_in *in, struct arena *mem, struct str *ret_why)
{
    struct str name = c->kind == KIND_EPHEMERAL ? doc_str(c->spec, "targetContainerName") : STR_NULL;
    const struct container *target = name.len ? pod_container(c->pod, name) : NULL;
    in->host_pid = c->pod->host_pid;
    if (c->pod->share_pid)
        in->pidns = str_of(sandbox_path(c->pod, mem, "pid"));
    if (!name.len)
        return 1;
    if (!target || !target->id[0])
        return *ret_why = str_fmt(mem, "unable to find target container " STR_FMT, STR_ARG(name)), -1;
    if (target->pid <= 0)
        return *ret_why = str_fmt(mem,
                                  "failed to generate container \"%s\" spec: invalid target container: container "
                                  "\"%s\" is not running - in state CONTAINER_EXITED",
                                  c->id, target->id),
               LAUNCH_REFUSED;
    if (!c->pod->share_pid)
        in->pidns = str_fmt(mem, "/proc/%d/ns/pid", target->pid);
    return 1;
}

int launch_config(struct container *c, struct arena *mem, struct doc **ret, struct str *ret_why)
{
    struct pod *p = c->pod;
    struct spec_in *in = arena_new_of(mem, struct spec_in);
    in->pod = p->spec, in->container = c->spec, in->cgroup_v2 = p->node->cgroup_mode == CGROUP_V2;
    in->swap_accounted = in->cgroup_v2 && cgroup_has(p->cgroup, "memory.swap.max");
    int r = environment(c, in, mem, ret_why);
    r = r > 0 ? arguments(c, in, mem, ret_why) : r;
    r = r > 0 ? identity(c, in, mem, ret_why) : r;
    r = r > 0 ? confinement(c, in, mem, ret_why) : r;
    r = r > 0 ? pid_namespace(c, in, mem, ret_why) : r;
    if (r <= 0)
        return r;
    if (volumes_mounts(p, c, in, mem, ret_why) < 0)
        return -1;
    in->hostname = volume_hostname(p, mem);
    if (!p->host_network)
        in->netns = str_of(sandbox_path(p, mem, "net")), in->utsns = str_of(sandbox_path(p, mem, "uts"));
    if (!p->host_ipc)
        in->ipcns = str_of(sandbox_path(p, mem, "ipc"));
    in->rootfs = str_of(runtime_bundle(p->node, mem, c->id, "rootfs"));
    in->cgroup = str_fmt(mem, "/%s/%s", p->cgroup, c->id);
    int64_t memory_request;
    launch_resources(c->spec, &in->cpu_milli_request, &in->cpu_milli_limit, &memory_request, &in->memory_limit_bytes);
    in->oom_score_adj = runtime_oom_score(p->node, oom_score(c));
    *ret = spec_build(mem, in);
    return 1;
}
