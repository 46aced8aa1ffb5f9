/* control/namespace.c - a namespace that is being deleted loses its content, then its finalizer.
 *
 * Pods go first and everything else when they are gone, so that a pod never outlives what guards it (KEP-5080). Source:
 * kubernetes pkg/controller/namespace/deletion. */
#include "control/conditions.h"
#include "control/internal.h"

enum { DELETES_PER_PASS = 500 };

struct remaining {
    const struct resource *res;
    int count;
};
struct finalizing {
    struct str name;
    int count;
};
struct content {
    struct remaining *kinds; /* what is left, in order of the table */
    int kind_count;
    struct finalizing *finalizers; /* in order of name */
    int finalizer_count;
    int begun; /* deletes of this pass */
};

static bool is_content(const struct resource *res)
{
    return res->namespaced && !res->stored_as && (res->verbs & VERB_DELETE) && (res->verbs & VERB_LIST);
}

static int resource_count(void)
{
    int n = 0;
    while (schema_resources[n])
        n++;
    return n;
}

static void count_finalizer(struct arena *mem, struct content *c, struct str name)
{
    int at = 0;
    while (at < c->finalizer_count && str_cmp(c->finalizers[at].name, name) < 0)
        at++;
    if (at < c->finalizer_count && str_eq(c->finalizers[at].name, name)) {
        c->finalizers[at].count++;
        return;
    }
    struct finalizing *more = arena_array(mem, struct finalizing, c->finalizer_count + 1);
    memcpy(more, c->finalizers, sizeof(*more) * at);
    more[at] = (struct finalizing){name, 1};
    memcpy(more + at + 1, c->finalizers + at, sizeof(*more) * (c->finalizer_count - at));
    c->finalizers = more;
    c->finalizer_count++;
}

static void delete_kind(struct reconcile *r, struct content *c, const struct resource *res, struct str ns)
{
    struct remaining left = {.res = res};
    struct cache_iter it = cache_list(r->cache, obj_prefix(r->mem, res, ns), STR_NULL);
    for (struct obj *o; (o = cache_next(&it));) {
        left.count++;
        if (!o->deleting && c->begun < DELETES_PER_PASS) {
            reconcile_delete(r, o);
            c->begun++;
        }
        if (o->deleting) {
            doc_each (f, doc_path(obj_doc(r->mem, o), "metadata", "finalizers", NULL))
                count_finalizer(r->mem, c, doc_string(f));
        }
    }
    if (left.count)
        c->kinds[c->kind_count++] = left;
}

static struct content delete_content(struct reconcile *r, struct str ns)
{
    struct content c = {.kinds = arena_array(r->mem, struct remaining, resource_count() + 1),
                        .finalizers = arena_array(r->mem, struct finalizing, 1)};
    const struct resource *pods = schema_stored("", "pods");
    delete_kind(r, &c, pods, ns);
    if (c.kind_count)
        return c;
    for (int i = 0; schema_resources[i]; i++)
        if (schema_resources[i] != pods && is_content(schema_resources[i]))
            delete_kind(r, &c, schema_resources[i], ns);
    return c;
}

/* ---- conditions */

static void set(struct reconcile *r, struct doc *status, const char *type, bool bad, const char *reason,
                struct str message)
{
    const struct doc *old = condition_get(status, type);
    struct condition c = {.type = type, .status = bad ? "True" : "False", .reason = reason, .message = message};
    c.refresh = old && !str_eq(doc_str(old, "message"), message);
    condition_set(r->mem, status, &c, write_time(r->mem, r->wall_ms));
}

static struct str kinds_text(struct arena *mem, const struct content *c)
{
    struct sb out = SB(mem);
    sb_addz(&out, "Some resources are remaining: ");
    for (int i = 0; i < c->kind_count; i++)
        sb_addf(&out, "%s%s.%s has %d resource instances", i ? ", " : "", c->kinds[i].res->name, c->kinds[i].res->group,
                c->kinds[i].count);
    return sb_str(&out);
}

static struct str finalizers_text(struct arena *mem, const struct content *c)
{
    struct sb out = SB(mem);
    sb_addz(&out, "Some finalizers are remaining: ");
    for (int i = 0; i < c->finalizer_count; i++)
        sb_addf(&out, "%s" STR_FMT " in %d resource instances", i ? ", " : "", STR_ARG(c->finalizers[i].name),
                c->finalizers[i].count);
    return sb_str(&out);
}

static void report(struct reconcile *r, const struct obj *o, const struct content *c)
{
    static const struct str removed = {"All content successfully removed", 32};
    struct doc *ns = obj_doc(r->mem, o), *status = doc_sub(r->mem, ns, "status");
    bool left = c->kind_count > 0, finalizing = c->finalizer_count > 0;
    set(r, status, "NamespaceDeletionDiscoveryFailure", false, "ResourcesDiscovered",
        STR("All resources successfully discovered"));
    set(r, status, "NamespaceDeletionGroupVersionParsingFailure", false, "ParsedGroupVersions",
        STR("All legacy kube types successfully parsed"));
    set(r, status, "NamespaceDeletionContentFailure", false, "ContentDeleted",
        STR("All content successfully deleted, may be waiting on finalization"));
    set(r, status, "NamespaceContentRemaining", left, left ? "SomeResourcesRemain" : "ContentRemoved",
        left ? kinds_text(r->mem, c) : removed);
    set(r, status, "NamespaceFinalizersRemaining", finalizing, finalizing ? "SomeFinalizersRemain" : "ContentRemoved",
        finalizing ? finalizers_text(r->mem, c) : removed);
    reconcile_update(r, o->res, "status", ns);
}

static void finalize(struct reconcile *r, const struct obj *o)
{
    struct doc *ns = obj_doc(r->mem, o), *spec = doc_sub(r->mem, ns, "spec"), *rest = doc_new_array(r->mem);
    doc_each (f, doc_get(spec, "finalizers")) {
        if (!str_is(doc_string(f), "kubernetes"))
            doc_push(rest, doc_new_str(r->mem, doc_string(f)));
    }
    doc_put(r->mem, spec, "finalizers", rest);
    reconcile_update(r, o->res, "finalize", ns);
}

static bool has_our_finalizer(const struct doc *ns)
{
    doc_each (f, doc_path(ns, "spec", "finalizers", NULL)) {
        if (str_is(doc_string(f), "kubernetes"))
            return true;
    }
    return false;
}

static void reconcile(struct reconcile *r)
{
    const struct obj *o = cache_get(r->cache, r->key);
    if (!o || !o->deleting || !has_our_finalizer(obj_doc(r->mem, o)))
        return;
    struct content c = delete_content(r, o->name);
    if (c.kind_count)
        report(r, o, &c);
    else
        finalize(r, o);
}

/* Content that goes, or changes on its way, may be the last. */
static void on_anything(struct controller *c, const struct cache_event *ev)
{
    const struct obj *o = ev->obj;
    if (!o->ns.len || (ev->type == CACHE_MODIFIED && !o->deleting))
        return;
    char key[OBJ_KEY_MAX];
    struct str ns_key = obj_key_put(key, schema_stored("", "namespaces"), STR_NULL, o->ns);
    const struct obj *ns = cache_get(controller_cache(c), ns_key);
    if (ns && ns->deleting)
        controller_enqueue(c, ns_key);
}

const struct controller_kind controller_namespace = {
    .name = "namespace",
    .watches = {{"", "namespaces"}, {"*", "", on_anything}},
    .reconcile = reconcile,
};
