/* gate/signers.c - to approve or sign a certificate request takes a permission on its signer, besides that on the
 * subresource.
 *
 * Source: kubernetes plugin/pkg/admission/certificates (CertificateApproval, CertificateSigning). */
#include "gate/internal.h"
#include "write/admission.h"

static bool may_sign_as(struct gate *g, const struct admission *a, const char *verb, struct str signer)
{
    struct gate_attrs attrs = {.verb = str_of(verb),
                               .group = STR("certificates.k8s.io"),
                               .version = STR("*"),
                               .resource = STR("signers"),
                               .name = signer};
    struct str domain, path, why;
    if (gate_authorize(g, a->req->mem, a->req->user, &attrs, &why))
        return true;
    str_cut(signer, '/', &domain, &path);
    attrs.name = str_fmt(a->req->mem, STR_FMT "/*", STR_ARG(domain));
    return gate_authorize(g, a->req->mem, a->req->user, &attrs, &why);
}

int signers_check(struct gate *g, struct admission *a)
{
    const char *sub = a->req->sub ? a->req->sub->name : "";
    bool approves = !strcmp(sub, "approval"), signs = !strcmp(sub, "status");
    if ((!approves && !signs) || !a->obj || !a->old ||
        !admission_is(a, "certificates.k8s.io", "certificatesigningrequests"))
        return 0;
    struct str signer = doc_str(doc_get(a->old, "spec"), "signerName");
    if (signs && doc_eq(doc_get(a->obj, "status"), doc_get(a->old, "status")))
        return 0;
    if (may_sign_as(g, a, approves ? "approve" : "sign", signer))
        return 0;
    return admission_forbid(a, "user not permitted to %s requests with signerName " STR_FMT,
                            approves ? "approve" : "sign", STR_ARG(str_quote(a->req->mem, signer)));
}
