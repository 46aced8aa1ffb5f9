/* schema/rules/warn.c - warnings by kind. Those of pods: warn_pod.c. */
#include "schema/rules/warn.h"

enum { INDEXED_COMPLETIONS_SOFT = 100000, INDEXED_PARALLELISM_SOFT = 10000 };

const char *deprecated_node_label(struct str key)
{
    static const char *const labels[][2] = {
        {"beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"},
        {"beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"},
        {"failure-domain.beta.kubernetes.io/region",
         "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead"},
        {"failure-domain.beta.kubernetes.io/zone",
         "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"},
        {"beta.kubernetes.io/instance-type",
         "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"},
        {"app.kubernetes.io/created-by", "deprecated since v1.9"},
        {"scheduler.alpha.kubernetes.io/preferAvoidPods", "deprecated since v1.22; use Taints and Tolerations instead"},
        {"node-role.kubernetes.io/master", "use \"node-role.kubernetes.io/control-plane\" instead"},
    };
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++)
        if (str_is(key, labels[i][0]))
            return labels[i][1];
    return NULL;
}

void warn_fraction(struct rule_ctx *c, const struct fpath *at, const struct doc *list, const char *resource)
{
    struct str value = doc_str(list, resource);
    if (value.len && quantity_milli(quantity_of_str(value)) % 1000)
        warn_at(c, AT_KEY(at, str_of(resource)), "fractional byte value " STR_FMT " is invalid, must be an integer",
                STR_ARG(str_quote(c->mem, value)));
}

void warn_claim_spec(struct rule_ctx *c, const struct fpath *at, const struct doc *spec)
{
    const struct doc *resources = doc_get(spec, "resources");
    warn_fraction(c, AT(AT(at, "resources"), "requests"), doc_get(resources, "requests"), "storage");
    warn_fraction(c, AT(AT(at, "resources"), "limits"), doc_get(resources, "limits"), "storage");
}

static void warn_expression_key(struct rule_ctx *c, const struct fpath *at, const struct doc *expression)
{
    struct str key = doc_str(expression, "key");
    const char *why = deprecated_node_label(key);
    if (why)
        warn_at(c, AT(at, "key"), STR_FMT " is %s", STR_ARG(key), why);
}

void warn_node_selector_term(struct rule_ctx *c, const struct fpath *at, const struct doc *term, bool check_values)
{
    const struct fpath *list = AT(at, "matchExpressions");
    rule_each (e, doc_get(term, "matchExpressions")) {
        const struct fpath *values = AT(AT_INDEX(list, e_i), "values");
        warn_expression_key(c, AT_INDEX(list, e_i), e);
        if (!check_values)
            continue;
        rule_each (v, doc_get(e, "values")) {
            const char *msgs[NAME_MSGS_MAX];
            int n = name_label_value(doc_string(v), msgs);
            for (int i = 0; i < n && !warned_enough(c); i++)
                warn_at(c, AT_INDEX(values, v_i), STR_FMT " is invalid, %s", STR_ARG(doc_string(v)), msgs[i]);
        }
    }
}

/* ---- what strategies share */
static const struct doc *spec_of(const struct doc *obj)
{
    return doc_get(obj, "spec");
}

/* An update that leaves the spec alone is not warned of again. */
static bool spec_is_new(const struct rule_ctx *c)
{
    return !c->old_root || !rule_equal(spec_of(c->root), spec_of(c->old_root));
}

static void warn_name(struct rule_ctx *c, const char *text)
{
    const char *msgs[NAME_MSGS_MAX];
    int n = name_dns1123_label(doc_str(doc_get(c->root, "metadata"), "name"), msgs);
    struct sb all = SB(c->mem);
    for (int i = 0; i < n; i++)
        sb_addf(&all, "%s%s", i ? " " : "", msgs[i]);
    if (n && !c->old_root)
        schema_warn(
            c, "metadata.name: %s, which can result in surprising behavior; a DNS label is recommended: [" STR_FMT "]",
            text, STR_ARG(sb_str(&all)));
}

static const char in_pod_names[] = "this is used in Pod names and hostnames";

static void warn_annotation(struct rule_ctx *c, const char *key, const char *why)
{
    if (doc_get(doc_get(doc_get(c->root, "metadata"), "annotations"), key))
        warn_at(c, AT_KEY(AT_META(NULL, "annotations"), str_of(key)), "%s", why);
}

/* ---- workloads */
static void warn_template(struct rule_ctx *c, const struct fpath *at)
{
    if (spec_is_new(c))
        warn_pod(c, at, doc_get(spec_of(c->root), "template"));
}

