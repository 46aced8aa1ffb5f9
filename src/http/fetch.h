/* http/fetch.h - outgoing requests to whatever server, by libcurl, which is opened on first use so that an idle process
 * does not carry it. Calls block: from pool threads only. May use base/, doc/. */
#ifndef SAMPAN_HTTP_FETCH_H
#define SAMPAN_HTTP_FETCH_H

#include "base/str.h"

enum { FETCH_REDIRECTS_MAX = 5, FETCH_CONNECT_S = 15, FETCH_STALL_S = 60 };
struct fetch_peer {              /* a server with a CA of its own, to whom we show a certificate */
    const char *ca, *cert, *key; /* PEM; cert and key NULL: none is shown */
    const char *connect_to;      /* "NAME:PORT:ADDRESS:PORT": where the url's name is reached */
};
struct fetch {
    const char *url;
    const struct fetch_peer *peer;                        /* NULL: the public CAs */
    const char *accept, *authorization, *user, *password; /* NULL: none */
    const struct str *headers;                            /* name, value, ... */
    size_t header_count;
    int64_t timeout_ms; /* 0: none, but stalls end it */
    bool insecure;      /* https without verification: probes */
    bool no_redirects;
    bool head; /* HEAD instead of GET */
    /* Body bytes: false ends it. NULL: gathered in `body`, at most body_max. */
    bool (*data)(void *ctx, const char *bytes, size_t n);
    void *ctx;
    size_t body_max;
    /* Results */
    struct arena *mem;
    struct sb body;
    long status;                                /* 0: no answer, see why */
    struct str challenge, content_type, digest; /* WWW-Authenticate, Docker-Content-Digest */
    struct str why;
};
/* Before the first thread calls fetch_run: opens the library. False: not installed. Loop thread only. */
bool fetch_open(void);
void fetch_run(struct fetch *f);

/* For a 401 of a registry, whose challenge f has: what Authorization to come again with (from its token service, or
 * Basic), in mem. pull: the scope when the challenge names none, "repository:NAME:pull". Credentials go over TLS only,
 * unless f's own url is plain. Empty: none. Source: Docker registry token authentication. */
struct str fetch_authorization(const struct fetch *f, struct str user, struct str password, struct str scope);

#endif
