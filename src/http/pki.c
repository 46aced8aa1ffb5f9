/* http/pki.c - keys and certificates over OpenSSL 3. */
#include "http/pki.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

static void key_cleanup(EVP_PKEY **k)
{
    EVP_PKEY_free(*k);
}
static void x509_cleanup(X509 **x)
{
    X509_free(*x);
}
#define cleanup_key  __attribute__((cleanup(key_cleanup)))
#define cleanup_x509 __attribute__((cleanup(x509_cleanup)))

static struct str bio_text(struct arena *mem, BIO *b)
{
    char *p;
    long n = BIO_get_mem_data(b, &p);
    struct str s = str_dup(mem, str_mem(p, (size_t)n));
    BIO_free(b);
    return s;
}

static struct str key_text(struct arena *mem, EVP_PKEY *k)
{
    BIO *b = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(b, k, NULL, NULL, 0, NULL, NULL);
    return bio_text(mem, b);
}

static struct str cert_text(struct arena *mem, X509 *x)
{
    BIO *b = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(b, x);
    return bio_text(mem, b);
}

static EVP_PKEY *read_key(struct str pem)
{
    BIO *b = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    EVP_PKEY *k = PEM_read_bio_PrivateKey(b, NULL, NULL, NULL);
    BIO_free(b);
    return k;
}

static X509 *read_cert(struct str pem)
{
    BIO *b = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    X509 *x = PEM_read_bio_X509(b, NULL, NULL, NULL);
    BIO_free(b);
    return x;
}

static bool add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = e && X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
    return ok;
}

static bool set_frame(X509 *x, int64_t not_before_s, int64_t not_after_s)
{
    uint8_t serial[16];
    if (RAND_bytes(serial, sizeof(serial)) != 1)
        return false;
    serial[0] &= 0x7f;
    BIGNUM *n = BN_bin2bn(serial, sizeof(serial), NULL);
    bool ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x)) && X509_set_version(x, 2) &&
              ASN1_TIME_set(X509_getm_notBefore(x), (time_t)not_before_s) &&
              ASN1_TIME_set(X509_getm_notAfter(x), (time_t)not_after_s);
    BN_free(n);
    return ok;
}

static bool add_name(X509_NAME *n, const char *field, struct str value)
{
    return X509_NAME_add_entry_by_txt(n, field, MBSTRING_UTF8, (const unsigned char *)value.ptr, (int)value.len, -1,
                                      0) == 1;
}

int pki_new_ca(struct arena *mem, struct str common_name, int64_t now_s, struct pki_pair *ret, const char **ret_why)
{
    cleanup_key EVP_PKEY *key = EVP_EC_gen("P-256");
    cleanup_x509 X509 *x = X509_new();
    *ret_why = "making the cluster CA";
    if (!key || !x || !set_frame(x, now_s - PKI_BACKDATE_S, now_s + (int64_t)PKI_CA_DAYS * 86400) ||
        !add_name(X509_get_subject_name(x), "CN", common_name) || !X509_set_issuer_name(x, X509_get_subject_name(x)) ||
        !X509_set_pubkey(x, key) || !add_extension(x, x, NID_basic_constraints, "critical,CA:TRUE") ||
        !add_extension(x, x, NID_key_usage, "critical,digitalSignature,keyEncipherment,keyCertSign") ||
        !add_extension(x, x, NID_subject_key_identifier, "hash") || !X509_sign(x, key, EVP_sha256()))
        return -1;
    ret->cert_pem = cert_text(mem, x), ret->key_pem = key_text(mem, key);
    return 0;
}

static const char *usage_text(int usage)
{
    usage &= PKI_CLIENT | PKI_SERVER;
    return usage == PKI_CLIENT ? "clientAuth" : usage == PKI_SERVER ? "serverAuth" : "clientAuth,serverAuth";
}

static bool is_ip(struct arena *mem, struct str s)
{
    uint8_t a[16];
    char *z = str_z(mem, s);
    return inet_pton(AF_INET, z, a) == 1 || inet_pton(AF_INET6, z, a) == 1;
}

static char *alt_names(struct arena *mem, const struct pki_request *req)
{
    struct sb b = SB(mem);
    for (int i = 0; i < req->name_count; i++)
        sb_addf(&b, "%s%s:" STR_FMT, i ? "," : "", is_ip(mem, req->names[i]) ? "IP" : "DNS", STR_ARG(req->names[i]));
    return sb_z(&b);
}

