#include "node/image/info.h"

#include "node/image/ref.h"

static int bad(struct err *err, const char *what)
{
    return err_set(err, ERR_BAD_REQUEST, "invalid image: %s", what);
}

static struct doc *parse(struct arena *mem, struct str text, struct err *err)
{
    const struct doc_opts opts = {.depth_max = 64};
    struct doc *d = doc_parse(mem, text, &opts, err);
    if (d && !doc_is(d, DOC_OBJECT))
        return bad(err, "not a JSON object"), NULL;
    return d;
}

bool image_is_index(struct arena *mem, struct str text)
{
    struct doc *d = parse(mem, text, NULL);
    return doc_is(doc_get(d, "manifests"), DOC_ARRAY);
}

/* An exact match of the architecture wins; without a platform an entry stands for any. Attestations ("unknown") don't.
 */
int image_index_pick(struct arena *mem, struct str text, struct str arch, struct str *ret_digest, struct err *err)
{
    struct doc *d = parse(mem, text, err);
    if (!d)
        return -1;
    const struct doc *best = NULL;
    doc_each (m, doc_get(d, "manifests")) {
        const struct doc *platform = doc_get(m, "platform");
        if (platform && (!str_is(doc_str(platform, "os"), "linux") || !str_eq(doc_str(platform, "architecture"), arch)))
            continue;
        if (!best || (platform && !doc_get(best, "platform")))
            best = m;
    }
    if (!best)
        return err_set(err, ERR_NOT_FOUND, "no match for platform in manifest: linux/" STR_FMT, STR_ARG(arch));
    struct str digest = doc_str(best, "digest");
    if (!image_digest_valid(digest))
        return bad(err, "the index holds no valid digest");
    *ret_digest = digest;
    return 0;
}

static bool layer_type_known(struct str t)
{
    return t.len == 0 || str_starts(t, STR("application/vnd.oci.image.layer.")) ||
           str_starts(t, STR("application/vnd.docker.image.rootfs."));
}

int image_read_manifest(struct arena *mem, struct str text, struct image_info *info, struct err *err)
{
    struct doc *d = parse(mem, text, err);
    if (!d)
        return -1;
    const struct doc *config = doc_get(d, "config");
    info->id = doc_str(config, "digest");
    if (!image_digest_valid(info->id))
        return bad(err, "the manifest names no config (schema 1 is not supported)");
    info->layer_count = 0;
    info->bytes = text.len + (uint64_t)doc_int(config, "size", 0);
    doc_each (l, doc_get(d, "layers")) {
        if (info->layer_count == IMAGE_LAYERS_MAX)
            return bad(err, "too many layers");
        struct image_layer *to = &info->layers[info->layer_count++];
        int64_t size = doc_int(l, "size", -1);
        *to = (struct image_layer){.digest = doc_str(l, "digest"), .bytes = (uint64_t)size};
        if (!image_digest_valid(to->digest) || size < 0)
            return bad(err, "a layer without digest or size");
        if (!layer_type_known(doc_str(l, "mediaType")))
            return bad(err, "a layer of an unknown media type");
        info->bytes += to->bytes;
    }
    return 0;
}

static int read_list(struct arena *mem, const struct doc *from, struct strv *ret, struct err *err)
{
    *ret = (struct strv){0};
    if (!doc_is(from, DOC_ARRAY))
        return 0;
    if (from->count > IMAGE_LIST_MAX)
        return bad(err, "a list of the config is too long");
    ret->v = arena_array(mem, struct str, from->count ? from->count : 1);
    doc_each (i, from) {
        struct str s = doc_string(i);
        if (!doc_is(i, DOC_STRING) || str_find(s, '\0') >= 0)
            return bad(err, "a list of the config holds what is no string");
        ret->v[ret->n++] = s;
    }
    return 0;
}

