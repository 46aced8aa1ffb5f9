/* What governs others: budgets, autoscalers, priorities, runtimes, flow control, signing requests. */
#include "schema/convert.h"
#include "schema/print/print.h"

void print_pod_disruption_budget(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    row_or(&r, print_any(mem, doc_get(r.spec, "minAvailable")), "N/A");
    row_or(&r, print_any(mem, doc_get(r.spec, "maxUnavailable")), "N/A");
    row_int(&r, doc_int(r.status, "disruptionsAllowed", 0));
    row_age(&r);
}

/* ---- HorizontalPodAutoscaler: `cpu: 10%/50%, 3/5 (avg) + 1 more...` */
static struct str value_or(const struct doc *d, const char *key, const char *absent)
{
    struct str s = doc_str(d, key);
    return s.len ? s : str_of(absent);
}

static struct str percent(struct arena *mem, const struct doc *d, const char *absent)
{
    int64_t n = doc_int(d, "averageUtilization", -1);
    return n < 0 ? str_of(absent) : str_fmt(mem, "%lld%%", (long long)n);
}

/* Of Resource and ContainerResource: the resource's name stands before the figures. */
static void add_resource_metric(struct sb *out, const struct doc *spec, const struct doc *current)
{
    const struct doc *target = doc_get(spec, "target");
    bool average = doc_get(target, "averageValue");
    struct str now = !average  ? percent(out->mem, current, "<unknown>")
                     : current ? value_or(current, "averageValue", "0")
                               : STR("<unknown>");
    struct str want = average ? doc_str(target, "averageValue") : percent(out->mem, target, "<auto>");
    sb_addf(out, STR_FMT ": " STR_FMT "/" STR_FMT, STR_ARG(doc_str(spec, "name")), STR_ARG(now), STR_ARG(want));
}

static void add_value_metric(struct sb *out, const struct doc *spec, const struct doc *current, bool pods)
{
    const struct doc *target = doc_get(spec, "target");
    bool average = pods || doc_get(target, "averageValue");
    const char *key = average ? "averageValue" : "value";
    struct str now = value_or(current, key, current && (pods || !average) ? "0" : "<unknown>");
    sb_addf(out, STR_FMT "/" STR_FMT "%s", STR_ARG(now), STR_ARG(value_or(target, key, "0")),
            average && !pods ? " (avg)" : "");
}

static void add_metric(struct sb *out, const struct doc *metric, const struct doc *status)
{
    static const struct {
        const char *type, *member;
    } known[] = {{"External", "external"},
                 {"Pods", "pods"},
                 {"Object", "object"},
                 {"Resource", "resource"},
                 {"ContainerResource", "containerResource"}};
    for (int i = 0; i < 5; i++) {
        const struct doc *spec = doc_get(metric, known[i].member);
        if (!str_is(doc_str(metric, "type"), known[i].type))
            continue;
        const struct doc *current = doc_path(status, known[i].member, "current", NULL);
        if (i >= 3)
            add_resource_metric(out, spec, current);
        else
            add_value_metric(out, spec, current, /* pods= */ i == 1);
        return;
    }
    sb_addz(out, "<unknown type>");
}

static struct str metrics(const struct row *r)
{
    enum { SHOWN_MAX = 2 };
    const struct doc *specs = doc_get(r->spec, "metrics"), *status = doc_first(doc_get(r->status, "currentMetrics"));
    struct sb out = SB(r->mem);
    int n = 0;
    doc_each (m, specs) {
        if (n++ == SHOWN_MAX)
            break;
        if (n > 1)
            sb_addz(&out, ", ");
        add_metric(&out, m, status);
        status = status ? status->next : NULL;
    }
    if (doc_len(specs) > SHOWN_MAX)
        sb_addf(&out, " + %u more...", doc_len(specs) - SHOWN_MAX);
    return n ? sb_str(&out) : STR("<none>");
}

void print_horizontal_pod_autoscaler(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    const struct doc *target = doc_get(r.spec, "scaleTargetRef");
    row_fmt(&r, STR_FMT "/" STR_FMT, STR_ARG(doc_str(target, "kind")), STR_ARG(doc_str(target, "name")));
    row_str(&r, metrics(&r));
    row_or(&r, print_any(mem, doc_get(r.spec, "minReplicas")), "<unset>");
    row_int(&r, doc_int(r.spec, "maxReplicas", 0));
    row_int(&r, doc_int(r.status, "currentReplicas", 0));
    row_age(&r);
}

/* autoscaling/v1 keeps its metrics in annotations: look at it as v2. */
void print_horizontal_pod_autoscaler_v1(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct doc *v2 = doc_copy(mem, obj);
    hpa_v1_to_v2(mem, v2);
    print_horizontal_pod_autoscaler(mem, v2, now_ms, cells);
}

/* ---- classes */
void print_priority_class(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    row_int(&r, doc_int(obj, "value", 0));
    row_bool(&r, doc_bool(obj, "globalDefault", false));
    row_age(&r);
    row_str(&r, doc_str(obj, "preemptionPolicy"));
}

void print_runtime_class(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    row_str(&r, doc_str(obj, "handler"));
    row_age(&r);
}

/* ---- flow control */
void print_flow_schema(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    const struct doc *method = doc_get(r.spec, "distinguisherMethod");
    struct str dangling = STR("?");
    doc_each (c, doc_get(r.status, "conditions")) {
        if (str_is(doc_str(c, "type"), "Dangling")) {
            dangling = doc_str(c, "status");
            break;
        }
    }
    row_str(&r, doc_str(doc_get(r.spec, "priorityLevelConfiguration"), "name"));
    row_int(&r, doc_int(r.spec, "matchingPrecedence", 0));
    row_str(&r, method ? doc_str(method, "type") : STR("<none>"));
    row_age(&r);
    row_str(&r, dangling);
}

/* A number where the level has one, else <none>. */
static void row_number_of(struct row *r, const struct doc *of, const char *key)
{
    if (of)
        row_int(r, doc_int(of, key, 0));
    else
        row_str(r, STR("<none>"));
}

void print_priority_level(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    const struct doc *limited = doc_get(r.spec, "limited"),
                     *queuing = doc_path(limited, "limitResponse", "queuing", NULL);
    row_str(&r, doc_str(r.spec, "type"));
    row_number_of(&r, limited, "nominalConcurrencyShares");
    row_number_of(&r, queuing, "queues");
    row_number_of(&r, queuing, "handSize");
    row_number_of(&r, queuing, "queueLengthLimit");
    row_age(&r);
}

/* ---- signing requests */
static struct str csr_condition(const struct row *r)
{
    bool approved = false, denied = false, failed = false;
    doc_each (c, doc_get(r->status, "conditions")) /* whatever the status: the type alone decides */
    {
        struct str type = doc_str(c, "type");
        approved |= str_is(type, "Approved");
        denied |= str_is(type, "Denied");
        failed |= str_is(type, "Failed");
    }
    return str_fmt(r->mem, "%s%s%s",
                   denied     ? "Denied"
                   : approved ? "Approved"
                              : "Pending",
                   failed ? ",Failed" : "", doc_str(r->status, "certificate").len ? ",Issued" : "");
}

void print_certificate_signing_request(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    const struct doc *expiration = doc_get(r.spec, "expirationSeconds");
    row_age(&r);
    row_or(&r, doc_str(r.spec, "signerName"), "<none>");
    row_str(&r, doc_str(r.spec, "username"));
    row_str(&r, doc_is(expiration, DOC_INT) ? human_duration(mem, expiration->i * 1000) : STR("<none>"));
    row_str(&r, csr_condition(&r));
}
