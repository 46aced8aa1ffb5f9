/* schema/schema.h - the schema is the program: constant tables of every type, field, kind and resource, and what they
 * drive.
 *
 * The tables are compiled at build time from src/schema/kinds/NAME.kinds (one file per API group; the notation is
 * described in src/schema/kinds/README.md) by src/schema/compile.py. They are constant, shared pages: no heap, no
 * start-up cost. A custom resource's OpenAPI schema will be compiled at run time into the same structs, so nothing here
 * assumes that a type is built in. A rule that a table can't say is a small C function named in the notation beside the
 * field it judges (rules/). May use doc/, base/. Pure functions of their arguments. Source: Kubernetes 1.36 API
 * definitions. */
#ifndef SAMPAN_SCHEMA_SCHEMA_H
#define SAMPAN_SCHEMA_SCHEMA_H

#include "base/err.h"
#include "doc/doc.h"
#include "schema/gates.h"

/* ---- types */
enum type_kind {
    TYPE_STRING,
    TYPE_BOOL,
    TYPE_INT32,
    TYPE_INT64,
    TYPE_DOUBLE,
    TYPE_BYTES, /* base64 in JSON */
    TYPE_STRUCT,
    TYPE_LIST,
    TYPE_MAP,      /* string keys */
    TYPE_QUANTITY, /* resource.Quantity: a string or a number in JSON, canonical string at rest */
    TYPE_INT_OR_STRING,
    TYPE_TIME, /* metav1.Time: RFC 3339, whole seconds; null and absent are the zero time */
    TYPE_MICRO_TIME,
    TYPE_DURATION, /* metav1.Duration: "1m30s" */
    TYPE_RAW,      /* runtime.RawExtension: any object */
    TYPE_FIELDS_V1,
    TYPE_JSON,   /* any value */
    TYPE_EITHER, /* apiextensions' JSONSchemaPropsOrBool and the like: the JSON value's own type tells which of the two
                    fields it is */
};

enum list_type { LIST_NONE, LIST_ATOMIC, LIST_SET, LIST_MAP };
enum field_flags {
    FIELD_OPTIONAL = 1 << 0, /* a client may leave it out; required in OpenAPI without it */
    FIELD_PTR = 1 << 1,      /* a Go pointer: zero differs from absent */
    FIELD_PATCH_MERGE = 1 << 2,
    FIELD_PATCH_RETAIN_KEYS = 1 << 3,
    FIELD_PATCH_REPLACE = 1 << 4,
    FIELD_MAP_ATOMIC = 1 << 5,
    FIELD_DEPRECATED = 1 << 6,
    FIELD_REQUIRED = 1 << 7,  /* validation: "Required value" when absent or empty */
    FIELD_IMMUTABLE = 1 << 8, /* validation on update: "field is immutable" */
    FIELD_ALWAYS = 1 << 9,    /* written even when empty, as Go does it: no omitempty, or a struct that is no pointer */
    FIELD_INLINED = 1 << 10, /* came in by <inline>: in protobuf it is a field of the inlined message, pb_number is 0 */
};

struct rule_ctx; /* below */
typedef void schema_check_fn(struct rule_ctx *c, const struct doc *value, const struct doc *old,
                             const struct fpath *at);
typedef void schema_default_fn(struct arena *mem, struct doc *value, const struct doc *root);

struct field {
    const char *name;
    uint16_t name_len, pb_number, flags;
    uint8_t list_type; /* of a list: enum list_type */
    const struct type *type;
    const char *patch_key;           /* strategic merge key, or NULL */
    const char *const *list_keys;    /* of LIST_MAP; NULL-terminated */
    const char *dflt;                /* JSON text put in when absent (never on a status), or NULL */
    const struct feature_gate *gate; /* the field is dropped while it is closed and not in use; NULL: always open */
    const char *const *enums;        /* allowed values, NULL-terminated; NULL: any */
    int64_t min, max;                /* of a number, both 0: no limit */
    schema_check_fn *check;          /* beyond what the columns say; sees the value only when present */
    const char *text;                /* one line for explain and OpenAPI; may be NULL */
};

