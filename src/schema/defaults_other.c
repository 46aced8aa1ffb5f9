/* Defaults of the other groups that are no constants. */
#include "schema/defaults.h"

void default_network_policy_spec(struct arena *mem, struct doc *spec, const struct doc *root)
{
    if (doc_len(doc_get(spec, "policyTypes")))
        return;
    struct doc *types = doc_put(mem, spec, "policyTypes", doc_new_array(mem));
    doc_push(types, doc_new_str(mem, STR("Ingress")));
    if (doc_len(doc_get(spec, "egress")))
        doc_push(types, doc_new_str(mem, STR("Egress")));
}

void default_csi_driver_spec(struct arena *mem, struct doc *spec, const struct doc *root)
{
    if (doc_len(doc_get(spec, "volumeLifecycleModes")) == 0)
        doc_push(doc_put(mem, spec, "volumeLifecycleModes", doc_new_array(mem)), doc_new_str(mem, STR("Persistent")));
}

void default_subject(struct arena *mem, struct doc *s, const struct doc *root)
{
    struct str kind = doc_str(s, "kind");
    if (str_is(kind, "User") || str_is(kind, "Group"))
        set_blank(mem, s, "apiGroup", "rbac.authorization.k8s.io");
}
