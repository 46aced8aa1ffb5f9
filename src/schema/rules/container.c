/* schema/rules/container.c - containers of a pod: regular, init, ephemeral; their ports and environment. */
#include "schema/rules/rules.h"

enum { RESTART_RULES_MAX = 20, EXIT_CODES_MAX = 255 };
static const char *const restart_policies[] = {"Always", "Never", "OnFailure", NULL};
static const char *const protocols[] = {"SCTP", "TCP", "UDP", NULL};
static const char *const pull_policies[] = {"Always", "IfNotPresent", "Never", NULL};

static void check_required_enum(struct rule_ctx *c, const struct fpath *at, struct str value,
                                const char *const *allowed)
{
    if (value.len)
        check_enum(c, at, value, allowed);
    else
        rule_required(c, at, NULL);
}

static void check_container_port(struct rule_ctx *c, const struct fpath *at, const struct doc *port,
                                 struct rule_set *names)
{
    struct str name = doc_str(port, "name");
    int64_t number = doc_int(port, "containerPort", 0), host = doc_int(port, "hostPort", 0);
    if (name.len && check_name(c, AT(at, "name"), name, name_port) && !rule_set_add(names, name))
        rule_duplicate(c, AT(at, "name"), name);
    if (number == 0)
        rule_required(c, AT(at, "containerPort"), NULL);
    else
        check_port(c, AT(at, "containerPort"), number);
    if (host != 0)
        check_port(c, AT(at, "hostPort"), host);
    check_required_enum(c, AT(at, "protocol"), doc_str(port, "protocol"), protocols);
}

static void check_ports(struct rule_ctx *c, const struct fpath *at, const struct doc *ports)
{
    cleanup_set struct rule_set names = {0};
    rule_each (port, ports)
        check_container_port(c, AT_INDEX(at, port_i), port, &names);
}

