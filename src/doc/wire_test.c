#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "doc/wire.h"

static void test_numbers_both_ways(void **state)
{
    cleanup_arena struct arena *mem = arena_new();
    static const uint64_t values[] = {0, 1, 127, 128, 300, 16383, 16384, UINT32_MAX, INT64_MAX, UINT64_MAX};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct sb out = SB(mem);
        uint32_t field;
        enum wire_type type;
        wire_put_uint(&out, 5, values[i]);
        assert_int_equal(out.len, 1 + wire_varint_len(values[i]));
        wire_put_fixed64(&out, 1, values[i]);
        wire_put_fixed32(&out, (1 << 29) - 1, (uint32_t)values[i]);
        wire_put_double(&out, 2, 0.5);
        struct wire w = wire_of(sb_str(&out));
        assert_true(wire_next(&w, &field, &type) && field == 5 && type == WIRE_VARINT);
        assert_true(wire_varint(&w) == values[i]);
        assert_true(wire_next(&w, &field, &type) && field == 1 && type == WIRE_FIXED64);
        assert_true(wire_fixed64(&w) == values[i]);
        assert_true(wire_next(&w, &field, &type) && field == (1 << 29) - 1 && type == WIRE_FIXED32);
        assert_true(wire_fixed32(&w) == (uint32_t)values[i]);
        assert_true(wire_next(&w, &field, &type) && wire_double(&w) == 0.5);
        assert_false(wire_next(&w, &field, &type));
        assert_true(wire_end(&w) && !w.bad);
    }
    assert_int_equal(wire_zigzag_dec(wire_zigzag_enc(INT64_MIN)), INT64_MIN);
    assert_int_equal(wire_zigzag_enc(-1), 1);
}

static void test_nested_lengths(void **state)
{
    static const size_t bodies[] = {0, 1, 124, 125, 126, 127, 128, 16381, 16384, 70000};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        cleanup_arena struct arena *mem = arena_new();
        struct sb out = SB(mem);
        char *body = arena_zalloc(mem, bodies[i] + 1);
        uint32_t field;
        enum wire_type type;
        size_t outer = wire_open(&out, 1), inner = wire_open(&out, 2);
        wire_put_bytes(&out, 3, str_mem(body, bodies[i]));
        wire_close(&out, inner);
        wire_put_bool(&out, 4, true);
        wire_close(&out, outer);
        struct wire w = wire_of(sb_str(&out));
        assert_true(wire_next(&w, &field, &type) && field == 1 && type == WIRE_LEN);
        struct wire a = wire_sub(&w);
        assert_true(wire_end(&w) && wire_next(&a, &field, &type) && field == 2);
        struct wire b = wire_sub(&a);
        assert_true(wire_next(&b, &field, &type) && field == 3);
        assert_int_equal(wire_bytes(&b).len, bodies[i]);
        assert_true(wire_end(&b) && wire_next(&a, &field, &type) && field == 4 && wire_varint(&a) == 1 && wire_end(&a));
    }
}

static const struct {
    const char *bytes;
    size_t len;
    bool good; /* can be skipped field by field */
} messages[] = {
    {"", 0, true},
    {"\x08\x01", 2, true},
    {"\x08", 1, false},                                              /* no value */
    {"\x08\x80", 2, false},                                          /* truncated varint */
    {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, true},      /* -1 */
    {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11, false},     /* 65 bits */
    {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12, false}, /* eleven bytes */
    {"\x0a\x02hi", 4, true},
    {"\x0a\x03hi", 4, false},
    {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, false}, /* a length of 2^64-1 */
    {"\x00\x01", 2, false},                                      /* field 0 */
    {"\x0e\x01", 2, false},                                      /* type 6 */
    {"\x0c", 1, false},                                          /* end of no group */
    {"\x0b\x08\x01\x0c", 4, true},                               /* a group */
    {"\x0b\x0b\x0c", 3, false},                                  /* one is not closed */
    {"\x0d\x01\x02\x03", 4, false},                              /* fixed32 of three bytes */
    {"\x09\x01\x02\x03\x04\x05\x06\x07", 8, false},
};

static void test_malformed(void **state)
{
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
        struct wire w = wire_of(str_mem(messages[i].bytes, messages[i].len));
        uint32_t field;
        enum wire_type type;
        while (wire_next(&w, &field, &type))
            wire_skip(&w, type);
        if (w.bad == messages[i].good)
            fail_msg("message %zu", i);
        assert_true(wire_end(&w));
    }
    char groups[WIRE_GROUP_DEPTH_MAX + 1];
    memset(groups, 0x0b, sizeof groups);
    struct wire w = wire_of(str_mem(groups + 1, sizeof groups - 1));
    assert_false(wire_skip(&w, WIRE_GROUP));
    assert_true(wire_utf8(STR("h\xc3\xa9llo w\xc3\xb6rld")));
    assert_false(wire_utf8(STR("0123456789\xff")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_both_ways),
        cmocka_unit_test(test_nested_lengths),
        cmocka_unit_test(test_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
