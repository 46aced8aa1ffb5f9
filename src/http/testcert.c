/* http/testcert.c - see its header. */
#include "http/testcert.h"

#include <assert.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

static struct str bio_text(struct arena *mem, BIO *b)
{
    char *p;
    long n = BIO_get_mem_data(b, &p);
    struct str s = str_dup(mem, str_mem(p, (size_t)n));
    BIO_free(b);
    return s;
}

static void add_ext(X509 *x, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert(e);
    X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
}

static void add_name(X509_NAME *n, const char *field, const char *value)
{
    if (value)
        X509_NAME_add_entry_by_txt(n, field, MBSTRING_UTF8, (const unsigned char *)value, -1, -1, 0);
}

struct testcert testcert_make(struct arena *mem, const struct testcert *ca, const char *common_name,
                              const char *organization)
{
    EVP_PKEY *key = EVP_EC_gen("P-256"), *ca_key = key;
    X509 *x = X509_new(), *ca_cert = x;
    int64_t serial = 0;
    RAND_bytes((unsigned char *)&serial, 7);
    X509_set_version(x, 2);
    ASN1_INTEGER_set_int64(X509_get_serialNumber(x), serial);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 86400);
    add_name(X509_get_subject_name(x), "O", organization);
    add_name(X509_get_subject_name(x), "CN", common_name);
    X509_set_pubkey(x, key);
    if (ca) {
        BIO *b = BIO_new_mem_buf(ca->cert_pem.ptr, (int)ca->cert_pem.len);
        ca_cert = PEM_read_bio_X509(b, NULL, NULL, NULL);
        BIO_free(b);
        b = BIO_new_mem_buf(ca->key_pem.ptr, (int)ca->key_pem.len);
        ca_key = PEM_read_bio_PrivateKey(b, NULL, NULL, NULL);
        BIO_free(b);
        add_ext(x, NID_subject_alt_name, str_fmtz(mem, "DNS:%s,DNS:localhost,IP:127.0.0.1", common_name));
        add_ext(x, NID_ext_key_usage, "serverAuth,clientAuth");
    } else {
        add_ext(x, NID_basic_constraints, "critical,CA:TRUE");
        add_ext(x, NID_key_usage, "critical,keyCertSign");
    }
    X509_set_issuer_name(x, X509_get_subject_name(ca_cert));
    X509_sign(x, ca_key, EVP_sha256());
    BIO *c = BIO_new(BIO_s_mem()), *k = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(c, x);
    PEM_write_bio_PrivateKey(k, key, NULL, NULL, 0, NULL, NULL);
    if (ca) {
        X509_free(ca_cert);
        EVP_PKEY_free(ca_key);
    }
    X509_free(x);
    EVP_PKEY_free(key);
    return (struct testcert){bio_text(mem, c), bio_text(mem, k)};
}
