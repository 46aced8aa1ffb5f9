/* api/internal.h - one request on its way through api/; what the files of this folder share. Nobody else includes it.
 */
#ifndef SAMPAN_API_INTERNAL_H
#define SAMPAN_API_INTERNAL_H

#include "api/api.h"
#include "base/map.h"
#include "http/client.h"
#include "http/url.h"
#include "schema/labels.h"

/* ---- request.c: what a path names (RequestInfo of k8s.io/apiserver) */
struct request_info {
    bool is_resource;
    bool watch_path;  /* /api/v1/watch/...: deprecated, still served */
    const char *verb; /* "get", "list", ...; of a path that names no resource the method in lower case */
    struct str path;  /* decoded */
    struct str group, version, ns, resource, name, sub;
    struct str rest; /* behind the subresource, with its slash: "/metrics"; empty: nothing */
};

/* ---- query.c */
struct query {
    struct str *keys, *values; /* decoded */
    int count;
};
/* Parse "a=b&c=d"; what does not decode is dropped, as Go does. */
void query_parse(struct arena *mem, struct str text, struct query *ret);
struct str query_get(const struct query *q, const char *key); /* first value; empty: absent */
bool query_has(const struct query *q, const char *key);
/* As Kubernetes converts: absent is false; present is true unless "false" or "0". */
bool query_bool(const struct query *q, const char *key);
/* 0 absent, 1 found, -1 BAD_REQUEST in Go's words. */
int query_int(const struct query *q, const char *key, int64_t *ret, struct err *err);

/* The verb of list and watch depends on the query. -1: a path that can't be read (BAD_REQUEST). */
int request_parse(struct arena *mem, struct str method, struct str path, const struct query *q,
                  struct request_info *ret, struct err *err);

/* ---- negotiate.c */
enum media_form { MEDIA_JSON, MEDIA_YAML, MEDIA_PB };
enum media_as { AS_IS, AS_TABLE, AS_PARTIAL, AS_PARTIAL_LIST, AS_DISCOVERY };
struct media {
    uint8_t form, as;
    bool beta; /* meta.k8s.io/v1beta1; with AS_DISCOVERY v2beta1 */
    bool pretty;
    bool stream; /* stream=watch was asked for */
};
const char *media_type(const struct media *m);
/* From the Accept header. watch: YAML has no stream. -1: NOT_ACCEPTABLE with the supported types. */
int negotiate(struct str accept, bool watch, struct media *ret, struct err *err);
/* Of a request body: JSON when nothing is said. -1: UNSUPPORTED_MEDIA_TYPE. */
int negotiate_body(struct str content_type, enum media_form *ret, struct err *err);
/* Accept without a transformation that the endpoint does not know (discovery: AS_DISCOVERY). */
int negotiate_discovery(struct str accept, struct media *ret);

/* ---- one request */
struct metric;
struct write_job;
struct api_req {
    struct api *api;
    struct exchange *x;
    struct arena *mem; /* the exchange's */
    struct request_info info;
    struct query query;
    struct media out;
    const struct resource *res;    /* as addressed */
    const struct subresource *sub; /* NULL: the resource itself */
    const struct user *user;
    struct err err;
    const char *cause_type; /* a cause that base/err.h has no type for, told with err.message: "DisruptionBudget" */
    struct str cause_text;
    struct str continue_token;           /* to go with 410 in the Status */
    struct write_job *job;               /* a write under way; it outlives the request */
    void (*on_abort)(struct api_req *r); /* the behaviour's own, before everything goes */
    void *state;                         /* the behaviour's own */
    struct metric *long_gauge;           /* of a long-running one that names a resource */
    bool counted_read, counted_write, is_long;
    struct str audit_id;
};

/* ---- api.c */
struct api_metrics;
struct discovery;
struct api {
    struct loop *loop;
    struct cache *cache;
    struct store *store;
    struct writer *writer;
    struct gate *gate;
    struct str advertise;
    const char *git_commit, *build_date;
    bool ready, stopping;
    int reads, writes, reads_max, writes_max;
    struct list watches;         /* struct watch.link */
    struct loop_timer bookmarks; /* runs while some watch wants bookmarks */
    struct map tunnels;          /* node -> struct tunnel * */
    struct map usage;            /* node -> struct usage_node *, of those that were asked lately */
    struct discovery *discovery;
    struct api_metrics *metrics;
    struct arena *mem;    /* of what lives as long as the api */
    struct memo *memo;    /* select.c: the last documents parsed for field selectors */
    uint8_t random[1024]; /* drawn ahead, the last random_left of them unused */
    size_t random_left;
    void *frames; /* watch.c: frames that several watchers share */
};

static inline const struct resource *stored_res(const struct resource *r)
{
    return r->stored_as ? r->stored_as : r;
}
/* A user that outlives the request. */
const struct user *user_copy(struct arena *mem, const struct user *u);

