/* schema/rules/storage.c - PersistentVolume, PersistentVolumeClaim, StorageClass. */
#include "schema/rules/kinds.h"
#include "schema/rules/rules.h"

enum { PARAMETERS_MAX = 512, PARAMETERS_BYTES_MAX = 256 << 10 };
static const struct fpath spec_at = {.name = "spec"};
static const char *const volume_modes[] = {"Block", "Filesystem", NULL};

static void check_access_modes(struct rule_ctx *c, const struct fpath *at, const struct doc *modes)
{
    static const char *const allowed[] = {"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod", NULL};
    bool alone = false, others = false;
    doc_each (m, modes) {
        bool known = check_enum(c, at, doc_string(m), allowed);
        if (str_is(doc_string(m), "ReadWriteOncePod"))
            alone = true;
        else
            others |= known;
    }
    if (alone && others)
        rule_forbidden(c, at, "may not use ReadWriteOncePod with other access modes");
}

static void check_data_source(struct rule_ctx *c, const struct fpath *at, const struct doc *src)
{
    struct str group = doc_str(src, "apiGroup"), kind = doc_str(src, "kind");
    if (!doc_is(src, DOC_OBJECT))
        return;
    if (!doc_str(src, "name").len)
        rule_required(c, AT(at, "name"), NULL);
    if (!kind.len)
        rule_required(c, AT(at, "kind"), NULL);
    if (!group.len && !str_is(kind, "PersistentVolumeClaim"))
        rule_invalid(c, at, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
    if (group.len && !rule_kept(c, AT(at, "apiGroup"), doc_get(src, "apiGroup")))
        check_name(c, AT(at, "apiGroup"), group, name_dns1123_subdomain);
    if (doc_str(src, "namespace").len)
        check_name(c, AT(at, "namespace"), doc_str(src, "namespace"), name_dns1123_label);
}

static void check_both_sources(struct rule_ctx *c, const struct fpath *at, const struct doc *spec)
{
    const struct doc *src = doc_get(spec, "dataSource"), *ref = doc_get(spec, "dataSourceRef");
    if (!doc_is(src, DOC_OBJECT) || !doc_is(ref, DOC_OBJECT))
        return;
    if (doc_str(ref, "namespace").len)
        err_cause_raw(c->err, CAUSE_INVALID, at, STR("{}"),
                      "may not be specified when dataSourceRef.namespace is specified");
    else if (!rule_equal(doc_get(src, "apiGroup"), doc_get(ref, "apiGroup")) ||
             !str_eq(doc_str(src, "kind"), doc_str(ref, "kind")) || !str_eq(doc_str(src, "name"), doc_str(ref, "name")))
        err_cause_raw(c->err, CAUSE_INVALID, at, STR("{}"), "must match dataSourceRef");
}

void check_claim_spec(struct rule_ctx *c, const struct fpath *at, const struct doc *spec)
{
    const struct doc *storage = doc_get(doc_get(doc_get(spec, "resources"), "requests"), "storage");
    const struct fpath *storage_at = AT_KEY(AT(at, "resources"), STR("storage"));
    if (!doc_len(doc_get(spec, "accessModes")))
        rule_required(c, AT(at, "accessModes"), "at least 1 access mode is required");
    check_label_selector(c, AT(at, "selector"), doc_get(spec, "selector"));
    check_access_modes(c, AT(at, "accessModes"), doc_get(spec, "accessModes"));
    if (!storage)
        rule_required(c, storage_at, NULL);
    else if (check_quantity_positive(c, storage_at, doc_string(storage)))
        check_quantity(c, storage_at, STR("storage"), doc_string(storage));
    if (doc_str(spec, "storageClassName").len)
        check_name(c, AT(at, "storageClassName"), doc_str(spec, "storageClassName"), name_dns1123_subdomain);
    if (rule_has(spec, "volumeMode"))
        check_enum(c, AT(at, "volumeMode"), doc_str(spec, "volumeMode"), volume_modes);
    check_data_source(c, AT(at, "dataSource"), doc_get(spec, "dataSource"));
    check_data_source(c, AT(at, "dataSourceRef"), doc_get(spec, "dataSourceRef"));
    check_both_sources(c, at, spec);
    if (doc_str(spec, "volumeAttributesClassName").len)
        check_name(c, AT(at, "volumeAttributesClassName"), doc_str(spec, "volumeAttributesClassName"),
                   name_dns1123_subdomain);
}

static struct quantity storage_of(const struct doc *holder, const char *list)
{
    return quantity_of_str(doc_str(doc_get(holder, list), "storage"));
}

/* A claim is bound to what it asked for: only its name of a volume once, and a bound one's size and class, may change.
 */
static void check_claim_change(struct rule_ctx *c, const struct doc *obj, const struct doc *old_obj)
{
    const struct doc *spec = doc_get(obj, "spec"), *old = doc_get(old_obj, "spec");
    struct doc *now = doc_copy(c->mem, spec), *was = doc_copy(c->mem, old);
    bool bound = str_is(doc_str(doc_get(obj, "status"), "phase"), "Bound");
    if (!doc_str(old, "volumeName").len) {
        doc_del(now, "volumeName");
        doc_del(was, "volumeName");
    }
    if (!rule_has(old, "storageClassName"))
        doc_del(now, "storageClassName");
    if (bound) {
        doc_del(doc_sub(c->mem, doc_sub(c->mem, now, "resources"), "requests"), "storage");
        doc_del(doc_sub(c->mem, doc_sub(c->mem, was, "resources"), "requests"), "storage");
        doc_del(now, "volumeAttributesClassName");
        doc_del(was, "volumeAttributesClassName");
    }
    if (!rule_equal(now, was))
        rule_forbidden(c, &spec_at,
                       "spec is immutable after creation except resources.requests and volumeAttributesClassName for "
                       "bound claims\n" STR_FMT,
                       STR_ARG(rule_diff(c->mem, was, now)));
    struct quantity size = storage_of(doc_get(spec, "resources"), "requests"),
                    before = storage_of(doc_get(old, "resources"), "requests");
    if (quantity_cmp(size, before) < 0 && quantity_cmp(size, storage_of(doc_get(old_obj, "status"), "capacity")) <= 0)
        rule_forbidden(c, AT(AT(AT(&spec_at, "resources"), "requests"), "storage"),
                       "field can not be less than status.capacity");
    check_immutable(c, &(const struct fpath){.name = "volumeMode"}, doc_get(spec, "volumeMode"),
                    doc_get(old, "volumeMode"));
    if (rule_has(old, "volumeAttributesClassName") && !rule_has(spec, "volumeAttributesClassName"))
        rule_forbidden(c, AT(&spec_at, "volumeAttributesClassName"), "update from non-nil value to nil is forbidden");
}

void validate_persistent_volume_claim(struct rule_ctx *c, const struct doc *obj, const struct doc *old,
                                      const struct fpath *at)
{
    check_claim_spec(c, &spec_at, doc_get(obj, "spec"));
    if (old)
        check_claim_change(c, obj, old);
}

void validate_persistent_volume_claim_status(struct rule_ctx *c, const struct doc *obj, const struct doc *old,
                                             const struct fpath *at)
{
    const struct fpath *list = AT(AT(at, "status"), "capacity");
    doc_each (r, doc_get(doc_get(obj, "status"), "capacity")) {
        int64_t value = quantity_value(quantity_of_str(doc_string(r)));
        if (value < 0)
            rule_invalid_int(c, AT_KEY(list, r->key), value, "must be a valid resource quantity");
    }
}

/* ---- PersistentVolume */
static const struct source {
    const char *name;
    const char *required[2]; /* strings that must not be empty */
} sources[] = {
    {"hostPath", {"path"}},
    {"gcePersistentDisk", {"pdName"}},
    {"awsElasticBlockStore", {"volumeID"}},
    {"glusterfs", {"endpoints"}},
    {"flocker", {0}},
    {"nfs", {"server", "path"}},
    {"rbd", {"image"}},
    {"quobyte", {"registry"}},
    {"cephfs", {0}},
    {"iscsi", {"targetPortal"}},
    {"cinder", {"volumeID"}},
    {"fc", {0}},
    {"flexVolume", {"driver"}},
    {"azureFile", {"secretName"}},
    {"vsphereVolume", {"volumePath"}},
    {"photonPersistentDisk", {0}},
    {"portworxVolume", {"volumeID"}},
    {"azureDisk", {"diskName"}},
    {"scaleIO", {"gateway"}},
    {"local", {"path"}},
    {"storageos", {0}},
    {"csi", {"volumeHandle"}},
};
enum { SOURCE_COUNT = sizeof sources / sizeof *sources };

static void check_capacity(struct rule_ctx *c, const struct doc *capacity)
{
    const struct fpath *at = AT(&spec_at, "capacity");
    if (!doc_len(capacity))
        rule_required(c, at, NULL);
    if (!doc_get(capacity, "storage") || doc_len(capacity) > 1)
        err_cause_raw(c->err, CAUSE_NOT_SUPPORTED, at, rule_json(c, capacity), "supported values: \"storage\"");
    doc_each (r, capacity) {
        int64_t value = quantity_value(quantity_of_str(doc_string(r)));
        if (value < 0)
            rule_invalid_int(c, AT_KEY(at, r->key), value, "must be a valid resource quantity");
        check_quantity_positive(c, AT_KEY(at, r->key), doc_string(r));
    }
}

static void check_pv_source(struct rule_ctx *c, const struct source *s, const struct doc *src)
{
    const struct fpath *at = AT(&spec_at, s->name);
    if (str_is(str_of(s->name), "csi"))
        check_csi_driver(c, AT(at, "driver"), doc_str(src, "driver"));
    for (int i = 0; i < 2 && s->required[i]; i++)
        if (!doc_str(src, s->required[i]).len)
            rule_required(c, AT(at, s->required[i]), NULL);
    if (str_is(str_of(s->name), "hostPath") || str_is(str_of(s->name), "local"))
        check_no_backsteps(c, AT(at, "path"), doc_str(src, "path"));
    if (str_is(str_of(s->name), "nfs") && !str_starts(doc_str(src, "path"), STR("/")))
        rule_invalid(c, AT(at, "path"), doc_str(src, "path"), "must be an absolute path");
}

static void check_pv_sources(struct rule_ctx *c, const struct doc *spec)
{
    int found = 0;
    for (int i = 0; i < SOURCE_COUNT; i++) {
        const struct doc *src = doc_get(spec, sources[i].name);
        if (!src || src->type == DOC_NULL)
            continue;
        if (found++)
            rule_forbidden(c, AT(&spec_at, sources[i].name), "may not specify more than 1 volume type");
        else
            check_pv_source(c, &sources[i], src);
    }
    if (!found)
        rule_required(c, &spec_at, "must specify a volume type");
    if (rule_has(spec, "local") && !rule_has(spec, "nodeAffinity"))
        rule_required(c, AT(&spec_at, "nodeAffinity"), "Local volume requires node affinity");
}

static void check_pv_affinity(struct rule_ctx *c, const struct doc *affinity)
{
    const struct fpath *at = AT(AT(&spec_at, "nodeAffinity"), "required");
    if (!doc_is(affinity, DOC_OBJECT))
        return;
    if (rule_has(affinity, "required"))
        check_node_selector(c, at, doc_get(affinity, "required"));
    else
        rule_required(c, at, "must specify required node constraints");
}

static void check_pv_change(struct rule_ctx *c, const struct doc *spec, const struct doc *old)
{
    bool changed = false;
    for (int i = 0; i < SOURCE_COUNT; i++)
        changed |= !rule_equal(doc_get(spec, sources[i].name), doc_get(old, sources[i].name));
    if (changed)
        rule_forbidden(c, AT(&spec_at, "persistentvolumesource"),
                       "spec.persistentvolumesource is immutable after creation\n" STR_FMT,
                       STR_ARG(rule_diff(c->mem, old, spec)));
    check_immutable(c, &(const struct fpath){.name = "volumeMode"}, doc_get(spec, "volumeMode"),
                    doc_get(old, "volumeMode"));
    if (rule_has(old, "nodeAffinity") && !rule_equal(doc_get(spec, "nodeAffinity"), doc_get(old, "nodeAffinity")))
        rule_invalid_doc(c, &(const struct fpath){.name = "nodeAffinity"}, doc_get(spec, "nodeAffinity"),
                         "field is immutable, except for updating from beta label to GA");
    if (rule_has(old, "volumeAttributesClassName") && !rule_has(spec, "volumeAttributesClassName"))
        rule_forbidden(c, AT(&spec_at, "volumeAttributesClassName"), "update from non-nil value to nil is forbidden");
}

void validate_persistent_volume(struct rule_ctx *c, const struct doc *obj, const struct doc *old,
                                const struct fpath *at)
{
    static const char *const reclaim[] = {"Delete", "Recycle", "Retain", NULL};
    const struct doc *spec = doc_get(obj, "spec");
    struct str policy = doc_str(spec, "persistentVolumeReclaimPolicy");
    if (!doc_len(doc_get(spec, "accessModes")))
        rule_required(c, AT(&spec_at, "accessModes"), NULL);
    check_access_modes(c, AT(&spec_at, "accessModes"), doc_get(spec, "accessModes"));
    check_capacity(c, doc_get(spec, "capacity"));
    if (policy.len)
        check_enum(c, AT(&spec_at, "persistentVolumeReclaimPolicy"), policy, reclaim);
    check_pv_affinity(c, doc_get(spec, "nodeAffinity"));
    check_pv_sources(c, spec);
    if (str_is(policy, "Recycle") && str_is(doc_str(doc_get(spec, "hostPath"), "path"), "/"))
        rule_forbidden(c, AT(&spec_at, "persistentVolumeReclaimPolicy"),
                       "may not be 'recycle' for a hostPath mount of '/'");
    if (doc_str(spec, "storageClassName").len)
        check_name(c, AT(&spec_at, "storageClassName"), doc_str(spec, "storageClassName"), name_dns1123_subdomain);
    if (rule_has(spec, "volumeMode"))
        check_enum(c, AT(&spec_at, "volumeMode"), doc_str(spec, "volumeMode"), volume_modes);
    if (old)
        check_pv_change(c, spec, doc_get(old, "spec"));
}

/* ---- StorageClass */
static void check_parameters_of_class(struct rule_ctx *c, const struct fpath *at, const struct doc *parameters)
{
    size_t bytes = 0;
    if (doc_len(parameters) > PARAMETERS_MAX)
        err_cause(c->err, CAUSE_TOO_LONG, AT(at, "Provisioner Parameters Length"), "may not be more than %d bytes",
                  PARAMETERS_MAX);
    doc_each (p, parameters) {
        if (!p->key.len)
            rule_invalid(c, at, p->key, "field can not be empty.");
        bytes += p->key.len + doc_string(p).len;
    }
    if (bytes > PARAMETERS_BYTES_MAX)
        err_cause(c->err, CAUSE_TOO_LONG, at, "may not be more than %d bytes", PARAMETERS_BYTES_MAX);
}

static void check_topologies(struct rule_ctx *c, const struct fpath *at, const struct doc *terms)
{
    rule_each (t, terms) {
        const struct fpath *list = AT(AT_INDEX(at, t_i), "matchLabelExpressions");
        cleanup_set struct rule_set keys = {0};
        rule_each (e, doc_get(t, "matchLabelExpressions")) {
            const struct fpath *item = AT_INDEX(list, e_i);
            cleanup_set struct rule_set values = {0};
            if (!doc_len(doc_get(e, "values")))
                rule_required(c, AT(item, "values"), NULL);
            rule_each (v, doc_get(e, "values"))
                if (!rule_set_add(&values, doc_string(v)))
                    rule_duplicate(c, AT_INDEX(AT(item, "values"), v_i), doc_string(v));
            check_name(c, AT(item, "key"), doc_str(e, "key"), name_qualified);
            if (!rule_set_add(&keys, doc_str(e, "key")))
                rule_duplicate(c, AT(item, "key"), doc_str(e, "key"));
        }
    }
}

void validate_storage_class(struct rule_ctx *c, const struct doc *obj, const struct doc *old, const struct fpath *at)
{
    static const char *const reclaim[] = {"Delete", "Retain", NULL}, *const binding[] = {"Immediate",
                                                                                         "WaitForFirstConsumer", NULL};
    struct str mode = doc_str(obj, "volumeBindingMode");
    if (old) {
        if (!rule_equal(doc_get(obj, "parameters"), doc_get(old, "parameters")))
            rule_forbidden(c, AT(at, "parameters"), "updates to parameters are forbidden.");
        if (!str_eq(doc_str(obj, "provisioner"), doc_str(old, "provisioner")))
            rule_forbidden(c, AT(at, "provisioner"), "updates to provisioner are forbidden.");
        if (!str_eq(doc_str(obj, "reclaimPolicy"), doc_str(old, "reclaimPolicy")))
            rule_forbidden(c, AT(at, "reclaimPolicy"), "updates to reclaimPolicy are forbidden.");
        check_immutable(c, AT(at, "volumeBindingMode"), doc_get(obj, "volumeBindingMode"),
                        doc_get(old, "volumeBindingMode"));
        return;
    }
    check_required_name(c, AT(at, "provisioner"), doc_str(obj, "provisioner"), name_qualified_caseless);
    check_parameters_of_class(c, AT(at, "parameters"), doc_get(obj, "parameters"));
    if (doc_str(obj, "reclaimPolicy").len)
        check_enum(c, AT(at, "reclaimPolicy"), doc_str(obj, "reclaimPolicy"), reclaim);
    if (!rule_has(obj, "volumeBindingMode"))
        rule_required(c, AT(at, "volumeBindingMode"), NULL);
    else
        check_enum(c, AT(at, "volumeBindingMode"), mode, binding);
    check_topologies(c, AT(at, "allowedTopologies"), doc_get(obj, "allowedTopologies"));
}
