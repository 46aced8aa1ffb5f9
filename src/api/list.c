/* api/list.c - LIST: which objects, as of which revision, and how many of them.
 *
 * Source: k8s.io/apiserver pkg/storage (GetList), docs "Resource versions" (the table of resourceVersionMatch and
 * limit). */
#include "api/internal.h"

struct str list_prefix(struct arena *mem, const struct resource *res, struct str ns)
{
    struct str prefix = obj_prefix(mem, stored_res(res), ns);
    return res->namespaced ? prefix : str_fmt(mem, STR_FMT "/", STR_ARG(prefix));
}

int parse_rev(struct api_req *r, struct str text, bool for_watch, uint64_t *ret)
{
    static const struct fpath at = {NULL, "resourceVersion", 0, {0}};
    uint64_t now = cache_rev(r->api->cache);
    *ret = 0;
    if (!text.len)
        return 0;
    if (!str_to_u64(text, ret)) {
        struct str why =
            str_fmt(r->mem, "strconv.ParseUint: parsing " STR_FMT ": invalid syntax", STR_ARG(str_quote(r->mem, text)));
        if (!for_watch)
            return err_set(&r->err, ERR_BAD_REQUEST,
                           "invalid resource version: resourceVersion: Invalid value: " STR_FMT ": " STR_FMT,
                           STR_ARG(str_quote(r->mem, text)), STR_ARG(why));
        err_cause_str(&r->err, CAUSE_INVALID, &at, text, "%.*s", STR_ARG(why));
        return err_invalid(&r->err, str_of(r->res->group), str_of(r->res->name), r->info.name);
    }
    if (!for_watch && *ret > now) {
        err_set(&r->err, ERR_TIMEOUT, "Timeout: Too large resource version: %llu, current: %llu",
                (unsigned long long)*ret, (unsigned long long)now);
        r->err.retry_after_s = 1;
        r->cause_type = "ResourceVersionTooLarge";
        r->cause_text = STR("Too large resource version");
        return -1;
    }
    return 0;
}

/* ---- gathering */

struct found {
    struct arena *mem;
    struct obj **objs;
    int count, cap;
};

static void found_add(struct found *f, struct obj *o)
{
    if (f->count == f->cap) {
        int cap = f->cap ? f->cap * 2 : 64;
        size_t one = sizeof(*f->objs);
        f->objs = f->cap ? arena_grow(f->mem, f->objs, one * (size_t)f->cap, one * (size_t)cap)
                         : arena_alloc(f->mem, one * (size_t)cap);
        f->cap = cap;
    }
    f->objs[f->count++] = o;
}

/* Pods of one node are found by index, as the kubelets ask. */
static bool by_node(struct api *a, struct arena *mem, const struct choice *c, struct str prefix, struct str after,
                    struct found *f)
{
    struct str node;
    if (!c->fields || strcmp(c->res->name, "pods") != 0 || c->res->group[0] ||
        !selector_exact(c->fields, STR("spec.nodeName"), &node) || !node.len)
        return false;
    int n = 0;
    struct obj **pods = cache_pods_of_node(a->cache, mem, node, &n);
    for (int i = 0; i < n; i++)
        if (str_starts(pods[i]->key, prefix) && str_cmp(pods[i]->key, after) > 0 && choice_takes(a, c, pods[i]))
            found_add(f, pods[i]);
    return true;
}

/* What stands under a selector of one name is looked up. */
static bool by_name(struct api *a, struct arena *mem, const struct choice *c, struct str prefix, struct str after,
                    struct found *f)
{
    struct str name;
    size_t slashes = 0;
    if (!c->fields || !selector_exact(c->fields, STR("metadata.name"), &name))
        return false;
    for (size_t i = 0; i < prefix.len; i++)
        slashes += prefix.ptr[i] == '/';
    if (c->res->namespaced && slashes < (stored_res(c->res)->group[0] ? 3u : 2u)) /* of all namespaces */
        return false;
    struct obj *o = cache_get(a->cache, str_fmt(mem, STR_FMT STR_FMT, STR_ARG(prefix), STR_ARG(name)));
    if (o && str_cmp(o->key, after) > 0 && choice_takes(a, c, o))
        found_add(f, o);
    return true;
}

static int present(struct api *a, const struct choice *c, struct str prefix, struct str after, int64_t limit,
                   struct found *f)
{
    struct cache_iter it = cache_list(a->cache, prefix, after);
    bool all = choice_all(c);
    for (struct obj *o; (o = cache_next(&it));) {
        if (!all && !choice_takes(a, c, o))
            continue;
        found_add(f, o);
        if (!all && limit > 0 && f->count > limit)
            break;
    }
    return 0;
}

