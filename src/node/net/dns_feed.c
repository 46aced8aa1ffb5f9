#include "node/net/dns_feed.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "base/log.h"
#include "node/files.h"
#include "node/net/dns.h"
#include "node/net/dns_zone.h"
#include "node/net/ipam.h"

int dns_upstreams(struct str text, struct str own, struct str *ret, int max)
{
    struct str line;
    int n = 0;
    while (n < max && str_next(&text, '\n', &line)) {
        struct str address = str_trim(str_from(line, 10));
        uint32_t a;
        if (str_starts(line, STR("nameserver")) && ipv4_parse(address, &a) && !str_eq(address, own))
            ret[n++] = address;
    }
    return n;
}

static int bound(uint32_t address, int type)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(53), .sin_addr = {htonl(address)}};
    int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (type == SOCK_DGRAM) /* a successor binds while the last helper's socket still closes */
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
    if (bind(fd, (const struct sockaddr *)&a, sizeof(a)) == 0 && (type == SOCK_DGRAM || listen(fd, 64) == 0))
        return fd;
    int e = -errno;
    close(fd);
    return e;
}

static int send_listen(struct ipc *helper, const struct net_config *c)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str conf = STR_NULL, upstreams[DNS_UPSTREAMS_MAX];
    cleanup_fd int udp = bound(c->dns, SOCK_DGRAM), tcp = bound(c->dns, SOCK_STREAM);
    if (udp < 0 || tcp < 0)
        return udp < 0 ? udp : tcp;
    files_read(AT_FDCWD, "/etc/resolv.conf", 64 << 10, mem, &conf);
    int n = dns_upstreams(conf, ipv4_text(mem, c->dns), upstreams, DNS_UPSTREAMS_MAX);
    struct ipc_body b = IPC_BODY(mem);
    ipc_put_strv(&b, upstreams, (size_t)n);
    return ipc_send(helper, IPC_DNS_LISTEN, &b, (int[]){udp, tcp}, 2);
}

static int send_reset(struct ipc *helper, const struct net_config *c, const char *domain)
{
    cleanup_arena struct arena *mem = arena_new();
    struct ipc_body b = IPC_BODY(mem);
    ipc_put_str(&b, str_of(domain ? domain : "cluster.local"));
    ipc_put_u64(&b, c->services), ipc_put_u64(&b, (uint64_t)c->services_prefix);
    ipc_put_u64(&b, c->cluster), ipc_put_u64(&b, (uint64_t)c->cluster_prefix);
    return ipc_send(helper, IPC_DNS_RESET, &b, NULL, 0);
}

static void put_port(struct ipc_body *b, const char *name, uint16_t port, uint8_t protocol)
{
    ipc_put_str(b, str_of(name)), ipc_put_u64(b, port), ipc_put_u64(b, protocol);
}

/* A headless service's SRV records name the port the endpoint listens on: that of its first slice. */
static void put_ports(struct ipc_body *b, const struct service *s)
{
    const struct slice *first =
        s->headless && !list_empty(&s->slices) ? container_of(s->slices.next, struct slice, link) : NULL;
    uint32_t n = first ? first->port_count : s->port_count;
    n = n < DNS_PORTS_MAX ? n : DNS_PORTS_MAX;
    ipc_put_u64(b, n);
    for (uint32_t i = 0; i < n; i++)
        if (first)
            put_port(b, first->ports[i].name, first->ports[i].port, first->ports[i].protocol);
        else
            put_port(b, s->ports[i].name, s->ports[i].port, s->ports[i].protocol);
}

static uint64_t ready_endpoints(const struct service *s, struct ipc_body *b)
{
    uint64_t n = 0;
    list_each (at, &s->slices) {
        const struct slice *slice = container_of(at, struct slice, link);
        for (uint32_t i = 0; i < slice->endpoint_count && n < DNS_ENDPOINTS_MAX; i++) {
            const struct endpoint *e = &slice->endpoints[i];
            if (!e->ready)
                continue;
            n++;
            if (b)
                ipc_put_u64(b, e->address), ipc_put_str(b, str_of(e->hostname));
        }
    }
    return n;
}

