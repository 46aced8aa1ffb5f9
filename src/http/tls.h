/* http/tls.h - TLS contexts and what a verified client certificate says.
 *
 * A context holds certificate, key and trusted CAs and can be given new ones while connections run (renewal); old
 * connections keep what they negotiated. TLS 1.2 and 1.3; ECDHE with AEAD only. May use base/. */
#ifndef SAMPAN_HTTP_TLS_H
#define SAMPAN_HTTP_TLS_H

#include "base/arena.h"
#include "base/str.h"

struct tls_context;
struct tls_cert {
    struct str common_name;
    struct str *organizations;
    int organization_count;
    int64_t not_after_ms;          /* Unix time */
    struct str fingerprint_sha256; /* hex */
};

/* PEM texts. Server: client_ca_pem NULL asks for no client certificate; otherwise one is requested but not required,
 * and one that doesn't verify fails the handshake. NULL on bad input, with *ret_why (static text). */
struct tls_context *tls_server_new(struct str cert_pem, struct str key_pem, struct str client_ca_pem,
                                   const char **ret_why);
/* Client: ca_pem is what the server must chain to; cert and key may be empty. */
struct tls_context *tls_client_new(struct str ca_pem, struct str cert_pem, struct str key_pem, const char **ret_why);
/* A client that believes whoever answers. For reading a CA that is then judged by its pin, and for nothing else: what
 * is sent through it, and what comes, may be anybody's. */
struct tls_context *tls_client_unverified_new(const char **ret_why);
/* Replace certificate and key; 0 or -1 with *ret_why and nothing changed. */
int tls_context_renew(struct tls_context *t, struct str cert_pem, struct str key_pem, const char **ret_why);
struct tls_context *tls_context_free(struct tls_context *t);

#endif
