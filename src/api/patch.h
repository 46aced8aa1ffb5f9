/* api/patch.h - a patch of any kind, applied to a document. Internal to api/. */
#ifndef SAMPAN_API_PATCH_H
#define SAMPAN_API_PATCH_H

#include "api/internal.h"

enum patch_kind { PATCH_JSON, PATCH_MERGE, PATCH_STRATEGIC };
struct patch {
    enum patch_kind kind;
    const struct doc *doc;
    enum field_validation mode;
};
/* Of Content-Type and body: NULL with err (UNSUPPORTED_MEDIA_TYPE names the supported ones). */
struct patch *patch_read(struct arena *mem, struct str content_type, struct str body, enum field_validation mode,
                         struct err *err);
/* current is changed; the result has been read again as type t. NULL with err. */
struct doc *patch_apply(struct arena *mem, const struct patch *p, const struct type *t, struct doc *current,
                        struct warnings *warnings, struct err *err);
#endif
