#include "node/agent/nodestatus.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/log.h"
#include "node/agent/client.h"
#include "node/agent/identity.h"
#include "node/agent/pods.h"
#include "node/files.h"

enum { LEASE_MS = 10000, LEASE_S = 40, STATUS_MS = 300000, RETRY_MS = 1000, CHECK_MS = 30000, IMAGES_MAX = 50 };

struct nodestatus {
    struct node *node;
    struct loop_timer lease_timer, status_timer;
    bool registered, lease_known, busy;
    struct str uid; /* heap */
    uint64_t sent;  /* hash of the last status, times left out */
    int64_t sent_ms, ready_since_ms, started_ms;
    int64_t heard_ms, heard_wall_ms; /* when the server last took a heartbeat, by both clocks: one stands still while
                                        the machine sleeps */
    bool ready;
};

static struct str first_line(struct arena *mem, const char *path)
{
    struct str text, line;
    if (files_read(AT_FDCWD, path, 65536, mem, &text) < 0)
        return STR_NULL;
    str_cut(text, '\n', &line, &text);
    return str_trim(line);
}

/* The source address towards where packets would go; no packet is sent. */
static bool source_address(const char *towards, char *to, size_t cap)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(53)}, own;
    socklen_t len = sizeof(own);
    cleanup_fd int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return inet_pton(AF_INET, towards, &a.sin_addr) == 1 && connect(s, (struct sockaddr *)&a, sizeof(a)) == 0 &&
           getsockname(s, (struct sockaddr *)&own, &len) == 0 && inet_ntop(AF_INET, &own.sin_addr, to, (socklen_t)cap);
}

static void find_address(struct node *n)
{
    char text[INET_ADDRSTRLEN];
    struct str host, port;
    str_cut(str_of(n->opts.server), ':', &host, &port);
    if (n->opts.node_ip)
        n->address = n->opts.node_ip;
    else if (source_address("192.0.2.1", text, sizeof(text)) ||
             source_address(str_z(n->keep, host), text, sizeof(text)))
        n->address = str_z(n->keep, str_of(text));
    else
        n->address = "127.0.0.1";
}

void nodestatus_measure(struct node *n)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str text, line;
    struct statvfs fs;
    n->cpu_milli = sysconf(_SC_NPROCESSORS_ONLN) * 1000;
    n->pods_max = n->opts.pods_max;
    if (files_read(AT_FDCWD, "/proc/meminfo", 65536, mem, &text) == 0)
        while (str_next(&text, '\n', &line)) {
            struct str key, value;
            int64_t kib;
            if (str_cut(line, ':', &key, &value) && str_is(key, "MemTotal")) {
                str_cut(str_trim(value), ' ', &value, &line);
                if (str_to_i64(value, &kib))
                    n->memory_bytes = kib * 1024;
            }
        }
    if (statvfs(n->state_dir, &fs) == 0)
        n->disk_bytes = (int64_t)fs.f_blocks * (int64_t)fs.f_frsize;
    find_address(n);
}

static void put_resources(struct node *n, struct arena *mem, struct doc *s, const char *key)
{
    struct doc *r = doc_sub(mem, s, key);
    doc_put_str(mem, r, "cpu", str_fmt(mem, "%lld", (long long)(n->cpu_milli / 1000)));
    doc_put_str(mem, r, "ephemeral-storage", str_fmt(mem, "%lldKi", (long long)(n->disk_bytes / 1024)));
    doc_put_str(mem, r, "hugepages-1Gi", STR("0")), doc_put_str(mem, r, "hugepages-2Mi", STR("0"));
    doc_put_str(mem, r, "memory", str_fmt(mem, "%lldKi", (long long)(n->memory_bytes / 1024)));
    doc_put_str(mem, r, "pods", str_fmt(mem, "%lld", (long long)n->pods_max));
}

static void put_condition(struct arena *mem, struct doc *list, const char *type, bool on, const char *reason,
                          const char *message, struct str now, struct str since)
{
    struct doc *c = doc_push(list, doc_new_object(mem));
    doc_put_str(mem, c, "type", str_of(type)), doc_put_str(mem, c, "status", on ? STR("True") : STR("False"));
    doc_put_str(mem, c, "lastHeartbeatTime", now), doc_put_str(mem, c, "lastTransitionTime", since);
    doc_put_str(mem, c, "reason", str_of(reason)), doc_put_str(mem, c, "message", str_of(message));
}

static bool disk_full(struct node *n)
{
    struct statvfs fs;
    return statvfs(n->state_dir, &fs) == 0 && fs.f_blocks && fs.f_bavail * 100 / fs.f_blocks < 10;
}

