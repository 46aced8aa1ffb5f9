/* Nodes: ready or not, what for, and what they run. */
#include "schema/print/print.h"

static struct str address(const struct row *r, const char *type)
{
    doc_each (a, doc_get(r->status, "addresses"))
        if (str_is(doc_str(a, "type"), type))
            return doc_str(a, "address");
    return STR("<none>");
}

/* Conditions are a map by type there: the last of a type stands. */
static struct str node_status(const struct row *r)
{
    const struct doc *ready = NULL;
    bool cordoned = doc_bool(r->spec, "unschedulable", false);
    doc_each (c, doc_get(r->status, "conditions"))
        if (str_is(doc_str(c, "type"), "Ready"))
            ready = c;
    const char *word = !ready ? "Unknown" : str_is(doc_str(ready, "status"), "True") ? "Ready" : "NotReady";
    return str_fmt(r->mem, "%s%s", word, cordoned ? ",SchedulingDisabled" : "");
}

/* node-role.kubernetes.io/ROLE labels, and the value of kubernetes.io/role: sorted, each once. */
static struct str roles(const struct row *r)
{
    const struct str prefix = STR("node-role.kubernetes.io/");
    struct doc *found = doc_new_object(r->mem);
    struct sb out = SB(r->mem);
    doc_each (l, doc_get(r->meta, "labels")) {
        struct str role = str_starts(l->key, prefix)             ? str_from(l->key, prefix.len)
                          : str_is(l->key, "kubernetes.io/role") ? doc_string(l)
                                                                 : STR("");
        if (role.len)
            doc_set(found, role, doc_new_null(r->mem));
    }
    doc_sort_keys(found);
    doc_each (role, found) {
        if (role != found->first)
            sb_addc(&out, ',');
        sb_add(&out, role->key);
    }
    return sb_str(&out);
}

void print_node(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_named(mem, obj, now_ms, cells);
    const struct doc *info = doc_get(r.status, "nodeInfo");
    row_str(&r, node_status(&r));
    row_or(&r, roles(&r), "<none>");
    row_age(&r);
    row_str(&r, doc_str(info, "kubeletVersion"));
    row_str(&r, address(&r, "InternalIP"));
    row_str(&r, address(&r, "ExternalIP"));
    row_or(&r, doc_str(info, "osImage"), "<unknown>");
    row_or(&r, doc_str(info, "kernelVersion"), "<unknown>");
    row_or(&r, doc_str(info, "containerRuntimeVersion"), "<unknown>");
}
