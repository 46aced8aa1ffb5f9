/* gate/rbac.c - role based access control over compiled rules.
 *
 * Roles and bindings are read from the cache once and compiled again when one of them changed; a decision walks the
 * bindings and compares strings, no document is touched. Source: kubernetes plugin/pkg/auth/authorizer/rbac. */
#include "gate/internal.h"

struct rule {
    struct str *verbs, *groups, *resources, *names, *paths;
    int verb_count, group_count, resource_count, name_count, path_count;
};
struct rules {
    struct rule *items;
    int count;
};
enum subject_kind { SUBJECT_USER, SUBJECT_GROUP, SUBJECT_ACCOUNT };
struct subject {
    enum subject_kind kind;
    struct str name; /* of an account: system:serviceaccount:NS:NAME */
};
struct binding {
    struct str ns; /* empty: cluster wide */
    struct subject *subjects;
    int subject_count;
    const struct rules *rules;
};
struct rbac {
    struct gate *g;
    struct cache_sub sub;
    struct arena *mem; /* of the compiled state */
    struct binding *bindings;
    int binding_count;
    bool dirty;
};

#define RBAC_PREFIX "rbac.authorization.k8s.io/"

static void on_change(struct cache_sub *sub, struct cache_event *ev)
{
    container_of(sub, struct rbac, sub)->dirty = true;
}

struct rbac *rbac_new(struct gate *g)
{
    struct rbac *r = calloc(1, sizeof(*r));
    if (!r)
        abort(); /* at start */
    r->g = g, r->mem = arena_new(), r->dirty = true;
    list_init(&r->sub.link);
    r->sub.prefix = STR(RBAC_PREFIX), r->sub.on_event = on_change;
    cache_subscribe(g->o.cache, &r->sub, 0, NULL);
    return r;
}

struct rbac *rbac_free(struct rbac *r)
{
    if (!r)
        return NULL;
    cache_unsubscribe(r->g->o.cache, &r->sub);
    arena_free(r->mem);
    free(r);
    return NULL;
}

/* ---- compiling */

static struct str *strings(struct arena *mem, const struct doc *list, int *ret_count)
{
    struct str *s = arena_array(mem, struct str, doc_len(list) + 1);
    int n = 0;
    doc_each (item, list)
        s[n++] = str_dup(mem, doc_string(item));
    *ret_count = n;
    return s;
}

static const struct rules *compile_rules(struct rbac *r, const struct obj *role)
{
    cleanup_arena struct arena *tmp = arena_new();
    struct arena *mem = r->mem;
    const struct doc *list = doc_get(obj_doc(tmp, role), "rules");
    struct rules *rules = arena_new_of(mem, struct rules);
    rules->items = arena_array(mem, struct rule, doc_len(list) + 1);
    doc_each (d, list) {
        struct rule *rule = &rules->items[rules->count++];
        rule->verbs = strings(mem, doc_get(d, "verbs"), &rule->verb_count);
        rule->groups = strings(mem, doc_get(d, "apiGroups"), &rule->group_count);
        rule->resources = strings(mem, doc_get(d, "resources"), &rule->resource_count);
        rule->names = strings(mem, doc_get(d, "resourceNames"), &rule->name_count);
        rule->paths = strings(mem, doc_get(d, "nonResourceURLs"), &rule->path_count);
    }
    return rules;
}

static struct subject compile_subject(struct arena *mem, const struct doc *d, struct str binding_ns)
{
    struct str kind = doc_str(d, "kind"), name = doc_str(d, "name"), ns = doc_str(d, "namespace");
    if (str_is(kind, "ServiceAccount"))
        return (struct subject){SUBJECT_ACCOUNT, str_fmt(mem, "system:serviceaccount:" STR_FMT ":" STR_FMT,
                                                         STR_ARG(ns.len ? ns : binding_ns), STR_ARG(name))};
    return (struct subject){str_is(kind, "Group") ? SUBJECT_GROUP : SUBJECT_USER, str_dup(mem, name)};
}

static const struct rules *rules_of(struct rbac *r, struct map *compiled, const struct doc *ref, struct str ns)
{
    bool is_cluster = str_is(doc_str(ref, "kind"), "ClusterRole");
    const struct resource *res = schema_stored("rbac.authorization.k8s.io", is_cluster ? "clusterroles" : "roles");
    const struct obj *role = cache_find(r->g->o.cache, res, is_cluster ? STR_NULL : ns, doc_str(ref, "name"));
    if (!role)
        return NULL;
    const struct rules *rules = map_get(compiled, role->key);
    if (!rules) {
        rules = compile_rules(r, role);
        map_put(compiled, role->key, (void *)rules);
    }
    return rules;
}

static void compile_binding(struct rbac *r, struct map *compiled, const struct obj *o)
{
    cleanup_arena struct arena *tmp = arena_new();
    const struct doc *d = obj_doc(tmp, o), *subjects = doc_get(d, "subjects");
    const struct rules *rules = rules_of(r, compiled, doc_get(d, "roleRef"), o->ns);
    if (!rules || !doc_len(subjects))
        return;
    struct binding *b = &r->bindings[r->binding_count++];
    b->ns = str_dup(r->mem, o->ns), b->rules = rules;
    b->subjects = arena_array(r->mem, struct subject, doc_len(subjects));
    doc_each (s, subjects)
        b->subjects[b->subject_count++] = compile_subject(r->mem, s, o->ns);
}

