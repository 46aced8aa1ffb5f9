/* What base/str.h decodes and quotes: decoders accept only what encodes back, quoting leaves nothing unprintable. */
#include <assert.h>

#include "base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str in = str_mem((const char *)data, size), out, again;
    if (str_base64_dec(mem, in, &out))
        assert(str_base64(mem, out).len == in.len);
    if (str_base64url_dec(mem, in, &out))
        assert(str_base64url(mem, out).len == in.len);
    assert(str_base64_dec(mem, str_base64(mem, in), &again) && str_eq(again, in));
    assert(str_base64url_dec(mem, str_base64url(mem, in), &again) && str_eq(again, in));
    out = str_quote(mem, in);
    for (size_t i = 0; i < out.len; i++)
        assert((unsigned char)out.ptr[i] >= ' ' && out.ptr[i] != 0x7f);
    int64_t i64;
    uint64_t u64;
    if (str_to_u64(in, &u64) && u64 <= INT64_MAX)
        assert(str_to_i64(in, &i64) && (uint64_t)i64 == u64);
    return 0;
}
