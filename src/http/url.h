/* http/url.h - paths and queries: percent-encoding, segments, parameters. Follows net/url's QueryUnescape and
 * PathUnescape. */
#ifndef SAMPAN_HTTP_URL_H
#define SAMPAN_HTTP_URL_H

#include "base/str.h"

/* Decode %XX; '+' is itself. False for a bad escape. Borrows text when there is nothing to decode. */
bool url_decode_path(struct arena *mem, struct str text, struct str *ret);
/* The same with '+' as a space. */
bool url_decode_query(struct arena *mem, struct str text, struct str *ret);
/* Escape everything but unreserved characters (RFC 3986, 2.3): for one segment, key or value. */
struct str url_encode(struct arena *mem, struct str text);

/* The next segment of a path, still encoded: "/api/v1//pods/" gives "api", "v1", "", "pods". False at the end. */
bool url_path_next(struct str *rest, struct str *ret_segment);
/* The next parameter, still encoded. Empty ones ("a=1&&b=2") are skipped. False at the end. */
bool url_query_next(struct str *rest, struct str *ret_key, struct str *ret_value);
/* The first parameter with this (unencoded) name, decoded. False: absent, or badly encoded (*ret is then empty). */
bool url_query_get(struct arena *mem, struct str query, const char *name, struct str *ret);
/* As strconv.ParseBool; absent or empty: `otherwise`; nonsense: false with *ret_bad (may be NULL) set. */
bool url_query_bool(struct arena *mem, struct str query, const char *name, bool otherwise, bool *ret_bad);

#endif
