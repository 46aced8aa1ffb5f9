/* schema/print/row.c - building one row of cells: what all print_x functions use. */
#include <stdarg.h>

#include "schema/labels.h"
#include "schema/print/print.h"
#include "schema/times.h"

struct row row_of(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    return (struct row){
        .mem = mem,
        .obj = obj,
        .meta = doc_get(obj, "metadata"),
        .spec = doc_get(obj, "spec"),
        .status = doc_get(obj, "status"),
        .now_ms = now_ms,
        .cells = cells,
    };
}

struct row row_named(struct arena *mem, const struct doc *obj, int64_t now_ms, struct doc *cells)
{
    struct row r = row_of(mem, obj, now_ms, cells);
    row_str(&r, doc_str(r.meta, "name"));
    return r;
}

void row_str(struct row *r, struct str s)
{
    doc_push(r->cells, doc_new_str(r->mem, s));
}

void row_or(struct row *r, struct str s, const char *if_empty)
{
    row_str(r, s.len ? s : str_of(if_empty));
}

void row_int(struct row *r, int64_t i)
{
    doc_push(r->cells, doc_new_int(r->mem, i));
}

void row_bool(struct row *r, bool b)
{
    doc_push(r->cells, doc_new_bool(r->mem, b));
}

void row_fmt(struct row *r, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    row_str(r, str_vfmt(r->mem, fmt, ap));
    va_end(ap);
}

void row_age(struct row *r)
{
    row_since(r, doc_get(r->meta, "creationTimestamp"));
}

void row_since(struct row *r, const struct doc *time)
{
    row_str(r, print_since(r, time));
}

void row_containers(struct row *r, const struct doc *pod)
{
    const struct doc *containers = doc_get(pod, "containers");
    row_str(r, print_join(r->mem, containers, "name", ","));
    row_str(r, print_join(r->mem, containers, "image", ","));
}

void row_labels(struct row *r, const struct doc *labels)
{
    row_or(r, selector_str(r->mem, selector_from_map(r->mem, labels)), "<none>");
}

void row_selector(struct row *r, const struct doc *selector)
{
    struct selector *sel = selector_from_doc(r->mem, selector, NULL);
    if (!sel)
        row_str(r, STR("<error>"));
    else
        row_or(r, selector_str(r->mem, sel), "<none>");
}

int64_t print_time(struct arena *mem, const struct doc *time)
{
    struct str text = doc_string(time), why;
    int64_t sec;
    int32_t nano;
    bool micro = str_find(text, '.') >= 0;
    return text.len && time_parse(mem, text, micro, &sec, &nano, &why) ? sec : TIME_ZERO_SEC;
}

struct str print_since(struct row *r, const struct doc *time)
{
    int64_t sec = print_time(r->mem, time);
    return sec == TIME_ZERO_SEC ? STR("<unknown>") : human_duration(r->mem, r->now_ms - sec * 1000);
}

bool print_condition(const struct doc *conditions, const char *type)
{
    doc_each (c, conditions)
        if (str_is(doc_str(c, "type"), type))
            return str_is(doc_str(c, "status"), "True");
    return false;
}

struct str print_any(struct arena *mem, const struct doc *d)
{
    return doc_is(d, DOC_STRING) ? d->s : d ? doc_json(mem, d) : STR("");
}

struct str print_lower(struct arena *mem, struct str s)
{
    char *to = arena_alloc(mem, s.len + 1);
    for (size_t i = 0; i < s.len; i++)
        to[i] = s.ptr[i] >= 'A' && s.ptr[i] <= 'Z' ? (char)(s.ptr[i] | 0x20) : s.ptr[i];
    return str_mem(to, s.len);
}

struct str print_deleted_or(const struct row *r, struct str phase)
{
    return doc_get(r->meta, "deletionTimestamp") ? STR("Terminating") : phase;
}

struct str print_join(struct arena *mem, const struct doc *list, const char *key, const char *sep)
{
    if (doc_len(list) == 1) /* the usual case copies nothing */
        return key ? doc_str(list->first, key) : doc_string(list->first);
    struct sb out = SB(mem);
    doc_each (item, list) {
        if (item != list->first)
            sb_addz(&out, sep);
        sb_add(&out, key ? doc_str(item, key) : doc_string(item));
    }
    return sb_str(&out);
}

void few_add(struct few *f, struct str item)
{
    if (f->count++ >= f->max)
        return;
    if (f->count > 1)
        sb_addc(&f->text, ',');
    sb_add(&f->text, item);
}

struct str few_str(struct few *f, const char *if_empty)
{
    if (f->count > f->max)
        sb_addf(&f->text, " + %d more...", f->count - f->max);
    return f->text.len ? sb_str(&f->text) : str_of(if_empty);
}
