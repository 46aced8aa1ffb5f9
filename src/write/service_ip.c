/* write/service_ip.c - cluster addresses and node ports of Services.
 *
 * An address is taken by creating its IPAddress object in the Service's own transaction (KEP-1880), so two Services
 * can't hold one address whatever dies in between. Node ports are counted from the cache; a port drawn for a write
 * still under way is reserved for that write. Source: kubernetes pkg/registry/core/service/storage/alloc.go. */
#include "write/internal.h"

#include "base/ipv4.h"

enum { PROTOCOLS = 3, DRAWS_MAX = 64, RESERVED_MS = 10000 };

struct port_state {
    uint16_t holders;            /* Services in the cache that hold it */
    const struct pending *taker; /* a write under way */
    int64_t taken_ms;
};
struct service_ips {
    struct writer *w;
    uint32_t base, size; /* the range, host byte order; size 0: no addresses */
    char cidr[32];
    int port_min, port_max;
    struct port_state *ports[PROTOCOLS];
    struct cache_sub sub;
};

static int protocol_of(const struct doc *port)
{
    struct str p = doc_str(port, "protocol");
    return str_is(p, "UDP") ? 1 : str_is(p, "SCTP") ? 2 : 0;
}

static struct port_state *state_of(struct service_ips *s, const struct doc *port, int64_t number)
{
    return number < s->port_min || number > s->port_max ? NULL : &s->ports[protocol_of(port)][number - s->port_min];
}

static void count_ports(struct service_ips *s, const struct obj *o, int by)
{
    cleanup_arena struct arena *mem = arena_new();
    const struct doc *svc = obj_doc(mem, o);
    doc_each (port, doc_path(svc, "spec", "ports", NULL)) {
        struct port_state *st = state_of(s, port, doc_int(port, "nodePort", 0));
        if (st)
            st->holders = (uint16_t)(st->holders + by);
    }
}

static void on_service(struct cache_sub *sub, struct cache_event *ev)
{
    struct service_ips *s = container_of(sub, struct service_ips, sub);
    if (ev->prev)
        count_ports(s, ev->prev, -1);
    if (ev->type != CACHE_DELETED)
        count_ports(s, ev->obj, 1);
}

static bool parse_cidr(struct service_ips *s, struct str cidr)
{
    int bits;
    if (!ipv4_parse_cidr(cidr, &s->base, &bits) || bits < 8 || bits > 30 || cidr.len >= sizeof(s->cidr))
        return false;
    s->size = 1u << (32 - bits);
    memcpy(s->cidr, cidr.ptr, cidr.len);
    return true;
}

struct service_ips *service_ips_new(struct writer *w, struct str cidr, int node_port_min, int node_port_max)
{
    struct service_ips *s = calloc(1, sizeof(*s));
    if (!s)
        abort(); /* at start */
    s->w = w, s->port_min = node_port_min ? node_port_min : 30000, s->port_max = node_port_max ? node_port_max : 32767;
    parse_cidr(s, cidr.len ? cidr : STR("10.96.0.0/16"));
    for (int i = 0; i < PROTOCOLS; i++)
        if (!(s->ports[i] = calloc((size_t)(s->port_max - s->port_min + 1), sizeof(struct port_state))))
            abort();
    struct cache_iter it = cache_list(w->cache, STR("services/"), STR_NULL);
    for (const struct obj *o; (o = cache_next(&it));)
        count_ports(s, o, 1);
    list_init(&s->sub.link);
    s->sub.prefix = STR("services/"), s->sub.on_event = on_service;
    cache_subscribe(w->cache, &s->sub, 0, NULL);
    return s;
}

struct service_ips *service_ips_free(struct service_ips *s)
{
    if (!s)
        return NULL;
    cache_unsubscribe(s->w->cache, &s->sub);
    for (int i = 0; i < PROTOCOLS; i++)
        free(s->ports[i]);
    free(s);
    return NULL;
}

/* ---- addresses */

static bool ip_is_taken(struct pending *p, struct str ip)
{
    return cache_find(p->w->cache, schema_stored("networking.k8s.io", "ipaddresses"), STR_NULL, ip) != NULL;
}

/* The lower part of the range (16 to 256 addresses) is left to those who choose (KEP-3070). */
static struct str draw_ip(struct pending *p, struct service_ips *s)
{
    struct arena *mem = p->req->mem;
    uint32_t band = s->size / 16 < 16 ? 16 : s->size / 16 > 256 ? 256 : s->size / 16;
    if (band >= s->size - 2)
        band = 1;
    for (int i = 0; i < DRAWS_MAX; i++) {
        struct str ip =
            ipv4_text(mem, s->base + band + (uint32_t)(loop_rand(p->w->loop, RAND_NAME) % (s->size - 1 - band)));
        if (!ip_is_taken(p, ip))
            return ip;
    }
    for (uint32_t i = 1; i < s->size - 1; i++) {
        struct str ip = ipv4_text(mem, s->base + i);
        if (!ip_is_taken(p, ip))
            return ip;
    }
    return STR_NULL;
}

