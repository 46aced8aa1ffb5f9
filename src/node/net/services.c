/* The model: objects by key, services that changed, frontends as the kernel has them. */
#include "node/net/services.h"

#include <netinet/in.h>
#include <stdlib.h>

#include "base/map.h"
#include "node/net/ipam.h"

struct front {
    struct list link; /* service.fronts, or services.orphans */
    struct service *owner;
    struct frontend is; /* backends: heap */
    bool wanted;        /* in the plan under way */
};
struct services {
    struct services_opts opts;
    char *node_name;
    struct map by_key, slices, fronts;
    struct list all, dirty, orphans;
};

struct services *services_new(const struct services_opts *opts)
{
    struct services *s = calloc(1, sizeof(*s));
    if (!s)
        abort();
    s->opts = *opts;
    s->node_name = strndup(opts->node_name.ptr ? opts->node_name.ptr : "", opts->node_name.len);
    list_init(&s->all), list_init(&s->dirty), list_init(&s->orphans);
    return s;
}

static char *dup_str(struct str s)
{
    char *z = strndup(s.ptr ? s.ptr : "", s.len);
    if (!z)
        abort();
    return z;
}

static void *array_new(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size);
    if (!p)
        abort();
    return p;
}

/* ---- objects */

static void ports_free(struct service *v)
{
    for (uint32_t i = 0; i < v->port_count; i++)
        free(v->ports[i].name);
    free(v->ports), v->ports = NULL, v->port_count = 0;
    free(v->external_name), v->external_name = NULL;
    v->ip = 0, v->external_count = 0, v->headless = false;
}

static void touch(struct services *s, struct service *v)
{
    if (list_empty(&v->dirty))
        list_add_tail(&s->dirty, &v->dirty);
    if (s->opts.changed)
        s->opts.changed(s->opts.ctx, v);
}

static struct service *service_of(struct services *s, struct str ns, struct str name)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str key = str_fmt(mem, STR_FMT "/" STR_FMT, STR_ARG(ns), STR_ARG(name));
    struct service *v = map_get(&s->by_key, key);
    if (v)
        return v;
    v = array_new(1, sizeof(*v));
    v->key = dup_str(key), v->ns = dup_str(ns), v->name = dup_str(name);
    list_init(&v->dirty), list_init(&v->slices), list_init(&v->fronts);
    list_add_tail(&s->all, &v->link);
    map_put(&s->by_key, str_of(v->key), v);
    return v;
}

static void service_free(struct services *s, struct service *v)
{
    map_del(&s->by_key, str_of(v->key));
    list_remove(&v->link), list_remove(&v->dirty);
    ports_free(v);
    free(v->key), free(v->ns), free(v->name), free(v);
}

static bool port_ok(int64_t port)
{
    return port > 0 && port < 65536;
}

static uint8_t protocol_of(struct str word)
{
    return str_is(word, "UDP") ? IPPROTO_UDP : str_is(word, "SCTP") ? IPPROTO_SCTP : IPPROTO_TCP;
}

static void read_ports(struct service *v, const struct doc *ports)
{
    uint32_t n = doc_len(ports);
    v->ports = array_new(n < SERVICE_PORTS_MAX ? n : SERVICE_PORTS_MAX, sizeof(*v->ports));
    doc_each (p, ports) {
        int64_t port = doc_int(p, "port", 0), node_port = doc_int(p, "nodePort", 0);
        if (!port_ok(port) || v->port_count == SERVICE_PORTS_MAX)
            continue;
        v->ports[v->port_count++] = (struct service_port){.name = dup_str(doc_str(p, "name")),
                                                          .port = (uint16_t)port,
                                                          .node_port = port_ok(node_port) ? (uint16_t)node_port : 0,
                                                          .protocol = protocol_of(doc_str(p, "protocol"))};
    }
}

static void add_external(struct service *v, struct str text)
{
    uint32_t a;
    if (v->external_count < 16 && ipv4_parse(text, &a) && a)
        v->externals[v->external_count++] = a;
}

