/* gate/token_test.c - which tokens are believed, and for how long. KEP-1205. */
#include "gate/test_gate.h"

static struct str issue(struct world *w, const char *kind, const char *name, struct str uid, const char *audience,
                        int64_t lifetime_s)
{
    const struct obj *sa = cache_find(w->cache, schema_stored("", "serviceaccounts"), STR("ns"), STR("app"));
    struct err err = ERR(w->mem);
    struct str token, aud = str_of(audience);
    int64_t expires;
    assert_int_equal(gate_issue_token(w->gate, w->mem, STR("ns"), STR("app"), sa->uid, &aud, audience ? 1 : 0,
                                      lifetime_s, kind, str_of(name), uid, &token, &expires, &err),
                     0);
    return token;
}

static const struct user *ask(struct world *w, struct str token, const char *audience)
{
    struct err err = ERR(w->mem);
    struct str aud = str_of(audience);
    const struct user *u = gate_authenticate_token(w->gate, w->mem, token, &aud, audience ? 1 : 0, &err);
    if (!u) {
        assert_int_equal(err.reason, ERR_UNAUTHORIZED);
        assert_true(str_is(err.message, "Unauthorized"));
    }
    return u;
}

static struct world *start(void)
{
    struct world *w = world_new();
    world_put(w, "", "namespaces", "", "{\"metadata\":{\"name\":\"ns\"}}");
    world_put(w, "", "serviceaccounts", "ns", "{\"metadata\":{\"name\":\"app\"}}");
    return w;
}

static void test_a_token_says_who(void **state)
{
    struct world *w = start();
    const struct user *u = ask(w, issue(w, NULL, NULL, STR_NULL, NULL, 3600), NULL);
    assert_non_null(u);
    assert_true(str_is(u->name, "system:serviceaccount:ns:app"));
    assert_true(user_in_group(u, "system:serviceaccounts") && user_in_group(u, "system:serviceaccounts:ns") &&
                user_in_group(u, "system:authenticated"));
    world_free(w);
}

static void test_it_expires(void **state)
{
    struct world *w = start();
    struct str token = issue(w, NULL, NULL, STR_NULL, NULL, 3600), least = issue(w, NULL, NULL, STR_NULL, NULL, 1);
    loop_sim_run(w->loop, 590 * 1000);
    assert_non_null(ask(w, least, NULL)); /* nothing is issued for less than 10 minutes */
    loop_sim_run(w->loop, 20 * 1000);
    assert_null(ask(w, least, NULL));
    assert_non_null(ask(w, token, NULL));
    loop_sim_run(w->loop, 3600 * 1000);
    assert_null(ask(w, token, NULL)); /* although its signature is remembered */
    world_free(w);
}

static void test_audiences(void **state)
{
    struct world *w = start();
    struct str ours = issue(w, NULL, NULL, STR_NULL, NULL, 3600), vault = issue(w, NULL, NULL, STR_NULL, "vault", 3600);
    assert_null(ask(w, vault, NULL));
    assert_non_null(ask(w, vault, "vault"));
    assert_null(ask(w, ours, "vault"));
    assert_non_null(ask(w, ours, "https://kubernetes.default.svc.cluster.local"));
    world_free(w);
}

static void test_it_dies_with_what_it_is_bound_to(void **state)
{
    struct world *w = start();
    static const char pod[] = "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"serviceAccountName\":\"app\",\"containers\":"
                              "[{\"name\":\"c\",\"image\":\"i\"}]}}";
    static const char secret[] = "{\"metadata\":{\"name\":\"s\"}}";
    const struct obj *p = world_put(w, "", "pods", "ns", pod), *s = world_put(w, "", "secrets", "ns", secret);
    struct str of_pod = issue(w, "Pod", "p", str_dup(w->mem, p->uid), NULL, 3600),
               of_secret = issue(w, "Secret", "s", str_dup(w->mem, s->uid), NULL, 3600),
               of_account = issue(w, NULL, NULL, STR_NULL, NULL, 3600);
    const struct user *u = ask(w, of_pod, NULL);
    assert_non_null(u);
    assert_int_equal(u->extra_count, 3);
    assert_true(str_is(u->extra[1].key, "authentication.kubernetes.io/pod-name") && str_is(u->extra[1].values[0], "p"));
    world_delete(w, "", "pods", "ns", "p");
    assert_null(ask(w, of_pod, NULL));
    world_put(w, "", "pods", "ns", pod); /* another of the same name */
    assert_null(ask(w, of_pod, NULL));
    assert_non_null(ask(w, of_secret, NULL));
    world_delete(w, "", "secrets", "ns", "s");
    assert_null(ask(w, of_secret, NULL));
    world_delete(w, "", "serviceaccounts", "ns", "app");
    assert_null(ask(w, of_account, NULL));
    world_put(w, "", "serviceaccounts", "ns", "{\"metadata\":{\"name\":\"app\"}}");
    assert_null(ask(w, of_account, NULL));
    world_free(w);
}

static struct str part(struct arena *mem, const char *json)
{
    return str_base64url(mem, str_of(json));
}

static void test_what_we_did_not_sign(void **state)
{
    struct world *w = start();
    struct str token = issue(w, NULL, NULL, STR_NULL, NULL, 3600), head, body, sig, rest;
    str_cut(token, '.', &head, &rest);
    str_cut(rest, '.', &body, &sig);
    struct str none = part(w->mem, "{\"alg\":\"none\"}"), hs = part(w->mem, "{\"alg\":\"HS256\"}"),
               root = part(w->mem, "{\"sub\":\"system:serviceaccount:kube-system:root\",\"exp\":99999999999}");
    char *flipped = str_z(w->mem, token);
    flipped[head.len + 5] ^= 1;
    const struct str bad[] = {
        str_of(flipped),
        str_fmt(w->mem, STR_FMT "." STR_FMT ".", STR_ARG(none), STR_ARG(body)),
        str_fmt(w->mem, STR_FMT "." STR_FMT "." STR_FMT, STR_ARG(none), STR_ARG(body), STR_ARG(sig)),
        str_fmt(w->mem, STR_FMT "." STR_FMT "." STR_FMT, STR_ARG(hs), STR_ARG(body), STR_ARG(sig)),
        str_fmt(w->mem, STR_FMT "." STR_FMT "." STR_FMT, STR_ARG(head), STR_ARG(root), STR_ARG(sig)),
        str_fmt(w->mem, STR_FMT "." STR_FMT "." STR_FMT ".x", STR_ARG(head), STR_ARG(body), STR_ARG(sig)),
        str_fmt(w->mem, STR_FMT "." STR_FMT, STR_ARG(head), STR_ARG(body)),
        str_fmt(w->mem, " " STR_FMT, STR_ARG(token)),
        STR(""),
        STR("."),
        STR(".."),
        STR("a.b.c"),
        str_mem(arena_zalloc(w->mem, 100000), 100000),
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (ask(w, bad[i], NULL))
            fail_msg("%zu is believed", i);
    assert_non_null(ask(w, token, NULL));
    struct world *other = start(); /* another cluster's */
    assert_null(ask(other, token, NULL));
    world_free(other);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_token_says_who),
        cmocka_unit_test(test_it_expires),
        cmocka_unit_test(test_audiences),
        cmocka_unit_test(test_it_dies_with_what_it_is_bound_to),
        cmocka_unit_test(test_what_we_did_not_sign),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
