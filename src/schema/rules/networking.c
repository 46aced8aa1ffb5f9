/* schema/rules/networking.c - Ingress, IngressClass, NetworkPolicy, IPAddress, ServiceCIDR. */
#include "schema/rules/kinds.h"
#include "schema/rules/rules.h"

enum { CONTROLLER_NAME_MAX = 250 };
static const struct fpath spec_at = {.name = "spec"};

static void check_path_ref(struct rule_ctx *c, const struct fpath *up, const struct doc *ref, const char *name,
                           const char *why)
{
    if (doc_str(ref, name).len)
        check_name(c, AT(up, name), doc_str(ref, name), name_path_segment);
    else
        rule_required(c, AT(up, name), "%s", why);
}

static void check_local_ref(struct rule_ctx *c, const struct fpath *at, const struct doc *ref)
{
    if (rule_has(ref, "apiGroup"))
        check_name(c, AT(at, "apiGroup"), doc_str(ref, "apiGroup"), name_dns1123_subdomain);
    check_path_ref(c, at, ref, "kind", "kind is required");
    check_path_ref(c, at, ref, "name", "name is required");
}

static void check_service_backend(struct rule_ctx *c, const struct fpath *at, const struct doc *service)
{
    const struct doc *port = doc_get(service, "port");
    const struct fpath *service_at = AT(at, "service"), *port_at = AT(service_at, "port");
    struct str name = doc_str(port, "name");
    int64_t number = doc_int(port, "number", 0);
    check_required_name(c, AT(service_at, "name"), doc_str(service, "name"), name_dns1035_label);
    if (name.len && number)
        rule_invalid(c, at, STR(""), "cannot set both port name & port number");
    else if (name.len)
        check_name(c, AT(port_at, "name"), name, name_port);
    else if (number)
        check_port(c, AT(port_at, "number"), number);
    else
        rule_required(c, at, "port name or number is required");
}

static void check_backend(struct rule_ctx *c, const struct fpath *at, const struct doc *backend)
{
    bool resource = rule_has(backend, "resource"), service = rule_has(backend, "service");
    if (resource && service)
        rule_invalid(c, at, STR(""), "cannot set both resource and service backends");
    else if (resource)
        check_local_ref(c, AT(at, "resource"), doc_get(backend, "resource"));
    else if (service)
        check_service_backend(c, at, doc_get(backend, "service"));
    else
        rule_invalid(c, at, STR(""), "resource or service backend is required");
}

static void check_ingress_path(struct rule_ctx *c, const struct fpath *at, const struct doc *path)
{
    static const char *const banned[] = {"//", "/./", "/../", "%2f", "%2F", NULL}, *const ends[] = {"/..", "/.", NULL};
    struct str type = doc_str(path, "pathType"), text = doc_str(path, "path");
    const struct fpath *path_at = AT(at, "path");
    bool plain = str_is(type, "Exact") || str_is(type, "Prefix");
    if (!rule_has(path, "pathType")) {
        rule_required(c, AT(at, "pathType"), "pathType must be specified");
        return;
    }
    if (!plain && !str_is(type, "ImplementationSpecific"))
        rule_unsupported(c, AT(at, "pathType"), type, "Exact", "ImplementationSpecific", "Prefix");
    else if ((plain || text.len) && !str_starts(text, STR("/")))
        rule_invalid(c, path_at, text, "must be an absolute path");
    for (const char *const *b = banned; plain && *b; b++)
        if (str_has(text, str_of(*b)))
            rule_invalid(c, path_at, text, "must not contain '%s'", *b);
    for (const char *const *e = ends; plain && *e; e++)
        if (str_ends(text, str_of(*e)))
            rule_invalid(c, path_at, text, "cannot end with '%s'", *e);
    check_backend(c, AT(at, "backend"), doc_get(path, "backend"));
}

static void check_host(struct rule_ctx *c, const struct fpath *at, struct str host)
{
    check_name(c, at, host, str_find(host, '*') >= 0 ? name_wildcard_subdomain : name_dns1123_subdomain);
}

