/* http/pki.h - keys and certificates: ECDSA P-256, X.509. Pure work on PEM texts, no files, no state.
 *
 * Errors are static texts of what OpenSSL could not do. May use base/. Source: RFC 5280; Kubernetes' "PKI certificates
 * and requirements". */
#ifndef SAMPAN_HTTP_PKI_H
#define SAMPAN_HTTP_PKI_H

#include "base/err.h"
#include "base/str.h"

enum { PKI_CA_DAYS = 36500, PKI_LEAF_DAYS = 365, PKI_BACKDATE_S = 3600 };

struct pki_pair {
    struct str cert_pem, key_pem;
};
enum pki_usage { PKI_CLIENT = 1, PKI_SERVER = 2, PKI_SIGNATURE = 4, PKI_ENCIPHERMENT = 8 };
struct pki_request {
    struct str common_name;
    const struct str *organizations;
    int organization_count;
    const struct str *names; /* DNS names and IP addresses, told apart by their form */
    int name_count;
    int usage; /* PKI_CLIENT, PKI_SERVER; the other two come with them */
    int64_t lifetime_s;
};

int pki_new_ca(struct arena *mem, struct str common_name, int64_t now_s, struct pki_pair *ret, const char **ret_why);
/* A fresh key and a certificate for it, signed by ca. */
int pki_issue(struct arena *mem, const struct pki_pair *ca, const struct pki_request *req, int64_t now_s,
              struct pki_pair *ret, const char **ret_why);

/* ---- certificate requests (RFC 2986), of strangers */
struct pki_csr {
    struct str common_name;
    struct str *organizations;
    int organization_count;
    int dns_count, ip_count, email_count, uri_count; /* subject alternative names, by kind */
    struct str *names;                               /* those of the first two kinds, addresses as text */
    int name_count;
};
/* -1: no request, or not signed by its own key; ret_why in the words of Kubernetes and Go where they have some. */
int pki_csr_read(struct arena *mem, struct str csr_pem, struct pki_csr *ret, const char **ret_why);
/* The request's own subject, names and key, with the usages of the pki_usage bits and nothing else of its wishes. The
 * times are those of Kubernetes' signers: five minutes before now, and never beyond the CA's own end. */
int pki_sign_csr(struct arena *mem, const struct pki_pair *ca, struct str csr_pem, int usage, int64_t lifetime_s,
                 int64_t now_s, struct str *ret_cert_pem, const char **ret_why);
/* A request for the name, organizations and alternative names of req, signed by the key. */
int pki_new_csr(struct arena *mem, const struct pki_request *req, struct str key_pem, struct str *ret_csr_pem,
                const char **ret_why);
bool pki_is_certificates(struct str pem, const char **ret_why); /* one or more CERTIFICATE blocks and nothing else */

struct str pki_new_key(struct arena *mem);     /* a PEM private key; empty on failure */
int64_t pki_not_before_s(struct str cert_pem); /* 0: unreadable */
int64_t pki_not_after_s(struct str cert_pem);

/* ES256 (RFC 7518, 3.4): raw r||s of 64 bytes. */
int pki_sign_es256(struct arena *mem, struct str key_pem, struct str bytes, struct str *ret_signature);
struct pki_public; /* a key prepared for verifying */
struct pki_public *pki_public_of(struct str private_key_pem);
struct pki_public *pki_public_free(struct pki_public *k);
bool pki_verify_es256(const struct pki_public *k, struct str bytes, struct str signature);
void pki_public_xy(const struct pki_public *k, uint8_t x[32], uint8_t y[32]); /* for a JWKS */
struct str pki_sha256(struct arena *mem, struct str bytes);
/* SHA-256 of a certificate's public key (its DER SubjectPublicKeyInfo): what kubeadm's --discovery-token-ca-cert-hash
 * pins. Empty: unreadable. */
struct str pki_key_hash(struct arena *mem, struct str cert_pem);
struct str pki_hmac_sha256(struct arena *mem, struct str key, struct str bytes);
bool pki_same_secret(struct str a, struct str b); /* in time that depends on their lengths only */

#endif
