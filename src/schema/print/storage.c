/* Volumes, claims, storage classes, and what CSI drivers say of themselves. */
#include "schema/print/print.h"

/* RWO,ROX,RWX,RWOP: in this order, each once. */
static struct str access_modes(struct arena *mem, const struct doc *modes)
{
    static const struct {
        const char *mode, *text;
    } known[] = {
        {"ReadWriteOnce", "RWO"}, {"ReadOnlyMany", "ROX"}, {"ReadWriteMany", "RWX"}, {"ReadWriteOncePod", "RWOP"}};
    struct sb out = SB(mem);
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        bool has = false;
        doc_each (m, modes)
            has |= str_is(doc_string(m), known[i].mode);
        if (has)
            sb_addf(&out, "%s%s", out.len ? "," : "", known[i].text);
    }
    return sb_str(&out);
}

static struct str storage_class(const struct row *r) /* the annotation is older than the field, and wins */
{
    struct str beta = doc_str(doc_get(r->meta, "annotations"), "volume.beta.kubernetes.io/storage-class");
    return beta.len ? beta : doc_str(r->spec, "storageClassName");
}

static void row_set_or_unset(struct row *r, const struct doc *string)
{
    row_str(r, string ? doc_string(string) : STR("<unset>"));
}

void print_persistent_volume(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    const struct doc *claim = doc_get(r.spec, "claimRef");
    row_or(&r, doc_str(doc_get(r.spec, "capacity"), "storage"), "0");
    row_str(&r, access_modes(mem, doc_get(r.spec, "accessModes")));
    row_str(&r, doc_str(r.spec, "persistentVolumeReclaimPolicy"));
    row_str(&r, print_deleted_or(&r, doc_str(r.status, "phase")));
    if (claim)
        row_fmt(&r, STR_FMT "/" STR_FMT, STR_ARG(doc_str(claim, "namespace")), STR_ARG(doc_str(claim, "name")));
    else
        row_str(&r, STR(""));
    row_str(&r, storage_class(&r));
    row_set_or_unset(&r, doc_get(r.spec, "volumeAttributesClassName"));
    row_str(&r, doc_str(r.status, "reason"));
    row_age(&r);
    row_set_or_unset(&r, doc_get(r.spec, "volumeMode"));
}

void print_persistent_volume_claim(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    struct str volume = doc_str(r.spec, "volumeName");
    row_str(&r, print_deleted_or(&r, doc_str(r.status, "phase")));
    row_str(&r, volume);
    row_or(&r, volume.len ? doc_str(doc_get(r.status, "capacity"), "storage") : STR(""), volume.len ? "0" : "");
    row_str(&r, volume.len ? access_modes(mem, doc_get(r.status, "accessModes")) : STR(""));
    row_str(&r, storage_class(&r));
    row_set_or_unset(&r, doc_get(r.spec, "volumeAttributesClassName"));
    row_age(&r);
    row_set_or_unset(&r, doc_get(r.spec, "volumeMode"));
}

/* The name, ` (default)` behind it where one of the annotations says so. */
static void row_class_name(struct row *r, const char *annotation, const char *older)
{
    const struct doc *notes = doc_get(r->meta, "annotations");
    bool is_default = str_is(doc_str(notes, annotation), "true") || str_is(doc_str(notes, older), "true");
    row_fmt(r, STR_FMT "%s", STR_ARG(doc_str(r->meta, "name")), is_default ? " (default)" : "");
}

void print_storage_class(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_of(mem, obj, now_ms, cells);
    row_class_name(&r, "storageclass.kubernetes.io/is-default-class",
                   "storageclass.beta.kubernetes.io/is-default-class");
    row_str(&r, doc_str(obj, "provisioner"));
    row_or(&r, doc_str(obj, "reclaimPolicy"), "Delete");
    row_or(&r, doc_str(obj, "volumeBindingMode"), "Immediate");
    row_bool(&r, doc_bool(obj, "allowVolumeExpansion", false));
    row_age(&r);
}

void print_volume_attributes_class(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_of(mem, obj, now_ms, cells);
    row_class_name(&r, "volumeattributesclass.alpha.kubernetes.io/is-default-class", "");
    row_str(&r, doc_str(obj, "driverName"));
    row_age(&r);
}

void print_volume_attachment(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    row_str(&r, doc_str(r.spec, "attacher"));
    row_str(&r, doc_str(doc_get(r.spec, "source"), "persistentVolumeName"));
    row_str(&r, doc_str(r.spec, "nodeName"));
    row_bool(&r, doc_bool(r.status, "attached", false));
    row_age(&r);
}

void print_csi_node(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    row_int(&r, doc_len(doc_get(r.spec, "drivers")));
    row_age(&r);
}

void print_csi_driver(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    const struct doc *tokens = doc_get(r.spec, "tokenRequests");
    row_bool(&r, doc_bool(r.spec, "attachRequired", true));
    row_bool(&r, doc_bool(r.spec, "podInfoOnMount", false));
    row_bool(&r, doc_bool(r.spec, "storageCapacity", false));
    row_str(&r, tokens ? print_join(mem, tokens, "audience", ",") : STR("<unset>"));
    row_bool(&r, doc_bool(r.spec, "requiresRepublish", false));
    row_or(&r, print_join(mem, doc_get(r.spec, "volumeLifecycleModes"), NULL, ","), "<none>");
    row_age(&r);
}

void print_csi_storage_capacity(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    row_str(&r, doc_str(obj, "storageClassName"));
    row_set_or_unset(&r, doc_get(obj, "capacity"));
}
