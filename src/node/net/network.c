/* The pod network as the agent calls it. */
#include "node/net/network.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "base/log.h"
#include "node/files.h"
#include "node/net/dns_feed.h"
#include "node/net/ipam.h"
#include "node/net/link.h"
#include "node/net/net_priv.h"
#include "node/net/nft.h"
#include "node/net/proxy.h"
#include "node/net/routes.h"

/* What a node is told by --pod-cidr alone lies in a cluster of its own kind. */
enum { CLUSTER_PREFIX = 16 };

static void find_cluster(struct net_config *c, const char *cluster_cidr)
{
    bool known = cluster_cidr && ipv4_parse_cidr(str_of(cluster_cidr), &c->cluster, &c->cluster_prefix) &&
                 c->cluster_prefix <= c->pods_prefix && ((c->pods ^ c->cluster) & ipv4_mask(c->cluster_prefix)) == 0;
    if (!known) {
        c->cluster_prefix = c->pods_prefix < CLUSTER_PREFIX ? c->pods_prefix : CLUSTER_PREFIX;
        c->cluster = c->pods & ipv4_mask(c->cluster_prefix);
    }
}

int net_config_read(const struct agent_opts *o, struct net_config *ret)
{
    struct net_config c = {0};
    if (!ipv4_parse_cidr(str_of(o->pod_cidr ? o->pod_cidr : "10.244.0.0/24"), &c.pods, &c.pods_prefix) ||
        !ipv4_parse_cidr(str_of(o->service_cidr ? o->service_cidr : "10.96.0.0/16"), &c.services, &c.services_prefix) ||
        c.services_prefix > 28)
        return -EINVAL;
    find_cluster(&c, o->cluster_cidr);
    c.dns = c.services + 10;
    if (o->cluster_dns && !ipv4_parse(str_of(o->cluster_dns), &c.dns))
        return -EINVAL;
    if (o->node_ip)
        ipv4_parse(str_of(o->node_ip), &c.node);
    *ret = c;
    return 0;
}

static char *ipam_dir(const struct agent_opts *o, struct arena *mem)
{
    return str_fmtz(mem, "%s/addresses", o->run_dir ? o->run_dir : "/run/sampan/agent");
}

static bool has_link(void *ctx, struct str owner, uint32_t address)
{
    char name[IFNAMSIZ];
    link_name(owner, name);
    return link_index(name) != 0;
}

/* Addresses and routes of the node itself. What finds no rule and no pod is turned away here: the pods' ranges, the
 * cluster's and within it this node's, are unreachable but for the routes to living pods and to other nodes (routes.c);
 * the service range leads to lo (a route must exist, or a local
 * connect() fails before any rule sees it), where nft.c rejects what is left. */
static int node_setup(struct network *w)
{
    const struct net_config *c = &w->config;
    const struct link_route pods = {.dst = c->pods, .prefix = c->pods_prefix};
    const struct link_route cluster = {.dst = c->cluster, .prefix = c->cluster_prefix};
    const struct link_route services = {
        .dst = c->services, .prefix = c->services_prefix, .src = c->node, .ifindex = link_index("lo")};
    int r = link_lo_up(w->link);
    if (r == 0)
        r = link_lo_add(w->link, LINK_GATEWAY);
    if (r == 0)
        r = link_lo_add(w->link, c->dns);
    if (r == 0)
        r = link_route_put(w->link, &cluster);
    if (r == 0)
        r = link_route_put(w->link, &pods);
    if (r == 0)
        r = link_route_put(w->link, &services);
    if (r == 0)
        r = files_write_existing("/proc/sys/net/ipv4/ip_forward", STR("1"));
    return r;
}

static void done(struct network *w)
{
    proxy_free(w->proxy), nft_close(w->nft);
    if (w->dns)
        dns_feed_stop(w->dns), free(w->dns);
    routes_free(w->routes);
    link_close(w->link), ipam_close(w->ipam);
    free(w);
}

static void on_service(void *ctx, struct service *s)
{
    dns_feed_changed(((struct network *)ctx)->dns, s);
}

static void on_synced(void *ctx)
{
    dns_feed_synced(((struct network *)ctx)->dns);
}

static void start_proxy(struct network *w)
{
    const struct proxy_opts o = {
        .loop = w->node->loop,
        .api = w->node->api,
        .nft = w->nft,
        .services = {.node_name = str_of(w->node->name), .own_dns = w->config.dns, .changed = on_service, .ctx = w},
        .synced = on_synced};
    w->dns = calloc(1, sizeof(*w->dns));
    if (!w->dns || !o.loop)
        return;
    dns_feed_start(w->dns, o.loop, &w->config, w->node->opts.cluster_domain);
    w->proxy = proxy_new(&o);
    w->dns->services = proxy_services(w->proxy);
    dns_feed_helper(w->dns, w->node->net);
}

