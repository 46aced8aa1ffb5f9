/* node/image/info.h - what is known of an image: read from manifests and configs (strangers' bytes: only in helpers and
 * the fuzzer), sent as a message, kept as a file.
 *
 * Source: OCI image spec 1.0 (manifest, index, config), Docker schema 2. Pure. May use doc/, base/. */
#ifndef SAMPAN_NODE_IMAGE_INFO_H
#define SAMPAN_NODE_IMAGE_INFO_H

#include "base/err.h"
#include "doc/doc.h"
#include "node/ipc.h"

enum {
    IMAGE_LAYERS_MAX = 127,
    IMAGE_LIST_MAX = 512, /* entries of env, cmd, ... */
    IMAGE_MANIFEST_BYTES_MAX = 4 << 20,
    IMAGE_CONFIG_BYTES_MAX = 4 << 20,
    IMAGE_BLOB_NAME_BYTES = 64, /* hex digits */
};

struct image_layer {
    struct str digest, diff_id; /* of the blob, of the tar in it: sha256:... */
    uint64_t bytes;             /* of the blob */
};
struct strv {
    struct str *v;
    size_t n;
};
struct image_info {
    struct str name;                             /* normalised; may be empty: only known by digest */
    struct str digest;                           /* of the manifest */
    struct str id;                               /* of the config */
    uint64_t bytes;                              /* of all blobs */
    struct image_layer layers[IMAGE_LAYERS_MAX]; /* lowest first */
    size_t layer_count;
    struct strv entrypoint, cmd, env, volumes;
    struct str workdir, user, stop_signal;
};

/* One entry of an index or manifest list for this platform. 0, or -1 with err: not parsable, or no such platform. */
int image_index_pick(struct arena *mem, struct str text, struct str arch, struct str *ret_digest, struct err *err);
bool image_is_index(struct arena *mem, struct str text); /* by media type or shape */
/* Fill digest-independent parts: id, layers' digests and sizes. */
int image_read_manifest(struct arena *mem, struct str text, struct image_info *info, struct err *err);
/* Fill diff_ids and what to run. The number of layers must be the manifest's; os must be linux. */
int image_read_config(struct arena *mem, struct str text, struct image_info *info, struct err *err);

void image_put(struct ipc_body *b, const struct image_info *info);
/* Strings are borrowed from the message, lists in mem. False: refused (a digest is none, too many layers...). */
bool image_get(struct ipc_reader *r, struct arena *mem, struct image_info *ret);

/* The file form. */
struct str image_to_json(struct arena *mem, const struct image_info *info, const struct str *names, size_t name_count);
/* names: where the image is known under; digests of the same image by other hosts included. */
int image_from_json(struct arena *mem, struct str text, struct image_info *ret, struct strv *ret_names);

#endif
