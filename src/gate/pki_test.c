/* gate/pki_test.c - certificates that chain to their CA, requests that are signed by their key, ES256. */
#include "gate/test_gate.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

enum { NOW_S = 1767322800, DAY_S = 86400 };

static X509 *cert_of(struct str pem)
{
    BIO *b = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    X509 *x = PEM_read_bio_X509(b, NULL, NULL, NULL);
    BIO_free(b);
    assert_non_null(x);
    return x;
}

/* The verdict of OpenSSL for a purpose at a time. */
static int verify(struct str leaf_pem, struct str ca_pem, int purpose, int64_t at_s)
{
    X509 *leaf = cert_of(leaf_pem), *ca = cert_of(ca_pem);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    X509_STORE_add_cert(store, ca);
    X509_STORE_CTX_init(ctx, store, leaf, NULL);
    X509_VERIFY_PARAM *p = X509_STORE_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_purpose(p, purpose);
    X509_VERIFY_PARAM_set_time(p, (time_t)at_s);
    X509_VERIFY_PARAM_set_flags(p, X509_V_FLAG_X509_STRICT);
    int ok = X509_verify_cert(ctx), error = ok == 1 ? 0 : X509_STORE_CTX_get_error(ctx);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    X509_free(leaf), X509_free(ca);
    return error;
}

static struct pki_pair new_ca(struct arena *mem)
{
    struct pki_pair ca;
    const char *why;
    assert_int_equal(pki_new_ca(mem, STR("sampan-ca"), NOW_S, &ca, &why), 0);
    return ca;
}

static void test_leaf_is_good_for_its_usage_and_time(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct pki_pair ca = new_ca(mem), other = new_ca(mem), client, server;
    struct str org = STR("system:masters"), names[] = {STR("localhost"), STR("127.0.0.1"), STR("::1")};
    const char *why;
    struct pki_request req = {.common_name = STR("admin"), .organizations = &org, .organization_count = 1};
    req.usage = PKI_CLIENT;
    assert_int_equal(pki_issue(mem, &ca, &req, NOW_S, &client, &why), 0);
    req.usage = PKI_SERVER, req.names = names, req.name_count = 3, req.lifetime_s = DAY_S;
    assert_int_equal(pki_issue(mem, &ca, &req, NOW_S, &server, &why), 0);

    assert_int_equal(verify(client.cert_pem, ca.cert_pem, X509_PURPOSE_SSL_CLIENT, NOW_S), 0);
    assert_int_equal(verify(client.cert_pem, ca.cert_pem, X509_PURPOSE_SSL_SERVER, NOW_S), X509_V_ERR_INVALID_PURPOSE);
    assert_int_equal(verify(server.cert_pem, ca.cert_pem, X509_PURPOSE_SSL_CLIENT, NOW_S), X509_V_ERR_INVALID_PURPOSE);
    assert_int_equal(verify(server.cert_pem, ca.cert_pem, X509_PURPOSE_SSL_SERVER, NOW_S + DAY_S + 1),
                     X509_V_ERR_CERT_HAS_EXPIRED);
    assert_int_equal(verify(client.cert_pem, ca.cert_pem, X509_PURPOSE_SSL_CLIENT, NOW_S - PKI_BACKDATE_S - 2),
                     X509_V_ERR_CERT_NOT_YET_VALID);
    assert_int_not_equal(verify(client.cert_pem, other.cert_pem, X509_PURPOSE_SSL_CLIENT, NOW_S), 0);
    assert_int_equal(pki_not_after_s(client.cert_pem), NOW_S + (int64_t)PKI_LEAF_DAYS * DAY_S);
    assert_int_equal(pki_not_after_s(STR("no certificate")), 0);

    X509 *x = cert_of(server.cert_pem);
    assert_int_equal(X509_check_host(x, "localhost", 0, 0, NULL), 1);
    assert_int_equal(X509_check_ip_asc(x, "127.0.0.1", 0), 1);
    assert_int_equal(X509_check_ip_asc(x, "::1", 0), 1);
    assert_int_equal(X509_check_host(x, "example.org", 0, 0, NULL), 0);
    X509_free(x);
}

