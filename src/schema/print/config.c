/* Namespaces and what they hold besides work: data, accounts, quotas, events, leases. */
#include "schema/print/print.h"
#include "schema/times.h"

void print_namespace(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    row_str(&r, doc_str(r.status, "phase"));
    row_age(&r);
}

void print_config_map(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    row_int(&r, (int64_t)doc_len(doc_get(obj, "data")) + doc_len(doc_get(obj, "binaryData")));
    row_age(&r);
}

void print_secret(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    row_str(&r, doc_str(obj, "type"));
    row_int(&r, doc_len(doc_get(obj, "data")));
    row_age(&r);
}

void print_service_account(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    row_int(&r, doc_len(doc_get(obj, "secrets")));
    row_age(&r);
}

static void add_quota(struct sb *out, const struct row *r, const struct doc *hard)
{
    struct str used = doc_string(doc_get_str(doc_get(r->status, "used"), hard->key));
    sb_addf(out, "%s" STR_FMT ": " STR_FMT "/" STR_FMT, out->len ? ", " : "", STR_ARG(hard->key),
            STR_ARG(used.len ? used : STR("0")), STR_ARG(doc_string(hard)));
}

/* Two cells, each `cpu: 1/2, pods: 3/10`: what is asked for, and limits.* */
void print_resource_quota(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    struct sb request = SB(mem), limit = SB(mem);
    const struct doc *hard = doc_get(r.status, "hard");
    struct doc *sorted = doc_is(hard, DOC_OBJECT) ? doc_copy(mem, hard) : doc_new_object(mem);
    doc_sort_keys(sorted);
    doc_each (h, sorted)
        add_quota(str_starts(h->key, STR("limits.")) ? &limit : &request, &r, h);
    row_str(&r, sb_str(&request));
    row_str(&r, sb_str(&limit));
    row_age(&r);
}

void print_lease(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    row_str(&r, doc_str(r.spec, "holderIdentity"));
    row_age(&r);
}

void print_component_status(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    const struct doc *healthy = NULL;
    doc_each (c, doc_get(obj, "conditions")) {
        if (!healthy && str_is(doc_str(c, "type"), "Healthy"))
            healthy = c;
    }
    row_str(&r, !healthy                                     ? STR("Unknown")
                : str_is(doc_str(healthy, "status"), "True") ? STR("Healthy")
                                                             : STR("Unhealthy"));
    row_str(&r, doc_str(healthy, "message"));
    row_str(&r, doc_str(healthy, "error"));
}

/* ---- events: core/v1, and events.k8s.io/v1, which renamed half the fields */
static const struct doc *either(const struct doc *obj, const char *core, const char *other)
{
    const struct doc *d = doc_get(obj, core);
    return d ? d : doc_get(obj, other);
}

static struct str event_object(struct arena *mem, const struct doc *of) /* pod/web-1 */
{
    struct str kind = print_lower(mem, doc_str(of, "kind")), name = doc_str(of, "name");
    return name.len ? str_fmt(mem, STR_FMT "/" STR_FMT, STR_ARG(kind), STR_ARG(name)) : kind;
}

static struct str event_source(struct arena *mem, const struct doc *obj) /* kubelet, node-1 */
{
    const struct doc *source = either(obj, "source", "deprecatedSource");
    struct str component = doc_str(source, "component"), host = doc_str(source, "host");
    if (!component.len)
        component = doc_string(either(obj, "reportingComponent", "reportingController"));
    if (!host.len)
        host = doc_str(obj, "reportingInstance");
    return host.len ? str_fmt(mem, STR_FMT ", " STR_FMT, STR_ARG(component), STR_ARG(host)) : component;
}

void print_event(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_of(mem, obj, now_ms, cells);
    const struct doc *of = either(obj, "involvedObject", "regarding"), *series = doc_get(obj, "series");
    const struct doc *first = either(obj, "firstTimestamp", "deprecatedFirstTimestamp");
    const struct doc *last = either(obj, "lastTimestamp", "deprecatedLastTimestamp");
    const struct doc *count = either(series ? series : obj, "count", "deprecatedCount");
    if (print_time(mem, first) == TIME_ZERO_SEC)
        first = doc_get(obj, "eventTime");
    if (series)
        last = doc_get(series, "lastObservedTime");
    else if (print_time(mem, last) == TIME_ZERO_SEC)
        last = first;
    row_since(&r, last);
    row_str(&r, doc_str(obj, "type"));
    row_str(&r, doc_str(obj, "reason"));
    row_str(&r, event_object(mem, of));
    row_str(&r, doc_str(of, "fieldPath"));
    row_str(&r, event_source(mem, obj));
    row_str(&r, str_trim(doc_string(either(obj, "message", "note"))));
    row_since(&r, first);
    row_int(&r, doc_is(count, DOC_INT) && (series || count->i) ? count->i : series ? 0 : 1);
    row_str(&r, doc_str(r.meta, "name"));
}

/* Kinds without columns of their own: Name and Created At, in UTC. */
void print_created_at(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    row_str(&r, time_format(mem, print_time(mem, doc_get(r.meta, "creationTimestamp")), 0, false));
}
