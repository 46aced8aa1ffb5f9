#include "node/runtime/usage.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "node/files.h"

#define CGROUP_ROOT "/sys/fs/cgroup"
enum { FILE_BYTES_MAX = 1 << 16 };

static bool read_text(struct arena *mem, const char *path, struct str *ret)
{
    return files_read(AT_FDCWD, path, FILE_BYTES_MAX, mem, ret) == 0;
}

static bool read_number(struct arena *mem, const char *path, int64_t *ret)
{
    struct str text;
    return read_text(mem, path, &text) && str_to_i64(str_trim(text), ret);
}

/* The number behind `key` and white space (or a colon) at the beginning of a line; 0: none. */
static int64_t field(struct str text, const char *key)
{
    struct str line, name, rest;
    int64_t number = 0;
    while (str_next(&text, '\n', &line)) {
        if (!str_cut(line, ' ', &name, &rest))
            continue;
        if (str_ends(name, STR(":")))
            name.len--;
        if (!str_is(name, key))
            continue;
        rest = str_trim(rest);
        str_cut(rest, ' ', &rest, &line);
        str_to_i64(rest, &number);
        return number;
    }
    return 0;
}

static int64_t less(int64_t a, int64_t b)
{
    return a > b ? a - b : 0;
}

static bool of_v1(struct arena *mem, const char *path, struct usage_sample *s)
{
    static const char *const cpu_dirs[] = {"cpuacct", "cpu,cpuacct"};
    struct str text;
    bool any = false;
    for (int i = 0; i < 2 && !any; i++)
        any = read_number(mem, str_fmtz(mem, CGROUP_ROOT "/%s/%s/cpuacct.usage", cpu_dirs[i], path), &s->cpu_ns);
    char *memory = str_fmtz(mem, CGROUP_ROOT "/memory/%s", path);
    if (read_number(mem, str_fmtz(mem, "%s/memory.usage_in_bytes", memory), &s->memory_bytes) &&
        read_text(mem, str_fmtz(mem, "%s/memory.stat", memory), &text)) {
        any = true;
        s->working_set_bytes = less(s->memory_bytes, field(text, "total_inactive_file"));
        s->rss_bytes = field(text, "total_rss"), s->cache_bytes = field(text, "total_cache");
        s->swap_bytes = field(text, "total_swap");
        s->faults = field(text, "total_pgfault"), s->major_faults = field(text, "total_pgmajfault");
    }
    if (read_text(mem, str_fmtz(mem, "%s/memory.oom_control", memory), &text))
        s->oom_kills = field(text, "oom_kill");
    read_number(mem, str_fmtz(mem, CGROUP_ROOT "/pids/%s/pids.current", path), &s->processes);
    return any;
}

static bool of_v2(struct arena *mem, const char *path, struct usage_sample *s)
{
    struct str text;
    char *dir = str_fmtz(mem, CGROUP_ROOT "/%s", path);
    if (!read_text(mem, str_fmtz(mem, "%s/cpu.stat", dir), &text))
        return false;
    s->cpu_ns = field(text, "usage_usec") * 1000;
    if (read_number(mem, str_fmtz(mem, "%s/memory.current", dir), &s->memory_bytes) &&
        read_text(mem, str_fmtz(mem, "%s/memory.stat", dir), &text)) {
        s->working_set_bytes = less(s->memory_bytes, field(text, "inactive_file"));
        s->rss_bytes = field(text, "anon"), s->cache_bytes = field(text, "file");
        s->faults = field(text, "pgfault"), s->major_faults = field(text, "pgmajfault");
    }
    read_number(mem, str_fmtz(mem, "%s/memory.swap.current", dir), &s->swap_bytes);
    if (read_text(mem, str_fmtz(mem, "%s/memory.events", dir), &text))
        s->oom_kills = field(text, "oom_kill");
    read_number(mem, str_fmtz(mem, "%s/pids.current", dir), &s->processes);
    return true;
}

bool usage_of_cgroup(struct node *n, const char *path, struct usage_sample *ret)
{
    cleanup_arena struct arena *mem = arena_new();
    struct usage_sample s = {.unix_ms = loop_wall_ms(n->loop)};
    if (!(n->cgroup_mode == CGROUP_V2 ? of_v2 : of_v1)(mem, path, &s))
        return false;
    *ret = s;
    return true;
}

/* "cpu  user nice system idle iowait irq softirq steal guest guest_nice", in ticks; guests are in user and nice. */
static int64_t busy_ns(struct str stat)
{
    struct str line, word;
    int64_t ticks = 0, number, second = sysconf(_SC_CLK_TCK);
    str_next(&stat, '\n', &line);
    for (int i = 0; i < 9 + 1 && str_next(&line, ' ', &word);) {
        if (!str_to_i64(word, &number))
            continue; /* the name, and the second space behind it */
        if (i != 3 && i != 4 && i < 8)
            ticks += number;
        i++;
    }
    return ticks * (1000000000 / (second > 0 ? second : 100));
}

bool usage_of_node(struct node *n, struct usage_sample *ret)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str stat, info, vm;
    if (!read_text(mem, "/proc/stat", &stat) || !read_text(mem, "/proc/meminfo", &info))
        return false;
    *ret = (struct usage_sample){.unix_ms = loop_wall_ms(n->loop), .cpu_ns = busy_ns(stat)};
    ret->memory_bytes = less(field(info, "MemTotal"), field(info, "MemFree")) * 1024;
    ret->working_set_bytes = less(ret->memory_bytes, field(info, "Inactive(file)") * 1024);
    ret->rss_bytes = field(info, "AnonPages") * 1024, ret->cache_bytes = field(info, "Cached") * 1024;
    ret->swap_bytes = less(field(info, "SwapTotal"), field(info, "SwapFree")) * 1024;
    if (read_text(mem, "/proc/vmstat", &vm))
        ret->faults = field(vm, "pgfault"), ret->major_faults = field(vm, "pgmajfault");
    return true;
}

int usage_of_links(struct arena *mem, int pid, struct usage_link ret[USAGE_LINKS_MAX])
{
    struct str text, line, name, rest;
    int count = 0;
    if (pid <= 0 || !read_text(mem, str_fmtz(mem, "/proc/%d/net/dev", pid), &text))
        return 0;
    while (count < USAGE_LINKS_MAX && str_next(&text, '\n', &line)) {
        struct usage_link l = {.name = STR_NULL};
        if (!str_cut(line, ':', &name, &rest) || str_is(str_trim(name), "lo"))
            continue;
        long long v[12] = {0}, skip[4];
        if (sscanf(str_z(mem, rest), "%lld %lld %lld %lld %lld %lld %lld %lld %lld %lld %lld %lld", &v[0], &v[1], &v[2],
                   &v[3], &skip[0], &skip[1], &skip[2], &skip[3], &v[4], &v[5], &v[6], &v[7]) != 12)
            continue;
        l.name = str_trim(name);
        l.rx_bytes = v[0], l.rx_packets = v[1], l.rx_errors = v[2], l.rx_drops = v[3];
        l.tx_bytes = v[4], l.tx_packets = v[5], l.tx_errors = v[6], l.tx_drops = v[7];
        ret[count++] = l;
    }
    return count;
}
