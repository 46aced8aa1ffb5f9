/* write/admit_limit_range.c - LimitRanges of a namespace: what containers get that say nothing, and how much a
 * container, a pod or a claim may ask for.
 *
 * Ranges are taken in order of name; Kubernetes' order is by chance. Source: kubernetes
 * plugin/pkg/admission/limitranger, 1.36. */
#include "write/admission.h"
#include "write/internal.h"

#include "schema/quantity.h"

static const char annotation[] = "kubernetes.io/limit-ranger", said_prefix[] = "LimitRanger plugin set: ";

/* ---- defaults */
static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* Fills resources.LIST of a container from the range's defaults of one column; adds `cpu, memory limit for container a`
 * to said. */
static void fill(struct arena *mem, const struct doc *range, const char *column, struct doc *ctr, const char *list,
                 const char *what, struct sb *said)
{
    struct str *names = NULL;
    int count = 0, cap = 0;
    doc_each (item, doc_path(range, "spec", "limits", NULL)) {
        if (!str_is(doc_str(item, "type"), "Container"))
            continue;
        doc_each (value, doc_get(item, column)) {
            struct doc *to = doc_sub(mem, doc_sub(mem, ctr, "resources"), list);
            bool own = false; /* a later item of the range has the last word over an earlier one */
            for (int i = 0; i < count; i++)
                own |= str_eq(names[i], value->key);
            if (!own && doc_get_str(to, value->key))
                continue;
            doc_put_str(mem, to, str_z(mem, value->key), doc_string(value));
            if (own)
                continue;
            if (count == cap) {
                struct str *more = arena_alloc(mem, sizeof(*names) * (size_t)(cap = cap ? 2 * cap : 4));
                if (count)
                    memcpy(more, names, sizeof(*names) * (size_t)count);
                names = more;
            }
            names[count++] = value->key;
        }
    }
    if (!count)
        return;
    qsort(names, (size_t)count, sizeof(*names), by_text);
    sb_addz(said, said->len ? "; " : said_prefix);
    for (int i = 0; i < count; i++)
        sb_addf(said, "%s" STR_FMT, i ? ", " : "", STR_ARG(names[i]));
    sb_addf(said, " %s for %s " STR_FMT, list[0] == 'r' ? "request" : "limit", what, STR_ARG(doc_str(ctr, "name")));
}

static void apply_defaults(struct admission *a, const struct doc *range)
{
    struct arena *mem = a->req->mem;
    struct doc *spec = doc_get(a->obj, "spec");
    static const char *const lists[][2] = {{"containers", "container"}, {"initContainers", "init container"}};
    struct sb said = SB(mem);
    for (int l = 0; l < 2; l++)
        for (struct doc *ctr = doc_first(doc_get(spec, lists[l][0])); ctr; ctr = ctr->next) {
            fill(mem, range, "defaultRequest", ctr, "requests", lists[l][1], &said);
            fill(mem, range, "default", ctr, "limits", lists[l][1], &said);
        }
    if (!said.len)
        return;
    doc_put_str(mem, doc_sub(mem, doc_sub(mem, a->obj, "metadata"), "annotations"), annotation, sb_str(&said));
    doc_put_str(mem, doc_sub(mem, a->obj, "status"), "qosClass", str_of(strategy_qos(spec)));
}

/* ---- constraints */
struct amount {
    bool set;
    struct quantity q;
};

static struct amount amount_in(const struct doc *list, struct str name)
{
    const struct doc *value = doc_get_str(list, name);
    return (struct amount){.set = value, .q = quantity_of_str(doc_string(value))};
}

static void add_to(struct amount *sum, struct amount more)
{
    if (more.set)
        *sum = (struct amount){true, sum->set ? quantity_add(sum->q, more.q) : more.q};
}

/* What a pod needs of one resource: its containers and sidecars together, or more while one of its init containers
 * runs; its own word of cpu and memory goes before both. */
