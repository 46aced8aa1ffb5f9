/* api/relay.h - one request passed on through a node's tunnel, and its answer passed back. Internal to api/. */
#ifndef SAMPAN_API_RELAY_H
#define SAMPAN_API_RELAY_H

#include "api/internal.h"

struct relay_to {
    struct str node;      /* whose tunnel */
    struct str authority; /* "kubelet", or "10.0.3.4:80" */
    struct str path;      /* with query */
    struct str host;      /* the Host header */
    struct str prefix;    /* put before the path of a Location header, X-Forwarded-* are told; empty: neither */
};
/* Answers r, whatever happens; an upgrade is joined through raw. */
void relay(struct api_req *r, const struct relay_to *to);
#endif
