/* bench/probe.c - what the machine can do, in the same run as what is measured against it; see cluster.h. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cluster.h"

enum { PROBE_FILE_BYTES = 16 << 20, PROBE_COPY_BYTES = 32 << 20 };

double probe_fsyncs(const char *dir, size_t bytes, double seconds)
{
    char path[256], *buf = malloc(bytes);
    snprintf(path, sizeof path, "%s/probe", dir);
    memset(buf, 'p', bytes);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    for (size_t at = 0; at < PROBE_FILE_BYTES; at += bytes)
        if (pwrite(fd, buf, bytes, (off_t)at) < 0)
            exit(1);
    fsync(fd);
    double begin = now_s(), took;
    size_t n = 0, at = 0;
    do {
        if (pwrite(fd, buf, bytes, (off_t)at) < 0 || fdatasync(fd) < 0)
            exit(1);
        at = at + 2 * bytes > PROBE_FILE_BYTES ? 0 : at + bytes;
        n++;
    } while ((took = now_s() - begin) < seconds);
    close(fd);
    unlink(path);
    free(buf);
    return (double)n / took;
}

static void sql(sqlite3 *db, const char *text)
{
    if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
        exit(1);
}

double probe_sqlite(const char *dir, int rows, size_t row_bytes, double seconds)
{
    char path[256], *row = malloc(row_bytes);
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    sqlite3 *db;
    sqlite3_stmt *put;
    snprintf(path, sizeof path, "%s/probe.db", dir);
    memset(row, 'p', row_bytes);
    if (sqlite3_open(path, &db) != SQLITE_OK)
        exit(1);
    sql(db,
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE log(id INTEGER PRIMARY KEY, value BLOB)");
    if (sqlite3_prepare_v2(db, "INSERT INTO log(value) VALUES(?)", -1, &put, NULL) != SQLITE_OK)
        exit(1);
    sqlite3_bind_blob64(put, 1, row, row_bytes, SQLITE_STATIC);
    double begin = now_s(), took;
    size_t n = 0;
    do {
        sql(db, "BEGIN");
        for (int i = 0; i < rows; i++, n++) {
            sqlite3_step(put);
            sqlite3_reset(put);
        }
        sql(db, "COMMIT"); /* every thousandth frame a checkpoint goes with it: SQLite's default */
    } while ((took = now_s() - begin) < seconds);
    sqlite3_finalize(put);
    sqlite3_close(db);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/probe.db%s", dir, suffixes[i]);
        unlink(path);
    }
    free(row);
    return (double)n / took;
}

double probe_memcpy(void)
{
    char *from = malloc(PROBE_COPY_BYTES), *to = malloc(PROBE_COPY_BYTES);
    memset(from, 1, PROBE_COPY_BYTES);
    memset(to, 2, PROBE_COPY_BYTES);
    double begin = now_s(), took;
    int n = 0;
    do {
        memcpy(to, from, PROBE_COPY_BYTES);
        __asm__ volatile("" : : "r"(to) : "memory");
        n++;
    } while ((took = now_s() - begin) < 0.3);
    free(from);
    free(to);
    return (double)n * PROBE_COPY_BYTES / 1e6 / took;
}

static void answer_one(int fd, const char *answer, size_t len)
{
    char buf[8192];
    ssize_t n = read(fd, buf, sizeof buf);
    if (n <= 0 || write(fd, answer, len) < 0)
        close(fd);
}

static void serve(int l, size_t body)
{
    char *answer = malloc(body + 256);
    int head =
        snprintf(answer, 256, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", body);
    int ep = epoll_create1(EPOLL_CLOEXEC), one = 1;
    memset(answer + head, 'x', body);
    epoll_ctl(ep, EPOLL_CTL_ADD, l, &(struct epoll_event){.events = EPOLLIN, .data.fd = l});
    for (;;) {
        struct epoll_event events[256];
        int n = epoll_wait(ep, events, 256, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd != l) {
                answer_one(events[i].data.fd, answer, (size_t)head + body);
                continue;
            }
            int fd = accept4(l, NULL, NULL, SOCK_CLOEXEC);
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            epoll_ctl(ep, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN, .data.fd = fd});
        }
    }
}

double probe_loopback(int connections, size_t body, double seconds)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(l, (struct sockaddr *)&at, sizeof at) < 0 || listen(l, 1024) < 0 ||
        getsockname(l, (struct sockaddr *)&at, &len) < 0)
        exit(1);
    pid_t pid = fork();
    if (pid == 0) {
        bench_pin(0);
        serve(l, body);
    }
    struct http_load load = {
        .host = "127.0.0.1", .port = ntohs(at.sin_port), .connections = connections, .seconds = seconds, .cpu = 1};
    struct http_load_result r;
    http_load_run(&load, &r);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(l);
    return r.per_second;
}
