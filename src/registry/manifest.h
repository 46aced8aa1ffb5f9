/* registry/manifest.h - what a manifest says: its media type, what it refers to, and its subject. Pure.
 *
 * A document whose declared and actual type differ, or that could be read as two types, is refused (CVE-2021-41190).
 * Source: OCI image spec 1.1 manifest and image-index; Docker image manifest v2 schema 2. */
#ifndef SAMPAN_REGISTRY_MANIFEST_H
#define SAMPAN_REGISTRY_MANIFEST_H

#include "doc/doc.h"

struct manifest {
    const char *type;      /* one of the four that manifest_types lists */
    struct str *blobs;     /* hex digits of config and layers, each checked; those with foreign urls left out */
    struct str *manifests; /* of an index */
    int blob_count, manifest_count;
    struct str subject;            /* hex digits; empty: none */
    struct str artifact_type;      /* artifactType, else config.mediaType of an image manifest, else empty */
    const struct doc *annotations; /* NULL: none */
};
/* False: it is none, err BAD_REQUEST says why. declared is the Content-Type of a push; empty: do not compare. Strings
 * point into text and mem. */
bool manifest_read(struct arena *mem, struct str text, struct str declared, struct manifest *ret, struct err *err);
/* One of the four media types, or NULL. */
const char *manifest_type(struct str media_type);

#endif
