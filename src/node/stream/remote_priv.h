/* node/stream/remote_priv.h - what remote.c and its two carriers share. */
#ifndef SAMPAN_NODE_STREAM_REMOTE_PRIV_H
#define SAMPAN_NODE_STREAM_REMOTE_PRIV_H

#include "node/stream/remote.h"

enum { REMOTE_RESIZE_BYTES_MAX = 256 };
struct remote_ops {
    bool (*write)(struct remote *r, enum remote_channel channel, struct str bytes);
    void (*pause)(struct remote *r, bool paused);
    void (*finish)(struct remote *r); /* send what is queued, then close */
    void (*cut)(struct remote *r);
};
struct remote { /* the carriers embed it first; freed with free() */
    const struct remote_ops *ops;
    struct loop *loop;
    const struct remote_events *events;
    void *ctx;
    struct remote_want want;
    int version; /* 1 to 5 */
    bool ready, ending;
    struct loop_timer timer; /* until ready; then, when ending, until closed */
    struct loop_task ready_task;
    char resize[REMOTE_RESIZE_BYTES_MAX];
    size_t resize_len;
};
void remote_init(struct remote *r, const struct remote_ops *ops, struct loop *l, const struct remote_want *want,
                 const struct remote_events *events, void *ctx);
void remote_ready(struct remote *r); /* told from the loop */
void remote_input(struct remote *r, struct str bytes);
void remote_input_end(struct remote *r);
void remote_resize(struct remote *r, struct str bytes); /* JSON, in pieces or many at once */
void remote_drain(struct remote *r);
void remote_closed(struct remote *r); /* tells, and frees */

struct remote *remote_spdy_accept(struct exchange *x, const struct remote_want *want,
                                  const struct remote_events *events, void *ctx);
struct remote *remote_ws_accept(struct exchange *x, const struct remote_want *want, const struct remote_events *events,
                                void *ctx);

#endif