static struct amount amount_of_pod(const struct doc *spec, const char *list, struct str name)
{
    struct amount sum = {0}, sidecars = {0}, peak = {0};
    doc_each (ctr, doc_get(spec, "containers"))
        add_to(&sum, amount_in(doc_get(doc_get(ctr, "resources"), list), name));
    doc_each (ctr, doc_get(spec, "initContainers")) {
        struct amount own = amount_in(doc_get(doc_get(ctr, "resources"), list), name);
        if (str_is(doc_str(ctr, "restartPolicy"), "Always")) {
            add_to(&sum, own);
            add_to(&sidecars, own);
            own = sidecars;
        } else
            add_to(&own, sidecars);
        if (own.set && (!peak.set || quantity_cmp(own.q, peak.q) > 0))
            peak = own;
    }
    if (peak.set && (!sum.set || quantity_cmp(peak.q, sum.q) > 0))
        sum = peak;
    struct amount pod = amount_in(doc_get(doc_get(spec, "resources"), list), name);
    return pod.set && (str_is(name, "cpu") || str_is(name, "memory")) ? pod : sum;
}

/* The mistakes against one range, each text once. */
struct judgement {
    struct admission *a;
    struct str type; /* Container, Pod, PersistentVolumeClaim */
    struct map seen;
    struct sb text;
    int count;
};

__attribute__((format(printf, 2, 3))) static void complain(struct judgement *j, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    struct str text = str_vfmt(j->a->req->mem, fmt, ap);
    va_end(ap);
    if (map_get(&j->seen, text))
        return;
    map_put(&j->seen, text, j);
    if (j->count++)
        sb_addz(&j->text, ", ");
    sb_add(&j->text, text);
}

struct claim {
    struct amount request, limit;
};

static void complain_bound(struct judgement *j, const char *which, const struct doc *bound, const char *what,
                           struct amount given)
{
    if (given.set)
        complain(j, "%s " STR_FMT " usage per " STR_FMT " is " STR_FMT ", but %s is " STR_FMT, which,
                 STR_ARG(bound->key), STR_ARG(j->type), STR_ARG(doc_string(bound)), what,
                 STR_ARG(quantity_str(j->a->req->mem, given.q)));
    else
        complain(j, "%s " STR_FMT " usage per " STR_FMT " is " STR_FMT ".  No %s is specified", which,
                 STR_ARG(bound->key), STR_ARG(j->type), STR_ARG(doc_string(bound)), what);
}

static void check_min(struct judgement *j, const struct doc *bound, struct claim c)
{
    struct quantity min = quantity_of_str(doc_string(bound));
    if (!c.request.set || quantity_cmp(c.request.q, min) < 0)
        complain_bound(j, "minimum", bound, "request", c.request);
    else if (c.limit.set && quantity_cmp(c.limit.q, min) < 0)
        complain_bound(j, "minimum", bound, "limit", c.limit);
}

static void check_max(struct judgement *j, const struct doc *bound, struct claim c)
{
    struct quantity max = quantity_of_str(doc_string(bound));
    bool of_claim = str_is(j->type, "PersistentVolumeClaim"); /* a claim has no limits of its own */
    if (!of_claim && (!c.limit.set || quantity_cmp(c.limit.q, max) > 0))
        complain_bound(j, "maximum", bound, "limit", c.limit);
    else if ((of_claim && !c.request.set) || (c.request.set && quantity_cmp(c.request.q, max) > 0))
        complain_bound(j, "maximum", bound, "request", c.request);
}

static void check_ratio(struct judgement *j, const struct doc *bound, struct claim c)
{
    struct str name = bound->key, max = doc_string(bound);
    const char *missing = !c.request.set || !c.request.q.nano ? "request"
                          : !c.limit.set || !c.limit.q.nano   ? "limit"
                                                              : NULL;
    if (missing) {
        complain(
            j, STR_FMT " max limit to request ratio per " STR_FMT " is " STR_FMT ", but no %s is specified or %s is 0",
            STR_ARG(name), STR_ARG(j->type), STR_ARG(max), missing, missing);
        return;
    }
    double ratio = (double)c.limit.q.nano / (double)c.request.q.nano;
    if (ratio > (double)quantity_of_str(max).nano / 1e9)
        complain(j, STR_FMT " max limit to request ratio per " STR_FMT " is " STR_FMT ", but provided ratio is %f",
                 STR_ARG(name), STR_ARG(j->type), STR_ARG(max), ratio);
}

