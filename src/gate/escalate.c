/* gate/escalate.c - see escalate.h. */
#include "gate/escalate.h"

#include "gate/internal.h"
#include "write/admission.h"

#define RBAC "rbac.authorization.k8s.io"

enum { ESCALATE_RIGHTS_MAX = 20000 }; /* single rights in one write; beyond it is refused */

/* ---- one rule covers another */

static bool list_has(const struct doc *list, struct str want)
{
    doc_each (item, list)
        if (str_eq(doc_string(item), want))
            return true;
    return false;
}

/* Each of wanted is in held, or held has "*". */
static bool list_covers(const struct doc *held, const struct doc *wanted)
{
    if (list_has(held, STR("*")))
        return true;
    doc_each (item, wanted)
        if (!list_has(held, doc_string(item)))
            return false;
    return true;
}

/* As list_covers; "*" + "/scale" in held covers that subresource of everything. */
static bool resources_cover(struct arena *mem, const struct doc *held, const struct doc *wanted)
{
    if (list_has(held, STR("*")))
        return true;
    doc_each (item, wanted) {
        struct str name, sub;
        if (list_has(held, doc_string(item)))
            continue;
        if (!str_cut(doc_string(item), '/', &name, &sub) || !list_has(held, str_fmt(mem, "*/" STR_FMT, STR_ARG(sub))))
            return false;
    }
    return true;
}

static bool path_covers(struct str held, struct str wanted)
{
    return str_eq(held, wanted) || (str_ends(held, STR("*")) && str_starts(wanted, str_head(held, held.len - 1)));
}

static bool paths_cover(const struct doc *held, const struct doc *wanted)
{
    doc_each (w, wanted) {
        bool found = false;
        doc_each (h, held)
            found |= path_covers(doc_string(h), doc_string(w));
        if (!found)
            return false;
    }
    return true;
}

static bool names_cover(const struct doc *held, const struct doc *wanted)
{
    return !doc_len(held) || (doc_len(wanted) && list_covers(held, wanted));
}

static bool rule_covers(struct arena *mem, const struct doc *held, const struct doc *right)
{
    return list_covers(doc_get(held, "verbs"), doc_get(right, "verbs")) &&
           list_covers(doc_get(held, "apiGroups"), doc_get(right, "apiGroups")) &&
           resources_cover(mem, doc_get(held, "resources"), doc_get(right, "resources")) &&
           paths_cover(doc_get(held, "nonResourceURLs"), doc_get(right, "nonResourceURLs")) &&
           names_cover(doc_get(held, "resourceNames"), doc_get(right, "resourceNames"));
}

/* ---- single rights, and their compact form */

struct missing {
    struct arena *mem;
    const struct doc *held;
    struct doc *list;
    int seen; /* rights looked at */
};

static void put_one(struct arena *mem, struct doc *rule, const char *key, struct str value)
{
    doc_push(doc_sub_array(mem, rule, key), doc_new_str(mem, value));
}

/* An earlier right to the same thing takes the verb; names keep rights apart. */
static struct doc *same_thing(const struct missing *m, const struct doc *right)
{
    static const char *const keys[] = {"apiGroups", "resources", "nonResourceURLs", "resourceNames"};
    doc_each (r, m->list) {
        bool same = !doc_get(right, "nonResourceURLs"); /* those stand alone */
        for (size_t i = 0; same && i < sizeof(keys) / sizeof(keys[0]); i++)
            same = str_eq(doc_string(doc_first(doc_get(r, keys[i]))), doc_string(doc_first(doc_get(right, keys[i]))));
        if (same && !doc_get(r, "nonResourceURLs"))
            return r;
    }
    return NULL;
}

static void judge_right(struct missing *m, struct doc *right)
{
    m->seen++;
    doc_each (h, m->held)
        if (rule_covers(m->mem, h, right))
            return;
    struct doc *same = same_thing(m, right), *verb = doc_first(doc_get(right, "verbs"));
    if (!same)
        doc_push(m->list, right);
    else if (!list_has(doc_get(same, "verbs"), doc_string(verb)))
        put_one(m->mem, same, "verbs", doc_string(verb));
}

static struct doc *new_right(struct missing *m, struct str verb)
{
    struct doc *right = doc_new_object(m->mem);
    put_one(m->mem, right, "verbs", verb);
    return right;
}

