/* control/control.h - the controllers: level-triggered reconcilers over the cache, one file each.
 *
 * A controller is a row: which resources wake it, how a change of one becomes keys of its own, and reconcile(key), which reads what is,
 * computes what should be, and writes the difference through write/. It is safe to run twice, late, or after a crash; a reconcile that finds nothing to
 * change writes nothing. Nothing polls: a key runs when something changed, when its back-off is over, or at a time it asked for.
 * Core thread only. May use write/, store/, schema/, doc/, base/. */
#ifndef SAMPAN_CONTROL_CONTROL_H
#define SAMPAN_CONTROL_CONTROL_H

#include "base/loop.h"
#include "store/cache.h"
#include "write/write.h"

struct controllers; /* all of them, running */
struct controllers_opts {
    struct loop *loop;
    struct cache *cache;
    struct writer *writer;
    struct str ca_pem;            /* for kube-root-ca.crt */
    int64_t node_grace_ms;        /* 0: 50 s; how long a silent node stays Ready */
    int64_t event_ttl_ms;         /* 0: 1 h */
};
struct controllers *controllers_start(const struct controllers_opts *o);
struct controllers *controllers_stop(struct controllers *c);

/* ---- for the files of this folder */
struct controller;
struct reconcile {
    struct arena *mem;            /* this pass's */
    struct controller *c;
    struct cache *cache;
    struct writer *writer;
    const struct user *user;      /* system:serviceaccount:kube-system:NAME */
    struct str key;               /* an object key (obj_key), or whatever map() made */
    int64_t now_ms, wall_ms;
    /* results */
    int64_t again_ms;             /* run once more after so long; 0: only on change */
    bool failed;                  /* back off: 5 ms doubling to 1000 s, as client-go's workqueue */
};
struct controller_kind {
    const char *name;             /* "deployment": workqueue metrics and the user's name */
    /* What wakes it: "apps/deployments"; map (NULL: the object's own key) adds keys for one change by controller_enqueue. */
    struct controller_watch {
        const char *group, *resource;
        void (*map)(struct controller *c, const struct cache_event *ev);
    } watches[8];
    void (*reconcile)(struct reconcile *r);
    void *(*start)(struct controllers *cs, struct controller *c); /* optional own state */
    void (*stop)(void *state);
};
void controller_enqueue(struct controller *c, struct str key);
void controller_enqueue_after(struct controller *c, struct str key, int64_t delay_ms);
void *controller_state(const struct controller *c);
/* Writes of a reconcile that are still under way keep its key from running again until they are done; on_error backs the key off (conflicts and not-found count as
 * "look again", not as errors). */
void reconcile_create(struct reconcile *r, const struct resource *res, struct str ns, const struct doc *body);
void reconcile_update(struct reconcile *r, const struct resource *res, const char *sub, const struct doc *body);
void reconcile_merge(struct reconcile *r, const struct resource *res, const char *sub, struct str ns, struct str name, const struct doc *patch);
void reconcile_delete(struct reconcile *r, const struct obj *o);

#endif
