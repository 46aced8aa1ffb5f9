/* Reading what a client sent: JSON types checked against the table, unknown fields judged, values made canonical.
 * Texts are those of Go's encoding/json, sigs.k8s.io/json and the API server. */
#include <math.h>
#include <stdlib.h>

#include "schema/quantity.h"
#include "schema/tables.h"
#include "schema/times.h"

enum { UNKNOWN_MAX = 100 };

struct reader {
    struct arena *mem;
    struct str problem; /* the first one, as Go's decoder words it; len 0: none yet */
    struct str *unknown;
    int unknown_count;
    bool want_unknown;
    int depth;
};

/* Where a value stands: Go names the struct and the fields on the way, but no indexes and no map keys. */
struct spot {
    const struct spot *up;
    const struct type *in; /* the struct; NULL: an item or a map's value */
    const struct field *field;
};

static void go_path(struct sb *out, const struct spot *at)
{
    if (!at)
        return;
    go_path(out, at->up);
    if (!at->field)
        return;
    sb_addc(out, '.');
    sb_addz(out, at->field->name);
}

static void problem(struct reader *r, struct str text)
{
    if (!r->problem.len)
        r->problem = text;
}

static void wrong_type(struct reader *r, const struct spot *at, const char *what, struct str go_type)
{
    if (r->problem.len)
        return;
    const struct spot *owner = at;
    while (owner && !owner->in)
        owner = owner->up;
    struct sb b = SB(r->mem);
    sb_addf(&b, "json: cannot unmarshal %s into Go ", what);
    if (owner) {
        sb_addf(&b, "struct field " STR_FMT, STR_ARG(type_short_name(owner->in)));
        go_path(&b, at);
    } else {
        sb_addz(&b, "value");
    }
    sb_addf(&b, " of type " STR_FMT, STR_ARG(go_type));
    problem(r, sb_str(&b));
}

static const char *go_word(const struct doc *v)
{
    static const char *const words[] = {
        [DOC_NULL] = "null",     [DOC_BOOL] = "bool",   [DOC_INT] = "number",    [DOC_NUMBER] = "number",
        [DOC_STRING] = "string", [DOC_ARRAY] = "array", [DOC_OBJECT] = "object",
    };
    return words[v->type];
}

/* A number that does not fit is named: "number 1.5". */
static const char *number_word(struct reader *r, const struct doc *v)
{
    if (v->type == DOC_INT)
        return str_fmtz(r->mem, "number %lld", (long long)v->i);
    if (v->type == DOC_NUMBER)
        return str_fmtz(r->mem, "number " STR_FMT, STR_ARG(v->s));
    return go_word(v);
}

static void read_int(struct reader *r, const struct type *t, struct doc *v, const struct spot *at)
{
    if (v->type != DOC_INT || (t->kind == TYPE_INT32 && (v->i < INT32_MIN || v->i > INT32_MAX)))
        wrong_type(r, at, number_word(r, v), type_go_name(r->mem, t));
}

static void read_double(struct reader *r, const struct type *t, struct doc *v, const struct spot *at)
{
    double d = v->type == DOC_NUMBER ? strtod(str_z(r->mem, v->s), NULL) : 0;
    if ((v->type != DOC_INT && v->type != DOC_NUMBER) || !isfinite(d))
        wrong_type(r, at, v->type == DOC_NUMBER ? number_word(r, v) : go_word(v), type_go_name(r->mem, t));
    else
        doc_assign(v, double_node(r->mem, v->type == DOC_INT ? (double)v->i : d));
}

