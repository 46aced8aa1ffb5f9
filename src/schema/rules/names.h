/* schema/rules/names.h - the forms of names: DNS labels, label keys, ports, config keys, ...
 *
 * Each rule is a pure function that gives Kubernetes' messages for what is wrong with a string; the texts are constant.
 * May use base/. Source: apimachinery pkg/util/validation and pkg/api/validate/content, 1.36. (The two word a length
 * differently, "characters" and "bytes"; so do these.) */
#ifndef SAMPAN_SCHEMA_RULES_NAMES_H
#define SAMPAN_SCHEMA_RULES_NAMES_H

#include "base/str.h"

enum { NAME_MSGS_MAX = 6 };
/* Fills msgs with what is wrong and returns how many; 0: the value is fine. */
typedef int name_rule(struct str value, const char *msgs[NAME_MSGS_MAX]);

name_rule name_dns1123_label;        /* a namespace, a container */
name_rule name_dns1123_subdomain;    /* most names of objects */
name_rule name_dns1035_label;        /* a Service */
name_rule name_subdomain_underscore; /* a DNS search path */
name_rule name_wildcard_subdomain;   /* *.example.com */
name_rule name_qualified;            /* a label key: example.com/key */
name_rule name_qualified_caseless;   /* an annotation key: the same of its lower case */
name_rule name_label_value;
name_rule name_path_segment; /* names of RBAC objects */
name_rule name_path_prefix;  /* the same of what more will follow */
name_rule name_port;
name_rule name_env_var; /* the relaxed rule, GA in 1.34 */
name_rule name_config_key;
name_rule name_http_header;
name_rule name_percent;
name_rule name_condition_reason;

static inline bool name_ok(struct str value, name_rule *rule)
{
    const char *msgs[NAME_MSGS_MAX];
    return rule(value, msgs) == 0;
}

/* The rule a resource's name_rule column names; NULL gives the subdomain. prefix: of generateName, where a dash may end
 * it. */
name_rule *name_rule_of(const char *word, bool prefix);
/* A generateName as it is judged: a trailing dash masked as Kubernetes does. */
struct str name_mask_dash(struct arena *mem, struct str name);

#endif
