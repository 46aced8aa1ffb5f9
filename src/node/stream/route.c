/* node/stream/route.c - the kubelet's paths. Source: kubernetes pkg/kubelet/server/server.go. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "doc/doc.h"
#include "http/url.h"
#include "node/stream/streams_priv.h"
#include "node/stream/usage_text.h"

enum { SEGMENTS_MAX = 6, GET = 1, POST = 2, PODS_BYTES_MAX = 256 << 20 };

static void healthz(struct streams *s, struct exchange *x, const struct target *t)
{
    exchange_reply(x, 200, "text/plain; charset=utf-8", STR("ok"));
}

/* names: how many segments name the target: namespace, pod and container; one more when the uid stands before the
 * container. */
static const struct {
    const char *first;
    int methods, names;
    bool uid_allowed;
    void (*handle)(struct streams *s, struct exchange *x, const struct target *t);
} routes[] = {
    {"healthz", GET, 0, false, healthz},
    {"pods", GET, 0, false, pods_handle},
    {"runningpods", GET, 0, false, running_pods_handle},
    {"containerLogs", GET, 3, false, logs_handle},
    {"exec", GET | POST, 3, true, exec_handle},
    {"attach", GET | POST, 3, true, attach_handle},
    {"run", POST, 3, true, run_handle},
    {"portForward", GET | POST, 2, true, forward_handle},
    {"stats", GET, 1, false, usage_handle},
    {"metrics", GET, 0, false, usage_handle},
    {"metrics", GET, 1, false, usage_handle},
};

static int split(struct exchange *x, struct str out[SEGMENTS_MAX])
{
    struct str rest = x->path, segment;
    int n = 0;
    while (url_path_next(&rest, &segment)) {
        if (n == SEGMENTS_MAX || !url_decode_path(x->mem, segment, &out[n]))
            return -1;
        n++;
    }
    return n > 0 && out[n - 1].len == 0 ? n - 1 : n; /* "/runningpods/" */
}

static struct target target_of(struct str *names, int count, int wanted)
{
    struct target t = {STR_NULL, STR_NULL, STR_NULL, STR_NULL};
    if (count >= 2)
        t.ns = names[0], t.pod = names[1];
    if (count > wanted)
        t.uid = names[2];
    if (wanted == 3)
        t.container = names[count - 1];
    return t;
}

void route(struct streams *s, struct exchange *x)
{
    struct str segments[SEGMENTS_MAX];
    int n = split(x, segments), method = str_is(x->method, "GET") ? GET : str_is(x->method, "POST") ? POST : 0;
    for (size_t i = 0; n > 0 && i < sizeof(routes) / sizeof(routes[0]); i++) {
        if (!str_is(segments[0], routes[i].first) ||
            (n - 1 != routes[i].names && !(routes[i].uid_allowed && n - 2 == routes[i].names)))
            continue;
        if (!(routes[i].methods & method)) {
            answer_error(x, 405, STR("405: Method Not Allowed"), false);
            return;
        }
        struct target t = target_of(segments + 1, n - 1, routes[i].names);
        routes[i].handle(s, x, &t);
        return;
    }
    answer_error(x, 404, STR("404 page not found"), false);
}

int error_code(int error)
{
    switch (-error) {
    case ENOENT:
        return 404;
    case EINVAL:
        return 400;
    case ECANCELED:
    case EAGAIN:
        return 503;
    default:
        return 500;
    }
}

static const char *reason_of(int status)
{
    return status == 400   ? "BadRequest"
           : status == 404 ? "NotFound"
           : status == 503 ? "ServiceUnavailable"
                           : "InternalError";
}

void answer_error(struct exchange *x, int status, struct str message, bool as_status)
{
    if (!as_status) {
        exchange_reply(x, status, "text/plain; charset=utf-8", str_dup(x->mem, message));
        return;
    }
    struct doc *d = doc_new_object(x->mem);
    doc_put_str(x->mem, d, "kind", STR("Status"));
    doc_put_str(x->mem, d, "apiVersion", STR("v1"));
    doc_put(x->mem, d, "metadata", doc_new_object(x->mem));
    doc_put_str(x->mem, d, "status", STR("Failure"));
    doc_put_str(x->mem, d, "message", message);
    doc_put_str(x->mem, d, "reason", str_of(reason_of(status)));
    doc_put_int(x->mem, d, "code", status);
    exchange_reply(x, status, "application/json", doc_json(x->mem, d));
}

