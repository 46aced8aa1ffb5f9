/* node/image/keyring.h - which credentials of pull secrets fit an image.
 *
 * Secrets are of the types kubernetes.io/dockerconfigjson ({"auths": {KEY: AUTH}}) and kubernetes.io/dockercfg ({KEY:
 * AUTH}). A key is a registry, with globs in the parts of its host name, and may go on with the beginning of a path;
 * AUTH is username and password, or auth, base64 of both. Source: kubernetes pkg/credentialprovider keyring.go,
 * config.go. Pure. May use doc/, base/. */
#ifndef SAMPAN_NODE_IMAGE_KEYRING_H
#define SAMPAN_NODE_IMAGE_KEYRING_H

#include "doc/doc.h"
#include "node/image/ref.h"

enum { KEYRING_MAX = 16, KEYRING_SECRET_BYTES_MAX = 1 << 20 };
struct image_credentials {
    struct str user, password;
};
struct keyring {
    struct {
        struct str key;
        struct image_credentials credentials;
    } found[KEYRING_MAX]; /* the most particular key first */
    int count;
};
/* Add what a Secret holds for this image. False: it is no pull secret, or can't be read. Strings are in mem. */
bool keyring_add(struct keyring *k, struct arena *mem, const struct doc *secret, const struct image_ref *ref);

#endif
