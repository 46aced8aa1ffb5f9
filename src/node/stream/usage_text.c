#include "node/stream/usage_text.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "node/agent/pods.h"
#include "node/files.h"
#include "node/runtime/usage.h"

/* A container that runs, or a pod as a whole (container NULL). */
struct subject {
    struct pod *pod;
    struct container *container;
    const char *cgroup;
    int64_t started_ms;
    struct usage_sample use;
};

static bool alive(const struct container *c)
{
    return c->pid > 0 && (c->state == CT_START || c->state == CT_RUN || c->state == CT_STOP);
}

static bool sample(struct subject *s, struct arena *mem)
{
    const struct pod *p = s->pod;
    s->cgroup = s->container ? str_fmtz(mem, "%s/%s", p->cgroup, s->container->id) : p->cgroup;
    s->started_ms = s->container ? s->container->started_ms : p->start_ms;
    return usage_of_cgroup(p->node, s->cgroup, &s->use);
}

static int pid_inside(const struct pod *p)
{
    for (int i = 0; i < p->container_count; i++)
        if (alive(p->containers[i]))
            return p->containers[i]->pid;
    return 0;
}

/* ---- the Summary */
static void put_cpu(struct arena *mem, struct doc *to, const struct usage_sample *u)
{
    struct doc *d = doc_sub(mem, to, "cpu");
    doc_put_str(mem, d, "time", unix_time_text(mem, u->unix_ms));
    doc_put_int(mem, d, "usageCoreNanoSeconds", u->cpu_ns);
}

static void put_memory(struct arena *mem, struct doc *to, const struct usage_sample *u, int64_t limit)
{
    struct doc *d = doc_sub(mem, to, "memory");
    doc_put_str(mem, d, "time", unix_time_text(mem, u->unix_ms));
    if (limit > 0)
        doc_put_int(mem, d, "availableBytes", limit > u->working_set_bytes ? limit - u->working_set_bytes : 0);
    doc_put_int(mem, d, "usageBytes", u->memory_bytes), doc_put_int(mem, d, "workingSetBytes", u->working_set_bytes);
    doc_put_int(mem, d, "rssBytes", u->rss_bytes), doc_put_int(mem, d, "pageFaults", u->faults);
    doc_put_int(mem, d, "majorPageFaults", u->major_faults);
}

static void put_network(struct arena *mem, struct doc *to, int pid, int64_t now_ms)
{
    struct usage_link links[USAGE_LINKS_MAX];
    int count = usage_of_links(mem, pid, links);
    if (count == 0)
        return;
    struct doc *d = doc_sub(mem, to, "network"), *list = NULL;
    doc_put_str(mem, d, "time", unix_time_text(mem, now_ms));
    for (int i = 0; i < count; i++) {
        list = i == 0 ? NULL : doc_sub_array(mem, d, "interfaces");
        struct doc *one = i == 0 ? d : doc_push(list, doc_new_object(mem));
        doc_put_str(mem, one, "name", links[i].name);
        doc_put_int(mem, one, "rxBytes", links[i].rx_bytes), doc_put_int(mem, one, "rxErrors", links[i].rx_errors);
        doc_put_int(mem, one, "txBytes", links[i].tx_bytes), doc_put_int(mem, one, "txErrors", links[i].tx_errors);
    }
}

static void put_fs(struct arena *mem, struct doc *to, const char *key, const char *path, int64_t now_ms)
{
    struct statvfs fs;
    if (statvfs(path, &fs) < 0)
        return;
    struct doc *d = doc_sub(mem, to, key);
    int64_t block = (int64_t)fs.f_frsize;
    doc_put_str(mem, d, "time", unix_time_text(mem, now_ms));
    doc_put_int(mem, d, "availableBytes", (int64_t)fs.f_bavail * block);
    doc_put_int(mem, d, "capacityBytes", (int64_t)fs.f_blocks * block);
    doc_put_int(mem, d, "usedBytes", (int64_t)(fs.f_blocks - fs.f_bfree) * block);
    doc_put_int(mem, d, "inodesFree", (int64_t)fs.f_ffree), doc_put_int(mem, d, "inodes", (int64_t)fs.f_files);
    doc_put_int(mem, d, "inodesUsed", (int64_t)(fs.f_files - fs.f_ffree));
}

