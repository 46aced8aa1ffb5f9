/* node/net/plan.h - what the kernel's table holds for Services, in small steps.
 *
 * A frontend is an address, protocol and port that answers: a cluster IP, an external IP, or a node port (address 0:
 * every local address). The table maps it to the group that picks one of its endpoints; endpoints are elements of one
 * map for all frontends, keyed by frontend and index, so one endpoint more or less is a handful of elements whatever
 * the size of the table. Groups are shared by all frontends with the same number of endpoints and the same manner.
 * Session affinity remembers a client's index: endpoints that stay keep theirs, but when one goes, the last one takes
 * its place, and the clients of these two choose anew or follow. Addresses and ports are in host order. May use base/.
 */
#ifndef SAMPAN_NODE_NET_PLAN_H
#define SAMPAN_NODE_NET_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct frontend_key {
    uint32_t address; /* 0: a node port */
    uint16_t port;
    uint8_t protocol; /* IPPROTO_TCP, _UDP, _SCTP */
};
struct backend {
    uint32_t address;
    uint16_t port;
};
enum frontend_kind { FRONTEND_NONE, FRONTEND_SERVED, FRONTEND_REJECTED, FRONTEND_DROPPED };

/* How a frontend's connections are spread: by chance over count endpoints. */
struct group {
    uint32_t count;
    uint32_t sticky_s; /* session affinity ClientIP; 0: none */
    bool node;         /* of node ports: the key's address is 0 */
    bool masquerade;   /* the endpoint sees the node, not the client */
};
enum { GROUP_NAME_MAX = 64 };
void group_name(const struct group *g, char ret[GROUP_NAME_MAX]); /* "pick-3-node-masq-sticky-10800" */
bool group_parse(struct str name, struct group *ret);

enum plan_map { PLAN_FRONTEND, PLAN_ENDPOINT };
/* One element to add or remove. Which fields count: */
struct plan_op {
    bool add;
    enum plan_map map;
    struct frontend_key key;
    enum frontend_kind kind; /* FRONTEND */
    struct group group;      /* FRONTEND, SERVED */
    uint32_t index;          /* ENDPOINT */
    struct backend backend;  /* ENDPOINT */
};
/* A flow whose endpoint is gone: UDP has no end, so what the kernel remembers of it must be forgotten. */
struct plan_dead {
    struct frontend_key key;
    struct backend backend;
};
struct plan {
    struct arena *mem;
    struct plan_op *ops;
    struct plan_dead *dead;
    size_t count, cap, dead_count, dead_cap;
};
void plan_add(struct plan *p, struct plan_op op);

/* What is, or should be, of one frontend. Backends of one that is are in the order of their index. */
struct frontend {
    struct frontend_key key;
    enum frontend_kind kind;
    struct group group;
    struct backend *backends;
    uint32_t count;
};
/* The steps from is to want (either may have kind NONE). want->backends are sorted and without repeats; on return they
 * stand in the order they will have in the kernel: what stays keeps its index. O(n log n) of this frontend's. */
void plan_frontend(struct plan *p, const struct frontend *is, struct frontend *want);
int backend_cmp(const void *a, const void *b);

/* Removals first, then by map: few messages. A line an op, for tests and logs. */
void plan_sort(struct plan *p);
void plan_print(const struct plan *p, struct sb *out);

#endif
