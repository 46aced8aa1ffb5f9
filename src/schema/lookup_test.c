#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "schema/tables.h"

static void test_tables_are_sound(void **state)
{
    for (int i = 0; i < schema_type_count; i++) {
        const struct type *t = &schema_types[i];
        assert_ptr_equal(schema_type(t->name), t);
        for (int j = 0; j < t->field_count; j++) {
            assert_int_equal(strlen(t->fields[j].name), t->fields[j].name_len);
            assert_ptr_equal(type_field(t, str_of(t->fields[j].name)), &t->fields[j]);
            assert_non_null(t->fields[j].type);
        }
    }
    assert_null(schema_type("core.v1.Nothing"));
    assert_null(type_field(schema_type("core.v1.Pod"), STR("specs")));
}

static void test_resources_are_found_by_name_and_kind(void **state)
{
    const struct resource *r = schema_resource(STR("apps"), STR("v1"), STR("deployments"));
    assert_non_null(r);
    assert_string_equal(r->list_kind, "DeploymentList");
    assert_string_equal(r->api_version, "apps/v1");
    assert_true(r->namespaced && r->has_status && r->has_generation);
    assert_ptr_equal(schema_kind(STR("apps"), STR("v1"), STR("Deployment")), r);
    assert_ptr_equal(schema_stored("apps", "deployments"), r);
    assert_string_equal(resource_subresource(r, STR("scale"))->kind, "Scale");
    assert_string_equal(resource_subresource(r, STR("scale"))->group, "autoscaling");
    assert_null(resource_subresource(r, STR("scales")));
    assert_null(schema_resource(STR("extensions"), STR("v1beta1"), STR("deployments")));
    assert_string_equal(schema_resources[0]->api_version, "v1");
    for (int i = 0; schema_resources[i]; i++)
        assert_non_null(schema_body(str_of(schema_resources[i]->api_version), str_of(schema_resources[i]->kind)));
}

static void test_bodies_that_are_no_resources(void **state)
{
    assert_ptr_equal(schema_body(STR("v1"), STR("DeleteOptions")), schema_type("meta.v1.DeleteOptions"));
    assert_ptr_equal(schema_body(STR("apps/v1"), STR("DeleteOptions")), schema_type("meta.v1.DeleteOptions"));
    assert_ptr_equal(schema_body(STR("meta.k8s.io/v1"), STR("Table")), schema_type("meta.v1.Table"));
    assert_ptr_equal(schema_body(STR("v1"), STR("PodList")), schema_type("core.v1.PodList"));
    assert_null(schema_body(STR("v1"), STR("PodSpec"))); /* no body: it has no kind */
    assert_null(schema_body(STR("apps/v2"), STR("Status")));
}

static void test_inlined_structs_keep_their_message(void **state)
{
    const struct type *volume = schema_type("core.v1.Volume");
    const struct field *f = type_field(volume, STR("emptyDir"));
    assert_non_null(f);
    assert_true(f->flags & FIELD_INLINED);
    assert_int_equal(f->pb_number, 0);
    assert_int_equal(volume->number_count, 2);
    assert_ptr_equal(volume->inlines[0].type, schema_type("core.v1.VolumeSource"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables_are_sound),
        cmocka_unit_test(test_resources_are_found_by_name_and_kind),
        cmocka_unit_test(test_bodies_that_are_no_resources),
        cmocka_unit_test(test_inlined_structs_keep_their_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
