/* gate/gate.h - who may do what: authentication, authorization, and what both need to exist (CA, keys, bootstrap
 * objects).
 *
 * Core thread only; decisions are synchronous, over the cache. May use write/, store/, http/tls.h, schema/, doc/,
 * base/. */
#ifndef SAMPAN_GATE_GATE_H
#define SAMPAN_GATE_GATE_H

#include "base/err.h"
#include "http/server.h"
#include "store/cache.h"
#include "write/user.h"
#include "write/write.h"

struct gate;
struct gate_opts {
    struct loop *loop;
    struct cache *cache;
    struct store *store; /* keeps the CA and the service account key as meta values */
    struct writer *writer;
    const char
        *data_dir; /* admin.kubeconfig, ca.crt and agent credentials of this machine are written here, mode 0600 */
    const struct str
        *names; /* DNS names and IPs for the server's certificate, besides localhost, kubernetes.default.svc... */
    int name_count;
    struct str advertise; /* "127.0.0.1:6443": goes into kubeconfigs */
    struct str issuer;    /* "https://kubernetes.default.svc.cluster.local" */
    /* The node of this machine whose agent gets its credentials through data_dir/agent/; empty: none. Its addresses go
     * into the certificate of the kubelet's endpoint. */
    struct str node_name;
    const struct str *node_addresses;
    int node_address_count;
    struct str service_ip;   /* of default/kubernetes: "10.96.0.1" */
    struct str service_cidr; /* "10.96.0.0/16" */
    struct str dns_ip;       /* "10.96.0.10" */
};
/* Makes or loads the CA and keys (durable before it returns through ready). */
struct gate *gate_new(const struct gate_opts *o, void (*ready)(void *ctx, int error, struct str why), void *ctx);
struct gate *gate_free(struct gate *g);
struct tls_context *gate_server_tls(struct gate *g); /* owned by gate; renewed while running */
struct str gate_ca_pem(const struct gate *g);

/* Client certificate, bearer token (service account, bootstrap), impersonation headers. Anonymous gives
 * system:anonymous. NULL with err UNAUTHORIZED on credentials that are present and bad. The result lives in x->mem, or
 * is cached for the connection. */
const struct user *gate_authenticate(struct gate *g, struct exchange *x, struct err *err);
/* authenticate a bare token, for TokenReview; audiences may be empty */
const struct user *gate_authenticate_token(struct gate *g, struct arena *mem, struct str token,
                                           const struct str *audiences, int count, struct err *err);

struct gate_attrs { /* authorization.k8s.io attributes */
    struct str verb, group, version, resource, subresource, ns, name;
    struct str path; /* non-resource request when resource is empty */
    struct str
        field_selector; /* of list, watch and deletecollection: an agent sees pods only by spec.nodeName (KEP-4601) */
};
/* RBAC and the node authorizer. false: *ret_why says what is missing, in Kubernetes' words:
 * `pods is forbidden: User "x" cannot list resource "pods" in API group "" in the namespace "default"`. */
bool gate_authorize(struct gate *g, struct arena *mem, const struct user *u, const struct gate_attrs *a,
                    struct str *ret_why);
void gate_forbid(struct err *err, const struct user *u, const struct gate_attrs *a,
                 struct str why); /* fills FORBIDDEN */
/* Every rule that holds for a user in a namespace, as documents, for SelfSubjectRulesReview. */
void gate_rules(struct gate *g, struct arena *mem, const struct user *u, struct str ns, struct doc *ret_resource_rules,
                struct doc *ret_non_resource_rules);

/* TokenRequest: a signed ES256 JWT bound to a service account and optionally an object. -1 with err. */
int gate_issue_token(struct gate *g, struct arena *mem, struct str ns, struct str sa, struct str sa_uid,
                     const struct str *audiences, int audience_count, int64_t expiration_s, const char *bound_kind,
                     struct str bound_name, struct str bound_uid, struct str *ret_token, int64_t *ret_expires_ms,
                     struct err *err);
/* A certificate of the cluster's CA for a request that somebody else approved; usage: enum pki_usage bits. PEM out. -1
 * with *ret_why. */
int gate_sign_csr(struct gate *g, struct arena *mem, struct str csr_pem, int usage, int64_t lifetime_s,
                  struct str *ret_cert_pem, const char **ret_why);
struct str gate_jwks(struct gate *g, struct arena *mem);          /* /openid/v1/jwks */
struct str gate_openid_config(struct gate *g, struct arena *mem); /* /.well-known/openid-configuration */

/* Bootstrap objects: made at start, and again when deleted: namespaces, RBAC default roles, priority classes,
 * default/kubernetes... */
void gate_bootstrap_start(struct gate *g, void (*complete)(void *ctx), void *ctx);

#endif
