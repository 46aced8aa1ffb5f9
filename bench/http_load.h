/* bench/http_load.h - a load client: keep-alive connections on one core, each sending its next request when the answer
 * to the last is complete. HTTP/1.1, plain or TLS. Not part of the product. */
#ifndef SAMPAN_BENCH_HTTP_LOAD_H
#define SAMPAN_BENCH_HTTP_LOAD_H

#include <stdbool.h>
#include <stddef.h>

struct http_load {
    const char *host, *path, *header; /* header: one more line with its CRLF, or "" */
    int port, connections;
    bool tls;
    const char *cert_file, *key_file; /* PEM; NULL: none. The server's certificate is not verified */
    double seconds;
    int cpu; /* to run on; -1: any */
    /* Writes the next whole request of connection i to buf and returns its length; 0: this connection has done its
     * part. NULL: GET of path, forever. */
    int (*make)(void *ctx, int i, char *buf, size_t cap);
    void *ctx;
    long requests_max; /* end after so many answers; 0: only by time */
};
struct http_load_result {
    double per_second;
    double p50_us, p99_us;
    long requests, failures; /* failures: neither 2xx nor 409, or the connection broke */
    long conflicts;          /* 409 */
    char first_failure[512]; /* what the first answer of them began with */
};
/* 0, or -1 when nothing could be reached. */
int http_load_run(const struct http_load *load, struct http_load_result *ret);
void bench_pin(int cpu);

#endif
