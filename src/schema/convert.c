/* Between versions and groups that share their objects: events.k8s.io and core events, autoscaling/v1 and v2.
 * Source: pkg/apis/events/v1/conversion.go, pkg/apis/autoscaling/v1/conversion.go. */
#include "schema/convert.h"
#include "schema/schema.h"

static void rename_member(struct doc *obj, const char *from, const char *to)
{
    doc_del(obj, to);
    struct doc *d = doc_get(obj, from);
    if (d)
        d->key = str_of(to);
}

static const char *const event_names[][2] = {
    {"regarding", "involvedObject"},
    {"note", "message"},
    {"deprecatedSource", "source"},
    {"deprecatedFirstTimestamp", "firstTimestamp"},
    {"deprecatedLastTimestamp", "lastTimestamp"},
    {"deprecatedCount", "count"},
    {"reportingController", "reportingComponent"},
};

void event_to_core(struct arena *mem, struct doc *e)
{
    for (size_t i = 0; i < sizeof(event_names) / sizeof(*event_names); i++)
        rename_member(e, event_names[i][0], event_names[i][1]);
}

void event_from_core(struct arena *mem, struct doc *e)
{
    for (size_t i = 0; i < sizeof(event_names) / sizeof(*event_names); i++)
        rename_member(e, event_names[i][1], event_names[i][0]);
}

/* ---- autoscaling: what v1 has no field for stands in annotations */
static const char metrics_key[] = "autoscaling.alpha.kubernetes.io/metrics";
static const char current_key[] = "autoscaling.alpha.kubernetes.io/current-metrics";
static const char conditions_key[] = "autoscaling.alpha.kubernetes.io/conditions";
static const char behavior_key[] = "autoscaling.alpha.kubernetes.io/behavior";

/* The v1 annotations hold the metrics in v1's own (v2beta1) form; only the member of the source differs from v2:
 * v2 {target: {type, averageUtilization | averageValue | value}}, v1 {targetAverageUtilization | targetAverageValue |
 * targetValue}. */
static const struct {
    const char *v2, *v1, *type;
} targets[] = {
    {"averageUtilization", "targetAverageUtilization", "Utilization"},
    {"averageValue", "targetAverageValue", "AverageValue"},
    {"value", "targetValue", "Value"},
};
static const struct {
    const char *v2, *v1;
} currents[] = {
    {"averageUtilization", "currentAverageUtilization"},
    {"averageValue", "currentAverageValue"},
    {"value", "currentValue"},
};
static const char *const sources[] = {"resource", "pods", "object", "external", "containerResource"};

static struct doc *source_of(const struct doc *metric)
{
    for (size_t i = 0; i < sizeof(sources) / sizeof(*sources); i++)
        if (doc_is(doc_get(metric, sources[i]), DOC_OBJECT))
            return doc_get(metric, sources[i]);
    return NULL;
}

/* v1 names the metric and its selector beside the source; v2 in `metric`. An Object's target is the described object in
 * v1. */
static void metric_to_v1(struct arena *mem, struct doc *metric, bool current)
{
    struct doc *s = source_of(metric), *name = doc_get(s, "metric");
    const char *word = current ? "current" : "target";
    struct doc *values = doc_get(s, word);
    if (!s)
        return;
    if (values)
        doc_remove(s, values);
    if (name) {
        doc_remove(s, name);
        doc_put_str(mem, s, "metricName", doc_str(name, "name"));
        if (doc_get(name, "selector"))
            doc_put(mem, s, s == doc_get(metric, "external") ? "metricSelector" : "selector",
                    doc_copy(mem, doc_get(name, "selector")));
    }
    if (doc_get(s, "describedObject"))
        rename_member(s, "describedObject", "target");
    for (int i = 0; i < 3; i++) {
        const struct doc *v = doc_get(values, current ? currents[i].v2 : targets[i].v2);
        bool average = s == doc_get(metric, "object") && i == 1;
        if (v && v->type != DOC_NULL)
            doc_put(mem, s, average ? "averageValue" : current ? currents[i].v1 : targets[i].v1, doc_copy(mem, v));
    }
}

