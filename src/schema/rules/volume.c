/* schema/rules/volume.c - volumes of a pod: exactly one source each, and what each source needs.
 *
 * The sources in use are judged in full; those of the removed in-tree drivers only for their required members. */
#include "schema/rules/rules.h"

enum {
    MODE_MAX = 0777,
    TOKEN_SECONDS_MIN = 600,
    CSI_DRIVER_MAX = 63,
    CERTIFICATE_SECONDS_MIN = 3600,
    CERTIFICATE_SECONDS_MAX = 91 * 24 * 3600,
    CERTIFICATE_SECONDS_MAX_OURS = 24 * 3600,
};

static void check_mode(struct rule_ctx *c, const struct fpath *up, const struct doc *obj, const char *name)
{
    const struct doc *mode = doc_get(obj, name);
    if (doc_is(mode, DOC_INT) && (mode->i < 0 || mode->i > MODE_MAX))
        rule_invalid_int(c, AT(up, name), mode->i, "must be a number between 0 and 0777 (octal), both inclusive");
}

static void check_required(struct rule_ctx *c, const struct fpath *up, const struct doc *obj, const char *name)
{
    if (!doc_str(obj, name).len)
        rule_required(c, AT(up, name), NULL);
}

static void check_key_to_path(struct rule_ctx *c, const struct fpath *at, const struct doc *kp)
{
    check_required(c, at, kp, "key");
    check_required(c, at, kp, "path");
    check_local_path(c, AT(at, "path"), doc_str(kp, "path"));
    check_mode(c, at, kp, "mode");
}

static void check_downward_file(struct rule_ctx *c, const struct fpath *at, const struct doc *file)
{
    check_required(c, at, file, "path");
    check_local_path(c, AT(at, "path"), doc_str(file, "path"));
    if (rule_has(file, "fieldRef")) {
        check_field_ref(c, AT(at, "fieldRef"), doc_get(file, "fieldRef"), /* volume= */ true);
        if (rule_has(file, "resourceFieldRef"))
            rule_invalid(c, at, STR("resource"), "fieldRef and resourceFieldRef can not be specified simultaneously");
    } else if (rule_has(file, "resourceFieldRef"))
        check_resource_field_ref(c, AT(at, "resourceFieldRef"), doc_get(file, "resourceFieldRef"), /* volume= */ true);
    else
        rule_required(c, at, "one of fieldRef and resourceFieldRef is required");
    check_mode(c, at, file, "mode");
}

/* ---- one function a source */
typedef void source_check(struct rule_ctx *c, const struct fpath *at, const struct doc *src, const struct pod_rules *p);

static void check_host_path(struct rule_ctx *c, const struct fpath *at, const struct doc *src,
                            const struct pod_rules *p)
{
    static const char *const types[] = {"",     "BlockDevice",  "CharDevice", "Directory", "DirectoryOrCreate",
                                        "File", "FileOrCreate", "Socket",     NULL};
    struct str path = doc_str(src, "path");
    if (!path.len) {
        rule_required(c, AT(at, "path"), NULL);
        return;
    }
    check_no_backsteps(c, AT(at, "path"), path);
    if (rule_has(src, "type"))
        check_enum(c, AT(at, "type"), doc_str(src, "type"), types);
}

static void check_secret(struct rule_ctx *c, const struct fpath *at, const struct doc *src, const struct pod_rules *p)
{
    check_required(c, at, src, "secretName");
    check_mode(c, at, src, "defaultMode");
    rule_each (kp, doc_get(src, "items"))
        check_key_to_path(c, AT_INDEX(AT(at, "items"), kp_i), kp);
}

static void check_config_map(struct rule_ctx *c, const struct fpath *at, const struct doc *src,
                             const struct pod_rules *p)
{
    check_required(c, at, src, "name");
    check_mode(c, at, src, "defaultMode");
    rule_each (kp, doc_get(src, "items"))
        check_key_to_path(c, AT_INDEX(AT(at, "items"), kp_i), kp);
}

static void check_downward(struct rule_ctx *c, const struct fpath *at, const struct doc *src, const struct pod_rules *p)
{
    check_mode(c, at, src, "defaultMode");
    doc_each (file, doc_get(src, "items"))
        check_downward_file(c, at, file); /* without an index, as in Kubernetes */
}

