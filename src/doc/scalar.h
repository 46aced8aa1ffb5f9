/* doc/scalar.h - what a plain YAML scalar means to Kubernetes: go-yaml v2's resolution, that of YAML 1.1 but for
 * base 60.
 *
 * y, yes, on, true are booleans; 0644, 0o644, 0x1a, 0b11 and 1_000 are integers; ~ and nothing are null; timestamps are
 * told apart but stay strings. Source: resolve.go of go-yaml v2.4. Private to doc/. */
#ifndef SAMPAN_DOC_SCALAR_H
#define SAMPAN_DOC_SCALAR_H

#include "doc/doc.h"

enum scalar_type {
    SCALAR_STR,
    SCALAR_NULL,
    SCALAR_BOOL,
    SCALAR_INT,   /* i; or u where negative is false and it doesn't fit */
    SCALAR_UINT,  /* above INT64_MAX */
    SCALAR_FLOAT, /* f; may be infinite or NaN */
    SCALAR_TIME
};
struct scalar {
    enum scalar_type type;
    union {
        bool b;
        int64_t i;
        uint64_t u;
        double f;
    };
};

struct scalar scalar_resolve(struct str text);
/* go-yaml quotes these although it reads them as strings: other readers don't. */
bool scalar_base60(struct str text);

/* A double as Go writes it: encoding/json's form (0.1, 1000, 1e+21), or that of FormatFloat(f, 'g', -1, 32), which
 * go-yaml uses for keys. */
void scalar_put_json_float(struct sb *out, double f);
void scalar_put_key_float(struct sb *out, double f);

#endif
