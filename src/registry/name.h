/* registry/name.h - what a path below /v2/ names, and what its parts may look like. Pure.
 * Source: OCI distribution spec 1.1, "Endpoints" and "Pulling manifests"; distribution/reference. */
#ifndef SAMPAN_REGISTRY_NAME_H
#define SAMPAN_REGISTRY_NAME_H

#include "base/str.h"

enum route {
    ROUTE_NONE,
    ROUTE_BASE,
    ROUTE_TOKEN,
    ROUTE_BLOB,
    ROUTE_UPLOADS,
    ROUTE_UPLOAD,
    ROUTE_MANIFEST,
    ROUTE_TAGS,
    ROUTE_REFERRERS
};
struct target {
    enum route route;
    struct str name; /* default/app/web */
    struct str ref;  /* digest, upload id, or tag: the last part, not judged yet */
};
/* Of a decoded path. ROUTE_NONE: no such endpoint. name is not judged yet; strings borrow from path. */
struct target name_route(struct str path);
/* [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)* between slashes, at least two parts, at most REGISTRY_NAME_BYTES_MAX. */
bool name_valid(struct str name);
bool name_tag_valid(struct str tag);   /* [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127} */
bool name_upload_valid(struct str id); /* 32 hex digits */
/* sha256:64 lower-case hex digits; *ret_hex is the digits. Other algorithms are not supported: false. */
bool name_digest(struct str digest, struct str *ret_hex);
/* "bytes=0-4", "bytes=5-", "bytes=-3" of a content of size bytes. 0: none or not understood, send all; 1: *ret_first
 * and *ret_last (inclusive); -1: not satisfiable. */
int name_range(struct str header, uint64_t size, uint64_t *ret_first, uint64_t *ret_last);
/* "0-1023" of an upload's Content-Range. */
bool name_content_range(struct str header, uint64_t *ret_first, uint64_t *ret_last);

#endif