/* ---- status.c */
struct doc *status_doc(struct arena *mem, const struct err *err, const char *cause_type, struct str cause_text,
                       struct str continue_token);
/* Answer with err as a Status, once. reply_err takes r->err. */
void reply_status(struct api_req *r, const struct err *err);
static inline void reply_err(struct api_req *r)
{
    reply_status(r, &r->err);
}
/* A Status of success. kind and name may be empty. */
struct doc *status_success(struct arena *mem, struct str group, struct str kind, struct str name, struct str uid);
/* "404 page not found" and the like, as Go's mux says it. */
void reply_text(struct api_req *r, int code, const char *text);
void set_warnings(struct api_req *r, const struct warnings *w);
struct str warning_header(struct arena *mem, struct str text); /* 299 - "text" */

/* ---- reply.c */
/* An object as the client wants to see it (r->res, r->out). The reference is the caller's. */
void reply_obj(struct api_req *r, int code, const struct obj *o);
/* A document of a type that is no stored object. d carries kind and apiVersion. */
void reply_doc(struct api_req *r, int code, const struct type *t, struct doc *d);
void reply_json(struct api_req *r, int code, struct str json); /* in r->mem, or for ever */

/* ---- view.c: an object in the form somebody wants */
struct view {
    const struct resource *res; /* as addressed */
    struct media m;
    const char *include; /* of table rows: "None", "Metadata", "Object" */
};
/* `{"kind":"Pod","apiVersion":"v1",`: how every object at rest begins. */
struct str view_head(struct arena *mem, const struct resource *res);
/* The bytes behind head; ptr NULL: o does not begin so. */
struct str view_body(const struct obj *o, struct str stored_head);
/* True when the bytes at rest are the answer. */
bool view_is_raw(const struct view *v);
/* The object as a document of v->res, head included. */
struct doc *view_doc(struct arena *mem, const struct resource *res, const struct obj *o);
/* metadata of o as JSON: a slice of the object where possible. */
struct str view_metadata(struct arena *mem, const struct obj *o);
/* Append o in full (kind and apiVersion included) in the wanted form; a Table is a row. tmp holds what may be
 * forgotten. */
int view_put(struct arena *tmp, const struct view *v, const struct obj *o, int64_t now_ms, struct sb *out);
/* Append o as a list item: JSON without kind and apiVersion, or the protobuf message without its envelope. */
int view_put_item(struct arena *tmp, const struct view *v, const struct obj *o, int64_t now_ms, struct sb *out);

/* ---- table.c */
/* `"columnDefinitions":[...]` */
void table_columns(struct sb *out, const struct resource *res);
void table_row(struct arena *tmp, const struct view *v, const struct obj *o, const struct doc *d, int64_t now_ms,
               struct sb *out);
/* includeObject of the query: -1 BAD_REQUEST. */
int table_include(const struct query *q, const char **ret, struct err *err);

/* ---- options.c */
struct list_opts {
    struct str label_text, field_text;
    struct selector *labels, *fields; /* NULL: everything */
    bool watch, bookmarks;
    int8_t initial_events; /* -1 absent, 0 false, 1 true */
    struct str rev, rev_match;
    int64_t timeout_s; /* 0: absent */
    int64_t limit;     /* 0: none */
    struct str cont;
};
int list_options(struct api_req *r, struct list_opts *ret);
struct write_opts {
    bool dry_run;
    struct str field_manager; /* the query's, else from User-Agent */
    enum field_validation validation;
};
/* kind: "CreateOptions", "UpdateOptions", "PatchOptions" */
int write_options(struct api_req *r, const char *kind, struct write_opts *ret);
struct delete_opts {
    bool dry_run;
    int64_t grace_s; /* -1: absent */
    struct str want_uid;
    uint64_t want_rev;
    int propagation;   /* PROPAGATE_... */
    bool orphan_false; /* orphanDependents: false was said: 202 while it is not gone */
};
/* From the body when there is one, else from the query. */
int delete_options(struct api_req *r, struct delete_opts *ret);
int delete_options_doc(struct arena *mem, const struct doc *d, struct delete_opts *ret, struct err *err);

/* ---- decode.c: a body to a canonical document */
/* kind, api_version: what the endpoint expects; put in where the body says nothing. body lives as long as mem. */
struct doc *decode_body(struct arena *mem, struct str body, enum media_form form, const struct type *t,
                        const char *kind, const char *api_version, enum field_validation mode,
                        struct warnings *warnings, struct err *err);

/* ---- select.c: which objects a list or watch means */
struct choice {
    const struct selector *labels, *fields; /* NULL: everything */
    const struct resource *res;
    bool simple_fields; /* metadata.name and metadata.namespace only: no document needed */
};
int choice_init(struct choice *c, const struct resource *res, const struct list_opts *o, struct err *err);
bool choice_all(const struct choice *c);
bool choice_takes(struct api *a, const struct choice *c, const struct obj *o);
void memo_done(struct api *a);