static void check_nfs(struct rule_ctx *c, const struct fpath *at, const struct doc *src, const struct pod_rules *p)
{
    struct str path = doc_str(src, "path");
    check_required(c, at, src, "server");
    check_required(c, at, src, "path");
    if (!path.len || path.ptr[0] != '/')
        rule_invalid(c, AT(at, "path"), path, "must be an absolute path");
}

static void check_claim(struct rule_ctx *c, const struct fpath *at, const struct doc *src, const struct pod_rules *p)
{
    check_required(c, at, src, "claimName");
}

void check_csi_driver(struct rule_ctx *c, const struct fpath *at, struct str driver)
{
    const char *msgs[NAME_MSGS_MAX];
    struct sb lower = SB(c->mem);
    if (!driver.len)
        rule_required(c, at, NULL);
    if (driver.len > CSI_DRIVER_MAX)
        err_cause(c->err, CAUSE_TOO_LONG, at, "may not be more than %d bytes", CSI_DRIVER_MAX);
    for (size_t i = 0; i < driver.len; i++)
        sb_addc(&lower, driver.ptr[i] >= 'A' && driver.ptr[i] <= 'Z' ? (char)(driver.ptr[i] + 32) : driver.ptr[i]);
    int n = name_dns1123_subdomain(sb_str(&lower), msgs);
    for (int i = 0; i < n; i++)
        rule_invalid(c, at, driver, "%s", msgs[i]);
}

static void check_csi(struct rule_ctx *c, const struct fpath *at, const struct doc *src, const struct pod_rules *p)
{
    struct str secret = doc_str(doc_get(src, "nodePublishSecretRef"), "name");
    check_csi_driver(c, AT(at, "driver"), doc_str(src, "driver"));
    if (!rule_has(src, "nodePublishSecretRef"))
        return;
    if (!secret.len)
        rule_required(c, AT(AT(at, "nodePublishSecretRef"), "name"), NULL);
    else
        check_name(c, AT(at, "name"), secret, name_dns1123_subdomain);
}

static void check_template_meta(struct rule_ctx *c, const struct fpath *at, const struct doc *meta)
{
    check_annotations(c, AT(at, "annotations"), doc_get(meta, "annotations"));
    check_labels(c, AT(at, "labels"), doc_get(meta, "labels"));
    doc_each (m, meta) {
        if (m->type == DOC_NULL || str_is(m->key, "annotations") || str_is(m->key, "labels"))
            continue;
        rule_forbidden(c, AT(at, str_z(c->mem, m->key)), "cannot be set");
    }
}

static void check_ephemeral(struct rule_ctx *c, const struct fpath *at, const struct doc *src,
                            const struct pod_rules *p)
{
    const struct doc *template = doc_get(src, "volumeClaimTemplate");
    const struct fpath *t = AT(at, "volumeClaimTemplate");
    if (!doc_is(template, DOC_OBJECT)) {
        rule_required(c, t, NULL);
        return;
    }
    check_template_meta(c, AT(t, "metadata"), doc_get(template, "metadata"));
    check_claim_spec(c, AT(t, "spec"), doc_get(template, "spec"));
}

static void check_image(struct rule_ctx *c, const struct fpath *at, const struct doc *src, const struct pod_rules *p)
{
    static const char *const policies[] = {"Always", "IfNotPresent", "Never", NULL};
    struct str policy = doc_str(src, "pullPolicy");
    if (p->is_pod)
        check_required(c, at, src, "reference");
    if (policy.len)
        check_enum(c, AT(at, "pullPolicy"), policy, policies);
    else
        rule_required(c, AT(at, "pullPolicy"), NULL);
}

static void check_empty_dir(struct rule_ctx *c, const struct fpath *at, const struct doc *src,
                            const struct pod_rules *p)
{
    if (quantity_sign(quantity_of_str(doc_str(src, "sizeLimit"))) < 0)
        rule_forbidden(c, AT(at, "sizeLimit"), "SizeLimit field must be a valid resource quantity");
}

static void check_git_repo(struct rule_ctx *c, const struct fpath *at, const struct doc *src, const struct pod_rules *p)
{
    check_required(c, at, src, "repository");
    check_relative_path(c, AT(at, "directory"), doc_str(src, "directory"));
}

/* ---- projected volumes */
struct projection {
    const struct fpath *volume_at; /* of `projected`, where conflicts are reported */
    struct rule_set paths;
};

