/* control/csr_rules.h - what each of Kubernetes' built-in signers asks of a certificate request. Pure functions.
 *
 * May use http/pki.h, doc/, base/. Source: kubernetes pkg/apis/certificates/helpers.go, pkg/controller/certificates
 * (approver/sarapprove.go, signer/signer.go), 1.36. */
#ifndef SAMPAN_CONTROL_CSR_RULES_H
#define SAMPAN_CONTROL_CSR_RULES_H

#include "doc/doc.h"
#include "http/pki.h"

enum { CSR_LIFETIME_S_MAX = 365 * 86400, CSR_LIFETIME_S_MIN = 600 };

#define CSR_SIGNER_KUBELET "kubernetes.io/kube-apiserver-client-kubelet"
#define CSR_SIGNER_SERVING "kubernetes.io/kubelet-serving"
/* Our own: what an agent's unprivileged half opens its tunnel with. CN sampan:tunnel:NODE, O sampan:tunnels. */
#define CSR_SIGNER_TUNNEL "sampan.dev/tunnel"

/* A signer of ours? */
bool csr_is_ours(struct str signer);
/* NULL: the signer may sign it; else the text of the condition Failed. usages: spec.usages. */
const char *csr_refusal(struct arena *mem, struct str signer, const struct pki_csr *csr, const struct doc *usages);
int csr_usage_bits(const struct doc *usages);   /* enum pki_usage */
int64_t csr_lifetime_s(const struct doc *spec); /* what is asked for within the limits; the most when nothing is */
/* The subresources whose creation the asker must be allowed for an approval without a human: "selfnodeclient",
 * "nodeclient". Up to two; 0: this kind of request always waits. */
int csr_auto_permissions(struct arena *mem, const struct doc *spec, const struct pki_csr *csr, const char *ret[2]);
/* What a node asks for itself and may have without a human, where Kubernetes has none or leaves it to others: the
 * certificate of its tunnel, and that of its endpoint for names and addresses which the Node object (NULL: none) bears,
 * so that no node can pass for another. NULL: not so; else the message of the approval. */
const char *csr_own_of_node(const struct doc *spec, const struct pki_csr *csr, const struct doc *node);

#endif
