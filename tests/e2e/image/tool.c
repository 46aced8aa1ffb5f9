/* tool - what the busybox of the tests' image can't do: it is linked statically with glibc, where looking names up
 * crashes.
 *
 *   tool resolve NAME       the IPv4 addresses that the C library finds, one a line; exit 1: none
 *   tool get HOST PORT      the body of GET /, found by name
 *   tool udp-echo PORT      sends every datagram back
 *   tool eat MIB            touches that much memory, then sleeps */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static struct addrinfo *look_up(const char *name, const char *port)
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *list = NULL;
    int r = getaddrinfo(name, port, &hints, &list);
    if (r)
        fprintf(stderr, "%s: %s\n", name, gai_strerror(r));
    return r ? NULL : list;
}

static int resolve(const char *name)
{
    struct addrinfo *list = look_up(name, NULL);
    for (struct addrinfo *a = list; a; a = a->ai_next)
        puts(inet_ntoa(((struct sockaddr_in *)a->ai_addr)->sin_addr));
    return !list;
}

static int get(const char *host, const char *port)
{
    struct addrinfo *list = look_up(host, port);
    struct timeval timeout = {3, 0};
    char text[65536];
    size_t len = 0;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    if (!list || connect(fd, list->ai_addr, list->ai_addrlen) < 0 ||
        dprintf(fd, "GET / HTTP/1.0\r\nHost: %s\r\n\r\n", host) < 0)
        return perror(host), 1;
    for (ssize_t n; len < sizeof(text) - 1 && (n = read(fd, text + len, sizeof(text) - 1 - len)) > 0;)
        len += (size_t)n;
    text[len] = 0;
    char *body = strstr(text, "\r\n\r\n");
    return body ? fputs(body + 4, stdout) < 0 : 1;
}

static int udp_echo(const char *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))}, from;
    char text[2048];
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
        return perror("bind"), 1;
    for (;;) {
        socklen_t size = sizeof(from);
        ssize_t n = recvfrom(fd, text, sizeof(text), 0, (struct sockaddr *)&from, &size);
        if (n >= 0)
            sendto(fd, text, (size_t)n, 0, (struct sockaddr *)&from, size);
    }
}

static int eat(const char *mib)
{
    size_t n = (size_t)atoi(mib) << 20;
    char *p = malloc(n);
    for (size_t i = 0; p && i < n; i += 4096)
        ((volatile char *)p)[i] = 1;
    return (int)sleep(3600);
}

int main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[1] : "";
    if (!strcmp(what, "resolve"))
        return resolve(argv[2]);
    if (!strcmp(what, "get") && argc == 4)
        return get(argv[2], argv[3]);
    if (!strcmp(what, "udp-echo"))
        return udp_echo(argv[2]);
    return !strcmp(what, "eat") ? eat(argv[2]) : 2;
}
