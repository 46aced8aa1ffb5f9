/* schema/rules/service.c - Service and Endpoints: ports, types, cluster IPs and families, and how they may change. */
#include "schema/rules/kinds.h"
#include "schema/rules/rules.h"

enum { AFFINITY_SECONDS_MAX = 86400 };
static const struct fpath spec_at = {.name = "spec"};
static const char *const protocols[] = {"SCTP", "TCP", "UDP", NULL};

static bool is_type(const struct doc *spec, const char *type)
{
    return str_is(doc_str(spec, "type"), type);
}

static bool is_headless(const struct doc *spec)
{
    const struct doc *ips = doc_get(spec, "clusterIPs");
    return doc_len(ips) == 1 && str_is(doc_string(doc_first(ips)), "None");
}

static void check_required_choice(struct rule_ctx *c, const struct fpath *at, struct str value,
                                  const char *const *allowed)
{
    if (value.len)
        check_enum(c, at, value, allowed);
    else
        rule_required(c, at, NULL);
}

static void check_type(struct rule_ctx *c, const struct doc *spec)
{
    static const char *const none[] = {"clusterIPs", "ipFamilies", NULL};
    struct str name = doc_str(spec, "externalName");
    const struct fpath *first = AT_INDEX(AT(&spec_at, "clusterIPs"), 0);
    if (!doc_len(doc_get(spec, "ports")) && !is_headless(spec) && !is_type(spec, "ExternalName"))
        rule_required(c, AT(&spec_at, "ports"), NULL);
    if ((is_type(spec, "LoadBalancer") || is_type(spec, "NodePort")) && is_headless(spec))
        rule_invalid(c, first, STR("None"), "may not be set to 'None' for " STR_FMT " services",
                     STR_ARG(doc_str(spec, "type")));
    if (!is_type(spec, "ExternalName"))
        return;
    for (const char *const *n = none; *n; n++)
        if (doc_len(doc_get(spec, *n)))
            rule_forbidden(c, AT(&spec_at, *n), "may not be set for ExternalName services");
    if (rule_has(spec, "ipFamilyPolicy"))
        rule_forbidden(c, AT(&spec_at, "ipFamilyPolicy"), "may not be set for ExternalName services");
    if (str_ends(name, STR(".")))
        name.len--;
    check_required_name(c, AT(&spec_at, "externalName"), name, name_dns1123_subdomain);
}

static void check_service_port(struct rule_ctx *c, const struct fpath *at, const struct doc *port, bool need_name,
                               struct rule_set *names)
{
    struct str name = doc_str(port, "name");
    if (need_name && !name.len)
        rule_required(c, AT(at, "name"), NULL);
    else if (name.len) {
        check_name(c, AT(at, "name"), name, name_dns1123_label);
        if (!rule_set_add(names, name))
            rule_duplicate(c, AT(at, "name"), name);
    }
    check_port(c, AT(at, "port"), doc_int(port, "port", 0));
    check_required_choice(c, AT(at, "protocol"), doc_str(port, "protocol"), protocols);
    check_port_or_name(c, AT(at, "targetPort"), doc_get(port, "targetPort"));
    if (rule_has(port, "appProtocol"))
        check_name(c, AT(at, "appProtocol"), doc_str(port, "appProtocol"), name_qualified);
}

static void check_affinity_config(struct rule_ctx *c, const struct doc *spec)
{
    static const char why[] = "when session affinity type is ClientIP";
    const struct fpath *at = AT(&spec_at, "sessionAffinityConfig"), *ip_at = AT(at, "clientIP"),
                       *timeout_at = AT(ip_at, "timeoutSeconds");
    const struct doc *config = doc_get(spec, "sessionAffinityConfig"), *ip = doc_get(config, "clientIP"),
                     *timeout = doc_get(ip, "timeoutSeconds");
    if (!doc_is(config, DOC_OBJECT))
        rule_required(c, at, why);
    else if (!doc_is(ip, DOC_OBJECT))
        rule_required(c, ip_at, why);
    else if (!doc_is(timeout, DOC_INT))
        rule_required(c, timeout_at, why);
    else if (timeout->i <= 0 || timeout->i > AFFINITY_SECONDS_MAX)
        rule_invalid_int(c, timeout_at, timeout->i, "must be greater than 0 and less than %d", AFFINITY_SECONDS_MAX);
}

