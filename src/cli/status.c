/* cli/status.c - `sampan status`: at a glance what is healthy and what is not, and why. Exit code 0: all is well; 1:
 * something is not. */
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "base/loop.h"
#include "cli/cli.h"
#include "doc/doc.h"
#include "http/client.h"

enum { ANSWER_MS_MAX = 5000, KUBECONFIG_BYTES_MAX = 1 << 20 };

struct status {
    struct arena *mem;
    struct loop *loop;
    struct tls_context *tls;
    struct http_client *client;
    int code, error; /* of the last answer */
    struct str body;
    int bad;
};

static void on_done(void *ctx, const struct http_reply *reply)
{
    struct status *s = ctx;
    s->code = reply->status, s->error = reply->error;
    s->body = str_dup(s->mem, reply->body);
    loop_stop(s->loop);
}

static const struct doc *get(struct status *s, const char *path)
{
    struct err err = ERR(s->mem);
    s->code = 0, s->body = STR_NULL;
    http_client_send(s->client, &(struct http_request){.method = "GET",
                                                       .path = str_of(path),
                                                       .accept = "application/json",
                                                       .timeout_ms = ANSWER_MS_MAX,
                                                       .on_done = on_done,
                                                       .ctx = s});
    loop_run(s->loop);
    return s->code == 200 ? doc_parse(s->mem, s->body, NULL, &err) : NULL;
}

static void line(struct status *s, bool good, const char *what, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static void line(struct status *s, bool good, const char *what, const char *fmt, ...)
{
    va_list ap;
    printf("%s %-10s ", good ? "ok  " : "BAD ", what);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
    s->bad += !good;
}

static bool show_server(struct status *s)
{
    get(s, "/readyz?verbose");
    if (s->code == 200) {
        line(s, true, "server", "ready");
        return true;
    }
    if (!s->code) {
        line(s, false, "server", "no answer: %s", strerror(-s->error));
        return false;
    }
    struct str rest = s->body, one;
    while (str_next(&rest, '\n', &one))
        if (str_starts(one, STR("[-]")))
            line(s, false, "server", STR_FMT, STR_ARG(str_from(one, 3)));
    return true;
}

static void show_nodes(struct status *s)
{
    const struct doc *list = get(s, "/api/v1/nodes");
    if (!doc_len(doc_get(list, "items")))
        line(s, false, "node", "none has registered; is an agent running?");
    doc_each (node, doc_get(list, "items")) {
        struct str name = doc_str(doc_get(node, "metadata"), "name"), why = STR("has never reported");
        bool ready = false;
        doc_each (c, doc_path(node, "status", "conditions", NULL))
            if (str_is(doc_str(c, "type"), "Ready"))
                ready = str_is(doc_str(c, "status"), "True"), why = doc_str(c, "message");
        line(s, ready, "node", STR_FMT ": " STR_FMT, STR_ARG(name), STR_ARG(ready ? STR("Ready") : why));
    }
}

/* Why a pod does not run: what its containers wait for, else its conditions, newest word last. */
static struct str reason_of(struct arena *mem, const struct doc *pod)
{
    static const char *const lists[] = {"initContainerStatuses", "containerStatuses"};
    const struct doc *status = doc_get(pod, "status");
    for (int i = 0; i < 2; i++)
        doc_each (c, doc_get(status, lists[i])) {
            const struct doc *waiting = doc_path(c, "state", "waiting", NULL);
            if (doc_str(waiting, "reason").len)
                return str_fmt(mem, STR_FMT ": " STR_FMT " " STR_FMT, STR_ARG(doc_str(c, "name")),
                               STR_ARG(doc_str(waiting, "reason")), STR_ARG(doc_str(waiting, "message")));
        }
    doc_each (c, doc_get(status, "conditions"))
        if (str_is(doc_str(c, "status"), "False") && doc_str(c, "message").len)
            return doc_str(c, "message");
    return doc_str(status, "message").len ? doc_str(status, "message") : doc_str(status, "reason");
}

static bool pod_is_well(const struct doc *pod)
{
    struct str phase = doc_path(pod, "status", NULL) ? doc_str(doc_get(pod, "status"), "phase") : STR_NULL;
    if (str_is(phase, "Succeeded") || doc_str(doc_get(pod, "metadata"), "deletionTimestamp").len)
        return true;
    doc_each (c, doc_path(pod, "status", "conditions", NULL))
        if (str_is(doc_str(c, "type"), "Ready"))
            return str_is(doc_str(c, "status"), "True");
    return false;
}

static void show_pods(struct status *s)
{
    const struct doc *list = get(s, "/api/v1/pods");
    int good = 0, all = 0;
    doc_each (pod, doc_get(list, "items")) {
        const struct doc *meta = doc_get(pod, "metadata");
        all++;
        if (pod_is_well(pod))
            good++;
        else
            line(s, false, "pod", STR_FMT "/" STR_FMT " " STR_FMT ": " STR_FMT, STR_ARG(doc_str(meta, "namespace")),
                 STR_ARG(doc_str(meta, "name")), STR_ARG(doc_str(doc_get(pod, "status"), "phase")),
                 STR_ARG(reason_of(s->mem, pod)));
    }
    line(s, true, "pods", "%d of %d well", good, all);
}

static struct str decoded(struct arena *mem, const struct doc *d, const char *key)
{
    struct str pem = STR_NULL;
    str_base64_dec(mem, doc_str(d, key), &pem);
    return pem;
}

/* The server and credentials that the administrator's kubeconfig names. */
static int connect_to(struct status *s, const char *path)
{
    struct err err = ERR(s->mem);
    struct str text;
    const char *why = "";
    int r = io_read_whole(s->mem, path, KUBECONFIG_BYTES_MAX, &text);
    if (r < 0)
        return cli_fail("%s: %s; has a server ever started here?", path, strerror(-r));
    const struct doc *config = doc_parse_yaml(s->mem, text, NULL, NULL, &err);
    const struct doc *cluster = doc_get(doc_first(doc_get(config, "clusters")), "cluster"),
                     *user = doc_get(doc_first(doc_get(config, "users")), "user");
    struct str server = doc_str(cluster, "server"), https = STR("https://");
    if (!str_starts(server, https))
        return cli_fail("%s: no server in it", path);
    s->tls = tls_client_new(decoded(s->mem, cluster, "certificate-authority-data"),
                            decoded(s->mem, user, "client-certificate-data"), decoded(s->mem, user, "client-key-data"),
                            &why);
    if (!s->tls)
        return cli_fail("%s: %s", path, why);
    s->client = http_client_new(&(struct http_client_opts){.loop = s->loop,
                                                           .address = str_z(s->mem, str_from(server, https.len)),
                                                           .server_name = "kubernetes",
                                                           .tls = s->tls});
    return 0;
}

static int run(struct args *a)
{
    struct status s = {.mem = a->mem, .loop = loop_new_uv()};
    int r = connect_to(&s, str_fmtz(a->mem, "%s/admin.kubeconfig", arg(a, "data-dir")));
    if (r)
        return r;
    if (show_server(&s)) {
        show_nodes(&s);
        show_pods(&s);
    }
    http_client_free(s.client);
    tls_context_free(s.tls);
    loop_free(s.loop);
    return s.bad != 0;
}

static const struct option_row options[] = {{"data-dir", "DIR", "the server's state", SAMPAN_DATA_DIR "/server"},
                                            {NULL, NULL, NULL, NULL}};
const struct command command_status = {"status", NULL, "show what is healthy and what is not, and why", options, run,
                                       0,        0};
