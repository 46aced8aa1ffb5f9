/* Batches of elements and groups to the kernel, and back. */
#include "node/net/nft_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>

#include "base/log.h"
#include "base/map.h"
#include "node/net/nft_priv.h"

enum { MESSAGE_MAX = 64 << 10, ELEMENTS_A_MESSAGE = 250, RECV_BYTES = 32 << 10 };

struct nft {
    struct mnl_socket *socket;
    uint32_t seq;
    struct map groups; /* name -> name: chains made by this process */
};

/* A transaction being written: messages back to back. */
struct batch {
    struct nft *nft;
    struct sb sb;
};

int nft_open(const struct net_config *c, struct nft **ret)
{
    int r = nft_skeleton(c);
    if (r < 0)
        return r;
    struct nft *n = calloc(1, sizeof(*n));
    if (!n)
        return -ENOMEM;
    n->seq = (uint32_t)time(NULL);
    n->socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
    if (!n->socket || mnl_socket_bind(n->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
        r = -errno;
        nft_close(n);
        return r;
    }
    *ret = n;
    return 0;
}

static void groups_clear(struct nft *n)
{
    uint32_t it = 0;
    struct str key;
    void *name;
    while (map_each(&n->groups, &it, &key, &name)) {
        map_del(&n->groups, key);
        free(name);
    }
}

struct nft *nft_close(struct nft *n)
{
    if (!n)
        return NULL;
    groups_clear(n);
    map_done(&n->groups);
    if (n->socket)
        mnl_socket_close(n->socket);
    free(n);
    return NULL;
}

/* ---- messages */

static struct nlmsghdr *message(struct batch *b, uint16_t type, uint16_t flags)
{
    char *at = sb_room(&b->sb, MESSAGE_MAX);
    return nftnl_nlmsg_build_hdr(at, type, NFPROTO_INET, flags, b->nft->seq++);
}

static void message_end(struct batch *b, const struct nlmsghdr *h)
{
    size_t padded = MNL_ALIGN(h->nlmsg_len);
    memset(b->sb.ptr + b->sb.len + h->nlmsg_len, 0, padded - h->nlmsg_len);
    b->sb.len += padded;
}

static void batch_begin(struct batch *b)
{
    b->sb.len += ((struct nlmsghdr *)nftnl_batch_begin(sb_room(&b->sb, 64), b->nft->seq++))->nlmsg_len;
}

/* Errors wait in the socket when send returns; a batch without one has been done. */
static int drain(struct nft *n)
{
    static char buf[RECV_BYTES];
    int error = 0, fd = mnl_socket_get_fd(n->socket);
    for (;;) {
        ssize_t got = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error ? error : errno == EAGAIN ? 0 : -errno;
        int left = (int)got;
        for (struct nlmsghdr *h = (void *)buf; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
            if (h->nlmsg_type == NLMSG_ERROR && !error)
                error = ((struct nlmsgerr *)mnl_nlmsg_get_payload(h))->error;
        }
    }
}

static int send_all(struct nft *n, struct str bytes)
{
    int fd = mnl_socket_get_fd(n->socket), size = (int)bytes.len + 4096;
    if (bytes.len > 100 << 10 && setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
        return -errno;
    drain(n); /* leftovers of a call that failed midway */
    if (mnl_socket_sendto(n->socket, bytes.ptr, bytes.len) < 0)
        return -errno;
    return drain(n);
}

static int batch_commit(struct batch *b)
{
    b->sb.len += ((struct nlmsghdr *)nftnl_batch_end(sb_room(&b->sb, 64), b->nft->seq++))->nlmsg_len;
    return send_all(b->nft, sb_str(&b->sb));
}

/* ---- elements */

struct element {
    const char *set;
    char key[20], data[8];
    uint32_t key_len, data_len;
    const char *chain; /* verdict goto; NULL: none */
};

static void put_address(struct element *e, uint32_t address)
{
    address = htonl(address);
    memcpy(e->key + e->key_len, &address, 4), e->key_len += 4;
}

static void put_port(struct element *e, uint8_t protocol, uint16_t port)
{
    port = htons(port);
    e->key[e->key_len] = (char)protocol, e->key_len += 4;
    memcpy(e->key + e->key_len, &port, 2), e->key_len += 4;
}

static void put_data(struct element *e, const struct backend *b)
{
    uint32_t address = htonl(b->address);
    uint16_t port = htons(b->port);
    memcpy(e->data, &address, 4), memcpy(e->data + 4, &port, 2), e->data_len = 8;
}

static void element_of(const struct plan_op *o, char name[GROUP_NAME_MAX], struct element *ret)
{
    struct element e = {0};
    bool served = o->kind == FRONTEND_SERVED;
    if (o->map != PLAN_FRONTEND || o->key.address)
        put_address(&e, o->key.address);
    put_port(&e, o->key.protocol, o->key.port);
    if (o->map == PLAN_FRONTEND) {
        e.set =
            served ? (o->key.address ? "services" : "nodeports") : (o->key.address ? "unserved" : "unserved-nodeports");
        if (served)
            group_name(&o->group, name);
        e.chain = served ? name : o->kind == FRONTEND_DROPPED ? "drop-it" : "reject-it";
    } else {
        e.set = "endpoints";
        memcpy(e.key + e.key_len, &o->index, 4), e.key_len += 4;
        put_data(&e, &o->backend);
    }
    *ret = e;
}

static void add_element(struct nftnl_set *set, const struct element *e, bool with_data)
{
    struct nftnl_set_elem *x = nftnl_set_elem_alloc();
    if (!x)
        abort();
    nftnl_set_elem_set(x, NFTNL_SET_ELEM_KEY, e->key, e->key_len);
    if (with_data && e->data_len)
        nftnl_set_elem_set(x, NFTNL_SET_ELEM_DATA, e->data, e->data_len);
    if (with_data && e->chain) {
        nftnl_set_elem_set_u32(x, NFTNL_SET_ELEM_VERDICT, (uint32_t)NFT_GOTO);
        nftnl_set_elem_set_str(x, NFTNL_SET_ELEM_CHAIN, e->chain);
    }
    nftnl_set_elem_add(set, x);
}

static struct nftnl_set *set_new(const char *name)
{
    struct nftnl_set *set = nftnl_set_alloc();
    if (!set)
        abort();
    nftnl_set_set_str(set, NFTNL_SET_TABLE, NFT_TABLE);
    nftnl_set_set_str(set, NFTNL_SET_NAME, name);
    return set;
}

static void put_set(struct batch *b, struct nftnl_set *set, bool add)
{
    struct nlmsghdr *h = message(b, add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM, add ? NLM_F_CREATE : 0);
    nftnl_set_elems_nlmsg_build_payload(h, set);
    message_end(b, h);
    nftnl_set_free(set);
}

static void put_element(struct batch *b, const struct element *e, bool add)
{
    struct nftnl_set *set = set_new(e->set);
    add_element(set, e, add);
    put_set(b, set, add);
}

/* ---- groups */

static void put_chain(struct batch *b, const char *name)
{
    struct nftnl_chain *c = nftnl_chain_alloc();
    if (!c)
        abort();
    nftnl_chain_set_str(c, NFTNL_CHAIN_TABLE, NFT_TABLE);
    nftnl_chain_set_str(c, NFTNL_CHAIN_NAME, name);
    struct nlmsghdr *h = message(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
    nftnl_chain_nlmsg_build_payload(h, c);
    message_end(b, h);
    nftnl_chain_free(c);
    struct nftnl_rule *all = nftnl_rule_alloc(); /* a rule without handle: every rule of the chain */
    nftnl_rule_set_str(all, NFTNL_RULE_TABLE, NFT_TABLE);
    nftnl_rule_set_str(all, NFTNL_RULE_CHAIN, name);
    h = message(b, NFT_MSG_DELRULE, 0);
    nftnl_rule_nlmsg_build_payload(h, all);
    message_end(b, h);
    nftnl_rule_free(all);
}

static void put_rules(struct batch *b, const struct group *g, const char *chain, bool again)
{
    struct nftnl_rule *rules[2];
    int n = nft_group_rules(g, chain, again, rules);
    put_chain(b, chain);
    for (int i = 0; i < n; i++) {
        struct nlmsghdr *h = message(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
        nftnl_rule_nlmsg_build_payload(h, rules[i]);
        message_end(b, h);
        nftnl_rule_free(rules[i]);
    }
}

/* Written anew once a process, since the chain may be another version's. Removed with the table only: there are as many
 * as there are different numbers of endpoints. */
static void put_group(struct batch *b, const struct group *g)
{
    char name[GROUP_NAME_MAX], again[GROUP_NAME_MAX + 8];
    group_name(g, name);
    if (map_get(&b->nft->groups, str_of(name)))
        return;
    char *kept = strdup(name);
    map_put(&b->nft->groups, str_of(kept), kept);
    snprintf(again, sizeof(again), "%s-again", name);
    if (g->sticky_s)
        put_rules(b, g, again, /* again= */ true);
    put_rules(b, g, name, /* again= */ false);
}

/* Ops stand sorted: a run with the same direction and set is one message. */
static int apply_ops(struct nft *n, const struct plan_op *ops, size_t count)
{
    cleanup_arena struct arena *mem = arena_new();
    struct batch b = {.nft = n, .sb = SB(mem)};
    struct nftnl_set *set = NULL;
    const char *set_name = NULL;
    int in_set = 0;
    batch_begin(&b);
    for (size_t i = 0; i < count; i++)
        if (ops[i].add && ops[i].map == PLAN_FRONTEND && ops[i].kind == FRONTEND_SERVED)
            put_group(&b, &ops[i].group);
    for (size_t i = 0; i < count; i++) {
        char name[GROUP_NAME_MAX];
        struct element e;
        element_of(&ops[i], name, &e);
        bool fits = set && ops[i].add == ops[i - 1].add && strcmp(set_name, e.set) == 0 && in_set < ELEMENTS_A_MESSAGE;
        if (set && !fits)
            put_set(&b, set, ops[i - 1].add), set = NULL;
        if (!set)
            set = set_new(e.set), set_name = e.set, in_set = 0;
        add_element(set, &e, ops[i].add);
        in_set++;
    }
    if (set)
        put_set(&b, set, ops[count - 1].add);
    int r = batch_commit(&b);
    if (r < 0)
        groups_clear(n); /* what was to be made may not be there */
    return r;
}

int nft_apply(struct nft *n, const struct plan *p)
{
    int r = 0;
    for (size_t at = 0; r == 0 && at < p->count; at += NFT_BATCH_OPS_MAX)
        r = apply_ops(n, p->ops + at, p->count - at < NFT_BATCH_OPS_MAX ? p->count - at : NFT_BATCH_OPS_MAX);
    return r;
}

/* ---- pods and host ports */

static int change(struct nft *n, const struct element *e, bool add)
{
    cleanup_arena struct arena *mem = arena_new();
    struct batch b = {.nft = n, .sb = SB(mem)};
    batch_begin(&b);
    put_element(&b, e, add);
    return batch_commit(&b);
}

int nft_pod(struct nft *n, uint32_t address, bool add)
{
    struct element e = {.set = "hairpin"};
    put_address(&e, address), put_address(&e, address);
    int r = change(n, &e, add);
    return !add && r == -ENOENT ? 0 : r;
}

int nft_hostport(struct nft *n, const struct nft_hostport *h, bool add)
{
    struct element e = {.set = h->host ? "hostports-at" : "hostports"};
    if (h->host)
        put_address(&e, h->host);
    put_port(&e, h->protocol, h->port);
    put_data(&e, &h->to);
    int r = change(n, &e, /* add= */ false);
    if (add)
        return change(n, &e, /* add= */ true);
    return r == -ENOENT ? 0 : r;
}

int nft_clear(struct nft *n)
{
    groups_clear(n);
    return nft_run("flush map inet sampan services\nflush map inet sampan nodeports\nflush map inet sampan unserved\n"
                   "flush map inet sampan unserved-nodeports\nflush map inet sampan endpoints\n"
                   "flush map inet sampan affinity\n");
}
