#include "node/volume/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "node/agent/configs.h"
#include "node/files.h"
#include "node/runtime/runtime.h"
#include "node/volume/priv.h"
#include "schema/quantity.h"

static const struct {
    const char *key, *dir; /* in the spec; below volumes/, as kubelet's plugins are named */
    volume_step_fn *step;
    bool tmpfs;
} kinds[] = {
    {"emptyDir", "empty-dir", volume_empty_dir, false}, {"configMap", "configmap", volume_payload, false},
    {"secret", "secret", volume_payload, true},         {"downwardAPI", "downward-api", volume_payload, false},
    {"projected", "projected", volume_payload, true},   {"hostPath", "host-path", volume_host_path, false},
};
enum { KIND_COUNT = sizeof(kinds) / sizeof(kinds[0]) };

static int kind_of(const struct doc *spec)
{
    for (int i = 0; i < KIND_COUNT; i++)
        if (doc_is(doc_get(spec, kinds[i].key), DOC_OBJECT))
            return i;
    return -1;
}

static const struct doc *volume_spec(const struct pod *p, struct str name)
{
    doc_each (v, doc_get(p->spec, "volumes"))
        if (str_eq(doc_str(v, "name"), name))
            return v;
    return NULL;
}

static void token_due(struct loop_timer *t)
{
    pod_kick(container_of(t, struct pod_volume, renew)->pod);
}

static void volumes_begin(struct pod *p)
{
    const struct doc *list = doc_get(p->spec, "volumes");
    p->volume_count = (int)doc_len(list);
    p->volumes = arena_array(p->keep, struct pod_volume, p->volume_count ? p->volume_count : 1);
    int i = 0;
    doc_each (v, list) {
        struct pod_volume *pv = &p->volumes[i++];
        pv->pod = p, pv->name = str_dup(p->keep, doc_str(v, "name"));
        int kind = kind_of(v);
        pv->path = str_fmtz(p->keep, "%s/pods/" STR_FMT "/volumes/kubernetes.io~%s/" STR_FMT, p->node->kubelet_dir,
                            STR_ARG(p->uid), kind < 0 ? "other" : kinds[kind].dir, STR_ARG(pv->name));
        loop_timer_init(p->node->loop, &pv->renew, token_due);
    }
}

int volume_tmpfs(const char *path, const char *options)
{
    struct stat st, up;
    cleanup_arena struct arena *mem = arena_new();
    int r = files_mkdirs(path, 0755);
    if (r < 0)
        return r;
    if (stat(path, &st) == 0 && stat(str_fmtz(mem, "%s/..", path), &up) == 0 && st.st_dev != up.st_dev)
        return 0; /* mounted by a former agent */
    return mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, options) < 0 ? -errno : 0;
}

int64_t volume_fs_group(const struct pod *p)
{
    return doc_int(doc_get(p->spec, "securityContext"), "fsGroup", -1);
}

int volumes_step(struct pod *p, struct arena *mem, struct str *ret_why)
{
    int all = 1;
    if (!p->volumes)
        volumes_begin(p);
    for (int i = 0; i < p->volume_count; i++) {
        struct pod_volume *v = &p->volumes[i];
        const struct doc *spec = volume_spec(p, v->name);
        int kind = kind_of(spec), r;
        struct str why = STR_NULL;
        if (kind < 0) {
            *ret_why = str_fmt(mem,
                               "MountVolume.SetUp failed for volume \"" STR_FMT
                               "\" : this kind of volume is not supported by the node",
                               STR_ARG(v->name));
            return -1;
        }
        if (kinds[kind].tmpfs && !v->mounted) {
            r = volume_tmpfs(v->path, "mode=0777,size=64m");
            v->mounted = r == 0;
            if (r < 0)
                why = str_fmt(mem, "mount failed: %s", strerror(-r));
        }
        r = why.len ? -1 : kinds[kind].step(p, v, doc_get(spec, kinds[kind].key), mem, &why);
        if (r < 0) {
            *ret_why = str_fmt(mem, "MountVolume.SetUp failed for volume \"" STR_FMT "\" : " STR_FMT, STR_ARG(v->name),
                               STR_ARG(why));
            return -1;
        }
        v->ready = v->ready || r > 0;
        if (!v->ready)
            all = 0;
    }
    return all;
}

void volumes_stop(struct pod *p)
{
    for (int i = 0; i < p->volume_count; i++) {
        loop_timer_stop(&p->volumes[i].renew);
        volume_tokens_free(&p->volumes[i]);
    }
}

void volumes_remove(struct pod *p, struct removal *to)
{
    cleanup_arena struct arena *mem = arena_new();
    volumes_stop(p);
    removal_volumes(to, str_fmtz(mem, "%s/pods/" STR_FMT, p->node->kubelet_dir, STR_ARG(p->uid)));
}

