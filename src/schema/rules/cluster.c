/* schema/rules/cluster.c - Node, Namespace, ServiceAccount, PriorityClass, Lease. */
#include "schema/rules/kinds.h"
#include "schema/rules/rules.h"

enum { USER_PRIORITY_MAX = 1000000000, CLUSTER_CRITICAL = 2000000000, NODE_CRITICAL = 2000001000 };
static const struct fpath spec_at = {.name = "spec"};

static void check_taints(struct rule_ctx *c, const struct doc *taints)
{
    const struct fpath *at = AT_META(NULL, "taints"); /* as Kubernetes has it */
    cleanup_set struct rule_set seen = {0};
    rule_each (t, taints) {
        const struct fpath *item = AT_INDEX(at, t_i);
        const char *msgs[NAME_MSGS_MAX];
        struct str key = doc_str(t, "key"), value = doc_str(t, "value"), effect = doc_str(t, "effect");
        check_name(c, AT(item, "key"), key, name_qualified);
        int n = name_label_value(value, msgs);
        if (n)
            rule_invalid(c, AT(item, "value"), value, n > 1 ? "%s;%s" : "%s", msgs[0], msgs[n - 1]);
        if (effect.len)
            check_taint_effect(c, AT(item, "effect"), effect);
        else
            rule_required(c, AT(item, "effect"), NULL);
        if (!rule_set_add(&seen, str_fmt(c->mem, STR_FMT "\n" STR_FMT, STR_ARG(effect), STR_ARG(key))))
            err_cause_raw(c->err, CAUSE_DUPLICATE, item, rule_json(c, t),
                          "taints must be unique by key and effect pair");
    }
}

static void check_node_resources(struct rule_ctx *c, const struct doc *status)
{
    static const char *const lists[] = {"capacity", "allocatable", NULL};
    for (const char *const *l = lists; *l; l++)
        doc_each (r, doc_get(status, *l))
            check_quantity(c, AT(AT(AT(NULL, "status"), *l), str_z(c->mem, r->key)), r->key, doc_string(r));
}

static void check_pod_cidrs(struct rule_ctx *c, const struct doc *cidrs)
{
    const struct fpath *at = AT(&spec_at, "podCIDRs");
    cleanup_set struct rule_set seen = {0};
    int four = 0;
    rule_each (v, cidrs)
        check_cidr(c, AT_INDEX(at, v_i), doc_string(v));
    doc_each (v, cidrs)
        four += cidr_family(c->mem, doc_string(v)) == 4;
    if (doc_len(cidrs) > 1 && (doc_len(cidrs) > 2 || four != 1))
        rule_invalid_doc(c, at, cidrs, "may specify no more than one CIDR for each IP family");
    rule_each (v, cidrs)
        if (!rule_set_add(&seen, doc_string(v)))
            rule_duplicate(c, AT_INDEX(at, v_i), doc_string(v));
}

static void check_node_change(struct rule_ctx *c, const struct doc *obj, const struct doc *old_obj)
{
    const struct doc *spec = doc_get(obj, "spec"), *old = doc_get(old_obj, "spec");
    struct str provider = doc_str(old, "providerID");
    cleanup_set struct rule_set seen = {0};
    rule_each (a, doc_get(doc_get(obj, "status"), "addresses"))
        if (!rule_set_add(&seen, str_fmt(c->mem, STR_FMT "\n" STR_FMT, STR_ARG(doc_str(a, "type")),
                                         STR_ARG(doc_str(a, "address")))))
            err_cause_raw(c->err, CAUSE_DUPLICATE, AT_INDEX(AT(AT(NULL, "status"), "addresses"), a_i), rule_json(c, a),
                          NULL);
    if (doc_len(doc_get(old, "podCIDRs")) && !rule_equal(doc_get(spec, "podCIDRs"), doc_get(old, "podCIDRs")))
        rule_forbidden(c, AT(&spec_at, "podCIDRs"), "node updates may not change podCIDR except from \"\" to valid");
    if (provider.len && !str_eq(provider, doc_str(spec, "providerID")))
        rule_forbidden(c, AT(&spec_at, "providerID"),
                       "node updates may not change providerID except from \"\" to valid");
    if (!str_eq(doc_str(spec, "externalID"), doc_str(old, "externalID")))
        rule_forbidden(c, AT(&spec_at, "externalID"), "may not be updated");
}

void validate_node(struct rule_ctx *c, const struct doc *obj, const struct doc *old, const struct fpath *at)
{
    if (!old)
        check_taints(c, doc_get(doc_get(obj, "spec"), "taints"));
    check_node_resources(c, doc_get(obj, "status"));
    if (!old) {
        check_pod_cidrs(c, doc_get(doc_get(obj, "spec"), "podCIDRs"));
        return;
    }
    check_node_change(c, obj, old);
    check_taints(c, doc_get(doc_get(obj, "spec"), "taints"));
}