static void check_session_affinity(struct rule_ctx *c, const struct doc *spec)
{
    static const char *const kinds[] = {"ClientIP", "None", NULL};
    struct str affinity = doc_str(spec, "sessionAffinity");
    check_required_choice(c, AT(&spec_at, "sessionAffinity"), affinity, kinds);
    if (str_is(affinity, "ClientIP"))
        check_affinity_config(c, spec);
    else if (str_is(affinity, "None") && rule_has(spec, "sessionAffinityConfig"))
        rule_forbidden(c, AT(&spec_at, "sessionAffinityConfig"), "must not be set when session affinity is None");
}

/* ---- cluster IPs and families */
static void check_ip_sync(struct rule_ctx *c, const struct doc *spec)
{
    const struct doc *ips = doc_get(spec, "clusterIPs");
    const struct fpath *at = AT(&spec_at, "clusterIPs");
    struct str ip = doc_str(spec, "clusterIP");
    if (ip.len && !doc_len(ips))
        rule_required(c, at, NULL);
    else if (ip.len && !str_eq(doc_string(doc_first(ips)), ip))
        rule_invalid_doc(c, at, ips, "first value must match `clusterIP`");
    else if (!ip.len && doc_len(ips))
        rule_invalid_doc(c, at, ips, "must be empty when `clusterIP` is not specified");
}

static void check_families(struct rule_ctx *c, const struct doc *spec)
{
    static const char *const families[] = {"IPv4", "IPv6", NULL}, *const policies[] = {"PreferDualStack",
                                                                                       "RequireDualStack",
                                                                                       "SingleStack", NULL};
    cleanup_set struct rule_set seen = {0};
    const struct fpath *at = AT(&spec_at, "ipFamilies");
    rule_each (f, doc_get(spec, "ipFamilies")) {
        check_enum(c, AT_INDEX(at, f_i), doc_string(f), families);
        if (!rule_set_add(&seen, doc_string(f)))
            rule_duplicate(c, AT_INDEX(at, f_i), doc_string(f));
    }
    if (rule_has(spec, "ipFamilyPolicy"))
        check_enum(c, AT(&spec_at, "ipFamilyPolicy"), doc_str(spec, "ipFamilyPolicy"), policies);
}

/* false: an address is no address, so nothing more can be said about them. */
static bool check_ip_list(struct rule_ctx *c, const struct fpath *at, const struct doc *ips)
{
    bool ok = true;
    rule_each (ip, ips) {
        if (ip_i == 0 && str_is(doc_string(ip), "None")) {
            if (doc_len(ips) > 1) {
                ok = false;
                rule_invalid_doc(c, at, ips, "'None' must be the first and only value");
            }
            continue;
        }
        ok &= check_ip(c, AT_INDEX(at, ip_i), doc_string(ip));
    }
    if (doc_len(ips) > 2)
        rule_invalid_doc(c, at, ips, "may only hold up to 2 values");
    return ok;
}

static void check_ip_families(struct rule_ctx *c, const struct fpath *at, const struct doc *ips,
                              const struct doc *families)
{
    const struct doc *family = doc_first(families);
    rule_each (ip, ips) {
        if (!family)
            return;
        int want = str_is(doc_string(family), "IPv6") ? 6 : str_is(doc_string(family), "IPv4") ? 4 : 0;
        if (want && ip_family(c->mem, doc_string(ip)) != want)
            rule_invalid(c, AT_INDEX(at, ip_i), doc_string(ip),
                         "expected an IPv%d value as indicated by `ipFamilies[%d]`", want, ip_i);
        family = family->next;
    }
}

