/* http/tls_priv.h - what socket.c needs of tls.c. */
#ifndef SAMPAN_HTTP_TLS_PRIV_H
#define SAMPAN_HTTP_TLS_PRIV_H

#include <openssl/ssl.h>

#include "http/tls.h"

SSL *tls_ssl_server(struct tls_context *t, int fd);
SSL *tls_ssl_client(struct tls_context *t, int fd, const char *server_name, const char *alpn);
/* In one block for free(); NULL when there is none. */
struct tls_cert *tls_peer_cert(SSL *ssl);
#endif
