/* control/csr_rules.c - see csr_rules.h. */
#include "control/csr_rules.h"

#define CLIENT  "kubernetes.io/kube-apiserver-client"
#define KUBELET CSR_SIGNER_KUBELET
#define SERVING CSR_SIGNER_SERVING
#define TUNNEL  CSR_SIGNER_TUNNEL

static const struct usage {
    const char *name;
    int bit;
} usages_known[] = {
    {"client auth", PKI_CLIENT},
    {"server auth", PKI_SERVER},
    {"digital signature", PKI_SIGNATURE},
    {"key encipherment", PKI_ENCIPHERMENT},
};
enum { USAGES = sizeof(usages_known) / sizeof(usages_known[0]), USAGE_OTHER = 1 << 8 };

static int bit_of(struct str usage)
{
    for (int i = 0; i < USAGES; i++)
        if (str_is(usage, usages_known[i].name))
            return usages_known[i].bit;
    return USAGE_OTHER;
}

int csr_usage_bits(const struct doc *usages)
{
    int bits = 0;
    doc_each (u, usages)
        bits |= bit_of(doc_string(u));
    return bits;
}

bool csr_is_ours(struct str signer)
{
    return str_is(signer, CLIENT) || str_is(signer, KUBELET) || str_is(signer, SERVING) || str_is(signer, TUNNEL);
}

static const char *refuse_tunnel(const struct pki_csr *csr, int usage_bits)
{
    bool names = csr->dns_count || csr->ip_count || csr->email_count || csr->uri_count;
    return csr->organization_count != 1 || !str_is(csr->organizations[0], "sampan:tunnels")
               ? "subject organization is not sampan:tunnels"
           : !str_starts(csr->common_name, STR("sampan:tunnel:"))
               ? "subject common name does not begin with sampan:tunnel:"
           : names ? "subjectAltNames are not allowed"
           : (usage_bits & ~PKI_ENCIPHERMENT) != (PKI_SIGNATURE | PKI_CLIENT)
               ? "usages did not match [client auth digital signature key encipherment]"
               : NULL;
}

static bool is_of_nodes(const struct pki_csr *csr)
{
    return csr->organization_count == 1 && str_is(csr->organizations[0], "system:nodes");
}

/* Encipherment is for RSA keys; others may leave it out. */
static bool usages_are(const struct doc *usages, int purpose)
{
    int bits = csr_usage_bits(usages);
    return (bits & ~PKI_ENCIPHERMENT) == (PKI_SIGNATURE | purpose);
}

static const char *refuse_kubelet_client(const struct pki_csr *csr, const struct doc *usages)
{
    return !is_of_nodes(csr)                                    ? "subject organization is not system:nodes"
           : csr->dns_count                                     ? "DNS subjectAltNames are not allowed"
           : csr->email_count                                   ? "Email subjectAltNames are not allowed"
           : csr->ip_count                                      ? "IP subjectAltNames are not allowed"
           : csr->uri_count                                     ? "URI subjectAltNames are not allowed"
           : !str_starts(csr->common_name, STR("system:node:")) ? "subject common name does not begin with system:node:"
           : !usages_are(usages, PKI_CLIENT) ? "usages did not match [client auth digital signature key encipherment]"
                                             : NULL;
}

static const char *refuse_kubelet_serving(const struct pki_csr *csr, const struct doc *usages)
{
    return !is_of_nodes(csr)                   ? "subject organization is not system:nodes"
           : !csr->dns_count && !csr->ip_count ? "DNS or IP subjectAltName is required"
           : csr->email_count                  ? "Email subjectAltNames are not allowed"
           : csr->uri_count                    ? "URI subjectAltNames are not allowed"
           : !usages_are(usages, PKI_SERVER)   ? "usages did not match [digital signature key encipherment server auth]"
           : !str_starts(csr->common_name, STR("system:node:")) ? "subject common name does not begin with system:node:"
                                                                : NULL;
}

static const char *refuse_client(struct arena *mem, const struct doc *usages)
{
    doc_each (u, usages)
        if (bit_of(doc_string(u)) & (USAGE_OTHER | PKI_SERVER))
            return str_fmtz(mem, "invalid usage for client certificate: " STR_FMT, STR_ARG(doc_string(u)));
    return csr_usage_bits(usages) & PKI_CLIENT ? NULL : "missing required usage for client certificate: client auth";
}

const char *csr_refusal(struct arena *mem, struct str signer, const struct pki_csr *csr, const struct doc *usages)
{
    return str_is(signer, KUBELET)   ? refuse_kubelet_client(csr, usages)
           : str_is(signer, SERVING) ? refuse_kubelet_serving(csr, usages)
           : str_is(signer, TUNNEL)  ? refuse_tunnel(csr, csr_usage_bits(usages))
                                     : refuse_client(mem, usages);
}

int64_t csr_lifetime_s(const struct doc *spec)
{
    int64_t asked = doc_int(spec, "expirationSeconds", CSR_LIFETIME_S_MAX);
    return asked > CSR_LIFETIME_S_MAX ? CSR_LIFETIME_S_MAX : asked < CSR_LIFETIME_S_MIN ? CSR_LIFETIME_S_MIN : asked;
}

int csr_auto_permissions(struct arena *mem, const struct doc *spec, const struct pki_csr *csr, const char *ret[2])
{
    int n = 0;
    struct str signer = doc_str(spec, "signerName");
    if (!str_is(signer, KUBELET) || csr_refusal(mem, signer, csr, doc_get(spec, "usages")))
        return 0;
    if (str_eq(doc_str(spec, "username"), csr->common_name))
        ret[n++] = "selfnodeclient";
    ret[n++] = "nodeclient";
    return n;
}

static bool node_bears(const struct doc *node, struct str node_name, struct str name)
{
    if (str_eq(name, node_name) || str_is(name, "127.0.0.1"))
        return true;
    doc_each (a, doc_path(node, "status", "addresses", NULL))
        if (str_eq(doc_str(a, "address"), name))
            return true;
    return false;
}

const char *csr_own_of_node(const struct doc *spec, const struct pki_csr *csr, const struct doc *node)
{
    struct str prefix = STR("system:node:"), tunnel = STR("sampan:tunnel:"), user = doc_str(spec, "username"),
               name = str_from(user, prefix.len);
    if (!str_starts(user, prefix) || !name.len)
        return NULL;
    if (str_is(doc_str(spec, "signerName"), TUNNEL))
        return !refuse_tunnel(csr, csr_usage_bits(doc_get(spec, "usages"))) &&
                       str_eq(str_from(csr->common_name, tunnel.len), name)
                   ? "Auto approving the certificate of the node's own tunnel."
                   : NULL;
    if (!str_is(doc_str(spec, "signerName"), SERVING) || !str_eq(csr->common_name, user) ||
        refuse_kubelet_serving(csr, doc_get(spec, "usages")) || !node)
        return NULL;
    for (int i = 0; i < csr->name_count; i++)
        if (!node_bears(node, name, csr->names[i]))
            return NULL;
    return "Auto approving kubelet serving certificate: the Node has these names and addresses.";
}
