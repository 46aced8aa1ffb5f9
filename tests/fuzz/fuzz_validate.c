/* No document, however wrong, may upset the rules. Two bytes of choices, then the JSON of an object: its kind is found
 * by apiVersion and kind, else by the first byte. Half of the objects go through reading and defaulting as requests do.
 */
#include <stdlib.h>

#include "schema/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct resource *resource_of(const struct doc *obj, uint8_t choice)
{
    struct str group, version;
    int n = 0;
    if (!str_cut(doc_str(obj, "apiVersion"), '/', &group, &version))
        version = group, group = STR("");
    const struct resource *r = schema_kind(group, version, doc_str(obj, "kind"));
    while (schema_resources[n])
        n++;
    return r ? r : schema_resources[choice % n];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_arena struct arena *mem = arena_new();
    struct err err = ERR(mem), result = ERR(mem);
    struct warnings warnings = {0};
    if (size < 3)
        return 0;
    struct doc *obj = doc_parse(mem, str_mem((const char *)data + 2, size - 2), NULL, &err);
    if (!doc_is(obj, DOC_OBJECT))
        return 0;
    const struct resource *r = resource_of(obj, data[0]);
    const struct subresource *sub = NULL;
    if (!r->type)
        return 0;
    if (data[1] & 1) {
        if (schema_read(mem, r->type, obj, FIELDS_IGNORE, NULL, &warnings, &err) < 0)
            return 0;
        schema_default(mem, r, obj);
    }
    if (data[1] & 8 && r->subresource_count)
        sub = &r->subresources[(data[1] >> 4) % r->subresource_count];
    struct doc *old = data[1] & 2 || sub ? doc_copy(mem, obj) : NULL;
    if (old && data[1] & 4)
        doc_del(old, "spec");
    int rc = schema_validate(mem, r, sub, obj, old, &warnings, &result);
    if ((rc < 0) != (result.cause_count > 0) || (rc < 0 && result.reason != ERR_INVALID))
        abort();
    return 0;
}