/* A link goes with the pod's namespace, which the kernel takes down in the background, many in one go; to delete it by
 * name costs 20 ms each and holds the lock that new pods need. Only what is still there after a while, because somebody
 * holds the namespace, is deleted so. */
static void delete_links(struct network *w, int count)
{
    for (int i = 0; i < count; i++) {
        int r = link_index(w->leaving[i]) ? link_delete(w->link, w->leaving[i]) : 0;
        if (r < 0)
            log_warn("net", "link not removed", "link=%s error=%d", w->leaving[i], -r);
    }
    w->leaving_count -= count;
    memmove(w->leaving, w->leaving + count, sizeof(w->leaving[0]) * (size_t)w->leaving_count);
}

static void leave_due(struct loop_timer *t)
{
    struct network *w = container_of(t, struct network, leave_timer);
    delete_links(w, w->leaving_count);
}

static void leave(struct network *w, struct str uid)
{
    if (w->leaving_count == LEAVING_MAX)
        delete_links(w, LEAVING_MAX / 2);
    link_name(uid, w->leaving[w->leaving_count++]);
    loop_timer_start(&w->leave_timer, LEAVE_MS);
}

static int start(struct node *n, void **ret_ctx)
{
    struct network *w = calloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    cleanup_arena struct arena *mem = arena_new();
    w->node = n;
    loop_timer_init(n->loop, &w->leave_timer, leave_due);
    struct agent_opts o = n->opts;
    o.run_dir = n->run_dir ? n->run_dir : o.run_dir;
    int r = net_config_read(&o, &w->config);
    uint32_t address;
    if (r == 0 && n->address && ipv4_parse(str_of(n->address), &address) && address >> 24 != 127)
        w->config.node = address;
    w->config.mtu = link_uplink_mtu();
    if (r == 0)
        r = ipam_open(ipam_dir(&o, mem), w->config.pods, w->config.pods_prefix, &w->ipam);
    if (r == 0)
        r = link_open(&w->link);
    if (r == 0)
        r = node_setup(w);
    if (r == 0)
        r = nft_open(&w->config, &w->nft);
    if (r < 0) {
        done(w);
        return r;
    }
    ipam_sweep(w->ipam, has_link, NULL);
    struct str dns = ipv4_text(mem, w->config.dns);
    memcpy(w->dns_text, dns.ptr, dns.len);
    start_proxy(w);
    if (n->api)
        w->routes = routes_new(n->api, w->link, &w->config, n->name);
    *ret_ctx = w;
    return 0;
}

static void stop(void *ctx)
{
    struct network *w = ctx;
    delete_links(w, w->leaving_count);
    loop_timer_stop(&w->leave_timer);
    done(w);
}

/* hostPort of every container; a port that another pod of the same key holds is taken over: the scheduler and
 * admission have judged. */
static int host_ports(struct network *w, struct pod *p, uint32_t address, bool add)
{
    static const char *const lists[] = {"initContainers", "containers"};
    int first = 0;
    for (int i = 0; i < 2; i++)
        doc_each (c, doc_get(p->spec, lists[i]))
            doc_each (port, doc_get(c, "ports")) {
                int64_t from = doc_int(port, "hostPort", 0), to = doc_int(port, "containerPort", 0);
                struct str protocol = doc_str(port, "protocol");
                if (from < 1 || from > 65535 || to < 1 || to > 65535)
                    continue;
                struct nft_hostport h = {.port = (uint16_t)from, .to = {address, (uint16_t)to}};
                h.protocol = str_is(protocol, "UDP")    ? IPPROTO_UDP
                             : str_is(protocol, "SCTP") ? IPPROTO_SCTP
                                                        : IPPROTO_TCP;
                ipv4_parse(doc_str(port, "hostIP"), &h.host);
                int r = nft_hostport(w->nft, &h, add);
                if (r < 0 && !first)
                    first = r;
            }
    return first;
}

/* A pod's wire, made by the pool: the kernel's lock of all links is held long while namespaces die. */
struct wiring {
    struct loop_work work;
    struct network *network;
    struct node *node;
    struct arena *mem;
    struct str uid;
    char name[IFNAMSIZ];
    struct link_pod wire;
    int error;
};

static void wire_run(struct loop_work *work)
{
    struct wiring *g = container_of(work, struct wiring, work);
    struct link *l = NULL;
    g->error = link_open(&l);
    if (g->error == 0)
        g->error = link_pod_add(l, &g->wire);
    link_close(l);
}

static int open_paths(struct network *w, struct pod *p, uint32_t address)
{
    int r = nft_pod(w->nft, address, /* add= */ true);
    return r < 0 ? r : host_ports(w, p, address, /* add= */ true);
}

static void tell(struct pod *p, uint32_t address)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str text = ipv4_text(mem, address);
    p->ips[0] = (struct pod_ip){0}, p->ip_count = 1;
    memcpy(p->ips[0].text, text.ptr, text.len);
    pod_network_done(p, 0, NULL);
}

