/* node/stream/remote.h - the client's side of exec and attach: five channels, whatever carries them.
 *
 * SPDY/3.1 with X-Stream-Protocol-Version v1 to v4 (a stream a channel), or WebSocket with channel.k8s.io, v4 and v5
 * in binary or base64 form (a byte before each message). The end is said on the error channel: from v4 on as a
 * metav1.Status. May use http/, doc/. Source: KEP-4006; kubernetes pkg/cri/streaming/remotecommand. */
#ifndef SAMPAN_NODE_STREAM_REMOTE_H
#define SAMPAN_NODE_STREAM_REMOTE_H

#include "http/server.h"

enum remote_channel { REMOTE_STDIN, REMOTE_STDOUT, REMOTE_STDERR, REMOTE_ERROR, REMOTE_RESIZE, REMOTE_CHANNELS };
struct remote_want {
    bool in, out, err, tty;
};
struct remote_events {
    void (*ready)(void *ctx);                   /* the client has opened all channels */
    void (*input)(void *ctx, struct str bytes); /* borrowed until return */
    void (*input_end)(void *ctx);               /* half close */
    void (*resize)(void *ctx, int columns, int rows);
    void (*drain)(void *ctx); /* after remote_write returned false */
    void (*close)(void *ctx); /* the last call: gone, or remote_end is done */
};
struct remote;
/* NULL: refused, and the exchange is answered. Callbacks come from the loop. */
struct remote *remote_accept(struct exchange *x, const struct remote_want *want, const struct remote_events *events,
                             void *ctx);
/* False: hold back until drain (it is queued all the same). */
bool remote_write(struct remote *r, enum remote_channel channel, struct str bytes);
void remote_pause_input(struct remote *r, bool paused);
/* Say how it ended, send what is queued, close. code 0: success; above: exit code; below: message says why it failed.
 */
void remote_end(struct remote *r, int code, struct str message);
void remote_cut(struct remote *r); /* now; close follows */

#endif
