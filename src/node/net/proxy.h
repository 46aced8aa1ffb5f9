/* node/net/proxy.h - Services on this node: watches them, plans, writes the kernel's table.
 *
 * Changes of one turn of the loop become one plan. After a failed write the table is read back and everything planned
 * again, with growing pauses. Nothing is written before both lists have been read once, so a restart disturbs nothing.
 * May use http/, doc/, base/. */
#ifndef SAMPAN_NODE_NET_PROXY_H
#define SAMPAN_NODE_NET_PROXY_H

#include "node/agent/client.h"
#include "node/net/nft.h"
#include "node/net/services.h"

struct proxy;
struct proxy_opts {
    struct loop *loop;
    struct api *api; /* NULL: fed by proxy_event() only (tests) */
    struct nft *nft;
    struct services_opts services;
    void (*synced)(void *ctx); /* the lists have been read, once; ctx of services. May be NULL */
};
struct proxy *proxy_new(const struct proxy_opts *o);
struct proxy *proxy_free(struct proxy *p);
bool proxy_synced(const struct proxy *p);
struct services *proxy_services(struct proxy *p);
/* What a watch says; for tests. */
void proxy_event(struct proxy *p, bool slices, enum watch_event e, const struct doc *obj);

#endif
