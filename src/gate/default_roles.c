/* gate/default_roles.c - the roles and bindings every cluster has.
 *
 * Source: kubernetes plugin/pkg/auth/authorizer/rbac/bootstrappolicy (facts; the notation is ours). */
#include "gate/bootstrap.h"

#include <stddef.h>

#define READ  "get list watch"
#define WRITE "create delete deletecollection patch update"

const struct default_role default_roles[] = {
    {NULL, "cluster-admin", NULL, NULL},
    {NULL, "system:discovery", NULL, NULL},
    {NULL, "system:basic-user", NULL, NULL},
    {NULL, "system:public-info-viewer", NULL, NULL},
    {NULL, "system:monitoring", NULL, NULL},
    {NULL, "system:service-account-issuer-discovery", NULL, NULL},
    {NULL, "admin", NULL, "aggregate-to-admin"},
    {NULL, "edit", "aggregate-to-admin", "aggregate-to-edit"},
    {NULL, "view", "aggregate-to-edit", "aggregate-to-view"},
    {NULL, "system:aggregate-to-admin", "aggregate-to-admin", NULL},
    {NULL, "system:aggregate-to-edit", "aggregate-to-edit", NULL},
    {NULL, "system:aggregate-to-view", "aggregate-to-view", NULL},
    {NULL, "system:node", NULL, NULL},
    {NULL, "system:kubelet-api-admin", NULL, NULL},
    {NULL, "system:node-bootstrapper", NULL, NULL},
    {NULL, "system:auth-delegator", NULL, NULL},
    {NULL, "system:kube-scheduler", NULL, NULL},
    {NULL, "system:node-proxier", NULL, NULL},
    {NULL, "system:kube-dns", NULL, NULL},
    {NULL, "sampan:tunnel", NULL, NULL},
    {"kube-system", "extension-apiserver-authentication-reader", NULL, NULL},
    {"kube-public", "system:controller:bootstrap-signer", NULL, NULL},
    {NULL, NULL, NULL, NULL},
};