/* The network is gone when the agent has ended meanwhile, but then so are its pods. */
static void wired(struct wiring *g)
{
    struct pod *p = pod_find(g->node, g->uid);
    int r = g->error;
    if (p && r == 0)
        r = open_paths(g->network, p, g->wire.address);
    if (p && r < 0) {
        ipam_release(g->network->ipam, p->uid);
        pod_network_done(p, r, "pod network: link could not be made");
    } else if (p) {
        tell(p, g->wire.address);
    }
    arena_free(g->mem);
}

static void wire_done(struct loop_work *work)
{
    wired(container_of(work, struct wiring, work));
}

static struct wiring *wiring_new(struct network *w, struct pod *p, uint32_t address)
{
    struct arena *mem = arena_new();
    struct wiring *g = arena_new_of(mem, struct wiring);
    *g = (struct wiring){.network = w, .node = w->node, .mem = mem, .uid = str_dup(mem, p->uid)};
    link_name(p->uid, g->name);
    g->wire = (struct link_pod){.name = g->name,
                                .netns = str_fmtz(mem, "%s", p->netns),
                                .address = address,
                                .node = w->config.node,
                                .mtu = w->config.mtu};
    g->work = (struct loop_work){.work = wire_run, .done = wire_done};
    return g;
}

static void setup(void *ctx, struct pod *p)
{
    struct network *w = ctx;
    uint32_t address;
    int r = ipam_take(w->ipam, p->uid, &address);
    if (r < 0) {
        pod_network_done(p, r, r == -ENOSPC ? "no pod address is free on this node" : "pod address could not be taken");
        return;
    }
    struct wiring *g = wiring_new(w, p, address);
    if (loop_work(w->node->loop, &g->work) < 0)
        wire_run(&g->work), wired(g);
}

static void adopt(void *ctx, struct pod *p)
{
    struct network *w = ctx;
    uint32_t address;
    if (p->ip_count == 0 || !ipv4_parse(str_of(p->ips[0].text), &address)) {
        setup(ctx, p);
        return;
    }
    int r = ipam_claim(w->ipam, p->uid, address);
    if (r == 0) {
        struct wiring *g = wiring_new(w, p, address);
        r = link_pod_intact(&g->wire) ? 0 : link_pod_add(w->link, &g->wire);
        arena_free(g->mem);
    }
    if (r == 0)
        r = open_paths(w, p, address);
    if (r < 0)
        pod_network_done(p, r, "pod network: the former address can't be had again");
    else
        tell(p, address);
}

/* Its routes and neighbours go with the link. Should the address be given again before, the new route takes the place.
 */
static void teardown(void *ctx, struct pod *p)
{
    struct network *w = ctx;
    uint32_t address;
    if (ipam_find(w->ipam, p->uid, &address)) {
        host_ports(w, p, address, /* add= */ false);
        nft_pod(w->nft, address, /* add= */ false);
    }
    leave(w, p->uid);
    ipam_release(w->ipam, p->uid);
}

static void helper(void *ctx, struct ipc *net)
{
    struct network *w = ctx;
    if (w->dns && w->dns->loop)
        dns_feed_helper(w->dns, net);
}

static const char *dns_ip(void *ctx)
{
    return ((struct network *)ctx)->dns_text;
}

static const char *ready(void *ctx)
{
    const struct network *w = ctx;
    return !w->node->api || !w->proxy || proxy_synced(w->proxy) ? NULL : "the services have not been listed yet";
}

const struct pod_network_ops network_routed = {
    .start = start,
    .stop = stop,
    .setup = setup,
    .adopt = adopt,
    .teardown = teardown,
    .helper = helper,
    .dns_ip = dns_ip,
    .ready = ready,
};

static void remove_links(struct link *l)
{
    struct if_nameindex *all = if_nameindex();
    for (struct if_nameindex *i = all; i && i->if_index; i++)
        if (strncmp(i->if_name, LINK_PREFIX, 3) == 0 && strlen(i->if_name) == IFNAMSIZ - 1)
            link_delete(l, i->if_name);
    if (all)
        if_freenameindex(all);
}

static bool every(void *ctx, const struct link_route *found)
{
    return true;
}

int network_purge(const struct agent_opts *opts)
{
    cleanup_arena struct arena *mem = arena_new();
    struct net_config c;
    struct link *l = NULL;
    int r = net_config_read(opts, &c), first = r < 0 ? r : link_open(&l);
    if (first < 0)
        return first;
    remove_links(l);
    const int results[] = {link_routes_sweep(l, every, NULL), link_lo_remove(l, LINK_GATEWAY), link_lo_remove(l, c.dns),
                           files_remove_tree(ipam_dir(opts, mem)), nft_remove_table()};
    /* without libnftables there is no table of ours */
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++)
        if (results[i] < 0 && results[i] != -ENOENT && !first)
            first = results[i];
    link_close(l);
    return first;
}