static void check_cluster_ips(struct rule_ctx *c, const struct doc *spec)
{
    const struct fpath *at = AT(&spec_at, "clusterIPs");
    const struct doc *ips = doc_get(spec, "clusterIPs");
    int four = 0;
    if (is_type(spec, "ExternalName"))
        return;
    check_ip_sync(c, spec);
    check_families(c, spec);
    if (!check_ip_list(c, at, ips))
        return;
    doc_each (ip, ips)
        four += ip_family(c->mem, doc_string(ip)) == 4;
    if (doc_len(ips) > 1 && (four == 0 || four == (int)doc_len(ips)))
        rule_invalid_doc(c, at, ips, "may specify no more than one IP for each IP family");
    if (!is_headless(spec))
        check_ip_families(c, at, ips, doc_get(spec, "ipFamilies"));
}

/* ---- ports against each other */
static void check_node_ports(struct rule_ctx *c, const struct doc *ports, bool forbidden)
{
    cleanup_set struct rule_set seen = {0};
    const struct fpath *at = AT(&spec_at, "ports");
    rule_each (port, ports)
        if (forbidden && doc_int(port, "nodePort", 0))
            rule_forbidden(c, AT(AT_INDEX(at, port_i), "nodePort"), "may not be used when `type` is 'ClusterIP'");
    rule_each (port, ports) {
        int64_t node = doc_int(port, "nodePort", 0);
        struct str key = str_fmt(c->mem, "%lld/" STR_FMT, (long long)node, STR_ARG(doc_str(port, "protocol")));
        if (node && !rule_set_add(&seen, key))
            err_cause_int(c->err, CAUSE_DUPLICATE, AT(AT_INDEX(at, port_i), "nodePort"), node, NULL);
    }
}

static void check_port_pairs(struct rule_ctx *c, const struct doc *ports)
{
    cleanup_set struct rule_set seen = {0};
    rule_each (port, ports) {
        struct str protocol = doc_str(port, "protocol");
        int64_t number = doc_int(port, "port", 0);
        struct str key = str_fmt(c->mem, "%lld/" STR_FMT, (long long)number, STR_ARG(protocol));
        if (!rule_set_add(&seen, key)) /* Go prints its internal struct */
            err_cause_raw(c->err, CAUSE_DUPLICATE, AT_INDEX(AT(&spec_at, "ports"), port_i),
                          str_fmt(c->mem,
                                  "{\"Name\":\"\",\"Protocol\":\"" STR_FMT
                                  "\",\"AppProtocol\":null,\"Port\":%lld,\"TargetPort\":0,\"NodePort\":0}",
                                  STR_ARG(protocol), (long long)number),
                          NULL);
    }
}

static void check_source_ranges(struct rule_ctx *c, const struct doc *obj, const struct doc *spec)
{
    const struct doc *ranges = doc_get(spec, "loadBalancerSourceRanges"),
                     *text = doc_get(doc_get(doc_get(obj, "metadata"), "annotations"),
                                     "service.beta.kubernetes.io/load-balancer-source-ranges");
    const struct fpath *at = AT(&spec_at, "LoadBalancerSourceRanges");
    const char why[] = "may only be used when `type` is 'LoadBalancer'";
    if (doc_len(ranges)) {
        if (!is_type(spec, "LoadBalancer"))
            rule_forbidden(c, at, why);
        rule_each (r, ranges)
            check_cidr(c, AT_INDEX(at, r_i), str_trim(doc_string(r)));
    } else if (text) {
        const struct fpath *key_at = AT_KEY(AT_META(NULL, "annotations"), text->key);
        struct str rest = str_trim(doc_string(text)), part;
        if (!is_type(spec, "LoadBalancer"))
            rule_forbidden(c, key_at, why);
        for (bool more = rest.len > 0; more;) {
            more = str_cut(rest, ',', &part, &rest);
            check_cidr(c, key_at, str_trim(part));
        }
    }
}

static bool is_external(const struct doc *spec)
{
    return is_type(spec, "LoadBalancer") || is_type(spec, "NodePort") ||
           (is_type(spec, "ClusterIP") && doc_len(doc_get(spec, "externalIPs")));
}

