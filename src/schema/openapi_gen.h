/* schema/openapi_gen.h - what the files of openapi share: one document being written. */
#ifndef SAMPAN_SCHEMA_OPENAPI_GEN_H
#define SAMPAN_SCHEMA_OPENAPI_GEN_H

#include "schema/openapi.h"
#include "schema/schema.h"

struct openapi_gen {
    struct sb *out;
    struct arena *mem;
    bool v3;
    uint8_t *wanted; /* by index of named type: stands in this document */
};
struct str openapi_type_name(struct arena *mem, const struct type *t);           /* io.k8s.api.apps.v1.Deployment */
void openapi_ref(struct openapi_gen *g, struct str name);                        /* {"$ref":"..."} */
void openapi_mark(struct openapi_gen *g, const struct type *t);                  /* t and all it reaches are wanted */
void openapi_definitions(struct openapi_gen *g);                                 /* "NAME":{...},... of all wanted */
void openapi_paths(struct openapi_gen *g, struct str group, struct str version); /* both empty: of all */

#endif
