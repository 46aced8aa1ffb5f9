/* http/encoding.h - gzip of bodies, as Kubernetes' server does it: for answers of 128 KiB and more when the client
 * accepts it. */
#ifndef SAMPAN_HTTP_ENCODING_H
#define SAMPAN_HTTP_ENCODING_H

#include "base/str.h"
#include "http/stream.h"

enum { ENCODING_MIN_BYTES = 128 << 10 };

/* Does Accept-Encoding allow gzip? (q=0 refuses it; * counts.) */
bool encoding_accepts_gzip(struct str accept_encoding);
/* Compress whole. ret is on the heap, for stream_buf (its release is free). level 1..9, 0: 1, as Kubernetes. 0 or
 * -ENOMEM. */
int encoding_gzip(struct str body, int level, struct stream_buf *ret);
/* Decompress gzip; into at most max bytes. ret as above. -EMSGSIZE: more; -EPROTO: not gzip, or damaged. */
int encoding_gunzip(struct str body, size_t max, struct stream_buf *ret);

/* Piece by piece, for streamed answers. */
struct gzip_stream;
struct gzip_stream *gzip_stream_new(int level); /* NULL: out of memory */
struct gzip_stream *gzip_stream_free(struct gzip_stream *g);
/* Compress bytes and hand what comes out to put. flush: everything so far must be readable; end: the last piece. */
void gzip_stream_add(struct gzip_stream *g, struct str bytes, bool flush, bool end,
                     void (*put)(void *ctx, struct str bytes), void *ctx);

#endif
