/* One image by the OCI distribution API: token, manifest (through an index), config, then its layers, three at a time,
 * each into a file that the agent gave, hashed while it comes. Source: OCI distribution spec 1.0; Docker registry token
 * authentication. */
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <unistd.h>

#include "http/fetch.h"
#include "node/image/info.h"
#include "node/image/ref.h"
#include "node/net/net.h"
#include "node/stream/streams.h"

enum { LAYERS_AT_ONCE = 3 };
#define ACCEPT_MANIFEST                                                                                                \
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "                            \
    "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"

struct layer_job {
    struct loop_work work;
    struct pull *pull;
    struct arena *mem;
    int index, fd;
    uint64_t bytes;
    EVP_MD_CTX *sum;
    struct str why;
};
struct pull {
    struct net *net;
    struct arena *mem;
    struct loop_work work;
    uint32_t reply_to;
    uint64_t id;
    struct image_ref ref;
    struct str user, password, arch, base, authorization;
    const struct fetch_peer *peer; /* of the cluster's own registry */
    struct image_info info;
    struct str why;
    int error, next, running;
};

static void pull_end(struct pull *p)
{
    struct ipc_body b = IPC_BODY(p->mem);
    if (p->error == 0)
        image_put(&b, &p->info);
    ipc_reply(p->net->agent, p->reply_to, p->error, p->why, p->error ? NULL : &b, NULL, 0);
    arena_free(p->mem);
}

static void fail(struct pull *p, int error, struct str why)
{
    if (p->error == 0)
        p->error = error, p->why = str_dup(p->mem, why);
}

static void explain(struct pull *p, const struct fetch *f, const char *what)
{
    struct str name = image_ref_name(p->mem, &p->ref);
    if (f->status == 404)
        fail(p, -ENOENT,
             str_fmt(p->mem, "failed to pull and unpack image \"" STR_FMT "\": " STR_FMT ": not found", STR_ARG(name),
                     STR_ARG(name)));
    else if (f->status == 401 || f->status == 403)
        fail(p, -EACCES,
             str_fmt(p->mem,
                     "failed to pull and unpack image \"" STR_FMT
                     "\": pull access denied, repository does not exist or may require authorization",
                     STR_ARG(name)));
    else if (f->status)
        fail(p, -EPROTO,
             str_fmt(p->mem, "failed to pull image \"" STR_FMT "\": %s: unexpected status %ld from the registry",
                     STR_ARG(name), what, f->status));
    else
        fail(p, -EIO,
             str_fmt(p->mem, "failed to pull image \"" STR_FMT "\": %s: " STR_FMT, STR_ARG(name), what,
                     STR_ARG(f->why)));
}

/* GET with what authorization there is; on 401 get some, once. */
static bool get(struct pull *p, struct fetch *f)
{
    for (int round = 0; round < 2; round++) {
        f->authorization = p->authorization.len ? str_z(p->mem, p->authorization) : NULL;
        fetch_run(f);
        if (f->status != 401 || round)
            break;
        struct str scope = str_fmt(p->mem, "repository:" STR_FMT ":pull", STR_ARG(p->ref.repository));
        p->authorization = fetch_authorization(f, p->user, p->password, scope);
        if (!p->authorization.len)
            break;
    }
    return f->status == 200;
}

static struct str digest_of(struct arena *mem, struct str bytes)
{
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    EVP_Digest(bytes.ptr, bytes.len, md, &n, EVP_sha256(), NULL);
    return str_fmt(mem, "sha256:" STR_FMT, STR_ARG(str_hex(mem, str_mem((char *)md, n))));
}

static bool get_manifest(struct pull *p, struct str tag_or_digest, struct str *ret_text)
{
    struct fetch f = {.mem = p->mem,
                      .peer = p->peer,
                      .accept = ACCEPT_MANIFEST,
                      .body_max = IMAGE_MANIFEST_BYTES_MAX,
                      .timeout_ms = 60000};
    f.url = str_fmtz(p->mem, STR_FMT "/v2/" STR_FMT "/manifests/" STR_FMT, STR_ARG(p->base), STR_ARG(p->ref.repository),
                     STR_ARG(tag_or_digest));
    if (!get(p, &f))
        return explain(p, &f, "manifest"), false;
    *ret_text = sb_str(&f.body);
    p->info.digest = digest_of(p->mem, *ret_text);
    if (image_digest_valid(tag_or_digest) && !str_eq(tag_or_digest, p->info.digest))
        return fail(p, -EBADMSG, STR("the registry's manifest does not have the digest that it was asked for by")),
               false;
    return true;
}

