/* rtnetlink by libmnl: one socket, several requests in one packet, each answered in order. */
#include "node/net/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "node/files.h"

enum { BATCH_BYTES = 4096, ANSWER_BYTES = 8192 };
enum { ROUTE_PROTOCOL = 0x53 }; /* marks our routes; /etc/iproute2/rt_protos has no name for it */

struct link {
    struct mnl_socket *socket;
    uint32_t seq;
};

/* Requests that are sent together. */
struct batch {
    struct link *link;
    size_t len;
    int count, ignore[16]; /* per request: an errno that counts as success */
    char bytes[BATCH_BYTES];
};

int link_open(struct link **ret)
{
    struct link *l = calloc(1, sizeof(*l));
    if (!l)
        return -ENOMEM;
    l->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    if (!l->socket || mnl_socket_bind(l->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
        int e = -errno;
        link_close(l);
        return e;
    }
    *ret = l;
    return 0;
}

struct link *link_close(struct link *l)
{
    if (l && l->socket)
        mnl_socket_close(l->socket);
    free(l);
    return NULL;
}

static struct nlmsghdr *batch_add(struct batch *b, uint16_t type, uint16_t flags, int ignore)
{
    struct nlmsghdr *h = mnl_nlmsg_put_header(b->bytes + b->len);
    h->nlmsg_type = type, h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags, h->nlmsg_seq = ++b->link->seq;
    b->ignore[b->count++] = ignore;
    return h;
}

static void batch_end(struct batch *b, const struct nlmsghdr *h)
{
    b->len += MNL_ALIGN(h->nlmsg_len);
}

/* Every request is answered; the first error that is not to be ignored is returned. */
static int batch_send(struct batch *b)
{
    char answer[ANSWER_BYTES];
    uint32_t first = b->link->seq - (uint32_t)b->count + 1;
    int error = 0, left = b->count;
    if (mnl_socket_sendto(b->link->socket, b->bytes, b->len) < 0)
        return -errno;
    while (left > 0) {
        ssize_t got = mnl_socket_recvfrom(b->link->socket, answer, sizeof(answer));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        int n = (int)got;
        for (struct nlmsghdr *h = (void *)answer; mnl_nlmsg_ok(h, n); h = mnl_nlmsg_next(h, &n)) {
            uint32_t at = h->nlmsg_seq - first;
            if (h->nlmsg_type != NLMSG_ERROR || at >= (uint32_t)b->count)
                continue;
            const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);
            left--;
            if (e->error && -e->error != b->ignore[at] && !error)
                error = e->error;
        }
    }
    b->len = 0, b->count = 0;
    return error;
}

static void put_link(struct batch *b, const char *name, int ifindex, unsigned flags)
{
    struct nlmsghdr *h = batch_add(b, RTM_NEWLINK, 0, 0);
    struct ifinfomsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    m->ifi_index = ifindex, m->ifi_flags = flags, m->ifi_change = flags;
    if (name)
        mnl_attr_put_strz(h, IFLA_IFNAME, name);
    batch_end(b, h);
}

static void put_address(struct batch *b, bool add, int ifindex, uint32_t address)
{
    struct nlmsghdr *h = add ? batch_add(b, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, EEXIST)
                             : batch_add(b, RTM_DELADDR, 0, EADDRNOTAVAIL);
    struct ifaddrmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    m->ifa_family = AF_INET, m->ifa_prefixlen = 32, m->ifa_index = (unsigned)ifindex;
    m->ifa_scope = RT_SCOPE_UNIVERSE;
    mnl_attr_put_u32(h, IFA_LOCAL, htonl(address));
    mnl_attr_put_u32(h, IFA_ADDRESS, htonl(address));
    batch_end(b, h);
}

