/* base/metrics.c - the registry and its text. */
#include "base/metrics.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/tree.h"

struct metric {
    struct metric_state *state;
    struct str labels[METRIC_LABELS_MAX];
    double value;    /* the sum, for histograms */
    uint64_t count;  /* observations */
    uint64_t hits[]; /* observations per bucket, not cumulated; the last is +Inf */
};

struct metric_state {
    struct metric_family *family;
    int label_count;
    struct tree series; /* key: the label values, each with SEP behind it */
    double (*value)(void *data);
    void *data;
};

/* Ends each label value in a key; no byte of UTF-8. */
static const char SEP = '\xff';

static struct {
    struct arena *mem;     /* all states, series and their keys */
    struct arena *scratch; /* keys being looked up */
    struct tree families;  /* by name */
} registry;
static struct list probes = {&probes, &probes};

static struct metric_state *state_of(struct metric_family *f)
{
    if (f->state)
        return f->state;
    if (!registry.mem) {
        registry.mem = arena_new();
        registry.scratch = arena_new();
    }
    struct metric_state *s = arena_new_of(registry.mem, struct metric_state);
    s->family = f;
    while (s->label_count < METRIC_LABELS_MAX && f->labels[s->label_count])
        s->label_count++;
    f->state = s;
    void *other = tree_put(&registry.families, str_of(f->name), s);
    assert(!other); /* two families of one name */
    return s;
}

static struct metric *series_new(struct metric_state *s, struct str key)
{
    const struct metric_family *f = s->family;
    size_t buckets = f->type == METRIC_HISTOGRAM ? (size_t)f->bucket_count + 1 : 0;
    struct metric *m = arena_zalloc(registry.mem, sizeof *m + buckets * sizeof m->hits[0]);
    m->state = s;
    key = str_dup(registry.mem, key);
    tree_put(&s->series, key, m);
    for (int i = 0; i < s->label_count; i++)
        str_cut(key, SEP, &m->labels[i], &key);
    return m;
}

static struct metric *series_of(struct metric_state *s, struct str key)
{
    struct metric *m = tree_get(&s->series, key);
    if (m)
        return m;
    if (s->series.count >= METRIC_SERIES_MAX - 1 && s->label_count > 0) {
        struct sb other = SB(registry.scratch);
        for (int i = 0; i < s->label_count; i++)
            sb_addz(&other, "other"), sb_addc(&other, SEP);
        m = tree_get(&s->series, sb_str(&other));
        return m ? m : series_new(s, sb_str(&other));
    }
    return series_new(s, key);
}

/* A stranger's byte equal to SEP must not shift the labels behind it. */
static void add_label_value(struct sb *b, const char *value)
{
    for (const char *p = value ? value : ""; *p; p++)
        sb_addc(b, *p == SEP ? '?' : *p);
    sb_addc(b, SEP);
}

struct metric *metric_get(struct metric_family *f, ...)
{
    struct metric_state *s = state_of(f);
    arena_reset(registry.scratch);
    struct sb key = SB(registry.scratch);
    va_list ap;
    va_start(ap, f);
    for (int i = 0; i < s->label_count; i++)
        add_label_value(&key, va_arg(ap, const char *));
    va_end(ap);
    return series_of(s, sb_str(&key));
}

void metric_add(struct metric *m, double by)
{
    assert(m->state->family->type != METRIC_HISTOGRAM && (by >= 0 || m->state->family->type == METRIC_GAUGE));
    m->value += by;
}

void metric_set(struct metric *m, double value)
{
    assert(m->state->family->type == METRIC_GAUGE);
    m->value = value;
}

void metric_observe(struct metric *m, double value)
{
    const struct metric_family *f = m->state->family;
    assert(f->type == METRIC_HISTOGRAM);
    int i = 0;
    while (i < f->bucket_count && !(value <= f->buckets[i]))
        i++;
    m->hits[i]++;
    m->count++;
    m->value += value;
}

double metric_value(const struct metric *m)
{
    return m->value;
}

void metric_callback(struct metric_family *f, double (*value)(void *data), void *data)
{
    struct metric_state *s = state_of(f);
    assert(s->label_count == 0 && f->type != METRIC_HISTOGRAM);
    s->value = value;
    s->data = data;
}

