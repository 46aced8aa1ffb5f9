/* tests/sim/csr_test.c - certificate requests and bootstrap tokens go when their time is over. */
#include "sim.h"

#include "http/pki.h"

#define HOUR_MS INT64_C(3600000)

static void ask(struct sim *s, const char *name)
{
    struct pki_request req = {.common_name = STR("ann")};
    const char *why = "";
    struct str pem;
    assert_int_equal(pki_new_csr(s->mem, &req, pki_new_key(s->mem), &pem, &why), 0);
    sim_create(s, "certificates.k8s.io", "certificatesigningrequests", "",
               str_fmtz(s->mem,
                        "{'metadata':{'name':'%s'},'spec':{'signerName':'example.org/mine','usages':['client auth'],"
                        "'request':'" STR_FMT "'}}",
                        name, STR_ARG(str_base64(s->mem, pem))));
}

static void judge(struct sim *s, const char *name, const char *verdict)
{
    struct doc *patch = doc_new_object(s->mem),
               *c = doc_push(doc_sub_array(s->mem, doc_sub(s->mem, patch, "status"), "conditions"),
                             doc_new_object(s->mem));
    doc_put_str(s->mem, c, "type", str_of(verdict));
    doc_put_str(s->mem, c, "status", STR("True"));
    write_merge(s->writer, NULL, schema_stored("certificates.k8s.io", "certificatesigningrequests"), "approval",
                STR_NULL, str_of(name), patch, NULL, NULL);
    sim_run(s, 1000);
    assert_string_equal(sim_condition(s, "certificates.k8s.io", "certificatesigningrequests", "", name, verdict),
                        "True");
}

static bool is_there(struct sim *s, const char *name)
{
    return sim_obj(s, "certificates.k8s.io", "certificatesigningrequests", "", name) != NULL;
}

static void test_old_requests_are_removed(void **state)
{
    struct sim *s = sim_new(&(struct sim_opts){.seed = 31});
    ask(s, "pending"), ask(s, "denied"), ask(s, "approved");
    judge(s, "denied", "Denied");
    judge(s, "approved", "Approved"); /* by a signer that never comes */
    sim_run(s, HOUR_MS - 60 * 1000);
    assert_true(is_there(s, "denied"));
    sim_run(s, 120 * 1000);
    assert_false(is_there(s, "denied"));
    assert_true(is_there(s, "pending"));
    sim_run(s, 22 * HOUR_MS);
    assert_true(is_there(s, "pending"));
    sim_run(s, HOUR_MS + 120 * 1000);
    assert_false(is_there(s, "pending"));
    assert_true(is_there(s, "approved"));
    sim_free(s);
}

static void test_tokens_end(void **state)
{
    struct sim *s = sim_new(&(struct sim_opts){.seed = 32});
    struct str end = write_time(s->mem, loop_wall_ms(s->loop) + 10 * 60 * 1000);
    sim_create(s, "", "namespaces", "", "{'metadata':{'name':'kube-system'}}");
    sim_create(s, "", "secrets", "kube-system",
               str_fmtz(s->mem,
                        "{'metadata':{'name':'bootstrap-token-abcdef'},'type':'bootstrap.kubernetes.io/token','data':"
                        "{'token-id':'YWJjZGVm','token-secret':'MDEyMzQ1Njc4OWFiY2RlZg==','expiration':'" STR_FMT "'}}",
                        STR_ARG(str_base64(s->mem, end))));
    sim_run(s, 9 * 60 * 1000);
    assert_non_null(sim_obj(s, "", "secrets", "kube-system", "bootstrap-token-abcdef"));
    sim_run(s, 2 * 60 * 1000);
    assert_null(sim_obj(s, "", "secrets", "kube-system", "bootstrap-token-abcdef"));
    sim_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_old_requests_are_removed),
        cmocka_unit_test(test_tokens_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
