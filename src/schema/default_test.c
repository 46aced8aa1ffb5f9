/* Defaults as an API server of 1.36 fills them. Source: pkg/apis/.../v1/defaults.go and a cluster's answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "schema/schema.h"

#define POD_TEMPLATE(containers)                                                                                       \
    "{'metadata':{'labels':{'app':'a'}},'spec':{'containers':[" containers                                             \
    "],'restartPolicy':'Always','terminationGracePeriodSeconds':30,'dnsPolicy':'ClusterFirst','securityContext':{},"   \
    "'schedulerName':'default-scheduler'}}"
#define CONTAINER                                                                                                      \
    "{'name':'c','image':'nginx:1.25','resources':{},'terminationMessagePath':'/dev/termination-log',"                 \
    "'terminationMessagePolicy':'File','imagePullPolicy':'IfNotPresent'}"

static const struct {
    const char *what, *group, *plural, *in, *out;
} cases[] = {
    {"a deployment", "apps", "deployments",
     "{'spec':{'selector':{'matchLabels':{'app':'a'}},'template':{'metadata':{'labels':{'app':'a'}},'spec':{'"
     "containers':[{'name':'c',"
     "'image':'nginx:1.25'}]}}}}",
     "{'metadata':{},'spec':{'replicas':1,'selector':{'matchLabels':{'app':'a'}},'template':" POD_TEMPLATE(
         CONTAINER) ",'strategy':{'type':"
                    "'RollingUpdate','rollingUpdate':{'maxUnavailable':'25%','maxSurge':'25%'}},'revisionHistoryLimit':"
                    "10,'progressDeadlineSeconds':600},"
                    "'status':{}}"},
    {"a pod: more than its template gets", "", "pods",
     "{'spec':{'hostNetwork':true,'containers':[{'name':'c','image':'a/"
     "b','ports':[{'containerPort':80}],'resources':{'limits':{'cpu':"
     "'0.0005'}},'livenessProbe':{'httpGet':{'port':'web'}}}],'volumes':[{'name':'v'},{'name':'s','secret':{'"
     "secretName':'x'}}]}}",
     "{'metadata':{},'spec':{'volumes':[{'name':'v','emptyDir':{}},{'name':'s','secret':{'secretName':'x','defaultMode'"
     ":420}}],'containers':"
     "[{'name':'c','image':'a/"
     "b','ports':[{'hostPort':80,'containerPort':80,'protocol':'TCP'}],'resources':{'limits':{'cpu':'1m'},"
     "'requests':{'cpu':'1m'}},'livenessProbe':{'httpGet':{'path':'/"
     "','port':'web','scheme':'HTTP'},'timeoutSeconds':1,'periodSeconds':10,"
     "'successThreshold':1,'failureThreshold':3},'terminationMessagePath':'/dev/"
     "termination-log','terminationMessagePolicy':'File',"
     "'imagePullPolicy':'Always'}],'restartPolicy':'Always','terminationGracePeriodSeconds':30,'dnsPolicy':'"
     "ClusterFirst',"
     "'hostNetwork':true,'securityContext':{},'schedulerName':'default-scheduler','enableServiceLinks':true},'status':{"
     "}}"},
    {"pod-level requests follow containers and limits (KEP-2837)", "", "pods",
     "{'spec':{'resources':{'limits':{'cpu':'2','memory':'1Gi'}},'initContainers':[{'name':'i','image':'x:1','"
     "resources':{'requests':{"
     "'cpu':'700m'}}}],'containers':[{'name':'a','image':'x:1','resources':{'requests':{'cpu':'200m'}}},{'name':'b','"
     "image':'x:1',"
     "'resources':{'requests':{'cpu':'300m'}}}]}}",
     NULL},
    {"a service with a port", "", "services", "{'spec':{'ports':[{'port':80}]}}",
     "{'metadata':{},'spec':{'ports':[{'protocol':'TCP','port':80,'targetPort':80}],'type':'ClusterIP','"
     "sessionAffinity':'None',"
     "'internalTrafficPolicy':'Cluster'},'status':{'loadBalancer':{}}}"},
    {"a balanced service with affinity", "", "services",
     "{'spec':{'type':'LoadBalancer','sessionAffinity':'ClientIP'}}",
     "{'metadata':{},'spec':{'type':'LoadBalancer','sessionAffinity':'ClientIP','externalTrafficPolicy':'Cluster','"
     "sessionAffinityConfig':"
     "{'clientIP':{'timeoutSeconds':10800}},'allocateLoadBalancerNodePorts':true,'internalTrafficPolicy':'Cluster'},'"
     "status':"
     "{'loadBalancer':{}}}"},
    {"a stateful set", "apps", "statefulsets", "{'spec':{'volumeClaimTemplates':[{'metadata':{'name':'d'}}]}}",
     "{'metadata':{},'spec':{'replicas':1,'selector':null,'template':{'metadata':{},'spec':{'containers':null,'"
     "restartPolicy':'Always',"
     "'terminationGracePeriodSeconds':30,'dnsPolicy':'ClusterFirst','securityContext':{},'schedulerName':'default-"
     "scheduler'}},"
     "'volumeClaimTemplates':[{'metadata':{'name':'d'},'spec':{'resources':{},'volumeMode':'Filesystem'},'status':{'"
     "phase':'Pending'}}],"
     "'serviceName':'','podManagementPolicy':'OrderedReady','updateStrategy':{'type':'RollingUpdate','rollingUpdate':{'"
     "partition':0}},"
     "'revisionHistoryLimit':10,'persistentVolumeClaimRetentionPolicy':{'whenDeleted':'Retain','whenScaled':'Retain'}},"
     "'status':"
     "{'replicas':0,'availableReplicas':0}}"},
    {"a job, and its labels", "batch", "jobs",
     "{'spec':{'template':{'metadata':{'labels':{'j':'1'}},'spec':{'restartPolicy':'Never'}}}}",
     "{'metadata':{'labels':{'j':'1'}},'spec':{'parallelism':1,'completions':1,'backoffLimit':6,'manualSelector':false,"
     "'template':"
     "{'metadata':{'labels':{'j':'1'}},'spec':{'containers':null,'restartPolicy':'Never','"
     "terminationGracePeriodSeconds':30,'dnsPolicy':"
     "'ClusterFirst','securityContext':{},'schedulerName':'default-scheduler'}},'completionMode':'NonIndexed','suspend'"
     ":false,"
     "'podReplacementPolicy':'TerminatingOrFailed'},'status':{}}"},
    {"a namespace has its name as a label", "", "namespaces", "{'metadata':{'name':'n'}}",
     "{'metadata':{'name':'n','labels':{'kubernetes.io/metadata.name':'n'}},'spec':{},'status':{'phase':'Active'}}"},
    {"a limit range", "", "limitranges",
     "{'spec':{'limits':[{'type':'Container','max':{'cpu':'1'},'min':{'memory':'1Mi'}}]}}",
     "{'metadata':{},'spec':{'limits':[{'type':'Container','max':{'cpu':'1'},'min':{'memory':'1Mi'},'default':{'cpu':'"
     "1'},'defaultRequest':"
     "{'cpu':'1','memory':'1Mi'}}]}}"},
    {"an autoscaler", "autoscaling", "horizontalpodautoscalers",
     "{'spec':{'maxReplicas':3,'behavior':{'scaleDown':{'selectPolicy':'Min'}}}}",
     "{'metadata':{},'spec':{'scaleTargetRef':{'kind':'','name':''},'minReplicas':1,'maxReplicas':3,'metrics':[{'type':"
     "'Resource','resource':"
     "{'name':'cpu','target':{'type':'Utilization','averageUtilization':80}}}],'behavior':{'scaleUp':{'"
     "stabilizationWindowSeconds':0,"
     "'selectPolicy':'Max','policies':[{'type':'Pods','value':4,'periodSeconds':15},{'type':'Percent','value':100,'"
     "periodSeconds':15}]},"
     "'scaleDown':{'selectPolicy':'Min','policies':[{'type':'Percent','value':100,'periodSeconds':15}]}}},'status':{'"
     "desiredReplicas':0,"
     "'currentMetrics':null}}"},
    {"a network policy", "networking.k8s.io", "networkpolicies", "{'spec':{'egress':[{'ports':[{'port':53}]}]}}",
     "{'metadata':{},'spec':{'podSelector':{},'egress':[{'ports':[{'protocol':'TCP','port':53}]}],'policyTypes':['"
     "Ingress','Egress']}}"},
    {"a role binding", "rbac.authorization.k8s.io", "rolebindings",
     "{'subjects':[{'kind':'User','name':'u'},{'kind':'ServiceAccount','name':'s'}],'roleRef':{'kind':'Role','name':'r'"
     "}}",
     "{'metadata':{},'subjects':[{'kind':'User','apiGroup':'rbac.authorization.k8s.io','name':'u'},{'kind':'"
     "ServiceAccount','name':'s'}],"
     "'roleRef':{'apiGroup':'rbac.authorization.k8s.io','kind':'Role','name':'r'}}"},
    {"a secret's text becomes data, and wins there", "", "secrets",
     "{'data':{'a':'MQ==','c':'Mw=='},'stringData':{'a':'2','b':''}}",
     "{'metadata':{},'data':{'a':'Mg==','b':'','c':'Mw=='},'type':'Opaque'}"},
    {"a config map has nothing to fill", "", "configmaps", "{'data':{}}", "{'metadata':{}}"},
};

static char *quotes(struct arena *mem, const char *text)
{
    char *z = str_z(mem, str_of(text));
    for (char *p = z; *p; p++)
        if (*p == '\'')
            *p = '"';
    return z;
}

static struct doc *defaulted(struct arena *mem, const struct resource *r, const char *text)
{
    struct err err = ERR(mem);
    struct doc *obj = doc_parse(mem, str_of(quotes(mem, text)), NULL, &err);
    assert_non_null(obj);
    if (schema_read(mem, r->type, obj, FIELDS_STRICT, NULL, NULL, &err) < 0)
        fail_msg(STR_FMT, STR_ARG(err.message));
    schema_default(mem, r, obj);
    schema_order(mem, r->type, obj);
    return obj;
}

static void test_defaults(void **state)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        cleanup_arena struct arena *mem = arena_new();
        const struct resource *r = schema_stored(cases[i].group, cases[i].plural);
        struct doc *obj = defaulted(mem, r, cases[i].in);
        const char *got = str_z(mem, doc_json(mem, obj)), *want = cases[i].out ? quotes(mem, cases[i].out) : got;
        if (strcmp(got, want) != 0)
            fail_msg("%s:\n got %s\nwant %s", cases[i].what, got, want);
        schema_default(mem, r, obj);
        schema_order(mem, r->type, obj);
        assert_string_equal(str_z(mem, doc_json(mem, obj)), got); /* idempotent */
    }
}