static int past(struct api *a, struct arena *mem, const struct choice *c, struct str prefix, struct str after,
                uint64_t rev, struct found *f, struct err *err)
{
    struct obj **objs;
    int count;
    bool more;
    if (cache_list_at(a->cache, mem, prefix, after, rev, 0, &objs, &count, &more, err) < 0)
        return -1;
    for (int i = 0; i < count; i++)
        if (choice_all(c) || choice_takes(a, c, objs[i]))
            found_add(f, objs[i]);
    return 0;
}

int list_gather(struct api *a, struct arena *mem, const struct choice *c, struct str prefix, struct str after,
                uint64_t rev, int64_t limit, struct obj ***ret, int *ret_count, bool *ret_more, int64_t *ret_remaining,
                struct err *err)
{
    struct found f = {.mem = mem};
    bool now = rev == 0 || rev == cache_rev(a->cache);
    if (!now) {
        if (past(a, mem, c, prefix, after, rev, &f, err) < 0)
            return -1;
    } else if (!by_node(a, mem, c, prefix, after, &f) && !by_name(a, mem, c, prefix, after, &f)) {
        present(a, c, prefix, after, limit, &f);
    }
    *ret_more = limit > 0 && f.count > limit;
    *ret_remaining = *ret_more && choice_all(c) ? f.count - limit : -1;
    *ret = f.objs;
    *ret_count = *ret_more ? (int)limit : f.count;
    return 0;
}

/* ---- the request */

/* From which revision, and behind which key. *ret_rev 0: the present. */
static int settle_start(struct api_req *r, const struct list_opts *o, struct str prefix, uint64_t *ret_rev,
                        struct str *ret_after)
{
    int64_t token_rev;
    *ret_rev = 0;
    *ret_after = STR_NULL;
    if (o->cont.len) {
        if (o->rev.len && !str_is(o->rev, "0"))
            return err_set(&r->err, ERR_BAD_REQUEST, "specifying resource version is not allowed when using continue");
        if (continue_decode(r->mem, o->cont, prefix, &token_rev, ret_after, &r->err) < 0)
            return -1;
        *ret_rev = token_rev > 0 ? (uint64_t)token_rev : 0;
        return 0;
    }
    if (parse_rev(r, o->rev, false, ret_rev) < 0)
        return -1;
    bool exact = str_is(o->rev_match, "Exact") || (!o->rev_match.len && o->limit > 0 && *ret_rev);
    if (!exact)
        *ret_rev = 0;
    return 0;
}

/* 410 of a continue token comes with one that goes on from the same key in the present. */
static void expired(struct api_req *r, const struct list_opts *o, struct str prefix, struct str after)
{
    if (!o->cont.len || r->err.reason != ERR_EXPIRED)
        return;
    r->continue_token = continue_encode(r->mem, -1, prefix, after);
    err_set(
        &r->err, ERR_EXPIRED,
        "The provided continue parameter is too old to display a consistent list result. You can start a new list "
        "without the continue parameter, or use the continue token in this response to retrieve the remainder of the "
        "results. Continuing with the provided token results in an inconsistent list - objects that were created, "
        "modified, or deleted between the time the first chunk was returned and now may show up in the list.");
}

void handle_list(struct api_req *r)
{
    struct list_opts o;
    struct choice c;
    struct str after;
    struct obj **objs;
    int count;
    bool more;
    struct list_meta meta = {0};
    if (list_options(r, &o) < 0 || choice_init(&c, r->res, &o, &r->err) < 0) {
        reply_err(r);
        return;
    }
    struct str prefix = list_prefix(r->mem, r->res, r->info.ns);
    if (settle_start(r, &o, prefix, &meta.rev, &after) < 0) {
        reply_err(r);
        return;
    }
    if (list_gather(r->api, r->mem, &c, prefix, after, meta.rev, o.limit, &objs, &count, &more, &meta.remaining,
                    &r->err) < 0) {
        expired(r, &o, prefix, after);
        reply_err(r);
        return;
    }
    if (!meta.rev)
        meta.rev = cache_rev(r->api->cache);
    if (more)
        meta.cont = continue_encode(r->mem, (int64_t)meta.rev, prefix, objs[count - 1]->key);
    list_send(r, objs, count, &meta);
}
