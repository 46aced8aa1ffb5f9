#include "node/runtime/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "node/files.h"
#include "node/runtime/spec.h"

#define CGROUP_ROOT "/sys/fs/cgroup"
enum { CGROUP2_MAGIC = 0x63677270, CGROUP_DEPTH_MAX = 8 };

static const char *const v1_names[] = {"cpu,cpuacct", "cpu",      "cpuacct",    "cpuset",  "memory",
                                       "devices",     "freezer",  "blkio",      "pids",    "net_cls,net_prio",
                                       "net_cls",     "net_prio", "perf_event", "hugetlb", "systemd"};
enum { V1_COUNT = sizeof(v1_names) / sizeof(v1_names[0]) };

enum cgroup_mode cgroup_detect(void)
{
    struct statfs fs;
    if (statfs(CGROUP_ROOT, &fs) == 0 && (unsigned)fs.f_type == CGROUP2_MAGIC)
        return CGROUP_V2;
    if (statfs(CGROUP_ROOT "/unified", &fs) == 0 && (unsigned)fs.f_type == CGROUP2_MAGIC)
        return CGROUP_HYBRID;
    return CGROUP_V1;
}

/* A controller that is a symlink (cpu -> cpu,cpuacct) is visited under its own name only. */
static bool hierarchy(enum cgroup_mode mode, int i, struct arena *mem, char **ret)
{
    struct stat st;
    if (mode == CGROUP_V2)
        return *ret = str_fmtz(mem, "%s", CGROUP_ROOT), i == 0;
    *ret = str_fmtz(mem, CGROUP_ROOT "/%s", v1_names[i]);
    return lstat(*ret, &st) == 0 && S_ISDIR(st.st_mode);
}

static void inherit_cpuset(struct arena *mem, const char *dir)
{
    static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
    ptrdiff_t slash = str_rfind(str_of(dir), '/');
    for (int i = 0; i < 2; i++) {
        struct str own, up;
        char *path = str_fmtz(mem, "%s/%s", dir, files[i]);
        if (files_read(AT_FDCWD, path, 4096, mem, &own) < 0 || str_trim(own).len)
            continue;
        if (files_read(AT_FDCWD, str_fmtz(mem, "%.*s/%s", (int)slash, dir, files[i]), 4096, mem, &up) == 0)
            files_write_existing(path, up);
    }
}

/* The parents are usually there. */
static bool make_last(struct arena *mem, const char *root, const char *path, bool cpuset)
{
    char *at = str_fmtz(mem, "%s/%s", root, path);
    if (mkdir(at, 0755) < 0)
        return false;
    if (cpuset)
        inherit_cpuset(mem, at);
    return true;
}

/* One by one: a kernel without one of them would refuse them all. */
static void let_children_have(struct arena *mem, const char *dir)
{
    static const char *const controllers[] = {"+cpu", "+memory", "+pids", "+cpuset", "+io", "+hugetlb"};
    char *file = str_fmtz(mem, "%s/cgroup.subtree_control", dir);
    for (size_t i = 0; i < sizeof(controllers) / sizeof(controllers[0]); i++)
        files_write_existing(file, str_of(controllers[i]));
}

static int make_path(struct arena *mem, const char *root, const char *path, bool cpuset, bool v2)
{
    if (!v2 && make_last(mem, root, path, cpuset))
        return 0;
    struct str rest = str_of(path), part;
    char *at = str_fmtz(mem, "%s", root);
    while (str_next(&rest, '/', &part)) {
        if (v2)
            let_children_have(mem, at);
        at = str_fmtz(mem, "%s/" STR_FMT, at, STR_ARG(part));
        if (mkdir(at, 0755) < 0 && errno != EEXIST)
            return -errno;
        if (cpuset)
            inherit_cpuset(mem, at);
    }
    if (v2)
        let_children_have(mem, at);
    return 0;
}

static void limit(struct arena *mem, const char *dir, const char *file, int64_t value)
{
    files_write_existing(str_fmtz(mem, "%s/%s", dir, file), str_fmt(mem, "%lld", (long long)value));
}

static void set_limits(struct arena *mem, const char *dir, bool v2, const struct cgroup_limits *l)
{
    int64_t shares = spec_shares(l->cpu_milli_request), quota = l->cpu_milli_limit * 100;
    if (!v2) {
        limit(mem, dir, "cpu.shares", shares);
        if (l->cpu_milli_limit)
            limit(mem, dir, "cpu.cfs_quota_us", quota < 1000 ? 1000 : quota);
        if (l->memory_limit_bytes)
            limit(mem, dir, "memory.limit_in_bytes", l->memory_limit_bytes);
        return;
    }
    limit(mem, dir, "cpu.weight", 1 + ((shares - 2) * 9999) / 262142);
    if (l->cpu_milli_limit)
        files_write_existing(str_fmtz(mem, "%s/cpu.max", dir),
                             str_fmt(mem, "%lld 100000", (long long)(quota < 1000 ? 1000 : quota)));
    if (l->memory_limit_bytes)
        limit(mem, dir, "memory.max", l->memory_limit_bytes);
}

