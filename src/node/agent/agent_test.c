/* The pure parts: expansion and environment, back-off, what config.json says, QoS, messages that lie. */
#include <sys/prctl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/agent/pods.h"
#include "node/runtime/spec.h"
#include "node/volume/env.h"
#include "node/volume/volume.h"

static struct doc *parse(struct arena *mem, const char *text)
{
    struct err err = ERR(mem);
    struct doc *d = doc_parse(mem, str_of(text), NULL, &err);
    assert_non_null(d);
    return d;
}

/* Source: third_party/forked/golang/expansion/expand_test.go */
static void test_expand(void **state)
{
    static const char *const cases[][2] = {
        {"$(A)", "one"}, {"x$(A)y", "xoney"}, {"$$(A)", "$(A)"}, {"$(NO)", "$(NO)"},     {"$(A", "$(A"},
        {"$A", "$A"},    {"$$$(A)", "$one"},  {"$", "$"},        {"$(A)$(B)", "onetwo"}, {"", ""},
        {"a$$b", "a$b"},
    };
    cleanup_arena struct arena *mem = arena_new();
    struct str v[] = {STR("A=one"), STR("B=two")};
    const struct strv env = {v, 2};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(str_z(mem, env_expand(mem, str_of(cases[i][0]), &env)), cases[i][1]);
}

static enum env_lookup lookup(void *ctx, bool secret, struct str name, const struct doc **ret)
{
    if (str_is(name, "missing"))
        return ENV_MISSING;
    if (str_is(name, "later"))
        return ENV_WAITING;
    *ret = parse(ctx, secret ? "{\"data\":{\"p\":\"cHc=\"}}" : "{\"data\":{\"k\":\"v\",\"b=d\":\"x\"}}");
    return ENV_FOUND;
}

