/* schema/rules/resources.c - names and amounts of resources, requests and limits. */
#include <stdlib.h>

#include "schema/rules/rules.h"

enum { RESOURCES_MAX = 1024 }; /* of one list: ours, so that looking from one list into another stays cheap */

static bool is_one_of(struct str name, const char *const *names)
{
    for (; *names; names++)
        if (str_is(name, *names))
            return true;
    return false;
}

static const char *const counted[] = {
    "pods",       "resourcequotas",         "services",           "replicationcontrollers", "secrets",
    "configmaps", "persistentvolumeclaims", "services.nodeports", "services.loadbalancers", NULL};
static const char *const computed[] = {"cpu",
                                       "memory",
                                       "ephemeral-storage",
                                       "requests.cpu",
                                       "requests.memory",
                                       "requests.ephemeral-storage",
                                       "limits.cpu",
                                       "limits.memory",
                                       "limits.ephemeral-storage",
                                       "requests.storage",
                                       NULL};

bool resource_is_hugepages(struct str name)
{
    return str_starts(name, STR("hugepages-"));
}

/* Without a prefix, or with one of Kubernetes' own. */
static bool is_native(struct str name)
{
    return str_find(name, '/') < 0 || str_has(name, STR("kubernetes.io/"));
}

static bool is_extended(struct arena *mem, struct str name)
{
    if (is_native(name) || str_starts(name, STR("requests.")))
        return false;
    return name_ok(str_fmt(mem, "requests." STR_FMT, STR_ARG(name)), name_qualified);
}

bool resource_may_overcommit(struct str name)
{
    return is_native(name) && !resource_is_hugepages(name);
}

bool resource_is_quota_name(struct str name)
{
    return is_one_of(name, counted) || is_one_of(name, computed) || resource_is_hugepages(name) ||
           str_starts(name, STR("requests.hugepages-"));
}

void check_resource_name(struct rule_ctx *c, const struct fpath *at, struct str name)
{
    if (!check_name(c, at, name, name_qualified))
        return;
    if (str_find(name, '/') < 0 && !resource_is_quota_name(name) && !str_is(name, "storage"))
        rule_invalid(c, at, name, "must be a standard resource type or fully qualified");
}

void check_container_resource_name(struct rule_ctx *c, const struct fpath *at, struct str name)
{
    static const char *const allowed[] = {"cpu", "memory", "ephemeral-storage", NULL};
    check_resource_name(c, at, name);
    if (str_find(name, '/') < 0) {
        if (!is_one_of(name, allowed) && !resource_is_hugepages(name))
            rule_invalid(c, at, name, "must be a standard resource for containers");
    } else if (!is_native(name) && !is_extended(c->mem, name))
        rule_invalid(c, at, name, "doesn't follow extended resource name standard");
}

bool check_quantity(struct rule_ctx *c, const struct fpath *at, struct str resource, struct str value)
{
    struct quantity q = quantity_of_str(value);
    int before = c->err->cause_count;
    if (quantity_sign(q) < 0)
        rule_invalid(c, at, value, "must be greater than or equal to 0");
    if ((is_one_of(resource, counted) || is_extended(c->mem, resource)) && quantity_milli(q) % 1000)
        rule_invalid(c, at, value, "must be an integer");
    return c->err->cause_count == before;
}

bool check_quantity_positive(struct rule_ctx *c, const struct fpath *at, struct str value)
{
    if (quantity_sign(quantity_of_str(value)) > 0)
        return true;
    rule_invalid(c, at, value, "must be greater than zero");
    return false;
}

/* Whole pages only: hugepages-2Mi counts bytes. */
static void check_pages(struct rule_ctx *c, const struct fpath *at, struct str name, struct str value)
{
    struct quantity page;
    int64_t bytes = quantity_parse(str_from(name, strlen("hugepages-")), &page) < 0 ? 0 : quantity_value(page);
    if (rule_kept_str(c, at, value))
        return;
    if (bytes <= 0 || quantity_milli(page) % 1000 || quantity_value(quantity_of_str(value)) % bytes)
        rule_invalid(c, at, value, STR_FMT " is not positive integer multiple of " STR_FMT, STR_ARG(value),
                     STR_ARG(name));
}

bool check_resource_count(struct rule_ctx *c, const struct fpath *at, const struct doc *list)
{
    if (doc_len(list) <= RESOURCES_MAX)
        return true;
    err_cause_int(c->err, CAUSE_TOO_MANY, at, doc_len(list), "must have at most %d items", RESOURCES_MAX);
    return false;
}

