/* Rows of a damaged database: obj_load must take any bytes, and what it takes must hold together. */
#include <stdlib.h>

#include "store/obj.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct resource pods = {.group = "", .version = "v1", .name = "pods", .namespaced = true};
    struct obj *o = obj_load(&pods, str_mem((const char *)data, size), 7);
    if (!o)
        return 0;
    if (!str_ends(o->key, o->name) || !str_starts(o->key, STR("pods/")) || o->json.len != size)
        abort();
    for (int i = 1; i < o->label_count; i++)
        if (str_cmp(o->labels[i - 1].key, o->labels[i].key) > 0)
            abort();
    obj_unref(o);
    return 0;
}
