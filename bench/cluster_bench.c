/* bench/cluster_bench.c - the figures of the group `cluster` that a real `sampan server` gives: one JSON object a line.
 *
 *   bench_cluster [--sampan PATH] [--pod FILE] [--dir DIR] [--seconds N] [--idle-seconds N] [SUBCOMMAND...]
 *
 * Subcommands: machine, size, start, idle, get, create, writers, list, watch, memory; none: all. DIR should be on the
 * disk that is to be judged. Each starts a server of its own and removes what it made. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cluster.h"
#include "doc/doc.h"

enum {
    CLIENTS = 64,
    WRITERS = 500,
    WRITERS_SHARED = 50, /* objects that all of them fight for */
    PODS = 10000,
    POD_BYTES = 3500, /* as it is stored */
    CONFIG_BYTES = 1000,
    WATCHERS = 1000,
    ROUNDS = 5,
    KUBE_GET_PER_S = 4501, /* kube-apiserver's on this class of machine: the figure */
};

static const char *binary = "build/src/cli/sampan", *pod_file = "bench/data/pod.json", *where = ".";
static double seconds = 6, idle_seconds = 20;

/* ---- figures */

enum sense { AT_LEAST, AT_MOST };

static bool meets(double value, enum sense sense, double target)
{
    return sense == AT_LEAST ? value >= target : value <= target;
}

static void print(const char *name, double value, const char *unit, double target, const char *peer, double peer_value,
                  bool met)
{
    printf("{\"group\":\"cluster\",\"name\":\"%s\",\"value\":%.4g,\"unit\":\"%s\",\"target\":%.4g,\"peer\":\"%s\","
           "\"peer_value\":%.4g,\"ratio\":%.3g,\"met\":%s}\n",
           name, value, unit, target, peer ? peer : "", peer_value, peer_value > 0 ? value / peer_value : 0,
           met ? "true" : "false");
    fflush(stdout);
}

static void figure(const char *name, double value, const char *unit, enum sense sense, double target)
{
    print(name, value, unit, target, NULL, 0, meets(value, sense, target));
}

static void note(const char *what, const struct http_load_result *r)
{
    fprintf(stderr, "%s: %ld answers, %ld conflicts, %ld failures, p50 %.2f ms, p99 %.2f ms\n", what, r->requests,
            r->conflicts, r->failures, r->p50_us / 1e3, r->p99_us / 1e3);
    if (r->failures)
        fprintf(stderr, "first failure: %s\n", r->first_failure);
}

/* ---- what is created */

enum { DIGITS = 6 };

/* Bodies that differ in the digits of their name. */
struct creator {
    const char *path;
    char *body;
    size_t len, digits_at;
    long made, max; /* max 0: no end */
};

static int put_request(char *buf, size_t cap, const char *method, const char *path, const char *type, const char *body,
                       size_t len)
{
    int head = snprintf(buf, cap,
                        "%s %s HTTP/1.1\r\nHost: bench\r\nAccept: application/json\r\nContent-Type: %s\r\n"
                        "Content-Length: %zu\r\n\r\n",
                        method, path, type, len);
    if ((size_t)head + len > cap)
        abort();
    memcpy(buf + head, body, len);
    return head + (int)len;
}

static int make_create(void *ctx, int i, char *buf, size_t cap)
{
    struct creator *c = ctx;
    if (c->max && c->made == c->max)
        return 0;
    char digits[24];
    snprintf(digits, sizeof digits, "%0*ld", DIGITS, c->made++ % 1000000);
    memcpy(c->body + c->digits_at, digits, DIGITS);
    return put_request(buf, cap, "POST", c->path, "application/json", c->body, c->len);
}

static struct creator creator_of(const char *path, char *body, long max)
{
    char *at = strstr(body, "-000000");
    return (struct creator){
        .path = path, .body = body, .len = strlen(body), .digits_at = (size_t)(at + 1 - body), .max = max};
}

static struct creator configmaps(long max)
{
    static char body[CONFIG_BYTES + 256];
    char fill[CONFIG_BYTES + 1];
    memset(fill, 'x', sizeof fill - 1);
    fill[CONFIG_BYTES - 260] = 0; /* what the server adds makes up for it */
    snprintf(body, sizeof body,
             "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"cm-000000\"},"
             "\"data\":{\"key\":\"%s\"}}",
             fill);
    return creator_of("/api/v1/namespaces/default/configmaps", body, max);
}

