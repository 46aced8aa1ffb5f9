/* cli/admin.c - see admin.h. */
#include "cli/admin.h"

#include <string.h>

#include "base/io.h"
#include "cli/cli.h"

enum { ANSWER_MS_MAX = 5000, KUBECONFIG_BYTES_MAX = 1 << 20 };

static void on_done(void *ctx, const struct http_reply *reply)
{
    struct admin *a = ctx;
    a->code = reply->status, a->error = reply->error;
    a->body = str_dup(a->mem, reply->body);
    loop_stop(a->loop);
}

const struct doc *admin_ask(struct admin *a, const char *method, const char *path, const struct doc *body)
{
    struct err err = ERR(a->mem);
    a->code = 0, a->body = STR_NULL;
    http_client_send(a->client, &(struct http_request){.method = method,
                                                       .path = str_of(path),
                                                       .accept = "application/json",
                                                       .content_type = body ? "application/json" : NULL,
                                                       .body = body ? doc_json(a->mem, body) : STR_NULL,
                                                       .timeout_ms = ANSWER_MS_MAX,
                                                       .on_done = on_done,
                                                       .ctx = a});
    loop_run(a->loop);
    return a->code / 100 == 2 ? doc_parse(a->mem, a->body, NULL, &err) : NULL;
}

struct str admin_why(struct admin *a)
{
    struct err err = ERR(a->mem);
    if (!a->code)
        return str_of(strerror(-a->error));
    const struct doc *status = doc_parse(a->mem, a->body, NULL, &err);
    return doc_str(status, "message").len ? doc_str(status, "message") : a->body;
}

static struct str decoded(struct arena *mem, const struct doc *d, const char *key)
{
    struct str pem = STR_NULL;
    str_base64_dec(mem, doc_str(d, key), &pem);
    return pem;
}

int admin_open(struct admin *a, struct arena *mem, const char *dir)
{
    struct err err = ERR(mem);
    struct str text;
    const char *why = "", *path = str_fmtz(mem, "%s/admin.kubeconfig", dir);
    *a = (struct admin){.mem = mem, .loop = loop_new_uv()};
    int r = io_read_whole(mem, path, KUBECONFIG_BYTES_MAX, &text);
    if (r < 0)
        return cli_fail("%s: %s; has a server ever started here?", path, strerror(-r));
    const struct doc *config = doc_parse_yaml(mem, text, NULL, NULL, &err);
    const struct doc *cluster = doc_get(doc_first(doc_get(config, "clusters")), "cluster"),
                     *user = doc_get(doc_first(doc_get(config, "users")), "user");
    struct str server = doc_str(cluster, "server"), https = STR("https://");
    if (!str_starts(server, https))
        return cli_fail("%s: no server in it", path);
    a->server = str_from(server, https.len), a->ca_pem = decoded(mem, cluster, "certificate-authority-data");
    a->tls = tls_client_new(a->ca_pem, decoded(mem, user, "client-certificate-data"),
                            decoded(mem, user, "client-key-data"), &why);
    if (!a->tls)
        return cli_fail("%s: %s", path, why);
    a->client = http_client_new(&(struct http_client_opts){
        .loop = a->loop, .address = str_z(mem, a->server), .server_name = "kubernetes", .tls = a->tls});
    return 0;
}

void admin_close(struct admin *a)
{
    http_client_free(a->client);
    tls_context_free(a->tls);
    loop_free(a->loop);
}
