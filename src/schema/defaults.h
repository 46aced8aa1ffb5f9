/* schema/defaults.h - what the defaulting functions named in kinds/ share. Private to this folder.
 *
 * A default is put in where Kubernetes' SetDefaults functions do; `root` is the whole object. Source:
 * pkg/apis/.../v1/defaults.go. */
#ifndef SAMPAN_SCHEMA_DEFAULTS_H
#define SAMPAN_SCHEMA_DEFAULTS_H

#include "schema/schema.h"

/* Absent or null: a nil pointer. */
static inline bool is_unset(const struct doc *obj, const char *key)
{
    const struct doc *v = doc_get(obj, key);
    return !v || v->type == DOC_NULL;
}
/* Absent, null or "". */
static inline bool is_blank(const struct doc *obj, const char *key)
{
    return doc_str(obj, key).len == 0;
}
static inline void set_blank(struct arena *mem, struct doc *obj, const char *key, const char *word)
{
    if (is_blank(obj, key))
        doc_put_str(mem, obj, key, str_of(word));
}
static inline void set_int(struct arena *mem, struct doc *obj, const char *key, int64_t i)
{
    if (is_unset(obj, key))
        doc_put_int(mem, obj, key, i);
}

/* Amounts are kept to a thousandth, rounded up. list may be NULL. */
void default_resource_list(struct arena *mem, struct doc *list);

/* ---- named in kinds/ */
/* defaults_core.c */
schema_default_fn default_container, default_image_volume, default_volume, default_resources, default_resource_quota,
    default_secret, default_service, default_replication_controller, default_namespace, default_node_status,
    default_limit_range_item, default_persistent_volume_spec;
/* defaults_pod.c */
schema_default_fn default_pod, default_pod_spec;
/* defaults_apps.c */
schema_default_fn default_deployment_strategy, default_daemon_set_strategy, default_stateful_set_strategy, default_job,
    default_hpa_spec;
/* defaults_other.c */
schema_default_fn default_network_policy_spec, default_csi_driver_spec, default_subject;

#endif