static void warn_deployment(struct rule_ctx *c) /* and ReplicaSet */
{
    warn_name(c, in_pod_names);
    warn_template(c, AT(AT(NULL, "spec"), "template"));
}

static void warn_replication_controller(struct rule_ctx *c)
{
    warn_name(c, in_pod_names);
    warn_template(c, AT(NULL, "template")); /* Kubernetes' own path */
}

static void warn_daemon_set(struct rule_ctx *c)
{
    const struct doc *now = doc_get(spec_of(c->root), "template"), *was = doc_get(spec_of(c->old_root), "template");
    if (!c->old_root || !rule_equal(now, was))
        warn_pod(c, AT(AT(NULL, "spec"), "template"), now);
}

static void warn_stateful_set(struct rule_ctx *c)
{
    const struct doc *spec = spec_of(c->root);
    const struct fpath *at = AT(AT(NULL, "spec"), "volumeClaimTemplates");
    warn_template(c, AT(AT(NULL, "spec"), "template"));
    rule_each (claim, doc_get(spec, "volumeClaimTemplates")) {
        const struct fpath *item = AT_INDEX(at, claim_i); /* "Spec" is Kubernetes' own slip */
        warn_claim_spec(c, c->old_root ? AT(item, "Spec") : item, doc_get(claim, "spec"));
    }
    if (doc_int(spec, "revisionHistoryLimit", 0) < 0)
        schema_warn(c, "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is "
                       "recommended");
}

static void warn_pod_template(struct rule_ctx *c)
{
    const struct doc *now = doc_get(c->root, "template");
    if (!c->old_root || !rule_equal(now, doc_get(c->old_root, "template")))
        warn_pod(c, AT(NULL, "template"), now);
}

static void warn_job_spec(struct rule_ctx *c, const struct fpath *at, const struct doc *spec)
{
    if (str_is(doc_str(spec, "completionMode"), "Indexed") &&
        doc_int(spec, "completions", 0) > INDEXED_COMPLETIONS_SOFT &&
        doc_int(spec, "parallelism", 0) > INDEXED_PARALLELISM_SOFT)
        warn_at(c, at,
                "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, "
                "Kubernetes might not be able to track completedIndexes when a big number of indexes fail");
    warn_pod(c, AT(at, "template"), doc_get(spec, "template"));
}

static void warn_job(struct rule_ctx *c)
{
    warn_name(c, in_pod_names);
    if (spec_is_new(c))
        warn_job_spec(c, AT(NULL, "spec"), spec_of(c->root));
}

static void warn_cron_job(struct rule_ctx *c)
{
    warn_name(c, in_pod_names);
    if (spec_is_new(c))
        warn_job_spec(c, AT(AT(AT(NULL, "spec"), "jobTemplate"), "spec"),
                      doc_get(doc_get(spec_of(c->root), "jobTemplate"), "spec"));
    if (c->old_root && str_has(doc_str(spec_of(c->root), "schedule"), STR("TZ")))
        schema_warn(c, "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see "
                       "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details");
}

static void warn_plain_pod(struct rule_ctx *c)
{
    if (c->old_root)
        return; /* pods change often, and not by hand */
    warn_name(c, "this is used in the Pod's hostname");
    warn_pod(c, NULL, c->root);
}

/* ---- addresses */
static void warn_ips(struct rule_ctx *c, const struct fpath *at, const struct doc *list)
{
    rule_each (ip, list)
        warn_ip(c, AT_INDEX(at, ip_i), doc_string(ip));
}

static void warn_headless(struct rule_ctx *c, const struct doc *spec)
{
    if (!str_is(doc_str(spec, "type"), "ClusterIP") || !str_is(doc_str(spec, "clusterIP"), "None"))
        return;
    if (doc_str(spec, "loadBalancerIP").len)
        schema_warn(c, "spec.loadBalancerIP is ignored for headless services");
    if (doc_len(doc_get(spec, "externalIPs")))
        schema_warn(c, "spec.externalIPs is ignored for headless services");
    if (!str_is(doc_str(spec, "sessionAffinity"), "None"))
        schema_warn(c, "spec.SessionAffinity is ignored for headless services");
}

