/* schema/bootstrap_token.h - bootstrap tokens, "abcdef.0123456789abcdef", and the Secrets that hold them.
 *
 * Pure functions. May use doc/, base/. Source: kubernetes staging/src/k8s.io/cluster-bootstrap (token/api,
 * util/secrets, util/tokens). */
#ifndef SAMPAN_SCHEMA_BOOTSTRAP_TOKEN_H
#define SAMPAN_SCHEMA_BOOTSTRAP_TOKEN_H

#include "doc/doc.h"

#define BOOTSTRAP_TOKEN_TYPE   "bootstrap.kubernetes.io/token"
#define BOOTSTRAP_TOKEN_PREFIX "bootstrap-token-" /* of the Secret's name in kube-system; the id follows */
#define BOOTSTRAP_TOKEN_GROUP  "system:bootstrappers:kubeadm:default-node-token" /* may join: ask for a certificate */
enum { BOOTSTRAP_ID_LEN = 6, BOOTSTRAP_SECRET_LEN = 16 };

struct bootstrap_token { /* strings live in mem */
    struct str id, secret, groups, description;
    int64_t expires_ms; /* 0: never; 1: what stands there is no time, which counts as over */
    bool authenticates, signs;
};
bool bootstrap_token_split(struct str token, struct str *ret_id, struct str *ret_secret); /* false: not the form */
/* false: no Secret of that type, or its name, id and secret don't fit together. */
bool bootstrap_token_read(struct arena *mem, const struct doc *secret, struct bootstrap_token *ret);
static inline bool bootstrap_token_is_over(const struct bootstrap_token *t, int64_t wall_ms)
{
    return t->expires_ms && t->expires_ms <= wall_ms;
}
/* system:bootstrappers and what auth-extra-groups adds, sorted, no doubles. NULL: one of them is not of the form
 * system:bootstrappers:NAME. */
struct str *bootstrap_token_groups(struct arena *mem, struct str extra, int *ret_count);

#endif