static void test_a_leaf_signs_nothing(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct pki_pair ca = new_ca(mem), leaf, below;
    struct pki_request req = {.common_name = STR("a"), .usage = PKI_CLIENT};
    const char *why;
    assert_int_equal(pki_issue(mem, &ca, &req, NOW_S, &leaf, &why), 0);
    if (pki_issue(mem, &leaf, &req, NOW_S, &below, &why) < 0)
        return;
    /* what a thief could make */
    assert_int_not_equal(verify(below.cert_pem, leaf.cert_pem, X509_PURPOSE_SSL_CLIENT, NOW_S), 0);
    assert_int_not_equal(verify(below.cert_pem, ca.cert_pem, X509_PURPOSE_SSL_CLIENT, NOW_S), 0);
}

static struct str make_csr(struct arena *mem, bool spoil)
{
    EVP_PKEY *key = EVP_EC_gen("P-256"), *other = EVP_EC_gen("P-256");
    X509_REQ *r = X509_REQ_new();
    X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(r), "O", MBSTRING_UTF8, (const unsigned char *)"system:nodes",
                               -1, -1, 0);
    X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(r), "CN", MBSTRING_UTF8,
                               (const unsigned char *)"system:node:a", -1, -1, 0);
    X509_REQ_set_pubkey(r, key);
    X509_REQ_sign(r, spoil ? other : key, EVP_sha256());
    BIO *b = BIO_new(BIO_s_mem());
    PEM_write_bio_X509_REQ(b, r);
    char *p;
    long n = BIO_get_mem_data(b, &p);
    struct str pem = str_dup(mem, str_mem(p, (size_t)n));
    BIO_free(b);
    X509_REQ_free(r);
    EVP_PKEY_free(key), EVP_PKEY_free(other);
    return pem;
}

static void test_requests_are_signed_by_their_own_key(void **state)
{
    struct world *w = world_new();
    struct str pem;
    const char *why = "";
    int usage = PKI_CLIENT | PKI_SIGNATURE;
    assert_int_equal(gate_sign_csr(w->gate, w->mem, make_csr(w->mem, false), usage, DAY_S, &pem, &why), 0);
    assert_int_equal(verify(pem, gate_ca_pem(w->gate), X509_PURPOSE_SSL_CLIENT, loop_wall_ms(w->loop) / 1000), 0);
    assert_int_equal(pki_not_after_s(pem), loop_wall_ms(w->loop) / 1000 + DAY_S - 300);
    assert_int_equal(gate_sign_csr(w->gate, w->mem, make_csr(w->mem, true), usage, DAY_S, &pem, &why), -1);
    assert_non_null(strstr(why, "signature"));
    assert_int_equal(gate_sign_csr(w->gate, w->mem, STR("garbage"), usage, DAY_S, &pem, &why), -1);
    assert_string_equal(why, "PEM block type must be CERTIFICATE REQUEST");
    world_free(w);
}

static void test_es256(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str key = pki_new_key(mem), sig, text = STR("a text");
    struct pki_public *ours = pki_public_of(key), *other = pki_public_of(pki_new_key(mem));
    assert_int_equal(pki_sign_es256(mem, key, text, &sig), 0);
    assert_int_equal(sig.len, 64);
    assert_true(pki_verify_es256(ours, text, sig));
    assert_false(pki_verify_es256(other, text, sig));
    assert_false(pki_verify_es256(ours, STR("a texu"), sig));
    assert_false(pki_verify_es256(ours, text, str_head(sig, 63)));
    assert_false(pki_verify_es256(ours, text, str_mem((char[64]){0}, 64))); /* r = s = 0: CVE-2022-21449 */
    assert_null(pki_public_of(STR("no key")));
    pki_public_free(ours), pki_public_free(other);
}

static void test_the_ca_persists(void **state)
{
    struct world *w = world_new();
    struct str ca = str_dup(w->mem, gate_ca_pem(w->gate)), jwks = str_dup(w->mem, gate_jwks(w->gate, w->mem));
    w->gate = gate_free(w->gate);
    world_open_gate(w);
    assert_int_equal(w->ready, 2);
    assert_true(str_eq(ca, gate_ca_pem(w->gate)));
    assert_true(str_eq(jwks, gate_jwks(w->gate, w->mem)));
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_leaf_is_good_for_its_usage_and_time),
        cmocka_unit_test(test_a_leaf_signs_nothing),
        cmocka_unit_test(test_requests_are_signed_by_their_own_key),
        cmocka_unit_test(test_es256),
        cmocka_unit_test(test_the_ca_persists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