static const char *const env_paths[] = {
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs",     "status.podIP", "status.podIPs", NULL};
static const char *const volume_paths[] = {"metadata.annotations", "metadata.labels", "metadata.name",
                                           "metadata.namespace",   "metadata.uid",    NULL};

/* What ConvertDownwardAPIFieldLabel knows; spec.host is an older name for spec.nodeName. */
static bool is_field_label(struct str path)
{
    static const char *const more[] = {"metadata.annotations",
                                       "metadata.labels",
                                       "spec.restartPolicy",
                                       "spec.schedulerName",
                                       "status.phase",
                                       "spec.host",
                                       NULL};
    for (const char *const *p = env_paths; *p; p++)
        if (str_is(path, *p))
            return true;
    for (const char *const *p = more; *p; p++)
        if (str_is(path, *p))
            return true;
    return false;
}

/* metadata.labels['key'] in two; false: no subscript. */
static bool split_subscript(struct str path, struct str *ret_path, struct str *ret_key)
{
    ptrdiff_t open = -1;
    if (!str_ends(path, STR("']")))
        return false;
    for (size_t i = 0; i + 3 < path.len && open < 0; i++)
        if (path.ptr[i] == '[' && path.ptr[i + 1] == '\'')
            open = (ptrdiff_t)i;
    if (open <= 0)
        return false;
    *ret_path = str_head(path, (size_t)open);
    *ret_key = str_mem(path.ptr + open + 2, path.len - (size_t)open - 4);
    return true;
}

static void check_subscript(struct rule_ctx *c, const struct fpath *at, struct str path, struct str key)
{
    const char *msgs[NAME_MSGS_MAX];
    if (str_is(path, "metadata.labels")) {
        check_name(c, at, key, name_qualified);
    } else if (str_is(path, "metadata.annotations")) {
        struct sb lower = SB(c->mem);
        for (size_t i = 0; i < key.len; i++)
            sb_addc(&lower, key.ptr[i] >= 'A' && key.ptr[i] <= 'Z' ? (char)(key.ptr[i] + 32) : key.ptr[i]);
        int n = name_qualified(sb_str(&lower), msgs);
        for (int i = 0; i < n; i++)
            rule_invalid(c, at, sb_str(&lower), "%s", msgs[i]);
    } else
        rule_invalid(c, at, path, "does not support subscript");
}

void check_field_ref(struct rule_ctx *c, const struct fpath *at, const struct doc *ref, bool volume)
{
    struct str version = doc_str(ref, "apiVersion"), path = doc_str(ref, "fieldPath"), base = path, key = STR_NULL;
    const char *const *allowed = volume ? volume_paths : env_paths;
    if (!version.len) {
        rule_required(c, AT(at, "apiVersion"), NULL);
        return;
    }
    if (!path.len) {
        rule_required(c, AT(at, "fieldPath"), NULL);
        return;
    }
    bool subscript = split_subscript(path, &base, &key);
    bool labels = subscript && (str_is(base, "metadata.labels") || str_is(base, "metadata.annotations"));
    if (!str_is(version, "v1"))
        rule_invalid(c, AT(at, "fieldPath"), path, "error converting fieldPath: unsupported pod version: " STR_FMT,
                     STR_ARG(version));
    else if (labels)
        check_subscript(c, at, base, key);
    else if (subscript)
        rule_invalid(c, AT(at, "fieldPath"), path,
                     "error converting fieldPath: field label does not support subscript");
    else if (!is_field_label(path))
        rule_invalid(c, AT(at, "fieldPath"), path, "error converting fieldPath: field label not supported: " STR_FMT,
                     STR_ARG(path));
    else
        check_enum(c, AT(at, "fieldPath"), str_is(path, "spec.host") ? STR("spec.nodeName") : path, allowed);
}

static void check_divisor(struct rule_ctx *c, const struct fpath *at, struct str resource, struct str divisor)
{
    static const char *const units[] = {"1",   "1k",  "1M",  "1G",  "1T",  "1P",  "1E",
                                        "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei", NULL};
    const char *what = NULL;
    if (quantity_sign(quantity_of_str(divisor)) == 0)
        return;
    if (str_ends(resource, STR("s.cpu"))) {
        if (!str_is(divisor, "1m") && !str_is(divisor, "1"))
            rule_invalid(c, AT(at, "divisor"), resource,
                         "only divisor's values 1m and 1 are supported with the cpu resource");
        return;
    }
    for (const char *const *u = units; *u; u++)
        if (str_is(divisor, *u))
            return;
    if (str_ends(resource, STR("s.memory")))
        what = "memory";
    else if (str_ends(resource, STR("s.ephemeral-storage")))
        what = "local ephemeral storage";
    else if (str_has(resource, STR("s.hugepages-")))
        what = "hugepages";
    if (what)
        rule_invalid(c, AT(at, "divisor"), resource,
                     "only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with "
                     "the %s resource",
                     what);
}

void check_resource_field_ref(struct rule_ctx *c, const struct fpath *at, const struct doc *ref, bool volume)
{
    static const char *const allowed[] = {"limits.cpu",
                                          "limits.ephemeral-storage",
                                          "limits.memory",
                                          "requests.cpu",
                                          "requests.ephemeral-storage",
                                          "requests.memory",
                                          NULL};
    struct str resource = doc_str(ref, "resource");
    if (volume && !doc_str(ref, "containerName").len)
        rule_required(c, AT(at, "containerName"), NULL);
    else if (!resource.len)
        rule_required(c, AT(at, "resource"), NULL);
    else if (!str_starts(resource, STR("limits.hugepages-")) && !str_starts(resource, STR("requests.hugepages-")))
        check_enum(c, AT(at, "resource"), resource, allowed);
    check_divisor(c, at, resource, doc_str(ref, "divisor"));
}

static void check_key_ref(struct rule_ctx *c, const struct fpath *at, const struct doc *ref)
{
    check_name(c, AT(at, "name"), doc_str(ref, "name"), name_dns1123_subdomain);
    check_required_name(c, AT(at, "key"), doc_str(ref, "key"), name_config_key);
}

/* fileKeyRef (EnvFiles): a key of a file in an emptyDir. */
static void check_file_key_ref(struct rule_ctx *c, const struct fpath *at, const struct doc *ref)
{
    struct str path = doc_str(ref, "path");
    if (!doc_str(ref, "volumeName").len)
        rule_required(c, AT(at, "volumeName"), NULL);
    if (!path.len)
        rule_required(c, AT(at, "path"), NULL);
    else
        check_local_path(c, AT(at, "path"), path);
    check_required_name(c, AT(at, "key"), doc_str(ref, "key"), name_env_var);
}

static void check_value_from(struct rule_ctx *c, const struct fpath *at, const struct doc *var)
{
    const struct doc *from = doc_get(var, "valueFrom");
    int sources = 0;
    if (!doc_is(from, DOC_OBJECT))
        return;
    if (rule_has(from, "fieldRef"))
        sources++, check_field_ref(c, AT(at, "fieldRef"), doc_get(from, "fieldRef"), /* volume= */ false);
    if (rule_has(from, "resourceFieldRef"))
        sources++, check_resource_field_ref(c, AT(at, "resourceFieldRef"), doc_get(from, "resourceFieldRef"),
                                            /* volume= */ false);
    if (rule_has(from, "configMapKeyRef"))
        sources++, check_key_ref(c, AT(at, "configMapKeyRef"), doc_get(from, "configMapKeyRef"));
    if (rule_has(from, "secretKeyRef"))
        sources++, check_key_ref(c, AT(at, "secretKeyRef"), doc_get(from, "secretKeyRef"));
    if (rule_has(from, "fileKeyRef"))
        sources++, check_file_key_ref(c, AT(at, "fileKeyRef"), doc_get(from, "fileKeyRef"));
    if (sources == 0)
        rule_invalid(
            c, at, STR(""),
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`");
    else if (doc_str(var, "value").len)
        rule_invalid(c, at, STR(""), "may not be specified when `value` is not empty");
    else if (sources > 1)
        rule_invalid(c, at, STR(""), "may not have more than one field specified at a time");
}

void check_env(struct rule_ctx *c, const struct fpath *at, const struct doc *env)
{
    rule_each (var, env) {
        const struct fpath *item = AT_INDEX(at, var_i);
        check_required_name(c, AT(item, "name"), doc_str(var, "name"), name_env_var);
        check_value_from(c, AT(item, "valueFrom"), var);
    }
}

void check_env_from(struct rule_ctx *c, const struct fpath *at, const struct doc *env_from)
{
    rule_each (src, env_from) {
        const struct fpath *item = AT_INDEX(at, src_i);
        struct str prefix = doc_str(src, "prefix");
        int sources = 0;
        if (prefix.len)
            check_name(c, AT(item, "prefix"), prefix, name_env_var);
        if (rule_has(src, "configMapRef"))
            sources++, check_required_name(c, AT(AT(item, "configMapRef"), "name"),
                                           doc_str(doc_get(src, "configMapRef"), "name"), name_dns1123_subdomain);
        if (rule_has(src, "secretRef"))
            sources++, check_required_name(c, AT(AT(item, "secretRef"), "name"),
                                           doc_str(doc_get(src, "secretRef"), "name"), name_dns1123_subdomain);
        if (sources == 0)
            rule_invalid(c, at, STR(""), "must specify one of: `configMapRef` or `secretRef`");
        else if (sources > 1)
            rule_invalid(c, at, STR(""), "may not have more than one field specified at a time");
    }
}

static void check_resize_policy(struct rule_ctx *c, const struct fpath *at, const struct doc *list,
                                struct str restart_policy)
{
    static const char *const resources[] = {"cpu", "memory", NULL}, *const policies[] = {"NotRequired",
                                                                                         "RestartContainer", NULL};
    cleanup_set struct rule_set seen = {0};
    rule_each (p, list) {
        struct str name = doc_str(p, "resourceName"), policy = doc_str(p, "restartPolicy");
        if (!rule_set_add(&seen, name))
            rule_duplicate(c, AT_INDEX(at, p_i), name);
        check_required_enum(c, at, name, resources);
        check_required_enum(c, at, policy, policies);
        if (str_is(restart_policy, "Never") && !str_is(policy, "NotRequired"))
            rule_invalid(c, at, policy, "must be 'NotRequired' when `restartPolicy` is 'Never'");
    }
}

static void check_container(struct rule_ctx *c, const struct fpath *at, const struct doc *ctr,
                            const struct pod_rules *p)
{
    static const char *const message_policies[] = {"File", "FallbackToLogsOnError", NULL};
    check_required_name(c, AT(at, "name"), doc_str(ctr, "name"), name_dns1123_label);
    if (!doc_str(ctr, "image").len)
        rule_required(c, AT(at, "image"), NULL);
    check_required_enum(c, AT(at, "terminationMessagePolicy"), doc_str(ctr, "terminationMessagePolicy"),
                        message_policies);
    check_ports(c, AT(at, "ports"), doc_get(ctr, "ports"));
    check_env(c, AT(at, "env"), doc_get(ctr, "env"));
    check_env_from(c, AT(at, "envFrom"), doc_get(ctr, "envFrom"));
    check_volume_mounts(c, at, ctr, p);
    check_required_enum(c, AT(at, "imagePullPolicy"), doc_str(ctr, "imagePullPolicy"), pull_policies);
    check_resources(c, AT(at, "resources"), doc_get(ctr, "resources"), p->claims);
    check_resize_policy(c, AT(at, "resizePolicy"), doc_get(ctr, "resizePolicy"), p->restart_policy);
    check_security_context(c, AT(at, "securityContext"), doc_get(ctr, "securityContext"), p->host_users);
}

/* Two containers that run at once can't hold one port of the host. */
static void check_host_ports(struct rule_ctx *c, const struct fpath *at, const struct doc *ctr, struct rule_set *held)
{
    rule_each (port, doc_get(ctr, "ports")) {
        int64_t number = doc_int(port, "hostPort", 0);
        if (number == 0)
            continue;
        struct str key = str_fmt(c->mem, STR_FMT "/" STR_FMT "/%lld", STR_ARG(doc_str(port, "protocol")),
                                 STR_ARG(doc_str(port, "hostIP")), (long long)number);
        if (!rule_set_add(held, key))
            rule_duplicate(c, AT(AT_INDEX(AT(at, "ports"), port_i), "hostPort"), key);
    }
}

static void check_image_spaces(struct rule_ctx *c, const struct fpath *at, const struct doc *ctr)
{
    struct str image = doc_str(ctr, "image");
    if (str_trim(image).len != image.len)
        rule_invalid(c, AT(at, "image"), image, "must not have leading or trailing whitespace");
}

static void check_restart_rules(struct rule_ctx *c, const struct fpath *at, const struct doc *rules)
{
    static const char *const operators[] = {"In", "NotIn", NULL};
    if (doc_len(rules) > RESTART_RULES_MAX)
        err_cause(c->err, CAUSE_TOO_LONG, at, "may not be more than %d bytes", RESTART_RULES_MAX); /* its own slip */
    rule_each (rule, rules) {
        const struct fpath *item = AT_INDEX(at, rule_i), *codes_at = AT(item, "exitCodes");
        const struct doc *codes = doc_get(rule, "exitCodes");
        if (!str_is(doc_str(rule, "action"), "Restart"))
            rule_unsupported(c, AT(item, "action"), doc_str(rule, "action"), "Restart");
        if (!doc_is(codes, DOC_OBJECT)) {
            rule_required(c, codes_at, "must be specified");
            continue;
        }
        check_enum(c, AT(codes_at, "operator"), doc_str(codes, "operator"), operators);
        if (doc_len(doc_get(codes, "values")) > EXIT_CODES_MAX)
            err_cause(c->err, CAUSE_TOO_LONG, AT(codes_at, "values"), "may not be more than %d bytes", EXIT_CODES_MAX);
    }
}

static void check_restart(struct rule_ctx *c, const struct fpath *at, const struct doc *ctr)
{
    const struct doc *rules = doc_get(ctr, "restartPolicyRules");
    if (rule_has(ctr, "restartPolicy"))
        check_enum(c, AT(at, "restartPolicy"), doc_str(ctr, "restartPolicy"), restart_policies);
    else if (doc_len(rules))
        rule_required(c, AT(at, "restartPolicy"), "must specify restartPolicy when restart rules are used");
    check_restart_rules(c, AT(at, "restartPolicyRules"), rules);
}

void check_containers(struct rule_ctx *c, const struct fpath *at, const struct pod_rules *p)
{
    cleanup_set struct rule_set names = {0}, held = {0};
    const struct doc *list = doc_get(p->spec, "containers");
    if (!doc_len(list)) {
        rule_required(c, at, NULL);
        return;
    }
    rule_each (ctr, list) {
        const struct fpath *item = AT_INDEX(at, ctr_i);
        check_container(c, item, ctr, p);
        if (!rule_set_add(&names, doc_str(ctr, "name")))
            rule_duplicate(c, AT(item, "name"), doc_str(ctr, "name"));
        check_probes(c, item, ctr, p);
        check_restart(c, item, ctr);
    }
    rule_each (ctr, list)
        check_host_ports(c, AT_INDEX(at, ctr_i), ctr, &held);
}

static void check_init_restart(struct rule_ctx *c, const struct fpath *at, const struct doc *ctr,
                               const struct pod_rules *p)
{
    static const char *const hooks[] = {"lifecycle", "livenessProbe", "readinessProbe", "startupProbe", NULL};
    if (str_is(doc_str(ctr, "restartPolicy"), "Always")) {
        check_probes(c, at, ctr, p);
        return;
    }
    for (const char *const *h = hooks; *h; h++)
        if (rule_has(ctr, *h))
            rule_forbidden(c, AT(at, *h), "may not be set for init containers without restartPolicy=Always");
}

void check_init_containers(struct rule_ctx *c, const struct fpath *at, const struct pod_rules *p)
{
    cleanup_set struct rule_set names = {0};
    doc_each (ctr, doc_get(p->spec, "containers"))
        rule_set_add(&names, doc_str(ctr, "name"));
    rule_each (ctr, doc_get(p->spec, "initContainers")) {
        const struct fpath *item = AT_INDEX(at, ctr_i);
        struct str name = doc_str(ctr, "name");
        cleanup_set struct rule_set held = {0}; /* they run one by one */
        check_container(c, item, ctr, p);
        if (!str_is(doc_str(ctr, "restartPolicy"), "Always"))
            check_restart(c, item, ctr);
        else if (doc_len(doc_get(ctr, "restartPolicyRules")))
            rule_forbidden(c, AT(item, "restartPolicyRules"),
                           "restartPolicyRules are not allowed for init containers with restart policy Always");
        if (name.len && !rule_set_add(&names, name))
            rule_duplicate(c, AT(item, "name"), name);
        check_host_ports(c, item, ctr, &held);
        check_init_restart(c, item, ctr, p);
    }
}

static void check_ephemeral_fields(struct rule_ctx *c, const struct fpath *at, const struct doc *ctr)
{
    static const char *const banned[] = {
        "ports",         "resources",      "resizePolicy", "restartPolicy", "restartPolicyRules",
        "livenessProbe", "readinessProbe", "startupProbe", "lifecycle",     NULL};
    for (const char *const *f = banned; *f; f++) {
        const struct doc *v = doc_get(ctr, *f);
        if (v && v->type != DOC_NULL && (v->type == DOC_STRING || doc_len(v)))
            rule_forbidden(c, AT(at, *f), "cannot be set for an Ephemeral Container");
    }
    rule_each (m, doc_get(ctr, "volumeMounts")) {
        const struct fpath *item = AT_INDEX(AT(at, "volumeMounts"), m_i);
        if (doc_str(m, "subPath").len)
            rule_forbidden(c, AT(item, "subPath"), "cannot be set for an Ephemeral Container");
        if (doc_str(m, "subPathExpr").len)
            rule_forbidden(c, AT(item, "subPathExpr"), "cannot be set for an Ephemeral Container");
    }
}

void check_ephemeral_containers(struct rule_ctx *c, const struct fpath *at, const struct pod_rules *p)
{
    cleanup_set struct rule_set others = {0}, all = {0};
    const struct doc *list = doc_get(p->spec, "ephemeralContainers");
    if (!doc_len(list))
        return;
    doc_each (ctr, doc_get(p->spec, "containers"))
        rule_set_add(&others, doc_str(ctr, "name"));
    doc_each (ctr, doc_get(p->spec, "initContainers"))
        rule_set_add(&others, doc_str(ctr, "name"));
    rule_each (ctr, list) {
        const struct fpath *item = AT_INDEX(at, ctr_i);
        struct str name = doc_str(ctr, "name"), target = doc_str(ctr, "targetContainerName");
        check_container(c, item, ctr, p);
        check_image_spaces(c, item, ctr);
        if (rule_set_has(&others, name) || !rule_set_add(&all, name))
            rule_duplicate(c, AT(item, "name"), name);
        if (target.len && !rule_set_has(&others, target))
            rule_not_found(c, AT(item, "targetContainerName"), target);
        check_ephemeral_fields(c, item, ctr);
    }
}

void check_images_of_pod(struct rule_ctx *c, const struct fpath *at, const struct doc *spec)
{
    rule_each (ctr, doc_get(spec, "containers"))
        check_image_spaces(c, AT_INDEX(AT(at, "containers"), ctr_i), ctr);
    rule_each (ctr, doc_get(spec, "initContainers"))
        check_image_spaces(c, AT_INDEX(AT(at, "initContainers"), ctr_i), ctr);
}
