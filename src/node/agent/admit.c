/* Does the pod fit this node, whoever sent it here. Source: kubelet lifecycle/predicate.go. */
#include "node/agent/pods.h"
#include "node/runtime/apparmor.h"

static bool has_ended(const struct pod *p)
{
    struct str phase = doc_str(doc_get(p->obj, "status"), "phase");
    return p->state >= POD_ENDED || str_is(phase, "Succeeded") || str_is(phase, "Failed");
}

static bool selector_fits(const struct pod *p)
{
    struct str rest = str_of(p->node->opts.labels), pair, k, v;
    doc_each (want, doc_get(p->spec, "nodeSelector")) {
        bool found = str_is(want->key, "kubernetes.io/hostname") && str_is(doc_string(want), p->node->name);
        found = found || (str_is(want->key, "kubernetes.io/os") && str_is(doc_string(want), "linux"));
        found = found || (str_is(want->key, "kubernetes.io/arch") && str_is(doc_string(want), image_arch()));
        for (struct str all = rest; !found && str_next(&all, ',', &pair);)
            found = str_cut(pair, '=', &k, &v) && str_eq(k, want->key) && str_eq(v, doc_string(want));
        /* labels that were put on the Node object later are unknown here: they are the scheduler's to judge */
        if (!found && str_starts(want->key, STR("kubernetes.io/")))
            return false;
    }
    return true;
}

/* Source: kubelet sysctl/allowlist.go, safe_sysctls.go. Unsafe ones can't be allowed by an option here. */
static bool sysctls_fit(const struct pod *p, struct arena *mem, struct str *ret_message)
{
    static const char *const safe[] = {"kernel.shm_rmid_forced",
                                       "net.ipv4.ip_local_port_range",
                                       "net.ipv4.tcp_syncookies",
                                       "net.ipv4.ping_group_range",
                                       "net.ipv4.ip_unprivileged_port_start",
                                       "net.ipv4.ip_local_reserved_ports",
                                       "net.ipv4.tcp_keepalive_time",
                                       "net.ipv4.tcp_fin_timeout",
                                       "net.ipv4.tcp_keepalive_intvl",
                                       "net.ipv4.tcp_keepalive_probes",
                                       "net.ipv4.tcp_rmem",
                                       "net.ipv4.tcp_wmem"};
    doc_each (s, doc_path(p->spec, "securityContext", "sysctls", NULL)) {
        char *name = str_z(mem, doc_str(s, "name"));
        bool allowed = false;
        for (char *c = name; *c; c++)
            *c = *c == '/' ? '.' : *c;
        for (size_t i = 0; i < sizeof(safe) / sizeof(safe[0]); i++)
            allowed = allowed || strcmp(name, safe[i]) == 0;
        const char *host = strncmp(name, "net.", 4) == 0 ? (p->host_network ? "host net enabled" : NULL)
                                                         : (p->host_ipc ? "host ipc enabled" : NULL);
        if (allowed && !host)
            continue;
        *ret_message = allowed ? str_fmt(mem, "forbidden sysctl: \"%s\" not allowed with %s", name, host)
                               : str_fmt(mem, "forbidden sysctl: \"%s\" not allowlisted", name);
        return false;
    }
    return true;
}

static bool confined(const struct doc *at)
{
    struct str type = doc_str(doc_path(at, "securityContext", "appArmorProfile", NULL), "type");
    return type.len && !str_is(type, "Unconfined");
}

/* Source: kubelet pkg/security/apparmor/validate.go. */
static bool apparmor_fits(const struct pod *p)
{
    static const char *const lists[] = {"containers", "initContainers"};
    bool wanted = confined(p->spec);
    for (int k = 0; k < 2; k++)
        doc_each (c, doc_get(p->spec, lists[k]))
            wanted = wanted || confined(c);
    return !wanted || apparmor_enabled();
}

int pod_admit(struct pod *p, struct arena *mem, const char **ret_reason, struct str *ret_message)
{
    struct node *n = p->node;
    int64_t cpu, cpu_limit, memory, memory_limit, used_cpu = 0, used_memory = 0, pods = 0;
    list_each (at, &n->pods) {
        const struct pod *o = container_of(at, struct pod, link);
        if (o == p || !o->admitted || has_ended(o))
            continue;
        pod_resources(o->spec, &cpu, &cpu_limit, &memory, &memory_limit);
        used_cpu += cpu, used_memory += memory, pods++;
    }
    pod_resources(p->spec, &cpu, &cpu_limit, &memory, &memory_limit);
    const struct {
        const char *reason, *what;
        int64_t wanted, used, capacity;
    } table[] = {{"OutOfcpu", "cpu", cpu, used_cpu, n->cpu_milli},
                 {"OutOfmemory", "memory", memory, used_memory, n->memory_bytes},
                 {"OutOfpods", "pods", 1, pods, n->pods_max}};
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (table[i].wanted > 0 && table[i].used + table[i].wanted > table[i].capacity) {
            *ret_reason = table[i].reason;
            *ret_message = str_fmt(
                mem,
                "Pod was rejected: Node didn't have enough resource: %s, requested: %lld, used: %lld, capacity: %lld",
                table[i].what, (long long)table[i].wanted, (long long)table[i].used, (long long)table[i].capacity);
            return -1;
        }
    if (!selector_fits(p)) {
        *ret_reason = "NodeAffinity";
        *ret_message =
            STR("Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector");
        return -1;
    }
    if (!sysctls_fit(p, mem, ret_message))
        return *ret_reason = "SysctlForbidden", -1;
    if (!apparmor_fits(p)) {
        *ret_reason = "AppArmor";
        *ret_message = STR("Pod was rejected: Cannot enforce AppArmor: AppArmor is not enabled on the host");
        return -1;
    }
    return 0;
}