static void put_conditions(struct node *n, struct arena *mem, struct doc *s)
{
    struct doc *list = doc_sub_array(mem, s, "conditions");
    int64_t now_ms = loop_wall_ms(n->loop);
    const char *why = n->network && !n->network_ctx     ? "the pod network has not started yet"
                      : n->network && n->network->ready ? n->network->ready(n->network_ctx)
                                                        : NULL;
    if (n->status && (n->status->ready != !why || !n->status->ready_since_ms))
        n->status->ready = !why, n->status->ready_since_ms = now_ms;
    struct str now = unix_time_text(mem, now_ms),
               started = n->status ? unix_time_text(mem, n->status->started_ms) : now;
    bool full = disk_full(n);
    put_condition(mem, list, "MemoryPressure", false, "KubeletHasSufficientMemory",
                  "kubelet has sufficient memory available", now, started);
    put_condition(mem, list, "DiskPressure", full, full ? "KubeletHasDiskPressure" : "KubeletHasNoDiskPressure",
                  full ? "kubelet has disk pressure" : "kubelet has no disk pressure", now, started);
    put_condition(mem, list, "PIDPressure", false, "KubeletHasSufficientPID", "kubelet has sufficient PID available",
                  now, started);
    put_condition(mem, list, "Ready", !why, why ? "KubeletNotReady" : "KubeletReady",
                  why ? why : "kubelet is posting ready status", now,
                  n->status ? unix_time_text(mem, n->status->ready_since_ms) : now);
}

static struct str os_image(struct arena *mem)
{
    struct str text, line;
    if (files_read(AT_FDCWD, "/etc/os-release", 65536, mem, &text) == 0)
        while (str_next(&text, '\n', &line))
            if (str_starts(line, STR("PRETTY_NAME=\"")))
                return str_from(str_head(line, line.len - 1), 13);
    return STR("Linux");
}

static void put_info(struct node *n, struct arena *mem, struct doc *s)
{
    struct doc *i = doc_sub(mem, s, "nodeInfo");
    struct utsname *u = arena_new_of(mem, struct utsname);
    uname(u);
    doc_put_str(mem, i, "machineID", first_line(mem, "/etc/machine-id")),
        doc_put_str(mem, i, "systemUUID", first_line(mem, "/sys/class/dmi/id/product_uuid"));
    doc_put_str(mem, i, "bootID", first_line(mem, "/proc/sys/kernel/random/boot_id")),
        doc_put_str(mem, i, "kernelVersion", str_of(u->release));
    doc_put_str(mem, i, "osImage", os_image(mem)),
        doc_put_str(mem, i, "containerRuntimeVersion", STR("sampan://" SAMPAN_VERSION));
    doc_put_str(mem, i, "kubeletVersion", STR("v" KUBERNETES_VERSION "+sampan." SAMPAN_VERSION)),
        doc_put_str(mem, i, "kubeProxyVersion", STR_NULL);
    doc_put_str(mem, i, "operatingSystem", STR("linux")), doc_put_str(mem, i, "architecture", str_of(image_arch()));
}

struct doc *nodestatus_build(struct node *n, struct arena *mem)
{
    struct doc *s = doc_new_object(mem);
    put_resources(n, mem, s, "capacity"), put_resources(n, mem, s, "allocatable");
    put_conditions(n, mem, s);
    struct doc *list = doc_sub_array(mem, s, "addresses"), *a = doc_push(list, doc_new_object(mem));
    doc_put_str(mem, a, "type", STR("InternalIP")), doc_put_str(mem, a, "address", str_of(n->address));
    a = doc_push(list, doc_new_object(mem));
    doc_put_str(mem, a, "type", STR("Hostname")), doc_put_str(mem, a, "address", str_of(n->name));
    if (n->opts.kubelet_port > 0)
        doc_put_int(mem, doc_sub(mem, doc_sub(mem, s, "daemonEndpoints"), "kubeletEndpoint"), "Port",
                    n->opts.kubelet_port);
    put_info(n, mem, s);
    struct doc *images = doc_sub_array(mem, s, "images");
    for (const struct image *i = images_next(n->images, NULL); i && images->count < IMAGES_MAX;
         i = images_next(n->images, i)) {
        struct doc *d = doc_push(images, doc_new_object(mem)), *names = doc_sub_array(mem, d, "names");
        for (size_t k = 0; k < i->names.n; k++)
            doc_push(names, doc_new_str(mem, str_dup(mem, i->names.v[k])));
        if (i->names.n == 0)
            doc_push(names, doc_new_str(mem, str_dup(mem, i->info.digest)));
        doc_put_int(mem, d, "sizeBytes", (int64_t)i->info.bytes);
    }
    return s;
}

