/* node/agent/client.h - the API as the agent sees it: get, create, patch, delete, and watches that mend themselves.
 *
 * JSON only. Every answer is a document in an arena that lives until the callback returns. May use http/. */
#ifndef SAMPAN_NODE_AGENT_CLIENT_H
#define SAMPAN_NODE_AGENT_CLIENT_H

#include "base/loop.h"
#include "doc/doc.h"

struct api;
struct agent_opts;
/* NULL with *ret_why (static or in mem) when the credentials can't be read. */
struct api *api_connect(struct loop *l, const struct agent_opts *opts, struct arena *mem, const char **ret_why);
/* By what is said here. unverified: any server is believed, for reading public things only. */
struct api_credentials {
    struct str ca, cert, key, token; /* PEM texts; empty: none */
    struct str server;               /* "HOST:PORT" */
    const char *server_name;         /* NULL: the host */
    bool plain, unverified;
};
struct api *api_open(struct loop *l, const struct api_credentials *c, struct arena *mem, const char **ret_why);
struct api *api_disconnect(struct api *a);
/* Another certificate for the connections to come. 0, or -1 with *ret_why and nothing changed. */
int api_renew(struct api *a, struct str cert_pem, struct str key_pem, const char **ret_why);

/* status is the HTTP code, or 0 with error -errno when there was no answer; doc is NULL where the body is no JSON. */
struct api_answer {
    int status, error;
    const struct doc *doc;
    struct arena *mem;
};
typedef void api_done_fn(void *ctx, const struct api_answer *answer);
struct http_call;
/* content_type NULL: application/json. body may be empty. done may be NULL. */
struct http_call *api_send(struct api *a, const char *method, struct str path, const char *content_type,
                           struct str body, api_done_fn *done, void *ctx);
#define API_MERGE     "application/merge-patch+json"
#define API_STRATEGIC "application/strategic-merge-patch+json"

/* A list kept true by watching: list, watch from its revision, start over on 410, back off 0.5 s to 30 s on failures.
 * Embedded in its owner. */
enum watch_event { WATCH_ADDED, WATCH_MODIFIED, WATCH_DELETED, WATCH_SYNC_BEGIN, WATCH_SYNC_END };
struct api_watch {
    struct api *api;
    struct str path; /* "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1"; lives as long as the watch */
    /* A list comes as SYNC_BEGIN, ADDED for each item, SYNC_END (obj NULL for both ends): what was not named is gone.
     * obj is borrowed until return (items of a list lack apiVersion and kind). */
    void (*event)(struct api_watch *w, enum watch_event e, const struct doc *obj);
    /* The rest is the watch's own. */
    struct http_call *call;
    struct loop_timer timer;
    struct arena *mem;
    struct str revision; /* heap */
    char *line;          /* heap: a partial line */
    size_t line_len, line_cap;
    int backoff_ms;
    bool on, synced, watching;
};
void api_watch_start(struct api *a, struct api_watch *w);
void api_watch_stop(struct api_watch *w);

#endif