static bool needs_health_check(const struct doc *spec)
{
    return is_type(spec, "LoadBalancer") && str_is(doc_str(spec, "externalTrafficPolicy"), "Local");
}

static void check_traffic(struct rule_ctx *c, const struct doc *spec)
{
    static const char *const policies[] = {"Cluster", "Local", NULL}, *const distributions[] = {"PreferClose",
                                                                                                "PreferSameNode",
                                                                                                "PreferSameZone", NULL};
    struct str external = doc_str(spec, "externalTrafficPolicy");
    int64_t health = doc_int(spec, "healthCheckNodePort", 0);
    if (is_external(spec))
        check_required_choice(c, AT(&spec_at, "externalTrafficPolicy"), external, policies);
    else if (external.len)
        rule_invalid(c, AT(&spec_at, "externalTrafficPolicy"), external,
                     "may only be set for externally-accessible services");
    if (!needs_health_check(spec)) {
        if (health)
            rule_invalid_int(c, AT(&spec_at, "healthCheckNodePort"), health,
                             "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'");
    } else if (!health)
        rule_required(c, AT(&spec_at, "healthCheckNodePort"), NULL);
    else
        check_port(c, AT(&spec_at, "healthCheckNodePort"), health);
    if (rule_has(spec, "internalTrafficPolicy"))
        check_enum(c, AT(&spec_at, "internalTrafficPolicy"), doc_str(spec, "internalTrafficPolicy"), policies);
    else if (is_type(spec, "ClusterIP") || is_type(spec, "NodePort") || is_type(spec, "LoadBalancer"))
        rule_required(c, AT(&spec_at, "internalTrafficPolicy"), NULL);
    if (rule_has(spec, "trafficDistribution"))
        check_enum(c, AT(&spec_at, "trafficDistribution"), doc_str(spec, "trafficDistribution"), distributions);
}

static void check_class(struct rule_ctx *c, const struct doc *spec, const struct doc *old)
{
    const struct fpath *at = AT(&spec_at, "loadBalancerClass");
    const struct doc *class = doc_get(spec, "loadBalancerClass");
    bool balancer = is_type(spec, "LoadBalancer");
    if (old && balancer && is_type(old, "LoadBalancer") && !rule_equal(class, doc_get(old, "loadBalancerClass")))
        rule_invalid_doc(c, at, class, "may not change once set");
    if (!doc_is(class, DOC_STRING))
        return;
    if (balancer)
        check_name(c, at, class->s, name_qualified);
    else
        rule_forbidden(c, at, "may only be used when `type` is 'LoadBalancer'");
}

static void check_balancer(struct rule_ctx *c, const struct doc *obj, const struct doc *spec)
{
    bool has = rule_has(spec, "allocateLoadBalancerNodePorts"), balancer = is_type(spec, "LoadBalancer");
    check_source_ranges(c, obj, spec);
    if (has && !balancer)
        rule_forbidden(c, AT(&spec_at, "allocateLoadBalancerNodePorts"),
                       "may only be used when `type` is 'LoadBalancer'");
    if (!has && balancer)
        rule_required(c, &(const struct fpath){.name = "allocateLoadBalancerNodePorts"}, NULL);
    check_class(c, spec, NULL);
}

/* ---- changes */
static void check_ip_changes(struct rule_ctx *c, const struct doc *spec, const struct doc *old)
{
    const struct doc *now = doc_get(spec, "clusterIPs"), *before = doc_get(old, "clusterIPs");
    const struct fpath *at = AT(&spec_at, "clusterIPs"), *first = AT_INDEX(at, 0);
    const struct doc *y = doc_first(now);
    if (is_headless(spec) && is_headless(old))
        return;
    if (doc_len(now) == doc_len(before)) {
        rule_each (x, before) {
            if (!str_eq(doc_string(x), doc_string(y)))
                rule_invalid_doc(c, AT_INDEX(at, x_i), now, "may not change once set");
            y = y->next;
        }
        return;
    }
    if (!doc_len(now))
        rule_invalid_doc(c, first, now, "primary clusterIP can not be unset");
    else if (doc_len(before) && !str_eq(doc_string(y), doc_string(doc_first(before))))
        rule_invalid_doc(c, first, now, "may not change once set");
    if (doc_len(now) == 1 && doc_len(before) > 1 && !str_is(doc_str(spec, "ipFamilyPolicy"), "SingleStack"))
        rule_invalid_doc(c, AT(&spec_at, "ipFamilyPolicy"), doc_get(spec, "ipFamilyPolicy"),
                         "must be set to 'SingleStack' when releasing the secondary clusterIP");
}