/* The pod of the file as a client would create it, bound to a node that exists so that the scheduler leaves it alone;
 * an annotation fills it up. */
static char *pod_body(const char *file, size_t fill)
{
    struct arena *mem = arena_new();
    static char text[16384], body[16384];
    FILE *f = fopen(file, "re");
    if (!f) {
        fprintf(stderr, "bench_cluster: no %s\n", file);
        exit(1);
    }
    size_t n = fread(text, 1, sizeof text, f);
    fclose(f);
    struct doc *pod = doc_parse(mem, str_mem(text, n), NULL, NULL), *meta = doc_get(pod, "metadata");
    static const char *const gone[] = {
        "uid", "resourceVersion", "generation", "creationTimestamp", "ownerReferences", "generateName"};
    for (size_t i = 0; i < sizeof gone / sizeof gone[0]; i++)
        doc_del(meta, gone[i]);
    doc_del(pod, "status");
    doc_put_str(mem, meta, "namespace", STR("default"));
    doc_put_str(mem, meta, "name", STR("pod-000000"));
    doc_put_str(mem, doc_get(pod, "spec"), "nodeName", STR("bench"));
    doc_put_str(mem, doc_get(pod, "spec"), "serviceAccountName", STR("default"));
    doc_del(doc_get(pod, "spec"), "serviceAccount");
    char *pad = memset(arena_alloc(mem, fill + 1), 'x', fill + 1);
    doc_put_str(mem, doc_sub(mem, meta, "annotations"), "fill", str_mem(pad, fill));
    size_t len = doc_json_len(pod);
    doc_json_put(pod, body);
    body[len] = 0;
    arena_free(mem);
    return body;
}

static const char *const POD = "/api/v1/namespaces/default/pods/pod-000000";

static size_t body_len(const char *answer)
{
    const char *end = strstr(answer, "\r\n\r\n");
    return end ? strlen(end + 4) : 0;
}

/* A creator of pods of POD_BYTES; one has been made and deleted to see what the server adds. */
static struct creator pods(const struct server *s, long max)
{
    static char answer[16384];
    const char *path = "/api/v1/namespaces/default/pods";
    for (int i = 0; i < 100; i++) { /* its service account comes by a controller */
        if (request(s, "GET", "/api/v1/namespaces/default/serviceaccounts/default", NULL, answer, sizeof answer) == 200)
            break;
        usleep(20000);
    }
    must_request(s, "POST", "/api/v1/nodes",
                 "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"bench\"}}");
    must_request(s, "POST", path, pod_body(pod_file, 1));
    request(s, "GET", POD, NULL, answer, sizeof answer);
    size_t bare = body_len(answer);
    must_request(s, "DELETE", "/api/v1/namespaces/default/pods/pod-000000?gracePeriodSeconds=0", NULL);
    return creator_of(path, pod_body(pod_file, bare < POD_BYTES ? POD_BYTES - bare + 1 : 1), max);
}

static void create_all(const struct server *s, struct creator *c, const char *what)
{
    struct http_load load = server_load(s, CLIENTS, 600, 1);
    struct http_load_result r;
    load.make = make_create, load.ctx = c;
    http_load_run(&load, &r);
    note(what, &r);
    if (r.failures || r.requests != c->max)
        exit(1);
}

static struct server started(int cpu)
{
    struct server s;
    server_init(&s, binary, where);
    server_start(&s, cpu);
    return s;
}

/* ---- machine, size, start, idle */

static void bench_machine(void)
{
    print("machine_fsync", probe_fsyncs(where, 4096, 1), "1/s", 0, NULL, 0, true);
    print("machine_loopback", probe_loopback(CLIENTS, POD_BYTES, 1), "req/s", 0, NULL, 0, true);
    print("machine_memcpy", probe_memcpy(), "MB/s", 0, NULL, 0, true);
}