static void warn_service(struct rule_ctx *c)
{
    const struct doc *spec = spec_of(c->root), *ranges = doc_get(spec, "loadBalancerSourceRanges");
    const struct fpath *at = AT(NULL, "spec");
    bool outside = str_is(doc_str(spec, "type"), "ExternalName");
    if (doc_get(doc_get(doc_get(c->root, "metadata"), "annotations"), "service.kubernetes.io/topology-aware-hints"))
        schema_warn(c, "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use "
                       "service.kubernetes.io/topology-mode instead");
    warn_ips(c, AT(at, "clusterIPs"), doc_get(spec, "clusterIPs"));
    warn_headless(c, spec);
    warn_ips(c, AT(at, "externalIPs"), doc_get(spec, "externalIPs"));
    if (doc_str(spec, "loadBalancerIP").len)
        warn_ip(c, AT(at, "loadBalancerIP"), doc_str(spec, "loadBalancerIP"));
    rule_each (r, ranges)
        warn_cidr(c, AT_INDEX(AT(at, "loadBalancerSourceRanges"), r_i), doc_string(r));
    if (outside && doc_len(doc_get(spec, "externalIPs")))
        schema_warn(c, "spec.externalIPs is ignored when spec.type is \"ExternalName\"");
    if (!outside && doc_str(spec, "externalName").len)
        schema_warn(c, "spec.externalName is ignored when spec.type is not \"ExternalName\"");
}

static void warn_endpoints(struct rule_ctx *c)
{
    static const char *const lists[] = {"addresses", "notReadyAddresses", NULL};
    const struct fpath *at = AT(NULL, "subsets");
    rule_each (subset, doc_get(c->root, "subsets"))
        for (const char *const *l = lists; *l; l++) {
            const struct fpath *list = AT(AT_INDEX(at, subset_i), *l);
            rule_each (a, doc_get(subset, *l))
                warn_ip(c, AT(AT_INDEX(list, a_i), "ip"), doc_str(a, "ip"));
        }
}

static void warn_endpoint_slice(struct rule_ctx *c)
{
    struct str by = doc_str(doc_get(doc_get(c->root, "metadata"), "labels"), "endpointslice.kubernetes.io/managed-by");
    const struct fpath *at = AT(NULL, "endpoints");
    if (!c->old_root && str_is(doc_str(c->root, "addressType"), "FQDN"))
        schema_warn(c, "spec.addressType: FQDN endpoints are deprecated");
    if (str_is(by, "endpointslice-controller.k8s.io") || str_is(by, "endpointslicemirroring-controller.k8s.io"))
        return;
    rule_each (e, doc_get(c->root, "endpoints"))
        warn_ips(c, AT(AT_INDEX(at, e_i), "addresses"), doc_get(e, "addresses"));
}

static void warn_ip_block(struct rule_ctx *c, const struct fpath *at, const struct doc *block)
{
    if (!doc_is(block, DOC_OBJECT))
        return;
    warn_cidr(c, AT(at, "cidr"), doc_str(block, "cidr"));
    rule_each (e, doc_get(block, "except"))
        warn_cidr(c, AT_INDEX(AT(at, "except"), e_i), doc_string(e));
}

static void warn_network_policy(struct rule_ctx *c)
{
    static const char *const lists[][2] = {{"ingress", "from"}, {"egress", "to"}};
    for (int l = 0; l < 2; l++) {
        const struct fpath *rules = AT(AT(NULL, "spec"), lists[l][0]);
        rule_each (rule, doc_get(spec_of(c->root), lists[l][0])) {
            const struct fpath *peers = AT(AT_INDEX(rules, rule_i), lists[l][1]);
            rule_each (peer, doc_get(rule, lists[l][1]))
                warn_ip_block(c, AT(AT_INDEX(peers, peer_i), "ipBlock"), doc_get(peer, "ipBlock"));
        }
    }
}

static void warn_ingress(struct rule_ctx *c)
{
    if (!c->old_root && doc_get(doc_get(doc_get(c->root, "metadata"), "annotations"), "kubernetes.io/ingress.class") &&
        !rule_has(spec_of(c->root), "ingressClassName"))
        schema_warn(c, "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' "
                       "instead");
}

/* ---- nodes, storage, accounts */
static void warn_node(struct rule_ctx *c)
{
    const struct doc *spec = spec_of(c->root);
    if (rule_has(spec, "configSource"))
        schema_warn(c, "spec.configSource: the feature is removed");
    if (doc_str(spec, "externalID").len)
        schema_warn(c, "spec.externalID: this field is deprecated, and is unused by Kubernetes");
    rule_each (cidr, doc_get(spec, "podCIDRs"))
        warn_cidr(c, AT_INDEX(AT(AT(NULL, "spec"), "podCIDRs"), cidr_i), doc_string(cidr));
}

static const char storage_class_key[] = "volume.beta.kubernetes.io/storage-class",
                  storage_class_why[] = "deprecated since v1.8; use \"storageClassName\" attribute instead";

