/* write/internal.h - what the files of write/ share and nobody else sees. */
#ifndef SAMPAN_WRITE_INTERNAL_H
#define SAMPAN_WRITE_INTERNAL_H

#include "base/map.h"
#include "write/write.h"

enum { WRITE_EXTRA_OPS_MAX = 8 };

struct service_ips;
struct recorder;
struct writer {
    struct loop *loop;
    struct cache *cache;
    struct store *store;
    int under_way;   /* requests started and not yet answered */
    struct map busy; /* key -> struct pending: one write at a time on a key, others wait their turn in order */
    struct service_ips *service_ips;
    struct recorder *recorder;
    write_guard_fn *guard; /* NULL: none */
    void *guard_ctx;
};

/* One attempt of a request. Lives in the request's arena; the request's priv[0] points at it. */
struct pending {
    struct writer *w;
    struct write_req *req;
    const struct resource *stored; /* res->stored_as or res itself */
    struct str key;
    struct list waiting; /* requests on the same key, in order of arrival */
    struct list link;    /* in the waiting list of the one before */
    struct loop_task start, finish;
    int tries;
    struct obj *old;    /* referenced; NULL: absent */
    struct obj *result; /* referenced */
    bool failed;
    struct err err;
    /* Further changes in the same transaction: addresses of a Service. */
    struct store_op extra[WRITE_EXTRA_OPS_MAX];
    int extra_count;
};

/* Each runs one attempt: ends in pending_commit, pending_fail or pending_finish. */
void create_attempt(struct pending *p);
void update_attempt(struct pending *p);
void delete_attempt(struct pending *p);

void pending_commit(struct pending *p, enum store_op_kind kind, struct obj *obj /* taken */, bool is_volatile);
void pending_finish(struct pending *p, struct obj *result /* taken */);
void pending_fail(struct pending *p); /* p->err is filled */
const struct resource *stored_of(const struct resource *r);
/* The two ends of every create and update, after the strategy ran: admission, defaults, validation. -1: p->err is
 * filled. */
int judge(struct pending *p, enum write_verb verb, struct doc *obj, const struct doc *old);

/* meta.c: what the server alone writes into metadata. */
void meta_stamp_create(struct pending *p, struct doc *obj);
int meta_check_create(struct pending *p, struct doc *obj);
void meta_keep_on_update(struct arena *mem, struct doc *obj, const struct doc *old);
struct str meta_generate_name(struct pending *p, struct str prefix);
struct str meta_time(struct arena *mem, int64_t wall_ms); /* RFC 3339, whole seconds */

/* strategy.c: what a client may not set on create, what a subresource may change on update. */
void strategy_create(struct pending *p, struct doc *obj);
void strategy_update(struct pending *p, struct doc *obj, const struct doc *old);
const char *strategy_qos(const struct doc *spec); /* Guaranteed, Burstable, BestEffort */
/* Only what may be written lazily differs: heartbeat times of a Node, the renewal of a Lease by its holder, any Event.
 */
bool strategy_is_volatile(const struct pending *p, const struct doc *obj, const struct doc *old);

/* strategy_csr.c: certificate requests are the asker's, and each subresource changes its part of the status. */
void csr_create(struct pending *p, struct doc *obj);
void csr_update(struct pending *p, struct doc *obj, const struct doc *old);

/* admission.c */
int admission_run(struct pending *p, enum write_verb verb, struct doc *obj, const struct doc *old, bool mutate);

/* service_ip.c: cluster addresses and node ports, taken in the Service's own transaction. old NULL: create; obj NULL:
 * delete. */
struct service_ips *service_ips_new(struct writer *w, struct str cidr, int node_port_min, int node_port_max);
struct service_ips *service_ips_free(struct service_ips *s);
int service_ips_assign(struct pending *p, struct doc *obj, const struct doc *old);

/* event.c */
struct recorder *recorder_new(struct writer *w);
struct recorder *recorder_free(struct recorder *r);

#endif