static void compile(struct rbac *r)
{
    static const char *const prefixes[] = {RBAC_PREFIX "clusterrolebindings/", RBAC_PREFIX "rolebindings/"};
    static const char *const names[] = {"clusterrolebindings", "rolebindings"};
    const struct cache *c = r->g->o.cache;
    struct map compiled = MAP_INIT;
    arena_reset(r->mem);
    r->binding_count = 0;
    uint64_t count = 0;
    for (int i = 0; i < 2; i++)
        count += cache_count(c, schema_stored("rbac.authorization.k8s.io", names[i]));
    r->bindings = arena_array(r->mem, struct binding, count + 1);
    for (int i = 0; i < 2; i++) {
        struct cache_iter it = cache_list(c, str_of(prefixes[i]), STR_NULL);
        for (const struct obj *o; (o = cache_next(&it));)
            compile_binding(r, &compiled, o);
    }
    map_done(&compiled);
    r->dirty = false;
}

/* ---- deciding */

static bool has(const struct str *list, int count, struct str want)
{
    for (int i = 0; i < count; i++)
        if (str_is(list[i], "*") || str_eq(list[i], want))
            return true;
    return false;
}

/* "pods/log", "*", "*" + "/scale" */
static bool resource_matches(const struct rule *rule, const struct gate_attrs *a)
{
    for (int i = 0; i < rule->resource_count; i++) {
        struct str r = rule->resources[i], name, sub;
        if (str_is(r, "*"))
            return true;
        if (!str_cut(r, '/', &name, &sub)) {
            if (!a->subresource.len && str_eq(r, a->resource))
                return true;
        } else if (a->subresource.len && str_eq(sub, a->subresource) &&
                   (str_is(name, "*") || str_eq(name, a->resource))) {
            return true;
        }
    }
    return false;
}

static bool path_matches(const struct rule *rule, struct str path)
{
    for (int i = 0; i < rule->path_count; i++) {
        struct str p = rule->paths[i];
        if (str_eq(p, path) || str_is(p, "*") || (str_ends(p, STR("*")) && str_starts(path, str_head(p, p.len - 1))))
            return true;
    }
    return false;
}

static bool name_matches(const struct rule *rule, struct str name)
{
    if (!rule->name_count)
        return true;
    for (int i = 0; i < rule->name_count; i++)
        if (name.len && str_eq(rule->names[i], name))
            return true;
    return false;
}

static bool rule_allows(const struct rule *rule, const struct gate_attrs *a)
{
    if (!has(rule->verbs, rule->verb_count, a->verb))
        return false;
    if (!a->resource.len)
        return path_matches(rule, a->path);
    return has(rule->groups, rule->group_count, a->group) && resource_matches(rule, a) && name_matches(rule, a->name);
}

static bool applies(const struct binding *b, const struct user *u)
{
    for (int i = 0; i < b->subject_count; i++) {
        const struct subject *s = &b->subjects[i];
        if (s->kind != SUBJECT_GROUP) {
            if (str_eq(s->name, u->name))
                return true;
            continue;
        }
        for (int g = 0; g < u->group_count; g++)
            if (str_eq(s->name, u->groups[g]))
                return true;
    }
    return false;
}

bool rbac_allows(struct rbac *r, const struct user *u, const struct gate_attrs *a)
{
    if (r->dirty)
        compile(r);
    for (int i = 0; i < r->binding_count; i++) {
        const struct binding *b = &r->bindings[i];
        if (b->ns.len && (!a->ns.len || !str_eq(b->ns, a->ns)))
            continue;
        if (!applies(b, u))
            continue;
        for (int n = 0; n < b->rules->count; n++)
            if (rule_allows(&b->rules->items[n], a))
                return true;
    }
    return false;
}

static void put_strings(struct arena *mem, struct doc *to, const char *key, const struct str *list, int count)
{
    if (!count && strcmp(key, "verbs") != 0)
        return;
    struct doc *a = doc_put(mem, to, key, doc_new_array(mem));
    for (int i = 0; i < count; i++)
        doc_push(a, doc_new_str(mem, str_dup(mem, list[i])));
}

static void put_rule(struct arena *mem, const struct rule *rule, struct doc *resource_rules,
                     struct doc *non_resource_rules)
{
    struct doc *d = doc_new_object(mem);
    put_strings(mem, d, "verbs", rule->verbs, rule->verb_count);
    if (rule->path_count) {
        put_strings(mem, d, "nonResourceURLs", rule->paths, rule->path_count);
        doc_push(non_resource_rules, d);
        return;
    }
    put_strings(mem, d, "apiGroups", rule->groups, rule->group_count);
    put_strings(mem, d, "resources", rule->resources, rule->resource_count);
    put_strings(mem, d, "resourceNames", rule->names, rule->name_count);
    doc_push(resource_rules, d);
}

void rbac_rules(struct rbac *r, struct arena *mem, const struct user *u, struct str ns, struct doc *resource_rules,
                struct doc *non_resource_rules)
{
    if (r->dirty)
        compile(r);
    for (int i = 0; i < r->binding_count; i++) {
        const struct binding *b = &r->bindings[i];
        if ((!b->ns.len || str_eq(b->ns, ns)) && applies(b, u))
            for (int n = 0; n < b->rules->count; n++)
                put_rule(mem, &b->rules->items[n], resource_rules, non_resource_rules);
    }
}
