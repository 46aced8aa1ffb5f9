/* schema/rules/quota.c - LimitRange and ResourceQuota. */
#include "schema/rules/kinds.h"
#include "schema/rules/rules.h"

static const struct fpath spec_at = {.name = "spec"};

/* ---- LimitRange */
static void check_limit_name(struct rule_ctx *c, const struct fpath *at, struct str name, struct str type)
{
    if (str_is(type, "Pod") || str_is(type, "Container"))
        check_container_resource_name(c, at, name);
    else
        check_resource_name(c, at, name);
}

struct amount {
    bool set;
    struct quantity q;
    struct str text;
};

static struct amount amount_of(const struct doc *limit, const char *list, struct str name)
{
    const struct doc *v = doc_get_str(doc_get(limit, list), name);
    return (struct amount){v != NULL, quantity_of_str(doc_string(v)), doc_string(v)};
}

/* shown is the value that the cause quotes. */
static void check_order(struct rule_ctx *c, const struct fpath *at, struct amount low, struct amount high,
                        struct amount shown, const char *text)
{
    if (low.set && high.set && quantity_cmp(low.q, high.q) > 0)
        rule_invalid(c, at, shown.text, text, STR_ARG(low.text), STR_ARG(high.text));
}

static void check_ratio(struct rule_ctx *c, const struct fpath *at, struct amount ratio, struct amount min,
                        struct amount max)
{
    if (!ratio.set)
        return;
    if (quantity_cmp(ratio.q, quantity_of(1, QUANTITY_DECIMAL)) < 0)
        rule_invalid(c, at, ratio.text, "ratio " STR_FMT " is less than 1", STR_ARG(ratio.text));
    if (!min.set || !max.set || min.q.nano == 0)
        return;
    double limit = (double)max.q.nano / (double)min.q.nano;
    if ((double)ratio.q.nano / 1e9 > limit)
        rule_invalid(c, at, ratio.text, "ratio " STR_FMT " is greater than max/min = %f", STR_ARG(ratio.text), limit);
}

static void check_amounts(struct rule_ctx *c, const struct fpath *at, const struct doc *limit, struct str name)
{
    struct amount min = amount_of(limit, "min", name), max = amount_of(limit, "max", name),
                  dflt = amount_of(limit, "default", name), request = amount_of(limit, "defaultRequest", name);
    const struct fpath *request_at = AT_KEY(AT(at, "defaultRequest"), name),
                       *default_at = AT_KEY(AT(at, "default"), name);
    check_order(c, AT_KEY(AT(at, "min"), name), min, max, min,
                "min value " STR_FMT " is greater than max value " STR_FMT);
    check_order(c, request_at, min, request, request,
                "min value " STR_FMT " is greater than default request value " STR_FMT);
    check_order(c, request_at, request, max, request,
                "default request value " STR_FMT " is greater than max value " STR_FMT);
    check_order(c, request_at, request, dflt, request,
                "default request value " STR_FMT " is greater than default limit value " STR_FMT);
    check_order(c, default_at, min, dflt, min, "min value " STR_FMT " is greater than default value " STR_FMT);
    check_order(c, default_at, dflt, max, max, "default value " STR_FMT " is greater than max value " STR_FMT);
    check_ratio(c, AT_KEY(AT(at, "maxLimitRequestRatio"), name), amount_of(limit, "maxLimitRequestRatio", name), min,
                max);
    if (!resource_may_overcommit(name) && dflt.set && request.set && quantity_cmp(dflt.q, request.q))
        rule_invalid(c, request_at, request.text,
                     "default value " STR_FMT " must equal to defaultRequest value " STR_FMT " in " STR_FMT,
                     STR_ARG(dflt.text), STR_ARG(request.text), STR_ARG(name));
}

static void check_limit_type(struct rule_ctx *c, const struct fpath *at, struct str type)
{
    if (check_name(c, at, type, name_qualified) && str_find(type, '/') < 0 && !str_is(type, "Pod") &&
        !str_is(type, "Container") && !str_is(type, "PersistentVolumeClaim"))
        rule_invalid(c, at, type, "must be a standard limit type or fully qualified");
}

