/* write/write_test.c - the write path over a memory store: what each verb promises (apiserver
 * registry/generic/registry, registry/rest), admission, addresses, events. */
#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "doc/patch.h"
#include "write/write.h"

struct world {
    struct loop *loop;
    struct cache *cache;
    struct store *store;
    struct writer *writer;
    struct arena *mem;
};
struct answer {
    bool done;
    struct err err; /* reason ERR_NONE: success */
    struct doc *obj;
    struct write_req *req;
};

static const struct user admin = {.name = {"admin", 5}};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    w->mem = arena_new();
    w->loop = loop_new_sim(1);
    w->cache = cache_new(&(struct cache_opts){.loop = w->loop});
    assert_int_equal(store_open_memory(&(struct store_opts){.loop = w->loop}, cache_feed, w->cache, &w->store), 0);
    cache_set_store(w->cache, w->store);
    w->writer = writer_new(&(struct writer_opts){
        .loop = w->loop, .cache = w->cache, .store = w->store, .service_cidr = STR("10.96.0.0/24")});
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    store_close(w->store);
    loop_sim_run(w->loop, 1000);
    writer_free(w->writer);
    cache_free(w->cache);
    loop_free(w->loop);
    arena_free(w->mem);
    free(w);
    return 0;
}

static struct doc *json(struct world *w, const char *text)
{
    char *z = str_z(w->mem, str_of(text));
    for (char *p = z; *p; p++)
        if (*p == '\'')
            *p = '"';
    struct err err = ERR(w->mem);
    struct doc *d = doc_parse(w->mem, str_of(z), NULL, &err);
    if (!d)
        fail_msg("%s", z);
    return d;
}

static void on_done(struct write_req *r, struct obj *obj, const struct err *err)
{
    struct answer *a = r->ctx;
    assert_false(a->done);
    a->done = true;
    a->obj = obj ? obj_doc(r->mem, obj) : NULL;
    if (err)
        a->err = *err;
}

static void begin(struct world *w, struct answer *a, struct write_req *r)
{
    r->mem = w->mem, r->done = on_done, r->ctx = a, a->req = r, a->err = ERR(w->mem);
    write_start(w->writer, r);
    assert_false(a->done); /* answers come from the loop */
}

static struct answer *finish(struct world *w, struct answer *a)
{
    for (int i = 0; i < 1000 && !a->done; i++)
        loop_sim_run(w->loop, 1);
    assert_true(a->done);
    return a;
}

static struct write_req *request(struct world *w, enum write_verb verb, const char *group, const char *resource,
                                 const char *ns, const char *name)
{
    struct write_req *r = arena_new_of(w->mem, struct write_req);
    *r = (struct write_req){.verb = verb,
                            .user = &admin,
                            .res = schema_stored(group, resource),
                            .ns = str_of(ns),
                            .name = str_of(name),
                            .grace_s = -1};
    return r;
}

static struct answer *run(struct world *w, struct write_req *r)
{
    struct answer *a = arena_new_of(w->mem, struct answer);
    begin(w, a, r);
    return finish(w, a);
}

static struct answer *create(struct world *w, const char *group, const char *resource, const char *ns, const char *text)
{
    struct write_req *r = request(w, WRITE_CREATE, group, resource, ns, "");
    r->body = json(w, text);
    return run(w, r);
}

static void must(struct answer *a)
{
    if (a->err.reason != ERR_NONE)
        fail_msg(STR_FMT, STR_ARG(a->err.message));
}

static void refused(struct answer *a, enum err_reason reason, const char *words)
{
    assert_int_equal(a->err.reason, reason);
    if (!str_has(a->err.message, str_of(words)))
        fail_msg("`" STR_FMT "` lacks `%s`", STR_ARG(a->err.message), words);
}

static void make_namespace(struct world *w, const char *name)
{
    must(create(w, "", "namespaces", "", str_fmtz(w->mem, "{'metadata':{'name':'%s'}}", name)));
    must(create(w, "", "serviceaccounts", name, "{'metadata':{'name':'default'}}"));
}

static struct answer *config(struct world *w, const char *name, const char *more)
{
    return create(w, "", "configmaps", "ns",
                  str_fmtz(w->mem, "{'metadata':{'name':'%s'%s},'data':{'a':'1'}}", name, more));
}