static void check_projected_path(struct rule_ctx *c, struct projection *pr, struct str path, struct str shown)
{
    if (path.len && !rule_set_add(&pr->paths, path))
        rule_invalid(c, pr->volume_at, shown, "conflicting duplicate paths");
}

static void check_projected_keys(struct rule_ctx *c, const struct fpath *at, const struct doc *src,
                                 struct projection *pr)
{
    check_required(c, at, src, "name");
    rule_each (kp, doc_get(src, "items")) {
        check_key_to_path(c, AT_INDEX(AT(at, "items"), kp_i), kp);
        check_projected_path(c, pr, doc_str(kp, "path"), doc_str(src, "name"));
    }
}

static void check_projected_token(struct rule_ctx *c, const struct fpath *at, const struct doc *src,
                                  struct projection *pr)
{
    int64_t seconds = doc_int(src, "expirationSeconds", 0);
    struct str path = doc_str(src, "path");
    if (seconds < TOKEN_SECONDS_MIN)
        rule_invalid_int(c, AT(at, "expirationSeconds"), seconds, "may not specify a duration less than 10 minutes");
    if (seconds > INT64_C(1) << 32)
        rule_invalid_int(c, AT(at, "expirationSeconds"), seconds,
                         "may not specify a duration larger than 2^32 seconds");
    if (!path.len)
        rule_required(c, AT(pr->volume_at, "path"), NULL);
    else if (!rule_kept_str(c, AT(at, "path"), path))
        check_local_path(c, AT(pr->volume_at, "path"), path);
}

/* Bundles of a signer are named after it: example.com:signer:name. */
static void check_bundle_name(struct rule_ctx *c, const struct fpath *at, struct str name)
{
    const char *msgs[NAME_MSGS_MAX];
    struct str rest = name, part;
    int parts = 1;
    for (size_t i = 0; i < name.len; i++)
        parts += name.ptr[i] == ':';
    if (parts == 3) {
        str_cut(rest, ':', &part, &rest);
        str_cut(rest, ':', &part, &rest);
    } else if (parts > 1)
        rule_invalid(
            c, at, name,
            "not a valid clustertrustbundlename: ClusterTrustBundle without signer name must not have \":\" in "
            "its name");
    int n = parts == 1 || parts == 3 ? name_dns1123_subdomain(rest, msgs) : 0;
    for (int i = 0; i < n; i++)
        rule_invalid(c, at, name, "not a valid clustertrustbundlename: %s", msgs[i]);
}

static void check_projected_bundle(struct rule_ctx *c, const struct fpath *at, const struct doc *src,
                                   struct projection *pr)
{
    bool name = rule_has(src, "name"), signer = rule_has(src, "signerName");
    const struct doc *selector = doc_get(src, "labelSelector");
    struct str path = doc_str(src, "path");
    if (name && signer)
        rule_invalid_doc(c, at, src, "only one of name and signerName may be used");
    else if (name) {
        if (!doc_str(src, "name").len)
            rule_required(c, AT(at, "name"), "must be a valid object name");
        check_bundle_name(c, AT(at, "name"), doc_str(src, "name"));
        if (doc_is(selector, DOC_OBJECT))
            rule_invalid_doc(c, AT(at, "labelSelector"), selector, "labelSelector must be unset if name is specified");
    } else if (signer) {
        if (!doc_str(src, "signerName").len)
            rule_required(c, AT(at, "signerName"), "must be a valid signer name");
        check_signer_name(c, AT(at, "signerName"), doc_str(src, "signerName"));
        check_label_selector(c, AT(at, "labelSelector"), selector);
    } else
        rule_required(c, at, "either name or signerName must be specified");
    if (!path.len)
        rule_required(c, AT(at, "path"), NULL);
    check_local_path(c, AT(at, "path"), path);
    check_projected_path(c, pr, path, path);
}

