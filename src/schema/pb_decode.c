/* Protobuf to JSON documents in canonical form. Bytes are a stranger's: every length, number and string is checked,
 * depth is bounded, and a map with a hundred thousand keys costs no more than sorting them. */
#include <math.h>
#include <stdlib.h>

#include "doc/wire.h"
#include "schema/pb.h"
#include "schema/quantity.h"
#include "schema/tables.h"
#include "schema/times.h"

struct decoder {
    struct arena *mem;
    int depth;
    const char *why; /* NULL: no error but a malformed wire */
    struct str where;
};

static int fail(struct decoder *d, const char *why)
{
    if (!d->why)
        d->why = why;
    return -1;
}

static int get_message(struct decoder *d, const struct type *t, struct str bytes, struct doc *obj);

static int get_string(struct decoder *d, struct str s, struct doc **ret)
{
    if (!wire_utf8(s))
        return fail(d, "string field contains invalid UTF-8");
    *ret = doc_new_str(d->mem, s);
    return 0;
}

static int get_double(struct decoder *d, double v, struct doc **ret)
{
    if (!isfinite(v))
        return fail(d, "number is not finite");
    *ret = double_node(d->mem, v);
    return 0;
}

static int get_time(struct decoder *d, struct str bytes, bool micro, struct doc **ret)
{
    struct wire w = wire_of(bytes);
    uint32_t field;
    enum wire_type type;
    int64_t sec = 0, nano = 0;
    if (!bytes.len) {
        *ret = doc_new_null(d->mem);
        return 0;
    }
    while (wire_next(&w, &field, &type)) {
        if (field == 1 && type == WIRE_VARINT)
            sec = (int64_t)wire_varint(&w);
        else if (field == 2 && type == WIRE_VARINT)
            nano = (int32_t)wire_varint(&w);
        else
            wire_skip(&w, type);
    }
    if (w.bad)
        return -1;
    if (sec < -62167219200 || sec > 253402300799 || nano < 0 || nano > 999999999)
        return fail(d, "time is outside of years 0 to 9999");
    *ret = sec == TIME_ZERO_SEC && (!micro || nano < 1000)
               ? doc_new_null(d->mem)
               : doc_new_str(d->mem, time_format(d->mem, sec, (int32_t)nano, micro));
    return 0;
}

static int get_int_or_string(struct decoder *d, struct str bytes, struct doc **ret)
{
    struct wire w = wire_of(bytes);
    uint32_t field;
    enum wire_type type;
    uint64_t kind = 0;
    int32_t number = 0;
    struct str text = STR("");
    while (wire_next(&w, &field, &type)) {
        if (field == 1 && type == WIRE_VARINT)
            kind = wire_varint(&w);
        else if (field == 2 && type == WIRE_VARINT)
            number = (int32_t)wire_varint(&w);
        else if (field == 3 && type == WIRE_LEN)
            text = wire_bytes(&w);
        else
            wire_skip(&w, type);
    }
    if (w.bad)
        return -1;
    if (kind > 1)
        return fail(d, "impossible IntOrString.Type");
    if (kind == 1)
        return get_string(d, text, ret);
    *ret = doc_new_int(d->mem, number);
    return 0;
}

/* The one length-delimited field with number 1: Quantity, RawExtension, FieldsV1, JSON. */
static bool get_only(struct str bytes, struct str *ret)
{
    struct wire w = wire_of(bytes);
    uint32_t field;
    enum wire_type type;
    *ret = STR_NULL;
    while (wire_next(&w, &field, &type)) {
        if (field == 1 && type == WIRE_LEN)
            *ret = wire_bytes(&w);
        else
            wire_skip(&w, type);
    }
    return !w.bad;
}

static int get_quantity(struct decoder *d, struct str bytes, struct doc **ret)
{
    struct str text;
    struct quantity q;
    if (!get_only(bytes, &text))
        return -1;
    text = text.len ? text : STR("0");
    int code = quantity_parse(text, &q);
    if (code < 0)
        return fail(d, quantity_strerror(code));
    return get_string(d, quantity_canonical(d->mem, text), ret);
}

/* The JSON, or another envelope, that a RawExtension carries. */
static int get_duration(struct decoder *d, struct str bytes, struct doc **ret)
{
    struct wire w = wire_of(bytes);
    uint32_t field;
    enum wire_type type;
    int64_t ns = 0;
    while (wire_next(&w, &field, &type)) {
        if (field == 1 && type == WIRE_VARINT)
            ns = (int64_t)wire_varint(&w);
        else
            wire_skip(&w, type);
    }
    *ret = doc_new_str(d->mem, duration_format(d->mem, ns));
    return w.bad ? -1 : 0;
}