static void describe(struct loop_work *w)
{
    struct pull *p = container_of(w, struct pull, work);
    struct err err = ERR(p->mem);
    struct str text, pick = p->ref.digest.len ? p->ref.digest : p->ref.tag;
    for (int depth = 0; depth < 4; depth++) {
        if (!get_manifest(p, pick, &text))
            return;
        if (!image_is_index(p->mem, text))
            break;
        if (image_index_pick(p->mem, text, p->arch, &pick, &err) < 0) {
            fail(p, -ENOENT, err.message);
            return;
        }
    }
    if (image_read_manifest(p->mem, text, &p->info, &err) < 0) {
        fail(p, -EBADMSG, err.message);
        return;
    }
    struct fetch f = {.mem = p->mem, .peer = p->peer, .body_max = IMAGE_CONFIG_BYTES_MAX, .timeout_ms = 60000};
    f.url = str_fmtz(p->mem, STR_FMT "/v2/" STR_FMT "/blobs/" STR_FMT, STR_ARG(p->base), STR_ARG(p->ref.repository),
                     STR_ARG(p->info.id));
    if (!get(p, &f))
        explain(p, &f, "config");
    else if (!str_eq(digest_of(p->mem, sb_str(&f.body)), p->info.id))
        fail(p, -EBADMSG, STR("the image's config does not have the digest that its manifest says"));
    else if (image_read_config(p->mem, sb_str(&f.body), &p->info, &err) < 0)
        fail(p, -EBADMSG, err.message);
}

/* ---- layers */

static bool layer_data(void *ctx, const char *bytes, size_t n)
{
    struct layer_job *j = ctx;
    j->bytes += n;
    if (j->bytes > j->pull->info.layers[j->index].bytes)
        return j->why = STR("a layer is longer than its manifest says"), false;
    EVP_DigestUpdate(j->sum, bytes, n);
    while (n) {
        ssize_t w = write(j->fd, bytes, n);
        if (w <= 0)
            return j->why = STR("a layer can't be written"), false;
        bytes += w, n -= (size_t)w;
    }
    return true;
}

static void layer_work(struct loop_work *w)
{
    struct layer_job *j = container_of(w, struct layer_job, work);
    struct pull *p = j->pull;
    const struct image_layer *l = &p->info.layers[j->index];
    struct fetch f = {.mem = j->mem, .peer = p->peer, .data = layer_data, .ctx = j};
    f.url = str_fmtz(j->mem, STR_FMT "/v2/" STR_FMT "/blobs/" STR_FMT, STR_ARG(p->base), STR_ARG(p->ref.repository),
                     STR_ARG(l->digest));
    f.authorization = p->authorization.len ? str_z(j->mem, p->authorization) : NULL;
    j->sum = EVP_MD_CTX_new();
    EVP_DigestInit_ex(j->sum, EVP_sha256(), NULL);
    fetch_run(&f);
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    EVP_DigestFinal_ex(j->sum, md, &n);
    EVP_MD_CTX_free(j->sum);
    if (j->why.len == 0 && f.status != 200)
        j->why = f.status ? str_fmt(j->mem, "layer: unexpected status %ld from the registry", f.status)
                          : str_fmt(j->mem, "layer: " STR_FMT, STR_ARG(f.why));
    struct str sum = str_hex(j->mem, str_mem((char *)md, n));
    if (j->why.len == 0 && !str_eq(sum, str_from(l->digest, 7)))
        j->why = str_fmt(j->mem, "the content of layer " STR_FMT " has another digest: sha256:" STR_FMT,
                         STR_ARG(l->digest), STR_ARG(sum));
}

static void more_layers(struct pull *p);

static void layer_end(struct layer_job *j)
{
    struct pull *p = j->pull;
    if (j->why.len)
        fail(p, -EIO,
             str_fmt(p->mem, "failed to pull image \"" STR_FMT "\": " STR_FMT, STR_ARG(image_ref_name(p->mem, &p->ref)),
                     STR_ARG(j->why)));
    if (j->fd >= 0)
        close(j->fd);
    arena_free(j->mem);
    p->running--;
    more_layers(p);
}

static void layer_done(struct loop_work *w)
{
    layer_end(container_of(w, struct layer_job, work));
}

static void blob_given(void *ctx, struct ipc_msg *m)
{
    struct layer_job *j = ctx;
    struct ipc_reader r = IPC_READER(m->body);
    bool have = m->error == 0 && ipc_get_u64(&r);
    if (m->error)
        j->why = str_dup(j->mem, m->message);
    if (m->error || have || m->fd_count != 1) {
        layer_end(j);
        return;
    }
    j->fd = m->fds[0], m->fds[0] = -1;
    j->work = (struct loop_work){.work = layer_work, .done = layer_done};
    if (loop_work(j->pull->net->loop, &j->work) < 0)
        j->why = STR("no thread"), layer_end(j);
}

static void more_layers(struct pull *p)
{
    while (p->error == 0 && p->running < LAYERS_AT_ONCE && p->next < (int)p->info.layer_count) {
        struct arena *mem = arena_new();
        struct layer_job *j = arena_new_of(mem, struct layer_job);
        *j = (struct layer_job){.pull = p, .mem = mem, .index = p->next++, .fd = -1};
        const struct image_layer *l = &p->info.layers[j->index];
        struct ipc_body b = IPC_BODY(mem);
        ipc_put_u64(&b, p->id), ipc_put_str(&b, l->digest), ipc_put_u64(&b, l->bytes);
        p->running++;
        ipc_call(p->net->agent, IPC_BLOB_WANT, &b, NULL, 0, blob_given, j);
    }
    if (p->running == 0)
        pull_end(p);
}

