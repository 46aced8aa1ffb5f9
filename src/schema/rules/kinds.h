/* schema/rules/kinds.h - the functions that .kinds files name: one a kind, of the whole object (value), and of a
 * status.
 *
 * They judge all but metadata, which schema_validate has done. old is NULL on create. c->sub tells the subresource. */
#ifndef SAMPAN_SCHEMA_RULES_KINDS_H
#define SAMPAN_SCHEMA_RULES_KINDS_H

#include "schema/schema.h"

/* core */
schema_check_fn validate_pod, validate_pod_status, validate_pod_template, validate_replication_controller,
    validate_replication_controller_status, validate_service, validate_service_status, validate_endpoints,
    validate_config_map, validate_secret, validate_node, validate_node_status, validate_namespace,
    validate_namespace_status, validate_event, validate_limit_range, validate_resource_quota,
    validate_resource_quota_status, validate_persistent_volume, validate_persistent_volume_claim,
    validate_persistent_volume_claim_status, validate_service_account, validate_binding;
/* apps */
schema_check_fn validate_deployment, validate_deployment_status, validate_replica_set, validate_replica_set_status,
    validate_stateful_set, validate_stateful_set_status, validate_daemon_set, validate_daemon_set_status,
    validate_controller_revision;
/* batch */
schema_check_fn validate_job, validate_job_status, validate_cron_job;
/* the rest */
schema_check_fn validate_role, validate_cluster_role, validate_role_binding, validate_cluster_role_binding;
schema_check_fn validate_ingress, validate_ingress_status, validate_ingress_class, validate_network_policy,
    validate_ip_address, validate_service_cidr;
schema_check_fn validate_endpoint_slice, validate_pod_disruption_budget, validate_pod_disruption_budget_status,
    validate_horizontal_pod_autoscaler, validate_horizontal_pod_autoscaler_status, validate_scale;
schema_check_fn validate_storage_class, validate_priority_class, validate_lease, validate_certificate_signing_request;

#endif
