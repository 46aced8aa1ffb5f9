/* control/control.h - the controllers: level-triggered reconcilers over the cache, one file each.
 *
 * A controller is a row: which resources wake it, how a change of one becomes keys of its own, and reconcile(key),
 * which reads what is, computes what should be, and writes the difference through write/. It is safe to run twice,
 * late, or after a crash; a reconcile that finds nothing to change writes nothing. Nothing polls: a key runs when
 * something changed, when its back-off is over, or at a time it asked for. Everything that is present at the start is
 * looked at once. Core thread only. May use write/, store/, schema/, doc/, base/. */
#ifndef SAMPAN_CONTROL_CONTROL_H
#define SAMPAN_CONTROL_CONTROL_H

#include "base/loop.h"
#include "store/cache.h"
#include "write/write.h"

/* What the controller of certificate requests needs of gate/: the authorizer's word and the CA's key. */
struct csr_authority {
    void *ctx;
    /* May the user create certificatesigningrequests/SUBRESOURCE? */
    bool (*may_create)(void *ctx, struct arena *mem, const struct user *u, const char *subresource);
    /* usage: enum pki_usage bits. -1 with *ret_why. */
    int (*sign)(void *ctx, struct arena *mem, struct str csr_pem, int usage, int64_t lifetime_s,
                struct str *ret_cert_pem, const char **ret_why);
};

struct controllers; /* all of them, running */
struct controllers_opts {
    struct loop *loop;
    struct cache *cache;
    struct writer *writer;
    struct str ca_pem;           /* for kube-root-ca.crt; copied */
    struct csr_authority csr;    /* sign NULL: requests are neither approved nor signed */
    struct str cluster_cidr;     /* of all pods; copied; empty: nodes bring their own range */
    int node_cidr_prefix;        /* of each node's; 0: 24 */
    int64_t node_grace_ms;       /* 0: 50 s; how long a silent node stays Ready */
    int64_t event_ttl_ms;        /* 0: 1 h */
    int64_t terminated_pods_max; /* 0: 12500; finished pods beyond are removed, the oldest first */
};
struct controllers *controllers_start(const struct controllers_opts *o);
struct controllers *controllers_stop(struct controllers *cs); /* NULL accepted; writes under way go on unwatched */

/* ---- for the files of this folder */
struct controller;
struct reconcile {
    struct arena *mem; /* this pass's: lives until its last write is answered */
    struct controller *c;
    struct cache *cache;
    struct writer *writer;
    const struct user *user; /* system:serviceaccount:kube-system:ACCOUNT */
    struct str key;          /* an object key (obj_key), or whatever map() made */
    int64_t now_ms, wall_ms;
    /* results */
    int64_t again_ms; /* run once more after so long; 0: only on change */
    bool failed;      /* back off: 5 ms doubling to 1000 s, as client-go's workqueue */
    /* A number that the key keeps from pass to pass while it is not idle; 0 at first, and again after a failure. */
    int64_t memo;
    /* Called for each write of this pass when it is answered, before the key is free again; may write more. err NULL:
     * success. name: as asked, empty for generateName (obj has it then). */
    void (*written)(struct reconcile *r, enum write_verb verb, const struct resource *res, struct str name,
                    const struct obj *obj, const struct err *err);
    void *ctx; /* for written */
};
enum { CONTROLLER_WATCHES_MAX = 8 };
struct controller_kind {
    const char *name;      /* "deployment": workqueue metrics */
    const char *account;   /* the service account it acts as; NULL: NAME-controller */
    const char *component; /* the source of its events; NULL: the account */
    /* What wakes it: "apps/deployments"; map (NULL: the object's own key) adds keys for one change by
     * controller_enqueue. group "*": everything. */
    struct controller_watch {
        const char *group, *resource;
        void (*map)(struct controller *c, const struct cache_event *ev);
    } watches[CONTROLLER_WATCHES_MAX];
    void (*reconcile)(struct reconcile *r);
    void *(*start)(const struct controllers_opts *o, struct controller *c); /* optional own state */
    void (*stop)(void *state);
};
void controller_enqueue(struct controller *c, struct str key);
void *controller_state(const struct controller *c);
struct cache *controller_cache(const struct controller *c);
const struct controllers_opts *controller_opts(const struct controller *c);
/* An event about an object, from the controller that reconciles. type "Normal" or "Warning". */
#define reconcile_event(r, about, type, reason, ...)                                                                   \
    write_event((r)->writer, controller_component((r)->c), about, type, reason, __VA_ARGS__)
struct str controller_component(const struct controller *c); /* "deployment-controller" */

/* Writes of a reconcile that are still under way keep its key from running again until they are done. A failed one
 * backs the key off; conflicts and not-found mean "look again" and are not logged as errors. What would change nothing
 * is not written. */
void reconcile_create(struct reconcile *r, const struct resource *res, struct str ns, const struct doc *body);
void reconcile_update(struct reconcile *r, const struct resource *res, const char *sub, const struct doc *body);
void reconcile_merge(struct reconcile *r, const struct resource *res, const char *sub, struct str ns, struct str name,
                     const struct doc *patch);
void reconcile_delete(struct reconcile *r, const struct obj *o);
/* propagation: PROPAGATE_*; grace_s -1: the kind's default; exact: only in the very state that o shows. */
void reconcile_delete_how(struct reconcile *r, const struct obj *o, int propagation, int64_t grace_s, bool exact);

#endif
