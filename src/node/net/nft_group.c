/* The rules that pick an endpoint. Registers are 4 bytes each; r0..r5 are built so that every key is a run of them:
 *   r0 client   r1 address  r2 protocol  r3 port   r4,r5 endpoint's address and port (before: r4 the index)
 * endpoints: r1..r4 -> r4,r5; affinity: r0..r3 -> r4, the index. nft(8) of Debian 12 aborts when it lists a key or a
 * value that another lookup found, and so would libnftables within us: a remembered index therefore goes by the
 * packet's priority, a scratch field at this place, to the next chain. */
#include <netinet/in.h>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>

#include <stdio.h>
#include <stdlib.h>

#include <libnftnl/expr.h>
#include <libnftnl/rule.h>

#include "node/net/nft_priv.h"

enum { R0 = NFT_REG32_00, R1, R2, R3, R4, R5, R8 = NFT_REG32_08 };
enum { IP_SADDR = 12, IP_DADDR = 16, TH_DPORT = 2 };

static struct nftnl_expr *expr(struct nftnl_rule *r, const char *name)
{
    struct nftnl_expr *e = nftnl_expr_alloc(name);
    if (!e)
        abort();
    nftnl_rule_add_expr(r, e);
    return e;
}

static void payload(struct nftnl_rule *r, uint32_t base, uint32_t offset, uint32_t len, uint32_t reg)
{
    struct nftnl_expr *e = expr(r, "payload");
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, base);
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, len);
    nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, reg);
}

static void meta(struct nftnl_rule *r, uint32_t key, uint16_t direction, uint32_t reg)
{
    struct nftnl_expr *e = expr(r, "meta");
    nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, key);
    nftnl_expr_set_u32(e, direction, reg);
}

static void load_key(struct nftnl_rule *r, const struct group *g)
{
    if (g->node) {
        uint32_t zero = 0;
        struct nftnl_expr *e = expr(r, "immediate");
        nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, R1);
        nftnl_expr_set(e, NFTNL_EXPR_IMM_DATA, &zero, sizeof(zero));
    } else {
        payload(r, NFT_PAYLOAD_NETWORK_HEADER, IP_DADDR, 4, R1);
    }
    meta(r, NFT_META_L4PROTO, NFTNL_EXPR_META_DREG, R2);
    payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, TH_DPORT, 2, R3);
}

static void lookup(struct nftnl_rule *r, const char *set, uint32_t from, uint32_t to)
{
    struct nftnl_expr *e = expr(r, "lookup");
    nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_SREG, from);
    nftnl_expr_set_u32(e, NFTNL_EXPR_LOOKUP_DREG, to);
    nftnl_expr_set_str(e, NFTNL_EXPR_LOOKUP_SET, set);
}

static void pick(struct nftnl_rule *r, const struct group *g)
{
    struct nftnl_expr *e = expr(r, "numgen");
    nftnl_expr_set_u32(e, NFTNL_EXPR_NG_DREG, R4);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NG_MODULUS, g->count);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NG_TYPE, NFT_NG_RANDOM);
}

static void remember(struct nftnl_rule *r, uint32_t op, uint32_t timeout_s)
{
    struct nftnl_expr *e = expr(r, "dynset");
    nftnl_expr_set_u32(e, NFTNL_EXPR_DYNSET_SREG_KEY, R0);
    nftnl_expr_set_u32(e, NFTNL_EXPR_DYNSET_SREG_DATA, R4);
    nftnl_expr_set_u32(e, NFTNL_EXPR_DYNSET_OP, op);
    if (op != NFT_DYNSET_OP_DELETE)
        nftnl_expr_set_u64(e, NFTNL_EXPR_DYNSET_TIMEOUT, (uint64_t)timeout_s * 1000);
    nftnl_expr_set_str(e, NFTNL_EXPR_DYNSET_SET_NAME, "affinity");
}