static void put_container(struct arena *mem, struct doc *list, struct container *c)
{
    struct subject s = {.pod = c->pod, .container = c};
    int64_t cpu_request, cpu_limit, memory_request, memory_limit;
    if (!alive(c) || !sample(&s, mem))
        return;
    launch_resources(c->spec, &cpu_request, &cpu_limit, &memory_request, &memory_limit);
    struct doc *d = doc_push(list, doc_new_object(mem));
    doc_put_str(mem, d, "name", c->name);
    doc_put_str(mem, d, "startTime", unix_time_text(mem, s.started_ms));
    put_cpu(mem, d, &s.use), put_memory(mem, d, &s.use, memory_limit);
}

static void put_pod(struct arena *mem, struct doc *list, struct pod *p)
{
    struct subject s = {.pod = p};
    if (!sample(&s, mem) || !pid_inside(p))
        return;
    struct doc *d = doc_push(list, doc_new_object(mem)), *ref = doc_sub(mem, d, "podRef");
    doc_put_str(mem, ref, "name", p->name), doc_put_str(mem, ref, "namespace", p->ns);
    doc_put_str(mem, ref, "uid", p->uid);
    doc_put_str(mem, d, "startTime", unix_time_text(mem, s.started_ms));
    struct doc *containers = doc_sub_array(mem, d, "containers");
    for (int i = 0; i < p->container_count; i++)
        put_container(mem, containers, p->containers[i]);
    put_cpu(mem, d, &s.use), put_memory(mem, d, &s.use, 0);
    if (!p->host_network)
        put_network(mem, d, pid_inside(p), s.use.unix_ms);
    doc_put_int(mem, doc_sub(mem, d, "process_stats"), "process_count", s.use.processes);
}

static struct str summary(struct node *n, struct arena *mem)
{
    struct usage_sample u = {0};
    struct doc *all = doc_new_object(mem), *node = doc_sub(mem, all, "node");
    struct str text, up;
    usage_of_node(n, &u);
    doc_put_str(mem, node, "nodeName", str_of(n->name));
    double seconds = 0;
    if (files_read(AT_FDCWD, "/proc/uptime", 128, mem, &text) == 0 && str_cut(text, ' ', &up, &text))
        sscanf(str_z(mem, up), "%lf", &seconds);
    doc_put_str(mem, node, "startTime", unix_time_text(mem, u.unix_ms - (int64_t)(seconds * 1000)));
    put_cpu(mem, node, &u), put_memory(mem, node, &u, n->memory_bytes);
    put_network(mem, node, (int)getpid(), u.unix_ms);
    put_fs(mem, node, "fs", n->kubelet_dir, u.unix_ms);
    put_fs(mem, doc_sub(mem, node, "runtime"), "imageFs", n->state_dir, u.unix_ms);
    struct doc *pods = doc_sub_array(mem, all, "pods");
    list_each (at, &n->pods)
        put_pod(mem, pods, container_of(at, struct pod, link));
    return doc_json(mem, all);
}

/* ---- Prometheus' text. One pass over the node for each family: a family stands together. */
struct family {
    const char *name, *help, *type;
    double (*value)(const struct subject *s);
    const char *labels; /* of cadvisor, besides the usual ones */
};

static double cpu(const struct subject *s)
{
    return (double)s->use.cpu_ns / 1e9;
}
static double started(const struct subject *s)
{
    return (double)s->started_ms / 1e3;
}
#define FIELD(name)                                                                                                    \
    static double name(const struct subject *s)                                                                        \
    {                                                                                                                  \
        return (double)s->use.name;                                                                                    \
    }