static bool add_key_usage(X509 *x, X509 *ca, int usage)
{
    static const char *const texts[] = {NULL, "critical,digitalSignature", "critical,keyEncipherment",
                                        "critical,digitalSignature,keyEncipherment"};
    const char *text = texts[usage / PKI_SIGNATURE & 3];
    return !text || add_extension(x, ca, NID_key_usage, text);
}

/* What every leaf has besides its times: issuer, usages; then the CA's signature. */
static bool sign_leaf(X509 *x, X509 *ca, EVP_PKEY *ca_key, int usage)
{
    return X509_set_issuer_name(x, X509_get_subject_name(ca)) &&
           add_extension(x, ca, NID_basic_constraints, "critical,CA:FALSE") && add_key_usage(x, ca, usage) &&
           add_extension(x, ca, NID_ext_key_usage, usage_text(usage)) &&
           add_extension(x, ca, NID_authority_key_identifier, "keyid") && X509_sign(x, ca_key, EVP_sha256()) > 0;
}

int pki_issue(struct arena *mem, const struct pki_pair *ca, const struct pki_request *req, int64_t now_s,
              struct pki_pair *ret, const char **ret_why)
{
    cleanup_key EVP_PKEY *key = EVP_EC_gen("P-256"), *ca_key = read_key(ca->key_pem);
    cleanup_x509 X509 *x = X509_new(), *ca_cert = read_cert(ca->cert_pem);
    *ret_why = "issuing a certificate";
    if (!key || !ca_key || !x || !ca_cert || !X509_set_pubkey(x, key))
        return -1;
    for (int i = 0; i < req->organization_count; i++)
        if (!add_name(X509_get_subject_name(x), "O", req->organizations[i]))
            return -1;
    if (!add_name(X509_get_subject_name(x), "CN", req->common_name) ||
        (req->name_count && !add_extension(x, ca_cert, NID_subject_alt_name, alt_names(mem, req))) ||
        !set_frame(x, now_s - PKI_BACKDATE_S,
                   now_s + (req->lifetime_s ? req->lifetime_s : (int64_t)PKI_LEAF_DAYS * 86400)) ||
        !sign_leaf(x, ca_cert, ca_key, req->usage | PKI_SIGNATURE | PKI_ENCIPHERMENT))
        return -1;
    ret->cert_pem = cert_text(mem, x), ret->key_pem = key_text(mem, key);
    return 0;
}

/* ---- certificate requests */

static void csr_cleanup(X509_REQ **csr)
{
    X509_REQ_free(*csr);
}
#define cleanup_csr __attribute__((cleanup(csr_cleanup)))

/* The first PEM block must be it, whatever text stands before. NULL with *ret_why. */
static X509_REQ *read_csr(struct str pem, const char **ret_why)
{
    BIO *b = BIO_new_mem_buf(pem.ptr ? pem.ptr : "", (int)pem.len);
    char *name = NULL, *header = NULL;
    unsigned char *der = NULL;
    long len = 0;
    X509_REQ *csr = NULL;
    *ret_why = "PEM block type must be CERTIFICATE REQUEST";
    if (PEM_read_bio(b, &name, &header, &der, &len) == 1 && !strcmp(name, "CERTIFICATE REQUEST")) {
        const unsigned char *p = der;
        csr = d2i_X509_REQ(NULL, &p, len);
        *ret_why = "asn1: structure error: the request is malformed";
        if (csr && p != der + len)
            X509_REQ_free(csr), csr = NULL;
    }
    OPENSSL_free(name), OPENSSL_free(header), OPENSSL_free(der);
    BIO_free(b);
    ERR_clear_error();
    if (csr && X509_REQ_verify(csr, X509_REQ_get0_pubkey(csr)) != 1) {
        *ret_why = "x509: the certificate request's signature is not valid";
        X509_REQ_free(csr), csr = NULL;
    }
    return csr;
}

/* Read exactly as tls.c reads the certificate that comes of it: the bytes as they stand, of several common names the
 * last. In wide encodings the same bytes would be another text to somebody else, so there are none. */