static void put_route(struct batch *b, bool add, const struct link_route *r)
{
    struct nlmsghdr *h =
        add ? batch_add(b, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, 0) : batch_add(b, RTM_DELROUTE, 0, ESRCH);
    struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    m->rtm_family = AF_INET, m->rtm_dst_len = (unsigned char)r->prefix, m->rtm_table = RT_TABLE_MAIN;
    m->rtm_protocol = ROUTE_PROTOCOL, m->rtm_scope = r->ifindex && !r->via ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
    m->rtm_type = r->ifindex || r->via ? RTN_UNICAST : RTN_UNREACHABLE;
    if (!add)
        m->rtm_scope = RT_SCOPE_NOWHERE; /* any */
    if (r->prefix)
        mnl_attr_put_u32(h, RTA_DST, htonl(r->dst));
    if (r->via)
        mnl_attr_put_u32(h, RTA_GATEWAY, htonl(r->via));
    if (r->ifindex)
        mnl_attr_put_u32(h, RTA_OIF, (uint32_t)r->ifindex), m->rtm_flags = r->via ? RTNH_F_ONLINK : 0;
    if (r->src && add)
        mnl_attr_put_u32(h, RTA_PREFSRC, htonl(r->src));
    batch_end(b, h);
}

static void put_neighbour(struct batch *b, int ifindex, uint32_t address, const uint8_t mac[6])
{
    struct nlmsghdr *h = batch_add(b, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, 0);
    struct ndmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    m->ndm_family = AF_INET, m->ndm_ifindex = ifindex, m->ndm_state = NUD_PERMANENT;
    mnl_attr_put_u32(h, NDA_DST, htonl(address));
    mnl_attr_put(h, NDA_LLADDR, 6, mac);
    batch_end(b, h);
}

void link_name(struct str uid, char ret_name[IFNAMSIZ])
{
    snprintf(ret_name, IFNAMSIZ, LINK_PREFIX "%012llx", (unsigned long long)(str_hash(uid) & 0xffffffffffffull));
}

int link_index(const char *name)
{
    return (int)if_nametoindex(name);
}

int link_delete(struct link *l, const char *name)
{
    struct batch b = {.link = l};
    struct nlmsghdr *h = batch_add(&b, RTM_DELLINK, 0, ENODEV);
    mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
    mnl_attr_put_strz(h, IFLA_IFNAME, name);
    batch_end(&b, h);
    return batch_send(&b);
}

int link_lo_up(struct link *l)
{
    struct batch b = {.link = l};
    put_link(&b, NULL, link_index("lo"), IFF_UP);
    return batch_send(&b);
}

static int lo_change(struct link *l, bool add, uint32_t address)
{
    struct batch b = {.link = l};
    put_address(&b, add, link_index("lo"), address);
    return batch_send(&b);
}

int link_lo_add(struct link *l, uint32_t address)
{
    return lo_change(l, true, address);
}

int link_lo_remove(struct link *l, uint32_t address)
{
    return lo_change(l, false, address);
}

int link_route_put(struct link *l, const struct link_route *r)
{
    struct batch b = {.link = l};
    put_route(&b, true, r);
    return batch_send(&b);
}

int link_route_remove(struct link *l, const struct link_route *r)
{
    struct batch b = {.link = l};
    put_route(&b, false, r);
    return batch_send(&b);
}

struct found {
    struct arena *mem;
    struct link_route *v;
    int n;
};

static int on_attr(const struct nlattr *a, void *data)
{
    struct link_route *r = data;
    if (mnl_attr_get_payload_len(a) == 4 && mnl_attr_get_type(a) == RTA_DST)
        r->dst = ntohl(mnl_attr_get_u32(a));
    if (mnl_attr_get_payload_len(a) == 4 && mnl_attr_get_type(a) == RTA_GATEWAY)
        r->via = ntohl(mnl_attr_get_u32(a));
    if (mnl_attr_get_payload_len(a) == 4 && mnl_attr_get_type(a) == RTA_OIF)
        r->ifindex = (int)mnl_attr_get_u32(a);
    return MNL_CB_OK;
}

static int on_route(const struct nlmsghdr *h, void *data)
{
    struct found *f = data;
    const struct rtmsg *m = mnl_nlmsg_get_payload(h);
    struct link_route r = {.prefix = m->rtm_dst_len};
    if (m->rtm_family != AF_INET || m->rtm_table != RT_TABLE_MAIN || m->rtm_protocol != ROUTE_PROTOCOL)
        return MNL_CB_OK;
    mnl_attr_parse(h, sizeof(*m), on_attr, &r);
    if (m->rtm_type == RTN_UNREACHABLE)
        r.ifindex = 0;            /* the kernel names lo */
    if ((f->n & (f->n - 1)) == 0) /* full: 0, 1, 2, 4 ... */
        f->v = arena_grow(f->mem, f->v, (size_t)f->n * sizeof(r), (size_t)(f->n ? f->n * 2 : 1) * sizeof(r));
    f->v[f->n++] = r;
    return MNL_CB_OK;
}