static void check_amount(struct rule_ctx *c, const struct fpath *at, const struct doc *amount)
{
    check_container_resource_name(c, at, amount->key);
    check_quantity(c, at, amount->key, doc_string(amount));
}

static void check_request(struct rule_ctx *c, const struct fpath *at, const struct doc *request,
                          const struct doc *limits)
{
    const struct fpath *requests_at = AT(at, "requests");
    struct str name = request->key, value = doc_string(request);
    const struct doc *limit = doc_get_str(limits, name);
    check_amount(c, AT_KEY(requests_at, name), request);
    if (!limit) {
        if (!resource_may_overcommit(name))
            rule_required(c, AT(at, "limits"), "Limit must be set for non overcommitable resources");
        return;
    }
    int order = quantity_cmp(quantity_of_str(value), quantity_of_str(doc_string(limit)));
    if (order && !resource_may_overcommit(name))
        rule_invalid(c, requests_at, value, "must be equal to " STR_FMT " limit of " STR_FMT, STR_ARG(name),
                     STR_ARG(doc_string(limit)));
    else if (order > 0)
        rule_invalid(c, requests_at, value, "must be less than or equal to " STR_FMT " limit of " STR_FMT,
                     STR_ARG(name), STR_ARG(doc_string(limit)));
}

static int cmp_str(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* A claim that the pod does not list: the message names those that it does. */
static void unknown_claim(struct rule_ctx *c, const struct fpath *at, struct str name, const struct rule_set *claims)
{
    struct sb list = SB(c->mem);
    struct str key, *names = arena_array(c->mem, struct str, (claims ? claims->map.count : 0) + 1);
    uint32_t it = 0;
    void *value;
    int n = 0;
    while (claims && map_each(&claims->map, &it, &key, &value))
        names[n++] = key;
    qsort(names, (size_t)n, sizeof *names, cmp_str);
    for (int i = 0; i < n; i++) {
        sb_addz(&list, i ? ", " : ": ");
        sb_add(&list, names[i]);
    }
    err_cause_str(c->err, CAUSE_NOT_FOUND, at, name, "must be one of the names in pod.spec.resourceClaims" STR_FMT,
                  STR_ARG(n ? sb_str(&list) : STR(" which is empty")));
}

static void check_claims(struct rule_ctx *c, const struct fpath *at, const struct doc *list,
                         const struct rule_set *claims)
{
    cleanup_set struct rule_set whole = {0}, parts = {0}, with_parts = {0};
    rule_each (claim, list) {
        const struct fpath *item = AT_INDEX(at, claim_i);
        struct str name = doc_str(claim, "name"), request = doc_str(claim, "request");
        if (!name.len) {
            rule_required(c, item, NULL);
            continue;
        }
        struct str key = str_fmt(c->mem, STR_FMT "/" STR_FMT, STR_ARG(name), STR_ARG(request));
        if (rule_set_has(&whole, name))
            rule_duplicate(c, item, name);
        else if (request.len) {
            check_name(c, AT(item, "request"), request, name_dns1123_label);
            rule_set_add(&with_parts, name);
            if (!rule_set_add(&parts, key))
                rule_duplicate(c, item, key);
        } else {
            rule_set_add(&whole, name);
            if (rule_set_has(&with_parts, name))
                rule_duplicate(c, item, name);
        }
        if (!rule_set_has(claims, name))
            unknown_claim(c, item, name, claims);
    }
}

void check_resources(struct rule_ctx *c, const struct fpath *at, const struct doc *resources,
                     const struct rule_set *claims)
{
    const struct doc *limits = doc_get(resources, "limits"), *requests = doc_get(resources, "requests");
    bool compute = false, pages = false;
    if (!check_resource_count(c, AT(at, "limits"), limits) || !check_resource_count(c, AT(at, "requests"), requests))
        return;
    doc_each (limit, limits) {
        check_amount(c, AT_KEY(AT(at, "limits"), limit->key), limit);
        compute |= str_is(limit->key, "cpu") || str_is(limit->key, "memory");
        if (resource_is_hugepages(limit->key)) {
            pages = true;
            check_pages(c, AT_KEY(AT(at, "limits"), limit->key), limit->key, doc_string(limit));
        }
    }
    doc_each (request, requests) {
        check_request(c, at, request, limits);
        compute |= str_is(request->key, "cpu") || str_is(request->key, "memory");
        if (resource_is_hugepages(request->key)) {
            pages = true;
            check_pages(c, AT_KEY(AT(at, "requests"), request->key), request->key, doc_string(request));
        }
    }
    if (pages && !compute)
        rule_forbidden(c, at, "HugePages require cpu or memory");
    check_claims(c, AT(at, "claims"), doc_get(resources, "claims"), claims);
}