/* Under the names of v2: {type, averageUtilization | averageValue | value}. */
static struct doc *values_to_v2(struct arena *mem, struct doc *s, bool current)
{
    struct doc *values = doc_new_object(mem), *average = doc_get(s, "averageValue");
    for (int i = 0; i < 3; i++) {
        struct doc *v = doc_get(s, current ? currents[i].v1 : targets[i].v1);
        if (!v)
            continue;
        doc_remove(s, v);
        if (!current && average)
            continue; /* an Object's target is an average: its value is but a zero */
        if (!current)
            doc_put_str(mem, values, "type", str_of(targets[i].type));
        doc_put(mem, values, targets[i].v2, v);
    }
    if (average) {
        doc_remove(s, average);
        if (!current)
            doc_put_str(mem, values, "type", STR("AverageValue"));
        doc_put(mem, values, "averageValue", average);
    }
    return values;
}

static void metric_to_v2(struct arena *mem, struct doc *metric, bool current)
{
    struct doc *s = source_of(metric);
    if (!s)
        return;
    struct doc *values = values_to_v2(mem, s, current), *name, *selector;
    if (doc_get(s, "target"))
        rename_member(s, "target", "describedObject");
    doc_put(mem, s, current ? "current" : "target", values);
    name = doc_get(s, "metricName");
    selector = doc_get(s, doc_get(s, "metricSelector") ? "metricSelector" : "selector");
    if (!name)
        return;
    doc_remove(s, name);
    struct doc *to = doc_put(mem, s, "metric", doc_new_object(mem));
    doc_put(mem, to, "name", name);
    if (selector) {
        doc_remove(s, selector);
        doc_put(mem, to, "selector", selector);
    }
}

static bool is_cpu(const struct doc *metric, const char *values)
{
    return str_is(doc_str(metric, "type"), "Resource") && str_is(doc_str(doc_get(metric, "resource"), "name"), "cpu") &&
           doc_is(doc_path(metric, "resource", values, "averageUtilization", NULL), DOC_INT);
}

/* item: the type of the list's items, or NULL. */
static void annotate(struct arena *mem, struct doc *hpa, const char *key, struct doc *value, const char *item)
{
    if (item)
        doc_each (d, value)
            schema_order(mem, schema_type(item), d);
    doc_put_str(mem, doc_sub(mem, doc_sub(mem, hpa, "metadata"), "annotations"), key, doc_json(mem, value));
}

/* The annotation's JSON, which leaves the object; NULL: none, or no JSON (then it stays, as text of its owner). */
static struct doc *take_annotation(struct arena *mem, struct doc *hpa, const char *key)
{
    struct doc *annotations = doc_path(hpa, "metadata", "annotations", NULL), *text = doc_get(annotations, key);
    struct doc_opts opts = {.depth_max = 100};
    struct doc *v = doc_is(text, DOC_STRING) ? doc_parse(mem, text->s, &opts, NULL) : NULL;
    if (v)
        doc_remove(annotations, text);
    return v;
}

static struct doc *take(struct doc *obj, const char *key)
{
    struct doc *d = doc_get(obj, key);
    return d ? doc_remove(obj, d) : NULL;
}

static void metrics_to_v1(struct arena *mem, struct doc *hpa, struct doc *spec)
{
    struct doc *metrics = take(spec, "metrics"), *others = doc_new_array(mem);
    doc_each (d, metrics) {
        if (is_cpu(d, "target")) {
            if (!doc_get(spec, "targetCPUUtilizationPercentage"))
                doc_put_int(mem, spec, "targetCPUUtilizationPercentage",
                            doc_int(doc_path(d, "resource", "target", NULL), "averageUtilization", 0));
            continue;
        }
        struct doc *own = doc_push(others, doc_copy(mem, d));
        metric_to_v1(mem, own, false);
    }
    if (doc_len(others))
        annotate(mem, hpa, metrics_key, others, "autoscaling.v1.MetricSpec");
}

