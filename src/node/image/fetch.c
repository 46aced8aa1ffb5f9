/* Pulls, the agent's part: net fetches manifest and blobs into files that we give it, unpack processes turn them into
 * layers, the record makes it an image. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "node/image/store_priv.h"
#include "node/image/unpack.h"
#include "node/runtime/runtime.h"

enum { PULL_WAITERS_MAX = 1024, BLOB_BYTES_MAX_GIB = 32 };

struct waiter {
    struct list link;
    images_done_fn *done;
    void *ctx;
};
struct blob {
    struct str digest;
    int fd;
};
struct unpacking {
    struct pull *pull;
    struct ipc *ipc;
    int pid, layer;
    char *path;
    bool answered;
};
struct pull {
    struct list link, waiters;
    struct images *store;
    struct arena *mem;
    uint64_t id;
    struct str name;
    struct ipc *net;
    struct keyring keyring;
    int tried; /* of the keyring */
    struct blob blobs[IMAGE_LAYERS_MAX];
    int blob_count;
    struct image_info info;
    int open; /* unpack processes */
    int error;
    struct str why;
};

static void pull_end(struct pull *p, const struct image *image)
{
    list_remove(&p->link);
    while (!list_empty(&p->waiters)) {
        struct waiter *w = container_of(p->waiters.next, struct waiter, link);
        list_remove(&w->link);
        w->done(w->ctx, image, p->error, p->why);
        free(w);
    }
    for (int i = 0; i < p->blob_count; i++)
        close(p->blobs[i].fd);
    arena_free(p->mem);
}

static void pull_failed(struct pull *p, int error, struct str why)
{
    if (p->error == 0)
        p->error = error, p->why = str_dup(p->mem, why);
}

static void complete(struct pull *p)
{
    struct image_ref ref;
    const struct image *image = NULL;
    if (p->error == 0) {
        int r = images_record(p->store, &p->info, p->name);
        if (r < 0)
            pull_failed(p, r, STR("the image store can't be written"));
        else if (image_ref_parse(p->mem, p->name, &ref))
            image = images_find(p->store, &ref);
        if (p->error == 0 && !image)
            pull_failed(p, -ENOENT, STR("the image is not in the store after its pull"));
    }
    pull_end(p, image);
}

static void unpacking_end(struct unpacking *u, int error, struct str why)
{
    struct pull *p = u->pull;
    int r = images_layer_end(p->store, p->info.layers[u->layer].diff_id, u->path, error == 0);
    if (error || r < 0)
        pull_failed(p, error ? error : r, str_fmt(p->mem, "failed to unpack image layer: " STR_FMT, STR_ARG(why)));
    u->answered = true;
    if (--p->open == 0)
        complete(p);
}

static void unpack_message(void *ctx, struct ipc *c, struct ipc_msg *m)
{
}

static void unpack_closed(void *ctx, struct ipc *c, int error)
{
    struct unpacking *u = ctx;
    if (!u->answered)
        unpacking_end(u, -EPIPE, STR("the unpack process died"));
    ipc_free(c);
    free(u);
}

static void unpack_answer(void *ctx, struct ipc_msg *m)
{
    struct unpacking *u = ctx;
    if (!u->answered)
        unpacking_end(u, m->error == -ECANCELED ? -EPIPE : m->error, m->message);
}

static const struct ipc_handler unpack_handler = {unpack_message, unpack_closed};

static int find_blob(const struct pull *p, struct str digest)
{
    for (int i = 0; i < p->blob_count; i++)
        if (str_eq(p->blobs[i].digest, digest))
            return p->blobs[i].fd;
    return -1;
}

static void unpack_layer(struct pull *p, int i)
{
    const struct image_layer *l = &p->info.layers[i];
    char *path;
    int fd = find_blob(p, l->digest), sock = -1;
    for (int k = 0; k < i; k++)
        if (str_eq(p->info.layers[k].diff_id, l->diff_id))
            return;
    if (images_has_layer(p->store, l->diff_id))
        return;
    int dir = fd < 0 ? -ENOENT : images_layer_begin(p->store, p->mem, &path);
    if (dir < 0) {
        pull_failed(p, dir, STR("a layer is missing, or the image store can't be written"));
        return;
    }
    struct unpacking *u = calloc(1, sizeof(*u));
    const struct unpack_job job = {.blob_fd = fd, .dir_fd = dir, .digest = l->digest, .diff_id = l->diff_id};
    int pid = u ? unpack_start(&job, &sock) : -ENOMEM;
    close(dir);
    if (pid < 0) {
        free(u);
        images_layer_end(p->store, l->diff_id, path, false);
        pull_failed(p, pid, STR("no unpack process can be started"));
        return;
    }
    *u = (struct unpacking){.pull = p, .pid = pid, .layer = i, .path = path};
    p->open++;
    u->ipc = ipc_new(p->store->loop, sock, &unpack_handler, u);
    ipc_expect(u->ipc, 1, unpack_answer, u);
    child_reap(p->store->loop, pid);
}

static void ask(struct pull *p);