static void check_limit(struct rule_ctx *c, const struct fpath *at, const struct doc *limit)
{
    static const char *const lists[] = {"max", "min", "default", "defaultRequest", "maxLimitRequestRatio", NULL};
    struct str type = doc_str(limit, "type");
    cleanup_set struct rule_set keys = {0};
    for (const char *const *l = lists; *l; l++)
        if (!check_resource_count(c, AT(at, *l), doc_get(limit, *l)))
            return;
    for (const char *const *l = lists; *l; l++) {
        bool of_pod = str_is(type, "Pod") && str_starts(str_of(*l), STR("default"));
        if (of_pod && doc_len(doc_get(limit, *l)))
            rule_forbidden(c, AT(at, *l), "may not be specified when `type` is 'Pod'");
        if (str_is(str_of(*l), "maxLimitRequestRatio") && str_is(type, "PersistentVolumeClaim") &&
            !doc_get(doc_get(limit, "min"), "storage") && !doc_get(doc_get(limit, "max"), "storage"))
            rule_required(c, AT(at, "limits"),
                          "either minimum or maximum storage value is required, but neither was provided");
        if (!of_pod)
            doc_each (r, doc_get(limit, *l))
                check_limit_name(c, AT_KEY(AT(at, *l), r->key), r->key, type);
    }
    for (const char *const *l = lists; *l; l++)
        doc_each (r, doc_get(limit, *l))
            if (rule_set_add(&keys, r->key))
                check_amounts(c, at, limit, r->key);
}

void validate_limit_range(struct rule_ctx *c, const struct doc *obj, const struct doc *old, const struct fpath *at)
{
    cleanup_set struct rule_set types = {0};
    rule_each (limit, doc_get(doc_get(obj, "spec"), "limits")) {
        const struct fpath *item = AT_INDEX(AT(&spec_at, "limits"), limit_i);
        struct str type = doc_str(limit, "type");
        check_limit_type(c, AT(item, "type"), type);
        if (!rule_set_add(&types, type))
            rule_duplicate(c, AT(item, "type"), type);
        check_limit(c, item, limit);
    }
}

/* ---- ResourceQuota */
static void check_quota_list(struct rule_ctx *c, const struct fpath *at, const struct doc *list)
{
    doc_each (r, list) {
        const struct fpath *item = AT_KEY(at, r->key);
        check_resource_name(c, item, r->key);
        if (str_find(r->key, '/') < 0 && !resource_is_quota_name(r->key))
            rule_invalid(c, item, r->key, "must be a standard resource for quota");
        check_quantity(c, item, r->key, doc_string(r));
    }
}

static bool is_scope(struct str s)
{
    static const char *const scopes[] = {"Terminating",
                                         "NotTerminating",
                                         "BestEffort",
                                         "NotBestEffort",
                                         "PriorityClass",
                                         "CrossNamespacePodAffinity",
                                         "VolumeAttributesClass",
                                         NULL};
    for (const char *const *p = scopes; *p; p++)
        if (str_is(s, *p))
            return true;
    return false;
}

/* Does the scope mean anything for this resource? */
static bool scope_fits(struct str scope, struct str name)
{
    static const char *const compute[] = {"cpu",
                                          "memory",
                                          "ephemeral-storage",
                                          "requests.cpu",
                                          "requests.memory",
                                          "requests.ephemeral-storage",
                                          "limits.memory",
                                          "limits.cpu",
                                          "limits.ephemeral-storage",
                                          NULL};
    if (!resource_is_quota_name(name))
        return true;
    if (str_is(scope, "VolumeAttributesClass"))
        return str_is(name, "persistentvolumeclaims") || str_is(name, "requests.storage");
    if (str_is(name, "pods"))
        return true;
    if (str_is(scope, "BestEffort"))
        return false;
    for (const char *const *p = compute; *p; p++)
        if (str_is(name, *p))
            return true;
    return false;
}