static void check_projected_certificate(struct rule_ctx *c, const struct fpath *at, const struct doc *src,
                                        struct projection *pr)
{
    static const char *const types[] = {"RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519", NULL},
                             *const paths[] = {"credentialBundlePath", "keyPath", "certificateChainPath", NULL};
    const struct doc *seconds = doc_get(src, "maxExpirationSeconds");
    struct str signer = doc_str(src, "signerName"), domain, rest;
    bool any = false;
    str_cut(signer, '/', &domain, &rest);
    int64_t max = str_is(domain, "kubernetes.io") || str_ends(domain, STR(".kubernetes.io"))
                      ? CERTIFICATE_SECONDS_MAX_OURS
                      : CERTIFICATE_SECONDS_MAX;
    check_signer_name(c, AT(at, "signerName"), signer);
    check_enum(c, AT(at, "keyType"), doc_str(src, "keyType"), types);
    if (doc_is(seconds, DOC_INT) && seconds->i < CERTIFICATE_SECONDS_MIN)
        rule_invalid_int(c, AT(at, "maxExpirationSeconds"), seconds->i,
                         "if provided, maxExpirationSeconds must be >= %d", CERTIFICATE_SECONDS_MIN);
    if (doc_is(seconds, DOC_INT) && seconds->i > max)
        rule_invalid_int(c, AT(at, "maxExpirationSeconds"), seconds->i,
                         "if provided, maxExpirationSeconds must be <= %lld", (long long)max);
    for (const char *const *p = paths; *p; p++) {
        struct str path = doc_str(src, *p);
        any |= path.len > 0;
        if (path.len)
            check_local_path(c, AT(at, *p), path);
        check_projected_path(c, pr, path, path);
    }
    if (!any)
        rule_required(c, at, "specify at least one of credentialBundlePath, keyPath, and certificateChainPath");
}

static void check_projected_source(struct rule_ctx *c, const struct fpath *at, const struct doc *src,
                                   struct projection *pr)
{
    int found = 0;
    if (rule_has(src, "secret"))
        found++, check_projected_keys(c, AT(at, "secret"), doc_get(src, "secret"), pr);
    if (rule_has(src, "configMap"))
        found++, check_projected_keys(c, AT(at, "configMap"), doc_get(src, "configMap"), pr);
    if (rule_has(src, "downwardAPI")) {
        found++;
        doc_each (file, doc_get(doc_get(src, "downwardAPI"), "items")) {
            check_downward_file(c, AT(at, "downwardAPI"), file);
            check_projected_path(c, pr, doc_str(file, "path"), doc_str(file, "path"));
        }
    }
    if (rule_has(src, "serviceAccountToken"))
        found++, check_projected_token(c, AT(at, "serviceAccountToken"), doc_get(src, "serviceAccountToken"), pr);
    if (rule_has(src, "clusterTrustBundle"))
        found++, check_projected_bundle(c, AT(at, "clusterTrustBundle"), doc_get(src, "clusterTrustBundle"), pr);
    if (rule_has(src, "podCertificate"))
        found++, check_projected_certificate(c, AT(at, "podCertificate"), doc_get(src, "podCertificate"), pr);
    if (found > 1)
        rule_forbidden(c, at, "may not specify more than 1 volume type per source");
}

static void check_projected(struct rule_ctx *c, const struct fpath *at, const struct doc *src,
                            const struct pod_rules *p)
{
    struct projection pr = {.volume_at = at};
    check_mode(c, at, src, "defaultMode");
    rule_each (s, doc_get(src, "sources"))
        check_projected_source(c, AT_INDEX(AT(at, "sources"), s_i), s, &pr);
    rule_set_done(&pr.paths);
}

/* In the order in which Kubernetes looks for them. */
static const struct source {
    const char *name, *path; /* path: where its members are reported, when not under name */
    source_check *check;
    const char *required[3]; /* strings that must not be empty, where check is NULL */
} sources[] = {
    {"emptyDir", NULL, check_empty_dir},
    {"hostPath", NULL, check_host_path},
    {"gitRepo", NULL, check_git_repo},
    {"gcePersistentDisk", "persistentDisk", NULL, {"pdName"}},
    {"awsElasticBlockStore", NULL, NULL, {"volumeID"}},
    {"secret", NULL, check_secret},
    {"nfs", NULL, check_nfs},
    {"iscsi", NULL, NULL, {"targetPortal", "iqn"}},
    {"glusterfs", NULL, NULL, {"endpoints", "path"}},
    {"flocker", NULL, NULL, {0}},
    {"persistentVolumeClaim", NULL, check_claim},
    {"rbd", NULL, NULL, {"image"}},
    {"cinder", NULL, NULL, {"volumeID"}},
    {"cephfs", NULL, NULL, {0}},
    {"quobyte", NULL, NULL, {"registry", "volume"}},
    {"downwardAPI", NULL, check_downward},
    {"fc", NULL, NULL, {0}},
    {"flexVolume", NULL, NULL, {"driver"}},
    {"configMap", NULL, check_config_map},
    {"azureFile", NULL, NULL, {"secretName", "shareName"}},
    {"vsphereVolume", NULL, NULL, {"volumePath"}},
    {"photonPersistentDisk", NULL, NULL, {"pdID"}},
    {"portworxVolume", NULL, NULL, {"volumeID"}},
    {"azureDisk", NULL, NULL, {"diskName", "diskURI"}},
    {"storageos", NULL, NULL, {0}},
    {"projected", NULL, check_projected},
    {"scaleIO", NULL, NULL, {"gateway", "system", "volumeName"}},
    {"csi", NULL, check_csi},
    {"ephemeral", NULL, check_ephemeral},
    {"image", NULL, check_image},
};

