/* control/csr_rules_test.c - what each signer refuses, and what is approved without a human (kubernetes
 * pkg/apis/certificates/helpers_test.go, pkg/controller/certificates). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "control/csr_rules.h"

#define KUBELET "kubernetes.io/kube-apiserver-client-kubelet"
#define SERVING "kubernetes.io/kubelet-serving"
#define CLIENT  "kubernetes.io/kube-apiserver-client"

static const struct row {
    const char *signer, *cn, *org, *org2;
    int dns, ip, email, uri;
    const char *usages, *refusal;
} rows[] = {
    {KUBELET, "system:node:a", "system:nodes", NULL, 0, 0, 0, 0, "client auth,digital signature", NULL},
    {KUBELET, "system:node:a", "system:nodes", NULL, 0, 0, 0, 0, "client auth,digital signature,key encipherment",
     NULL},
    {KUBELET, "system:node:a", "system:nodes", NULL, 0, 0, 0, 0, "client auth",
     "usages did not match [client auth digital signature key encipherment]"},
    {KUBELET, "system:node:a", "system:nodes", NULL, 0, 0, 0, 0, "client auth,digital signature,cert sign",
     "usages did not match [client auth digital signature key encipherment]"},
    {KUBELET, "system:node:a", "system:nodes", NULL, 0, 0, 0, 0, "client auth,digital signature,server auth",
     "usages did not match [client auth digital signature key encipherment]"},
    {KUBELET, "a", "system:nodes", NULL, 0, 0, 0, 0, "client auth,digital signature",
     "subject common name does not begin with system:node:"},
    {KUBELET, "system:node:a", "system:nodes", "system:masters", 0, 0, 0, 0, "client auth,digital signature",
     "subject organization is not system:nodes"},
    {KUBELET, "system:node:a", "nodes", NULL, 0, 0, 0, 0, "client auth,digital signature",
     "subject organization is not system:nodes"},
    {KUBELET, "system:node:a", "system:nodes", NULL, 1, 0, 0, 0, "client auth,digital signature",
     "DNS subjectAltNames are not allowed"},
    {KUBELET, "system:node:a", "system:nodes", NULL, 0, 1, 0, 0, "client auth,digital signature",
     "IP subjectAltNames are not allowed"},
    {KUBELET, "system:node:a", "system:nodes", NULL, 0, 0, 1, 0, "client auth,digital signature",
     "Email subjectAltNames are not allowed"},
    {KUBELET, "system:node:a", "system:nodes", NULL, 0, 0, 0, 1, "client auth,digital signature",
     "URI subjectAltNames are not allowed"},
    {SERVING, "system:node:a", "system:nodes", NULL, 1, 0, 0, 0, "server auth,digital signature", NULL},
    {SERVING, "system:node:a", "system:nodes", NULL, 0, 0, 0, 0, "server auth,digital signature",
     "DNS or IP subjectAltName is required"},
    {SERVING, "system:node:a", "system:nodes", NULL, 1, 1, 0, 0, "client auth,digital signature",
     "usages did not match [digital signature key encipherment server auth]"},
    {SERVING, "a", "system:nodes", NULL, 1, 0, 0, 0, "server auth,digital signature",
     "subject common name does not begin with system:node:"},
    {CLIENT, "ann", "devs", NULL, 0, 0, 0, 0, "client auth", NULL},
    {CLIENT, "ann", "devs", NULL, 0, 0, 0, 0, "digital signature",
     "missing required usage for client certificate: client auth"},
    {CLIENT, "ann", "devs", NULL, 0, 0, 0, 0, "client auth,server auth",
     "invalid usage for client certificate: server auth"},
};

static struct doc *usages_of(struct arena *mem, const char *text)
{
    struct doc *list = doc_new_array(mem);
    struct str rest = str_of(text), one;
    while (str_next(&rest, ',', &one))
        doc_push(list, doc_new_str(mem, one));
    return list;
}

static void test_refusals(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *r = &rows[i];
        struct str orgs[] = {str_of(r->org), str_of(r->org2)};
        struct pki_csr csr = {.common_name = str_of(r->cn),
                              .organizations = orgs,
                              .organization_count = r->org2 ? 2 : 1,
                              .dns_count = r->dns,
                              .ip_count = r->ip,
                              .email_count = r->email,
                              .uri_count = r->uri};
        const char *why = csr_refusal(mem, str_of(r->signer), &csr, usages_of(mem, r->usages));
        if (!why != !r->refusal || (why && strcmp(why, r->refusal) != 0))
            fail_msg("row %d: %s", (int)i, why ? why : "accepted");
    }
}

static void test_who_is_approved_by_itself(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str org = STR("system:nodes");
    struct pki_csr csr = {.common_name = STR("system:node:a"), .organizations = &org, .organization_count = 1};
    const char *permissions[2];
    struct doc *spec = doc_new_object(mem);
    doc_put_str(mem, spec, "signerName", STR(KUBELET));
    doc_put_str(mem, spec, "username", STR("system:bootstrap:abcdef"));
    doc_put(mem, spec, "usages", usages_of(mem, "client auth,digital signature"));
    assert_int_equal(csr_auto_permissions(mem, spec, &csr, permissions), 1);
    assert_string_equal(permissions[0], "nodeclient");
    doc_put_str(mem, spec, "username", STR("system:node:a"));
    assert_int_equal(csr_auto_permissions(mem, spec, &csr, permissions), 2);
    assert_string_equal(permissions[0], "selfnodeclient");
    doc_put_str(mem, spec, "signerName", STR(SERVING));
    assert_int_equal(csr_auto_permissions(mem, spec, &csr, permissions), 0);
    doc_put_str(mem, spec, "signerName", STR(CLIENT));
    assert_int_equal(csr_auto_permissions(mem, spec, &csr, permissions), 0);
}

static void test_lifetimes(void **state)
{
    static const int64_t pairs[][2] = {{600, 600}, {599, 600}, {86400, 86400}, {1 << 30, CSR_LIFETIME_S_MAX}};
    cleanup_arena struct arena *mem = arena_new();
    struct doc *spec = doc_new_object(mem);
    assert_int_equal(csr_lifetime_s(spec), CSR_LIFETIME_S_MAX);
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        doc_put_int(mem, spec, "expirationSeconds", pairs[i][0]);
        assert_int_equal(csr_lifetime_s(spec), pairs[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_who_is_approved_by_itself),
        cmocka_unit_test(test_lifetimes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
