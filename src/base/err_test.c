/* base/err_test.c - texts as apimachinery's own tests and sources have them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"

static struct arena *mem;

static int setup(void **state)
{
    mem = arena_new();
    return 0;
}

static int teardown(void **state)
{
    mem = arena_free(mem);
    return 0;
}

static void assert_str(struct str got, const char *want)
{
    assert_string_equal(str_z(mem, got), want);
}

static void test_texts_of_the_common_errors(void **state)
{
    struct err e = ERR(mem);
    assert_int_equal(err_not_found(&e, STR_NULL, STR("pods"), STR("x")), -1);
    assert_str(e.message, "pods \"x\" not found");
    assert_int_equal(e.reason, ERR_NOT_FOUND);
    assert_int_equal(err_code(e.reason), 404);
    assert_string_equal(err_word(e.reason), "NotFound");
    err_already_exists(&e, STR("apps"), STR("deployments"), STR("x"));
    assert_str(e.message, "deployments.apps \"x\" already exists");
    assert_str(e.group, "apps");
    assert_str(e.kind, "deployments");
    err_conflict(&e, STR_NULL, STR("pods"), STR("x"), "the object has been modified");
    assert_str(e.message, "Operation cannot be fulfilled on pods \"x\": the object has been modified");
    err_set(&e, ERR_TIMEOUT, "waited %d s", 3);
    assert_str(e.message, "waited 3 s");
    assert_int_equal(err_set(NULL, ERR_INTERNAL, "nobody cares"), -1);
    assert_int_equal(err_not_found(NULL, STR_NULL, STR("pods"), STR("x")), -1);
    assert_int_equal(err_code(ERR_NONE), 200);
}

static void test_field_paths(void **state)
{
    const struct fpath spec = {NULL, "spec", 0}, containers = {&spec, "containers", 0}, first = {&containers, NULL, 0},
                       ports = {&first, "ports", 0}, third = {&ports, NULL, 2}, port = {&third, "containerPort", 0};
    assert_str(fpath_str(mem, &port), "spec.containers[0].ports[2].containerPort");
    const struct fpath data = {NULL, "data", 0}, key = {&data, NULL, 0, STR("a.b/c")};
    assert_str(fpath_str(mem, &key), "data[a.b/c]");
    const struct fpath far = {&data, NULL, INT32_MAX};
    assert_str(fpath_str(mem, &far), "data[2147483647]");
    assert_str(fpath_str(mem, NULL), "<nil>");
}

static void test_cause_texts(void **state)
{
    struct err e = ERR(mem);
    const struct fpath at = {NULL, "spec", 0};
    static const char *const protocols[] = {"TCP", "UDP"};
    static const char *const want[] = {
        "Invalid value: 70000: must be between 1 and 65535, inclusive",
        "Invalid value: \"A\\n\": must be lower case",
        "Invalid value: {\"a\":1}: no",
        "Required value",
        "Required value: must say so",
        "Forbidden: may not be set",
        "Duplicate value: \"x\"",
        "Not found: \"v\"",
        "Unsupported value: \"TCPX\": supported values: \"TCP\", \"UDP\"",
        "Too long: may not be more than 3 bytes",
        "Too many: 5: must have at most 3 items",
        "Internal error: broken",
        "conflict with \"kubectl\" using v1",
    };
    err_cause_int(&e, CAUSE_INVALID, &at, 70000, "must be between %d and %d, inclusive", 1, 65535);
    err_cause_str(&e, CAUSE_INVALID, &at, STR("A\n"), "must be lower case");
    err_cause_raw(&e, CAUSE_INVALID, &at, STR("{\"a\":1}"), "no");
    err_cause(&e, CAUSE_REQUIRED, &at, NULL);
    err_cause(&e, CAUSE_REQUIRED, &at, "must say so");
    err_cause(&e, CAUSE_FORBIDDEN, &at, "may not be set");
    err_cause_str(&e, CAUSE_DUPLICATE, &at, STR("x"), NULL);
    err_cause_str(&e, CAUSE_NOT_FOUND, &at, STR("v"), NULL);
    err_cause_enum(&e, &at, STR("TCPX"), protocols, 2);
    err_cause_str(&e, CAUSE_TOO_LONG, &at, STR("abcd"), "may not be more than %d bytes", 3);
    err_cause_int(&e, CAUSE_TOO_MANY, &at, 5, "must have at most %d items", 3);
    err_cause(&e, CAUSE_INTERNAL, &at, "broken");
    err_cause(&e, CAUSE_CONFLICT, &at, "conflict with \"kubectl\" using v1");
    int i = 0;
    for (const struct cause *c = e.causes; c; c = c->next) {
        assert_str(c->message, want[i++]);
        assert_str(c->field, "spec");
    }
    assert_int_equal(i, sizeof want / sizeof *want);
    assert_int_equal(e.cause_count, i);
    err_cause(NULL, CAUSE_INTERNAL, &at, "nobody cares");
}

static void test_invalid_aggregates(void **state)
{
    struct err e = ERR(mem);
    const struct fpath a = {NULL, "a", 0}, b = {NULL, "b", 0};
    assert_int_equal(err_invalid(&e, STR_NULL, STR("Pod"), STR("x")), 0);
    assert_int_equal(e.reason, ERR_NONE);
    err_cause(&e, CAUSE_REQUIRED, &a, NULL);
    assert_int_equal(err_invalid(&e, STR_NULL, STR("Pod"), STR("x")), -1);
    assert_str(e.message, "Pod \"x\" is invalid: a: Required value");
    err_cause(&e, CAUSE_REQUIRED, &a, NULL); /* equal: once in the text, twice in the causes */
    err_invalid(&e, STR_NULL, STR("Pod"), STR("x"));
    assert_str(e.message, "Pod \"x\" is invalid: a: Required value");
    err_cause(&e, CAUSE_FORBIDDEN, &b, "no");
    err_invalid(&e, STR("apps"), STR("Deployment"), STR("x"));
    assert_str(e.message, "Deployment.apps \"x\" is invalid: [a: Required value, b: Forbidden: no]");
    assert_int_equal(e.reason, ERR_INVALID);
    assert_str(e.kind, "Deployment");
}

