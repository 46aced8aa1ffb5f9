/* api/decode.c - the bytes of a body as a canonical document, or Kubernetes' complaint about them.
 * Source: k8s.io/apiserver pkg/endpoints/handlers/rest.go transformDecodeError, runtime/serializer. */
#include "api/internal.h"

enum { BODY_DEPTH_MAX = 10000 };

/* The first bytes, as they are when they look like JSON, else in hex. */
static struct str summary(struct arena *mem, struct str body)
{
    enum { SUMMARY_LEN = 30 };
    if (!body.len)
        return STR("<empty>");
    struct str head = str_head(body, SUMMARY_LEN);
    struct str shown = body.ptr[0] == '{' ? head : str_hex(mem, head);
    return body.len > SUMMARY_LEN ? str_fmt(mem, STR_FMT " ...", STR_ARG(shown)) : shown;
}

static struct doc *unrecognized(struct arena *mem, struct str body, const char *kind, struct str why, struct err *err)
{
    err_set(err, ERR_BAD_REQUEST, "the object provided is unrecognized (must be of type %s): " STR_FMT " (" STR_FMT ")",
            kind, STR_ARG(why), STR_ARG(summary(mem, body)));
    return NULL;
}

static struct doc *parse(struct arena *mem, struct str body, enum media_form form, const char *kind,
                         struct doc_dups *dups, struct err *err)
{
    struct doc_opts opts = {.depth_max = BODY_DEPTH_MAX, .ret_dups = dups};
    struct err why = ERR(mem);
    struct doc *d = NULL;
    if (form == MEDIA_PB) {
        if (schema_decode_pb(mem, body, &d, &why) < 0)
            return unrecognized(mem, body, kind, why.message, err);
        return d;
    }
    d = form == MEDIA_YAML ? doc_parse_yaml(mem, body, NULL, &opts, &why) : doc_parse(mem, body, &opts, &why);
    if (!d)
        return unrecognized(mem, body, kind,
                            str_fmt(mem, "couldn't get version/kind; json parse error: " STR_FMT,
                                    body.len ? (int)why.message.len : 28,
                                    body.len ? why.message.ptr : "unexpected end of JSON input"),
                            err);
    if (d->type != DOC_OBJECT)
        return unrecognized(
            mem, body, kind,
            STR("couldn't get version/kind; json parse error: json: cannot unmarshal value into Go value of "
                "type struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string "
                "\"json:\\\"kind,omitempty\\\"\" }"),
            err);
    return d;
}

static int check_kind(struct doc *d, const char *kind, const char *api_version, struct err *err)
{
    struct str have_kind = doc_str(d, "kind"), have_version = doc_str(d, "apiVersion"), group, version;
    if (!str_is(have_kind, kind)) {
        bool grouped = str_cut(have_version, '/', &group, &version);
        if (!grouped)
            version = group, group = STR_NULL;
        if (schema_kind(group, version, have_kind))
            return err_set(err, ERR_BAD_REQUEST,
                           STR_FMT " in version " STR_FMT " cannot be handled as a %s: converting (" STR_FMT "." STR_FMT
                                   ") to (%s): unknown conversion",
                           STR_ARG(have_kind), STR_ARG(str_quote(err->mem, version)), kind, STR_ARG(version),
                           STR_ARG(have_kind), kind);
        return err_set(err, ERR_BAD_REQUEST,
                       STR_FMT " in version " STR_FMT " cannot be handled as a %s: no kind " STR_FMT
                               " is registered for version " STR_FMT
                               " in scheme \"k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30\"",
                       STR_ARG(have_kind), STR_ARG(str_quote(err->mem, version)), kind,
                       STR_ARG(str_quote(err->mem, have_kind)), STR_ARG(str_quote(err->mem, have_version)));
    }
    if (api_version && !str_is(have_version, api_version))
        return err_set(err, ERR_BAD_REQUEST,
                       "the API version in the data (" STR_FMT ") does not match the expected API version (%s)",
                       STR_ARG(have_version), api_version);
    return 0;
}

/* Absent or empty: what the endpoint expects. */
static void fill_kind(struct arena *mem, struct doc *d, const char *kind, const char *api_version)
{
    const struct doc *k = doc_get(d, "kind"), *v = doc_get(d, "apiVersion");
    if (!k || k->type == DOC_NULL || (k->type == DOC_STRING && !k->s.len))
        doc_put_str(mem, d, "kind", str_of(kind));
    if (api_version && (!v || v->type == DOC_NULL || (v->type == DOC_STRING && !v->s.len)))
        doc_put_str(mem, d, "apiVersion", str_of(api_version));
}

struct doc *decode_body(struct arena *mem, struct str body, enum media_form form, const struct type *t,
                        const char *kind, const char *api_version, enum field_validation mode,
                        struct warnings *warnings, struct err *err)
{
    struct doc_dups dups = {0};
    struct doc *d = parse(mem, body, form, kind, &dups, err);
    if (!d)
        return NULL;
    fill_kind(mem, d, kind, api_version);
    if (doc_is(doc_get(d, "kind"), DOC_STRING) && doc_is(doc_get(d, "apiVersion"), DOC_STRING) &&
        check_kind(d, kind, api_version, err) < 0)
        return NULL;
    return schema_read(mem, t, d, mode, &dups, warnings, err) < 0 ? NULL : d;
}
