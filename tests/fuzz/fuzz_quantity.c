/* Whatever parses must print canonically: to something that parses to the same amount, and stays as it is. */
#include <stdlib.h>

#include "schema/quantity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str text = str_mem((const char *)data, size);
    struct quantity q, again;
    struct str canonical = quantity_canonical(mem, text);
    if (quantity_parse(text, &q) < 0)
        return canonical.ptr ? (abort(), 0) : 0;
    struct str printed = quantity_str(mem, q);
    if (quantity_parse(printed, &again) < 0 || quantity_cmp(q, again) != 0 ||
        !str_eq(quantity_canonical(mem, canonical), canonical))
        abort();
    if (quantity_parse(canonical, &again) < 0 || quantity_cmp(q, again) != 0)
        abort();
    if (quantity_sign(quantity_sub(quantity_add(q, q), q)) != quantity_sign(q))
        abort();
    quantity_value(q), quantity_milli(q);
    return 0;
}
