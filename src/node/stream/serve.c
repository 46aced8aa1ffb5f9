/* node/stream/serve.c - the agent's half: opens, inside containers and pods, what the net helper asks for, and hands
 * over descriptors. Reads only messages of node/ipc.h. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "node/agent/pods.h"
#include "node/files.h"
#include "node/runtime/runtime.h"
#include "node/stream/streams.h"
#include "node/stream/usage_text.h"

enum { ARGS_MAX = 512, EXECS_MAX = STREAMS_SESSIONS_MAX, PEM_BYTES_MAX = 64 << 10, WINDOW_MAX = 65535 };

/* An exec under way for the helper. */
struct served {
    struct list link; /* in served_execs */
    struct node *node;
    uint64_t id;
    struct exec *exec;
    struct ipc *c; /* of a terminal that is awaited: where its request came from, and which it was */
    uint32_t request;
};
struct serve {
    struct list execs;
    int count;
    uint64_t next_id;
};

static struct serve *serve_of(struct node *n)
{
    if (!n->serve) {
        n->serve = calloc(1, sizeof(*n->serve));
        if (!n->serve)
            abort();
        list_init(&n->serve->execs);
    }
    return n->serve;
}

struct request {
    struct node *n;
    struct ipc *c;
    uint32_t id;
    struct arena *mem;
    struct ipc_reader r;
    struct pod *pod;
    struct container *container;
};

