/* schema/rules/warn.c - what is allowed in a pod but hardly meant: Warning headers, no mistakes.
 *
 * Said when an object is made or its spec changes. Source: kubernetes pkg/api/pod/warnings.go. */
#include "schema/rules/rules.h"

static void warn_env(struct rule_ctx *c, const struct fpath *at, const struct doc *env)
{
    cleanup_set struct rule_set seen = {0};
    rule_each (var, env) {
        struct str name = doc_str(var, "name"), where = fpath_str(c->mem, AT_INDEX(at, var_i));
        if (!rule_set_add(&seen, name))
            schema_warn(c,
                        STR_FMT ": hides previous definition of \"" STR_FMT "\", which may be dropped when using apply",
                        STR_ARG(where), STR_ARG(name));
    }
}

static bool same_port(const struct doc *a, const struct doc *b)
{
    return doc_int(a, "containerPort", 0) == doc_int(b, "containerPort", 0) &&
           doc_int(a, "hostPort", 0) == doc_int(b, "hostPort", 0) &&
           str_eq(doc_str(a, "hostIP"), doc_str(b, "hostIP")) && str_eq(doc_str(a, "protocol"), doc_str(b, "protocol"));
}

static void warn_ports(struct rule_ctx *c, const struct fpath *at, const struct doc *ports)
{
    rule_each (port, ports) {
        int k = 0;
        while (k < port_i && !same_port(doc_at(ports, k), port))
            k++;
        if (k == port_i)
            continue;
        struct str here = fpath_str(c->mem, AT_INDEX(at, port_i)), first = fpath_str(c->mem, AT_INDEX(at, k));
        schema_warn(c, STR_FMT ": duplicate port definition with " STR_FMT, STR_ARG(here), STR_ARG(first));
    }
}

void warn_container(struct rule_ctx *c, const struct fpath *at, const struct doc *ctr)
{
    if (!c->warnings || (c->old_root && doc_eq(doc_get(c->root, "spec"), doc_get(c->old_root, "spec"))))
        return;
    warn_ports(c, AT(at, "ports"), doc_get(ctr, "ports"));
    warn_env(c, AT(at, "env"), doc_get(ctr, "env"));
}