static void check_ingress_rule(struct rule_ctx *c, const struct fpath *at, const struct doc *rule)
{
    const struct doc *http = doc_get(rule, "http"), *paths = doc_get(http, "paths");
    const struct fpath *paths_at = AT(AT(at, "http"), "paths");
    struct str host = doc_str(rule, "host");
    if (host.len && ip_family(c->mem, host))
        rule_invalid(c, AT(at, "host"), host, "must be a DNS name, not an IP address");
    if (host.len)
        check_host(c, AT(at, "host"), host);
    if (doc_is(http, DOC_OBJECT) && !doc_len(paths))
        rule_required(c, paths_at, NULL);
    rule_each (p, paths)
        check_ingress_path(c, AT_INDEX(paths_at, p_i), p);
}

void validate_ingress(struct rule_ctx *c, const struct doc *obj, const struct doc *old, const struct fpath *at)
{
    const struct doc *spec = doc_get(obj, "spec"), *rules = doc_get(spec, "rules"),
                     *annotation =
                         doc_get(doc_get(doc_get(obj, "metadata"), "annotations"), "kubernetes.io/ingress.class");
    struct str class = doc_str(spec, "ingressClassName");
    if (!doc_len(rules) && !rule_has(spec, "defaultBackend"))
        rule_invalid_doc(c, &spec_at, rules, "either `defaultBackend` or `rules` must be specified");
    if (rule_has(spec, "defaultBackend"))
        check_backend(c, AT(&spec_at, "defaultBackend"), doc_get(spec, "defaultBackend"));
    rule_each (r, rules)
        check_ingress_rule(c, AT_INDEX(AT(&spec_at, "rules"), r_i), r);
    rule_each (t, doc_get(spec, "tls")) {
        const struct fpath *item = AT_INDEX(AT(&spec_at, "tls"), t_i);
        rule_each (h, doc_get(t, "hosts"))
            check_host(c, AT_INDEX(AT(item, "hosts"), h_i), doc_string(h));
        if (doc_str(t, "secretName").len && !rule_kept(c, AT(item, "secretName"), doc_get(t, "secretName")))
            check_name(c, AT(item, "secretName"), doc_str(t, "secretName"), name_dns1123_subdomain);
    }
    if (rule_has(spec, "ingressClassName"))
        check_name(c, AT(&spec_at, "ingressClassName"), class, name_dns1123_subdomain);
    if (!old && annotation && rule_has(spec, "ingressClassName") && !str_eq(doc_string(annotation), class))
        rule_invalid(c, AT(AT(at, "annotations"), "kubernetes.io/ingress.class"), doc_string(annotation),
                     "must match `ingressClassName` when both are specified");
}

void validate_ingress_status(struct rule_ctx *c, const struct doc *obj, const struct doc *old, const struct fpath *at)
{
    const struct fpath *list = AT(AT(AT(at, "status"), "loadBalancer"), "ingress");
    rule_each (p, doc_get(doc_get(doc_get(obj, "status"), "loadBalancer"), "ingress")) {
        const struct fpath *item = AT_INDEX(list, p_i);
        struct str ip = doc_str(p, "ip"), host = doc_str(p, "hostname");
        if (ip.len)
            check_ip(c, AT(item, "ip"), ip);
        if (!host.len)
            continue;
        check_name(c, AT(item, "hostname"), host, name_dns1123_subdomain);
        if (ip_family(c->mem, host))
            rule_invalid(c, AT(item, "hostname"), host, "must be a DNS name, not an IP address");
    }
}

static bool is_http_path(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char ch = s.ptr[i];
        bool alnum = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9');
        if (!alnum && (!ch || !strchr("/-._~%!$&'()*+,;=:", ch)))
            return false;
    }
    return s.len > 0;
}

