#include "node/agent/identity.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "http/pki.h"
#include "node/agent/client.h"
#include "node/files.h"
#include "node/stream/streams.h"

#define CSRS "/apis/certificates.k8s.io/v1/certificatesigningrequests"
enum { PEM_BYTES_MAX = 64 << 10, RETRY_MS = 2000, REFUSED_MS = 3600000, LOOK_MS_MAX = 6 * 3600000 };

enum { CERT_NODE, CERT_KUBELET, CERT_TUNNEL, CERTS };
static const struct kind {
    const char *file, *signer, *name_prefix, *organization;
    int usage;
    bool addresses;
} kinds[CERTS] = {
    {"node", "kubernetes.io/kube-apiserver-client-kubelet", "system:node:", "system:nodes", PKI_CLIENT, false},
    {"kubelet", "kubernetes.io/kubelet-serving", "system:node:", "system:nodes", PKI_SERVER, true},
    {"tunnel", "sampan.dev/tunnel", "sampan:tunnel:", "sampan:tunnels", PKI_CLIENT, false},
};

struct identity {
    struct node *node;
    struct api *api;
    const char *dir;        /* in node->keep */
    int which;              /* being asked for */
    bool busy, joining;     /* joining: nothing else runs yet; the loop stops at the end */
    const char *why;        /* why joining failed, in node->keep */
    struct api_watch watch; /* of the request */
    struct loop_timer timer;
};

static char *path_of(const struct identity *id, struct arena *mem, int which, const char *ending)
{
    return str_fmtz(mem, "%s/%s.%s", id->dir, kinds[which].file, ending);
}

static struct str read_file(const struct identity *id, struct arena *mem, int which, const char *ending)
{
    struct str text;
    return files_read(AT_FDCWD, path_of(id, mem, which, ending), PEM_BYTES_MAX, mem, &text) < 0 ? STR_NULL : text;
}

static struct str key_of(const struct identity *id, struct arena *mem, int which)
{
    struct str key = read_file(id, mem, which, "key");
    if (key.len)
        return key;
    key = pki_new_key(mem);
    return files_write_atomic(path_of(id, mem, which, "key"), 0600, key, /* durable= */ true) < 0 ? STR_NULL : key;
}

/* ---- one request, from asking to the certificate */

static void next(struct identity *id);

static void finish(struct identity *id, const char *why)
{
    id->busy = false;
    api_watch_stop(&id->watch);
    if (id->joining) {
        id->why = why;
        loop_stop(id->node->loop);
    } else if (why) {
        log_warn("agent", "no new certificate", "name=%s why=\"%s\"", kinds[id->which].file, why);
        loop_timer_start(&id->timer, REFUSED_MS);
    } else {
        next(id);
    }
}

static void take(struct identity *id, struct str pem)
{
    cleanup_arena struct arena *mem = arena_new();
    const char *why = "";
    if (files_write_atomic(path_of(id, mem, id->which, "crt"), 0600, pem, /* durable= */ true) < 0) {
        finish(id, "the certificate could not be written");
        return;
    }
    log_info("agent", "has a certificate", "name=%s", kinds[id->which].file);
    if (id->which == CERT_NODE && !id->joining &&
        api_renew(id->api, pem, read_file(id, mem, CERT_NODE, "key"), &why) < 0)
        log_warn("agent", "the new certificate can't be used", "why=\"%s\"", why);
    if (id->which != CERT_NODE)
        streams_started(id->node);
    finish(id, NULL);
}

static void on_request(struct api_watch *w, enum watch_event e, const struct doc *csr)
{
    struct identity *id = container_of(w, struct identity, watch);
    if (e != WATCH_ADDED && e != WATCH_MODIFIED)
        return;
    const struct doc *status = doc_get(csr, "status");
    cleanup_arena struct arena *mem = arena_new();
    struct str pem = STR_NULL;
    doc_each (c, doc_get(status, "conditions"))
        if (str_is(doc_str(c, "type"), "Denied") || str_is(doc_str(c, "type"), "Failed")) {
            finish(id, str_z(id->node->keep, doc_str(c, "message")));
            return;
        }
    if (str_base64_dec(mem, doc_str(status, "certificate"), &pem) && pem.len)
        take(id, pem);
}

