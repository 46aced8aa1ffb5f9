/* /etc/hosts, /etc/hostname and /etc/resolv.conf, one of each a pod. Source: kubelet_pods.go, network/dns/dns.go. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "node/files.h"
#include "node/runtime/runtime.h"
#include "node/volume/volume.h"

#define RESOLV_CONF "/etc/resolv.conf"

struct str volume_hostname(struct pod *p, struct arena *mem)
{
    if (p->host_network)
        return str_dup(mem, str_of(p->node->name));
    struct str name = doc_str(p->spec, "hostname");
    name = name.len ? name : p->name;
    name = str_head(name, 63);
    while (name.len && (name.ptr[name.len - 1] == '-' || name.ptr[name.len - 1] == '.'))
        name.len--;
    return str_dup(mem, name);
}

static const char *domain(const struct pod *p)
{
    return p->node->opts.cluster_domain;
}

static void put_hosts(struct pod *p, struct arena *mem, struct sb *out)
{
    struct str host;
    if (p->host_network && files_read(AT_FDCWD, "/etc/hosts", 1 << 20, mem, &host) == 0) {
        sb_addz(out, "# Kubernetes-managed hosts file (host network).\n");
        sb_add(out, host);
    } else {
        sb_addz(out,
                "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
                "fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n");
        struct str name = volume_hostname(p, mem), sub = doc_str(p->spec, "subdomain");
        for (int i = 0; i < p->ip_count; i++) {
            sb_addf(out, "%s\t", p->ips[i].text);
            if (sub.len)
                sb_addf(out, STR_FMT "." STR_FMT "." STR_FMT ".svc.%s\t", STR_ARG(name), STR_ARG(sub), STR_ARG(p->ns),
                        domain(p));
            sb_add(out, name), sb_addc(out, '\n');
        }
    }
    const struct doc *aliases = doc_get(p->spec, "hostAliases");
    if (doc_len(aliases))
        sb_addz(out, "\n# Entries added by HostAliases.\n");
    doc_each (a, aliases) {
        sb_add(out, doc_str(a, "ip"));
        doc_each (h, doc_get(a, "hostnames"))
            sb_addf(out, "\t" STR_FMT, STR_ARG(doc_string(h)));
        sb_addc(out, '\n');
    }
}

static void put_config(struct sb *out, const struct doc *config)
{
    doc_each (n, doc_get(config, "nameservers"))
        sb_addf(out, "nameserver " STR_FMT "\n", STR_ARG(doc_string(n)));
    if (doc_len(doc_get(config, "searches"))) {
        sb_addz(out, "search");
        doc_each (s, doc_get(config, "searches"))
            sb_addf(out, " " STR_FMT, STR_ARG(doc_string(s)));
        sb_addc(out, '\n');
    }
    if (doc_len(doc_get(config, "options"))) {
        sb_addz(out, "options");
        doc_each (o, doc_get(config, "options")) {
            struct str v = doc_str(o, "value");
            sb_addf(out, " " STR_FMT "%s" STR_FMT, STR_ARG(doc_str(o, "name")), v.len ? ":" : "", STR_ARG(v));
        }
        sb_addc(out, '\n');
    }
}

/* ClusterFirst needs a name server of ours; without one the node's file is used, as kubelet does. */
static void put_resolv(struct pod *p, struct arena *mem, struct sb *out)
{
    struct str policy = doc_str(p->spec, "dnsPolicy"), host = STR_NULL, line;
    const char *dns = p->node->opts.cluster_dns;
    if (!dns && p->node->network && p->node->network->dns_ip)
        dns = p->node->network->dns_ip(p->node->network_ctx);
    bool cluster = str_is(policy, "ClusterFirstWithHostNet") ||
                   ((policy.len == 0 || str_is(policy, "ClusterFirst")) && !p->host_network);
    if (!str_is(policy, "None")) {
        files_read(AT_FDCWD, RESOLV_CONF, 1 << 16, mem, &host);
        if (cluster && dns) {
            sb_addf(out, "search " STR_FMT ".svc.%s svc.%s %s", STR_ARG(p->ns), domain(p), domain(p), domain(p));
            while (str_next(&host, '\n', &line))
                if (str_starts(line, STR("search ")))
                    sb_add(out, str_from(line, 6));
            sb_addf(out, "\nnameserver %s\noptions ndots:5\n", dns);
        } else {
            sb_add(out, host);
        }
    }
    put_config(out, doc_get(p->spec, "dnsConfig"));
}

int volume_etc_files(struct pod *p)
{
    cleanup_arena struct arena *mem = arena_new();
    struct sb hosts = SB(mem), resolv = SB(mem);
    put_hosts(p, mem, &hosts), put_resolv(p, mem, &resolv);
    struct str name = str_fmt(mem, STR_FMT "\n", STR_ARG(volume_hostname(p, mem)));
    int r = files_write(sandbox_path(p, mem, "hosts"), 0644, sb_str(&hosts));
    r = r < 0 ? r : files_write(sandbox_path(p, mem, "resolv.conf"), 0644, sb_str(&resolv));
    return r < 0 ? r : files_write(sandbox_path(p, mem, "hostname"), 0644, name);
}