void volumes_remove_tree(const char *root)
{
    cleanup_arena struct arena *mem = arena_new();
    /* what this agent or a former one mounted below, without asking which: longest paths first */
    struct str text, line;
    if (files_read(AT_FDCWD, "/proc/self/mounts", 8 << 20, mem, &text) == 0) {
        while (str_next(&text, '\n', &line)) {
            struct str device, rest, dir;
            if (str_cut(line, ' ', &device, &rest) && str_cut(rest, ' ', &dir, &rest) &&
                str_starts(dir, str_fmt(mem, "%s/", root)))
                umount2(str_z(mem, dir), MNT_DETACH | UMOUNT_NOFOLLOW);
        }
    }
    files_remove_tree(root);
}

int volume_empty_dir(struct pod *p, struct pod_volume *v, const struct doc *spec, struct arena *mem,
                     struct str *ret_why)
{
    if (v->ready)
        return 1;
    int r;
    if (str_is(doc_str(spec, "medium"), "Memory")) {
        struct str limit = doc_str(spec, "sizeLimit");
        int64_t bytes = limit.len ? quantity_value(quantity_of_str(limit)) : 0;
        r = volume_tmpfs(v->path, bytes > 0 ? str_fmtz(mem, "mode=0777,size=%lld", (long long)bytes) : "mode=0777");
    } else {
        r = files_mkdirs(v->path, 0777);
    }
    int64_t group = volume_fs_group(p);
    if (r == 0 && group >= 0 && chown(v->path, (uid_t)-1, (gid_t)group) < 0)
        r = -errno;
    if (r == 0 && chmod(v->path, group >= 0 ? 02777 : 0777) < 0)
        r = -errno;
    if (r < 0)
        return *ret_why = str_of(strerror(-r)), -1;
    return 1;
}

static bool host_type_fits(struct str type, const struct stat *st)
{
    return type.len == 0 || (str_starts(type, STR("Directory")) && S_ISDIR(st->st_mode)) ||
           (str_starts(type, STR("File")) && S_ISREG(st->st_mode)) ||
           (str_is(type, "Socket") && S_ISSOCK(st->st_mode)) || (str_is(type, "CharDevice") && S_ISCHR(st->st_mode)) ||
           (str_is(type, "BlockDevice") && S_ISBLK(st->st_mode));
}

int volume_host_path(struct pod *p, struct pod_volume *v, const struct doc *spec, struct arena *mem,
                     struct str *ret_why)
{
    if (v->ready)
        return 1;
    struct str type = doc_str(spec, "type");
    char *path = str_z(p->keep, doc_str(spec, "path"));
    struct stat st;
    if (stat(path, &st) < 0 && str_is(type, "DirectoryOrCreate"))
        files_mkdirs(path, 0755);
    if (stat(path, &st) < 0 && str_is(type, "FileOrCreate"))
        close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    if (stat(path, &st) < 0 && type.len == 0) {
        int r = files_mkdirs(path, 0755); /* as container runtimes make a missing source */
        if (r < 0)
            return *ret_why = str_of(strerror(-r)), -1;
    }
    if (stat(path, &st) < 0 || !host_type_fits(type, &st)) {
        static const char *const words[][2] = {{"Directory", "a directory"},
                                               {"File", "a file"},
                                               {"Socket", "a socket file"},
                                               {"CharDevice", "a character device"},
                                               {"BlockDevice", "a block device"}};
        const char *want = "there";
        for (size_t i = 0; i < 5; i++)
            if (str_starts(type, str_of(words[i][0])))
                want = words[i][1];
        return *ret_why = str_fmt(mem, "hostPath type check failed: %s is not %s", path, want), -1;
    }
    v->path = path;
    return 1;
}

/* ---- mounts of a container */

static void add_mount(struct spec_in *in, const char *source, struct str destination, struct str options)
{
    if (in->mount_count < SPEC_MOUNTS_MAX)
        in->mounts[in->mount_count++] = (struct mount_spec){str_of(source), destination, STR("bind"), options};
}