static void check_scope_fits(struct rule_ctx *c, const struct fpath *at, struct str scope, const struct doc *hard,
                             const struct doc *shown)
{
    doc_each (r, hard)
        if (!scope_fits(scope, r->key))
            rule_invalid_doc(c, at, shown, "unsupported scope applied to resource");
}

static void check_conflicts(struct rule_ctx *c, const struct fpath *at, const struct rule_set *scopes,
                            const struct doc *shown)
{
    if (rule_set_has(scopes, STR("BestEffort")) && rule_set_has(scopes, STR("NotBestEffort")))
        rule_invalid_doc(c, at, shown, "conflicting scopes");
    if (rule_set_has(scopes, STR("Terminating")) && rule_set_has(scopes, STR("NotTerminating")))
        rule_invalid_doc(c, at, shown, "conflicting scopes");
}

static void check_scope_req(struct rule_ctx *c, const struct fpath *at, const struct doc *req)
{
    struct str scope = doc_str(req, "scopeName"), op = doc_str(req, "operator");
    uint32_t values = doc_len(doc_get(req, "values"));
    if (is_scope(scope) && !str_is(scope, "PriorityClass") && !str_is(scope, "VolumeAttributesClass") &&
        !str_is(op, "Exists"))
        rule_invalid(
            c, AT(at, "operator"), op,
            "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
            "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or "
            "ResourceQuotaScopeCrossNamespacePodAffinity");
    if (str_is(op, "In") || str_is(op, "NotIn")) {
        if (!values)
            rule_required(c, AT(at, "values"),
                          "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector");
    } else if (!str_is(op, "Exists") && !str_is(op, "DoesNotExist"))
        rule_invalid(c, AT(at, "operator"), op, "not a valid selector operator");
    else if (values)
        rule_invalid_doc(c, AT(at, "values"), doc_get(req, "values"),
                         "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector");
}

static void check_quota_scopes(struct rule_ctx *c, const struct doc *spec)
{
    const struct doc *scopes = doc_get(spec, "scopes"), *selector = doc_get(spec, "scopeSelector"),
                     *hard = doc_get(spec, "hard");
    const struct fpath *at = AT(&spec_at, "scopes"), *sel_at = AT(AT(&spec_at, "scopeSelector"), "matchExpressions");
    cleanup_set struct rule_set plain = {0}, selected = {0};
    doc_each (s, scopes) {
        if (!is_scope(doc_string(s)))
            rule_invalid_doc(c, at, scopes, "unsupported scope");
        check_scope_fits(c, at, doc_string(s), hard, scopes);
        rule_set_add(&plain, doc_string(s));
    }
    check_conflicts(c, at, &plain, scopes);
    doc_each (req, doc_get(selector, "matchExpressions")) {
        struct str scope = doc_str(req, "scopeName");
        if (!is_scope(scope))
            rule_invalid(c, AT(sel_at, "scopeName"), scope, "unsupported scope");
        check_scope_fits(c, sel_at, scope, hard, selector);
        check_scope_req(c, sel_at, req);
        rule_set_add(&selected, scope);
    }
    check_conflicts(c, sel_at, &selected, scopes);
}

void validate_resource_quota(struct rule_ctx *c, const struct doc *obj, const struct doc *old, const struct fpath *at)
{
    const struct doc *spec = doc_get(obj, "spec");
    check_quota_list(c, AT(&spec_at, "hard"), doc_get(spec, "hard"));
    check_quota_scopes(c, spec);
    if (old && !rule_equal(doc_get(spec, "scopes"), doc_get(doc_get(old, "spec"), "scopes")))
        rule_invalid_doc(c, AT(&spec_at, "scopes"), doc_get(spec, "scopes"), "field is immutable");
}

void validate_resource_quota_status(struct rule_ctx *c, const struct doc *obj, const struct doc *old,
                                    const struct fpath *at)
{
    check_quota_list(c, AT(AT(at, "status"), "hard"), doc_get(doc_get(obj, "status"), "hard"));
    check_quota_list(c, AT(AT(at, "status"), "used"), doc_get(doc_get(obj, "status"), "used"));
}
