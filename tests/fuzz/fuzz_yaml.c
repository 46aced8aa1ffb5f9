/* YAML documents of a stream: each must survive being written as JSON, and as YAML where nothing is lost on the way. */
#include <stdlib.h>

#include "doc/doc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Numbers that YAML reads as doubles, and keys it would resolve, come back in another form. */
static bool exact(const struct doc *d)
{
    if (d->type == DOC_NUMBER)
        return false;
    doc_each (c, d)
        if (!exact(c))
            return false;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_arena struct arena *mem = arena_new();
    struct str rest = str_mem((const char *)data, size);
    struct doc_opts opts = {.depth_max = 200};
    for (int i = 0; i < 8 && rest.len; i++) {
        struct err err = ERR(mem);
        struct doc *d = doc_parse_yaml(mem, rest, &rest, &opts, &err);
        if (!d)
            return err.message.len ? 0 : (abort(), 0);
        struct sb yaml = SB(mem);
        if (!doc_eq(d, doc_parse(mem, doc_json(mem, d), NULL, NULL)))
            abort();
        doc_yaml(&yaml, d);
        struct doc *again = doc_parse_yaml(mem, sb_str(&yaml), NULL, NULL, &err);
        if (exact(d) && !doc_eq(d, again))
            abort();
    }
    return 0;
}
