/* doc/patch.h - patches that need no schema: JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7386).
 *
 * Both change `target` in place and return the new root (a patch may replace it). May use base/. Limits: a JSON patch
 * has at most JSON_PATCH_OPS_MAX operations and may not make the document larger than JSON_PATCH_COPY_MAX bytes by
 * copying. */
#ifndef SAMPAN_DOC_PATCH_H
#define SAMPAN_DOC_PATCH_H

#include "doc/doc.h"

enum { JSON_PATCH_OPS_MAX = 10000, JSON_PATCH_COPY_MAX = 3 << 20 };

/* NULL with err: BAD_REQUEST a malformed patch; INVALID an operation that cannot be applied (evanphx texts as the API
 * server shows them); a failed test is INVALID too ("testing path /a failed"). */
struct doc *json_patch(struct arena *mem, struct doc *target, const struct doc *patch, struct err *err);
struct doc *merge_patch(struct arena *mem, struct doc *target, const struct doc *patch);
/* The merge patch that turns a into b; NULL when they are equal. */
struct doc *merge_patch_diff(struct arena *mem, const struct doc *a, const struct doc *b);

#endif