static void warn_claim(struct rule_ctx *c)
{
    warn_annotation(c, storage_class_key, storage_class_why);
    warn_claim_spec(c, AT(NULL, "spec"), spec_of(c->root));
}

static void warn_volume(struct rule_ctx *c)
{
    const struct doc *spec = spec_of(c->root), *required = doc_get(doc_get(spec, "nodeAffinity"), "required");
    const struct fpath *at = AT(NULL, "spec"), *terms = AT(AT(AT(at, "nodeAffinity"), "required"), "nodeSelectorTerms");
    warn_annotation(c, storage_class_key, storage_class_why);
    if (str_is(doc_str(spec, "persistentVolumeReclaimPolicy"), "Recycle"))
        warn_at(c, AT(at, "persistentVolumeReclaimPolicy"),
                "The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic "
                "provisioning.");
    rule_each (term, doc_get(required, "nodeSelectorTerms"))
        warn_node_selector_term(c, AT_INDEX(terms, term_i), term, /* check_values= */ false);
    if (rule_has(spec, "scaleIO"))
        warn_at(c, AT(at, "scaleIO"), "deprecated in v1.16, non-functional in v1.22+");
    if (rule_has(spec, "storageos"))
        warn_at(c, AT(at, "storageOS"), "deprecated in v1.22, non-functional in v1.25+");
}

static void warn_storage_class(struct rule_ctx *c)
{
    const struct fpath *at = AT(NULL, "allowedTopologies");
    rule_each (topology, doc_get(c->root, "allowedTopologies")) {
        const struct fpath *list = AT(AT_INDEX(at, topology_i), "matchLabelExpressions");
        rule_each (e, doc_get(topology, "matchLabelExpressions")) {
            const char *why = deprecated_node_label(doc_str(e, "key"));
            if (why)
                warn_at(c, AT(AT_INDEX(list, e_i), "key"), "%s", why);
        }
    }
}

static void warn_storage_capacity(struct rule_ctx *c)
{
    const struct doc *topology = doc_get(c->root, "nodeTopology");
    const struct fpath *at = AT(NULL, "nodeTopology");
    rule_each (e, doc_get(topology, "matchExpressions"))
        warn_expression_key(c, AT_INDEX(AT(at, "matchExpressions"), e_i), e);
    doc_each (label, doc_get(topology, "matchLabels")) {
        const char *why = deprecated_node_label(label->key);
        if (why)
            warn_at(c, AT(AT(at, "matchLabels"), str_z(c->mem, label->key)), "%s", why);
    }
}

static void warn_runtime_class(struct rule_ctx *c)
{
    doc_each (label, doc_get(doc_get(c->root, "scheduling"), "nodeSelector")) {
        const char *why = deprecated_node_label(label->key);
        if (why)
            warn_at(c, AT(AT(NULL, "scheduling"), "nodeSelector"), "%s", why);
    }
}

static void warn_service_account(struct rule_ctx *c)
{
    static const char key[] = "kubernetes.io/enforce-mountable-secrets";
    if (!doc_get(doc_get(doc_get(c->old_root, "metadata"), "annotations"), key))
        warn_annotation(c, key,
                        "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets");
}

static const struct kind_warnings {
    const char *group, *resource;
    void (*warn)(struct rule_ctx *c);
} kinds[] = {
    {"", "pods", warn_plain_pod},
    {"", "podtemplates", warn_pod_template},
    {"", "replicationcontrollers", warn_replication_controller},
    {"", "services", warn_service},
    {"", "endpoints", warn_endpoints},
    {"", "nodes", warn_node},
    {"", "persistentvolumes", warn_volume},
    {"", "persistentvolumeclaims", warn_claim},
    {"", "serviceaccounts", warn_service_account},
    {"apps", "deployments", warn_deployment},
    {"apps", "replicasets", warn_deployment},
    {"apps", "daemonsets", warn_daemon_set},
    {"apps", "statefulsets", warn_stateful_set},
    {"batch", "jobs", warn_job},
    {"batch", "cronjobs", warn_cron_job},
    {"discovery.k8s.io", "endpointslices", warn_endpoint_slice},
    {"networking.k8s.io", "ingresses", warn_ingress},
    {"networking.k8s.io", "networkpolicies", warn_network_policy},
    {"node.k8s.io", "runtimeclasses", warn_runtime_class},
    {"storage.k8s.io", "storageclasses", warn_storage_class},
    {"storage.k8s.io", "csistoragecapacities", warn_storage_capacity},
};

void warn_object(struct rule_ctx *c)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(c->res->name, kinds[i].resource) && !strcmp(c->res->group, kinds[i].group))
            kinds[i].warn(c);
}
