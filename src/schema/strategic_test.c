/* Strategic merge patches as an API server applies them. Source: apimachinery pkg/util/strategicpatch, KEP/design
 * proposals strategic-merge-patch.md and preserve-order-in-strategic-merge-patch.md, and what kubectl sends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "schema/schema.h"

static const struct {
    const char *what, *type, *target, *patch, *out; /* out: the result, or ! and the message */
} cases[] = {
    {"members merge, null deletes", "core.v1.PodSpec", "{'hostname':'a','subdomain':'s'}",
     "{'hostname':null,'nodeName':'n','gone':null}", "{'subdomain':'s','nodeName':'n'}"},
    {"containers merge by name", "core.v1.PodSpec",
     "{'containers':[{'name':'a','image':'x'},{'name':'b','image':'y'}]}", "{'containers':[{'name':'b','image':'z'}]}",
     "{'containers':[{'name':'a','image':'x'},{'name':'b','image':'z'}]}"},
    {"a new item goes first, before what only the server has", "core.v1.PodSpec", "{'containers':[{'name':'a'}]}",
     "{'containers':[{'name':'c','image':'i'}]}", "{'containers':[{'name':'c','image':'i'},{'name':'a'}]}"},
    {"an item is deleted", "core.v1.PodSpec", "{'containers':[{'name':'a'},{'name':'b'}]}",
     "{'containers':[{'$patch':'delete','name':'a'}]}", "{'containers':[{'name':'b'}]}"},
    {"a list is replaced", "core.v1.PodSpec", "{'containers':[{'name':'a'},{'name':'b'}]}",
     "{'containers':[{'$patch':'replace'},{'name':'c'}]}", "{'containers':[{'name':'c'}]}"},
    {"an object is replaced", "core.v1.PodSpec", "{'securityContext':{'runAsUser':1,'fsGroup':2}}",
     "{'securityContext':{'$patch':'replace','runAsUser':3}}", "{'securityContext':{'runAsUser':3}}"},
    {"an object is emptied", "core.v1.PodSpec", "{'securityContext':{'runAsUser':1}}",
     "{'securityContext':{'$patch':'delete'}}", "{'securityContext':{}}"},
    {"an atomic list is replaced", "core.v1.Container", "{'command':['a','b']}", "{'command':['c']}",
     "{'command':['c']}"},
    {"scalars merge without doubles", "meta.v1.ObjectMeta", "{'finalizers':['a','b']}", "{'finalizers':['b','c']}",
     "{'finalizers':['a','b','c']}"},
    {"scalars are deleted", "meta.v1.ObjectMeta", "{'finalizers':['a','b','c']}",
     "{'$deleteFromPrimitiveList/finalizers':['b']}", "{'finalizers':['a','c']}"},
    {"scalars in a wanted order", "meta.v1.ObjectMeta", "{'finalizers':['a','b','c']}",
     "{'$setElementOrder/finalizers':['c','d','a'],'finalizers':['d']}", "{'finalizers':['b','c','d','a']}"},
    {"kubectl apply: an item added at the end", "core.v1.PodSpec",
     "{'containers':[{'name':'a','image':'x'},{'name':'s'}]}",
     "{'$setElementOrder/containers':[{'name':'a'},{'name':'b'}],'containers':[{'name':'b','image':'y'}]}",
     "{'containers':[{'name':'a','image':'x'},{'name':'b','image':'y'},{'name':'s'}]}"},
    {"kubectl apply: order alone", "core.v1.PodSpec", "{'containers':[{'name':'a'},{'name':'b'}]}",
     "{'$setElementOrder/containers':[{'name':'b'},{'name':'a'}]}", "{'containers':[{'name':'b'},{'name':'a'}]}"},
    {"kubectl apply: an item deleted with its order", "core.v1.PodSpec", "{'containers':[{'name':'a'},{'name':'b'}]}",
     "{'$setElementOrder/containers':[{'name':'b'}],'containers':[{'$patch':'delete','name':'a'}]}",
     "{'containers':[{'name':'b'}]}"},
    {"retainKeys: what it does not name goes", "apps.v1.DeploymentSpec",
     "{'strategy':{'type':'RollingUpdate','rollingUpdate':{'maxSurge':1}}}",
     "{'strategy':{'$retainKeys':['type'],'type':'Recreate'}}", "{'strategy':{'type':'Recreate'}}"},
    {"retainKeys in a volume", "core.v1.PodSpec", "{'volumes':[{'name':'v','emptyDir':{}}]}",
     "{'volumes':[{'$retainKeys':['name','hostPath'],'name':'v','hostPath':{'path':'/x'}}]}",
     "{'volumes':[{'name':'v','hostPath':{'path':'/x'}}]}"},
    {"maps merge by key", "meta.v1.ObjectMeta", "{'labels':{'a':'1','b':'2'}}", "{'labels':{'a':null,'c':'3'}}",
     "{'labels':{'b':'2','c':'3'}}"},
    {"ports merge by containerPort", "core.v1.Container", "{'ports':[{'containerPort':80,'name':'w'}]}",
     "{'ports':[{'containerPort':80,'protocol':'UDP'},{'containerPort':81}]}",
     "{'ports':[{'containerPort':80,'name':'w','protocol':'UDP'},{'containerPort':81}]}"},
    {"nulls in what is new are dropped", "core.v1.PodSpec", "{}", "{'securityContext':{'runAsUser':null,'fsGroup':2}}",
     "{'securityContext':{'fsGroup':2}}"},
    {"an item without its key", "core.v1.PodSpec", "{'containers':[{'name':'a'}]}", "{'containers':[{'image':'x'}]}",
     "!map: map[image:x] does not contain declared merge key: name"},
    {"an unknown directive", "core.v1.PodSpec", "{'securityContext':{}}", "{'securityContext':{'$patch':'foo'}}",
     "!unknown patch type: foo in map: map[$patch:foo]"},
    {"retainKeys must name what the patch sets", "apps.v1.DeploymentSpec", "{'strategy':{'type':'Recreate'}}",
     "{'strategy':{'$retainKeys':['type'],'rollingUpdate':{}}}", "!invalid patch format of retainKeys"},
    {"an order that the patch's list does not keep", "core.v1.PodSpec", "{'containers':[{'name':'a'}]}",
     "{'$setElementOrder/containers':[{'name':'a'}],'containers':[{'name':'b'}]}",
     "!The order in patch list:\n[map[name:b]]\n doesn't match $setElementOrder list:\n[map[name:a]]\n"},
};