FIELD(memory_bytes)
FIELD(working_set_bytes)
FIELD(rss_bytes)
FIELD(cache_bytes)
FIELD(swap_bytes)
FIELD(faults)
FIELD(major_faults)
FIELD(processes)
FIELD(oom_kills)
#undef FIELD

static void head(struct sb *b, const char *name, const char *help, const char *type)
{
    sb_addf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void label(struct sb *b, const char *key, struct str value)
{
    sb_addf(b, "%s=\"", key);
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];
        if (c == '"' || c == '\\')
            sb_addc(b, '\\');
        sb_addc(b, c == '\n' ? ' ' : c);
    }
    sb_addc(b, '"');
}

typedef void each_fn(struct sb *b, const struct family *f, const struct subject *s);

/* containers: those of pods; else the pods. */
static void each(struct node *n, struct sb *b, const struct family *f, bool containers, each_fn *fn)
{
    list_each (at, &n->pods) {
        struct pod *p = container_of(at, struct pod, link);
        struct subject s = {.pod = p};
        if (!pid_inside(p))
            continue;
        if (!containers && sample(&s, b->mem))
            fn(b, f, &s);
        for (int i = 0; i < p->container_count && containers; i++) {
            s.container = p->containers[i];
            if (alive(s.container) && sample(&s, b->mem))
                fn(b, f, &s);
        }
    }
}

static void resource_line(struct sb *b, const struct family *f, const struct subject *s)
{
    sb_addf(b, "%s{", f->name);
    if (s->container)
        label(b, "container", s->container->name), sb_addc(b, ',');
    label(b, "namespace", s->pod->ns), sb_addc(b, ','), label(b, "pod", s->pod->name);
    sb_addf(b, "} %.15g %lld\n", f->value(s), (long long)s->use.unix_ms);
}

static void resource_metrics(struct node *n, struct sb *b)
{
    static const struct family of_containers[] = {
        {"container_cpu_usage_seconds_total", "[STABLE] Cumulative cpu time consumed by the container in core-seconds",
         "counter", cpu, NULL},
        {"container_memory_working_set_bytes", "[STABLE] Current working set of the container in bytes", "gauge",
         working_set_bytes, NULL},
        {"container_start_time_seconds", "[STABLE] Start time of the container since unix epoch in seconds", "gauge",
         started, NULL},
        {"container_swap_usage_bytes", "[ALPHA] Current amount of the container swap usage in bytes", "gauge",
         swap_bytes, NULL}};
    static const struct family of_pods[] = {
        {"pod_cpu_usage_seconds_total", "[STABLE] Cumulative cpu time consumed by the pod in core-seconds", "counter",
         cpu, NULL},
        {"pod_memory_working_set_bytes", "[STABLE] Current working set of the pod in bytes", "gauge", working_set_bytes,
         NULL},
        {"pod_swap_usage_bytes", "[ALPHA] Current amount of the pod swap usage in bytes", "gauge", swap_bytes, NULL}};
    static const struct family of_node[] = {
        {"node_cpu_usage_seconds_total", "[STABLE] Cumulative cpu time consumed by the node in core-seconds", "counter",
         cpu, NULL},
        {"node_memory_working_set_bytes", "[STABLE] Current working set of the node in bytes", "gauge",
         working_set_bytes, NULL},
        {"node_swap_usage_bytes", "[ALPHA] Current swap usage of the node in bytes", "gauge", swap_bytes, NULL}};
    struct subject node = {.pod = NULL};
    bool ok = usage_of_node(n, &node.use);
    for (size_t i = 0; i < sizeof(of_containers) / sizeof(of_containers[0]); i++) {
        head(b, of_containers[i].name, of_containers[i].help, of_containers[i].type);
        each(n, b, &of_containers[i], /* containers= */ true, resource_line);
    }
    for (size_t i = 0; i < sizeof(of_node) / sizeof(of_node[0]) && ok; i++) {
        head(b, of_node[i].name, of_node[i].help, of_node[i].type);
        sb_addf(b, "%s %.15g %lld\n", of_node[i].name, of_node[i].value(&node), (long long)node.use.unix_ms);
    }
    for (size_t i = 0; i < sizeof(of_pods) / sizeof(of_pods[0]); i++) {
        head(b, of_pods[i].name, of_pods[i].help, of_pods[i].type);
        each(n, b, &of_pods[i], /* containers= */ false, resource_line);
    }
    head(b, "resource_scrape_error", "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise",
         "gauge");
    sb_addf(b, "resource_scrape_error %d\n", !ok);
}