static void break_down_resource(struct missing *m, const struct doc *rule, struct str group, struct str resource,
                                struct str verb)
{
    const struct doc *names = doc_get(rule, "resourceNames"), *name = doc_first(names);
    do {
        struct doc *right = new_right(m, verb);
        put_one(m->mem, right, "apiGroups", group);
        put_one(m->mem, right, "resources", resource);
        if (name)
            put_one(m->mem, right, "resourceNames", doc_string(name));
        judge_right(m, right);
    } while (m->seen < ESCALATE_RIGHTS_MAX && name && (name = name->next));
}

static void break_down(struct missing *m, const struct doc *rule)
{
    const struct doc *verbs = doc_get(rule, "verbs");
    doc_each (group, doc_get(rule, "apiGroups"))
        doc_each (resource, doc_get(rule, "resources"))
            doc_each (verb, verbs) {
                if (m->seen < ESCALATE_RIGHTS_MAX)
                    break_down_resource(m, rule, doc_string(group), doc_string(resource), doc_string(verb));
            }
    doc_each (url, doc_get(rule, "nonResourceURLs"))
        doc_each (verb, verbs) {
            if (m->seen >= ESCALATE_RIGHTS_MAX)
                return;
            struct doc *right = new_right(m, doc_string(verb));
            put_one(m->mem, right, "nonResourceURLs", doc_string(url));
            judge_right(m, right);
        }
}

static struct doc *find_missing(struct arena *mem, const struct doc *held, const struct doc *wanted, bool *ret_too_many)
{
    struct missing m = {.mem = mem, .held = held, .list = doc_new_array(mem)};
    doc_each (rule, wanted)
        break_down(&m, rule);
    *ret_too_many = m.seen >= ESCALATE_RIGHTS_MAX;
    return m.list;
}

struct doc *escalate_missing(struct arena *mem, const struct doc *held, const struct doc *wanted)
{
    bool too_many;
    return find_missing(mem, held, wanted, &too_many);
}

static void describe_list(struct sb *b, const struct doc *rule, const char *key, const char *shown)
{
    const struct doc *list = doc_get(rule, key);
    if (!doc_len(list))
        return;
    sb_addf(b, "%s%s:[", b->ptr[b->len - 1] == '{' ? "" : ", ", shown);
    doc_each (item, list) {
        if (item != list->first)
            sb_addc(b, ' ');
        sb_addq(b, doc_string(item));
    }
    sb_addc(b, ']');
}

static struct str describe_rule(struct arena *mem, const struct doc *rule)
{
    struct sb b = SB(mem);
    sb_addc(&b, '{');
    describe_list(&b, rule, "apiGroups", "APIGroups");
    describe_list(&b, rule, "resources", "Resources");
    describe_list(&b, rule, "nonResourceURLs", "NonResourceURLs");
    describe_list(&b, rule, "resourceNames", "ResourceNames");
    describe_list(&b, rule, "verbs", "Verbs");
    sb_addc(&b, '}');
    return sb_str(&b);
}

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

struct str escalate_describe(struct arena *mem, const struct doc *rules)
{
    struct str *lines = arena_array(mem, struct str, doc_len(rules) + 1);
    size_t n = 0;
    doc_each (rule, rules)
        lines[n++] = describe_rule(mem, rule);
    if (n)
        qsort(lines, n, sizeof(*lines), by_text);
    struct sb b = SB(mem);
    for (size_t i = 0; i < n; i++) {
        if (i && str_eq(lines[i], lines[i - 1]))
            continue;
        if (i)
            sb_addc(&b, '\n');
        sb_add(&b, lines[i]);
    }
    return sb_str(&b);
}

/* ---- the writes */

static struct doc *held_by(struct gate *g, struct arena *mem, const struct user *u, struct str ns)
{
    struct doc *held = doc_new_array(mem), *paths = doc_new_array(mem);
    rbac_rules(g->rbac, mem, u, ns, held, paths);
    for (struct doc *d; (d = doc_first(paths));)
        doc_push(held, doc_remove(paths, d));
    return held;
}

