/* api/metrics.c - apiserver_* and kubernetes_* metrics, with Kubernetes' names, labels and buckets. */
#include "api/internal.h"
#include "base/metrics.h"
#include "schema/gates.h"

static const double seconds[] = {0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2,
                                 3,     4,     5,    6,   8,   10,  15,  20,  30,  45,   60};
static const double sli_seconds[] = {0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3,
                                     4,    5,   6,   8,   10,  15,  20,  30,   45,  60};
static const double sizes[] = {1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072};
#define BUCKETS(a) .buckets = (a), .bucket_count = sizeof(a) / sizeof((a)[0])

static struct metric_family request_total = {
    .name = "apiserver_request_total",
    .help =
        "Counter of apiserver requests broken out for each verb, group, version, resource, scope, component, and HTTP "
        "response code.",
    .type = METRIC_COUNTER,
    .labels = {"code", "component", "dry_run", "group", "resource", "scope", "subresource", "verb", "version"}};
static struct metric_family request_duration = {
    .name = "apiserver_request_duration_seconds",
    .help = "Response latency distribution in seconds for each verb, group, version, resource, subresource, scope and "
            "component.",
    .type = METRIC_HISTOGRAM,
    .labels = {"component", "group", "resource", "scope", "subresource", "verb", "version"},
    BUCKETS(seconds)};
/* Without what webhooks and queues took, of which there are none. */
static struct metric_family request_sli = {
    .name = "apiserver_request_sli_duration_seconds",
    .help = "Response latency distribution (not counting webhook duration and priority & fairness queue wait times) in "
            "seconds for each verb, group, version, resource, subresource, scope and component.",
    .type = METRIC_HISTOGRAM,
    .labels = {"component", "group", "resource", "scope", "subresource", "verb", "version"},
    BUCKETS(sli_seconds)};
static struct metric_family inflight = {
    .name = "apiserver_current_inflight_requests",
    .help =
        "Maximal number of currently used inflight request limit of this apiserver per request kind in last second.",
    .type = METRIC_GAUGE,
    .labels = {"request_kind"}};
static struct metric_family longrunning = {
    .name = "apiserver_longrunning_requests",
    .help =
        "Gauge of all active long-running apiserver requests broken out by verb, group, version, resource, scope and "
        "component. Not all requests are tracked this way.",
    .type = METRIC_GAUGE,
    .labels = {"component", "group", "resource", "scope", "subresource", "verb", "version"}};
static struct metric_family storage_objects = {.name = "apiserver_storage_objects",
                                               .help =
                                                   "Number of stored objects at the time of last check split by kind.",
                                               .type = METRIC_GAUGE,
                                               .labels = {"resource"}};
static struct metric_family resource_objects = {.name = "apiserver_resource_objects",
                                                .help =
                                                    "Number of stored objects at the time of last check split by kind.",
                                                .type = METRIC_GAUGE,
                                                .labels = {"group", "resource"}};
static struct metric_family storage_size = {.name = "apiserver_storage_size_bytes",
                                            .help = "Size of the storage database file physically allocated in bytes.",
                                            .type = METRIC_GAUGE,
                                            .labels = {"storage_cluster_id"}};
static struct metric_family build_info = {
    .name = "kubernetes_build_info",
    .help =
        "A metric with a constant '1' value labeled by major, minor, git version, git commit, git tree state, build "
        "date, Go version, and compiler from which Kubernetes was built, and platform on which it is running.",
    .type = METRIC_GAUGE,
    .labels = {"build_date", "compiler", "git_commit", "git_tree_state", "git_version", "go_version", "major", "minor",
               "platform"}};
static struct metric_family feature_enabled = {
    .name = "kubernetes_feature_enabled",
    .help = "This metric records the data about the stage and enablement of a k8s feature.",
    .type = METRIC_GAUGE,
    .labels = {"name", "stage"}};
/* How the store treats its disk: commits to an fsync, and wear. */
static struct metric_family store_fsyncs = {.name = "sampan_store_fsyncs",
                                            .help = "Times the store waited for its disk since the start.",
                                            .type = METRIC_GAUGE};
static struct metric_family store_written = {
    .name = "sampan_store_written_bytes", .help = "Bytes the store wrote since the start.", .type = METRIC_GAUGE};
static struct metric_family watch_events = {.name = "apiserver_watch_events_total",
                                            .help = "Number of events sent in watch clients",
                                            .type = METRIC_COUNTER,
                                            .labels = {"group", "resource", "version"}};
static struct metric_family watch_sizes = {.name = "apiserver_watch_events_sizes",
                                           .help = "Watch event size distribution in bytes",
                                           .type = METRIC_HISTOGRAM,
                                           .labels = {"group", "resource", "version"},
                                           BUCKETS(sizes)};

/* The series of the last requests, so that a GET does not pay for the look-up. */
enum { SERIES_SLOTS = 128 };
struct api_metrics {
    struct series {
        const struct resource *res;
        const struct subresource *sub;
        const char *verb, *scope;
        int code;
        bool dry_run;
        struct metric *total, *duration, *sli;
    } series[SERIES_SLOTS];
    bool built;
    const struct resource *watched; /* of the last event */
    struct metric *events, *sizes;
};

static struct api_metrics *metrics_of(struct api *a)
{
    if (!a->metrics)
        a->metrics = arena_new_of(a->mem, struct api_metrics);
    return a->metrics;
}