static void cadvisor_labels(struct sb *b, const struct subject *s, const char *more)
{
    const struct container *c = s->container;
    sb_addc(b, '{');
    label(b, "container", c ? c->name : STR_NULL), sb_addc(b, ',');
    if (more)
        sb_addf(b, "%s,", more);
    label(b, "id", str_fmt(b->mem, "/%s", s->cgroup)), sb_addc(b, ',');
    label(b, "image", c ? str_of(c->image_name) : STR_NULL), sb_addc(b, ',');
    label(b, "name", c ? str_of(c->id) : STR_NULL), sb_addc(b, ',');
    label(b, "namespace", s->pod->ns), sb_addc(b, ','), label(b, "pod", s->pod->name);
    sb_addc(b, '}');
}

static void cadvisor_line(struct sb *b, const struct family *f, const struct subject *s)
{
    sb_addz(b, f->name);
    cadvisor_labels(b, s, f->labels);
    sb_addf(b, " %.15g %lld\n", f->value(s), (long long)s->use.unix_ms);
}

static void network_line(struct sb *b, const struct family *f, const struct subject *s, const struct usage_link *l,
                         int64_t value)
{
    sb_addf(b, "%s{container=\"\",", f->name);
    label(b, "id", str_fmt(b->mem, "/%s", s->cgroup)), sb_addz(b, ",image=\"\",");
    label(b, "interface", l->name), sb_addz(b, ",name=\"\",");
    label(b, "namespace", s->pod->ns), sb_addc(b, ','), label(b, "pod", s->pod->name);
    sb_addf(b, "} %lld %lld\n", (long long)value, (long long)s->use.unix_ms);
}

static void network_lines(struct sb *b, const struct family *f, const struct subject *s)
{
    struct usage_link links[USAGE_LINKS_MAX];
    int count = s->pod->host_network ? 0 : usage_of_links(b->mem, pid_inside(s->pod), links);
    for (int i = 0; i < count; i++) {
        const struct usage_link *l = &links[i];
        const int64_t values[] = {l->rx_bytes, l->rx_packets, l->rx_errors, l->rx_drops,
                                  l->tx_bytes, l->tx_packets, l->tx_errors, l->tx_drops};
        network_line(b, f, s, l, values[f->labels[0] - '0']);
    }
}

