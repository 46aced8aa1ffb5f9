/* schema/rules/rules.h - what the rules share: paths, causes, sets, and the checks of values that many kinds hold.
 *
 * A rule judges a document in canonical form (schema_read, then schema_default): types are right, unknown members are
 * gone. It adds causes to c->err in the order Kubernetes does and goes on: a user wants every mistake in one answer.
 * Where Go ranges over a map, ours goes in the order of the document. May use doc/, base/, schema/. Source: kubernetes
 * pkg/apis/.../validation, 1.36. */
#ifndef SAMPAN_SCHEMA_RULES_RULES_H
#define SAMPAN_SCHEMA_RULES_RULES_H

#include "base/map.h"
#include "schema/quantity.h"
#include "schema/rules/names.h"
#include "schema/schema.h"

/* Paths live on the stack of the block that names them. */
#define AT(up_, name_)      (&(const struct fpath){.up = (up_), .name = (name_)})
#define AT_INDEX(up_, i_)   (&(const struct fpath){.up = (up_), .index = (i_)})
#define AT_KEY(up_, key_)   (&(const struct fpath){.up = (up_), .key = (key_)})
#define AT_META(up_, name_) AT(AT((up_), "metadata"), (name_))

/* Causes. The text after the value is a printf format. */
#define rule_required(c, at, ...)           err_cause((c)->err, CAUSE_REQUIRED, (at), __VA_ARGS__)
#define rule_forbidden(c, at, ...)          err_cause((c)->err, CAUSE_FORBIDDEN, (at), __VA_ARGS__)
#define rule_invalid(c, at, value, ...)     err_cause_str((c)->err, CAUSE_INVALID, (at), (value), __VA_ARGS__)
#define rule_invalid_int(c, at, value, ...) err_cause_int((c)->err, CAUSE_INVALID, (at), (value), __VA_ARGS__)
/* The value is a document, shown as JSON; NULL as null. */
#define rule_invalid_doc(c, at, value, ...)                                                                            \
    err_cause_raw((c)->err, CAUSE_INVALID, (at), rule_json((c), (value)), __VA_ARGS__)
#define rule_duplicate(c, at, value) err_cause_str((c)->err, CAUSE_DUPLICATE, (at), (value), NULL)
#define rule_not_found(c, at, value) err_cause_str((c)->err, CAUSE_NOT_FOUND, (at), (value), NULL)
/* "supported values" are listed in the order given: Go sorts most of them. */
#define rule_unsupported(c, at, value, ...)                                                                            \
    err_cause_enum((c)->err, (at), (value), (const char *const[]){__VA_ARGS__},                                        \
                   (int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)))
struct str rule_json(struct rule_ctx *c, const struct doc *value);