static void asked(void *ctx, const struct api_answer *a)
{
    struct identity *id = ctx;
    struct str name = doc_str(doc_get(a->doc, "metadata"), "name");
    if (a->status == 201) {
        id->watch = (struct api_watch){
            .path = str_fmt(id->node->keep, CSRS "?fieldSelector=metadata.name%%3D" STR_FMT, STR_ARG(name)),
            .event = on_request};
        api_watch_start(id->api, &id->watch);
    } else if (a->status == 401 || a->status == 403) {
        finish(id, str_fmtz(id->node->keep, "the server refused: " STR_FMT, STR_ARG(doc_str(a->doc, "message"))));
    } else if (!id->node->stopping) {
        log_warn("agent", "a certificate could not be asked for", "name=%s status=%d error=%d", kinds[id->which].file,
                 a->status, -a->error);
        loop_timer_start(&id->timer, RETRY_MS);
    }
}

static struct doc *request(struct identity *id, struct arena *mem, const struct kind *k, struct str csr_pem)
{
    struct doc *d = doc_new_object(mem), *spec = doc_sub(mem, d, "spec"), *usages = doc_sub_array(mem, spec, "usages");
    doc_put_str(mem, d, "apiVersion", STR("certificates.k8s.io/v1"));
    doc_put_str(mem, d, "kind", STR("CertificateSigningRequest"));
    doc_put_str(mem, doc_sub(mem, d, "metadata"), "generateName", str_fmt(mem, "%s-%s-", k->file, id->node->name));
    doc_put_str(mem, spec, "request", str_base64(mem, csr_pem));
    doc_put_str(mem, spec, "signerName", str_of(k->signer));
    doc_push(usages, doc_new_str(mem, STR("digital signature")));
    doc_push(usages, doc_new_str(mem, k->usage == PKI_SERVER ? STR("server auth") : STR("client auth")));
    return d;
}

static void ask(struct identity *id)
{
    cleanup_arena struct arena *mem = arena_new();
    const struct kind *k = &kinds[id->which];
    const struct str organization = str_of(k->organization),
                     names[] = {str_of(id->node->name), STR("127.0.0.1"), str_of(id->node->address)};
    const struct pki_request what = {.common_name = str_fmt(mem, "%s%s", k->name_prefix, id->node->name),
                                     .organizations = &organization,
                                     .organization_count = 1,
                                     .names = names,
                                     .name_count = !k->addresses                   ? 0
                                                   : str_is(names[2], "127.0.0.1") ? 2
                                                                                   : 3};
    struct str key = key_of(id, mem, id->which), pem;
    const char *why = "the key could not be written";
    id->busy = true;
    if (!key.len || pki_new_csr(mem, &what, key, &pem, &why) < 0)
        finish(id, why);
    else
        api_send(id->api, "POST", STR(CSRS), NULL, doc_json(mem, request(id, mem, k, pem)), asked, id);
}

/* ---- renewal */

/* 70 to 90 % of its life, as kubelet's certificate manager; a jitter of its own for each node and certificate. */
static int64_t renew_at_ms(const struct identity *id, struct arena *mem, int which)
{
    struct str pem = read_file(id, mem, which, "crt");
    int64_t from_ms = pki_not_before_s(pem) * 1000, to_ms = pki_not_after_s(pem) * 1000;
    int64_t part = 70 + (int64_t)(str_hash(str_fmt(mem, "%s/%s", id->node->name, kinds[which].file)) % 20);
    return to_ms ? from_ms + (to_ms - from_ms) / 100 * part : 0;
}

/* The first that is due, else sleep until one will be. */
static void next(struct identity *id)
{
    cleanup_arena struct arena *mem = arena_new();
    int64_t now = loop_wall_ms(id->node->loop), wait_ms = LOOK_MS_MAX;
    for (int i = 0; i < CERTS; i++) {
        int64_t left = renew_at_ms(id, mem, i) - now;
        if (left <= 0) {
            id->which = i;
            ask(id);
            return;
        }
        if (left < wait_ms)
            wait_ms = left;
    }
    loop_timer_start(&id->timer, wait_ms);
}

static void on_timer(struct loop_timer *t)
{
    struct identity *id = container_of(t, struct identity, timer);
    if (id->busy)
        ask(id);
    else
        next(id);
}

static struct identity *identity_new(struct node *n, const char *dir)
{
    struct identity *id = arena_new_of(n->keep, struct identity);
    id->node = n, id->api = n->api, id->dir = dir;
    loop_timer_init(n->loop, &id->timer, on_timer);
    return id;
}

void identity_start(struct node *n)
{
    const char *cert = n->opts.cert_file;
    if (n->identity || !n->api || !cert || n->opts.kubeconfig)
        return;
    ptrdiff_t slash = str_rfind(str_of(cert), '/');
    n->identity = identity_new(n, slash < 0 ? "." : str_z(n->keep, str_head(str_of(cert), (size_t)slash)));
    next(n->identity);
}