struct type_inline {
    const struct type *type;
    uint16_t pb_number;
};
struct type {
    const char *name;           /* "core.v1.PodSpec", also of string types; lists, maps and builtins have none */
    uint8_t kind;               /* enum type_kind */
    bool has_defaults;          /* some field here or below has a default */
    bool has_gates;             /* some field here or below has a feature gate */
    bool pb_wrapped;            /* of a list: in protobuf a message {items = 1} (authentication.v1.ExtraValue) */
    const struct field *fields; /* of a struct, in the order of declaration (inlined ones expanded) */
    uint16_t field_count;
    const uint16_t *by_name;     /* indexes of fields sorted by name (bytewise), for lookup */
    const struct type *elem;     /* of a list or map */
    schema_check_fn *check;      /* judges the whole struct after its fields */
    schema_default_fn *defaults; /* after the defaults of its fields */
    const char *const *enums;    /* of a string type whose values are closed; NULL: any */
    const uint16_t
        *by_number; /* the message in order of number: indexes of fields, from field_count on those of inlines */
    uint16_t number_count;
    const struct type_inline *inlines; /* structs that JSON inlines and protobuf nests */
    const char *text;
};
const struct field *type_field(const struct type *t, struct str name); /* NULL: unknown. O(log n) */

/* ---- kinds and resources */
enum verb_bits {
    VERB_GET = 1 << 0,
    VERB_LIST = 1 << 1,
    VERB_WATCH = 1 << 2,
    VERB_CREATE = 1 << 3,
    VERB_UPDATE = 1 << 4,
    VERB_PATCH = 1 << 5,
    VERB_DELETE = 1 << 6,
    VERB_DELETE_COLLECTION = 1 << 7,
    VERB_CONNECT = 1 << 8,
};
struct subresource {
    const char *name; /* "status", "scale", "binding", "log" */
    uint16_t verbs;
    const char *group, *version, *kind; /* of the body; NULL group and version: the resource's own */
    const struct type *type;            /* of the body; NULL: the resource's own type, or none */
};
struct column { /* of a Table */
    const char *name, *type, *format, *text;
    int priority; /* 0: always, 1: wide */
};
struct resource {
    const char *group, *version, *name, *singular, *kind, *list_kind;
    const char *api_version; /* "apps/v1" or "v1" */
    bool namespaced;
    bool has_status;     /* status is written through its subresource only: create and update of the object ignore it */
    bool has_generation; /* metadata.generation moves when something outside metadata and status changes */
    bool volatile_writes; /* events: may be written lazily */
    uint16_t verbs;
    const char *const *short_names, *const *categories; /* NULL-terminated */
    const struct type *type;
    const struct subresource *subresources;
    int subresource_count;
    const struct resource
        *stored_as; /* another version or group that holds the objects (events.k8s.io -> core); NULL: itself */
    /* Convert in place between this resource and stored_as; NULL when only apiVersion and kind differ. */
    void (*to_stored)(struct arena *mem, struct doc *obj);
    void (*from_stored)(struct arena *mem, struct doc *obj);
    /* Field selectors beyond metadata.name and metadata.namespace: dotted paths, NULL-terminated. */
    const char *const *selectable;
    /* Table columns and their cells: fills cells[] (a doc array) for one object. NULL: Name and Age (created at). */
    const struct column *columns;
    int column_count;
    void (*cells)(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells);
    /* Strategies beyond the flags above, each may be NULL. prepare_* run before defaulting of the final object and
     * validation. */
    void (*prepare_create)(struct rule_ctx *c, struct doc *obj);
    void (*prepare_update)(struct rule_ctx *c, struct doc *obj, const struct doc *old);
    schema_check_fn *validate;        /* whole object, value = obj, old NULL on create */
    schema_check_fn *validate_status; /* through the status subresource */
    const char *name_rule;            /* "dns1123subdomain", "dns1123label", "dns1035label", "path"; NULL: subdomain */
};
extern const struct resource
    *const schema_resources[]; /* built in, in order of group (core first), version, name; NULL-terminated */