static bool ip_in_range(const struct service_ips *s, struct str ip)
{
    uint32_t v;
    return ipv4_parse(ip, &v) && v > s->base && v < s->base + s->size - 1;
}

static int add_ip_op(struct pending *p, struct str ip)
{
    struct arena *mem = p->req->mem;
    const struct resource *res = schema_stored("networking.k8s.io", "ipaddresses");
    struct doc *d = doc_new_object(mem);
    doc_put_str(mem, d, "kind", str_of(res->kind));
    doc_put_str(mem, d, "apiVersion", str_of(res->api_version));
    struct doc *meta = doc_sub(mem, d, "metadata"), *labels = doc_sub(mem, meta, "labels");
    doc_put_str(mem, labels, "ipaddress.kubernetes.io/ip-family", STR("IPv4"));
    doc_put_str(mem, labels, "ipaddress.kubernetes.io/managed-by", STR("ipallocator.k8s.io"));
    meta_stamp_create(&(struct pending){.w = p->w, .req = &(struct write_req){.mem = mem, .res = res}, .stored = res},
                      d);
    doc_put_str(mem, meta, "name", ip);
    struct doc *parent = doc_sub(mem, doc_sub(mem, d, "spec"), "parentRef");
    doc_put_str(mem, parent, "resource", STR("services"));
    doc_put_str(mem, parent, "namespace", p->req->ns);
    doc_put_str(mem, parent, "name", p->req->name);
    schema_order(mem, res->type, d);
    struct obj *o = obj_seal(res, d, 0, &p->err);
    if (!o)
        return -1;
    p->extra[p->extra_count++] = (struct store_op){.kind = STORE_PUT, .key = o->key, .expect_rev = 0, .obj = o};
    return 0;
}

static void release_ip(struct pending *p, struct str ip)
{
    const struct obj *o = cache_find(p->w->cache, schema_stored("networking.k8s.io", "ipaddresses"), STR_NULL, ip);
    if (!o || p->extra_count == WRITE_EXTRA_OPS_MAX)
        return;
    const struct doc *parent = doc_path(obj_doc(p->req->mem, o), "spec", "parentRef", NULL);
    if (!str_eq(doc_str(parent, "namespace"), p->req->ns) || !str_eq(doc_str(parent, "name"), p->req->name))
        return;
    /* A tombstone is a state of its own: its revision is that of the delete. */
    struct obj *last = obj_seal(o->res, obj_doc(p->req->mem, o), 0, &p->err);
    if (last)
        p->extra[p->extra_count++] =
            (struct store_op){.kind = STORE_DELETE, .key = last->key, .expect_rev = o->rev, .obj = last};
}

static bool wants_ip(const struct doc *spec)
{
    return spec && !str_is(doc_str(spec, "type"), "ExternalName") && !str_is(doc_str(spec, "clusterIP"), "None");
}

static void put_families(struct arena *mem, struct doc *spec, struct str ip)
{
    struct doc *ips = doc_put(mem, spec, "clusterIPs", doc_new_array(mem));
    doc_put_str(mem, spec, "clusterIP", ip);
    doc_push(ips, doc_new_str(mem, ip));
    if (!doc_len(doc_get(spec, "ipFamilies")))
        doc_push(doc_sub_array(mem, spec, "ipFamilies"), doc_new_str(mem, STR("IPv4")));
    if (!doc_str(spec, "ipFamilyPolicy").len)
        doc_put_str(mem, spec, "ipFamilyPolicy", STR("SingleStack"));
}

static int refuse_ip(struct pending *p, struct str ip, const char *why)
{
    static const struct fpath spec = {NULL, "spec", 0, {0}}, at = {&spec, "clusterIPs", 0, {0}};
    err_cause_raw(&p->err, CAUSE_INVALID, &at, str_fmt(p->req->mem, "[\"" STR_FMT "\"]", STR_ARG(ip)),
                  "failed to allocate IP " STR_FMT ": %s", STR_ARG(ip), why);
    return err_invalid(&p->err, STR(""), STR("Service"), p->req->name);
}

static int assign_ip(struct pending *p, struct service_ips *s, struct doc *spec, const struct doc *old_spec)
{
    struct arena *mem = p->req->mem;
    struct str old_ip = wants_ip(old_spec) ? doc_str(old_spec, "clusterIP") : STR_NULL;
    if (!wants_ip(spec)) {
        if (str_is(doc_str(spec, "clusterIP"), "None"))
            put_families(mem, spec, STR("None"));
        if (old_ip.len)
            release_ip(p, old_ip);
        return 0;
    }
    struct str ip = doc_str(spec, "clusterIP");
    if (!ip.len && doc_len(doc_get(spec, "clusterIPs")))
        ip = doc_string(doc_first(doc_get(spec, "clusterIPs")));
    if (!ip.len && old_ip.len)
        ip = old_ip;
    if (old_ip.len && str_eq(ip, old_ip)) {
        put_families(mem, spec, ip);
        return 0;
    }
    if (!ip.len && !(ip = draw_ip(p, s)).len)
        return err_set(&p->err, ERR_INTERNAL, "failed to allocate a serviceIP: range is full");
    if (!ip_in_range(s, ip))
        return refuse_ip(
            p, ip,
            str_fmtz(mem, "the provided IP (" STR_FMT ") is not in the valid range. The range of valid IPs is %s",
                     STR_ARG(ip), s->cidr));
    if (ip_is_taken(p, ip))
        return refuse_ip(p, ip, "provided IP is already allocated");
    put_families(mem, spec, ip);
    return add_ip_op(p, ip);
}

