/* gate/node_authz.c - the node authorizer: an agent sees its own Node, its own pods, and only what those pods use.
 *
 * Source: kubernetes plugin/pkg/auth/authorizer/node (SIG Auth), KEP-4601 (selectors). */
#include "gate/internal.h"

static bool refers(const struct doc *d, const char *resource, struct str name);

/* Does any "name" under a member that names this kind of object stand in the pod? */
static bool source_refers(const struct doc *source, const char *resource, struct str name)
{
    static const struct {
        const char *resource, *member, *key;
    } rows[] = {
        {"secrets", "secret", "secretName"},       {"secrets", "secret", "name"},
        {"secrets", "secretRef", "name"},          {"secrets", "secretKeyRef", "name"},
        {"configmaps", "configMap", "name"},       {"configmaps", "configMapRef", "name"},
        {"configmaps", "configMapKeyRef", "name"}, {"persistentvolumeclaims", "persistentVolumeClaim", "claimName"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (!strcmp(rows[i].resource, resource) && str_eq(doc_str(doc_get(source, rows[i].member), rows[i].key), name))
            return true;
    return false;
}

static bool any_refers(const struct doc *list, const char *resource, struct str name)
{
    doc_each (d, list)
        if (refers(d, resource, name))
            return true;
    return false;
}

static bool refers(const struct doc *d, const char *resource, struct str name)
{
    return source_refers(d, resource, name) || source_refers(doc_get(d, "valueFrom"), resource, name) ||
           any_refers(doc_path(d, "projected", "sources", NULL), resource, name) ||
           any_refers(doc_get(d, "env"), resource, name) || any_refers(doc_get(d, "envFrom"), resource, name);
}

static bool pod_refers(const struct doc *pod, const char *resource, struct str name)
{
    const struct doc *spec = doc_get(pod, "spec");
    if (!strcmp(resource, "serviceaccounts"))
        return str_eq(doc_str(spec, "serviceAccountName"), name);
    if (!strcmp(resource, "secrets"))
        doc_each (s, doc_get(spec, "imagePullSecrets"))
            if (str_eq(doc_str(s, "name"), name))
                return true;
    return any_refers(doc_get(spec, "volumes"), resource, name) ||
           any_refers(doc_get(spec, "containers"), resource, name) ||
           any_refers(doc_get(spec, "initContainers"), resource, name) ||
           any_refers(doc_get(spec, "ephemeralContainers"), resource, name);
}

static bool node_uses(struct gate *g, struct str node, const struct gate_attrs *a, const char *resource)
{
    cleanup_arena struct arena *mem = arena_new();
    int count;
    struct obj **pods = cache_pods_of_node(g->o.cache, mem, node, &count);
    for (int i = 0; i < count; i++)
        if (str_eq(pods[i]->ns, a->ns) && pod_refers(obj_doc(mem, pods[i]), resource, a->name))
            return true;
    return false;
}

static bool is_verb(const struct gate_attrs *a, const char *list)
{
    struct str rest = str_of(list), verb;
    while (str_next(&rest, ' ', &verb))
        if (str_eq(verb, a->verb))
            return true;
    return false;
}

static bool pod_is_ours(struct gate *g, struct str node, const struct gate_attrs *a)
{
    const struct obj *o = cache_find(g->o.cache, schema_stored("", "pods"), a->ns, a->name);
    cleanup_arena struct arena *mem = arena_new();
    return !o || str_eq(doc_str(doc_get(obj_doc(mem, o), "spec"), "nodeName"), node);
}

static bool selects_own_pods(const struct gate_attrs *a, struct str node)
{
    struct str rest = a->field_selector, term, key, value;
    while (str_next(&rest, ',', &term))
        if (str_cut(term, '=', &key, &value) && str_is(key, "spec.nodeName") &&
            str_eq(str_starts(value, STR("=")) ? str_from(value, 1) : value, node))
            return true;
    return false;
}

static bool pods(struct gate *g, struct str node, const struct gate_attrs *a, struct str *ret_why)
{
    if (is_verb(a, "list watch")) {
        *ret_why = STR("can only list/watch pods with spec.nodeName field selector");
        return selects_own_pods(a, node);
    }
    *ret_why = STR("no relationship found between this node and the pod");
    return is_verb(a, "get update patch delete create") && pod_is_ours(g, node, a);
}

static bool used_only(struct gate *g, struct str node, const struct gate_attrs *a, const char *resource,
                      struct str *ret_why)
{
    if (!a->name.len) {
        *ret_why = str_is(a->verb, "list") || str_is(a->verb, "watch")
                       ? STR("can only read resources of this type by name")
                       : STR("No Object name found");
        return false;
    }
    *ret_why = STR("no relationship found between this node and this object");
    return is_verb(a, "get list watch") && node_uses(g, node, a, resource);
}

static bool own(const struct gate_attrs *a, struct str name, const char *verbs, struct str *ret_why)
{
    *ret_why = STR("can only access its own object");
    return is_verb(a, verbs) && (str_is(a->verb, "create") || str_eq(a->name, name));
}

bool node_allows(struct gate *g, struct arena *mem, const struct user *u, const struct gate_attrs *a, bool *ret_denied,
                 struct str *ret_why)
{
    struct str prefix = STR("system:node:"), node = str_from(u->name, prefix.len);
    *ret_denied = false;
    if (!str_starts(u->name, prefix) || !user_in_group(u, "system:nodes"))
        return false;
    *ret_denied = true; /* for the kinds below nothing else may allow more */
    bool is_core = !a->group.len;
    if (is_core && str_is(a->resource, "pods"))
        return pods(g, node, a, ret_why);
    if (is_core && (str_is(a->resource, "secrets") || str_is(a->resource, "configmaps") ||
                    str_is(a->resource, "persistentvolumeclaims")))
        return used_only(g, node, a, str_z(mem, a->resource), ret_why);
    if (is_core && str_is(a->resource, "serviceaccounts"))
        return str_is(a->subresource, "token") ? (*ret_why = STR("no pod of this node runs as this account"),
                                                  node_uses(g, node, a, "serviceaccounts"))
                                               : used_only(g, node, a, "serviceaccounts", ret_why);
    if (is_core && str_is(a->resource, "nodes"))
        return is_verb(a, "get list watch") ? (a->name.len ? own(a, node, "get list watch", ret_why)
                                                           : str_is(a->verb, "list") || str_is(a->verb, "watch"))
                                            : own(a, node, "create update patch", ret_why);
    if (str_is(a->group, "coordination.k8s.io") && str_is(a->resource, "leases"))
        return own(a, node, "get create update patch delete", ret_why) && str_is(a->ns, "kube-node-lease");
    *ret_denied = false;
    return false; /* the rest is the role system:node's to say */
}