static void mark(struct nftnl_rule *r)
{
    uint32_t mask = ~(uint32_t)NFT_MARK, bit = NFT_MARK;
    meta(r, NFT_META_MARK, NFTNL_EXPR_META_DREG, R8);
    struct nftnl_expr *e = expr(r, "bitwise");
    nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_SREG, R8);
    nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_DREG, R8);
    nftnl_expr_set_u32(e, NFTNL_EXPR_BITWISE_LEN, 4);
    nftnl_expr_set(e, NFTNL_EXPR_BITWISE_MASK, &mask, sizeof(mask));
    nftnl_expr_set(e, NFTNL_EXPR_BITWISE_XOR, &bit, sizeof(bit));
    meta(r, NFT_META_MARK, NFTNL_EXPR_META_SREG, R8);
}

static void go(struct nftnl_rule *r, const struct group *g)
{
    if (g->masquerade)
        mark(r);
    struct nftnl_expr *e = expr(r, "nat");
    nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_TYPE, NFT_NAT_DNAT);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_FAMILY, NFPROTO_IPV4);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_REG_ADDR_MIN, R4);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_REG_PROTO_MIN, R5);
    nftnl_expr_set_u32(e, NFTNL_EXPR_NAT_FLAGS, NF_NAT_RANGE_MAP_IPS | NF_NAT_RANGE_PROTO_SPECIFIED);
}

static struct nftnl_rule *rule_new(const char *chain)
{
    struct nftnl_rule *r = nftnl_rule_alloc();
    if (!r)
        abort();
    nftnl_rule_set_u32(r, NFTNL_RULE_FAMILY, NFPROTO_INET);
    nftnl_rule_set_str(r, NFTNL_RULE_TABLE, NFT_TABLE);
    nftnl_rule_set_str(r, NFTNL_RULE_CHAIN, chain);
    return r;
}

static void load_client(struct nftnl_rule *r)
{
    payload(r, NFT_PAYLOAD_NETWORK_HEADER, IP_SADDR, 4, R0);
}

/* A client that is known takes its index to the other chain. */
static struct nftnl_rule *rule_known(const struct group *g, const char *chain)
{
    char again[GROUP_NAME_MAX + 8];
    struct nftnl_rule *r = rule_new(chain);
    load_client(r), load_key(r, g);
    lookup(r, "affinity", R0, R4);
    meta(r, NFT_META_PRIORITY, NFTNL_EXPR_META_SREG, R4);
    snprintf(again, sizeof(again), "%s-again", chain);
    struct nftnl_expr *e = expr(r, "immediate");
    nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
    nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, (uint32_t)NFT_GOTO);
    nftnl_expr_set_str(e, NFTNL_EXPR_IMM_CHAIN, again);
    return r;
}

/* Where it was, if that index still exists: else the lookup ends the rule. */
static struct nftnl_rule *rule_again(const struct group *g, const char *chain)
{
    struct nftnl_rule *r = rule_new(chain);
    load_client(r), load_key(r, g);
    meta(r, NFT_META_PRIORITY, NFTNL_EXPR_META_DREG, R4);
    remember(r, NFT_DYNSET_OP_UPDATE, g->sticky_s);
    lookup(r, "endpoints", R1, R4);
    go(r, g);
    return r;
}

/* An element's value can't be changed, so one that is out of date is deleted first. */
static struct nftnl_rule *rule_fresh(const struct group *g, const char *chain)
{
    struct nftnl_rule *r = rule_new(chain);
    if (g->sticky_s)
        load_client(r);
    load_key(r, g);
    pick(r, g);
    if (g->sticky_s)
        remember(r, NFT_DYNSET_OP_DELETE, 0), remember(r, NFT_DYNSET_OP_UPDATE, g->sticky_s);
    lookup(r, "endpoints", R1, R4);
    go(r, g);
    return r;
}

int nft_group_rules(const struct group *g, const char *chain, bool again, struct nftnl_rule *ret[2])
{
    int n = 0;
    if (g->sticky_s)
        ret[n++] = again ? rule_again(g, chain) : rule_known(g, chain);
    ret[n++] = rule_fresh(g, chain);
    return n;
}