static struct doc *merge_in(struct write_req *r, struct doc *current, struct err *err)
{
    return merge_patch(r->mem, current, doc_copy(r->mem, ((struct doc **)r->priv)[3]));
}

static struct write_req *patch_req(struct world *w, const char *group, const char *resource, const char *ns,
                                   const char *name, const char *sub, const char *text)
{
    struct write_req *r = request(w, WRITE_PATCH, group, resource, ns, name);
    r->sub = *sub ? resource_subresource(r->res, str_of(sub)) : NULL;
    r->priv[3] = json(w, text);
    r->mutate = merge_in;
    return r;
}

static struct answer *patch(struct world *w, const char *group, const char *resource, const char *ns, const char *name,
                            const char *sub, const char *text)
{
    return run(w, patch_req(w, group, resource, ns, name, sub, text));
}

static bool there(struct world *w, const char *group, const char *resource, const char *ns, const char *name)
{
    return cache_find(w->cache, schema_stored(group, resource), str_of(ns), str_of(name));
}

static struct str meta(const struct answer *a, const char *member)
{
    return doc_str(doc_get(a->obj, "metadata"), member);
}

/* ---- create */

static void test_create_stamps_what_only_the_server_writes(void **state)
{
    struct world *w = *state;
    make_namespace(w, "ns");
    struct answer *a = config(w, "x", ",'uid':'mine','generation':7,'deletionTimestamp':'2026-01-01T00:00:00Z'");
    must(a);
    assert_int_equal(meta(a, "uid").len, 36);
    assert_true(meta(a, "creationTimestamp").len > 0);
    assert_true(str_is(meta(a, "namespace"), "ns"));
    assert_null(doc_path(a->obj, "metadata", "deletionTimestamp", NULL));
    refused(config(w, "x", ""), ERR_ALREADY_EXISTS, "configmaps \"x\" already exists");
    refused(config(w, "y", ",'resourceVersion':'5'"), ERR_INTERNAL, "resourceVersion should not be set");
    refused(config(w, "y", ",'namespace':'other'"), ERR_BAD_REQUEST, "does not match the namespace");
    refused(config(w, "Y!", ""), ERR_INVALID, "metadata.name");
}

static void test_generate_name(void **state)
{
    struct world *w = *state;
    make_namespace(w, "ns");
    struct answer *a = create(w, "", "configmaps", "ns", "{'metadata':{'generateName':'web-'}}");
    struct answer *b = create(w, "", "configmaps", "ns", "{'metadata':{'generateName':'web-'}}");
    must(a), must(b);
    assert_true(str_starts(meta(a, "name"), STR("web-")) && meta(a, "name").len == 9);
    assert_false(str_eq(meta(a, "name"), meta(b, "name")));
    refused(create(w, "", "configmaps", "ns", "{'metadata':{}}"), ERR_INVALID, "name or generateName is required");
}

static void test_dry_run_leaves_nothing(void **state)
{
    struct world *w = *state;
    make_namespace(w, "ns");
    struct write_req *r = request(w, WRITE_CREATE, "", "configmaps", "ns", "");
    r->body = json(w, "{'metadata':{'name':'x'}}"), r->dry_run = true;
    struct answer *a = run(w, r);
    must(a);
    assert_int_equal(meta(a, "uid").len, 36);
    assert_false(there(w, "", "configmaps", "ns", "x"));
    must(config(w, "x", ""));
    r = request(w, WRITE_DELETE, "", "configmaps", "ns", "x");
    r->dry_run = true;
    must(run(w, r));
    assert_true(there(w, "", "configmaps", "ns", "x"));
}

/* ---- update and patch */

static void test_update_compares_and_swaps(void **state)
{
    struct world *w = *state;
    make_namespace(w, "ns");
    struct answer *a = config(w, "x", "");
    struct write_req *r = request(w, WRITE_UPDATE, "", "configmaps", "ns", "x");
    r->body = doc_copy(w->mem, a->obj);
    doc_put_str(w->mem, doc_get(r->body, "data"), "a", STR("2"));
    must(run(w, r));
    r = request(w, WRITE_UPDATE, "", "configmaps", "ns", "x"); /* from the same, now old state */
    r->body = doc_copy(w->mem, a->obj);
    refused(run(w, r), ERR_CONFLICT, "the object has been modified");
    r = request(w, WRITE_UPDATE, "", "configmaps", "ns", "absent");
    r->body = json(w, "{'metadata':{'name':'absent'}}");
    refused(run(w, r), ERR_NOT_FOUND, "configmaps \"absent\" not found");
}

