/* schema/rules/discovery.c - EndpointSlice. */
#include "schema/rules/kinds.h"
#include "schema/rules/rules.h"

enum { ENDPOINTS_MAX = 1000, ADDRESSES_MAX = 100, PORTS_MAX = 20000, TOPOLOGY_LABELS_MAX = 16, HINTS_MAX = 8 };

static bool check_count(struct rule_ctx *c, const struct fpath *at, const struct doc *list, int max)
{
    if ((int)doc_len(list) <= max)
        return true;
    err_cause_int(c->err, CAUSE_TOO_MANY, at, doc_len(list), "must have at most %d items", max);
    return false;
}

static void check_fqdn(struct rule_ctx *c, const struct fpath *at, struct str name)
{
    const char *msgs[NAME_MSGS_MAX];
    struct sb all = SB(c->mem);
    if (!name.len) {
        rule_required(c, at, NULL);
        return;
    }
    if (str_ends(name, STR(".")))
        name.len--;
    int n = name_dns1123_subdomain(name, msgs);
    for (int i = 0; i < n; i++)
        sb_addf(&all, "%s%s", i ? "," : "", msgs[i]);
    if (n)
        rule_invalid(c, at, name, STR_FMT, STR_ARG(sb_str(&all)));
    else if (str_find(name, '.') < 0)
        rule_invalid(c, at, name, "should be a domain with at least two segments separated by dots");
}

static void check_address(struct rule_ctx *c, const struct fpath *at, struct str address, struct str type)
{
    int want = str_is(type, "IPv4") ? 4 : str_is(type, "IPv6") ? 6 : 0;
    if (str_is(type, "FQDN"))
        check_fqdn(c, at, address);
    if (!want || !check_ip(c, at, address))
        return;
    if (ip_family(c->mem, address) != want)
        rule_invalid(c, at, address, "must be an IPv%d address", want);
    check_not_special_ip(c, at, address);
}

static void check_hints(struct rule_ctx *c, const struct fpath *at, const struct doc *hints, const char *list_name)
{
    cleanup_set struct rule_set seen = {0};
    const struct doc *list = doc_get(hints, list_name);
    const struct fpath *list_at = AT(at, list_name);
    if (!check_count(c, list_at, list, HINTS_MAX))
        return;
    rule_each (h, list) {
        const struct fpath *name_at = AT(AT_INDEX(list_at, h_i), "name");
        if (!rule_set_add(&seen, doc_str(h, "name")))
            rule_duplicate(c, name_at, doc_str(h, "name"));
        check_name(c, name_at, doc_str(h, "name"), list_name[3] == 'Z' ? name_label_value : name_dns1123_subdomain);
    }
}

static void check_endpoint(struct rule_ctx *c, const struct fpath *at, const struct doc *ep, struct str type)
{
    const struct doc *addresses = doc_get(ep, "addresses"), *topology = doc_get(ep, "deprecatedTopology");
    const struct fpath *list = AT(at, "addresses");
    if (!doc_len(addresses))
        rule_required(c, list, "must contain at least 1 address");
    else
        check_count(c, list, addresses, ADDRESSES_MAX);
    rule_each (a, addresses)
        check_address(c, AT_INDEX(list, a_i), doc_string(a), type);
    if (rule_has(ep, "nodeName"))
        check_name(c, AT(at, "nodeName"), doc_str(ep, "nodeName"), name_dns1123_subdomain);
    check_count(c, AT(at, "deprecatedTopology"), topology, TOPOLOGY_LABELS_MAX);
    check_labels(c, AT(at, "deprecatedTopology"), topology);
    if (rule_has(ep, "hostname"))
        check_name(c, AT(at, "hostname"), doc_str(ep, "hostname"), name_dns1123_label);
    check_hints(c, AT(at, "hints"), doc_get(ep, "hints"), "forZones");
    check_hints(c, AT(at, "hints"), doc_get(ep, "hints"), "forNodes");
}

static void check_slice_port(struct rule_ctx *c, const struct fpath *at, const struct doc *port, struct rule_set *names)
{
    static const char *const protocols[] = {"SCTP", "TCP", "UDP", NULL};
    struct str name = doc_str(port, "name");
    if (name.len)
        check_name(c, AT(at, "name"), name, name_dns1123_label);
    if (!rule_set_add(names, name))
        rule_duplicate(c, AT(at, "name"), name);
    if (!rule_has(port, "protocol"))
        rule_required(c, AT(at, "protocol"), NULL);
    else
        check_enum(c, AT(at, "protocol"), doc_str(port, "protocol"), protocols);
    if (rule_has(port, "appProtocol"))
        check_name(c, AT(at, "appProtocol"), doc_str(port, "appProtocol"), name_qualified);
}

void validate_endpoint_slice(struct rule_ctx *c, const struct doc *obj, const struct doc *old, const struct fpath *at)
{
    static const char *const types[] = {"FQDN", "IPv4", "IPv6", NULL};
    const struct doc *endpoints = doc_get(obj, "endpoints"), *ports = doc_get(obj, "ports");
    struct str type = doc_str(obj, "addressType");
    cleanup_set struct rule_set names = {0};
    if (type.len)
        check_enum(c, AT(at, "addressType"), type, types);
    else
        rule_required(c, AT(at, "addressType"), NULL);
    if (check_count(c, AT(at, "endpoints"), endpoints, ENDPOINTS_MAX))
        rule_each (ep, endpoints)
            check_endpoint(c, AT_INDEX(AT(at, "endpoints"), ep_i), ep, type);
    if (check_count(c, AT(at, "ports"), ports, PORTS_MAX))
        rule_each (p, ports)
            check_slice_port(c, AT_INDEX(AT(at, "ports"), p_i), p, &names);
    if (old)
        check_immutable(c, AT(at, "addressType"), doc_get(obj, "addressType"), doc_get(old, "addressType"));
}
