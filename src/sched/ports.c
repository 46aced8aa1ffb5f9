/* sched/ports.c - NodePorts: host ports of a pod that others on the node hold. */
#include "sched/plugins.h"

static bool clash(const struct host_port *a, const struct host_port *b)
{
    bool any = str_is(a->ip, "0.0.0.0") || str_is(b->ip, "0.0.0.0") || str_eq(a->ip, b->ip);
    return any && a->port == b->port && str_eq(a->protocol, b->protocol);
}

const char *filter_ports(const struct cycle *c, int row, const struct node_info *n)
{
    if (!c->pod->port_count)
        return NULL;
    list_each (l, &n->pods) {
        const struct pod_info *p = container_of(l, struct pod_info, link);
        for (int i = 0; i < p->port_count; i++)
            for (int k = 0; k < c->pod->port_count; k++)
                if (clash(&p->ports[i], &c->pod->ports[k]))
                    return "node(s) didn't have free ports for the requested pod ports";
    }
    return NULL;
}