static void test_racing_patches_all_land(void **state)
{
    struct world *w = *state;
    struct answer answers[20] = {0};
    make_namespace(w, "ns");
    must(config(w, "x", ""));
    for (int i = 0; i < 20; i++)
        begin(w, &answers[i],
              patch_req(w, "", "configmaps", "ns", "x", "", str_fmtz(w->mem, "{'data':{'k%d':'v'}}", i)));
    for (int i = 0; i < 20; i++)
        must(finish(w, &answers[i]));
    const struct obj *o = cache_find(w->cache, schema_stored("", "configmaps"), STR("ns"), STR("x"));
    assert_int_equal(doc_len(doc_get(obj_doc(w->mem, o), "data")), 21);
}

static void test_what_changes_nothing_is_not_written(void **state)
{
    struct world *w = *state;
    make_namespace(w, "ns");
    must(config(w, "x", ""));
    uint64_t rev = cache_rev(w->cache);
    struct answer *a = patch(w, "", "configmaps", "ns", "x", "", "{'data':{'a':'1'}}");
    must(a);
    assert_true(a->req->unchanged);
    assert_int_equal(cache_rev(w->cache), rev);
}

static const char deployment[] =
    "{'metadata':{'name':'d'},'spec':{'selector':{'matchLabels':{'a':'b'}},'template':{'metadata':"
    "{'labels':{'a':'b'}},'spec':{'containers':[{'name':'c','image':'i'}]}}},'status':{'replicas':9}}";

static void test_status_and_generation(void **state)
{
    struct world *w = *state;
    make_namespace(w, "ns");
    struct answer *a = create(w, "apps", "deployments", "ns", deployment);
    must(a);
    assert_int_equal(doc_int(doc_get(a->obj, "status"), "replicas", 0), 0); /* not on create */
    assert_int_equal(doc_int(doc_get(a->obj, "metadata"), "generation", 0), 1);
    a = patch(w, "apps", "deployments", "ns", "d", "status", "{'spec':{'replicas':5},'status':{'replicas':2}}");
    must(a);
    assert_int_equal(doc_int(doc_get(a->obj, "spec"), "replicas", 0), 1); /* not through status */
    assert_int_equal(doc_int(doc_get(a->obj, "status"), "replicas", 0), 2);
    assert_int_equal(doc_int(doc_get(a->obj, "metadata"), "generation", 0), 1);
    a = patch(w, "apps", "deployments", "ns", "d", "", "{'spec':{'replicas':5},'status':{'replicas':8}}");
    must(a);
    assert_int_equal(doc_int(doc_get(a->obj, "status"), "replicas", 0), 2); /* only through status */
    assert_int_equal(doc_int(doc_get(a->obj, "metadata"), "generation", 0), 2);
}

/* ---- delete */

static struct answer *delete_how(struct world *w, const char *group, const char *resource, const char *ns,
                                 const char *name, int propagation, int64_t grace_s, struct str uid)
{
    struct write_req *r = request(w, WRITE_DELETE, group, resource, ns, name);
    r->propagation = propagation, r->grace_s = grace_s, r->want_uid = uid;
    return run(w, r);
}

/* A required list is kept as null when it is empty: sending [] for it again is no change. */
static void test_an_empty_list_is_no_change(void **state)
{
    struct world *w = *state;
    make_namespace(w, "ns");
    must(create(w, "discovery.k8s.io", "endpointslices", "ns",
                "{'metadata':{'name':'s'},'addressType':'IPv4','endpoints':[],'ports':[]}"));
    struct answer *a = patch(w, "discovery.k8s.io", "endpointslices", "ns", "s", "", "{'endpoints':[],'ports':[]}");
    must(a);
    assert_true(a->req->unchanged);
    assert_int_equal(doc_int(doc_get(a->obj, "metadata"), "generation", 0), 1);
}

static void test_delete_waits_for_finalizers(void **state)
{
    struct world *w = *state;
    make_namespace(w, "ns");
    must(config(w, "x", ",'finalizers':['example.com/hold']"));
    struct answer *a = delete_how(w, "", "configmaps", "ns", "x", PROPAGATE_DEFAULT, -1, STR_NULL);
    must(a);
    assert_false(a->req->gone);
    assert_true(meta(a, "deletionTimestamp").len > 0);
    must(patch(w, "", "configmaps", "ns", "x", "", "{'metadata':{'finalizers':null}}"));
    assert_false(there(w, "", "configmaps", "ns", "x"));
}

