/* shop - the demo application: one static binary, three roles.
 *
 *   shop web    serves the shop's page on :8080; asks the API by its Service name for what is on sale
 *   shop api    keeps the items in a file; GET /items lists them, POST /items adds one (needs the token)
 *   shop fill   reads a list of items and posts each to the API until it has taken them all
 *   shop kill PID   sends SIGTERM, for an image that has no shell: `kubectl exec POD -- /shop kill 1`
 *
 * Settings come from the environment: SHOP_TITLE, SHOP_VERSION, SHOP_TOKEN, SHOP_API (host:port), SHOP_ITEMS,
 * SHOP_DATA. */
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { PORT = 8080, REQUEST_MAX = 8192, ANSWER_MAX = 65536, TIMEOUT_S = 5 };

static const char *setting(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

static void send_all(int fd, const char *text, size_t len)
{
    while (len) {
        ssize_t n = write(fd, text, len);
        if (n <= 0)
            return;
        text += n, len -= (size_t)n;
    }
}

static void answer(int fd, const char *status, const char *body)
{
    char head[256];
    int n = snprintf(head, sizeof(head),
                     "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
                     status, strlen(body));
    send_all(fd, head, (size_t)n);
    send_all(fd, body, strlen(body));
}

/* Read up to size-1 bytes until the other side is done, or, for requests, until the header and its body are there. */
static size_t read_message(int fd, char *text, size_t size, int is_request)
{
    size_t len = 0;
    for (ssize_t n; len < size - 1 && (n = read(fd, text + len, size - 1 - len)) > 0;) {
        text[len += (size_t)n] = 0;
        const char *end = strstr(text, "\r\n\r\n"), *length = strcasestr(text, "\r\nContent-Length:");
        if (is_request && end && len >= (size_t)(end + 4 - text) + (length ? (size_t)atoi(length + 17) : 0))
            break;
    }
    text[len] = 0;
    return len;
}

static int connect_to_api(void)
{
    char host[256];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_INET}, *list = NULL;
    struct timeval timeout = {TIMEOUT_S, 0};
    snprintf(host, sizeof(host), "%s", setting("SHOP_API", "api:8080"));
    char *port = strrchr(host, ':');
    if (port)
        *port++ = 0;
    if (getaddrinfo(host, port ? port : "8080", &hints, &list) != 0)
        return -1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    if (connect(fd, list->ai_addr, list->ai_addrlen) < 0) {
        close(fd);
        fd = -1;
    }
    freeaddrinfo(list);
    return fd;
}

/* One request to the API; the body of its answer in text. 0: it said 200. */
static int ask_api(const char *method, const char *body, char *text, size_t size)
{
    char request[REQUEST_MAX];
    int fd = connect_to_api();
    if (fd < 0)
        return -1;
    int n = snprintf(
        request, sizeof(request),
        "%s /items HTTP/1.1\r\nHost: api\r\nAuthorization: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
        method, setting("SHOP_TOKEN", ""), strlen(body), body);
    send_all(fd, request, (size_t)n);
    read_message(fd, text, size, 0);
    close(fd);
    int ok = !strncmp(text, "HTTP/1.1 200", 12);
    char *start = strstr(text, "\r\n\r\n");
    memmove(text, start ? start + 4 : "", start ? strlen(start + 4) + 1 : 1);
    return ok ? 0 : -1;
}

static void serve_web(int fd, const char *request)
{
    static char items[ANSWER_MAX], page[ANSWER_MAX + 1024];
    char host[256] = "";
    gethostname(host, sizeof(host) - 1);
    if (!strncmp(request, "GET /healthz", 12)) {
        answer(fd, "200 OK", "ok\n");
        return;
    }
    if (ask_api("GET", "", items, sizeof(items)) < 0) {
        answer(fd, "502 Bad Gateway", "the API does not answer\n");
        return;
    }
    snprintf(page, sizeof(page), "%s (%s) from %s\n%s", setting("SHOP_TITLE", "shop"), setting("SHOP_VERSION", "v1"),
             host, items);
    answer(fd, "200 OK", page);
}

static void add_item(int fd, const char *path, const char *request)
{
    char token[256];
    const char *body = strstr(request, "\r\n\r\n");
    snprintf(token, sizeof(token), "Authorization: %s\r\n", setting("SHOP_TOKEN", ""));
    if (!strstr(request, token) || !body) {
        answer(fd, "403 Forbidden", "wrong token\n");
        return;
    }
    FILE *f = fopen(path, "a");
    if (!f || fprintf(f, "%s\n", body + 4) < 0 || fclose(f) != 0)
        answer(fd, "500 Internal Server Error", "can't keep it\n");
    else
        answer(fd, "200 OK", "taken\n");
}

static void serve_api(int fd, const char *request)
{
    static char items[ANSWER_MAX];
    char path[512];
    snprintf(path, sizeof(path), "%s/items", setting("SHOP_DATA", "/data"));
    if (!strncmp(request, "GET /healthz", 12)) {
        answer(fd, "200 OK", "ok\n");
    } else if (!strncmp(request, "POST /items", 11)) {
        add_item(fd, path, request);
    } else {
        FILE *f = fopen(path, "r");
        size_t n = f ? fread(items, 1, sizeof(items) - 1, f) : 0;
        items[n] = 0;
        if (f)
            fclose(f);
        answer(fd, "200 OK", items);
    }
}

static int serve(void (*handle)(int fd, const char *request))
{
    static char request[REQUEST_MAX];
    struct timeval timeout = {TIMEOUT_S, 0};
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_INET, .ai_flags = AI_PASSIVE}, *list = NULL;
    int yes = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (getaddrinfo(NULL, "8080", &hints, &list) != 0 || bind(listener, list->ai_addr, list->ai_addrlen) < 0 ||
        listen(listener, 128) < 0) {
        perror("shop: listen");
        return 1;
    }
    printf("shop: serving on :%d\n", PORT);
    fflush(stdout);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            continue;
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
        if (read_message(fd, request, sizeof(request), 1))
            handle(fd, request);
        close(fd);
    }
}

static int fill(void)
{
    char line[512], text[ANSWER_MAX];
    const char *path = setting("SHOP_ITEMS", "/config/items");
    FILE *f = fopen(path, "r");
    if (!f) {
        perror(path);
        return 1;
    }
    while (fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\n")] = 0;
        for (int tries = 0; *line && ask_api("POST", line, text, sizeof(text)) < 0; tries++) {
            if (tries == 60) {
                fprintf(stderr, "shop: the API does not take \"%s\"\n", line);
                return 1;
            }
            usleep(250000);
        }
        printf("shop: put %s on sale\n", line);
    }
    fclose(f);
    return 0;
}

static void leave(int number)
{
    _exit(number == SIGTERM ? 0 : 1);
}

int main(int argc, char **argv)
{
    const char *role = argc > 1 ? argv[1] : "";
    signal(SIGTERM, leave); /* as process 1 of a container it has no default */
    signal(SIGINT, leave);
    signal(SIGPIPE, SIG_IGN);
    if (!strcmp(role, "web"))
        return serve(serve_web);
    if (!strcmp(role, "api"))
        return serve(serve_api);
    if (!strcmp(role, "fill"))
        return fill();
    if (!strcmp(role, "kill") && argc == 3)
        return kill(atoi(argv[2]), SIGTERM) < 0;
    fputs("usage: shop web|api|fill|kill PID\n", stderr);
    return 2;
}
