#include "node/runtime/spec.h"

#include <sys/prctl.h>

enum { CPU_PERIOD_US = 100000, CPU_QUOTA_US_MIN = 1000, SHARES_MIN = 2, SHARES_MAX = 262144 };

static const char *const caps_default[] = {
    "CHOWN",  "DAC_OVERRIDE", "FSETID",  "FOWNER",           "MKNOD",      "NET_RAW", "SETGID",
    "SETUID", "SETFCAP",      "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL",    "AUDIT_WRITE"};
/* in the kernel's order: the index is the number */
static const char *const caps_all[] = {"CHOWN",
                                       "DAC_OVERRIDE",
                                       "DAC_READ_SEARCH",
                                       "FOWNER",
                                       "FSETID",
                                       "KILL",
                                       "SETGID",
                                       "SETUID",
                                       "SETPCAP",
                                       "LINUX_IMMUTABLE",
                                       "NET_BIND_SERVICE",
                                       "NET_BROADCAST",
                                       "NET_ADMIN",
                                       "NET_RAW",
                                       "IPC_LOCK",
                                       "IPC_OWNER",
                                       "SYS_MODULE",
                                       "SYS_RAWIO",
                                       "SYS_CHROOT",
                                       "SYS_PTRACE",
                                       "SYS_PACCT",
                                       "SYS_ADMIN",
                                       "SYS_BOOT",
                                       "SYS_NICE",
                                       "SYS_RESOURCE",
                                       "SYS_TIME",
                                       "SYS_TTY_CONFIG",
                                       "MKNOD",
                                       "LEASE",
                                       "AUDIT_WRITE",
                                       "AUDIT_CONTROL",
                                       "SETFCAP",
                                       "MAC_OVERRIDE",
                                       "MAC_ADMIN",
                                       "SYSLOG",
                                       "WAKE_ALARM",
                                       "BLOCK_SUSPEND",
                                       "AUDIT_READ",
                                       "PERFMON",
                                       "BPF",
                                       "CHECKPOINT_RESTORE"};
static const char *const masked[] = {"/proc/acpi",
                                     "/proc/asound",
                                     "/proc/kcore",
                                     "/proc/keys",
                                     "/proc/latency_stats",
                                     "/proc/timer_list",
                                     "/proc/timer_stats",
                                     "/proc/sched_debug",
                                     "/proc/scsi",
                                     "/sys/firmware",
                                     "/sys/devices/virtual/powercap"};