void identity_stop(struct node *n)
{
    if (!n->identity)
        return;
    loop_timer_stop(&n->identity->timer);
    api_watch_stop(&n->identity->watch);
}

/* ---- joining */

struct info {
    struct node *node;
    const char *why; /* what can't be mended by waiting */
    struct str ca;   /* in node->keep */
    bool answered;
};

/* The CA that the server names, if it is the one that was pinned. */
static const char *judge(struct info *i, const struct doc *config_map)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str ca = STR_NULL, pin = str_of(i->node->opts.ca_hash), prefix = STR("sha256:");
    const struct doc *config =
        doc_parse_yaml(mem, doc_str(doc_get(config_map, "data"), "kubeconfig"), NULL, NULL, NULL);
    str_base64_dec(
        mem, doc_str(doc_get(doc_first(doc_get(config, "clusters")), "cluster"), "certificate-authority-data"), &ca);
    if (!ca.len)
        return "the server names no CA in kube-public/cluster-info; is it a sampan server?";
    if (str_starts(pin, prefix))
        pin = str_from(pin, prefix.len);
    if (!pki_same_secret(str_hex(mem, pki_key_hash(mem, ca)), pin))
        return "the server's CA is not the one that --ca-hash names: it is another cluster, or someone stands between";
    i->ca = str_dup(i->node->keep, ca);
    return NULL;
}

static void on_info(void *ctx, const struct api_answer *a)
{
    struct info *i = ctx;
    i->answered = a->status == 200;
    if (i->answered)
        i->why = judge(i, a->doc);
    else
        log_warn("agent", "the server does not answer yet", "server=%s status=%d error=%d", i->node->opts.server,
                 a->status, -a->error);
    loop_stop(i->node->loop);
}

struct pause {
    struct loop *loop;
    struct loop_timer timer;
};

static void on_pause(struct loop_timer *t)
{
    loop_stop(container_of(t, struct pause, timer)->loop);
}

static void pause_ms(struct node *n, int64_t ms)
{
    struct pause p = {.loop = n->loop};
    loop_timer_init(n->loop, &p.timer, on_pause);
    loop_timer_start(&p.timer, ms);
    loop_run(n->loop);
}

static const char *find_ca(struct node *n, struct str *ret)
{
    const struct api_credentials c = {
        .server = str_of(n->opts.server), .server_name = n->opts.server_name, .unverified = true};
    struct info i = {.node = n};
    const char *why = NULL;
    struct api *api = api_open(n->loop, &c, n->keep, &why);
    if (!api)
        return why;
    for (;;) {
        api_send(api, "GET", STR("/api/v1/namespaces/kube-public/configmaps/cluster-info"), NULL, STR_NULL, on_info,
                 &i);
        loop_run(n->loop);
        if (i.answered)
            break;
        pause_ms(n, RETRY_MS);
    }
    api_disconnect(api);
    *ret = i.ca;
    return i.why;
}

static const char *ask_by_token(struct node *n, const char *dir, struct str ca)
{
    const struct api_credentials c = {.ca = ca,
                                      .token = str_of(n->opts.join_token),
                                      .server = str_of(n->opts.server),
                                      .server_name = n->opts.server_name};
    const char *why = NULL;
    struct identity *id = identity_new(n, dir);
    id->api = api_open(n->loop, &c, n->keep, &why);
    if (!id->api)
        return why;
    id->joining = true, id->which = CERT_NODE;
    ask(id);
    if (id->busy)
        loop_run(n->loop);
    loop_timer_stop(&id->timer);
    id->api = api_disconnect(id->api);
    return id->why;
}

const char *identity_join(struct node *n)
{
    if (!n->opts.join_token)
        return NULL;
    char *dir = str_fmtz(n->keep, "%s/identity", n->state_dir);
    n->opts.ca_file = str_fmtz(n->keep, "%s/ca.crt", dir), n->opts.cert_file = str_fmtz(n->keep, "%s/node.crt", dir);
    n->opts.key_file = str_fmtz(n->keep, "%s/node.key", dir);
    if (access(n->opts.cert_file, R_OK) == 0)
        return NULL; /* joined before; the token is spent or not, it is not needed */
    struct str ca;
    const char *why = files_mkdirs(dir, 0700) < 0 ? "the state directory can't be written" : find_ca(n, &ca);
    if (!why && files_write_atomic(n->opts.ca_file, 0600, ca, /* durable= */ true) < 0)
        why = "the CA could not be written";
    return why ? why : ask_by_token(n, dir, ca);
}