static void read_externals(struct service *v, const struct doc *service, const struct doc *spec)
{
    doc_each (ip, doc_get(spec, "externalIPs"))
        add_external(v, doc_string(ip));
    if (!str_is(doc_str(spec, "type"), "LoadBalancer") || doc_len(doc_get(spec, "loadBalancerSourceRanges")))
        return;
    doc_each (i, doc_path(service, "status", "loadBalancer", "ingress", NULL))
        if (!str_is(doc_str(i, "ipMode"), "Proxy"))
            add_external(v, doc_str(i, "ip"));
}

static bool served_by_us(const struct doc *service)
{
    /* Another proxy's: kubernetes.io/docs/reference/labels-annotations-taints */
    return doc_path(service, "metadata", "labels", "service.kubernetes.io/service-proxy-name", NULL) == NULL;
}

static void read_service(struct service *v, const struct doc *service)
{
    const struct doc *spec = doc_get(service, "spec");
    struct str type = doc_str(spec, "type"), ip = doc_str(spec, "clusterIP");
    ports_free(v);
    v->known = v->seen = true;
    v->internal_local = str_is(doc_str(spec, "internalTrafficPolicy"), "Local");
    v->external_local = str_is(doc_str(spec, "externalTrafficPolicy"), "Local");
    v->sticky_s = 0;
    if (str_is(doc_str(spec, "sessionAffinity"), "ClientIP")) {
        int64_t s = doc_int(doc_path(spec, "sessionAffinityConfig", "clientIP", NULL), "timeoutSeconds", 10800);
        v->sticky_s = s > 0 && s <= 86400 ? (uint32_t)s : 10800;
    }
    if (str_is(type, "ExternalName")) {
        v->external_name = dup_str(doc_str(spec, "externalName"));
        return;
    }
    v->headless = str_is(ip, "None");
    read_ports(v, doc_get(spec, "ports"));
    if (!v->headless && served_by_us(service)) {
        ipv4_parse(ip, &v->ip);
        read_externals(v, service, spec);
    }
}

void services_put(struct services *s, const struct doc *service)
{
    const struct doc *meta = doc_get(service, "metadata");
    struct service *v = service_of(s, doc_str(meta, "namespace"), doc_str(meta, "name"));
    read_service(v, service);
    touch(s, v);
}

static void forget(struct services *s, struct service *v)
{
    ports_free(v);
    v->known = false;
    touch(s, v);
}

void services_remove(struct services *s, const struct doc *service)
{
    const struct doc *meta = doc_get(service, "metadata");
    forget(s, service_of(s, doc_str(meta, "namespace"), doc_str(meta, "name")));
}

/* ---- slices */

static void slice_clear(struct slice *v)
{
    for (uint32_t i = 0; i < v->endpoint_count; i++)
        free(v->endpoints[i].hostname);
    for (uint32_t i = 0; i < v->port_count; i++)
        free(v->ports[i].name);
    free(v->endpoints), free(v->ports);
    v->endpoints = NULL, v->ports = NULL, v->endpoint_count = v->port_count = 0;
}

static void slice_free(struct services *s, struct slice *v)
{
    struct service *owner = v->service;
    map_del(&s->slices, str_of(v->key));
    list_remove(&v->link);
    slice_clear(v);
    free(v->key), free(v);
    if (owner)
        touch(s, owner);
}

static void read_endpoints(struct services *s, struct slice *v, const struct doc *endpoints)
{
    v->endpoints = array_new(doc_len(endpoints), sizeof(*v->endpoints));
    doc_each (e, endpoints) {
        const struct doc *conditions = doc_get(e, "conditions");
        struct endpoint n = {.ready = doc_bool(conditions, "ready", true)};
        if (!ipv4_parse(doc_string(doc_at(doc_get(e, "addresses"), 0)), &n.address))
            continue;
        n.serving = doc_bool(conditions, "serving", n.ready);
        n.terminating = doc_bool(conditions, "terminating", false);
        n.local = str_is(doc_str(e, "nodeName"), s->node_name) && s->node_name[0];
        if (doc_str(e, "hostname").len)
            n.hostname = dup_str(doc_str(e, "hostname"));
        v->endpoints[v->endpoint_count++] = n;
    }
}