static void check_controller(struct rule_ctx *c, const struct fpath *at, struct str controller)
{
    struct str host, path;
    if (controller.len > CONTROLLER_NAME_MAX)
        err_cause(c->err, CAUSE_TOO_LONG, at, "may not be more than %d bytes", CONTROLLER_NAME_MAX);
    if (!controller.len)
        rule_required(c, at, NULL);
    else if (!str_cut(controller, '/', &host, &path) || !host.len || !path.len)
        rule_invalid(c, at, controller, "must be a domain-prefixed path (such as \"acme.io/foo\")");
    else {
        check_name(c, at, host, name_dns1123_subdomain);
        if (!is_http_path(path))
            rule_invalid(c, at, path,
                         "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%%!$&'()*+,;=:]+')");
    }
}

static void check_parameters(struct rule_ctx *c, const struct fpath *at, const struct doc *params)
{
    struct str scope = doc_str(params, "scope"), ns = doc_str(params, "namespace");
    if (!doc_is(params, DOC_OBJECT))
        return;
    check_local_ref(c, at, params);
    if (!rule_has(params, "scope"))
        rule_required(c, AT(at, "scope"), NULL);
    else if (str_is(scope, "Namespace")) {
        if (rule_has(params, "namespace"))
            check_name(c, AT(at, "namespace"), ns, name_dns1123_label);
        else
            rule_required(c, AT(at, "namespace"), "`parameters.scope` is set to 'Namespace'");
    } else if (!str_is(scope, "Cluster"))
        rule_unsupported(c, AT(at, "scope"), scope, "Cluster", "Namespace");
    else if (rule_has(params, "namespace"))
        rule_forbidden(c, AT(at, "namespace"), "`parameters.scope` is set to 'Cluster'");
}

void validate_ingress_class(struct rule_ctx *c, const struct doc *obj, const struct doc *old, const struct fpath *at)
{
    const struct doc *spec = doc_get(obj, "spec");
    if (old)
        check_immutable(c, AT(&spec_at, "controller"), doc_get(spec, "controller"),
                        doc_get(doc_get(old, "spec"), "controller"));
    check_controller(c, AT(&spec_at, "controller"), doc_str(spec, "controller"));
    check_parameters(c, AT(&spec_at, "parameters"), doc_get(spec, "parameters"));
}

static void check_policy_port(struct rule_ctx *c, const struct fpath *at, const struct doc *p)
{
    const struct doc *port = doc_get(p, "port"), *end = doc_get(p, "endPort");
    const struct fpath *end_at = AT(at, "endPort");
    struct str protocol = doc_str(p, "protocol");
    bool ranged = doc_is(end, DOC_INT);
    if (rule_has(p, "protocol") && !str_is(protocol, "TCP") && !str_is(protocol, "UDP") && !str_is(protocol, "SCTP"))
        rule_unsupported(c, AT(at, "protocol"), protocol, "TCP", "UDP", "SCTP");
    if (doc_is(port, DOC_INT)) {
        check_port(c, AT(at, "port"), port->i);
        if (ranged && end->i < port->i)
            rule_invalid_int(c, end_at, port->i, "must be greater than or equal to `port`");
        if (ranged)
            check_port(c, end_at, end->i);
    } else if (doc_is(port, DOC_STRING)) {
        if (ranged)
            rule_invalid_int(c, end_at, end->i, "may not be specified when `port` is non-numeric");
        check_name(c, AT(at, "port"), port->s, name_port);
    } else if (ranged)
        rule_invalid_int(c, end_at, end->i, "may not be specified when `port` is not specified");
}

static void check_ip_block(struct rule_ctx *c, const struct fpath *at, const struct doc *block)
{
    struct str cidr = doc_str(block, "cidr");
    if (!cidr.len) {
        rule_required(c, AT(at, "cidr"), NULL);
        return;
    }
    check_cidr(c, AT(at, "cidr"), cidr);
    rule_each (e, doc_get(block, "except")) {
        const struct fpath *item = AT_INDEX(AT(at, "except"), e_i);
        check_cidr(c, item, doc_string(e));
        if (!cidr_inside(c->mem, doc_string(e), cidr))
            rule_invalid(c, item, doc_string(e), "must be a strict subset of `cidr`");
    }
}

