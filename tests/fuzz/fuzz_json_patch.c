/* Input: {"doc": ..., "patch": [...], "merge": ...}. A patch may fail, but what it returns must be a sound document; a
 * merge patch made from two documents must turn one into the other. */
#include <stdlib.h>

#include "doc/patch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct arena *mem, const struct doc *d)
{
    if (!doc_eq(d, doc_parse(mem, doc_json(mem, d), NULL, NULL)))
        abort();
}

/* A merge patch cannot say null. */
static bool has_null(const struct doc *d)
{
    if (d->type == DOC_NULL)
        return true;
    doc_each (c, d)
        if (has_null(c))
            return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_arena struct arena *mem = arena_new();
    struct err err = ERR(mem);
    struct doc *in = doc_parse(mem, str_mem((const char *)data, size), &(struct doc_opts){.depth_max = 500}, &err);
    const struct doc *doc = doc_get(in, "doc"), *patch = doc_get(in, "patch"), *merge = doc_get(in, "merge");
    if (!doc)
        return 0;
    struct doc *patched = json_patch(mem, doc_copy(mem, doc), patch, &err);
    if (!patched && !err.message.len)
        abort();
    if (patched)
        check(mem, patched);
    if (!merge)
        return 0;
    struct doc *merged = merge_patch(mem, doc_copy(mem, doc), merge);
    check(mem, merged);
    const struct doc *diff = merge_patch_diff(mem, doc, merged);
    if (diff && !has_null(merged) && !doc_eq(merge_patch(mem, doc_copy(mem, doc), diff), merged))
        abort();
    return 0;
}
