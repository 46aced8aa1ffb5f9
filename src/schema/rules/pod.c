/* schema/rules/pod.c - the whole of a PodSpec, of a Pod or of a template. What an update may change: pod_update.c. */
#include "schema/rules/rules.h"

enum {
    POD_RESOURCES_MAX = 32,
    NAMESERVERS_MAX = 3,
    SEARCHES_MAX = 32,
    SEARCH_CHARS_MAX = 2048,
    HOST_NAME_MAX_LEN = 64
};

static void check_required_choice(struct rule_ctx *c, const struct fpath *at, struct str value,
                                  const char *const *allowed)
{
    if (value.len)
        check_enum(c, at, value, allowed);
    else
        rule_required(c, at, NULL);
}

void check_preemption_policy(struct rule_ctx *c, const struct fpath *at, struct str policy)
{
    static const char *const policies[] = {"PreemptLowerPriority", "Never", NULL};
    check_required_choice(c, at, policy, policies);
}

static void check_claim_refs(struct rule_ctx *c, const struct fpath *at, const struct doc *claims,
                             struct rule_set *ret_names)
{
    rule_each (claim, claims) {
        const struct fpath *item = AT_INDEX(at, claim_i);
        struct str name = doc_str(claim, "name");
        bool by_name = rule_has(claim, "resourceClaimName"), by_template = rule_has(claim, "resourceClaimTemplateName");
        if (!name.len)
            rule_required(c, AT(item, "name"), NULL);
        else if (!rule_set_add(ret_names, name))
            rule_duplicate(c, AT(item, "name"), name);
        else
            check_name(c, AT(item, "name"), name, name_dns1123_label);
        if (by_name && by_template)
            rule_invalid_doc(c, item, claim,
                             "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified");
        if (!by_name && !by_template)
            rule_invalid_doc(c, item, claim, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`");
        if (by_name)
            check_name(c, AT(item, "resourceClaimName"), doc_str(claim, "resourceClaimName"), name_dns1123_subdomain);
        if (by_template)
            check_name(c, AT(item, "resourceClaimTemplateName"), doc_str(claim, "resourceClaimTemplateName"),
                       name_dns1123_subdomain);
    }
}

/* Under hostNetwork a container listens on the host: both ports are the same. */
static void check_host_network_ports(struct rule_ctx *c, const struct fpath *at, const struct pod_rules *p)
{
    if (!p->host_network)
        return;
    rule_each (ctr, doc_get(p->spec, "containers")) {
        const struct fpath *ports = AT(AT_INDEX(AT(at, "containers"), ctr_i), "ports");
        rule_each (port, doc_get(ctr, "ports")) {
            int64_t host = doc_int(port, "hostPort", 0), own = doc_int(port, "containerPort", 0);
            if ((p->is_pod || host != 0) && host != own)
                rule_invalid_int(c, AT(AT_INDEX(ports, port_i), "hostPort"), host,
                                 "must match `containerPort` when `hostNetwork` is true");
        }
    }
}

static void check_searches(struct rule_ctx *c, const struct fpath *at, const struct doc *searches)
{
    size_t chars = doc_len(searches) ? doc_len(searches) - 1 : 0;
    doc_each (s, searches)
        chars += doc_string(s).len;
    if (doc_len(searches) > SEARCHES_MAX)
        rule_invalid_doc(c, at, searches, "must not have more than %d search paths", SEARCHES_MAX);
    if (chars > SEARCH_CHARS_MAX)
        rule_invalid_doc(c, at, searches, "must not have more than %d characters (including spaces) in the search list",
                         SEARCH_CHARS_MAX);
    rule_each (s, searches) {
        struct str path = doc_string(s);
        if (str_is(path, "."))
            continue;
        if (str_ends(path, STR(".")))
            path.len--;
        check_name(c, AT_INDEX(at, s_i), path, name_subdomain_underscore);
    }
}

static void check_dns(struct rule_ctx *c, const struct fpath *at, const struct doc *config, struct str policy)
{
    const struct doc *servers = doc_get(config, "nameservers");
    if (str_is(policy, "None") && !doc_is(config, DOC_OBJECT)) {
        rule_required(c, at, "must provide `dnsConfig` when `dnsPolicy` is None");
        return;
    }
    if (str_is(policy, "None") && !doc_len(servers)) {
        rule_required(c, AT(at, "nameservers"), "must provide at least one DNS nameserver when `dnsPolicy` is None");
        return;
    }
    if (doc_len(servers) > NAMESERVERS_MAX)
        rule_invalid_doc(c, AT(at, "nameservers"), servers, "must not have more than %d nameservers", NAMESERVERS_MAX);
    rule_each (ns, servers)
        check_ip(c, AT_INDEX(AT(at, "nameservers"), ns_i), doc_string(ns));
    check_searches(c, AT(at, "searches"), doc_get(config, "searches"));
    rule_each (option, doc_get(config, "options"))
        if (!doc_str(option, "name").len)
            rule_required(c, AT_INDEX(AT(at, "options"), option_i), "must not be empty");
}

static void check_gates(struct rule_ctx *c, const struct fpath *at, const struct doc *spec)
{
    cleanup_set struct rule_set seen = {0};
    const struct fpath *ready = AT(at, "readinessGates"), *sched = AT(at, "schedulingGates");
    rule_each (g, doc_get(spec, "readinessGates"))
        check_name(c, AT(AT_INDEX(ready, g_i), "conditionType"), doc_str(g, "conditionType"), name_qualified);
    rule_each (g, doc_get(spec, "schedulingGates")) {
        check_name(c, AT_INDEX(sched, g_i), doc_str(g, "name"), name_qualified);
        if (!rule_set_add(&seen, doc_str(g, "name")))
            rule_duplicate(c, AT_INDEX(sched, g_i), doc_str(g, "name"));
    }
}

/* A user namespace of its own goes with no namespace of the host. */
static void check_host_users(struct rule_ctx *c, const struct fpath *at, const struct pod_rules *p)
{
    static const char alone[] = "when `hostUsers` is false";
    static const char *const lists[] = {"initContainers", "containers", "ephemeralContainers", NULL};
    if (p->host_users)
        return;
    if (p->host_network)
        rule_forbidden(c, AT(at, "hostNetwork"), alone);
    if (doc_bool(p->spec, "hostPID", false))
        rule_forbidden(c, AT(at, "HostPID"), alone);
    if (doc_bool(p->spec, "hostIPC", false))
        rule_forbidden(c, AT(at, "HostIPC"), alone);
    for (const char *const *l = lists; *l; l++) {
        const struct fpath *list = AT(at, *l);
        rule_each (ctr, doc_get(p->spec, *l)) {
            const struct fpath *devices = AT(AT_INDEX(list, ctr_i), "volumeDevices");
            if (doc_len(doc_get(ctr, "volumeDevices")) && !rule_kept(c, devices, doc_get(ctr, "volumeDevices")))
                rule_forbidden(c, devices, alone);
        }
    }
}

static void check_hostname_override(struct rule_ctx *c, const struct fpath *spec_at, const struct pod_rules *p)
{
    const struct doc *name = doc_get(p->spec, "hostnameOverride");
    const struct fpath *at = AT(spec_at, "hostnameOverride");
    if (!doc_is(name, DOC_STRING))
        return;
    if (doc_bool(p->spec, "setHostnameAsFQDN", false))
        rule_forbidden(c, at, "may not be specified when setHostnameAsFQDN is true");
    if (p->host_network)
        rule_forbidden(c, at, "may not be specified when hostNetwork is true");
    if (name->s.len > HOST_NAME_MAX_LEN)
        err_cause(c->err, CAUSE_TOO_LONG, at, "may not be more than %d bytes", HOST_NAME_MAX_LEN);
    check_name(c, at, name->s, name_dns1123_subdomain);
}

/* A file that holds variables must lie in an emptyDir. */
static void check_env_files(struct rule_ctx *c, const struct fpath *at, const struct pod_rules *p)
{
    static const char *const lists[] = {"initContainers", "containers", "ephemeralContainers", NULL};
    cleanup_set struct rule_set volumes = {0};
    rule_set_index(&volumes, doc_get(p->spec, "volumes"), "name");
    for (const char *const *l = lists; *l; l++)
        rule_each (ctr, doc_get(p->spec, *l))
            rule_each (var, doc_get(ctr, "env")) {
                const struct fpath *from = AT(AT_INDEX(AT(AT_INDEX(AT(at, *l), ctr_i), "env"), var_i), "valueFrom"),
                                   *name_at = AT(AT(from, "fileKeyRef"), "volumeName");
                const struct doc *ref = doc_get(doc_get(var, "valueFrom"), "fileKeyRef");
                struct str name = doc_str(ref, "volumeName");
                if (!doc_is(ref, DOC_OBJECT))
                    continue;
                if (!rule_set_has(&volumes, name))
                    rule_not_found(c, name_at, name);
                else if (!rule_has(rule_set_node(&volumes, name), "emptyDir"))
                    rule_invalid(c, name_at, name, "referenced volume must be of type emptyDir");
            }
}

static void check_optional_name(struct rule_ctx *c, const struct fpath *up, const struct doc *obj, const char *name,
                                name_rule *rule)
{
    if (doc_str(obj, name).len)
        check_name(c, AT(up, name), doc_str(obj, name), rule);
}

static void check_host_aliases(struct rule_ctx *c, const struct fpath *at, const struct doc *aliases)
{
    rule_each (a, aliases) {
        const struct fpath *item = AT_INDEX(at, a_i);
        check_ip(c, AT(item, "ip"), doc_str(a, "ip"));
        rule_each (h, doc_get(a, "hostnames"))
            check_name(c, AT_INDEX(AT(item, "hostnames"), h_i), doc_string(h), name_dns1123_subdomain);
    }
}

static void check_names_of_spec(struct rule_ctx *c, const struct fpath *at, const struct doc *spec)
{
    const struct doc *deadline = doc_get(spec, "activeDeadlineSeconds");
    check_optional_name(c, at, spec, "serviceAccountName", name_dns1123_subdomain);
    check_optional_name(c, at, spec, "nodeName", name_dns1123_subdomain);
    if (doc_is(deadline, DOC_INT))
        check_range(c, AT(at, "activeDeadlineSeconds"), deadline->i, 1, INT32_MAX);
    check_optional_name(c, at, spec, "hostname", name_dns1123_label);
    check_optional_name(c, at, spec, "subdomain", name_dns1123_label);
    check_tolerations(c, AT(at, "tolerations"), doc_get(spec, "tolerations"));
    check_host_aliases(c, AT(at, "hostAliases"), doc_get(spec, "hostAliases"));
    check_optional_name(c, at, spec, "priorityClassName", name_dns1123_subdomain);
    if (rule_has(spec, "runtimeClassName"))
        check_name(c, AT(at, "runtimeClassName"), doc_str(spec, "runtimeClassName"), name_dns1123_subdomain);
    if (rule_has(spec, "preemptionPolicy"))
        check_preemption_policy(c, AT(at, "preemptionPolicy"), doc_str(spec, "preemptionPolicy"));
}

static void check_overhead(struct rule_ctx *c, const struct fpath *at, const struct doc *overhead)
{
    const struct fpath *limits = AT(at, "limits");
    doc_each (r, overhead) {
        check_container_resource_name(c, AT_KEY(limits, r->key), r->key);
        check_quantity(c, AT_KEY(limits, r->key), r->key, doc_string(r));
    }
}

/* Requests of the containers, and of the init containers that go on running, may not be more than the pod's own. */
static void check_pod_level_sum(struct rule_ctx *c, const struct fpath *at, const struct doc *spec,
                                const struct doc *request)
{
    struct quantity sum = QUANTITY_ZERO, side = QUANTITY_ZERO, peak = QUANTITY_ZERO;
    struct str name = request->key;
    doc_each (ctr, doc_get(spec, "containers"))
        sum = quantity_add(
            sum, quantity_of_str(doc_string(doc_get_str(doc_get(doc_get(ctr, "resources"), "requests"), name))));
    doc_each (ctr, doc_get(spec, "initContainers")) {
        struct quantity own =
            quantity_of_str(doc_string(doc_get_str(doc_get(doc_get(ctr, "resources"), "requests"), name)));
        struct quantity now = quantity_add(side, own);
        if (str_is(doc_str(ctr, "restartPolicy"), "Always"))
            side = now;
        if (quantity_cmp(now, peak) > 0)
            peak = now;
    }
    sum = quantity_add(sum, side);
    if (quantity_cmp(peak, sum) > 0)
        sum = peak;
    if (quantity_cmp(sum, quantity_of_str(doc_string(request))) > 0)
        rule_invalid(c, AT_KEY(AT(at, "requests"), name), doc_string(request),
                     "must be greater than or equal to aggregate container requests of " STR_FMT,
                     STR_ARG(quantity_str(c->mem, sum)));
}

static void check_pod_level_resources(struct rule_ctx *c, const struct fpath *at, const struct pod_rules *p)
{
    static const char *const lists[] = {"limits", "requests", NULL};
    const struct doc *resources = doc_get(p->spec, "resources");
    if (!doc_is(resources, DOC_OBJECT))
        return;
    if (str_is(doc_str(doc_get(p->spec, "os"), "name"), "windows")) {
        rule_forbidden(c, at, "may not be set for a windows pod");
        return;
    }
    if (doc_len(doc_get(resources, "claims")))
        rule_forbidden(c, AT(at, "claims"), "claims may not be set for Resources at pod-level");
    for (const char *const *l = lists; *l; l++)
        doc_each (r, doc_get(resources, *l))
            if (!str_is(r->key, "cpu") && !str_is(r->key, "memory") && !resource_is_hugepages(r->key))
                rule_unsupported(c, AT_KEY(AT(at, *l), r->key), r->key, "cpu", "hugepages-", "memory");
    check_resources(c, at, resources, p->claims);
    if (doc_len(doc_get(resources, "requests")) > POD_RESOURCES_MAX)
        return; /* no node has so many kinds of pages */
    doc_each (r, doc_get(resources, "requests"))
        check_pod_level_sum(c, at, p->spec, r);
    rule_each (ctr, doc_get(p->spec, "containers"))
        doc_each (limit, doc_get(doc_get(ctr, "resources"), "limits")) {
            const struct doc *own = doc_get_str(doc_get(resources, "limits"), limit->key);
            if (own && quantity_cmp(quantity_of_str(doc_string(limit)), quantity_of_str(doc_string(own))) > 0)
                rule_invalid(c, AT(AT_KEY(AT_INDEX(AT(at, "containers"), ctr_i), limit->key), "limits"),
                             doc_string(limit), "must be less than or equal to pod limits of " STR_FMT,
                             STR_ARG(doc_string(own)));
        }
}

static void check_parts(struct rule_ctx *c, const struct fpath *at, const struct pod_rules *p)
{
    static const char *const restart_policies[] = {"Always", "OnFailure", "Never", NULL}, *const dns_policies[] = {
                                                                                              "ClusterFirstWithHostNet",
                                                                                              "ClusterFirst", "Default",
                                                                                              "None", NULL};
    const struct doc *spec = p->spec;
    check_volumes(c, AT(at, "volumes"), doc_get(spec, "volumes"), p);
    check_claim_refs(c, AT(at, "resourceClaims"), doc_get(spec, "resourceClaims"), p->claims);
    check_containers(c, AT(at, "containers"), p);
    check_init_containers(c, AT(at, "initContainers"), p);
    check_ephemeral_containers(c, AT(at, "ephemeralContainers"), p);
    check_pod_level_resources(c, AT(at, "resources"), p);
    check_host_network_ports(c, at, p);
    check_required_choice(c, AT(at, "restartPolicy"), p->restart_policy, restart_policies);
    check_required_choice(c, AT(at, "dnsPolicy"), doc_str(spec, "dnsPolicy"), dns_policies);
    check_labels(c, AT(at, "nodeSelector"), doc_get(spec, "nodeSelector"));
    check_pod_security(c, at, p);
    check_affinity(c, AT(at, "affinity"), doc_get(spec, "affinity"));
    check_dns(c, AT(at, "dnsConfig"), doc_get(spec, "dnsConfig"), doc_str(spec, "dnsPolicy"));
    check_gates(c, at, spec);
    check_topology_spread(c, AT(at, "topologySpreadConstraints"), doc_get(spec, "topologySpreadConstraints"));
    check_host_processes(c, at, p);
    check_host_users(c, at, p);
    check_hostname_override(c, at, p);
    check_names_of_spec(c, at, spec);
    check_overhead(c, AT(at, "overhead"), doc_get(spec, "overhead"));
    check_os(c, at, spec);
    check_env_files(c, at, p);
}

void check_pod_spec(struct rule_ctx *c, const struct fpath *at, const struct doc *spec, const struct doc *pod_meta,
                    bool is_pod)
{
    cleanup_set struct rule_set volumes = {0}, claims = {0};
    const struct doc *grace = doc_get(spec, "terminationGracePeriodSeconds");
    struct pod_rules p = {
        .spec = spec,
        .meta = pod_meta,
        .volumes = &volumes,
        .claims = &claims,
        .is_pod = is_pod,
        .host_network = doc_bool(spec, "hostNetwork", false),
        .host_users = doc_bool(spec, "hostUsers", true),
        .has_grace = doc_is(grace, DOC_INT),
        .grace_s = doc_int(spec, "terminationGracePeriodSeconds", 0),
        .restart_policy = doc_str(spec, "restartPolicy"),
    };
    if (!p.has_grace)
        rule_required(c, AT(at, "terminationGracePeriodSeconds"), NULL);
    check_parts(c, at, &p);
}

static bool has_container(const struct doc *spec, struct str name)
{
    static const char *const lists[] = {"containers", "initContainers", "ephemeralContainers", NULL};
    for (const char *const *l = lists; *l; l++)
        doc_each (ctr, doc_get(spec, *l))
            if (str_eq(doc_str(ctr, "name"), name))
                return true;
    return false;
}

static void check_apparmor_annotation(struct rule_ctx *c, const struct fpath *at, struct str container,
                                      struct str value, const struct doc *spec)
{
    if (!has_container(spec, container))
        rule_invalid(c, at, container, "container not found");
    if (value.len && !str_is(value, "runtime/default") && !str_is(value, "unconfined") &&
        !str_starts(value, STR("localhost/")))
        rule_invalid(c, at, value, "invalid AppArmor profile name: " STR_FMT, STR_ARG(str_quote(c->mem, value)));
}

void check_pod_annotations(struct rule_ctx *c, const struct fpath *at, const struct doc *annotations,
                           const struct doc *spec)
{
    const struct str apparmor = STR("container.apparmor.security.beta.kubernetes.io/");
    const struct doc *mirror = doc_get(annotations, "kubernetes.io/config.mirror"),
                     *cost = doc_get(annotations, "controller.kubernetes.io/pod-deletion-cost");
    int64_t n;
    if (mirror && !doc_str(spec, "nodeName").len)
        rule_invalid(c, AT_KEY(at, mirror->key), doc_string(mirror),
                     "must set spec.nodeName if mirror pod annotation is set");
    if (cost) {
        struct str v = doc_string(cost);
        bool plain = v.len && v.ptr[0] != '+' && (v.ptr[0] != '0' || v.len == 1) && !str_starts(v, STR("-0"));
        bool fine = plain && str_to_i64(v, &n) && n >= INT32_MIN && n <= INT32_MAX;
        if (!fine && !rule_kept(c, AT_KEY(at, cost->key), cost))
            rule_invalid(c, AT_KEY(at, cost->key), v, "must be a 32bit integer");
    }
    doc_each (a, annotations)
        if (str_starts(a->key, apparmor))
            check_apparmor_annotation(c, AT_KEY(at, a->key), str_from(a->key, apparmor.len), doc_string(a), spec);
}

void check_pod_template(struct rule_ctx *c, const struct fpath *at, const struct doc *template)
{
    const struct doc *meta = doc_get(template, "metadata"), *spec = doc_get(template, "spec");
    check_labels(c, AT(at, "labels"), doc_get(meta, "labels"));
    check_annotations(c, AT(at, "annotations"), doc_get(meta, "annotations"));
    check_pod_annotations(c, AT(at, "annotations"), doc_get(meta, "annotations"), spec);
    check_pod_spec(c, AT(at, "spec"), spec, /* pod_meta= */ NULL, /* is_pod= */ false);
    if (doc_len(doc_get(spec, "ephemeralContainers")))
        rule_forbidden(c, AT(AT(at, "spec"), "ephemeralContainers"),
                       "ephemeral containers not allowed in pod template");
}
