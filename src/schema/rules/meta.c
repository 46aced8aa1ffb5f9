/* schema/rules/meta.c - ObjectMeta. Source: apimachinery pkg/api/validation/objectmeta.go and
 * pkg/apis/meta/v1/validation, 0.36. */
#include <stdlib.h>

#include "schema/rules/rules.h"

enum {
    ANNOTATIONS_BYTES_MAX = 256 << 10,
    FIELD_MANAGER_MAX = 128,
    SUBRESOURCE_NAME_MAX = 256,
    REASON_MAX = 1024,
    MESSAGE_MAX = 32 << 10
};

static const struct fpath metadata = {.name = "metadata"};

void check_labels(struct rule_ctx *c, const struct fpath *at, const struct doc *labels)
{
    doc_each (pair, labels) {
        check_name(c, at, pair->key, name_qualified);
        check_name(c, at, doc_string(pair), name_label_value);
    }
}

void check_annotations(struct rule_ctx *c, const struct fpath *at, const struct doc *annotations)
{
    size_t bytes = 0;
    doc_each (pair, annotations) {
        check_name(c, at, pair->key, name_qualified_caseless);
        bytes += pair->key.len + doc_string(pair).len;
    }
    if (bytes > ANNOTATIONS_BYTES_MAX)
        err_cause(c->err, CAUSE_TOO_LONG, at, "may not be more than %d bytes", ANNOTATIONS_BYTES_MAX);
}

static void check_owner(struct rule_ctx *c, const struct fpath *at, const struct doc *ref)
{
    struct str api_version = doc_str(ref, "apiVersion"), kind = doc_str(ref, "kind"), group, version;
    if (!str_cut(api_version, '/', &group, &version))
        version = api_version;
    else if (str_find(version, '/') >= 0)
        version = STR(""); /* ParseGroupVersion fails: as if there were none */
    if (!version.len)
        rule_invalid(c, AT(at, "apiVersion"), api_version, "version must not be empty");
    if (!kind.len)
        rule_invalid(c, AT(at, "kind"), kind, "must not be empty");
    if (!doc_str(ref, "name").len)
        rule_invalid(c, AT(at, "name"), STR(""), "must not be empty");
    if (!doc_str(ref, "uid").len)
        rule_invalid(c, AT(at, "uid"), STR(""), "must not be empty");
    if (str_is(api_version, "v1") && str_is(kind, "Event"))
        rule_invalid_doc(c, at, ref, "/v1, Kind=Event is disallowed from being an owner");
}

static void check_owners(struct rule_ctx *c, const struct fpath *at, const struct doc *owners)
{
    struct str first = STR("");
    doc_each (ref, owners) {
        check_owner(c, at, ref);
        if (!doc_bool(ref, "controller", false))
            continue;
        struct str name =
            str_fmt(c->mem, STR_FMT "/" STR_FMT, STR_ARG(doc_str(ref, "kind")), STR_ARG(doc_str(ref, "name")));
        if (first.len)
            rule_invalid_doc(
                c, at, owners,
                "Only one reference can have Controller set to true. Found \"true\" in references for " STR_FMT
                " and " STR_FMT,
                STR_ARG(first), STR_ARG(name));
        else
            first = name;
    }
}

/* Unqualified names are kept for what Kubernetes itself has always used. */
static void check_core_finalizer(struct rule_ctx *c, const struct fpath *at, struct str name)
{
    if (str_find(name, '/') < 0 && !str_is(name, "kubernetes") && !str_is(name, "orphan") &&
        !str_is(name, "foregroundDeletion"))
        rule_invalid(c, at, name, "name is neither a standard finalizer name nor is it fully qualified");
}

static void check_finalizers(struct rule_ctx *c, const struct fpath *at, const struct doc *finalizers)
{
    bool orphan = false, foreground = false;
    doc_each (f, finalizers) {
        check_name(c, at, doc_string(f), name_qualified);
        orphan |= str_is(doc_string(f), "orphan");
        foreground |= str_is(doc_string(f), "foregroundDeletion");
    }
    if (orphan && foreground)
        rule_invalid_doc(c, at, finalizers, "finalizer orphan and foregroundDeletion cannot be both set");
}

