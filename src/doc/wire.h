/* doc/wire.h - the protobuf wire: bytes of a message in and out, without knowing its fields.
 *
 * The table-driven codec of schema/ stands on this. The reader is a cursor over borrowed bytes: it never allocates,
 * never reads past its end, and after the first error answers zero to everything and stays `bad`, so that a caller
 * checks once per message. The writer appends to an sb. Source: protobuf.dev/programming-guides/encoding. May use
 * base/. */
#ifndef SAMPAN_DOC_WIRE_H
#define SAMPAN_DOC_WIRE_H

#include "base/str.h"

enum wire_type {
    WIRE_VARINT = 0,
    WIRE_FIXED64 = 1,
    WIRE_LEN = 2,
    WIRE_GROUP = 3,     /* deprecated in protobuf; only skipped */
    WIRE_GROUP_END = 4, /* never returned by wire_next: outside a group it is an error */
    WIRE_FIXED32 = 5
};
enum { WIRE_GROUP_DEPTH_MAX = 100, WIRE_VARINT_BYTES_MAX = 10 };

/* ---- reading */
struct wire {
    const uint8_t *at, *end;
    bool bad; /* malformed or truncated; `at` is then `end` */
};
static inline struct wire wire_of(struct str bytes)
{
    const uint8_t *p = (const uint8_t *)bytes.ptr;
    return (struct wire){p, p ? p + bytes.len : p, false};
}
static inline bool wire_end(const struct wire *w)
{
    return w->at == w->end;
}

/* The tag of the next field. False at the end of the message and on error (w->bad tells which). Field numbers are
 * 1 to 2^29-1. After it the caller reads the value with the call that fits *ret_type, or skips it:
 *
 *     while (wire_next(&w, &field, &type))
 *         if (field == 1 && type == WIRE_LEN) name = wire_bytes(&w);
 *         else wire_skip(&w, type);
 *     if (w.bad) ... */
bool wire_next(struct wire *w, uint32_t *ret_field, enum wire_type *ret_type);

uint64_t wire_varint_slow(struct wire *w);
/* A varint of up to 64 bits. int32, int64, uint32, uint64, bool, enum: cast the result (a negative int32 has ten
 * bytes). */
static inline uint64_t wire_varint(struct wire *w)
{
    if (w->at < w->end && *w->at < 0x80)
        return *w->at++;
    return wire_varint_slow(w);
}
uint32_t wire_fixed32(struct wire *w);
uint64_t wire_fixed64(struct wire *w);
double wire_double(struct wire *w);
/* A length-delimited value: string, bytes, packed numbers, or an embedded message (read on with wire_of or wire_sub).
 * Borrowed from the input; empty and bad when it would pass the end. UTF-8 is not checked: see wire_utf8. */
struct str wire_bytes(struct wire *w);
static inline struct wire wire_sub(struct wire *w)
{
    return wire_of(wire_bytes(w));
}
/* Pass over the value that follows a tag of this type; groups with everything in them, iteratively, at most
 * WIRE_GROUP_DEPTH_MAX deep. False, and bad, on error. */
bool wire_skip(struct wire *w, enum wire_type type);
/* proto2 and proto3 strings must be UTF-8. */
bool wire_utf8(struct str s);

static inline int64_t wire_zigzag_dec(uint64_t v) /* sint32, sint64 */
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}
static inline uint64_t wire_zigzag_enc(int64_t v)
{
    return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}

/* ---- writing. Go's generated marshallers write fields in ascending number and maps sorted by key; that is up to the
 * caller, as is leaving out zero values. */
void wire_put_varint(struct sb *out, uint64_t v);
void wire_put_tag(struct sb *out, uint32_t field, enum wire_type type);
/* Field and value in one call. Signed numbers: pass (uint64_t)(int64_t)v. */
void wire_put_uint(struct sb *out, uint32_t field, uint64_t v);
void wire_put_bool(struct sb *out, uint32_t field, bool v);
void wire_put_bytes(struct sb *out, uint32_t field, struct str bytes);
void wire_put_fixed32(struct sb *out, uint32_t field, uint32_t v);
void wire_put_fixed64(struct sb *out, uint32_t field, uint64_t v);
void wire_put_double(struct sb *out, uint32_t field, double v);

/* An embedded message whose length is not known yet: open writes the tag and one byte for the length, close fills it in
 * and moves the body by one to four bytes where it is 128 bytes or longer. Nests like brackets. The mark is an offset,
 * so it survives the growing of the sb. Bodies are below 2^32 bytes.
 *
 *     size_t mark = wire_open(out, 1);
 *     ...
 *     wire_close(out, mark); */
size_t wire_open(struct sb *out, uint32_t field);
void wire_close(struct sb *out, size_t mark);

/* Bytes that wire_put_varint will write: 1 to 10. */
static inline int wire_varint_len(uint64_t v)
{
    return (70 - __builtin_clzll(v | 1)) / 7;
}

#endif