static void bench_size(void)
{
    char copy[256];
    struct stat st;
    snprintf(copy, sizeof copy, "%s/sampan.stripped", where);
    pid_t pid = fork();
    if (pid == 0) {
        execlp("strip", "strip", "-o", copy, binary, (char *)NULL);
        _exit(127);
    }
    waitpid(pid, NULL, 0);
    if (stat(copy, &st) == 0)
        figure("binary_stripped", (double)st.st_size / 1e6, "MB", AT_MOST, 4);
    unlink(copy);
}

static void fresh_start(void)
{
    double best = 1e9;
    for (int i = 0; i < ROUNDS; i++) {
        struct server s;
        server_init(&s, binary, where);
        double ms = server_start(&s, -1);
        best = ms < best ? ms : best;
        server_free(&s);
    }
    figure("server_start_fresh", best, "ms", AT_MOST, 100);
}

static void bench_start(void)
{
    fresh_start();
    struct server s = started(-1);
    struct creator c = configmaps(PODS);
    create_all(&s, &c, "10,000 ConfigMaps");
    double best = 1e9;
    for (int i = 0; i < ROUNDS; i++) {
        server_stop(&s);
        double ms = server_start(&s, -1);
        best = ms < best ? ms : best;
    }
    figure("server_start_10000", best, "ms", AT_MOST, 300);
    server_free(&s);
}

static void bench_idle(void)
{
    struct server s = started(-1);
    usleep(1500000);
    struct reading a = server_read(&s);
    figure("server_idle_rss", a.rss_kb / 1e3, "MB", AT_MOST, 14);
    figure("server_idle_anon", a.anon_kb / 1e3, "MB", AT_MOST, 5);
    usleep((useconds_t)(idle_seconds * 1e6));
    struct reading b = server_read(&s);
    figure("server_idle_cpu", 100 * (b.cpu_s - a.cpu_s) / idle_seconds, "%", AT_MOST, 0.5);
    print("server_idle_wakeups", (double)(b.wakeups - a.wakeups) / idle_seconds, "1/s", 0, NULL, 0, true);
    double kb = (double)(b.bytes_written - a.bytes_written) / 1e3;
    print("server_idle_written", kb, "kB", 200, "seconds", idle_seconds, kb <= 200);
    server_free(&s);
}

/* ---- get, create, writers */

static void bench_get(void)
{
    struct server s = started(0);
    struct creator c = pods(&s, 1);
    create_all(&s, &c, "one pod");
    double probe = 0, rate = 0;
    for (int i = 0; i < 3; i++) { /* in turns: others may use the machine */
        struct http_load load = server_load(&s, CLIENTS, seconds / 3, 1);
        struct http_load_result r;
        load.path = POD;
        probe += probe_loopback(CLIENTS, POD_BYTES, seconds / 3) / 3;
        http_load_run(&load, &r);
        note("GET", &r);
        rate += r.failures ? 0 : r.per_second / 3;
    }
    print("get_pod_tls", rate, "req/s", 0.4 * probe, "plain epoll probe", probe, rate >= 0.4 * probe);
    print("get_pod_tls_vs_kube", rate, "req/s", 8 * KUBE_GET_PER_S, "kube-apiserver", KUBE_GET_PER_S,
          rate >= 8 * KUBE_GET_PER_S);
    server_free(&s);
}

static double metric(const struct server *s, const char *name)
{
    static char answer[1 << 20];
    request(s, "GET", "/metrics", NULL, answer, sizeof answer);
    const char *p = strstr(answer, name);
    while (p && p[-1] != '\n')
        p = strstr(p + 1, name);
    return p ? strtod(p + strlen(name), NULL) : 0;
}

/* Two limits, of the same batches as the server made them: a log that writes each with one write and one fsync, and
 * SQLite with the same rows from one thread. Neither has clients, TLS, HTTP or JSON: where the disk is fast, that work
 * is the limit and not they (docs/FIGURES.md). Server and probes take turns: the speed of a disk may change by the
 * second. */
