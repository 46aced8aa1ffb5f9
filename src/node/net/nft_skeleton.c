/* The fixed part of the table, as text. */
#include "node/net/nft_priv.h"

#include <dlfcn.h>
#include <errno.h>

#include "base/log.h"
#include "node/net/ipam.h"
#include "node/net/link.h"

/* $PODS this node's pods, $CLUSTER all pods, $SERVICES the service range, $LINKS our veth names. Maps first, then
 * chains emptied and filled again, all in one transaction.
 *
 * A packet's way: guard (raw) drops what a pod sends to 127/8, which route_localnet would let in, and all IPv6;
 * unserved turns away what has no endpoint; serve picks an endpoint; forward and output refuse what is still for the
 * service range. TCP is refused by a reset: ICMP errors are limited to a few a second by the kernel, and one to the
 * node itself gets lost when it follows the service range's route to lo (so a UDP client on the node itself waits for
 * its own timeout). */
static const char skeleton[] =
    "add table inet sampan\n"
    "add set inet sampan hairpin { type ipv4_addr . ipv4_addr; }\n"
    "add map inet sampan services { type ipv4_addr . inet_proto . inet_service : verdict; }\n"
    "add map inet sampan nodeports { type inet_proto . inet_service : verdict; }\n"
    "add map inet sampan unserved { type ipv4_addr . inet_proto . inet_service : verdict; }\n"
    "add map inet sampan unserved-nodeports { type inet_proto . inet_service : verdict; }\n"
    "add map inet sampan endpoints { type ipv4_addr . inet_proto . inet_service . mark : ipv4_addr . inet_service; }\n"
    "add map inet sampan affinity { type ipv4_addr . ipv4_addr . inet_proto . inet_service : mark; "
    "size 262144; flags dynamic,timeout; }\n"
    "add map inet sampan hostports { type inet_proto . inet_service : ipv4_addr . inet_service; }\n"
    "add map inet sampan hostports-at { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }\n"
    "add chain inet sampan guard { type filter hook prerouting priority raw; }\n"
    "add chain inet sampan reject-it\n"
    "add chain inet sampan drop-it\n"
    "add chain inet sampan unserved-check\n"
    "add chain inet sampan unserved-in { type filter hook prerouting priority dstnat - 10; }\n"
    "add chain inet sampan unserved-out { type filter hook output priority -110; }\n"
    "add chain inet sampan serve\n"
    "add chain inet sampan serve-in { type nat hook prerouting priority dstnat; }\n"
    "add chain inet sampan serve-out { type nat hook output priority -100; }\n"
    "add chain inet sampan leave { type nat hook postrouting priority srcnat; }\n"
    "add chain inet sampan rest-forward { type filter hook forward priority filter; }\n"
    "add chain inet sampan rest-out { type filter hook output priority filter; }\n"
    "flush chain inet sampan guard\nflush chain inet sampan reject-it\nflush chain inet sampan drop-it\n"
    "flush chain inet sampan unserved-check\nflush chain inet sampan unserved-in\n"
    "flush chain inet sampan unserved-out\nflush chain inet sampan serve\nflush chain inet sampan serve-in\n"
    "flush chain inet sampan serve-out\nflush chain inet sampan leave\nflush chain inet sampan rest-forward\n"
    "flush chain inet sampan rest-out\n"
    "add rule inet sampan guard iifname \"$LINKS\" ip daddr 127.0.0.0/8 drop\n"
    "add rule inet sampan guard iifname \"$LINKS\" meta nfproto ipv6 drop\n"
    "add rule inet sampan reject-it meta l4proto tcp reject with tcp reset\n"
    "add rule inet sampan reject-it reject with icmpx port-unreachable\n"
    "add rule inet sampan drop-it drop\n"
    "add rule inet sampan unserved-check ip daddr . meta l4proto . th dport vmap @unserved\n"
    "add rule inet sampan unserved-check meta nfproto ipv4 fib daddr type local "
    "meta l4proto . th dport vmap @unserved-nodeports\n"
    "add rule inet sampan unserved-in ct state new jump unserved-check\n"
    "add rule inet sampan unserved-out ct state new jump unserved-check\n"
    "add rule inet sampan serve ip daddr . meta l4proto . th dport vmap @services\n"
    "add rule inet sampan serve meta nfproto ipv4 fib daddr type local meta l4proto . th dport vmap @nodeports\n"
    "add rule inet sampan serve dnat ip to ip daddr . meta l4proto . th dport map @hostports-at\n"
    "add rule inet sampan serve meta nfproto ipv4 fib daddr type local "
    "dnat ip to meta l4proto . th dport map @hostports\n"
    "add rule inet sampan serve-in jump serve\n"
    "add rule inet sampan serve-out jump serve\n"
    "add rule inet sampan leave meta mark & 0x4000 != 0 meta mark set meta mark ^ 0x4000 masquerade fully-random\n"
    "add rule inet sampan leave ip saddr . ip daddr @hairpin masquerade fully-random\n"
    "add rule inet sampan leave ip saddr 127.0.0.0/8 oifname \"$LINKS\" masquerade fully-random\n"
    "add rule inet sampan leave ip saddr $PODS ip daddr != $CLUSTER oifname != { \"$LINKS\", \"lo\" } "
    "masquerade fully-random\n"
    "add rule inet sampan rest-forward ip daddr $SERVICES goto reject-it\n"
    "add rule inet sampan rest-out ip daddr $SERVICES fib daddr type != local goto reject-it\n";