/* ---- node ports */

static bool port_is_free(const struct pending *p, const struct port_state *st)
{
    bool reserved = st->taker && st->taker != p && loop_now_ms(p->w->loop) - st->taken_ms < RESERVED_MS;
    return !st->holders && !reserved;
}

static void take_port(struct pending *p, struct port_state *st)
{
    st->taker = p, st->taken_ms = loop_now_ms(p->w->loop);
}

static bool had_port(const struct doc *old_spec, const struct doc *port, int64_t number)
{
    doc_each (o, doc_get(old_spec, "ports"))
        if (doc_int(o, "nodePort", 0) == number && protocol_of(o) == protocol_of(port))
            return true;
    return false;
}

/* An update that leaves a node port out keeps the one that the same port had. */
static int64_t kept_port(const struct doc *old_spec, const struct doc *port)
{
    doc_each (o, doc_get(old_spec, "ports"))
        if (doc_int(o, "port", 0) == doc_int(port, "port", -1) && protocol_of(o) == protocol_of(port))
            return doc_int(o, "nodePort", 0);
    return 0;
}

static int64_t draw_port(struct pending *p, struct service_ips *s, const struct doc *port)
{
    int count = s->port_max - s->port_min + 1, start = (int)(loop_rand(p->w->loop, RAND_NAME) % (unsigned)count);
    for (int i = 0; i < count; i++) {
        int64_t number = s->port_min + (start + i) % count;
        struct port_state *st = state_of(s, port, number);
        if (port_is_free(p, st)) {
            take_port(p, st);
            return number;
        }
    }
    return 0;
}

static int assign_port(struct pending *p, struct service_ips *s, struct doc *port, const struct doc *old_spec,
                       int index)
{
    static const struct fpath spec_at = {NULL, "spec", 0, {0}}, ports_at = {&spec_at, "ports", 0, {0}};
    const struct fpath item = {&ports_at, NULL, index, {0}}, at = {&item, "nodePort", 0, {0}};
    int64_t number = doc_int(port, "nodePort", 0);
    if (!number && !(number = kept_port(old_spec, port)) && !(number = draw_port(p, s, port)))
        return err_set(&p->err, ERR_INTERNAL, "failed to allocate a nodePort: range is full");
    if (!had_port(old_spec, port, number)) {
        struct port_state *st = state_of(s, port, number);
        if (!st)
            err_cause_int(&p->err, CAUSE_INVALID, &at, number,
                          "provided port is not in the valid range. The range of valid ports is %d-%d", s->port_min,
                          s->port_max);
        else if (!port_is_free(p, st))
            err_cause_int(&p->err, CAUSE_INVALID, &at, number, "provided port is already allocated");
        else
            take_port(p, st);
    }
    doc_put_int(p->req->mem, port, "nodePort", number);
    return 0;
}

static int assign_ports(struct pending *p, struct service_ips *s, struct doc *spec, const struct doc *old_spec)
{
    struct str type = doc_str(spec, "type");
    bool wanted = str_is(type, "NodePort") ||
                  (str_is(type, "LoadBalancer") && doc_bool(spec, "allocateLoadBalancerNodePorts", true));
    int index = 0;
    doc_each (port, doc_get(spec, "ports")) {
        if (wanted && assign_port(p, s, port, old_spec, index++) < 0)
            return -1;
        if (!wanted && doc_int(port, "nodePort", 0) == kept_port(old_spec, port))
            doc_del(port, "nodePort"); /* the type moved away from NodePort */
    }
    return p->err.causes ? err_invalid(&p->err, STR(""), STR("Service"), p->req->name) : 0;
}

int service_ips_assign(struct pending *p, struct doc *obj, const struct doc *old)
{
    struct service_ips *s = p->w->service_ips;
    if (strcmp(p->stored->kind, "Service") != 0 || p->stored->group[0] || p->req->sub || !s->size)
        return 0;
    const struct doc *old_spec = doc_get(old, "spec");
    if (!obj) {
        if (wants_ip(old_spec) && doc_str(old_spec, "clusterIP").len)
            release_ip(p, doc_str(old_spec, "clusterIP"));
        return 0;
    }
    struct doc *spec = doc_sub(p->req->mem, obj, "spec");
    return assign_ip(p, s, spec, old_spec) < 0 ? -1 : assign_ports(p, s, spec, old_spec);
}
