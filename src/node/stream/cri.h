/* node/stream/cri.h - lines of a container's log: "2026-01-02T03:04:05.678901234+00:00 stdout F text".
 *
 * P marks a piece of a line that goes on in the next record of the same stream, F its end. Pure functions; cri_tail
 * reads a descriptor. May use base/. Source: CRI, kubernetes staging/src/k8s.io/cri-client/pkg/logs. */
#ifndef SAMPAN_NODE_STREAM_CRI_H
#define SAMPAN_NODE_STREAM_CRI_H

#include "base/str.h"

enum cri_stream { CRI_STDOUT, CRI_STDERR };
enum { CRI_LINE_BYTES_MAX = 256 << 10 }; /* longer ones are broken and cut into pieces */

struct cri_line {
    struct str time; /* as written */
    int64_t time_ns; /* Unix time */
    enum cri_stream stream;
    bool partial;
    struct str text; /* borrowed from the line */
};
/* line: without its '\n'. False: it is none. */
bool cri_parse(struct str line, struct cri_line *ret);
/* RFC 3339 with up to nine digits of fraction. False: it is none. */
bool cri_time(struct str text, int64_t *ret_ns);
/* The time as kubelet writes it: nine digits, Z for UTC. At most 40 bytes; returns the length. */
size_t cri_time_text(struct str time, char out[40]);
/* Where the last `lines` whole lines of the first `size` bytes begin; the pieces of one line count once. 0 or more, or
 * -errno. */
int64_t cri_tail(int fd, int64_t size, int64_t lines);

#endif
