/* api/table.c - objects as rows of a Table: columns and cells come from the schema.
 * Source: k8s.io/apiserver pkg/endpoints/handlers/response.go asTable, kubernetes pkg/printers. */
#include "api/internal.h"
#include "schema/print/print.h"

static const struct column default_columns[] = {
    {"Name", "string", "name", "Name must be unique within a namespace.", 0},
    {"Age", "string", "", "CreationTimestamp is a timestamp representing the server time when this object was created.",
     0},
};

void table_columns(struct sb *out, const struct resource *res)
{
    const struct column *c = res->columns ? res->columns : default_columns;
    int count = res->columns ? res->column_count : 2;
    sb_addz(out, "\"columnDefinitions\":[");
    for (int i = 0; i < count; i++, c++) {
        sb_addz(out, i ? ",{\"name\":" : "{\"name\":");
        doc_json_string(out, str_of(c->name));
        sb_addz(out, ",\"type\":");
        doc_json_string(out, str_of(c->type ? c->type : "string"));
        sb_addz(out, ",\"format\":");
        doc_json_string(out, str_of(c->format));
        sb_addz(out, ",\"description\":");
        doc_json_string(out, str_of(c->text));
        sb_addf(out, ",\"priority\":%d}", c->priority);
    }
    sb_addc(out, ']');
}

static void put_cells(struct arena *tmp, const struct view *v, const struct obj *o, const struct doc *d, int64_t now_ms,
                      struct sb *out)
{
    struct doc *cells = doc_new_array(tmp);
    if (v->res->columns && v->res->cells) {
        v->res->cells(tmp, d ? d : view_doc(tmp, v->res, o), now_ms, cells);
    } else {
        doc_push(cells, doc_new_str(tmp, o ? o->name : doc_str(doc_get(d, "metadata"), "name")));
        doc_push(cells,
                 doc_new_str(tmp, o && o->created_ms ? human_duration(tmp, now_ms - o->created_ms) : STR("<unknown>")));
    }
    doc_json_sb(out, cells);
}

static void put_object(struct arena *tmp, const struct view *v, const struct obj *o, const struct doc *d,
                       struct sb *out)
{
    struct view inner = *v;
    inner.m.form = MEDIA_JSON;
    inner.m.as = v->include && !strcmp(v->include, "Object") ? AS_IS : AS_PARTIAL;
    if (o) {
        view_put(tmp, &inner, o, 0, out);
        return;
    }
    sb_addf(out, "{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/%s\",\"metadata\":",
            v->m.beta ? "v1beta1" : "v1");
    doc_json_sb(out, doc_get(d, "metadata"));
    sb_addc(out, '}');
}

/* o, or d where no object is at rest (bookmarks). */
void table_row(struct arena *tmp, const struct view *v, const struct obj *o, const struct doc *d, int64_t now_ms,
               struct sb *out)
{
    sb_addz(out, "{\"cells\":");
    put_cells(tmp, v, o, d, now_ms, out);
    sb_addz(out, ",\"object\":");
    if (v->include && !strcmp(v->include, "None"))
        sb_addz(out, "null");
    else
        put_object(tmp, v, o, d, out);
    sb_addc(out, '}');
}

int table_include(const struct query *q, const char **ret, struct err *err)
{
    static const char *const known[] = {"Metadata", "Object", "None"};
    struct str include = query_get(q, "includeObject");
    *ret = "Metadata";
    if (!include.len)
        return 0;
    for (int i = 0; i < 3; i++)
        if (str_is(include, known[i])) {
            *ret = known[i];
            return 0;
        }
    return err_set(err, ERR_BAD_REQUEST,
                   "Unable to convert to Table as requested: includeObject: Invalid value: " STR_FMT
                   ": must be 'Metadata', 'Object', 'None', or empty",
                   STR_ARG(str_quote(err->mem, include)));
}