const struct resource *schema_resource(struct str group, struct str version, struct str plural); /* NULL: unknown */
const struct resource *schema_kind(struct str group, struct str version, struct str kind);
/* The version a group prefers for a resource; used for storage keys and by controllers: schema_stored("apps",
 * "deployments"). */
const struct resource *schema_stored(const char *group, const char *plural);
const struct subresource *resource_subresource(const struct resource *r, struct str name);
/* A type that is no resource: "meta.v1.DeleteOptions", "meta.v1.Status", "core.v1.PodExecOptions". */
const struct type *schema_type(const char *name);
/* The type of a body by its apiVersion and kind, resource or not: ("v1", "PodList"), ("apps/v1", "DeleteOptions"),
 * ("meta.k8s.io/v1", "Table"). NULL: unknown. */
const struct type *schema_body(struct str api_version, struct str kind);

/* ---- reading: what a client sent, made canonical */
enum field_validation { FIELDS_IGNORE, FIELDS_WARN, FIELDS_STRICT };
struct warnings {
    struct str *texts; /* for Warning headers: `unknown field "spec.foo"` */
    int count;
};
/* Check JSON types against the table, drop unknown fields (by mode: silently, with warnings, or as an error) and nulls;
 * bring quantities, times, ints to canonical form. Changes obj in place. dups: duplicate keys found while parsing, or
 * NULL. err BAD_REQUEST with the texts of Kubernetes' strict decoder or of Go's decoder on a wrong type. */
int schema_read(struct arena *mem, const struct type *t, struct doc *obj, enum field_validation mode,
                const struct doc_dups *dups, struct warnings *ret_warnings, struct err *err);
/* Drop fields whose feature gate is closed, except those that old (NULL on create) already uses somewhere. After
 * schema_read, before defaulting; not for objects at rest, which keep what they have. */
void schema_drop_gated(const struct type *t, struct doc *obj, const struct doc *old);
/* Fill defaults as the API server does on create, update and read. In place; idempotent. */
void schema_default(struct arena *mem, const struct resource *r, struct doc *obj);
void schema_default_type(struct arena *mem, const struct type *t,
                         struct doc *obj); /* of a body that is no resource: a TokenRequest */
/* Put members in the order of the table and drop what omitempty would: obj is then canonical. */
void schema_order(struct arena *mem, const struct type *t, struct doc *obj);

/* ---- judging */
struct rule_ctx {
    struct arena *mem;
    struct err *err; /* causes are gathered here */
    const struct resource *res;
    const struct subresource *sub;     /* NULL: the object itself */
    const struct doc *root, *old_root; /* old_root NULL on create */
    struct warnings *warnings;         /* may be NULL */
};
/* Validate obj (old is NULL on create): metadata, tables, rules. Returns 0, or -1 with INVALID and every cause in field
 * order. */
int schema_validate(struct arena *mem, const struct resource *r, const struct subresource *sub, const struct doc *obj,
                    const struct doc *old, struct warnings *ret_warnings, struct err *err);
void schema_warn(struct rule_ctx *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- protobuf: the `k8s\0` envelope (runtime.Unknown) around the type's message */
int schema_decode_pb(struct arena *mem, struct str bytes, struct doc **ret,
                     struct err *err); /* type found by apiVersion and kind */
int schema_encode_pb(struct sb *out, const struct type *t,
                     const struct doc *obj); /* with envelope; kind, apiVersion from obj */
int schema_encode_pb_message(struct sb *out, const struct type *t, const struct doc *obj); /* without: for list items */
int schema_decode_pb_message(struct arena *mem, const struct type *t, struct str bytes, struct doc **ret,
                             struct err *err);

/* ---- strategic merge patch (all directives) and field selectors */
struct doc *schema_strategic_merge(struct arena *mem, const struct type *t, struct doc *target, const struct doc *patch,
                                   struct err *err);
/* The string a field selector sees under a path ("status.phase"); false: the path is not selectable for r. */
bool schema_selector_value(struct arena *mem, const struct resource *r, const struct doc *obj, struct str path,
                           struct str *ret);

#endif
