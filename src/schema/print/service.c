/* Services, their endpoints, ingresses, network policies and address ranges. */
#include "schema/print/print.h"

/* Addresses of a load balancer: each once, in order of bytes. */
static struct str balancer(struct arena *mem, const struct doc *status)
{
    const struct doc *ingress = doc_path(status, "loadBalancer", "ingress", NULL);
    struct str *all = arena_array(mem, struct str, doc_len(ingress)), addr;
    struct sb out = SB(mem);
    int n = 0;
    doc_each (i, ingress) {
        int at = n;
        if (!(addr = doc_str(i, "ip")).len && !(addr = doc_str(i, "hostname")).len)
            continue;
        while (at > 0 && str_cmp(all[at - 1], addr) > 0)
            at--;
        if (at > 0 && str_eq(all[at - 1], addr))
            continue;
        memmove(&all[at + 1], &all[at], (size_t)(n++ - at) * sizeof(*all));
        all[at] = addr;
    }
    for (int i = 0; i < n; i++) {
        if (i)
            sb_addc(&out, ',');
        sb_add(&out, all[i]);
    }
    return sb_str(&out);
}

static struct str external_ip(const struct row *r)
{
    struct str type = doc_str(r->spec, "type");
    struct str ips = print_join(r->mem, doc_get(r->spec, "externalIPs"), NULL, ",");
    if (str_is(type, "ExternalName"))
        return doc_str(r->spec, "externalName");
    if (str_is(type, "ClusterIP") || str_is(type, "NodePort"))
        return ips.len ? ips : STR("<none>");
    if (!str_is(type, "LoadBalancer"))
        return STR("<unknown>");
    struct str lb = balancer(r->mem, r->status);
    if (!lb.len)
        return ips.len ? ips : STR("<pending>");
    return ips.len ? str_fmt(r->mem, STR_FMT "," STR_FMT, STR_ARG(lb), STR_ARG(ips)) : lb;
}

static struct str service_ports(const struct row *r) /* 80:30080/TCP,53/UDP */
{
    const struct doc *ports = doc_get(r->spec, "ports");
    struct sb out = SB(r->mem);
    doc_each (p, ports) {
        long long node = doc_int(p, "nodePort", 0);
        sb_addf(&out, "%s%lld", p == ports->first ? "" : ",", (long long)doc_int(p, "port", 0));
        if (node > 0)
            sb_addf(&out, ":%lld", node);
        sb_addf(&out, "/" STR_FMT, STR_ARG(doc_str(p, "protocol")));
    }
    return sb_str(&out);
}

void print_service(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    const struct doc *ips = doc_get(r.spec, "clusterIPs");
    row_str(&r, doc_str(r.spec, "type"));
    row_str(&r, doc_len(ips) ? doc_string(ips->first) : STR("<none>"));
    row_str(&r, external_ip(&r));
    row_or(&r, service_ports(&r), "<none>");
    row_age(&r);
    row_labels(&r, doc_get(r.spec, "selector"));
}

/* 10.0.0.1:80,10.0.0.2:80 + 4 more...; [::1]:80 */
static struct str endpoints(const struct row *r)
{
    struct few few = {SB(r->mem), 0, 3};
    doc_each (subset, doc_get(r->obj, "subsets")) {
        const struct doc *addresses = doc_get(subset, "addresses"), *ports = doc_get(subset, "ports");
        if (!doc_len(ports)) /* headless services may have none */
            doc_each (a, addresses)
                few_add(&few, doc_str(a, "ip"));
        doc_each (p, ports)
            doc_each (a, addresses) {
                struct str ip = doc_str(a, "ip");
                bool v6 = str_find(ip, ':') >= 0;
                few_add(&few, str_fmt(r->mem, "%s" STR_FMT "%s:%lld", v6 ? "[" : "", STR_ARG(ip), v6 ? "]" : "",
                                      (long long)doc_int(p, "port", 0)));
            }
    }
    return few_str(&few, doc_len(doc_get(r->obj, "subsets")) ? "" : "<none>");
}

void print_endpoints(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    row_str(&r, endpoints(&r));
    row_age(&r);
}

void print_endpoint_slice(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    struct few ports = {SB(mem), 0, 3}, addresses = {SB(mem), 0, 3};
    doc_each (p, doc_get(obj, "ports")) {
        const struct doc *port = doc_get(p, "port"), *name = doc_get(p, "name");
        few_add(&ports, port ? print_any(mem, port) : name ? doc_string(name) : STR("*"));
    }
    doc_each (e, doc_get(obj, "endpoints"))
        doc_each (a, doc_get(e, "addresses"))
            few_add(&addresses, doc_string(a));
    row_str(&r, doc_str(obj, "addressType"));
    row_str(&r, few_str(&ports, "<unset>"));
    row_str(&r, few_str(&addresses, "<unset>"));
    row_age(&r);
}

/* Once three hosts are named, the rest of the rules count as more, with a host or without. */
static struct str hosts(const struct row *r)
{
    const struct doc *rules = doc_get(r->spec, "rules");
    struct few few = {SB(r->mem), 0, 3};
    doc_each (rule, rules) {
        if (few.count == few.max) {
            few.count = (int)doc_len(rules);
            break;
        }
        if (doc_str(rule, "host").len)
            few_add(&few, doc_str(rule, "host"));
    }
    return few_str(&few, "*");
}

void print_ingress(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    const struct doc *class = doc_get(r.spec, "ingressClassName");
    row_str(&r, class ? doc_string(class) : STR("<none>"));
    row_str(&r, hosts(&r));
    row_str(&r, balancer(mem, r.status));
    row_str(&r, doc_len(doc_get(r.spec, "tls")) ? STR("80, 443") : STR("80"));
    row_age(&r);
}

void print_ingress_class(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    const struct doc *params = doc_get(r.spec, "parameters"), *group = doc_get(params, "apiGroup");
    row_str(&r, doc_str(r.spec, "controller"));
    if (params)
        row_fmt(&r, STR_FMT "%s" STR_FMT "/" STR_FMT, STR_ARG(doc_str(params, "kind")), group ? "." : "",
                STR_ARG(doc_string(group)), STR_ARG(doc_str(params, "name")));
    else
        row_str(&r, STR("<none>"));
    row_age(&r);
}

void print_network_policy(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    row_selector(&r, doc_get(r.spec, "podSelector"));
    row_age(&r);
}

void print_service_cidr(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    row_str(&r, print_join(mem, doc_get(r.spec, "cidrs"), NULL, ","));
    row_age(&r);
}

static struct str parent(struct arena *mem, const struct doc *ref) /* services/default/kubernetes */
{
    struct str group = doc_str(ref, "group"), resource = doc_str(ref, "resource"), ns = doc_str(ref, "namespace");
    struct str what = group.len ? str_fmt(mem, STR_FMT "." STR_FMT, STR_ARG(resource), STR_ARG(group)) : resource;
    return str_fmt(mem, STR_FMT "%s" STR_FMT "/" STR_FMT, STR_ARG(print_lower(mem, what)), ns.len ? "/" : "",
                   STR_ARG(ns), STR_ARG(doc_str(ref, "name")));
}

void print_ip_address(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    const struct doc *ref = doc_get(r.spec, "parentRef");
    row_str(&r, ref ? parent(mem, ref) : STR("<none>"));
}
