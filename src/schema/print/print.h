/* schema/print/print.h - the cells of a Table, as `kubectl get` shows them: what the print_x functions share.
 *
 * One function a kind, named in its .kinds file (`cells print_x`): it appends one cell a column, in order, wide ones
 * too (the client leaves out what it does not want). Cells borrow the object's strings. A row knows the parts of the
 * object that most kinds read; absent parts are NULL. May use schema/'s other headers, doc/, base/.
 * Source: kubernetes pkg/printers/internalversion/printers.go. */
#ifndef SAMPAN_SCHEMA_PRINT_PRINT_H
#define SAMPAN_SCHEMA_PRINT_PRINT_H

#include "schema/schema.h"

struct row {
    struct arena *mem;
    const struct doc *obj, *meta, *spec, *status;
    int64_t now_ms;
    struct doc *cells;
};
typedef void print_fn(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells);

struct row row_of(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells);
/* The same, and the first cell: metadata.name. */
struct row row_named(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells);

void row_str(struct row *r, struct str s);
void row_or(struct row *r, struct str s, const char *if_empty);
void row_int(struct row *r, int64_t i);
void row_bool(struct row *r, bool b);
void row_fmt(struct row *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void row_age(struct row *r);                                  /* metadata.creationTimestamp until now */
void row_since(struct row *r, const struct doc *time);        /* likewise of any Time or MicroTime */
void row_containers(struct row *r, const struct doc *pod);    /* wide: names and images of a PodSpec's containers */
void row_labels(struct row *r, const struct doc *labels);     /* a=b,c=d; <none> without any */
void row_selector(struct row *r, const struct doc *selector); /* a LabelSelector; <none> when it asks nothing */

/* A Time or MicroTime; TIME_ZERO_SEC when absent, null or no time. */
int64_t print_time(struct arena *mem, const struct doc *time);
struct str print_since(struct row *r, const struct doc *time);        /* "5m"; <unknown> of no time */
bool print_condition(const struct doc *conditions, const char *type); /* the first of that type is "True" */
struct str print_any(struct arena *mem, const struct doc *d);         /* a string bare, else JSON: of an IntOrString */
struct str print_lower(struct arena *mem, struct str s);
struct str print_deleted_or(const struct row *r, struct str phase); /* Terminating once it is being deleted */
/* Joined by sep; the values of `key` where items are objects, the items themselves where it is NULL. Empty ones too. */
struct str print_join(struct arena *mem, const struct doc *list, const char *key, const char *sep);
/* Up to max of items joined by commas, then ` + N more...`. */
struct few {
    struct sb text;
    int count, max;
};
void few_add(struct few *f, struct str item);
struct str few_str(struct few *f, const char *if_empty);

/* duration.HumanDuration: two or three significant figures of a duration. */
struct str human_duration(struct arena *mem, int64_t ms);

print_fn print_namespace, print_config_map, print_secret, print_service_account, print_resource_quota, print_lease,
    print_component_status, print_event, print_created_at, print_node, print_pod, print_pod_template,
    print_pod_disruption_budget, print_horizontal_pod_autoscaler, print_horizontal_pod_autoscaler_v1,
    print_priority_class, print_runtime_class, print_flow_schema, print_priority_level,
    print_certificate_signing_request, print_role_binding, print_service, print_endpoints, print_endpoint_slice,
    print_ingress, print_ingress_class, print_network_policy, print_service_cidr, print_ip_address,
    print_persistent_volume, print_persistent_volume_claim, print_storage_class, print_volume_attributes_class,
    print_volume_attachment, print_csi_node, print_csi_driver, print_csi_storage_capacity, print_deployment,
    print_replica_set, print_replication_controller, print_stateful_set, print_daemon_set, print_job, print_cron_job,
    print_controller_revision, print_node_metrics, print_pod_metrics;

#endif
