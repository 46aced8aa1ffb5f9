/* What the kernel holds, read back after a start or a failure. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <libnftnl/set.h>

#include "node/net/nft_priv.h"

enum { DUMP_BYTES = 32 << 10 };

struct found_endpoint {
    struct frontend_key key;
    uint32_t index;
    struct backend backend;
};
struct dump {
    struct arena *mem;
    struct frontend *fronts;
    struct found_endpoint *endpoints;
    size_t front_count, front_cap, endpoint_count, endpoint_cap;
    bool bad;
};

static void *grown(struct arena *mem, void *old, size_t count, size_t *cap, size_t size)
{
    if (count < *cap)
        return old;
    size_t more = *cap ? 2 * *cap : 64;
    old = arena_grow(mem, old, *cap * size, more * size);
    *cap = more;
    return old;
}

static struct frontend_key read_key(const char *at, bool has_address)
{
    struct frontend_key k = {0};
    uint32_t address = 0;
    uint16_t port;
    if (has_address)
        memcpy(&address, at, 4), at += 4;
    memcpy(&port, at + 4, 2);
    k.address = ntohl(address), k.protocol = (uint8_t)at[0], k.port = ntohs(port);
    return k;
}

static void read_frontend(struct dump *d, struct nftnl_set_elem *e, const char *key, bool has_address)
{
    const char *chain = nftnl_set_elem_get_str(e, NFTNL_SET_ELEM_CHAIN);
    struct frontend f = {.key = read_key(key, has_address)};
    if (chain && strcmp(chain, "reject-it") == 0)
        f.kind = FRONTEND_REJECTED;
    else if (chain && strcmp(chain, "drop-it") == 0)
        f.kind = FRONTEND_DROPPED;
    else if (chain && group_parse(str_of(chain), &f.group))
        f.kind = FRONTEND_SERVED;
    else
        d->bad = true;
    d->fronts = grown(d->mem, d->fronts, d->front_count, &d->front_cap, sizeof(f));
    d->fronts[d->front_count++] = f;
}

static void read_endpoint(struct dump *d, struct nftnl_set_elem *e, const char *key)
{
    uint32_t len = 0, address;
    uint16_t port;
    const char *data = nftnl_set_elem_get(e, NFTNL_SET_ELEM_DATA, &len);
    struct found_endpoint f = {.key = read_key(key, /* has_address= */ true)};
    if (!data || len < 6) {
        d->bad = true;
        return;
    }
    memcpy(&f.index, key + 12, 4);
    memcpy(&address, data, 4), memcpy(&port, data + 4, 2);
    f.backend = (struct backend){ntohl(address), ntohs(port)};
    d->endpoints = grown(d->mem, d->endpoints, d->endpoint_count, &d->endpoint_cap, sizeof(f));
    d->endpoints[d->endpoint_count++] = f;
}

static int on_message(const struct nlmsghdr *h, void *ctx)
{
    struct dump *d = ctx;
    struct nftnl_set *set = nftnl_set_alloc();
    if (!set || nftnl_set_elems_nlmsg_parse(h, set) < 0) {
        d->bad = true;
        nftnl_set_free(set);
        return MNL_CB_OK;
    }
    const char *name = nftnl_set_get_str(set, NFTNL_SET_NAME);
    bool endpoints = strcmp(name, "endpoints") == 0, node = strstr(name, "nodeports") != NULL;
    struct nftnl_set_elems_iter *it = nftnl_set_elems_iter_create(set);
    struct nftnl_set_elem *e;
    while ((e = nftnl_set_elems_iter_next(it))) {
        uint32_t len = 0, need = endpoints ? 16 : node ? 8 : 12;
        const char *key = nftnl_set_elem_get(e, NFTNL_SET_ELEM_KEY, &len);
        if (!key || len != need)
            d->bad = true;
        else if (endpoints)
            read_endpoint(d, e, key);
        else
            read_frontend(d, e, key, !node);
    }
    nftnl_set_elems_iter_destroy(it);
    nftnl_set_free(set);
    return MNL_CB_OK;
}