static int get_raw(struct decoder *d, struct str bytes, struct doc **ret)
{
    struct str raw;
    struct err err = ERR(d->mem);
    struct doc_opts opts = {.depth_max = SCHEMA_DEPTH_MAX};
    if (!get_only(bytes, &raw))
        return -1;
    if (!raw.len) {
        *ret = doc_new_null(d->mem);
        return 0;
    }
    if (str_starts(raw, PB_MAGIC)) {
        struct pb_envelope e;
        const struct type *t = pb_unwrap(raw, &e) ? schema_body(e.api_version, e.kind) : NULL;
        if (!t)
            return fail(d, "embedded object is of no known kind");
        *ret = doc_new_object(d->mem);
        doc_put_str(d->mem, *ret, "kind", e.kind);
        doc_put_str(d->mem, *ret, "apiVersion", e.api_version);
        return get_message(d, t, e.raw, *ret);
    }
    *ret = doc_parse(d->mem, raw, &opts, &err);
    return *ret ? 0 : fail(d, "embedded object is no JSON");
}

static int get_list_wrapped(struct decoder *d, const struct type *t, struct str bytes, struct doc **ret);
static int get_either(struct decoder *d, const struct type *t, struct str bytes, struct doc **ret);

/* A value in a length-delimited field. old: an earlier occurrence of a message, merged into as Go does; or NULL. */
static int get_bytes(struct decoder *d, const struct type *t, struct str bytes, struct doc *old, struct doc **ret)
{
    switch (t->kind) {
    case TYPE_STRING:
        return get_string(d, bytes, ret);
    case TYPE_BYTES:
        *ret = doc_new_str(d->mem, str_base64(d->mem, bytes));
        return 0;
    case TYPE_STRUCT:
        *ret = doc_is(old, DOC_OBJECT) ? old : doc_new_object(d->mem);
        return get_message(d, t, bytes, *ret);
    case TYPE_QUANTITY:
        return get_quantity(d, bytes, ret);
    case TYPE_INT_OR_STRING:
        return get_int_or_string(d, bytes, ret);
    case TYPE_TIME:
    case TYPE_MICRO_TIME:
        return get_time(d, bytes, t->kind == TYPE_MICRO_TIME, ret);
    case TYPE_DURATION:
        return get_duration(d, bytes, ret);
    case TYPE_LIST:
        return get_list_wrapped(d, t, bytes, ret);
    case TYPE_EITHER:
        return get_either(d, t, bytes, ret);
    default:
        return get_raw(d, bytes, ret);
    }
}

/* Any one value that follows a tag. 0, -1 on error, 1 when the wire type is not the field's. */
static int get_value(struct decoder *d, const struct type *t, struct wire *w, enum wire_type type, struct doc *old,
                     struct doc **ret)
{
    switch (t->kind) {
    case TYPE_BOOL:
    case TYPE_INT32:
    case TYPE_INT64: {
        if (type != WIRE_VARINT)
            return 1;
        uint64_t v = wire_varint(w);
        *ret = t->kind == TYPE_BOOL ? doc_new_bool(d->mem, v != 0)
                                    : doc_new_int(d->mem, t->kind == TYPE_INT32 ? (int32_t)v : (int64_t)v);
        return w->bad ? -1 : 0;
    }
    case TYPE_DOUBLE:
        if (type != WIRE_FIXED64)
            return 1;
        return get_double(d, wire_double(w), ret);
    default:
        if (type != WIRE_LEN)
            return 1;
        struct str bytes = wire_bytes(w);
        return w->bad ? -1 : get_bytes(d, t, bytes, old, ret);
    }
}

static int get_list_wrapped(struct decoder *d, const struct type *t, struct str bytes, struct doc **ret)
{
    struct wire w = wire_of(bytes);
    uint32_t field;
    enum wire_type type;
    *ret = doc_new_array(d->mem);
    while (wire_next(&w, &field, &type)) {
        struct doc *item;
        int r = field == 1 ? get_value(d, t->elem, &w, type, NULL, &item) : 1;
        if (r < 0)
            return -1;
        if (r == 1)
            wire_skip(&w, type);
        else
            doc_push(*ret, item);
    }
    if (!doc_len(*ret)) /* a nil slice in Go */
        *ret = doc_new_null(d->mem);
    return w.bad ? -1 : 0;
}

