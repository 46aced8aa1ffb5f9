/* schema/tables.h - what the compiled notation (compile.py) gives to the rest of schema/. Private to this folder. */
#ifndef SAMPAN_SCHEMA_TABLES_H
#define SAMPAN_SCHEMA_TABLES_H

#include "schema/schema.h"

struct schema_group {
    const char *group, *version; /* "apps", "v1"; "" for core and meta */
    const char *prefix;          /* of type names: "apps.v1" */
};

extern const struct schema_group schema_groups[]; /* by group name; ends with a NULL prefix */
extern const struct type *const schema_types;     /* the named ones first, sorted bytewise by name */
extern const int schema_type_count;               /* the named ones */
extern const int schema_resource_count;
extern const struct gate schema_gates[]; /* sorted by name */
extern const int schema_gate_count;

#endif
