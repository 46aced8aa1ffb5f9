/* http/tls.c - contexts, certificates, and what a verified certificate says. */
#include "http/tls_priv.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <time.h>

struct tls_context {
    SSL_CTX *ssl;
};

static const unsigned char alpn_h2[] = "\x02h2", alpn_http1[] = "\x08http/1.1";
static const unsigned char alpn_server[] = "\x02h2\x08http/1.1";

static int alpn_select(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
                       unsigned in_len, void *arg)
{
    int r = SSL_select_next_proto((unsigned char **)out, out_len, alpn_server, sizeof alpn_server - 1, in, in_len);
    return r == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

/* Sessions are not resumed: a ticket would outlive a change of CAs, and its state costs memory per connection. */
static SSL_CTX *ctx_new(const SSL_METHOD *method)
{
    SSL_CTX *c = SSL_CTX_new(method);
    if (!c)
        return NULL;
    SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
    SSL_CTX_set_cipher_list(c, "ECDHE+AESGCM:ECDHE+CHACHA20");
    SSL_CTX_set1_groups_list(c, "X25519:P-256:P-384");
    SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION |
                               SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                               SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(c, 0);
    SSL_CTX_set_read_ahead(c, 1); /* header and body of a record in one read */
    return c;
}

static BIO *bio_of(struct str pem)
{
    return pem.len && pem.len < (1 << 24) ? BIO_new_mem_buf(pem.ptr, (int)pem.len) : NULL;
}

/* The first certificate and those after it. */
static X509 *read_chain(struct str pem, STACK_OF(X509) * *ret_chain)
{
    BIO *b = bio_of(pem);
    X509 *first = b ? PEM_read_bio_X509(b, NULL, NULL, NULL) : NULL;
    STACK_OF(X509) *chain = sk_X509_new_null();
    for (X509 *x; first && chain && (x = PEM_read_bio_X509(b, NULL, NULL, NULL));)
        sk_X509_push(chain, x);
    BIO_free(b);
    ERR_clear_error(); /* the end of the file is one */
    *ret_chain = chain;
    return first;
}

int tls_context_renew(struct tls_context *t, struct str cert_pem, struct str key_pem, const char **ret_why)
{
    const char *why = NULL;
    STACK_OF(X509) *chain = NULL;
    X509 *cert = read_chain(cert_pem, &chain);
    BIO *b = bio_of(key_pem);
    EVP_PKEY *key = b ? PEM_read_bio_PrivateKey(b, NULL, NULL, NULL) : NULL;
    BIO_free(b);
    if (!cert)
        why = "no certificate in the PEM text";
    else if (!key)
        why = "no private key in the PEM text";
    else if (X509_check_private_key(cert, key) != 1)
        why = "the private key is not the certificate's";
    else if (SSL_CTX_use_cert_and_key(t->ssl, cert, key, chain, /* override= */ 1) != 1)
        why = "the certificate or its key is too weak or of a kind not supported";
    X509_free(cert);
    EVP_PKEY_free(key);
    sk_X509_pop_free(chain, X509_free);
    ERR_clear_error();
    if (why && ret_why)
        *ret_why = why;
    return why ? -1 : 0;
}

/* Trust the CAs of the text; for a server also name them in its request. */
static int trust(SSL_CTX *c, struct str ca_pem, bool is_server)
{
    BIO *b = bio_of(ca_pem);
    int n = 0;
    for (X509 *x; b && (x = PEM_read_bio_X509(b, NULL, NULL, NULL)); n++) {
        X509_STORE_add_cert(SSL_CTX_get_cert_store(c), x);
        if (is_server)
            SSL_CTX_add_client_CA(c, x);
        X509_free(x);
    }
    BIO_free(b);
    ERR_clear_error();
    return n;
}

static struct tls_context *wrap(SSL_CTX *c)
{
    struct tls_context *t = c ? calloc(1, sizeof *t) : NULL;
    if (!t) {
        SSL_CTX_free(c);
        return NULL;
    }
    t->ssl = c;
    return t;
}

struct tls_context *tls_server_new(struct str cert_pem, struct str key_pem, struct str client_ca_pem,
                                   const char **ret_why)
{
    struct tls_context *t = wrap(ctx_new(TLS_server_method()));
    if (!t) {
        *ret_why = "out of memory";
        return NULL;
    }
    SSL_CTX_set_alpn_select_cb(t->ssl, alpn_select, NULL);
    if (client_ca_pem.ptr) {
        SSL_CTX_set_verify(t->ssl, SSL_VERIFY_PEER, NULL);
        if (trust(t->ssl, client_ca_pem, /* is_server= */ true) == 0) {
            *ret_why = "no client CA in the PEM text";
            return tls_context_free(t);
        }
    }
    if (tls_context_renew(t, cert_pem, key_pem, ret_why) < 0)
        return tls_context_free(t);
    return t;
}

struct tls_context *tls_client_new(struct str ca_pem, struct str cert_pem, struct str key_pem, const char **ret_why)
{
    struct tls_context *t = wrap(ctx_new(TLS_client_method()));
    if (!t) {
        *ret_why = "out of memory";
        return NULL;
    }
    SSL_CTX_set_verify(t->ssl, SSL_VERIFY_PEER, NULL);
    if (trust(t->ssl, ca_pem, /* is_server= */ false) == 0) {
        *ret_why = "no CA in the PEM text";
        return tls_context_free(t);
    }
    if (cert_pem.len && tls_context_renew(t, cert_pem, key_pem, ret_why) < 0)
        return tls_context_free(t);
    return t;
}

struct tls_context *tls_client_unverified_new(const char **ret_why)
{
    struct tls_context *t = wrap(ctx_new(TLS_client_method()));
    if (!t)
        *ret_why = "out of memory";
    else
        SSL_CTX_set_verify(t->ssl, SSL_VERIFY_NONE, NULL);
    return t;
}

struct tls_context *tls_context_free(struct tls_context *t)
{
    if (t) {
        SSL_CTX_free(t->ssl); /* connections hold their own reference */
        free(t);
    }
    return NULL;
}

static SSL *ssl_on(struct tls_context *t, int fd)
{
    SSL *ssl = SSL_new(t->ssl);
    if (ssl && SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    return ssl;
}

SSL *tls_ssl_server(struct tls_context *t, int fd)
{
    SSL *ssl = ssl_on(t, fd);
    if (ssl)
        SSL_set_accept_state(ssl);
    return ssl;
}

SSL *tls_ssl_client(struct tls_context *t, int fd, const char *server_name, const char *alpn)
{
    SSL *ssl = ssl_on(t, fd);
    if (!ssl)
        return NULL;
    SSL_set_connect_state(ssl);
    bool is_h2 = alpn && strcmp(alpn, "h2") == 0;
    const unsigned char *wire = is_h2 ? alpn_h2 : alpn_http1;
    bool ok = SSL_set_alpn_protos(ssl, wire, is_h2 ? sizeof alpn_h2 - 1 : sizeof alpn_http1 - 1) == 0;
    if (server_name && X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), server_name) != 1)
        ok = ok && SSL_set1_host(ssl, server_name) == 1 && SSL_set_tlsext_host_name(ssl, server_name) == 1;
    if (!ok) {
        SSL_free(ssl);
        ssl = NULL;
    }
    ERR_clear_error();
    return ssl;
}