static bool read_subject(struct arena *mem, const X509_NAME *n, struct pki_csr *ret)
{
    int count = X509_NAME_entry_count(n);
    ret->organizations = arena_array(mem, struct str, count + 1);
    for (int i = 0; i < count; i++) {
        X509_NAME_ENTRY *e = X509_NAME_get_entry(n, i);
        const ASN1_STRING *s = X509_NAME_ENTRY_get_data(e);
        int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(e)), type = ASN1_STRING_type(s);
        if (type != V_ASN1_UTF8STRING && type != V_ASN1_PRINTABLESTRING && type != V_ASN1_IA5STRING)
            return false;
        struct str text = str_dup(mem, str_mem((const char *)ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s)));
        if (nid == NID_commonName)
            ret->common_name = text;
        else if (nid == NID_organizationName)
            ret->organizations[ret->organization_count++] = text;
    }
    return true;
}

static struct str name_text(struct arena *mem, const GENERAL_NAME *n)
{
    char text[INET6_ADDRSTRLEN] = "";
    const ASN1_STRING *s = n->type == GEN_DNS ? n->d.dNSName : n->d.iPAddress;
    const uint8_t *p = ASN1_STRING_get0_data(s);
    int len = ASN1_STRING_length(s);
    if (n->type == GEN_DNS)
        return str_dup(mem, str_mem((const char *)p, (size_t)len));
    if (len == 4 || len == 16)
        inet_ntop(len == 4 ? AF_INET : AF_INET6, p, text, sizeof(text));
    return str_dup(mem, str_of(text));
}

static void read_alt_names(struct arena *mem, X509_REQ *csr, struct pki_csr *ret)
{
    STACK_OF(X509_EXTENSION) *list = X509_REQ_get_extensions(csr);
    GENERAL_NAMES *names = X509V3_get_d2i(list, NID_subject_alt_name, NULL, NULL);
    int count = sk_GENERAL_NAME_num(names);
    ret->names = arena_array(mem, struct str, count > 0 ? count : 1);
    for (int i = 0; i < count; i++) {
        const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);
        ret->dns_count += n->type == GEN_DNS, ret->ip_count += n->type == GEN_IPADD;
        ret->email_count += n->type == GEN_EMAIL, ret->uri_count += n->type == GEN_URI;
        if (n->type == GEN_DNS || n->type == GEN_IPADD)
            ret->names[ret->name_count++] = name_text(mem, n);
    }
    GENERAL_NAMES_free(names);
    sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
}

int pki_csr_read(struct arena *mem, struct str csr_pem, struct pki_csr *ret, const char **ret_why)
{
    cleanup_csr X509_REQ *csr = read_csr(csr_pem, ret_why);
    if (!csr)
        return -1;
    struct pki_csr read = {0};
    *ret_why = "x509: the subject holds a string that is neither UTF8String, PrintableString nor IA5String";
    if (!read_subject(mem, X509_REQ_get_subject_name(csr), &read))
        return -1;
    read_alt_names(mem, csr, &read);
    *ret = read;
    return 0;
}

static bool ask_alt_names(X509_REQ *csr, const char *names)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, NULL, NULL, csr, NULL, 0);
    STACK_OF(X509_EXTENSION) *list = NULL;
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, NID_subject_alt_name, names);
    bool ok = e && X509v3_add_ext(&list, e, -1) && X509_REQ_add_extensions(csr, list) == 1;
    X509_EXTENSION_free(e);
    sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
    return ok;
}

int pki_new_csr(struct arena *mem, const struct pki_request *req, struct str key_pem, struct str *ret_csr_pem,
                const char **ret_why)
{
    cleanup_key EVP_PKEY *key = read_key(key_pem);
    cleanup_csr X509_REQ *csr = X509_REQ_new();
    bool ok = key && csr && X509_REQ_set_version(csr, 0) == 1 && X509_REQ_set_pubkey(csr, key) == 1;
    *ret_why = "making a certificate request";
    for (int i = 0; ok && i < req->organization_count; i++)
        ok = add_name(X509_REQ_get_subject_name(csr), "O", req->organizations[i]);
    if (!ok || !add_name(X509_REQ_get_subject_name(csr), "CN", req->common_name) ||
        (req->name_count && !ask_alt_names(csr, alt_names(mem, req))) || X509_REQ_sign(csr, key, EVP_sha256()) <= 0)
        return -1;
    BIO *b = BIO_new(BIO_s_mem());
    PEM_write_bio_X509_REQ(b, csr);
    *ret_csr_pem = bio_text(mem, b);
    return 0;
}

