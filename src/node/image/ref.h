/* node/image/ref.h - image references, normalised as docker does.
 *
 * "nginx" is docker.io/library/nginx:latest; "localhost:5000/a/b:1" is what it says; a digest replaces the tag's say.
 * Source: distribution/reference. Pure. May use base/. */
#ifndef SAMPAN_NODE_IMAGE_REF_H
#define SAMPAN_NODE_IMAGE_REF_H

#include "base/str.h"

struct image_ref {
    struct str host;       /* docker.io, localhost:5000 */
    struct str repository; /* library/nginx */
    struct str tag;        /* "latest" when neither tag nor digest was given; may be empty beside a digest */
    struct str digest;     /* sha256:64 hex digits, or empty */
};
/* False: no valid reference (kubelet's InvalidImageName). Strings are in mem. */
bool image_ref_parse(struct arena *mem, struct str text, struct image_ref *ret);
struct str image_ref_name(struct arena *mem, const struct image_ref *r); /* host/repository:tag, or @digest */
struct str image_ref_digest(struct arena *mem, const struct image_ref *r,
                            struct str digest); /* host/repository@digest */
/* Pull policy when none is given: Always for the tag latest, else IfNotPresent. */
bool image_ref_is_latest(const struct image_ref *r);
bool image_digest_valid(struct str digest); /* sha256: and 64 lower-case hex digits */
/* Its registry is the API server, which goes by its own name: kubernetes.default.svc (registry/registry.h). */
bool image_ref_is_cluster(const struct image_ref *r);
/* Where its registry answers: docker.io is registry-1.docker.io; http for loopback, else https. */
struct str image_ref_base_url(struct arena *mem, const struct image_ref *r);

#endif
