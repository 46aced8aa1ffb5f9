#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "schema/tables.h"

static void set_ok(const char *list)
{
    assert_int_equal(gates_set(str_of(list), NULL), 0);
}

static void set_fails(const char *list, const char *message)
{
    cleanup_arena struct arena *mem = arena_new();
    struct err err = ERR(mem);
    assert_int_equal(gates_set(str_of(list), &err), -1);
    assert_int_equal(err.reason, ERR_BAD_REQUEST);
    assert_string_equal(str_z(mem, err.message), message);
}

static void test_every_gate_starts_at_its_default(void **state)
{
    for (int i = 0; i < schema_gate_count; i++) {
        assert_int_equal(gate_on(&schema_gates[i]), schema_gates[i].on_by_default);
        assert_ptr_equal(gate_find(str_of(schema_gates[i].name)), &schema_gates[i]);
    }
    assert_true(gate_on(NULL));
}

static void test_a_gate_wins_over_the_wide_switch(void **state)
{
    const struct feature_gate *one = gate_find(STR("HPAConfigurableTolerance"));
    set_ok("HPAConfigurableTolerance=false, AllBeta=true");
    assert_false(gate_on(one));
    set_ok("HPAConfigurableTolerance=T");
    assert_true(gate_on(one));
    set_ok("AllAlpha=false,AllBeta=false");
    assert_false(gate_on(one));
}

static void test_mistakes_change_nothing(void **state)
{
    const struct feature_gate *one = gate_find(STR("HPAConfigurableTolerance"));
    set_ok("HPAConfigurableTolerance=true");
    set_fails("HPAConfigurableTolerance=false,Nonsense=true", "unrecognized feature gate: Nonsense");
    set_fails("HPAConfigurableTolerance", "missing bool value for HPAConfigurableTolerance");
    set_fails(
        "HPAConfigurableTolerance=maybe",
        "invalid value of HPAConfigurableTolerance=maybe, err: strconv.ParseBool: parsing \"maybe\": invalid syntax");
    assert_true(gate_on(one));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_gate_starts_at_its_default),
        cmocka_unit_test(test_a_gate_wins_over_the_wide_switch),
        cmocka_unit_test(test_mistakes_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
