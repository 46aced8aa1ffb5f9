/* schema/quantity.h - resource.Quantity: "500m", "1Gi", "1e3".
 *
 * Exact: a quantity is a whole number of nano-units in 128 bits, so it reaches 1.7e29 units (Kubernetes has no end, but
 * caps binary suffixes at 2^63-1, as we do). Finer than nano is rounded away from zero, as in Go. Pure functions. May
 * use base/. Source: apimachinery pkg/api/resource. */
#ifndef SAMPAN_SCHEMA_QUANTITY_H
#define SAMPAN_SCHEMA_QUANTITY_H

#include "base/str.h"

enum quantity_format { QUANTITY_DECIMAL, QUANTITY_BINARY, QUANTITY_EXPONENT }; /* 12M, 12Mi, 12e6 */
struct quantity {
    __int128 nano;  /* the value times 10^9 */
    uint8_t format; /* enum quantity_format: how quantity_str writes it */
};
#define QUANTITY_ZERO ((struct quantity){0})

enum { QUANTITY_E_FORMAT = -1, QUANTITY_E_NUMERIC = -2, QUANTITY_E_SUFFIX = -3 };
/* 0, or one of the above: *ret is untouched. */
int quantity_parse(struct str s, struct quantity *ret);
const char *quantity_strerror(int code); /* Go's text for it: "unable to parse quantity's suffix" */

/* The string an API server stores for s: what ParseQuantity then String() give in Go, which keeps some spellings
 * ("1.500",
 * "+5") as they are. STR_NULL: no quantity. The result may be s itself. */
struct str quantity_canonical(struct arena *mem, struct str s);
struct str quantity_str(struct arena *mem, struct quantity q);

/* Whole units and thousandths, rounded away from zero (a tenth of a byte is a byte), saturating at the ends of int64.
 */
int64_t quantity_value(struct quantity q);
int64_t quantity_milli(struct quantity q);
struct quantity quantity_of(int64_t units, enum quantity_format format);
struct quantity quantity_of_milli(int64_t milli); /* decimal */

static inline int quantity_sign(struct quantity q)
{
    return q.nano < 0 ? -1 : q.nano > 0;
}
static inline int quantity_cmp(struct quantity a, struct quantity b)
{
    return a.nano < b.nano ? -1 : a.nano > b.nano;
}
/* Saturating. The result has the format of a, or that of b where a is zero. */
struct quantity quantity_add(struct quantity a, struct quantity b);
struct quantity quantity_sub(struct quantity a, struct quantity b);

/* Of strings that validation has let pass: anything else counts as zero. */
struct quantity quantity_of_str(struct str s);

#endif