static void check_field_manager(struct rule_ctx *c, const struct fpath *at, struct str manager)
{
    if (manager.len > FIELD_MANAGER_MAX)
        err_cause(c->err, CAUSE_TOO_LONG, at, "may not be more than %d bytes", FIELD_MANAGER_MAX);
    for (size_t i = 0; i < manager.len; i++)
        if ((unsigned char)manager.ptr[i] < ' ' || manager.ptr[i] == 0x7f) {
            rule_invalid(c, at, manager, "should only contain printable characters");
            return;
        }
}

static void check_managed_fields(struct rule_ctx *c, const struct fpath *at, const struct doc *entries)
{
    rule_each (e, entries) {
        const struct fpath *item = AT_INDEX(at, e_i);
        struct str op = doc_str(e, "operation"), type = doc_str(e, "fieldsType");
        if (!str_is(op, "Apply") && !str_is(op, "Update"))
            rule_invalid(c, AT(item, "operation"), op, "must be `Apply` or `Update`");
        if (type.len && !str_is(type, "FieldsV1"))
            rule_invalid(c, AT(item, "fieldsType"), type, "must be `FieldsV1`");
        check_field_manager(c, AT(item, "manager"), doc_str(e, "manager"));
        if (doc_str(e, "subresource").len > SUBRESOURCE_NAME_MAX)
            err_cause(c->err, CAUSE_TOO_LONG, AT(item, "subresource"), "may not be more than %d bytes",
                      SUBRESOURCE_NAME_MAX);
    }
}

/* The groups whose kinds go through core's ValidateObjectMeta; custom resources and the aggregator's do not. */
static bool is_core_validated(const char *group)
{
    static const char *const groups[] = {"",
                                         "apps",
                                         "batch",
                                         "autoscaling",
                                         "policy",
                                         "networking.k8s.io",
                                         "discovery.k8s.io",
                                         "rbac.authorization.k8s.io",
                                         "storage.k8s.io",
                                         "scheduling.k8s.io",
                                         NULL};
    for (const char *const *g = groups; *g; g++)
        if (!strcmp(group, *g))
            return true;
    return false;
}

static void check_kube_finalizers(struct rule_ctx *c, const struct doc *meta)
{
    if (c->res && c->res->group && !is_core_validated(c->res->group))
        return;
    const struct fpath *at = AT(&metadata, "finalizers");
    rule_each (f, doc_get(meta, "finalizers"))
        check_core_finalizer(c, AT_INDEX(at, f_i), doc_string(f));
}

void check_meta(struct rule_ctx *c, const struct doc *meta, bool namespaced, const char *name_rule_word)
{
    struct str generate = doc_str(meta, "generateName"), name = doc_str(meta, "name"), ns = doc_str(meta, "namespace");
    if (generate.len) {
        const char *msgs[NAME_MSGS_MAX];
        struct str masked =
            name_rule_word && !strcmp(name_rule_word, "path") ? generate : name_mask_dash(c->mem, generate);
        int n = name_rule_of(name_rule_word, /* prefix= */ true)(masked, msgs);
        for (int i = 0; i < n; i++)
            rule_invalid(c, AT(&metadata, "generateName"), generate, "%s", msgs[i]);
    }
    if (!name.len)
        rule_required(c, AT(&metadata, "name"), "name or generateName is required");
    else
        check_name(c, AT(&metadata, "name"), name, name_rule_of(name_rule_word, /* prefix= */ false));
    if (namespaced)
        check_required_name(c, AT(&metadata, "namespace"), ns, name_dns1123_label);
    else if (ns.len)
        rule_forbidden(c, AT(&metadata, "namespace"), "not allowed on this type");
    check_nonnegative(c, AT(&metadata, "generation"), doc_int(meta, "generation", 0));
    check_labels(c, AT(&metadata, "labels"), doc_get(meta, "labels"));
    check_annotations(c, AT(&metadata, "annotations"), doc_get(meta, "annotations"));
    check_owners(c, AT(&metadata, "ownerReferences"), doc_get(meta, "ownerReferences"));
    check_finalizers(c, AT(&metadata, "finalizers"), doc_get(meta, "finalizers"));
    check_managed_fields(c, AT(&metadata, "managedFields"), doc_get(meta, "managedFields"));
    check_kube_finalizers(c, meta);
}