static const char *verb_label(const struct api_req *r)
{
    static const struct {
        const char *verb, *label;
    } rows[] = {{"get", "GET"},    {"list", "LIST"},   {"watch", "WATCH"},   {"create", "POST"},
                {"update", "PUT"}, {"patch", "PATCH"}, {"delete", "DELETE"}, {"deletecollection", "DELETECOLLECTION"},
                {"post", "POST"},  {"put", "PUT"},     {"head", "GET"}};
    if (r->sub && r->sub->verbs & VERB_CONNECT)
        return "CONNECT";
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (!strcmp(r->info.verb, rows[i].verb))
            return rows[i].label;
    return "other";
}

static const char *scope_label(const struct api_req *r)
{
    if (!r->res)
        return "";
    return r->info.name.len ? "resource" : r->info.ns.len ? "namespace" : "cluster";
}

struct where {
    const char *group, *resource, *version, *sub;
};

static struct where where_of(const struct api_req *r)
{
    const struct resource *res = r->res;
    const char *sub = r->sub ? r->sub->name : "";
    return res ? (struct where){res->group, res->name, res->version, sub} : (struct where){"", "", "", sub};
}

static struct metric *by_where(struct metric_family *f, const struct api_req *r)
{
    struct where at = where_of(r);
    return metric_get(f, "apiserver", at.group, at.resource, scope_label(r), at.sub, verb_label(r), at.version);
}

void count_request(const struct api_req *r, int code, int64_t us)
{
    const char *verb = verb_label(r), *scope = scope_label(r);
    bool dry_run = str_is(query_get(&r->query, "dryRun"), "All");
    size_t slot =
        ((uintptr_t)r->res / 64 + (uintptr_t)r->sub / 64 + (size_t)verb[0] * 7 + (size_t)verb[1] + (size_t)code) %
        SERIES_SLOTS;
    struct series *s = &metrics_of(r->api)->series[slot];
    if (!s->total || s->res != r->res || s->sub != r->sub || s->verb != verb || s->scope != scope || s->code != code ||
        s->dry_run != dry_run) {
        char text[16];
        struct where at = where_of(r);
        snprintf(text, sizeof(text), "%d", code);
        *s = (struct series){.res = r->res, .sub = r->sub, .verb = verb, .scope = scope, .code = code};
        s->dry_run = dry_run;
        s->total = metric_get(&request_total, text, "apiserver", dry_run ? "All" : "", at.group, at.resource, scope,
                              at.sub, verb, at.version);
        s->duration = by_where(&request_duration, r);
        s->sli = by_where(&request_sli, r);
    }
    metric_add(s->total, 1);
    if (r->is_long)
        return;
    metric_observe(s->duration, (double)us / 1e6);
    metric_observe(s->sli, (double)us / 1e6);
}

void count_long_running(struct api_req *r, int by)
{
    if (by > 0)
        r->long_gauge = by_where(&longrunning, r);
    if (r->long_gauge)
        metric_add(r->long_gauge, by);
}

void count_watch_event(struct api *a, const struct resource *res, size_t bytes)
{
    struct api_metrics *m = metrics_of(a);
    if (m->watched != res) {
        m->events = metric_get(&watch_events, res->group, res->name, res->version);
        m->sizes = metric_get(&watch_sizes, res->group, res->name, res->version);
        m->watched = res;
    }
    metric_add(m->events, 1);
    metric_observe(m->sizes, (double)bytes);
}

static void show_store(struct api *a, struct arena *mem)
{
    struct store_state store;
    store_get_state(a->store, &store);
    metric_set(metric_get(&store_fsyncs), (double)store.fsyncs);
    metric_set(metric_get(&store_written), (double)store.bytes_written);
    metric_set(metric_get(&storage_size, "sampan"), (double)store.size_bytes);
    for (const struct resource *const *p = schema_resources; *p; p++) {
        const struct resource *res = *p;
        if (res->stored_as || !(res->verbs & VERB_CREATE) || !(res->verbs & VERB_LIST))
            continue;
        double n = (double)cache_count(a->cache, res);
        const char *name = res->group[0] ? str_fmtz(mem, "%s.%s", res->name, res->group) : res->name;
        metric_set(metric_get(&storage_objects, name), n);
        metric_set(metric_get(&resource_objects, res->group, res->name), n);
    }
}

/* Once: neither changes while we run. */
static void show_build(struct api *a, struct arena *mem)
{
    static const char *const stages[] = {"ALPHA", "BETA", "", "DEPRECATED"};
    const struct doc *v = version_doc(a, mem);
#define V(name) str_z(mem, doc_str(v, name))
    metric_set(metric_get(&build_info, V("buildDate"), V("compiler"), V("gitCommit"), V("gitTreeState"),
                          V("gitVersion"), V("goVersion"), V("major"), V("minor"), V("platform")),
               1);
#undef V
    for (int i = 0; i < schema_gate_count; i++)
        metric_set(metric_get(&feature_enabled, schema_gates[i].name, stages[schema_gates[i].stage]),
                   gate_on(&schema_gates[i]));
}

void handle_metrics(struct api_req *r)
{
    struct api *a = r->api;
    struct sb b = SB(r->mem);
    if (!metrics_of(a)->built) {
        show_build(a, r->mem);
        metrics_of(a)->built = true;
    }
    show_store(a, r->mem);
    metric_set(metric_get(&inflight, "readOnly"), a->reads);
    metric_set(metric_get(&inflight, "mutating"), a->writes);
    metrics_print(&b);
    exchange_reply(r->x, 200, METRICS_TYPE, sb_str(&b));
}
