/* node/net/dns_wire.h - DNS messages: one careful reader of what strangers send, one writer. RFC 1035, 6891.
 *
 * Nothing here allocates beyond the given arena, follows a compression pointer twice the same way (pointers must go
 * back) or trusts a length. May use base/. */
#ifndef SAMPAN_NODE_NET_DNS_WIRE_H
#define SAMPAN_NODE_NET_DNS_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum { DNS_A = 1, DNS_NS = 2, DNS_CNAME = 5, DNS_SOA = 6, DNS_PTR = 12, DNS_TXT = 16, DNS_AAAA = 28, DNS_SRV = 33 };
enum { DNS_OPT = 41, DNS_ANY = 255, DNS_IN = 1 };
enum { DNS_NOERROR, DNS_FORMERR, DNS_SERVFAIL, DNS_NXDOMAIN, DNS_NOTIMP, DNS_REFUSED, DNS_BADVERS = 16 };
enum { DNS_HEADER = 12, DNS_NAME_MAX = 255, DNS_LABELS_MAX = 128, DNS_UDP_MAX = 1232, DNS_MESSAGE_MAX = 65535 };

struct dns_name {
    struct str labels[DNS_LABELS_MAX]; /* lower case; in the arena */
    int count;
};
struct dns_query {
    uint16_t id, type, class;
    bool recursion, edns; /* RD; an OPT record is there */
    uint16_t udp_max;     /* what the client takes by UDP: 512..DNS_UDP_MAX */
    int error;            /* an rcode to answer at once; 0: none */
    struct str question;  /* name, type, class as they came (case kept); empty if unreadable */
    struct dns_name name;
};
/* False: not worth an answer (too short, or itself an answer). */
bool dns_parse_query(struct arena *mem, struct str message, struct dns_query *ret);
/* "a.b." or "a.b" to labels, lower case. False: too long or an empty label. */
bool dns_name_of(struct arena *mem, struct str text, struct dns_name *ret);

/* Is message the answer to the question that was asked with id? */
bool dns_is_answer(struct arena *mem, struct str message, uint16_t id, struct str question);

struct dns_record {
    struct dns_name name;
    uint16_t type, class;
    uint32_t ttl;
    struct str data;        /* as in the message: names in it may be compressed */
    struct dns_name target; /* of a CNAME */
};
/* The answer section of a message, A, AAAA and CNAME records only; at most max. The count, or -1: malformed. */
int dns_answers(struct arena *mem, struct str message, struct dns_record *ret, int max);
int dns_rcode(struct str message);

/* A message being written. Names are written out, but for the question's own. */
struct dns_writer {
    struct sb sb;
    const struct dns_query *query;
    uint16_t answers, authorities;
    size_t question_end;
};
void dns_write_begin(struct dns_writer *w, struct arena *mem, const struct dns_query *q);
/* name NULL: the question's. Its answer must be complete before an authority begins. */
void dns_write_record(struct dns_writer *w, const struct dns_name *name, uint16_t type, uint32_t ttl, struct str data,
                      bool authority);
struct str dns_name_wire(struct arena *mem, const struct dns_name *n);
/* The whole message; truncated (TC, no records) when longer than max. */
struct str dns_write_end(struct dns_writer *w, int rcode, bool authoritative, size_t max);

#endif