/* The shortest decimal that reads back as the same number. */
static void add_number(struct sb *b, double v)
{
    enum { NUMBER_MAX = 32, DIGITS_MAX = 17 };
    char text[NUMBER_MAX];
    if (isnan(v) || isinf(v)) {
        sb_addz(b, isnan(v) ? "NaN" : v > 0 ? "+Inf" : "-Inf");
        return;
    }
    if (v == floor(v) && fabs(v) < 1e15) {
        sb_addf(b, "%.0f", v);
        return;
    }
    for (int digits = 1; digits <= DIGITS_MAX; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    sb_addz(b, text);
}

static void add_escaped(struct sb *b, struct str s, bool quotes)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '\\' || c == '\n' || (quotes && c == '"'))
            sb_addc(b, '\\');
        sb_addc(b, c == '\n' ? 'n' : c);
    }
}

/* One label; opens the braces when it is the first. */
static void add_label(struct sb *b, bool first, const char *name, struct str value)
{
    sb_addc(b, first ? '{' : ',');
    sb_addz(b, name);
    sb_addz(b, "=\"");
    add_escaped(b, value, /* quotes= */ true);
    sb_addc(b, '"');
}

/* `name_suffix{labels,le="bound"} `; bound NULL for none. */
static void add_series_name(struct sb *b, const struct metric *m, const char *suffix, const double *bound)
{
    const struct metric_family *f = m->state->family;
    sb_addz(b, f->name);
    sb_addz(b, suffix);
    for (int i = 0; i < m->state->label_count; i++)
        add_label(b, i == 0, f->labels[i], m->labels[i]);
    if (bound) {
        sb_addz(b, m->state->label_count ? ",le=\"" : "{le=\"");
        add_number(b, *bound);
        sb_addc(b, '"');
    }
    sb_addz(b, m->state->label_count || bound ? "} " : " ");
}

static void print_histogram(struct sb *b, const struct metric *m)
{
    const struct metric_family *f = m->state->family;
    const double infinity = INFINITY;
    uint64_t sum = 0;
    for (int i = 0; i <= f->bucket_count; i++) {
        sum += m->hits[i];
        add_series_name(b, m, "_bucket", i < f->bucket_count ? &f->buckets[i] : &infinity);
        sb_addf(b, "%llu\n", (unsigned long long)sum);
    }
    add_series_name(b, m, "_sum", NULL);
    add_number(b, m->value);
    sb_addc(b, '\n');
    add_series_name(b, m, "_count", NULL);
    sb_addf(b, "%llu\n", (unsigned long long)m->count);
}

static void print_series(struct sb *b, const struct metric *m)
{
    if (m->state->family->type == METRIC_HISTOGRAM) {
        print_histogram(b, m);
        return;
    }
    add_series_name(b, m, "", NULL);
    add_number(b, m->value);
    sb_addc(b, '\n');
}

static void print_family(struct sb *b, const struct metric_state *s)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    const struct metric_family *f = s->family;
    sb_addf(b, "# HELP %s ", f->name);
    add_escaped(b, str_of(f->help), /* quotes= */ false);
    sb_addf(b, "\n# TYPE %s %s\n", f->name, types[f->type]);
    if (s->value) {
        sb_addf(b, "%s ", f->name);
        add_number(b, s->value(s->data));
        sb_addc(b, '\n');
    }
    struct tree_iter it = tree_iter_at(&s->series, STR_NULL);
    for (const struct metric *m; (m = tree_next(&it, NULL));)
        print_series(b, m);
}

void metric_probe_add(struct metric_probe *p)
{
    list_add_tail(&probes, &p->link);
}

void metric_probe_remove(struct metric_probe *p)
{
    if (p->link.next)
        list_remove(&p->link);
}

void metrics_print(struct sb *out)
{
    list_each (l, &probes) {
        struct metric_probe *p = container_of(l, struct metric_probe, link);
        p->look(p);
    }
    struct tree_iter it = tree_iter_at(&registry.families, STR_NULL);
    for (const struct metric_state *s; (s = tree_next(&it, NULL));)
        print_family(out, s);
}

void metrics_reset(void)
{
    struct tree_iter it = tree_iter_at(&registry.families, STR_NULL);
    for (struct metric_state *s; (s = tree_next(&it, NULL));) {
        tree_done(&s->series);
        s->family->state = NULL;
    }
    tree_done(&registry.families);
    registry.mem = arena_free(registry.mem);
    registry.scratch = arena_free(registry.scratch);
}