static int cmp_str(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* The names that are new, sorted, as Go's %#v of a []string. */
static void check_no_new_finalizers(struct rule_ctx *c, const struct doc *value, const struct doc *old)
{
    cleanup_set struct rule_set seen = {0};
    struct str *fresh = arena_array(c->mem, struct str, doc_len(value) + 1);
    int n = 0;
    doc_each (f, old)
        rule_set_add(&seen, doc_string(f));
    doc_each (f, value)
        if (rule_set_add(&seen, doc_string(f)))
            fresh[n++] = doc_string(f);
    if (!n)
        return;
    qsort(fresh, (size_t)n, sizeof *fresh, cmp_str);
    struct sb list = SB(c->mem);
    for (int i = 0; i < n; i++) {
        if (i)
            sb_addz(&list, ", ");
        sb_addq(&list, fresh[i]);
    }
    rule_forbidden(
        c, AT(&metadata, "finalizers"),
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{" STR_FMT "}",
        STR_ARG(sb_str(&list)));
}

void check_meta_update(struct rule_ctx *c, const struct doc *meta, const struct doc *old)
{
    static const char *const fixed[] = {
        "name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", NULL};
    if (rule_has(old, "deletionTimestamp"))
        check_no_new_finalizers(c, doc_get(meta, "finalizers"), doc_get(old, "finalizers"));
    if (!doc_str(meta, "resourceVersion").len)
        rule_invalid(c, AT(&metadata, "resourceVersion"), STR(""), "must be specified for an update");
    int64_t generation = doc_int(meta, "generation", 0);
    if (generation < doc_int(old, "generation", 0))
        rule_invalid_int(c, AT(&metadata, "generation"), generation, "must not be decremented");
    for (const char *const *name = fixed; *name; name++) {
        const struct doc *value = doc_get(meta, *name), *before = doc_get(old, *name);
        static const struct doc empty = {.type = DOC_STRING};
        bool text = doc_is(value, DOC_STRING) || doc_is(before, DOC_STRING);
        bool time = str_ends(str_of(*name), STR("Timestamp"));
        check_immutable(c, AT(&metadata, *name), text && !time && !value ? &empty : value,
                        text && !time && !before ? &empty : before);
    }
    check_labels(c, AT(&metadata, "labels"), doc_get(meta, "labels"));
    check_annotations(c, AT(&metadata, "annotations"), doc_get(meta, "annotations"));
    check_owners(c, AT(&metadata, "ownerReferences"), doc_get(meta, "ownerReferences"));
    check_managed_fields(c, AT(&metadata, "managedFields"), doc_get(meta, "managedFields"));
    check_kube_finalizers(c, meta);
}

static void check_condition(struct rule_ctx *c, const struct fpath *at, const struct doc *cond)
{
    static const char *const statuses[] = {"False", "True", "Unknown", NULL};
    struct str reason = doc_str(cond, "reason");
    check_name(c, AT(at, "type"), doc_str(cond, "type"), name_qualified);
    check_enum(c, AT(at, "status"), doc_str(cond, "status"), statuses);
    if (doc_int(cond, "observedGeneration", 0) < 0)
        rule_invalid_int(c, AT(at, "observedGeneration"), doc_int(cond, "observedGeneration", 0),
                         "must be greater than or equal to zero");
    if (!rule_has(cond, "lastTransitionTime"))
        rule_required(c, AT(at, "lastTransitionTime"), NULL);
    check_required_name(c, AT(at, "reason"), reason, name_condition_reason);
    if (reason.len > REASON_MAX)
        err_cause(c->err, CAUSE_TOO_LONG, AT(at, "reason"), "may not be more than %d bytes", REASON_MAX);
    if (doc_str(cond, "message").len > MESSAGE_MAX)
        err_cause(c->err, CAUSE_TOO_LONG, AT(at, "message"), "may not be more than %d bytes", MESSAGE_MAX);
}

void check_conditions(struct rule_ctx *c, const struct fpath *at, const struct doc *conditions)
{
    cleanup_set struct rule_set seen = {0};
    rule_each (cond, conditions) {
        const struct fpath *item = AT_INDEX(at, cond_i);
        if (!rule_set_add(&seen, doc_str(cond, "type")))
            rule_duplicate(c, AT(item, "type"), doc_str(cond, "type"));
        check_condition(c, item, cond);
    }
}