static void bench_create(void)
{
    struct server s = started(-1);
    struct creator c = configmaps(0);
    double rate = 0, p99 = 0, limit = 0, sqlite_limit = 0, ops = CLIENTS;
    enum { TURNS = 4, ROW_BYTES = CONFIG_BYTES + 40 };
    for (int i = 0; i < TURNS; i++) {
        struct http_load load = server_load(&s, CLIENTS, seconds / TURNS, -1);
        struct http_load_result r;
        double fsyncs = metric(&s, "sampan_store_fsyncs ");
        load.make = make_create, load.ctx = &c;
        http_load_run(&load, &r);
        note("create", &r);
        fsyncs = metric(&s, "sampan_store_fsyncs ") - fsyncs;
        ops = fsyncs > 0 ? (double)r.requests / fsyncs : CLIENTS;
        limit += ops * probe_fsyncs(where, (size_t)(ops * ROW_BYTES), seconds / TURNS / 2) / TURNS;
        sqlite_limit += probe_sqlite(where, (int)(ops + 0.5), ROW_BYTES, seconds / TURNS / 2) / TURNS;
        rate += r.failures ? 0 : r.per_second / TURNS;
        p99 += r.p99_us / 1e3 / TURNS;
    }
    figure("create_configmap_durable", rate, "1/s", AT_LEAST, 15000);
    print("create_configmap_of_limit", rate, "1/s", 0.6 * limit, "the same batches, probe", limit, rate >= 0.6 * limit);
    print("create_configmap_of_sqlite", rate, "1/s", 0.6 * sqlite_limit, "the same rows, bare SQLite", sqlite_limit,
          rate >= 0.6 * sqlite_limit);
    figure("create_configmap_p99", p99, "ms", AT_MOST, 15);
    print("create_configmap_per_fsync", ops, "creates", 0, NULL, 0, true);
    server_free(&s);
}

/* Every writer creates, patches what others patch, replaces with a revision that may be old, and deletes. */
struct writers {
    struct creator c;
    long turn[WRITERS];
};

static int make_write(void *ctx, int i, char *buf, size_t cap)
{
    struct writers *w = ctx;
    long n = w->turn[i]++;
    char path[160], body[256];
    int shared = (int)((i * 7 + n) % WRITERS_SHARED);
    if (n % 4 == 0)
        return make_create(&w->c, i, buf, cap);
    snprintf(path, sizeof path, "/api/v1/namespaces/default/configmaps/shared-%d", shared);
    if (n % 4 < 3) {
        int len = snprintf(body, sizeof body, "{\"data\":{\"w%d\":\"%ld\"}}", i % 10, n);
        return put_request(buf, cap, "PATCH", path, "application/merge-patch+json", body, (size_t)len);
    }
    int len = snprintf(body, sizeof body,
                       "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"shared-%d\","
                       "\"resourceVersion\":\"%ld\"},\"data\":{\"w\":\"%d\"}}",
                       shared, 1 + n, i);
    return put_request(buf, cap, "PUT", path, "application/json", body, (size_t)len);
}

static void bench_writers(void)
{
    struct server s = started(-1);
    static struct writers w;
    w.c = configmaps(0);
    for (int i = 0; i < WRITERS_SHARED; i++) {
        char body[160];
        snprintf(body, sizeof body,
                 "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"shared-%d\"}}", i);
        must_request(&s, "POST", "/api/v1/namespaces/default/configmaps", body);
    }
    struct http_load load = server_load(&s, WRITERS, seconds, -1);
    struct http_load_result r;
    load.make = make_write, load.ctx = &w;
    http_load_run(&load, &r);
    note("writers", &r);
    print("writers_500_errors", (double)r.failures, "errors", 0, "answers", (double)r.requests, r.failures == 0);
    print("writers_500_rate", r.per_second, "1/s", 0, NULL, 0, true);
    server_free(&s);
}

/* ---- list */

static double list_once(struct client *c, const char *accept, size_t *ret_bytes)
{
    static char head[4096];
    char line[128];
    snprintf(line, sizeof line, "Accept: %s\r\n", accept);
    double begin = now_s();
    client_send(c, "GET", "/api/v1/namespaces/default/pods", line, NULL);
    if (client_receive(c, head, sizeof head, ret_bytes) != 200) {
        fprintf(stderr, "bench_cluster: list failed: %s\n", head);
        exit(1);
    }
    return now_s() - begin;
}