/* The part of the key that all objects of a list share: "pods/", "pods/default/", "namespaces//". */
struct str list_prefix(struct arena *mem, const struct resource *res, struct str ns);
/* Objects as they were at rev (0: now), in order of key behind `after`, at most limit (0: all). They are borrowed for
 * this turn of the loop and live in mem. *ret_remaining: how many more there are; -1 where a selector hides that. */
int list_gather(struct api *a, struct arena *mem, const struct choice *c, struct str prefix, struct str after,
                uint64_t rev, int64_t limit, struct obj ***ret, int *ret_count, bool *ret_more, int64_t *ret_remaining,
                struct err *err);
/* Too large a resourceVersion is refused in Kubernetes' words. -1: r->err. *ret 0: none was given. */
int parse_rev(struct api_req *r, struct str text, bool for_watch, uint64_t *ret);

/* ---- send.c: a list on its way to the client, in bounded memory */
struct list_meta {
    uint64_t rev; /* 0: of objects that have none */
    struct str cont;
    int64_t remaining; /* < 0: not told */
};
/* Takes a reference on each object at once; the array may go after return. Answers r. */
void list_send(struct api_req *r, struct obj **objs, int count, const struct list_meta *meta);

/* ---- write.c: a write that outlives its request */
struct write_job {
    struct arena *mem;
    struct api_req *r; /* NULL: the client is gone */
    struct api *api;
    struct write_req w;
    struct warnings warnings;
    struct str body;                                    /* a copy */
    int code;                                           /* of success: 200 or 201 */
    void (*answer)(struct write_job *j, struct obj *o); /* success; NULL: the object */
    void (*then)(struct write_job *j, struct obj *o);   /* instead, once: a second write follows, client or not */
    void *state;
    struct patch *patch;
};
struct write_job *write_job_new(struct api_req *r, enum write_verb verb);
void write_job_start(struct write_job *j);
/* Fail before the write began: answers and frees. */
void write_job_fail(struct write_job *j, const struct err *err);
void write_job_free(struct write_job *j);

/* ---- behaviours: each answers r, now or later */
void handle_get(struct api_req *r);
void handle_list(struct api_req *r);
void handle_watch(struct api_req *r, const struct list_opts *o);
void handle_create(struct api_req *r);
void handle_update(struct api_req *r);
void handle_patch(struct api_req *r);
void handle_delete(struct api_req *r);
void handle_delete_collection(struct api_req *r);
void handle_scale(struct api_req *r);
void handle_binding(struct api_req *r);
void handle_eviction(struct api_req *r);
void handle_token(struct api_req *r);
void handle_review(struct api_req *r);
bool is_review(const struct resource *res);
void handle_usage(struct api_req *r); /* metrics.k8s.io */
bool is_usage(const struct resource *res);
void handle_connect(struct api_req *r); /* log, exec, attach, portforward, proxy */
void handle_tunnel(struct api_req *r);
bool handle_discovery(struct api_req *r); /* false: no such path */
void handle_health(struct api_req *r, struct str which);
void handle_version(struct api_req *r);
void handle_metrics(struct api_req *r);
void handle_slis(struct api_req *r);
struct doc *version_doc(const struct api *a, struct arena *mem); /* what /version says */
#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"
void handle_root(struct api_req *r);
void handle_openapi(struct api_req *r);

/* The Scale of an object. */
struct doc *scale_of(struct arena *mem, const struct resource *res, const struct doc *obj);

/* ---- continue.c */
struct str continue_encode(struct arena *mem, int64_t rev, struct str prefix, struct str last_key);
/* -1 with BAD_REQUEST. *ret_rev -1: an inconsistent continuation. *ret_after: the key after which to go on. */
int continue_decode(struct arena *mem, struct str token, struct str prefix, int64_t *ret_rev, struct str *ret_after,
                    struct err *err);

/* ---- watch.c */
void watches_init(struct api *a);
void watches_stop(struct api *a);
void watches_done(struct api *a);
/* ---- usage_nodes.c */
void usage_done(struct api *a);
/* ---- tunnel.c */
void tunnels_done(struct api *a);
void tunnel_dial(struct api *a, struct str node, struct str authority,
                 void (*opened)(void *ctx, struct stream *s, int error),
                 void *ctx); /* -ENOTCONN, before return: the node has no tunnel here */

/* ---- metrics.c */
void count_request(const struct api_req *r, int code, int64_t us);
void count_long_running(struct api_req *r, int by); /* 1 when it begins, -1 when it ends */
void count_watch_event(struct api *a, const struct resource *res, size_t bytes);

#endif