static void refuse(struct request *q, int error, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void refuse(struct request *q, int error, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    struct str message = str_vfmt(q->mem, fmt, ap);
    va_end(ap);
    ipc_reply(q->c, q->id, error, message, NULL, NULL, 0);
}

/* The pod of the body's first three strings. False: answered. */
static bool find_pod(struct request *q)
{
    struct str ns = ipc_get_str(&q->r), name = ipc_get_str(&q->r), uid = ipc_get_str(&q->r);
    if (q->r.bad)
        return refuse(q, -EINVAL, "bad request"), false;
    q->pod = uid.len ? pod_find(q->n, uid) : pod_find_name(q->n, ns, name);
    if (!q->pod || !str_eq(q->pod->ns, ns) || !str_eq(q->pod->name, name))
        return refuse(q, -ENOENT, "pod \"" STR_FMT "/" STR_FMT "\" not found", STR_ARG(ns), STR_ARG(name)), false;
    return true;
}

static bool find_container(struct request *q, bool running)
{
    if (!find_pod(q))
        return false;
    struct str name = ipc_get_str(&q->r);
    struct container *c = q->container = q->r.bad ? NULL : pod_container(q->pod, name);
    if (!c)
        return refuse(q, -ENOENT, "container " STR_FMT " not found in pod " STR_FMT, STR_ARG(str_quote(q->mem, name)),
                      STR_ARG(str_quote(q->mem, q->pod->name))),
               false;
    if (running && (c->pid <= 0 || (c->state != CT_START && c->state != CT_RUN && c->state != CT_STOP)))
        return refuse(q, -ESRCH, "container not found (" STR_FMT ")", STR_ARG(str_quote(q->mem, name))), false;
    return true;
}

/* ---- exec */
static void served_end(struct served *s)
{
    list_remove(&s->link);
    s->node->serve->count--;
    free(s);
}

static void on_exit_code(void *ctx, int code, struct str output)
{
    struct served *s = ctx;
    cleanup_arena struct arena *mem = arena_new();
    struct ipc_body b = IPC_BODY(mem);
    ipc_put_u64(&b, s->id), ipc_put_u64(&b, (uint64_t)(int64_t)code);
    ipc_put_str(&b, code < 0 ? str_head(output, EXEC_OUTPUT_MAX) : STR_NULL);
    if (s->node->net)
        ipc_send(s->node->net, IPC_EXEC_EXIT, &b, NULL, 0);
    served_end(s);
}

/* The channel lives: streams_gone ends what waits for a terminal before it goes. */
static void on_terminal(void *ctx, int terminal, struct str why)
{
    struct served *s = ctx;
    cleanup_arena struct arena *mem = arena_new();
    struct ipc_body b = IPC_BODY(mem);
    if (terminal < 0) {
        ipc_reply(s->c, s->request, terminal,
                  str_fmt(mem, "error executing command in container: " STR_FMT, STR_ARG(why)), NULL, NULL, 0);
        served_end(s);
        return;
    }
    ipc_put_u64(&b, s->id);
    ipc_reply(s->c, s->request, 0, STR_NULL, &b, &terminal, 1);
    close(terminal);
}

static void on_exec(struct request *q)
{
    struct serve *serve = serve_of(q->n);
    if (!find_container(q, true))
        return;
    struct exec_opts o = {.done = on_exit_code, .opened = on_terminal};
    o.args.v = ipc_get_strv(&q->r, q->mem, ARGS_MAX, &o.args.n);
    uint64_t flags = ipc_get_u64(&q->r);
    o.tty = flags & IPC_TTY;
    o.flags = (int)(flags & (IPC_STDIN | IPC_STDOUT | IPC_STDERR));
    if (!ipc_read_ok(&q->r) || o.args.n == 0 || o.flags == 0)
        return refuse(q, -EINVAL, "bad request");
    struct served *s = serve->count < EXECS_MAX ? calloc(1, sizeof(*s)) : NULL;
    if (!s)
        return refuse(q, -EAGAIN, "too many commands run on this node");
    int fds[3] = {-1, -1, -1}, error = -EIO, give[3], count = 0;
    o.ctx = s;
    s->exec = exec_start(q->container, &o, fds, &error);
    if (!s->exec) {
        free(s);
        for (int i = 0; i < 3; i++)
            if (fds[i] >= 0)
                close(fds[i]);
        return refuse(q, error, "cannot run a command in the container: %s", strerror(-error));
    }
    s->node = q->n, s->id = ++serve->next_id, s->c = q->c, s->request = q->id;
    list_add_tail(&serve->execs, &s->link);
    serve->count++;
    if (o.tty)
        return; /* on_terminal answers */
    struct ipc_body b = IPC_BODY(q->mem);
    ipc_put_u64(&b, s->id);
    for (int i = 0; i < 3; i++)
        if (fds[i] >= 0)
            give[count++] = fds[i];
    ipc_reply(q->c, q->id, 0, STR_NULL, &b, give, count);
    for (int i = 0; i < count; i++)
        close(give[i]);
}

static struct served *find_exec(struct request *q)
{
    uint64_t id = ipc_get_u64(&q->r);
    list_each (at, &serve_of(q->n)->execs) {
        struct served *s = container_of(at, struct served, link);
        if (s->id == id)
            return s;
    }
    return NULL;
}

static bool window(struct request *q, int *columns, int *rows)
{
    uint64_t c = ipc_get_u64(&q->r), r = ipc_get_u64(&q->r);
    *columns = (int)c, *rows = (int)r;
    return ipc_read_ok(&q->r) && c <= WINDOW_MAX && r <= WINDOW_MAX;
}

static void on_exec_resize(struct request *q)
{
    struct served *s = find_exec(q);
    int columns, rows;
    if (window(q, &columns, &rows) && s)
        exec_resize(s->exec, columns, rows);
}

static void served_kill(struct served *s)
{
    exec_cancel(s->exec);
    served_end(s);
}

static void on_exec_kill(struct request *q)
{
    struct served *s = find_exec(q);
    if (s)
        served_kill(s);
}

void streams_gone(struct node *n)
{
    list_each_safe (at, &serve_of(n)->execs)
        served_kill(container_of(at, struct served, link));
}

/* ---- attach: conmon's files in the bundle. Paths may be longer than a socket address holds. */
static int bundle_dir(struct request *q)
{
    return open(runtime_bundle(q->n, q->mem, q->container->id, ""), O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static int attach_socket(struct request *q)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    cleanup_fd int dir = bundle_dir(q);
    snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/attach", dir);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || dir < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
        int error = -errno;
        if (fd >= 0)
            close(fd);
        return error;
    }
    return fd;
}

static void on_attach(struct request *q)
{
    if (!find_container(q, true))
        return;
    uint64_t flags = ipc_get_u64(&q->r);
    if (!ipc_read_ok(&q->r))
        return refuse(q, -EINVAL, "bad request");
    bool tty = doc_bool(q->container->spec, "tty", false);
    if (!tty && (flags & IPC_TTY))
        return refuse(q, -EINVAL, "tty is not enabled for the container");
    cleanup_fd int fd = attach_socket(q);
    if (fd < 0)
        return refuse(q, fd, "cannot attach to the container: %s", strerror(-fd));
    struct ipc_body b = IPC_BODY(q->mem);
    ipc_put_u64(&b, tty);
    ipc_reply(q->c, q->id, 0, STR_NULL, &b, &fd, 1);
}

/* conmon 2.1, src/ctrl.c: "1 rows columns" in its control fifo. */
static void on_attach_resize(struct request *q)
{
    int columns, rows;
    char line[64];
    struct str ns = ipc_get_str(&q->r), name = ipc_get_str(&q->r), uid = ipc_get_str(&q->r),
               container = ipc_get_str(&q->r);
    if (!window(q, &columns, &rows))
        return;
    q->pod = uid.len ? pod_find(q->n, uid) : pod_find_name(q->n, ns, name);
    q->container = q->pod ? pod_container(q->pod, container) : NULL;
    if (!q->container || !doc_bool(q->container->spec, "tty", false))
        return;
    cleanup_fd int dir = bundle_dir(q);
    cleanup_fd int fd = dir < 0 ? -1 : openat(dir, "ctl", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    int len = snprintf(line, sizeof(line), "1 %d %d\n", rows, columns);
    if (fd >= 0 && write(fd, line, (size_t)len) != len)
        log_debug("stream", "conmon takes no window size", NULL);
}

/* ---- logs. Which run's log, in kubelet's words when there is none. Source: kubelet_pods.go
 * validateContainerLogStatus. */
static int log_attempt(struct request *q, bool previous)
{
    const struct container *c = q->container;
    struct str name = str_quote(q->mem, c->name), pod = str_quote(q->mem, q->pod->name);
    bool waits_again = c->state == CT_EXITED && !container_done(c); /* the run that ended is the last one already */
    bool has_run = c->state != CT_IDLE && c->id[0];
    if (previous && !waits_again && c->log_attempt == 0)
        return refuse(q, -EINVAL, "previous terminated container " STR_FMT " in pod " STR_FMT " not found",
                      STR_ARG(name), STR_ARG(pod)),
               -1;
    if (previous)
        return waits_again ? c->log_attempt : c->log_attempt - 1;
    if (has_run)
        return c->log_attempt;
    if (c->log_attempt > 0)
        return c->log_attempt - 1;
    const char *reason = c->waiting_reason;
    if (strcmp(reason, "ErrImagePull") == 0)
        reason = "image can't be pulled";
    else if (strcmp(reason, "ImagePullBackOff") == 0)
        reason = "trying and failing to pull image";
    return refuse(q, -EINVAL, "container " STR_FMT " in pod " STR_FMT " is waiting to start: %s", STR_ARG(name),
                  STR_ARG(pod), *reason ? reason : "no logs yet"),
           -1;
}

static void on_logs(struct request *q)
{
    if (!find_container(q, false))
        return;
    uint64_t previous = ipc_get_u64(&q->r);
    if (!ipc_read_ok(&q->r))
        return refuse(q, -EINVAL, "bad request");
    const struct container *c = q->container;
    int attempt = log_attempt(q, previous != 0);
    if (attempt < 0)
        return;
    char *path = runtime_log_path(q->container, q->mem, attempt), *slash = strrchr(path, '/');
    cleanup_fd int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    *slash = 0;
    cleanup_fd int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file < 0 || dir < 0)
        return refuse(q, -ENOENT, "there is no log of container " STR_FMT " in pod " STR_FMT,
                      STR_ARG(str_quote(q->mem, c->name)), STR_ARG(str_quote(q->mem, q->pod->name)));
    cleanup_fd int monitor = attempt == c->log_attempt && container_active(c) && c->conmon_pid > 1
                                 ? (int)syscall(SYS_pidfd_open, c->conmon_pid, 0)
                                 : -1;
    struct ipc_body b = IPC_BODY(q->mem);
    ipc_put_u64(&b, monitor >= 0);
    ipc_put_str(&b, str_of(slash + 1));
    int fds[3] = {file, dir, monitor};
    ipc_reply(q->c, q->id, 0, STR_NULL, &b, fds, monitor >= 0 ? 3 : 2);
}

/* ---- port-forward: a socket belongs to the network namespace it was made in, so the agent's one thread steps in for
 * that one call. Not coming back would leave the agent in a pod's network: then it ends, and is started again. */
static int socket_inside(const char *netns, int family)
{
    if (!netns)
        return socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    cleanup_fd int own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    cleanup_fd int inside = open(netns, O_RDONLY | O_CLOEXEC);
    if (own < 0 || inside < 0 || setns(inside, CLONE_NEWNET) < 0)
        return -1;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error = errno;
    if (setns(own, CLONE_NEWNET) < 0)
        abort();
    errno = error;
    return fd;
}

/* Over loopback the answer is there when connect returns, though it says EINPROGRESS; if not, the helper waits for it.
 */
static int connect_one(const char *netns, const struct sockaddr *address, socklen_t len)
{
    int fd = socket_inside(netns, address->sa_family), error = 0;
    socklen_t size = sizeof(error);
    if (fd < 0)
        return -errno;
    if (connect(fd, address, len) < 0)
        error = errno;
    if (error == EINPROGRESS && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        error = errno;
    if (error == 0)
        return fd;
    close(fd);
    return -error;
}

static int connect_inside(const char *netns, uint16_t port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int first = connect_one(netns, (const struct sockaddr *)&v4, sizeof(v4));
    int fd = first < 0 ? connect_one(netns, (const struct sockaddr *)&v6, sizeof(v6)) : first;
    return fd < 0 ? first : fd;
}

static void on_forward(struct request *q)
{
    if (!find_pod(q))
        return;
    uint64_t port = ipc_get_u64(&q->r);
    if (!ipc_read_ok(&q->r) || port < 1 || port > 65535)
        return refuse(q, -EINVAL, "bad request");
    if (q->pod->state >= POD_ENDED || (!q->pod->netns && !q->pod->host_network))
        return refuse(q, -ESRCH, "unable to do port forwarding: pod is not running");
    cleanup_fd int fd = connect_inside(q->pod->netns, (uint16_t)port);
    if (fd < 0)
        return refuse(q, fd,
                      "failed to connect to localhost:%u inside the pod's network: dial tcp 127.0.0.1:%u: connect: %s",
                      (unsigned)port, (unsigned)port, fd == -ECONNREFUSED ? "connection refused" : strerror(-fd));
    ipc_reply(q->c, q->id, 0, STR_NULL, NULL, &fd, 1);
}

/* ---- pods */
static int memory_file(struct str text)
{
    int fd = memfd_create("sampan", MFD_CLOEXEC);
    while (fd >= 0 && text.len) {
        ssize_t n = write(fd, text.ptr, text.len);
        if (n < 0) {
            close(fd);
            return -1;
        }
        text = str_from(text, (size_t)n);
    }
    return fd;
}

static void on_pods(struct request *q)
{
    struct arena *mem = q->mem;
    struct doc *list = doc_new_object(mem), *items;
    doc_put_str(mem, list, "kind", STR("PodList")), doc_put_str(mem, list, "apiVersion", STR("v1"));
    doc_put(mem, list, "metadata", doc_new_object(mem));
    items = doc_put(mem, list, "items", doc_new_array(mem));
    list_each (at, &q->n->pods) {
        struct pod *p = container_of(at, struct pod, link);
        struct doc *one = doc_push(items, doc_copy(mem, p->obj));
        doc_put(mem, one, "status", status_build(p, mem, loop_wall_ms(q->n->loop)));
    }
    cleanup_fd int fd = memory_file(doc_json(mem, list));
    if (fd < 0)
        return refuse(q, -ENOMEM, "no memory");
    ipc_reply(q->c, q->id, 0, STR_NULL, NULL, &fd, 1);
}

static void on_usage(struct request *q)
{
    uint64_t form = ipc_get_u64(&q->r);
    if (!ipc_read_ok(&q->r) || form >= USAGE_FORM_COUNT)
        return refuse(q, -EINVAL, "bad request");
    cleanup_fd int fd = memory_file(usage_text(q->n, q->mem, (enum usage_form)form));
    if (fd < 0)
        return refuse(q, -ENOMEM, "no memory");
    ipc_reply(q->c, q->id, 0, STR_NULL, NULL, &fd, 1);
}

static const struct {
    enum ipc_type type;
    bool answered;
    void (*serve)(struct request *q);
} table[] = {
    {IPC_EXEC, true, on_exec},
    {IPC_EXEC_RESIZE, false, on_exec_resize},
    {IPC_EXEC_KILL, false, on_exec_kill},
    {IPC_ATTACH, true, on_attach},
    {IPC_ATTACH_RESIZE, false, on_attach_resize},
    {IPC_LOGS, true, on_logs},
    {IPC_FORWARD, true, on_forward},
    {IPC_PODS, true, on_pods},
    {IPC_USAGE, true, on_usage},
};

bool streams_serve(struct node *n, struct ipc *c, struct ipc_msg *m)
{
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (table[i].type != m->type || table[i].answered != (m->id != 0))
            continue;
        cleanup_arena struct arena *mem = arena_new();
        struct request q = {.n = n, .c = c, .id = m->id, .mem = mem, .r = IPC_READER(m->body)};
        table[i].serve(&q);
        return true;
    }
    return false;
}

/* ---- certificates: NAME.crt and NAME.key, and ca.crt, beside the agent's own certificate */
static void give_certificate(struct node *n, const char *name)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str cert, key, ca, slash = str_of(n->opts.cert_file);
    const char *dir = str_z(mem, str_head(slash, (size_t)(str_rfind(slash, '/') + 1)));
    const char *ca_file = n->opts.ca_file ? n->opts.ca_file : str_fmtz(mem, "%sca.crt", dir);
    if (files_read(AT_FDCWD, str_fmtz(mem, "%s%s.crt", dir, name), PEM_BYTES_MAX, mem, &cert) < 0 ||
        files_read(AT_FDCWD, str_fmtz(mem, "%s%s.key", dir, name), PEM_BYTES_MAX, mem, &key) < 0 ||
        files_read(AT_FDCWD, ca_file, PEM_BYTES_MAX, mem, &ca) < 0) {
        log_warn("stream", "no certificate beside the agent's own", "name=%s", name);
        return;
    }
    struct sb all = SB(mem);
    struct ipc_body b = IPC_BODY(mem);
    const struct str parts[] = {cert, key, ca};
    for (int i = 0; i < 3; i++) {
        sb_add(&all, parts[i]);
        if (!str_ends(parts[i], STR("\n")))
            sb_addc(&all, '\n');
    }
    cleanup_fd int fd = memory_file(sb_str(&all));
    ipc_put_str(&b, str_of(name)), ipc_put_str(&b, str_of(n->opts.server));
    if (fd >= 0)
        ipc_send(n->net, IPC_TLS, &b, &fd, 1);
}

void streams_started(struct node *n)
{
    serve_of(n);
    if (!n->net || !n->opts.server || !n->opts.cert_file || strncmp(n->opts.server, "unix:", 5) == 0)
        return;
    give_certificate(n, "tunnel");
    if (n->opts.kubelet_port >= 0)
        give_certificate(n, "kubelet");
}
