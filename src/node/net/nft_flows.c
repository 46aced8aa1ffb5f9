/* Forgetting UDP flows, by ctnetlink: one request per dead endpoint that names the service's address as first
 * destination and the endpoint as source of the replies. */
#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <libmnl/libmnl.h>

#include "node/net/nft_priv.h"

/* Of enum ctattr_filter (nfnetlink_conntrack.h): bits of what counts of a tuple. */
enum {
    FILTER_IP_SRC = 1 << 0,
    FILTER_IP_DST = 1 << 1,
    FILTER_PROTO = 1 << 3,
    FILTER_SRC_PORT = 1 << 4,
    FILTER_DST_PORT = 1 << 5
};

static void put_tuple(struct nlmsghdr *h, uint16_t type, uint32_t src, uint32_t dst, uint16_t sport, uint16_t dport)
{
    struct nlattr *tuple = mnl_attr_nest_start(h, type);
    struct nlattr *ip = mnl_attr_nest_start(h, CTA_TUPLE_IP);
    if (src)
        mnl_attr_put_u32(h, CTA_IP_V4_SRC, htonl(src));
    if (dst)
        mnl_attr_put_u32(h, CTA_IP_V4_DST, htonl(dst));
    mnl_attr_nest_end(h, ip);
    struct nlattr *proto = mnl_attr_nest_start(h, CTA_TUPLE_PROTO);
    mnl_attr_put_u8(h, CTA_PROTO_NUM, IPPROTO_UDP);
    if (sport)
        mnl_attr_put_u16(h, CTA_PROTO_SRC_PORT, htons(sport));
    if (dport)
        mnl_attr_put_u16(h, CTA_PROTO_DST_PORT, htons(dport));
    mnl_attr_nest_end(h, proto);
    mnl_attr_nest_end(h, tuple);
}

static void forget(struct mnl_socket *s, const struct plan_dead *d)
{
    char buf[512];
    struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
    h->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE, h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    struct nfgenmsg *g = mnl_nlmsg_put_extra_header(h, sizeof(*g));
    g->nfgen_family = AF_INET;
    /* Without this filter the request would mean one exact flow; without tuples, all flows: so both or nothing. */
    struct nlattr *filter = mnl_attr_nest_start(h, CTA_FILTER);
    mnl_attr_put_u32(h, CTA_FILTER_ORIG_FLAGS, (d->key.address ? FILTER_IP_DST : 0u) | FILTER_PROTO | FILTER_DST_PORT);
    mnl_attr_put_u32(h, CTA_FILTER_REPLY_FLAGS, FILTER_IP_SRC | FILTER_PROTO | FILTER_SRC_PORT);
    mnl_attr_nest_end(h, filter);
    put_tuple(h, CTA_TUPLE_ORIG, 0, d->key.address, 0, d->key.port);
    put_tuple(h, CTA_TUPLE_REPLY, d->backend.address, 0, d->backend.port, 0);
    if (mnl_socket_sendto(s, h, h->nlmsg_len) >= 0)
        (void)mnl_socket_recvfrom(s, buf, sizeof(buf));
}

void nft_forget_flows(const struct plan_dead *dead, size_t count)
{
    struct mnl_socket *s = count ? mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC) : NULL;
    if (!s)
        return;
    if (mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) >= 0)
        for (size_t i = 0; i < count; i++)
            forget(s, &dead[i]);
    mnl_socket_close(s);
}