static void read_bytes(struct reader *r, const struct type *t, struct doc *v, const struct spot *at)
{
    struct str raw;
    if (v->type != DOC_STRING) {
        wrong_type(r, at, go_word(v), type_go_name(r->mem, t));
        return;
    }
    if (!str_base64_dec(r->mem, v->s, &raw)) {
        struct sb clean = SB(r->mem); /* Go skips line ends */
        for (size_t i = 0; i < v->s.len; i++)
            if (v->s.ptr[i] != '\r' && v->s.ptr[i] != '\n')
                sb_addc(&clean, v->s.ptr[i]);
        if (!str_base64_dec(r->mem, sb_str(&clean), &raw)) {
            size_t bad = 0;
            while (bad < v->s.len && (v->s.ptr[bad] == '+' || v->s.ptr[bad] == '/' || v->s.ptr[bad] == '\n' ||
                                      v->s.ptr[bad] == '\r' || (v->s.ptr[bad] >= '0' && v->s.ptr[bad] <= '9') ||
                                      ((v->s.ptr[bad] | 32) >= 'a' && (v->s.ptr[bad] | 32) <= 'z')))
                bad++;
            if (bad == v->s.len)
                bad = v->s.len / 4 * 4;
            problem(r, str_fmt(r->mem, "illegal base64 data at input byte %zu", bad));
            return;
        }
        v->s = str_base64(r->mem, raw);
    } else if (str_ends(v->s, STR("="))) {
        v->s = str_base64(r->mem, raw); /* the last character may hold bits that are none of the bytes' */
    }
}

static void read_quantity(struct reader *r, struct doc *v)
{
    struct quantity q;
    struct str text = v->type == DOC_STRING || v->type == DOC_NUMBER ? v->s
                      : v->type == DOC_INT                           ? str_fmt(r->mem, "%lld", (long long)v->i)
                                                                     : doc_json(r->mem, v);
    int code = quantity_parse(text, &q);
    if (code < 0) {
        problem(r, str_of(quantity_strerror(code)));
        return;
    }
    struct doc plain = {.type = DOC_STRING, .s = quantity_canonical(r->mem, text)};
    doc_assign(v, &plain);
}

static void read_int_or_string(struct reader *r, struct doc *v)
{
    if (v->type == DOC_STRING || (v->type == DOC_INT && v->i >= INT32_MIN && v->i <= INT32_MAX))
        return;
    problem(r, str_fmt(r->mem, "json: cannot unmarshal %s into Go value of type int32", number_word(r, v)));
}

/* Go's zero time is null: the member then goes, and comes back as null where Go always writes it. */
static void read_duration(struct reader *r, struct doc *v)
{
    int64_t ns;
    if (v->type != DOC_STRING)
        problem(r, str_fmt(r->mem, "json: cannot unmarshal %s into Go value of type string", go_word(v)));
    else if (!duration_parse(v->s, &ns))
        problem(r, str_fmt(r->mem, "time: invalid duration " STR_FMT, STR_ARG(str_quote(r->mem, v->s))));
    else
        v->s = duration_format(r->mem, ns);
}

static void read_time(struct reader *r, struct doc *v, bool micro)
{
    int64_t sec;
    int32_t nano;
    struct str why;
    if (v->type != DOC_STRING) {
        problem(r, str_fmt(r->mem, "json: cannot unmarshal %s into Go value of type string", go_word(v)));
        return;
    }
    if (!time_parse(r->mem, v->s, micro, &sec, &nano, &why)) {
        problem(r, why);
        return;
    }
    struct doc plain = {.type = DOC_NULL};
    if (sec != TIME_ZERO_SEC || (micro && nano >= 1000)) {
        struct str canonical = time_format(r->mem, sec, nano, micro);
        if (str_eq(canonical, v->s))
            return;
        plain = (struct doc){.type = DOC_STRING, .s = canonical};
    }
    doc_assign(v, &plain);
}

static void unknown_field(struct reader *r, const struct fpath *at)
{
    if (!r->want_unknown || r->unknown_count >= UNKNOWN_MAX)
        return;
    if (!r->unknown)
        r->unknown = arena_array(r->mem, struct str, UNKNOWN_MAX);
    struct sb b = SB(r->mem);
    sb_addz(&b, "unknown field ");
    sb_addq(&b, fpath_str(r->mem, at));
    r->unknown[r->unknown_count++] = sb_str(&b);
}

