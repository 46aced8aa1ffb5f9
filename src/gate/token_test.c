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

static struct str extra_of(const struct user *u, const char *key)
{
    for (int i = 0; u && i < u->extra_count; i++)
        if (str_is(u->extra[i].key, key))
            return u->extra[i].values[0];
    return STR_NULL;
}

/* A pod's token names its node, and outlives it; one bound to the node itself does not. */
static void test_a_pod_says_where_it_is(void **state)
{
    struct world *w = start();
    const struct obj *node = world_put(w, "", "nodes", "", "{\"metadata\":{\"name\":\"n\"}}");
    const struct obj *p =
        world_put(w, "", "pods", "ns",
                  "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"nodeName\":\"n\",\"serviceAccountName\":"
                  "\"app\",\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}");
    struct str node_uid = str_dup(w->mem, node->uid);
    struct str of_pod = issue(w, "Pod", "p", str_dup(w->mem, p->uid), NULL, 3600),
               of_node = issue(w, "Node", "n", node_uid, NULL, 3600);
    const struct user *u = ask(w, of_pod, NULL);
    assert_true(str_is(extra_of(u, "authentication.kubernetes.io/pod-name"), "p"));
    assert_true(str_is(extra_of(u, "authentication.kubernetes.io/node-name"), "n"));
    assert_true(str_eq(extra_of(u, "authentication.kubernetes.io/node-uid"), node_uid));
    assert_true(str_starts(extra_of(u, "authentication.kubernetes.io/credential-id"), STR("JTI=")));
    assert_true(str_is(extra_of(ask(w, of_node, NULL), "authentication.kubernetes.io/node-name"), "n"));
    world_delete(w, "", "nodes", "", "n");
    assert_non_null(ask(w, of_pod, NULL));
    assert_null(ask(w, of_node, NULL));
    world_free(w);
}

/* ---- bootstrap tokens */

static void put_bootstrap_token(struct world *w, const char *id, const char *key, const char *value)
{
    struct doc *d = doc_new_object(w->mem), *data = doc_sub(w->mem, d, "data");
    doc_put_str(w->mem, d, "type", STR("bootstrap.kubernetes.io/token"));
    doc_put_str(w->mem, doc_sub(w->mem, d, "metadata"), "name", str_fmt(w->mem, "bootstrap-token-%s", id));
    doc_put_str(w->mem, data, "token-id", str_base64(w->mem, str_of(id)));
    doc_put_str(w->mem, data, "token-secret", str_base64(w->mem, STR("0123456789abcdef")));
    doc_put_str(w->mem, data, "usage-bootstrap-authentication", str_base64(w->mem, STR("true")));
    doc_put_str(w->mem, data, key, str_base64(w->mem, str_of(value)));
    world_put(w, "", "secrets", "kube-system", str_z(w->mem, doc_json(w->mem, d)));
}

static void test_bootstrap_tokens(void **state)
{
    struct world *w = start();
    int64_t now_s = loop_wall_ms(w->loop) / 1000;
    world_put(w, "", "namespaces", "", "{\"metadata\":{\"name\":\"kube-system\"}}");
    put_bootstrap_token(w, "aaaaaa", "auth-extra-groups", "system:bootstrappers:x");
    put_bootstrap_token(w, "bbbbbb", "usage-bootstrap-authentication", "false");
    put_bootstrap_token(w, "cccccc", "auth-extra-groups", "system:masters");
    put_bootstrap_token(w, "dddddd", "expiration", str_z(w->mem, write_time(w->mem, (now_s + 60) * 1000)));
    const struct user *u = ask(w, STR("aaaaaa.0123456789abcdef"), NULL);
    assert_true(u && str_is(u->name, "system:bootstrap:aaaaaa"));
    assert_true(user_in_group(u, "system:bootstrappers") && user_in_group(u, "system:bootstrappers:x") &&
                user_in_group(u, "system:authenticated"));
    assert_null(ask(w, STR("aaaaaa.0123456789abcdee"), NULL));
    assert_null(ask(w, STR("aaaaaa.0123456789abcdef"), "vault"));
    assert_null(ask(w, STR("bbbbbb.0123456789abcdef"), NULL));
    assert_null(ask(w, STR("cccccc.0123456789abcdef"), NULL));
    assert_null(ask(w, STR("eeeeee.0123456789abcdef"), NULL));
    assert_non_null(ask(w, STR("dddddd.0123456789abcdef"), NULL));
    loop_sim_run(w->loop, 61 * 1000);
    assert_null(ask(w, STR("dddddd.0123456789abcdef"), NULL));
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
        cmocka_unit_test(test_a_pod_says_where_it_is),
        cmocka_unit_test(test_bootstrap_tokens),
        cmocka_unit_test(test_it_dies_with_what_it_is_bound_to),
        cmocka_unit_test(test_what_we_did_not_sign),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