const struct role_rule default_rules[] = {
    {"cluster-admin", "*", "*", "*", NULL, NULL},
    {"cluster-admin", "*", NULL, NULL, NULL, "*"},
    {"system:discovery", "get", NULL, NULL, NULL,
     "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/"},
    {"system:basic-user", "create", "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews", NULL,
     NULL},
    {"system:basic-user", "create", "authentication.k8s.io", "selfsubjectreviews", NULL, NULL},
    {"system:public-info-viewer", "get", NULL, NULL, NULL, "/healthz /livez /readyz /version /version/"},
    {"system:monitoring", "get", NULL, NULL, NULL,
     "/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*"},
    {"system:service-account-issuer-discovery", "get", NULL, NULL, NULL,
     "/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/"},

    {"system:aggregate-to-admin", "create", "authorization.k8s.io", "localsubjectaccessreviews", NULL, NULL},
    {"system:aggregate-to-admin", READ " " WRITE, "rbac.authorization.k8s.io", "rolebindings roles", NULL, NULL},

    {"system:aggregate-to-edit", READ, "-", "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy",
     NULL, NULL},
    {"system:aggregate-to-edit", "impersonate", "-", "serviceaccounts", NULL, NULL},
    {"system:aggregate-to-edit", WRITE, "-", "pods pods/attach pods/exec pods/portforward pods/proxy", NULL, NULL},
    {"system:aggregate-to-edit", "create", "-", "pods/eviction", NULL, NULL},
    {"system:aggregate-to-edit", WRITE, "-",
     "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets "
     "serviceaccounts services services/proxy",
     NULL, NULL},
    {"system:aggregate-to-edit", "create", "-", "serviceaccounts/token", NULL, NULL},
    {"system:aggregate-to-edit", WRITE, "apps",
     "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets "
     "statefulsets/scale",
     NULL, NULL},
    {"system:aggregate-to-edit", WRITE, "autoscaling", "horizontalpodautoscalers", NULL, NULL},
    {"system:aggregate-to-edit", WRITE, "batch", "cronjobs jobs", NULL, NULL},
    {"system:aggregate-to-edit", WRITE, "networking.k8s.io", "ingresses networkpolicies", NULL, NULL},
    {"system:aggregate-to-edit", WRITE, "policy", "poddisruptionbudgets", NULL, NULL},
    {"system:aggregate-to-edit", READ " " WRITE, "coordination.k8s.io", "leases", NULL, NULL},

    {"system:aggregate-to-view", READ, "-",
     "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers "
     "replicationcontrollers/scale replicationcontrollers/status serviceaccounts services services/status bindings "
     "events limitranges namespaces/status pods/log pods/status resourcequotas resourcequotas/status namespaces",
     NULL, NULL},
    {"system:aggregate-to-view", READ, "discovery.k8s.io", "endpointslices", NULL, NULL},
    {"system:aggregate-to-view", READ, "apps",
     "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets "
     "replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
     NULL, NULL},
    {"system:aggregate-to-view", READ, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status", NULL,
     NULL},
    {"system:aggregate-to-view", READ, "batch", "cronjobs cronjobs/status jobs jobs/status", NULL, NULL},
    {"system:aggregate-to-view", READ, "networking.k8s.io", "ingresses ingresses/status networkpolicies", NULL, NULL},
    {"system:aggregate-to-view", READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status", NULL, NULL},

    {"system:node", "create", "authentication.k8s.io", "tokenreviews", NULL, NULL},
    {"system:node", "create", "authorization.k8s.io", "localsubjectaccessreviews subjectaccessreviews", NULL, NULL},
    {"system:node", READ, "-", "services", NULL, NULL},
    {"system:node", "create patch update", "-", "events", NULL, NULL},
    {"system:node", "create", "-", "pods/eviction", NULL, NULL},
    {"system:node", READ, "discovery.k8s.io", "endpointslices", NULL, NULL},
    {"system:node", READ, "node.k8s.io", "runtimeclasses", NULL, NULL},
    {"system:node", READ, "storage.k8s.io", "csidrivers csinodes", NULL, NULL},
    {"system:node", "create get list watch", "certificates.k8s.io", "certificatesigningrequests", NULL, NULL},

    {"system:kubelet-api-admin", READ " proxy", "-", "nodes", NULL, NULL},
    {"system:kubelet-api-admin", "*", "-", "nodes/healthz nodes/log nodes/metrics nodes/proxy nodes/stats", NULL, NULL},
    {"system:node-bootstrapper", "create get list watch", "certificates.k8s.io", "certificatesigningrequests", NULL,
     NULL},
    {"system:auth-delegator", "create", "authentication.k8s.io", "tokenreviews", NULL, NULL},
    {"system:auth-delegator", "create", "authorization.k8s.io", "subjectaccessreviews", NULL, NULL},

    {"system:kube-scheduler", "create patch update", "- events.k8s.io", "events", NULL, NULL},
    {"system:kube-scheduler", "create get list update watch", "coordination.k8s.io", "leases", NULL, NULL},
    {"system:kube-scheduler", READ, "-",
     "nodes namespaces persistentvolumeclaims persistentvolumes replicationcontrollers services", NULL, NULL},
    {"system:kube-scheduler", "delete get list watch", "-", "pods", NULL, NULL},
    {"system:kube-scheduler", "create", "-", "bindings pods/binding", NULL, NULL},
    {"system:kube-scheduler", "patch update", "-", "pods/status", NULL, NULL},
    {"system:kube-scheduler", READ, "apps", "replicasets statefulsets", NULL, NULL},
    {"system:kube-scheduler", READ, "policy", "poddisruptionbudgets", NULL, NULL},
    {"system:kube-scheduler", READ, "storage.k8s.io", "csinodes csidrivers csistoragecapacities storageclasses", NULL,
     NULL},
    {"system:node-proxier", "list watch", "-", "endpoints services", NULL, NULL},
    {"system:node-proxier", READ, "-", "nodes", NULL, NULL},
    {"system:node-proxier", "create patch update", "- events.k8s.io", "events", NULL, NULL},
    {"system:node-proxier", "list watch", "discovery.k8s.io", "endpointslices", NULL, NULL},
    {"system:kube-dns", "list watch", "-", "endpoints services", NULL, NULL},

    {"sampan:tunnel", "post create", NULL, NULL, NULL, "/sampan/v1/tunnel/*"},
    {"sampan:tunnel", "create", "authentication.k8s.io", "tokenreviews", NULL, NULL},
    {"sampan:tunnel", "create", "authorization.k8s.io", "subjectaccessreviews", NULL, NULL},

    {"extension-apiserver-authentication-reader", READ, "-", "configmaps", "extension-apiserver-authentication", NULL},
    {"system:controller:bootstrap-signer", READ, "-", "configmaps", NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL, NULL},
};

const struct default_binding default_bindings[] = {
    {NULL, "cluster-admin", "ClusterRole", "cluster-admin", "Group", "system:masters"},
    {NULL, "system:discovery", "ClusterRole", "system:discovery", "Group", "system:authenticated"},
    {NULL, "system:basic-user", "ClusterRole", "system:basic-user", "Group", "system:authenticated"},
    {NULL, "system:public-info-viewer", "ClusterRole", "system:public-info-viewer", "Group",
     "system:authenticated system:unauthenticated"},
    {NULL, "system:monitoring", "ClusterRole", "system:monitoring", "Group", "system:monitoring"},
    {NULL, "system:service-account-issuer-discovery", "ClusterRole", "system:service-account-issuer-discovery", "Group",
     "system:serviceaccounts"},
    {NULL, "system:kube-scheduler", "ClusterRole", "system:kube-scheduler", "User", "system:kube-scheduler"},
    {NULL, "system:kube-dns", "ClusterRole", "system:kube-dns", "ServiceAccount", "kube-system/kube-dns"},
    {NULL, "system:node-proxier", "ClusterRole", "system:node-proxier", "User", "system:kube-proxy"},
    {NULL, "system:node", "ClusterRole", "system:node", "Group", "system:nodes"},
    {NULL, "sampan:tunnel", "ClusterRole", "sampan:tunnel", "Group", "sampan:tunnels"},
    {"kube-system", "system::extension-apiserver-authentication-reader", "Role",
     "extension-apiserver-authentication-reader", "User", "system:kube-controller-manager system:kube-scheduler"},
    {NULL, NULL, NULL, NULL, NULL, NULL},
};