static void read_slice_ports(struct slice *v, const struct doc *ports)
{
    v->ports = array_new(doc_len(ports), sizeof(*v->ports));
    doc_each (p, ports) {
        int64_t port = doc_int(p, "port", 0);
        if (port_ok(port))
            v->ports[v->port_count++] =
                (struct slice_port){dup_str(doc_str(p, "name")), (uint16_t)port, protocol_of(doc_str(p, "protocol"))};
    }
}

static struct slice *slice_of(struct services *s, const struct doc *meta, bool make)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str ns = doc_str(meta, "namespace"), name = doc_str(meta, "name");
    struct str key = str_fmt(mem, STR_FMT "/" STR_FMT, STR_ARG(ns), STR_ARG(name));
    struct slice *v = map_get(&s->slices, key);
    if (v || !make)
        return v;
    v = array_new(1, sizeof(*v));
    v->key = dup_str(key);
    list_init(&v->link);
    map_put(&s->slices, str_of(v->key), v);
    return v;
}

void services_put_slice(struct services *s, const struct doc *slice)
{
    const struct doc *meta = doc_get(slice, "metadata");
    struct str owner = doc_str(doc_get(meta, "labels"), "kubernetes.io/service-name");
    bool ours = owner.len && str_is(doc_str(slice, "addressType"), "IPv4");
    struct slice *v = slice_of(s, meta, ours);
    if (!v)
        return;
    struct service *to = ours ? service_of(s, doc_str(meta, "namespace"), owner) : NULL;
    if (!to || (v->service && v->service != to)) { /* relabelled */
        slice_free(s, v);
        if (to)
            services_put_slice(s, slice);
        return;
    }
    if (!v->service)
        v->service = to, list_add_tail(&to->slices, &v->link);
    slice_clear(v);
    v->seen = true;
    read_endpoints(s, v, doc_get(slice, "endpoints"));
    read_slice_ports(v, doc_get(slice, "ports"));
    touch(s, to);
}

void services_remove_slice(struct services *s, const struct doc *slice)
{
    struct slice *v = slice_of(s, doc_get(slice, "metadata"), /* make= */ false);
    if (v)
        slice_free(s, v);
}

void services_list_begin(struct services *s, bool slices)
{
    list_each (at, &s->all) {
        struct service *v = container_of(at, struct service, link);
        if (!slices)
            v->seen = false;
        else
            list_each (one, &v->slices)
                container_of(one, struct slice, link)->seen = false;
    }
}

void services_list_end(struct services *s, bool slices)
{
    list_each (at, &s->all) {
        struct service *v = container_of(at, struct service, link);
        if (!slices && v->known && !v->seen)
            forget(s, v);
        if (slices)
            list_each_safe (one, &v->slices) {
                struct slice *slice = container_of(one, struct slice, link);
                if (!slice->seen)
                    slice_free(s, slice);
            }
    }
}

void services_each(struct services *s, void (*each)(void *ctx, struct service *v), void *ctx)
{
    list_each (at, &s->all)
        each(ctx, container_of(at, struct service, link));
}

/* ---- what a service asks for */

enum pick { PICK_ANY, PICK_LOCAL };

static bool usable(const struct endpoint *e, bool ending)
{
    return ending ? e->serving && e->terminating : e->ready;
}

