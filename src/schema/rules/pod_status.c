/* schema/rules/pod_status.c - the status of a pod, as its node writes it: what it may say, and how it may move. */
#include "schema/rules/kinds.h"
#include "schema/rules/rules.h"

static const struct fpath status_at = {.name = "status"};

/* What has ended for good may not run again. spec is NULL for containers that never restart. */
static void check_transitions(struct rule_ctx *c, const char *list, const struct doc *status, const struct doc *old,
                              const struct doc *spec)
{
    struct str policy = spec ? doc_str(spec, "restartPolicy") : STR("Never");
    cleanup_set struct rule_set statuses = {0}, init = {0};
    if (str_is(policy, "Always"))
        return;
    rule_set_index(&statuses, doc_get(status, list), "name");
    rule_set_index(&init, doc_get(spec, "initContainers"), "name");
    rule_each (before, doc_get(old, list)) {
        const struct doc *ended = doc_get(doc_get(before, "state"), "terminated");
        struct str name = doc_str(before, "name");
        bool sidecar = str_is(doc_str(rule_set_node(&init, name), "restartPolicy"), "Always");
        if (!doc_is(ended, DOC_OBJECT) || (doc_int(ended, "exitCode", 0) && str_is(policy, "OnFailure")) || sidecar)
            continue;
        const struct doc *now = rule_set_node(&statuses, name);
        if (now && !rule_has(doc_get(now, "state"), "terminated"))
            rule_forbidden(c, AT(AT_INDEX(AT(&status_at, list), before_i), "state"),
                           "may not be transitioned to non-terminated state");
    }
}

static void check_status_ips(struct rule_ctx *c, const char *list, const struct doc *ips)
{
    const struct fpath *at = AT(&status_at, list);
    cleanup_set struct rule_set seen = {0};
    int families[7] = {0};
    bool bad = false;
    rule_each (ip, ips)
        bad |= !check_ip(c, AT_INDEX(at, ip_i), doc_str(ip, "ip"));
    if (doc_len(ips) < 2 || bad)
        return;
    doc_each (ip, ips)
        families[ip_family(c->mem, doc_str(ip, "ip"))]++;
    if (doc_len(ips) > 2 || families[4] != 1)
        rule_invalid_doc(c, at, ips, "may specify no more than one IP for each IP family");
    rule_each (ip, ips)
        if (!rule_set_add(&seen, doc_str(ip, "ip")))
            err_cause_raw(c->err, CAUSE_DUPLICATE, AT_INDEX(at, ip_i), rule_json(c, ip), NULL);
}

static void check_observed(struct rule_ctx *c, const struct fpath *at, const struct doc *holder)
{
    int64_t generation = doc_int(holder, "observedGeneration", 0);
    if (generation < 0)
        rule_invalid_int(c, AT(at, "observedGeneration"), generation, "must be a non-negative integer");
}

static void check_conditions_of_pod(struct rule_ctx *c, const struct doc *conditions)
{
    const struct fpath *at = AT_META(NULL, "conditions"); /* as Kubernetes has it */
    rule_each (cond, conditions) {
        check_observed(c, AT_INDEX(at, cond_i), cond);
        check_name(c, AT(AT_INDEX(at, cond_i), "Type"), doc_str(cond, "type"), name_qualified);
    }
}

static void check_claim_statuses(struct rule_ctx *c, const struct doc *statuses, const struct doc *claims)
{
    const struct fpath *at = AT(&status_at, "resourceClaimStatuses");
    cleanup_set struct rule_set known = {0}, seen = {0};
    rule_set_index(&known, claims, "name");
    rule_each (s, statuses) {
        const struct fpath *item = AT_INDEX(at, s_i);
        struct str name = doc_str(s, "name");
        if (!rule_set_has(&known, name))
            rule_invalid(c, AT(item, "name"), name, "must match the name of an entry in `spec.resourceClaims`");
        if (!rule_set_add(&seen, name))
            rule_duplicate(c, AT(item, "name"), name);
        if (rule_has(s, "resourceClaimName"))
            check_name(c, AT(item, "name"), doc_str(s, "resourceClaimName"), name_dns1123_subdomain);
    }
}

static bool has_claim(struct rule_ctx *c, const struct doc *ctr, struct str name)
{
    doc_each (claim, doc_get(doc_get(ctr, "resources"), "claims")) {
        struct str request = doc_str(claim, "request"),
                   own = str_fmt(c->mem, "claim:" STR_FMT "%s" STR_FMT, STR_ARG(doc_str(claim, "name")),
                                 request.len ? "/" : "", STR_ARG(request));
        if (str_eq(own, name))
            return true;
    }
    return false;
}

/* What a status says of devices must be of something that its container asked for; a container that the pod no longer
 * has is passed over. */
