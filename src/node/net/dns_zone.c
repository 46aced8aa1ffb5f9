#include "node/net/dns_zone.h"

#include <netinet/in.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/map.h"
#include "node/net/ipam.h"

struct port {
    struct str name;
    uint16_t number;
    uint8_t protocol;
};
struct host {
    uint32_t address;
    struct str name; /* empty: its address with dashes */
};
struct entry { /* a service */
    struct list link;
    struct arena *mem; /* it lives in it itself */
    struct str key, ns, name, external;
    uint32_t ip; /* 0: headless or external */
    bool headless;
    struct port *ports;
    struct host *hosts;
    size_t port_count, host_count;
};
struct dns_zone {
    struct map by_key;
    struct list all;
    struct map namespaces; /* name -> struct space */
    struct arena *mem;     /* of domain */
    struct dns_name domain;
    uint32_t services, pods;
    int services_prefix, pods_prefix;
    uint32_t serial;
    bool synced;
};
struct space {
    int services;
    char name[];
};

struct dns_zone *dns_zone_new(void)
{
    struct dns_zone *z = calloc(1, sizeof(*z));
    if (!z)
        abort();
    list_init(&z->all);
    z->mem = arena_new();
    dns_name_of(z->mem, STR("cluster.local"), &z->domain);
    return z;
}

static void space_count(struct dns_zone *z, struct str ns, int change)
{
    struct space *s = map_get(&z->namespaces, ns);
    if (!s) {
        s = calloc(1, sizeof(*s) + ns.len + 1);
        if (!s)
            abort();
        memcpy(s->name, ns.ptr, ns.len);
        map_put(&z->namespaces, str_mem(s->name, ns.len), s);
    }
    s->services += change;
    if (s->services == 0) {
        map_del(&z->namespaces, ns);
        free(s);
    }
}

static void entry_free(struct dns_zone *z, struct entry *e)
{
    map_del(&z->by_key, e->key);
    list_remove(&e->link);
    space_count(z, e->ns, -1);
    arena_free(e->mem);
}

static void clear(struct dns_zone *z)
{
    list_each_safe (at, &z->all)
        entry_free(z, container_of(at, struct entry, link));
    z->synced = false;
}

struct dns_zone *dns_zone_free(struct dns_zone *z)
{
    if (!z)
        return NULL;
    clear(z);
    map_done(&z->by_key), map_done(&z->namespaces);
    arena_free(z->mem);
    free(z);
    return NULL;
}

/* ---- messages */

static bool read_reset(struct dns_zone *z, struct ipc_reader *r)
{
    struct str domain = ipc_get_str(r);
    uint64_t v[4];
    for (int i = 0; i < 4; i++)
        v[i] = ipc_get_u64(r);
    struct arena *mem = arena_new();
    struct dns_name name;
    if (!ipc_read_ok(r) || !dns_name_of(mem, domain, &name) || v[1] > 32 || v[3] > 32) {
        arena_free(mem);
        return false;
    }
    clear(z);
    arena_free(z->mem);
    z->mem = mem, z->domain = name;
    z->services = (uint32_t)v[0], z->services_prefix = (int)v[1], z->pods = (uint32_t)v[2], z->pods_prefix = (int)v[3];
    return true;
}

static bool read_lists(struct ipc_reader *r, struct entry *e)
{
    uint64_t n = ipc_get_u64(r);
    if (n > DNS_PORTS_MAX)
        return false;
    e->ports = arena_array(e->mem, struct port, n ? n : 1);
    for (; e->port_count < n && !r->bad; e->port_count++) {
        struct str name = str_dup(e->mem, ipc_get_str(r));
        uint64_t number = ipc_get_u64(r), protocol = ipc_get_u64(r);
        e->ports[e->port_count] = (struct port){name, (uint16_t)number, (uint8_t)protocol};
    }
    n = ipc_get_u64(r);
    if (n > DNS_ENDPOINTS_MAX)
        return false;
    e->hosts = arena_array(e->mem, struct host, n ? n : 1);
    for (; e->host_count < n && !r->bad; e->host_count++) {
        uint64_t address = ipc_get_u64(r);
        e->hosts[e->host_count] = (struct host){(uint32_t)address, str_dup(e->mem, ipc_get_str(r))};
    }
    return ipc_read_ok(r);
}