static int get_either(struct decoder *d, const struct type *t, struct str bytes, struct doc **ret)
{
    struct wire w = wire_of(bytes);
    uint32_t number;
    enum wire_type type;
    *ret = NULL;
    while (wire_next(&w, &number, &type)) {
        const struct field *f = NULL;
        for (int i = 0; i < t->field_count; i++)
            if (t->fields[i].pb_number == number)
                f = &t->fields[i];
        struct doc *v;
        int r = f ? get_value(d, f->type->kind == TYPE_LIST ? f->type->elem : f->type, &w, type, NULL, &v) : 1;
        if (r < 0)
            return -1;
        if (r == 1) {
            wire_skip(&w, type);
        } else if (f->type->kind == TYPE_LIST) {
            *ret = doc_is(*ret, DOC_ARRAY) ? *ret : doc_new_array(d->mem);
            doc_push(*ret, v);
        } else if (!*ret || f->type->kind == TYPE_STRUCT) {
            *ret = v;
        }
    }
    if (!*ret)
        *ret = doc_new_null(d->mem);
    return w.bad ? -1 : 0;
}

static int get_entry(struct decoder *d, const struct type *elem, struct str bytes, struct doc *map)
{
    struct wire w = wire_of(bytes);
    uint32_t field;
    enum wire_type type;
    struct str key = STR("");
    struct doc *value = NULL;
    while (wire_next(&w, &field, &type)) {
        int r = 1;
        if (field == 1 && type == WIRE_LEN)
            key = wire_bytes(&w), r = 0;
        else if (field == 2)
            r = get_value(d, elem, &w, type, value, &value);
        if (r < 0)
            return -1;
        if (r == 1)
            wire_skip(&w, type);
    }
    if (w.bad || !wire_utf8(key))
        return w.bad ? -1 : fail(d, "string field contains invalid UTF-8");
    struct field zero = {.type = elem};
    if (!value)
        value = elem->kind == TYPE_BYTES ? doc_new_str(d->mem, STR("")) : field_zero(d->mem, &zero);
    value->key = key.ptr ? key : STR("");
    doc_link(map, value);
    return 0;
}

struct ranked {
    struct doc *d;
    uint32_t at;
};

static int by_key_then_place(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    int order = str_cmp(x->d->key, y->d->key);
    return order ? order : x->at < y->at ? -1 : 1;
}

/* Entries came in any order, perhaps with a key twice: the last one stands. */
static void settle_map(struct decoder *d, struct doc *map)
{
    bool sorted = true;
    const struct doc *before = NULL;
    doc_each (v, map)
        sorted = sorted && (!before || str_cmp(before->key, v->key) < 0), before = v;
    if (sorted)
        return;
    uint32_t n = 0, count = map->count;
    struct ranked *all = arena_array(d->mem, struct ranked, count);
    doc_each (v, map)
        all[n] = (struct ranked){v, n}, n++;
    qsort(all, n, sizeof(*all), by_key_then_place);
    doc_clear(map);
    for (uint32_t i = 0; i < n; i++)
        if (i + 1 == n || !str_eq(all[i].d->key, all[i + 1].d->key))
            doc_link(map, all[i].d);
}

/* The index in by_number of a field number; -1: none. */
static int find_number(const struct type *t, uint32_t number)
{
    int low = 0, high = t->number_count;
    while (low < high) {
        int mid = (low + high) / 2, index = t->by_number[mid];
        uint32_t n = index < t->field_count ? t->fields[index].pb_number : t->inlines[index - t->field_count].pb_number;
        if (n == number)
            return index;
        if (number < n)
            high = mid;
        else
            low = mid + 1;
    }
    return -1;
}

static struct doc *container(struct decoder *d, const struct field *f, struct doc *obj, struct doc **slot)
{
    if (!*slot) {
        *slot = f->type->kind == TYPE_MAP ? doc_new_object(d->mem) : doc_new_array(d->mem);
        doc_link_at(obj, f->name, f->name_len, *slot);
    }
    return *slot;
}

static int get_field(struct decoder *d, const struct field *f, struct wire *w, enum wire_type type, struct doc *obj,
                     struct doc **slot)
{
    struct doc *value;
    int r;
    if (f->type->kind == TYPE_MAP) {
        if (type != WIRE_LEN)
            return 1;
        struct str bytes = wire_bytes(w);
        return w->bad ? -1 : get_entry(d, f->type->elem, bytes, container(d, f, obj, slot));
    }
    if (f->type->kind == TYPE_LIST && !f->type->pb_wrapped) {
        r = get_value(d, f->type->elem, w, type, NULL, &value);
        if (r == 0)
            doc_push(container(d, f, obj, slot), value);
        return r;
    }
    r = get_value(d, f->type, w, type, *slot, &value);
    if (r == 0 && !*slot) {
        doc_link_at(obj, f->name, f->name_len, value);
        *slot = value;
    } else if (r == 0 && value != *slot) {
        doc_assign(*slot, value);
    }
    return r;
}

