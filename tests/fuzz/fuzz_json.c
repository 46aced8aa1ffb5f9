/* Whatever parses must print to something that parses to the same, with the exact length that was promised. */
#include <stdlib.h>

#include "doc/doc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_arena struct arena *mem = arena_new();
    struct err err = ERR(mem);
    struct doc_dups dups;
    struct doc *d = doc_parse(mem, str_mem((const char *)data, size), &(struct doc_opts){.ret_dups = &dups}, &err);
    if (!d)
        return err.reason == ERR_BAD_REQUEST ? 0 : (abort(), 0);
    struct str text = doc_json(mem, d);
    struct doc *again = doc_parse(mem, text, NULL, NULL), *copy = doc_copy_deep(mem, d);
    struct sb pretty = SB(mem);
    doc_json_pretty(&pretty, d, 2);
    if (text.len != doc_json_len(d) || !doc_eq(d, again) || !doc_eq(again, copy))
        abort();
    if (!doc_eq(d, doc_parse(mem, sb_str(&pretty), NULL, NULL)) || !str_eq(text, doc_json(mem, again)))
        abort();
    return 0;
}