static void read_value(struct reader *r, const struct type *t, struct doc *v, const struct spot *spot,
                       const struct fpath *at);

static void read_struct(struct reader *r, const struct type *t, struct doc *v, const struct spot *up,
                        const struct fpath *at)
{
    struct doc *last = NULL;
    int near = 0;
    for (struct doc *d = v->first, *next; d; d = next) {
        next = d->next;
        const struct field *f = type_field_near(t, d->key, &near);
        struct spot spot = {up, t, f};
        struct fpath here = {at, f ? f->name : NULL, 0, STR_NULL};
        if (f && d->type != DOC_NULL)
            read_value(r, f->type, d, &spot, &here);
        if (!f) {
            here.name = str_z(r->mem, d->key);
            unknown_field(r, &here);
        }
        if (f && d->type != DOC_NULL) {
            last = d;
            continue;
        }
        *(last ? &last->next : &v->first) = next; /* drop d: as doc_remove, which would look for it */
        v->count--;
    }
    v->last = last;
}

/* A null item is Go's zero value of the type. */
static void zero_item(struct reader *r, const struct type *t, struct doc *v)
{
    struct field f = {.type = t};
    doc_assign(v, field_zero(r->mem, &f));
}

static void read_items(struct reader *r, const struct type *t, struct doc *v, const struct spot *up,
                       const struct fpath *at)
{
    int i = 0;
    struct spot spot = {up, NULL, NULL};
    doc_each (d, v) {
        struct fpath here = {at, NULL, i++, t->kind == TYPE_MAP ? d->key : STR_NULL};
        if (d->type == DOC_NULL)
            zero_item(r, t->elem, d);
        else
            read_value(r, t->elem, d, &spot, &here);
    }
}

static void read_either(struct reader *r, const struct type *t, struct doc *v, const struct spot *spot,
                        const struct fpath *at)
{
    for (int i = 0; i < t->field_count; i++) {
        const struct type *own = t->fields[i].type;
        bool fits = own->kind == TYPE_STRUCT ? v->type == DOC_OBJECT
                    : own->kind == TYPE_LIST ? v->type == DOC_ARRAY
                                             : v->type == DOC_BOOL;
        if (fits) {
            read_value(r, own, v, spot, at);
            if (v->type == DOC_ARRAY && !v->count) /* neither form: null in Go */
                doc_assign(v, doc_new_null(r->mem));
            return;
        }
    }
    problem(r, STR("invalid JSON schema: neither of the allowed forms"));
}

static void read_value(struct reader *r, const struct type *t, struct doc *v, const struct spot *spot,
                       const struct fpath *at)
{
    enum doc_type want;
    switch (t->kind) {
    case TYPE_STRING:
        want = DOC_STRING;
        break;
    case TYPE_BOOL:
        want = DOC_BOOL;
        break;
    case TYPE_STRUCT:
    case TYPE_MAP:
        want = DOC_OBJECT;
        break;
    case TYPE_LIST:
        want = DOC_ARRAY;
        break;
    case TYPE_INT32:
    case TYPE_INT64:
        read_int(r, t, v, spot);
        return;
    case TYPE_DOUBLE:
        read_double(r, t, v, spot);
        return;
    case TYPE_BYTES:
        read_bytes(r, t, v, spot);
        return;
    case TYPE_QUANTITY:
        read_quantity(r, v);
        return;
    case TYPE_INT_OR_STRING:
        read_int_or_string(r, v);
        return;
    case TYPE_TIME:
    case TYPE_MICRO_TIME:
        read_time(r, v, t->kind == TYPE_MICRO_TIME);
        return;
    case TYPE_DURATION:
        read_duration(r, v);
        return;
    case TYPE_EITHER:
        read_either(r, t, v, spot, at);
        return;
    default:
        return; /* any JSON */
    }
    if (v->type != want) {
        wrong_type(r, spot, go_word(v), type_go_name(r->mem, t));
        return;
    }
    if (want != DOC_OBJECT && want != DOC_ARRAY)
        return;
    if (r->depth == SCHEMA_DEPTH_MAX) {
        problem(r, STR("exceeded max depth"));
        return;
    }
    r->depth++;
    if (t->kind == TYPE_STRUCT)
        read_struct(r, t, v, spot, at);
    else
        read_items(r, t, v, spot, at);
    r->depth--;
}

