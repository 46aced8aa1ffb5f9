/* sched/spread.c - PodTopologySpread: constraints of a pod over domains of nodes (KEP-895), and the default spreading
 * of pods that name none: over hosts (maxSkew 3) and zones (maxSkew 5), counted among pods of the same owner.
 *
 * Ours differs: the default constraints count pods with the same controller instead of asking Services and ReplicaSets
 * for selectors. */
#include "sched/plugins.h"

#include "schema/labels.h"

enum { CONSTRAINTS_MAX = 16 };

struct constraint {
    struct str key;
    int64_t max_skew, min_domains;
    bool is_hard, honor_affinity, honor_taints;
    const struct selector *selector; /* NULL: pods of the same controller */
    struct map domains;              /* value of the label -> struct domain; freed with the arena */
    int64_t lowest;                  /* over eligible domains */
};
struct domain {
    int64_t pods;
};
struct spread {
    struct constraint list[CONSTRAINTS_MAX];
    int count;
};

static void free_maps(void *data)
{
    struct spread *s = data;
    for (int i = 0; i < s->count; i++)
        map_done(&s->list[i].domains);
}

static struct str label_of(void *ctx, struct str key, bool *found)
{
    return obj_label_value(ctx, key, found);
}

static bool counts(const struct cycle *c, const struct constraint *k, const struct pod_info *other)
{
    const struct obj *o = other->obj;
    if (o->deleting || !str_eq(o->ns, c->pod->obj->ns))
        return false;
    return k->selector ? selector_matches_get(k->selector, label_of, (void *)o)
                       : o->owner_uid.len && str_eq(o->owner_uid, c->pod->obj->owner_uid);
}

static bool eligible(const struct cycle *c, const struct constraint *k, const struct node_info *n)
{
    return !(k->honor_affinity && !node_matches_selector(c->spec, n)) && !(k->honor_taints && filter_taints(c, 0, n));
}

static void count_domains(struct cycle *c, struct constraint *k)
{
    for (int i = 0; i < c->node_count; i++) {
        bool present = false;
        struct str value = obj_label_value(c->nodes[i]->obj, k->key, &present);
        if (!present || !eligible(c, k, c->nodes[i]))
            continue;
        struct domain *d = map_get(&k->domains, value);
        if (!d)
            map_put(&k->domains, value, d = arena_new_of(c->mem, struct domain));
        list_each (l, &c->nodes[i]->pods)
            d->pods += counts(c, k, container_of(l, struct pod_info, link));
    }
    uint32_t it = 0;
    struct str key;
    void *value;
    k->lowest = INT64_MAX;
    while (map_each(&k->domains, &it, &key, &value))
        k->lowest = ((struct domain *)value)->pods < k->lowest ? ((struct domain *)value)->pods : k->lowest;
    if (k->domains.count < k->min_domains || k->lowest == INT64_MAX)
        k->lowest = 0;
}

static void read_constraint(struct cycle *c, struct constraint *k, const struct doc *d)
{
    struct err ignored = ERR(c->mem); /* validated before */
    struct str affinity = doc_str(d, "nodeAffinityPolicy"), taints = doc_str(d, "nodeTaintsPolicy");
    k->key = doc_str(d, "topologyKey"), k->max_skew = doc_int(d, "maxSkew", 1),
    k->min_domains = doc_int(d, "minDomains", 1);
    k->is_hard = !str_is(doc_str(d, "whenUnsatisfiable"), "ScheduleAnyway");
    k->honor_affinity = !str_is(affinity, "Ignore"), k->honor_taints = str_is(taints, "Honor");
    k->selector = selector_from_doc(c->mem, doc_get(d, "labelSelector"), &ignored);
}

static struct spread *read_spread(struct cycle *c, bool hard)
{
    struct spread *s = arena_new_of(c->mem, struct spread);
    const struct doc *given = doc_get(c->spec, "topologySpreadConstraints");
    doc_each (d, given) {
        struct constraint *k = &s->list[s->count];
        if (s->count == CONSTRAINTS_MAX)
            break;
        read_constraint(c, k, d);
        s->count += k->is_hard == hard;
    }
    if (!doc_len(given) && !hard && c->pod->obj->owner_uid.len) {
        s->list[s->count++] =
            (struct constraint){.key = STR("kubernetes.io/hostname"), .max_skew = 3, .honor_affinity = true};
        s->list[s->count++] =
            (struct constraint){.key = STR("topology.kubernetes.io/zone"), .max_skew = 5, .honor_affinity = true};
    }
    for (int i = 0; i < s->count; i++)
        count_domains(c, &s->list[i]);
    arena_on_free(c->mem, free_maps, s);
    return s->count ? s : NULL;
}

void spread_pre_filter(struct cycle *c, int row)
{
    c->state[row] = read_spread(c, /* hard= */ true);
}

const char *filter_spread(const struct cycle *c, int row, const struct node_info *n)
{
    const struct spread *s = c->state[row];
    for (int i = 0; s && i < s->count; i++) {
        const struct constraint *k = &s->list[i];
        bool present = false;
        struct str value = obj_label_value(n->obj, k->key, &present);
        if (!present)
            return "node(s) didn't match pod topology spread constraints (missing required label)";
        const struct domain *d = map_get(&k->domains, value);
        int64_t self = counts(c, k, c->pod), here = d ? d->pods : 0;
        if (here + self - k->lowest > k->max_skew)
            return "node(s) didn't match pod topology spread constraints";
    }
    return NULL;
}

void spread_pre_score(struct cycle *c, int row)
{
    c->state[row] = read_spread(c, /* hard= */ false);
}

/* Fewer matching pods in the node's domains is better; the row reverses. A node without the label counts as the
 * fullest. */
int64_t score_spread(const struct cycle *c, int row, const struct node_info *n)
{
    const struct spread *s = c->state[row];
    int64_t sum = 0;
    for (int i = 0; s && i < s->count; i++) {
        const struct constraint *k = &s->list[i];
        bool present = false;
        struct str value = obj_label_value(n->obj, k->key, &present);
        const struct domain *d = present ? map_get(&k->domains, value) : NULL;
        sum += d ? d->pods * 100 / (k->max_skew > 0 ? k->max_skew : 1) : 0;
    }
    return sum;
}
