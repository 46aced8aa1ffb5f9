/* http/socket.h - streams over a descriptor: plain, or TLS directly on it. Internal to http/.
 *
 * Reads are pushed from the poll; writes gather until the present callback is over and leave in as few records and
 * system calls as they fit. TLS keeps no buffer while idle. */
#ifndef SAMPAN_HTTP_SOCKET_H
#define SAMPAN_HTTP_SOCKET_H

#include "http/stream.h"
#include "http/tls.h"

struct socket_opts {
    struct loop *loop;
    struct tls_context *tls; /* NULL: plain */
    const char *server_name; /* TLS client: verified against the certificate */
    const char *alpn;        /* TLS client: "h2" or "http/1.1" */
    bool is_client;
    void (*ready)(void *ctx); /* connected and the handshake done; failure comes as close. NULL: not wanted */
    void *ctx;
};
/* A stream over fd, which it takes in any case; NULL with *ret_error. Also for a connect in progress (is_client). */
struct stream *socket_new(const struct socket_opts *opts, int fd, int *ret_error);
/* Connect to a numeric address ("1.2.3.4:80", "[::1]:80") or "unix:/path". NULL with *ret_error at once for what can't
 * be. */
struct stream *socket_connect(const struct socket_opts *opts, const char *address, int *ret_error);
/* The same for an address that may hold a host name ("server.example:6443"): looked up without blocking. done comes
 * from the loop, once, unless cancelled: a stream that is connecting, or NULL and -errno. */
struct socket_dial;
struct socket_dial *socket_dial(const struct socket_opts *opts, const char *address,
                                void (*done)(void *ctx, struct stream *s, int error), void *ctx);
void socket_dial_cancel(struct socket_dial *d);
bool socket_is_h2(const struct stream *s); /* what ALPN chose */
/* The verified certificate of the peer, in one block for free(); NULL: none. */
struct tls_cert *socket_peer_cert(const struct stream *s);

/* An address as a sockaddr. 0, -EINVAL for what is none, -EAFNOSUPPORT for a name that would need the resolver. */
struct sockaddr_storage;
int socket_address(const char *address, struct sockaddr_storage *ret, unsigned *ret_len);
/* SIGPIPE is of no use to anybody here. */
void socket_ignore_sigpipe(void);
#endif