/* ---- what a certificate says */
static struct str entry_text(X509_NAME_ENTRY *e)
{
    const ASN1_STRING *s = X509_NAME_ENTRY_get_data(e);
    return str_mem((const char *)ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
}

static int64_t not_after_ms(const X509 *x)
{
    struct tm tm = {0};
    if (ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm) != 1)
        return 0;
    return (int64_t)timegm(&tm) * 1000;
}

static struct str put(char **at, struct str s)
{
    struct str r = {*at, s.len};
    if (s.len)
        memcpy(*at, s.ptr, s.len);
    *at += s.len;
    return r;
}

static struct str put_fingerprint(char **at, const X509 *x)
{
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    X509_digest(x, EVP_sha256(), md, &len);
    struct str r = {*at, len * 2};
    for (unsigned i = 0; i < len; i++) {
        *(*at)++ = "0123456789abcdef"[md[i] >> 4];
        *(*at)++ = "0123456789abcdef"[md[i] & 15];
    }
    return r;
}

struct tls_cert *tls_peer_cert(SSL *ssl)
{
    X509 *x = SSL_get0_peer_certificate(ssl);
    if (!x || SSL_get_verify_result(ssl) != X509_V_OK)
        return NULL;
    X509_NAME *subject = X509_get_subject_name(x);
    int count = X509_NAME_entry_count(subject), orgs = 0;
    size_t text = 0;
    for (int i = 0; i < count; i++) {
        X509_NAME_ENTRY *e = X509_NAME_get_entry(subject, i);
        text += entry_text(e).len;
        orgs += OBJ_obj2nid(X509_NAME_ENTRY_get_object(e)) == NID_organizationName;
    }
    struct tls_cert *c = calloc(1, sizeof *c + (size_t)orgs * sizeof(struct str) + text + 2 * EVP_MAX_MD_SIZE);
    if (!c)
        return NULL;
    c->organizations = (struct str *)(c + 1);
    char *at = (char *)(c->organizations + orgs);
    for (int i = 0; i < count; i++) {
        X509_NAME_ENTRY *e = X509_NAME_get_entry(subject, i);
        int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(e));
        if (nid == NID_commonName)
            c->common_name = put(&at, entry_text(e));
        else if (nid == NID_organizationName)
            c->organizations[c->organization_count++] = put(&at, entry_text(e));
    }
    c->fingerprint_sha256 = put_fingerprint(&at, x);
    c->not_after_ms = not_after_ms(x);
    return c;
}
