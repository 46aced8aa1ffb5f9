/* base/err.h - an answer to a client: one error, filled by the deepest code that knows the reason.
 *
 * Becomes a Kubernetes Status in api/ (metav1.Status; apimachinery api/errors). Never re-worded on the way up; the HTTP
 * code follows from the reason. Operating errors below the API are -errno, not this. */
#ifndef SAMPAN_BASE_ERR_H
#define SAMPAN_BASE_ERR_H

#include "base/arena.h"
#include "base/str.h"

#define ERR_REASONS(X)                                                                                                 \
    X(BAD_REQUEST, 400, "BadRequest")                                                                                  \
    X(UNAUTHORIZED, 401, "Unauthorized")                                                                               \
    X(FORBIDDEN, 403, "Forbidden")                                                                                     \
    X(NOT_FOUND, 404, "NotFound")                                                                                      \
    X(METHOD_NOT_ALLOWED, 405, "MethodNotAllowed")                                                                     \
    X(NOT_ACCEPTABLE, 406, "NotAcceptable")                                                                            \
    X(ALREADY_EXISTS, 409, "AlreadyExists")                                                                            \
    X(CONFLICT, 409, "Conflict")                                                                                       \
    X(GONE, 410, "Gone")                                                                                               \
    X(EXPIRED, 410, "Expired")                                                                                         \
    X(TOO_LARGE, 413, "RequestEntityTooLarge")                                                                         \
    X(UNSUPPORTED_MEDIA_TYPE, 415, "UnsupportedMediaType")                                                             \
    X(INVALID, 422, "Invalid")                                                                                         \
    X(TOO_MANY_REQUESTS, 429, "TooManyRequests")                                                                       \
    X(INTERNAL, 500, "InternalError")                                                                                  \
    X(NOT_IMPLEMENTED, 501, "NotImplemented")                                                                          \
    X(UNAVAILABLE, 503, "ServiceUnavailable")                                                                          \
    X(TIMEOUT, 504, "Timeout")

enum err_reason {
    ERR_NONE,
#define X(id, code, word) ERR_##id,
    ERR_REASONS(X)
#undef X
};

/* field.ErrorType; the text is what stands in Status.details.causes[].reason */
#define CAUSE_TYPES(X)                                                                                                 \
    X(NOT_FOUND, "FieldValueNotFound", "Not found")                                                                    \
    X(REQUIRED, "FieldValueRequired", "Required value")                                                                \
    X(DUPLICATE, "FieldValueDuplicate", "Duplicate value")                                                             \
    X(INVALID, "FieldValueInvalid", "Invalid value")                                                                   \
    X(NOT_SUPPORTED, "FieldValueNotSupported", "Unsupported value")                                                    \
    X(FORBIDDEN, "FieldValueForbidden", "Forbidden")                                                                   \
    X(TOO_LONG, "FieldValueTooLong", "Too long")                                                                       \
    X(TOO_SHORT, "FieldValueTooShort", "Too short")                                                                    \
    X(TOO_MANY, "FieldValueTooMany", "Too many")                                                                       \
    X(TOO_FEW, "FieldValueTooFew", "Too few")                                                                          \
    X(TYPE_INVALID, "FieldValueTypeInvalid", "Invalid value")                                                          \
    X(INTERNAL, "InternalError", "Internal error")                                                                     \
    X(CONFLICT, "FieldManagerConflict", "")

enum cause_type {
#define X(id, reason, words) CAUSE_##id,
    CAUSE_TYPES(X)
#undef X
};

struct cause {
    struct cause *next; /* in the order found */
    enum cause_type type;
    struct str field; /* spec.containers[0].image */
    struct str
        message; /* the whole of causes[].message: `Invalid value: 70000: must be between 1 and 65535, inclusive` */
};

struct err {
    struct arena *mem; /* the request's; everything below lives there. Set by whoever makes the struct */
    enum err_reason reason;
    struct str message;           /* Kubernetes' own wording: clients match on it */
    struct str group, kind, name; /* details; kind is the plural resource, except for INVALID: the Kind */
    struct str uid;
    int32_t retry_after_s; /* 0: say nothing */
    struct cause *causes, *causes_last;
    int cause_count;
};
#define ERR(arena) ((struct err){.mem = (arena)})

/* Fill and return -1, so that `return err_set(err, ...)` ends a function. err may be NULL (the caller does not care).
 */
int err_set(struct err *err, enum err_reason reason, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The common ones with Kubernetes' texts. resource is plural ("pods"), group "" for core. */
int err_not_found(struct err *err, struct str group, struct str resource, struct str name); /* pods "x" not found */
int err_already_exists(struct err *err, struct str group, struct str resource, struct str name);
int err_conflict(struct err *err, struct str group, struct str resource, struct str name, const char *why);
/* Turn gathered causes into INVALID: `Pod "x" is invalid: spec.a: Required value`; several in [a, b]. No causes: 0. */
int err_invalid(struct err *err, struct str group, struct str kind, struct str name);

int err_code(enum err_reason reason);         /* the HTTP code */
const char *err_word(enum err_reason reason); /* "NotFound"; "" for ERR_NONE */
const char *cause_word(enum cause_type type); /* "FieldValueInvalid" */
/* Copy everything into another arena. */
void err_copy(struct err *to, const struct err *from);

/* A field path costs nothing until something is wrong. Lives on the C stack. */
struct fpath {
    const struct fpath *up; /* NULL: the object itself */
    const char *name;       /* NULL: an index, or a map key */
    int index;
    struct str key; /* of a map, when name is NULL and key.ptr is set */
};
struct str fpath_str(struct arena *mem,
                     const struct fpath *at); /* spec.containers[0].ports[2].containerPort, data[key] */

/* Add one cause; causes past ERR_CAUSES_MAX are counted but dropped. detail is the text after the value. `at` may be
 * NULL. The text of the cause is built as field.Error does: `Invalid value: VALUE: detail`. */
enum { ERR_CAUSES_MAX = 256 };
void err_cause_str(struct err *err, enum cause_type type, const struct fpath *at, struct str value, const char *detail,
                   ...) __attribute__((format(printf, 5, 6))); /* value is quoted as Go's %q */
void err_cause_int(struct err *err, enum cause_type type, const struct fpath *at, int64_t value, const char *detail,
                   ...) __attribute__((format(printf, 5, 6)));
/* value is printed as it is: JSON text, a number, true. */
void err_cause_raw(struct err *err, enum cause_type type, const struct fpath *at, struct str value, const char *detail,
                   ...) __attribute__((format(printf, 5, 6)));
/* Without a value: Required, Forbidden, Internal; `Required value: detail`, detail may be NULL. */
void err_cause(struct err *err, enum cause_type type, const struct fpath *at, const char *detail, ...)
    __attribute__((format(printf, 4, 5)));
/* `Unsupported value: "x": supported values: "A", "B"` */
void err_cause_enum(struct err *err, const struct fpath *at, struct str value, const char *const *supported, int count);

#endif