/* Is there a value that is not null? */
static inline bool rule_has(const struct doc *obj, const char *key)
{
    const struct doc *v = doc_get(obj, key);
    return v && v->type != DOC_NULL;
}
/* Index-counting loop over an array: `pos` and `pos##_i`. */
#define rule_each(pos, arr)                                                                                            \
    for (int pos##_i = 0, pos##_once = 1; pos##_once; pos##_once = 0)                                                  \
        for (const struct doc *pos = doc_first(arr); pos; pos = pos->next, pos##_i++)

/* Strings seen before, each with a node where one is wanted; the keys are borrowed. Lookups in lists and maps of a
 * client's go through one: looking along them for every item would be quadratic in the size of a request. */
struct rule_set {
    struct map map;
};
bool rule_set_add(struct rule_set *s, struct str key); /* false: was there */
bool rule_set_has(const struct rule_set *s, struct str key);
bool rule_set_put(struct rule_set *s, struct str key, const struct doc *node); /* false: was there, and stays */
const struct doc *rule_set_node(const struct rule_set *s, struct str key);     /* NULL: absent, or added without one */
/* The items of an array under the string of one member; the first of equals. */
void rule_set_index(struct rule_set *s, const struct doc *arr, const char *name);
/* The members of an object under their keys. */
void rule_set_members(struct rule_set *s, const struct doc *obj);
static inline void rule_set_done(struct rule_set *s)
{
    map_done(&s->map);
}
#define cleanup_set __attribute__((cleanup(rule_set_done)))

/* ---- checks of one value; true: fine */
bool check_name(struct rule_ctx *c, const struct fpath *at, struct str value, name_rule *rule);
bool check_required_name(struct rule_ctx *c, const struct fpath *at, struct str value,
                         name_rule *rule); /* "" is Required */
bool check_enum(struct rule_ctx *c, const struct fpath *at, struct str value,
                const char *const *allowed); /* NULL-terminated */
bool check_range(struct rule_ctx *c, const struct fpath *at, int64_t value, int64_t min, int64_t max);
bool check_nonnegative(struct rule_ctx *c, const struct fpath *at, int64_t value);
/* obj's member must not be negative; absent is fine. */
void check_nonnegative_in(struct rule_ctx *c, const struct fpath *up, const struct doc *obj, const char *const *names);
bool check_port(struct rule_ctx *c, const struct fpath *at, int64_t value);
bool check_port_or_name(struct rule_ctx *c, const struct fpath *at, const struct doc *value);
void check_int_or_percent(struct rule_ctx *c, const struct fpath *at, const struct doc *value); /* non-negative */
void check_at_most_100_percent(struct rule_ctx *c, const struct fpath *at, const struct doc *value);
int64_t int_or_percent(const struct doc *value); /* the number before the %, or the int; 0 for anything else */
/* value and old must be equal; either may be NULL. Absent, null and (in objects and lists) empty are the same. */
bool check_immutable(struct rule_ctx *c, const struct fpath *at, const struct doc *value, const struct doc *old);
/* The equality that rule uses: Semantic.DeepEqual, where nil and empty are one. Quantities are equal when spelled
 * alike, which reading has made canonical. */
bool rule_equal(const struct doc *a, const struct doc *b);
/* Ratcheting: on an update, the old object has the same value at the same path. What was let in under older rules may
 * stay, so a rule that Kubernetes tightened asks this before it complains. Never on create. */
bool rule_kept(struct rule_ctx *c, const struct fpath *at, const struct doc *value);
bool rule_kept_str(struct rule_ctx *c, const struct fpath *at, struct str value);
/* What cmp.Diff would show, in short: one line a difference, paths from spec. Ours differs from Go's layout. */
struct str rule_diff(struct arena *mem, const struct doc *old, const struct doc *value);

/* ---- quantities, resources (resources.c) */
bool check_quantity(struct rule_ctx *c, const struct fpath *at, struct str resource, struct str value);
bool check_quantity_positive(struct rule_ctx *c, const struct fpath *at, struct str value);
void check_resource_name(struct rule_ctx *c, const struct fpath *at, struct str name);
void check_container_resource_name(struct rule_ctx *c, const struct fpath *at, struct str name);
bool check_resource_count(struct rule_ctx *c, const struct fpath *at, const struct doc *list); /* at most 1024 */
bool resource_may_overcommit(struct str name);
bool resource_is_hugepages(struct str name);
bool resource_is_quota_name(struct str name);

/* ---- metadata (meta.c). check_meta judges a create, check_meta_update what an update adds to it. */
void check_meta(struct rule_ctx *c, const struct doc *meta, bool namespaced, const char *name_rule_word);
void check_meta_update(struct rule_ctx *c, const struct doc *meta, const struct doc *old);
void check_labels(struct rule_ctx *c, const struct fpath *at, const struct doc *labels);
void check_annotations(struct rule_ctx *c, const struct fpath *at, const struct doc *annotations);
void check_conditions(struct rule_ctx *c, const struct fpath *at, const struct doc *conditions);

/* ---- selectors (selector.c) */
void check_label_selector(struct rule_ctx *c, const struct fpath *at, const struct doc *selector); /* NULL: fine */
void check_node_selector(struct rule_ctx *c, const struct fpath *at, const struct doc *selector);
void check_node_selector_term(struct rule_ctx *c, const struct fpath *at, const struct doc *term, bool any_value);

/* ---- addresses (ip.c) */
bool check_ip(struct rule_ctx *c, const struct fpath *at, struct str value);
bool check_cidr(struct rule_ctx *c, const struct fpath *at, struct str value);
bool check_not_special_ip(struct rule_ctx *c, const struct fpath *at, struct str value);
int ip_family(struct arena *mem, struct str value); /* 4, 6, or 0: no address */
int cidr_family(struct arena *mem, struct str value);
bool cidr_inside(struct arena *mem, struct str inner,
                 struct str outer); /* strictly; true also where one is malformed */

/* ---- the parts of a pod (files of their names) */
struct pod_rules {
    const struct doc *spec;
    const struct doc *meta;            /* of a Pod; NULL inside a template */
    struct rule_set *volumes, *claims; /* volumes hold their nodes; only those without a mistake */
    bool is_pod;
    bool host_network, host_users;
    bool has_grace;
    int64_t grace_s;
    struct str restart_policy;
};
void check_pod_spec(struct rule_ctx *c, const struct fpath *at, const struct doc *spec, const struct doc *pod_meta,
                    bool is_pod);
void check_pod_template(struct rule_ctx *c, const struct fpath *at, const struct doc *template);
void check_pod_annotations(struct rule_ctx *c, const struct fpath *at, const struct doc *annotations,
                           const struct doc *spec);
void check_containers(struct rule_ctx *c, const struct fpath *at, const struct pod_rules *p);
void check_init_containers(struct rule_ctx *c, const struct fpath *at, const struct pod_rules *p);
void check_ephemeral_containers(struct rule_ctx *c, const struct fpath *at, const struct pod_rules *p);
void check_annotation_changes(struct rule_ctx *c, const struct doc *value,
                              const struct doc *old); /* pod_update.c: the kubelet's own */
void check_images_of_pod(struct rule_ctx *c, const struct fpath *at, const struct doc *spec);
void check_resources(struct rule_ctx *c, const struct fpath *at, const struct doc *resources,
                     const struct rule_set *claims);
void check_volumes(struct rule_ctx *c, const struct fpath *at, const struct doc *volumes, const struct pod_rules *p);
void check_volume_mounts(struct rule_ctx *c, const struct fpath *at, const struct doc *container,
                         const struct pod_rules *p);
void check_env(struct rule_ctx *c, const struct fpath *at, const struct doc *env);
void check_env_from(struct rule_ctx *c, const struct fpath *at, const struct doc *env_from);
void check_field_ref(struct rule_ctx *c, const struct fpath *at, const struct doc *ref, bool volume);
void check_resource_field_ref(struct rule_ctx *c, const struct fpath *at, const struct doc *ref, bool volume);
void check_probes(struct rule_ctx *c, const struct fpath *at, const struct doc *container, const struct pod_rules *p);
void check_security_context(struct rule_ctx *c, const struct fpath *at, const struct doc *sc, bool host_users);
void check_pod_security(struct rule_ctx *c, const struct fpath *spec_at, const struct pod_rules *p);
/* windows.c: spec.os and what it allows; options of Windows; profiles said twice. */
void check_os(struct rule_ctx *c, const struct fpath *at, const struct doc *spec);
void check_windows_options(struct rule_ctx *c, const struct fpath *at, const struct doc *options); /* NULL: fine */
void check_host_processes(struct rule_ctx *c, const struct fpath *at, const struct pod_rules *p);
void check_profile_annotations(struct rule_ctx *c, const struct fpath *at, const struct doc *spec,
                               const struct doc *annotations);
void check_affinity(struct rule_ctx *c, const struct fpath *at, const struct doc *affinity);
void check_topology_spread(struct rule_ctx *c, const struct fpath *at, const struct doc *constraints);
void check_tolerations(struct rule_ctx *c, const struct fpath *at, const struct doc *tolerations);
void check_taint_effect(struct rule_ctx *c, const struct fpath *at, struct str effect);
/* paths of files inside a volume */
void check_relative_path(struct rule_ctx *c, const struct fpath *at, struct str path);
void check_local_path(struct rule_ctx *c, const struct fpath *at, struct str path);
bool check_no_backsteps(struct rule_ctx *c, const struct fpath *at, struct str path);
void check_signer_name(struct rule_ctx *c, const struct fpath *at, struct str signer); /* certificates.c */
void check_csi_driver(struct rule_ctx *c, const struct fpath *at, struct str driver);
void check_claim_spec(struct rule_ctx *c, const struct fpath *at, const struct doc *spec);
void check_preemption_policy(struct rule_ctx *c, const struct fpath *at, struct str policy);
void check_job_spec(struct rule_ctx *c, const struct fpath *at, const struct doc *spec);
/* "1,3-5" of 0..completions-1, ascending (job_status.c). false: *ret_why says in Go's words what is wrong. */
bool job_index_set(struct arena *mem, struct str text, int64_t completions, int64_t *ret_count, struct str *ret_why);

#endif