static void check_family_changes(struct rule_ctx *c, const struct doc *spec, const struct doc *old)
{
    const struct doc *now = doc_get(spec, "ipFamilies"), *before = doc_get(old, "ipFamilies"),
                     *ips = doc_get(spec, "clusterIPs");
    const struct fpath *first = AT_INDEX(AT(&spec_at, "ipFamilies"), 0);
    const struct doc *y = doc_first(now);
    if (is_headless(spec) || is_headless(old))
        return;
    if (doc_len(now) == doc_len(before)) {
        doc_each (x, before) {
            if (!str_eq(doc_string(x), doc_string(y)))
                rule_invalid_doc(c, first, now, "may not change once set");
            y = y->next;
        }
        return;
    }
    if (doc_len(before) > doc_len(now) && !doc_len(ips))
        rule_invalid_doc(c, first, now, "primary ipFamily can not be unset");
    if (y && doc_len(before) && !str_eq(doc_string(y), doc_string(doc_first(before))))
        rule_invalid_doc(c, first, ips, "may not change once set");
    if (doc_len(now) == 1 && doc_len(before) > 1 && !str_is(doc_str(spec, "ipFamilyPolicy"), "SingleStack"))
        rule_invalid_doc(c, AT(&spec_at, "ipFamilyPolicy"), doc_get(spec, "ipFamilyPolicy"),
                         "must be set to 'SingleStack' when releasing the secondary ipFamily");
}

static void check_changes(struct rule_ctx *c, const struct doc *spec, const struct doc *old)
{
    if (!is_type(spec, "ExternalName") && !is_type(old, "ExternalName")) {
        check_ip_changes(c, spec, old);
        check_family_changes(c, spec, old);
    }
    check_class(c, spec, old);
    if (needs_health_check(spec) && needs_health_check(old) &&
        doc_int(spec, "healthCheckNodePort", 0) != doc_int(old, "healthCheckNodePort", 0))
        rule_forbidden(c, AT(&spec_at, "healthCheckNodePort"), "field is immutable");
}

void validate_service(struct rule_ctx *c, const struct doc *obj, const struct doc *old, const struct fpath *at)
{
    static const char *const types[] = {"ClusterIP", "ExternalName", "LoadBalancer", "NodePort", NULL};
    const struct doc *spec = doc_get(obj, "spec"), *ports = doc_get(spec, "ports");
    cleanup_set struct rule_set names = {0};
    if (old)
        check_changes(c, spec, doc_get(old, "spec"));
    check_type(c, spec);
    rule_each (port, ports)
        check_service_port(c, AT_INDEX(AT(&spec_at, "ports"), port_i), port, doc_len(ports) > 1, &names);
    check_labels(c, AT(&spec_at, "selector"), doc_get(spec, "selector"));
    check_session_affinity(c, spec);
    check_cluster_ips(c, spec);
    rule_each (ip, doc_get(spec, "externalIPs"))
        if (check_ip(c, AT_INDEX(AT(&spec_at, "externalIPs"), ip_i), doc_string(ip)))
            check_not_special_ip(c, AT_INDEX(AT(&spec_at, "externalIPs"), ip_i), doc_string(ip));
    check_required_choice(c, AT(&spec_at, "type"), doc_str(spec, "type"), types);
    check_node_ports(c, ports, is_type(spec, "ClusterIP"));
    check_port_pairs(c, ports);
    check_balancer(c, obj, spec);
    check_traffic(c, spec);
}

