/* schema/rules/warn.h - what is allowed but hardly meant: Warning headers, no mistakes.
 *
 * Judged after an object was found valid, on create and, for most kinds, when an update changes its spec; never through
 * a subresource. At most WARNINGS_MAX are kept: what a client is shown ends at 4 KiB in any case. May use what rules.h
 * may. Source: kubernetes pkg/api/.../warnings.go and the WarningsOn... of pkg/registry, 1.36. */
#ifndef SAMPAN_SCHEMA_RULES_WARN_H
#define SAMPAN_SCHEMA_RULES_WARN_H

#include "schema/rules/rules.h"

enum { WARNINGS_MAX = 64 };
static inline bool warned_enough(const struct rule_ctx *c)
{
    return c->warnings->count >= WARNINGS_MAX;
}
/* `PATH: TEXT`; the text is a printf format. */
#define warn_at(c, at, fmt, ...)                                                                                       \
    schema_warn((c), STR_FMT ": " fmt, STR_ARG(fpath_str((c)->mem, (at))) __VA_OPT__(, ) __VA_ARGS__)

void warn_object(struct rule_ctx *c); /* whatever its kind's strategy warns of */
/* A pod or a template: at is NULL for a Pod. */
void warn_pod(struct rule_ctx *c, const struct fpath *at, const struct doc *pod);
void warn_claim_spec(struct rule_ctx *c, const struct fpath *at, const struct doc *spec);
void warn_node_selector_term(struct rule_ctx *c, const struct fpath *at, const struct doc *term, bool check_values);
/* Why a label of nodes should no longer be used; NULL: it may. */
const char *deprecated_node_label(struct str key);
void warn_fraction(struct rule_ctx *c, const struct fpath *at, const struct doc *list, const char *resource);
/* ip.c: an address that is valid, but not in the form that everybody writes. */
void warn_ip(struct rule_ctx *c, const struct fpath *at, struct str value);
void warn_cidr(struct rule_ctx *c, const struct fpath *at, struct str value);

#endif
