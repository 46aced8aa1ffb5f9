/* gate/authz.c - may they: the node authorizer first, then RBAC. Wording as apiserver's responsewriters. */
#include "gate/internal.h"

bool gate_authorize(struct gate *g, struct arena *mem, const struct user *u, const struct gate_attrs *a,
                    struct str *ret_why)
{
    struct str why = STR_NULL;
    bool denied = false;
    if (user_in_group(u, "system:masters"))
        return true;
    if (node_allows(g, mem, u, a, &denied, &why))
        return true;
    if (!denied && rbac_allows(g->rbac, u, a))
        return true;
    *ret_why = why;
    return false;
}

void gate_forbid(struct err *err, const struct user *u, const struct gate_attrs *a, struct str why)
{
    struct sb b = SB(err->mem);
    if (!a->resource.len) {
        err_set(err, ERR_FORBIDDEN, "forbidden: User \"" STR_FMT "\" cannot " STR_FMT " path \"" STR_FMT "\"",
                STR_ARG(u->name), STR_ARG(a->verb), STR_ARG(a->path));
        return;
    }
    struct str resource = a->subresource.len
                              ? str_fmt(err->mem, STR_FMT "/" STR_FMT, STR_ARG(a->resource), STR_ARG(a->subresource))
                              : a->resource;
    sb_add(&b, a->resource);
    if (a->group.len)
        sb_addf(&b, "." STR_FMT, STR_ARG(a->group));
    if (a->name.len)
        sb_addf(&b, " \"" STR_FMT "\"", STR_ARG(a->name));
    sb_addf(&b,
            " is forbidden: User \"" STR_FMT "\" cannot " STR_FMT " resource \"" STR_FMT "\" in API group \"" STR_FMT
            "\"",
            STR_ARG(u->name), STR_ARG(a->verb), STR_ARG(resource), STR_ARG(a->group));
    if (a->ns.len)
        sb_addf(&b, " in the namespace \"" STR_FMT "\"", STR_ARG(a->ns));
    else
        sb_addz(&b, " at the cluster scope");
    if (why.len)
        sb_addf(&b, ": " STR_FMT, STR_ARG(why));
    err_set(err, ERR_FORBIDDEN, STR_FMT, STR_ARG(sb_str(&b)));
    err->group = a->group, err->kind = a->resource, err->name = a->name;
}

void gate_rules(struct gate *g, struct arena *mem, const struct user *u, struct str ns, struct doc *ret_resource_rules,
                struct doc *ret_non_resource_rules)
{
    rbac_rules(g->rbac, mem, u, ns, ret_resource_rules, ret_non_resource_rules);
}