void validate_node_status(struct rule_ctx *c, const struct doc *obj, const struct doc *old, const struct fpath *at)
{
    check_node_resources(c, doc_get(obj, "status"));
    check_node_change(c, obj, old);
}

static void check_namespace_finalizers(struct rule_ctx *c, const struct doc *obj, bool indexed)
{
    const struct fpath *list = AT(&spec_at, "finalizers");
    rule_each (f, doc_get(doc_get(obj, "spec"), "finalizers")) {
        const struct fpath *item = indexed ? AT_INDEX(list, f_i) : list;
        struct str name = doc_string(f);
        check_name(c, item, name, name_qualified);
        if (str_find(name, '/') < 0 && !str_is(name, "kubernetes") && !str_is(name, "orphan") &&
            !str_is(name, "foregroundDeletion"))
            rule_invalid(c, item, name, "name is neither a standard finalizer name nor is it fully qualified");
    }
}

void validate_namespace(struct rule_ctx *c, const struct doc *obj, const struct doc *old, const struct fpath *at)
{
    bool finalize = c->sub && str_is(str_of(c->sub->name), "finalize");
    if (!old || finalize)
        check_namespace_finalizers(c, obj, finalize);
}

void validate_namespace_status(struct rule_ctx *c, const struct doc *obj, const struct doc *old, const struct fpath *at)
{
    struct str phase = doc_str(doc_get(obj, "status"), "phase");
    bool deleted = rule_has(doc_get(obj, "metadata"), "deletionTimestamp");
    if (!str_is(phase, deleted ? "Terminating" : "Active"))
        rule_invalid(c, AT(AT(at, "status"), "Phase"), phase, "may only be '%s' if `deletionTimestamp` is %sempty",
                     deleted ? "Terminating" : "Active", deleted ? "not " : "");
}

void validate_service_account(struct rule_ctx *c, const struct doc *obj, const struct doc *old, const struct fpath *at)
{
    /* metadata only */
}

static void check_system_class(struct rule_ctx *c, const struct fpath *at, const struct doc *obj, struct str name)
{
    int64_t want = str_is(name, "system-node-critical")      ? NODE_CRITICAL
                   : str_is(name, "system-cluster-critical") ? CLUSTER_CRITICAL
                                                             : 0;
    struct str why = STR("");
    if (!want)
        why = str_fmt(c->mem, STR_FMT " is not a known system priority class", STR_ARG(name));
    else if (doc_int(obj, "value", 0) != want)
        why = str_fmt(c->mem, "value of " STR_FMT " PriorityClass must be %lld", STR_ARG(name), (long long)want);
    else if (doc_bool(obj, "globalDefault", false))
        why = str_fmt(c->mem, "globalDefault of " STR_FMT " PriorityClass must be false", STR_ARG(name));
    if (why.len)
        rule_forbidden(c, at,
                       "priority class names with 'system-' prefix are reserved for system use only. error: " STR_FMT,
                       STR_ARG(why));
}

void validate_priority_class(struct rule_ctx *c, const struct doc *obj, const struct doc *old, const struct fpath *at)
{
    struct str name = doc_str(doc_get(obj, "metadata"), "name");
    if (old) {
        if (doc_int(obj, "value", 0) != doc_int(old, "value", 0))
            rule_forbidden(c, AT(at, "value"), "may not be changed in an update.");
        check_immutable(c, AT(at, "preemptionPolicy"), doc_get(obj, "preemptionPolicy"),
                        doc_get(old, "preemptionPolicy"));
        return;
    }
    if (str_starts(name, STR("system-")))
        check_system_class(c, AT_META(at, "name"), obj, name);
    else if (doc_int(obj, "value", 0) > USER_PRIORITY_MAX)
        rule_forbidden(c, AT(at, "value"), "maximum allowed value of a user defined priority is %d", USER_PRIORITY_MAX);
    if (rule_has(obj, "preemptionPolicy"))
        check_preemption_policy(c, AT(at, "preemptionPolicy"), doc_str(obj, "preemptionPolicy"));
}

void validate_lease(struct rule_ctx *c, const struct doc *obj, const struct doc *old, const struct fpath *at)
{
    const struct doc *spec = doc_get(obj, "spec"), *seconds = doc_get(spec, "leaseDurationSeconds"),
                     *transitions = doc_get(spec, "leaseTransitions");
    if (doc_is(seconds, DOC_INT) && seconds->i <= 0)
        rule_invalid_int(c, AT(&spec_at, "leaseDurationSeconds"), seconds->i, "must be greater than 0");
    if (doc_is(transitions, DOC_INT) && transitions->i < 0)
        rule_invalid_int(c, AT(&spec_at, "leaseTransitions"), transitions->i, "must be greater than or equal to 0");
    if (rule_has(spec, "preferredHolder") && doc_str(spec, "preferredHolder").len && !rule_has(spec, "strategy"))
        rule_forbidden(c, AT(&spec_at, "preferredHolder"), "may only be specified if `strategy` is defined");
}
