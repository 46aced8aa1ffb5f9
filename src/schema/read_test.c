/* Reading: the words of Go's decoder and of the strict decoder, and what becomes canonical. Source: a 1.36 API server's
 * answers, sigs.k8s.io/json, apimachinery pkg/apis/meta/v1 and pkg/util/intstr. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "schema/schema.h"

static const struct {
    const char *what, *type, *in;
    enum field_validation mode;
    const char *out; /* the object, or the message */
} cases[] = {
    {"a wrong scalar", "apps.v1.Deployment", "{'apiVersion':'apps/v1','kind':'Deployment','spec':{'replicas':'3'}}",
     FIELDS_STRICT,
     "!Deployment in version \"v1\" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct "
     "field "
     "DeploymentSpec.spec.replicas of type int32"},
    {"indexes are not named, the innermost struct is", "core.v1.Pod",
     "{'apiVersion':'v1','kind':'Pod','spec':{'containers':[{'env':[{'name':'A','value':1}]}]}}", FIELDS_IGNORE,
     "!Pod in version \"v1\" cannot be handled as a Pod: json: cannot unmarshal number into Go struct field "
     "EnvVar.spec.containers.env.value of type string"},
    {"a map's key is not named", "core.v1.ConfigMap", "{'apiVersion':'v1','kind':'ConfigMap','data':{'a':true}}",
     FIELDS_IGNORE,
     "!ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal bool into Go struct field "
     "ConfigMap.data of type string"},
    {"a list is wanted", "core.v1.Pod", "{'apiVersion':'v1','kind':'Pod','spec':{'containers':{}}}", FIELDS_IGNORE,
     "!Pod in version \"v1\" cannot be handled as a Pod: json: cannot unmarshal object into Go struct field "
     "PodSpec.spec.containers of type []v1.Container"},
    {"a named string type", "core.v1.Pod", "{'apiVersion':'v1','kind':'Pod','spec':{'restartPolicy':[]}}",
     FIELDS_IGNORE,
     "!Pod in version \"v1\" cannot be handled as a Pod: json: cannot unmarshal array into Go struct field "
     "PodSpec.spec.restartPolicy of type v1.RestartPolicy"},
    {"a fraction is no integer", "apps.v1.DeploymentSpec", "{'replicas':1.5}", FIELDS_IGNORE,
     "!the object provided is unrecognized (must be of type DeploymentSpec): json: cannot unmarshal number 1.5 into Go "
     "struct field "
     "DeploymentSpec.replicas of type int32"},
    {"an integer that does not fit", "apps.v1.DeploymentSpec", "{'replicas':5000000000}", FIELDS_IGNORE,
     "!the object provided is unrecognized (must be of type DeploymentSpec): json: cannot unmarshal number 5000000000 "
     "into Go struct "
     "field DeploymentSpec.replicas of type int32"},
    {"a quantity that is none", "core.v1.Pod",
     "{'apiVersion':'v1','kind':'Pod','spec':{'containers':[{'resources':{'limits':{'cpu':'much'}}}]}}", FIELDS_IGNORE,
     "!Pod in version \"v1\" cannot be handled as a Pod: quantities must match the regular expression "
     "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"},
    {"a time that is none", "core.v1.Pod", "{'apiVersion':'v1','kind':'Pod','metadata':{'creationTimestamp':'today'}}",
     FIELDS_IGNORE,
     "!Pod in version \"v1\" cannot be handled as a Pod: parsing time \"today\" as \"2006-01-02T15:04:05Z07:00\": "
     "cannot parse "
     "\"today\" as \"2006\""},
    {"bytes that are none", "core.v1.Secret", "{'apiVersion':'v1','kind':'Secret','data':{'a':'%'}}", FIELDS_IGNORE,
     "!Secret in version \"v1\" cannot be handled as a Secret: illegal base64 data at input byte 0"},
    {"unknown fields, strictly, all of them", "core.v1.Pod",
     "{'apiVersion':'v1','kind':'Pod','spec':{'foo':1,'containers':[{'name':'a'},{'name':'b','imag':'x'}]}}",
     FIELDS_STRICT,
     "!Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: unknown field \"spec.foo\", unknown "
     "field "
     "\"spec.containers[1].imag\""},
    {"unknown fields with a NUL (found by fuzzing)", "core.v1.PodSpec", "{'a\\u0000b':1}", FIELDS_STRICT,
     "!the object provided is unrecognized (must be of type PodSpec): strict decoding error: unknown field "
     "\"a\\x7fb\""},
    {"unknown fields are dropped", "core.v1.PodSpec", "{'foo':1,'hostname':'h','bar':[{}]}", FIELDS_IGNORE,
     "{'hostname':'h'}"},
    {"names are told apart by case", "core.v1.PodSpec", "{'HostName':'h'}", FIELDS_IGNORE, "{}"},
    {"a null item is a zero one", "core.v1.PodSpec", "{'containers':[null]}", FIELDS_IGNORE,
     "{'containers':[{'name':'','resources':{}}]}"},
    {"a null value of a map too", "core.v1.ConfigMap", "{'data':{'a':null}}", FIELDS_IGNORE, "{'data':{'a':''}}"},
    {"line ends in base64 are skipped", "core.v1.Secret", "{'data':{'a':'YWJj\\nZA=='}}", FIELDS_IGNORE,
     "{'data':{'a':'YWJjZA=='}}"},
    {"anything goes below a raw object", "apps.v1.ControllerRevision", "{'data':{'x':null,'y':{'z':1}}}", FIELDS_STRICT,
     "{'data':{'x':null,'y':{'z':1}}}"},
    {"numbers are written as Go does", "apiextensions.v1.JSONSchemaProps",
     "{'maximum':1.20,'minimum':1e-7,'multipleOf':0.00012}", FIELDS_STRICT,
     "{'maximum':1.2,'minimum':1e-7,'multipleOf':0.00012}"},
    {"and when they are large", "apiextensions.v1.JSONSchemaProps",
     "{'maximum':1E3,'minimum':-123456789012345678901.5,'multipleOf':2.5e22}", FIELDS_STRICT,
     "{'maximum':1000,'minimum':-123456789012345680000,'multipleOf':2.5e+22}"},
    {"base64 without stray bits", "core.v1.Secret", "{'data':{'a':'AG=='}}", FIELDS_STRICT, "{'data':{'a':'AA=='}}"},
    {"a schema or a boolean", "apiextensions.v1.JSONSchemaProps",
     "{'additionalProperties':false,'items':{'type':'string'},'properties':{'a':{'additionalProperties':{'type':'"
     "integer'}}}}",
     FIELDS_STRICT,
     "{'additionalProperties':false,'items':{'type':'string'},'properties':{'a':{'additionalProperties':{'type':'"
     "integer'}}}}"},
};