static void fetched(void *ctx, struct ipc_msg *m)
{
    struct pull *p = ctx;
    if ((m->error == -EACCES || m->error == -ENOENT) && p->tried < p->keyring.count) {
        ask(p);
        return;
    }
    if (m->error) {
        p->error = m->error, p->why = str_dup(p->mem, m->message);
        pull_end(p, NULL);
        return;
    }
    struct ipc_reader r = IPC_READER(str_dup(p->mem, m->body));
    if (!image_get(&r, p->mem, &p->info) || !ipc_read_ok(&r)) {
        p->error = -EBADMSG, p->why = STR("the net helper does not keep to its messages");
        pull_end(p, NULL);
        return;
    }
    p->open = 1; /* held while we start them */
    for (size_t i = 0; i < p->info.layer_count; i++)
        unpack_layer(p, (int)i);
    if (--p->open == 0)
        complete(p);
}

static void add_waiter(struct pull *p, images_done_fn *done, void *ctx)
{
    struct waiter *w = calloc(1, sizeof(*w));
    if (!w)
        abort();
    w->done = done, w->ctx = ctx;
    list_add_tail(&p->waiters, &w->link);
}

/* With the next credentials; a pull that was refused has fetched no layer yet. */
static void ask(struct pull *p)
{
    const struct image_credentials none = {0}, *c = &none;
    if (p->tried < p->keyring.count)
        c = &p->keyring.found[p->tried++].credentials;
    struct ipc_body b = IPC_BODY(p->mem);
    ipc_put_u64(&b, p->id);
    ipc_put_str(&b, p->name);
    ipc_put_str(&b, c->user), ipc_put_str(&b, c->password);
    ipc_put_str(&b, str_of(image_arch()));
    ipc_call(p->net, IPC_PULL, &b, NULL, 0, fetched, p);
}

static void keyring_copy(struct keyring *to, const struct keyring *from, struct arena *mem)
{
    for (int i = 0; from && i < from->count; i++, to->count++) {
        to->found[i].key = str_dup(mem, from->found[i].key);
        to->found[i].credentials.user = str_dup(mem, from->found[i].credentials.user);
        to->found[i].credentials.password = str_dup(mem, from->found[i].credentials.password);
    }
}

static bool keyring_same(const struct keyring *a, const struct keyring *b)
{
    for (int i = 0; b && i < a->count && i < b->count; i++)
        if (!str_eq(a->found[i].credentials.user, b->found[i].credentials.user) ||
            !str_eq(a->found[i].credentials.password, b->found[i].credentials.password))
            return false;
    return a->count == (b ? b->count : 0);
}

void images_pull(struct images *s, struct ipc *net, struct str name, const struct keyring *keyring,
                 images_done_fn *done, void *ctx)
{
    struct arena *mem = arena_new();
    struct image_ref ref;
    struct str full = image_ref_parse(mem, name, &ref) ? image_ref_name(mem, &ref) : STR_NULL;
    list_each (at, &s->pulls) {
        struct pull *p = container_of(at, struct pull, link);
        if (str_eq(p->name, full) && keyring_same(&p->keyring, keyring)) {
            add_waiter(p, done, ctx);
            arena_free(mem);
            return;
        }
    }
    struct pull *p = arena_new_of(mem, struct pull);
    p->store = s, p->mem = mem, p->id = ++s->next_pull, p->name = full, p->net = net;
    keyring_copy(&p->keyring, keyring, mem);
    list_init(&p->waiters), list_add_tail(&s->pulls, &p->link);
    add_waiter(p, done, ctx);
    if (!net || full.len == 0) {
        p->error = -EPIPE, p->why = STR("the net helper is not running");
        pull_end(p, NULL);
        return;
    }
    ask(p);
}

void images_forget(struct images *s, void *ctx)
{
    list_each (at, &s->pulls) {
        struct pull *p = container_of(at, struct pull, link);
        list_each_safe (w_at, &p->waiters) {
            struct waiter *w = container_of(w_at, struct waiter, link);
            if (w->ctx == ctx)
                list_remove(w_at), free(w);
        }
    }
}

/* Already unpacked here, by what an earlier image said of this blob? Else a file to write to. */
void images_message(struct images *s, struct ipc *net, struct ipc_msg *m)
{
    struct ipc_reader r = IPC_READER(m->body);
    uint64_t id = ipc_get_u64(&r);
    struct str digest = ipc_get_str(&r);
    uint64_t size = ipc_get_u64(&r);
    struct pull *p = NULL;
    list_each (at, &s->pulls)
        if (container_of(at, struct pull, link)->id == id)
            p = container_of(at, struct pull, link);
    if (!ipc_read_ok(&r) || !p || !image_digest_valid(digest) || size > (uint64_t)BLOB_BYTES_MAX_GIB << 30 ||
        p->blob_count == IMAGE_LAYERS_MAX) {
        ipc_reply(net, m->id, -EINVAL, STR("refused"), NULL, NULL, 0);
        return;
    }
    cleanup_arena struct arena *mem = arena_new();
    struct ipc_body b = IPC_BODY(mem);
    struct str diff = images_diff_of(s, digest);
    bool have = (diff.len && images_has_layer(s, diff)) || find_blob(p, digest) >= 0;
    int fd = have ? -1 : images_blob_file(s);
    ipc_put_u64(&b, have);
    if (!have && fd < 0) {
        ipc_reply(net, m->id, fd, STR("the image store can't be written"), NULL, NULL, 0);
        return;
    }
    if (!have)
        p->blobs[p->blob_count++] = (struct blob){str_dup(p->mem, digest), fd};
    ipc_reply(net, m->id, 0, STR_NULL, &b, &fd, have ? 0 : 1);
}