static int get_message_in(struct decoder *d, const struct type *t, struct str bytes, struct doc *obj)
{
    struct doc *slots[SCHEMA_FIELDS_MAX];
    struct wire w = wire_of(bytes);
    uint32_t number;
    enum wire_type type;
    type_slots(t, obj, slots);
    while (wire_next(&w, &number, &type)) {
        int index = find_number(t, number), r = 1;
        const struct field *f = index >= 0 && index < t->field_count ? &t->fields[index] : NULL;
        if (f) {
            r = get_field(d, f, &w, type, obj, &slots[index]);
        } else if (index >= 0 && type == WIRE_LEN) {
            struct str part = wire_bytes(&w);
            r = w.bad ? -1 : get_message(d, t->inlines[index - t->field_count].type, part, obj);
            type_slots(t, obj, slots);
        }
        if (r < 0) {
            fail(d, "malformed field");
            if (f && !d->where.len) /* the innermost name */
                d->where = str_of(f->name);
            return -1;
        }
        if (r == 1)
            wire_skip(&w, type);
    }
    if (w.bad)
        return -1;
    for (int i = 0; i < t->field_count; i++)
        if (slots[i] && t->fields[i].type->kind == TYPE_MAP)
            settle_map(d, slots[i]);
    return 0;
}

static int get_message(struct decoder *d, const struct type *t, struct str bytes, struct doc *obj)
{
    if (d->depth == SCHEMA_DEPTH_MAX)
        return fail(d, "nested too deep");
    d->depth++;
    int r = get_message_in(d, t, bytes, obj);
    d->depth--;
    return r;
}

bool pb_unwrap(struct str bytes, struct pb_envelope *ret)
{
    if (!str_starts(bytes, PB_MAGIC))
        return false;
    struct wire w = wire_of(str_from(bytes, PB_MAGIC.len));
    uint32_t field;
    enum wire_type type;
    *ret = (struct pb_envelope){0};
    while (wire_next(&w, &field, &type)) {
        if (field == 1 && type == WIRE_LEN) {
            struct wire meta = wire_sub(&w);
            while (wire_next(&meta, &field, &type)) {
                if (field <= 2 && type == WIRE_LEN)
                    *(field == 1 ? &ret->api_version : &ret->kind) = wire_bytes(&meta);
                else
                    wire_skip(&meta, type);
            }
            if (meta.bad)
                return false;
        } else if ((field == 2 || field == 4) && type == WIRE_LEN) {
            *(field == 2 ? &ret->raw : &ret->content_type) = wire_bytes(&w);
        } else {
            wire_skip(&w, type);
        }
    }
    return !w.bad && wire_utf8(ret->api_version) && wire_utf8(ret->kind);
}

static int decode_into(struct arena *mem, const struct type *t, struct str bytes, struct doc *obj, struct err *err)
{
    struct decoder d = {.mem = mem};
    if (get_message(&d, t, bytes, obj) < 0)
        return err_set(err, ERR_BAD_REQUEST, "protobuf: %s%s" STR_FMT, d.why ? d.why : "malformed message",
                       d.where.len ? " in " : "", STR_ARG(d.where));
    schema_order(mem, t, obj);
    return 0;
}

int schema_decode_pb_message(struct arena *mem, const struct type *t, struct str bytes, struct doc **ret,
                             struct err *err)
{
    struct doc *obj = doc_new_object(mem);
    if (decode_into(mem, t, bytes, obj, err) < 0)
        return -1;
    *ret = obj;
    return 0;
}

int schema_decode_pb(struct arena *mem, struct str bytes, struct doc **ret, struct err *err)
{
    struct pb_envelope e;
    if (!pb_unwrap(bytes, &e))
        return err_set(err, ERR_BAD_REQUEST,
                       "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]");
    const struct type *t = schema_body(e.api_version, e.kind);
    if (!t)
        return err_set(err, ERR_BAD_REQUEST, "no kind \"" STR_FMT "\" is registered for version \"" STR_FMT "\"",
                       STR_ARG(e.kind), STR_ARG(e.api_version));
    struct doc *obj = doc_new_object(mem);
    doc_put_str(mem, obj, "kind", e.kind);
    doc_put_str(mem, obj, "apiVersion", e.api_version);
    if (decode_into(mem, t, e.raw, obj, err) < 0)
        return -1;
    *ret = obj;
    return 0;
}