/* `Deployment in version "v1" cannot be handled as a Deployment: WHY`; options and the like have no kind of their own.
 */
static int refuse(const struct reader *r, const struct type *t, const struct doc *obj, struct str why, struct err *err)
{
    struct str kind = doc_str(obj, "kind"), group, version, own = t->name ? type_short_name(t) : STR("object");
    if (!str_cut(doc_str(obj, "apiVersion"), '/', &group, &version))
        version = group;
    if (!kind.len)
        return err_set(err, ERR_BAD_REQUEST,
                       "the object provided is unrecognized (must be of type " STR_FMT "): " STR_FMT, STR_ARG(own),
                       STR_ARG(why));
    return err_set(err, ERR_BAD_REQUEST,
                   STR_FMT " in version \"" STR_FMT "\" cannot be handled as a " STR_FMT ": " STR_FMT, STR_ARG(kind),
                   STR_ARG(version), STR_ARG(own), STR_ARG(why));
}

static void add_duplicates(struct reader *r, const struct doc_dups *dups)
{
    int have = r->unknown_count, count = dups ? dups->count : 0;
    struct str *all = arena_array(r->mem, struct str, have + count + 1);
    if (have)
        memcpy(all, r->unknown, sizeof(*all) * (size_t)have);
    for (int i = 0; i < count; i++) {
        struct sb b = SB(r->mem);
        sb_addz(&b, "duplicate field ");
        sb_addq(&b, dups->paths[i]);
        all[have + i] = sb_str(&b);
    }
    r->unknown = all;
    r->unknown_count = have + count;
}

static int refuse_strict(const struct reader *r, const struct type *t, const struct doc *obj, struct err *err)
{
    struct sb b = SB(r->mem);
    sb_addz(&b, "strict decoding error: ");
    for (int i = 0; i < r->unknown_count; i++) {
        sb_addz(&b, i ? ", " : "");
        sb_add(&b, r->unknown[i]);
    }
    return refuse(r, t, obj, sb_str(&b), err);
}

int schema_read(struct arena *mem, const struct type *t, struct doc *obj, enum field_validation mode,
                const struct doc_dups *dups, struct warnings *ret_warnings, struct err *err)
{
    struct reader r = {.mem = mem, .want_unknown = mode != FIELDS_IGNORE};
    /* kind and apiVersion are read before a wrong one of them is dropped */
    struct doc head = {.type = DOC_OBJECT};
    struct doc *kind = doc_get(obj, "kind"), *version = doc_get(obj, "apiVersion");
    if (kind)
        doc_put_str(mem, &head, "kind", doc_string(kind));
    if (version)
        doc_put_str(mem, &head, "apiVersion", doc_string(version));
    if (obj->type != DOC_OBJECT && t->kind == TYPE_STRUCT)
        problem(&r, str_fmt(mem, "json: cannot unmarshal %s into Go value of type " STR_FMT, go_word(obj),
                            STR_ARG(type_go_name(mem, t))));
    else
        read_value(&r, t, obj, NULL, NULL);
    if (r.problem.len)
        return refuse(&r, t, &head, r.problem, err);
    if (mode == FIELDS_IGNORE)
        return 0;
    add_duplicates(&r, dups);
    if (mode == FIELDS_STRICT && r.unknown_count)
        return refuse_strict(&r, t, &head, err);
    if (ret_warnings && r.unknown_count)
        *ret_warnings = (struct warnings){r.unknown, r.unknown_count};
    return 0;
}
