#include "doc/wire.h"

#include <assert.h>

#include "doc/utf8.h"

static uint64_t fail(struct wire *w)
{
    w->at = w->end;
    w->bad = true;
    return 0;
}

uint64_t wire_varint_slow(struct wire *w)
{
    uint64_t v = 0;
    for (int shift = 0; shift < 7 * WIRE_VARINT_BYTES_MAX; shift += 7) {
        if (w->at == w->end)
            return fail(w);
        uint8_t b = *w->at++;
        if (shift == 63 && b > 1) /* the tenth byte carries one bit */
            return fail(w);
        v |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80)
            return v;
    }
    return fail(w);
}

/* A tag, end of group included. */
static bool next_tag(struct wire *w, uint32_t *ret_field, uint32_t *ret_type)
{
    uint64_t tag = wire_varint(w);
    if (w->bad)
        return false;
    if (tag > UINT32_MAX || tag >> 3 == 0 || (tag & 7) > WIRE_FIXED32)
        return fail(w);
    *ret_field = (uint32_t)(tag >> 3);
    *ret_type = tag & 7;
    return true;
}

bool wire_next(struct wire *w, uint32_t *ret_field, enum wire_type *ret_type)
{
    uint32_t field, type;
    if (wire_end(w) || !next_tag(w, &field, &type))
        return false;
    if (type == WIRE_GROUP_END)
        return fail(w);
    *ret_field = field;
    *ret_type = (enum wire_type)type;
    return true;
}

uint32_t wire_fixed32(struct wire *w)
{
    if (w->end - w->at < 4)
        return (uint32_t)fail(w);
    uint32_t v = 0;
    for (int i = 0; i < 4; i++)
        v |= (uint32_t)w->at[i] << (8 * i);
    w->at += 4;
    return v;
}

uint64_t wire_fixed64(struct wire *w)
{
    if (w->end - w->at < 8)
        return fail(w);
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v |= (uint64_t)w->at[i] << (8 * i);
    w->at += 8;
    return v;
}

double wire_double(struct wire *w)
{
    uint64_t bits = wire_fixed64(w);
    double v;
    memcpy(&v, &bits, sizeof(v));
    return v;
}

struct str wire_bytes(struct wire *w)
{
    uint64_t len = wire_varint(w);
    if (len > (uint64_t)(w->end - w->at))
        fail(w);
    if (w->bad)
        return STR_NULL;
    struct str s = {(const char *)w->at, (size_t)len};
    w->at += len;
    return s;
}

static void skip_scalar(struct wire *w, uint32_t type)
{
    if (type == WIRE_VARINT)
        wire_varint(w);
    else if (type == WIRE_FIXED64)
        wire_fixed64(w);
    else if (type == WIRE_LEN)
        wire_bytes(w);
    else
        wire_fixed32(w);
}

bool wire_skip(struct wire *w, enum wire_type type)
{
    int depth = 0;
    uint32_t field, inner = type;
    for (;;) {
        if (inner == WIRE_GROUP)
            depth++;
        else if (inner == WIRE_GROUP_END)
            depth--;
        else
            skip_scalar(w, inner);
        if (w->bad || depth == 0)
            return !w->bad;
        if (depth < 0 || depth > WIRE_GROUP_DEPTH_MAX)
            return fail(w);
        if (!next_tag(w, &field, &inner))
            return false;
    }
}

bool wire_utf8(struct str s)
{
    return utf8_valid(s);
}

/* ---- writing */

static char *put_varint(char *p, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        *p++ = (char)(v | 0x80);
    *p++ = (char)v;
    return p;
}

void wire_put_varint(struct sb *out, uint64_t v)
{
    char *p = sb_room(out, WIRE_VARINT_BYTES_MAX);
    out->len += put_varint(p, v) - p;
}

void wire_put_tag(struct sb *out, uint32_t field, enum wire_type type)
{
    wire_put_varint(out, (uint64_t)field << 3 | type);
}

void wire_put_uint(struct sb *out, uint32_t field, uint64_t v)
{
    char *p = sb_room(out, 2 * WIRE_VARINT_BYTES_MAX);
    out->len += put_varint(put_varint(p, (uint64_t)field << 3 | WIRE_VARINT), v) - p;
}

void wire_put_bool(struct sb *out, uint32_t field, bool v)
{
    wire_put_uint(out, field, v);
}

void wire_put_bytes(struct sb *out, uint32_t field, struct str bytes)
{
    char *p = sb_room(out, 2 * WIRE_VARINT_BYTES_MAX + bytes.len), *q;
    q = put_varint(put_varint(p, (uint64_t)field << 3 | WIRE_LEN), bytes.len);
    if (bytes.len)
        memcpy(q, bytes.ptr, bytes.len);
    out->len += (size_t)(q - p) + bytes.len;
}

static void put_fixed(struct sb *out, uint64_t v, int bytes)
{
    char *p = sb_room(out, 8);
    for (int i = 0; i < bytes; i++)
        p[i] = (char)(v >> (8 * i));
    out->len += bytes;
}

void wire_put_fixed32(struct sb *out, uint32_t field, uint32_t v)
{
    wire_put_tag(out, field, WIRE_FIXED32);
    put_fixed(out, v, 4);
}

void wire_put_fixed64(struct sb *out, uint32_t field, uint64_t v)
{
    wire_put_tag(out, field, WIRE_FIXED64);
    put_fixed(out, v, 8);
}

void wire_put_double(struct sb *out, uint32_t field, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof(bits));
    wire_put_fixed64(out, field, bits);
}

size_t wire_open(struct sb *out, uint32_t field)
{
    wire_put_tag(out, field, WIRE_LEN);
    sb_addc(out, 0);
    return out->len;
}

void wire_close(struct sb *out, size_t mark)
{
    assert(mark > 0 && mark <= out->len);
    size_t body = out->len - mark;
    assert(body <= UINT32_MAX);
    int more = wire_varint_len(body) - 1;
    if (more > 0) {
        sb_room(out, (size_t)more);
        memmove(out->ptr + mark + more, out->ptr + mark, body);
        out->len += more;
    }
    put_varint(out->ptr + mark - 1, body);
}
