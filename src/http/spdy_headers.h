/* http/spdy_headers.h - SPDY/3 header blocks: name/value pairs, compressed with the protocol's dictionary. Internal to
 * http/. */
#ifndef SAMPAN_HTTP_SPDY_HEADERS_H
#define SAMPAN_HTTP_SPDY_HEADERS_H

#include <zlib.h>

#include "http/server.h"

struct spdy_headers { /* one direction each; the state runs over all blocks of a connection */
    z_stream in, out;
};
int spdy_headers_init(struct spdy_headers *h); /* 0 or -ENOMEM */
void spdy_headers_done(struct spdy_headers *h);
/* Unpack a block into the arena: at most max_bytes, max_count. Values with NULs become several headers. count or
 * -EPROTO. */
int spdy_headers_unpack(struct spdy_headers *h, struct arena *mem, struct str block, size_t max_bytes, int max_count,
                        struct http_header *ret);
struct str spdy_headers_pack(struct spdy_headers *h, struct arena *mem, const struct http_header *headers, int count);
#endif