/* Only names of the four kinds that were counted, so that no other kind is signed unseen. */
static bool copy_alt_names(X509_REQ *csr, X509 *x)
{
    STACK_OF(X509_EXTENSION) *list = X509_REQ_get_extensions(csr);
    GENERAL_NAMES *names = X509V3_get_d2i(list, NID_subject_alt_name, NULL, NULL);
    for (int i = sk_GENERAL_NAME_num(names) - 1; i >= 0; i--) {
        int type = sk_GENERAL_NAME_value(names, i)->type;
        if (type != GEN_DNS && type != GEN_IPADD && type != GEN_EMAIL && type != GEN_URI)
            GENERAL_NAME_free(sk_GENERAL_NAME_delete(names, i));
    }
    bool ok = sk_GENERAL_NAME_num(names) <= 0 || X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, 0) == 1;
    GENERAL_NAMES_free(names);
    sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
    return ok;
}

static int64_t seconds_of(const ASN1_TIME *t)
{
    struct tm tm;
    return t && ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static int64_t end_of(const X509 *x)
{
    return x ? seconds_of(X509_get0_notAfter(x)) : 0;
}

int pki_sign_csr(struct arena *mem, const struct pki_pair *ca, struct str csr_pem, int usage, int64_t lifetime_s,
                 int64_t now_s, struct str *ret_cert_pem, const char **ret_why)
{
    enum { BACKDATE_S = 300, SHORT_S = 8 * 3600 }; /* a short one is not made shorter by the five minutes */
    cleanup_csr X509_REQ *csr = read_csr(csr_pem, ret_why);
    if (!csr)
        return -1;
    cleanup_key EVP_PKEY *ca_key = read_key(ca->key_pem);
    cleanup_x509 X509 *x = X509_new(), *ca_cert = read_cert(ca->cert_pem);
    int64_t end_s = now_s + lifetime_s - (lifetime_s < SHORT_S ? 0 : BACKDATE_S), ca_end_s = end_of(ca_cert);
    *ret_why = "the certificate could not be made";
    if (!ca_key || !ca_cert || !x || !X509_set_pubkey(x, X509_REQ_get0_pubkey(csr)) ||
        !X509_set_subject_name(x, X509_REQ_get_subject_name(csr)) || !copy_alt_names(csr, x) ||
        !set_frame(x, now_s - BACKDATE_S, end_s < ca_end_s ? end_s : ca_end_s) || !sign_leaf(x, ca_cert, ca_key, usage))
        return -1;
    *ret_cert_pem = cert_text(mem, x);
    return 0;
}

bool pki_is_certificates(struct str pem, const char **ret_why)
{
    BIO *b = BIO_new_mem_buf(pem.ptr ? pem.ptr : "", (int)pem.len);
    char *name, *header;
    unsigned char *der;
    long len;
    int count = 0;
    *ret_why = NULL;
    while (!*ret_why && PEM_read_bio(b, &name, &header, &der, &len) == 1) {
        const unsigned char *p = der;
        cleanup_x509 X509 *x = d2i_X509(NULL, &p, len);
        if (strcmp(name, "CERTIFICATE") != 0)
            *ret_why = "only CERTIFICATE PEM blocks are allowed";
        else if (header[0])
            *ret_why = "no PEM block headers are permitted";
        else if (!x)
            *ret_why = "x509: malformed certificate";
        count++;
        OPENSSL_free(name), OPENSSL_free(header), OPENSSL_free(der);
    }
    BIO_free(b);
    ERR_clear_error(); /* the end of the text is one */
    if (!*ret_why && !count)
        *ret_why = "must contain at least one CERTIFICATE PEM block";
    return !*ret_why;
}

/* ---- keys */

struct str pki_new_key(struct arena *mem)
{
    cleanup_key EVP_PKEY *key = EVP_EC_gen("P-256");
    return key ? key_text(mem, key) : STR_NULL;
}

int64_t pki_not_before_s(struct str cert_pem)
{
    cleanup_x509 X509 *x = read_cert(cert_pem);
    return x ? seconds_of(X509_get0_notBefore(x)) : 0;
}

int64_t pki_not_after_s(struct str cert_pem)
{
    cleanup_x509 X509 *x = read_cert(cert_pem);
    return end_of(x);
}

int pki_sign_es256(struct arena *mem, struct str key_pem, struct str bytes, struct str *ret_signature)
{
    cleanup_key EVP_PKEY *key = read_key(key_pem);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t der[128], *raw = arena_alloc(mem, 64);
    size_t der_len = sizeof(der);
    bool ok = key && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
              EVP_DigestSign(ctx, der, &der_len, (const uint8_t *)bytes.ptr, bytes.len) == 1;
    EVP_MD_CTX_free(ctx);
    const uint8_t *p = der;
    ECDSA_SIG *sig = ok ? d2i_ECDSA_SIG(NULL, &p, (long)der_len) : NULL;
    ok = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, 32) == 32 &&
         BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + 32, 32) == 32;
    ECDSA_SIG_free(sig);
    if (ok)
        *ret_signature = str_mem((const char *)raw, 64);
    return ok ? 0 : -1;
}