static bool holds(struct gate *g, struct admission *a, const struct doc *wanted, struct str *ret_why)
{
    struct arena *mem = a->req->mem;
    const struct user *u = a->req->user;
    bool too_many;
    const struct doc *missing = find_missing(mem, held_by(g, mem, u, a->req->ns), wanted, &too_many);
    if (too_many) {
        *ret_why =
            str_fmt(mem, "more than %d single permissions can not be compared with those held", ESCALATE_RIGHTS_MAX);
        return false;
    }
    if (!doc_len(missing))
        return true;
    struct sb b = SB(mem);
    sb_addz(&b, "user ");
    sb_addq(&b, u->name);
    sb_addz(&b, " (groups=[");
    for (int i = 0; i < u->group_count; i++) {
        if (i)
            sb_addc(&b, ' ');
        sb_addq(&b, u->groups[i]);
    }
    sb_addz(&b, "]) is attempting to grant RBAC permissions not currently held:\n");
    sb_add(&b, escalate_describe(mem, missing));
    *ret_why = sb_str(&b);
    return false;
}

static bool may(struct gate *g, struct admission *a, const char *verb, struct str resource, struct str name)
{
    struct gate_attrs attrs = {.verb = str_of(verb),
                               .group = STR(RBAC),
                               .version = STR("*"),
                               .resource = resource,
                               .ns = a->req->ns,
                               .name = name};
    struct str why;
    return gate_authorize(g, a->req->mem, a->req->user, &attrs, &why);
}

/* Only what the garbage collector needs changes: whoever may write the object may do that. */
static bool only_collected(const struct admission *a)
{
    static const char *const keys[] = {"ownerReferences", "finalizers", "managedFields", "resourceVersion",
                                       "generation"};
    if (!a->old)
        return false;
    struct doc *pair[2] = {doc_copy(a->req->mem, a->obj), doc_copy(a->req->mem, a->old)};
    for (int i = 0; i < 2; i++)
        for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++)
            doc_del(doc_get(pair[i], "metadata"), keys[k]);
    return doc_eq(pair[0], pair[1]);
}

static const struct doc *everything(struct arena *mem)
{
    struct err err = ERR(mem);
    return doc_parse(mem,
                     STR("[{\"apiGroups\":[\"*\"],\"resources\":[\"*\"],\"verbs\":[\"*\"]},"
                         "{\"nonResourceURLs\":[\"*\"],\"verbs\":[\"*\"]}]"),
                     NULL, &err);
}

static int check_role(struct gate *g, struct admission *a, bool is_cluster)
{
    struct str why = STR_NULL, asked = a->verb == WRITE_CREATE ? STR_NULL : a->req->name;
    if (may(g, a, "escalate", str_of(a->req->res->name), asked))
        return 0;
    if (!holds(g, a, doc_get(a->obj, "rules"), &why))
        return admission_forbid(a, STR_FMT, STR_ARG(why));
    bool aggregates = doc_is(doc_get(a->obj, "aggregationRule"), DOC_OBJECT) ||
                      doc_is(doc_get(a->old, "aggregationRule"), DOC_OBJECT);
    if (is_cluster && aggregates && !holds(g, a, everything(a->req->mem), &why))
        return admission_forbid(a, "must have cluster-admin privileges to use the aggregationRule");
    return 0;
}

static int check_binding(struct gate *g, struct admission *a)
{
    const struct doc *ref = doc_get(a->obj, "roleRef");
    bool is_cluster = str_is(doc_str(ref, "kind"), "ClusterRole");
    struct str resource = is_cluster ? STR("clusterroles") : STR("roles"), name = doc_str(ref, "name"), why = STR_NULL;
    if (may(g, a, "bind", resource, name))
        return 0;
    const struct obj *role = cache_find(g->o.cache, schema_stored(RBAC, is_cluster ? "clusterroles" : "roles"),
                                        is_cluster ? STR_NULL : a->req->ns, name);
    if (!role)
        return err_not_found(a->err, STR(RBAC), resource, name);
    if (!holds(g, a, doc_get(obj_doc(a->req->mem, role), "rules"), &why))
        return admission_forbid(a, STR_FMT, STR_ARG(why));
    return 0;
}

int escalate_check(void *ctx, struct admission *a)
{
    struct gate *g = ctx;
    const struct resource *r = a->req->res;
    if (strcmp(r->group, RBAC) != 0 || !a->obj || !a->req->user || user_in_group(a->req->user, "system:masters") ||
        only_collected(a))
        return 0;
    if (!strcmp(r->name, "roles") || !strcmp(r->name, "clusterroles"))
        return check_role(g, a, r->name[0] == 'c');
    return check_binding(g, a);
}
