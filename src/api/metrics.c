/* api/metrics.c - apiserver_* metrics, with Kubernetes' names and labels.
 *
 * dry_run is left out: a family has at most METRIC_LABELS_MAX labels. */
#include "api/internal.h"
#include "base/metrics.h"

static const double seconds[] = {0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2,
                                 3,     4,     5,    6,   8,   10,  15,  20,  30,  45,   60};
static const double sizes[] = {1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072};
#define BUCKETS(a) .buckets = (a), .bucket_count = sizeof(a) / sizeof((a)[0])

static struct metric_family request_total = {
    .name = "apiserver_request_total",
    .help =
        "Counter of apiserver requests broken out for each verb, group, version, resource, scope, component, and HTTP "
        "response code.",
    .type = METRIC_COUNTER,
    .labels = {"code", "component", "group", "resource", "scope", "subresource", "verb", "version"}};
static struct metric_family request_duration = {
    .name = "apiserver_request_duration_seconds",
    .help = "Response latency distribution in seconds for each verb, group, version, resource, subresource, scope and "
            "component.",
    .type = METRIC_HISTOGRAM,
    .labels = {"component", "group", "resource", "scope", "subresource", "verb", "version"},
    BUCKETS(seconds)};
static struct metric_family inflight = {
    .name = "apiserver_current_inflight_requests",
    .help =
        "Maximal number of currently used inflight request limit of this apiserver per request kind in last second.",
    .type = METRIC_GAUGE,
    .labels = {"request_kind"}};
static struct metric_family longrunning = {.name = "apiserver_longrunning_requests",
                                           .help = "Gauge of all active long-running apiserver requests.",
                                           .type = METRIC_GAUGE};
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
        struct metric *total, *duration;
    } series[SERIES_SLOTS];
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

void count_request(const struct api_req *r, int code, int64_t us)
{
    const char *verb = verb_label(r), *scope = scope_label(r);
    size_t slot =
        ((uintptr_t)r->res / 64 + (uintptr_t)r->sub / 64 + (size_t)verb[0] * 7 + (size_t)verb[1] + (size_t)code) %
        SERIES_SLOTS;
    struct series *s = &metrics_of(r->api)->series[slot];
    if (!s->total || s->res != r->res || s->sub != r->sub || s->verb != verb || s->scope != scope || s->code != code) {
        char text[16];
        const char *group = r->res ? r->res->group : "", *resource = r->res ? r->res->name : "",
                   *version = r->res ? r->res->version : "", *sub = r->sub ? r->sub->name : "";
        snprintf(text, sizeof(text), "%d", code);
        *s = (struct series){r->res, r->sub, verb, scope, code, NULL, NULL};
        s->total = metric_get(&request_total, text, "apiserver", group, resource, scope, sub, verb, version);
        s->duration = metric_get(&request_duration, "apiserver", group, resource, scope, sub, verb, version);
    }
    metric_add(s->total, 1);
    if (!r->is_watch)
        metric_observe(s->duration, (double)us / 1e6);
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

void handle_metrics(struct api_req *r)
{
    struct sb b = SB(r->mem);
    struct store_state store;
    store_get_state(r->api->store, &store);
    metric_set(metric_get(&store_fsyncs), (double)store.fsyncs);
    metric_set(metric_get(&store_written), (double)store.bytes_written);
    metric_set(metric_get(&inflight, "readOnly"), r->api->reads);
    metric_set(metric_get(&inflight, "mutating"), r->api->writes);
    metric_set(metric_get(&longrunning), r->api->long_running);
    metrics_print(&b);
    exchange_reply(r->x, 200, "text/plain; version=0.0.4; charset=utf-8", sb_str(&b));
}