struct libnftables {
    void *handle;
    void *(*ctx_new)(uint32_t flags);
    void (*ctx_free)(void *ctx);
    int (*run)(void *ctx, const char *text);
    int (*buffer_error)(void *ctx);
    const char *(*get_error)(void *ctx);
};

static int library_open(struct libnftables *l)
{
    l->handle = dlopen("libnftables.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!l->handle)
        return -ENOENT;
    *(void **)&l->ctx_new = dlsym(l->handle, "nft_ctx_new");
    *(void **)&l->ctx_free = dlsym(l->handle, "nft_ctx_free");
    *(void **)&l->run = dlsym(l->handle, "nft_run_cmd_from_buffer");
    *(void **)&l->buffer_error = dlsym(l->handle, "nft_ctx_buffer_error");
    *(void **)&l->get_error = dlsym(l->handle, "nft_ctx_get_error_buffer");
    if (l->ctx_new && l->ctx_free && l->run && l->buffer_error && l->get_error)
        return 0;
    dlclose(l->handle);
    return -ENOENT;
}

int nft_run(const char *text)
{
    struct libnftables l;
    int r = library_open(&l);
    if (r < 0)
        return r;
    void *ctx = l.ctx_new(/* flags= */ 0);
    if (!ctx) {
        dlclose(l.handle);
        return -ENOMEM;
    }
    l.buffer_error(ctx);
    if (l.run(ctx, text) != 0) {
        cleanup_arena struct arena *mem = arena_new();
        const char *said = l.get_error(ctx);
        log_error("net", "nftables refused", "error=" STR_FMT, STR_ARG(log_quote(mem, str_head(str_of(said), 512))));
        r = -EINVAL;
    }
    l.ctx_free(ctx);
    dlclose(l.handle);
    return r;
}

static void add_cidr(struct sb *out, uint32_t network, int prefix)
{
    sb_add(out, ipv4_text(out->mem, network));
    sb_addf(out, "/%d", prefix);
}

static char *fill(const struct net_config *c, struct arena *mem)
{
    struct sb out = SB(mem);
    for (const char *at = skeleton; *at;) {
        struct str rest = str_of(at);
        if (str_starts(rest, STR("$PODS")))
            add_cidr(&out, c->pods, c->pods_prefix), at += 5;
        else if (str_starts(rest, STR("$CLUSTER")))
            add_cidr(&out, c->cluster, c->cluster_prefix), at += 8;
        else if (str_starts(rest, STR("$SERVICES")))
            add_cidr(&out, c->services, c->services_prefix), at += 9;
        else if (str_starts(rest, STR("$LINKS")))
            sb_addz(&out, LINK_PREFIX "*"), at += 6;
        else
            sb_addc(&out, *at++);
    }
    return sb_z(&out);
}

int nft_remove_table(void)
{
    return nft_run("add table inet sampan\ndelete table inet sampan\n"); /* the first so that the second can't fail */
}

int nft_skeleton(const struct net_config *c)
{
    cleanup_arena struct arena *mem = arena_new();
    const char *text = fill(c, mem);
    int r = nft_run(text);
    if (r != -EINVAL)
        return r;
    log_warn("net", "the table of another version is replaced", NULL);
    r = nft_remove_table();
    return r < 0 ? r : nft_run(text);
}