static void test_environment(void **state)
{
    static const struct {
        const char *container, *text;
        int result;
    } cases[] = {
        {"{\"env\":[{\"name\":\"A\",\"value\":\"1\"},{\"name\":\"B\",\"value\":\"$(A)$(I)$(S)\"}]}",
         "I=img S=svc A=1 B=1$(I)svc", 1},
        {"{\"envFrom\":[{\"prefix\":\"P_\",\"configMapRef\":{\"name\":\"c\"}},{\"secretRef\":{\"name\":\"s\"}}]}",
         "I=img S=svc P_k=v p=pw", 1},
        {"{\"env\":[{\"name\":\"N\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"metadata.labels['a']\"}}}]}",
         "I=img S=svc N=b", 1},
        {"{\"resources\":{\"limits\":{\"cpu\":\"1500m\"}},\"env\":[{\"name\":\"C\",\"valueFrom\":{\"resourceFieldRef\":"
         "{\"resource\":\"limits.cpu\"}}}]}",
         "I=img S=svc C=2", 1},
        {"{\"env\":[{\"name\":\"M\",\"valueFrom\":{\"resourceFieldRef\":{\"resource\":\"limits.memory\",\"divisor\":"
         "\"1Mi\"}}}]}",
         "I=img S=svc M=64", 1},
        {"{\"env\":[{\"name\":\"K\",\"valueFrom\":{\"configMapKeyRef\":{\"name\":\"c\",\"key\":\"no\"}}}]}",
         "couldn't find key no in ConfigMap ns/c", -1},
        {"{\"env\":[{\"name\":\"K\",\"valueFrom\":{\"configMapKeyRef\":{\"name\":\"c\",\"key\":\"no\",\"optional\":"
         "true}}}]}",
         "I=img S=svc", 1},
        {"{\"env\":[{\"name\":\"K\",\"valueFrom\":{\"secretKeyRef\":{\"name\":\"missing\",\"key\":\"x\"}}}]}",
         "secret \"missing\" not found", -1},
        {"{\"envFrom\":[{\"configMapRef\":{\"name\":\"later\"}}]}", "", 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cleanup_arena struct arena *mem = arena_new();
        struct str image[] = {STR("I=img")}, service[] = {STR("S=svc")}, why = STR_NULL;
        struct env_in in = {
            .pod =
                parse(mem, "{\"metadata\":{\"name\":\"p\",\"namespace\":\"ns\",\"labels\":{\"a\":\"b\"}},\"spec\":{}}"),
            .container = parse(mem, cases[i].container),
            .image_env = {image, 1},
            .service_env = {service, 1},
            .node_memory_bytes = 64 << 20,
            .lookup = lookup,
            .ctx = mem};
        struct strv out;
        assert_int_equal(env_build(mem, &in, &out, &why), cases[i].result);
        struct sb text = SB(mem);
        for (size_t k = 0; k < out.n && cases[i].result > 0; k++)
            sb_addf(&text, "%s" STR_FMT, k ? " " : "", STR_ARG(out.v[k]));
        assert_string_equal(cases[i].result < 0 ? str_z(mem, why) : sb_z(&text), cases[i].text);
    }
}

static void test_backoff(void **state)
{
    static const int want[] = {10, 20, 40, 80, 160, 300, 300};
    int s = 0;
    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
        assert_int_equal(s = backoff_next(s), want[i]);
}

static void test_qos(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    assert_string_equal(pod_qos(parse(mem, "{\"containers\":[{}]}")), "BestEffort");
    assert_string_equal(
        pod_qos(parse(mem, "{\"containers\":[{\"resources\":{\"limits\":{\"cpu\":\"1\",\"memory\":\"1Gi\"}}}]}")),
        "Guaranteed");
    assert_string_equal(
        pod_qos(parse(mem, "{\"containers\":[{\"resources\":{\"limits\":{\"cpu\":\"1\",\"memory\":\"1Gi\"}}},{}]}")),
        "Burstable");
}

static struct doc *config(struct arena *mem, const char *container)
{
    struct spec_in *in = arena_new_of(mem, struct spec_in);
    struct str args[] = {STR("/bin/x")};
    in->pod = parse(mem, "{}"), in->container = parse(mem, container), in->args = (struct strv){args, 1};
    in->rootfs = STR("/r"), in->cgroup = STR("/c"), in->netns = STR("/n"), in->cpu_milli_request = 100,
    in->cpu_milli_limit = 250;
    return spec_build(mem, in);
}

static bool has(const struct doc *list, const char *what)
{
    doc_each (i, list)
        if (str_is(doc_string(i), what))
            return true;
    return false;
}

static void test_config(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct doc *d = config(mem, "{}");
    assert_int_equal(doc_int(doc_path(d, "linux", "resources", "cpu", NULL), "shares", 0), 102);
    assert_int_equal(doc_int(doc_path(d, "linux", "resources", "cpu", NULL), "quota", 0), 25000);
    assert_int_equal(doc_len(doc_path(d, "process", "capabilities", "bounding", NULL)), 14);
    assert_false(doc_bool(doc_get(d, "process"), "noNewPrivileges", true));
    assert_true(has(doc_path(d, "linux", "maskedPaths", NULL), "/proc/kcore"));
    d = config(mem, "{\"securityContext\":{\"allowPrivilegeEscalation\":false,\"readOnlyRootFilesystem\":true,"
                    "\"capabilities\":{\"drop\":[\"ALL\"],\"add\":[\"NET_BIND_SERVICE\"]}}}");
    assert_int_equal(doc_len(doc_path(d, "process", "capabilities", "bounding", NULL)), 1);
    assert_true(has(doc_path(d, "process", "capabilities", "bounding", NULL), "CAP_NET_BIND_SERVICE"));
    assert_true(doc_bool(doc_get(d, "process"), "noNewPrivileges", false));
    assert_true(doc_bool(doc_get(d, "root"), "readonly", false));
    d = config(mem, "{\"securityContext\":{\"privileged\":true}}");
    int all = 0; /* what this machine lets us give */
    for (int i = 0; i <= 40; i++)
        all += prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1;
    assert_int_equal(doc_len(doc_path(d, "process", "capabilities", "bounding", NULL)), all);
    assert_null(doc_path(d, "linux", "maskedPaths", NULL));
}

static bool names(const struct doc *seccomp, const char *call, const char *action)
{
    doc_each (r, doc_get(seccomp, "syscalls"))
        if (str_is(doc_str(r, "action"), action) && has(doc_get(r, "names"), call))
            return true;
    return false;
}

static void test_seccomp(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    const struct doc *profile = parse(mem, "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[{\"names\":[\"read\","
                                           "\"clone3\",\"unshare\",\"mount\"],\"action\":\"SCMP_ACT_ALLOW\"}]}");
    const struct doc *s = spec_seccomp(mem, profile, parse(mem, "[\"CAP_CHOWN\"]"));
    assert_true(names(s, "read", "SCMP_ACT_ALLOW"));
    assert_false(names(s, "unshare", "SCMP_ACT_ALLOW") || names(s, "mount", "SCMP_ACT_ALLOW"));
    assert_true(names(s, "clone3", "SCMP_ACT_ERRNO") && names(s, "clone", "SCMP_ACT_ALLOW"));
    s = spec_seccomp(mem, profile, parse(mem, "[\"CAP_SYS_ADMIN\"]"));
    assert_true(names(s, "unshare", "SCMP_ACT_ALLOW") && names(s, "clone3", "SCMP_ACT_ALLOW"));
}

static void test_messages(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct ipc_body b = IPC_BODY(mem);
    struct str v[] = {STR("a"), STR("bc")};
    size_t n;
    ipc_put_u64(&b, 7), ipc_put_strv(&b, v, 2);
    struct ipc_reader r = IPC_READER(sb_str(&b.sb));
    assert_int_equal(ipc_get_u64(&r), 7);
    struct str *got = ipc_get_strv(&r, mem, 2, &n);
    assert_true(ipc_read_ok(&r) && n == 2 && str_is(got[1], "bc"));
    for (size_t cut = 0; cut < b.sb.len; cut++) { /* every shorter body is refused */
        r = IPC_READER(str_head(sb_str(&b.sb), cut));
        ipc_get_u64(&r), ipc_get_strv(&r, mem, 2, &n);
        assert_false(ipc_read_ok(&r));
    }
    r = IPC_READER(sb_str(&b.sb));
    ipc_get_u64(&r), ipc_get_strv(&r, mem, /* max= */ 1, &n);
    assert_false(ipc_read_ok(&r));
}

static void test_payload_paths(void **state)
{
    static const char *const bad[] = {"", "/a", "..", "../a", "a/../b", "..data", "a//b"}, *const good[] = {"a", "a/b",
                                                                                                            "a..b",
                                                                                                            ".hidden"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(payload_path_valid(str_of(bad[i])));
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(payload_path_valid(str_of(good[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expand),   cmocka_unit_test(test_environment),   cmocka_unit_test(test_backoff),
        cmocka_unit_test(test_qos),      cmocka_unit_test(test_config),        cmocka_unit_test(test_seccomp),
        cmocka_unit_test(test_messages), cmocka_unit_test(test_payload_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
