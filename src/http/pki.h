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
enum pki_usage { PKI_CLIENT = 1, PKI_SERVER = 2 };
struct pki_request {
    struct str common_name;
    const struct str *organizations;
    int organization_count;
    const struct str *names; /* DNS names and IP addresses, told apart by their form */
    int name_count;
    int usage; /* enum pki_usage bits */
    int64_t lifetime_s;
};

int pki_new_ca(struct arena *mem, struct str common_name, int64_t now_s, struct pki_pair *ret, const char **ret_why);
/* A fresh key and a certificate for it, signed by ca. */
int pki_issue(struct arena *mem, const struct pki_pair *ca, const struct pki_request *req, int64_t now_s,
              struct pki_pair *ret, const char **ret_why);
/* The request's own subject and SANs, with the given usage. The CSR's signature is checked. */
int pki_sign_csr(struct arena *mem, const struct pki_pair *ca, struct str csr_pem, int usage, int64_t lifetime_s,
                 int64_t now_s, struct str *ret_cert_pem, const char **ret_why);
struct str pki_new_key(struct arena *mem);    /* a PEM private key; empty on failure */
int64_t pki_not_after_s(struct str cert_pem); /* 0: unreadable */

/* ES256 (RFC 7518, 3.4): raw r||s of 64 bytes. */
int pki_sign_es256(struct arena *mem, struct str key_pem, struct str bytes, struct str *ret_signature);
struct pki_public; /* a key prepared for verifying */
struct pki_public *pki_public_of(struct str private_key_pem);
struct pki_public *pki_public_free(struct pki_public *k);
bool pki_verify_es256(const struct pki_public *k, struct str bytes, struct str signature);
void pki_public_xy(const struct pki_public *k, uint8_t x[32], uint8_t y[32]); /* for a JWKS */
struct str pki_sha256(struct arena *mem, struct str bytes);

#endif