static void test_causes_have_a_limit(void **state)
{
    struct err e = ERR(mem);
    for (int i = 0; i < ERR_CAUSES_MAX + 5; i++)
        err_cause_int(&e, CAUSE_INVALID, NULL, i, NULL);
    int kept = 0;
    for (const struct cause *c = e.causes; c; c = c->next)
        kept++;
    assert_int_equal(kept, ERR_CAUSES_MAX);
    assert_int_equal(e.cause_count, ERR_CAUSES_MAX + 5);
}

static void test_copy_outlives_the_original(void **state)
{
    struct arena *other = arena_new();
    struct err e = ERR(other), copy = ERR(mem);
    const struct fpath a = {NULL, "a", 0};
    err_cause(&e, CAUSE_REQUIRED, &a, NULL);
    err_cause(&e, CAUSE_FORBIDDEN, &a, "x");
    err_invalid(&e, STR_NULL, STR("Pod"), STR("x"));
    err_copy(&copy, &e);
    arena_free(other);
    assert_str(copy.message, "Pod \"x\" is invalid: [a: Required value, a: Forbidden: x]");
    assert_str(copy.causes->next->message, "Forbidden: x");
    assert_ptr_equal(copy.causes->next, copy.causes_last);
    err_cause(&copy, CAUSE_INTERNAL, &a, "more"); /* still appendable */
    assert_str(copy.causes_last->message, "Internal error: more");
    assert_int_equal(copy.cause_count, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_texts_of_the_common_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_field_paths, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cause_texts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_invalid_aggregates, setup, teardown),
        cmocka_unit_test_setup_teardown(test_causes_have_a_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_copy_outlives_the_original, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