static int send_service(struct ipc *helper, const struct service *s)
{
    cleanup_arena struct arena *mem = arena_new();
    struct ipc_body b = IPC_BODY(mem);
    bool with_ip = s->known && s->ip, external = s->known && s->external_name;
    ipc_put_str(&b, str_of(s->ns)), ipc_put_str(&b, str_of(s->name));
    ipc_put_u64(&b, s->known && s->headless ? 2 : with_ip || external ? 1 : 0);
    ipc_put_u64(&b, with_ip ? s->ip : 0), ipc_put_str(&b, str_of(external ? s->external_name : ""));
    put_ports(&b, s);
    /* Endpoints of a service with a cluster IP have names only where they have a hostname; rare, so left out. */
    ipc_put_u64(&b, s->headless ? ready_endpoints(s, NULL) : 0);
    if (s->headless)
        ready_endpoints(s, &b);
    return ipc_send(helper, IPC_DNS_SERVICE, &b, NULL, 0);
}

enum { RETRY_MS = 100, SOCKET_RETRY_MS = 1000 };

static void feed_one(void *ctx, struct service *s)
{
    struct dns_feed *f = ctx;
    if (!s->fed && !f->lagging) {
        s->fed = send_service(f->helper, s) == 0;
        f->lagging = !s->fed;
    }
}

static void forget_one(void *ctx, struct service *s)
{
    s->fed = false;
}

/* What the helper does not know yet, as far as its queue takes it; the rest a little later. */
static void catch_up(struct dns_feed *f)
{
    f->lagging = false;
    if (f->services)
        services_each(f->services, feed_one, f);
    if (!f->lagging && f->synced)
        f->lagging = ipc_send(f->helper, IPC_DNS_SYNCED, NULL, NULL, 0) < 0;
    if (f->lagging)
        loop_timer_start(&f->retry, RETRY_MS);
}

static void start_over(struct dns_feed *f)
{
    if (f->services)
        services_each(f->services, forget_one, NULL);
    if (send_reset(f->helper, f->config, f->domain) < 0)
        f->lagging = true, loop_timer_start(&f->retry, RETRY_MS);
    else
        catch_up(f);
}

static void open_sockets(struct dns_feed *f)
{
    int r = send_listen(f->helper, f->config);
    if (r < 0 && !f->deaf)
        log_error("dns", "no sockets on the DNS address; trying again", "error=%d", -r);
    f->deaf = r < 0;
    if (f->deaf)
        loop_timer_start(&f->retry, SOCKET_RETRY_MS);
    else
        start_over(f);
}

static void on_retry(struct loop_timer *t)
{
    struct dns_feed *f = container_of(t, struct dns_feed, retry);
    if (!f->helper)
        return;
    if (f->deaf)
        open_sockets(f);
    else
        catch_up(f);
}

void dns_feed_start(struct dns_feed *f, struct loop *l, const struct net_config *c, const char *domain)
{
    *f = (struct dns_feed){.loop = l, .config = c, .domain = domain};
    loop_timer_init(l, &f->retry, on_retry);
}

void dns_feed_stop(struct dns_feed *f)
{
    if (f->loop)
        loop_timer_stop(&f->retry);
}

void dns_feed_helper(struct dns_feed *f, struct ipc *helper)
{
    f->helper = helper, f->lagging = f->deaf = false;
    loop_timer_stop(&f->retry);
    if (helper)
        open_sockets(f);
}

void dns_feed_changed(struct dns_feed *f, struct service *s)
{
    s->fed = false;
    if (!f->helper || f->deaf || (f->lagging && s->known))
        return;
    int r = send_service(f->helper, s);
    s->fed = r == 0;
    if (r < 0 && s->known)
        f->lagging = true, loop_timer_start(&f->retry, RETRY_MS);
    else if (r < 0)
        start_over(f); /* who is gone can't be told of later */
}

void dns_feed_synced(struct dns_feed *f)
{
    f->synced = true;
    if (f->helper && !f->deaf)
        catch_up(f);
}