static void list_as(struct server *s, const char *accept, const char *name, double target)
{
    struct client c;
    size_t bytes = 0;
    double best = 0;
    char extra[64];
    client_open(&c, s);
    bench_pin(1);
    list_once(&c, accept, &bytes); /* warm: the first grows the heap for good */
    struct reading before = server_read(s);
    server_reset_peak(s);
    for (int i = 0; i < ROUNDS; i++) {
        double rate = (double)bytes / 1e6 / list_once(&c, accept, &bytes);
        best = rate > best ? rate : best;
    }
    struct reading after = server_read(s);
    client_close(&c);
    snprintf(extra, sizeof extra, "%s_extra_memory", name);
    figure(name, best, "MB/s", AT_LEAST, target);
    double mb = (after.peak_kb - before.rss_kb) / 1e3;
    figure(extra, mb > 0 ? mb : 0, "MB", AT_MOST, 4);
}

static void bench_list(void)
{
    struct server s = started(0);
    struct creator c = pods(&s, PODS);
    create_all(&s, &c, "10,000 pods");
    usleep(500000);
    struct reading before = server_read(&s);
    list_as(&s, "application/json", "list_10000_json", 300);
    list_as(&s, "application/vnd.kubernetes.protobuf", "list_10000_protobuf", 100);
    struct reading after = server_read(&s);
    figure("list_memory_kept", (after.rss_kb - before.rss_kb) / 1e3, "MB", AT_MOST, 4);
    server_free(&s);
}

/* ---- watch */

/* Reads what there is; true when `mark` has come. */
static bool watcher_sees(struct client *c, const char *mark, char *last, size_t cap)
{
    char buf[16384 + 64];
    size_t keep = strlen(last); /* a mark may lie on the seam of two reads */
    memcpy(buf, last, keep);
    for (int n; (n = SSL_read(c->ssl, buf + keep, 16384)) > 0;) {
        size_t len = keep + (size_t)n;
        buf[len] = 0;
        if (strstr(buf, mark))
            return true;
        keep = len < cap - 1 ? len : cap - 1;
        memmove(buf, buf + len - keep, keep);
    }
    memcpy(last, buf, keep);
    last[keep] = 0;
    return false;
}

static double one_event(const struct server *s, struct client *all, struct client *trigger, int ep, int round)
{
    static char seen[WATCHERS][24];
    static bool done[WATCHERS];
    char body[128], mark[24], answer[16384];
    snprintf(mark, sizeof mark, "event-%06d", round);
    snprintf(body, sizeof body, "{\"metadata\":{\"annotations\":{\"mark\":\"%s\"}}}", mark);
    memset(seen, 0, sizeof seen);
    memset(done, 0, sizeof done);
    double begin = now_s();
    client_send(trigger, "PATCH", POD, "Content-Type: application/merge-patch+json\r\n", body);
    for (int left = WATCHERS; left > 0;) {
        struct epoll_event events[256];
        int n = epoll_wait(ep, events, 256, 5000);
        if (n <= 0) {
            fprintf(stderr, "bench_cluster: %d watchers saw nothing\n", left);
            exit(1);
        }
        for (int k = 0; k < n; k++) {
            uint32_t i = events[k].data.u32;
            if (!done[i] && watcher_sees(&all[i], mark, seen[i], sizeof seen[i])) {
                done[i] = true;
                left--;
            }
        }
    }
    double ms = (now_s() - begin) * 1e3;
    client_receive(trigger, answer, sizeof answer, NULL);
    return ms;
}

static void open_watchers(const struct server *s, struct client *all, int ep)
{
    char answer[65536];
    for (uint32_t i = 0; i < WATCHERS; i++) {
        if (client_open(&all[i], s) < 0)
            exit(1);
        client_send(&all[i], "GET", "/api/v1/namespaces/default/pods?watch=1", NULL, NULL);
        if (SSL_read(all[i].ssl, answer, sizeof answer) <= 0)
            exit(1);
        fcntl(all[i].fd, F_SETFL, O_NONBLOCK);
        struct epoll_event e = {.events = EPOLLIN | EPOLLET, .data.u32 = i};
        epoll_ctl(ep, EPOLL_CTL_ADD, all[i].fd, &e);
        while (SSL_read(all[i].ssl, answer, sizeof answer) > 0)
            ;
    }
}