static void check_source(struct rule_ctx *c, const struct fpath *at, const struct source *s, const struct doc *src,
                         const struct pod_rules *p)
{
    if (s->check)
        s->check(c, at, src, p);
    for (int i = 0; i < 3 && s->required[i]; i++)
        check_required(c, at, src, s->required[i]);
}

/* The claim of an ephemeral volume is named after pod and volume; both together must still be a name. */
static void check_claim_name(struct rule_ctx *c, const struct fpath *at, const struct doc *volume,
                             const struct pod_rules *p)
{
    const char *msgs[NAME_MSGS_MAX];
    struct str pod = doc_str(p->meta, "name"), name = doc_str(volume, "name");
    if (!rule_has(volume, "ephemeral") || !pod.len || !name.len)
        return;
    struct str claim = str_fmt(c->mem, STR_FMT "-" STR_FMT, STR_ARG(pod), STR_ARG(name));
    int n = name_dns1123_subdomain(claim, msgs);
    for (int i = 0; i < n; i++)
        rule_invalid(c, AT(at, "name"), name, "PVC name \"" STR_FMT "\": %s", STR_ARG(claim), msgs[i]);
}

static void check_volume(struct rule_ctx *c, const struct fpath *at, const struct doc *volume,
                         const struct pod_rules *p)
{
    int found = 0;
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        const struct source *s = &sources[i];
        if (!rule_has(volume, s->name))
            continue;
        if (found++)
            rule_forbidden(c, AT(at, s->name), "may not specify more than 1 volume type");
        else
            check_source(c, AT(at, s->path ? s->path : s->name), s, doc_get(volume, s->name), p);
    }
    check_claim_name(c, at, volume, p);
    if (!found)
        rule_required(c, at, "must specify a volume type");
}

static void gather_created_claims(struct rule_ctx *c, const struct doc *volumes, const struct pod_rules *p,
                                  struct rule_set *claims)
{
    struct str pod = doc_str(p->meta, "name");
    if (!pod.len)
        return;
    doc_each (v, volumes)
        if (rule_has(v, "ephemeral"))
            rule_set_add(claims, str_fmt(c->mem, STR_FMT "-" STR_FMT, STR_ARG(pod), STR_ARG(doc_str(v, "name"))));
}

void check_volumes(struct rule_ctx *c, const struct fpath *at, const struct doc *volumes, const struct pod_rules *p)
{
    cleanup_set struct rule_set created = {0};
    gather_created_claims(c, volumes, p, &created);
    rule_each (v, volumes) {
        const struct fpath *item = AT_INDEX(at, v_i);
        struct str name = doc_str(v, "name"), claim = doc_str(doc_get(v, "persistentVolumeClaim"), "claimName");
        int before = c->err->cause_count;
        check_volume(c, item, v, p);
        check_required_name(c, AT(item, "name"), name, name_dns1123_label);
        if (rule_set_has(p->volumes, name))
            rule_duplicate(c, AT(item, "name"), name);
        else if (c->err->cause_count == before)
            rule_set_put(p->volumes, name, v); /* a volume with a mistake counts as absent, as in Kubernetes */
        if (claim.len && rule_set_has(&created, claim))
            rule_invalid(c, AT(AT(item, "persistentVolumeClaim"), "claimName"), claim,
                         "must not reference a PVC that gets created for an ephemeral volume");
    }
}
