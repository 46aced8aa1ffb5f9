/* schema/labels.h - label and field selectors: parsing, from a LabelSelector, matching.
 *
 * A selector lives in the arena it was made in, and borrows the text or document it was made from. Pure functions.
 * May use doc/, base/. Source: apimachinery pkg/labels, pkg/fields, metav1.LabelSelectorAsSelector. */
#ifndef SAMPAN_SCHEMA_LABELS_H
#define SAMPAN_SCHEMA_LABELS_H

#include "base/err.h"
#include "doc/doc.h"

enum selector_op {
    SELECTOR_IN,
    SELECTOR_NOT_IN,
    SELECTOR_EQUALS,        /* = */
    SELECTOR_DOUBLE_EQUALS, /* ==: the same; remembered so that the text comes back as it was */
    SELECTOR_NOT_EQUALS,
    SELECTOR_EXISTS,
    SELECTOR_NOT_EXISTS,
    SELECTOR_GT, /* integers, as in node affinity */
    SELECTOR_LT,
};
struct selector_req {
    struct str key;
    enum selector_op op;
    struct str *values; /* sorted and unique from a parsed text; one for (NOT_)EQUALS, GT, LT */
    int count;
};
struct selector {
    struct selector_req *reqs; /* all must hold; sorted by key */
    int count;
    bool nothing; /* matches no object (a nil LabelSelector) */
    bool fields;  /* a field selector: an absent value is "" */
};

enum { SELECTOR_BYTES_MAX = 256 << 10 }; /* of the text of one selector */

/* The labelSelector parameter: "a=b,c!=d,e in (f,g),h notin (),i,!j,k>1". Empty text gives a selector of everything.
 * NULL with err BAD_REQUEST and Kubernetes' text. */
struct selector *selector_parse(struct arena *mem, struct str text, struct err *err);
/* The fieldSelector parameter: "metadata.name=x,status.phase!=Running", with \\, \, and \= as escapes. Whether a path
 * may be selected is the caller's business. NULL with err BAD_REQUEST. */
struct selector *field_selector_parse(struct arena *mem, struct str text, struct err *err);
/* A metav1.LabelSelector. NULL or a JSON null selects nothing, an empty one everything. NULL with err BAD_REQUEST. */
struct selector *selector_from_doc(struct arena *mem, const struct doc *label_selector, struct err *err);
/* A map of labels (spec.selector of a Service or ReplicationController): every pair must be there. NULL or empty:
 * everything; who means nothing by it asks doc_len first. */
struct selector *selector_from_map(struct arena *mem, const struct doc *labels);

/* labels: an object of strings, or NULL. */
bool selector_matches(const struct selector *sel, const struct doc *labels);
/* Values come from get: the value under key; *found false when there is none. Called in the order of reqs. */
typedef struct str selector_get_fn(void *data, struct str key, bool *found);
bool selector_matches_get(const struct selector *sel, selector_get_fn *get, void *data);
/* No requirement at all. */
bool selector_is_everything(const struct selector *sel);
/* True when key must have one value exactly (field selector metadata.name=x, spec.nodeName=n): the value in *ret. */
bool selector_exact(const struct selector *sel, struct str key, struct str *ret);
/* As Go prints it: the form of Scale's status.selector. */
struct str selector_str(struct arena *mem, const struct selector *sel);

#endif