typedef struct claim claim_fn(const struct doc *holder, struct str name);

static struct claim claim_of_holder(const struct doc *holder, struct str name) /* a container, a volume claim's spec */
{
    const struct doc *resources = doc_get(holder, "resources");
    return (struct claim){amount_in(doc_get(resources, "requests"), name),
                          amount_in(doc_get(resources, "limits"), name)};
}

static struct claim claim_of_pod(const struct doc *spec, struct str name)
{
    return (struct claim){amount_of_pod(spec, "requests", name), amount_of_pod(spec, "limits", name)};
}

static void check_item(struct judgement *j, const struct doc *item, const struct doc *holder, claim_fn *of)
{
    bool of_claim = str_is(j->type, "PersistentVolumeClaim");
    doc_each (bound, doc_get(item, "min")) {
        struct claim c = of(holder, bound->key);
        c.limit.set &= !of_claim;
        check_min(j, bound, c);
    }
    doc_each (bound, doc_get(item, "max"))
        check_max(j, bound, of(holder, bound->key));
    if (!of_claim)
        doc_each (bound, doc_get(item, "maxLimitRequestRatio"))
            check_ratio(j, bound, of(holder, bound->key));
}

static int check_range(struct admission *a, const struct doc *range, bool pod)
{
    struct judgement j = {.a = a, .text = SB(a->req->mem)};
    const struct doc *spec = doc_get(a->obj, "spec");
    doc_each (item, doc_path(range, "spec", "limits", NULL)) {
        j.type = doc_str(item, "type");
        if (!pod && str_is(j.type, "PersistentVolumeClaim"))
            check_item(&j, item, spec, claim_of_holder);
        if (pod && str_is(j.type, "Container")) {
            doc_each (ctr, doc_get(spec, "containers"))
                check_item(&j, item, ctr, claim_of_holder);
            doc_each (ctr, doc_get(spec, "initContainers"))
                check_item(&j, item, ctr, claim_of_holder);
        }
        if (pod && str_is(j.type, "Pod"))
            check_item(&j, item, spec, claim_of_pod);
    }
    map_done(&j.seen);
    if (!j.count)
        return 0;
    return admission_forbid(a, j.count > 1 ? "[" STR_FMT "]" : STR_FMT, STR_ARG(sb_str(&j.text)));
}

/* ---- the plugin */
static struct cache_iter ranges_of(const struct admission *a)
{
    return cache_list(a->w->cache, obj_prefix(a->req->mem, schema_stored("", "limitranges"), a->req->ns), STR_NULL);
}

static void mutate(struct admission *a)
{
    if (!admission_creates(a, "", "pods"))
        return;
    struct cache_iter it = ranges_of(a);
    for (const struct obj *o; (o = cache_next(&it));)
        apply_defaults(a, obj_doc(a->req->mem, o));
}

/* A pod is asked when it is made or resized, a claim when it is made or changed. */
static bool is_asked(const struct admission *a, bool pod)
{
    if (a->verb == WRITE_DELETE || !(pod || admission_is(a, "", "persistentvolumeclaims")))
        return false;
    if (!a->req->sub)
        return !pod || a->verb == WRITE_CREATE || !a->old;
    return pod && !strcmp(a->req->sub->name, "resize");
}

static int validate(struct admission *a)
{
    bool pod = admission_is(a, "", "pods");
    if (!is_asked(a, pod))
        return 0;
    struct cache_iter it = ranges_of(a);
    for (const struct obj *o; (o = cache_next(&it));)
        if (check_range(a, obj_doc(a->req->mem, o), pod) < 0)
            return -1;
    return 0;
}

const struct admission_plugin admit_limit_range = {.name = "LimitRanger", .mutate = mutate, .validate = validate};