static bool read_service(struct dns_zone *z, struct ipc_reader *r)
{
    struct arena *mem = arena_new();
    struct entry *e = arena_new_of(mem, struct entry);
    e->mem = mem;
    e->ns = str_dup(mem, ipc_get_str(r)), e->name = str_dup(mem, ipc_get_str(r));
    uint64_t kind = ipc_get_u64(r);
    e->ip = (uint32_t)ipc_get_u64(r), e->external = str_dup(mem, ipc_get_str(r));
    e->headless = kind == 2;
    e->key = str_fmt(mem, STR_FMT "/" STR_FMT, STR_ARG(e->ns), STR_ARG(e->name));
    if (!read_lists(r, e) || e->ns.len == 0 || e->name.len == 0) {
        arena_free(mem);
        return false;
    }
    struct entry *old = map_get(&z->by_key, e->key);
    if (kind) { /* before the old one goes, so that the namespace stays */
        space_count(z, e->ns, 1);
        if (old)
            entry_free(z, old);
        map_put(&z->by_key, e->key, e);
        list_add_tail(&z->all, &e->link);
    } else {
        if (old)
            entry_free(z, old);
        arena_free(mem);
    }
    return true;
}

bool dns_zone_message(struct dns_zone *z, enum ipc_type type, struct str body)
{
    struct ipc_reader r = IPC_READER(body);
    z->serial++;
    if (type == IPC_DNS_RESET)
        return read_reset(z, &r);
    if (type == IPC_DNS_SERVICE)
        return read_service(z, &r);
    if (type == IPC_DNS_SYNCED)
        z->synced = true;
    return type == IPC_DNS_SYNCED && ipc_read_ok(&r);
}

/* ---- answers */

struct answer {
    const struct dns_zone *zone;
    const struct dns_query *q;
    struct arena *mem;
    struct dns_writer w;
    bool exists; /* the name, whatever its records */
    unsigned turn;
    struct dns_name *target; /* of a CNAME to chase */
    bool chase;
};

static struct str wire_address(struct arena *mem, uint32_t a)
{
    a = htonl(a);
    return str_dup(mem, str_mem((const char *)&a, sizeof(a)));
}

static bool wants(const struct answer *a, uint16_t type)
{
    return a->q->type == type || a->q->type == DNS_ANY;
}

static struct str host_label(struct arena *mem, const struct host *h)
{
    if (h->name.len)
        return h->name;
    uint32_t a = h->address;
    return str_fmt(mem, "%u-%u-%u-%u", a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255);
}

/* [host.]name.ns.svc.ZONE */
static struct dns_name name_in_zone(const struct answer *a, const struct entry *e, const struct host *h)
{
    struct dns_name n = {0};
    if (h)
        n.labels[n.count++] = host_label(a->mem, h);
    n.labels[n.count++] = e->name, n.labels[n.count++] = e->ns, n.labels[n.count++] = STR("svc");
    for (int i = 0; i < a->zone->domain.count && n.count < DNS_LABELS_MAX; i++)
        n.labels[n.count++] = a->zone->domain.labels[i];
    return n;
}

static void put_address(struct answer *a, const struct dns_name *owner, uint32_t address)
{
    dns_write_record(&a->w, owner, DNS_A, DNS_TTL_S, wire_address(a->mem, address), /* authority= */ false);
}

static void answer_service(struct answer *a, const struct entry *e)
{
    a->exists = true;
    if (e->external.len) {
        struct dns_name target;
        if (!dns_name_of(a->mem, e->external, &target))
            return;
        dns_write_record(&a->w, NULL, DNS_CNAME, DNS_TTL_S, dns_name_wire(a->mem, &target), /* authority= */ false);
        a->chase = a->q->type != DNS_CNAME, *a->target = target;
    } else if (wants(a, DNS_A) && e->ip) {
        put_address(a, NULL, e->ip);
    } else if (wants(a, DNS_A)) {
        for (size_t i = 0; i < e->host_count; i++)
            put_address(a, NULL, e->hosts[(i + a->turn) % e->host_count].address);
    }
}

static void answer_host(struct answer *a, const struct entry *e, struct str label)
{
    for (size_t i = 0; i < e->host_count; i++) {
        if (!str_ieq(host_label(a->mem, &e->hosts[i]), label))
            continue;
        a->exists = true;
        if (wants(a, DNS_A))
            put_address(a, NULL, e->hosts[i].address);
    }
}

static uint8_t protocol_of(struct str label)
{
    return str_is(label, "_tcp")    ? IPPROTO_TCP
           : str_is(label, "_udp")  ? IPPROTO_UDP
           : str_is(label, "_sctp") ? IPPROTO_SCTP
                                    : 0;
}