int link_routes_sweep(struct link *l, bool (*is_stale)(void *ctx, const struct link_route *found), void *ctx)
{
    cleanup_arena struct arena *mem = arena_new();
    struct found f = {.mem = mem};
    char bytes[ANSWER_BYTES];
    struct nlmsghdr *h = mnl_nlmsg_put_header(bytes);
    h->nlmsg_type = RTM_GETROUTE, h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP, h->nlmsg_seq = ++l->seq;
    ((struct rtmsg *)mnl_nlmsg_put_extra_header(h, sizeof(struct rtmsg)))->rtm_family = AF_INET;
    if (mnl_socket_sendto(l->socket, bytes, h->nlmsg_len) < 0)
        return -errno;
    for (int more = 1; more > 0;) {
        ssize_t n = mnl_socket_recvfrom(l->socket, bytes, sizeof(bytes));
        if (n < 0 && errno == EINTR)
            continue;
        more = n < 0 ? -1 : mnl_cb_run(bytes, (size_t)n, l->seq, mnl_socket_get_portid(l->socket), on_route, &f);
        if (more < 0)
            return -errno;
    }
    int first = 0;
    for (int i = 0; i < f.n; i++) {
        int r = is_stale(ctx, &f.v[i]) ? link_route_remove(l, &f.v[i]) : 0;
        first = first ? first : r;
    }
    return first;
}

/* The addresses of the two ends follow from what they belong to, so nobody has to ask for them. */
static const uint8_t node_mac[6] = {0xee, 0xee, 0xee, 0xee, 0xee, 0xee};

static void pod_mac(uint32_t address, uint8_t ret[6])
{
    ret[0] = 0x0a, ret[1] = 0x58;
    for (int i = 0; i < 4; i++)
        ret[2 + i] = (uint8_t)(address >> (24 - 8 * i));
}

static int pair_make(struct link *l, const struct link_pod *p, int netns)
{
    struct batch b = {.link = l};
    uint8_t mac[6];
    pod_mac(p->address, mac);
    struct nlmsghdr *h = batch_add(&b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0);
    mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
    mnl_attr_put_strz(h, IFLA_IFNAME, p->name);
    mnl_attr_put(h, IFLA_ADDRESS, 6, node_mac);
    if (p->mtu)
        mnl_attr_put_u32(h, IFLA_MTU, (uint32_t)p->mtu);
    struct nlattr *info = mnl_attr_nest_start(h, IFLA_LINKINFO);
    mnl_attr_put_strz(h, IFLA_INFO_KIND, "veth");
    struct nlattr *data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
    struct nlattr *peer = mnl_attr_nest_start(h, VETH_INFO_PEER);
    mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
    mnl_attr_put_strz(h, IFLA_IFNAME, "eth0");
    mnl_attr_put(h, IFLA_ADDRESS, 6, mac);
    mnl_attr_put_u32(h, IFLA_NET_NS_FD, (uint32_t)netns);
    if (p->mtu)
        mnl_attr_put_u32(h, IFLA_MTU, (uint32_t)p->mtu);
    mnl_attr_nest_end(h, peer);
    mnl_attr_nest_end(h, data);
    mnl_attr_nest_end(h, info);
    batch_end(&b, h);
    return batch_send(&b);
}

/* A namespace is a property of the thread: whoever enters must come back before anything else runs. */
static int inner_open(int netns, struct link **ret, int *ret_eth0)
{
    cleanup_fd int own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (own < 0 || setns(netns, CLONE_NEWNET) < 0)
        return -errno;
    int r = link_open(ret);
    *ret_eth0 = link_index("eth0");
    if (setns(own, CLONE_NEWNET) < 0)
        abort(); /* to go on in a pod's network would be worse */
    return r < 0 || *ret_eth0 ? r : -ENODEV;
}