static void check_allocated(struct rule_ctx *c, const char *list, const struct doc *status,
                            const struct doc *containers)
{
    static const char *const healths[] = {"Healthy", "Unhealthy", "Unknown", NULL};
    cleanup_set struct rule_set by_name = {0};
    rule_set_index(&by_name, containers, "name");
    rule_each (s, doc_get(status, list)) {
        const struct doc *ctr = rule_set_node(&by_name, doc_str(s, "name"));
        const struct fpath *at = AT(AT_INDEX(AT(&status_at, list), s_i), "allocatedResourcesStatus");
        rule_each (r, doc_get(s, "allocatedResourcesStatus")) {
            const struct fpath *item = AT_INDEX(at, r_i), *resources_at = AT(item, "resources");
            struct str name = doc_str(r, "name");
            bool of_claim = str_starts(name, STR("claim:"));
            if (ctr && of_claim && !has_claim(c, ctr, name))
                rule_invalid(c, AT(item, "name"), name,
                             "must match one of the container's resource claims in a format "
                             "'claim:<claimName>/<request>' or 'claim:<claimName>' if request is empty");
            if (ctr && !of_claim && !doc_get_str(doc_get(doc_get(ctr, "resources"), "requests"), name))
                rule_invalid(c, AT(item, "name"), name, "must match one of the container's resource requests");
            cleanup_set struct rule_set ids = {0};
            rule_each (device, doc_get(r, "resources")) {
                struct str id = doc_str(device, "resourceID");
                check_enum(c, AT(AT_INDEX(resources_at, device_i), "health"), doc_str(device, "health"), healths);
                if (!rule_set_add(&ids, id))
                    rule_duplicate(c, AT(AT_INDEX(resources_at, device_i), "resourceID"), id);
            }
        }
    }
}

void validate_pod_status(struct rule_ctx *c, const struct doc *pod, const struct doc *old_pod, const struct fpath *at)
{
    const struct doc *status = doc_get(pod, "status"), *old = doc_get(old_pod, "status"),
                     *spec = doc_get(old_pod, "spec");
    struct str nominated = doc_str(status, "nominatedNodeName"), qos = doc_str(status, "qosClass");
    const struct doc *host_ips = doc_get(status, "hostIPs");
    check_annotation_changes(c, doc_get(doc_get(pod, "metadata"), "annotations"),
                             doc_get(doc_get(old_pod, "metadata"), "annotations"));
    check_conditions_of_pod(c, doc_get(status, "conditions"));
    if (!str_eq(doc_str(doc_get(pod, "spec"), "nodeName"), doc_str(spec, "nodeName")))
        rule_forbidden(c, AT(&status_at, "nodeName"), "may not be changed directly");
    if (nominated.len && !str_eq(nominated, doc_str(old, "nominatedNodeName")))
        check_name(c, AT(&status_at, "nominatedNodeName"), nominated, name_dns1123_subdomain);
    if (nominated.len && doc_str(spec, "nodeName").len && !str_eq(nominated, doc_str(old, "nominatedNodeName")))
        rule_forbidden(c, AT(&status_at, "nominatedNodeName"),
                       "may not be set on pods that are already bound to a node");
    check_observed(c, &status_at, status);
    if (!str_eq(qos, doc_str(old, "qosClass")))
        rule_invalid(c, AT(&status_at, "qosClass"), qos, "field is immutable");
    check_transitions(c, "containerStatuses", status, old, spec);
    check_transitions(c, "initContainerStatuses", status, old, spec);
    check_transitions(c, "ephemeralContainerStatuses", status, old, NULL);
    check_claim_statuses(c, doc_get(status, "resourceClaimStatuses"), doc_get(doc_get(pod, "spec"), "resourceClaims"));
    check_status_ips(c, "podIPs", doc_get(status, "podIPs"));
    if (doc_len(host_ips) && !str_eq(doc_str(status, "hostIP"), doc_str(doc_first(host_ips), "ip")))
        rule_invalid(c, AT(AT_INDEX(AT(&status_at, "hostIPs"), 0), "ip"), doc_str(doc_first(host_ips), "ip"),
                     "must be equal to `hostIP`");
    check_status_ips(c, "hostIPs", host_ips);
    check_allocated(c, "containerStatuses", status, doc_get(doc_get(pod, "spec"), "containers"));
    check_allocated(c, "initContainerStatuses", status, doc_get(doc_get(pod, "spec"), "initContainers"));
    rule_each (s, doc_get(status, "ephemeralContainerStatuses"))
        if (doc_len(doc_get(s, "allocatedResourcesStatus")))
            rule_forbidden(c,
                           AT(AT_INDEX(AT(&status_at, "ephemeralContainerStatuses"), s_i), "allocatedResourcesStatus"),
                           "must not be specified in container status");
}