static void put_service_record(struct answer *a, const struct entry *e, const struct host *h, uint16_t port)
{
    struct dns_name target = name_in_zone(a, e, h);
    struct str wire = dns_name_wire(a->mem, &target);
    struct sb data = SB(a->mem);
    const char fixed[6] = {0, 0, 0, 100, (char)(port >> 8), (char)(port & 255)};
    sb_add(&data, str_mem(fixed, sizeof(fixed)));
    sb_add(&data, wire);
    dns_write_record(&a->w, NULL, DNS_SRV, DNS_TTL_S, sb_str(&data), /* authority= */ false);
}

static void answer_port(struct answer *a, const struct entry *e, struct str port, struct str protocol)
{
    for (size_t i = 0; i < e->port_count; i++) {
        const struct port *p = &e->ports[i];
        if (p->protocol != protocol_of(protocol) || port.len < 2 || !str_ieq(str_from(port, 1), p->name))
            continue;
        a->exists = true;
        if (!wants(a, DNS_SRV))
            continue;
        if (!e->headless)
            put_service_record(a, e, NULL, p->number);
        for (size_t h = 0; e->headless && h < e->host_count; h++)
            put_service_record(a, e, &e->hosts[(h + a->turn) % e->host_count], p->number);
    }
}

static const struct entry *find(const struct answer *a, struct str ns, struct str name)
{
    return map_get(&a->zone->by_key, str_fmt(a->mem, STR_FMT "/" STR_FMT, STR_ARG(ns), STR_ARG(name)));
}

/* v: the labels before svc.ZONE */
static void answer_svc(struct answer *a, const struct str *v, int n)
{
    if (n == 0) {
        a->exists = true;
        return;
    }
    if (n == 1) {
        a->exists = map_get(&a->zone->namespaces, v[0]) != NULL;
        return;
    }
    const struct entry *e = find(a, v[n - 1], v[n - 2]);
    if (!e)
        return;
    if (n == 2)
        answer_service(a, e);
    else if (n == 3 && protocol_of(v[0]))
        a->exists = true;
    else if (n == 3)
        answer_host(a, e, v[0]);
    else if (n == 4 && v[0].len && v[0].ptr[0] == '_')
        answer_port(a, e, v[0], v[1]);
}

static void answer_pod(struct answer *a, const struct str *v, int n)
{
    a->exists = n == 0 || (n == 1 && map_get(&a->zone->namespaces, v[0]));
    if (n != 2 || v[0].len > 15)
        return;
    struct str dotted = str_dup(a->mem, v[0]);
    for (char *c = (char *)(uintptr_t)dotted.ptr; c < dotted.ptr + dotted.len; c++)
        *c = *c == '-' ? '.' : *c == '.' ? '-' : *c;
    uint32_t address;
    if (!ipv4_parse(dotted, &address))
        return;
    a->exists = true;
    if (wants(a, DNS_A))
        put_address(a, NULL, address);
}

static struct str soa(struct answer *a)
{
    struct dns_name ns = a->zone->domain, mail = a->zone->domain;
    struct sb data = SB(a->mem);
    for (int add = 0; add < 2; add++) {
        struct dns_name n = {.labels = {add ? STR("hostmaster") : STR("ns"), STR("dns")}, .count = add ? 1 : 2};
        for (int i = 0; i < ns.count && n.count < DNS_LABELS_MAX; i++)
            n.labels[n.count++] = mail.labels[i];
        sb_add(&data, dns_name_wire(a->mem, &n));
    }
    const uint32_t numbers[] = {htonl(a->zone->serial), htonl(7200), htonl(1800), htonl(86400), htonl(DNS_TTL_S)};
    sb_add(&data, str_mem((const char *)numbers, sizeof(numbers)));
    return sb_str(&data);
}

static void answer_zone(struct answer *a, const struct str *v, int n)
{
    if (n == 0) {
        a->exists = true;
        if (wants(a, DNS_SOA))
            dns_write_record(&a->w, NULL, DNS_SOA, DNS_TTL_S, soa(a), /* authority= */ false);
    } else if (str_is(v[n - 1], "svc")) {
        answer_svc(a, v, n - 1);
    } else if (str_is(v[n - 1], "pod")) {
        answer_pod(a, v, n - 1);
    } else if (n == 1 && str_is(v[0], "dns-version")) {
        a->exists = true;
        if (wants(a, DNS_TXT))
            dns_write_record(&a->w, NULL, DNS_TXT, DNS_TTL_S, STR("\0051.1.0"), /* authority= */ false);
    }
}

static void put_pointer(struct answer *a, const struct entry *e, const struct host *h)
{
    struct dns_name n = name_in_zone(a, e, h);
    a->exists = true;
    if (wants(a, DNS_PTR))
        dns_write_record(&a->w, NULL, DNS_PTR, DNS_TTL_S, dns_name_wire(a->mem, &n), /* authority= */ false);
}