static void check_peer(struct rule_ctx *c, const struct fpath *at, const struct doc *peer)
{
    bool pods = rule_has(peer, "podSelector"), namespaces = rule_has(peer, "namespaceSelector"),
         block = rule_has(peer, "ipBlock");
    if (pods)
        check_label_selector(c, AT(at, "podSelector"), doc_get(peer, "podSelector"));
    if (namespaces)
        check_label_selector(c, AT(at, "namespaceSelector"), doc_get(peer, "namespaceSelector"));
    if (block)
        check_ip_block(c, AT(at, "ipBlock"), doc_get(peer, "ipBlock"));
    if (!pods && !namespaces && !block)
        rule_required(c, at, "must specify a peer");
    else if (block && (pods || namespaces))
        rule_forbidden(c, at, "may not specify both ipBlock and another peer");
}

static void check_policy_rules(struct rule_ctx *c, const struct doc *spec, const char *direction, const char *peers)
{
    rule_each (rule, doc_get(spec, direction)) {
        const struct fpath *item = AT_INDEX(AT(&spec_at, direction), rule_i);
        rule_each (port, doc_get(rule, "ports"))
            check_policy_port(c, AT_INDEX(AT(item, "ports"), port_i), port);
        rule_each (peer, doc_get(rule, peers))
            check_peer(c, AT_INDEX(AT(item, peers), peer_i), peer);
    }
}

void validate_network_policy(struct rule_ctx *c, const struct doc *obj, const struct doc *old, const struct fpath *at)
{
    static const char *const types[] = {"Ingress", "Egress", NULL};
    const struct doc *spec = doc_get(obj, "spec"), *list = doc_get(spec, "policyTypes");
    const struct fpath *list_at = AT(&spec_at, "policyTypes");
    check_label_selector(c, AT(&spec_at, "podSelector"), doc_get(spec, "podSelector"));
    check_policy_rules(c, spec, "ingress", "from");
    check_policy_rules(c, spec, "egress", "to");
    if (doc_len(list) > 2) {
        rule_invalid_doc(c, list_at, list, "may not specify more than two policyTypes");
        return;
    }
    rule_each (t, list)
        check_enum(c, AT_INDEX(list_at, t_i), doc_string(t), types);
}

void validate_ip_address(struct rule_ctx *c, const struct doc *obj, const struct doc *old, const struct fpath *at)
{
    const struct doc *ref = doc_get(doc_get(obj, "spec"), "parentRef");
    const struct fpath *ref_at = AT(&spec_at, "parentRef");
    if (old) {
        check_immutable(c, ref_at, ref, doc_get(doc_get(old, "spec"), "parentRef"));
        return;
    }
    if (!doc_is(ref, DOC_OBJECT)) {
        rule_required(c, ref_at, NULL);
        return;
    }
    if (doc_str(ref, "group").len)
        check_name(c, AT(ref_at, "group"), doc_str(ref, "group"), name_dns1123_subdomain);
    check_required_name(c, AT(ref_at, "resource"), doc_str(ref, "resource"), name_path_segment);
    check_required_name(c, AT(ref_at, "name"), doc_str(ref, "name"), name_path_segment);
    check_name(c, AT(ref_at, "namespace"), doc_str(ref, "namespace"), name_path_segment);
}

void validate_service_cidr(struct rule_ctx *c, const struct doc *obj, const struct doc *old, const struct fpath *at)
{
    const struct doc *spec = doc_get(obj, "spec"), *list = doc_get(spec, "cidrs");
    const struct fpath *list_at = AT(&spec_at, "cidrs");
    if (old) {
        check_immutable(c, list_at, list, doc_get(doc_get(old, "spec"), "cidrs"));
        return;
    }
    if (!doc_len(list))
        rule_required(c, list_at, "at least one CIDR required");
    else if (doc_len(list) > 2)
        rule_invalid_doc(c, list_at, spec, "may only hold up to 2 values");
    else if (doc_len(list) == 2 &&
             cidr_family(c->mem, doc_string(doc_at(list, 0))) == cidr_family(c->mem, doc_string(doc_at(list, 1))))
        rule_invalid_doc(c, list_at, spec,
                         "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64");
    else
        rule_each (v, list)
            check_cidr(c, AT_INDEX(list_at, v_i), doc_string(v));
}