static const char *const read_only[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

const struct doc *spec_security(const struct doc *pod, const struct doc *container, const char *key)
{
    const struct doc *d = doc_path(container, "securityContext", key, NULL);
    return d && d->type != DOC_NULL ? d : doc_path(pod, "securityContext", key, NULL);
}

bool spec_privileged(const struct doc *container)
{
    return doc_bool(doc_get(container, "securityContext"), "privileged", false);
}

int64_t spec_shares(int64_t cpu_milli)
{
    int64_t shares = cpu_milli * 1024 / 1000;
    return shares < SHARES_MIN ? SHARES_MIN : shares > SHARES_MAX ? SHARES_MAX : shares;
}

static void push(struct arena *mem, struct doc *array, struct str s)
{
    doc_push(array, doc_new_str(mem, s));
}

static bool listed_by_name(const struct doc *list, const char *cap)
{
    doc_each (i, list) {
        struct str s = doc_string(i);
        if (str_ieq(str_starts(s, STR("CAP_")) ? str_from(s, 4) : s, str_of(cap)))
            return true;
    }
    return false;
}

static bool listed(const struct doc *list, const char *cap)
{
    return listed_by_name(list, "ALL") || listed_by_name(list, cap);
}

static bool in_default(const char *cap)
{
    for (size_t i = 0; i < COUNT(caps_default); i++)
        if (strcmp(caps_default[i], cap) == 0)
            return true;
    return false;
}

/* add ALL, then drop by name; drop ALL, then add by name: both work as in containerd. What is not asked for by its own
 * name is given only where this machine has it: in a container of its own the agent may lack some, and crun would
 * refuse to start. */
static struct doc *caps(struct arena *mem, const struct spec_in *in)
{
    const struct doc *c = doc_path(in->container, "securityContext", "capabilities", NULL);
    const struct doc *add = doc_get(c, "add"), *drop = doc_get(c, "drop");
    bool privileged = spec_privileged(in->container), drop_all = listed(drop, ""), add_all = listed(add, "");
    struct doc *out = doc_new_array(mem);
    for (size_t i = 0; i < COUNT(caps_all); i++) {
        const char *cap = caps_all[i];
        bool on = privileged || (in_default(cap) && !listed(drop, cap)) || (add_all && !listed(drop, cap));
        on = on && prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1;
        if (!privileged && listed_by_name(add, cap) && (drop_all || !listed(drop, cap)))
            on = true;
        if (on)
            push(mem, out, str_fmt(mem, "CAP_%s", cap));
    }
    return out;
}

static void put_process(struct arena *mem, struct doc *root, const struct spec_in *in, struct doc *capabilities)
{
    struct doc *p = doc_sub(mem, root, "process");
    if (doc_bool(in->container, "tty", false))
        doc_put_bool(mem, p, "terminal", true);
    struct doc *user = doc_sub(mem, p, "user");
    doc_put_int(mem, user, "uid", in->uid), doc_put_int(mem, user, "gid", in->gid);
    struct doc *gids = doc_sub_array(mem, user, "additionalGids");
    for (int i = 0; i < in->gid_count; i++)
        doc_push(gids, doc_new_int(mem, in->gids[i]));
    struct doc *args = doc_sub_array(mem, p, "args"), *env = doc_sub_array(mem, p, "env");
    for (size_t i = 0; i < in->args.n; i++)
        push(mem, args, in->args.v[i]);
    for (size_t i = 0; i < in->env.n; i++)
        push(mem, env, in->env.v[i]);
    doc_put_str(mem, p, "cwd", in->workdir.len ? in->workdir : STR("/"));
    struct doc *sets = doc_sub(mem, p, "capabilities");
    static const char *const kinds[] = {"bounding", "effective", "permitted"};
    for (size_t i = 0; i < COUNT(kinds); i++)
        doc_put(mem, sets, kinds[i], doc_copy(mem, capabilities));
    const struct doc *escalate = doc_path(in->container, "securityContext", "allowPrivilegeEscalation", NULL);
    doc_put_bool(mem, p, "noNewPrivileges", doc_is(escalate, DOC_BOOL) && !escalate->b);
    doc_put_int(mem, p, "oomScoreAdj", in->oom_score_adj);
    if (in->apparmor.len)
        doc_put_str(mem, p, "apparmorProfile", in->apparmor);
}

static void put_mount(struct arena *mem, struct doc *mounts, struct str destination, struct str type, struct str source,
                      struct str options)
{
    struct doc *m = doc_push(mounts, doc_new_object(mem));
    doc_put_str(mem, m, "destination", destination), doc_put_str(mem, m, "type", type);
    doc_put_str(mem, m, "source", source);
    struct doc *o = doc_sub_array(mem, m, "options");
    struct str part;
    while (str_next(&options, ',', &part))
        push(mem, o, part);
}

static void put_mounts(struct arena *mem, struct doc *root, const struct spec_in *in, bool privileged)
{
    struct doc *m = doc_sub_array(mem, root, "mounts");
    put_mount(mem, m, STR("/proc"), STR("proc"), STR("proc"), STR("nosuid,noexec,nodev"));
    put_mount(mem, m, STR("/dev"), STR("tmpfs"), STR("tmpfs"), STR("nosuid,strictatime,mode=755,size=65536k"));
    put_mount(mem, m, STR("/dev/pts"), STR("devpts"), STR("devpts"),
              STR("nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"));
    put_mount(mem, m, STR("/dev/mqueue"), STR("mqueue"), STR("mqueue"), STR("nosuid,noexec,nodev"));
    put_mount(mem, m, STR("/sys"), STR("sysfs"), STR("sysfs"),
              privileged ? STR("nosuid,noexec,nodev,rw") : STR("nosuid,noexec,nodev,ro"));
    put_mount(mem, m, STR("/sys/fs/cgroup"), STR("cgroup"), STR("cgroup"),
              privileged ? STR("nosuid,noexec,nodev,relatime,rw") : STR("nosuid,noexec,nodev,relatime,ro"));
    for (int i = 0; i < in->mount_count; i++) {
        const struct mount_spec *s = &in->mounts[i];
        put_mount(mem, m, s->destination, s->type.len ? s->type : STR("bind"), s->source, s->options);
    }
}

static void put_namespace(struct arena *mem, struct doc *list, const char *type, struct str path)
{
    struct doc *n = doc_push(list, doc_new_object(mem));
    doc_put_str(mem, n, "type", str_of(type));
    if (path.len)
        doc_put_str(mem, n, "path", path);
}

static void put_resources(struct arena *mem, struct doc *linux_, const struct spec_in *in, bool privileged)
{
    struct doc *r = doc_sub(mem, linux_, "resources");
    struct doc *devices = doc_sub_array(mem, r, "devices");
    struct doc *all = doc_push(devices, doc_new_object(mem));
    doc_put_bool(mem, all, "allow", privileged);
    doc_put_str(mem, all, "access", STR("rwm"));
    struct doc *cpu = doc_sub(mem, r, "cpu");
    doc_put_int(mem, cpu, "shares", spec_shares(in->cpu_milli_request));
    if (in->cpu_milli_limit > 0) {
        int64_t quota = in->cpu_milli_limit * CPU_PERIOD_US / 1000;
        doc_put_int(mem, cpu, "quota", quota < CPU_QUOTA_US_MIN ? CPU_QUOTA_US_MIN : quota);
        doc_put_int(mem, cpu, "period", CPU_PERIOD_US);
    }
    if (in->memory_limit_bytes > 0)
        doc_put_int(mem, doc_sub(mem, r, "memory"), "limit", in->memory_limit_bytes);
    if (!in->cgroup_v2)
        return;
    /* kubelet's singleProcessOOMKill=false: the whole container; and memorySwap NoSwap */
    struct doc *unified = doc_sub(mem, r, "unified");
    doc_put_str(mem, unified, "memory.oom.group", STR("1"));
    if (in->swap_accounted)
        doc_put_str(mem, unified, "memory.swap.max", STR("0"));
}

static void put_paths(struct arena *mem, struct doc *linux_, const struct spec_in *in, bool privileged)
{
    struct str proc_mount = doc_string(spec_security(NULL, in->container, "procMount"));
    if (privileged || str_is(proc_mount, "Unmasked"))
        return;
    struct doc *m = doc_sub_array(mem, linux_, "maskedPaths"), *r = doc_sub_array(mem, linux_, "readonlyPaths");
    for (size_t i = 0; i < COUNT(masked); i++)
        push(mem, m, str_of(masked[i]));
    for (size_t i = 0; i < COUNT(read_only); i++)
        push(mem, r, str_of(read_only[i]));
}

struct doc *spec_build(struct arena *mem, const struct spec_in *in)
{
    bool privileged = spec_privileged(in->container);
    struct doc *root = doc_new_object(mem), *capabilities = caps(mem, in);
    doc_put_str(mem, root, "ociVersion", STR("1.0.2"));
    put_process(mem, root, in, capabilities);
    struct doc *fs = doc_sub(mem, root, "root");
    doc_put_str(mem, fs, "path", in->rootfs);
    doc_put_bool(mem, fs, "readonly",
                 doc_bool(doc_get(in->container, "securityContext"), "readOnlyRootFilesystem", false));
    put_mounts(mem, root, in, privileged);
    struct doc *l = doc_sub(mem, root, "linux");
    struct doc *ns = doc_sub_array(mem, l, "namespaces");
    put_namespace(mem, ns, "mount", STR_NULL);
    if (!in->host_pid)
        put_namespace(mem, ns, "pid", in->pidns);
    if (in->netns.len)
        put_namespace(mem, ns, "network", in->netns);
    if (in->ipcns.len)
        put_namespace(mem, ns, "ipc", in->ipcns);
    if (in->utsns.len)
        put_namespace(mem, ns, "uts", in->utsns);
    if (in->cgroup_v2 && !privileged) /* as containerd: a container sees its own cgroup, read-only */
        put_namespace(mem, ns, "cgroup", STR_NULL);
    doc_put_str(mem, l, "cgroupsPath", in->cgroup);
    put_resources(mem, l, in, privileged);
    put_paths(mem, l, in, privileged);
    doc_put_str(mem, l, "rootfsPropagation", STR("rslave"));
    if (in->devices)
        doc_put(mem, l, "devices", doc_copy(mem, in->devices));
    if (in->seccomp && !privileged)
        doc_put(mem, l, "seccomp",
                in->seccomp_local ? doc_copy(mem, in->seccomp) : spec_seccomp(mem, in->seccomp, capabilities));
    return root;
}

/* ---- seccomp: containers/common's profile says with includes/excludes when a rule stands */

static bool any_cap(const struct doc *list, const struct doc *have)
{
    doc_each (c, list)
        doc_each (h, have)
            if (str_eq(doc_string(c), doc_string(h)))
                return true;
    return false;
}

static bool arch_listed(const struct doc *list)
{
#if defined(__x86_64__)
    static const char *const names[] = {"amd64", "x32", "x86"};
#elif defined(__aarch64__)
    static const char *const names[] = {"arm64", "arm"};
#else
    static const char *const names[] = {"riscv64"};
#endif
    doc_each (a, list)
        for (size_t i = 0; i < COUNT(names); i++)
            if (str_is(doc_string(a), names[i]))
                return true;
    return false;
}

static bool rule_stands(const struct doc *rule, const struct doc *have)
{
    const struct doc *in = doc_get(rule, "includes"), *ex = doc_get(rule, "excludes");
    if (doc_len(doc_get(in, "caps")) && !any_cap(doc_get(in, "caps"), have))
        return false;
    if (doc_len(doc_get(in, "arches")) && !arch_listed(doc_get(in, "arches")))
        return false;
    return !any_cap(doc_get(ex, "caps"), have) && !arch_listed(doc_get(ex, "arches"));
}

/* The profile is made for engines that let anybody make user namespaces. Like CRI-O and containerd we keep what makes
 * namespaces and mounts for those with CAP_SYS_ADMIN; clone without such flags stays, and clone3, whose flags a filter
 * can't see, says ENOSYS, so that libc falls back to clone. */
static const char *const admins_names[] = {"clone",      "clone3", "fsconfig",   "fsmount",       "fsopen",
                                           "fspick",     "mount",  "move_mount", "mount_setattr", "open_tree",
                                           "pivot_root", "setns",  "umount",     "umount2",       "unshare"};

static bool for_admins(struct str name)
{
    for (size_t i = 0; i < COUNT(admins_names); i++)
        if (str_is(name, admins_names[i]))
            return true;
    return false;
}

static struct doc *rule_new(struct arena *mem, struct doc *rules, const char *name, const char *action)
{
    struct doc *r = doc_push(rules, doc_new_object(mem));
    push(mem, doc_sub_array(mem, r, "names"), str_of(name));
    doc_put_str(mem, r, "action", str_of(action));
    return r;
}

static void put_arg(struct arena *mem, struct doc *rule, int64_t mask, int64_t value)
{
    struct doc *arg = doc_push(doc_sub_array(mem, rule, "args"), doc_new_object(mem));
    doc_put_int(mem, arg, "index", 0), doc_put_int(mem, arg, "value", mask), doc_put_int(mem, arg, "valueTwo", value);
    doc_put_str(mem, arg, "op", STR("SCMP_CMP_MASKED_EQ"));
}

/* What the profile does not know says ENOSYS, so that libc falls back; what it denies says EPERM, as in containerd. */
static void put_admin_rules(struct arena *mem, struct doc *rules)
{
    enum { NEW_NAMESPACES = 0x7e020000, NO_SYSCALL = 38, NOT_PERMITTED = 1 };
    put_arg(mem, rule_new(mem, rules, "clone", "SCMP_ACT_ALLOW"), NEW_NAMESPACES, 0);
    for (int64_t bit = 1; bit <= NEW_NAMESPACES; bit <<= 1) /* there is no "some bit of the mask" */
        if (bit & NEW_NAMESPACES) {
            struct doc *r = rule_new(mem, rules, "clone", "SCMP_ACT_ERRNO");
            doc_put_int(mem, r, "errnoRet", NOT_PERMITTED), put_arg(mem, r, bit, bit);
        }
    doc_put_int(mem, rule_new(mem, rules, "clone3", "SCMP_ACT_ERRNO"), "errnoRet", NO_SYSCALL);
    for (size_t i = 0; i < COUNT(admins_names); i++)
        if (strncmp(admins_names[i], "clone", 5) != 0)
            doc_put_int(mem, rule_new(mem, rules, admins_names[i], "SCMP_ACT_ERRNO"), "errnoRet", NOT_PERMITTED);
}

static void put_known(struct arena *mem, struct doc *to, const struct doc *from, const char *const *keys, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct doc *v = doc_get(from, keys[i]);
        if (v && v->type != DOC_NULL && (v->type != DOC_ARRAY || v->count))
            doc_put(mem, to, keys[i], doc_copy(mem, v));
    }
}
static const char *const rule_keys[] = {"action", "errnoRet", "args"};

