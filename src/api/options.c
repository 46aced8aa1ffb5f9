/* api/options.c - query parameters (and DeleteOptions bodies) as options, judged.
 * Source: apimachinery pkg/apis/meta/v1/validation, pkg/apis/meta/internalversion/validation. */
#include "api/internal.h"

#include "doc/utf8.h"

#define AT(literal) (&(const struct fpath){NULL, literal, 0, {0}})

static int refuse(struct err *err, const char *kind)
{
    return err_invalid(err, STR("meta.k8s.io"), str_of(kind), STR_NULL);
}

/* ---- ListOptions */

static void check_list_match(const struct list_opts *o, struct err *err)
{
    static const char *const known[] = {"Exact", "NotOlderThan", ""};
    const struct fpath *at = AT("resourceVersionMatch");
    if (!o->rev_match.len)
        return;
    if (!o->rev.len)
        err_cause(err, CAUSE_FORBIDDEN, at, "resourceVersionMatch is forbidden unless resourceVersion is provided");
    if (o->cont.len)
        err_cause(err, CAUSE_FORBIDDEN, at, "resourceVersionMatch is forbidden when continue is provided");
    if (!str_is(o->rev_match, "Exact") && !str_is(o->rev_match, "NotOlderThan"))
        err_cause_enum(err, at, o->rev_match, known, 3);
    if (str_is(o->rev_match, "Exact") && str_is(o->rev, "0"))
        err_cause(err, CAUSE_FORBIDDEN, at, "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
}

static void check_watch_match(const struct list_opts *o, struct err *err)
{
    static const char *const known[] = {"NotOlderThan"};
    const struct fpath *at = AT("resourceVersionMatch");
    if (o->initial_events >= 0 && !str_is(o->rev_match, "NotOlderThan"))
        err_cause(err, CAUSE_FORBIDDEN, at, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
    if (!o->rev_match.len)
        return;
    if (o->initial_events < 0)
        err_cause(err, CAUSE_FORBIDDEN, at,
                  "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
    if (!str_is(o->rev_match, "NotOlderThan"))
        err_cause_enum(err, at, o->rev_match, known, 1);
    if (o->cont.len)
        err_cause(err, CAUSE_FORBIDDEN, at, "resourceVersionMatch is forbidden when continue is provided");
}

int list_options(struct api_req *r, struct list_opts *ret)
{
    const struct query *q = &r->query;
    struct list_opts o = {.initial_events = -1};
    o.label_text = query_get(q, "labelSelector"), o.field_text = query_get(q, "fieldSelector");
    o.rev = query_get(q, "resourceVersion"), o.rev_match = query_get(q, "resourceVersionMatch");
    o.cont = query_get(q, "continue");
    o.watch = r->info.watch_path || query_bool(q, "watch");
    o.bookmarks = query_bool(q, "allowWatchBookmarks");
    if (query_has(q, "sendInitialEvents"))
        o.initial_events = query_bool(q, "sendInitialEvents");
    if (query_int(q, "timeoutSeconds", &o.timeout_s, &r->err) < 0 || query_int(q, "limit", &o.limit, &r->err) < 0)
        return -1;
    if (o.label_text.len && !(o.labels = selector_parse(r->mem, o.label_text, &r->err)))
        return -1;
    if (o.field_text.len && !(o.fields = field_selector_parse(r->mem, o.field_text, &r->err)))
        return -1;
    if (o.watch)
        check_watch_match(&o, &r->err);
    else
        check_list_match(&o, &r->err);
    if (!o.watch && o.initial_events >= 0)
        err_cause(&r->err, CAUSE_FORBIDDEN, AT("sendInitialEvents"), "sendInitialEvents is forbidden for list");
    if (refuse(&r->err, "ListOptions") < 0)
        return -1;
    *ret = o;
    return 0;
}

/* ---- CreateOptions, UpdateOptions, PatchOptions */

static bool printable(uint32_t rune)
{
    return rune >= 0x20 && rune != 0x7f && !(rune >= 0x80 && rune < 0xa1) && rune != 0xfffd && rune != 0x2028 &&
           rune != 0x2029;
}

static void check_manager(struct str manager, struct err *err)
{
    enum { MANAGER_LEN_MAX = 128 };
    if (manager.len > MANAGER_LEN_MAX)
        err_cause(err, CAUSE_TOO_LONG, AT("fieldManager"), "may not be more than %d bytes", MANAGER_LEN_MAX);
    for (size_t i = 0; i < manager.len;) {
        const char *p = manager.ptr + i;
        int n = utf8_seq(p, manager.ptr + manager.len);
        uint32_t rune = n ? utf8_rune(p, n) : 0xfffd;
        if (!printable(rune))
            err_cause_str(err, CAUSE_INVALID, AT("fieldManager"), manager, "invalid character U+%04X (at position %zu)",
                          (unsigned)rune, i);
        i += n ? (size_t)n : 1;
    }
}

/* As field.NotSupported prints a []string. */
static int check_dry_run(const struct query *q, bool *ret, struct err *err)
{
    struct sb all = SB(err->mem);
    bool bad = false;
    int n = 0;
    for (int i = 0; i < q->count; i++) {
        if (!str_is(q->keys[i], "dryRun"))
            continue;
        bad |= !str_is(q->values[i], "All");
        sb_addc(&all, n++ ? ',' : '[');
        doc_json_string(&all, q->values[i]);
    }
    *ret = n > 0;
    if (!bad)
        return 0;
    sb_addc(&all, ']');
    err_cause_raw(err, CAUSE_NOT_SUPPORTED, AT("dryRun"), sb_str(&all), "supported values: \"All\"");
    return -1;
}

/* Prefix of User-Agent: "kubectl" of "kubectl/v1.33.0 (linux/amd64)". */
static struct str manager_of_agent(struct str agent)
{
    struct str name, rest;
    str_cut(agent, '/', &name, &rest);
    name = str_head(name, 128);
    return name.len ? name : STR("unknown");
}

int write_options(struct api_req *r, const char *kind, struct write_opts *ret)
{
    static const char *const modes[] = {"", "Ignore", "Strict", "Warn"};
    const struct query *q = &r->query;
    struct str manager = query_get(q, "fieldManager"), mode = query_get(q, "fieldValidation");
    struct write_opts o = {0};
    if (!strcmp(kind, "PatchOptions") && query_has(q, "force"))
        err_cause(&r->err, CAUSE_FORBIDDEN, AT("force"), "may not be specified for non-apply patch");
    check_manager(manager, &r->err);
    check_dry_run(q, &o.dry_run, &r->err);
    o.validation = !mode.len || str_is(mode, "Warn") ? FIELDS_WARN
                   : str_is(mode, "Strict")          ? FIELDS_STRICT
                                                     : FIELDS_IGNORE;
    if (mode.len && o.validation == FIELDS_IGNORE && !str_is(mode, "Ignore"))
        err_cause_enum(&r->err, AT("fieldValidation"), mode, modes, 4);
    if (refuse(&r->err, kind) < 0)
        return -1;
    o.field_manager = manager.len ? manager : manager_of_agent(exchange_header(r->x, "user-agent"));
    *ret = o;
    return 0;
}

/* ---- DeleteOptions */

static int set_propagation(struct str policy, struct delete_opts *ret, struct err *err)
{
    static const char *const known[] = {"Foreground", "Background", "Orphan", "nil"};
    static const int values[] = {PROPAGATE_FOREGROUND, PROPAGATE_BACKGROUND, PROPAGATE_ORPHAN};
    for (int i = 0; i < 3; i++)
        if (str_is(policy, known[i])) {
            ret->propagation = values[i];
            return 0;
        }
    err_cause_enum(err, AT("propagationPolicy"), policy, known, 4);
    return -1;
}

static void set_orphan(bool orphan, bool has_policy, struct delete_opts *ret, struct err *err, struct str policy)
{
    if (has_policy) {
        err_cause_str(err, CAUSE_INVALID, AT("propagationPolicy"), policy,
                      "orphanDependents and deletionPropagation cannot be both set");
        return;
    }
    ret->propagation = orphan ? PROPAGATE_ORPHAN : PROPAGATE_BACKGROUND;
    ret->orphan_false = !orphan;
}

static int set_want_rev(struct str rev, struct delete_opts *ret, struct err *err)
{
    if (rev.len && !str_to_u64(rev, &ret->want_rev))
        return err_set(err, ERR_BAD_REQUEST, "preconditions.resourceVersion: Invalid value: " STR_FMT,
                       STR_ARG(str_quote(err->mem, rev)));
    return 0;
}

int delete_options_doc(struct arena *mem, const struct doc *d, struct delete_opts *ret, struct err *err)
{
    const struct doc *policy = doc_get(d, "propagationPolicy"), *orphan = doc_get(d, "orphanDependents");
    *ret = (struct delete_opts){.grace_s = doc_int(d, "gracePeriodSeconds", -1)};
    ret->want_uid = doc_str(doc_get(d, "preconditions"), "uid");
    if (policy)
        set_propagation(doc_string(policy), ret, err);
    if (orphan)
        set_orphan(orphan->b, policy != NULL, ret, err, doc_string(policy));
    struct sb all = SB(mem);
    bool bad = false;
    doc_each (v, doc_get(d, "dryRun")) {
        ret->dry_run = true;
        bad |= !str_is(doc_string(v), "All");
    }
    if (bad) {
        doc_json_sb(&all, doc_get(d, "dryRun"));
        err_cause_raw(err, CAUSE_NOT_SUPPORTED, AT("dryRun"), sb_str(&all), "supported values: \"All\"");
    }
    if (refuse(err, "DeleteOptions") < 0)
        return -1;
    return set_want_rev(doc_str(doc_get(d, "preconditions"), "resourceVersion"), ret, err);
}

static int from_query(struct api_req *r, struct delete_opts *ret)
{
    const struct query *q = &r->query;
    struct str policy = query_get(q, "propagationPolicy");
    *ret = (struct delete_opts){.grace_s = -1};
    if (query_int(q, "gracePeriodSeconds", &ret->grace_s, &r->err) < 0)
        return -1;
    if (policy.len)
        set_propagation(policy, ret, &r->err);
    if (query_has(q, "orphanDependents"))
        set_orphan(query_bool(q, "orphanDependents"), policy.len > 0, ret, &r->err, policy);
    check_dry_run(q, &ret->dry_run, &r->err);
    return refuse(&r->err, "DeleteOptions");
}

int delete_options(struct api_req *r, struct delete_opts *ret)
{
    enum media_form form;
    if (!r->x->body.len)
        return from_query(r, ret);
    if (negotiate_body(exchange_header(r->x, "content-type"), &form, &r->err) < 0)
        return -1;
    /* Old clients send DeleteOptions of the group's own version: only the kind is looked at. */
    struct doc *d = decode_body(r->mem, r->x->body, form, schema_type("meta.v1.DeleteOptions"), "DeleteOptions", NULL,
                                FIELDS_IGNORE, NULL, &r->err);
    return d ? delete_options_doc(r->mem, d, ret, &r->err) : -1;
}