static uint32_t collect(const struct service *v, const struct service_port *port, enum pick pick, bool ending,
                        struct backend *out)
{
    uint32_t n = 0;
    list_each (at, &v->slices) {
        const struct slice *slice = container_of(at, struct slice, link);
        for (uint32_t p = 0; p < slice->port_count; p++) {
            if (strcmp(slice->ports[p].name, port->name) != 0 || slice->ports[p].protocol != port->protocol)
                continue;
            for (uint32_t i = 0; i < slice->endpoint_count && n < SERVICE_ENDPOINTS_MAX; i++) {
                const struct endpoint *e = &slice->endpoints[i];
                if (usable(e, ending) && (pick == PICK_ANY || e->local))
                    out[n++] = (struct backend){e->address, slice->ports[p].port};
            }
        }
    }
    return n;
}

static uint32_t distinct(struct backend *v, uint32_t n)
{
    uint32_t kept = 0;
    if (n)
        qsort(v, n, sizeof(*v), backend_cmp);
    for (uint32_t i = 0; i < n; i++)
        if (kept == 0 || backend_cmp(&v[kept - 1], &v[i]) != 0)
            v[kept++] = v[i];
    return kept;
}

static uint32_t room_for(const struct service *v)
{
    uint64_t n = 1;
    list_each (at, &v->slices) {
        const struct slice *slice = container_of(at, struct slice, link);
        n += (uint64_t)slice->endpoint_count * slice->port_count;
    }
    return n < SERVICE_ENDPOINTS_MAX ? (uint32_t)n : SERVICE_ENDPOINTS_MAX;
}

static uint32_t choose(const struct service *v, const struct service_port *port, enum pick pick, struct arena *mem,
                       struct backend **ret)
{
    *ret = arena_array(mem, struct backend, room_for(v));
    uint32_t n = collect(v, port, pick, /* ending= */ false, *ret);
    if (n == 0)
        n = collect(v, port, pick, /* ending= */ true, *ret);
    return distinct(*ret, n);
}

static struct frontend want_of(const struct service *v, const struct service_port *port, struct frontend_key key,
                               bool external, struct arena *mem)
{
    bool local = external ? v->external_local : v->internal_local;
    struct frontend f = {.key = key};
    f.count = choose(v, port, local ? PICK_LOCAL : PICK_ANY, mem, &f.backends);
    f.group = (struct group){.count = f.count,
                             .sticky_s = v->sticky_s,
                             .node = key.address == 0,
                             .masquerade = external && !v->external_local};
    if (f.count) {
        f.kind = FRONTEND_SERVED;
    } else {
        struct backend *any;
        f.kind = local && choose(v, port, PICK_ANY, mem, &any) ? FRONTEND_DROPPED : FRONTEND_REJECTED;
    }
    return f;
}

/* ---- frontends and plans */

struct key_text {
    char bytes[7];
};

static struct str key_str(const struct frontend_key *k, struct key_text *t)
{
    memcpy(t->bytes, &k->address, 4), memcpy(t->bytes + 4, &k->port, 2), t->bytes[6] = (char)k->protocol;
    return str_mem(t->bytes, sizeof(t->bytes));
}

struct front_key {
    struct front front;
    struct key_text text; /* the map borrows it */
};

static struct front *front_of(struct services *s, const struct frontend_key *k, bool make)
{
    struct key_text text;
    struct front *f = map_get(&s->fronts, key_str(k, &text));
    if (f || !make)
        return f;
    struct front_key *fresh = array_new(1, sizeof(*fresh));
    fresh->front.is.key = *k;
    list_init(&fresh->front.link);
    map_put(&s->fronts, key_str(k, &fresh->text), &fresh->front);
    return &fresh->front;
}

static void front_free(struct services *s, struct front *f)
{
    struct key_text text;
    map_del(&s->fronts, key_str(&f->is.key, &text));
    list_remove(&f->link);
    free(f->is.backends);
    free(container_of(f, struct front_key, front));
}

static void front_become(struct front *f, const struct frontend *want)
{
    struct backend *copy = array_new(want->count, sizeof(*copy));
    if (want->count)
        memcpy(copy, want->backends, want->count * sizeof(*copy));
    free(f->is.backends);
    f->is = *want, f->is.backends = copy;
}

