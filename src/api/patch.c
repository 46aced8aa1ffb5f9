/* api/patch.c - PATCH: JSON Patch, JSON Merge Patch, strategic merge patch.
 *
 * Server-side apply is a later issue: its media types answer 415 with the list of supported ones, which is what clients
 * probe for. Source: k8s.io/apiserver pkg/endpoints/handlers/patch.go. */
#include "api/patch.h"
#include "doc/patch.h"

/* The kind of patch a media type asks for, or an error. */
static int check_type(struct str content_type, struct err *err)
{
    static const char *const types[] = {
        [PATCH_JSON] = "application/json-patch+json",
        [PATCH_MERGE] = "application/merge-patch+json",
        [PATCH_STRATEGIC] = "application/strategic-merge-patch+json",
    };
    struct str type, params;
    str_cut(content_type, ';', &type, &params);
    for (int kind = PATCH_JSON; kind <= PATCH_STRATEGIC; kind++)
        if (str_is(str_trim(type), types[kind]))
            return kind;
    return err_set(err, ERR_UNSUPPORTED_MEDIA_TYPE,
                   "the body of the request was in an unknown format - accepted media types include: %s, %s, %s",
                   types[0], types[1], types[2]);
}

struct patch *patch_read(struct arena *mem, struct str content_type, struct str body, enum field_validation mode,
                         struct err *err)
{
    struct patch *p = arena_new_of(mem, struct patch);
    struct err why = ERR(mem);
    int kind = check_type(content_type, err);
    if (kind < 0)
        return NULL;
    p->kind = (enum patch_kind)kind;
    p->mode = mode;
    p->doc = doc_parse(mem, body, NULL, &why);
    if (!p->doc || (kind != PATCH_JSON && p->doc->type != DOC_OBJECT)) {
        err_set(err, ERR_BAD_REQUEST, "error decoding patch: " STR_FMT,
                STR_ARG(p->doc ? STR("json: cannot unmarshal value into Go value of type map[string]interface {}")
                               : why.message));
        return NULL;
    }
    return p;
}

/* What follows "cannot be handled as a Pod: " in the reader's text. */
static struct str bare_reason(struct str message)
{
    struct str mark = STR(" cannot be handled as a ");
    for (size_t i = 0; i + mark.len < message.len; i++)
        if (str_starts(str_from(message, i), mark)) {
            struct str rest = str_from(message, i + mark.len), head;
            str_cut(rest, ':', &head, &rest);
            return str_trim(rest);
        }
    return message;
}

static struct doc *refuse(struct arena *mem, const struct doc *patched, struct str why, struct err *err)
{
    static const struct fpath at = {NULL, "patch", 0, {0}};
    err_cause_str(err, CAUSE_INVALID, &at, patched ? doc_json(mem, patched) : STR_NULL, "%.*s", STR_ARG(why));
    err_invalid(err, STR_NULL, STR_NULL, STR_NULL);
    return NULL;
}

/* Names and texts are copied into mem when the target takes them over: borrowed strings live in the same arena. */
static struct doc *merge(struct arena *mem, const struct patch *p, const struct type *t, struct doc *current,
                         struct err *err)
{
    const struct doc *patch = doc_copy(mem, p->doc);
    switch (p->kind) {
    case PATCH_JSON:
        return json_patch(mem, current, patch, err);
    case PATCH_MERGE:
        return merge_patch(mem, current, patch);
    case PATCH_STRATEGIC:
        return schema_strategic_merge(mem, t, current, patch, err);
    }
    return NULL;
}

struct doc *patch_apply(struct arena *mem, const struct patch *p, const struct type *t, struct doc *current,
                        struct warnings *warnings, struct err *err)
{
    struct str kind = doc_str(current, "kind"), version = doc_str(current, "apiVersion");
    struct err why = ERR(mem);
    struct doc *d = merge(mem, p, t, current, err);
    if (!d)
        return NULL;
    if (d->type != DOC_OBJECT)
        return refuse(mem, NULL, STR("the patched document is no object"), err);
    if (!doc_get(d, "kind"))
        doc_put_str(mem, d, "kind", kind);
    if (!doc_get(d, "apiVersion"))
        doc_put_str(mem, d, "apiVersion", version);
    if (!str_eq(doc_str(d, "kind"), kind) || !str_eq(doc_str(d, "apiVersion"), version)) {
        err_set(err, ERR_BAD_REQUEST, "the patch may not change kind or apiVersion");
        return NULL;
    }
    if (schema_read(mem, t, d, p->mode, NULL, warnings, &why) < 0)
        return refuse(mem, d, bare_reason(why.message), err);
    return d;
}

static struct doc *mutate(struct write_req *w, struct doc *current, struct err *err)
{
    struct write_job *j = w->ctx;
    return patch_apply(w->mem, j->patch, w->res->type, current, w->warnings, err);
}

void handle_patch(struct api_req *r)
{
    struct write_opts o;
    struct write_job *j = write_job_new(r, WRITE_PATCH);
    struct str type = exchange_header(r->x, "content-type");
    /* The media type is judged first: clients learn from its 415 that there is no server-side apply. */
    if (check_type(type, &r->err) < 0 || write_options(r, "PatchOptions", &o) < 0 ||
        !(j->patch = patch_read(j->mem, type, j->body, o.validation, &r->err))) {
        write_job_fail(j, &r->err);
        return;
    }
    j->w.dry_run = o.dry_run;
    j->w.field_manager = str_dup(j->mem, o.field_manager);
    j->w.mutate = mutate;
    write_job_start(j);
}