static char *quotes(struct arena *mem, const char *text)
{
    char *z = str_z(mem, str_of(text));
    for (char *p = z; *p; p++)
        if (*p == '\'')
            *p = '"';
    return z;
}

static void test_patches(void **state)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        cleanup_arena struct arena *mem = arena_new();
        struct err err = ERR(mem);
        struct doc *target = doc_parse(mem, str_of(quotes(mem, cases[i].target)), NULL, &err);
        struct doc *patch = doc_parse(mem, str_of(quotes(mem, cases[i].patch)), NULL, &err);
        assert_true(target && patch);
        struct str before = doc_json(mem, patch);
        struct doc *out = schema_strategic_merge(mem, schema_type(cases[i].type), target, patch, &err);
        const char *got = out ? str_z(mem, doc_json(mem, out)) : str_fmtz(mem, "!" STR_FMT, STR_ARG(err.message));
        const char *want = cases[i].out[0] == '!' ? cases[i].out : quotes(mem, cases[i].out);
        if (strcmp(got, want) != 0)
            fail_msg("%s:\n got %s\nwant %s", cases[i].what, got, want);
        assert_true(
            str_eq(before, doc_json(mem, patch))); /* the patch is not touched: it is tried again on a conflict */
    }
}

/* A hundred thousand keys meet as many: linear, and right. */
static void test_large_maps(void **state)
{
    enum { KEYS = 100000 };
    cleanup_arena struct arena *mem = arena_new();
    struct err err = ERR(mem);
    struct sb a = SB(mem), b = SB(mem);
    for (int i = 0; i < KEYS; i++) {
        sb_addf(&a, "%s\"k%d\":\"a\"", i ? "," : "{\"data\":{", i);
        sb_addf(&b, i % 2 ? "%s\"k%d\":null" : "%s\"k%d\":\"b\"", i ? "," : "{\"data\":{\"new\":\"n\",", i + 1);
    }
    sb_addz(&a, "}}"), sb_addz(&b, "}}");
    struct doc *target = doc_parse(mem, sb_str(&a), NULL, &err), *patch = doc_parse(mem, sb_str(&b), NULL, &err);
    assert_true(target && patch);
    struct doc *data =
        doc_get(schema_strategic_merge(mem, schema_type("core.v1.ConfigMap"), target, patch, &err), "data");
    assert_int_equal(doc_len(data), KEYS / 2 + 2); /* k0, the odd ones, new */
    assert_string_equal(str_z(mem, doc_str(data, "k1")), "b");
    assert_string_equal(str_z(mem, doc_str(data, "k0")), "a");
    assert_null(doc_get(data, "k2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patches),
        cmocka_unit_test(test_large_maps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
