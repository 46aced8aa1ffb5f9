/* api/api.h - what clients of the server see: verbs, watches, discovery, health, and the way to the nodes.
 *
 * Takes every request of the HTTP server, finds out who asks and for what, and answers in Kubernetes' words. Owns no
 * state but running requests, watches and the agents' tunnels. Core thread only. May use gate/, write/, store/,
 * schema/, http/, doc/, base/. May not use control/ or sched/. Files, in the order in which a request meets them:
 * handle.c (the way in), request.c, query.c, negotiate.c, options.c, decode.c; then one file a behaviour (get.c,
 * list.c, watch.c, create.c, ...); view.c, table.c, reply.c, status.c on the way out. Source: k8s.io/apiserver
 * pkg/endpoints. */
#ifndef SAMPAN_API_API_H
#define SAMPAN_API_API_H

#include "gate/gate.h"
#include "http/server.h"
#include "store/cache.h"
#include "write/write.h"

/* Limits; each can be reached by a test. */
enum {
    API_READS_MAX = 4000, /* short requests that only read, at the same time; more get 429 */
    API_WRITES_MAX = 2000,
    API_BODY_BYTES_MAX = 3 << 20,            /* 413 beyond */
    API_STRANGERS_BODY_BYTES_MAX = 64 << 10, /* the same, of a request without good credentials */
    API_WATCH_BOOKMARK_MS = 60000,           /* between two bookmarks of one watch */
    API_WATCH_S_MIN = 1800,                  /* a watch that names no timeout ends after this long to twice as long */
    API_CONTINUE_BYTES_MAX = 4096,           /* of a continue token */
    API_PARAMS_MAX = 256,                    /* query parameters of one request */
    API_TUNNELS_MAX = 10000
};

struct api;
struct api_opts {
    struct loop *loop;
    struct cache *cache;
    struct store *store;
    struct writer *writer;
    struct gate *gate;
    struct str advertise;                /* "192.0.2.1:6443": serverAddressByClientCIDRs; may be empty */
    const char *git_commit, *build_date; /* of /version; may be NULL */
    int reads_max, writes_max;           /* 0: as above */
};
/* Aborts when out of memory: at start only. */
struct api *api_new(const struct api_opts *o);
/* Running watches and tunnels end. After the http server is freed. Accepts NULL. */
struct api *api_free(struct api *a);
/* The handler and the body limit of the http_server; ctx is the struct api. */
void api_handle(void *ctx, struct exchange *x);
size_t api_body_max(void *ctx, const struct exchange *x);
/* error_body of the http_server: what it refuses by itself (a body over the limit, a malformed request) as a Status. */
struct str api_error_body(void *ctx, struct arena *mem, int status, const char *text, const char **ret_content_type);
/* Until true, /readyz answers 500; /livez is fine from the start. */
void api_set_ready(struct api *a, bool ready);
/* The server is about to stop: /readyz fails, watches end so that clients go elsewhere. */
void api_stop(struct api *a);

/* True when the agent of this node has a tunnel open here. */
bool api_has_tunnel(const struct api *a, struct str node);

#endif
