/* gate/internal.h - what the files of gate/ share. */
#ifndef SAMPAN_GATE_INTERNAL_H
#define SAMPAN_GATE_INTERNAL_H

#include "base/map.h"
#include "gate/gate.h"
#include "http/pki.h"

struct rbac;
struct bootstrap;
struct gate {
    struct gate_opts o;
    struct arena *mem;               /* what lives as long as the gate */
    struct pki_pair ca, serving, sa; /* sa.cert_pem is empty */
    struct pki_pair front_ca;        /* of whoever speaks for users by X-Remote-* headers; signs nothing else */
    struct pki_public *sa_public;
    struct str sa_key_id;
    struct tls_context *tls;
    struct rbac *rbac;
    struct bootstrap *bootstrap;
    struct map tokens; /* verified signatures: token text -> struct token_seen, at most TOKENS_SEEN_MAX */
    struct loop_timer renew;
    int saving; /* meta values still to become durable */
    int save_error;
    void (*ready)(void *ctx, int error, struct str why);
    void *ready_ctx;
};

/* token.c: service account tokens. */
const struct user *token_authenticate(struct gate *g, struct arena *mem, struct str token, const struct str *audiences,
                                      int count, struct err *err);
void tokens_done(struct gate *g);

/* bootstrap_authn.c: a token of the form id.secret. */
const struct user *bootstrap_token_authenticate(struct gate *g, struct arena *mem, struct str id, struct str secret,
                                                struct err *err);

/* rbac.c: roles and bindings, compiled from the cache whenever one of them changed. */
struct rbac *rbac_new(struct gate *g);
struct rbac *rbac_free(struct rbac *r);
bool rbac_allows(struct rbac *r, const struct user *u, const struct gate_attrs *a);
void rbac_rules(struct rbac *r, struct arena *mem, const struct user *u, struct str ns, struct doc *resource_rules,
                struct doc *non_resource_rules);

/* node_authz.c: what an agent may see (KEP-279 of SIG Auth: node authorizer). Returns true: allowed; *ret_denied: no
 * other rule may allow it. */
bool node_allows(struct gate *g, struct arena *mem, const struct user *u, const struct gate_attrs *a, bool *ret_denied,
                 struct str *ret_why);

/* credentials.c: certificates of this machine, written to data_dir and renewed. */
int credentials_write(struct gate *g, struct str *ret_why);
int credentials_serving(struct gate *g, struct str *ret_why); /* issues g->serving */

/* signers.c: who approves or signs a certificate request may do so for its signer. 0, or -1 with FORBIDDEN. */
int signers_check(struct gate *g, struct admission *a);

/* bootstrap.c */
struct bootstrap *bootstrap_free(struct bootstrap *b);

#endif