static char *quotes(struct arena *mem, const char *text)
{
    char *z = str_z(mem, str_of(text));
    for (char *p = z; *p; p++)
        if (*p == '\'')
            *p = '"';
    return z;
}

static void test_reading(void **state)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        cleanup_arena struct arena *mem = arena_new();
        struct err err = ERR(mem);
        bool bad = cases[i].out[0] == '!';
        struct doc *obj = doc_parse(mem, str_of(quotes(mem, cases[i].in)), NULL, &err);
        assert_non_null(obj);
        int r = schema_read(mem, schema_type(cases[i].type), obj, cases[i].mode, NULL, NULL, &err);
        const char *got = r < 0 ? str_z(mem, err.message) : str_z(mem, doc_json(mem, obj));
        const char *want = bad ? cases[i].out + 1 : quotes(mem, cases[i].out);
        if (strcmp(got, want) != 0 || (r < 0) != bad)
            fail_msg("%s:\n got %s\nwant %s", cases[i].what, got, want);
    }
}

static void test_warnings_name_unknown_and_duplicate_fields(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct err err = ERR(mem);
    struct doc_dups dups = {0};
    struct doc_opts opts = {.ret_dups = &dups};
    struct warnings w = {0};
    struct doc *obj = doc_parse(mem, STR("{\"spec\":{\"hostname\":\"a\",\"foo\":1,\"hostname\":\"b\"}}"), &opts, &err);
    assert_int_equal(schema_read(mem, schema_type("core.v1.Pod"), obj, FIELDS_WARN, &dups, &w, &err), 0);
    assert_int_equal(w.count, 2);
    assert_string_equal(str_z(mem, w.texts[0]), "unknown field \"spec.foo\"");
    assert_string_equal(str_z(mem, w.texts[1]), "duplicate field \"spec.hostname\"");
    assert_string_equal(str_z(mem, doc_json(mem, obj)), "{\"spec\":{\"hostname\":\"b\"}}");
}

static void test_depth_is_bounded(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct err err = ERR(mem);
    struct sb b = SB(mem);
    for (int i = 0; i < 5000; i++)
        sb_addz(&b, "{\"not\":");
    sb_addz(&b, "{}");
    for (int i = 0; i < 5000; i++)
        sb_addc(&b, '}');
    struct doc *obj = doc_parse(mem, sb_str(&b), NULL, &err);
    assert_non_null(obj);
    assert_int_equal(
        schema_read(mem, schema_type("apiextensions.v1.JSONSchemaProps"), obj, FIELDS_IGNORE, NULL, NULL, &err), -1);
    assert_true(str_has(err.message, STR("exceeded max depth")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reading),
        cmocka_unit_test(test_warnings_name_unknown_and_duplicate_fields),
        cmocka_unit_test(test_depth_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