struct doc *spec_seccomp_local(struct arena *mem, const struct doc *profile)
{
    static const char *const keys[] = {"defaultAction", "defaultErrnoRet", "architectures", "flags"};
    if (!doc_is(profile, DOC_OBJECT) || !doc_str(profile, "defaultAction").len)
        return NULL;
    struct doc *out = doc_new_object(mem), *rules;
    put_known(mem, out, profile, keys, COUNT(keys));
    rules = doc_sub_array(mem, out, "syscalls");
    doc_each (r, doc_get(profile, "syscalls")) {
        struct doc *to = doc_push(rules, doc_new_object(mem));
        doc_put(mem, to, "names", doc_copy(mem, doc_get(r, "names")));
        put_known(mem, to, r, rule_keys, COUNT(rule_keys));
    }
    return out;
}

struct doc *spec_seccomp(struct arena *mem, const struct doc *profile, const struct doc *have)
{
    struct doc *out = doc_new_object(mem);
    doc_put_str(mem, out, "defaultAction", doc_str(profile, "defaultAction"));
    if (doc_get(profile, "defaultErrnoRet"))
        doc_put_int(mem, out, "defaultErrnoRet", doc_int(profile, "defaultErrnoRet", 1));
    struct doc *arches = doc_sub_array(mem, out, "architectures");
#if defined(__x86_64__)
    push(mem, arches, STR("SCMP_ARCH_X86_64")), push(mem, arches, STR("SCMP_ARCH_X86")),
        push(mem, arches, STR("SCMP_ARCH_X32"));
#elif defined(__aarch64__)
    push(mem, arches, STR("SCMP_ARCH_AARCH64")), push(mem, arches, STR("SCMP_ARCH_ARM"));
#else
    push(mem, arches, STR("SCMP_ARCH_RISCV64"));
#endif
    struct doc *rules = doc_sub_array(mem, out, "syscalls");
    bool admin = listed_by_name(have, "SYS_ADMIN");
    if (!admin)
        put_admin_rules(mem, rules);
    doc_each (r, doc_get(profile, "syscalls")) {
        if (!rule_stands(r, have))
            continue;
        struct doc *names = doc_new_array(mem);
        doc_each (name, doc_get(r, "names"))
            if (admin || !for_admins(doc_string(name)))
                doc_push(names, doc_copy(mem, name));
        if (doc_len(names) == 0)
            continue;
        struct doc *to = doc_push(rules, doc_new_object(mem));
        doc_put(mem, to, "names", names);
        put_known(mem, to, r, rule_keys, COUNT(rule_keys));
    }
    return out;
}