static int open_below(int root, const char *path, int flags)
{
    struct open_how how = {.flags = (uint64_t)flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    return (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
}

/* Open root/sub, making missing directories, never leaving root. */
static int open_sub(int root, struct arena *mem, struct str sub)
{
    int fd = open_below(root, str_z(mem, sub), O_PATH);
    if (fd >= 0 || errno != ENOENT)
        return fd;
    ptrdiff_t slash = str_rfind(sub, '/');
    cleanup_fd int up =
        slash < 0 ? open_below(root, ".", O_PATH | O_DIRECTORY) : open_sub(root, mem, str_head(sub, (size_t)slash));
    struct str base = slash < 0 ? sub : str_from(sub, (size_t)slash + 1);
    if (up < 0 || (base.len && mkdirat(up, str_z(mem, base), 0750) < 0 && errno != EEXIST))
        return -1;
    return open_below(root, str_z(mem, sub), O_PATH);
}

static int bind_sub(struct pod *p, struct container *c, struct pod_volume *v, struct str sub, int index,
                    struct arena *mem, char **ret)
{
    struct stat st;
    cleanup_fd int root = open(v->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    while (sub.len && sub.ptr[sub.len - 1] == '/')
        sub.len--;
    cleanup_fd int fd = root < 0 ? -1 : open_sub(root, mem, sub);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    char *to = str_fmtz(mem, "%s/pods/" STR_FMT "/volume-subpaths/" STR_FMT "/" STR_FMT "/%d", p->node->kubelet_dir,
                        STR_ARG(p->uid), STR_ARG(v->name), STR_ARG(c->name), index);
    umount2(to, MNT_DETACH);
    ptrdiff_t slash = str_rfind(str_of(to), '/');
    int r = files_mkdirs(S_ISDIR(st.st_mode) ? to : str_z(mem, str_head(str_of(to), (size_t)slash)), 0755);
    if (r == 0 && !S_ISDIR(st.st_mode))
        close(open(to, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    if (r == 0 && mount(str_fmtz(mem, "/proc/self/fd/%d", fd), to, NULL, MS_BIND | MS_REC, NULL) < 0)
        r = -errno;
    *ret = to;
    return r;
}

static int volume_mount(struct pod *p, struct container *c, const struct doc *m, int index, const struct strv *env,
                        struct spec_in *in, struct arena *mem, struct str *ret_why)
{
    struct pod_volume *v = NULL;
    for (int i = 0; i < p->volume_count; i++)
        if (str_eq(p->volumes[i].name, doc_str(m, "name")))
            v = &p->volumes[i];
    if (!v)
        return *ret_why = STR("a mount names no volume of the pod"), -1;
    char *source = v->path;
    struct str sub = doc_str(m, "subPath"), expr = doc_str(m, "subPathExpr");
    if (expr.len)
        sub = env_expand(mem, expr, env);
    if (sub.len) {
        int r = payload_path_valid(sub) ? bind_sub(p, c, v, sub, index, mem, &source) : -EINVAL;
        if (r < 0)
            return *ret_why = str_fmt(mem,
                                      "failed to prepare subPath for volumeMount \"" STR_FMT
                                      "\" of container \"" STR_FMT "\": %s",
                                      STR_ARG(v->name), STR_ARG(c->name), strerror(-r)),
                   -1;
    }
    struct str how = doc_str(m, "mountPropagation");
    const char *spread = str_is(how, "HostToContainer") ? "rslave"
                         : str_is(how, "Bidirectional") ? "rshared"
                                                        : "rprivate";
    int kind = kind_of(volume_spec(p, v->name));
    bool fixed = kind >= 0 && kinds[kind].step == volume_payload; /* the node's to write */
    add_mount(in, source, doc_str(m, "mountPath"),
              str_fmt(mem, "rbind,%s,%s", spread, fixed || doc_bool(m, "readOnly", false) ? "ro" : "rw"));
    return 0;
}

char *volume_termination_log(struct pod *p, struct container *c, struct arena *mem)
{
    return str_fmtz(mem, "%s/pods/" STR_FMT "/containers/" STR_FMT "/%.8s", p->node->kubelet_dir, STR_ARG(p->uid),
                    STR_ARG(c->name), c->id);
}

static bool mounted(const struct spec_in *in, const char *destination)
{
    for (int i = 0; i < in->mount_count; i++)
        if (str_is(in->mounts[i].destination, destination))
            return true;
    return false;
}

int volumes_mounts(struct pod *p, struct container *c, struct spec_in *in, struct arena *mem, struct str *ret_why)
{
    int index = 0;
    doc_each (m, doc_get(c->spec, "volumeMounts"))
        if (volume_mount(p, c, m, index++, &in->env, in, mem, ret_why) < 0)
            return -1;
    static const char *const etc[][2] = {
        {"hosts", "/etc/hosts"}, {"resolv.conf", "/etc/resolv.conf"}, {"hostname", "/etc/hostname"}};
    for (int i = 0; i < 3; i++)
        if (!mounted(in, etc[i][1]))
            add_mount(in, sandbox_path(p, mem, etc[i][0]), str_of(etc[i][1]), STR("bind,rprivate,rw"));
    if (!mounted(in, "/dev/shm"))
        add_mount(in, p->host_ipc ? "/dev/shm" : sandbox_path(p, mem, "shm"), STR("/dev/shm"),
                  STR("rbind,rprivate,rw"));
    char *log = volume_termination_log(p, c, mem);
    struct str at = doc_str(c->spec, "terminationMessagePath");
    if (files_mkdirs(str_z(mem, str_head(str_of(log), (size_t)str_rfind(str_of(log), '/'))), 0755) == 0 &&
        files_write(log, 0666, STR_NULL) == 0 && chmod(log, 0666) == 0)
        add_mount(in, log, at.len ? at : STR("/dev/termination-log"), STR("bind,rprivate,rw"));
    return 0;
}
