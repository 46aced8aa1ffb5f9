/* write/admit_certificate_subject_restriction.c - nobody becomes a member of system:masters by asking for a client
 * certificate.
 *
 * Source: kubernetes plugin/pkg/admission/certificates/subjectrestriction. */
#include "http/pki.h"
#include "write/admission.h"

#define SIGNER "kubernetes.io/kube-apiserver-client"

static int validate(struct admission *a)
{
    const struct doc *spec = doc_get(a->obj, "spec");
    struct str pem = STR_NULL;
    struct pki_csr csr;
    const char *why = "PEM block type must be CERTIFICATE REQUEST";
    if (!admission_creates(a, "certificates.k8s.io", "certificatesigningrequests") ||
        !str_is(doc_str(spec, "signerName"), SIGNER))
        return 0;
    if (!str_base64_dec(a->req->mem, doc_str(spec, "request"), &pem) || pki_csr_read(a->req->mem, pem, &csr, &why) < 0)
        return admission_forbid(a, "failed to parse CSR: %s", why);
    for (int i = 0; i < csr.organization_count; i++)
        if (str_is(csr.organizations[i], "system:masters"))
            return admission_forbid(a, "use of " SIGNER " signer with system:masters group is not allowed");
    return 0;
}

const struct admission_plugin admit_certificate_subject_restriction = {.name = "CertificateSubjectRestriction",
                                                                       .validate = validate};
