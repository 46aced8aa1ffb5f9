/* api/openapi.c - /openapi/v2 and /openapi/v3. The documents come from the schema tables, which can't write them yet:
 * until then these paths do not exist, and clients are told so. */
#include "api/internal.h"

void handle_openapi(struct api_req *r)
{
    reply_text(r, 404, "404 page not found");
}