static void ask(struct services *s, struct service *v, struct frontend *want, struct plan *plan)
{
    if (want->key.address && want->key.address == s->opts.own_dns && want->kind != FRONTEND_SERVED)
        return;
    struct front *f = front_of(s, &want->key, /* make= */ true);
    if (f->owner && f->owner != v)
        return; /* two services claim it: who came first keeps it */
    plan_frontend(plan, &f->is, want);
    front_become(f, want);
    f->owner = v, f->wanted = true;
    list_remove(&f->link), list_add_tail(&v->fronts, &f->link);
}

static void ask_port(struct services *s, struct service *v, const struct service_port *port, struct plan *plan)
{
    struct frontend want;
    if (v->ip) {
        want = want_of(v, port, (struct frontend_key){v->ip, port->port, port->protocol}, /* external= */ false,
                       plan->mem);
        ask(s, v, &want, plan);
    }
    for (uint32_t i = 0; i < v->external_count; i++) {
        want = want_of(v, port, (struct frontend_key){v->externals[i], port->port, port->protocol},
                       /* external= */ true, plan->mem);
        ask(s, v, &want, plan);
    }
    if (v->ip && port->node_port) {
        want = want_of(v, port, (struct frontend_key){0, port->node_port, port->protocol}, /* external= */ true,
                       plan->mem);
        ask(s, v, &want, plan);
    }
}

static void front_remove(struct services *s, struct front *f, struct plan *plan)
{
    struct frontend none = {.key = f->is.key};
    plan_frontend(plan, &f->is, &none);
    front_free(s, f);
}

static void plan_service(struct services *s, struct service *v, struct plan *plan)
{
    list_each (at, &v->fronts)
        container_of(at, struct front, link)->wanted = false;
    for (uint32_t i = 0; i < v->port_count; i++)
        ask_port(s, v, &v->ports[i], plan);
    list_each_safe (at, &v->fronts) {
        struct front *f = container_of(at, struct front, link);
        if (!f->wanted)
            front_remove(s, f, plan);
    }
}

void services_plan(struct services *s, bool all, struct plan *ret)
{
    while (!list_empty(&s->dirty)) {
        struct service *v = container_of(s->dirty.next, struct service, dirty);
        list_remove(&v->dirty);
        plan_service(s, v, ret);
        if (!v->known && list_empty(&v->slices))
            service_free(s, v);
    }
    if (all)
        list_each_safe (at, &s->orphans)
            front_remove(s, container_of(at, struct front, link), ret);
    plan_sort(ret);
}

static void fronts_clear(struct services *s)
{
    list_each (at, &s->all) {
        struct service *v = container_of(at, struct service, link);
        list_each_safe (one, &v->fronts)
            front_free(s, container_of(one, struct front, link));
        if (list_empty(&v->dirty))
            list_add_tail(&s->dirty, &v->dirty);
    }
    list_each_safe (at, &s->orphans)
        front_free(s, container_of(at, struct front, link));
}

void services_found(struct services *s, const struct frontend *fronts, size_t n)
{
    fronts_clear(s);
    for (size_t i = 0; i < n; i++) {
        struct front *f = front_of(s, &fronts[i].key, /* make= */ true);
        front_become(f, &fronts[i]);
        list_remove(&f->link), list_add_tail(&s->orphans, &f->link);
    }
}

struct services *services_free(struct services *s)
{
    if (!s)
        return NULL;
    s->opts.changed = NULL;
    fronts_clear(s);
    list_each_safe (at, &s->all) {
        struct service *v = container_of(at, struct service, link);
        list_each_safe (one, &v->slices)
            slice_free(s, container_of(one, struct slice, link));
        service_free(s, v);
    }
    map_done(&s->by_key), map_done(&s->slices), map_done(&s->fronts);
    free(s->node_name), free(s);
    return NULL;
}