static int read_keys(struct arena *mem, const struct doc *from, struct strv *ret, struct err *err)
{
    *ret = (struct strv){0};
    if (!doc_is(from, DOC_OBJECT))
        return 0;
    if (from->count > IMAGE_LIST_MAX)
        return bad(err, "too many volumes");
    ret->v = arena_array(mem, struct str, from->count ? from->count : 1);
    doc_each (i, from)
        if (str_find(i->key, '\0') < 0)
            ret->v[ret->n++] = i->key;
    return 0;
}

int image_read_config(struct arena *mem, struct str text, struct image_info *info, struct err *err)
{
    struct doc *d = parse(mem, text, err);
    if (!d)
        return -1;
    struct str os = doc_str(d, "os");
    if (os.len && !str_is(os, "linux"))
        return bad(err, "not for linux");
    const struct doc *ids = doc_path(d, "rootfs", "diff_ids", NULL);
    if (doc_len(ids) != info->layer_count)
        return bad(err, "manifest and config disagree about the number of layers");
    size_t i = 0;
    doc_each (id, ids) {
        info->layers[i].diff_id = doc_string(id);
        if (!image_digest_valid(info->layers[i++].diff_id))
            return bad(err, "a diff_id is no digest");
    }
    const struct doc *c = doc_get(d, "config");
    if (read_list(mem, doc_get(c, "Entrypoint"), &info->entrypoint, err) < 0 ||
        read_list(mem, doc_get(c, "Cmd"), &info->cmd, err) < 0 ||
        read_list(mem, doc_get(c, "Env"), &info->env, err) < 0 ||
        read_keys(mem, doc_get(c, "Volumes"), &info->volumes, err) < 0)
        return -1;
    info->workdir = doc_str(c, "WorkingDir"), info->user = doc_str(c, "User");
    info->stop_signal = doc_str(c, "StopSignal");
    if (str_find(info->workdir, '\0') >= 0 || str_find(info->user, '\0') >= 0 || str_find(info->stop_signal, '\0') >= 0)
        return bad(err, "a string of the config holds NUL");
    return 0;
}

/* ---- as a message */

void image_put(struct ipc_body *b, const struct image_info *info)
{
    ipc_put_str(b, info->name), ipc_put_str(b, info->digest), ipc_put_str(b, info->id);
    ipc_put_u64(b, info->bytes);
    ipc_put_u64(b, info->layer_count);
    for (size_t i = 0; i < info->layer_count; i++) {
        ipc_put_str(b, info->layers[i].digest), ipc_put_str(b, info->layers[i].diff_id);
        ipc_put_u64(b, info->layers[i].bytes);
    }
    const struct strv *lists[] = {&info->entrypoint, &info->cmd, &info->env, &info->volumes};
    for (size_t i = 0; i < 4; i++)
        ipc_put_strv(b, lists[i]->v, lists[i]->n);
    ipc_put_str(b, info->workdir), ipc_put_str(b, info->user), ipc_put_str(b, info->stop_signal);
}

bool image_get(struct ipc_reader *r, struct arena *mem, struct image_info *ret)
{
    *ret = (struct image_info){.name = ipc_get_str(r)};
    ret->digest = ipc_get_str(r), ret->id = ipc_get_str(r), ret->bytes = ipc_get_u64(r);
    ret->layer_count = ipc_get_u64(r);
    if (r->bad || ret->layer_count > IMAGE_LAYERS_MAX)
        return r->bad = true, false;
    bool fine = image_digest_valid(ret->digest) && image_digest_valid(ret->id);
    for (size_t i = 0; i < ret->layer_count; i++) {
        struct image_layer *l = &ret->layers[i];
        l->digest = ipc_get_str(r), l->diff_id = ipc_get_str(r), l->bytes = ipc_get_u64(r);
        fine = fine && image_digest_valid(l->digest) && image_digest_valid(l->diff_id);
    }
    struct strv *lists[] = {&ret->entrypoint, &ret->cmd, &ret->env, &ret->volumes};
    for (size_t i = 0; i < 4; i++) {
        lists[i]->v = ipc_get_strv(r, mem, IMAGE_LIST_MAX, &lists[i]->n);
        for (size_t k = 0; k < lists[i]->n; k++)
            fine = fine && str_find(lists[i]->v[k], '\0') < 0;
    }
    ret->workdir = ipc_get_str(r), ret->user = ipc_get_str(r), ret->stop_signal = ipc_get_str(r);
    if (ret->name.len) {
        struct image_ref ref;
        fine = fine && image_ref_parse(mem, ret->name, &ref);
    }
    if (!fine)
        r->bad = true;
    return !r->bad;
}

