/* registry/manifest.c - what a manifest says. */
#include "registry/manifest.h"

#include "registry/name.h"
#include "registry/registry.h"

enum { MANIFEST_DEPTH_MAX = 64 };

static const struct type_row {
    const char *type;
    bool is_index, must_say; /* must_say: mediaType is required */
} types[] = {
    {"application/vnd.oci.image.manifest.v1+json", false, false},
    {"application/vnd.oci.image.index.v1+json", true, false},
    {"application/vnd.docker.distribution.manifest.v2+json", false, true},
    {"application/vnd.docker.distribution.manifest.list.v2+json", true, true},
};

static const struct type_row *find_type(struct str media_type)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (str_is(media_type, types[i].type))
            return &types[i];
    return NULL;
}

const char *manifest_type(struct str media_type)
{
    const struct type_row *row = find_type(media_type);
    return row ? row->type : NULL;
}

/* What the document is, by what it says and by what it holds; both must agree. */
static const struct type_row *type_of(const struct doc *d, struct str declared, struct err *err)
{
    bool lists = doc_get(d, "manifests"),
         image = doc_get(d, "config") || doc_get(d, "layers") || doc_get(d, "fsLayers");
    struct str says = doc_str(d, "mediaType");
    str_cut(declared, ';', &declared, &(struct str){0});
    declared = str_trim(declared);
    if (!doc_is(d, DOC_OBJECT) || doc_int(d, "schemaVersion", 0) != 2)
        return err_set(err, ERR_BAD_REQUEST, "schemaVersion must be 2"), NULL;
    if (doc_get(d, "mediaType") && !says.len)
        return err_set(err, ERR_BAD_REQUEST, "mediaType must be a string"), NULL;
    if (lists == image)
        return err_set(err, ERR_BAD_REQUEST, "must hold either config and layers, or manifests"), NULL;
    const struct type_row *row = says.len ? find_type(says) : &types[lists ? 1 : 0];
    if (!row)
        return err_set(err, ERR_BAD_REQUEST, "mediaType \"%.*s\" is not supported", STR_ARG(says)), NULL;
    if (row->is_index != lists)
        return err_set(err, ERR_BAD_REQUEST, "the content is not what mediaType says"), NULL;
    if (declared.len && !str_is(declared, row->type))
        return err_set(err, ERR_BAD_REQUEST, "the Content-Type \"%.*s\" is not the manifest's, \"%s\"",
                       STR_ARG(declared), row->type),
               NULL;
    return row;
}

static bool read_descriptor(const struct doc *d, const char *what, struct str *ret_hex, struct err *err)
{
    if (!doc_is(d, DOC_OBJECT) || !name_digest(doc_str(d, "digest"), ret_hex) || doc_int(d, "size", -1) < 0)
        return err_set(err, ERR_BAD_REQUEST, "%s: no descriptor with a sha256 digest and a size", what), false;
    return true;
}

/* Foreign layers are fetched from where their urls say; they need not be here. */
static bool is_foreign(const struct doc *layer)
{
    return doc_len(doc_get(layer, "urls")) > 0 && (str_has(doc_str(layer, "mediaType"), STR("nondistributable")) ||
                                                   str_has(doc_str(layer, "mediaType"), STR("foreign")));
}

static bool read_list(struct arena *mem, const struct doc *list, const char *what, struct str **ret, int *count,
                      struct err *err)
{
    if (!doc_is(list, DOC_ARRAY) || list->count > REGISTRY_REFERENCES_MAX)
        return err_set(err, ERR_BAD_REQUEST, "%s must be a list of at most %d", what, REGISTRY_REFERENCES_MAX), false;
    *ret = arena_array(mem, struct str, list->count + 2);
    doc_each (d, list)
        if (!is_foreign(d) && !read_descriptor(d, what, &(*ret)[(*count)++], err))
            return false;
    return true;
}

bool manifest_read(struct arena *mem, struct str text, struct str declared, struct manifest *ret, struct err *err)
{
    const struct doc *d = doc_parse(mem, text, &(struct doc_opts){.depth_max = MANIFEST_DEPTH_MAX}, err);
    const struct type_row *row = d ? type_of(d, declared, err) : NULL;
    struct manifest m = {0};
    if (!row)
        return false;
    m.type = row->type;
    if (row->must_say && !doc_get(d, "mediaType"))
        return err_set(err, ERR_BAD_REQUEST, "mediaType is required"), false;
    if (row->is_index ? !read_list(mem, doc_get(d, "manifests"), "manifests", &m.manifests, &m.manifest_count, err)
                      : !read_list(mem, doc_get(d, "layers"), "layers", &m.blobs, &m.blob_count, err))
        return false;
    const struct doc *config = doc_get(d, "config"), *subject = doc_get(d, "subject");
    if (!row->is_index && !read_descriptor(config, "config", &m.blobs[m.blob_count++], err))
        return false;
    if (subject && !read_descriptor(subject, "subject", &m.subject, err))
        return false;
    m.artifact_type = doc_str(d, "artifactType");
    if (!m.artifact_type.len)
        m.artifact_type = doc_str(config, "mediaType");
    m.annotations = doc_is(doc_get(d, "annotations"), DOC_OBJECT) ? doc_get(d, "annotations") : NULL;
    *ret = m;
    return true;
}
