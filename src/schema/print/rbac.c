/* RoleBindings and ClusterRoleBindings. Roles have no columns of their own. */
#include "schema/print/print.h"

/* The subjects of one kind; accounts with their namespace. */
static void row_subjects(struct row *r, const char *kind, bool qualified)
{
    struct sb out = SB(r->mem);
    doc_each (s, doc_get(r->obj, "subjects")) {
        if (!str_is(doc_str(s, "kind"), kind))
            continue;
        if (out.len)
            sb_addz(&out, ", ");
        if (qualified)
            sb_addf(&out, STR_FMT "/", STR_ARG(doc_str(s, "namespace")));
        sb_add(&out, doc_str(s, "name"));
    }
    row_str(r, sb_str(&out));
}

void print_role_binding(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    const struct doc *role = doc_get(obj, "roleRef");
    row_fmt(&r, STR_FMT "/" STR_FMT, STR_ARG(doc_str(role, "kind")), STR_ARG(doc_str(role, "name")));
    row_age(&r);
    row_subjects(&r, "User", false);
    row_subjects(&r, "Group", false);
    row_subjects(&r, "ServiceAccount", true);
}
