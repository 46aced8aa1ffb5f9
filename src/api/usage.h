/* api/usage.h - metrics.k8s.io: what nodes and pods use at present, as the agents say when they are asked.
 *
 * Nobody polls: a question makes this server ask the nodes it concerns through their tunnels, all at once, and what
 * they said is used for the questions of the next seconds and then forgotten. A rate needs two readings: where there is
 * no recent one, a node is asked twice. Internal to api/. Source: metrics-server (pkg/scraper,
 * pkg/storage, pkg/api).
 *
 * An APIService v1beta1.metrics.k8s.io of the user's takes this group's place: whoever routes by APIService does so
 * before api.c asks is_usage(), and nothing here needs to know. */
#ifndef SAMPAN_API_USAGE_H
#define SAMPAN_API_USAGE_H

#include "api/internal.h"
#include "api/usage_table.h"

enum {
    USAGE_FRESH_MS = 15000, /* an answer this young is used again */
    USAGE_AGAIN_MS = 1000,  /* if it lacks a pod younger than the next line: this young */
    USAGE_YOUNG_MS = 60000,
    USAGE_BASE_MS = 60000,           /* a reading this old can still be the earlier of two; then it is forgotten */
    USAGE_PAUSE_MS = 1000,           /* between the two readings where there was none */
    USAGE_ANSWER_MS = 2000,          /* a node that needs longer is left out, and its pods */
    USAGE_TEXT_BYTES_MAX = 16 << 20, /* of one node's answer */
};

/* ---- usage_nodes.c */
struct usage_wait;
struct usage_want {
    struct str node;
    bool again; /* what it said does not do: a young pod is not in there */
};
/* Have these nodes asked unless a fresh answer is there; done comes when each has answered or failed. The names are
 * copied. NULL: there is nothing to wait for, done will not come. */
struct usage_wait *usage_ask(struct api *a, const struct usage_want *wants, int count, void (*done)(void *ctx),
                             void *ctx);
void usage_wait_cancel(struct usage_wait *w);
/* What the node said last, with rates; NULL: nothing. Borrowed for this turn of the loop. */
const struct usage_table *usage_known(struct api *a, struct str node);
#endif
