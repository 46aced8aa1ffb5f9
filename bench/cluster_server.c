/* bench/cluster_server.c - see cluster.h. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cluster.h"

enum { READY_S_MAX = 30, RECEIVE_S_MAX = 60 };

static _Noreturn void __attribute__((format(printf, 1, 2))) die(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("bench_cluster: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    exit(1);
}

double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- the process */

static int free_port(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || getsockname(fd, (struct sockaddr *)&at, &len) < 0)
        die("no port: %s", strerror(errno));
    close(fd);
    return ntohs(at.sin_port);
}

void server_init(struct server *s, const char *binary, const char *where)
{
    *s = (struct server){.binary = binary};
    snprintf(s->dir, sizeof s->dir, "%s/sampan-bench.XXXXXX", where);
    if (!mkdtemp(s->dir))
        die("%s: %s", s->dir, strerror(errno));
    snprintf(s->data, sizeof s->data, "%s/data", s->dir);
    snprintf(s->cert, sizeof s->cert, "%s/admin.crt", s->dir);
    snprintf(s->key, sizeof s->key, "%s/admin.key", s->dir);
    s->port = free_port();
    s->tls = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_read_ahead(s->tls, 1);
}

/* The kubeconfig's "WORD: BASE64" as a file. */
static void unpack(const char *text, const char *word, const char *to)
{
    const char *p = strstr(text, word);
    if (!p)
        die("no %s in admin.kubeconfig", word);
    p += strlen(word);
    p += strspn(p, ": ");
    int len = (int)strcspn(p, "\r\n\"");
    unsigned char *out = malloc((size_t)len + 4);
    int n = EVP_DecodeBlock(out, (const unsigned char *)p, len);
    while (n > 0 && out[n - 1] == 0)
        n--;
    int fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (n <= 0 || fd < 0 || write(fd, out, (size_t)n) != n)
        die("%s: %s", to, strerror(errno));
    close(fd);
    free(out);
}

static void read_credentials(struct server *s)
{
    char path[256], text[16384];
    snprintf(path, sizeof path, "%s/admin.kubeconfig", s->data);
    FILE *f = fopen(path, "re");
    if (!f)
        die("%s: %s", path, strerror(errno));
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    unpack(text, "client-certificate-data", s->cert);
    unpack(text, "client-key-data", s->key);
    if (SSL_CTX_use_certificate_chain_file(s->tls, s->cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(s->tls, s->key, SSL_FILETYPE_PEM) != 1)
        die("credentials of %s are of no use", path);
}

static void run_server(const struct server *s, int cpu)
{
    char listen[32], log[160];
    snprintf(listen, sizeof listen, "127.0.0.1:%d", s->port);
    snprintf(log, sizeof log, "%s/log", s->dir);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(fd, 1), dup2(fd, 2);
    bench_pin(cpu);
    execl(s->binary, "sampan", "server", "--data-dir", s->data, "--listen", listen, (char *)NULL);
    _exit(127);
}

double server_start(struct server *s, int cpu)
{
    char answer[4096];
    double begin = now_s();
    s->pid = fork();
    if (s->pid == 0)
        run_server(s, cpu);
    while (request(s, "GET", "/readyz", NULL, answer, sizeof answer) != 200) {
        if (waitpid(s->pid, NULL, WNOHANG) == s->pid || now_s() - begin > READY_S_MAX)
            die("the server does not become ready: see %s/log", s->dir);
        usleep(200);
    }
    double took = (now_s() - begin) * 1e3;
    read_credentials(s);
    return took;
}

void server_stop(struct server *s)
{
    if (s->pid) {
        kill(s->pid, SIGTERM);
        waitpid(s->pid, NULL, 0);
    }
    s->pid = 0;
}

static void remove_all(const char *dir)
{
    DIR *d = opendir(dir);
    char path[512];
    for (struct dirent *e; d && (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (unlink(path) < 0)
            remove_all(path);
    }
    if (d)
        closedir(d);
    rmdir(dir);
}

void server_free(struct server *s)
{
    server_stop(s);
    SSL_CTX_free(s->tls);
    remove_all(s->dir);
}

struct http_load server_load(const struct server *s, int connections, double seconds, int cpu)
{
    return (struct http_load){.host = "127.0.0.1",
                              .port = s->port,
                              .connections = connections,
                              .tls = true,
                              .cert_file = s->cert,
                              .key_file = s->key,
                              .seconds = seconds,
                              .cpu = cpu};
}

/* ---- /proc */

static double number_of(const char *path, const char *word)
{
    char line[256];
    double v = 0;
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, word, strlen(word)) == 0)
            v = strtod(line + strlen(word), NULL);
    if (f)
        fclose(f);
    return v;
}