static void described(struct loop_work *w)
{
    more_layers(container_of(w, struct pull, work));
}

/* The cluster's registry is the API server that we have a tunnel to; we come as who opened the tunnel, unless a pull
 * secret says otherwise. */
static void find_cluster(struct pull *p)
{
    struct streams_identity id;
    struct fetch_peer *peer = arena_new_of(p->mem, struct fetch_peer);
    if (!streams_identity(p->net->streams, p->mem, &id)) {
        fail(p, -EAGAIN, STR("the API server, which is this image's registry, is not known yet"));
        return;
    }
    struct str port = str_from(str_of(id.address), (size_t)(str_rfind(str_of(id.address), ':') + 1));
    bool is_ip6 = strchr(id.server_name, ':') != NULL;
    struct str name = str_fmt(p->mem, is_ip6 ? "[%s]" : "%s", id.server_name);
    *peer = (struct fetch_peer){
        .ca = id.ca, .connect_to = str_fmtz(p->mem, "%.*s:%.*s:%s", STR_ARG(name), STR_ARG(port), id.address)};
    if (!p->user.len)
        peer->cert = id.cert, peer->key = id.key;
    p->base = str_fmt(p->mem, "https://%.*s:%.*s", STR_ARG(name), STR_ARG(port));
    p->peer = peer;
}

void net_pull(struct net *n, struct ipc_msg *m)
{
    struct arena *mem = arena_new();
    struct pull *p = arena_new_of(mem, struct pull);
    struct ipc_reader r = IPC_READER(str_dup(mem, m->body));
    *p = (struct pull){.net = n, .mem = mem, .reply_to = m->id, .id = ipc_get_u64(&r)};
    struct str ref = ipc_get_str(&r);
    p->user = ipc_get_str(&r), p->password = ipc_get_str(&r), p->arch = ipc_get_str(&r);
    p->work = (struct loop_work){.work = describe, .done = described};
    if (!ipc_read_ok(&r) || !image_ref_parse(mem, ref, &p->ref))
        fail(p, -EINVAL, STR("invalid reference format"));
    else if (!fetch_open())
        fail(p, -ENOSYS, STR("libcurl.so.4 is not installed"));
    p->info.name = image_ref_name(mem, &p->ref);
    p->base = image_ref_base_url(mem, &p->ref);
    if (p->error == 0 && image_ref_is_cluster(&p->ref))
        find_cluster(p);
    if (p->error || loop_work(n->loop, &p->work) < 0) {
        fail(p, -EAGAIN, STR("no thread"));
        pull_end(p);
    }
}

/* ---- https probes */

struct https {
    struct loop_work work;
    struct net *net;
    struct arena *mem;
    struct fetch fetch;
    uint32_t id;
};

static void https_work(struct loop_work *w)
{
    fetch_run(&container_of(w, struct https, work)->fetch);
}

static void https_done(struct loop_work *w)
{
    struct https *h = container_of(w, struct https, work);
    bool fine = h->fetch.status >= 200 && h->fetch.status < 400;
    struct str why = fine              ? STR_NULL
                     : h->fetch.status ? str_fmt(h->mem, "HTTP probe failed with statuscode: %ld", h->fetch.status)
                                       : str_fmt(h->mem, "Get \"%s\": " STR_FMT, h->fetch.url, STR_ARG(h->fetch.why));
    ipc_reply(h->net->agent, h->id, fine ? 0 : -EPROTO, why, NULL, NULL, 0);
    arena_free(h->mem);
}

static bool discard(void *ctx, const char *bytes, size_t n)
{
    size_t *left = ctx;
    return *left >= n ? *left -= n, true : false;
}

void net_probe_https(struct net *n, struct str url, const struct str *headers, size_t count, int64_t timeout_ms,
                     uint32_t id)
{
    struct arena *mem = arena_new();
    struct https *h = arena_new_of(mem, struct https);
    size_t *left = arena_new_of(mem, size_t);
    struct str *copy = arena_array(mem, struct str, count ? count : 1);
    *left = 10 << 10;
    for (size_t i = 0; i < count; i++)
        copy[i] = str_dup(mem, headers[i]);
    h->net = n, h->mem = mem, h->id = id;
    h->fetch = (struct fetch){.url = str_z(mem, url),
                              .headers = copy,
                              .header_count = count,
                              .timeout_ms = timeout_ms,
                              .insecure = true,
                              .no_redirects = true,
                              .mem = mem,
                              .data = discard,
                              .ctx = left};
    h->work = (struct loop_work){.work = https_work, .done = https_done};
    if (!fetch_open() || loop_work(n->loop, &h->work) < 0) {
        ipc_reply(n->agent, id, -ENOSYS, STR("https probes need libcurl.so.4"), NULL, NULL, 0);
        arena_free(mem);
    }
}