static int inner_setup(int netns, const struct link_pod *p)
{
    struct link *inner = NULL;
    int eth0 = 0, r = inner_open(netns, &inner, &eth0);
    if (r == 0) {
        struct batch b = {.link = inner};
        const struct link_route gateway = {.dst = LINK_GATEWAY, .prefix = 32, .ifindex = eth0};
        const struct link_route out = {.via = LINK_GATEWAY, .ifindex = eth0};
        put_link(&b, NULL, 1, IFF_UP); /* lo has index 1 in every namespace */
        put_link(&b, NULL, eth0, IFF_UP);
        put_address(&b, true, eth0, p->address);
        put_neighbour(&b, eth0, LINK_GATEWAY, node_mac);
        put_route(&b, true, &gateway);
        put_route(&b, true, &out);
        r = batch_send(&b);
    }
    link_close(inner);
    return r;
}

static void set_of(const char *name, const char *key, const char *value)
{
    char path[128];
    snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/%s", name, key);
    files_write_existing(path, str_of(value));
}

/* There is no IPv6 pod network yet: the node's end gets no link-local address, and nft.c drops what a pod sends. Not by
 * disable_ipv6: to write that spins in the kernel for as long as anybody holds the lock of all links, and where pods
 * go, that is 20 ms and more. */
static void put_no_ipv6_address(struct batch *b, int ifindex)
{
    struct nlmsghdr *h = batch_add(b, RTM_NEWLINK, 0, EAFNOSUPPORT);
    struct ifinfomsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
    m->ifi_index = ifindex;
    struct nlattr *spec = mnl_attr_nest_start(h, IFLA_AF_SPEC), *inet6 = mnl_attr_nest_start(h, AF_INET6);
    mnl_attr_put_u8(h, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
    mnl_attr_nest_end(h, inet6);
    mnl_attr_nest_end(h, spec);
    batch_end(b, h);
}

/* rp_filter 1 is the guard against spoofed sources. route_localnet lets 127.0.0.1:NODEPORT reach pods; nft.c drops what
 * a pod sends to 127/8. */
static int outer_setup(struct link *l, const struct link_pod *p)
{
    struct batch b = {.link = l};
    uint8_t mac[6];
    pod_mac(p->address, mac);
    set_of(p->name, "rp_filter", "1"), set_of(p->name, "route_localnet", "1"), set_of(p->name, "forwarding", "1");
    set_of(p->name, "accept_redirects", "0"), set_of(p->name, "send_redirects", "0");
    int ifindex = link_index(p->name);
    const struct link_route to = {.dst = p->address, .src = p->node, .prefix = 32, .ifindex = ifindex};
    put_no_ipv6_address(&b, ifindex);
    put_link(&b, NULL, ifindex, IFF_UP);
    put_neighbour(&b, ifindex, p->address, mac);
    put_route(&b, true, &to);
    return batch_send(&b);
}

int link_pod_add(struct link *l, const struct link_pod *p)
{
    cleanup_fd int netns = open(p->netns, O_RDONLY | O_CLOEXEC);
    if (netns < 0)
        return -errno;
    int r = link_delete(l, p->name);
    if (r == 0)
        r = pair_make(l, p, netns);
    if (r == 0)
        r = outer_setup(l, p);
    if (r == 0)
        r = inner_setup(netns, p);
    if (r < 0)
        link_delete(l, p->name);
    return r;
}

bool link_pod_intact(const struct link_pod *p)
{
    cleanup_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq r = {0};
    memcpy(r.ifr_name, p->name, strlen(p->name));
    return fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &r) == 0 && (r.ifr_flags & IFF_UP);
}

int link_uplink_mtu(void)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str text, line, field;
    if (files_read(AT_FDCWD, "/proc/net/route", 1 << 20, mem, &text) < 0)
        return 0;
    while (str_next(&text, '\n', &line)) {
        struct str name, dst;
        if (!str_cut(line, '\t', &name, &line) || !str_cut(line, '\t', &dst, &field) || !str_is(dst, "00000000") ||
            name.len >= IFNAMSIZ)
            continue;
        cleanup_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct ifreq r = {0};
        memcpy(r.ifr_name, name.ptr, name.len);
        return fd >= 0 && ioctl(fd, SIOCGIFMTU, &r) == 0 ? r.ifr_mtu : 0;
    }
    return 0;
}
