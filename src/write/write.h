/* write/write.h - the one write path: everything that changes an object goes through here, requests and reconcilers
 * alike.
 *
 * create: strategy (what a client may not set) -> defaulting -> admission -> validation -> commit.
 * update and patch: read current -> change -> the same -> compare-and-swap; tried again on a lost race when the client
 * gave no resourceVersion. delete: preconditions, grace, finalizers, propagation (KEP: garbage collection,
 * foregroundDeletion and orphan finalizers). Answers arrive from the loop after durability. Core thread only. May use
 * store/, schema/, doc/, base/. Source: k8s.io/apiserver registry/generic/registry/store.go, registry/rest. */
#ifndef SAMPAN_WRITE_WRITE_H
#define SAMPAN_WRITE_WRITE_H

#include "schema/schema.h"
#include "store/cache.h"
#include "store/store.h"
#include "write/user.h"

struct writer;
struct writer_opts {
    struct loop *loop;
    struct cache *cache;
    struct store *store;
    struct str service_cidr;          /* "10.96.0.0/16" */
    int node_port_min, node_port_max; /* 30000-32767 */
};
struct writer *writer_new(const struct writer_opts *o);
struct writer *writer_free(struct writer *w); /* only when idle: a write under way ends in what it was made of */
/* No write is under way. Once nobody starts any more this comes true: the store answers everything. */
bool writer_idle(const struct writer *w);
struct str write_time(struct arena *mem, int64_t wall_ms); /* RFC 3339, whole seconds, UTC */
struct str write_now(const struct writer *w,
                     struct arena *mem); /* RFC 3339, whole seconds: for conditions and times of objects */

enum write_verb { WRITE_CREATE, WRITE_UPDATE, WRITE_PATCH, WRITE_DELETE };
enum { WRITE_RETRIES_MAX = 5 };

struct write_req {
    struct arena *mem; /* the request's: lives until done returned */
    enum write_verb verb;
    const struct user *user;       /* NULL: the server itself */
    const struct resource *res;    /* as addressed (any version) */
    const struct subresource *sub; /* NULL: the object */
    struct str ns, name;           /* name empty: create takes it from the body, generateName included */
    bool dry_run;
    struct str field_manager;
    struct warnings *warnings; /* may be NULL */

    struct doc *body; /* CREATE, UPDATE: through schema_read already, in the version of res; changed in place */
    /* PATCH: turn the current object (a fresh document in the version of res, defaults filled) into the wanted one and
     * return its root; may be called again after a lost race. NULL with err: stop. Also for the server's own
     * read-modify-write. */
    struct doc *(*mutate)(struct write_req *r, struct doc *current, struct err *err);
    bool create_if_absent; /* UPDATE: create on absent as Kubernetes does for kinds that allow it (leases, ...) */

    /* DELETE */
    int64_t grace_s;     /* -1: the kind's default */
    struct str want_uid; /* preconditions; empty: any. For the others too: CONFLICT with Kubernetes' text */
    uint64_t want_rev;   /* 0: any */
    enum { PROPAGATE_DEFAULT, PROPAGATE_BACKGROUND, PROPAGATE_FOREGROUND, PROPAGATE_ORPHAN } propagation;

    /* The answer, once, from the loop. obj is borrowed: the new state (stored version); for a delete the last state
     * when it is gone for good
     * (*gone set in the request) or the present state when it only began; with dry_run what would have been. err NULL:
     * success. */
    void (*done)(struct write_req *r, struct obj *obj, const struct err *err);
    void *ctx;
    bool gone;      /* result of DELETE */
    bool created;   /* result of UPDATE with create_if_absent */
    bool unchanged; /* result: nothing differed, nothing was written */
    void *priv[4];  /* the write path's own */
};
void write_start(struct writer *w, struct write_req *r);

/* A simple form for reconcilers: makes a request in an arena of its own and frees it after done. done may be NULL. Each
 * takes a copy of what it is given. */
typedef void write_result_fn(void *ctx, struct obj *obj, const struct err *err);
void write_create(struct writer *w, const struct user *user, const struct resource *res, struct str ns,
                  const struct doc *body, write_result_fn *done, void *ctx);
/* The body must carry metadata.resourceVersion (from the cache) or "" for unconditional. sub: NULL or "status" etc. */
void write_update(struct writer *w, const struct user *user, const struct resource *res, const char *sub,
                  const struct doc *body, write_result_fn *done, void *ctx);
/* Merge patch (RFC 7386) on the current object; on a lost race it is applied again. */
void write_merge(struct writer *w, const struct user *user, const struct resource *res, const char *sub, struct str ns,
                 struct str name, const struct doc *patch, write_result_fn *done, void *ctx);
void write_delete(struct writer *w, const struct user *user, const struct resource *res, struct str ns, struct str name,
                  struct str want_uid, int64_t grace_s, write_result_fn *done, void *ctx);
/* core/v1 Event about an object, aggregated as client-go's recorder does (count, lastTimestamp; spam filter). type
 * "Normal" or "Warning". */
void write_event(struct writer *w, struct str component, const struct obj *about, const char *type, const char *reason,
                 const char *fmt, ...) __attribute__((format(printf, 6, 7)));

/* One more validating plugin, of a layer above: what a write by a client grants is judged by gate/. Runs last, not for
 * the server's own writes. 0, or -1 with a->err filled. */
struct admission;
typedef int write_guard_fn(void *ctx, struct admission *a);
void writer_set_guard(struct writer *w, write_guard_fn *guard, void *ctx);

/* ---- admission: built-in plugins are rows of one table (admission.c), in Kubernetes' order; each may change obj
 * (mutate) and refuse. */
struct admission {
    struct writer *w;
    struct write_req *req;
    enum write_verb verb;
    struct doc *obj;       /* NULL for DELETE */
    const struct doc *old; /* NULL for CREATE */
    struct err *err;
};
struct admission_plugin {
    const char *name;
    void (*mutate)(struct admission *a);
    int (*validate)(struct admission *a); /* 0, or -1 with err FORBIDDEN/INVALID */
};

#endif
