/* node/net/services.h - Services and EndpointSlices as this node sees them, and the plan they ask for.
 *
 * A pure model: objects in, plan out; no clock, no socket. A plan covers the services that changed and costs what they
 * cost. Rules, as kube-proxy has them:
 *  - Endpoints that are ready; if there is none, those that still serve while they end.
 *  - internalTrafficPolicy Local: only this node's, else dropped. externalTrafficPolicy Local (node ports, external and
 *    load balancer IPs): only this node's, the client's address kept, else dropped; Cluster: masqueraded.
 *  - A service without endpoints is rejected, so that clients fail at once. Headless and ExternalName: no frontends.
 * Ours differs: traffic of this node's pods to a Local node port is not short-cut to other nodes' endpoints; load
 * balancer IPs are left out when loadBalancerSourceRanges are set (better closed than open). IPv4 only; topology hints
 * are not used. Source: kubernetes.io/docs/reference/networking/virtual-ips, KEP-1669, KEP-2086.
 * May use doc/, base/. */
#ifndef SAMPAN_NODE_NET_SERVICES_H
#define SAMPAN_NODE_NET_SERVICES_H

#include "base/list.h"
#include "doc/doc.h"
#include "node/net/plan.h"

enum { SERVICE_ENDPOINTS_MAX = 10000, SERVICE_PORTS_MAX = 512 };

struct service_port {
    char *name;
    uint16_t port, node_port; /* node_port 0: none */
    uint8_t protocol;
};
struct endpoint {
    uint32_t address;
    char *hostname; /* NULL: none */
    bool ready, serving, terminating, local;
};
struct slice_port {
    char *name;
    uint16_t port;
    uint8_t protocol;
};
struct slice {
    struct list link; /* service.slices */
    struct service *service;
    char *key; /* "ns/name" */
    struct endpoint *endpoints;
    struct slice_port *ports;
    uint32_t endpoint_count, port_count;
    bool seen; /* in the list under way */
};
struct service {
    struct list link, dirty; /* services.all, services.dirty */
    struct list slices, fronts;
    char *key, *ns, *name; /* "ns/name" and its parts */
    bool known;            /* the Service itself is there, not just slices that name it */
    bool seen, headless, internal_local, external_local;
    char *external_name; /* type ExternalName */
    bool fed;            /* dns_feed.c's: the helper knows it as it is */
    uint32_t sticky_s;
    uint32_t ip, externals[16]; /* ip 0: none */
    uint32_t external_count, port_count;
    struct service_port *ports;
};
struct services;

struct services_opts {
    struct str node_name;
    uint32_t own_dns; /* this address is served on the node itself: without endpoints it is left alone, not rejected */
    /* Something of the service changed, or it is gone (known false and no slices left). For DNS. May be NULL. */
    void (*changed)(void *ctx, struct service *s);
    void *ctx;
};
struct services *services_new(const struct services_opts *opts);
struct services *services_free(struct services *s);

void services_put(struct services *s, const struct doc *service);
void services_remove(struct services *s, const struct doc *service);
void services_put_slice(struct services *s, const struct doc *slice);
void services_remove_slice(struct services *s, const struct doc *slice);
/* A list begins, or has ended: what it did not name is gone. */
void services_list_begin(struct services *s, bool slices);
void services_list_end(struct services *s, bool slices);

/* What the kernel holds, found at start or after a failed write: replaces what was believed, and makes all services
 * dirty. fronts are copied. */
void services_found(struct services *s, const struct frontend *fronts, size_t n);
/* The steps for all that changed since the last plan, sorted; the model then believes them done. all: both lists are
 * complete, so frontends that no service asks for are removed. */
void services_plan(struct services *s, bool all, struct plan *ret);
void services_each(struct services *s, void (*each)(void *ctx, struct service *v), void *ctx);

#endif
