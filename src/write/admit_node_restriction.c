/* write/admit_node_restriction.c - an agent writes its own Node and Lease, and the status of pods bound to it; nothing
 * else.
 *
 * Source: kubernetes plugin/pkg/admission/noderestriction. What an agent may read is the node authorizer's (gate/). */
#include "write/admission.h"

static struct str node_of(const struct user *u)
{
    struct str prefix = STR("system:node:");
    return u && user_in_group(u, "system:nodes") && str_starts(u->name, prefix) ? str_from(u->name, prefix.len)
                                                                                : STR_NULL;
}

static int check_pod(struct admission *a, struct str node)
{
    const struct doc *pod = a->old ? a->old : a->obj;
    const char *sub = a->req->sub ? a->req->sub->name : "";
    if (a->verb == WRITE_CREATE && !doc_path(pod, "metadata", "annotations", "kubernetes.io/config.mirror", NULL) &&
        !a->req->sub)
        return admission_forbid(a,
                                "pod does not have \"kubernetes.io/config.mirror\" annotation, node \"" STR_FMT
                                "\" can only create mirror pods",
                                STR_ARG(node));
    if (!str_eq(doc_str(doc_get(pod, "spec"), "nodeName"), node))
        return admission_forbid(a, "node \"" STR_FMT "\" can only %s pods with spec.nodeName set to itself",
                                STR_ARG(node), a->verb == WRITE_DELETE ? "delete" : "update pod status for");
    if ((a->verb == WRITE_UPDATE || a->verb == WRITE_PATCH) && strcmp(sub, "status") != 0)
        return admission_forbid(a, "node \"" STR_FMT "\" may only update the status of its pods", STR_ARG(node));
    return 0;
}

static int validate(struct admission *a)
{
    struct str node = node_of(a->req->user);
    if (!node.len)
        return 0;
    if (admission_is(a, "", "pods"))
        return check_pod(a, node);
    if (admission_is(a, "", "nodes") && !str_eq(a->req->name, node))
        return admission_forbid(a, "node \"" STR_FMT "\" is not allowed to modify node \"" STR_FMT "\"", STR_ARG(node),
                                STR_ARG(a->req->name));
    if (admission_is(a, "coordination.k8s.io", "leases") &&
        (!str_is(a->req->ns, "kube-node-lease") || !str_eq(a->req->name, node)))
        return admission_forbid(
            a, "node \"" STR_FMT "\" can only access node lease with the same name as the requesting node",
            STR_ARG(node));
    return 0;
}

const struct admission_plugin admit_node_restriction = {.name = "NodeRestriction", .validate = validate};
