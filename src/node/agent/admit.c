/* Does the pod fit this node, whoever sent it here. Source: kubelet lifecycle/predicate.go. */
#include "node/agent/pods.h"

static bool has_ended(const struct pod *p)
{
    struct str phase = doc_str(doc_get(p->obj, "status"), "phase");
    return p->state >= POD_ENDED || str_is(phase, "Succeeded") || str_is(phase, "Failed");
}

static bool selector_fits(const struct pod *p)
{
    struct str rest = str_of(p->node->opts.labels), pair, k, v;
    doc_each(want, doc_get(p->spec, "nodeSelector"))
    {
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

int pod_admit(struct pod *p, struct arena *mem, const char **ret_reason, struct str *ret_message)
{
    struct node *n = p->node;
    int64_t cpu, cpu_limit, memory, memory_limit, used_cpu = 0, used_memory = 0, pods = 0;
    list_each(at, &n->pods)
    {
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
    return 0;
}