struct target target_dup(struct arena *mem, const struct target *t)
{
    return (struct target){str_dup(mem, t->ns), str_dup(mem, t->pod), str_dup(mem, t->uid), str_dup(mem, t->container)};
}

void target_put(struct ipc_body *b, const struct target *t, bool container)
{
    ipc_put_str(b, t->ns), ipc_put_str(b, t->pod), ipc_put_str(b, t->uid);
    if (container)
        ipc_put_str(b, t->container);
}

/* ---- pods */
struct listing {
    struct streams *s;
    struct exchange *x;
    uint32_t call;
    bool running;
    const char *type;
};

static void listing_abort(struct exchange *x)
{
    struct listing *l = x->user;
    ipc_forget(l->s->o.agent, l->call);
}

/* Only what runs, and of it only the names, as kubelet does. */
static struct str running_only(struct arena *mem, struct str text)
{
    struct doc *list = doc_parse(mem, text, NULL, NULL), *items = doc_new_array(mem);
    doc_each (pod, doc_get(list, "items")) {
        struct doc *out = doc_new_object(mem), *meta = doc_new_object(mem), *containers = doc_new_array(mem);
        static const char *const keys[] = {"name", "namespace", "uid"};
        for (int i = 0; i < 3; i++)
            doc_put_str(mem, meta, keys[i], doc_str(doc_get(pod, "metadata"), keys[i]));
        doc_each (c, doc_path(pod, "status", "containerStatuses", NULL)) {
            if (!doc_path(c, "state", "running", NULL))
                continue;
            struct doc *one = doc_push(containers, doc_new_object(mem));
            doc_put_str(mem, one, "name", doc_str(c, "name"));
            doc_put_str(mem, one, "image", doc_str(c, "image"));
            doc_put(mem, one, "resources", doc_new_object(mem));
        }
        if (!doc_len(containers))
            continue;
        doc_put(mem, out, "metadata", meta);
        doc_put(mem, doc_sub(mem, out, "spec"), "containers", containers);
        doc_put(mem, out, "status", doc_new_object(mem));
        doc_push(items, out);
    }
    if (!list)
        return STR_NULL;
    doc_put(mem, list, "items", items);
    return doc_json(mem, list);
}

static void listed(void *ctx, struct ipc_msg *m)
{
    struct listing *l = ctx;
    struct exchange *x = l->x;
    struct stat st;
    x->on_abort = NULL;
    if (m->error || m->fd_count == 0 || fstat(m->fds[0], &st) < 0 || st.st_size <= 0 || st.st_size > PODS_BYTES_MAX) {
        answer_error(x, 500, m->error ? m->message : STR("the agent gave no answer"), false);
        return;
    }
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, m->fds[0], 0);
    if (p == MAP_FAILED) {
        answer_error(x, 500, STR("no memory"), false);
        return;
    }
    struct str text = str_dup(x->mem, str_mem(p, (size_t)st.st_size));
    munmap(p, (size_t)st.st_size);
    exchange_reply(x, 200, l->type, l->running ? running_only(x->mem, text) : text);
}

static void ask(struct streams *s, struct exchange *x, enum ipc_type what, const struct ipc_body *body, bool running,
                const char *type)
{
    struct listing *l = arena_new_of(x->mem, struct listing);
    *l = (struct listing){.s = s, .x = x, .running = running, .type = type};
    x->user = l, x->on_abort = listing_abort;
    l->call = ipc_call(s->o.agent, what, body, NULL, 0, listed, l);
}

static void list_pods(struct streams *s, struct exchange *x, bool running)
{
    ask(s, x, IPC_PODS, NULL, running, "application/json");
}

void pods_handle(struct streams *s, struct exchange *x, const struct target *t)
{
    list_pods(s, x, false);
}

void running_pods_handle(struct streams *s, struct exchange *x, const struct target *t)
{
    list_pods(s, x, true);
}

void usage_handle(struct streams *s, struct exchange *x, const struct target *t)
{
    static const char *const paths[] = {
#define X(name, path) [USAGE_##name] = path,
        USAGE_FORMS(X)
#undef X
    };
    struct ipc_body b = IPC_BODY(x->mem);
    for (uint64_t form = 0; form < USAGE_FORM_COUNT; form++)
        if (str_is(x->path, paths[form])) {
            ipc_put_u64(&b, form);
            ask(s, x, IPC_USAGE, &b, /* running= */ false,
                form == USAGE_SUMMARY ? "application/json" : "text/plain; version=0.0.4; charset=utf-8");
            return;
        }
    answer_error(x, 404, STR("404 page not found"), false);
}
