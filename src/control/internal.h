/* control/internal.h - the rows of the table of controllers. Private to control/. */
#ifndef SAMPAN_CONTROL_INTERNAL_H
#define SAMPAN_CONTROL_INTERNAL_H

#include "control/control.h"

extern const struct controller_kind controller_bootstrap_signer;
extern const struct controller_kind controller_clusterrole_aggregation;
extern const struct controller_kind controller_cronjob;
extern const struct controller_kind controller_csr;
extern const struct controller_kind controller_deployment;
extern const struct controller_kind controller_endpoints;
extern const struct controller_kind controller_endpoint_slice;
extern const struct controller_kind controller_event_ttl;
extern const struct controller_kind controller_garbage_collector;
extern const struct controller_kind controller_job;
extern const struct controller_kind controller_namespace;
extern const struct controller_kind controller_node_ipam;
extern const struct controller_kind controller_node_lifecycle;
extern const struct controller_kind controller_pod_gc;
extern const struct controller_kind controller_replication;
extern const struct controller_kind controller_replicaset;
extern const struct controller_kind controller_root_ca;
extern const struct controller_kind controller_service_account;
extern const struct controller_kind controller_taint_eviction;
extern const struct controller_kind controller_token_cleaner;
extern const struct controller_kind controller_ttl_after_finished;

#endif