/* ---- sending */

static void lease(struct nodestatus *s);
static void send_status(struct nodestatus *s);

static uint64_t hash_without_times(struct doc *status, struct arena *mem)
{
    struct doc *copy = doc_copy(mem, status);
    doc_each (c, doc_get(copy, "conditions"))
        doc_del(c, "lastHeartbeatTime");
    return str_hash(doc_json(mem, copy));
}

static void status_done(void *ctx, const struct api_answer *a)
{
    struct nodestatus *s = ctx;
    s->busy = false;
    if (a->status / 100 == 2) {
        loop_timer_start(&s->status_timer, CHECK_MS);
        return;
    }
    s->sent = 0;
    if (a->status == 404)
        s->registered = false;
    loop_timer_start(&s->status_timer, RETRY_MS);
}

static void send_status(struct nodestatus *s)
{
    cleanup_arena struct arena *mem = arena_new();
    image_gc_look(s->node);
    struct doc *status = nodestatus_build(s->node, mem);
    uint64_t hash = hash_without_times(status, mem);
    int64_t now = loop_now_ms(s->node->loop);
    if (hash == s->sent && now - s->sent_ms < STATUS_MS) {
        loop_timer_start(&s->status_timer, CHECK_MS);
        return;
    }
    s->sent = hash, s->sent_ms = now, s->busy = true;
    struct str body = str_fmt(mem, "{\"status\":" STR_FMT "}", STR_ARG(doc_json(mem, status)));
    api_send(s->node->api, "PATCH", str_fmt(mem, "/api/v1/nodes/%s/status", s->node->name), API_STRATEGIC, body,
             status_done, s);
}

static void registered(void *ctx, const struct api_answer *a)
{
    struct nodestatus *s = ctx;
    s->busy = false;
    if (a->status / 100 != 2 && a->status != 409) {
        if (a->status)
            log_warn("agent", "the server refused the node", "status=%d why=" STR_FMT, a->status,
                     STR_ARG(doc_str(a->doc, "message")));
        loop_timer_start(&s->status_timer, RETRY_MS);
        return;
    }
    struct str uid = doc_str(doc_get(a->doc, "metadata"), "uid");
    if (uid.len && a->status != 409) {
        free((char *)(uintptr_t)s->uid.ptr);
        s->uid = str_mem(strndup(uid.ptr, uid.len), uid.len);
    }
    s->registered = true;
    log_info("agent", "registered", "node=%s", s->node->name);
    identity_start(s->node);
    send_status(s);
    lease(s);
}

void nodestatus_post(struct node *n, api_done_fn *done, void *ctx)
{
    cleanup_arena struct arena *mem = arena_new();
    struct doc *d = doc_new_object(mem), *meta = doc_sub(mem, d, "metadata"), *labels = doc_sub(mem, meta, "labels");
    doc_put_str(mem, d, "apiVersion", STR("v1")), doc_put_str(mem, d, "kind", STR("Node"));
    doc_put_str(mem, meta, "name", str_of(n->name));
    doc_put_str(mem, labels, "beta.kubernetes.io/arch", str_of(image_arch())),
        doc_put_str(mem, labels, "beta.kubernetes.io/os", STR("linux"));
    doc_put_str(mem, labels, "kubernetes.io/arch", str_of(image_arch())),
        doc_put_str(mem, labels, "kubernetes.io/hostname", str_of(n->name));
    doc_put_str(mem, labels, "kubernetes.io/os", STR("linux"));
    struct str rest = str_of(n->opts.labels), pair, k, v;
    while (str_next(&rest, ',', &pair))
        if (str_cut(pair, '=', &k, &v))
            doc_set(labels, k, doc_new_str(mem, v));
    if (n->opts.pod_cidr && !n->pod_cidr_given)
        doc_put_str(mem, doc_sub(mem, meta, "annotations"), "sampan.dev/pod-cidr", str_of(n->opts.pod_cidr));
    if (n->opts.pod_cidr && n->pod_cidr_given) {
        struct doc *spec = doc_sub(mem, d, "spec");
        doc_put_str(mem, spec, "podCIDR", str_of(n->opts.pod_cidr));
        doc_push(doc_sub_array(mem, spec, "podCIDRs"), doc_new_str(mem, str_of(n->opts.pod_cidr)));
    }
    doc_put(mem, d, "status", nodestatus_build(n, mem));
    api_send(n->api, "POST", STR("/api/v1/nodes"), NULL, doc_json(mem, d), done, ctx);
}