struct pki_public {
    EVP_PKEY *key;
};

struct pki_public *pki_public_of(struct str private_key_pem)
{
    EVP_PKEY *key = read_key(private_key_pem);
    struct pki_public *k = key ? calloc(1, sizeof(*k)) : NULL;
    if (k)
        k->key = key;
    else
        EVP_PKEY_free(key);
    return k;
}

struct pki_public *pki_public_free(struct pki_public *k)
{
    if (k)
        EVP_PKEY_free(k->key);
    free(k);
    return NULL;
}

bool pki_verify_es256(const struct pki_public *k, struct str bytes, struct str signature)
{
    if (signature.len != 64)
        return false;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn((const uint8_t *)signature.ptr, 32, NULL),
           *s = BN_bin2bn((const uint8_t *)signature.ptr + 32, 32, NULL);
    ECDSA_SIG_set0(sig, r, s);
    uint8_t *der = NULL;
    int der_len = i2d_ECDSA_SIG(sig, &der);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = der_len > 0 && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, k->key) == 1 &&
              EVP_DigestVerify(ctx, der, (size_t)der_len, (const uint8_t *)bytes.ptr, bytes.len) == 1;
    EVP_MD_CTX_free(ctx);
    OPENSSL_free(der);
    ECDSA_SIG_free(sig);
    return ok;
}

void pki_public_xy(const struct pki_public *k, uint8_t x[32], uint8_t y[32])
{
    BIGNUM *bx = NULL, *by = NULL;
    memset(x, 0, 32), memset(y, 0, 32);
    if (EVP_PKEY_get_bn_param(k->key, OSSL_PKEY_PARAM_EC_PUB_X, &bx) == 1)
        BN_bn2binpad(bx, x, 32);
    if (EVP_PKEY_get_bn_param(k->key, OSSL_PKEY_PARAM_EC_PUB_Y, &by) == 1)
        BN_bn2binpad(by, y, 32);
    BN_free(bx), BN_free(by);
}

struct str pki_sha256(struct arena *mem, struct str bytes)
{
    uint8_t *out = arena_alloc(mem, 32);
    EVP_Digest(bytes.ptr, bytes.len, out, NULL, EVP_sha256(), NULL);
    return str_mem((const char *)out, 32);
}

struct str pki_key_hash(struct arena *mem, struct str cert_pem)
{
    cleanup_x509 X509 *x = read_cert(cert_pem);
    unsigned char *der = NULL;
    int len = x ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der) : -1;
    struct str hash = len > 0 ? pki_sha256(mem, str_mem((char *)der, (size_t)len)) : STR_NULL;
    OPENSSL_free(der);
    return hash;
}

struct str pki_hmac_sha256(struct arena *mem, struct str key, struct str bytes)
{
    uint8_t *out = arena_alloc(mem, 32);
    HMAC(EVP_sha256(), key.ptr, (int)key.len, (const uint8_t *)bytes.ptr, bytes.len, out, NULL);
    return str_mem((const char *)out, 32);
}

bool pki_same_secret(struct str a, struct str b)
{
    return a.len == b.len && CRYPTO_memcmp(a.ptr, b.ptr, a.len) == 0;
}