static void check_ingress_point(struct rule_ctx *c, const struct fpath *at, const struct doc *point)
{
    static const char *const modes[] = {"Proxy", "VIP", NULL};
    struct str ip = doc_str(point, "ip"), host = doc_str(point, "hostname");
    if (ip.len)
        check_ip(c, AT(at, "ip"), ip);
    if (!rule_has(point, "ipMode")) {
        if (ip.len)
            rule_required(c, AT(at, "ipMode"), "must be specified when `ip` is set");
    } else if (!ip.len)
        rule_forbidden(c, AT(at, "ipMode"), "may not be specified when `ip` is not set");
    else
        check_enum(c, AT(at, "ipMode"), doc_str(point, "ipMode"), modes);
    if (!host.len)
        return;
    check_name(c, AT(at, "hostname"), host, name_dns1123_subdomain);
    if (ip_family(c->mem, host))
        rule_invalid(c, AT(at, "hostname"), host, "must be a DNS name, not an IP address");
}

void validate_service_status(struct rule_ctx *c, const struct doc *obj, const struct doc *old, const struct fpath *at)
{
    const struct fpath *list = AT(AT(AT(at, "status"), "loadBalancer"), "ingress");
    const struct doc *points = doc_get(doc_get(doc_get(obj, "status"), "loadBalancer"), "ingress");
    if (doc_len(points) && !is_type(doc_get(obj, "spec"), "LoadBalancer")) {
        rule_forbidden(c, list, "may only be used when `spec.type` is 'LoadBalancer'");
        return;
    }
    rule_each (p, points)
        check_ingress_point(c, AT_INDEX(list, p_i), p);
}

static void check_endpoint_address(struct rule_ctx *c, const struct fpath *at, const struct doc *address)
{
    struct str ip = doc_str(address, "ip");
    bool ok = check_ip(c, AT(at, "ip"), ip);
    if (doc_str(address, "hostname").len)
        check_name(c, AT(at, "hostname"), doc_str(address, "hostname"), name_dns1123_label);
    if (rule_has(address, "nodeName"))
        check_name(c, AT(at, "nodeName"), doc_str(address, "nodeName"), name_dns1123_subdomain);
    if (ok)
        check_not_special_ip(c, AT(at, "ip"), ip);
}

static void check_endpoint_port(struct rule_ctx *c, const struct fpath *at, const struct doc *port, bool need_name)
{
    struct str name = doc_str(port, "name");
    if (name.len)
        check_name(c, AT(at, "name"), name, name_dns1123_label);
    else if (need_name)
        rule_required(c, AT(at, "name"), NULL);
    check_port(c, AT(at, "port"), doc_int(port, "port", 0));
    check_required_choice(c, AT(at, "protocol"), doc_str(port, "protocol"), protocols);
    if (rule_has(port, "appProtocol"))
        check_name(c, AT(at, "appProtocol"), doc_str(port, "appProtocol"), name_qualified);
}

void validate_endpoints(struct rule_ctx *c, const struct doc *obj, const struct doc *old, const struct fpath *at)
{
    if (old && rule_equal(doc_get(obj, "subsets"), doc_get(old, "subsets")))
        return;
    rule_each (s, doc_get(obj, "subsets")) {
        const struct fpath *item = AT_INDEX(AT(at, "subsets"), s_i);
        const struct doc *ready = doc_get(s, "addresses"), *waiting = doc_get(s, "notReadyAddresses"),
                         *ports = doc_get(s, "ports");
        if (!doc_len(ready) && !doc_len(waiting))
            rule_required(c, item, "must specify `addresses` or `notReadyAddresses`");
        rule_each (a, ready)
            check_endpoint_address(c, AT_INDEX(AT(item, "addresses"), a_i), a);
        rule_each (a, waiting)
            check_endpoint_address(c, AT_INDEX(AT(item, "notReadyAddresses"), a_i), a);
        rule_each (p, ports)
            check_endpoint_port(c, AT_INDEX(AT(item, "ports"), p_i), p, doc_len(ports) > 1);
    }
}