static void bench_watch(void)
{
    static struct client all[WATCHERS];
    struct client trigger;
    struct server s = started(0);
    struct creator c = pods(&s, 1);
    create_all(&s, &c, "one pod");
    bench_pin(1);
    client_open(&trigger, &s);
    int ep = epoll_create1(EPOLL_CLOEXEC);
    struct reading before = server_read(&s);
    open_watchers(&s, all, ep);
    usleep(300000);
    struct reading after = server_read(&s);
    figure("watcher_tls_memory", (after.rss_kb - before.rss_kb) / WATCHERS * 1.024, "KB", AT_MOST, 25);
    double best = 1e9, sum = 0;
    for (int i = 0; i < 6 * ROUNDS; i++) {
        double ms = one_event(&s, all, &trigger, ep, i);
        best = ms < best ? ms : best;
        sum += ms;
    }
    figure("event_to_1000_watchers", best, "ms", AT_MOST, 15);
    fprintf(stderr, "event to 1000 watchers: mean %.1f ms\n", sum / (6 * ROUNDS));
    after = server_read(&s);
    figure("watcher_tls_memory_after_events", (after.rss_kb - before.rss_kb) / WATCHERS * 1.024, "KB", AT_MOST, 25);
    for (int i = 0; i < WATCHERS; i++)
        client_close(&all[i]);
    close(ep);
    server_free(&s);
}

/* ---- memory of what is stored */

static void bench_memory(void)
{
    struct server s = started(-1);
    struct creator c = pods(&s, PODS);
    struct reading before = server_read(&s);
    create_all(&s, &c, "10,000 pods");
    sleep(2);
    struct reading after = server_read(&s);
    figure("pod_memory_created", (after.rss_kb - before.rss_kb) * 1.024 / PODS, "KB", AT_MOST, 4.2);
    server_stop(&s);
    double ms = server_start(&s, -1);
    sleep(1);
    after = server_read(&s);
    figure("pod_memory_restarted", (after.rss_kb - before.rss_kb) * 1.024 / PODS, "KB", AT_MOST, 4.2);
    figure("server_start_10000_pods", ms, "ms", AT_MOST, 300);
    server_free(&s);
}

static const struct subcommand {
    const char *name;
    void (*run)(void);
} subcommands[] = {
    {"machine", bench_machine}, {"size", bench_size},     {"start", bench_start},     {"idle", bench_idle},
    {"get", bench_get},         {"create", bench_create}, {"writers", bench_writers}, {"list", bench_list},
    {"watch", bench_watch},     {"memory", bench_memory},
};
enum { SUBCOMMANDS = sizeof subcommands / sizeof subcommands[0] };

static bool option(int argc, char **argv, int *i, const char *name, const char **ret)
{
    if (strcmp(argv[*i], name) != 0 || *i + 1 >= argc)
        return false;
    *ret = argv[++*i];
    return true;
}

/* Each in a process of its own: cores, descriptors and heap start anew. */
static int run(const struct subcommand *c)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        c->run();
        exit(0);
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(int argc, char **argv)
{
    const char *number = NULL;
    bool any = false;
    int failed = 0;
    signal(SIGPIPE, SIG_IGN);
    for (int i = 1; i < argc; i++) {
        if (option(argc, argv, &i, "--sampan", &binary) || option(argc, argv, &i, "--pod", &pod_file) ||
            option(argc, argv, &i, "--dir", &where))
            continue;
        if (option(argc, argv, &i, "--seconds", &number)) {
            seconds = atof(number);
            continue;
        }
        if (option(argc, argv, &i, "--idle-seconds", &number)) {
            idle_seconds = atof(number);
            continue;
        }
        int k = 0;
        while (k < SUBCOMMANDS && strcmp(subcommands[k].name, argv[i]) != 0)
            k++;
        if (k == SUBCOMMANDS) {
            fprintf(stderr, "bench_cluster: no subcommand %s\n", argv[i]);
            return 2;
        }
        any = true;
        failed |= run(&subcommands[k]);
    }
    for (int k = 0; !any && k < SUBCOMMANDS; k++)
        failed |= run(&subcommands[k]);
    return failed;
}