static void test_pod_level_requests(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    struct doc *pod = defaulted(mem, schema_stored("", "pods"), cases[2].in);
    assert_string_equal(
        str_z(mem, doc_json(mem, doc_path(pod, "spec", "resources", NULL))),
        "{\"limits\":{\"cpu\":\"2\",\"memory\":\"1Gi\"},\"requests\":{\"cpu\":\"700m\",\"memory\":\"1Gi\"}}");
}

static void test_images_that_are_pulled_always(void **state)
{
    static const struct {
        const char *image, *policy;
    } images[] = {
        {"nginx", "Always"},
        {"nginx:latest", "Always"},
        {"nginx:1", "IfNotPresent"},
        {"host:5000/nginx", "Always"},
        {"host:5000/nginx:1", "IfNotPresent"},
        {"nginx@sha256:0000000000000000000000000000000000000000000000000000000000000000", "IfNotPresent"},
        {"", "IfNotPresent"},
    };
    for (size_t i = 0; i < sizeof(images) / sizeof(*images); i++) {
        cleanup_arena struct arena *mem = arena_new();
        struct doc *c = doc_new_object(mem);
        doc_put_str(mem, c, "image", str_of(images[i].image));
        schema_default_type(mem, schema_type("core.v1.Container"), c);
        assert_string_equal(str_z(mem, doc_str(c, "imagePullPolicy")), images[i].policy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_pod_level_requests),
        cmocka_unit_test(test_images_that_are_pulled_always),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
