/* control/clusterrole_aggregation.c - a ClusterRole with an aggregationRule has the rules of those it selects.
 *
 * There is one key: a change of any ClusterRole may concern every sum. Source: kubernetes
 * pkg/controller/clusterroleaggregation. */
#include "control/internal.h"
#include "schema/labels.h"

#define ALL STR("all")

static struct str label_of(void *data, struct str key, bool *found)
{
    return obj_label_value(data, key, found);
}

static void add_rules(struct arena *mem, struct doc *sum, const struct obj *role)
{
    doc_each (rule, doc_get(obj_doc(mem, role), "rules")) {
        bool known = false;
        doc_each (have, sum)
            known |= doc_eq(have, rule);
        if (known)
            continue;
        struct doc *copy = doc_copy(mem, rule);
        copy->key = STR_NULL;
        doc_push(sum, copy);
    }
}

/* Selector by selector, in each the roles by name. A malformed selector selects nothing. */
static struct doc *sum_of(struct reconcile *r, const struct obj *role, const struct doc *aggregation)
{
    struct doc *sum = doc_new_array(r->mem);
    doc_each (s, doc_get(aggregation, "clusterRoleSelectors")) {
        struct err err = ERR(r->mem);
        const struct selector *sel = selector_from_doc(r->mem, s, &err);
        struct cache_iter it = cache_list(r->cache, obj_prefix(r->mem, role->res, STR_NULL), STR_NULL);
        for (struct obj *o; sel && (o = cache_next(&it));)
            if (o != role && selector_matches_get(sel, label_of, o))
                add_rules(r->mem, sum, o);
    }
    return sum;
}

static void reconcile(struct reconcile *r)
{
    const struct resource *res = schema_stored("rbac.authorization.k8s.io", "clusterroles");
    struct cache_iter it = cache_list(r->cache, obj_prefix(r->mem, res, STR_NULL), STR_NULL);
    for (const struct obj *o; (o = cache_next(&it));) {
        if (o->deleting || !str_has(o->json, STR("\"aggregationRule\""))) /* cheaper than to parse them all */
            continue;
        const struct doc *role = obj_doc(r->mem, o), *aggregation = doc_get(role, "aggregationRule");
        if (!doc_is(aggregation, DOC_OBJECT))
            continue;
        struct doc *sum = sum_of(r, o, aggregation), *patch = doc_new_object(r->mem);
        if (!doc_len(sum) && !doc_len(doc_get(role, "rules")))
            continue;
        doc_put(r->mem, patch, "rules", sum);
        reconcile_merge(r, res, NULL, STR_NULL, o->name, patch);
    }
}

static void on_role(struct controller *c, const struct cache_event *ev)
{
    controller_enqueue(c, ALL);
}

const struct controller_kind controller_clusterrole_aggregation = {
    .name = "ClusterRoleAggregator",
    .account = "clusterrole-aggregation-controller",
    .watches = {{"rbac.authorization.k8s.io", "clusterroles", on_role}},
    .reconcile = reconcile,
};