static bool reverse_address(const struct dns_name *n, uint32_t *ret)
{
    uint32_t address = 0;
    if (n->count != 6 || !str_is(n->labels[4], "in-addr") || !str_is(n->labels[5], "arpa"))
        return false;
    for (int i = 0; i < 4; i++) {
        uint64_t byte;
        if (!str_to_u64(n->labels[i], &byte) || byte > 255)
            return false;
        address |= (uint32_t)byte << (8 * i);
    }
    *ret = address;
    return true;
}

static bool in_range(uint32_t address, uint32_t network, int prefix)
{
    return prefix > 0 && (address ^ network) >> (32 - prefix) == 0;
}

/* True: the address is one of ours, known or not. */
static bool answer_reverse(struct answer *a, uint32_t address)
{
    const struct dns_zone *z = a->zone;
    list_each (at, &z->all) {
        const struct entry *e = container_of(at, struct entry, link);
        if (e->ip == address)
            put_pointer(a, e, NULL);
        for (size_t i = 0; e->headless && i < e->host_count; i++)
            if (e->hosts[i].address == address)
                put_pointer(a, e, &e->hosts[i]);
    }
    return a->exists || in_range(address, z->services, z->services_prefix) ||
           in_range(address, z->pods, z->pods_prefix);
}

static int in_zone(const struct dns_zone *z, const struct dns_name *n)
{
    int before = n->count - z->domain.count;
    for (int i = 0; before >= 0 && i < z->domain.count; i++)
        if (!str_eq(n->labels[before + i], z->domain.labels[i]))
            return -1;
    return before;
}

struct str dns_error(struct arena *mem, const struct dns_query *q, int rcode)
{
    struct dns_writer w;
    dns_write_begin(&w, mem, q);
    return dns_write_end(&w, rcode, /* authoritative= */ false, DNS_MESSAGE_MAX);
}

enum dns_verdict dns_zone_answer(const struct dns_zone *z, struct arena *mem, const struct dns_query *q, size_t max,
                                 unsigned turn, struct str *ret_message, struct dns_name *ret_target)
{
    struct answer a = {.zone = z, .q = q, .mem = mem, .turn = turn, .target = ret_target};
    uint32_t address;
    if (q->error || q->class != DNS_IN) {
        *ret_message = dns_error(mem, q, q->error ? q->error : DNS_REFUSED);
        return DNS_ANSWER;
    }
    dns_write_begin(&a.w, mem, q);
    int before = in_zone(z, &q->name);
    if (before >= 0)
        answer_zone(&a, q->name.labels, before);
    else if (!reverse_address(&q->name, &address) || !answer_reverse(&a, address))
        return DNS_FORWARD;
    if (a.chase)
        return DNS_CHASE;
    if (!a.exists && !z->synced) {
        *ret_message = dns_error(mem, q, DNS_SERVFAIL);
        return DNS_ANSWER;
    }
    if (a.w.answers == 0)
        dns_write_record(&a.w, &z->domain, DNS_SOA, DNS_TTL_S, soa(&a), /* authority= */ true);
    *ret_message = dns_write_end(&a.w, a.exists ? DNS_NOERROR : DNS_NXDOMAIN, /* authoritative= */ true, max);
    return DNS_ANSWER;
}

struct str dns_zone_chased(struct arena *mem, const struct dns_query *q, const struct dns_name *target,
                           struct str upstream, size_t max)
{
    enum { RECORDS_MAX = 64 };
    struct dns_record *records = arena_array(mem, struct dns_record, RECORDS_MAX);
    struct dns_writer w;
    int n = dns_answers(mem, upstream, records, RECORDS_MAX);
    if (n < 0)
        return dns_error(mem, q, DNS_SERVFAIL);
    dns_write_begin(&w, mem, q);
    if (upstream.ptr[2] & 2) /* truncated: the client comes again by TCP, and so do we then */
        return dns_write_end(&w, DNS_NOERROR, /* authoritative= */ false, /* max= */ 0);
    dns_write_record(&w, NULL, DNS_CNAME, DNS_TTL_S, dns_name_wire(mem, target), /* authority= */ false);
    for (int i = 0; i < n; i++) {
        struct str data = records[i].type == DNS_CNAME ? dns_name_wire(mem, &records[i].target) : records[i].data;
        dns_write_record(&w, &records[i].name, records[i].type, records[i].ttl, data, /* authority= */ false);
    }
    return dns_write_end(&w, dns_rcode(upstream), /* authoritative= */ false, max);
}
