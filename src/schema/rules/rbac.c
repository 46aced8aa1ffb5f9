/* schema/rules/rbac.c - roles and their bindings. Source: pkg/apis/rbac/validation. */
#include "schema/rules/kinds.h"
#include "schema/rules/rules.h"

#define RBAC_GROUP "rbac.authorization.k8s.io"

static void check_rule(struct rule_ctx *c, const struct fpath *at, const struct doc *rule, bool namespaced)
{
    const struct doc *urls = doc_get(rule, "nonResourceURLs"), *resources = doc_get(rule, "resources"),
                     *names = doc_get(rule, "resourceNames");
    if (!doc_len(doc_get(rule, "verbs")))
        rule_required(c, AT(at, "verbs"), "verbs must contain at least one value");
    if (doc_len(urls)) {
        if (namespaced)
            rule_invalid_doc(c, AT(at, "nonResourceURLs"), urls, "namespaced rules cannot apply to non-resource URLs");
        if (doc_len(doc_get(rule, "apiGroups")) || doc_len(resources) || doc_len(names))
            rule_invalid_doc(c, AT(at, "nonResourceURLs"), urls,
                             "rules cannot apply to both regular resources and non-resource URLs");
        return;
    }
    if (!doc_len(doc_get(rule, "apiGroups")))
        rule_required(c, AT(at, "apiGroups"), "resource rules must supply at least one api group");
    if (!doc_len(resources))
        rule_required(c, AT(at, "resources"), "resource rules must supply at least one resource");
}

static void check_rules(struct rule_ctx *c, const struct fpath *at, const struct doc *role, bool namespaced)
{
    rule_each (rule, doc_get(role, "rules"))
        check_rule(c, AT_INDEX(AT(at, "rules"), rule_i), rule, namespaced);
}

void validate_role(struct rule_ctx *c, const struct doc *role, const struct doc *old, const struct fpath *at)
{
    check_rules(c, at, role, /* namespaced= */ true);
}

void validate_cluster_role(struct rule_ctx *c, const struct doc *role, const struct doc *old, const struct fpath *at)
{
    const struct doc *aggregation = doc_get(role, "aggregationRule"),
                     *selectors = doc_get(aggregation, "clusterRoleSelectors");
    const struct fpath *list = AT(AT(at, "aggregationRule"), "clusterRoleSelectors");
    check_rules(c, at, role, /* namespaced= */ false);
    if (!doc_is(aggregation, DOC_OBJECT))
        return;
    if (!doc_len(selectors))
        rule_required(c, list, "at least one clusterRoleSelector required if aggregationRule is non-nil");
    rule_each (s, selectors)
        check_label_selector(c, AT_INDEX(list, s_i), s);
}

static void check_subject(struct rule_ctx *c, const struct fpath *at, const struct doc *subject, bool namespaced)
{
    struct str name = doc_str(subject, "name"), kind = doc_str(subject, "kind"), group = doc_str(subject, "apiGroup");
    bool user = str_is(kind, "User");
    if (!name.len)
        rule_required(c, AT(at, "name"), NULL);
    if (str_is(kind, "ServiceAccount")) {
        if (name.len)
            check_name(c, AT(at, "name"), name, name_dns1123_subdomain);
        if (group.len)
            rule_unsupported(c, AT(at, "apiGroup"), group, "");
        if (!namespaced && !doc_str(subject, "namespace").len)
            rule_required(c, AT(at, "namespace"), NULL);
    } else if (user || str_is(kind, "Group")) {
        if (!name.len)
            rule_invalid(c, AT(at, "name"), name, "%s name cannot be empty", user ? "user" : "group");
        if (!str_is(group, RBAC_GROUP))
            rule_unsupported(c, AT(at, "apiGroup"), group, RBAC_GROUP);
    } else
        rule_unsupported(c, AT(at, "kind"), kind, "ServiceAccount", "User", "Group");
}

static void check_binding(struct rule_ctx *c, const struct fpath *at, const struct doc *binding, const struct doc *old,
                          bool namespaced)
{
    const struct doc *ref = doc_get(binding, "roleRef");
    const struct fpath *ref_at = AT(at, "roleRef");
    struct str kind = doc_str(ref, "kind");
    if (!str_is(doc_str(ref, "apiGroup"), RBAC_GROUP))
        rule_unsupported(c, AT(ref_at, "apiGroup"), doc_str(ref, "apiGroup"), RBAC_GROUP);
    if (namespaced && !str_is(kind, "Role") && !str_is(kind, "ClusterRole"))
        rule_unsupported(c, AT(ref_at, "kind"), kind, "Role", "ClusterRole");
    else if (!namespaced && !str_is(kind, "ClusterRole"))
        rule_unsupported(c, AT(ref_at, "kind"), kind, "ClusterRole");
    check_required_name(c, AT(ref_at, "name"), doc_str(ref, "name"), name_path_segment);
    rule_each (s, doc_get(binding, "subjects"))
        check_subject(c, AT_INDEX(AT(at, "subjects"), s_i), s, namespaced);
    if (old && !rule_equal(ref, doc_get(old, "roleRef")))
        rule_invalid_doc(c, ref_at, ref, "cannot change roleRef");
}

void validate_role_binding(struct rule_ctx *c, const struct doc *binding, const struct doc *old, const struct fpath *at)
{
    check_binding(c, at, binding, old, /* namespaced= */ true);
}

void validate_cluster_role_binding(struct rule_ctx *c, const struct doc *binding, const struct doc *old,
                                   const struct fpath *at)
{
    check_binding(c, at, binding, old, /* namespaced= */ false);
}
