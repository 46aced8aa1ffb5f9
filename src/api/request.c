/* api/request.c - what a method and a path ask for. Source: k8s.io/apiserver pkg/endpoints/request/requestinfo.go. */
#include "api/internal.h"

enum { PARTS_MAX = 8 }; /* beyond the subresource nothing is interpreted: it stays one part */

static const char *verb_of_method(struct str method)
{
    static const struct {
        const char *method, *verb;
    } rows[] = {
        {"GET", "get"},    {"HEAD", "get"},    {"POST", "create"},
        {"PUT", "update"}, {"PATCH", "patch"}, {"DELETE", "delete"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (str_is(method, rows[i].method))
            return rows[i].verb;
    return "";
}

static const char *lower(struct arena *mem, struct str s)
{
    char *z = arena_alloc(mem, s.len + 1);
    for (size_t i = 0; i < s.len; i++)
        z[i] = s.ptr[i] >= 'A' && s.ptr[i] <= 'Z' ? (char)(s.ptr[i] | 32) : s.ptr[i];
    z[s.len] = 0;
    return z;
}

struct parts {
    struct str at[PARTS_MAX];
    size_t end[PARTS_MAX]; /* where the part ends in the path */
    int count;
};

static void split(struct str path, struct parts *ret)
{
    size_t i = 0, len = path.len;
    while (i < len && path.ptr[i] == '/')
        i++;
    while (len > i && path.ptr[len - 1] == '/')
        len--;
    ret->count = 0;
    while (i < len && ret->count < PARTS_MAX) {
        size_t from = i;
        while (i < len && path.ptr[i] != '/')
            i++;
        ret->at[ret->count] = str_mem(path.ptr + from, i - from);
        ret->end[ret->count++] = i;
        i++;
    }
}

/* A name is a list's when a selector asks for exactly one. */
static struct str selected_name(struct arena *mem, const struct query *q)
{
    struct str text = query_get(q, "fieldSelector"), name = STR_NULL;
    struct err ignored = ERR(mem);
    if (!text.len)
        return name;
    const struct selector *s = field_selector_parse(mem, text, &ignored);
    if (!s || !selector_exact(s, STR("metadata.name"), &name) || str_is(name, ".") || str_is(name, "..") ||
        str_find(name, '/') >= 0 || str_find(name, '%') >= 0)
        return STR_NULL;
    return name;
}

static void settle_verb(struct arena *mem, struct request_info *i, const struct query *q)
{
    if (i->name.len)
        return;
    if (!strcmp(i->verb, "get")) {
        i->verb = query_bool(q, "watch") ? "watch" : "list";
        i->name = selected_name(mem, q);
    } else if (!strcmp(i->verb, "delete")) {
        i->verb = "deletecollection";
    }
}

static bool is_namespace_sub(struct str s)
{
    return str_is(s, "status") || str_is(s, "finalize");
}

int request_parse(struct arena *mem, struct str method, struct str path, const struct query *q,
                  struct request_info *ret, struct err *err)
{
    struct request_info info = {0};
    struct parts p;
    if (!url_decode_path(mem, path, &info.path))
        return err_set(err, ERR_BAD_REQUEST, "invalid URL escape in the path");
    info.verb = "get";
    split(info.path, &p);
    bool core = p.count && str_is(p.at[0], "api"), grouped = p.count && str_is(p.at[0], "apis");
    if ((!core && !grouped) || p.count < (core ? 3 : 4)) {
        info.verb = lower(mem, method);
        *ret = info;
        return 0;
    }
    int i = 1;
    info.is_resource = true;
    info.group = core ? STR_NULL : p.at[i++];
    info.version = p.at[i++];
    if (str_is(p.at[i], "watch")) {
        if (p.count < i + 2)
            return err_set(err, ERR_BAD_REQUEST, "unable to determine kind and namespace from url, " STR_FMT,
                           STR_ARG(info.path));
        info.verb = "watch";
        info.watch_path = true;
        i++;
    } else {
        info.verb = verb_of_method(method);
    }
    if (str_is(p.at[i], "namespaces") && i + 1 < p.count) {
        info.ns = p.at[i + 1];
        if (i + 2 < p.count && !is_namespace_sub(p.at[i + 2]))
            i += 2;
    }
    info.resource = p.at[i];
    if (i + 1 < p.count)
        info.name = p.at[i + 1];
    if (i + 2 < p.count) {
        info.sub = p.at[i + 2];
        info.rest = str_from(info.path, p.end[i + 2]);
    }
    settle_verb(mem, &info, q);
    *ret = info;
    return 0;
}
