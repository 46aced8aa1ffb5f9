/* node/net/dns_zone.h - the cluster's names and what they answer: a pure function of the zone and a question.
 *
 * Source: github.com/kubernetes/dns/blob/master/docs/specification.md (1.1.0), and CoreDNS where that is silent:
 *   A, AAAA   name.ns.svc.ZONE; headless: every ready endpoint; HOST.name.ns.svc.ZONE, where HOST is the endpoint's
 *             hostname or its address with dashes; a-b-c-d.ns.pod.ZONE (the pod need not exist, as CoreDNS' "insecure")
 *   SRV       _port._proto.name.ns.svc.ZONE
 *   PTR       of cluster IPs and of endpoints of headless services
 *   CNAME     of ExternalName services; its target is the caller's to resolve
 *   TXT       dns-version.ZONE
 * A name that exists without such records is NODATA, one that doesn't NXDOMAIN, both with SOA. IPv4 only: AAAA is
 * always NODATA. TTL 5 s. A reverse question costs a walk over all services. May use base/. */
#ifndef SAMPAN_NODE_NET_DNS_ZONE_H
#define SAMPAN_NODE_NET_DNS_ZONE_H

#include "node/ipc.h"
#include "node/net/dns_wire.h"

enum { DNS_TTL_S = 5, DNS_ENDPOINTS_MAX = 1000, DNS_PORTS_MAX = 512 };

struct dns_zone;
struct dns_zone *dns_zone_new(void);
struct dns_zone *dns_zone_free(struct dns_zone *z);

/* What the agent says; bodies as in ipc.h. False: malformed. DNS_RESET forgets all and names the zone and the ranges
 * whose reverse names are ours; until DNS_SYNCED names that are not there get SERVFAIL, so that nobody remembers a
 * wrong NXDOMAIN. */
bool dns_zone_message(struct dns_zone *z, enum ipc_type type, struct str body);

enum dns_verdict {
    DNS_ANSWER,  /* *ret_message is the answer */
    DNS_FORWARD, /* not ours */
    DNS_CHASE,   /* an ExternalName: ask others for *ret_target, then dns_zone_chased() */
    DNS_IGNORE,
};
/* max: bytes that fit (65535 by TCP, q->udp_max by UDP). turn: any number, to spread who comes first. */
enum dns_verdict dns_zone_answer(const struct dns_zone *z, struct arena *mem, const struct dns_query *q, size_t max,
                                 unsigned turn, struct str *ret_message, struct dns_name *ret_target);
/* The answer to an ExternalName from the upstream's answer about its target: its first 64 addresses and aliases. */
struct str dns_zone_chased(struct arena *mem, const struct dns_query *q, const struct dns_name *target,
                           struct str upstream, size_t max);
struct str dns_error(struct arena *mem, const struct dns_query *q, int rcode);

#endif
