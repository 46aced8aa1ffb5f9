/* write/admit_taint_nodes_by_condition.c - a node is tainted not-ready until the node lifecycle controller says
 * otherwise. */
#include "write/admission.h"

static void mutate(struct admission *a)
{
    if (!admission_creates(a, "", "nodes"))
        return;
    struct arena *mem = a->req->mem;
    struct doc *taints = doc_sub_array(mem, doc_sub(mem, a->obj, "spec"), "taints");
    doc_each (t, taints)
        if (str_is(doc_str(t, "key"), "node.kubernetes.io/not-ready") && str_is(doc_str(t, "effect"), "NoSchedule"))
            return;
    struct doc *t = doc_push(taints, doc_new_object(mem));
    doc_put_str(mem, t, "key", STR("node.kubernetes.io/not-ready"));
    doc_put_str(mem, t, "effect", STR("NoSchedule"));
}

const struct admission_plugin admit_taint_nodes_by_condition = {.name = "TaintNodesByCondition", .mutate = mutate};
