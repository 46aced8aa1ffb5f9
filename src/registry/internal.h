/* registry/internal.h - one request on its way through the registry; what the files of this folder share. */
#ifndef SAMPAN_REGISTRY_INTERNAL_H
#define SAMPAN_REGISTRY_INTERNAL_H

#include "base/map.h"
#include "registry/disk.h"
#include "registry/manifest.h"
#include "registry/name.h"
#include "registry/registry.h"

/* Codes of the spec (UNKNOWN is Docker's). The HTTP status stands beside each use: one code has several. */
/* clang-format off */
#define REGISTRY_CODES(X)                                                                                              \
    X(BLOB_UNKNOWN) X(BLOB_UPLOAD_INVALID) X(BLOB_UPLOAD_UNKNOWN) X(DIGEST_INVALID) X(MANIFEST_BLOB_UNKNOWN)           \
    X(MANIFEST_INVALID) X(MANIFEST_UNKNOWN) X(NAME_INVALID) X(NAME_UNKNOWN) X(SIZE_INVALID) X(UNAUTHORIZED) X(DENIED)  \
    X(UNSUPPORTED) X(TOOMANYREQUESTS) X(UNKNOWN)
/* clang-format on */
#define X(code) CODE_##code,
enum code { CODE_NONE, REGISTRY_CODES(X) };
#undef X

struct request;
struct registry {
    struct loop *loop;
    struct gate *gate;
    struct cache *cache;
    struct disk disk;
    struct arena *mem;
    int64_t grace_s;
    int requests;              /* open, or with the pool */
    int transfers;             /* of those, the ones that receive a blob */
    struct map uploads;        /* id -> struct upload *, see upload.c */
    struct str mirrors;        /* "docker.io=https://registry-1.docker.io,..." */
    struct list fetches;       /* mirror.c */
    int fetch_count, fetching; /* all, and those with the pool */
    struct gc *gc;
    bool freed; /* the rest goes with the last request */
};

/* Lives until the exchange has ended and no work is with the pool. mem is the job's alone while it runs. */
struct request {
    struct registry *g;
    struct exchange *x; /* NULL: answered, or the client is gone */
    struct arena *mem;
    struct target target;
    struct str ns, image; /* of the name */
    struct str repo;      /* on disk */
    struct str hex;       /* of a digest in the path or query */
    const struct user *user;
    bool is_mirror;  /* ns is a host of mirror.c, image the name there */
    bool may_update; /* a tag that is there may be moved */
    uint64_t limit;  /* bytes that the namespace may hold; UINT64_MAX: no limit */
    struct loop_work work;
    bool working;
    struct list wait; /* for a fetch of mirror.c; then `then` */
    bool is_waiting;
    void (*job)(struct request *r);
    void (*then)(struct request *r);
    void (*drop)(
        struct request *r); /* what state owns beyond mem; the client may have left in the middle. May be NULL */
    void *state;            /* the behaviour's */
    /* What a job found wrong; CODE_NONE: nothing. request_fail sets them, and `then` answers with request_answer. */
    enum code code;
    int status;
    struct str why;
};

/* ---- registry.c */
/* job on the pool, then `then` on the core thread, unless the client has left meanwhile: then drop. */
void request_run(struct request *r, void (*job)(struct request *r), void (*then)(struct request *r));
void request_fail(struct request *r, int status, enum code code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* What a failing file call means to a client: no space is 507. */
void request_fail_errno(struct request *r, int error, const char *what);
void request_answer_failure(struct request *r);
static inline void request_refuse(struct request *r, int status, enum code code, const char *text)
{
    request_fail(r, status, code, "%s", text);
    request_answer_failure(r);
}
void request_reply(struct request *r, int status, const char *content_type, struct str body); /* body is copied */
void request_set_digest(struct request *r, struct str hex);    /* Docker-Content-Digest */
struct str request_query(struct request *r, const char *name); /* decoded; empty: absent */
bool request_digest(struct request *r, struct str digest);     /* r->hex; false: answered */
/* n and last of a paged list; false: answered. */
bool request_page(struct request *r, int *ret_n, struct str *ret_last);

/* ---- auth.c */
/* Who asks; false: answered with a challenge. */
bool auth_user(struct request *r);
/* r->ns, image, repo, limit from the name; false: answered. */
bool auth_repository(struct request *r);
bool auth_may(struct request *r, const char *verb, struct str ns, struct str image);
/* False: answered, with a challenge when nobody has said who it is. */
bool auth_require(struct request *r, const char *verb);
struct str auth_repo_path(struct request *r, struct str name, struct str *ret_ns,
                          struct str *ret_image); /* empty: no */
void serve_base(struct request *r);
void serve_token(struct request *r);

/* ---- behaviours: each answers r, now or later */
void serve_blob(struct request *r);      /* blob.c */
void serve_uploads(struct request *r);   /* upload.c: POST */
void serve_upload(struct request *r);    /* upload.c: PATCH, PUT, GET, DELETE */
void serve_manifest(struct request *r);  /* manifests.c */
void serve_tags(struct request *r);      /* lists.c */
void serve_referrers(struct request *r); /* lists.c */
void uploads_done(struct registry *g);
void uploads_expire(struct registry *g);

/* ---- mirror.c */
struct str mirror_upstream(const struct registry *g, struct str host); /* its URL; empty: it is none */
/* then(r) once r->target is here as far as the upstream has it; r->code says what went wrong. */
void mirror_want(struct request *r, bool is_blob, void (*then)(struct request *r));
void mirrors_stop(struct registry *g);
void registry_check_freed(struct registry *g);

/* ---- gc.c */
struct gc *gc_new(struct registry *g);
void gc_stop(struct gc *gc); /* a sweep that runs ends by itself, then registry_check_freed */
bool gc_is_running(const struct gc *gc);
void gc_free(struct gc *gc);
void gc_changed(struct registry *g); /* something may have become garbage: look a grace from now */

#endif