/* The behavior's annotation has the names of Go's fields: ScaleUp, StabilizationWindowSeconds. */
static void recase(struct arena *mem, struct doc *v, bool upper, int depth)
{
    doc_each (d, v) {
        if (v->type == DOC_OBJECT && d->key.len) {
            char *key = str_z(mem, d->key);
            key[0] = (char)(upper                            ? (key[0] >= 'a' && key[0] <= 'z' ? key[0] - 32 : key[0])
                            : key[0] >= 'A' && key[0] <= 'Z' ? key[0] + 32
                                                             : key[0]);
            d->key = str_mem(key, d->key.len);
        }
        if (depth < 8)
            recase(mem, d, upper, depth + 1);
    }
}

void hpa_v2_to_v1(struct arena *mem, struct doc *hpa)
{
    struct doc *spec = doc_sub(mem, hpa, "spec"), *status = doc_sub(mem, hpa, "status"), *d;
    metrics_to_v1(mem, hpa, spec);
    if ((d = take(spec, "behavior")) && d->type == DOC_OBJECT) {
        recase(mem, d, true, 0);
        annotate(mem, hpa, behavior_key, d, NULL);
    }
    if ((d = take(status, "currentMetrics")) && doc_len(d)) {
        doc_each (c, d) {
            if (is_cpu(c, "current"))
                doc_put_int(mem, status, "currentCPUUtilizationPercentage",
                            doc_int(doc_path(c, "resource", "current", NULL), "averageUtilization", 0));
            metric_to_v1(mem, c, true);
        }
        annotate(mem, hpa, current_key, d, "autoscaling.v1.MetricStatus");
    }
    if ((d = take(status, "conditions")) && doc_len(d))
        annotate(mem, hpa, conditions_key, d, "autoscaling.v1.HorizontalPodAutoscalerCondition");
}

static struct doc *cpu_metric(struct arena *mem, const char *values, int64_t percent)
{
    struct doc *m = doc_new_object(mem), *target;
    doc_put_str(mem, m, "type", STR("Resource"));
    struct doc *r = doc_sub(mem, m, "resource");
    doc_put_str(mem, r, "name", STR("cpu"));
    target = doc_sub(mem, r, values);
    if (strcmp(values, "target") == 0)
        doc_put_str(mem, target, "type", STR("Utilization"));
    doc_put_int(mem, target, "averageUtilization", percent);
    return m;
}

void hpa_v1_to_v2(struct arena *mem, struct doc *hpa)
{
    struct doc *spec = doc_sub(mem, hpa, "spec"), *status = doc_sub(mem, hpa, "status"), *d;
    struct doc *metrics = doc_new_array(mem), *percent = take(spec, "targetCPUUtilizationPercentage");
    if (doc_is(d = take_annotation(mem, hpa, metrics_key), DOC_ARRAY))
        doc_each (m, d) {
            struct doc *own = doc_copy(mem, m);
            metric_to_v2(mem, own, false);
            doc_push(metrics, own);
        }
    if (doc_is(percent, DOC_INT) || !doc_len(metrics)) /* v1 without any metric means 80 % of the CPU */
        doc_push(metrics, cpu_metric(mem, "target", doc_is(percent, DOC_INT) ? percent->i : 80));
    doc_put(mem, spec, "metrics", metrics);
    if (doc_is(d = take_annotation(mem, hpa, behavior_key), DOC_OBJECT)) {
        recase(mem, d, false, 0);
        doc_put(mem, spec, "behavior", d);
    }
    percent = take(status, "currentCPUUtilizationPercentage");
    if (doc_is(d = take_annotation(mem, hpa, current_key), DOC_ARRAY)) {
        doc_each (m, d)
            metric_to_v2(mem, m, true);
        doc_put(mem, status, "currentMetrics", d);
    } else if (doc_is(percent, DOC_INT)) {
        doc_push(doc_sub_array(mem, status, "currentMetrics"), cpu_metric(mem, "current", percent->i));
    }
    if (doc_is(d = take_annotation(mem, hpa, conditions_key), DOC_ARRAY))
        doc_put(mem, status, "conditions", d);
    if (doc_is(d = doc_path(hpa, "metadata", "annotations", NULL), DOC_OBJECT) && !doc_len(d))
        doc_del(doc_get(hpa, "metadata"), "annotations");
}
