/* control/endpoints.h - which addresses stand behind a Service: what EndpointSlices and Endpoints have in common.
 *
 * Source: kubernetes pkg/controller/endpointslice, k8s.io/endpointslice, pkg/controller/endpoint. */
#ifndef SAMPAN_CONTROL_ENDPOINTS_H
#define SAMPAN_CONTROL_ENDPOINTS_H

#include "control/control.h"

struct endpoint_port {
    struct str name, protocol, app_protocol;
    int64_t port;
};
struct endpoint {
    const struct obj *pod;
    struct str ip, node, hostname;
    bool ready, serving, terminating;
    const struct endpoint_port *ports; /* in the order of the Service; named ports resolved in this pod */
    int port_count;
};
/* Of one address family, of all pods that the Service selects and that have an address; those that have finished are
 * left out. In order of pod name. */
struct endpoint *endpoints_of(struct arena *mem, const struct cache *cache, const struct obj *service,
                              const struct doc *doc, bool ipv6, int *ret_count);
bool endpoints_same_ports(const struct endpoint *a, const struct endpoint *b);
/* Enqueue the Services that select a pod, or selected it before. A pod's change that no endpoint shows is no news. */
void endpoints_on_pod(struct controller *c, const struct cache_event *ev);
/* The labels of the Service, which its endpoints bear too. */
struct doc *endpoints_labels(struct arena *mem, const struct doc *service);

#endif