static void test_delete_preconditions_and_propagation(void **state)
{
    struct world *w = *state;
    make_namespace(w, "ns");
    must(config(w, "x", ""));
    refused(delete_how(w, "", "configmaps", "ns", "x", PROPAGATE_DEFAULT, -1, STR("other")), ERR_CONFLICT,
            "Precondition failed: UID in precondition: other");
    struct answer *a = delete_how(w, "", "configmaps", "ns", "x", PROPAGATE_FOREGROUND, -1, STR_NULL);
    must(a);
    assert_true(str_is(doc_string(doc_at(doc_path(a->obj, "metadata", "finalizers", NULL), 0)), "foregroundDeletion"));
    a = delete_how(w, "", "configmaps", "ns", "x", PROPAGATE_ORPHAN, -1, STR_NULL);
    assert_true(str_is(doc_string(doc_at(doc_path(a->obj, "metadata", "finalizers", NULL), 0)), "orphan"));
    a = delete_how(w, "", "configmaps", "ns", "x", PROPAGATE_BACKGROUND, -1, STR_NULL);
    assert_true(a->req->gone);
    refused(delete_how(w, "", "configmaps", "ns", "x", PROPAGATE_DEFAULT, -1, STR_NULL), ERR_NOT_FOUND, "not found");
}

static const char pod[] = "{'metadata':{'name':'p'},'spec':{'nodeName':'n','containers':[{'name':'c','image':'i'}]}}";

static void test_pod_grace(void **state)
{
    struct world *w = *state;
    make_namespace(w, "ns");
    must(create(w, "", "pods", "ns", pod));
    struct answer *a = delete_how(w, "", "pods", "ns", "p", PROPAGATE_DEFAULT, -1, STR_NULL);
    must(a);
    assert_int_equal(doc_int(doc_get(a->obj, "metadata"), "deletionGracePeriodSeconds", -1), 30);
    a = delete_how(w, "", "pods", "ns", "p", PROPAGATE_DEFAULT, 60, STR_NULL); /* never longer */
    assert_int_equal(doc_int(doc_get(a->obj, "metadata"), "deletionGracePeriodSeconds", -1), 30);
    a = delete_how(w, "", "pods", "ns", "p", PROPAGATE_DEFAULT, 5, STR_NULL);
    assert_int_equal(doc_int(doc_get(a->obj, "metadata"), "deletionGracePeriodSeconds", -1), 5);
    a = delete_how(w, "", "pods", "ns", "p", PROPAGATE_DEFAULT, 0, STR_NULL);
    assert_true(a->req->gone);
    must(create(w, "", "pods", "ns", "{'metadata':{'name':'q'},'spec':{'containers':[{'name':'c','image':'i'}]}}"));
    a = delete_how(w, "", "pods", "ns", "q", PROPAGATE_DEFAULT, -1, STR_NULL); /* no node: nobody to wait for */
    assert_true(a->req->gone);
}

/* ---- admission */

static void test_admission_of_pods(void **state)
{
    struct world *w = *state;
    make_namespace(w, "ns");
    struct answer *a = create(w, "", "pods", "ns", pod);
    must(a);
    const struct doc *spec = doc_get(a->obj, "spec");
    assert_true(str_is(doc_str(spec, "serviceAccountName"), "default"));
    assert_true(str_starts(doc_str(doc_at(doc_get(spec, "volumes"), 0), "name"), STR("kube-api-access-")));
    assert_int_equal(doc_len(doc_get(spec, "tolerations")), 2);
    assert_int_equal(doc_int(spec, "priority", -1), 0);
    assert_true(str_is(doc_str(doc_get(a->obj, "status"), "qosClass"), "BestEffort"));
    refused(
        create(w, "", "pods", "ns",
               "{'metadata':{'name':'q'},'spec':{'serviceAccountName':'no','containers':[{'name':'c','image':'i'}]}}"),
        ERR_FORBIDDEN, "serviceaccount \"no\" not found");
    refused(create(w, "", "pods", "absent", pod), ERR_NOT_FOUND, "namespaces \"absent\" not found");
    refused(
        create(w, "", "pods", "ns",
               "{'metadata':{'name':'q'},'spec':{'priorityClassName':'no','containers':[{'name':'c','image':'i'}]}}"),
        ERR_FORBIDDEN, "no PriorityClass with name no was found");
}