/* ---- as a file */

static void put_list(struct arena *mem, struct doc *to, const char *key, const struct strv *list)
{
    struct doc *a = doc_sub_array(mem, to, key);
    for (size_t i = 0; i < list->n; i++)
        doc_push(a, doc_new_str(mem, list->v[i]));
}

struct str image_to_json(struct arena *mem, const struct image_info *info, const struct str *names, size_t name_count)
{
    struct doc *d = doc_new_object(mem);
    doc_put_int(mem, d, "version", 1);
    const struct strv all = {(struct str *)(uintptr_t)names, name_count};
    put_list(mem, d, "names", &all);
    doc_put_str(mem, d, "digest", info->digest), doc_put_str(mem, d, "id", info->id);
    doc_put_int(mem, d, "bytes", (int64_t)info->bytes);
    struct doc *layers = doc_sub_array(mem, d, "layers");
    for (size_t i = 0; i < info->layer_count; i++) {
        struct doc *l = doc_push(layers, doc_new_object(mem));
        doc_put_str(mem, l, "digest", info->layers[i].digest), doc_put_str(mem, l, "diffID", info->layers[i].diff_id);
        doc_put_int(mem, l, "bytes", (int64_t)info->layers[i].bytes);
    }
    put_list(mem, d, "entrypoint", &info->entrypoint), put_list(mem, d, "cmd", &info->cmd);
    put_list(mem, d, "env", &info->env), put_list(mem, d, "volumes", &info->volumes);
    doc_put_str(mem, d, "workdir", info->workdir), doc_put_str(mem, d, "user", info->user);
    doc_put_str(mem, d, "stopSignal", info->stop_signal);
    return doc_json(mem, d);
}

int image_from_json(struct arena *mem, struct str text, struct image_info *ret, struct strv *ret_names)
{
    struct doc *d = parse(mem, text, NULL);
    if (!d || doc_int(d, "version", 0) != 1)
        return -1;
    *ret = (struct image_info){.digest = doc_str(d, "digest"), .id = doc_str(d, "id")};
    ret->bytes = (uint64_t)doc_int(d, "bytes", 0);
    doc_each (l, doc_get(d, "layers")) {
        if (ret->layer_count == IMAGE_LAYERS_MAX)
            return -1;
        ret->layers[ret->layer_count++] =
            (struct image_layer){doc_str(l, "digest"), doc_str(l, "diffID"), (uint64_t)doc_int(l, "bytes", 0)};
    }
    if (read_list(mem, doc_get(d, "names"), ret_names, NULL) < 0 ||
        read_list(mem, doc_get(d, "entrypoint"), &ret->entrypoint, NULL) < 0 ||
        read_list(mem, doc_get(d, "cmd"), &ret->cmd, NULL) < 0 ||
        read_list(mem, doc_get(d, "env"), &ret->env, NULL) < 0 ||
        read_list(mem, doc_get(d, "volumes"), &ret->volumes, NULL) < 0)
        return -1;
    ret->workdir = doc_str(d, "workdir"), ret->user = doc_str(d, "user"), ret->stop_signal = doc_str(d, "stopSignal");
    return image_digest_valid(ret->digest) && image_digest_valid(ret->id) ? 0 : -1;
}
