/* JSON documents to protobuf, byte for byte as the gogo-generated marshallers of Kubernetes write them: fields in order
 * of number, values that are no pointers always, maps sorted by key. */
#include <stdlib.h>

#include "doc/wire.h"
#include "schema/pb.h"
#include "schema/tables.h"
#include "schema/times.h"

static int put_message(struct sb *out, const struct type *t, const struct doc *obj);
static int put_value(struct sb *out, const struct type *t, uint32_t n, const struct doc *v);

/* Base64 text to bytes; what is no base64 has been refused by schema_read. */
static struct str raw_bytes(struct sb *out, const struct doc *v)
{
    struct str raw;
    return str_base64_dec(out->mem, doc_string(v), &raw) ? raw : STR_NULL;
}

static double number(struct sb *out, const struct doc *v)
{
    if (doc_is(v, DOC_INT))
        return (double)v->i;
    return doc_is(v, DOC_NUMBER) ? strtod(str_z(out->mem, v->s), NULL) : 0;
}

static void put_time(struct sb *out, const struct doc *v, bool micro)
{
    int64_t sec;
    int32_t nano;
    struct str why;
    if (!doc_is(v, DOC_STRING) || !time_parse(out->mem, v->s, micro, &sec, &nano, &why))
        return; /* the zero time is an empty message */
    wire_put_uint(out, 1, (uint64_t)sec);
    wire_put_uint(out, 2, micro ? (uint64_t)nano : 0);
}

static void put_duration(struct sb *out, const struct doc *v)
{
    int64_t ns = 0;
    duration_parse(doc_string(v), &ns);
    wire_put_uint(out, 1, (uint64_t)ns);
}

static void put_int_or_string(struct sb *out, const struct doc *v)
{
    bool is_string = doc_is(v, DOC_STRING);
    wire_put_uint(out, 1, is_string);
    wire_put_uint(out, 2, is_string || !v ? 0 : (uint64_t)v->i);
    wire_put_bytes(out, 3, doc_string(v));
}

static int put_either(struct sb *out, const struct type *t, const struct doc *v)
{
    const struct field *schema = NULL, *other = NULL;
    for (int i = 0; i < t->field_count; i++)
        *(t->fields[i].type->kind == TYPE_STRUCT ? &schema : &other) = &t->fields[i];
    if (other->type->kind == TYPE_BOOL)
        wire_put_bool(out, other->pb_number, v->type == DOC_OBJECT || v->b);
    if (v->type == DOC_OBJECT) {
        size_t mark = wire_open(out, schema->pb_number);
        if (put_message(out, schema->type, v) < 0)
            return -1;
        wire_close(out, mark);
    }
    if (v->type == DOC_ARRAY)
        doc_each (item, v)
            if (put_value(out, other->type->elem, other->pb_number, item) < 0)
                return -1;
    return 0;
}

/* One value under its number; v NULL: the zero value. */
static int put_value(struct sb *out, const struct type *t, uint32_t n, const struct doc *v)
{
    size_t mark;
    int r = 0;
    switch (t->kind) {
    case TYPE_STRING:
        wire_put_bytes(out, n, doc_string(v));
        return 0;
    case TYPE_BYTES:
        wire_put_bytes(out, n, raw_bytes(out, v));
        return 0;
    case TYPE_BOOL:
        wire_put_bool(out, n, doc_is(v, DOC_BOOL) && v->b);
        return 0;
    case TYPE_INT32:
    case TYPE_INT64:
        wire_put_uint(out, n, doc_is(v, DOC_INT) ? (uint64_t)v->i : 0);
        return 0;
    case TYPE_DOUBLE:
        wire_put_double(out, n, number(out, v));
        return 0;
    default:
        break;
    }
    mark = wire_open(out, n);
    switch (t->kind) {
    case TYPE_STRUCT:
        r = put_message(out, t, v);
        break;
    case TYPE_EITHER:
        r = v ? put_either(out, t, v) : 0;
        break;
    case TYPE_QUANTITY:
        wire_put_bytes(out, 1, v ? doc_string(v) : STR("0"));
        break;
    case TYPE_INT_OR_STRING:
        put_int_or_string(out, v);
        break;
    case TYPE_TIME:
    case TYPE_MICRO_TIME:
        put_time(out, v, t->kind == TYPE_MICRO_TIME);
        break;
    case TYPE_DURATION:
        put_duration(out, v);
        break;
    case TYPE_LIST: /* wrapped in a message of its own */
        doc_each (item, v)
            if (put_value(out, t->elem, 1, item) < 0)
                return -1;
        break;
    default: /* RAW, FIELDS_V1, JSON: {raw = 1} */
        if (v)
            wire_put_bytes(out, 1, doc_json(out->mem, v));
    }
    wire_close(out, mark);
    return r;
}

