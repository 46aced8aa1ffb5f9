/* write/admit_priority.c - priorityClassName becomes a number, once, on create.
 *
 * Source: kubernetes plugin/pkg/admission/priority. */
#include "write/admission.h"
#include "write/internal.h"

/* The class marked globalDefault; of several the one with the lowest value, as Kubernetes does. */
static const struct doc *default_class(struct admission *a)
{
    const struct resource *classes = schema_stored("scheduling.k8s.io", "priorityclasses");
    struct cache_iter it = cache_list(a->w->cache, obj_prefix(a->req->mem, classes, STR_NULL), STR_NULL);
    const struct doc *best = NULL;
    for (const struct obj *o; (o = cache_next(&it));) {
        const struct doc *d = obj_doc(a->req->mem, o);
        if (doc_bool(d, "globalDefault", false) && (!best || doc_int(d, "value", 0) < doc_int(best, "value", 0)))
            best = d;
    }
    return best;
}

static void mutate(struct admission *a)
{
    if (!admission_creates(a, "", "pods"))
        return;
    struct arena *mem = a->req->mem;
    struct doc *spec = doc_sub(mem, a->obj, "spec");
    struct str name = doc_str(spec, "priorityClassName");
    const struct doc *class = NULL;
    if (name.len) {
        const struct obj *o =
            cache_find(a->w->cache, schema_stored("scheduling.k8s.io", "priorityclasses"), STR_NULL, name);
        if (!o) {
            admission_forbid(a, "no PriorityClass with name " STR_FMT " was found", STR_ARG(name));
            return;
        }
        class = obj_doc(mem, o);
    } else if ((class = default_class(a))) {
        doc_put_str(mem, spec, "priorityClassName", doc_str(doc_get(class, "metadata"), "name"));
    }
    int64_t value = doc_int(class, "value", 0);
    struct str policy = doc_str(class, "preemptionPolicy");
    const struct doc *asked = doc_get(spec, "priority");
    if (asked && asked->i != value) {
        admission_forbid(a,
                         "the integer value of priority (%lld) must not be provided in pod spec; priority admission "
                         "controller computed %lld from the given PriorityClass name",
                         (long long)asked->i, (long long)value);
        return;
    }
    doc_put_int(mem, spec, "priority", value);
    if (!doc_get(spec, "preemptionPolicy"))
        doc_put_str(mem, spec, "preemptionPolicy", policy.len ? policy : STR("PreemptLowerPriority"));
}

static int validate(struct admission *a)
{
    if (!admission_is(a, "scheduling.k8s.io", "priorityclasses") || !a->obj ||
        !doc_bool(a->obj, "globalDefault", false))
        return 0;
    const struct doc *present = default_class(a);
    struct str name = doc_str(doc_get(present, "metadata"), "name");
    if (present && !str_eq(name, a->req->name))
        return admission_forbid(a, "PriorityClass " STR_FMT " is already marked as default. Only one default can exist",
                                STR_ARG(name));
    return 0;
}

const struct admission_plugin admit_priority = {.name = "Priority", .mutate = mutate, .validate = validate};
