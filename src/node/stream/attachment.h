/* node/stream/attachment.h - conmon's attach socket: packets of output, each with a byte that says which; what is
 * written is the container's standard input. Source: conmon 2.1, src/conn_sock.c. May use base/. */
#ifndef SAMPAN_NODE_STREAM_ATTACHMENT_H
#define SAMPAN_NODE_STREAM_ATTACHMENT_H

#include "base/loop.h"

enum { ATTACH_STDOUT = 2, ATTACH_STDERR = 3, ATTACH_PACKET_BYTES = 8192, ATTACH_QUEUE_BYTES_MAX = 256 << 10 };
struct attachment;
struct attachment_events {
    void (*output)(void *ctx, int channel, struct str bytes); /* not while paused */
    void (*drain)(void *ctx);                                 /* after attachment_write returned false */
    void (*close)(void *ctx);                                 /* the last call */
};
struct attachment *attachment_new(struct loop *l, int fd, const struct attachment_events *events, void *ctx);
bool attachment_write(struct attachment *a, struct str bytes); /* false: hold back; queued all the same */
void attachment_shutdown(struct attachment *a);                /* the end of the input, behind what is queued */
void attachment_pause(struct attachment *a, bool paused);
void attachment_close(struct attachment *a); /* close follows from the loop */

#endif