static void register_node(struct nodestatus *s)
{
    s->busy = true;
    nodestatus_post(s->node, registered, s);
}

static void on_status_timer(struct loop_timer *t)
{
    struct nodestatus *s = container_of(t, struct nodestatus, status_timer);
    if (s->busy)
        loop_timer_start(t, RETRY_MS);
    else if (!s->registered)
        register_node(s);
    else
        send_status(s);
}

static struct str micro_time(struct arena *mem, struct loop *l)
{
    int64_t ms = loop_wall_ms(l);
    struct str s = unix_time_text(mem, ms);
    return str_fmt(mem, STR_FMT ".%03lld000Z", STR_ARG(str_head(s, s.len - 1)), (long long)(ms % 1000));
}

/* Whoever was silent for long enough has been called Unknown meanwhile, and is believed only when it says Ready anew.
 */
static void heard(struct nodestatus *s)
{
    int64_t now = loop_now_ms(s->node->loop), wall = loop_wall_ms(s->node->loop);
    bool was_silent = now - s->heard_ms > LEASE_S * 1000 || wall - s->heard_wall_ms > LEASE_S * 1000;
    if (s->heard_ms && was_silent && s->registered && !s->busy) {
        s->sent = 0;
        loop_timer_start(&s->status_timer, 0);
    }
    s->heard_ms = now, s->heard_wall_ms = wall;
}

static void lease_done(void *ctx, const struct api_answer *a)
{
    struct nodestatus *s = ctx;
    if (a->status / 100 == 2)
        heard(s);
    if (a->status / 100 == 2 || a->status == 409)
        s->lease_known = true;
    else if (a->status == 404)
        s->lease_known = false;
    loop_timer_start(&s->lease_timer, a->status / 100 == 2 ? LEASE_MS : RETRY_MS);
}

/* Create, then only move the time. */
static void lease(struct nodestatus *s)
{
    cleanup_arena struct arena *mem = arena_new();
    struct node *n = s->node;
    struct str now = micro_time(mem, n->loop);
    if (s->lease_known) {
        struct str body = str_fmt(
            mem, "{\"spec\":{\"holderIdentity\":\"%s\",\"leaseDurationSeconds\":%d,\"renewTime\":\"" STR_FMT "\"}}",
            n->name, LEASE_S, STR_ARG(now));
        api_send(n->api, "PATCH",
                 str_fmt(mem, "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/%s", n->name), API_MERGE,
                 body, lease_done, s);
        return;
    }
    struct doc *d = doc_new_object(mem), *meta = doc_sub(mem, d, "metadata"), *spec;
    doc_put_str(mem, d, "apiVersion", STR("coordination.k8s.io/v1")), doc_put_str(mem, d, "kind", STR("Lease"));
    doc_put_str(mem, meta, "name", str_of(n->name)), doc_put_str(mem, meta, "namespace", STR("kube-node-lease"));
    if (s->uid.len) {
        struct doc *o = doc_push(doc_sub_array(mem, meta, "ownerReferences"), doc_new_object(mem));
        doc_put_str(mem, o, "apiVersion", STR("v1")), doc_put_str(mem, o, "kind", STR("Node"));
        doc_put_str(mem, o, "name", str_of(n->name)), doc_put_str(mem, o, "uid", s->uid);
    }
    spec = doc_sub(mem, d, "spec");
    doc_put_str(mem, spec, "holderIdentity", str_of(n->name)), doc_put_int(mem, spec, "leaseDurationSeconds", LEASE_S),
        doc_put_str(mem, spec, "renewTime", now);
    api_send(n->api, "POST", STR("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"), NULL,
             doc_json(mem, d), lease_done, s);
}

static void on_lease_timer(struct loop_timer *t)
{
    lease(container_of(t, struct nodestatus, lease_timer));
}

void nodestatus_start(struct node *n)
{
    struct nodestatus *s = arena_new_of(n->keep, struct nodestatus);
    s->node = n, n->status = s, s->started_ms = loop_wall_ms(n->loop);
    loop_timer_init(n->loop, &s->lease_timer, on_lease_timer),
        loop_timer_init(n->loop, &s->status_timer, on_status_timer);
    register_node(s);
}

void nodestatus_stop(struct node *n)
{
    if (!n->status)
        return;
    loop_timer_stop(&n->status->lease_timer), loop_timer_stop(&n->status->status_timer);
    free((char *)(uintptr_t)n->status->uid.ptr);
}