static int by_key(const void *a, const void *b)
{
    return str_cmp((*(struct doc *const *)a)->key, (*(struct doc *const *)b)->key);
}

static int put_map(struct sb *out, const struct field *f, const struct doc *map)
{
    struct doc **items = arena_array(out->mem, struct doc *, doc_len(map) + 1);
    uint32_t n = 0;
    bool sorted = true;
    doc_each (d, map) {
        sorted = sorted && (n == 0 || str_cmp(items[n - 1]->key, d->key) <= 0);
        items[n++] = d;
    }
    if (!sorted)
        qsort(items, n, sizeof(*items), by_key);
    for (uint32_t i = 0; i < n; i++) {
        size_t mark = wire_open(out, f->pb_number);
        wire_put_bytes(out, 1, items[i]->key);
        if (put_value(out, f->type->elem, 2, items[i]->type == DOC_NULL ? NULL : items[i]) < 0)
            return -1;
        wire_close(out, mark);
    }
    return 0;
}

static int put_field(struct sb *out, const struct field *f, const struct doc *v)
{
    const struct type *t = f->type;
    if (t->kind == TYPE_MAP)
        return put_map(out, f, v);
    if (t->kind == TYPE_LIST && !t->pb_wrapped) {
        doc_each (item, v)
            if (put_value(out, t->elem, f->pb_number, item->type == DOC_NULL ? NULL : item) < 0)
                return -1;
        return 0;
    }
    if (!v && (f->flags & FIELD_PTR || t->kind == TYPE_BYTES || t->kind == TYPE_LIST))
        return 0;
    return put_value(out, t, f->pb_number, v);
}

static int put_message(struct sb *out, const struct type *t, const struct doc *obj)
{
    struct doc *slots[SCHEMA_FIELDS_MAX];
    if (obj)
        type_slots(t, obj, slots);
    else
        memset(slots, 0, sizeof(slots));
    for (int i = 0; i < t->number_count; i++) {
        int index = t->by_number[i];
        if (index < t->field_count) {
            if (put_field(out, &t->fields[index], slots[index]) < 0)
                return -1;
            continue;
        }
        const struct type_inline *part = &t->inlines[index - t->field_count];
        size_t mark = wire_open(out, part->pb_number);
        if (put_message(out, part->type, obj) < 0)
            return -1;
        wire_close(out, mark);
    }
    return 0;
}

int schema_encode_pb_message(struct sb *out, const struct type *t, const struct doc *obj)
{
    return put_message(out, t, obj);
}

int schema_encode_pb(struct sb *out, const struct type *t, const struct doc *obj)
{
    sb_add(out, PB_MAGIC);
    size_t mark = wire_open(out, 1);
    wire_put_bytes(out, 1, doc_str(obj, "apiVersion"));
    wire_put_bytes(out, 2, doc_str(obj, "kind"));
    wire_close(out, mark);
    mark = wire_open(out, 2);
    if (put_message(out, t, obj) < 0)
        return -1;
    wire_close(out, mark);
    wire_put_bytes(out, 3, STR(""));
    wire_put_bytes(out, 4, STR(""));
    return 0;
}
