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

/* No struct has more (compile.py checks), and no document of a struct nests deeper: JSONSchemaProps is the only type
 * that contains itself. */
enum { SCHEMA_FIELDS_MAX = 96, SCHEMA_DEPTH_MAX = 1000 };

/* "DeploymentSpec" of "apps.v1.DeploymentSpec"; STR_NULL for types without a name. */
struct str type_short_name(const struct type *t);
/* As Go prints it: "v1.DeploymentSpec", "[]v1.Container", "map[string]string", "int32". */
struct str type_go_name(struct arena *mem, const struct type *t);

/* Absent, null, or what Go's omitempty takes for empty. */
bool field_is_empty(const struct field *f, const struct doc *value);
/* What Go writes for a field that is not there: "", 0, null, {} with its own fields. */
struct doc *field_zero(struct arena *mem, const struct field *f);

/* A finite double as Go's encoding/json writes it: the shortest digits that read back, an exponent below 1e-6 and from
 * 1e21. */
struct doc *double_node(struct arena *mem, double v);

/* Append under value->key without looking for the key: the caller knows that it is new. */
static inline void doc_link(struct doc *parent, struct doc *value)
{
    value->next = NULL;
    if (parent->last)
        parent->last->next = value;
    else
        parent->first = value;
    parent->last = value;
    parent->count++;
}
static inline void doc_link_at(struct doc *obj, const char *key, size_t key_len, struct doc *value)
{
    value->key = str_mem(key, key_len);
    doc_link(obj, value);
}
/* type_field for members that mostly come in the order of the table: *next (0 at first) is where to look first. */
const struct field *type_field_near(const struct type *t, struct str name, int *next);
/* Members by index of field; NULL: absent or null. slots has room for t->field_count. Members the type does not know
 * are left alone; returns how many it knows. */
uint32_t type_slots(const struct type *t, const struct doc *obj, struct doc **slots);

#endif
