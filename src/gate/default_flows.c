/* gate/default_flows.c - the priority levels and flow schemas every cluster has.
 *
 * Source: kubernetes staging/src/k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap (facts; the notation is ours). */
#include "gate/bootstrap.h"

#include <stddef.h>

const struct default_level default_levels[] = {
    {"exempt", true, 0, 0, 0, 0, 0},
    {"catch-all", false, 5, 0, 0, 0, 0},
    {"system", false, 30, 33, 64, 6, 50},
    {"node-high", false, 40, 25, 64, 6, 50},
    {"leader-election", false, 10, 0, 16, 4, 50},
    {"workload-high", false, 40, 50, 128, 6, 50},
    {"workload-low", false, 100, 90, 128, 6, 50},
    {"global-default", false, 20, 50, 128, 6, 50},
    {NULL, false, 0, 0, 0, 0, 0},
};

const struct default_flow default_flows[] = {
    {"exempt", "exempt", 1, NULL, "g system:masters"},
    {"probes", "exempt", 2, NULL, "g system:unauthenticated g system:authenticated"},
    {"system-leader-election", "leader-election", 100, "ByUser",
     "u system:kube-controller-manager u system:kube-scheduler s *"},
    {"endpoint-controller", "workload-high", 150, "ByUser",
     "u system:kube-controller-manager s endpoint-controller s endpointslicemirroring-controller"},
    {"workload-leader-election", "leader-election", 200, "ByUser", "s *"},
    {"system-node-high", "node-high", 400, "ByUser", "g system:nodes"},
    {"system-nodes", "system", 500, "ByUser", "g system:nodes"},
    {"kube-controller-manager", "workload-high", 800, "ByNamespace", "u system:kube-controller-manager"},
    {"kube-scheduler", "workload-high", 800, "ByNamespace", "u system:kube-scheduler"},
    {"kube-system-service-accounts", "workload-high", 900, "ByNamespace", "s *"},
    {"service-accounts", "workload-low", 9000, "ByUser", "g system:serviceaccounts"},
    {"global-default", "global-default", 9900, "ByUser", "g system:unauthenticated g system:authenticated"},
    {"catch-all", "catch-all", 10000, "ByUser", "g system:unauthenticated g system:authenticated"},
    {NULL, NULL, 0, NULL, NULL},
};

#define LOCK "get create update"

const struct flow_rule default_flow_rules[] = {
    {"probes", "get", NULL, NULL, false, "/healthz /readyz /livez"},
    {"system-leader-election", LOCK, "coordination.k8s.io", "leases", false, NULL},
    {"endpoint-controller", LOCK, "-", "endpoints", false, NULL},
    {"workload-leader-election", LOCK, "-", "endpoints configmaps", false, NULL},
    {"workload-leader-election", LOCK, "coordination.k8s.io", "leases", false, NULL},
    {"system-node-high", "*", "-", "nodes nodes/status", true, NULL},
    {"system-node-high", "*", "coordination.k8s.io", "leases", false, NULL},
    {NULL, NULL, NULL, NULL, false, NULL},
};