static int dump_set(struct mnl_socket *s, const char *name, uint32_t seq, struct dump *d)
{
    char *buf = arena_alloc(d->mem, DUMP_BYTES);
    struct nftnl_set *set = nftnl_set_alloc();
    nftnl_set_set_str(set, NFTNL_SET_TABLE, NFT_TABLE);
    nftnl_set_set_str(set, NFTNL_SET_NAME, name);
    struct nlmsghdr *h = nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETSETELEM, NFPROTO_INET, NLM_F_DUMP, seq);
    nftnl_set_elems_nlmsg_build_payload(h, set);
    nftnl_set_free(set);
    if (mnl_socket_sendto(s, h, h->nlmsg_len) < 0)
        return -errno;
    for (;;) {
        ssize_t n = mnl_socket_recvfrom(s, buf, DUMP_BYTES);
        if (n < 0)
            return -errno;
        int r = mnl_cb_run(buf, (size_t)n, seq, mnl_socket_get_portid(s), on_message, d);
        if (r <= MNL_CB_STOP)
            return r < 0 ? -errno : 0;
    }
}

static int key_cmp(const struct frontend_key *x, const struct frontend_key *y)
{
    if (x->address != y->address)
        return x->address < y->address ? -1 : 1;
    return x->port != y->port ? (int)x->port - (int)y->port : (int)x->protocol - (int)y->protocol;
}

static int front_cmp(const void *a, const void *b)
{
    return key_cmp(&((const struct frontend *)a)->key, &((const struct frontend *)b)->key);
}

static int endpoint_cmp(const void *a, const void *b)
{
    const struct found_endpoint *x = a, *y = b;
    int order = key_cmp(&x->key, &y->key);
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

/* Each served frontend has as many endpoints as its group counts, from index 0 on, and none is left over. */
static int join(struct dump *d)
{
    size_t at = 0;
    if (d->front_count)
        qsort(d->fronts, d->front_count, sizeof(*d->fronts), front_cmp);
    if (d->endpoint_count)
        qsort(d->endpoints, d->endpoint_count, sizeof(*d->endpoints), endpoint_cmp);
    for (size_t i = 0; i < d->front_count; i++) {
        struct frontend *f = &d->fronts[i];
        if (i && front_cmp(f - 1, f) == 0)
            return -EBADMSG;
        f->count = f->kind == FRONTEND_SERVED ? f->group.count : 0;
        if (f->count > d->endpoint_count - at)
            return -EBADMSG;
        f->backends = arena_array(d->mem, struct backend, f->count ? f->count : 1);
        for (uint32_t n = 0; n < f->count; n++, at++) {
            if (key_cmp(&d->endpoints[at].key, &f->key) != 0 || d->endpoints[at].index != n)
                return -EBADMSG;
            f->backends[n] = d->endpoints[at].backend;
        }
    }
    return at == d->endpoint_count && !d->bad ? 0 : -EBADMSG;
}

int nft_dump(struct nft *n, struct arena *mem, struct frontend **ret, size_t *ret_n)
{
    static const char *const sets[] = {"services", "nodeports", "unserved", "unserved-nodeports", "endpoints"};
    struct dump d = {.mem = mem};
    struct mnl_socket *s = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC); /* its own: a dump is many packets */
    if (!s)
        return -errno;
    int r = mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0 ? -errno : 0;
    for (size_t i = 0; r == 0 && i < sizeof(sets) / sizeof(sets[0]); i++)
        r = dump_set(s, sets[i], (uint32_t)i + 1, &d);
    mnl_socket_close(s);
    if (r == 0)
        r = join(&d);
    if (r == 0)
        *ret = d.fronts, *ret_n = d.front_count;
    return r;
}