/* Texts of plugin/pkg/admission/limitranger. */
static void test_limit_ranges(void **state)
{
    struct world *w = *state;
    make_namespace(w, "ns");
    must(create(w, "", "limitranges", "ns",
                "{'metadata':{'name':'l'},'spec':{'limits':[{'type':'Container','default':{'memory':'2Gi','cpu':'1'},"
                "'defaultRequest':{'cpu':'500m'},'min':{'cpu':'100m'},'max':{'cpu':'2'},"
                "'maxLimitRequestRatio':{'cpu':'4'}},{'type':'Pod','max':{'cpu':'3'}},"
                "{'type':'PersistentVolumeClaim','min':{'storage':'1Gi'},'max':{'storage':'2Gi'}}]}}"));
    struct answer *a = create(w, "", "pods", "ns", pod);
    must(a);
    const struct doc *ctr = doc_first(doc_path(a->obj, "spec", "containers", NULL)),
                     *notes = doc_path(a->obj, "metadata", "annotations", NULL);
    assert_true(str_is(doc_str(doc_path(ctr, "resources", "requests", NULL), "cpu"), "500m"));
    assert_true(str_is(doc_str(doc_path(ctr, "resources", "limits", NULL), "memory"), "2Gi"));
    assert_true(str_is(doc_str(doc_get(a->obj, "status"), "qosClass"), "Burstable"));
    assert_true(str_is(doc_str(notes, "kubernetes.io/limit-ranger"),
                       "LimitRanger plugin set: cpu, memory request for container c; cpu, memory limit for container "
                       "c"));
#define POD(resources)                                                                                                 \
    "{'metadata':{'name':'q'},'spec':{'containers':[{'name':'c','image':'i','resources':" resources "}]}}"
    static const struct {
        const char *body, *want;
    } cases[] = {
        {POD("{'requests':{'cpu':'50m'},'limits':{'cpu':'200m'}}"),
         "pods \"q\" is forbidden: minimum cpu usage per Container is 100m, but request is 50m"},
        {POD("{'requests':{'cpu':'1'},'limits':{'cpu':'2500m'}}"),
         "pods \"q\" is forbidden: maximum cpu usage per Container is 2, but limit is 2500m"},
        {POD("{'requests':{'cpu':'100m'},'limits':{'cpu':'500m'}}"),
         "cpu max limit to request ratio per Container is 4, but provided ratio is 5.000000"},
        {POD("{'requests':{'cpu':'50m'},'limits':{'cpu':'3'}}"),
         "[minimum cpu usage per Container is 100m, but request is 50m, maximum cpu usage per Container is 2, but "
         "limit "
         "is 3, cpu max limit to request ratio per Container is 4, but provided ratio is 60.000000]"},
        {POD("{'limits':{'cpu':'2'}}},{'name':'d','image':'i','resources':{'limits':{'cpu':'2'}}"),
         "maximum cpu usage per Pod is 3, but limit is 4"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refused(create(w, "", "pods", "ns", str_z(w->mem, str_of(cases[i].body))), ERR_FORBIDDEN, cases[i].want);
#undef POD
#define CLAIM(size)                                                                                                    \
    "{'metadata':{'name':'c'},'spec':{'accessModes':['ReadWriteOnce'],'resources':{'requests':{'storage':'" size "'}}" \
    "}}"
    refused(create(w, "", "persistentvolumeclaims", "ns", CLAIM("1Mi")), ERR_FORBIDDEN,
            "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi");
    refused(create(w, "", "persistentvolumeclaims", "ns", CLAIM("3Gi")), ERR_FORBIDDEN,
            "maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi");
    must(create(w, "", "persistentvolumeclaims", "ns", CLAIM("2Gi")));
#undef CLAIM
}

static void test_namespaces_end(void **state)
{
    struct world *w = *state;
    make_namespace(w, "ns");
    make_namespace(w, "default");
    refused(delete_how(w, "", "namespaces", "", "default", PROPAGATE_DEFAULT, -1, STR_NULL), ERR_FORBIDDEN,
            "this namespace may not be deleted");
    struct answer *a = delete_how(w, "", "namespaces", "", "ns", PROPAGATE_DEFAULT, -1, STR_NULL);
    must(a);
    assert_true(str_is(doc_str(doc_get(a->obj, "status"), "phase"), "Terminating"));
    refused(config(w, "x", ""), ERR_FORBIDDEN, "because it is being terminated");
}

/* ---- services */

static struct answer *service(struct world *w, const char *name, const char *spec)
{
    return create(w, "", "services", "ns",
                  str_fmtz(w->mem, "{'metadata':{'name':'%s'},'spec':{%s'selector':{'a':'b'},'ports':[{'port':80}]}}",
                           name, spec));
}

static void test_cluster_addresses(void **state)
{
    struct world *w = *state;
    make_namespace(w, "ns");
    struct answer *a = service(w, "a", "");
    must(a);
    struct str ip = doc_str(doc_get(a->obj, "spec"), "clusterIP");
    assert_true(str_starts(ip, STR("10.96.0.")));
    assert_true(there(w, "networking.k8s.io", "ipaddresses", "", str_z(w->mem, ip)));
    assert_int_equal(service(w, "b", str_fmtz(w->mem, "'clusterIP':'" STR_FMT "',", STR_ARG(ip)))->err.reason,
                     ERR_INVALID);
    must(service(w, "none", "'clusterIP':'None',"));
    assert_int_equal(service(w, "out", "'clusterIP':'10.97.0.1',")->err.reason, ERR_INVALID);
    must(delete_how(w, "", "services", "ns", "a", PROPAGATE_DEFAULT, -1, STR_NULL));
    assert_false(there(w, "networking.k8s.io", "ipaddresses", "", str_z(w->mem, ip)));
    must(service(w, "b", str_fmtz(w->mem, "'clusterIP':'" STR_FMT "',", STR_ARG(ip))));
}

static int64_t node_port(const struct answer *a)
{
    return doc_int(doc_at(doc_path(a->obj, "spec", "ports", NULL), 0), "nodePort", 0);
}

static void test_node_ports(void **state)
{
    struct world *w = *state;
    make_namespace(w, "ns");
    struct answer *a = service(w, "a", "'type':'NodePort',");
    must(a);
    assert_in_range(node_port(a), 30000, 32767);
    struct answer *b =
        create(w, "", "services", "ns",
               str_fmtz(w->mem,
                        "{'metadata':{'name':'b'},'spec':{'type':'NodePort','selector':{'a':'b'},'ports':"
                        "[{'port':80,'nodePort':%d}]}}",
                        (int)node_port(a)));
    refused(b, ERR_INVALID, "provided port is already allocated");
    a = patch(w, "", "services", "ns", "a", "", "{'spec':{'type':'ClusterIP'}}");
    must(a);
    assert_int_equal(node_port(a), 0);
}

/* ---- events */

static void test_repeated_events_count_and_floods_are_cut(void **state)
{
    struct world *w = *state;
    make_namespace(w, "ns");
    must(config(w, "x", ""));
    const struct obj *o = cache_find(w->cache, schema_stored("", "configmaps"), STR("ns"), STR("x"));
    for (int i = 0; i < 100; i++) {
        write_event(w->writer, STR("test"), o, "Warning", "Failed", "it failed");
        loop_sim_run(w->loop, 50);
    }
    struct cache_iter it = cache_list(w->cache, STR("events/ns/"), STR_NULL);
    struct obj *e = cache_next(&it);
    assert_non_null(e);
    assert_null(cache_next(&it));
    int64_t count = doc_int(obj_doc(w->mem, e), "count", 0);
    assert_int_equal(count, 25); /* the burst; then one each five minutes */
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_create_stamps_what_only_the_server_writes),
        T(test_generate_name),
        T(test_dry_run_leaves_nothing),
        T(test_update_compares_and_swaps),
        T(test_racing_patches_all_land),
        T(test_what_changes_nothing_is_not_written),
        T(test_status_and_generation),
        T(test_an_empty_list_is_no_change),
        T(test_delete_waits_for_finalizers),
        T(test_delete_preconditions_and_propagation),
        T(test_pod_grace),
        T(test_admission_of_pods),
        T(test_limit_ranges),
        T(test_namespaces_end),
        T(test_cluster_addresses),
        T(test_node_ports),
        T(test_repeated_events_count_and_floods_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