struct reading server_read(const struct server *s)
{
    char path[128];
    snprintf(path, sizeof path, "/proc/%d/status", (int)s->pid);
    struct reading r = {.rss_kb = number_of(path, "VmRSS:"),
                        .anon_kb = number_of(path, "RssAnon:"),
                        .peak_kb = number_of(path, "VmHWM:")};
    snprintf(path, sizeof path, "/proc/%d/io", (int)s->pid);
    r.bytes_written = (uint64_t)number_of(path, "write_bytes:");
    snprintf(path, sizeof path, "/proc/%d/task", (int)s->pid);
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%.16s/schedstat", (int)s->pid, e->d_name);
        r.cpu_s += number_of(path, "") / 1e9;
        snprintf(path, sizeof path, "/proc/%d/task/%.16s/status", (int)s->pid, e->d_name);
        r.wakeups += (uint64_t)number_of(path, "voluntary_ctxt_switches:");
    }
    if (d)
        closedir(d);
    return r;
}

void server_reset_peak(const struct server *s)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/clear_refs", (int)s->pid);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "5", 1) != 1)
        die("%s: %s", path, strerror(errno));
    close(fd);
}

/* ---- one connection */

int client_open(struct client *c, const struct server *s)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)s->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    struct timeval limit = {.tv_sec = RECEIVE_S_MAX};
    c->ssl = NULL;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) == 0) {
        c->ssl = SSL_new(s->tls);
        SSL_set_fd(c->ssl, c->fd);
        if (SSL_connect(c->ssl) == 1)
            return 0;
    }
    client_close(c);
    return -1;
}

void client_close(struct client *c)
{
    SSL_free(c->ssl);
    close(c->fd);
    *c = (struct client){-1, NULL};
}

void client_send(struct client *c, const char *method, const char *path, const char *more, const char *body)
{
    static char text[65536];
    int n = snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: bench\r\n%sContent-Length: %zu\r\n\r\n%s", method,
                     path, more ? more : "", body ? strlen(body) : 0, body ? body : "");
    if (n >= (int)sizeof text || SSL_write(c->ssl, text, n) != n)
        die("%s %s could not be sent", method, path);
}

/* Whether what was read is the whole answer: by its length, or by the last chunk. */
static bool whole(const char *head, size_t len, const char *last, size_t last_len)
{
    const char *end = strstr(head, "\r\n\r\n"), *length = strcasestr(head, "\r\ncontent-length:");
    if (!end)
        return false;
    if (length && length < end)
        return len >= (size_t)(end + 4 - head) + (size_t)atol(length + 17);
    return last_len >= 5 && memcmp(last + last_len - 5, "0\r\n\r\n", 5) == 0;
}

int client_receive(struct client *c, char *buf, size_t cap, size_t *ret_bytes)
{
    static char part[65536];
    size_t kept = 0, total = 0;
    char tail[5] = "";
    buf[0] = 0;
    for (;;) {
        int n = SSL_read(c->ssl, part, sizeof part);
        if (n <= 0)
            return -1;
        size_t room = cap - 1 - kept, take = (size_t)n < room ? (size_t)n : room;
        memcpy(buf + kept, part, take);
        kept += take;
        buf[kept] = 0;
        total += (size_t)n;
        for (int i = n > 5 ? n - 5 : 0; i < n; i++) {
            memmove(tail, tail + 1, 4);
            tail[4] = part[i];
        }
        if (whole(buf, total, tail, sizeof tail))
            break;
    }
    if (ret_bytes)
        *ret_bytes = total;
    return atoi(buf + 9);
}

int request(const struct server *s, const char *method, const char *path, const char *body, char *buf, size_t cap)
{
    struct client c;
    if (client_open(&c, s) < 0)
        return -1;
    bool patch = strcmp(method, "PATCH") == 0;
    client_send(&c, method, path,
                !body   ? ""
                : patch ? "Content-Type: application/merge-patch+json\r\n"
                        : "Content-Type: application/json\r\n",
                body);
    int status = client_receive(&c, buf, cap, NULL);
    client_close(&c);
    return status;
}

void must_request(const struct server *s, const char *method, const char *path, const char *body)
{
    char answer[4096];
    int status = request(s, method, path, body, answer, sizeof answer);
    if (status < 200 || status > 299)
        die("%s %s: %d\n%s", method, path, status, answer);
}
