/* bench/cluster.h - what the figures of the cluster share: a real `sampan server` with its directory and credentials,
 * its readings in /proc, single requests over TLS, and probes of the machine. Not part of the product. */
#ifndef SAMPAN_BENCH_CLUSTER_H
#define SAMPAN_BENCH_CLUSTER_H

#include <openssl/ssl.h>
#include <stdint.h>
#include <sys/types.h>

#include "http_load.h"

struct server {
    const char *binary;
    char dir[128], data[160], cert[160], key[160];
    int port;
    pid_t pid;
    SSL_CTX *tls;
};
double now_s(void);
/* Makes a directory below `where`. Ends the program on failure, as all of these do. */
void server_init(struct server *s, const char *binary, const char *where);
/* Starts it on a core (-1: any) and waits for /readyz. Returns the milliseconds from exec to its first 200. */
double server_start(struct server *s, int cpu);
void server_stop(struct server *s);
void server_free(struct server *s); /* with its directory */
/* A load with address and credentials filled in. */
struct http_load server_load(const struct server *s, int connections, double seconds, int cpu);

struct reading {
    double rss_kb, anon_kb, peak_kb; /* peak since server_reset_peak() */
    double cpu_s;                    /* of all threads */
    uint64_t wakeups, bytes_written;
};
struct reading server_read(const struct server *s);
void server_reset_peak(const struct server *s);

/* ---- one connection, blocking */
struct client {
    int fd;
    SSL *ssl;
};
int client_open(struct client *c, const struct server *s); /* 0, -1 */
void client_close(struct client *c);
void client_send(struct client *c, const char *method, const char *path, const char *more_headers, const char *body);
/* Reads an answer to its end. Returns the status; *ret_bytes with header. buf holds as much as fits, terminated. */
int client_receive(struct client *c, char *buf, size_t cap, size_t *ret_bytes);
/* Both on a connection of its own. */
int request(const struct server *s, const char *method, const char *path, const char *body, char *buf, size_t cap);
/* request(), ends the program unless 2xx. */
void must_request(const struct server *s, const char *method, const char *path, const char *body);

/* ---- the machine */
double probe_fsyncs(const char *dir, size_t bytes,
                    double seconds); /* pwrite + fdatasync a second, over existing blocks */
/* Rows a second that one thread commits to SQLite, so many to a transaction: WAL, an fsync each, nothing else. */
double probe_sqlite(const char *dir, int rows, size_t row_bytes, double seconds);
double probe_loopback(int connections, size_t body, double seconds); /* req/s of a plain epoll server on core 0 */
double probe_memcpy(void);                                           /* MB/s */

#endif