static void cadvisor_metrics(struct node *n, struct sb *b)
{
    static const struct family rows[] = {
        {"container_cpu_usage_seconds_total", "Cumulative cpu time consumed in seconds.", "counter", cpu,
         "cpu=\"total\""},
        {"container_memory_usage_bytes",
         "Current memory usage in bytes, including all memory regardless of when it was accessed", "gauge",
         memory_bytes, NULL},
        {"container_memory_working_set_bytes", "Current working set in bytes.", "gauge", working_set_bytes, NULL},
        {"container_memory_rss", "Size of RSS in bytes.", "gauge", rss_bytes, NULL},
        {"container_memory_cache", "Number of bytes of page cache memory.", "gauge", cache_bytes, NULL},
        {"container_memory_swap", "Container swap usage in bytes.", "gauge", swap_bytes, NULL},
        {"container_memory_failures_total", "Cumulative count of memory allocation failures.", "counter", faults,
         "failure_type=\"pgfault\",scope=\"hierarchy\""},
        {"container_memory_failures_total", NULL, NULL, major_faults,
         "failure_type=\"pgmajfault\",scope=\"hierarchy\""},
        {"container_oom_events_total", "Count of out of memory events observed for the container", "counter", oom_kills,
         NULL},
        {"container_processes", "Number of processes running inside the container.", "gauge", processes, NULL},
        {"container_start_time_seconds", "Start time of the container since unix epoch in seconds.", "gauge", started,
         NULL}};
    static const struct family net[] = {
        {"container_network_receive_bytes_total", "Cumulative count of bytes received", "counter", NULL, "0"},
        {"container_network_receive_packets_total", "Cumulative count of packets received", "counter", NULL, "1"},
        {"container_network_receive_errors_total", "Cumulative count of errors encountered while receiving", "counter",
         NULL, "2"},
        {"container_network_receive_packets_dropped_total", "Cumulative count of packets dropped while receiving",
         "counter", NULL, "3"},
        {"container_network_transmit_bytes_total", "Cumulative count of bytes transmitted", "counter", NULL, "4"},
        {"container_network_transmit_packets_total", "Cumulative count of packets transmitted", "counter", NULL, "5"},
        {"container_network_transmit_errors_total", "Cumulative count of errors encountered while transmitting",
         "counter", NULL, "6"},
        {"container_network_transmit_packets_dropped_total", "Cumulative count of packets dropped while transmitting",
         "counter", NULL, "7"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].help)
            head(b, rows[i].name, rows[i].help, rows[i].type);
        each(n, b, &rows[i], /* containers= */ false, cadvisor_line);
        each(n, b, &rows[i], /* containers= */ true, cadvisor_line);
    }
    for (size_t i = 0; i < sizeof(net) / sizeof(net[0]); i++) {
        head(b, net[i].name, net[i].help, net[i].type);
        each(n, b, &net[i], /* containers= */ false, network_lines);
    }
    head(b, "machine_cpu_cores", "Number of logical CPU cores.", "gauge");
    sb_addf(b, "machine_cpu_cores %lld\n", (long long)(n->cpu_milli / 1000));
    head(b, "machine_memory_bytes", "Amount of memory installed on the machine.", "gauge");
    sb_addf(b, "machine_memory_bytes %lld\n", (long long)n->memory_bytes);
}

static void own_metrics(struct node *n, struct sb *b)
{
    int pods = 0, states[3] = {0};
    static const char *const words[] = {"created", "exited", "running"};
    list_each (at, &n->pods) {
        struct pod *p = container_of(at, struct pod, link);
        pods += pid_inside(p) > 0;
        for (int i = 0; i < p->container_count; i++) {
            const struct container *c = p->containers[i];
            states[0] += c->state == CT_CREATE, states[1] += c->state == CT_EXITED, states[2] += alive(c);
        }
    }
    head(b, "kubelet_node_name", "[ALPHA] The node's name. The count is always 1.", "gauge");
    sb_addz(b, "kubelet_node_name{"), label(b, "node", str_of(n->name)), sb_addz(b, "} 1\n");
    head(b, "kubelet_running_containers", "[ALPHA] Number of containers currently running", "gauge");
    for (int i = 0; i < 3; i++)
        sb_addf(b, "kubelet_running_containers{container_state=\"%s\"} %d\n", words[i], states[i]);
    head(b, "kubelet_running_pods", "[ALPHA] Number of pods that have a running pod sandbox", "gauge");
    sb_addf(b, "kubelet_running_pods %d\n", pods);
}

struct str usage_text(struct node *n, struct arena *mem, enum usage_form form)
{
    struct sb b = SB(mem);
    if (form == USAGE_SUMMARY)
        return summary(n, mem);
    if (form == USAGE_RESOURCE)
        resource_metrics(n, &b);
    else if (form == USAGE_CADVISOR)
        cadvisor_metrics(n, &b);
    else
        own_metrics(n, &b);
    return sb_str(&b);
}
