/* schema/openapi.h - the tables as OpenAPI documents: v3, one a group version; v2, one for all, as JSON and in the
 * protobuf form that kubectl before 1.27 asks for (gnostic's openapi.v2.Document).
 *
 * Made on request and forgotten; a caller that serves many keeps the bytes itself. Pure functions of the tables. Texts
 * of fields come from the notation. Source: kube-openapi; OpenAPI 2.0 and 3.0.0 specifications. */
#ifndef SAMPAN_SCHEMA_OPENAPI_H
#define SAMPAN_SCHEMA_OPENAPI_H

#include "base/str.h"

/* {"paths":{"api/v1":{"serverRelativeURL":"/openapi/v3/api/v1?hash=..."},...}} */
void openapi_v3_index(struct sb *out);
/* path is "api/v1" or "apis/apps/v1". false: no such group version. */
bool openapi_v3(struct sb *out, struct str path);
void openapi_v2_json(struct sb *out);
void openapi_v2_pb(struct sb *out);

#endif