int cgroup_make(enum cgroup_mode mode, const char *path, const struct cgroup_limits *limits)
{
    cleanup_arena struct arena *mem = arena_new();
    int made = 0, error = -ENODEV;
    for (int i = 0; i < V1_COUNT; i++) {
        char *root;
        if (!hierarchy(mode, i, mem, &root))
            continue;
        int r = make_path(mem, root, path, strcmp(v1_names[i], "cpuset") == 0 && mode != CGROUP_V2, mode == CGROUP_V2);
        if (r < 0)
            error = r;
        else
            made++;
        if (r == 0 && limits)
            set_limits(mem, str_fmtz(mem, "%s/%s", root, path), mode == CGROUP_V2, limits);
    }
    return made ? 0 : error;
}

/* Every directory below first. The link count of a cgroup says how many there are, so that dozens of files need not be
 * looked at. */
static int each_dir(struct arena *mem, const char *dir, int depth, int (*fn)(struct arena *mem, const char *dir))
{
    struct stat st;
    if (lstat(dir, &st) < 0)
        return 0;
    int sum = 0;
    DIR *d = depth < CGROUP_DEPTH_MAX && st.st_nlink != 2 ? opendir(dir) : NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_type != DT_DIR || strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        int r = each_dir(mem, str_fmtz(mem, "%s/%s", dir, e->d_name), depth + 1, fn);
        sum = r < 0 || sum < 0 ? -EBUSY : sum + r;
    }
    if (d)
        closedir(d);
    int r = fn(mem, dir);
    return r < 0 || sum < 0 ? -EBUSY : sum + r;
}

static int kill_all(struct arena *mem, const char *dir)
{
    struct str text, line;
    int count = 0;
    if (files_read(AT_FDCWD, str_fmtz(mem, "%s/cgroup.procs", dir), 1 << 20, mem, &text) < 0)
        return 0;
    while (str_next(&text, '\n', &line)) {
        int64_t pid;
        if (str_to_i64(line, &pid) && pid > 1 && kill((pid_t)pid, SIGKILL) == 0)
            count++;
    }
    return count;
}

static int remove_dir(struct arena *mem, const char *dir)
{
    return rmdir(dir) == 0 || errno == ENOENT ? 0 : -EBUSY;
}

static int each_hierarchy(enum cgroup_mode mode, const char *path, bool all,
                          int (*fn)(struct arena *mem, const char *dir))
{
    cleanup_arena struct arena *mem = arena_new();
    int result = 0;
    for (int i = 0; i < V1_COUNT; i++) {
        char *root;
        if (!hierarchy(mode, i, mem, &root))
            continue;
        int r = each_dir(mem, str_fmtz(mem, "%s/%s", root, path), 0, fn);
        result = r < 0 ? r : result < 0 ? result : result + r;
        if (!all && r > 0)
            break;
    }
    return result;
}

int cgroup_kill(enum cgroup_mode mode, const char *path)
{
    if (!path || !*path || strchr(path, '/') == NULL)
        return 0; /* never a whole hierarchy or a parent */
    return each_hierarchy(mode, path, /* all= */ false, kill_all);
}

int cgroup_remove(enum cgroup_mode mode, const char *path)
{
    return each_hierarchy(mode, path, /* all= */ true, remove_dir);
}

bool cgroup_has(const char *path, const char *file)
{
    cleanup_arena struct arena *mem = arena_new();
    return access(str_fmtz(mem, CGROUP_ROOT "/%s/%s", path, file), F_OK) == 0;
}

bool cgroup_oom_killed(enum cgroup_mode mode, const char *path)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str text, line;
    const char *file = mode == CGROUP_V2 ? str_fmtz(mem, CGROUP_ROOT "/%s/memory.events", path)
                                         : str_fmtz(mem, CGROUP_ROOT "/memory/%s/memory.oom_control", path);
    if (files_read(AT_FDCWD, file, 4096, mem, &text) < 0)
        return false;
    while (str_next(&text, '\n', &line))
        if (str_starts(line, STR("oom_kill ")) && !str_is(line, "oom_kill 0"))
            return true;
    return false;
}
