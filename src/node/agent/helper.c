/* The agent's end of the net helper: starts it, starts it again when it ends, and asks it. */
#include "node/agent/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "node/agent/pods.h"
#include "node/net/net.h"
#include "node/stream/streams.h"

enum { HELPER_RETRY_MS = 1000 };

struct helper {
    struct node *node;
    struct loop_timer timer;
};
static void start(struct helper *h);

static void on_message(void *ctx, struct ipc *c, struct ipc_msg *m)
{
    struct helper *h = ctx;
    if (m->type == IPC_BLOB_WANT)
        images_message(h->node->images, c, m);
    else if (!streams_serve(h->node, c, m) && m->id)
        ipc_reply(c, m->id, -ENOSYS, STR("not supported"), NULL, NULL, 0);
}

static void tell_network(struct node *n)
{
    if (n->network && n->network_ctx && n->network->helper)
        n->network->helper(n->network_ctx, n->net);
}

static void on_closed(void *ctx, struct ipc *c, int error)
{
    struct helper *h = ctx;
    log_warn("agent", "the net helper ended", "error=%d", error);
    ipc_free(c);
    h->node->net = NULL;
    tell_network(h->node);
    streams_gone(h->node);
    if (!h->node->stopping)
        loop_timer_start(&h->timer, HELPER_RETRY_MS);
}

static const struct ipc_handler handler = {on_message, on_closed};

static void again(struct loop_timer *t)
{
    start(container_of(t, struct helper, timer));
}

static void start(struct helper *h)
{
    struct node *n = h->node;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        loop_timer_start(&h->timer, HELPER_RETRY_MS);
        return;
    }
    pid_t pid = fork();
    if (pid == 0)
        net_main(pair[1], n->opts.net_uid,
                 &(struct streams_opts){
                     .node_name = n->name, .server_name = n->opts.server_name, .port = n->opts.kubelet_port});
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        loop_timer_start(&h->timer, HELPER_RETRY_MS);
        return;
    }
    n->net_pid = pid;
    child_reap(n->loop, pid);
    n->net = ipc_new(n->loop, pair[0], &handler, h);
    tell_network(n);
    streams_started(n);
}

void helper_start(struct node *n)
{
    struct helper *h = arena_new_of(n->keep, struct helper);
    h->node = n;
    loop_timer_init(n->loop, &h->timer, again);
    start(h);
}

/* ---- questions */

static uint64_t port_of(struct container *c, const struct doc *port)
{
    if (doc_is(port, DOC_INT))
        return (uint64_t)port->i;
    int64_t number;
    if (str_to_i64(doc_string(port), &number))
        return (uint64_t)number;
    doc_each (p, doc_get(c->spec, "ports"))
        if (str_eq(doc_str(p, "name"), doc_string(port)))
            return (uint64_t)doc_int(p, "containerPort", 0);
    return 0;
}

static struct str host_of(struct container *c, const struct doc *d, const char *key)
{
    struct str host = key ? doc_str(d, key) : STR_NULL;
    return host.len ? host : c->pod->ip_count ? str_of(c->pod->ips[0].text) : STR("127.0.0.1");
}

static uint32_t ask(struct container *c, enum ipc_type type, struct ipc_body *b,
                    void (*done)(void *ctx, struct ipc_msg *reply), void *ctx)
{
    struct ipc *net = c->pod->node->net;
    if (net)
        return ipc_call(net, type, b, NULL, 0, done, ctx);
    struct ipc_msg gone = {.type = IPC_REPLY, .error = -ECANCELED, .message = STR("the net helper is being started")};
    done(ctx, &gone);
    return 0;
}

uint32_t net_http(struct container *c, const struct doc *d, int64_t timeout_ms,
                  void (*done)(void *ctx, struct ipc_msg *reply), void *ctx)
{
    cleanup_arena struct arena *mem = arena_new();
    struct ipc_body b = IPC_BODY(mem);
    const struct doc *headers = doc_get(d, "httpHeaders");
    struct str path = doc_str(d, "path"), *v = arena_array(mem, struct str, doc_len(headers) * 2 + 1);
    size_t n = 0;
    doc_each (h, headers)
        v[n++] = doc_str(h, "name"), v[n++] = doc_str(h, "value");
    ipc_put_u64(&b, str_is(doc_str(d, "scheme"), "HTTPS"));
    ipc_put_str(&b, host_of(c, d, "host")), ipc_put_u64(&b, port_of(c, doc_get(d, "port")));
    ipc_put_str(&b, path.len ? path : STR("/")), ipc_put_strv(&b, v, n), ipc_put_u64(&b, (uint64_t)timeout_ms);
    return ask(c, IPC_PROBE_HTTP, &b, done, ctx);
}

uint32_t net_tcp(struct container *c, const struct doc *d, int64_t timeout_ms,
                 void (*done)(void *ctx, struct ipc_msg *reply), void *ctx)
{
    cleanup_arena struct arena *mem = arena_new();
    struct ipc_body b = IPC_BODY(mem);
    ipc_put_str(&b, host_of(c, d, "host")), ipc_put_u64(&b, port_of(c, doc_get(d, "port"))),
        ipc_put_u64(&b, (uint64_t)timeout_ms);
    return ask(c, IPC_PROBE_TCP, &b, done, ctx);
}

uint32_t net_grpc(struct container *c, const struct doc *d, int64_t timeout_ms,
                  void (*done)(void *ctx, struct ipc_msg *reply), void *ctx)
{
    cleanup_arena struct arena *mem = arena_new();
    struct ipc_body b = IPC_BODY(mem);
    ipc_put_str(&b, host_of(c, NULL, NULL)), ipc_put_u64(&b, port_of(c, doc_get(d, "port")));
    ipc_put_str(&b, doc_str(d, "service")), ipc_put_u64(&b, (uint64_t)timeout_ms);
    return ask(c, IPC_PROBE_GRPC, &b, done, ctx);
}
